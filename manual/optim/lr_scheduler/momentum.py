"""The momentum of parameter groups, for schedules that move it against the rate."""

from __future__ import annotations

from typing import Any

from manual.optim.lr_scheduler.scheduler import one_per_group
from manual.optim.optimizer import Optimizer

__all__ = ["has_beta1", "start_momentum", "write_momentum"]


def has_beta1(optimizer: Optimizer) -> bool:
    """Whether the momentum is the first of ``betas`` (Adam and its kin) or ``momentum`` (SGD).

    Raises
    ------
    ValueError
        If the optimizer has neither.
    """
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
    return "betas" in optimizer.defaults


def start_momentum(
    optimizer: Optimizer, base: Any, highest: Any, beta1: bool, anew: bool
) -> tuple[list[float], list[float]]:
    """Both ends of a cycle, one per group; where it starts ``anew`` the highest is set, and both noted in the group."""
    bases = one_per_group("base_momentum", optimizer, base)
    heights = one_per_group("max_momentum", optimizer, highest)
    if anew:
        for group, low, high in zip(optimizer.param_groups, bases, heights, strict=True):
            write_momentum(group, high, beta1)
            group["max_momentum"] = high
            group["base_momentum"] = low
    return bases, heights


def write_momentum(group: dict[str, Any], momentum: float, beta1: bool) -> None:
    """Set the momentum of a group."""
    if beta1:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum
