"""Several classes by one distribution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_ref.classic.model import Model, decay_of

__all__ = ["SoftmaxRegression"]


class SoftmaxRegression(Model):
    """``CrossEntropyLoss`` plus ``lambda/(2m) |W|^2``. ``forward`` gives the logits, targets are class indices."""

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        lambda_: float = 0.0,
        rows: int | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(decay_of(lambda_, rows))
        self.linear = nn.Linear(features, classes, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target.reshape(-1).long(), reduction="none")

    def predict(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self(x).argmax(1)
