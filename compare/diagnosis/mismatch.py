"""What is wrong is not the arithmetic: another dtype, another shape, memory that is shared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis, closeness
from compare.side import observed

__all__ = ["hypotheses"]

_ROUNDINGS = 512.0  # units in the last place of the narrower dtype that another dtype may cost
_MEMORY = ("forward", "backward", "deposit", "accumulated")


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Predict the reference's values in another dtype or shape, and the values of what shares their memory."""
    actual, expected = evidence.pair.actual, evidence.pair.expected
    if actual.shape != expected.shape:
        yield from _another_shape(evidence)
    elif actual.dtype != expected.dtype:
        yield from _another_dtype(evidence)
    elif evidence.phase in _MEMORY and evidence.sync != "module":  # there each value is computed on its own
        yield from _aliased(evidence)


# -- shape and dtype ---------------------------------------------------------------------------------------------------


def _another_shape(evidence: Evidence) -> Iterator[Hypothesis]:
    here, (actual, expected, *_) = evidence.checkpoint, evidence.pair
    shapes = f"{here.label} has shape {actual.shape}, the reference's has {expected.shape}"
    if actual.size == expected.size:
        says = f"{shapes}; the elements are the same, one after the other"
        yield Hypothesis(
            "another shape", {here: expected.reshape(actual.shape)}, says, "keepdims, a reshape, a lone axis", rank=2
        )
    try:
        spread = np.broadcast_to(expected, actual.shape)
    except ValueError:
        spread = None
    if spread is not None:
        says = f"{shapes}; every element is the reference's, repeated"
        yield Hypothesis("another shape", {here: spread}, says, "what is broadcast against what", rank=3)
    yield Hypothesis(
        "another shape", {here: actual}, shapes, "the axes of the last operation", rank=9, freedom=actual.size
    )


def _another_dtype(evidence: Evidence) -> Iterator[Hypothesis]:
    here, (actual, expected, *_) = evidence.checkpoint, evidence.pair
    if actual.dtype.kind not in "fiub" or expected.dtype.kind != "f" or not np.isfinite(expected).all():
        return
    says = f"{here.label} has dtype {actual.dtype}, the reference's has {expected.dtype}"
    scale = float(np.max(np.abs(expected), initial=0.0))
    narrow = max(float(np.finfo(value.dtype).eps) for value in (actual, expected) if value.dtype.kind == "f")
    near = np.abs(np.subtract(actual, expected, dtype=np.float64)) <= _ROUNDINGS * narrow * scale
    predicted = np.where(near, actual, expected.astype(actual.dtype))  # the same, up to what the narrower can hold
    look_at = "a constant or a scalar of another dtype that promotes what it meets, or a cast"
    yield Hypothesis("another dtype", {here: predicted}, says, look_at, rank=2)


# -- memory ------------------------------------------------------------------------------------------------------------


def _aliased(evidence: Evidence) -> Iterator[Hypothesis]:
    """What was handed over holds the value of something that came later, and lies in its memory."""
    here, pair = evidence.checkpoint, evidence.pair
    order = list(evidence.pairs)  # what came before may well be handed on as it is
    others = [
        (key, evidence.pairs[key])
        for key in order[order.index(here) + 1 :]
        if (key.step, key.micro_batch) == (here.step, here.micro_batch)
        and key.phase in _MEMORY
        and evidence.pairs[key].expected.shape == pair.expected.shape
        and closeness(pair, evidence.pairs[key].expected)[1]
    ]
    if not others:
        return
    shown = _shown(evidence)
    mine = shown.get(here)
    for key, other in others:
        theirs = shown.get(key)
        if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray) and np.shares_memory(mine, theirs):
            yield Hypothesis(
                "aliased memory",
                {here: other.expected},
                f"{here.label} holds the value of {key.phase}, {key.label}, and lies in the same memory: it changed "
                "after it was handed over",
                "an in-place operation, or a buffer that is reused; hand over a copy",
                rank=1,
            )


def _shown(evidence: Evidence) -> Mapping[Checkpoint, Any]:
    """What a fresh actual side shows at the diverging moment: the arrays themselves."""
    here = evidence.checkpoint
    side, _ = evidence.fresh()
    found: dict[Checkpoint, Any] = {}
    for number, facts in enumerate(evidence.steps[: here.step], 1):
        side.zero_grad()
        for index, (batch, weight) in enumerate(facts.micro_batches, 1):
            terms = side.accumulate(batch, weight)
            if (number, index) == (here.step, here.micro_batch):
                for phase in _MEMORY:
                    for key, value in (observed(side, phase, terms) or {}).items():
                        found[Checkpoint(number, index, phase, *key)] = value
                return found
        side.step()
    return found
