"""Runs a worked example three ways: the manual side, autograd, and a numeric derivative; and judges how far they lie
apart.

The numeric derivative is a central difference of four points in NumPy's widest dtype, of the manual side's own
forward pass. It comes with its own error: what a step of twice the length says otherwise, and the rounding of its
sums. How far the two sides may lie apart is measured, as everywhere here: PyTorch is run again in stochastic
arithmetic, and the spread is the noise floor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.floors import Floor, Spread
from compare.rerun import HEADROOM

__all__ = ["RUNS", "Column", "Derivative", "Worked", "columns", "incoming", "labels_of", "numeric", "rows_for", "ulps"]

RUNS = 3
"""Reruns of PyTorch in stochastic arithmetic."""

STEP = float(np.finfo(np.longdouble).eps) ** (1 / 5)
"""The step of a four-point difference whose truncation and rounding are of one size."""

LOST = 1e-6
"""A numeric derivative with a larger relative error than this says nothing: there is a kink within its steps."""


@dataclass(frozen=True)
class Derivative:
    """A numeric derivative, and how far it may itself be off, element by element."""

    value: np.ndarray
    error: np.ndarray

    @property
    def taken(self) -> np.ndarray:
        """Where one was taken."""
        return np.asarray(~np.isnan(self.value))


@dataclass(frozen=True)
class Column:
    """One tensor of a worked example on both sides.

    Attributes
    ----------
    label : what it is: ``y``, ``dL/dx``, ``dL/d weight``
    manual, autograd : arrays of one shape
    numeric : the numeric derivative, where there is one
    floor : how far honest computations may lie apart; ``None`` for whole numbers
    """

    label: str
    manual: np.ndarray
    autograd: np.ndarray
    numeric: Derivative | None
    floor: Floor | None

    @property
    def multiples(self) -> np.ndarray:
        """The distance of the two sides in noise floors, element by element."""
        gaps = _gaps(self.manual, self.autograd)
        if self.floor is None:
            return np.where(gaps > 0, np.inf, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(
                gaps > 0, gaps / self.floor.by_element(gaps.shape) if gaps.ndim else self._single(gaps), 0.0
            )

    def _single(self, gap: np.ndarray) -> np.ndarray:
        assert self.floor is not None
        return np.asarray(self.floor.multiple(self.manual, self.autograd, float(gap), same_rows=True, here=True))

    @property
    def agrees(self) -> bool:
        """Whether the two sides lie within the noise."""
        return self.manual.shape == self.autograd.shape and bool((self.multiples <= HEADROOM).all())

    @property
    def allowed(self) -> np.ndarray:
        """How far the numeric derivative may lie from the manual side's: both are known only so well."""
        assert self.numeric is not None
        known = 0.0 if self.floor is None else HEADROOM * self.floor.largest
        return np.where(self.numeric.taken, self.numeric.error + known, 0.0)

    @property
    def at_kink(self) -> np.ndarray:
        """Where the numeric derivative says nothing."""
        assert self.numeric is not None
        scale = max(1.0, float(np.nanmax(np.abs(self.numeric.value), initial=0.0)))
        return np.asarray(self.numeric.error > LOST * scale)

    @property
    def off(self) -> np.ndarray:
        """How far the numeric derivative lies from the manual side's; 0 where none was taken."""
        assert self.numeric is not None
        return np.where(self.numeric.taken, _gaps(self.manual, self.numeric.value), 0.0)

    @property
    def confirmed(self) -> bool:
        """Whether the numeric derivative, where there is one, agrees everywhere."""
        if self.numeric is None:
            return True
        return bool((self.off <= self.allowed).all()) and not self.at_kink.any() and bool(self.numeric.taken.any())


@dataclass(frozen=True)
class Worked:
    """A worked example.

    Attributes
    ----------
    given : what it was computed from, by label
    arriving : the incoming gradients, by label of the output
    values, gradients : what came out of both sides
    written : the call, where it is not one of a rule
    why_not : why there is no gradient, or no numeric one; empty where there is
    """

    given: dict[str, Any]
    arriving: dict[str, np.ndarray]
    values: tuple[Column, ...]
    gradients: tuple[Column, ...]
    why_not: str = ""
    written: str = ""

    @property
    def columns(self) -> tuple[Column, ...]:
        return (*self.values, *self.gradients)


def rows_for(tensors: int) -> int:
    """How many elements of each tensor a page shows, by how many tensors there are."""
    return 6 if tensors <= 5 else 4 if tensors <= 9 else 2 if tensors <= 16 else 1


def incoming(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """A random incoming gradient, rounded so that a page can show it; never all ones."""
    drawn = generator.uniform(0.4, 1.6, shape) * generator.choice([-1.0, 1.0], shape)
    return np.asarray(np.round(drawn, 3))


def columns(
    manual: Mapping[str, np.ndarray],
    run: Callable[..., Mapping[str, np.ndarray]],
    numerics: Mapping[str, Derivative] | None = None,
    *,
    seed: int = 0,
) -> list[Column]:
    """Hold the manual side's tensors against PyTorch's.

    Parameters
    ----------
    manual : tensors by label
    run : runs PyTorch under the dispatch modes that it is given, and returns tensors under the same labels
    numerics : numeric derivatives by label
    """
    from compare.kinks import Deciding
    from compare.noise import Perturbing

    expected = run()
    spreads = {label: Spread(value) for label, value in expected.items() if value.dtype.kind == "f"}
    deciding = Deciding()
    run(deciding)
    for number in range(RUNS):
        for label, value in run(Perturbing(seed * 101 + number, 1.0, deciding.made)).items():
            if label in spreads and spreads[label].plain.shape == value.shape:
                spreads[label].add(value)
    found = []
    for label, mine in manual.items():
        if label not in expected:
            raise ValueError(f"PyTorch shows no {label}")
        floor = spreads[label].floor() if label in spreads else None
        found.append(Column(label, np.asarray(mine), expected[label], (numerics or {}).get(label), floor))
    return found


def numeric(
    loss: Callable[[np.ndarray], Any], at: np.ndarray, size: Callable[[], float], *, first: int | None = None
) -> Derivative:
    """The derivative of a number with respect to the elements of an array.

    Parameters
    ----------
    loss : the number at an array of the widest dtype
    at : where
    size : how large the terms of which the number is the sum were, all together, when it was last computed
    first : only so many elements, in the order of rows; the others are NaN
    """
    wide = np.asarray(at, np.longdouble)
    value, error = np.full(wide.shape, np.nan, np.longdouble), np.full(wide.shape, np.nan)
    eps = float(np.finfo(np.longdouble).eps)
    for place in list(np.ndindex(wide.shape))[:first]:
        terms = 0.0
        halves: dict[int, Any] = {}
        for multiple in (1, 2, 4):
            moved = []
            for sign in (1, -1):
                shifted = wide.copy()
                shifted[place] += sign * multiple * STEP
                moved.append(loss(shifted))
                terms = max(terms, size())
            halves[multiple] = moved[0] - moved[1]
        near, far = ((8 * halves[n] - halves[2 * n]) / (12 * n * STEP) for n in (1, 2))
        value[place] = near
        error[place] = abs(float(near - far)) + 16 * eps * terms / STEP
    return Derivative(value.astype(np.float64), error + np.spacing(np.abs(value).astype(np.float64)))


def ulps(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How many units in the last place of the expected numbers the actual ones are off."""
    gaps = _gaps(actual, expected)
    with np.errstate(all="ignore"):
        spacing = np.spacing(np.abs(np.asarray(expected, np.float64)))
        return np.where(gaps == 0, 0.0, gaps / spacing)


def _gaps(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        gaps = np.abs(np.asarray(actual, np.float64) - np.asarray(expected, np.float64))
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected) if actual.dtype.kind == "f" else False)
    return np.where(same, 0.0, gaps)


def labels_of(count: int, first: str) -> Sequence[str]:
    return [first] if count == 1 else [f"{first}{place}" for place in range(count)]
