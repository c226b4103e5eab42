"""The formula is right and loses digits: in a wider dtype both sides agree, or the gap trembles with the last bit.

A wrong formula is wrong by the same amount in float64, and by the same amount where its inputs differ in the last bit.
What is lost to rounding is another amount each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from compare.checkpoint import PER_MICRO_BATCH
from compare.diagnosis.evidence import Evidence, Hypothesis, Recording
from compare.diagnosis.reach import comparable, run_eps
from compare.side import observed

__all__ = ["hypotheses"]

_WIDE = 1e-12  # the unit in the last place of a run that has no wider dtype
_CLOSED = 1e-3
"""How much of the gap may be left: float64 has half a billion times float32's digits, and instability takes some."""
_TREMBLES = 8  # runs with other last bits
_STEPS = 50  # a later divergence is not walked to so often
_LOOK_AT = "a difference of large numbers, exp and log of the same thing, a variance as E[x^2] - E[x]^2"


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Predict that the gap closes in float64; in a run that has no wider dtype, that it trembles."""
    if evidence.phase in ("init", "schedule") or not comparable(evidence.pair):
        return
    if run_eps(evidence) > _WIDE:
        yield from _closing(evidence)
    if evidence.phase in PER_MICRO_BATCH and evidence.sync != "module" and evidence.checkpoint.step <= _STEPS:
        yield from _trembling(evidence)


# -- in float64 --------------------------------------------------------------------------------------------------------


def _closing(evidence: Evidence) -> Iterator[Hypothesis]:
    here, pair = evidence.checkpoint, evidence.pair
    wide = _in_float64(evidence)
    if wide is None:
        return
    gap = float(np.max(np.abs(np.subtract(pair.actual, pair.expected, dtype=np.float64)), initial=0.0))
    left = np.subtract(*wide)
    if not gap or not np.isfinite(left).all() or float(np.max(np.abs(left))) > _CLOSED * gap:
        return
    yield Hypothesis(
        "unstable formula",
        {here: np.asarray(pair.actual - left, pair.actual.dtype)},
        f"in float64 {float(np.max(np.abs(left))) / gap:.1e} of the gap is left: the formula is right, and loses "
        "digits in the run's own dtype",
        _LOOK_AT,
        rank=7,
    )


def _in_float64(evidence: Evidence) -> tuple[np.ndarray, np.ndarray] | None:
    """Both tensors at the divergence after a walk of widened sides; ``None`` where a side cannot be widened."""
    from compare.lockstep import walk

    actual, expected = evidence.fresh()
    if not hasattr(actual, "widen") or not hasattr(expected, "widen"):
        return None
    actual.widen()
    expected.widen()
    number = max(1, evidence.checkpoint.step)
    recording = Recording(number)
    steps = [facts.micro_batches for facts in evidence.steps[:number]]
    walk(actual, expected, steps, sync=evidence.sync, observer=recording)
    found = recording.pairs.get(evidence.checkpoint)
    wide = np.dtype(np.float64)
    if found is None or not comparable(found) or {found.actual.dtype, found.expected.dtype} != {wide}:
        return None
    return found.actual, found.expected


# -- with other last bits ----------------------------------------------------------------------------------------------


def _trembling(evidence: Evidence) -> Iterator[Hypothesis]:
    here, pair = evidence.checkpoint, evidence.pair
    gaps = [np.subtract(pair.actual, pair.expected, dtype=np.float64)]
    worst = np.unravel_index(int(np.argmax(np.abs(gaps[0]))), gaps[0].shape)
    for seed in range(_TREMBLES):
        gap = _gap(evidence, np.random.default_rng(seed))
        if gap is None or gap.shape != gaps[0].shape or not np.isfinite(gap).all():
            return
        gaps.append(gap)
        if abs(gap[worst] - gaps[0][worst]) < 1e-3 * abs(gaps[0][worst]):
            return  # the same amount: nothing trembles
    at_worst = np.array([gap[worst] for gap in gaps])
    spread, largest = float(np.ptp(at_worst)), [float(np.max(np.abs(gap))) for gap in gaps]
    if spread < 0.5 * largest[0] or abs(at_worst.mean()) > 0.5 * spread or largest[0] > 2 * max(largest[1:]):
        return
    yield Hypothesis(
        "unstable formula",
        {here: pair.expected},
        f"where the inputs differ in the last bit, the gap at {list(map(int, worst))} is anything from "
        f"{at_worst.min():.1e} to {at_worst.max():.1e}: the formula is right, and loses digits",
        _LOOK_AT,
        rank=8,
        noise={here: 2 * max(largest)},
    )


def _gap(evidence: Evidence, generator: np.random.Generator) -> np.ndarray | None:
    """The gap at the divergence where inputs and parameters of its micro-batch differ in the last bit."""
    here, facts = evidence.checkpoint, evidence.step
    sides = evidence.fresh()
    if any(getattr(side, "recorded", False) for side in sides):
        return None
    if all(hasattr(side, "load_state") for side in sides):
        parameters = {name: _moved(value, generator) for name, value in facts.state["parameters"].items()}
        for side in sides:
            side.load_state({**facts.state, "parameters": parameters})
    else:
        for earlier in evidence.steps[: here.step - 1]:
            for side in sides:
                side.zero_grad()
                for batch, weight in earlier.micro_batches:
                    side.accumulate(batch, weight)
                side.step()
    found: list[Any] = []
    batches = [((_moved(x, generator), y), weight) for (x, y), weight in facts.micro_batches[: here.micro_batch]]
    for side in sides:
        side.zero_grad()
        terms = None
        for batch, weight in batches:
            terms = side.accumulate(batch, weight)
        found.append((observed(side, here.phase, terms) or {}).get(here[3:]))
    if any(value is None for value in found):
        return None
    actual, expected = (np.asarray(value, np.float64) for value in found)
    return np.asarray(actual - expected) if actual.shape == expected.shape else None


def _moved(value: Any, generator: np.random.Generator) -> Any:
    """The same numbers, some a unit in the last place smaller, so that none leaves its range; whole numbers stay."""
    if isinstance(value, (tuple, list)):
        return type(value)([_moved(item, generator) for item in value])
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return value
    shift = generator.integers(-1, 1, value.shape) * np.finfo(value.dtype).eps
    return np.asarray(value * (1 + shift), value.dtype)
