"""What numbers a factor equals."""

import math

import pytest

from compare.diagnosis.numbers import equals, recognise

RUN = {"rows": 12, "micro-batches": 5, "learning rate": 0.07}


@pytest.mark.parametrize(
    ("value", "reading"),
    [
        (1.0, "1"),
        (2.0, "2"),
        (0.5, "1/2"),
        (12.0, "rows"),
        (1 / 12, "1/rows"),
        (24.0, "2 * rows"),
        (6.0, "rows/2"),
        (12 / 11, "rows/(rows - 1)"),
        (11 / 12, "(rows - 1)/rows"),
        (math.sqrt(5), "sqrt(micro-batches)"),
        (1 / math.sqrt(12), "1/sqrt(rows)"),
        (144.0, "rows^2"),
        (0.93, "1 - learning rate"),
        (60.0, "rows * micro-batches"),
        (12 / 5, "rows/micro-batches"),
        (0.07 / 12, "learning rate/rows"),
        (1 / 60, "1/(rows * micro-batches)"),
        (-12.0, "-rows"),
    ],
)
def test_reading(value, reading):
    assert recognise(value, RUN)[0] == reading


@pytest.mark.parametrize("value", [0.0, math.inf, math.nan, 0.7123, 1 / 12 * (1 + 1e-6)])
def test_no_reading(value):
    assert recognise(value, RUN) == []


def test_tolerance():
    assert recognise(1 / 12 * (1 + 1e-6), RUN, 1e-5) == ["1/rows"]


def test_the_simplest_comes_first():
    assert recognise(2.0, {"rows": 2, "columns": 4})[:2] == ["2", "rows"]


def test_as_the_end_of_a_sentence():
    assert equals(1 / 12, RUN) == "0.0833333 = 1/rows"
    assert equals(2.0, RUN) == "2"
    assert equals(0.7123, RUN) == "0.7123"
