"""Functions of two numbers to descend on: the formulas alone; their gradients are autograd's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Quadratic", "Rosenbrock", "Saddle"]


class _Surface(nn.Module):
    """A point of shape ``(1, 2)``, the parameter; the two coefficients of the surface are the data.

    Parameters
    ----------
    start : where the point starts, two numbers

    Shapes: coefficients ``(2,)`` to the height, a scalar.
    """

    def __init__(self, start: tuple[float, float] = (0.0, 0.0)):
        super().__init__()
        self.point = nn.Parameter(torch.tensor([start], dtype=torch.float32))


class Quadratic(_Surface):
    """``(a x² + b y²) / 2``, a bowl.

    Shapes: coefficients ``(2,)`` or rows of them; the point is the parameter ``point (1, 2)``. Raises nothing of its
    own.

    Examples
    --------
    >>> surface = torch_ref.models.Quadratic(start=(3.0, 2.0))
    >>> height = surface(torch.tensor([1.0, 10.0]))
    >>> height.item()
    24.5
    >>> height.backward(torch.tensor(2.0))
    >>> surface.point.grad
    tensor([[ 6., 40.]])
    """

    def forward(self, coefficients: Tensor) -> Tensor:
        return (coefficients * self.point**2).sum() / 2


class Rosenbrock(_Surface):
    """``(a − x)² + b (y − x²)²``, a curved valley with its minimum at ``(a, a²)``.

    Shapes: coefficients ``(2,)`` or rows of them; the point is the parameter ``point (1, 2)``. Raises nothing of its
    own.

    Examples
    --------
    >>> surface = torch_ref.models.Rosenbrock(start=(0.0, 2.0))
    >>> height = surface(torch.tensor([1.0, 100.0]))
    >>> height.item()
    401.0
    >>> height.backward(torch.tensor(2.0))
    >>> surface.point.grad
    tensor([[ -4., 800.]])
    """

    def forward(self, coefficients: Tensor) -> Tensor:
        x, y = self.point[0]
        a, b = coefficients
        return (a - x) ** 2 + b * (y - x**2) ** 2


class Saddle(_Surface):
    """``a x²/2 + b (y² − 1)²/4``, a pass at the origin between the minima ``(0, 1)`` and ``(0, −1)``.

    Shapes: coefficients ``(2,)`` or rows of them; the point is the parameter ``point (1, 2)``. Raises nothing of its
    own.

    Examples
    --------
    >>> surface = torch_ref.models.Saddle(start=(0.5, 2.0))
    >>> height = surface(torch.tensor([1.0, 2.0]))
    >>> height.item()
    4.625
    >>> height.backward(torch.tensor(2.0))
    >>> surface.point.grad
    tensor([[ 1., 24.]])
    """

    def forward(self, coefficients: Tensor) -> Tensor:
        x, y = self.point[0]
        a, b = coefficients
        return a * x**2 / 2 + b * (y**2 - 1) ** 2 / 4
