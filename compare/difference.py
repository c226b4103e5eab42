"""The numbers of one comparison: how far an actual tensor lies from the expected one, in one pass over both.

The pass walks blocks that stay in the second-level cache, so each operand is read from memory once and there is no
temporary of full size. One block takes these steps, and each later step is left out where an earlier one shows that
it cannot change the result:

1. *bits*: where the integer views of a block are equal, so are its numbers, and only ``scale`` is left to find;
2. *difference* ``d = a - e``, its greatest and its least element: a non-finite one sends the block to the slower path
   that tells non-finite operands from an overflow;
3. *ulp*: the difference of the integer views (see below);
4. *squares*: ``d . d`` by one BLAS call, scaled by a power of two where squares would leave the exponent range;
5. *relative*: the extremes of ``d / e``.

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

import itertools
import math
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, make_dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from manual.rules.core import Array

__all__ = ["Difference", "difference", "differences", "refine"]

Index = tuple[int, ...]

_INF = math.inf
_LENGTH = 32768
_SMALL = 8192


@dataclass(frozen=True, slots=True)
class Difference:
    """How far ``actual`` lies from ``expected``.

    ``max_abs``, ``max_rel``, ``max_ulp`` and ``rms`` speak of the pairs in which both numbers are finite; the others
    are counted by ``nonfinite_agreeing`` and ``nonfinite_disagreeing``. An index is a tuple of ints, and None where the
    number it belongs to is zero. Of several elements with the same greatest value it names the first in C order.
    Numbers are Python floats (ints where the tensors hold integers); a difference beyond the largest float64 is
    ``inf``, with its index still right, and numbers of a ``longdouble`` are rounded to float64.

    The fields marked * are None after a comparison with ``detail=False``; :func:`refine` fills them in.

    Attributes
    ----------
    shape, dtype : those of ``expected``, the dtype in native byte order
    count : elements compared: all of them, or 0 where ``kind`` is set
    identical : every bit agrees; ``-0.0`` and ``0.0`` differ here, and nowhere else
    max_abs, max_abs_index* : the greatest ``|a - e|``
    max_rel*, max_rel_index* : the greatest ``|a - e| / |e|``; inf where ``e == 0`` and ``a != 0``, 0 where both are 0
    max_ulp*, max_ulp_index* : the most representable numbers between ``a`` and ``e``, one end counted. For integers it
        is the difference. For longdouble it is the difference in units of the last place of the larger of the two
    scale : the greatest finite ``|e|``
    rms* : root mean square of ``a - e``
    actual_at*, expected_at* : the two values at ``max_abs_index``
    nonfinite_agreeing : pairs of NaN and NaN, or of the same infinity
    nonfinite_disagreeing, nonfinite_index : pairs with a non-finite number and no such agreement; the first of them
    zero : every expected element is zero
    constant : all expected elements are the same, and there are at least two (a lone number cannot vary)
    kind : None; or "shape" or "dtype", a divergence of its own kind: then nothing was compared, nothing is broadcast or
        promoted, and ``max_abs`` is inf, so that no tolerance lets it pass
    text : the sentence that goes with ``kind``
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    count: int
    identical: bool
    max_abs: float
    scale: float
    zero: bool
    constant: bool
    nonfinite_agreeing: int = 0
    nonfinite_disagreeing: int = 0
    nonfinite_index: Index | None = None
    max_abs_index: Index | None = None
    max_rel: float | None = None
    max_rel_index: Index | None = None
    max_ulp: int | None = None
    max_ulp_index: Index | None = None
    rms: float | None = None
    actual_at: float | None = None
    expected_at: float | None = None
    kind: Literal["shape", "dtype"] | None = None
    text: str | None = None


_Draft: Any = make_dataclass(
    "_Draft",
    [(entry.name, Any, field(default=entry.default)) for entry in fields(Difference)],
    slots=True,
)


def _record(*values: Any) -> Difference:
    """Make a ``Difference`` in a sixth of the time that its own ``__init__`` takes, with the same defaults.

    A frozen dataclass sets each field by a call of ``object.__setattr__``, which would be a third of the time of a
    small comparison. The draft has the same slots and is not frozen, so that it can be filled and then change its
    class.
    """
    draft = _Draft(*values)
    draft.__class__ = Difference
    return draft


def difference(actual: Any, expected: Any, *, detail: bool = True) -> Difference:
    """Compare two tensors of one shape and dtype; never broadcast, never promote.

    Parameters
    ----------
    actual, expected : arrays (or what ``np.asarray`` makes one of without loss) of any layout and byte order, with
        floating, integer or boolean elements
    detail : False leaves out what only a report needs (the fields of :class:`Difference` marked *)

    Returns
    -------
    Difference; where shapes or dtypes differ, one that says so in ``kind`` and ``text``.

    Raises
    ------
    TypeError
        If the dtype, the same on both sides, is none of floating, integer and boolean.
    """
    with np.errstate(all="ignore"):
        return _difference(np.asarray(actual), np.asarray(expected), detail)


def differences(pairs: Iterable[tuple[Any, Any]], *, detail: bool = False) -> list[Difference]:
    """Compare many pairs ``(actual, expected)``; each result is what :func:`difference` gives for that pair.

    The parameters of a network are often dozens of small tensors, and a comparison of its own costs each some
    microseconds of calls. Without ``detail``, small floating tensors are laid end to end instead and judged together,
    with one maximum for each segment.
    """
    with np.errstate(all="ignore"):
        if detail:
            return [_difference(np.asarray(actual), np.asarray(expected), True) for actual, expected in pairs]
        results: list[Any] = []
        waiting: dict[str, _Batch] = {}
        for actual, expected in pairs:
            actual, expected = np.asarray(actual), np.asarray(expected)
            dtype = expected.dtype
            if (
                0 < expected.size <= _SMALL
                and dtype.char in "fd"
                and actual.dtype == dtype
                and actual.shape == expected.shape
            ):
                batch = waiting.get(dtype.char)
                if batch is None:
                    batch = waiting[dtype.char] = _Batch(dtype)
                elif batch.length + expected.size > _LAYOUTS[dtype.char].length:
                    batch.judge(results)
                    batch = waiting[dtype.char] = _Batch(dtype)
                batch.add(len(results), actual, expected)
                results.append(None)
            else:
                results.append(_difference(actual, expected, False))
        for batch in waiting.values():
            batch.judge(results)
    return results


def refine(coarse: Difference, actual: Any, expected: Any) -> Difference:
    """Fill in what ``detail=False`` left out; ``coarse`` itself where nothing is missing."""
    if coarse.rms is not None or coarse.kind is not None:
        return coarse
    return difference(actual, expected)


def _difference(actual: Array, expected: Array, detail: bool) -> Difference:
    shape, dtype = expected.shape, expected.dtype
    native = dtype.isnative
    if not native:
        dtype = dtype.newbyteorder("=")
    if actual.dtype != expected.dtype:
        native = False
    if actual.shape != shape or (not native and actual.dtype.newbyteorder("=") != dtype):
        return _mismatch(actual, expected, dtype)
    layout = _LAYOUTS.get(dtype.char)
    if layout is None:
        raise TypeError(
            f"cannot compare elements of dtype {dtype}: only floating, integer and boolean ones have a distance"
        )
    count = expected.size
    tally = layout.tally(layout, detail)
    if count:
        if native and actual.flags.c_contiguous and expected.flags.c_contiguous:
            actual_run, expected_run = actual.reshape(-1), expected.reshape(-1)
            length = layout.length
            if count <= length:
                tally.add(actual_run, expected_run, 0)
            else:
                for start in range(0, count, length):
                    stop = start + length
                    tally.add(actual_run[start:stop], expected_run[start:stop], start)
        else:
            for start, actual_run, expected_run in _runs(actual, expected, dtype, layout.length):
                tally.add(actual_run, expected_run, start)
    return tally.result(actual, expected, shape, dtype, count)


def _mismatch(actual: Array, expected: Array, dtype: np.dtype[Any]) -> Difference:
    kind: Literal["shape", "dtype"] = "dtype"
    parts = []
    if actual.shape != expected.shape:
        kind = "shape"
        parts.append(f"shape {actual.shape}, expected {expected.shape}")
    if actual.dtype.newbyteorder("=") != dtype:
        parts.append(f"dtype {actual.dtype.newbyteorder('=')}, expected {dtype}")
    return Difference(
        expected.shape, dtype, 0, False, _INF, 0.0, False, False, kind=kind, text="; ".join(parts)
    )  # fmt: skip


def _runs(actual: Array, expected: Array, dtype: np.dtype[Any], length: int) -> Iterator[tuple[int, Array, Array]]:
    """Cut two arrays of any layout into contiguous native runs in C order, copying no more than a run at a time."""
    start = 0
    with np.nditer(  # type: ignore[call-overload]
        (actual, expected),
        flags=["buffered", "external_loop"],
        op_flags=[["readonly", "contig", "aligned", "nbo"]] * 2,
        op_dtypes=[dtype, dtype],
        order="C",
        casting="equiv",
        buffersize=length,
    ) as runs:
        for actual_run, expected_run in runs:
            yield start, actual_run, expected_run
            start += actual_run.size


def _unravel(flat: int, shape: tuple[int, ...]) -> Index:
    if len(shape) == 1:
        return (flat,)
    index = []
    for size in reversed(shape):
        flat, place = divmod(flat, size)
        index.append(place)
    return tuple(index[::-1])


class _Layout:
    """What the pass must know about one dtype."""

    __slots__ = ("bits", "char", "dtype", "length", "plain", "tally", "unsigned", "wide", "work")

    def __init__(self, char: str, tally: Any) -> None:
        dtype = np.dtype(char)
        self.char = char
        self.dtype = dtype
        self.tally = tally
        self.length = _LENGTH if dtype.itemsize <= 4 else _LENGTH // 2
        self.work = np.dtype("f") if char == "e" else dtype
        self.wide = np.dtype({"e": "f", "f": "d"}.get(char, "g"))
        if char != "g":
            self.bits = np.dtype(f"i{dtype.itemsize}")
            self.unsigned = np.dtype(f"u{dtype.itemsize}")
        if char in "efd":
            self.plain = 1 << np.finfo(dtype).nmant


class _Buffers(threading.local):
    """Scratch space of one block, made once for each thread and dtype."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[Array, Array, Array, Array]] = {}

    def make(self, layout: _Layout) -> tuple[Array, Array, Array, Array]:
        """Make room for differences, for quotients or integer differences, for flags, and for gathered operands."""
        gaps, spare, gathered = (np.empty(layout.length, layout.work) for _ in range(3))
        made = self.made[layout.char] = (gaps, spare, np.empty(layout.length, np.bool_), gathered)
        return made


_BUFFERS = _Buffers()


class _Tally:
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

    def __init__(self, layout: _Layout, detail: bool) -> None:
        self.layout = layout
        self.detail = detail
        self.buffers = _BUFFERS.made.get(layout.char) or _BUFFERS.make(layout)
        self.identical = self.same = True
        self.top, self.bottom = -_INF, _INF
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
                if top - bottom < _INF:
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
        if not worst + low < _INF:
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
        if self.max_rel < _INF:
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
                kinds = (np.isnan(unknown), unknown == _INF, unknown == -_INF)
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
            self.max_abs, self.abs_at = float(worst), self._flat(at, start, places)
        if not self.detail:
            return
        self._count_ulps(actual, expected, None, start, places)
        shift = -int(np.frexp(worst)[1])
        distance = np.ldexp(distance, shift)
        self._add_squares(float(np.dot(distance, distance)), shift)
        if self.max_rel < _INF:
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
        if worst == _INF:
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

    def result(
        self, actual: Array, expected: Array, shape: tuple[int, ...], dtype: np.dtype[Any], count: int
    ) -> Difference:
        """Close the tally."""
        top, bottom = self.top, self.bottom
        unknown = sum(self.kinds)
        scale = max(abs(top), abs(bottom)) if unknown < count else 0.0
        zero = scale == 0 and unknown == 0 and count > 0
        constant = count > 1 and (top == bottom if unknown == 0 else count in self.kinds)
        disagreeing_at = _unravel(self.disagreeing_at, shape) if self.disagreeing else None
        if not self.detail:
            return _record(
                shape, dtype, count, self.identical, self.max_abs, scale, zero, constant,
                self.agreeing, self.disagreeing, disagreeing_at,
            )  # fmt: skip
        if not self.max_abs:
            return _record(
                shape, dtype, count, self.identical, self.max_abs, scale, zero, constant,
                self.agreeing, self.disagreeing, disagreeing_at, None, 0.0, None, 0, None, 0.0,
            )  # fmt: skip
        worst = _unravel(self.abs_at, shape)
        return _record(
            shape, dtype, count, self.identical, self.max_abs, scale, zero, constant,
            self.agreeing, self.disagreeing, disagreeing_at, worst,
            self.max_rel, _unravel(self.rel_at, shape), self.max_ulp, _unravel(self.ulp_at, shape),
            self._rms(count), _number(actual[worst]), _number(expected[worst]),
        )  # fmt: skip

    def _rms(self, count: int) -> float:
        mean = self.squares / (count - self.agreeing - self.disagreeing)
        try:
            return math.ldexp(math.sqrt(mean), -self.shift)
        except OverflowError:
            return _INF


class _ExtendedTally(_Tally):
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
        unit = np.spacing(np.maximum(np.absolute(actual), np.absolute(expected)))
        steps = np.absolute(actual - expected) / unit
        at = steps.argmax()
        worst = math.ceil(steps[at]) if np.isfinite(steps[at]) else sys.maxsize
        if worst > self.max_ulp:
            self.max_ulp, self.ulp_at = worst, self._flat(at, start, places)


class _IntegerTally(_Tally):
    """Running statistics of blocks of integers and booleans; every number but the quotients is exact."""

    __slots__ = ()

    def add(self, actual: Array, expected: Array, start: int) -> None:
        if actual.dtype == np.bool_:
            actual, expected = actual.view(np.uint8), expected.view(np.uint8)
        self._widen(expected.item(expected.argmax()), expected.item(expected.argmin()))
        gap = np.maximum(actual, expected)
        gap -= np.minimum(actual, expected)
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
        if self.max_rel < _INF:
            magnitude = expected.astype(np.float64)
            self._relate(real, magnitude, real / np.absolute(magnitude, magnitude), start, None)


def _number(element: Any) -> Any:
    """Make a Python number of an element; a longdouble is rounded."""
    value = element.item()
    return float(value) if isinstance(value, np.longdouble) else value


class _Batch:
    """Small tensors of one dtype, laid end to end."""

    __slots__ = ("actual", "dtype", "expected", "length", "places", "starts")

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype.newbyteorder("=")
        self.length = 0
        self.places: list[int] = []
        self.starts: list[int] = []
        self.actual: list[Array] = []
        self.expected: list[Array] = []

    def add(self, place: int, actual: Array, expected: Array) -> None:
        """Append a pair, whose result belongs at ``place`` of the list of results."""
        self.places.append(place)
        self.starts.append(self.length)
        self.actual.append(actual)
        self.expected.append(expected)
        self.length += expected.size

    def judge(self, results: list[Any]) -> None:
        """Compare all pairs at once, and each that holds non-finite numbers on its own."""
        layout = _LAYOUTS[self.dtype.char]
        gaps, actuals, _, expecteds = _BUFFERS.made.get(layout.char) or _BUFFERS.make(layout)
        actual = np.concatenate(self.actual, axis=None, out=actuals[: self.length])
        expected = np.concatenate(self.expected, axis=None, out=expecteds[: self.length])
        gap = np.subtract(actual, expected, gaps[: self.length])
        starts = np.array(self.starts)
        highs = np.maximum.reduceat(gap, starts).tolist()
        lows = np.minimum.reduceat(gap, starts).tolist()
        tops = np.maximum.reduceat(expected, starts).tolist()
        bottoms = np.minimum.reduceat(expected, starts).tolist()
        alike = itertools.repeat(False)
        if 0.0 in highs:
            bits = layout.bits
            alike = np.logical_and.reduceat(actual.view(bits) == expected.view(bits), starts).tolist()
        for number, (place, part, identical, high, low, top, bottom) in enumerate(
            zip(self.places, self.expected, alike, highs, lows, tops, bottoms)  # noqa: B905
        ):
            if high - low < _INF:
                scale = max(abs(top), abs(bottom))
                count = part.size
                results[place] = _record(
                    part.shape, self.dtype, count, identical, max(abs(high), abs(low)), scale, scale == 0.0,
                    top == bottom and count > 1,
                )  # fmt: skip
            else:
                results[place] = _difference(self.actual[number], part, False)


_LAYOUTS = {
    **{char: _Layout(char, _Tally) for char in "efd"},
    "g": _Layout("g", _ExtendedTally),
    **{char: _Layout(char, _IntegerTally) for char in "?bhilqBHILQ"},
}
