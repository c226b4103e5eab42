"""Adagrad: a rate for every element that falls with what it has seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate, at_least_zero, check_learning_rate
from manual.rules.core import Array
from manual.sparse_rows import SparseRows

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Divide the gradient by the root of the sum of its squares so far.

    With gradient ``g``, weight decay ``λ``, rate ``γ`` and rate decay ``η``, from ``s`` = the initial accumulator
    value, for ``t = 1, 2, ...``::

        g ← g + λ θ                     (−g + λ θ to maximise)
        s ← s + g²
        θ ← θ − γ / (1 + (t − 1) η) · g / (√s + ε)

    Slots: ``step`` (``t``), ``sum`` (``s``).

    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization" (JMLR
    2011), figure 1, with the diagonal matrix.

    Convention: ``ε`` is added outside the root, as in torch; TensorFlow adds it inside.

    Convention: the rate decays from the second step on (``t − 1``), as in torch.

    Convention: the slots are made with the optimizer, as in torch, hence also for a parameter that never gets a
    gradient; and a group's own ``initial_accumulator_value`` is ignored in favour of the optimizer's.

    Convention: of a row-sparse gradient only the listed rows move; the others' gradient is zero, and so is their step.
    With weight decay, under which they would move, such gradients are refused, as in torch.

    Shapes: parameters and gradients of any shape; ``step`` is a scalar, ``sum`` has its parameter's shape.

    Raises
    ------
    ValueError
        If the rate, its decay, the weight decay, ``eps`` or the initial accumulator value is negative.
    RuntimeError
        From ``step``, if a gradient is row-sparse and there is weight decay.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> adagrad = optim.Adagrad([weight], lr=0.5)
    >>> for gradient in ([3.0, -3.0], [4.0, 0.0]):
    ...     adagrad.zero_grad()
    ...     weight.backward(tensor(gradient))
    ...     adagrad.step()
    >>> adagrad.state[weight]["sum"]
    array([25.,  9.], dtype=float32)
    >>> weight.data
    array([ 0.1, -1.5], dtype=float32)
    """

    scalar_slots = ("step",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        check_learning_rate(lr)
        at_least_zero("lr_decay value", lr_decay)
        at_least_zero("weight_decay value", weight_decay)
        at_least_zero("initial_accumulator_value value", initial_accumulator_value)
        at_least_zero("epsilon value", eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for tensor in group["params"]:
                self.slots_of(tensor, group)

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        start = self.defaults["initial_accumulator_value"]
        return {"step": np.zeros((), np.float32), "sum": slot_like(parameter, start)}

    def check_kinds(self, kinds: set[type], group: dict[str, Any]) -> None:
        if group["weight_decay"] and SparseRows in kinds:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")

    def update_rows(self, parameter: Array, gradient: SparseRows, slots: dict[str, Any], group: dict[str, Any]) -> None:
        t = slots["step"].item()
        rate = float(group["lr"]) / (1 + (t - 1) * group["lr_decay"])
        gradient = gradient.coalesce()
        rows = gradient.indices
        g = -gradient.values if group["maximize"] else gradient.values
        s = slots["sum"][rows] + g * g
        slots["sum"][rows] = s
        parameter[rows] -= rate * (g / (np.sqrt(s) + group["eps"]))

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        s, t = slots["sum"], slots["step"].item()
        rate = float(group["lr"]) / (1 + (t - 1) * group["lr_decay"])
        scratch = self.scratch("change", parameter)

        g = self.descent_gradient(parameter, gradient, group)
        s += np.multiply(g, g, out=scratch)

        scale = np.sqrt(s, out=scratch)
        scale += group["eps"]
        change = np.divide(g, scale, out=scratch)
        change *= rate
        parameter -= change
