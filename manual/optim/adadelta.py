"""Adadelta: steps in the parameter's own unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.averages import average_square
from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate, at_least_zero, check_learning_rate
from manual.rules.core import Array

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Scale the gradient by the root mean square of past steps over that of past gradients.

    With gradient ``g``, decay ``ρ``, weight decay ``λ`` and rate ``γ``, from ``v = u = 0``, for ``t = 1, 2, ...``::

        g ← g + λ θ                     (−g + λ θ to maximise)
        v ← ρ v + (1 − ρ) g²
        Δ = √(u + ε) / √(v + ε) · g
        u ← ρ u + (1 − ρ) Δ²
        θ ← θ − γ Δ

    Slots: ``step`` (``t``, counted and not used), ``square_avg`` (``v``), ``acc_delta`` (``u``).

    Were the parameter measured in metres, ``g`` would have the unit 1/m and plain descent would subtract 1/m from m.
    Here ``g / √v`` has no unit and ``√u`` has the parameter's.

    Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (2012), algorithm 1.

    Convention: the steps are multiplied by a rate, as in torch; the paper has none (``γ = 1``). The rate does not enter
    ``u``.

    Convention: ``ε`` is added inside both roots, as in the paper; it alone sets the size of the first step, about
    ``√(ε / (1 − ρ))``.

    Shapes: parameters and gradients of any shape; ``step`` is a scalar, the other slots have their parameter's shape.

    Raises
    ------
    ValueError
        If the rate, ``eps`` or the weight decay is negative, or ``rho`` is not in [0, 1].

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> adadelta = optim.Adadelta([weight], rho=0.75, eps=0.01)
    >>> weight.backward(tensor([2.0, -4.0]))
    >>> adadelta.step()
    >>> adadelta.state[weight]["square_avg"]
    array([1., 4.], dtype=float32)
    >>> weight.data
    array([ 0.801 , -1.8002], dtype=float32)
    """

    scalar_slots = ("step",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        check_learning_rate(lr)
        if not 0 <= rho <= 1:
            raise ValueError(f"Invalid rho value: {rho}")
        at_least_zero("epsilon value", eps)
        at_least_zero("weight_decay value", weight_decay)
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": np.zeros((), np.float32),
            "square_avg": slot_like(parameter),
            "acc_delta": slot_like(parameter),
        }

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        lr, rho, eps = float(group["lr"]), group["rho"], group["eps"]
        v, u = slots["square_avg"], slots["acc_delta"]
        scratch = self.scratch("change", parameter)

        g = self.descent_gradient(parameter, gradient, group)
        average_square(v, g, rho, scratch)
        scale = np.add(v, eps, out=scratch)
        scale = np.sqrt(scale, out=scratch)
        delta = np.add(u, eps, out=self.scratch("delta", parameter))
        delta = np.sqrt(delta, out=delta)
        delta /= scale
        delta *= g
        average_square(u, delta, rho, scratch)
        delta *= lr
        parameter -= delta
