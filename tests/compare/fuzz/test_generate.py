"""What is drawn: the same always, ordinary mostly, and every corner."""

import os
import subprocess
import sys

import pytest

from compare.fuzz.corners import CORNERS, count
from compare.fuzz.generate import case

CASES = [case(0, number) for number in range(2000)]


def test_a_case_depends_on_seed_and_number_alone():
    assert [case(0, number) for number in (1999, 7)] == [CASES[1999], CASES[7]]
    assert case(1, 7) != CASES[7]
    assert len(set(CASES)) == len(CASES)


def test_another_process_draws_the_same():
    program = "from compare.fuzz.generate import case; print(*(case(0, n).text for n in range(20)), sep='\\n')"
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split("\n")[:-1] == [one.text for one in CASES[:20]]


MET = count(CASES)


@pytest.mark.parametrize("corner", CORNERS)
def test_every_corner_is_met_in_two_thousand_cases(corner):
    assert MET[corner] >= 2


@pytest.mark.parametrize(
    ("what", "least", "most", "holds"),
    [
        ("networks", 0.8, 0.9, lambda c: c.model == "MLP"),
        ("inputs of ordinary size", 0.55, 0.75, lambda c: c.scale == 1),
        ("ordinary data", 0.7, 0.8, lambda c: not c.special),
        ("one or two hidden layers, of networks", 0.5, 0.75, lambda c: len(c.hidden) in (1, 2)),
        ("each dtype", 0.45, 0.55, lambda c: c.dtype == "float32"),
        ("several micro-batches", 0.5, 0.8, lambda c: len(c.parts) > 1),
        ("several steps", 0.85, 0.95, lambda c: c.steps > 1),
    ],
)
def test_ordinary_cases_dominate(what, least, most, holds):
    share = sum(map(holds, CASES)) / len(CASES)
    assert least < share < most, what


def test_sizes_stay_where_a_case_is_quick():
    for one in CASES:
        assert one.rows <= 200
        assert one.inputs <= 2000
        assert max(one.hidden, default=0) <= 300
        assert one.rows <= 64 or max((one.inputs, *one.hidden)) < 200
