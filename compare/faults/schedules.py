"""Mistakes about the learning rate: when it moves, how far, and for whom."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from compare.faults import scenes
from compare.faults.collecting import Faults, every_side
from compare.faults.planting import Plant, Planting
from manual.optim import Optimizer
from manual.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, StepLR

__all__ = ["FAULTS"]

FAULTS = Faults()
WARM_UP = 2


def hyperbolic(epoch: int) -> float:
    """A rate that falls at every step."""
    return 1 / (1 + 0.4 * epoch)


def warmed(epoch: int, since: int = WARM_UP) -> float:
    """Up to the full rate in two steps, then down by a fifth at each, counted from ``since``."""
    return (epoch + 1) / (WARM_UP + 1) if epoch < WARM_UP else 0.8 ** (epoch - since)


_HYPERBOLIC = scenes.network(schedule=("LambdaLR", (("lr_lambda", hyperbolic),)))
_WARMED = scenes.network(schedule=("LambdaLR", (("lr_lambda", warmed),)))
_LINEAR = scenes.network(schedule=("LinearLR", (("start_factor", 0.2), ("total_iters", 7))))
_STEPPED = scenes.network()


def _rates(kind: Any, wrong: Callable[[Any, Any], list[float]]) -> Plant:
    """A schedule whose rates are ``wrong(scheduler, right)``, ``right()`` giving the right ones."""

    def get_lr(right: Any, scheduler: Any) -> list[float]:
        return wrong(scheduler, lambda: right(scheduler))

    return lambda plant: plant.replace(kind, "get_lr", get_lr)


@FAULTS.add(
    "scheduler-per-micro-batch",
    "the scheduler is stepped for every micro-batch",
    cause="schedule per micro-batch",
    phase="schedule",
    step=1,
    scene=scenes.network(schedule=("StepLR", (("step_size", 3), ("gamma", 0.45)))),
    source="Lightning-AI/pytorch-lightning#1476",
)
def per_micro_batch(plant: Planting) -> None:
    begun = [0]

    def zero_grad(right: Any, side: Any) -> None:
        begun[0] = 0
        right(side)

    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        if (
            begun[0] and side.scheduler is not None
        ):  # the end of the loop's last round; that of the last micro-batch comes after the update
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                side.scheduler.step()
        begun[0] += 1
        return right(side, micro_batch, weight)

    every_side(plant, "zero_grad", zero_grad)
    every_side(plant, "accumulate", accumulate)


@FAULTS.add(
    "scheduler-before-optimizer",
    "the scheduler is stepped before the optimizer, so that the first rate is never used",
    cause="schedule off by one",
    phase="update",
    step=1,
    scene=_HYPERBOLIC,
)
def before_optimizer(plant: Planting) -> None:
    def update(right: Any, side: Any, closure: Any = None) -> None:
        if side.scheduler is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                side.scheduler.step()
        right(side, closure)

    every_side(plant, "update", update)
    every_side(plant, "advance_schedule", lambda right, side: None)


FAULTS.add(
    "schedule-read-before-its-count",
    "the rate is read before the count of steps has moved on",
    cause="schedule off by one",
    phase="schedule",
    step=1,
    scene=_HYPERBOLIC,
)(_rates(LambdaLR, lambda s, right: [rate * s.lr_lambdas[0](max(0, s.last_epoch - 1)) for rate in s.base_lrs]))


def _linear_ahead(scheduler: Any, right: Callable[[], list[float]]) -> list[float]:
    if scheduler.last_epoch == 0:
        return right()
    done = min(scheduler.last_epoch + 1, scheduler.total_iters) / scheduler.total_iters
    rise = scheduler.end_factor - scheduler.start_factor
    return [rate * (scheduler.start_factor + rise * done) for rate in scheduler.base_lrs]


FAULTS.add(
    "warm-up-counted-from-one",
    "the warm-up counts the step to come",
    cause="schedule off by one",
    phase="schedule",
    step=1,
    scene=_LINEAR,
)(_rates(LinearLR, _linear_ahead))


@FAULTS.add(
    "scheduler-never-stepped",
    "the scheduler is made and never stepped",
    cause="schedule not advanced",
    phase="schedule",
    step=1,
    scene=_HYPERBOLIC,
)
def never_stepped(plant: Planting) -> None:
    every_side(plant, "advance_schedule", lambda right, side: None)


FAULTS.add(
    "schedule-compounded",
    "the factor of the initial rate multiplies the rate in force",
    cause="other learning rate",
    phase="schedule",
    step=2,
    scene=_HYPERBOLIC,
)(_rates(LambdaLR, lambda s, right: [g["lr"] * s.lr_lambdas[0](s.last_epoch) for g in s.optimizer.param_groups]))

FAULTS.add(
    "stepped-at-every-step-after-the-first-drop",
    "the rate drops at every step from the first milestone on",
    cause="other learning rate",
    phase="schedule",
    step=3,
    scene=_STEPPED,
)(
    _rates(
        StepLR,
        lambda s, right: [g["lr"] * (s.gamma if s.last_epoch >= s.step_size else 1) for g in s.optimizer.param_groups],
    )
)

FAULTS.add(
    "decay-counted-during-the-warm-up",
    "the decay is counted from the start, and the rate drops where the warm-up ends",
    cause="other learning rate",
    phase="schedule",
    step=2,
    scene=_WARMED,
    source="facebookresearch/fairchem#1967",
)(_rates(LambdaLR, lambda s, right: [rate * warmed(s.last_epoch, since=0) for rate in s.base_lrs]))


def _without_floor(scheduler: Any, right: Callable[[], list[float]]) -> list[float]:
    return [rate * (1 + math.cos(math.pi * scheduler.last_epoch / scheduler.T_max)) / 2 for rate in scheduler.base_lrs]


FAULTS.add(
    "cosine-without-its-floor",
    "the cosine falls to zero in place of eta_min",
    cause="other learning rate",
    phase="schedule",
    step=1,
    scene=scenes.network(schedule=("CosineAnnealingLR", (("T_max", 7), ("eta_min", 0.05)))),
)(_rates(CosineAnnealingLR, _without_floor))


@FAULTS.add(
    "rate-of-the-first-group-for-all",
    "every group is updated with the rate of the first",
    cause="other learning rate",
    phase="update",
    step=1,
    scene=scenes.network(vectors=(("lr", 0.11),)),
)
def rate_of_the_first_group(plant: Planting) -> None:
    def step(right: Any, optimizer: Any, closure: Any = None) -> Any:
        rates = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = rates[0]
        try:
            return right(optimizer, closure)
        finally:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

    plant.replace(Optimizer, "step", step)
