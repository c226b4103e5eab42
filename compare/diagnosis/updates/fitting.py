"""A setting of a rule that has another value: found from the one element that knows it best."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from compare.diagnosis.feeds import counts_of
from compare.diagnosis.numbers import equals
from compare.diagnosis.updates.run import Run
from compare.diagnosis.updates.trial import Trial, of_rule

__all__ = ["other_eps"]

_ROUNDS = 200


def other_eps(run: Run) -> Iterator[Trial]:
    """An eps of any size: the step falls or rises as it grows, so halving an interval finds it."""
    if not run.written_out or not isinstance(run.groups[run.name].get("eps"), float) or run.evidence.sync != "free":
        return
    eps = _bisected(run)
    if eps is None:
        return
    right = float(run.groups[run.name]["eps"])
    says = f"ε is {eps:.6g} in place of {right:g}, {equals(eps / right, counts_of(run.evidence), 1e-6)} times it"
    found = of_rule(run, run.rule(), options=partial(_with_eps, eps))
    yield Trial("other eps", says, "the ε beside the root", found, 5, 1)


def _with_eps(eps: float, options: dict[str, Any], step: int, name: str) -> dict[str, Any]:
    return {**options, "eps": eps}


def _bisected(run: Run) -> float | None:
    """The eps that makes the step of one element as long as it is; ``None`` where no eps does."""
    at = run.evidence.checkpoint._replace(phase="update", output="", call=0)
    pair = run.evidence.pairs.get(at)
    if pair is None or not pair.actual.size or run.steps.start != 1:
        return None
    with np.errstate(all="ignore"):
        gap = np.abs(pair.actual - pair.expected)
    if not np.isfinite(gap).all():
        return None
    best = int(np.argmax(gap))
    one = run.at([best])
    wanted = abs(float(pair.actual.reshape(-1)[best]))

    def step(eps: float) -> float:
        trajectory = one.trajectory(run.name, run.rule(), options=partial(_with_eps, eps))
        return next((abs(float(value[0])) for key, value in trajectory if key == at), np.nan)

    low, high = -300.0, 300.0  # exponents of e
    falls = step(np.exp(low)) > wanted > step(np.exp(high))
    if not falls and not step(np.exp(low)) < wanted < step(np.exp(high)):
        return None
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if (step(np.exp(middle)) > wanted) == falls:
            low = middle
        else:
            high = middle
    return float(np.exp(low))
