"""Logistic regression, plain and regularised."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_ref.classic.model import Model, decay_of

__all__ = ["LogisticRegression"]


class LogisticRegression(Model):
    """``BCEWithLogitsLoss`` plus ``lambda/(2m) |w|^2``, without the intercept. ``forward`` gives the logit.

    Shapes: ``x (m, n)``, ``y (m,)`` of 0 and 1; the loss terms ``(m,)``. Raises what torch raises where a shape does
    not fit.

    Examples
    --------
    >>> model = torch_ref.classic.LogisticRegression(1)
    >>> _ = [torch.nn.init.zeros_(parameter) for parameter in model.parameters()]
    >>> x, y = torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0])
    >>> loss = model.losses(model(x), y).mean()
    >>> round(loss.item(), 4)
    0.6931
    >>> loss.backward()
    >>> {name: parameter.grad.tolist() for name, parameter in model.named_parameters()}
    {'linear.weight': [[-0.5]], 'linear.bias': [0.0]}
    """

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
