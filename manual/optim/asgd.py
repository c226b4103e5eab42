"""ASGD: stochastic gradient descent that averages its path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate, at_least_zero, check_learning_rate
from manual.rules.core import Array

__all__ = ["ASGD"]


class ASGD(Optimizer):
    """Averaged stochastic gradient descent.

    With gradient ``g``, decay ``λ``, weight decay ``κ``, power ``α``, start ``t₀`` and rate ``γ``, from ``η = γ``,
    ``μ = 1`` and ``a = 0``, for ``t = 1, 2, ...``::

        g ← g + κ θ                     (−g + κ θ to maximise)
        θ ← (1 − λ η) θ − η g
        a ← a + μ (θ − a)
        η ← γ / (1 + λ γ t)^α
        μ ← 1 / max(1, t − t₀)

    Slots: ``step`` (``t``), ``eta`` (``η``), ``mu`` (``μ``), ``ax`` (``a``).

    While ``μ = 1`` the average is the parameter itself. From step ``t₀ + 2`` on it is the mean of the parameters since
    then, ``a_n = a_(n−1) + (θ_n − a_(n−1)) / n``. It is not used for training; it is what one keeps in the end.

    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992); the rate and the start of the
    average: Bottou, "Stochastic Gradient Descent Tricks" (2012).

    Convention: ``η`` and ``μ`` are computed after the update, for the next one, as in torch: a changed rate takes
    effect one step late, and so does the start of the average.

    Convention: ``η`` and ``μ`` are rounded to float32 whatever the parameter's dtype, as in torch. They are computed in
    double precision before, as in torch's single-tensor loop; its foreach loop computes ``η`` in float32.

    Convention: ``lambd`` shrinks the parameter also where ``weight_decay`` is 0, and both at once where it is not.

    Shapes: parameters and gradients of any shape; ``ax`` has its parameter's, the other slots are scalars.

    Raises
    ------
    ValueError
        If the rate or the weight decay is negative.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> asgd = optim.ASGD([weight], lr=0.5, lambd=0.0, t0=0)
    >>> for gradient in ([2.0, 4.0], [1.0, 0.0]):
    ...     asgd.zero_grad()
    ...     weight.backward(tensor(gradient))
    ...     asgd.step()
    >>> weight.data
    array([-0.5, -4. ], dtype=float32)
    >>> asgd.state[weight]["ax"]
    array([-0.5, -4. ], dtype=float32)
    """

    scalar_slots = ("step", "eta", "mu")

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        check_learning_rate(lr)
        at_least_zero("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": np.zeros((), np.float32),
            "eta": np.array(group["lr"], np.float32),
            "mu": np.ones((), np.float32),
            "ax": slot_like(parameter),
        }

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        eta, mu, a = slots["eta"].item(), slots["mu"].item(), slots["ax"]
        scratch = self.scratch("change", parameter)

        g = self.descent_gradient(parameter, gradient, group)
        parameter *= 1 - group["lambd"] * eta
        parameter -= np.multiply(g, eta, out=scratch)

        if mu == 1:
            a[...] = parameter
        else:
            change = np.subtract(parameter, a, out=scratch)
            change *= mu
            a += change

    def conclude(self, slots: dict[str, Any], group: dict[str, Any]) -> None:
        lr, t = float(group["lr"]), slots["step"].flat[0].item()
        slots["eta"][...] = np.float32(lr / (1 + group["lambd"] * lr * t) ** group["alpha"])
        slots["mu"][...] = np.float32(1 / max(1, t - group["t0"]))
