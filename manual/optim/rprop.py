"""Rprop: steps that follow the signs of the gradient alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate, check_learning_rate
from manual.rules.core import Array

__all__ = ["Rprop"]


class Rprop(Optimizer):
    """Resilient propagation: every element has a step size that grows while the sign stays and shrinks where it turns.

    With gradient ``g``, factors ``η⁻ < 1 < η⁺`` and bounds ``Δ_min``, ``Δ_max``, from ``p = 0`` and ``Δ`` = the rate::

        g ← −g                          to maximise
        Δ ← η⁺ Δ                        where g p > 0
        Δ ← η⁻ Δ,  g ← 0                where g p < 0
        Δ ← min(max(Δ, Δ_min), Δ_max)
        θ ← θ − sign(g) Δ
        p ← g

    Slots: ``step`` (counted and not used), ``prev`` (``p``), ``step_size`` (``Δ``).

    Where the sign turns, a minimum was jumped over: the element rests for one step, and as its ``p`` is 0, its step
    size rests for another.

    Riedmiller and Braun, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm" (ICNN
    1993); this variant, iRprop⁻: Igel and Hüsken, "Improving the Rprop Learning Algorithm" (NC 2000).

    Convention: where the sign turns nothing moves, as in torch; the first paper takes the last step back there.

    Convention: the learning rate is only the first step size, as in torch: a rate that is changed later has no effect
    on a parameter that has slots. The bounds hold for the first step size too.

    Convention: the sign is that of the product ``g p`` in the parameter's own dtype, as in torch: where the product
    underflows to 0 the step size stays. The sign of NaN is 0, as in torch: a gradient of NaN moves nothing.

    Shapes: parameters and gradients of any shape; ``step`` is a scalar, the other slots have their parameter's shape.

    Raises
    ------
    ValueError
        If the rate is negative, or not ``0 < etas[0] < 1 < etas[1]``.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> rprop = optim.Rprop([weight], lr=0.1)
    >>> for gradient in ([2.0, 4.0], [3.0, -0.1]):
    ...     rprop.zero_grad()
    ...     weight.backward(tensor(gradient))
    ...     rprop.step()
    >>> rprop.state[weight]["step_size"]
    array([0.12, 0.05], dtype=float32)
    >>> weight.data
    array([ 0.78, -2.1 ], dtype=float32)
    """

    scalar_slots = ("step",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
    ):
        check_learning_rate(lr)
        if not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {"lr": lr, "etas": tuple(etas), "step_sizes": tuple(step_sizes), "maximize": maximize}
        super().__init__(params, defaults)

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": np.zeros((), np.float32),
            "prev": slot_like(parameter),
            "step_size": slot_like(parameter, float(group["lr"])),
        }

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        (shrink, grow), (smallest, largest) = group["etas"], group["step_sizes"]
        p, size = slots["prev"], slots["step_size"]
        scratch = self.scratch("change", parameter)

        g = gradient
        if group["maximize"]:
            g = np.negative(gradient, out=self.scratch("gradient", parameter))
        agreement = signs(np.multiply(g, p, out=scratch))
        factors = np.array([shrink, 1, grow], parameter.dtype)
        size *= factors.take(agreement + 1, out=scratch, mode="clip")
        np.clip(size, smallest, largest, out=size)

        p[...] = g
        np.copyto(p, 0, where=agreement < 0)
        parameter -= np.multiply(size, signs(p), out=scratch)


def signs(array: Array) -> Array:
    """-1, 0 or 1 for each element, as int8; 0 for NaN, where ``np.sign`` has NaN."""
    return np.subtract(array > 0, array < 0, dtype=np.int8)
