"""Linear and ridge regression."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_ref.classic.model import Model, decay_of

__all__ = ["LinearRegression"]


class LinearRegression(Model):
    """Least squares: ``1/(2m) sum r^2 + lambda/(2m) |w|^2`` ("course"), or twice that ("torch", ``nn.MSELoss``).

    Shapes: ``x (m, n)``, ``y (m,)``; the loss terms ``(m,)``. Raises what torch raises where a shape does not fit.

    Examples
    --------
    >>> model = torch_ref.classic.LinearRegression(1)
    >>> _ = [torch.nn.init.zeros_(parameter) for parameter in model.parameters()]
    >>> x, y = torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 4.0])
    >>> loss = model.losses(model(x), y).mean()
    >>> round(loss.item(), 4)
    5.0
    >>> loss.backward()
    >>> {name: parameter.grad.tolist() for name, parameter in model.named_parameters()}
    {'linear.weight': [[-7.0]], 'linear.bias': [-3.0]}
    """

    def __init__(
        self,
        features: int,
        *,
        convention: str = "course",
        lambda_: float = 0.0,
        rows: int | None = None,
        dtype: torch.dtype | None = None,
    ):
        factor = {"course": 0.5, "torch": 1.0}[convention]
        super().__init__(2 * factor * decay_of(lambda_, rows))
        self.factor = factor
        self.linear = nn.Linear(features, 1, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        return self.factor * F.mse_loss(output, target.reshape(output.shape).to(output), reduction="none")[:, 0]

    def predict(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self(x)[:, 0]

    def accuracy(self, x: Tensor, target: Tensor) -> float:
        """``R^2``, what a regression has in the place of accuracy."""
        target = target.reshape(-1).to(x)
        residual = (self.predict(x) - target).square().sum()
        return (1 - residual / (target - target.mean()).square().sum()).item()
