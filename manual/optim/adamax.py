"""Adamax: Adam with the maximum norm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.adam import check_moment_options
from manual.optim.averages import average
from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate
from manual.rules.core import Array

__all__ = ["Adamax"]


class Adamax(Optimizer):
    """Adaptive moment estimation with the largest recent gradient in place of the root mean square.

    With gradient ``g``, weight decay ``λ`` and rate ``γ``, from ``m = u = 0``, for ``t = 1, 2, ...``::

        g ← g + λ θ                     (−g + λ θ to maximise)
        m ← β₁ m + (1 − β₁) g
        u ← max(β₂ u, |g| + ε)
        θ ← θ − γ / (1 − β₁ᵗ) · m / u

    Slots: ``step`` (``t``), ``exp_avg`` (``m``), ``exp_inf`` (``u``).

    Adam's ``v`` is a decaying mean of ``|g|²``. The same mean of ``|g|^p`` with decay ``β₂^p``, to the power ``1/p``,
    tends to ``u`` as ``p → ∞``. It needs no correction: the maximum is not drawn to the zero it starts from.

    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (ICLR 2015), algorithm 2.

    Convention: ``ε`` is added to ``|g|`` before the maximum is taken, as in torch, so it decays with ``u``; the paper
    has none, and keras adds it to ``u`` in the divisor.

    Convention: ``weight_decay`` is an L2 penalty: it passes through ``m`` and ``u``.

    Shapes: parameters and gradients of any shape; ``step`` is a scalar, the other slots have their parameter's shape.

    Raises
    ------
    ValueError
        If the rate, ``eps`` or the weight decay is negative, or a beta is not in [0, 1).

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> adamax = optim.Adamax([weight], lr=0.1, betas=(0.5, 0.75))
    >>> for gradient in ([2.0, 4.0], [1.0, 8.0]):
    ...     adamax.zero_grad()
    ...     weight.backward(tensor(gradient))
    ...     adamax.step()
    >>> adamax.state[weight]["exp_inf"]
    array([1.5, 8. ], dtype=float32)
    >>> weight.data
    array([ 0.8111, -2.1833], dtype=float32)
    """

    scalar_slots = ("step",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        check_moment_options(lr, betas, eps, weight_decay)
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": np.zeros((), np.float32),
            "exp_avg": slot_like(parameter),
            "exp_inf": slot_like(parameter),
        }

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = float(group["lr"]), group["betas"]
        m, u, t = slots["exp_avg"], slots["exp_inf"], slots["step"].item()
        scratch = self.scratch("change", parameter)

        g = self.descent_gradient(parameter, gradient, group)
        average(m, g, beta1, scratch)
        size = np.abs(g, out=scratch)
        size += group["eps"]
        u *= beta2
        np.maximum(u, size, out=u)

        change = np.divide(m, u, out=scratch)
        change *= lr / (1 - beta1**t)
        parameter -= change
