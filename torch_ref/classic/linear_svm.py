"""The linear support vector machine."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torch_ref.classic.model import Model

__all__ = ["LinearSVM"]


class LinearSVM(Model):
    """``C sum_i t_i + 1/2 |w|^2`` ("course"), or that over ``C m`` ("mean"), with ``t = relu(1 - (2y - 1) z)``.

    ``loss="squared_hinge"`` has ``t^2``. The data loss of a micro-batch is ``C m`` times its mean slack, with the m of
    the whole training set (``rows``). Written with ``relu``, whose gradient at 0 is 0; ``clamp``'s would be 1.

    Shapes: ``x (m, n)``, ``y (m,)`` of 0 and 1; the loss terms ``(m,)``. Raises what torch raises where a shape does
    not fit.

    Examples
    --------
    >>> model = torch_ref.classic.LinearSVM(1, rows=2)
    >>> _ = [torch.nn.init.zeros_(parameter) for parameter in model.parameters()]
    >>> x, y = torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0])
    >>> loss = model.losses(model(x), y).mean()
    >>> round(loss.item(), 4)
    2.0
    >>> loss.backward()
    >>> {name: parameter.grad.tolist() for name, parameter in model.named_parameters()}
    {'linear.weight': [[-2.0]], 'linear.bias': [0.0]}
    """

    def __init__(
        self,
        features: int,
        *,
        rows: int,
        C: float = 1.0,
        loss: str = "hinge",
        convention: str = "course",
        dtype: torch.dtype | None = None,
    ):
        factor = {"course": C * rows, "mean": 1.0}[convention]
        super().__init__(factor / (C * rows))
        self.factor = factor
        self.power = {"hinge": 1, "squared_hinge": 2}[loss]
        self.linear = nn.Linear(features, 1, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        signs = 2 * target.reshape(output.shape).to(output) - 1
        return self.factor * torch.relu(1 - signs * output).pow(self.power)[:, 0]
