"""A formula that is right and loses digits, against one that is wrong."""

import numpy as np
import pytest

import compare

from .written import evidence, only

generator = np.random.default_rng(9)


def spread(x, formula):
    """The variance of each column, and its gradient."""
    n = len(x)
    if formula == "shifted":
        centred = x - x.mean(0)
        value = (centred**2).mean(0)
    elif formula == "two moments":
        value = (x**2).mean(0) - x.mean(0) ** 2
    else:
        value = (x**2).mean(0) - x.mean(0) ** 2 * x.dtype.type(1 + 1e-6)
    gradient = 2 * (x - x.mean(0)) / n
    return value.sum(), {"x": gradient - gradient.mean(0)}


def reference(x):
    return ((x - x.mean(0)) ** 2).mean(0).sum()


def judged(formula, dtype):
    x = (100 + generator.standard_normal((50, 3))).astype(dtype)
    with only("unstable"):
        return compare.gradients(lambda x: spread(x, formula), reference, {"x": x})


def test_a_difference_of_two_moments_agrees_in_float64():
    best = judged("two moments", np.float32).causes[0]
    assert best.cause == "unstable formula"
    assert best.residual < 1e-3
    assert best.explanation.endswith(
        "of the gap is left: the formula is right, and loses digits in the run's own dtype"
    )


def test_the_stable_formula_is_equivalent():
    assert judged("shifted", np.float32).outcome == "equivalent"


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_a_wrong_formula_stays_wrong(dtype):
    assert judged("wrong", dtype).causes[0].cause == "unknown"


def test_a_run_that_has_no_wider_dtype_shows_how_the_gap_trembles():
    best = judged("two moments", np.float64).causes[0]
    assert best.cause == "unstable formula"
    assert best.explanation.startswith("where the inputs differ in the last bit, the gap at [] is anything from -")
    assert best.explanation.endswith("the formula is right, and loses digits")


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-6])
def test_a_small_mistake_does_not_tremble(size):
    x = 100 + generator.standard_normal((50, 3))

    def wrong(x):
        value, gradients = spread(x, "shifted")
        return value * (1 + size), gradients

    with only("unstable"):
        report = compare.gradients(wrong, reference, {"x": x})
    assert report.causes[0].cause == "unknown"


def test_a_side_that_cannot_be_widened_is_left_alone():
    found = evidence({"z": lambda v, s: v + np.float32(1e-3)}, dtype=np.float32)
    assert not hasattr(found.fresh()[0], "widen")
    from compare.diagnosis.unstable import hypotheses

    assert list(hypotheses(found)) == []
