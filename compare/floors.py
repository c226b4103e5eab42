"""The noise floor of a tensor, kept by slices: how far apart two honest computations of it may lie.

A floor is measured as the spread of a few perturbed reruns (:mod:`compare.noise`). Element by element a few runs often
agree by luck, so it is kept by slices: for every axis, the largest spread in each slice across it (each row, each
column, each channel). What is allowed to an element is the least of the floors of the slices it lies in; so a small
row beside a large one keeps its own floor, and so does a small column. That takes as many numbers as the tensor's
sides add up to.

Never below: half a unit in the last place of the slice's largest magnitude, the tensor's usual relative spread (the
median over its slices) times that magnitude, and the smallest normal number times the tensor's scale where that is
above 1: what underflows on the way may be multiplied by as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Floor", "Spread", "floors_of"]

_STRUCTURAL = 2.0**-10
"""A slice that is zero in every run keeps this fraction of a unit in the last place of the tensor's scale."""


@dataclass(slots=True)
class Floor:
    """The floor of one tensor.

    Attributes
    ----------
    eps : float
        The unit in the last place of 1, in the tensor's dtype; floors are kept in multiples of it.
    scale : float
        The largest magnitude of the tensor when it was measured.
    axes : tuple of (floors, scales) per axis, each an array of the axis's length; for a number one pair
    relative : float
        The usual relative spread: the median over the slices that are not zero, in multiples of ``eps``.
    largest, least : float
        The largest floor of any element, and what no element's floor is below; absolute.
    """

    eps: float
    scale: float
    axes: tuple[tuple[np.ndarray, np.ndarray], ...]
    relative: float
    largest: float = 0.0
    least: float = 0.0

    def __post_init__(self) -> None:
        self.largest = self.eps * min(float(floors.max(initial=0.0)) for floors, _ in self.axes)
        self.least = self.eps * min(float(floors.min(initial=np.inf)) for floors, _ in self.axes)
        if not np.isfinite(self.least):
            self.least = 0.0

    def at_least(self, other: Floor) -> Floor:
        """This floor, raised to that of another tensor of the same shape and dtype where it is lower."""
        axes = tuple(
            (np.maximum(mine, theirs), scales)
            for (mine, scales), (theirs, _) in zip(self.axes, other.axes, strict=True)
        )
        return Floor(self.eps, self.scale, axes, self.relative)

    @property
    def nbytes(self) -> int:
        return sum(floors.nbytes + scales.nbytes for floors, scales in self.axes)

    def multiple(
        self, actual: np.ndarray, expected: np.ndarray, gap: float, *, same_rows: bool, here: bool, enough: float = 0.0
    ) -> float:
        """The largest difference in multiples of the floor.

        Parameters
        ----------
        actual, expected : the pair, of one shape, with finite numbers wherever they differ
        gap : the largest ``|actual - expected|``, if it is known
        same_rows : whether the slices across the first axis are those that were measured (the same rows of data)
        here : whether the floor was measured at this very checkpoint; elsewhere it grows with the slice's magnitude
        enough : a multiple below which a bound will do
        """
        if gap <= self.least * enough:
            return gap / self.least if gap else 0.0
        if not np.isfinite(gap):
            return np.inf
        with np.errstate(all="ignore"):
            gaps = np.asarray(np.subtract(actual, expected))
            np.abs(gaps, out=gaps)
        if not np.isfinite(gaps.max(initial=0.0)):  # the same infinity or NaN on both sides
            gaps[~np.isfinite(gaps)] = 0.0
            expected = np.where(np.isfinite(expected), expected, expected.dtype.type(0))
        if expected.ndim == 0:
            return self._worst(gaps.reshape(1), expected.reshape(1), 0, here)
        worst, judged = 0.0, False
        for axis in range(expected.ndim):
            if (axis == 0 and not same_rows) or len(self.axes[axis][0]) != expected.shape[axis]:
                continue
            judged = True
            worst = max(worst, self._worst(_by_slice(gaps, axis), expected, axis, here))
        if not judged:  # other rows, and no other axis: the tensor as a whole
            allowed = max(self.largest, self._relative(float(np.max(np.abs(expected), initial=0.0))))
            worst = gap / allowed if allowed else (np.inf if gap else 0.0)
        return worst

    def locate(self, actual: np.ndarray, expected: np.ndarray) -> tuple[int, ...]:
        """The index of the element that lies the most floors off."""
        with np.errstate(all="ignore"):
            gaps = np.abs(np.subtract(actual, expected, dtype=np.float64))
        gaps[~np.isfinite(gaps)] = 0.0
        return tuple(
            int(i) for i in np.unravel_index(int(_ratio(gaps, self.by_element(gaps.shape)).argmax()), gaps.shape)
        )

    def by_element(self, shape: tuple[int, ...]) -> np.ndarray:
        """The floor of every element, the least of those of its slices; infinite where no axis has this length."""
        allowed = np.full(shape, np.inf)
        for axis, (floors, _) in enumerate(self.axes):
            if axis < len(shape) and len(floors) == shape[axis]:
                others = [1] * len(shape)
                others[axis] = len(floors)
                allowed = np.minimum(allowed, self.eps * floors.astype(np.float64).reshape(others))
        return allowed

    def _worst(self, gaps: np.ndarray, expected: np.ndarray, axis: int, here: bool) -> float:
        floors, scales = self.axes[axis]
        multiples = _ratio(gaps, floors * self.eps)
        worst = float(multiples.max(initial=0.0))
        if here or worst <= 1.0:
            return worst
        now = _largest_by_slice(expected, axis) if expected.ndim > 1 else np.abs(expected)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            grown = np.where(scales > 0, floors * np.maximum(1.0, now / scales), 0.0)
        grown = np.maximum(grown, max(self.relative, 0.5) * now)
        grown = np.where(grown > 0, grown, floors)
        return float(_ratio(gaps, grown * self.eps).max(initial=0.0))

    def _relative(self, scale: float) -> float:
        return max(self.relative, 0.5) * self.eps * scale

    def digits(self) -> float:
        """On how many decimal digits honest computations agree, as a share of the tensor's largest magnitude."""
        return 16.0 if not self.scale or not self.largest else max(0.0, -float(np.log10(self.largest / self.scale)))


def floors_of(spreads: Mapping[Any, Spread]) -> dict[Any, Floor]:
    """The floor of every tensor, by place; a parameter's is no lower than that of its own update."""
    floors = {place: spread.floor() for place, spread in spreads.items()}
    for place, floor in floors.items():
        if place[1] == "parameter":
            update = floors.get((place[0], "update", *place[2:]))
            if update is not None and update.eps == floor.eps:
                floors[place] = floor.at_least(update)
    return floors


class Spread:
    """Gathers reruns of one tensor around its plain value.

    Parameters
    ----------
    plain : the value that an unperturbed run has
    """

    __slots__ = ("plain", "widest")

    def __init__(self, plain: np.ndarray):
        self.plain = plain
        self.widest: Any = None

    def add(self, rerun: np.ndarray) -> None:
        """Take in one rerun; where it is not finite, nothing is learned."""
        with np.errstate(all="ignore"):
            gaps = np.asarray(np.subtract(rerun, self.plain))
            np.abs(gaps, out=gaps)
        if not np.isfinite(gaps.max(initial=0.0)):
            gaps[~np.isfinite(gaps)] = 0.0
        if self.widest is None:
            self.widest = gaps
        elif self.widest.dtype == gaps.dtype:
            np.maximum(self.widest, gaps, out=self.widest)
        else:
            self.widest = np.maximum(self.widest, gaps)

    def floor(self) -> Floor:
        """What the reruns show, kept by slices."""
        plain = np.asarray(self.plain)
        eps = float(np.finfo(plain.dtype).eps) if plain.dtype.kind == "f" else float(np.finfo(np.float64).eps)
        magnitudes = np.asarray(np.abs(plain if plain.dtype.kind == "f" else plain.astype(np.float64)))
        if not np.isfinite(magnitudes.max(initial=0.0)):
            magnitudes = np.where(np.isfinite(magnitudes), magnitudes, 0.0)
        widest = np.zeros_like(magnitudes) if self.widest is None else self.widest
        scale = float(magnitudes.max(initial=0.0))
        if plain.ndim == 0:
            return Floor(eps, scale, (_axis(widest.reshape(1), magnitudes.reshape(1), 0, eps, 0.0, scale),), 0.5)
        found, usual = [], 0.0
        for axis in range(plain.ndim):
            floors, scales = _by_slice(widest, axis), _by_slice(magnitudes, axis)
            known = scales > 0
            if known.any():
                usual = max(usual, _median(floors[known] / scales[known]) / eps)
            found.append((floors, scales))
        axes = tuple(_bounded(floors, scales, eps, usual, scale) for floors, scales in found)
        return Floor(eps, scale, axes, usual)


def _median(values: np.ndarray) -> float:
    """The lower median: of two values the smaller, since where terms cancel the larger says nothing about the other."""
    middle = (values.size - 1) // 2
    return float(np.partition(values, middle)[middle])


def _axis(
    widest: np.ndarray, magnitudes: np.ndarray, axis: int, eps: float, usual: float, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    return _bounded(_by_slice(widest, axis), _by_slice(magnitudes, axis), eps, usual, scale)


def _bounded(
    floors: np.ndarray, scales: np.ndarray, eps: float, usual: float, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    floors = np.maximum(floors.astype(np.float64) / eps, max(usual, 0.5) * scales.astype(np.float64))
    floors = np.where((scales > 0) | (floors > 0), floors, _STRUCTURAL * scale)
    dtype = np.float64 if eps < 1e-10 else np.float32
    floors = np.maximum(floors, float(np.finfo(dtype).tiny) * max(1.0, scale) / eps)
    some = np.concatenate([floors, scales[scales > 0]])
    narrow = some.size and some.min() > 1e-30 and some.max() < 1e30
    kind = np.float32 if narrow else np.float64
    return floors.astype(kind), scales.astype(kind)


def _by_slice(values: np.ndarray, axis: int) -> np.ndarray:
    others = tuple(other for other in range(values.ndim) if other != axis)
    return values.max(others, initial=0.0) if others else values


def _ratio(gaps: np.ndarray, floors: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found: np.ndarray = gaps / floors
    found[gaps == 0] = 0.0
    return found


def _largest_by_slice(values: np.ndarray, axis: int) -> np.ndarray:
    others = tuple(other for other in range(values.ndim) if other != axis)
    return np.maximum(values.max(others, initial=0.0), -values.min(others, initial=0.0))
