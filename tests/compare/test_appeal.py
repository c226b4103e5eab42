"""What an appeal adds: an element in a row far noisier than itself is held to its own noise."""

import numpy as np
import pytest

import compare
from compare.appeal import OUT, SUSPECT, Appeal
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
    assert "accumulated, w; its value in float64 lies beyond the range of both sides" in str(report)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_finite_value_is_not_honest_where_the_true_one_lies_beyond_the_range(value):
    assert against_the_sum([value, value], 1e25).outcome == "diverged"


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_not_honest_where_the_true_value_lies_within_the_range(value):
    assert against_the_sum([value, value], 1e10).outcome == "diverged"
