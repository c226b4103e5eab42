"""The values around the element at which two tensors differ most, as small plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Neighbourhood", "neighbourhood"]

_REACH = 2  # elements to each side of the one to look at


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The values around the element to look at, on both sides, as plain numbers.

    Attributes
    ----------
    index : tuple of int
        The element; all axes but the last two are held at its place.
    corner : tuple of int
        The row and the column at which ``actual`` and ``expected`` begin; a vector has one row, row 0.
    actual, expected : tuple of rows, each a tuple of numbers
    shape : tuple of int
        That of the tensor.
    """

    index: tuple[int, ...]
    corner: tuple[int, int]
    actual: tuple[tuple[float, ...], ...]
    expected: tuple[tuple[float, ...], ...]
    shape: tuple[int, ...]


def neighbourhood(actual: Any, expected: Any, index: tuple[int, ...] | None) -> Neighbourhood | None:
    """What lies around one element, at most two further in each direction; nothing where the shapes differ.

    Parameters
    ----------
    actual, expected : arrays of one shape
    index : tuple of int, or None where no element differs

    Examples
    --------
    >>> found = neighbourhood(np.eye(2), np.zeros((2, 2)), (1, 1))
    >>> found.actual, found.corner
    (((1.0, 0.0), (0.0, 1.0)), (0, 0))
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if index is None or actual.shape != expected.shape or len(index) != expected.ndim:
        return None
    corner, windows = [0, 0], []
    at: list[Any] = list(index)
    for place, axis in enumerate(range(max(0, expected.ndim - 2), expected.ndim), max(0, 2 - expected.ndim)):
        corner[place] = max(0, index[axis] - _REACH)
        at[axis] = slice(corner[place], index[axis] + _REACH + 1)
    for side in (actual, expected):
        window = np.atleast_2d(side[tuple(at)])
        windows.append(tuple(tuple(float(value) for value in row) for row in window))
    return Neighbourhood(tuple(index), (corner[0], corner[1]), windows[0], windows[1], expected.shape)
