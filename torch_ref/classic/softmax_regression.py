"""Several classes by one distribution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_ref.classic.model import Model, decay_of

__all__ = ["SoftmaxRegression"]


class SoftmaxRegression(Model):
    """``CrossEntropyLoss`` plus ``lambda/(2m) |W|^2``. ``forward`` gives the logits, targets are class indices.

    Shapes: ``x (m, n)``, ``y (m,)`` of classes; the loss terms ``(m,)``. Raises what torch raises where a shape does
    not fit.

    Examples
    --------
    >>> model = torch_ref.classic.SoftmaxRegression(1, 2)
    >>> _ = [torch.nn.init.zeros_(parameter) for parameter in model.parameters()]
    >>> x, y = torch.tensor([[1.0], [3.0]]), torch.tensor([0, 1])
    >>> loss = model.losses(model(x), y).mean()
    >>> round(loss.item(), 4)
    0.6931
    >>> loss.backward()
    >>> {name: parameter.grad.tolist() for name, parameter in model.named_parameters()}
    {'linear.weight': [[0.5], [-0.5]], 'linear.bias': [0.0, 0.0]}
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
        return F.cross_entropy(output, target.reshape(-1).long(), reduction="none")

    def predict(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self(x).argmax(1)
