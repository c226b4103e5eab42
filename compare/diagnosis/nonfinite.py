"""NaN or infinity where the reference is finite: where it began, and which op of the reference is near an edge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis
from compare.diagnosis.ops import Op, as_array, replayed

__all__ = ["hypotheses"]


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Predict that all is right but for the elements that are not finite."""
    here, (actual, expected, *_) = evidence.checkpoint, evidence.pair
    if actual.dtype.kind != "f" or actual.shape != expected.shape:
        return
    wrong = ~np.isfinite(actual) & np.isfinite(expected)
    if not wrong.any():
        return
    kind = (
        "NaN" if np.isnan(actual[wrong]).all() else "infinite" if np.isinf(actual[wrong]).all() else "NaN or infinite"
    )
    count = int(wrong.sum())
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f"; the first at {list(at)}, where the reference has {float(expected[at]):.6g}" if at else ""
    reason = _reason(evidence)
    began = _began(evidence)
    yield Hypothesis(
        "non-finite",
        {here: np.where(wrong, actual, expected)},
        f"{count} of {actual.size} elements of {here.label} are {kind}{place}. It began at {began.where}"
        + (f"; {reason}" if reason else ""),
        "the order of operations there: subtract the maximum, add eps under the root, mask before dividing",
        rank=8,
        freedom=1,
    )


def _began(evidence: Evidence) -> Checkpoint:
    """The first checkpoint in order of execution at which the actual side alone is not finite."""
    for key, pair in evidence.pairs.items():
        if pair.actual.dtype.kind != "f" or pair.actual.shape != pair.expected.shape:
            continue
        if np.any(~np.isfinite(pair.actual) & np.isfinite(pair.expected)):
            return key
    return evidence.checkpoint


def _reason(evidence: Evidence) -> str:
    """What a simpler formula would have met among the reference's own numbers; empty where nothing is near an edge."""
    here = evidence.checkpoint
    if here.phase in ("slots", "update", "parameter"):
        if here.step == 1:
            return "in the first step: a correction 1 - beta^0 is zero where the step count starts at 0"
        return "a division by, or a root of, a slot that is zero or negative"
    if here.phase not in ("forward", "loss", "backward", "deposit", "accumulated"):
        return ""
    backward = here.phase not in ("forward", "loss")
    for op in replayed(evidence).ops:
        found = _edge(op, backward)
        if found:
            return found
    return ""


def _edge(op: Op, backward: bool) -> str:
    operands = [value for value in map(as_array, _flat(op.args)) if value is not None and value.size]
    if not operands:
        return ""
    first, name = operands[0], op.name.rstrip("_")
    limit = float(np.log(np.finfo(first.dtype).max))
    largest, least = float(first.max()), float(first.min())
    size = max(largest, -least)
    shown = f"the reference's {name} is given numbers up to {size:.4g}"
    if name in ("_softmax", "_log_softmax", "logsumexp", "_safe_softmax") and largest > limit:
        return f"{shown}, and exp overflows beyond {limit:.4g}: subtract the largest before it"
    if name in ("_softmax", "_log_softmax", "logsumexp", "_safe_softmax") and _far_below(first, limit):
        return f"the reference's {name} has rows that lie below -{limit:.4g}: every exp is zero there, and 0/0 is NaN"
    if name in (
        "sigmoid",
        "softplus",
        "log_sigmoid_forward",
        "binary_cross_entropy_with_logits",
        "tanh",
        "silu",
        "elu",
    ):
        if size > limit:
            return f"{shown}, and exp overflows beyond {limit:.4g}: take exp of -|x| only"
        if size > -np.log(np.finfo(first.dtype).eps):
            return f"{shown}, where its result rounds to 0 or 1, and the log of that is not finite"
    if name in ("log", "xlogy", "binary_cross_entropy", "log2", "log10") and any(np.any(v <= 0) for v in operands):
        return f"the reference's {name} meets zero: log(0), or 0 * log(0)"
    if name in ("sqrt", "linalg_vector_norm", "norm", "rsqrt") and np.any(_result(op) == 0):
        return f"the reference's {name} is zero somewhere, where its derivative 1/(2 sqrt(x)) is not finite"
    if name == "div" and len(operands) > 1 and np.any(operands[1] == 0):
        return "the reference divides by zero somewhere, and keeps it out of the result"
    if name in ("where", "masked_fill") and any(not np.isfinite(value).all() for value in operands):
        return "the reference masks numbers that are not finite: 0 * inf is NaN, where a selection is not"
    if backward and name == "pow" and np.any(first == 0):
        return "the reference raises zero to a power, whose derivative may divide by zero"
    return ""


def _result(op: Op) -> np.ndarray:
    found = as_array(op.outs[0])
    return np.empty(0) if found is None else found


def _far_below(scores: np.ndarray, limit: float) -> bool:
    return scores.ndim > 0 and bool(np.any(np.isfinite(scores).any(-1) & (scores.max(-1) < -limit)))


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _flat(item)
    else:
        yield value
