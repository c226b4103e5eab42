"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.adam import check_adam_options
from manual.optim.averages import average, average_square
from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate
from manual.rules.core import Array

__all__ = ["AdamW"]


class AdamW(Optimizer):
    """Adaptive moment estimation that shrinks the weights apart from the gradient.

    With gradient ``g``, weight decay ``λ`` and rate ``γ``, from ``m = v = 0``, for ``t = 1, 2, ...``::

        g ← −g                          to maximise
        θ ← θ − γ λ θ
        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        u ← max(u, v)                   with AMSGrad; else u = v
        m̂ = m / (1 − β₁ᵗ)
        û = u / (1 − β₂ᵗ)
        θ ← θ − γ m̂ / (√û + ε)

    Slots: ``step`` (``t``), ``exp_avg`` (``m``), ``exp_avg_sq`` (``v``), with AMSGrad ``max_exp_avg_sq`` (``u``).

    An L2 penalty would be divided by ``√û`` like any gradient, so that weights with large gradients would hardly
    decay. Here all weights shrink by the same factor, and the moments never see the penalty. The last line is computed
    as ``θ ← θ − γ r / (1 − β₁ᵗ) · m / (√u + ε r)`` with ``r = √(1 − β₂ᵗ)``, see ``Adam``.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (ICLR 2019), algorithm 2.

    Convention: the rate multiplies the decay (``1 − γ λ``), as in torch; in the paper only the schedule's multiplier
    does, and ``λ`` stands alone.

    Convention: the weights decay before the step, so ``γ λ`` acts on the old weights; the step is the same either
    way, for the moments do not depend on ``θ``.

    Convention: ``ε`` outside the root, after the bias correction; AMSGrad's maximum of the uncorrected ``v``: see
    ``Adam``.

    Shapes: parameters and gradients of any shape; ``step`` is a scalar, the other slots have their parameter's shape.

    Raises
    ------
    ValueError
        If the rate, ``eps`` or the weight decay is negative, a beta is not in [0, 1), or a loaded group couples the
        decay.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> adamw = optim.AdamW([weight], lr=0.1, weight_decay=0.5)
    >>> weight.backward(tensor([2.0, 40.0]))
    >>> adamw.step()
    >>> weight.data
    array([ 0.85, -2.  ], dtype=float32)
    """

    scalar_slots = ("step",)
    sparse_refusal = "Adam does not support sparse gradients, please consider SparseAdam instead"

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        check_adam_options(lr, betas, eps, weight_decay)
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": True,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if not param_group.get("decoupled_weight_decay", True):
            raise ValueError("AdamW decays the weights apart: use Adam for a group with decoupled_weight_decay=False")
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # also where Adam made the state
            group["decoupled_weight_decay"] = True

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
        if group["weight_decay"]:
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
