"""The sigmoid and its cost, computed so that no logit overflows."""

from __future__ import annotations

import numpy as np

from manual.rules.core import Array

__all__ = ["binary_cross_entropy", "sigmoid"]


def sigmoid(z: Array) -> Array:
    """Compute the logistic function ``1 / (1 + exp(-z))`` without overflow.

    For ``z < 0``, multiply above and below by ``exp(z)``: ``exp(z) / (exp(z) + 1)``. So with ``a = min(z, 0)`` and
    ``b = max(z, 0)``, both of whose differences are exact,

        sigmoid(z) = exp(a) / (1 + exp(a - b))            (a - b = -|z|)

    and no exponent is positive. Both ends keep full relative accuracy: ``sigmoid(-800)`` underflows to 0, but
    ``sigmoid(-40)`` is 4.2e-18.

    Its derivative: ``sigmoid' = exp(-z) / (1 + exp(-z))**2 = sigmoid (1 - sigmoid)``.

    Shapes: ``z`` and the value alike, of any shape. Raises nothing.

    Examples
    --------
    >>> classic.sigmoid(np.array([0.0, np.log(3.0), -1000.0]))
    array([0.5 , 0.75, 0.  ])
    """
    p = np.minimum(z, 0.0)
    e = p - np.maximum(z, 0.0)
    np.exp(e, out=e)
    e += 1.0
    np.exp(p, out=p)
    p /= e
    return p


def binary_cross_entropy(z: Array, y: Array) -> tuple[Array, Array]:
    """Compute ``-y log h - (1 - y) log(1 - h)`` with ``h = sigmoid(z)``, and its derivative by ``z``, from the logit.

    ``-log(1 - h) = log(1 + exp(z))``, which for ``z > 0`` is ``z + log(1 + exp(-z))``, and ``log h = z + log(1 - h)``.
    So with ``a = min(z, 0)``, ``b = max(z, 0)`` and ``l = log1p(exp(a - b)) = log1p(exp(-|z|))``, for either sign,

        loss = (b - y z) + l            h = exp(a - l)

    For the labels 0 and 1 the bracket is exact: ``|z|`` on the wrong side of the boundary and 0 on the right one, so
    that a tiny loss keeps all its digits.

    Derivation of the slope: ``d/dz log(1 + exp(z)) = exp(z) / (1 + exp(z)) = h``; the bracket's other part is ``-y z``;
    hence ``dloss/dz = h - y``: the sigmoid's own slope ``h (1 - h)`` has cancelled, and a saturated unit still learns.

    ``min`` and ``max`` order complex numbers by their real parts first, so a complex step passes through unharmed.

    Raises nothing of its own.

    Returns
    -------
    Two new arrays of the shape of ``z``: losses, slopes.

    Examples
    --------
    >>> losses, slopes = classic.binary_cross_entropy(np.array([0.0, 0.0]), np.array([1.0, 0.0]))
    >>> losses
    array([0.6931, 0.6931])
    >>> slopes
    array([-0.5,  0.5])
    """
    a = np.minimum(z, 0.0)
    losses = np.maximum(z, 0.0)
    rest = a - losses
    np.log1p(np.exp(rest, out=rest), out=rest)
    losses -= y * z
    losses += rest
    slopes = np.subtract(a, rest, out=a)
    np.exp(slopes, out=slopes)
    slopes -= y
    return losses, slopes
