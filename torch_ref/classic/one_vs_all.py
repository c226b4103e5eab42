"""Several classes by independent logistic regressions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_ref.classic.model import Model, decay_of

__all__ = ["OneVsAll"]


class OneVsAll(Model):
    """``BCEWithLogitsLoss`` of each head against "this class or another", summed over the heads.

    The heads are the rows of one ``nn.Linear``. ``forward`` gives the logits, targets are class indices.
    """

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
        targets = F.one_hot(target.reshape(-1).long(), output.shape[1]).to(output)
        return F.binary_cross_entropy_with_logits(output, targets, reduction="none").sum(1)

    def predict(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self(x).argmax(1)
