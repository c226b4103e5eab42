"""Judges what the manual wing yields by what PyTorch yields: value by value, each by its own measured noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from compare.floors import Floor, Spread
from compare.rerun import HEADROOM, gap_of

__all__ = ["MORE", "RUNS", "Gap", "Outcome", "Values", "judged", "mismatch", "multiple_of"]

RUNS = 3
"""Perturbed reruns of the reference, wherever values part by more than a few last bits."""

MORE = 8
"""The reruns before a value that parts is held against the manual wing."""

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Gap:
    """A value in which the wings part: what it is, and by how much, relative and in noise floors."""

    name: str
    error: float
    multiple: float
    text: str = ""


@dataclass
class Outcome:
    """What came of one sample.

    Attributes
    ----------
    label : what was run
    passed : bool
    gaps : what parts
    multiple : the largest distance in noise floors
    compared : how many numbers were compared
    problem : what was raised, if it could not be run
    """

    label: str
    passed: bool = False
    gaps: list[Gap] = field(default_factory=list)
    multiple: float = 0.0
    compared: int = 0
    problem: str = ""

    def take_in(
        self,
        where: str,
        actual: Values,
        expected: Values,
        floors: Callable[[int], Mapping[str, Floor]],
        *,
        measured: bool = False,
    ) -> None:
        """Judge more values; ``where`` says of which run."""
        gaps, multiple = judged(actual, expected, floors, measured=measured)
        self.gaps += [Gap(where + gap.name, gap.error, gap.multiple, gap.text) for gap in gaps]
        self.multiple = max(self.multiple, multiple)
        self.compared += sum(value.size for value in expected.values())

    def settle(self) -> Self:
        """Find out whether it passed: nothing raised, nothing parts, and something was compared."""
        if not self.problem and not self.compared:
            self.problem = "nothing was compared"
        self.passed = not self.gaps and not self.problem
        return self


def judged(
    actual: Values, expected: Values, floors: Callable[[int], Mapping[str, Floor]], *, measured: bool = False
) -> tuple[list[Gap], float]:
    """Compare two dicts of values.

    Parameters
    ----------
    actual, expected : arrays by name
    floors : measures the noise with at least so many reruns
    measured : whether to measure it wherever values part at all, and not only by more than a few last bits

    Returns
    -------
    What parts, in the order of the values; and the largest distance of a value in noise floors.
    """
    gaps = [
        Gap(name, np.inf, np.inf, "torch has none" if name in actual else "manual has none")
        for name in {**expected, **actual}
        if (name in expected) != (name in actual)
    ]
    worst, open_names = 0.0, []
    for name in expected:
        if name not in actual:
            continue
        gap = mismatch(name, actual[name], expected[name])
        if gap:
            gaps.append(gap)
        elif expected[name].dtype.kind == "f":
            if not gap_of(actual[name], expected[name]):
                continue
            multiple = np.inf if measured else multiple_of(Spread(expected[name]).floor(), actual[name], expected[name])
            if multiple > HEADROOM:
                open_names.append(name)
            else:
                worst = max(worst, multiple)
    if open_names:
        known = floors(RUNS)
        if any(multiple_of(known[name], actual[name], expected[name]) > HEADROOM for name in open_names):
            known = floors(MORE)
        for name in open_names:
            multiple = multiple_of(known[name], actual[name], expected[name])
            worst = max(worst, multiple)
            if not multiple <= HEADROOM:
                scale = float(np.max(np.abs(expected[name]), initial=0.0))
                gap_size = gap_of(actual[name], expected[name])
                gaps.append(Gap(name, gap_size / scale if scale else np.inf, multiple))
    order = {name: place for place, name in enumerate({**expected, **actual})}
    return sorted(gaps, key=lambda gap: order[gap.name]), worst


def mismatch(name: str, actual: np.ndarray, expected: np.ndarray) -> Gap | None:
    """What makes two values incomparable, or whole numbers that differ."""
    if actual.shape != expected.shape:
        return Gap(name, np.inf, np.inf, f"shape {actual.shape}, torch {expected.shape}")
    if actual.dtype != expected.dtype:
        return Gap(name, np.inf, np.inf, f"dtype {actual.dtype}, torch {expected.dtype}")
    if expected.dtype.kind != "f" and not np.array_equal(actual, expected):
        return Gap(name, np.inf, np.inf, f"{int((actual != expected).sum())} of {expected.size} differ")
    return None


def multiple_of(floor: Floor, actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference in multiples of the floor."""
    gap = gap_of(actual, expected)
    return floor.multiple(actual, expected, gap, same_rows=True, here=True) if gap else 0.0
