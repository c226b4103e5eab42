"""A schedule of one single cycle: up, down, and far below where it began."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from manual.optim.lr_scheduler.momentum import has_beta1, start_momentum, write_momentum
from manual.optim.lr_scheduler.scheduler import LRScheduler, one_per_group, require_optimizer
from manual.optim.optimizer import Optimizer

__all__ = ["OneCycleLR"]

PerGroup = float | Sequence[float]


class OneCycleLR(LRScheduler):
    """Let the rate rise to ``max_lr``, then fall to far below its start; the momentum goes the other way.

    With ``N`` steps in all and ``p = pct_start``, the phases are, each from its own end of the line before::

        two phases:     start -> max          until  pN − 1
                        max   -> min          until  N − 1
        three phases:   start -> max          until  pN − 1
                        max   -> start        until  2pN − 2
                        start -> min          until  N − 1

    where ``start = max_lr / div_factor`` and ``min = start / final_div_factor``. With ``q`` the part of the phase that
    is over, from ``a`` to ``b`` runs ``b + (a − b)/2 (1 + cos(π q))`` (*cos*) or ``a + (b − a) q`` (*linear*).

    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates" (2018),
    section 3.

    Takes no arrays: a rate is one number for each parameter group.

    Parameters
    ----------
    optimizer : Optimizer
    max_lr : float, or one for each group
    total_steps : int, optional
        ``N``; otherwise ``epochs * steps_per_epoch``.
    epochs, steps_per_epoch : int, optional
    pct_start : float
        ``p``.
    anneal_strategy : {"cos", "linear"}
    cycle_momentum : bool
        Whether the momentum moves too: ``momentum``, or the first of ``betas``.
    base_momentum, max_momentum : float, or one for each group
    div_factor, final_div_factor : float
    three_phase : bool
    last_epoch : int

    Raises
    ------
    ValueError
        If an option is out of range, the optimizer has no momentum to move, or ``step`` is called more than ``N``
        times.
    TypeError
        If ``optimizer`` is no Optimizer.

    Convention: two phases by default, as in torch (fastai's schedule); the paper's has three. In the last phase of
    three the momentum stays at its maximum.

    Examples
    --------
    >>> sgd = optim.SGD([nn.Parameter(tensor([1.0]))], lr=0.8, momentum=0.9)
    >>> schedule = optim.lr_scheduler.OneCycleLR(
    ...     sgd, max_lr=1.0, total_steps=5, pct_start=0.4, anneal_strategy="linear"
    ... )
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     sgd.step()
    ...     schedule.step()
    >>> np.round(rates, 4)
    array([0.04  , 1.    , 0.6667, 0.3333, 0.    ])
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: PerGroup,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: PerGroup = 0.85,
        max_momentum: PerGroup = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        require_optimizer(optimizer)
        if total_steps is not None:
            self.total_steps = _positive("total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            self.total_steps = _positive("epochs", epochs) * _positive("steps_per_epoch", steps_per_epoch)
        else:
            raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        heights = one_per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, height in zip(optimizer.param_groups, heights, strict=True):
                group["initial_lr"] = height / div_factor
                group["max_lr"] = height
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = has_beta1(optimizer)
            start_momentum(optimizer, base_momentum, max_momentum, self.use_beta1, last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rate of each group at ``last_epoch``; sets the momentum, as in torch."""
        self._warn_outside_step()
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"Tried to step {self.last_epoch} times. The specified number of total steps is {self.total_steps}"
            )
        phase, part = self._phase()
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                momentum = self._between(group[phase["start_momentum"]], group[phase["end_momentum"]], part)
                write_momentum(group, momentum, self.use_beta1)
        return [
            self._between(group[phase["start_lr"]], group[phase["end_lr"]], part)
            for group in self.optimizer.param_groups
        ]

    def _phase(self) -> tuple[dict[str, Any], float]:
        """The phase that this step lies in, and which part of it is over."""
        start = 0.0
        for phase in self._schedule_phases:
            if self.last_epoch <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            start = phase["end_step"]
        return phase, (self.last_epoch - start) / (phase["end_step"] - start)

    def _between(self, start: float, end: float, part: float) -> float:
        if self._anneal_func_type == "linear":
            return (end - start) * part + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)


def _phases(steps: int, share: float, three: bool) -> list[dict[str, Any]]:
    """Where each phase ends, and between which options of the group it runs."""

    def phase(end: float, rates: tuple[str, str], momenta: tuple[str, str]) -> dict[str, Any]:
        named = zip(("start_lr", "end_lr", "start_momentum", "end_momentum"), rates + momenta, strict=True)
        return {"end_step": end, **dict(named)}

    up = phase(float(share * steps) - 1, ("initial_lr", "max_lr"), ("max_momentum", "base_momentum"))
    if not three:
        return [up, phase(steps - 1, ("max_lr", "min_lr"), ("base_momentum", "max_momentum"))]
    return [
        up,
        phase(float(2 * share * steps) - 2, ("max_lr", "initial_lr"), ("base_momentum", "max_momentum")),
        phase(steps - 1, ("initial_lr", "min_lr"), ("max_momentum", "max_momentum")),
    ]


def _positive(name: str, value: Any) -> int:
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"Expected positive integer {name}, but got {value}")
    return value
