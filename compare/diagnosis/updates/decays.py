"""Weight decay left out, in the wrong place, of the wrong variable, on the wrong parameter, of another strength."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from compare.diagnosis.feeds import counts_of
from compare.diagnosis.numbers import equals
from compare.diagnosis.updates.decay import (
    VARIABLES,
    Decay,
    coupled,
    decoupled,
    decoupled_after,
    none,
    of_the_update,
    with_decay,
)
from compare.diagnosis.updates.rules import Rule, Turn
from compare.diagnosis.updates.run import Run
from compare.diagnosis.updates.trial import Trial, of_rule

__all__ = ["decays"]

Array = Any


def decays(run: Run) -> Iterator[Trial]:
    """Decay left out, in the wrong place, of the wrong variable, on the wrong parameter, of another strength."""
    strengths = [float(options.get("weight_decay", 0.0)) for options in run.groups.values()]
    if not any(strengths):
        return
    mine = float(run.groups[run.name].get("weight_decay", 0.0))
    if not mine:
        strongest = max(strengths)
        look_at = f"the parameters that decay; the reference leaves {run.name} alone"
        says = f"{run.name} decays by {strongest:g} like the others"

        def spread(options: dict[str, Any], step: int, name: str) -> dict[str, Any]:
            return {**options, "weight_decay": options["weight_decay"] or strongest}

        yield Trial("penalty on the bias", says, look_at, of_rule(run, run.rule(), options=spread), 1)
        return
    if not run.written_out:
        without = of_rule(run, run.rule(), options=lambda o, step, name: {**o, "weight_decay": 0})
        yield Trial("missing penalty", "the weight decay is left out", "weight_decay", without, 2)
        return

    def trial(cause: str, says: str, decay: Decay, rank: int = 2, freedom: int = 0) -> Trial:
        return Trial(cause, says, look_at, of_rule(run, with_decay(run.core(), decay)), rank, freedom)

    native = decoupled if run.decays_apart else coupled
    look_at = "θ ← θ − γ λ θ, apart from the gradient" if run.decays_apart else "g ← g + λ θ"
    yield trial("missing penalty", "the weight decay is left out", none)
    if run.decays_apart:
        says = "the decay is added to the gradient and passes through the moments"
        yield trial("L2 instead of decoupled decay", says, coupled)
        yield trial("decay order", "the parameter decays after the step, and the step's part with it", decoupled_after)
        says = "the parameter shrinks by λ θ, without the learning rate"
        yield trial("decay without the learning rate", says, partial(decoupled, with_rate=False))
    else:
        says = "the decay acts on the parameter and does not pass through the moments"
        yield trial("decoupled decay instead of L2", says, decoupled, 3)
        yield trial("decoupled decay instead of L2", says + "; it comes after the step", decoupled_after, 3)
        says += "; it is not multiplied by the rate"
        yield trial("decoupled decay instead of L2", says, partial(decoupled, with_rate=False), 3)
    for text, variable in VARIABLES.items():
        says = f"the decay is of {text}, not of the parameter"
        yield trial("wrong variable decayed", says, partial(native, variable=variable), 3)
    yield trial("wrong variable decayed", "the decay is of the step, not of the parameter", of_the_update, 4)
    yield from _strengths(run, native, trial)

    def both(turn: Turn, rule: Rule) -> Array:
        return coupled(turn, rule) - float(turn.options["lr"]) * mine * turn.theta

    yield trial("doubled term", "the parameter decays twice, in the gradient and apart from it", both, 4)


def _strengths(run: Run, native: Callable[..., Array], trial: Callable[..., Trial]) -> Iterator[Trial]:
    numbers = counts_of(run.evidence)
    factors = {0.5, 2.0, -1.0}
    for name in ("rows", "micro-batches", "learning rate"):
        if numbers.get(name, 1.0) != 1.0:
            factors |= {numbers[name], 1 / numbers[name]}
    for factor in sorted(factors, key=abs):
        says = f"the decay is {equals(factor, numbers)} times as strong as it should be"
        if factor == -1.0:
            says = "the decay is subtracted: minus one times what it should be"
        yield trial("penalty scaled", says, partial(native, factor=factor), 3)
    fitted = _fitted(run, native)
    if fitted is not None and all(abs(fitted - other) > 1e-6 * abs(other) for other in factors):
        says = f"the decay is {equals(fitted, numbers, 1e-6)} times as strong as it should be"
        yield trial("penalty scaled", says, partial(native, factor=fitted), 5, 1)


def _fitted(run: Run, native: Callable[..., Array]) -> float | None:
    """The factor of the decay's strength, where the step is linear in it."""
    at = run.evidence.checkpoint._replace(phase="update", output="", call=0)
    if run.kind != "SGD" and not run.decays_apart:
        return None
    pair = run.evidence.pairs.get(at)
    none_at, one_at = (
        dict(run.trajectory(run.name, with_decay(run.core(), partial(native, factor=factor)))).get(at)
        for factor in (0.0, 1.0)
    )
    if pair is None or none_at is None or one_at is None:
        return None
    pull = np.asarray(one_at, np.float64) - none_at
    size = float(np.vdot(pull, pull))
    return float(np.vdot(pull, pair.actual - none_at)) / size if size and pair.actual.size > 1 else None
