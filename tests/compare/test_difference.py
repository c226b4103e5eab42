"""One comparison's numbers, held against full-size NumPy formulas and against planted differences."""

from __future__ import annotations

import dataclasses
import math
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compare.difference import Difference, difference, differences, refine
from compare.tally import BUFFERS, LAYOUTS

FLOATS = ["float16", "float32", "float64"]
INTEGERS = ["int8", "uint8", "int16", "int32", "int64", "uint64"]
DETAILED = (
    "max_abs_index", "max_rel", "max_rel_index", "max_ulp", "max_ulp_index", "rms", "actual_at", "expected_at",
)  # fmt: skip


def rng(*seed):
    return np.random.default_rng([2, *seed])


def ordinals(array):
    """Place every number on the line of all representable ones, by Python integers: the oracle of ``max_ulp``."""
    width = 8 * array.dtype.itemsize
    bits = array.view(f"u{array.dtype.itemsize}").astype(object)
    sign = 1 << (width - 1)
    return np.array([-(b - sign) if b >= sign else b for b in bits.reshape(-1)], object).reshape(array.shape)


def first_greatest(values):
    """The greatest value and its first index in C order, None where it is zero."""
    values = np.asarray(values)
    if not values.size or not values.max() > 0:
        return 0, None
    flat = int(np.argmax(values))
    return values.reshape(-1)[flat], tuple(int(i) for i in np.unravel_index(flat, values.shape))


def plain(actual, expected):
    """Every number by the formula of its definition, on whole arrays, in extended precision."""
    a, e = np.ascontiguousarray(actual), np.ascontiguousarray(expected)
    a, e = a.astype(a.dtype.newbyteorder("=")).reshape(actual.shape), e.astype(e.dtype.newbyteorder("="))
    e = e.reshape(expected.shape)
    work = np.float32 if a.dtype == np.float16 else a.dtype
    with np.errstate(all="ignore"):
        both = np.isfinite(a) & np.isfinite(e)
        agree = ~both & ((a == e) | (np.isnan(a) & np.isnan(e)))
        disagree = ~both & ~agree
        x, y = np.where(both, a, 0), np.where(both, e, 0)
        # Near numbers subtract exactly; far ones are rounded to the working dtype, as the comparison rounds them.
        gap = np.absolute(np.subtract(x, y, dtype=work)).astype(np.float64)
        exact = np.absolute(x.astype(np.longdouble) - y.astype(np.longdouble))
        gap = np.where(np.isinf(gap), exact.astype(np.float64), gap)
        relative = np.where(exact == 0, 0, exact / np.absolute(y.astype(np.longdouble)))
        steps = np.absolute(ordinals(x.astype(a.dtype)) - ordinals(y.astype(a.dtype)))
        finite = e[np.isfinite(e)]
        known = {
            "shape": e.shape,
            "dtype": e.dtype,
            "count": e.size,
            "identical": a.tobytes() == e.tobytes(),
            "scale": float(np.absolute(finite).max()) if finite.size else 0.0,
            "zero": bool(e.size and (e == 0).all()),
            "constant": bool(e.size > 1 and ((e == e.flat[0]).all() or np.isnan(e).all())),
            "nonfinite_agreeing": int(agree.sum()),
            "nonfinite_disagreeing": int(disagree.sum()),
            "nonfinite_index": first_greatest(disagree)[1],
            "rms": float(np.sqrt(np.mean(exact[both] ** 2))) if both.any() else 0.0,
        }
    known["max_abs"], known["max_abs_index"] = first_greatest(gap)
    known["max_rel"] = float(first_greatest(relative)[0])
    known["max_ulp"], known["max_ulp_index"] = first_greatest(steps)
    return known, relative


def hold(found, actual, expected):
    """Hold every field to the plain formulas."""
    known, relative = plain(actual, expected)
    for name, value in known.items():
        got = getattr(found, name)
        if name == "rms":
            assert got == pytest.approx(value, rel=2e-5, abs=0), name
        elif name == "max_rel":
            assert got == pytest.approx(value, rel=3e-7, abs=0), name
        else:
            assert got == value, name
    if found.max_abs_index is None:
        assert found.max_rel_index is None
        assert found.actual_at is None
        assert found.expected_at is None
    else:
        assert found.actual_at == actual[found.max_abs_index]
        assert found.expected_at == expected[found.max_abs_index]
        assert float(relative[found.max_rel_index]) == pytest.approx(found.max_rel, rel=3e-7, abs=0)
    assert found.kind is None
    assert found.text is None


def cheap(found):
    return dataclasses.replace(found, **dict.fromkeys(DETAILED))


def noisy(shape, dtype, relative, *seed):
    generator = rng(*seed)
    expected = generator.standard_normal(shape).astype(dtype)
    actual = (expected * (1 + relative * generator.standard_normal(shape))).astype(dtype)
    return actual, expected


LENGTH = LAYOUTS["f"].length
SIZES = [1, 2, 63, 1000, LENGTH - 1, LENGTH, LENGTH + 1, 2 * LENGTH, 2 * LENGTH + 17]


@pytest.mark.parametrize("relative", [0.0, 1e-7, 1e-3, 3.0])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES)
def test_all_numbers_around_the_block_length(size, dtype, relative):
    actual, expected = noisy(size, dtype, relative, size)
    found = difference(actual, expected)
    hold(found, actual, expected)
    assert difference(actual, expected, detail=False) == cheap(found)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("scale", [-40, -30, -20, -12, 0, 12, 20, 30, 37])
def test_all_numbers_at_every_magnitude(scale, dtype):
    """Squares of the differences underflow or overflow at most of these; the root mean square does not."""
    if dtype == "float16" and abs(scale) > 5:
        scale = 4 if scale > 0 else -6
    if dtype == "float64":
        scale *= 8
    actual, expected = noisy((3, 41, 7), "float64", 0.3, scale + 400)
    with np.errstate(all="ignore"):
        actual = (actual.astype(np.longdouble) * np.longdouble(10) ** scale).astype(dtype)
        expected = (expected.astype(np.longdouble) * np.longdouble(10) ** scale).astype(dtype)
    assert difference(actual, expected).max_abs > 0
    hold(difference(actual, expected), actual, expected)


def test_magnitudes_that_differ_from_block_to_block():
    """The sum of squares changes its power of two upwards and downwards on the way."""
    expected = rng(5).standard_normal(6 * LAYOUTS["d"].length)
    factors = np.repeat([1e-290, 1e280, 1e-5, 1e300, 1e-300, 1.0], LAYOUTS["d"].length)
    expected = expected * factors
    actual = expected * 1.25
    hold(difference(actual, expected), actual, expected)
    hold(difference(actual[::-1], expected[::-1]), actual[::-1], expected[::-1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("edge", [1e-9, 1e15])
def test_neighbouring_magnitudes_on_both_sides_of_a_change_of_scale(edge, dtype):
    """Blocks just above and just below count alike, whichever comes first."""
    length = LAYOUTS[np.dtype(dtype).char].length
    gap = (edge * np.repeat([0.75, 1.5, 0.5], length)).astype(dtype)
    expected = np.zeros_like(gap)
    for actual in (gap, gap[::-1].copy(), np.roll(gap, length), np.roll(gap, -length)):
        assert difference(actual, expected).rms == pytest.approx(edge * math.sqrt(3.0625 / 3), rel=1e-5)


@pytest.mark.parametrize("dtype", [*FLOATS, "int64"])
@pytest.mark.parametrize("place", [0, 1, LENGTH // 2, LENGTH - 1, LENGTH, LENGTH + 1, 3 * LENGTH - 2])
def test_one_planted_difference_is_found_where_it_is(place, dtype):
    expected = rng(place).integers(1, 100, (3, LENGTH)).astype(dtype).reshape(-1)[: 3 * LENGTH - 1].copy()
    actual = expected.copy()
    actual[place] += 1
    found = difference(actual, expected)
    assert (found.max_abs, found.max_abs_index) == (1, (place,))
    assert found.max_rel == pytest.approx(1 / float(expected[place]))
    assert found.max_rel_index == found.max_ulp_index == (place,)
    assert found.rms == pytest.approx(math.sqrt(1 / expected.size))
    assert (found.actual_at, found.expected_at) == (actual[place], expected[place])
    assert not found.identical
    assert difference(actual, expected, detail=False) == cheap(found)


@pytest.mark.parametrize("dtype", [*FLOATS, "longdouble", "int32", "bool"])
@pytest.mark.parametrize("size", [0, 1, 5, LENGTH + 3])
def test_identical_tensors(size, dtype):
    expected = rng(size).integers(0, 2, size).astype(dtype)
    found = difference(expected.copy(), expected)
    assert found.identical
    assert (found.max_abs, found.max_rel, found.max_ulp, found.rms) == (0, 0, 0, 0)
    assert found.max_abs_index is found.max_rel_index is found.max_ulp_index is found.actual_at is None
    assert found.count == size
    assert found.scale == (expected.max() if size else 0)
    assert not found.zero or size == 1


def test_the_worst_pairs_of_the_three_measures_may_lie_apart():
    expected = np.array([1e6, 1e-3, 0.5, 7.0])
    actual = np.array([1e6 + 2.0, 3e-3, 0.5, -7.0 + 13.5])
    found = difference(actual, expected)
    assert found.max_abs_index == (0,)
    assert found.max_rel_index == (1,)
    assert found.max_rel == pytest.approx(2.0)
    crossing = difference(np.array([1e6 + 2.0, 1e-300]), np.array([1e6, -1e-300]))
    assert (crossing.max_abs_index, crossing.max_ulp_index) == ((0,), (1,))


def test_ties_name_the_first_in_c_order_even_where_the_signs_differ():
    expected = np.ones((4, 3), np.float32)
    actual = expected.copy()
    actual[1, 2] -= 0.5
    actual[2, 0] += 0.5
    found = difference(actual, expected)
    assert found.max_abs_index == found.max_rel_index == (1, 2)
    assert difference(np.asfortranarray(actual), np.asfortranarray(expected)).max_abs_index == (1, 2)


# Units in the last place


@pytest.mark.parametrize(
    ("dtype", "pattern"),
    [("float16", 0x3C01), ("float32", 0x3F800001), ("float64", 0x3FF0000000000001)],
)
def test_one_ulp_is_the_next_number(dtype, pattern):
    one = np.ones((), dtype)
    after = np.nextafter(one, np.array(2, dtype))
    assert int(after.view(f"u{one.itemsize}")) == pattern
    assert difference(after, one).max_ulp == 1
    assert difference(np.nextafter(one, np.array(0, dtype)), one).max_ulp == 1
    least = np.nextafter(np.array(0, dtype), one)
    assert difference(least, -least).max_ulp == 2
    assert difference(least, np.array(-0.0, dtype)).max_ulp == 1
    largest = np.array(np.finfo(dtype).max, dtype)
    magnitude = int(largest.view(f"u{one.itemsize}"))
    assert difference(largest, -largest).max_ulp == difference(-largest, largest).max_ulp == 2 * magnitude


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_threshold_below_which_no_signs_are_looked_at(dtype):
    """Both a distance of just 2**p, and the wrapped one of two signs that comes nearest to it."""
    info = np.finfo(dtype)
    step = 1 << info.nmant
    bits = f"i{info.dtype.itemsize}"
    for offset in (-1, 0, 1):
        start = np.array(1.5, dtype)
        far = (start.view(bits) + np.array(step + offset, bits)).astype(bits).view(dtype)
        for pair in ((far, start), (start, far), (-far, -start)):
            assert difference(*pair).max_ulp == step + offset
    for actual, expected in ((info.max, -0.0), (-info.max, 0.0), (0.0, -info.max), (info.max, -info.tiny)):
        pair = np.array([actual, 1.0], dtype), np.array([expected, 1.0], dtype)
        assert difference(*pair).max_ulp == abs(ordinals(pair[0])[0] - ordinals(pair[1])[0])


def test_extended_precision_counts_by_spacing():
    one = np.ones(3, np.longdouble)
    eps = np.finfo(np.longdouble).eps
    actual = one + np.array([0, 5, 2], np.longdouble) * eps
    found = difference(actual, one)
    assert (found.max_ulp, found.max_ulp_index) == (5, (1,))
    assert found.max_abs == pytest.approx(5 * float(eps))
    assert found.rms == pytest.approx(float(eps) * math.sqrt(29 / 3))
    assert found.expected_at == 1.0
    assert type(found.actual_at) is float
    largest = np.finfo(np.longdouble).max
    assert difference(np.array(largest), np.array(-largest)).max_ulp >= 2 ** (np.finfo(np.longdouble).nmant + 1)
    assert difference(np.array([0.0, np.nan], "g"), np.array([-0.0, np.nan], "g")).max_abs == 0
    least = np.nextafter(np.longdouble(0), np.longdouble(1))
    assert difference(np.array(least), np.array(0, "g")).max_abs > 0
    assert difference(np.array(least * 3), np.array(least)).max_ulp == 2
    assert difference(np.nextafter(one, np.longdouble(2)), one).max_ulp == 1


def test_extended_precision_beyond_float64():
    expected = np.array([1.0, 2.0], np.longdouble) * np.longdouble("1e-10")
    found = difference(expected * 3, expected)
    assert found.max_rel == pytest.approx(2.0)
    assert not found.identical
    mixed = difference(np.array([np.inf, 1, np.nan], "g"), np.array([np.inf, 1, 1], "g"))
    assert (mixed.nonfinite_agreeing, mixed.nonfinite_disagreeing, mixed.nonfinite_index) == (1, 1, (2,))


# Zeros, infinities, NaN


@pytest.mark.parametrize("dtype", [*FLOATS, "longdouble"])
def test_negative_zero_equals_zero_but_is_not_identical(dtype):
    expected = np.array([0.0, 1.0, -0.0, 0.0], dtype)
    actual = np.array([-0.0, 1.0, 0.0, 0.0], dtype)
    for detail in (True, False):
        found = difference(actual, expected, detail=detail)
        assert found.max_abs == 0.0
        assert not found.identical
    assert difference(actual, expected).max_ulp == 0
    actual[1] = np.nextafter(actual[1], np.array(2, dtype))
    assert difference(actual, expected).max_ulp == 1
    assert difference(actual, expected).max_ulp_index == (1,)


def test_relative_is_infinite_where_zero_was_expected():
    expected = np.array([1.0, 0.0, 0.0, 2.0], np.float32)
    actual = np.array([9.0, 0.0, 1e-30, 2.0], np.float32)
    found = difference(actual, expected)
    assert (found.max_rel, found.max_rel_index) == (math.inf, (2,))
    actual[2] = 0
    found = difference(actual, expected)
    assert (found.max_rel, found.max_rel_index) == (8.0, (0,))


def test_relative_beyond_the_dtype_is_not_taken_for_a_division_by_zero():
    expected = np.array([0.0, 1e-44, 1.0], np.float32)
    actual = np.array([0.0, 1e30, 1.0], np.float32)
    found = difference(actual, expected)
    assert found.max_rel == pytest.approx(float(actual[1]) / float(expected[1]))
    assert found.max_rel_index == (1,)
    both = difference(np.append(actual, np.float32(1)), np.append(expected, np.float32(0)))
    assert (both.max_rel, both.max_rel_index) == (math.inf, (3,))
    overflow = difference(np.array([1e10]), np.array([5e-324]))
    assert (overflow.max_rel, overflow.max_rel_index) == (math.inf, (0,))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("place", [0, LENGTH - 1, LENGTH, 2 * LENGTH + 4])
def test_nonfinite_pairs_are_told_apart(place, dtype):
    actual, expected = noisy(2 * LENGTH + 5, dtype, 1e-3, place)
    for a, e, agree in [
        (np.nan, np.nan, True),
        (-np.nan, np.nan, True),
        (np.inf, np.inf, True),
        (-np.inf, -np.inf, True),
        (np.inf, -np.inf, False),
        (np.nan, np.inf, False),
        (np.nan, 1.0, False),
        (1.0, np.inf, False),
    ]:
        actual[place], expected[place] = a, e
        found = difference(actual, expected)
        assert (found.nonfinite_agreeing, found.nonfinite_disagreeing) == ((1, 0) if agree else (0, 1))
        assert found.nonfinite_index == (None if agree else (place,))
        hold(found, actual, expected)
        assert difference(actual, expected, detail=False) == cheap(found)


def test_the_first_of_many_disagreements_is_named():
    actual, expected = noisy((3, LENGTH), "float32", 1e-3, 12)
    actual[1, 7] = expected[2, 0] = actual[1, 9] = np.inf
    found = difference(actual, expected)
    assert (found.nonfinite_disagreeing, found.nonfinite_index) == (3, (1, 7))


def test_a_block_of_identical_nonfinite_numbers():
    expected = np.array([np.nan, np.inf, 3.0, -np.inf, -4.0], np.float32)
    found = difference(expected.copy(), expected)
    assert found.identical
    assert (found.nonfinite_agreeing, found.nonfinite_disagreeing, found.scale) == (4 - 1, 0, 4.0)


@pytest.mark.parametrize(
    ("values", "zero", "constant"),
    [
        ([0.0, -0.0], True, True),
        ([0.0], True, False),
        ([2.0, 2.0, 2.0], False, True),
        ([2.0], False, False),
        ([2.0, 2.0, 3.0], False, False),
        ([-2.0, 2.0], False, False),
        ([np.nan, np.nan], False, True),
        ([np.inf, np.inf], False, True),
        ([np.inf, -np.inf], False, False),
        ([np.inf, np.nan], False, False),
        ([2.0, np.nan], False, False),
        ([0.0, np.nan], False, False),
        ([], False, False),
    ],
)
@pytest.mark.parametrize("dtype", [*FLOATS, "longdouble"])
def test_zero_and_constant_describe_what_was_expected(values, zero, constant, dtype):
    expected = np.array(values, dtype)
    for actual in (expected, expected + 1, np.full_like(expected, np.nan)):
        found = difference(actual, expected)
        assert (found.zero, found.constant) == (zero, constant)
        assert differences([(actual, expected)])[0] == cheap(found)


def test_a_constant_over_several_blocks_and_one_that_is_not():
    expected = np.full(2 * LENGTH + 5, 3.0, np.float32)
    assert difference(expected + 1, expected).constant
    expected[LENGTH + 1] = np.nextafter(expected[0], np.float32(4))
    assert not difference(expected, expected).constant
    assert not difference(expected + 1, expected).constant


def test_differences_that_overflow():
    found = difference(np.array([1.0, 3e38], np.float32), np.array([2.0, -3e38], np.float32))
    assert found.max_abs == pytest.approx(6e38)
    assert found.rms == pytest.approx(6e38 / math.sqrt(2))
    assert (found.max_abs_index, found.max_rel) == ((1,), pytest.approx(2.0))
    found = difference(np.array([1.0, 1e308]), np.array([2.0, -1e308]))
    assert (found.max_abs, found.max_abs_index) == (math.inf, (1,))
    assert found.rms == pytest.approx(math.sqrt(2) * 1e308, rel=1e-12)
    assert found.max_rel == pytest.approx(2.0)
    assert difference(np.array([1.7e308]), np.array([-1.7e308])).rms == math.inf
    assert difference(np.array([60000.0], np.float16), np.array([-60000.0], np.float16)).max_abs == pytest.approx(
        120000, rel=1e-3
    )
    hold(difference(np.array([3e-324, 1.0]), np.array([0.0, 1.0])), np.array([3e-324, 1.0]), np.array([0.0, 1.0]))


# Integers and booleans


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_exact_to_their_ends(dtype):
    info = np.iinfo(dtype)
    expected = np.array([info.min, 5, info.max], dtype)
    actual = np.array([info.max, 5, info.max - 1], dtype)
    found = difference(actual, expected)
    assert found.max_abs == found.max_ulp == int(info.max) - int(info.min)
    assert type(found.max_abs) is int
    assert found.max_abs_index == (0,)
    assert found.scale == max(int(info.max), -int(info.min))
    assert (found.actual_at, found.expected_at) == (int(info.max), int(info.min))
    assert difference(expected, actual).max_abs == found.max_abs


def test_integers_against_plain_formulas():
    generator = rng(9)
    expected = generator.integers(-50, 50, 2 * LENGTH + 9)
    actual = expected + generator.integers(-3, 4, expected.size)
    found = difference(actual, expected)
    gap = np.absolute(actual - expected)
    with np.errstate(all="ignore"):
        relative = np.where(gap == 0, 0, gap / np.absolute(expected))
    assert (found.max_abs, found.max_abs_index) == (gap.max(), (int(gap.argmax()),))
    assert (found.max_rel, found.max_rel_index) == (np.inf, (int(relative.argmax()),))
    assert found.rms == pytest.approx(math.sqrt((gap**2).mean()))
    keep = expected != 0
    found = difference(actual[keep], expected[keep])
    assert found.max_rel == relative[keep].max()


def test_booleans():
    found = difference(np.array([True, False, True]), np.array([True, True, False]))
    assert (found.max_abs, found.max_abs_index, found.max_ulp) == (1, (1,), 1)
    assert (found.max_rel, found.max_rel_index) == (math.inf, (2,))
    assert (found.actual_at, found.expected_at) == (False, True)
    assert found.rms == pytest.approx(math.sqrt(2 / 3))


# Layouts


LAYOUTS_OF_MEMORY = {
    "transposed": lambda x: x.T,
    "reversed": lambda x: x[::-1, ::-1],
    "every other": lambda x: x[::2, 1::3],
    "foreign byte order": lambda x: x.astype(x.dtype.newbyteorder("S")),
    "foreign and reversed": lambda x: x.astype(x.dtype.newbyteorder("S"))[:, ::-1],
    "broadcast view": lambda x: np.broadcast_to(x[:1], x.shape),
    "read-only": lambda x: (x.setflags(write=False), x)[1],
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
    "strided column": lambda x: x[:, 3],
    "three axes, permuted": lambda x: x.reshape(x.shape[0], -1, 2).transpose(1, 2, 0),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS_OF_MEMORY)
def test_any_layout_gives_what_the_contiguous_copy_gives(layout, dtype):
    view = LAYOUTS_OF_MEMORY[layout]
    actual, expected = noisy((210, 420), dtype, 1e-3, 3)
    actual, expected = view(actual), view(expected)
    copies = actual.astype(dtype, order="C"), expected.astype(dtype, order="C")
    found = difference(actual, expected)
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    whole = difference(*copies)
    # Runs may be cut elsewhere, so the sum of squares may be rounded otherwise.
    assert found.rms == pytest.approx(whole.rms, rel=1e-5)
    assert dataclasses.replace(found, rms=whole.rms) == whole
    mixed = difference(actual, copies[1])
    assert dataclasses.replace(mixed, rms=whole.rms) == whole
    hold(found, actual, expected)


@pytest.mark.parametrize("value", [np.float32(1.5), 1.5, [1.5, 2.5], np.array(1.5), np.array(1.5, ">f4")])
def test_what_numpy_takes_for_an_array(value):
    array = np.asarray(value)
    found = difference(value, array + 1)
    assert found.kind is None
    assert found.shape == array.shape
    assert found.max_abs == 1.0
    assert found.max_abs_index == (0,) * array.ndim


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2, 2)])
@pytest.mark.parametrize("dtype", [*FLOATS, "longdouble", "int64", "bool", ">f8"])
def test_empty(shape, dtype):
    found = difference(np.empty(shape, dtype), np.empty(shape, dtype))
    assert (found.count, found.shape, found.max_abs, found.rms, found.scale) == (0, shape, 0, 0, 0)
    assert not found.zero
    assert not found.constant
    assert found.identical


# What is not compared


@pytest.mark.parametrize(
    ("actual", "expected", "kind", "text"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), "shape", "shape (2, 3), expected (3, 2)"),
        (np.ones(1), np.ones(()), "shape", "shape (1,), expected ()"),
        (np.ones(3), np.ones((1, 3)), "shape", "shape (3,), expected (1, 3)"),
        (np.ones((0, 2)), np.ones((2, 0)), "shape", "shape (0, 2), expected (2, 0)"),
        (np.ones(2, "f"), np.ones(2), "dtype", "dtype float32, expected float64"),
        (np.ones(2, ">f4"), np.ones(2, "i4"), "dtype", "dtype float32, expected int32"),
        (np.ones(2, "?"), np.ones(2, "u1"), "dtype", "dtype bool, expected uint8"),
        (
            np.ones(2, "f"), np.ones(3), "shape", "shape (2,), expected (3,); dtype float32, expected float64"
        ),
    ],
)  # fmt: skip
def test_nothing_is_broadcast_or_promoted(actual, expected, kind, text):
    for found in (difference(actual, expected), *differences([(actual, expected)])):
        assert (found.kind, found.text) == (kind, text)
        assert (found.count, found.identical, found.max_abs) == (0, False, math.inf)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert refine(found, actual, expected) is found


@pytest.mark.parametrize("dtype", ["complex64", "object", "U3", "datetime64[s]"])
def test_elements_without_a_distance_are_refused_by_name(dtype):
    array = np.zeros(2, dtype)
    with pytest.raises(TypeError, match=r"cannot compare elements of dtype .*: only floating, integer and boolean"):
        difference(array, array)


# Detail


def test_without_detail_the_cheap_half_is_there_and_the_rest_is_none():
    actual, expected = noisy((40, 30), "float32", 1e-3, 6)
    coarse = difference(actual, expected, detail=False)
    full = difference(actual, expected)
    assert all(getattr(coarse, name) is None for name in DETAILED)
    assert all(getattr(full, name) is not None for name in DETAILED)
    assert refine(coarse, actual, expected) == full
    assert refine(full, actual, expected) is full


def test_a_difference_is_frozen_and_made_in_full():
    found = difference(np.ones(2), np.zeros(2))
    assert type(found) is Difference
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.max_abs = 3.0
    assert not hasattr(found, "__dict__")
    assert dataclasses.replace(found) == found
    assert found == Difference(**{entry.name: getattr(found, entry.name) for entry in dataclasses.fields(Difference)})


def test_no_warning_and_no_change_of_numpys_error_state():
    before = np.geterr()
    values = np.array([0.0, np.inf, np.nan, 3e38, 1e-45, -1.0], np.float32)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        for shift in range(values.size):
            difference(np.roll(values, shift), values)
            differences([(np.roll(values, shift), values)])
    assert np.geterr() == before


def test_operands_are_left_alone():
    actual, expected = noisy(3 * LENGTH, "float32", 1.0, 8)
    expected[5] = actual[5] = np.nan
    copies = actual.copy(), expected.copy()
    difference(actual, expected)
    differences([(actual[:100], expected[:100])])
    assert actual.tobytes() == copies[0].tobytes()
    assert expected.tobytes() == copies[1].tobytes()


# Many at once


def many(dtype, *seed):
    generator = rng(*seed)
    pairs = []
    for number in range(60):
        shape = (0,) if number == 30 else tuple(generator.integers(1, 40, generator.integers(0, 4)))
        actual, expected = noisy(shape, dtype, 0.0 if number % 7 == 0 else 1e-3, *seed, number)
        actual, expected = np.asarray(actual), np.asarray(expected)
        if number % 11 == 3 and expected.size:
            actual.flat[-1] = np.nan
        if number % 13 == 5 and expected.size:
            actual.flat[0] = expected.flat[0] = np.inf
        if number % 17 == 6:
            actual, expected = actual.T, expected.T
        if number % 19 == 2:
            expected = np.zeros_like(expected)
        if number % 23 == 4:
            actual, expected = -np.zeros_like(expected), np.zeros_like(expected)
        pairs.append((actual, expected))
    return pairs


@pytest.mark.parametrize("detail", [False, True])
@pytest.mark.parametrize("dtype", [*FLOATS, ">f4", ">f8", "longdouble"])
def test_many_at_once_equal_one_by_one(dtype, detail):
    pairs = many(dtype, 4)
    found = differences(iter(pairs), detail=detail)
    assert found == [difference(*pair, detail=detail) for pair in pairs]
    assert len({one.max_abs for one in found}) > 15
    assert any(one.nonfinite_disagreeing for one in found)
    assert any(one.identical for one in found)


def test_many_of_all_kinds_keep_their_places():
    pairs = [
        pair for group in zip(*(many(dtype, 7) for dtype in (*FLOATS, "longdouble")), strict=True) for pair in group
    ]
    pairs.insert(5, (np.ones(3), np.ones(4)))
    pairs.insert(9, (np.arange(4), np.arange(4) + 2))
    pairs.insert(70, noisy(100_000, "float32", 1e-5, 1))
    pairs.insert(80, noisy(8192, "float64", 1e-5, 2))
    pairs.insert(81, noisy(8193, "float64", 1e-5, 2))
    assert differences(pairs) == [difference(*pair, detail=False) for pair in pairs]


def test_none_at_all():
    assert differences([]) == []


@pytest.mark.parametrize("size", [8191, 8192, 8193])
def test_batches_that_fill_the_buffers_to_the_brim(size):
    pairs = [noisy(size, dtype, 1e-4, number) for number in range(9) for dtype in ("float32", "float64")]
    assert differences(pairs) == [difference(*pair, detail=False) for pair in pairs]


# Hypothesis


def elements(dtype):
    info = np.finfo(dtype)
    special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, info.max, -info.max, info.tiny, info.smallest_subnormal]
    width = 8 * info.dtype.itemsize
    return st.one_of(st.sampled_from([float(x) for x in special]), st.floats(width=width))


@st.composite
def operands(draw):
    dtype = draw(st.sampled_from(FLOATS))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    expected = draw(hnp.arrays(dtype, shape, elements=elements(dtype)))
    if draw(st.booleans()):
        actual = draw(hnp.arrays(dtype, shape, elements=elements(dtype)))
    else:
        with np.errstate(all="ignore"):
            towards = draw(st.sampled_from([-np.inf, np.inf, 0.0]))
            actual = np.where(draw(hnp.arrays(bool, shape)), np.nextafter(expected, np.array(towards, dtype)), expected)
    return np.asarray(actual, dtype), np.asarray(expected, dtype)


@given(operands())
@settings(max_examples=400, deadline=None)
def test_any_numbers_hold_to_the_plain_formulas(pair):
    found = difference(*pair)
    hold(found, *pair)
    coarse = difference(*pair, detail=False)
    assert coarse == cheap(found)
    assert differences([pair]) == [coarse]


@given(st.lists(operands(), max_size=6), st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_list_equals_one_by_one(pairs, detail):
    assert differences(pairs, detail=detail) == [difference(*pair, detail=detail) for pair in pairs]


@given(operands())
@settings(max_examples=200, deadline=None)
def test_both_directions_agree_where_they_must(pair):
    there, back = difference(*pair), difference(*pair[::-1])
    for name in ("max_abs", "max_abs_index", "max_ulp", "max_ulp_index", "rms", "identical", "nonfinite_index"):
        assert getattr(there, name) == getattr(back, name)


# Memory and threads


@pytest.mark.parametrize("relative", [0.0, 1e-7, 0.5])
@pytest.mark.parametrize("view", ["contiguous", "reversed"])
def test_extra_memory_stays_below_eight_megabytes(view, relative):
    expected = rng(1).standard_normal(20_000_000, dtype=np.float32)
    actual = expected * (1 + relative * rng(2).standard_normal(expected.size, dtype=np.float32))
    places = slice(12_345_678, None, 10_000 if relative == 0.5 else 10_000_000)
    actual[places] = np.nan
    if view == "reversed":
        actual, expected = actual[::-1], expected[::-1]
    BUFFERS.made.clear()
    tracemalloc.start()
    try:
        found = difference(actual, expected)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.nonfinite_disagreeing == np.count_nonzero(np.isnan(actual))
    assert peak < 8e6


def test_two_threads_do_not_share_their_buffers():
    pairs = [noisy(5 * LENGTH, "float32", 1e-3, number) for number in range(2)]
    alone = [difference(*pair) for pair in pairs]
    found: list[list[Difference]] = [[], []]

    def work(number):
        found[number] = [difference(*pairs[number]) for _ in range(30)]

    workers = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [[one] * 30 for one in alone]
