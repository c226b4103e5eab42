"""Schedules that PyTorch's test database of optimizers lacks: every class of ``torch.optim.lr_scheduler``.

Each class comes with the options that change its numbers, over :data:`EPOCHS` epochs: long enough for every phase,
restart and cycle to be gone through, and for the resume in the middle to fall into one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["EPOCHS", "TABLE", "Schedule", "Scheduler"]

EPOCHS = 36


@dataclass(frozen=True)
class Scheduler:
    """How one scheduler is constructed.

    Attributes
    ----------
    name : of the class in ``torch.optim.lr_scheduler``
    arguments, options : what follows the optimizer; a ``Scheduler`` among them stands for what it constructs
    """

    name: str
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The class, and those of the schedulers that it is given."""
        return (self.name, *(name for one in self.options.get("schedulers", ()) for name in one.names))


@dataclass(frozen=True)
class Schedule:
    """One or more schedulers that step on the same optimizer in turn.

    Attributes
    ----------
    schedulers : Schedulers
    optimizer : name of its class
    options : of the optimizer
    note : what is special about it
    by_hand : whether the rates are also changed by hand on the way
    groups : whether the optimizer may have several groups
    """

    schedulers: tuple[Scheduler, ...]
    optimizer: str = "SGD"
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    by_hand: bool = False
    groups: bool = True

    @property
    def name(self) -> str:
        """The classes, in the order in which they step."""
        return " + ".join(scheduler.name for scheduler in self.schedulers)

    @property
    def names(self) -> tuple[str, ...]:
        """Every class that takes part."""
        return tuple(name for scheduler in self.schedulers for name in scheduler.names)

    @property
    def label(self) -> str:
        said = [f"with {self.optimizer}", *([self.note] if self.note else []), *(["by hand"] if self.by_hand else [])]
        return f"{self.name} ({', '.join(said)})"


class Warmup:
    """A factor of the epoch as an object, whose attributes are part of a scheduler's state."""

    def __init__(self, epochs: int):
        self.epochs = epochs

    def __call__(self, epoch: int) -> float:
        return min(1.0, (epoch + 1) / self.epochs)


_OPTIMIZERS: Mapping[str, dict[str, Any]] = {
    "SGD": {"lr": 0.4, "momentum": 0.9},
    "Adam": {"lr": 0.4, "betas": (0.7, 0.97)},
}


def _one(name: str, optimizer: str = "SGD", *, note: str = "", by_hand: bool = False, **options: Any) -> Schedule:
    said = note or ", ".join(f"{key}={value}" for key, value in options.items() if isinstance(value, (int, float, str)))
    return Schedule((Scheduler(name, (), options),), optimizer, dict(_OPTIMIZERS[optimizer]), said, by_hand)


def _inner(name: str, **options: Any) -> Scheduler:
    return Scheduler(name, (), options)


TABLE: tuple[Schedule, ...] = (
    _one("LambdaLR", lr_lambda=lambda epoch: 0.95**epoch, note="a function"),
    _one("LambdaLR", lr_lambda=[lambda epoch: 1 / (1 + epoch), Warmup(7)], note="one for each group"),
    _one("MultiplicativeLR", lr_lambda=lambda epoch: 0.95 - 0.01 * (epoch % 3), note="a function"),
    _one("MultiplicativeLR", lr_lambda=[lambda epoch: 0.9, Warmup(5)], note="one for each group", by_hand=True),
    _one("StepLR", step_size=5, gamma=0.3),
    _one("StepLR", step_size=1),
    _one("StepLR", step_size=7, gamma=0.5, by_hand=True),
    _one("MultiStepLR", milestones=[4, 4, 9, 25], gamma=0.5, note="a milestone twice"),
    _one("MultiStepLR", milestones=[1, 18], by_hand=True),
    _one("ConstantLR"),
    _one("ConstantLR", factor=0.25, total_iters=19),
    _one("ConstantLR", factor=0.25, total_iters=0),
    _one("LinearLR"),
    _one("LinearLR", start_factor=0.2, end_factor=0.7, total_iters=21),
    _one("LinearLR", start_factor=1.0, end_factor=0.0, total_iters=30, by_hand=True),
    _one("ExponentialLR", gamma=0.93),
    _one("ExponentialLR", gamma=0.8, by_hand=True),
    _one("PolynomialLR"),
    _one("PolynomialLR", total_iters=28, power=2.0),
    _one("PolynomialLR", total_iters=22, power=0.5, by_hand=True),
    _one("CosineAnnealingLR", T_max=10),
    _one("CosineAnnealingLR", T_max=50, eta_min=0.01),
    _one("CosineAnnealingLR", T_max=9, eta_min=0.05, by_hand=True),
    _one("CosineAnnealingWarmRestarts", T_0=5),
    _one("CosineAnnealingWarmRestarts", T_0=4, T_mult=2, eta_min=0.01),
    _one("CosineAnnealingWarmRestarts", T_0=3, T_mult=3, by_hand=True),
    _one("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=4),
    _one("CyclicLR", base_lr=[0.01, 0.02], max_lr=[0.3, 0.2], step_size_up=3, step_size_down=7, note="lists"),
    _one("CyclicLR", "Adam", base_lr=0.01, max_lr=0.3, step_size_up=5, mode="triangular2"),
    _one("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=6, mode="exp_range", gamma=0.97, cycle_momentum=False),
    _one("CyclicLR", base_lr=0.01, max_lr=0.3, step_size_up=5, scale_fn=lambda cycle: 0.8**cycle, note="a function"),
    _one("CyclicLR", base_lr=0.1, max_lr=0.2, step_size_up=5, base_momentum=0.5, max_momentum=0.99),
    _one("OneCycleLR", max_lr=0.3, total_steps=EPOCHS + 1),
    _one("OneCycleLR", "Adam", max_lr=[0.3, 0.2], total_steps=40, note="lists", base_momentum=0.6, max_momentum=0.9),
    _one("OneCycleLR", max_lr=0.3, epochs=10, steps_per_epoch=4, anneal_strategy="linear", pct_start=0.45),
    _one("OneCycleLR", max_lr=0.3, total_steps=40, three_phase=True, div_factor=7.0, final_div_factor=30.0),
    _one("OneCycleLR", max_lr=0.3, total_steps=40, cycle_momentum=False, three_phase=True, anneal_strategy="linear"),
    _one("ReduceLROnPlateau", patience=2),
    _one("ReduceLROnPlateau", mode="max", factor=0.5, patience=1, threshold=0.01, threshold_mode="abs", cooldown=2),
    _one("ReduceLROnPlateau", factor=0.3, patience=0, min_lr=[0.05, 0.001], note="lists", by_hand=True),
    _one("ReduceLROnPlateau", factor=0.3, patience=1, cooldown=3, eps=0.01, threshold=0.1),
    _one("ReduceLROnPlateau", mode="min", factor=0.6, patience=1, threshold_mode="abs", threshold=0.02),
    _one("ReduceLROnPlateau", mode="max", factor=0.6, patience=3, threshold=0.2),
    _one(
        "SequentialLR",
        schedulers=[
            _inner("LinearLR", start_factor=0.1, total_iters=6),
            _inner("ExponentialLR", gamma=0.9),
            _inner("CosineAnnealingLR", T_max=8, eta_min=0.01),
        ],
        milestones=[6, 20],
        note="warm up, decay, anneal",
    ),
    _one(
        "SequentialLR",
        schedulers=[
            _inner("ConstantLR", factor=0.5, total_iters=20),
            _inner("CosineAnnealingWarmRestarts", T_0=4),
            _inner("StepLR", step_size=3, gamma=0.7),
        ],
        milestones=[10, 17],
        note="a milestone where the run is resumed",
        by_hand=True,
    ),
    _one(
        "ChainedScheduler",
        schedulers=[_inner("ConstantLR", factor=0.4, total_iters=20), _inner("ExponentialLR", gamma=0.93)],
    ),
    _one(
        "ChainedScheduler",
        schedulers=[
            _inner("LinearLR", start_factor=0.5, total_iters=8),
            _inner("MultiStepLR", milestones=[5, 19], gamma=0.5),
            _inner("MultiplicativeLR", lr_lambda=lambda epoch: 0.97),
        ],
        note="three",
        by_hand=True,
    ),
    _one(
        "SequentialLR",
        schedulers=[
            _inner(
                "ChainedScheduler",
                schedulers=[_inner("LinearLR", start_factor=0.2), _inner("ExponentialLR", gamma=0.97)],
            ),
            _inner("CosineAnnealingLR", T_max=12),
        ],
        milestones=[9],
        note="a chain inside",
    ),
    _one("SWALR", swa_lr=0.05),
    _one("SWALR", swa_lr=[0.05, 0.5], anneal_epochs=20, anneal_strategy="linear", note="lists"),
)
"""A class that moves momentum too has its rates and its momentum compared."""
