"""Stochastic gradient descent, with heavy-ball or Nesterov momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate, at_least_zero, check_learning_rate
from manual.rules.core import Array
from manual.sparse_rows import SparseRows

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent.

    With gradient ``g``, momentum ``μ``, dampening ``τ``, weight decay ``λ`` and rate ``γ``, for ``t = 1, 2, ...``::

        g ← g + λ θ                     (−g + λ θ to maximise)
        b ← g                           at the first step
        b ← μ b + (1 − τ) g             after it
        θ ← θ − γ g                     without momentum
        θ ← θ − γ b                     with momentum
        θ ← θ − γ (g + μ b)             with Nesterov momentum

    Slots: ``momentum_buffer`` (``b``), only where ``μ`` is not 0.

    Polyak, "Some methods of speeding up the convergence of iteration methods" (1964); Sutskever et al., "On the
    importance of initialization and momentum in deep learning" (ICML 2013), section 2.

    Convention: the rate multiplies the buffer when it is used, as in torch; in Sutskever et al. it enters the buffer
    (``b ← μ b + γ g``), so that a change of rate takes effect slowly. The two differ only where the rate changes.

    Convention: the first gradient enters the buffer *without* dampening, as in torch; a buffer that started at zero
    would get ``(1 − τ) g``.

    Convention: Nesterov's look-ahead is applied to the gradient at the current point, as in torch.

    Convention: ``weight_decay`` is an L2 penalty: it passes through the momentum buffer.

    Convention: a row-sparse gradient is taken for what it stands for: with momentum all rows go on moving, as in torch.
    torch's buffer is then sparse too, with the same values, and refuses a dense gradient later; this one is an array.
    With weight decay, which is dense, row-sparse gradients are refused, as in torch.

    Shapes: parameters and gradients of any shape; ``momentum_buffer`` has its parameter's.

    Raises
    ------
    ValueError
        If the rate, the momentum or the weight decay is negative, or Nesterov has no momentum, or dampening.
    RuntimeError
        From ``step``, if a gradient is row-sparse and there is weight decay.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> sgd = optim.SGD([weight], lr=0.5, momentum=0.5)
    >>> for gradient in ([2.0, 4.0], [1.0, 0.0]):
    ...     sgd.zero_grad()
    ...     weight.backward(tensor(gradient))
    ...     sgd.step()
    >>> sgd.state[weight]["momentum_buffer"]
    array([2., 2.], dtype=float32)
    >>> weight.data
    array([-1., -5.], dtype=float32)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        check_learning_rate(lr)
        at_least_zero("momentum value", momentum)
        at_least_zero("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def bundled(self, group: dict[str, Any]) -> bool:
        """Without momentum an update is two passes, and gathering costs as much."""
        return group["momentum"] != 0

    def check_kinds(self, kinds: set[type], group: dict[str, Any]) -> None:
        if group["weight_decay"] and SparseRows in kinds:
            raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")

    def update_rows(self, parameter: Array, gradient: SparseRows, slots: dict[str, Any], group: dict[str, Any]) -> None:
        lr, momentum = float(group["lr"]), group["momentum"]
        step: Any = -gradient if group["maximize"] else gradient

        if momentum:
            buffer = slots.get("momentum_buffer")
            if buffer is None:
                slots["momentum_buffer"] = buffer = slot_like(parameter)
                buffer += step
            else:
                buffer *= momentum
                buffer += step * (1 - group["dampening"])
            step = step + buffer * momentum if group["nesterov"] else buffer

        parameter += step * -lr

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        lr, momentum = float(group["lr"]), group["momentum"]
        step = self.descent_gradient(parameter, gradient, group)

        if momentum:
            buffer = slots.get("momentum_buffer")
            if buffer is None:
                slots["momentum_buffer"] = buffer = step.copy()
            else:
                buffer *= momentum
                buffer += np.multiply(step, 1 - group["dampening"], out=self.scratch("change", parameter))
            if group["nesterov"]:
                ahead = np.multiply(buffer, momentum, out=self.scratch("ahead", parameter))
                ahead += step
                step = ahead
            else:
                step = buffer

        parameter -= np.multiply(step, lr, out=self.scratch("change", parameter))
