"""Logistic regression, plain and regularised."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_ref.classic.model import Model, decay_of

__all__ = ["LogisticRegression"]


class LogisticRegression(Model):
    """``BCEWithLogitsLoss`` plus ``lambda/(2m) |w|^2``, without the intercept. ``forward`` gives the logit."""

    def __init__(
        self, features: int, *, lambda_: float = 0.0, rows: int | None = None, dtype: torch.dtype | None = None
    ):
        super().__init__(decay_of(lambda_, rows))
        self.linear = nn.Linear(features, 1, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        target = target.reshape(output.shape).to(output)
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")[:, 0]
