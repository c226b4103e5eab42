"""What an appeal adds: an element in a row far noisier than itself is held to its own noise."""

import numpy as np
import pytest

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
