"""RMSprop, plain or centered, with or without momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.averages import average, average_square
from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate, at_least_zero, check_learning_rate
from manual.rules.core import Array

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Divide the gradient by a moving root mean square of itself.

    With gradient ``g``, smoothing ``α``, momentum ``μ``, weight decay ``λ`` and rate ``γ``, from
    ``v = a = b = 0``, for ``t = 1, 2, ...``::

        g ← g + λ θ                     (−g + λ θ to maximise)
        v ← α v + (1 − α) g²
        a ← α a + (1 − α) g             centered
        s = √v + ε                      s = √(v − a²) + ε when centered
        θ ← θ − γ g / s                 without momentum
        b ← μ b + g / s                 with momentum
        θ ← θ − γ b

    Slots: ``step`` (``t``, counted and not used), ``square_avg`` (``v``), with momentum ``momentum_buffer`` (``b``),
    centered ``grad_avg`` (``a``).

    Tieleman and Hinton, "Lecture 6.5 - rmsprop" (COURSERA, 2012); centered: Graves, "Generating Sequences With
    Recurrent Neural Networks" (2013), section 4.2.

    Convention: ``ε`` is added outside the root, as in torch; Graves and TensorFlow add it inside.

    Convention: the rate multiplies the momentum buffer when it is used, as in torch; in TensorFlow it enters the
    buffer. No bias correction: the first steps are long.

    Convention: where ``v − a²`` is rounded to a negative number (a gradient that stays the same for long) the centered
    root is NaN, in torch too.

    Shapes: parameters and gradients of any shape; ``step`` is a scalar, the other slots have their parameter's shape.

    Raises
    ------
    ValueError
        If the rate, ``alpha``, ``eps``, the momentum or the weight decay is negative.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> rmsprop = optim.RMSprop([weight], lr=0.1, alpha=0.75)
    >>> weight.backward(tensor([2.0, -40.0]))
    >>> rmsprop.step()
    >>> rmsprop.state[weight]["square_avg"]
    array([  1., 400.], dtype=float32)
    >>> weight.data
    array([ 0.8, -1.8], dtype=float32)
    """

    scalar_slots = ("step",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        check_learning_rate(lr)
        at_least_zero("epsilon value", eps)
        at_least_zero("momentum value", momentum)
        at_least_zero("weight_decay value", weight_decay)
        at_least_zero("alpha value", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        slots = {"step": np.zeros((), np.float32), "square_avg": slot_like(parameter)}
        if group["momentum"] > 0:
            slots["momentum_buffer"] = slot_like(parameter)
        if group["centered"]:
            slots["grad_avg"] = slot_like(parameter)
        return slots

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        lr, alpha, momentum = float(group["lr"]), group["alpha"], group["momentum"]
        v = slots["square_avg"]
        scratch = self.scratch("change", parameter)

        g = self.descent_gradient(parameter, gradient, group)
        average_square(v, g, alpha, scratch)
        if group["centered"]:
            a = slots["grad_avg"]
            average(a, g, alpha, scratch)
            variance = np.multiply(a, a, out=scratch)
            variance = np.subtract(v, variance, out=scratch)
            scale = np.sqrt(variance, out=scratch)
        else:
            scale = np.sqrt(v, out=scratch)
        scale += group["eps"]
        change = np.divide(g, scale, out=scratch)

        if momentum > 0:
            b = slots["momentum_buffer"]
            b *= momentum
            b += change
            change = np.multiply(b, lr, out=scratch)
        else:
            change *= lr
        parameter -= change
