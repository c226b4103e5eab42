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
