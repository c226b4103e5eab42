"""What of a schedule belongs to the state of a run: how far it has come, not what it was set to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from manual.optim.lr_scheduler.momentum import write_momentum
from manual.optim.lr_scheduler.plateau import ReduceLROnPlateau
from manual.optim.lr_scheduler.scheduler import write

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
    """How far a schedule has come, and each schedule inside it."""
    if scheduler is None:
        return None
    progress = {name: value for name, value in vars(scheduler).items() if name in PROGRESS | PLACE}
    inner = getattr(scheduler, "_schedulers", None)
    return progress if inner is None else {**progress, "_schedulers": [progress_of(one) for one in inner]}


def restore_progress(scheduler: Any, progress: Mapping[str, Any] | None) -> None:
    """Let a schedule go on from where another one is; what it does not have stays away."""
    if scheduler is None or progress is None:
        return
    own = vars(scheduler)
    taken = PROGRESS if own.get("last_epoch") == progress.get("last_epoch") else PROGRESS | PLACE
    own.update({name: value for name, value in progress.items() if name in taken and name in own})
    for inner, reached in zip(getattr(scheduler, "_schedulers", ()), progress.get("_schedulers", ()), strict=False):
        restore_progress(inner, reached)


def momenta_of(optimizer: Any, scheduler: Any) -> list[float] | None:
    """The momentum in force, one per parameter group, where the schedule moves it."""
    if not _moves_momentum(scheduler):
        return None
    return [float(group["betas"][0] if "betas" in group else group["momentum"]) for group in optimizer.param_groups]


def _moves_momentum(scheduler: Any) -> bool:
    return bool(getattr(scheduler, "cycle_momentum", False)) or any(
        _moves_momentum(inner) for inner in getattr(scheduler, "_schedulers", ())
    )


def restore_groups(optimizer: Any, rates: Iterable[float], momenta: Iterable[float] | None) -> None:
    """Put rates and momenta in force."""
    for group, rate in zip(optimizer.param_groups, rates, strict=False):
        write(group, "lr", rate)
    for group, momentum in zip(optimizer.param_groups, momenta or (), strict=False):
        write_momentum(group, momentum, "betas" in group)


def advance(scheduler: Any, loss: float) -> None:
    """Go on by one step; ``loss`` is the step's mean, penalty included."""
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(loss)
    elif scheduler is not None:
        scheduler.step()
