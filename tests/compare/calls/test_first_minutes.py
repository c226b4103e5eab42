"""Three mistakes that a new user brings, each in at most fifteen lines of their own: found, placed and named."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import compare


def logistic_regression():
    def logistic(x, y, w):
        p = 1 / (1 + np.exp(-x @ w))
        loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        return loss, {"w": x.T @ (y - p) / len(y)}  # the sign

    def logistic_torch(x, y, w):
        return nn.functional.binary_cross_entropy_with_logits(x @ w, y)

    draw = np.random.default_rng(0)
    data = {"x": draw.standard_normal((16, 5)), "y": draw.integers(0, 2, 16) * 1.0, "w": draw.standard_normal(5)}
    return compare.gradients(logistic, logistic_torch, data, wrt=["w"])


def adam_without_correction():
    def adam(parameter, gradient, slots, step, *, lr, betas, eps):
        m = slots["exp_avg"] = betas[0] * slots.get("exp_avg", 0) + (1 - betas[0]) * gradient
        v = slots["exp_avg_sq"] = betas[1] * slots.get("exp_avg_sq", 0) + (1 - betas[1]) * gradient**2
        parameter -= lr * m / (np.sqrt(v) + eps)  # both averages start at zero

    return compare.optimizer(adam, torch.optim.Adam, options={"lr": 1e-2})


def custom_function():
    class Swish(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * torch.sigmoid(x)

        @staticmethod
        def backward(ctx, incoming):
            s = torch.sigmoid(ctx.saved_tensors[0])
            return incoming * s  # the second term of the product rule

    return compare.module(Swish, nn.SiLU(), np.random.default_rng(0).standard_normal((8, 3)))


FOUND = {
    "a sign": (logistic_regression, "accumulated", "w", "logistic", "sign"),
    "no bias correction": (adam_without_correction, "update", "matrix", "optimizer", "bias correction missing"),
    "half a product rule": (custom_function, "backward", "", "Swish", "missing term"),
}


@pytest.mark.parametrize(("user", "phase", "name", "culprit", "cause"), FOUND.values(), ids=FOUND)
def test_a_new_users_mistake_is_found_placed_and_named(user, phase, name, culprit, cause):
    lines = [line for line in inspect.getsource(user).splitlines()[1:] if line.strip()]
    assert len(lines) <= 15
    report = user()
    first = report.first_divergence
    assert report.outcome == "diverged"
    assert (first.checkpoint.phase, first.checkpoint.name, first.culprit) == (phase, name, culprit)
    assert report.causes[0].cause == cause
