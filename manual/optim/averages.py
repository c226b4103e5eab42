"""Moving averages of the gradient and of its square, in place."""

from __future__ import annotations

import numpy as np

from manual.rules.core import Array

__all__ = ["average", "average_square"]


def average(mean: Array, gradient: Array, decay: float, scratch: Array | None) -> None:
    """Move a mean towards the gradient: ``m ← β m + (1 − β) g``.

    It starts from the nearer end: ``m + (1 − β)(g − m)``, or ``g − β (g − m)`` where ``β ≤ 1/2``. So a mean that stays
    where it is (``β = 1``) or follows at once (``β = 0``) is not blurred by rounding ``g − m``.

    Parameters
    ----------
    mean, gradient : arrays of one shape; ``mean`` is written to
    decay : ``β``
    scratch : array of that shape to compute in, or None
    """
    change = np.subtract(gradient, mean, out=scratch)
    if decay > 0.5:
        change *= 1 - decay
        mean += change
    else:
        change *= decay
        np.subtract(gradient, change, out=mean)


def average_square(mean: Array, gradient: Array, decay: float, scratch: Array | None) -> None:
    """Move a mean towards the gradient's square: ``v ← β v + (1 − β) g²``.

    Parameters
    ----------
    mean, gradient : arrays of one shape; ``mean`` is written to
    decay : ``β``
    scratch : array of that shape to compute in, or None
    """
    square = np.multiply(gradient, gradient, out=scratch)
    square *= 1 - decay
    mean *= decay
    mean += square
