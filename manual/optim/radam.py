"""RAdam: Adam that trusts its second moment only when it has seen enough."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.adam import check_moment_options
from manual.optim.averages import average, average_square
from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate
from manual.rules.core import Array

__all__ = ["RAdam"]


class RAdam(Optimizer):
    """Adaptive moment estimation, rectified for the variance of its early steps.

    With gradient ``g``, weight decay ``λ`` and rate ``γ``, from ``m = v = 0``, for ``t = 1, 2, ...``::

        g ← g + λ θ                     (−g + λ θ to maximise)
        θ ← θ − γ λ θ                   with decoupled weight decay, and no λ θ above
        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        m̂ = m / (1 − β₁ᵗ)
        ρ∞ = 2 / (1 − β₂) − 1
        ρ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)
        θ ← θ − γ m̂                     where ρ ≤ 5
        θ ← θ − γ m̂ r s                 where ρ > 5, with
        r = √((ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ))
        s = √(1 − β₂ᵗ) / (√v + ε)

    Slots: ``step`` (``t``), ``exp_avg`` (``m``), ``exp_avg_sq`` (``v``).

    ``v`` is a mean over about ``ρ`` gradients. Over few of them ``1 / √v`` varies wildly (for ``ρ ≤ 4`` its variance is
    infinite): then the step is plain momentum. From there on ``r`` damps the step by the root of the ratio of the
    smallest variance to the present one, and tends to 1.

    Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond" (ICLR 2020), algorithm 2.

    Convention: the adaptive step begins at ``ρ > 5``, as in torch and the authors' code; the paper says 4. With
    ``β₂ ≤ 2/3``, ``ρ∞ ≤ 5`` and it never begins.

    Convention: ``ε`` is added to the root of the *uncorrected* ``v``, as in torch; in ``Adam`` to the corrected one.
    The paper has none.

    Convention: ``weight_decay`` is an L2 penalty that passes through both moments, unless it is decoupled: then the
    parameter shrinks before the step.

    Shapes: parameters and gradients of any shape; ``step`` is a scalar, the other slots have their parameter's shape.

    Raises
    ------
    ValueError
        If the rate, ``eps`` or the weight decay is negative, or a beta is not in [0, 1).

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> radam = optim.RAdam([weight], lr=0.25)
    >>> weight.backward(tensor([2.0, -4.0]))
    >>> radam.step()
    >>> weight.data
    array([ 0.5, -1. ], dtype=float32)
    """

    scalar_slots = ("step",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        check_moment_options(lr, betas, eps, weight_decay)
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": np.zeros((), np.float32),
            "exp_avg": slot_like(parameter),
            "exp_avg_sq": slot_like(parameter),
        }

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = float(group["lr"]), group["betas"]
        m, v, t = slots["exp_avg"], slots["exp_avg_sq"], slots["step"].item()
        scratch = self.scratch("change", parameter)

        g = self.descent_gradient(parameter, gradient, group)
        if group["decoupled_weight_decay"] and group["weight_decay"]:
            parameter *= 1 - lr * group["weight_decay"]
        average(m, g, beta1, scratch)
        average_square(v, g, beta2, scratch)

        rate = lr / (1 - beta1**t)
        r = rectification(t, beta2)
        if r is None:
            change = np.multiply(m, rate, out=scratch)
        else:
            scale = np.sqrt(v, out=scratch)
            scale += group["eps"]
            change = np.divide(m, scale, out=scratch)
            change *= rate * r * math.sqrt(1 - beta2**t)
        parameter -= change


def rectification(t: float, beta2: float) -> float | None:
    """The factor ``r`` of the adaptive step, or None while the second moment has seen too little."""
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * beta2**t / (1 - beta2**t)
    if length <= 5:
        return None
    return math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
