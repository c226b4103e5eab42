"""Floors by slices: what a small row keeps, what luck cannot take away, and what it costs."""

import numpy as np
import pytest

from compare.floors import Spread

generator = np.random.default_rng(0)


def measured(plain, noise, runs=3):
    spread = Spread(plain)
    for _ in range(runs):
        spread.add((plain + noise * generator.uniform(-1, 1, plain.shape)).astype(plain.dtype))
    return spread.floor()


def multiple(floor, actual, expected, **where):
    gap = float(np.max(np.abs(actual - expected), initial=0.0))
    return floor.multiple(actual, expected, gap, **{"same_rows": True, "here": True, **where})


@pytest.mark.parametrize("axis", [0, 1])
def test_a_small_slice_beside_a_large_one_is_not_masked(axis):
    scale = np.array([1e-4, 1.0, 1e4]).reshape((3, 1) if axis == 0 else (1, 3))
    plain = generator.standard_normal((3, 3)) * scale
    floor = measured(plain, 1e-15 * np.abs(plain))
    wrong = plain.copy()
    index = (0, 1) if axis == 0 else (1, 0)
    wrong[index] *= 1 + 1e-12
    assert multiple(floor, wrong, plain) > 50
    large = plain.copy()
    index = (2, 1) if axis == 0 else (1, 2)
    large[index] *= 1 + 2e-15  # a far larger difference, and honest
    assert np.abs(large - plain).max() > np.abs(wrong - plain).max() / 10
    assert multiple(floor, large, plain) < 6


def test_runs_that_agree_by_luck_do_not_leave_an_element_without_a_floor():
    plain = generator.standard_normal((20, 30))
    spread = Spread(plain)
    for _ in range(3):
        rerun = plain + 1e-15 * generator.uniform(-1, 1, plain.shape)
        rerun[4, 5] = plain[4, 5]
        spread.add(rerun)
    honest = plain.copy()
    honest[4, 5] += 1e-15
    assert multiple(spread.floor(), honest, plain) < 2


def test_a_vector_is_bounded_by_its_usual_spread():
    plain = generator.standard_normal(50) + 3
    spread = Spread(plain)
    for _ in range(3):
        rerun = plain * (1 + 1e-15 * generator.uniform(-1, 1, 50))
        rerun[7] = plain[7]
        spread.add(rerun)
    honest = plain.copy()
    honest[7] *= 1 + 1e-15
    assert multiple(spread.floor(), honest, plain) < 4


def test_never_below_half_a_unit_in_the_last_place():
    plain = np.float32([[1.0, 2.0], [3.0, 4.0]])
    floor = measured(plain, 0.0)
    assert multiple(floor, np.nextafter(plain, np.float32(9)), plain) <= 2.01
    assert multiple(floor, plain * np.float32(1.0001), plain) > 100


def test_a_number_has_a_floor_of_its_own():
    floor = measured(np.array(2.0), np.array(4e-16))
    assert multiple(floor, np.array(2.0 + 4e-16), np.array(2.0)) <= 2
    assert multiple(floor, np.array(2.0 + 1e-12), np.array(2.0)) > 100


def test_what_is_zero_in_every_run_must_stay_almost_zero():
    plain = np.zeros((4, 5))
    plain[0] = 1.0
    floor = measured(plain, 0.0)
    padding = plain.copy()
    padding[2, 2] = 1e-9
    assert multiple(floor, padding, plain) > 100


def test_a_floor_grows_with_the_values_and_does_not_shrink_with_them():
    plain = generator.standard_normal((10, 8))
    floor = measured(plain, 1e-15)
    later = {"here": False}
    assert multiple(floor, 100 * plain + 5e-14, 100 * plain, **later) < 6
    assert multiple(floor, plain + 5e-14, plain, **later) > 20
    assert multiple(floor, plain / 100 + 1e-15, plain / 100, **later) < 6


def test_other_rows_are_judged_by_columns():
    scale = np.array([1e-4, 1.0, 1e4])
    floor = measured(generator.standard_normal((6, 3)) * scale, 1e-15 * scale)
    plain = generator.standard_normal((9, 3)) * scale
    wrong = plain.copy()
    wrong[8, 0] += 1e-16
    assert multiple(floor, wrong, plain, same_rows=False, here=False) > 100
    wrong[8, 0] = plain[8, 0] + 1e-19
    assert multiple(floor, wrong, plain, same_rows=False, here=False) < 6


def test_infinities_that_agree_hide_nothing_beside_them():
    """The difference of two equal infinities is NaN, and no comparison with NaN must let an error pass."""
    plain = generator.standard_normal((6, 5))
    plain[:, 0] = -np.inf
    floor = measured(np.where(np.isfinite(plain), plain, 0.0), 1e-15)
    for here in (True, False):
        wrong, honest = plain.copy(), plain.copy()
        wrong[2, 3] *= 1 + 1e-9
        honest[2, 3] += 1e-15
        assert floor.multiple(wrong, plain, abs(wrong[2, 3] - plain[2, 3]), same_rows=True, here=here) > 1000
        assert floor.multiple(honest, plain, 1e-15, same_rows=True, here=here) < 6


def test_an_infinite_difference_is_infinitely_many_floors():
    floor = measured(np.ones(3), 1e-15)
    assert floor.multiple(np.array([1.0, np.nan, 1.0]), np.ones(3), np.inf, same_rows=True, here=True) == np.inf


def test_a_rerun_that_overflows_teaches_nothing():
    plain = np.array([1.0, 2.0])
    spread = Spread(plain)
    spread.add(np.array([np.inf, 2.0 + 1e-15]))
    spread.add(np.array([np.nan, 2.0]))
    floor = spread.floor()
    assert np.isfinite(floor.largest)
    assert floor.largest < 1e-14


@pytest.mark.parametrize("scale", [1e-290, 1e-30, 1e30, 1e290])
def test_tiny_and_huge_scales(scale):
    plain = generator.standard_normal((12, 9)) * scale
    floor = measured(plain, 2e-16 * np.abs(plain))
    assert multiple(floor, plain * (1 + 3e-16), plain) < 6
    assert multiple(floor, plain * (1 + 1e-10), plain) > 1000


def test_what_underflows_on_the_way_may_be_multiplied_by_the_scale_of_the_rest():
    """``x tanh(log(1 + exp(x)))`` at ``x = -90``: where the exponential is flushed to 0, the product is 0 too."""
    plain = np.array([90.0, -90 * np.float32(6.9e-40)], np.float32)
    floor = measured(plain, np.abs(plain) * 6e-8)
    assert multiple(floor, np.array([90, -0.0], np.float32), plain) < 1
    assert multiple(floor, np.array([90, 1e-35], np.float32), plain) > 5
    small = plain / np.float32(90)
    assert multiple(measured(small, np.abs(small) * 6e-8), np.array([1, 6e-38], np.float32), small) > 5


def test_floors_take_as_many_numbers_as_the_sides_add_up_to():
    plain = generator.standard_normal((64, 128)).astype(np.float32)
    floor = measured(plain, 1e-7)
    assert floor.nbytes == 2 * 4 * (64 + 128)
    assert floor.nbytes < plain.nbytes / 10


def test_digits():
    plain = generator.standard_normal((30, 30))
    assert 12 < measured(plain, 1e-13).digits() < 14
    assert measured(plain.astype(np.float32), 1e-4).digits() < 5
