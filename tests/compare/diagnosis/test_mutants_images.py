"""Mistakes in layers for images, written in plain NumPy as a user would, are named; what only looks like one is not."""

from functools import cache, partial

import numpy as np
import pytest

import compare
from compare.diagnosis.catalogue import UNKNOWN

from . import mutants_images
from .test_mutants import NEAR

TOPICS = {name: rest for name, *rest in mutants_images.TOPICS}
MISTAKES = [(topic, wrong, cause) for topic, (*_, cases) in TOPICS.items() for wrong, cause in cases]


@cache
def report_on(topic, wrong=""):
    function, reference, inputs, _ = TOPICS[topic]
    return compare.gradients(partial(function, wrong=wrong), reference, inputs)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_right_function_is_equivalent(topic):
    report = report_on(topic)
    assert report.outcome == "equivalent", str(report)


@pytest.mark.parametrize(
    ("topic", "wrong", "cause"), MISTAKES, ids=[f"{topic}: {wrong}" for topic, wrong, _ in MISTAKES]
)
def test_a_mistake_is_named(topic, wrong, cause):
    report = report_on(topic, wrong)
    assert report.outcome == "diverged"
    assert report.causes[0].cause in cause.split(" | "), report.causes
    assert report.causes[0].residual < 0.02


def spoiled(topic, change):
    """The report on a right function whose gradient to ``x`` (or ``u``) goes through ``change(gradient, inputs)``."""
    function, reference, inputs, _ = TOPICS[topic]

    def near(**given):
        loss, gradients = function(**given)
        name = next(iter(gradients))
        return loss, {**gradients, name: change(gradients[name], given)}

    return compare.gradients(near, reference, inputs)


@pytest.mark.parametrize("change", NEAR.values(), ids=NEAR)
@pytest.mark.parametrize("topic", TOPICS)
def test_what_is_no_formula_has_no_name(topic, change):
    report = spoiled(topic, lambda gradient, given: change(gradient))
    assert report.outcome == "diverged"
    assert report.causes[0].cause == UNKNOWN, report.causes[0]


def _one_tie(g, given):
    """One window of many hands its gradient to another of its maxima."""
    changed = g.copy()
    changed[0, 0, 2], changed[0, 0, 3] = g[0, 0, 3] + 0.1, g[0, 0, 2] - 0.1
    return changed


MISSES = [
    # topic, what becomes of the gradient, how it must not be called
    ("convolution by columns", lambda g, i: g * np.array([1.0, 2.0, 3.0, 2.0, 1.0]), "overwritten instead of added"),
    ("transposed convolution", lambda g, i: g[..., ::-1], "overwritten instead of added"),
    ("maximum pool", _one_tie, "tie policy"),
    ("maximum pool", lambda g, i: np.where(g, i["t"], 0), "overwritten instead of added"),
    ("average pool", lambda g, i: np.concatenate([g[..., :1] / 2, g[..., 1:]], -1), "wrong denominator"),
    ("reflection", lambda g, i: g - 0.5 * (g - i["t"][:, :, 2:-1]), "missing term"),
    ("local response norm", lambda g, i: 0.7 * g + 0.3 * i["t"], "missing term"),
    ("slopes", lambda g, i: np.where(i["x"] > 0, i["t"], 0.01 * i["t"]), "missing term"),
    ("bilinear form", lambda g, i: np.einsum("no,oij,nj->ni", i["t"], i["w"], i["v"] ** 2), "wrong operand"),
]


@pytest.mark.parametrize(("topic", "change", "name"), MISSES, ids=[f"{t}: not {n}" for t, _, n in MISSES])
def test_a_near_miss_is_not_given_that_name(topic, change, name):
    report = spoiled(topic, change)
    assert report.outcome == "diverged"
    assert report.causes[0].cause != name, report.causes[0]


@pytest.mark.parametrize(
    ("topic", "wrong", "name"),
    [("group norm", "shuffled", "wrong groups"), ("adaptive pool", "one window shifted", "other windows")],
)
def test_channels_and_windows_that_nobody_would_choose_have_no_name(topic, wrong, name):
    function, reference, inputs, _ = TOPICS[topic]
    report = compare.gradients(partial(function, wrong=wrong), reference, inputs)
    assert report.outcome == "diverged"
    assert report.causes[0].cause != name, report.causes[0]
