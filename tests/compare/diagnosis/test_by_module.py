"""Walks by step and by module, where every step starts from the reference's state: the manual wing, one part spoiled."""

from functools import partial

import numpy as np
import pytest
import torch

import manual
import manual.models
import manual.training
import torch_ref.models
import torch_ref.training
from compare.batches import cut
from compare.lockstep import lockstep
from manual.nn.utils import clip_grad_norm_

SIZES = (4, 5, 3)
ADAM = {"lr": 0.02, "eps": 1e-2, "weight_decay": 0.2}


class EpsInside(manual.optim.Adam):
    """Adam whose eps is under the root."""

    def bundled(self, group):
        return False

    def update(self, parameter, gradient, slots, group):
        lr, (beta1, beta2), eps, t = group["lr"], group["betas"], group["eps"], slots["step"].item()
        g = gradient + group["weight_decay"] * parameter
        m, v = slots["exp_avg"], slots["exp_avg_sq"]
        m[...] = beta1 * m + (1 - beta1) * g
        v[...] = beta2 * v + (1 - beta2) * g * g
        parameter -= lr * m / (1 - beta1**t) / np.sqrt(v / (1 - beta2**t) + eps)


class CountedFromTwo(manual.optim.Adam):
    """Adam whose count starts one too high."""

    def new_slots(self, parameter, group):
        slots = super().new_slots(parameter, group)
        slots["step"] = slots["step"] + np.float32(1)
        return slots


class BiasLeftOut(manual.optim.Adam):
    """Adam that leaves vectors alone."""

    def bundled(self, group):
        return False

    def update(self, parameter, gradient, slots, group):
        if parameter.ndim > 1:
            super().update(parameter, gradient, slots, group)


def squared_norm(parameters, max_norm):
    norm = sum((p.grad**2).sum() for p in parameters)
    for p in parameters:
        p.grad *= min(1.0, max_norm / (norm + 1e-6))
    return norm


def per_tensor(parameters, max_norm):
    norm = np.sqrt(sum((p.grad**2).sum() for p in parameters))
    for p in parameters:
        clip_grad_norm_([p], max_norm)
    return norm


class MeanOfMeans(manual.training.Side):
    """A side whose micro-batches weigh the same."""

    def accumulate(self, micro_batch, weight):
        return super().accumulate(micro_batch, 1 / 2)


class OnlyTheLast(manual.training.Side):
    """A side that clears in the loop."""

    def accumulate(self, micro_batch, weight):
        self.zero_grad()
        return super().accumulate(micro_batch, weight)


class NeverCleared(manual.training.Side):
    """A side that does not clear."""

    def zero_grad(self):
        pass


class Standing(manual.training.Side):
    """A side whose schedule stands."""

    def advance_schedule(self):
        pass


def walk(sync, *, optimizer=manual.optim.Adam, clip=clip_grad_norm_, side=manual.training.Side):
    def twin():
        torch.manual_seed(0)
        return torch_ref.models.MLP(SIZES, torch.nn.Tanh).double()

    def expected():
        module = twin()
        adam = torch.optim.Adam(module.parameters(), **ADAM)
        schedule = torch.optim.lr_scheduler.StepLR(adam, 1, 0.5)
        clip = partial(torch.nn.utils.clip_grad_norm_, max_norm=0.3)
        return torch_ref.training.Side(module, adam, torch.nn.MSELoss(), schedule, clip)

    def actual():
        module = manual.models.MLP(SIZES, manual.nn.Tanh).to(np.float64)
        module.load_state_dict({name: value.numpy() for name, value in twin().state_dict().items()})
        mine = optimizer(module.parameters(), **ADAM)
        schedule = manual.optim.lr_scheduler.StepLR(mine, 1, 0.5)
        return side(module, mine, manual.nn.MSELoss(), schedule, partial(clip, max_norm=0.3))

    generator = np.random.default_rng(4)
    steps = [cut(generator.standard_normal((7, 4)), generator.standard_normal((7, 3)), 2) for _ in range(3)]
    return lockstep(actual, expected, steps, sync=sync)


SPOILED = {
    "eps inside": ({"optimizer": EpsInside}, "optimizer", "eps inside the root"),
    "counted from two": ({"optimizer": CountedFromTwo}, "optimizer", "step count off by one"),
    "bias left out": ({"optimizer": BiasLeftOut}, "optimizer", "parameter left out"),
    "squared norm": ({"clip": squared_norm}, "clip", "squared norm"),
    "per tensor": ({"clip": per_tensor}, "clip", "clipped per tensor"),
    "mean of means": ({"side": MeanOfMeans}, "accumulation", "mean of means"),
    "only the last": ({"side": OnlyTheLast}, "accumulation", "only the last micro-batch"),
    "never cleared": ({"side": NeverCleared}, "accumulation", "previous gradient added"),
    "schedule": ({"side": Standing}, "scheduler", "schedule not advanced"),
}


@pytest.mark.parametrize("sync", ["step", "module"])
@pytest.mark.parametrize(("spoiled", "culprit", "cause"), SPOILED.values(), ids=SPOILED)
def test_named(sync, spoiled, culprit, cause):
    verdict = walk(sync, **spoiled)
    assert [found.causes[0].cause for found in verdict.faults] == [cause]
    assert verdict.first_divergence.culprit == culprit


def test_three_faults_each_with_its_cause():
    verdict = walk("module", optimizer=EpsInside, clip=squared_norm, side=MeanOfMeans)
    found = {fault.culprit: fault.causes[0].cause for fault in verdict.faults}
    assert found == {
        "accumulation": "mean of means",
        "clip": "squared norm",
        "optimizer": "eps inside the root",
    }


@pytest.mark.parametrize("sync", ["step", "module"])
def test_right(sync):
    assert walk(sync).outcome == "equivalent"
