"""Training sides as users write them, and the references that they are held against."""

import copy
import types

import numpy as np
import torch
from torch import nn

import torch_ref

generator = np.random.default_rng(7)
BATCHES = [(generator.standard_normal((11, 4)), generator.standard_normal((11, 2))) for _ in range(4)]
torch.manual_seed(0)
NET = nn.Linear(4, 2).double()
INITIAL = {name: value.detach().numpy().copy() for name, value in NET.named_parameters()}


class Mine:
    """Linear regression with momentum, as a user writes it; ``fault`` spoils one line."""

    def __init__(self, fault=""):
        self.fault = fault
        self.parameters = {name: value.copy() for name, value in INITIAL.items()}
        self.velocity = dict.fromkeys(INITIAL, 0)
        self.gradients = dict.fromkeys(INITIAL)

    def zero_grad(self):
        if self.fault != "zero_grad left out":
            self.gradients = dict.fromkeys(INITIAL)

    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        if self.fault == "mean of means":
            weight = 1 / 3
        residual = x @ self.parameters["weight"].T + self.parameters["bias"] - y
        slope = 2 * residual / residual.size * weight
        for name, gradient in {"weight": slope.T @ x, "bias": slope.sum(0)}.items():
            held = self.gradients[name]
            fresh = held is None or self.fault == "only the last micro-batch"
            self.gradients[name] = gradient if fresh else held + gradient
        if self.fault == "a changed input":
            x *= 2
        return self.loss(np.mean(residual**2), residual)

    def loss(self, loss, residual):
        return loss

    def step(self):
        for name, parameter in self.parameters.items():
            self.velocity[name] = 0.9 * self.velocity[name] + self.gradients[name]
            if not (self.fault == "the bias stays" and name == "bias"):
                parameter -= 0.1 * self.velocity[name]


def reference(loss=None, module=NET, **options):
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    return torch_ref.Side(module, optimizer, loss or nn.MSELoss(), **options)


def fresh_reference(schedule=False):
    module = copy.deepcopy(NET)
    side = reference(module=module)
    if schedule:
        side.scheduler = torch.optim.lr_scheduler.StepLR(side.optimizer, 2)
    return side


def in_a_namespace(fault=""):
    """A side of lambdas, which a copy would leave attached to the original."""
    inner = Mine(fault)
    return types.SimpleNamespace(
        parameters=lambda: inner.parameters,
        gradients=lambda: inner.gradients,
        zero_grad=lambda: inner.zero_grad(),
        accumulate=lambda micro_batch, weight: inner.accumulate(micro_batch, weight),
        step=lambda: inner.step(),
    )


class WithAHandle(Mine):
    def __deepcopy__(self, memo):
        raise TypeError("cannot copy a handle")


def weighted(y, q):
    counted = y != -100
    weights = np.where(counted, np.array([1.0, 2.0, 3.0])[np.where(counted, y, 0)], 0.0)
    return weights, -np.sum(weights * np.log(q[np.arange(len(y)), np.where(counted, y, 0)])) / weights.sum()


class Classifier:
    """Softmax regression with class weights and ignored rows."""

    def __init__(self, module):
        self.parameters = {name: value.detach().numpy().copy() for name, value in module.named_parameters()}
        self.zero_grad()

    def zero_grad(self):
        self.gradients = {name: np.zeros_like(value) for name, value in self.parameters.items()}

    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        e = np.exp(x @ self.parameters["weight"].T + self.parameters["bias"])
        q = e / e.sum(1, keepdims=True)
        weights, loss = weighted(y, q)
        q[np.arange(len(y)), np.where(y < 0, 0, y)] -= 1
        slope = q * weights[:, None] / weights.sum() * weight
        self.gradients["weight"] += slope.T @ x
        self.gradients["bias"] += slope.sum(0)
        return loss

    def step(self):
        for name in self.parameters:
            self.parameters[name] -= 0.1 * self.gradients[name]


def classification(ignored=(1, 5)):
    module = nn.Linear(4, 3).double()
    y = np.random.default_rng(1).integers(0, 3, 11)
    y[list(ignored)] = -100
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    side = torch_ref.Side(module, torch.optim.SGD(module.parameters(), lr=0.1), loss)
    return Classifier(module), side, [(x, y) for x, _ in BATCHES]
