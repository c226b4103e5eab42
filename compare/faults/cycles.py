"""Mistakes in schedules of cycles, restarts, powers and milestones, and in schedules made of others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Plant, Planting
from manual.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
)

__all__ = ["FAULTS"]

FAULTS = Faults()

_SWINGING = scenes.network(
    schedule=(
        "CyclicLR",
        (("base_lr", 0.05), ("max_lr", 0.4), ("step_size_up", 2), ("step_size_down", 3), ("cycle_momentum", False)),
    ),
    steps=8,
)
_HALVING = scenes.network(
    schedule=(
        "CyclicLR",
        (("base_lr", 0.05), ("max_lr", 0.4), ("step_size_up", 2), ("mode", "triangular2"), ("cycle_momentum", False)),
    ),
    steps=8,
)
_WITH_MOMENTUM = scenes.network(
    momentum=0.8,
    schedule=(
        "CyclicLR",
        (("base_lr", 0.05), ("max_lr", 0.4), ("step_size_up", 3), ("base_momentum", 0.6), ("max_momentum", 0.85)),
    ),
)
_ONE_CYCLE = scenes.network(
    momentum=0.8,
    schedule=(
        "OneCycleLR",
        (("max_lr", 0.4), ("total_steps", 9), ("pct_start", 0.4), ("div_factor", 4.0), ("final_div_factor", 8.0)),
    ),
    steps=8,
)
_RESTARTING = scenes.network(
    schedule=("CosineAnnealingWarmRestarts", (("T_0", 2), ("T_mult", 2), ("eta_min", 0.05))), steps=8
)
_POLYNOMIAL = scenes.network(schedule=("PolynomialLR", (("total_iters", 7), ("power", 2.0))))
_MILESTONES = scenes.network(schedule=("MultiStepLR", (("milestones", (2, 3)), ("gamma", 0.45))))
_EXPONENTIAL = scenes.network(schedule=("ExponentialLR", (("gamma", 0.7),)))
_CONSTANT = scenes.network(schedule=("ConstantLR", (("factor", 0.4), ("total_iters", 2))))
_WARM_UP = (
    ("LinearLR", (("start_factor", 0.25), ("total_iters", 2))),
    ("ExponentialLR", (("gamma", 0.7),)),
)
_SEQUENTIAL = scenes.network(schedule=("SequentialLR", (("schedulers", _WARM_UP), ("milestones", (2,)))), steps=6)
_CHAINED = scenes.network(schedule=("ChainedScheduler", (("schedulers", _WARM_UP),)))
_PLATEAU = scenes.network(
    lr=1e-3,
    schedule=("ReduceLROnPlateau", (("factor", 0.45), ("patience", 1), ("threshold", 0.5), ("cooldown", 1))),
    steps=6,
)


def _rates(kind: Any, wrong: Callable[[Any, Callable[[], list[float]]], list[float]]) -> Plant:
    """A schedule whose rates are ``wrong(scheduler, right)``, ``right()`` giving the right ones."""

    def get_lr(right: Any, scheduler: Any) -> list[float]:
        return wrong(scheduler, lambda: right(scheduler))

    return lambda plant: plant.replace(kind, "get_lr", get_lr)


def _counted(by: int) -> Callable[[Any, Callable[[], list[float]]], list[float]]:
    """The right rates of another count."""

    def rates(scheduler: Any, right: Callable[[], list[float]]) -> list[float]:
        count = scheduler.last_epoch
        scheduler.last_epoch = max(0, count + by) if count else 0
        try:
            return right()
        finally:
            scheduler.last_epoch = count

    return rates


# -- cycles ------------------------------------------------------------------------------------------------------------

FAULTS.add(
    "cyclic-a-step-late",
    "the swing is read before its count has moved on",
    cause="schedule off by one",
    phase="schedule",
    step=1,
    scene=_SWINGING,
)(_rates(CyclicLR, _counted(-1)))


@FAULTS.add(
    "cyclic-halved-from-the-first-cycle",
    "the height is divided by 2^c where c counts cycles from one: the first swing is already halved",
    cause="other learning rate",
    phase="schedule",
    step=1,
    scene=_HALVING,
)
def halved_from_the_first(plant: Planting) -> None:
    plant.replace(CyclicLR, "scale_fn", lambda right, scheduler, x: right(scheduler, x + 1))


FAULTS.add(
    "cyclic-down-as-long-as-up",
    "step_size_down is ignored: the way down is as long as the way up",
    cause="other learning rate",
    phase="schedule",
    step=3,
    scene=_SWINGING,
)(
    _rates(
        CyclicLR,
        lambda s, right: [
            low + (high - low) * (1 - abs(s.last_epoch % 4 / 2 - 1))
            for low, high in zip(getattr(s, "base_lrs", [0.05]), s.max_lrs, strict=True)
        ],
    )
)


def _momentum_not_cycled(schedule: Any) -> Callable[[Planting], None]:
    def get_lr(right: Any, scheduler: Any) -> list[float]:
        cycles, scheduler.cycle_momentum = scheduler.cycle_momentum, False
        try:
            return right(scheduler)
        finally:
            scheduler.cycle_momentum = cycles

    return lambda plant: plant.replace(schedule, "get_lr", get_lr)


FAULTS.add(
    "cyclic-momentum-not-cycled",
    "the rate swings and the momentum stays",
    cause="other scheduled momentum",
    phase="schedule",
    step=1,
    scene=_WITH_MOMENTUM,
)(_momentum_not_cycled(CyclicLR))


FAULTS.add(
    "one-cycle-momentum-not-cycled",
    "the rate rises and falls and the momentum stays at its maximum",
    cause="other scheduled momentum",
    phase="schedule",
    step=1,
    scene=_ONE_CYCLE,
)(_momentum_not_cycled(OneCycleLR))


def _one_cycle(s: Any, peak: float, last: float, final: float) -> list[float]:
    t = s.last_epoch
    start, high, low = (s.optimizer.param_groups[0][name] for name in ("initial_lr", "max_lr", "min_lr"))
    if t <= peak:
        return [high + (start - high) / 2 * (1 + math.cos(math.pi * t / peak))]
    return [final * low + (high - final * low) / 2 * (1 + math.cos(math.pi * (t - peak) / (last - peak)))]


FAULTS.add(
    "one-cycle-peak-a-step-late",
    "the rate rises for pct_start of all steps, where its last step is one before that",
    cause="other learning rate",
    phase="schedule",
    step=1,
    scene=_ONE_CYCLE,
)(_rates(OneCycleLR, lambda s, right: _one_cycle(s, 0.4 * 9, 8, 1.0) if s.last_epoch else right()))

FAULTS.add(
    "one-cycle-ends-at-its-start",
    "final_div_factor divides the highest rate, not the first",
    cause="other learning rate",
    phase="schedule",
    step=3,
    scene=_ONE_CYCLE,
)(
    _rates(
        OneCycleLR,
        lambda s, right: _one_cycle(s, 0.4 * 9 - 1, 8, 4.0) if s.last_epoch > 0.4 * 9 - 1 else right(),
    )
)


# -- restarts, powers, milestones --------------------------------------------------------------------------------------


@FAULTS.add(
    "restart-without-growing",
    "T_mult is ignored: every run is as long as the first",
    cause="other learning rate",
    phase="schedule",
    step=3,
    scene=_RESTARTING,
)
def without_growing(plant: Planting) -> None:
    def get_lr(right: Any, scheduler: Any) -> list[float]:
        scheduler.T_i = scheduler.T_0
        return right(scheduler)

    plant.replace(CosineAnnealingWarmRestarts, "get_lr", get_lr)


FAULTS.add(
    "restart-a-step-late",
    "the run ends when its count has passed its length, so that the floor is reached before the restart",
    cause="other learning rate",
    phase="schedule",
    step=2,
    scene=_RESTARTING,
)(
    _rates(
        CosineAnnealingWarmRestarts,
        lambda s, right: [
            0.05 + (rate - 0.05) / 2 * (1 + math.cos(math.pi * place / length))
            for rate in s.base_lrs
            for place, length in [(s.last_epoch, 2) if s.last_epoch <= 2 else (s.last_epoch - 3, 4)]
        ],
    )
)

FAULTS.add(
    "polynomial-without-its-power",
    "the rate falls along a line: power is ignored",
    cause="other learning rate",
    phase="schedule",
    step=1,
    scene=_POLYNOMIAL,
)(_rates(PolynomialLR, lambda s, right: [rate * (1 - s.last_epoch / s.total_iters) for rate in s.base_lrs]))

FAULTS.add(
    "polynomial-compounded",
    "the closed form multiplies the rate in force, not the initial rate",
    cause="other learning rate",
    phase="schedule",
    step=2,
    scene=_POLYNOMIAL,
)(
    _rates(
        PolynomialLR,
        lambda s, right: [g["lr"] * (1 - s.last_epoch / s.total_iters) ** s.power for g in s.optimizer.param_groups],
    )
)

FAULTS.add(
    "milestones-a-step-late",
    "the rate drops in the step after a milestone",
    cause="schedule off by one",
    phase="schedule",
    step=2,
    scene=_MILESTONES,
)(_rates(MultiStepLR, _counted(-1)))

FAULTS.add(
    "exponential-a-step-ahead",
    "the exponent is the number of the coming step",
    cause="schedule off by one",
    phase="schedule",
    step=1,
    scene=_EXPONENTIAL,
)(
    _rates(
        ExponentialLR,
        lambda s, right: [rate * s.gamma ** (s.last_epoch + (s.last_epoch > 0)) for rate in s.base_lrs],
    )
)

FAULTS.add(
    "constant-never-taken-back",
    "the reduced rate stays when its time is over",
    cause="schedule not advanced",
    phase="schedule",
    step=2,
    scene=_CONSTANT,
)(_rates(ConstantLR, lambda s, right: right() if s.last_epoch == 0 else s._rates()))

# -- schedules made of others ------------------------------------------------------------------------------------------


@FAULTS.add(
    "sequence-not-begun-anew",
    "the second schedule goes on from the rate and the count that the first has left",
    cause="other learning rate",
    phase="schedule",
    step=2,
    scene=_SEQUENTIAL,
)
def not_begun_anew(plant: Planting) -> None:
    def step(right: Any, scheduler: Any) -> None:
        for each in scheduler._schedulers[1:]:
            each.last_epoch = max(each.last_epoch, scheduler.last_epoch)
        milestones, scheduler._milestones = scheduler._milestones, [m - 0.5 for m in scheduler._milestones]
        right(scheduler)
        scheduler._milestones = milestones

    plant.replace(SequentialLR, "step", step)


@FAULTS.add(
    "chain-steps-only-the-last",
    "of several schedules only the last one is stepped",
    cause="other learning rate",
    phase="schedule",
    step=1,
    scene=_CHAINED,
)
def only_the_last(plant: Planting) -> None:
    plant.replace(ChainedScheduler, "step", lambda right, scheduler: scheduler._schedulers[-1].step())


# -- plateaus ----------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "plateau-patience-a-step-short",
    "the rate falls when the bad steps reach the patience, not when they exceed it",
    cause="other learning rate",
    phase="schedule",
    step=2,
    scene=_PLATEAU,
)
def patience_a_step_short(plant: Planting) -> None:
    def step(right: Any, scheduler: Any, *metrics: Any) -> None:
        patience, scheduler.patience = scheduler.patience, scheduler.patience - 1
        right(scheduler, *metrics)
        scheduler.patience = patience

    plant.replace(ReduceLROnPlateau, "step", step)


@FAULTS.add(
    "plateau-cooldown-ignored",
    "bad steps are counted in the cooldown, too",
    cause="other learning rate",
    phase="schedule",
    step=5,
    scene=_PLATEAU,
)
def cooldown_ignored(plant: Planting) -> None:
    def step(right: Any, scheduler: Any, *metrics: Any) -> None:
        scheduler.cooldown_counter = 0
        right(scheduler, *metrics)

    plant.replace(ReduceLROnPlateau, "step", step)
