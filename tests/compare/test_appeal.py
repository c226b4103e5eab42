"""What an appeal adds: an element in a row far noisier than itself is held to its own noise."""

from typing import ClassVar

import numpy as np
import pytest
import torch

import compare
from compare.appeal import OUT, SUSPECT, Appeal
from compare.checkpoint import Checkpoint
from compare.floors import Spread
from compare.rerun import HEADROOM

PLACE = (1, "deposit", "weight", 0, "")
EPS = np.finfo(np.float32).eps


class Judge:
    eps = float(EPS)


@pytest.fixture
def appeal():
    """Runs in which one element of a row moved by a tenth of what the others did."""
    plain = np.ones((3, 4), np.float32)
    moved = np.full((3, 4), 40 * EPS, np.float32)
    moved[1, 2] = 4 * EPS
    spread = Spread(plain)
    spread.add(plain + moved)
    made = Appeal.__new__(Appeal)
    made._measured, made._drifted, made._widest = Judge(), False, {PLACE: spread.widest}
    return made, plain, spread.floor()


def far(appeal, index, floors):
    made, plain, floor = appeal
    actual = plain.copy()
    actual[index] += floors * 40 * EPS
    return made._alone(PLACE, actual, plain, floor)


def test_a_quiet_element_stands_out_where_a_noisy_one_does_not(appeal):
    assert far(appeal, (1, 2), 4.0) == pytest.approx(HEADROOM * 40 / OUT, rel=0.01)
    assert far(appeal, (1, 2), 4.0) > HEADROOM
    assert far(appeal, (1, 1), 4.0) == 0


def test_what_is_no_suspect_in_its_row_is_left_alone(appeal):
    assert far(appeal, (1, 2), SUSPECT - 0.2) == 0
    assert far(appeal, (1, 2), SUSPECT + 0.2) > HEADROOM


def test_from_another_state_nothing_is_said_of_single_elements(appeal):
    appeal[0]._drifted = True
    assert far(appeal, (1, 2), 4.0) == 0


# -- what overflows ------------------------------------------------------------------------------------------------------

X = np.array([[-0.7, 1.3], [0.5, -0.4], [1.1, 0.3]], np.float32)
FACTORS = np.array([[0.6], [-0.8], [0.9]], np.float32)


def against_the_sum(gradient, size):
    """A sum of products of either sign, each about as large as the square of ``size``, and a gradient said to be its."""

    def ours(x, factors, w):
        with np.errstate(all="ignore"):
            return (factors * x * w).sum(), {"w": np.array(gradient, np.float32)}

    inputs = {"x": X * np.float32(size), "factors": FACTORS * np.float32(size), "w": np.ones(2, np.float32)}
    return compare.gradients(ours, lambda x, factors, w: (factors * x * w).sum(), inputs)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_lies_beyond_the_range_is_honest_whichever_way_it_is_not_finite_but_says_nothing(value):
    report = against_the_sum([value, value], 1e25)
    assert report.outcome == "abstained"
    assert "not finite or nothing but rounding here, so nothing is known about it" in report.reason
    assert "accumulated, w; its value in float64 is out of reach of both sides" in str(report)


@pytest.mark.parametrize(("value", "outcome"), [(np.nan, "abstained"), (np.inf, "abstained"), (3.0, "diverged")])
def test_what_overflows_on_the_way_to_a_value_within_the_range_is_no_yardstick(value, outcome):
    """A product that is infinite, times a number that makes it small."""
    x = np.array([[2e30], [1e30]], np.float32)

    def ours(x, small, w):
        return np.float32(np.inf), {"w": np.array([value], np.float32)}

    def theirs(x, small, w):
        return (x * x * small * w).sum()

    inputs = {"x": x, "small": np.full((2, 1), 1e-30, np.float32), "w": np.ones(1, np.float32)}
    report = compare.gradients(ours, theirs, inputs, wrt=["w"])
    assert report.outcome == outcome, str(report)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_finite_value_is_not_honest_where_the_true_one_lies_beyond_the_range(value):
    assert against_the_sum([value, value], 1e25).outcome == "diverged"


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_not_honest_where_the_true_value_lies_within_the_range(value):
    assert against_the_sum([value, value], 1e10).outcome == "diverged"


def test_a_loss_beyond_the_range_of_the_run_is_a_python_number_like_any_other():
    """Terms that are infinite with either sign: one order of summation gives an infinity, another NaN."""
    inputs = {"x": np.array([3e38, -2e38, 1e38, 2e38], np.float32), "w": np.array([11.0, 7.0, -9.0, 5.0], np.float32)}
    truth = float(np.sum(inputs["x"].astype(np.float64) * inputs["w"].astype(np.float64)))
    assert truth > float(np.finfo(np.float32).max)

    def ours(loss):
        return lambda x, w: (np.float32(loss), {"w": x})

    def theirs(x, w):
        return (x * w).sum()

    for loss, outcome in [(np.nan, "equivalent"), (np.inf, "equivalent"), (1.0, "diverged")]:
        report = compare.gradients(ours(loss), theirs, inputs, wrt=["w"])
        assert report.outcome == outcome, str(report)


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ([np.nan, 15.0], "equivalent"),
        ([-np.inf, 15.0], "equivalent"),
        ([np.nan, 15.5], "diverged"),
        ([2.0, 15.0], "diverged"),
    ],
)
def test_where_no_dtype_is_wide_enough_a_sum_that_overflows_may_be_infinite_or_nan(values, outcome):
    x, factors = np.array([[1.7e308, 1.0], [1.7e308, 2.0], [-1.7e308, 3.0]]), np.array([[5.0], [2.0], [2.0]])

    def ours(x, factors, w):
        return np.float64(np.nan), {"w": np.array(values), "x": factors * w}

    def theirs(x, factors, w):
        return (factors * x * w).sum()

    report = compare.gradients(ours, theirs, {"x": x, "factors": factors, "w": np.ones(2)}, wrt=["w", "x"])
    assert report.outcome == outcome, str(report)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_infinity_that_is_no_overflow_may_not_be_nan(dtype):
    """The logarithm of zero: nothing in the step is large."""

    def ours(x, w):
        return dtype(-np.inf), {"w": np.log(x)}

    def theirs(x, w):
        return (x.log() * w).sum()

    x, w = np.array([0.0, 0.3, 2.0], dtype), np.array([0.7, -1.1, 0.4], dtype)
    with np.errstate(divide="ignore"):
        assert compare.gradients(ours, theirs, {"x": x, "w": w}, wrt=["w"]).outcome == "equivalent"
        report = compare.gradients(lambda x, w: (dtype(np.nan), {"w": np.log(x)}), theirs, {"x": x, "w": w}, wrt=["w"])
    assert report.outcome == "diverged", str(report)


# -- what is not a number --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "outcome"),
    [(np.nan, "equivalent"), (0.0, "equivalent"), (None, "equivalent"), (1.0, "diverged")],
)
def test_a_gradient_passes_a_kink_that_is_asked_about_nan_or_is_stopped(value, outcome):
    """PyTorch stops it in the vectorized part of its kernel, and lets it pass in the rest."""
    x = np.linspace(-2, 2, 31)
    x[[3, 29]] = np.nan
    w = np.linspace(1, 3, 31)

    def ours(x, w):
        slope = np.where(np.abs(x) > 0.5, w, 0.0)
        slope[np.isnan(x)] = w[np.isnan(x)] if value is None else value
        return np.float64(np.nan), {"x": slope}

    def theirs(x, w):
        return (torch.nn.functional.softshrink(x) * w).sum()

    report = compare.gradients(ours, theirs, {"x": x, "w": w}, wrt=["x"])
    assert report.outcome == outcome, str(report)


# -- the end of the range --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "value", "outcome"),
    [(1.0, np.inf, "equivalent"), (1.0, -np.inf, "diverged"), (1.0, np.nan, "diverged"), (1e-4, np.inf, "diverged")],
)
def test_the_order_of_factors_decides_whether_what_is_nearly_too_large_is_infinite(size, value, outcome):
    """A share of a sum that is near the end of the range: times a number and then divided, or the other way round."""
    w = np.array([1e19, 1e19], np.float32) * np.float32(np.sqrt(size))

    def ours(w, x):
        return np.float32(value), {"x": w}

    def theirs(w, x):
        return 0.8 * (w * w).sum() / 2 + 0.0 * (w * x).sum() + (w * x).sum()

    report = compare.gradients(ours, theirs, {"w": w, "x": np.array([0.3, -0.4], np.float32)}, wrt=["x"])
    assert report.outcome == outcome, str(report)


# -- what follows from the actual side's own -------------------------------------------------------------------------------


class Own:
    """What the appeal is told of the actual side's own gradient."""

    so_far: ClassVar = {"w": np.array([1.0, 2.0])}
    deposits: ClassVar = {"w": np.array([0.25, -3.0])}

    def __init__(self, confirmed=()):
        self._confirmed = confirmed

    def is_confirmed(self, phase, name):
        return (phase, name) in self._confirmed


def sum_of_its_own(phase="accumulated", micro_batch=2, confirmed=(), plain=((2, "deposit", "w", 0, ""),)):
    made = Appeal.__new__(Appeal)
    made._measured, made._plain = Own(confirmed), dict.fromkeys(plain)
    checkpoint = Checkpoint(1, micro_batch, phase, "w", 0, "")
    return made._from_own(checkpoint, (micro_batch, phase, "w", 0, ""), np.zeros(2))


def test_a_sum_follows_from_deposits_that_were_found_right():
    np.testing.assert_array_equal(sum_of_its_own(), [1.25, -1.0])


def test_a_sum_does_not_follow_from_deposits_that_nobody_looked_at_or_that_were_found_wrong():
    assert sum_of_its_own(plain=()) is None
    assert sum_of_its_own(confirmed=[("deposit", "w")]) is None
    assert sum_of_its_own(confirmed=[("deposit", "other")]) is not None
    assert sum_of_its_own(phase="backward") is None
