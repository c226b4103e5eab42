"""Parameters that are updated in turn: each gradient is taken after the parameters before it have moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.updates.rules import Turn
from compare.diagnosis.updates.run import Found, Run
from compare.diagnosis.updates.trial import Trial

__all__ = ["in_turn"]

Array = Any
_MOST = 24  # parameters for which the whole step is worth running again


def in_turn(run: Run) -> Iterator[Trial]:
    """The update in the order of the parameters, and in the reverse of it.

    Only the diverging step is run again: before it nothing had moved too early, or it would have shown.
    """
    names = list(run.groups)
    clipped = getattr(run.evidence.reference, "clip", None) is not None
    if len(names) < 2 or len(names) > _MOST or clipped or run.evidence.sync == "module":
        return
    for order, text in ((names, "one after the other"), (names[::-1], "from the last to the first")):
        first = run.evidence.pairs.get(
            run.evidence.checkpoint._replace(phase="update", name=order[0], call=0, output="")
        )
        if first is None or not first.agrees:  # nothing has moved when its gradient is taken
            continue
        says = (
            f"the parameters are updated one after the other, {text}, each with a gradient taken after the others moved"
        )
        look_at = "all gradients first, at the old parameters; only then all updates"
        yield Trial("updated in turn", says, look_at, partial(_judge, run, order), 2)


def _judge(run: Run, order: Sequence[str]) -> Found:
    predicted: dict[Checkpoint, Array] = {}
    for name, shown in _moved(run, order):
        predicted |= shown
        if name == run.name and not run.evidence.fit(shown).explained:
            return Found(predicted, False)
    return Found(predicted, run.evidence.fit(predicted).explained)


def _moved(run: Run, order: Sequence[str]) -> Iterator[tuple[str, dict[Checkpoint, Array]]]:
    evidence, right = run.evidence, run.rule()
    step = evidence.step.number
    current = {name: np.array(value) for name, value in run.parameters[step].items()}
    for place, name in enumerate(order):
        g = run.gradient(step, name)
        if g is None:
            continue
        if place:  # the first one's gradient is the right one
            g = _gradient(run, name, current)
        if g is None:
            return
        slots, turns = _slots_before(run, step, name)
        turn = Turn(np.asarray(run.parameters[step][name], np.float64), g, slots, turns + 1, run.options(step, name))
        shown = dict(run.shown(step, name, slots, right(turn)))
        current[name] = shown[Checkpoint(step, None, "parameter", name)]
        yield name, shown


def _gradient(run: Run, name: str, parameters: dict[str, Array]) -> Array | None:
    """The whole batch's gradient of one parameter at other parameters; ``None`` where nothing computes it."""
    evidence = run.evidence
    total = np.zeros(np.shape(parameters[name]))
    for index in range(1, len(evidence.step.micro_batches) + 1):
        found = evidence.replay(parameters=parameters, micro_batch=index)
        deposit = found.get(Checkpoint(evidence.step.number, index, "deposit", name))
        if deposit is None:
            return None
        total += deposit
    return total


def _slots_before(run: Run, step: int, name: str) -> tuple[dict[str, Array], int]:
    """The slots before a step, as the right rule has made them."""
    if step == run.steps.start or run.evidence.sync != "free":
        return run.start(step, name, {}, 0)
    slots: dict[str, Array] = {}
    turns = 0
    for earlier in range(run.steps.start, step):
        slots, turns = run.start(earlier, name, slots, turns)
        g = run.gradient(earlier, name)
        if g is not None:
            turns += 1
            theta = np.asarray(run.parameters[earlier][name], np.float64)
            run.rule()(Turn(theta, g, slots, turns, run.options(earlier, name)))
    return slots, turns
