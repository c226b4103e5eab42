"""The penalty in the loss and in its gradient, shown by the reference or hidden in its loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import compare
import torch_ref.training

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
    ("averaged", "penalty scaled", ""),
    ("of the gradient", "wrong variable decayed", "gradient is added in the parameter's place"),
    ("per micro-batch", "penalty per micro-batch", "whole with every micro-batch"),
]


@pytest.mark.parametrize(("wrong", "cause", "says"), MISTAKES, ids=[case[0] for case in MISTAKES])
def test_named_in_a_training_step(wrong, cause, says):
    report = report_on(wrong, penalty=True)
    assert report.outcome == "diverged"
    assert report.causes[0].cause == cause
    assert says in report.causes[0].explanation


@pytest.mark.parametrize("wrong", ["no penalty", "bias penalised in the gradient", "half", "per micro-batch"])
def test_named_where_terms_and_deposits_are_shown(wrong):
    report = report_on(wrong, penalty=True, shown=("terms", "deposits"))
    assert report.causes[0].cause == {case[0]: case[1] for case in MISTAKES}[wrong]


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


@pytest.mark.parametrize("wrong", ["forgotten", "bias in both", "two forgotten", "sign"])
def test_named_in_float32(wrong):
    inputs = {name: value.astype(np.float32) for name, value in INPUTS.items()}
    causes = {
        "forgotten": "missing penalty",
        "bias in both": "penalty on the bias",
        "two forgotten": "penalty scaled",
        "sign": "wrong derivative",
    }
    assert compare.gradients(ridge(wrong), ridge_in_torch, inputs).causes[0].cause == causes[wrong]


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


def test_decay_of_adamw_added_to_the_gradient():
    class Side:
        """Adam on gradients that carry the decay, where AdamW keeps it apart."""

        def __init__(self):
            self.parameters = {"weight": np.array([[0.5, -1.0, 2.0]]), "bias": np.array([0.3])}
            self.moments = {name: (np.zeros_like(p), np.zeros_like(p)) for name, p in self.parameters.items()}
            self.number = 0
            self.zero_grad()

        def zero_grad(self):
            self.gradients = {name: np.zeros_like(p) for name, p in self.parameters.items()}

        def accumulate(self, micro_batch, weight):
            x, y = micro_batch
            delta = 2 * (x @ self.parameters["weight"].T + self.parameters["bias"] - y) / len(y)
            for name, g in {"weight": delta.T @ x, "bias": delta.sum(0)}.items():
                self.gradients[name] += weight * (g + 0.4 * self.parameters[name])

        def step(self):
            self.number += 1
            for name, g in self.gradients.items():
                m, v = self.moments[name]
                m[...] = 0.9 * m + 0.1 * g
                v[...] = 0.999 * v + 0.001 * g * g
                scale = np.sqrt(v / (1 - 0.999**self.number)) + 1e-8
                self.parameters[name] = self.parameters[name] - 0.01 * m / (1 - 0.9**self.number) / scale

    def reference():
        module = torch.nn.Linear(3, 1).double()
        module.load_state_dict({name: torch.from_numpy(value) for name, value in Side().parameters.items()})
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.01, weight_decay=0.4)
        return torch_ref.training.Side(module, optimizer, torch.nn.MSELoss())

    data = [(_random.standard_normal((7, 3)), _random.standard_normal((7, 1))) for _ in range(2)]
    report = compare.training(Side, reference, data, 2)
    assert report.causes[0].cause == "L2 instead of decoupled decay"
