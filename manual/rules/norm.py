"""The length of vectors, and vectors of length 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, floating, reduce_axes
from manual.rules.reduction import collapse, restore

__all__ = ["norm", "normalize"]


def norm(x: Any, *, p: float | str = 2, dim: Any = None, keepdim: bool = False) -> tuple[Array, Pullback]:
    """Take the p-norm over one or more axes.

    Shapes: ``x`` of any shape; the value lacks the axes ``dim`` (``None`` means all).

    Forward: ``n = (Σ |x|^p)^(1/p)``; ``p = inf`` is the largest magnitude, ``-inf`` the smallest, 0 the count of
    non-zeros, ``"fro"`` another name for 2.

    Backward: ``p n^(p-1) dn = Σ p |x|^(p-1) sign(x) dx``, so the slope is ``sign(x) (|x| / n)^(p-1)``: ``x / n`` for
    ``p = 2``, ``sign(x)`` for ``p = 1``. The infinite norms give the gradient to the extreme elements.

    Convention: where the norm is 0, so is the gradient (a subgradient), as in torch; where ``p < 1`` and an element
    is 0, its slope would be infinite and is taken as 0; the infinite norms share evenly among ties.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> value, pullback = rules.norm(np.array([3.0, -4.0]))
    >>> value
    np.float64(5.0)
    >>> pullback(np.array(10.0), (True,))
    (array([ 6., -8.]),)
    """
    order = 2.0 if p == "fro" else float(p)
    shape = x.shape
    axes = reduce_axes(dim, x.ndim)
    value: Any
    if order == 2:
        value = np.sqrt(collapse(np.add, x * x, axes, keepdim))
    elif order == 1:
        value = collapse(np.add, np.abs(x), axes, keepdim)
    elif order == 0:
        value = collapse(np.add, x != 0, axes, keepdim, dtype=x.dtype)
    elif math.isinf(order):
        extremum = np.maximum if order > 0 else np.minimum
        value = collapse(extremum, np.abs(x), axes, keepdim)
    else:
        value = collapse(np.add, np.abs(x) ** order, axes, keepdim) ** (1 / order)

    def norm_pullback(incoming: Array, needs: Needs) -> Gradients:
        arriving, length = restore(incoming, shape, axes), restore(value, shape, axes)
        if order == 0:
            return (np.zeros(shape, x.dtype),)
        if order == 1:
            return (np.sign(x) * arriving,)
        if math.isinf(order):
            chosen = np.abs(x) == length
            count = collapse(np.add, chosen, axes, True, dtype=x.dtype)
            return (np.sign(x) * (arriving / count * chosen),)
        with np.errstate(divide="ignore", invalid="ignore"):
            if order == 2:
                return (x * np.where(length == 0, 0, arriving / length),)
            slope = np.sign(x) * np.abs(x) ** (order - 1)
            if order < 1:
                slope = np.where(x == 0, 0, slope)
            return (slope * np.where(length == 0, 0, arriving / length ** (order - 1)),)

    return value, norm_pullback


@floating
def normalize(x: Any, *, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> tuple[Array, Pullback]:
    """Divide vectors along one or more axes by their p-norm.

    Shapes: ``x`` and the value alike, of any shape; ``dim`` names the axes of the vectors.

    Forward: ``y = x / n`` with ``n = max(‖x‖_p, eps)``.

    Backward: ``dy = dx / n - y dn / n``, so what arrives at ``n`` is ``-Σ g y / n``, which :func:`norm` hands on to
    ``x``. For ``p = 2``, ``dn = y · dx``, and the gradient is ``(g - y Σ g y) / n``: ``g`` without its part along the
    vector, whose length cannot change.

    Convention: below ``eps`` the divisor is a constant, and the gradient ``g / eps``; at ``eps`` exactly the norm.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.normalize(np.array([[3.0, 4.0]]))
    >>> value
    array([[0.6, 0.8]])
    >>> pullback(np.array([[25.0, 0.0]]), (True,))
    (array([[ 3.2, -2.4]]),)
    """
    axes = reduce_axes(dim, x.ndim)
    length, norm_pullback = norm(x, p=p, dim=dim, keepdim=True)
    divisor = np.maximum(length, eps)
    value = x / divisor

    def normalize_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_length = collapse(np.add, incoming * value, axes, True)
        to_length = np.where(length < eps, 0, -to_length / divisor)
        (gradient,) = norm_pullback(to_length, needs)
        gradient = np.asarray(gradient)
        gradient += incoming / divisor
        return (gradient,)

    return value, normalize_pullback
