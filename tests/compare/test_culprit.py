"""Whether two recorded inputs are the same up to rounding, which decides between an own and an inherited error."""

import numpy as np
import pytest

from compare.culprit import _near

EPS = float(np.finfo(np.float64).eps)
INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("actual", "expected", "near"),
    [
        ([1.0, 2.0], [1.0, 2.0 + 8 * EPS], True),
        ([1.0, 2.0], [1.0, 2.0 + 1e-9], False),
        ([1.0, -INF], [1.0, -INF], True),
        ([1.0, -INF], [1.0 + 1e-9, -INF], False),
        ([1.0, -INF], [1.0, INF], False),
        ([1.0, 5.0], [1.0, -INF], False),
        ([1.0, -INF], [1.0, 5.0], False),
        ([NAN, 2.0], [NAN, 2.0], True),
        ([NAN, NAN], [-INF, -INF], False),
        ([-INF, -INF], [-INF, -INF], True),
        ([1.0], [1.0, 2.0], False),
        ([], [], True),
    ],
    ids=[
        *("rounding", "other", "masked alike", "masked alike, other elsewhere", "infinities of other signs"),
        *("only the reference is infinite", "only the actual is", "NaN alike", "NaN for infinity", "all masked"),
        *("other shape", "empty"),
    ],
)
def test_inputs_are_near(actual, expected, near):
    assert _near(np.array(actual), np.array(expected)) is near
