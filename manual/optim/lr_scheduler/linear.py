"""Schedules that run along a line, or along a power of one."""

from __future__ import annotations

from manual.optim.lr_scheduler.scheduler import LRScheduler
from manual.optim.optimizer import Optimizer

__all__ = ["LinearLR", "PolynomialLR"]


class LinearLR(LRScheduler):
    """Move a factor of the rate from ``start_factor`` to ``end_factor`` in ``total_iters`` equal steps.

    Closed form: ``γ_t = γ_0 · f(t)`` with ``f(t) = s + (e − s) min(t, T) / T``. The ratio of two neighbours is

        ``f(t) / f(t−1) = 1 + (e − s) / (T s + (t − 1)(e − s))``

    Takes no arrays: a rate is one number for each parameter group.

    Parameters
    ----------
    optimizer : Optimizer
    start_factor : float
        ``s``, greater than 0 and at most 1.
    end_factor : float
        ``e``, from 0 to 1.
    total_iters : int
        ``T``.
    last_epoch : int

    Raises
    ------
    ValueError
        If a factor is out of its range.
    TypeError
        If ``optimizer`` is no Optimizer.
    KeyError
        If ``last_epoch`` is given, and a group has no ``initial_lr``.

    Examples
    --------
    >>> sgd = optim.SGD([nn.Parameter(tensor([1.0]))], lr=0.8)
    >>> schedule = optim.lr_scheduler.LinearLR(sgd, start_factor=0.25, total_iters=3)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     sgd.step()
    ...     schedule.step()
    >>> np.round(rates, 4)
    array([0.2, 0.4, 0.6, 0.8, 0.8])
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if not 0 < start_factor <= 1:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal to 1, "
                f"not {start_factor}"
            )
        if not 0 <= end_factor <= 1:
            raise ValueError(f"Ending multiplicative factor expected to be between 0 and 1, not {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._rates()
        rise = self.end_factor - self.start_factor
        return self._scaled(1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))

    def _get_closed_form_lr(self) -> list[float]:
        rise = self.end_factor - self.start_factor
        factor = self.start_factor + rise * min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * factor for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """Let the rate fall to 0 in ``total_iters`` epochs along a power of a line.

    Closed form: ``γ_t = γ_0 (1 − min(t, T) / T)^p``.

    Chen, Papandreou, Kokkinos, Murphy and Yuille, "DeepLab" (2016), section 4.1 (the "poly" policy).

    Takes no arrays: a rate is one number for each parameter group.

    Parameters
    ----------
    optimizer : Optimizer
    total_iters : int
        ``T``.
    power : float
        ``p``.
    last_epoch : int

    Raises
    ------
    TypeError
        If ``optimizer`` is no Optimizer.
    KeyError
        If ``last_epoch`` is given, and a group has no ``initial_lr``.

    Examples
    --------
    >>> sgd = optim.SGD([nn.Parameter(tensor([1.0]))], lr=0.8)
    >>> schedule = optim.lr_scheduler.PolynomialLR(sgd, total_iters=4, power=2)
    >>> rates = []
    >>> for _ in range(6):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     sgd.step()
    ...     schedule.step()
    >>> np.round(rates, 4)
    array([0.8 , 0.45, 0.2 , 0.05, 0.  , 0.  ])
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._rates()
        left = 1.0 - self.last_epoch / self.total_iters
        left_before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return self._scaled((left / left_before) ** self.power)

    def _get_closed_form_lr(self) -> list[float]:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]
