"""A schedule that answers to what it is told: it lowers the rate where a metric stands still."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from manual.optim.lr_scheduler.scheduler import LRScheduler, rates_of, require_optimizer, warn_of_epoch, write
from manual.optim.optimizer import Optimizer

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by ``factor`` when a metric has not improved for more than ``patience`` epochs.

    A metric ``m`` is better than the best one ``b`` so far if::

        mode    rel                  abs
        min     m < b (1 − ε)        m < b − ε
        max     m > b (1 + ε)        m > b + ε

    A better one becomes the best and sets the count of bad epochs to 0, any other raises it. During ``cooldown`` epochs
    after a reduction none is counted. A reduction ``γ ← max(γ · factor, min_lr)`` that would change the rate by no more
    than ``eps`` is left out, but starts the cooldown.

    Takes no arrays: the metric is one number, a rate one for each parameter group.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}
    factor : float
        Less than 1.
    patience : int
    threshold : float
        ``ε``.
    threshold_mode : {"rel", "abs"}
    cooldown : int
    min_lr : float, or one for each group
    eps : float

    Attributes
    ----------
    best, num_bad_epochs, cooldown_counter
        What it remembers of the metrics.

    Raises
    ------
    TypeError
        If ``optimizer`` is no Optimizer.
    ValueError
        If an option is out of range.

    Convention: nan is never better, as in torch. A metric of the wrong sign makes *rel* ask for less, not more: with
    ``b = -1`` and *min*, ``m < -(1 − ε)``.

    Examples
    --------
    >>> sgd = optim.SGD([nn.Parameter(tensor([1.0]))], lr=0.8)
    >>> schedule = optim.lr_scheduler.ReduceLROnPlateau(sgd, factor=0.5, patience=1)
    >>> rates = []
    >>> for loss in (1.0, 0.5, 0.6, 0.5, 0.4):
    ...     schedule.step(loss)
    ...     rates.append(schedule.get_last_lr()[0])
    >>> rates
    [0.8, 0.8, 0.8, 0.4, 0.4]
    >>> schedule.best
    0.4
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ):
        if factor >= 1.0:
            raise ValueError(f"Factor should be < 1.0, not {factor}")
        require_optimizer(optimizer)
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        groups = len(optimizer.param_groups)
        self.factor = factor
        self.optimizer = optimizer
        if isinstance(min_lr, (list, tuple)):
            if len(min_lr) != groups:
                raise ValueError(f"expected {groups} min_lrs, got {len(min_lr)}")
            self.default_min_lr = None
            self.min_lrs = list(min_lr)
        else:
            self.default_min_lr = min_lr
            self.min_lrs = [min_lr] * groups
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.last_epoch = 0
        self._last_lr = self._rates()
        self._reset()

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Tell of the metric of an epoch that is over.

        Parameters
        ----------
        metrics : number, or array with one element
        epoch : int, optional
            Which one; only kept as ``last_epoch``.
        """
        metric = float(metrics)
        if epoch is None:
            epoch = self.last_epoch + 1
        else:
            warn_of_epoch()
        self.last_epoch = epoch
        if self._is_better(metric, self.best):
            self.best = metric
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = rates_of(self.optimizer)

    @property
    def in_cooldown(self) -> bool:
        """Whether bad epochs are not counted at present."""
        return self.cooldown_counter > 0

    def _is_better(self, metric: float, best: float) -> bool:
        relative = self.threshold_mode == "rel"
        if self.mode == "min":
            return metric < (best * (1.0 - self.threshold) if relative else best - self.threshold)
        return metric > (best * (self.threshold + 1.0) if relative else best + self.threshold)

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"The number of param groups in the `optimizer` ({len(groups)}) differs from when "
                    f"`ReduceLROnPlateau` was initialized ({len(self.min_lrs)}): please set `min_lrs` to one value for "
                    "each of them."
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, least)
            if old - new > self.eps:
                write(group, "lr", new)
