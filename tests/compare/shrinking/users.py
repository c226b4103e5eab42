"""Code as users write it, with mistakes."""

import numpy as np
import torch


def ridge(x, y, w, b, strength):
    residual = x @ w + b - y
    rows = len(y)
    loss = float(residual @ residual / (2 * rows) + strength / (2 * rows) * (w @ w))
    return loss, {"w": x.T @ residual / rows + strength * w, "b": residual.mean()}


def ridge_torch(x, y, w, b, strength):
    residual = x @ w + b - y
    return (residual * residual).mean() / 2 + strength / (2 * len(y)) * (w * w).sum()


def adam(parameter, gradient, slots, step, *, lr, betas=(0.9, 0.999), eps=1e-8):
    mean = slots.setdefault("exp_avg", np.zeros_like(parameter))
    square = slots.setdefault("exp_avg_sq", np.zeros_like(parameter))
    mean += (1 - betas[0]) * (gradient - mean)
    square += (1 - betas[1]) * (gradient**2 - square)
    parameter -= lr * mean / (np.sqrt(square) + eps)


class Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b):
        ctx.save_for_backward(x, w)
        return x @ w.T + b

    @staticmethod
    def backward(ctx, incoming):
        x, w = ctx.saved_tensors
        return incoming @ w, incoming.T @ x, incoming.mean(0)


class Side:
    """A linear model whose micro-batches are weighed alike."""

    def __init__(self):
        self.parameters = {"weight": np.array([[0.3, -0.2, 0.5]]), "bias": np.array([0.1])}
        self.gradients = {}
        self.many = 0

    def zero_grad(self):
        self.gradients = {name: np.zeros_like(value) for name, value in self.parameters.items()}

    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        residual = x @ self.parameters["weight"].T + self.parameters["bias"] - y
        self.gradients["weight"] = self.gradients["weight"] + 0.5 * 2 * residual.T @ x / len(x)
        self.gradients["bias"] = self.gradients["bias"] + 0.5 * 2 * residual.mean(0)
        return float((residual**2).mean())

    def step(self):
        for name, value in self.parameters.items():
            value -= 0.1 * self.gradients[name]


def reference():
    from torch_ref.training import Side as TorchSide

    module = torch.nn.Linear(3, 1).double()
    return TorchSide(module, torch.optim.SGD(module.parameters(), lr=0.1), torch.nn.MSELoss())
