"""Functions of two numbers to descend on, each with its gradient derived on paper.

What a surface is made of is one point, the parameter, of shape ``(1, 2)``; its two coefficients are the data. So a
training step moves the point downhill. Each height is a rule: the value and a named pullback side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual import nn
from manual.rules.core import Array, Gradients, Needs, Pullback
from manual.tensor import Tensor, apply

__all__ = ["Quadratic", "Rosenbrock", "Saddle", "quadratic", "rosenbrock", "saddle"]


def quadratic(point: Array, coefficients: Array) -> tuple[Array, Pullback]:
    """The height of a bowl over the point ``(x, y)``, ill-conditioned where ``a`` and ``b`` are far apart.

    Shapes: ``point`` ``(1, 2)``, ``coefficients`` ``(2,)``; the value is a scalar.

    Forward: ``f = (a x² + b y²) / 2``. Backward::

        ∂f/∂x = a x      ∂f/∂y = b y      ∂f/∂a = x²/2      ∂f/∂b = y²/2

    The Hessian is ``diag(a, b)``: gradient descent shrinks ``x`` by ``1 − γ a`` at each step and ``y`` by ``1 − γ b``,
    so a rate that does not overshoot along the steep axis crawls along the flat one.

    Raises nothing of its own.

    Examples
    --------
    >>> height, pullback = models.surfaces.quadratic(np.array([[3.0, 2.0]]), np.array([1.0, 10.0]))
    >>> height
    array(24.5)
    >>> pullback(np.array(2.0), (True, False))[0]
    array([[ 6., 40.]])
    """
    square = point * point

    def quadratic_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (
            incoming * (coefficients * point) if needs[0] else None,
            incoming * (square[0] / 2) if needs[1] else None,
        )

    return np.asarray((coefficients * square).sum() / 2), quadratic_pullback


def rosenbrock(point: Array, coefficients: Array) -> tuple[Array, Pullback]:
    """The height of Rosenbrock's valley, which is easy to enter and hard to follow.

    Shapes: ``point`` ``(1, 2)``, ``coefficients`` ``(2,)``; the value is a scalar.

    Forward: ``f = (a − x)² + b (y − x²)²``. With ``r = y − x²``, of which ``∂r/∂x = −2 x``, the chain rule gives::

        ∂f/∂x = −2 (a − x) − 4 b x r      ∂f/∂y = 2 b r      ∂f/∂a = 2 (a − x)      ∂f/∂b = r²

    The only minimum is at ``(a, a²)``, on the floor ``y = x²`` of the valley.

    Rosenbrock, "An automatic method for finding the greatest or least value of a function" (1960), with ``a = 1`` and
    ``b = 100``.

    Raises nothing of its own.

    Examples
    --------
    >>> height, pullback = models.surfaces.rosenbrock(np.array([[0.0, 2.0]]), np.array([1.0, 100.0]))
    >>> height
    array(401.)
    >>> pullback(np.array(2.0), (True, False))[0]
    array([[ -4., 800.]])
    """
    x, y = point[0]
    a, b = coefficients
    left, r = a - x, y - x * x

    def rosenbrock_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (
            incoming * np.stack([-2 * left - 4 * b * x * r, 2 * b * r])[None] if needs[0] else None,
            incoming * np.stack([2 * left, r * r]) if needs[1] else None,
        )

    return np.asarray(left * left + b * r * r), rosenbrock_pullback


def saddle(point: Array, coefficients: Array) -> tuple[Array, Pullback]:
    """The height of a pass between two hollows.

    Shapes: ``point`` ``(1, 2)``, ``coefficients`` ``(2,)``; the value is a scalar.

    Forward: ``f = a x²/2 + b (y² − 1)²/4``. With ``w = y² − 1``, of which ``∂w/∂y = 2 y``, the chain rule gives::

        ∂f/∂x = a x      ∂f/∂y = b y w      ∂f/∂a = x²/2      ∂f/∂b = w²/4

    At the origin the gradient is zero and the Hessian is ``diag(a, −b)``: up along ``x``, down along ``y``. The minima
    are at ``(0, 1)`` and ``(0, −1)``. A point that starts near the line ``y = 0`` is led to the origin, and leaves it
    as ``y`` grows by ``1 + γ b`` at each step.

    Raises nothing of its own.

    Examples
    --------
    >>> height, pullback = models.surfaces.saddle(np.array([[0.5, 2.0]]), np.array([1.0, 2.0]))
    >>> height
    array(4.625)
    >>> pullback(np.array(2.0), (True, False))[0]
    array([[ 1., 24.]])
    """
    x, y = point[0]
    a, b = coefficients
    w = y * y - 1

    def saddle_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (
            incoming * np.stack([a * x, b * y * w])[None] if needs[0] else None,
            incoming * np.stack([x * x / 2, w * w / 4]) if needs[1] else None,
        )

    return np.asarray(a * x * x / 2 + b * w * w / 4), saddle_pullback


class _Surface(nn.Module):
    """A point on a surface.

    Parameters
    ----------
    start : where it starts, two numbers

    Shapes: coefficients ``(2,)`` to the height, a scalar.
    """

    _rule: Any

    def __init__(self, start: tuple[float, float] = (0.0, 0.0)):
        super().__init__()
        self.point = nn.Parameter(np.array([start], np.float32))

    def forward(self, coefficients: Tensor) -> Tensor:
        height: Tensor = apply(self._rule, self.point, coefficients)
        return height


class Quadratic(_Surface):
    """A point in a bowl: see :func:`quadratic`.

    Shapes: as :func:`quadratic`; the point is the parameter ``point (1, 2)``. Raises nothing of its own.

    Examples
    --------
    >>> surface = models.Quadratic(start=(3.0, 2.0))
    >>> height = surface(tensor([1.0, 10.0]))
    >>> height
    Tensor(24.5, requires_grad=True)
    >>> height.backward(tensor(2.0))
    >>> surface.point.grad
    array([[ 6., 40.]], dtype=float32)
    """

    _rule = staticmethod(quadratic)


class Rosenbrock(_Surface):
    """A point in Rosenbrock's valley: see :func:`rosenbrock`.

    Shapes: as :func:`rosenbrock`; the point is the parameter ``point (1, 2)``. Raises nothing of its own.

    Examples
    --------
    >>> surface = models.Rosenbrock(start=(0.0, 2.0))
    >>> height = surface(tensor([1.0, 100.0]))
    >>> height
    Tensor(401., requires_grad=True)
    >>> height.backward(tensor(2.0))
    >>> surface.point.grad
    array([[ -4., 800.]], dtype=float32)
    """

    _rule = staticmethod(rosenbrock)


class Saddle(_Surface):
    """A point near a pass: see :func:`saddle`.

    Shapes: as :func:`saddle`; the point is the parameter ``point (1, 2)``. Raises nothing of its own.

    Examples
    --------
    >>> surface = models.Saddle(start=(0.5, 2.0))
    >>> height = surface(tensor([1.0, 2.0]))
    >>> height
    Tensor(4.625, requires_grad=True)
    >>> height.backward(tensor(2.0))
    >>> surface.point.grad
    array([[ 1., 24.]], dtype=float32)
    """

    _rule = staticmethod(saddle)
