"""Muon: momentum whose matrix is orthogonalised before the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.averages import average
from manual.optim.bundles import slot_like
from manual.optim.newton_schulz import orthogonalized
from manual.optim.optimizer import Optimizer
from manual.rules.core import Array

__all__ = ["Muon"]


class Muon(Optimizer):
    """Momentum, orthogonalised by Newton-Schulz. For matrices only.

    With gradient ``G`` of shape (m, n), momentum ``μ``, weight decay ``λ`` and rate ``γ``, from ``B = 0``::

        B ← μ B + (1 − μ) G
        M = B                           M = μ B + (1 − μ) G with Nesterov momentum
        O ← Newton-Schulz(M)            near U Vᵀ, where M = U S Vᵀ
        θ ← θ − γ λ θ
        θ ← θ − γ r O

    with ``r = √max(1, m/n)`` for ``adjust_lr_fn`` ``None`` or ``"original"``, and ``r = 0.2 √max(m, n)`` for
    ``"match_rms_adamw"``.

    Slots: ``momentum_buffer`` (``B``).

    ``U Vᵀ`` is the steepest descent where a step's length is its largest singular value: among all ``O`` with singular
    values of at most 1 it makes ``⟨M, O⟩`` largest. Its elements have a root mean square of about ``1/√max(m, n)``, and
    ``r`` undoes that: ``"match_rms_adamw"`` brings it to 0.2, which is about AdamW's.

    Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024); Liu et al., "Muon is Scalable for LLM
    Training" (2025), for ``"match_rms_adamw"``.

    Convention: the buffer is a mean (``1 − μ`` weighs the gradient), as in torch; in Jordan's text it is a sum. The
    orthogonalised matrix has the same singular vectors, and nearly the same values, either way.

    Convention: the iteration works in bfloat16 as torch's does, emulated in float32: see ``orthogonalized``.

    Convention: the weights decay by ``γ λ``, with the rate before its adjustment, as in torch.

    Shapes: parameters, gradients and ``momentum_buffer`` are matrices, each of one shape ``(m, n)``.

    Raises
    ------
    ValueError
        If the rate, the momentum or the weight decay is negative, a parameter has not two axes, or ``adjust_lr_fn`` is
        unknown.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([[1.0, 0.0], [0.0, 1.0]], dtype=np.float64))
    >>> muon = optim.Muon([weight], lr=0.1, weight_decay=0.0)
    >>> weight.backward(tensor([[2.0, 0.0], [0.0, -50.0]]))
    >>> muon.step()
    >>> np.round(weight.data, 2)
    array([[0.9 , 0.  ],
           [0.  , 1.07]])
    """

    elementwise = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ):
        for name, value in (("Learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay)):
            if not value >= 0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.ndim != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {tensor.shape}"
                    )

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        return {"momentum_buffer": slot_like(parameter)}

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        lr, momentum = float(group["lr"]), group["momentum"]
        buffer = slots["momentum_buffer"]
        average(buffer, gradient, momentum, None)
        ahead = buffer
        if group["nesterov"]:
            ahead = gradient.copy()
            average(ahead, buffer, 1 - momentum, None)
        change = orthogonalized(ahead, group["ns_coefficients"], group["ns_steps"], group["eps"])
        parameter *= 1 - lr * group["weight_decay"]
        parameter -= np.multiply(
            change, lr * _adjustment(group["adjust_lr_fn"], parameter.shape), dtype=parameter.dtype
        )


def _adjustment(name: str | None, shape: tuple[int, ...]) -> float:
    """The factor of the rate, by the shape of the matrix."""
    rows, columns = shape
    if name == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))
