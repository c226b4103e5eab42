"""Adam, with weight decay as an L2 penalty or decoupled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.averages import average, average_square
from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate, at_least_zero, check_learning_rate
from manual.rules.core import Array
from manual.tensor import Tensor

__all__ = ["Adam", "check_adam_options", "check_moment_options"]


class Adam(Optimizer):
    """Adaptive moment estimation.

    With gradient ``g``, weight decay ``λ`` and rate ``γ``, from ``m = v = 0``, for ``t = 1, 2, ...``::

        g ← g + λ θ                     (−g + λ θ to maximise)
        θ ← θ − γ λ θ                   with decoupled weight decay, and no λ θ above
        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        u ← max(u, v)                   with AMSGrad; else u = v
        m̂ = m / (1 − β₁ᵗ)
        û = u / (1 − β₂ᵗ)
        θ ← θ − γ m̂ / (√û + ε)

    Slots: ``step`` (``t``), ``exp_avg`` (``m``), ``exp_avg_sq`` (``v``), with AMSGrad ``max_exp_avg_sq`` (``u``).

    The divisors undo the start at zero: after ``t`` equal gradients ``m = (1 − β₁ᵗ) g``. To spare a pass over the
    parameter they are moved to the scalars: with ``r = √(1 − β₂ᵗ)``, ``√û = √u / r``, so the last line is

        ``θ ← θ − γ r / (1 − β₁ᵗ) · m / (√u + ε r)``

    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (ICLR 2015), algorithm 1; Reddi, Kale and Kumar,
    "On the Convergence of Adam and Beyond" (ICLR 2018), algorithm 2.

    Convention: ``ε`` is added outside the root and after the bias correction, as in the paper's algorithm 1 and in
    torch. (The paper's faster form, and TensorFlow, add it to the root of the uncorrected ``v``.)

    Convention: AMSGrad keeps the maximum of the *uncorrected* ``v`` and corrects it afterwards, as in torch; keras
    and the paper have no correction at all, optax takes the maximum of corrected values.

    Convention: ``weight_decay`` is an L2 penalty: it passes through both moments. With ``decoupled_weight_decay`` it
    shrinks the parameter instead, before the step: see ``AdamW``, which gives the same numbers.

    Shapes: parameters and gradients of any shape; ``step`` is a scalar, the other slots have their parameter's shape.

    Raises
    ------
    ValueError
        If the rate, ``eps`` or the weight decay is negative, or a beta is not in [0, 1).

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> adam = optim.Adam([weight], lr=0.1, betas=(0.5, 0.75))
    >>> weight.backward(tensor([2.0, -40.0]))
    >>> adam.step()
    >>> weight.data
    array([ 0.9, -1.9], dtype=float32)
    >>> adam.state[weight]["exp_avg"]
    array([  1., -20.], dtype=float32)
    >>> adam.state[weight]["exp_avg_sq"]
    array([  1., 400.], dtype=float32)
    """

    scalar_slots = ("step",)
    sparse_refusal = "Adam does not support sparse gradients, please consider SparseAdam instead"

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ):
        check_adam_options(lr, betas, eps, weight_decay)
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        slots = {
            "step": np.zeros((), np.float32),
            "exp_avg": slot_like(parameter),
            "exp_avg_sq": slot_like(parameter),
        }
        if group["amsgrad"]:
            slots["max_exp_avg_sq"] = slot_like(parameter)
        return slots

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        lr, (beta1, beta2), eps = float(group["lr"]), group["betas"], group["eps"]
        t = slots["step"].item()
        m, v = slots["exp_avg"], slots["exp_avg_sq"]
        scratch = self.scratch("change", parameter)

        g = self.descent_gradient(parameter, gradient, group)
        if group["decoupled_weight_decay"] and group["weight_decay"]:
            parameter *= 1 - lr * group["weight_decay"]
        average(m, g, beta1, scratch)
        average_square(v, g, beta2, scratch)
        u = v
        if group["amsgrad"]:
            u = slots["max_exp_avg_sq"]
            np.maximum(u, v, out=u)

        root2 = math.sqrt(1 - beta2**t)
        change = np.sqrt(u, out=scratch)
        change += eps * root2
        change = np.divide(m, change, out=scratch)
        change *= lr * root2 / (1 - beta1**t)
        parameter -= change


def check_adam_options(lr: Rate, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
    """Refuse what torch refuses.

    Raises
    ------
    ValueError
        If a number is negative, or a beta is outside of [0, 1), or they are neither floats nor arrays.
    """
    check_moment_options(lr, betas, eps, weight_decay)
    kinds: tuple[Any, ...] = (float, (np.ndarray, np.generic, Tensor))
    if not any(all(isinstance(beta, kind) for beta in betas) for kind in kinds):
        raise ValueError("betas must be either both floats or both Tensors")


def check_moment_options(lr: Rate, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
    """Refuse what torch refuses in every optimizer with two moments.

    Raises
    ------
    ValueError
        If a number is negative, or a beta is outside of [0, 1).
    """
    check_learning_rate(lr)
    at_least_zero("epsilon value", eps)
    for index, beta in enumerate(betas):
        if not 0 <= beta < 1:
            raise ValueError(f"Invalid beta parameter at index {index}: {beta}")
    at_least_zero("weight_decay value", weight_decay)
