"""The penalty in the loss and in its gradient, shown by the reference or hidden in its loss."""

import numpy as np
import pytest
import torch.nn.functional as F

import compare

from .trained import report_on

MISTAKES = [
    ("no penalty", "missing penalty", "left out"),
    ("no penalty in the gradient", "missing penalty", ""),
    ("one penalty forgotten", "missing penalty", "hidden.weight is left out"),
    ("bias penalised", "penalty on the bias", "also acts on hidden.bias, output.bias"),
    ("bias penalised in the gradient", "penalty on the bias", "also acts on hidden.bias, output.bias"),
    ("half", "penalty scaled", "0.5 = 1/2 times"),
    ("half in the gradient", "penalty scaled", ""),
    ("by rows", "penalty scaled", "1/rows of the batch times"),
    ("subtracted", "penalty scaled", "subtracted"),
    ("absolute", "wrong function", ""),
    ("absolute in the gradient", "wrong derivative", "of the parameter's sign, not of the parameter"),
    ("of the gradient", "wrong variable decayed", "gradient is added in the parameter's place"),
    ("per micro-batch", "penalty per micro-batch", "whole with every micro-batch"),
]


@pytest.mark.parametrize("shown", [(), ("terms", "deposits")], ids=["as_a_sum", "term_by_term"])
@pytest.mark.parametrize(("wrong", "cause", "says"), MISTAKES, ids=[case[0] for case in MISTAKES])
def test_named_in_a_training_step(wrong, cause, says, shown):
    report = report_on(wrong, penalty=True, shown=shown)
    assert report.outcome == "diverged"
    assert report.causes[0].cause == cause
    assert says in report.causes[0].explanation


# -- hidden in the loss of a function ------------------------------------------------------------------------------------

LAMBDA = 0.37
_random = np.random.default_rng(4)
INPUTS = {
    "x": _random.standard_normal((9, 4)),
    "y": _random.standard_normal(9),
    "w": _random.standard_normal(4),
    "b": _random.standard_normal(1),
}


def ridge(wrong=""):
    def loss_and_gradients(x, y, w, b):
        residual = x @ w + b - y
        loss = (residual**2).mean()
        grad_w, grad_b = 2 * x.T @ residual / 9, 2 * residual.mean(keepdims=True)
        if wrong != "all forgotten":
            loss = loss + LAMBDA * (w**2).sum()
        if wrong == "bias in both":
            loss, grad_b = loss + LAMBDA * (b**2).sum(), grad_b + 2 * LAMBDA * b
        grad_w = grad_w + {
            "forgotten": 0,
            "all forgotten": 0,
            "two forgotten": LAMBDA * w,
            "by rows": 2 * LAMBDA * w / 9,
            "subtracted": -2 * LAMBDA * w,
            "square kept": 2 * LAMBDA * w**2,
            "sign": 2 * LAMBDA * np.sign(w),
            "odd": 2 * LAMBDA * np.tanh(w),
        }.get(wrong, 2 * LAMBDA * w)
        return loss, {"w": grad_w, "b": grad_b}

    return loss_and_gradients


def ridge_in_torch(x, y, w, b):
    return F.mse_loss(x @ w + b, y) + LAMBDA * (w**2).sum()


@pytest.mark.parametrize(
    ("wrong", "cause", "says"),
    [
        ("forgotten", "missing penalty", "penalty on w is left out"),
        ("all forgotten", "missing penalty", "left out"),
        ("bias in both", "penalty on the bias", "also acts on b"),
        ("two forgotten", "penalty scaled", "1/2"),
        ("by rows", "penalty scaled", "1/rows"),
        ("subtracted", "penalty scaled", "subtracted"),
        ("square kept", "wrong derivative", "of the parameter's square"),
        ("sign", "wrong derivative", "of the parameter's sign"),
    ],
)
def test_named_in_a_function(wrong, cause, says):
    report = compare.gradients(ridge(wrong), ridge_in_torch, INPUTS)
    assert report.outcome == "diverged"
    assert report.causes[0].cause == cause
    assert says in report.causes[0].explanation


def test_right():
    assert compare.gradients(ridge(), ridge_in_torch, INPUTS).outcome == "equivalent"
    assert report_on(penalty=True, shown=("terms", "deposits")).outcome == "equivalent"


def test_another_derivative_is_none_of_them():
    report = compare.gradients(ridge("odd"), ridge_in_torch, INPUTS)
    assert report.causes[0].cause not in ("missing penalty", "penalty scaled", "wrong variable decayed")


def test_a_factor_on_all_is_no_scaled_penalty():
    def doubled(**inputs):
        loss, gradients = ridge()(**inputs)
        return loss, {name: 2 * gradient for name, gradient in gradients.items()}

    assert compare.gradients(doubled, ridge_in_torch, INPUTS).causes[0].cause != "penalty scaled"
