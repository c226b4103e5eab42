"""Micro-batches: their weights, what is lost, what is left over, and weights of another time."""

import pytest

from compare.experiment import Setting
from compare.experiments.mazur import backprop_by_hand
from compare.lockstep import lockstep

from .trained import report_on

MISTAKES = [
    ("mean of means", {}, "mean of means", "every micro-batch weighs 1/3"),
    ("sum", {}, "sum of micro-batches", "every micro-batch weighs 1"),
    ("normalised twice", {}, "normalised twice", "divided by the number of micro-batches, 3, once more"),
    ("equal and normalised twice", {}, "normalised twice", "1/3^2"),
    ("weight twice", {}, "normalised twice", "share is multiplied in twice"),
    ("running mean", {}, "mean of means", "the means so far are averaged"),
    ("share of rows", {"ignored": True}, "wrong denominator", "weighs by its rows"),
    ("times the micro-batches", {}, "constant factor", "multiplied by the number of micro-batches"),
    ("scaled", {}, "constant factor", "16 times"),
    ("seven", {}, "constant factor", "0.7123 times"),
    ("zero_grad left out", {}, "previous gradient added", "the last step's gradient is still there"),
    ("zero_grad left out", {"max_norm": 0.5}, "previous gradient added", "clipped, is still there"),
    ("bias not cleared", {}, "previous gradient added", "so it is for output.bias, not for all"),
    ("cleared in the loop", {}, "only the last micro-batch", "overwritten or cleared"),
    ("bias overwritten", {}, "only the last micro-batch", "so it is for output.bias, not for all"),
    ("micro-batch 1 lost", {}, "micro-batch left out", "micro-batch 1 of 3"),
    ("micro-batch 2 lost", {}, "micro-batch left out", "micro-batch 2 of 3"),
    ("micro-batch 3 lost", {}, "micro-batch left out", "micro-batch 3 of 3"),
    ("stale gradient", {"micro_batches": 1, "from_step": 1}, "stale gradient", "gradient of the step before"),
    ("clipped in the loop", {"max_norm": 0.5}, "clipped per micro-batch", "accumulated is clipped after every"),
    ("clipped before weighing", {"max_norm": 0.5}, "clipped per micro-batch", "own gradient is clipped"),
    ("updated weights in the backward pass", {"micro_batches": 1}, "already updated weights", "already been updated"),
    ("updated in the loop", {"momentum": 0.0}, "already updated weights", "updated after every micro-batch"),
    ("stale weights", {}, "stale weights", "the weights of the step before are used"),
    ("stale weights in the backward pass", {}, "stale weights", ""),
]


def names(cases):
    return [f"{wrong}-{'-'.join(map(str, options)) or 'plain'}" for wrong, options, *_ in cases]


def test_right():
    assert report_on().outcome == "equivalent"
    assert report_on(ignored=True, max_norm=0.5, penalty=True).outcome == "equivalent"


@pytest.mark.parametrize(("wrong", "options", "cause", "says"), MISTAKES, ids=names(MISTAKES))
def test_named(wrong, options, cause, says):
    report = report_on(wrong, **options)
    assert report.outcome == "diverged"
    assert report.causes[0].cause == cause
    assert says in report.causes[0].explanation
    assert report.causes[0].look_at


@pytest.mark.parametrize("wrong", ["mean of means", "sum", "normalised twice", "zero_grad left out"])
def test_the_same_from_a_later_step_on_and_with_deposits(wrong):
    cause = {"sum": "sum of micro-batches", "zero_grad left out": "previous gradient added"}.get(wrong, wrong)
    assert report_on(wrong, from_step=3).causes[0].cause == cause
    shown = report_on(wrong, shown=("deposits", "terms"), penalty=True)
    assert shown.causes[0].cause == cause
    assert shown.first_divergence.culprit == "accumulation"


def test_weights_without_a_name_are_none_of_the_named():
    named = {"mean of means", "sum of micro-batches", "normalised twice", "wrong denominator", "micro-batch left out"}
    assert report_on("odd").causes[0].cause not in named


def test_mazur_as_printed():
    study = backprop_by_hand(Setting())
    scenario = study.contrasts[0].scenario
    verdict = lockstep(scenario.actual, scenario.expected, scenario.steps)
    assert verdict.first_divergence.checkpoint.phase == "backward"
    assert verdict.causes[0].cause == "already updated weights"
    assert "backward pass" in verdict.causes[0].explanation
