"""The running statistics of a comparison: what each block of two tensors adds to the numbers.

Units in the last place. The bits of two non-negative IEEE numbers, read as integers, are ordered as the numbers are and
count the representable numbers between them; so do the magnitude bits of two negative ones. With ``A`` and ``E`` the
bit patterns as signed integers, the distance is ``|A - E|`` where the signs are equal, and the sum of both magnitudes
where they differ, since the way leads through zero. There the subtraction wraps around to a magnitude of at least
``2**(w-1) - M`` (``w`` bits in all, ``M`` the pattern of the largest finite number), which is ``2**p + 1`` with ``p``
bits of stored mantissa. So a block whose ``|A - E|`` is nowhere above ``2**p`` holds no pair of unequal signs, and
its maximum is exact without a look at the signs.

Reference for the ordered integers: Bruce Dawson, "Comparing Floating Point Numbers, 2012 Edition".
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from manual.rules.core import Array

__all__ = ["BUFFERS", "LAYOUTS", "Layout", "Tally"]

INF = math.inf
BLOCK = 131072
"""Bytes of one operand's block: two operands and three buffers of this size fit a second-level cache of 1 MiB."""


class Layout:
    """What the pass must know about one dtype."""

    __slots__ = ("bits", "char", "dtype", "length", "plain", "tally", "unsigned", "wide", "work")

    def __init__(self, char: str, tally: Any) -> None:
        dtype = np.dtype(char)
        self.char = char
        self.dtype = dtype
        self.tally = tally
        self.work = np.dtype({"e": "f", "?": "B"}.get(char, char))
        self.length = BLOCK // max(4, dtype.itemsize)
        self.wide = np.dtype({"e": "f", "f": "d"}.get(char, "g"))
        if char != "g":
            self.bits = np.dtype(f"i{dtype.itemsize}")
            self.unsigned = np.dtype(f"u{dtype.itemsize}")
        if char in "efd":
            self.plain = 1 << np.finfo(dtype).nmant


class Buffers(threading.local):
    """Scratch space of one block, made once for each thread and dtype."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[Array, Array, Array, Array]] = {}

    def make(self, layout: Layout) -> tuple[Array, Array, Array, Array]:
        """Make room for differences, for quotients or integer differences, for flags, and for gathered operands."""
        gaps, spare, gathered = (np.empty(layout.length, layout.work) for _ in range(3))
        made = self.made[layout.char] = (gaps, spare, np.empty(layout.length, np.bool_), gathered)
        return made


BUFFERS = Buffers()


class Tally:
    """Running statistics of blocks of floating numbers."""

    __slots__ = (
        "abs_at",
        "agreeing",
        "bottom",
        "buffers",
        "detail",
        "disagreeing",
        "disagreeing_at",
        "identical",
        "kinds",
        "layout",
        "max_abs",
        "max_rel",
        "max_ulp",
        "rel_at",
        "same",
        "shift",
        "squares",
        "top",
        "ulp_at",
    )

    def __init__(self, layout: Layout, detail: bool) -> None:
        self.layout = layout
        self.detail = detail
        self.buffers = BUFFERS.made.get(layout.char) or BUFFERS.make(layout)
        self.identical = self.same = True
        self.top, self.bottom = -INF, INF
        self.max_abs: float = 0.0
        self.abs_at = self.rel_at = self.ulp_at = self.disagreeing_at = -1
        self.max_rel = self.squares = 0.0
        self.max_ulp = self.shift = self.agreeing = self.disagreeing = 0
        self.kinds: tuple[int, ...] = (0, 0, 0)

    def add(self, actual: Array, expected: Array, start: int) -> None:
        """Take in one block: two contiguous native runs, the first element of which has the flat index ``start``."""
        if self.same:
            bits = self.layout.bits
            unequal = np.not_equal(actual.view(bits), expected.view(bits), self.buffers[2][: actual.size])
            if not unequal.item(unequal.argmax()):
                top, bottom = expected.item(expected.argmax()), expected.item(expected.argmin())
                if top - bottom < INF:
                    self._widen(top, bottom)
                else:
                    self._sieve(actual, expected, start)
                return
            self.same = self.identical = False
        if not self._clean(actual, expected, start, None):
            self._sieve(actual, expected, start)

    def _widen(self, top: float, bottom: float) -> None:
        if top > self.top:
            self.top = top
        if bottom < self.bottom:
            self.bottom = bottom

    def _clean(self, actual: Array, expected: Array, start: int, places: Array | None) -> bool:
        """Take in a block whose differences are finite; otherwise return False, with nothing taken in.

        ``places`` holds the places within the block from which the elements were gathered, None where all are here.
        """
        size = actual.size
        layout = self.layout
        if layout.char == "e":
            work_actual, work_expected = actual.astype(layout.work), expected.astype(layout.work)
        else:
            work_actual, work_expected = actual, expected
        gaps, spare, _, _ = self.buffers
        gap = np.subtract(work_actual, work_expected, gaps[:size])
        at, low_at = gap.argmax(), gap.argmin()
        worst, low = gap.item(at), -gap.item(low_at)
        if not worst + low < INF:
            return False
        self._widen(work_expected.item(work_expected.argmax()), work_expected.item(work_expected.argmin()))
        if low > worst or (low == worst and low_at < at):
            worst, at = low, low_at
        if worst == 0.0:
            self.same = True
            return True
        if worst > self.max_abs:
            self.max_abs, self.abs_at = worst, self._flat(at, start, places)
        if not self.detail:
            return True
        self._count_ulps(actual, expected, spare.view(layout.bits)[:size], start, places)
        spare = spare[:size]
        if 1e-9 < worst < 1e15:
            self._add_squares(float(np.dot(gap, gap)), 0)
        else:
            shift = min(40 - math.frexp(worst)[1], 126 if gap.itemsize == 4 else 1022)
            np.multiply(gap, math.ldexp(1.0, shift), spare)
            self._add_squares(float(np.dot(spare, spare)), shift)
        if self.max_rel < INF:
            self._relate(gap, work_expected, np.divide(gap, work_expected, spare), start, places)
        return True

    def _sieve(self, actual: Array, expected: Array, start: int) -> None:
        """Take in a block that holds non-finite numbers or overflowing differences."""
        known = np.isfinite(expected)
        both = np.isfinite(actual) & known
        places = None
        if not both.all():
            unknown = expected[~known]
            if unknown.size:
                kinds = (np.isnan(unknown), unknown == INF, unknown == -INF)
                self.kinds = tuple(
                    so_far + int(np.count_nonzero(kind)) for so_far, kind in zip(self.kinds, kinds, strict=True)
                )
            if unknown.size < expected.size:
                finite = expected[known]
                self._widen(float(finite.max()), float(finite.min()))
            odd = np.flatnonzero(~both)
            odd_actual, odd_expected = actual[odd], expected[odd]
            agree = (odd_actual == odd_expected) | (np.isnan(odd_actual) & np.isnan(odd_expected))
            agreeing = int(np.count_nonzero(agree))
            self.agreeing += agreeing
            if agreeing < odd.size:
                if not self.disagreeing:
                    self.disagreeing_at = start + int(odd[agree.argmin()])
                self.disagreeing += odd.size - agreeing
            places = np.flatnonzero(both)
            if not places.size:
                return
            actual, expected = actual[places], expected[places]
        if not self._clean(actual, expected, start, places):
            self._wide(actual, expected, start, places)

    def _wide(self, actual: Array, expected: Array, start: int, places: Array | None) -> None:
        """Take in finite numbers whose difference overflows, by the next wider dtype."""
        wide = self.layout.wide
        wide_actual, wide_expected = actual.astype(wide), expected.astype(wide)
        gap = wide_actual - wide_expected
        self._widen(float(wide_expected.max()), float(wide_expected.min()))
        distance = np.absolute(gap)
        at = distance.argmax()
        worst = distance[at]
        if worst == 0.0:
            return
        if worst > self.max_abs:
            self.max_abs, self.abs_at = float(worst) or math.ulp(0.0), self._flat(at, start, places)
        if not self.detail:
            return
        self._count_ulps(actual, expected, None, start, places)
        shift = -int(np.frexp(worst)[1])
        distance = np.ldexp(distance, shift)
        self._add_squares(float(np.dot(distance, distance)), shift)
        if self.max_rel < INF:
            self._relate(gap, wide_expected, gap / wide_expected, start, places)

    def _flat(self, at: Any, start: int, places: Array | None) -> int:
        return start + int(at if places is None else places[at])

    def _add_squares(self, squares: float, shift: int) -> None:
        """Add a sum of squares of differences that were multiplied by ``2**shift``."""
        if shift != self.shift:
            if self.squares == 0.0:
                self.shift = shift
            elif shift < self.shift:
                self.squares = math.ldexp(self.squares, 2 * (shift - self.shift))
                self.shift = shift
            else:
                squares = math.ldexp(squares, 2 * (self.shift - shift))
        self.squares += squares

    def _relate(self, gap: Array, expected: Array, quotient: Array, start: int, places: Array | None) -> None:
        """Find the greatest magnitude of the quotients; 0/0 made NaN of pairs of zeros, which count for nothing."""
        at, low_at = quotient.argmax(), quotient.argmin()
        worst, low = quotient.item(at), -quotient.item(low_at)
        searched = worst == worst
        if not searched:
            worst = max(np.fmax.reduce(quotient).item(), -np.fmin.reduce(quotient).item())
        elif low > worst or (low == worst and low_at < at):
            worst, at = low, low_at
        if not worst > self.max_rel:
            return
        if worst == INF:
            zeros = np.flatnonzero((expected == 0) & (gap != 0))
            if zeros.size:
                at, searched = zeros[0], True
            elif gap.dtype != self.layout.wide:
                wide_gap, wide_expected = gap.astype(self.layout.wide), expected.astype(self.layout.wide)
                self._relate(wide_gap, wide_expected, wide_gap / wide_expected, start, places)
                return
        if not searched:
            at = (np.absolute(quotient) == worst).argmax()
        self.max_rel, self.rel_at = float(worst), self._flat(at, start, places)

    def _count_ulps(
        self, actual: Array, expected: Array, spare: Array | None, start: int, places: Array | None
    ) -> None:
        layout = self.layout
        actual_bits, expected_bits = actual.view(layout.bits), expected.view(layout.bits)
        steps = np.subtract(actual_bits, expected_bits, spare)
        at, low_at = steps.argmax(), steps.argmin()
        worst, low = steps.item(at), -steps.item(low_at)
        if worst > layout.plain or low > layout.plain:
            mixed = np.flatnonzero((actual_bits ^ expected_bits) < 0)
            magnitude = layout.bits.type(np.iinfo(layout.bits).max)
            ways = (actual_bits[mixed] & magnitude).view(layout.unsigned)
            ways += (expected_bits[mixed] & magnitude).view(layout.unsigned)
            steps[mixed] = 0
            at, low_at = steps.argmax(), steps.argmin()
            worst, low = steps.item(at), -steps.item(low_at)
            if mixed.size:
                way_at = ways.argmax()
                way, way_at = ways.item(way_at), mixed[way_at]
                if way > worst or (way == worst and way_at < at):
                    worst, at = way, way_at
        if low > worst or (low == worst and low_at < at):
            worst, at = low, low_at
        if worst > self.max_ulp:
            self.max_ulp, self.ulp_at = worst, self._flat(at, start, places)

    def rms(self, count: int) -> float:
        """Root mean square over the pairs in which both numbers are finite."""
        mean = self.squares / (count - self.agreeing - self.disagreeing)
        try:
            return math.ldexp(math.sqrt(mean), -self.shift)
        except OverflowError:
            return INF


class _ExtendedTally(Tally):
    """Running statistics of blocks of extended floats, whose bits have no integer type and may hold padding."""

    __slots__ = ()

    def add(self, actual: Array, expected: Array, start: int) -> None:
        if self.identical:
            same = (actual == expected) & (np.signbit(actual) == np.signbit(expected))
            self.identical = bool((same | (np.isnan(actual) & np.isnan(expected))).all())
        self._sieve(actual, expected, start)

    def _clean(self, actual: Array, expected: Array, start: int, places: Array | None) -> bool:
        return False

    def _count_ulps(
        self, actual: Array, expected: Array, spare: Array | None, start: int, places: Array | None
    ) -> None:
        info = np.finfo(self.layout.dtype)
        exponent = np.frexp(np.maximum(np.absolute(actual), np.absolute(expected)))[1]
        shift = info.nmant + 1 - np.maximum(exponent, info.minexp + 1)
        steps = np.absolute(np.ldexp(actual, shift) - np.ldexp(expected, shift))
        at = steps.argmax()
        worst = math.ceil(steps[at])
        if worst > self.max_ulp:
            self.max_ulp, self.ulp_at = worst, self._flat(at, start, places)


class _IntegerTally(Tally):
    """Running statistics of blocks of integers and booleans; every number but the quotients is exact."""

    __slots__ = ()

    def add(self, actual: Array, expected: Array, start: int) -> None:
        if actual.dtype == np.bool_:
            actual, expected = actual.view(np.uint8), expected.view(np.uint8)
        self._widen(expected.item(expected.argmax()), expected.item(expected.argmin()))
        gaps, spare, _, _ = self.buffers
        gap = np.maximum(actual, expected, out=gaps[: actual.size])
        gap -= np.minimum(actual, expected, out=spare[: actual.size])
        gap = gap.view(self.layout.unsigned)
        at = gap.argmax()
        worst = gap.item(at)
        if not worst:
            return
        self.identical = False
        if worst > self.max_abs:
            self.max_abs, self.abs_at = worst, start + int(at)
        if not self.detail:
            return
        self.max_ulp, self.ulp_at = int(self.max_abs), self.abs_at
        real = gap.astype(np.float64)
        self._add_squares(float(np.dot(real, real)), 0)
        if self.max_rel < INF:
            magnitude = expected.astype(np.float64)
            self._relate(real, magnitude, real / np.absolute(magnitude, magnitude), start, None)


LAYOUTS = {
    **{char: Layout(char, Tally) for char in "efd"},
    "g": Layout("g", _ExtendedTally),
    **{char: Layout(char, _IntegerTally) for char in "?bhilqBHILQ"},
}
