"""A schedule that falls along half a cosine."""

from __future__ import annotations

import math

from manual.optim.lr_scheduler.scheduler import LRScheduler
from manual.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR"]


class CosineAnnealingLR(LRScheduler):
    """Let the rate fall from its start to ``eta_min`` in ``T_max`` epochs along half a cosine, and rise again.

    Closed form: ``γ_t = η + (γ_0 − η)(1 + cos(π t / T)) / 2``. The chainable form multiplies the distance from ``η`` by
    the ratio of two neighbouring ``1 + cos``. At the bottom, ``t = T, 3T, ...``, that factor is 0 and the next
    ratio would be 0/0: there the closed form's first rise, ``(γ_0 − η)(1 − cos(π / T)) / 2``, is added.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (ICLR 2017), equation 5.

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int
        ``T``.
    eta_min : float
        ``η``.
    last_epoch : int

    Convention: there is no restart, as in torch: beyond ``T_max`` the rate climbs back.
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
