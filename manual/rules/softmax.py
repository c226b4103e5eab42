"""Softmax and its kin: normalised exponentials along one axis.

All of them are unchanged, or merely shifted, when a constant is added to a row, so the row's maximum is subtracted
first: the largest exponential is then 1, nothing overflows, and the sum is at least 1.

Convention: an entry of minus infinity has probability exactly 0 and gradient 0; a row of nothing else has no answer,
and its softmax is NaN, as in torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, floating, reduce_axes
from manual.rules.reduction import restore

__all__ = ["log_softmax", "logsumexp", "softmax", "softmin"]


@floating
def softmax(x: Any, *, dim: int) -> tuple[Array, Pullback]:
    """Turn scores into probabilities along one axis.

    Shapes: ``x`` and the value alike, of any shape; ``dim`` is the axis of the classes.

    Forward: ``y_i = exp(x_i) / Σ_j exp(x_j)``.

    Backward: ``dy_i = y_i (dx_i - Σ_j y_j dx_j)``. The Jacobian ``diag(y) - y yᵀ`` is symmetric, so with ``g``
    incoming the gradient is ``y_i (g_i - Σ_j g_j y_j)``. A uniform ``g`` gives zero: adding a constant to all scores
    changes nothing.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.softmax(np.array([0.0, 0.0]), dim=0)
    >>> value
    array([0.5, 0.5])
    >>> pullback(np.array([4.0, 0.0]), (True,))
    (array([ 1., -1.]),)
    """
    axis = reduce_axes(int(dim), x.ndim)
    y = x - peak_along(x, axis)
    y = np.exp(y)
    y /= total_along(y, axis)

    def softmax_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = incoming * y
        gradient -= total_along(gradient, axis) * y
        return (gradient,)

    return y, softmax_pullback


@floating
def softmin(x: Any, *, dim: int) -> tuple[Array, Pullback]:
    """Turn costs into probabilities along one axis: softmax of ``-x``.

    Forward: ``y_i = exp(-x_i) / Σ_j exp(-x_j)``. Backward: that of softmax, with the sign of the inner ``-x``.

    Shapes: ``x`` and the value alike, of any shape.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.softmin(np.array([0.0, 0.0]), dim=0)
    >>> value
    array([0.5, 0.5])
    >>> pullback(np.array([4.0, 0.0]), (True,))
    (array([-1.,  1.]),)
    """
    y, inner = softmax(-x, dim=dim)

    def softmin_pullback(incoming: Array, needs: Needs) -> Gradients:
        (gradient,) = inner(incoming, needs)
        return (-gradient,)

    return y, softmin_pullback


@floating
def log_softmax(x: Any, *, dim: int) -> tuple[Array, Pullback]:
    """Take the logarithm of softmax along one axis, without ever forming a probability that underflows.

    Shapes: ``x`` and the value alike, of any shape; ``dim`` is the axis of the classes.

    Forward: ``y_i = x_i - log Σ_j exp(x_j)``.

    Backward: ``dy_i = dx_i - Σ_j p_j dx_j`` with ``p = softmax(x) = exp(y)``; transposed, the gradient is
    ``g_i - p_i Σ_j g_j``.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.log_softmax(np.array([0.0, 0.0]), dim=0)
    >>> value
    array([-0.6931, -0.6931])
    >>> pullback(np.array([4.0, 0.0]), (True,))
    (array([ 2., -2.]),)
    """
    axis = reduce_axes(int(dim), x.ndim)
    y = x - peak_along(x, axis)
    y -= np.log(total_along(np.exp(y), axis))

    def log_softmax_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.exp(y)
        gradient *= -total_along(incoming, axis)
        gradient += incoming
        return (gradient,)

    return y, log_softmax_pullback


@floating
def logsumexp(x: Any, *, dim: Any, keepdim: bool = False) -> tuple[Array, Pullback]:
    """Take the logarithm of a sum of exponentials over one or more axes, a smooth maximum.

    Shapes: ``x`` of any shape; the value lacks the axes ``dim``.

    Forward: ``y = m + log Σ_j exp(x_j - m)`` with ``m = max x``, or 0 where that is infinite.

    Backward: ``dy = Σ_j exp(x_j - y) dx_j``: the slopes are the softmax of ``x``.

    Convention: a row of minus infinities has the value minus infinity, as in torch, and gradient 0,
    where torch 2.13 answers nan.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> value, pullback = rules.logsumexp(np.array([0.0, 0.0]), dim=0)
    >>> value
    array(0.6931)
    >>> pullback(np.array(4.0), (True,))
    (array([2., 2.]),)
    """
    shape, ndim = x.shape, x.ndim
    axes = reduce_axes(dim, ndim)
    peak = np.maximum.reduce(x, axis=axes, keepdims=True, initial=-np.inf)
    peak = np.where(np.isinf(peak), 0, peak)
    total = np.add.reduce(np.exp(x - peak), axis=axes, keepdims=True)
    with np.errstate(divide="ignore"):
        full = np.asarray(np.log(total) + peak)
    value = full if keepdim else full.reshape([size for axis, size in enumerate(shape) if axis not in axes])

    def logsumexp_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.exp(x - np.where(np.isneginf(full), 0, full))
        gradient *= restore(incoming, shape, axes)
        return (gradient,)

    return value, logsumexp_pullback


def peak_along(x: Any, axis: tuple[int, ...]) -> Any:
    """The maximum along an axis, which stays with length 1.

    NumPy takes the maxima of short rows one by one, but adds up whole rows at a time; few columns are better
    transposed.
    """
    if x.ndim == 2 and axis == (1,) and 0 < x.shape[1] < 64:
        return np.maximum.reduce(np.ascontiguousarray(x.T), axis=0)[:, np.newaxis]
    return np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)


def total_along(x: Any, axis: tuple[int, ...]) -> Any:
    """The sum along an axis, which stays with length 1; along short rows as a product with ones."""
    if x.ndim == 2 and axis == (1,) and x.shape[1] < 64:
        return x @ np.ones((x.shape[1], 1), x.dtype)
    return np.add.reduce(x, axis=axis, keepdims=True)
