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

    Shapes: ``x (m, n)``, ``y (m,)`` of classes; the loss terms ``(m,)``. Raises what torch raises where a shape does
    not fit.

    Examples
    --------
    >>> model = torch_ref.classic.OneVsAll(1, 3)
    >>> _ = [torch.nn.init.zeros_(parameter) for parameter in model.parameters()]
    >>> x, y = torch.tensor([[1.0], [3.0]]), torch.tensor([0, 2])
    >>> loss = model.losses(model(x), y).mean()
    >>> round(loss.item(), 4)
    2.0794
    >>> loss.backward()
    >>> {name: parameter.grad.tolist() for name, parameter in model.named_parameters()}
    {'linear.weight': [[0.5], [1.0], [-0.5]], 'linear.bias': [0.0, 0.5, 0.0]}
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
