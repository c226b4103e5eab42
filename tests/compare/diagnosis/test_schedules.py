"""Schedules: late, early, too often, not at all; shown by the side, or hidden in its updates."""

import pytest

from .trained import report_on

MISTAKES = [
    ("rate of the next step", "schedule off by one", "already that of the next step"),
    ("rate not advanced", "schedule not advanced", "stays what it was"),
    ("rate per micro-batch", "schedule per micro-batch", "advances with every micro-batch"),
]


def test_compounded():
    report = report_on("rate compounded", shown=("rate",))
    assert report.first_divergence.checkpoint.step == 2
    assert report.causes[0].cause == "other learning rate"
    assert "compounds" in report.causes[0].explanation


@pytest.mark.parametrize("shown", [(), ("rate",)], ids=["hidden", "shown"])
@pytest.mark.parametrize(("wrong", "cause", "says"), MISTAKES, ids=[case[0] for case in MISTAKES])
def test_named(wrong, cause, says, shown):
    report = report_on(wrong, shown=shown)
    assert report.outcome == "diverged"
    assert report.causes[0].cause == cause
    assert says in report.causes[0].explanation
    expected = "schedule" if shown and wrong != "rate of the next step" else "update"
    assert report.first_divergence.checkpoint.phase == expected


def test_right():
    assert report_on(shown=("rate",)).outcome == "equivalent"


def test_one_step_hides_a_schedule():
    assert report_on("rate not advanced", steps=1).outcome == "equivalent"
