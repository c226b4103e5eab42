"""A schedule that swings between two rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from manual.optim.lr_scheduler.momentum import has_beta1, start_momentum, write_momentum
from manual.optim.lr_scheduler.scheduler import LRScheduler, attributes_of, one_per_group, require_optimizer, write
from manual.optim.optimizer import Optimizer

__all__ = ["CyclicLR"]

PerGroup = float | Sequence[float]
MODES = {"triangular": "cycle", "triangular2": "cycle", "exp_range": "iterations"}


class CyclicLR(LRScheduler):
    """Let the rate swing between ``base_lr`` and ``max_lr`` in triangles, and the momentum the other way.

    With ``U`` and ``D`` the steps up and down, ``T = U + D`` a cycle, ``c = ⌊1 + t / T⌋`` its number and
    ``x = 1 + t / T − c`` the place in it,

        ``h = x T / U`` on the way up, ``(1 − x) T / D`` on the way down,
        ``γ_t = γ_base + (γ_max − γ_base) h s``,      ``μ_t = μ_max − (μ_max − μ_base) h s``

    and ``s`` scales the triangles: 1 (*triangular*), ``1 / 2^(c−1)`` (*triangular2*), ``gamma^t`` (*exp_range*).

    Smith, "Cyclical Learning Rates for Training Neural Networks" (WACV 2017), section 3; the momentum from Smith, "A
    disciplined approach to neural network hyper-parameters: Part 1" (2018), section 4.3.

    Takes no arrays: a rate is one number for each parameter group.

    Parameters
    ----------
    optimizer : Optimizer
    base_lr, max_lr : float, or one for each group
    step_size_up, step_size_down : int
        ``U`` and ``D``; ``D`` is ``U`` by default.
    mode : {"triangular", "triangular2", "exp_range"}
        Ignored where there is a ``scale_fn``.
    gamma : float
    scale_fn : callable, optional
        ``s`` as a function of what ``scale_mode`` says.
    scale_mode : {"cycle", "iterations"}
        Whether ``scale_fn`` is given ``c`` or ``t``.
    cycle_momentum : bool
        Whether the momentum swings too: ``momentum``, or the first of ``betas``.
    base_momentum, max_momentum : float, or one for each group
        ``μ_base`` and ``μ_max``.
    last_epoch : int

    Raises
    ------
    ValueError
        If the mode is unknown, the optimizer has no momentum to move, or a list has not one value per group.
    TypeError
        If ``optimizer`` is no Optimizer.

    Convention: a step is a micro step of training, not an epoch. The rates of the optimizer are overwritten by
    ``base_lr``, an ``initial_lr`` that a group already has stays. The last value of a cycle is the first of the next.

    Examples
    --------
    >>> sgd = optim.SGD([nn.Parameter(tensor([1.0]))], lr=0.8, momentum=0.9)
    >>> schedule = optim.lr_scheduler.CyclicLR(sgd, 0.1, 0.5, step_size_up=2, mode="triangular2")
    >>> rates = []
    >>> for _ in range(8):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     sgd.step()
    ...     schedule.step()
    >>> np.round(rates, 4)
    array([0.1, 0.3, 0.5, 0.3, 0.1, 0.2, 0.3, 0.2])
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: PerGroup,
        max_lr: PerGroup,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: PerGroup = 0.8,
        max_momentum: PerGroup = 0.9,
        last_epoch: int = -1,
    ):
        require_optimizer(optimizer)
        base_lrs = one_per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for rate, group in zip(base_lrs, optimizer.param_groups, strict=True):
                write(group, "lr", rate)
        self.max_lrs = one_per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in MODES and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else MODES[mode]
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = has_beta1(optimizer)
            self.base_momentums, self.max_momentums = start_momentum(
                optimizer, base_momentum, max_momentum, self.use_beta1, last_epoch == -1
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """``s``: of the cycle, or of the step, as ``scale_mode`` says."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else self.gamma**x

    def get_lr(self) -> list[float]:
        """The rate of each group at ``last_epoch``; sets the momentum, as in torch."""
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        place = 1.0 + self.last_epoch / self.total_size - cycle
        height = place / self.step_ratio if place <= self.step_ratio else (place - 1) / (self.step_ratio - 1)
        scaled_by = cycle if self.scale_mode == "cycle" else self.last_epoch

        def part(low: float, high: float) -> float:
            return (high - low) * height * self.scale_fn(scaled_by)

        if self.cycle_momentum:
            for group, low, high in zip(
                self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True
            ):
                write_momentum(group, high - part(low, high), self.use_beta1)
        return [low + part(low, high) for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the function; a callable object leaves its attributes."""
        (attributes,) = attributes_of([self._scale_fn_custom])
        return {**super().state_dict(), "_scale_fn_custom": attributes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state; the function stays, a callable object gets its attributes back."""
        function = self._scale_fn_custom
        super().load_state_dict(state_dict)
        self._scale_fn_custom = function
        if state_dict["_scale_fn_custom"] is not None:
            vars(function).update(state_dict["_scale_fn_custom"])
