"""Running statistics of a batch normalisation that a user wrote in NumPy."""

from collections import OrderedDict

import numpy as np
import pytest
import torch

import compare
import torch_ref.training

EPS = 1e-2
MOMENTUM = 0.3


class Normed:
    """Batch normalisation without scale and shift, then a linear layer and squared errors."""

    def __init__(self, wrong="", *, frozen=False):
        self.wrong = wrong
        self.frozen = frozen
        generator = np.random.default_rng(2)
        self.parameters = {"linear.weight": generator.standard_normal((2, 4)), "linear.bias": np.zeros(2)}
        self.buffers = {"norm.running_mean": np.full(4, 0.5), "norm.running_var": np.full(4, 2.0)}
        self.gradients = {}

    def zero_grad(self):
        self.gradients = {}

    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        mean, var = x.mean(0), x.var(0)
        self._track(mean, var, len(x))
        if self.frozen:
            mean, var = np.full(4, 0.5), np.full(4, 2.0)
        normed = (x - mean) / np.sqrt(var + EPS)
        weights, bias = self.parameters.values()
        delta = 2 * (normed @ weights.T + bias - y) / y.size
        for name, g in {"linear.weight": delta.T @ normed, "linear.bias": delta.sum(0)}.items():
            self.gradients[name] = self.gradients.get(name, 0) + weight * g

    def _track(self, mean, var, rows):
        wrong, momentum = self.wrong, MOMENTUM
        if (self.frozen and wrong != "moves") or wrong == "stands still":
            return
        if wrong != "biased":
            var = var * rows / (rows - 1)
        if wrong == "swapped":
            momentum = 1 - momentum
        if wrong == "deviation":
            var = np.sqrt(var)
        if wrong == "other momentum":
            momentum = 0.2
        if wrong == "replaced":
            momentum = 1.0
        for name, value in (("mean", mean), ("var", var)):
            if wrong == "mean stands still" and name == "mean":
                continue
            held = self.buffers[f"norm.running_{name}"]
            self.buffers[f"norm.running_{name}"] = (1 - momentum) * held + momentum * value

    def step(self):
        for name, g in self.gradients.items():
            self.parameters[name] = self.parameters[name] - 0.1 * g


def twin(frozen=False):
    norm = torch.nn.BatchNorm1d(4, eps=EPS, momentum=MOMENTUM, affine=False)
    module = torch.nn.Sequential(OrderedDict(norm=norm, linear=torch.nn.Linear(4, 2))).double()
    state = {**Normed().parameters, **Normed().buffers}
    module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, strict=False)
    if frozen:
        norm.eval()
    return torch_ref.training.Side(module, torch.optim.SGD(module.parameters(), lr=0.1), torch.nn.MSELoss())


def report_on(wrong="", *, frozen=False, micro_batches=2):
    generator = np.random.default_rng(6)
    data = [(generator.standard_normal((9, 4)) * [1, 2, 3, 4], generator.standard_normal((9, 2))) for _ in range(3)]
    make = lambda: Normed(wrong, frozen=frozen)  # noqa: E731
    return compare.training(make, lambda: twin(frozen), data, micro_batches)


@pytest.mark.parametrize(
    ("wrong", "cause", "says"),
    [
        ("biased", "biased or unbiased variance", "divides by n, not by n - 1"),
        ("swapped", "moment without its average", "changed places"),
        ("deviation", "wrong function", "standard deviations"),
        ("replaced", "moment without its average", "last batch's alone"),
        ("stands still", "buffer not updated", "stay as they were"),
        ("mean stands still", "buffer not updated", "stays as it was"),
    ],
)
def test_named(wrong, cause, says):
    report = report_on(wrong)
    assert report.first_divergence.checkpoint.phase == "buffer"
    assert report.causes[0].cause == cause
    assert says in report.causes[0].explanation


def test_frozen():
    report = report_on("moves", frozen=True)
    assert report.causes[0].cause == "buffer updated when frozen"


def test_right():
    assert report_on().outcome == "equivalent"
    assert report_on(micro_batches=1).outcome == "equivalent"
    assert report_on(frozen=True).outcome == "equivalent"


def test_another_momentum_is_unknown():
    assert report_on("other momentum").causes[0].cause == "unknown"
