"""Adam that updates the rows of a row-sparse gradient and leaves the others alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer
from manual.rules.core import Array
from manual.sparse_rows import SparseRows

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adaptive moment estimation of the rows that a gradient lists.

    With the listed rows ``g`` of the gradient (each once: entries of one row are added up before), the same rows of
    ``θ``, ``m`` and ``v``, and rate ``γ``, from ``m = v = 0``, for ``t = 1, 2, ...``::

        g ← −g                          to maximise
        m ← m + (1 − β₁) (g − m)
        v ← v + (1 − β₂) (g² − v)
        θ ← θ − γ √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)

    Slots: ``step`` (``t``, a Python number), ``exp_avg`` (``m``), ``exp_avg_sq`` (``v``), both of the whole table.

    Adam moves every row at every step, for ``m`` fades slowly. A row of a table that nobody looked up has gradient
    zero, and here it stays where it is, with its moments: a step costs as much as the rows it lists.

    After Kingma and Ba, "Adam: A Method for Stochastic Optimization" (ICLR 2015), the end of section 2.

    Convention: ``t`` counts the steps of the whole table, as in torch, not those of a row: a row that is looked up for
    the first time late gets hardly any bias correction, and a long step.

    Convention: ``ε`` is added to the root of the *uncorrected* ``v``, as in torch and in the paper's faster form;
    ``Adam`` adds it after the correction.

    Convention: a listed row is updated even if its gradient is zero; a gradient without rows counts as a step.

    Shapes: a parameter ``(rows, ...)`` with gradients as :class:`manual.SparseRows` of that shape; ``exp_avg`` and
    ``exp_avg_sq`` have the parameter's.

    Raises
    ------
    RuntimeError
        From ``step``, if a gradient is dense.
    ValueError
        If the rate or ``eps`` is not positive, or a beta is not in [0, 1).

    Examples
    --------
    >>> table = nn.Embedding(3, 2, sparse=True, _weight=tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
    >>> adam = optim.SparseAdam(table.parameters(), lr=0.5)
    >>> table(tensor([2, 0])).backward(tensor([[1.0, -1.0], [4.0, 0.0]]))
    >>> adam.step()
    >>> table.weight.data
    array([[0.5, 1. ],
           [2. , 2. ],
           [2.5, 3.5]], dtype=float32)
    """

    elementwise = False
    scalar_slots = ("step",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ):
        for description, value in (("learning rate", lr), ("epsilon value", eps)):
            if not value > 0:
                raise ValueError(f"Invalid {description}: {value}")
        for index, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ValueError(f"Invalid beta parameter at index {index}: {beta}")
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "maximize": maximize})

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": 0, "exp_avg": slot_like(parameter), "exp_avg_sq": slot_like(parameter)}

    def check_kinds(self, kinds: set[type], group: dict[str, Any]) -> None:
        if kinds - {SparseRows}:
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")

    def update_rows(self, parameter: Array, gradient: SparseRows, slots: dict[str, Any], group: dict[str, Any]) -> None:
        (beta1, beta2), t = group["betas"], int(slots["step"])
        gradient = gradient.coalesce()
        rows = gradient.indices
        g = -gradient.values if group["maximize"] else gradient.values
        m, v = slots["exp_avg"][rows], slots["exp_avg_sq"][rows]
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        slots["exp_avg"][rows], slots["exp_avg_sq"][rows] = m, v
        rate = float(group["lr"]) * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        parameter[rows] -= rate * (m / (np.sqrt(v) + group["eps"]))

    def _loaded(self, slots: dict[str, Any], parameter: Array, number: Any) -> dict[str, Any]:
        loaded = super()._loaded(slots, parameter, number)
        return {name: int(value) if name == "step" else value for name, value in loaded.items()}
