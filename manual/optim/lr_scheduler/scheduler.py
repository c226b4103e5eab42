"""What every scheduler shares: counting epochs, and writing rates into the parameter groups."""

from __future__ import annotations

import warnings
from typing import Any

from manual.optim.optimizer import Optimizer

__all__ = ["LRScheduler"]


class LRScheduler:
    """Base of the schedulers. A subclass says in ``get_lr`` which rates hold from ``last_epoch`` on.

    Parameters
    ----------
    optimizer : Optimizer
    last_epoch : int
        The epoch to go on from; -1 starts anew and keeps each group's rate as its ``initial_lr``.

    Attributes
    ----------
    last_epoch : int
        How many times ``step`` was called.
    base_lrs : list of float
        The groups' ``initial_lr``.

    Notes
    -----
    There are two ways to write a schedule. A *closed form* computes the rate from the initial one and the epoch. A
    *chainable form* multiplies the rate in force by the ratio of two closed forms::

        γ_t = γ_{t−1} · f(t) / f(t−1)

    Both give the same numbers up to rounding, but the chainable form keeps what others do to the rate: a second
    scheduler, or a change by hand.

    Convention: all but ``LambdaLR`` take the chainable form, as in torch.

    Raises
    ------
    TypeError
        If ``optimizer`` is no Optimizer.
    KeyError
        If it shall go on from an epoch and a group has no ``initial_lr``.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{index}] when resuming scheduler with "
                    "last_epoch >= 0: load the optimizer's state first"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._get_lr_called_within_step = False
        self._step_count = 0
        self._is_initial = True  # the first step sets the rates of epoch 0 (or of last_epoch + 1)
        self.step()
        self._is_initial = False

    def get_lr(self) -> list[float]:
        """The rate of each group at ``last_epoch``; meant for ``step`` alone."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rate of each group that the last ``step`` has set."""
        return self._last_lr

    def step(self) -> None:
        """Go on to the next epoch. Call it after ``optimizer.step()``.

        Warns
        -----
        UserWarning
            If the optimizer has not made a step: the schedule's first rate would never be used.
        """
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the "
                "opposite order: `optimizer.step()` before `lr_scheduler.step()`. Otherwise the first value of the "
                "learning rate schedule is skipped.",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch += 1
        self._get_lr_called_within_step = True
        try:
            rates = self.get_lr()
        finally:
            self._get_lr_called_within_step = False
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._rates()

    def _rates(self) -> list[float]:
        """The rates in force."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [rate * factor for rate in self._rates()]

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state, made here or by torch. The rates in force belong to the optimizer's state."""
        self.__dict__.update(state_dict)
