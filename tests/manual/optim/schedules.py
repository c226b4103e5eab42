"""Schedules to compare, each as options that either package understands, and what is compared of them."""

import copy
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from manual import optim
from manual.optim import lr_scheduler, swa_utils
from manual.tensor import Tensor

EPOCHS = 30
RATES = (0.1, 0.07)
METRICS = np.random.default_rng(7).normal(1.0, 0.3, EPOCHS + 2).cumprod() ** 0.1  # falls, rises, stands still

OPTIMIZERS = {
    "SGD": {"lr": 1.0, "momentum": 0.9},
    "Adam": {"lr": 1.0, "betas": (0.7, 0.97)},
}


class Warmup:
    """A callable object, whose attributes are part of the state."""

    def __init__(self, epochs):
        self.epochs = epochs

    def __call__(self, epoch):
        return min(1.0, (epoch + 1) / self.epochs)


class Halving:
    """A callable object for the scale of cycles."""

    def __init__(self, base):
        self.base = base

    def __call__(self, cycle):
        return self.base**-cycle


@dataclass(frozen=True)
class Case:
    """One schedule: a class, its options, and the optimizer it moves; inner schedules are cases as well."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    optimizer: str = "SGD"

    @property
    def composite(self):
        return "schedulers" in self.options

    @property
    def plateau(self):
        return self.name == "ReduceLROnPlateau"


CASES = [
    Case("LambdaLR", {"lr_lambda": lambda epoch: 0.95**epoch}),
    Case("LambdaLR", {"lr_lambda": [lambda epoch: 1 / (1 + epoch), lambda epoch: 0.9 ** (epoch // 3)]}),
    Case("LambdaLR", {"lr_lambda": (Warmup(7), lambda epoch: 0.5**epoch)}),
    Case("MultiplicativeLR", {"lr_lambda": lambda epoch: 0.95 if epoch % 3 else 1.02}),
    Case("MultiplicativeLR", {"lr_lambda": [Warmup(7), lambda epoch: 1 - 1 / (epoch + 1)]}),
    Case("StepLR", {"step_size": 4}),
    Case("StepLR", {"step_size": 1, "gamma": 0.7}),
    Case("MultiStepLR", {"milestones": [3, 7, 7, 21]}),
    Case("MultiStepLR", {"milestones": range(2, 30, 5), "gamma": 0.3}),
    Case("ConstantLR"),
    Case("ConstantLR", {"factor": 0.7, "total_iters": 11}),
    Case("ConstantLR", {"factor": 0.3, "total_iters": 1}),
    Case("LinearLR"),
    Case("LinearLR", {"start_factor": 0.1, "end_factor": 0.7, "total_iters": 11}),
    Case("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 20}),
    Case("ExponentialLR", {"gamma": 0.9}),
    Case("PolynomialLR"),
    Case("PolynomialLR", {"total_iters": 22, "power": 0.9}),
    Case("PolynomialLR", {"total_iters": 30, "power": 2}),
    Case("CosineAnnealingLR", {"T_max": 7}),
    Case("CosineAnnealingLR", {"T_max": 10, "eta_min": 0.01}),
    Case("CosineAnnealingLR", {"T_max": 1}),
    Case("CosineAnnealingLR", {"T_max": 100, "eta_min": 0.2}),
    Case("CosineAnnealingWarmRestarts", {"T_0": 4}),
    Case("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    Case("CosineAnnealingWarmRestarts", {"T_0": 1, "T_mult": 3}),
    Case("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5}),
    Case("CyclicLR", {"base_lr": [0.01, 0.03], "max_lr": (0.1, 0.2), "step_size_up": 3, "step_size_down": 7, "mode": "triangular2", "base_momentum": [0.5, 0.6], "max_momentum": [0.8, 0.99]}),
    Case("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "mode": "exp_range", "gamma": 0.93}, "Adam"),
    Case("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "scale_fn": Halving(1.5), "cycle_momentum": False}),
    Case("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "scale_fn": lambda step: 0.97**step, "scale_mode": "iterations"}),
    Case("OneCycleLR", {"max_lr": 0.3, "total_steps": EPOCHS + 2}),
    Case("OneCycleLR", {"max_lr": [0.3, 0.1], "epochs": 6, "steps_per_epoch": 6, "anneal_strategy": "linear", "div_factor": 7.0, "final_div_factor": 30.0}, "Adam"),
    Case("OneCycleLR", {"max_lr": 0.3, "total_steps": 31, "three_phase": True, "pct_start": 0.37, "base_momentum": [0.5, 0.6], "max_momentum": (0.8, 0.99)}),
    Case("OneCycleLR", {"max_lr": 0.3, "total_steps": 40, "three_phase": True, "cycle_momentum": False}),
    Case("ReduceLROnPlateau", {"patience": 2}),
    Case("ReduceLROnPlateau", {"mode": "max", "factor": 0.5, "patience": 0, "threshold": 0.05, "cooldown": 2, "min_lr": [0.01, 0.03]}),
    Case("ReduceLROnPlateau", {"factor": 0.3, "patience": 1, "threshold": 0.01, "threshold_mode": "abs", "eps": 1e-3}),
    Case("ReduceLROnPlateau", {"mode": "max", "factor": 0.9, "patience": 1, "threshold_mode": "abs", "min_lr": 0.05}),
    Case("SequentialLR", {"schedulers": [Case("ConstantLR", {"factor": 0.1, "total_iters": 4}), Case("ExponentialLR", {"gamma": 0.9})], "milestones": [6]}),
    Case("SequentialLR", {"schedulers": [Case("LinearLR"), Case("CosineAnnealingLR", {"T_max": 8}), Case("StepLR", {"step_size": 2})], "milestones": [5, 14]}),
    Case("SequentialLR", {"schedulers": [Case("LinearLR"), Case("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2})], "milestones": [4]}),
    Case("SequentialLR", {"schedulers": [Case("LinearLR", {"total_iters": 3}), Case("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5})], "milestones": [7]}),
    Case("SequentialLR", {"schedulers": [Case("ExponentialLR", {"gamma": 0.8}), Case("MultiplicativeLR", {"lr_lambda": Warmup(9)}), Case("PolynomialLR", {"total_iters": 9}), Case("LambdaLR", {"lr_lambda": Warmup(4)})], "milestones": [3, 9, 20]}),
    Case("SequentialLR", {"schedulers": [Case("ChainedScheduler", {"schedulers": [Case("LinearLR"), Case("ExponentialLR", {"gamma": 0.97})]}), Case("MultiStepLR", {"milestones": [4, 7]})], "milestones": [10]}),
    Case("SequentialLR", {"schedulers": [Case("StepLR", {"step_size": 3}), Case("ConstantLR")], "milestones": [0]}),
    Case("ChainedScheduler", {"schedulers": [Case("ConstantLR", {"factor": 0.1, "total_iters": 4}), Case("ExponentialLR", {"gamma": 0.9})]}),
    Case("ChainedScheduler", {"schedulers": [Case("PolynomialLR", {"total_iters": 25}), Case("LambdaLR", {"lr_lambda": Warmup(5)}), Case("CosineAnnealingLR", {"T_max": 9, "eta_min": 0.01})]}),
    Case("ChainedScheduler", {"schedulers": [Case("OneCycleLR", {"max_lr": 0.3, "total_steps": 40}), Case("StepLR", {"step_size": 5})]}, "Adam"),
]  # fmt: skip

SWA = [
    Case("SWALR", {"swa_lr": 0.02}),
    Case("SWALR", {"swa_lr": [0.02, 0.3], "anneal_epochs": 7, "anneal_strategy": "linear"}),
    Case("SWALR", {"swa_lr": 0.02, "anneal_epochs": 0}),
    Case("SequentialLR", {"schedulers": [Case("ExponentialLR", {"gamma": 0.9}), Case("SWALR", {"swa_lr": 0.02, "anneal_epochs": 5})], "milestones": [8]}),
]  # fmt: skip


def named(cases):
    """Parametrize over cases, with readable ids."""
    ids = [f"{case.name}-{'-'.join(case.options) or 'defaults'}-{index}" for index, case in enumerate(cases)]
    return pytest.mark.parametrize("case", cases, ids=ids)


def ours(kind="SGD", dtype=None):
    """An optimizer of two groups; with a dtype their rates are arrays."""
    rates = RATES if dtype is None else [np.array(rate, dtype) for rate in RATES]
    groups = [{"params": [Tensor(np.zeros(2), requires_grad=True)], "lr": rate} for rate in rates]
    return getattr(optim, kind)(groups, **OPTIMIZERS[kind])


def theirs(kind="SGD", dtype=None):
    rates = RATES if dtype is None else [torch.tensor(rate, dtype=getattr(torch, dtype)) for rate in RATES]
    groups = [{"params": [torch.zeros(2, requires_grad=True)], "lr": rate} for rate in rates]
    return getattr(torch.optim, kind)(groups, **OPTIMIZERS[kind])


def rates(optimizer):
    return [float(group["lr"]) for group in optimizer.param_groups]


def momenta(optimizer):
    return [group["betas"] if "betas" in group else group["momentum"] for group in optimizer.param_groups]


class Side:
    """An optimizer and its schedules, in one of the packages."""

    def __init__(self, torchs, *cases, optimizer=None, last_epoch=None):
        self.packages = (torch.optim.lr_scheduler, torch.optim.swa_utils) if torchs else (lr_scheduler, swa_utils)
        make = theirs if torchs else ours
        self.optimizer = make(cases[0].optimizer if cases else "SGD") if optimizer is None else optimizer
        self.epochs = 0
        with warnings.catch_warnings():
            if any(inner.composite for case in cases for inner in case.options.get("schedulers", ())):
                # a chain makes its first step twice where a sequence begins with it
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            self.schedulers = [self.build(case, last_epoch) for case in cases]

    def build(self, case, last_epoch=None):
        package = next(package for package in self.packages if hasattr(package, case.name))
        options = copy.deepcopy({name: value for name, value in case.options.items() if name != "schedulers"})
        if case.composite:
            options["schedulers"] = [self.build(inner) for inner in case.options["schedulers"]]
        if last_epoch is not None:
            options["last_epoch"] = last_epoch
        if case.name == "ChainedScheduler":
            return getattr(package, case.name)(**options)
        return getattr(package, case.name)(self.optimizer, **options)

    def epoch(self):
        self.optimizer.step()
        self.epochs += 1
        for scheduler in self.schedulers:
            plateau = type(scheduler).__name__ == "ReduceLROnPlateau"
            scheduler.step(METRICS[self.epochs]) if plateau else scheduler.step()


def pair(*cases):
    return Side(False, *cases), Side(True, *cases)


def assert_agree(first, second, epoch):
    """Rates, momenta and every key of the states, to the last bit."""
    assert rates(first.optimizer) == rates(second.optimizer), f"epoch {epoch}"
    assert momenta(first.optimizer) == momenta(second.optimizer), f"epoch {epoch}"
    for mine, reference in zip(first.schedulers, second.schedulers, strict=True):
        assert mine.get_last_lr() == reference.get_last_lr(), f"epoch {epoch}"
        assert mine.state_dict() == reference.state_dict(), f"epoch {epoch}"
