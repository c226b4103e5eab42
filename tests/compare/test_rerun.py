"""The largest difference: what is not finite counts as none only where it is the same on both sides."""

import numpy as np
import pytest

from compare.rerun import gap_of

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("actual", "expected", "gap"),
    [
        ([1.0, 2.0], [1.5, 2.0], 0.5),
        ([INF, 1.0], [INF, 1.25], 0.25),
        ([-INF, NAN], [-INF, NAN], 0.0),
        ([1.0, NAN], [1.0, 2.0], INF),
        ([1.0, 2.0], [1.0, NAN], INF),
        ([INF, 2.0], [-INF, 2.0], INF),
        ([], [], 0.0),
        (3.0, 1.0, 2.0),
        (NAN, 1.0, INF),
    ],
)
def test_the_largest_difference(actual, expected, gap):
    assert gap_of(np.asarray(actual, float), np.asarray(expected, float)) == gap
