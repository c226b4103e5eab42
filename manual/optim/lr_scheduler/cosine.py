"""Schedules that fall along half a cosine, once or again and again."""

from __future__ import annotations

import math

from manual.optim.lr_scheduler.scheduler import LRScheduler
from manual.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts"]


class CosineAnnealingLR(LRScheduler):
    """Let the rate fall from its start to ``eta_min`` in ``T_max`` epochs along half a cosine, and rise again.

    Closed form: ``γ_t = η + (γ_0 − η)(1 + cos(π t / T)) / 2``. The chainable form multiplies the distance from ``η`` by
    the ratio of two neighbouring ``1 + cos``. At the bottom, ``t = T, 3T, ...``, that factor is 0 and the next
    ratio would be 0/0: there the closed form's first rise, ``(γ_0 − η)(1 − cos(π / T)) / 2``, is added.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (ICLR 2017), equation 5.

    Takes no arrays: a rate is one number for each parameter group.

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int
        ``T``.
    eta_min : float
        ``η``.
    last_epoch : int

    Convention: there is no restart, as in torch: beyond ``T_max`` the rate climbs back.

    Raises
    ------
    TypeError
        If ``optimizer`` is no Optimizer.
    KeyError
        If ``last_epoch`` is given, and a group has no ``initial_lr``.

    Examples
    --------
    >>> sgd = optim.SGD([nn.Parameter(tensor([1.0]))], lr=0.8)
    >>> schedule = optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=4)
    >>> rates = []
    >>> for _ in range(7):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     sgd.step()
    ...     schedule.step()
    >>> np.round(rates, 4)
    array([0.8   , 0.6828, 0.4   , 0.1172, 0.    , 0.1172, 0.4   ])
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        if self._is_initial:
            return self._rates()
        period, floor, epoch = self.T_max, self.eta_min, self.last_epoch
        if (epoch - 1 - period) % (2 * period) == 0:
            rise = 1 - math.cos(math.pi / period)
            return [rate + (base - floor) * rise / 2 for rate, base in zip(self._rates(), self.base_lrs, strict=True)]
        ratio = (1 + math.cos(math.pi * epoch / period)) / (1 + math.cos(math.pi * (epoch - 1) / period))
        return [ratio * (rate - floor) + floor for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        height = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Let the rate fall along half a cosine, and start again from the top, each time with a longer run.

    With ``t`` the epochs since the last restart and ``T_i`` the length of this run,

        ``γ = η + (γ_0 − η)(1 + cos(π t / T_i)) / 2``,      ``T_{i+1} = T_i · T_mult``

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (ICLR 2017), equation 5.

    Takes no arrays: a rate is one number for each parameter group.

    Parameters
    ----------
    optimizer : Optimizer
    T_0 : int
        The length of the first run.
    T_mult : int
        By how much each run is longer than the one before.
    eta_min : float
        ``η``.
    last_epoch : int

    Attributes
    ----------
    T_cur, T_i : ``t`` and ``T_i``

    Convention: as in torch, ``step(epoch)`` takes fractions of an epoch, without a warning, and keeps the whole epochs
    as ``last_epoch``; a schedule that is made with a ``last_epoch`` of its own stands in the run of length ``T_0``,
    ``t = last_epoch + 1``.

    Raises
    ------
    ValueError
        If ``T_0`` or ``T_mult`` is no positive integer, ``eta_min`` no number, or an epoch negative.
    TypeError
        If ``optimizer`` is no Optimizer.
    KeyError
        If ``last_epoch`` is given, and a group has no ``initial_lr``.

    Examples
    --------
    >>> sgd = optim.SGD([nn.Parameter(tensor([1.0]))], lr=0.8)
    >>> schedule = optim.lr_scheduler.CosineAnnealingWarmRestarts(sgd, T_0=2, T_mult=2)
    >>> rates = []
    >>> for _ in range(8):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     sgd.step()
    ...     schedule.step()
    >>> np.round(rates, 4)
    array([0.8   , 0.4   , 0.8   , 0.6828, 0.4   , 0.1172, 0.8   , 0.7696])
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1):
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next epoch, or to any, fractions included: ``step(epoch + batch / batches)``."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        else:
            self._find_run(epoch)
        self.last_epoch = math.floor(epoch)
        self._write_rates(self.get_lr)

    def _find_run(self, epoch: float) -> None:
        """In which run an epoch lies: ``n`` runs are ``T_0 (T_mult^n − 1) / (T_mult − 1)`` epochs long."""
        start, growth = self.T_0, self.T_mult
        if epoch < start:
            self.T_i, self.T_cur = start, epoch
        elif growth == 1:
            self.T_cur = epoch % start
        else:
            runs = int(math.log(epoch / start * (growth - 1) + 1, growth))
            self.T_cur = epoch - start * (growth**runs - 1) / (growth - 1)
            self.T_i = start * growth**runs
