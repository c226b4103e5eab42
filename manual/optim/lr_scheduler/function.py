"""Schedules given as a function of the epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from manual.optim.lr_scheduler.scheduler import LRScheduler, attributes_of
from manual.optim.optimizer import Optimizer

__all__ = ["LambdaLR", "MultiplicativeLR"]

Factor = Callable[[int], float]


class _OfFunctions(LRScheduler):
    """A schedule that holds one function per group."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1):
        groups = len(optimizer.param_groups)
        if isinstance(lr_lambda, (list, tuple)):
            if len(lr_lambda) != groups:
                raise ValueError(f"Expected {groups} lr_lambdas, but got {len(lr_lambda)}")
            self.lr_lambdas = list(lr_lambda)
        else:
            self.lr_lambdas = [lr_lambda] * groups
        self._check()
        super().__init__(optimizer, last_epoch)

    def _check(self) -> None:
        pass

    def _times_factors(self, rates: list[float]) -> list[float]:
        return [rate * function(self.last_epoch) for rate, function in zip(rates, self.lr_lambdas, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the functions; a callable object leaves its attributes."""
        return {**super().state_dict(), "lr_lambdas": attributes_of(self.lr_lambdas)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state; the functions stay, callable objects get their attributes back."""
        functions = self.lr_lambdas
        super().load_state_dict(state_dict)
        self.lr_lambdas = functions
        for function, attributes in zip(functions, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                vars(function).update(attributes)


class LambdaLR(_OfFunctions):
    """The initial rate times a function of the epoch: ``γ_t = γ_0 · f(t)``.

    Takes no arrays: a rate is one number for each parameter group.

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : callable, or one for each group
        Maps the epoch to the factor.
    last_epoch : int

    Convention: closed form, as in torch: a rate changed by hand is overwritten at the next step.

    Raises
    ------
    ValueError
        If there is not one function for each group.
    KeyError
        If ``last_epoch`` is given, and a group has no ``initial_lr``.

    Examples
    --------
    >>> sgd = optim.SGD([nn.Parameter(tensor([1.0]))], lr=0.8)
    >>> schedule = optim.lr_scheduler.LambdaLR(sgd, lambda epoch: 1 / (1 + epoch))
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     sgd.step()
    ...     schedule.step()
    >>> np.round(rates, 4)
    array([0.8   , 0.4   , 0.2667, 0.2   , 0.16  ])
    """

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        return self._times_factors(self.base_lrs)


class MultiplicativeLR(_OfFunctions):
    """The rate in force times a function of the epoch: ``γ_t = γ_{t−1} · f(t)``.

    Closed form: ``γ_t = γ_0 · f(1) f(2) ... f(t)``. A warm-up or decay that is known only as it goes, from one epoch to
    the next, is written so.

    Takes no arrays: a rate is one number for each parameter group.

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : callable, or one for each group
        Maps the epoch to the factor.
    last_epoch : int

    Convention: ``f(0)`` is never asked for, and ``step(epoch)`` multiplies by ``f(epoch)`` once, as in torch.

    Raises
    ------
    ValueError
        If there is not one function for each group.
    TypeError
        If one is no function.
    KeyError
        If ``last_epoch`` is given, and a group has no ``initial_lr``.

    Examples
    --------
    >>> sgd = optim.SGD([nn.Parameter(tensor([1.0]))], lr=0.8)
    >>> schedule = optim.lr_scheduler.MultiplicativeLR(sgd, lambda epoch: epoch / (1 + epoch))
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     sgd.step()
    ...     schedule.step()
    >>> np.round(rates, 4)
    array([0.8   , 0.4   , 0.2667, 0.2   , 0.16  ])
    """

    def _check(self) -> None:
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be a function, but got {type(function).__name__}")

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        return self._rates() if self._is_initial else self._times_factors(self._rates())
