"""Rows, columns or channels of a tensor that are right but for factors of their own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compare.diagnosis.context import numbers_of
from compare.diagnosis.evidence import Evidence, Hypothesis
from compare.diagnosis.numbers import recognise
from compare.diagnosis.reach import GRADIENTS

__all__ = ["factors_by_slice"]


def factors_by_slice(evidence: Evidence) -> Iterator[Hypothesis]:
    """Some slices along an axis have one factor, or every slice has an element of a vector that the run knows."""
    expected = evidence.pair.expected
    if expected.ndim < 2:
        return
    for axis in range(expected.ndim):
        factors = _factors(evidence.pair.actual, expected, axis)
        if factors is not None:
            yield from _some(evidence, axis, factors)
            yield from _by_vector(evidence, axis, factors)


def _some(evidence: Evidence, axis: int, factors: np.ndarray) -> Iterator[Hypothesis]:
    here, expected = evidence.checkpoint, evidence.pair.expected
    other = np.abs(factors - 1) > _EXACT
    if other.all() or not other.any() or np.ptp(factors[other]) > _EXACT * np.max(np.abs(factors[other])):
        return
    factor = float(np.mean(factors[other]))
    factor = 0.0 if abs(factor) < _EXACT else factor
    readings = recognise(factor, numbers_of(evidence), _EXACT) if factor else ["nothing arrives there"]
    if not readings:
        return
    places = [str(int(place)) for place in np.flatnonzero(other)]
    listed = ", ".join(places[:6]) + (", ..." if len(places) > 6 else "")
    yield Hypothesis(
        "constant factor" if factor or here.phase not in GRADIENTS else "detached",
        {here: expected * _along(np.where(other, factor, 1.0), axis, expected)},
        f"{here.label} is right but for the slices {listed} along axis {axis}, which are {factor:.6g} times the "
        f"reference's: {readings[0]}",
        rank=7,
        freedom=1,
    )


def _by_vector(evidence: Evidence, axis: int, factors: np.ndarray) -> Iterator[Hypothesis]:
    here, expected = evidence.checkpoint, evidence.pair.expected
    for name, vector in _vectors(evidence, len(factors)):
        for text, candidate in ((name, vector), (f"1/{name}", 1 / vector), (f"{name}^2", vector**2)):
            if np.allclose(factors, candidate, rtol=_EXACT, atol=0):
                yield Hypothesis(
                    _cause(here.phase, text, name),
                    {here: expected * _along(candidate, axis, expected)},
                    f"{here.label} is the reference's times {text}, slice by slice along axis {axis}",
                    rank=6,
                )


_EXACT = 1e-4  # a first look; the fit decides


def _cause(phase: str, text: str, name: str) -> str:
    if name == "the target weights":
        return "class weights"
    if not text.startswith("1/"):
        return "constant factor"
    return "derivative left out" if phase in GRADIENTS else "left out"


def _along(vector: np.ndarray, axis: int, like: np.ndarray) -> np.ndarray:
    shape = [1] * like.ndim
    shape[axis] = -1
    return np.asarray(vector, like.dtype).reshape(shape)


def _factors(actual: np.ndarray, expected: np.ndarray, axis: int) -> np.ndarray | None:
    """The factor of every slice, one where both are zero; ``None`` where factors do not explain the difference."""
    a, e = (
        np.moveaxis(np.asarray(value, np.float64), axis, 0).reshape(expected.shape[axis], -1)
        for value in (actual, expected)
    )
    sizes = (e * e).sum(1)
    if a.shape[0] < 2 or np.count_nonzero(e, axis=1).max() < 2 or np.any(a[sizes == 0]):
        return None
    factors = np.divide((a * e).sum(1), sizes, out=np.ones_like(sizes), where=sizes > 0)
    left = np.abs(a - factors[:, None] * e).max()
    return factors if left <= 1e-3 * np.abs(a - e).max() else None


def _vectors(evidence: Evidence, size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Vectors of this length that the run knows and that hold no zero: parameters, target weights."""
    for name, value in evidence.step.state["parameters"].items():
        vector = np.asarray(value, np.float64)
        if vector.shape == (size,) and vector.all():
            yield name, vector
    weight = getattr(getattr(evidence.reference, "loss", None), "weight", None)
    if weight is not None and tuple(weight.shape) == (size,) and bool((weight != 0).all()):
        yield "the target weights", weight.detach().double().numpy()
