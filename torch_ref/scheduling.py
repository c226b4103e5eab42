"""What of a schedule belongs to the state of a run: how far it has come, not what it was set to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["advance", "momenta_of", "progress_of", "restore_groups", "restore_progress"]

PROGRESS = frozenset(
    {
        *("last_epoch", "_step_count", "_last_lr"),
        *("best", "num_bad_epochs", "cooldown_counter"),  # what a plateau has seen
    }
)
"""What a schedule knows of how far it has come; its settings are its own, and never handed over."""

PLACE = frozenset({"T_cur", "T_i"})
"""Where a warm restart stands: follows from the epoch and the settings, and is handed over with another epoch only."""


def progress_of(scheduler: Any) -> dict[str, Any] | None:
    """How far a schedule has come, and each schedule inside it.

    Takes no arrays. Raises nothing.

    Examples
    --------
    >>> sgd = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5)
    >>> schedule = torch.optim.lr_scheduler.StepLR(sgd, step_size=2)
    >>> torch_ref.scheduling.progress_of(schedule)["last_epoch"]
    0
    """
    if scheduler is None:
        return None
    progress = {name: value for name, value in vars(scheduler).items() if name in PROGRESS | PLACE}
    inner = getattr(scheduler, "_schedulers", None)
    return progress if inner is None else {**progress, "_schedulers": [progress_of(one) for one in inner]}


def restore_progress(scheduler: Any, progress: Mapping[str, Any] | None) -> None:
    """Let a schedule go on from where another one is; what it does not have stays away.

    Takes no arrays. Raises nothing.

    Examples
    --------
    >>> sgd = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5)
    >>> schedule = torch.optim.lr_scheduler.StepLR(sgd, step_size=2)
    >>> torch_ref.scheduling.restore_progress(schedule, {"last_epoch": 7})
    >>> schedule.last_epoch
    7
    """
    if scheduler is None or progress is None:
        return
    own = vars(scheduler)
    taken = PROGRESS if own.get("last_epoch") == progress.get("last_epoch") else PROGRESS | PLACE
    own.update({name: value for name, value in progress.items() if name in taken and name in own})
    for inner, reached in zip(getattr(scheduler, "_schedulers", ()), progress.get("_schedulers", ()), strict=False):
        restore_progress(inner, reached)


def momenta_of(optimizer: Any, scheduler: Any) -> list[float] | None:
    """The momentum in force, one per parameter group, where the schedule moves it.

    Takes no arrays. Raises nothing.

    Examples
    --------
    >>> sgd = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5, momentum=0.9)
    >>> schedule = torch.optim.lr_scheduler.OneCycleLR(sgd, max_lr=1.0, total_steps=5, max_momentum=0.75)
    >>> torch_ref.scheduling.momenta_of(sgd, schedule)
    [0.75]
    """
    if not _moves_momentum(scheduler):
        return None
    return [float(group["betas"][0] if "betas" in group else group["momentum"]) for group in optimizer.param_groups]


def _moves_momentum(scheduler: Any) -> bool:
    return bool(getattr(scheduler, "cycle_momentum", False)) or any(
        _moves_momentum(inner) for inner in getattr(scheduler, "_schedulers", ())
    )


def restore_groups(optimizer: Any, rates: Iterable[float], momenta: Iterable[float] | None) -> None:
    """Put rates and momenta in force.

    Takes no arrays: a rate and a momentum are one number for each group. Raises nothing.

    Examples
    --------
    >>> sgd = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5, momentum=0.9)
    >>> torch_ref.scheduling.restore_groups(sgd, rates=[0.25], momenta=[0.5])
    >>> sgd.param_groups[0]["lr"], sgd.param_groups[0]["momentum"]
    (0.25, 0.5)
    """
    for group, rate in zip(optimizer.param_groups, rates, strict=False):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    for group, momentum in zip(optimizer.param_groups, momenta or (), strict=False):
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


def advance(scheduler: Any, loss: float) -> None:
    """Go on by one step; ``loss`` is the step's mean, penalty included.

    Units: the loss is a scalar. Raises what the schedule raises.

    Examples
    --------
    >>> sgd = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5)
    >>> schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(sgd, factor=0.5, patience=0)
    >>> for loss in (1.0, 2.0):
    ...     torch_ref.scheduling.advance(schedule, loss)
    >>> sgd.param_groups[0]["lr"]
    0.25
    """
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(loss)
    elif scheduler is not None:
        scheduler.step()
