"""Where the windows along an axis lie, and what each of their taps sees."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from manual.rules.core import Array

__all__ = ["Windows", "adaptive", "picked", "sliding", "taps_of"]

_LONG = 16  # a window of more taps may be better reduced by NumPy than by a loop over them
_LAID_OUT = 1 << 20  # the most elements to which overlapping windows are laid out


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows along one axis. The tap ``t`` of window ``i`` is the element ``starts[i] + t * step``.

    Attributes
    ----------
    length : the length of the axis
    starts : where each window begins, negative where that is in the padding
    step : from one tap to the next
    reach : the taps of the longest window
    taps : for each tap, which windows have it within the axis, and which elements these are
    sizes : how many elements of the axis each window has
    stride : from one window to the next, 0 where that varies: then ``taps`` holds indices, else slices
    """

    length: int
    starts: Array
    step: int
    reach: int
    taps: tuple[tuple[Any, Any], ...]
    sizes: Array
    stride: int

    @cached_property
    def count(self) -> int:
        return len(self.starts)

    @cached_property
    def identity(self) -> bool:
        """Whether window ``i`` is element ``i``."""
        return self.reach == 1 and self.count == self.length and self.starts[0] == 0

    @cached_property
    def tiling(self) -> bool:
        """Whether every element is in one window, and the windows are alike."""
        return (
            self.stride == self.reach
            and self.step == 1
            and self.count * self.reach == self.length
            and self.starts[0] == 0
        )

    @cached_property
    def disjoint(self) -> bool:
        """Whether no element is in two windows."""
        return self.stride > (self.reach - 1) * self.step

    def long(self, size: int) -> bool:
        """Whether windows are too long, and an array of ``size`` too small, for a loop over their taps."""
        return self.reach > _LONG and (
            self.tiling or (self.count < self.reach and size // self.length * self.count * self.reach <= _LAID_OUT)
        )

    @cached_property
    def mirror(self) -> Windows:
        """The windows of the elements: which windows have each of them (without gaps, if ``step`` is 1)."""
        ends = np.maximum(self.starts, 0) + self.sizes
        elements = np.arange(self.length)
        first = np.searchsorted(ends, elements, side="right")
        return _uneven(self.count, first, np.searchsorted(self.starts, elements, side="right") - first)

    def places(self) -> tuple[Array, Array]:
        """The elements of every window, ``(count, reach)``, and whether it has them.

        An element that it does not have is replaced by the nearest that it has.
        """
        taps = np.arange(self.reach)
        first = np.maximum(0, -(self.starts // self.step))[:, None]
        held = np.clip(taps, first, first + self.sizes[:, None] - 1)
        return self.starts[:, None] + held * self.step, held == taps

    def laid_out(self, x: Array, axis: int) -> Array:
        """The windows side by side: two axes, ``(count, reach)``, in the place of one."""
        if self.tiling:
            return x.reshape(*x.shape[:axis], self.count, self.reach, *x.shape[axis:][1:])
        return np.take(x, self.places()[0], axis=axis)


@lru_cache(maxsize=512)
def sliding(length: int, reach: int, stride: int, padding: int, step: int, ceil_mode: bool) -> Windows | None:
    """Windows of one size at even distances; ``None`` where not one has room.

    Convention: rounding up adds a window that sticks out at the end, but none that begins in the padding there.
    """
    room = length + 2 * padding - step * (reach - 1) - 1
    count = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= length + padding:
        count -= 1
    if count < 1:
        return None
    taps = []
    sizes = np.zeros(count, np.int64)
    for tap in range(reach):
        offset = tap * step - padding
        first = max(0, -(offset // stride))
        last = min(count, (length - 1 - offset) // stride + 1)
        if first >= last:
            taps.append((slice(0, 0), slice(0, 0)))
            continue
        taps.append(
            (slice(first, last), slice(first * stride + offset, (last - 1) * stride + offset + 1, stride)),
        )
        sizes[first:last] += 1
    return Windows(length, np.arange(count) * stride - padding, step, reach, tuple(taps), sizes, stride)


@lru_cache(maxsize=512)
def adaptive(length: int, count: int) -> Windows:
    """As many windows as are asked for: window ``i`` is ``[floor(i n / m), ceil((i + 1) n / m))`` for ``m`` of them."""
    if count and length % count == 0:
        even = sliding(length, length // count, length // count, 0, 1, False)
        assert even is not None
        return even
    windows = np.arange(count)
    starts = windows * length // max(count, 1)
    return _uneven(length, starts, -(-(windows + 1) * length // max(count, 1)) - starts)


def _uneven(length: int, starts: Array, sizes: Array) -> Windows:
    """Windows without gaps or padding, of any sizes and anywhere."""
    reach = int(sizes.max(initial=0))
    taps: list[tuple[Any, Any]] = []
    for tap in range(reach):
        having = np.flatnonzero(sizes > tap)
        taps.append((slice(None) if len(having) == len(starts) else having, starts[having] + tap))
    return Windows(length, starts, 1, reach, tuple(taps), sizes, 0)


@lru_cache(maxsize=512)
def taps_of(group: tuple[Windows, ...], after: int) -> tuple[tuple[Any, Any], ...]:
    """For each tap of windows along neighbouring axes, in the order of rows: which windows, and which elements.

    Both are indices into arrays that have ``after`` more axes.
    """
    rest = (slice(None),) * after
    return tuple(
        (
            (Ellipsis, *(pair[0] for pair in combination), *rest),
            (Ellipsis, *(pair[1] for pair in combination), *rest),
        )
        for combination in itertools.product(*(along.taps for along in group))
    )


def picked(x: Array, elements: tuple[Any, ...], axis: int) -> Array:
    picked = elements[1]
    return np.take(x, picked, axis=axis) if type(picked) is np.ndarray else x[elements]
