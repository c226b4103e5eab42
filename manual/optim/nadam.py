"""NAdam: Adam with Nesterov's look-ahead."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.adam import check_moment_options
from manual.optim.averages import average, average_square
from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate, at_least_zero
from manual.rules.core import Array

__all__ = ["NAdam"]


class NAdam(Optimizer):
    """Adaptive moment estimation that takes the next step's momentum ahead of time.

    With gradient ``g``, weight decay ``λ``, momentum decay ``ψ`` and rate ``γ``, from ``m = v = 0`` and ``Π = 1``, for
    ``t = 1, 2, ...`` and ``μ(t) = β₁ (1 − 0.96^(t ψ) / 2)``::

        g ← g + λ θ                     (−g + λ θ to maximise)
        θ ← θ − γ λ θ                   with decoupled weight decay, and no λ θ above
        Π ← Π μ(t)
        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        m̂ = μ(t+1) m / (1 − Π μ(t+1)) + (1 − μ(t)) g / (1 − Π)
        v̂ = v / (1 − β₂ᵗ)
        θ ← θ − γ m̂ / (√v̂ + ε)

    Slots: ``step`` (``t``), ``mu_product`` (``Π``), ``exp_avg`` (``m``), ``exp_avg_sq`` (``v``).

    Adam steps along ``m``, which holds the gradient with weight ``1 − β₁`` and the past with weight ``β₁``. Nesterov's
    step uses the gradient as it is and the momentum as the *next* step would: ``m`` has taken in ``g`` already. As in
    ``Adam`` the last line is computed with ``r = √(1 − β₂ᵗ)`` moved to the scalars: ``√v̂ + ε = (√v + ε r) / r``.

    Dozat, "Incorporating Nesterov Momentum into Adam" (ICLR 2016 workshop), algorithm 2.

    Convention: ``m`` decays by the constant ``β₁``, as in torch; in the paper by ``μ(t)``, the decay that is scheduled.

    Convention: ``Π`` is kept in float32 whatever the parameter's dtype, as in torch.

    Convention: ``weight_decay`` is an L2 penalty that passes through both moments, unless it is decoupled: then the
    parameter shrinks before the step.

    Shapes: parameters and gradients of any shape; ``step`` and ``mu_product`` are scalars, the other slots have their
    parameter's shape.

    Raises
    ------
    ValueError
        If the rate, ``eps`` or a decay is negative, or a beta is not in [0, 1).

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> nadam = optim.NAdam([weight], lr=0.1)
    >>> weight.backward(tensor([2.0, -4.0]))
    >>> nadam.step()
    >>> weight.data
    array([ 0.8944, -1.8944], dtype=float32)
    >>> nadam.state[weight]["exp_avg"]
    array([ 0.2, -0.4], dtype=float32)
    """

    scalar_slots = ("step", "mu_product")

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        check_moment_options(lr, betas, eps, weight_decay)
        at_least_zero("momentum_decay value", momentum_decay)
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": np.zeros((), np.float32),
            "mu_product": np.ones((), np.float32),
            "exp_avg": slot_like(parameter),
            "exp_avg_sq": slot_like(parameter),
        }

    def advance(self, slots: dict[str, Any], group: dict[str, Any]) -> None:
        super().advance(slots, group)
        slots["mu_product"] *= momentum(slots["step"].flat[0].item(), group)

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = float(group["lr"]), group["betas"]
        t, product = slots["step"].item(), slots["mu_product"].item()
        m, v = slots["exp_avg"], slots["exp_avg_sq"]
        scratch = self.scratch("change", parameter)

        g = self.descent_gradient(parameter, gradient, group)
        if group["decoupled_weight_decay"] and group["weight_decay"]:
            parameter *= 1 - lr * group["weight_decay"]
        average(m, g, beta1, scratch)
        average_square(v, g, beta2, scratch)

        root2 = math.sqrt(1 - beta2**t)
        mu, ahead = momentum(t, group), momentum(t + 1, group)
        change = np.multiply(m, lr * root2 * ahead / (1 - product * ahead), out=self.scratch("ahead", parameter))
        change += np.multiply(g, lr * root2 * (1 - mu) / (1 - product), out=scratch)
        scale = np.sqrt(v, out=scratch)
        scale += group["eps"] * root2
        change /= scale
        parameter -= change


def momentum(t: float, group: dict[str, Any]) -> float:
    """``μ(t)``, which rises from about ``β₁ / 2`` to ``β₁``."""
    mu: float = group["betas"][0] * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"]))
    return mu
