"""The numbers of one comparison: how far an actual tensor lies from the expected one, in one pass over both.

The pass walks blocks that stay in the second-level cache, so each operand is read from memory once and there is no
temporary of full size. One block takes these steps, and each later step is left out where an earlier one shows that
it cannot change the result:

1. *bits*: where the integer views of a block are equal, so are its numbers, and only ``scale`` is left to find;
2. *difference* ``d = a - e``, its greatest and its least element: a non-finite one sends the block to the slower path
   that tells non-finite operands from an overflow;
3. *ulp*: the difference of the integer views, which :mod:`compare.tally` explains;
4. *squares*: ``d . d`` by one BLAS call, scaled by a power of two where squares would leave the exponent range;
5. *relative*: the extremes of ``d / e``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, make_dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from compare.tally import BUFFERS, LAYOUTS, Tally

if TYPE_CHECKING:
    from manual.rules.core import Array

__all__ = ["Difference", "difference", "differences", "refine"]

Index = tuple[int, ...]

_INF = math.inf
_SMALL = 8192
"""The most elements of a tensor that is worth copying to be judged with others."""


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
    with one maximum for each segment. All arrays are asked for before the first is judged, so an iterator must not
    hand out the same memory twice.
    """
    pairs = list(pairs)
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
                elif batch.length + expected.size > LAYOUTS[dtype.char].length:
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
    layout = LAYOUTS.get(dtype.char)
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
    return _conclude(tally, actual, expected, shape, dtype, count)


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


def _conclude(
    tally: Tally, actual: Array, expected: Array, shape: tuple[int, ...], dtype: np.dtype[Any], count: int
) -> Difference:
    top, bottom = tally.top, tally.bottom
    unknown = sum(tally.kinds)
    scale = max(abs(top), abs(bottom)) if unknown < count else 0.0
    zero = scale == 0 and unknown == 0 and count > 0
    constant = count > 1 and (top == bottom if unknown == 0 else count in tally.kinds)
    disagreeing_at = _unravel(tally.disagreeing_at, shape) if tally.disagreeing else None
    if not tally.detail:
        return _record(
            shape, dtype, count, tally.identical, tally.max_abs, scale, zero, constant,
            tally.agreeing, tally.disagreeing, disagreeing_at,
        )  # fmt: skip
    if not tally.max_abs:
        return _record(
            shape, dtype, count, tally.identical, tally.max_abs, scale, zero, constant,
            tally.agreeing, tally.disagreeing, disagreeing_at, None, 0.0, None, 0, None, 0.0,
        )  # fmt: skip
    worst = _unravel(tally.abs_at, shape)
    return _record(
        shape, dtype, count, tally.identical, tally.max_abs, scale, zero, constant,
        tally.agreeing, tally.disagreeing, disagreeing_at, worst,
        tally.max_rel, _unravel(tally.rel_at, shape), tally.max_ulp, _unravel(tally.ulp_at, shape),
        tally.rms(count), _number(actual[worst]), _number(expected[worst]),
    )  # fmt: skip


def _number(element: Any) -> Any:
    """Make a Python number of an element; a longdouble is rounded."""
    value = element.item()
    return float(value) if isinstance(value, np.longdouble) else value


def _unravel(flat: int, shape: tuple[int, ...]) -> Index:
    if len(shape) == 1:
        return (flat,)
    index = []
    for size in reversed(shape):
        flat, place = divmod(flat, size)
        index.append(place)
    return tuple(index[::-1])


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
        layout = LAYOUTS[self.dtype.char]
        gaps, actuals, _, expecteds = BUFFERS.made.get(layout.char) or BUFFERS.make(layout)
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
