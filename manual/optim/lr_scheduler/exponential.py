"""A schedule that falls geometrically."""

from __future__ import annotations

from manual.optim.lr_scheduler.scheduler import LRScheduler
from manual.optim.optimizer import Optimizer

__all__ = ["ExponentialLR"]


class ExponentialLR(LRScheduler):
    """Multiply the rate by ``gamma`` every epoch.

    Closed form: ``γ_t = γ_0 · gamma^t``.

    Takes no arrays: a rate is one number for each parameter group.

    Parameters
    ----------
    optimizer : Optimizer
    gamma : float
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
    >>> schedule = optim.lr_scheduler.ExponentialLR(sgd, gamma=0.5)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     sgd.step()
    ...     schedule.step()
    >>> np.round(rates, 4)
    array([0.8 , 0.4 , 0.2 , 0.1 , 0.05])
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        return self._rates() if self._is_initial else self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]
