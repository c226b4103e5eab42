"""What every scheduler shares: counting epochs, and writing rates into the parameter groups."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from manual.optim.optimizer import Optimizer

__all__ = ["LRScheduler", "attributes_of", "one_per_group", "rates_of", "require_optimizer", "warn_of_epoch", "write"]


class LRScheduler:
    """Base of the schedulers. A subclass says in ``get_lr`` which rates hold from ``last_epoch`` on.

    Takes no arrays: a rate is one number for each parameter group.

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
    scheduler, or a change by hand. A rate that is an array keeps its place: it is overwritten, not replaced.

    Convention: the closed form is taken by ``LambdaLR``, ``CyclicLR``, ``OneCycleLR`` and
    ``CosineAnnealingWarmRestarts``, the chainable one by all others, as in torch.

    Raises
    ------
    TypeError
        If ``optimizer`` is no Optimizer.
    KeyError
        If it shall go on from an epoch and a group has no ``initial_lr``.

    Examples
    --------
    >>> class Harmonic(optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base / (1 + self.last_epoch) for base in self.base_lrs]
    >>> sgd = optim.SGD([nn.Parameter(tensor([1.0]))], lr=0.6)
    >>> schedule = Harmonic(sgd)
    >>> rates = []
    >>> for _ in range(3):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     sgd.step()
    ...     schedule.step()
    >>> np.round(rates, 4)
    array([0.6, 0.3, 0.2])
    """

    _get_lr_called_within_step = False
    _is_initial = False  # the first step sets the rates of epoch 0 (or of last_epoch + 1)

    last_epoch: int
    _step_count: int
    _last_lr: list[float]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        require_optimizer(optimizer)
        self.optimizer = optimizer
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", _copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{index}] when resuming scheduler with "
                    "last_epoch >= 0: load the optimizer's state first"
                )
        self.base_lrs: list[float] = [_copied(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        optimizer._scheduled_step = vars(optimizer).get("step")  # type: ignore[attr-defined]
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[float]:
        """The rate of each group at ``last_epoch``; meant for ``step`` alone."""
        raise NotImplementedError

    def _get_closed_form_lr(self) -> list[float]:
        """The rates at ``last_epoch`` whatever the rates in force: what ``step(epoch)`` sets."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """The rate of each group that the last ``step`` has set."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch. Call it after ``optimizer.step()``.

        Parameters
        ----------
        epoch : int, optional
            The epoch to jump to, by the closed form where there is one; torch advises against it.

        Warns
        -----
        UserWarning
            If the optimizer has not made a step: the schedule's first rate would never be used. If its ``step`` was
            replaced, so that this cannot be known. If ``epoch`` is given.
        """
        if self._step_count == 1:
            self._warn_of_order()
        self._step_count += 1
        if epoch is not None:
            warn_of_epoch()
        self._update_lr(epoch)

    def _warn_of_order(self) -> None:
        if vars(self.optimizer).get("step") is not getattr(self.optimizer, "_scheduled_step", None):
            warnings.warn(
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization: "
                "whether it is called before `lr_scheduler.step()` cannot be seen.",
                UserWarning,
                stacklevel=3,
            )
        elif not self.optimizer._opt_called:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the "
                "opposite order: `optimizer.step()` before `lr_scheduler.step()`. Otherwise the first value of the "
                "learning rate schedule is skipped.",
                UserWarning,
                stacklevel=3,
            )

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._write_rates(self.get_lr if epoch is None else self._get_closed_form_lr)

    def _write_rates(self, compute: Callable[[], list[float]]) -> None:
        self._get_lr_called_within_step = True
        try:
            rates = compute()
        finally:
            self._get_lr_called_within_step = False
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            write(group, "lr", rate)
        self._last_lr = self._rates()

    def _rates(self) -> list[float]:
        """The rates in force."""
        return rates_of(self.optimizer)

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


def require_optimizer(optimizer: Any) -> None:
    """Refuse what is no Optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def warn_of_epoch() -> None:
    """Warn of the argument of ``step``, as torch does."""
    warnings.warn(
        "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. Please "
        "use `scheduler.step()` to step the scheduler. With an epoch, the closed form of the schedule is taken where "
        "it has one.",
        UserWarning,
        stacklevel=3,
    )


def one_per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """An option as a list with one value per parameter group."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [_copied(value) for _ in range(groups)]
    if len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {groups}."
        )
    return [_copied(one) for one in value]


def rates_of(optimizer: Optimizer) -> list[float]:
    """The rates in force, one per group."""
    return [_copied(group["lr"]) for group in optimizer.param_groups]


def write(group: dict[str, Any], name: str, value: Any) -> None:
    """Set an option of a group; an array is overwritten in place."""
    if isinstance(group[name], np.ndarray):
        group[name][...] = value
    else:
        group[name] = value


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def attributes_of(functions: Sequence[Any]) -> list[dict[str, Any] | None]:
    """What of given functions is part of a state: nothing of a function, the attributes of a callable object."""
    return [
        None if function is None or isinstance(function, types.FunctionType) else vars(function).copy()
        for function in functions
    ]
