"""NaN and infinity: where they began, and what a simpler formula would have met there."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import compare

from .written import asked, evidence, only

generator = np.random.default_rng(6)


def softmax_loss(scores, y, wrong=""):
    shifted = scores if wrong == "naive" else scores - scores.max(1, keepdims=True)
    e = np.exp(shifted)
    p = e / e.sum(1, keepdims=True)
    rows = np.arange(len(y))
    loss = -np.mean(np.log(p[rows, y]))
    p[rows, y] -= 1
    return loss, {"scores": p / len(y)}


def logistic(z, y, wrong=""):
    p = 1 / (1 + np.exp(-z)) if wrong == "naive" else None
    if p is None:
        loss = np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))))
        p = np.where(z > 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))
    else:
        loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    return loss, {"z": (p - y) / len(y)}


def norm(x, wrong=""):
    size = np.sqrt((x**2).sum(1))
    g = x / (size[:, None] if wrong else np.where(size, size, 1)[:, None])
    return size.sum(), {"x": g}


SCORES = generator.standard_normal((5, 4)) * 3
HUGE = np.concatenate([SCORES[:4], [[1000.0, 3.0, 1.0, 0.0]]])
LOW = np.concatenate([SCORES[:4], [[-1000.0, -1003.0, -1001.0, -1004.0]]])
ROWS = np.concatenate([generator.standard_normal((3, 4)), np.zeros((1, 4))])
CLASSES = np.array([0, 3, 1, 2, 0])

PLANTED = {
    # mistake: function, its twin, inputs, place, what the explanation says
    "exp overflows": (softmax_loss, lambda scores, y: F.cross_entropy(scores, y), {"scores": HUGE, "y": CLASSES}, "loss", "_log_softmax is given numbers up to 1000, and exp overflows beyond 709.8: subtract the largest before it"),
    "every exp is zero": (softmax_loss, lambda scores, y: F.cross_entropy(scores, y), {"scores": LOW, "y": CLASSES}, "loss", "_log_softmax has rows that lie below -709.8: every exp is zero there, and 0/0 is NaN"),
    "log of zero": (logistic, lambda z, y: F.binary_cross_entropy_with_logits(z, y), {"z": np.array([0.3, 50.0, -2.0]), "y": np.array([1.0, 0.0, 1.0])}, "loss", "is given numbers up to 50, where its result rounds to 0 or 1, and the log of that is not finite"),
    "division by zero": (norm, lambda x: torch.linalg.vector_norm(x, dim=1).sum(), {"x": ROWS}, "accumulated", "vector_norm is zero somewhere, where its derivative 1/(2 sqrt(x)) is not finite"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mistake", PLANTED)
def test_where_it_began_and_why(mistake):
    function, reference, inputs, phase, text = PLANTED[mistake]
    wrt = [next(iter(inputs))]
    assert compare.gradients(function, reference, inputs, wrt=wrt).outcome == "equivalent"
    with only("nonfinite"):
        report = compare.gradients(lambda **given: function(**given, wrong="naive"), reference, inputs, wrt=wrt)
    best = report.causes[0]
    assert best.cause == "non-finite"
    assert f"It began at step 1, micro-batch 1, {phase}" in best.explanation
    assert text in best.explanation


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_gradient_alone():
    def wrong(scores, y):
        loss, _ = softmax_loss(scores, y)
        return loss, softmax_loss(scores, y, "naive")[1]

    with only("nonfinite"):
        report = compare.gradients(
            wrong, lambda scores, y: F.cross_entropy(scores, y), {"scores": HUGE, "y": CLASSES}, wrt=["scores"]
        )
    best = report.causes[0]
    assert best.cause == "non-finite"
    assert "1 of 20 elements of scores are NaN; the first at [4, 0]" in best.explanation
    assert "exp overflows beyond 709.8: subtract the largest before it" in best.explanation


def test_one_element_of_an_activation():
    spoiled = {"z": lambda v, s: np.where(v == v.max(), np.nan, v)}
    best = asked(evidence(spoiled), "nonfinite")
    assert best.cause == "non-finite"
    assert best.explanation == (
        "1 of 30 elements of hidden are NaN; the first at [2, 4], where the reference has 1.49887. "
        "It began at step 1, micro-batch 1, forward, hidden"
    )


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinities(value):
    best = asked(evidence({"gz": lambda v, s: np.where(v == v.max(), value, v)}), "nonfinite")
    assert (best.cause, best.explanation[:45]) == ("non-finite", "1 of 30 elements of act (input) are infinite;")


def test_the_first_update_divided_by_a_correction_that_is_zero():
    def wrong(parameter, gradient, slots, step):
        m, v = slots.setdefault("m", np.zeros_like(parameter)), slots.setdefault("v", np.zeros_like(parameter))
        m += 0.1 * (gradient - m)
        v += 0.001 * (gradient**2 - v)
        with np.errstate(all="ignore"):
            parameter -= 0.01 * (m / (1 - 0.9 ** (step - 1))) / (np.sqrt(v / (1 - 0.999 ** (step - 1))) + 1e-8)

    with only("nonfinite"):
        report = compare.optimizer(wrong, torch.optim.Adam, options={"lr": 0.01}, steps=1)
    best = report.causes[0]
    assert best.cause == "non-finite"
    assert "in the first step: a correction 1 - beta^0 is zero where the step count starts at 0" in best.explanation


def test_nan_beside_another_mistake_is_not_explained():
    spoiled = {"z": lambda v, s: np.where(v == v.max(), np.nan, v * 1.01)}
    assert asked(evidence(spoiled), "nonfinite").cause == "unknown"
