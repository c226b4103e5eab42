"""Sums, means, spreads and products over axes.

``dim`` is an axis, a tuple of axes or ``None`` (all of them); ``keepdim`` leaves reduced axes in place with length 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, reduce_axes

__all__ = ["mean", "prod", "std", "sum", "var"]


def restore(reduced: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """View the result of a reduction over ``axes`` of an array of ``shape`` so that it broadcasts against the array."""
    if np.ndim(reduced) == len(shape) or len(axes) == len(shape):
        return reduced
    return reduced.reshape([1 if axis in axes else size for axis, size in enumerate(shape)])


def collapse(ufunc: Any, x: Any, axes: tuple[int, ...], keepdim: bool, **options: Any) -> Any:
    """Reduce ``x`` over ``axes`` by a ufunc. All axes at once are spelt None: NumPy then takes its fastest way."""
    return ufunc.reduce(x, axis=None if len(axes) == x.ndim else axes, keepdims=keepdim, **options)


def _spread(reduced: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Repeat the result of a reduction along the axes that it lost, in memory of its own."""
    repeated = np.empty(shape, reduced.dtype)
    repeated[...] = restore(reduced, shape, axes)
    return repeated


def sum(x: Any, *, dim: Any = None, keepdim: bool = False) -> tuple[Array, Pullback]:
    """Add up elements.

    Shapes: ``x`` of any shape; the value lacks the axes ``dim``.

    Forward: ``y = Σ x``. Backward: every element enters with slope 1, so each gets the incoming gradient of its sum.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> value, pullback = rules.sum(np.array([[1.0, 2.0], [3.0, 6.0]]), dim=1)
    >>> value
    array([3., 9.])
    >>> pullback(np.array([4.0, 10.0]), (True,))
    (array([[ 4.,  4.],
           [10., 10.]]),)
    """
    shape = x.shape
    axes = reduce_axes(dim, x.ndim)
    value = collapse(np.add, x, axes, keepdim)

    def sum_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (_spread(incoming, shape, axes),)

    return value, sum_pullback


def mean(x: Any, *, dim: Any = None, keepdim: bool = False) -> tuple[Array, Pullback]:
    """Average elements.

    Shapes: ``x`` of any shape; the value lacks the axes ``dim``; ``n`` elements go into each mean.

    Forward: ``y = Σ x / n``. Backward: every element enters with slope ``1 / n``.

    Convention: integers have no mean, as in torch; the mean of nothing is NaN.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> value, pullback = rules.mean(np.array([[1.0, 2.0], [3.0, 6.0]]), dim=1)
    >>> value
    array([1.5, 4.5])
    >>> pullback(np.array([4.0, 10.0]), (True,))
    (array([[2., 2.],
           [5., 5.]]),)
    """
    if x.dtype.kind != "f":
        raise RuntimeError(f"mean(): the input dtype should be floating point. Got: {x.dtype}")
    shape = x.shape
    axes = reduce_axes(dim, x.ndim)
    count = math.prod([shape[axis] for axis in axes])
    value = collapse(np.add, x, axes, keepdim)
    value = value / count

    def mean_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (_spread(incoming / count if count else incoming, shape, axes),)

    return value, mean_pullback


def var(x: Any, *, dim: Any = None, correction: float = 1, keepdim: bool = False) -> tuple[Array, Pullback]:
    """Take the variance.

    Shapes: ``x`` of any shape; the value lacks the axes ``dim``; ``n`` elements go into each variance.

    Forward: ``v = Σ (x - m)² / (n - correction)`` with ``m`` the mean. Two passes: the mean first, since
    ``Σ x² - n m²`` cancels.

    Backward: ``dv = 2 Σ (x - m) (dx - dm) / (n - correction)``, and ``Σ (x - m) dm = 0``, so the slope is
    ``2 (x - m) / (n - correction)``.

    Convention: ``correction=1`` (Bessel's, unbiased) is the default, as in torch; batch norm uses 0.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> value, pullback = rules.var(np.array([[1.0, 2.0], [3.0, 6.0]]), dim=1)
    >>> value
    array([0.5, 4.5])
    >>> pullback(np.array([4.0, 10.0]), (True,))
    (array([[ -4.,   4.],
           [-30.,  30.]]),)
    """
    return _variance(x, dim, correction, keepdim, root=False)


def std(x: Any, *, dim: Any = None, correction: float = 1, keepdim: bool = False) -> tuple[Array, Pullback]:
    """Take the standard deviation.

    Shapes: ``x`` of any shape; the value lacks the axes ``dim``.

    Forward: ``s = √v`` with ``v`` the variance (see :func:`var`). Backward: ``ds = dv / (2 s)``.

    Convention: where all elements are equal, ``s = 0`` has a corner; its gradient is 0, as in torch.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> value, pullback = rules.std(np.array([[1.0, 2.0], [3.0, 6.0]]), dim=1)
    >>> value
    array([0.7071, 2.1213])
    >>> pullback(np.array([4.0, 10.0]), (True,))
    (array([[-2.8284,  2.8284],
           [-7.0711,  7.0711]]),)
    """
    return _variance(x, dim, correction, keepdim, root=True)


def _variance(x: Any, dim: Any, correction: float, keepdim: bool, root: bool) -> tuple[Array, Pullback]:
    if x.dtype.kind != "f":
        raise RuntimeError(f"std and var only support floating point dtypes, got {x.dtype}")
    shape = x.shape
    axes = reduce_axes(dim, x.ndim)
    count = math.prod([shape[axis] for axis in axes])
    freedom = max(0, count - correction)
    centred = np.asarray(x - collapse(np.add, x, axes, True) / count)
    value = collapse(np.add, centred * centred, axes, keepdim) / freedom
    if root:
        value = np.sqrt(value)

    def var_pullback(incoming: Array, needs: Needs) -> Gradients:
        slope = centred * (2 / freedom if freedom else math.inf)
        slope *= restore(incoming, shape, axes)
        return (slope,)

    def std_pullback(incoming: Array, needs: Needs) -> Gradients:
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(np.equal(value, 0), 0, incoming / value)
        slope = centred * (1 / freedom if freedom else math.inf)
        slope *= restore(share, shape, axes)
        return (slope,)

    return value, std_pullback if root else var_pullback


def prod(x: Any, *, dim: int | None = None, keepdim: bool = False) -> tuple[Array, Pullback]:
    """Multiply elements.

    Shapes: ``x`` of any shape; the value lacks the axis ``dim`` (one axis, or ``None`` for all).

    Forward: ``y = Π x``.

    Backward: the slope for one element is the product of all *others*. Writing that as ``y / x`` fails at zeros, so
    it is made from two running products: of those before it and of those behind it.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.prod(np.array([[1.0, 2.0], [3.0, 6.0]]), dim=1)
    >>> value
    array([ 2., 18.])
    >>> pullback(np.array([4.0, 10.0]), (True,))
    (array([[ 8.,  4.],
           [60., 30.]]),)
    """
    shape, ndim = x.shape, x.ndim
    axes = reduce_axes(dim, ndim)
    value = collapse(np.multiply, x, axes, keepdim)

    def prod_pullback(incoming: Array, needs: Needs) -> Gradients:
        lines = x.reshape(-1) if dim is None or not ndim else np.moveaxis(x, axes[0], -1)
        others = np.ones(lines.shape, lines.dtype)
        np.cumprod(lines[..., :-1], axis=-1, out=others[..., 1:])
        if lines.shape[-1] > 1:
            others[..., :-1] *= np.cumprod(lines[..., :0:-1], axis=-1)[..., ::-1]
        if dim is None or not ndim:
            return (others.reshape(shape) * incoming,)
        return (np.moveaxis(others, -1, axes[0]) * restore(incoming, shape, axes),)

    return value, prod_pullback
