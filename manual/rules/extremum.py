"""The largest and smallest elements along axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, reduce_axes
from manual.rules.reduction import collapse, restore

__all__ = ["amax", "amin", "argmax", "argmin", "max", "min"]


def amax(x: Any, *, dim: Any = (), keepdim: bool = False) -> tuple[Array, Pullback]:
    """Take the largest elements over one or more axes.

    Shapes: ``x`` of any shape; the value lacks the axes ``dim`` (the empty tuple means all).

    Forward: ``y = max x``. Backward: the gradient goes to the element that is the maximum.

    Convention: ``amax`` shares it evenly among ties, as in torch (``max`` along an axis gives it to one of them).

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> value, pullback = rules.amax(np.array([[1.0, 5.0], [5.0, 2.0]]), dim=1)
    >>> value
    array([5., 5.])
    >>> pullback(np.array([4.0, 6.0]), (True,))
    (array([[0., 4.],
           [6., 0.]]),)
    """
    return _even(x, dim, keepdim, np.maximum)


def amin(x: Any, *, dim: Any = (), keepdim: bool = False) -> tuple[Array, Pullback]:
    """Take the smallest elements over one or more axes; see :func:`amax`.

    Shapes: ``x`` of any shape; the value lacks the axes ``dim``, or has them with length 1.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> value, pullback = rules.amin(np.array([[1.0, 5.0], [1.0, 2.0]]), dim=0)
    >>> value
    array([1., 2.])
    >>> pullback(np.array([4.0, 6.0]), (True,))
    (array([[2., 0.],
           [2., 6.]]),)
    """
    return _even(x, dim, keepdim, np.minimum)


def _even(x: Any, dim: Any, keepdim: bool, extremum: np.ufunc) -> tuple[Array, Pullback]:
    shape = x.shape
    axes = reduce_axes(dim, x.ndim)
    _not_empty(shape, axes)
    value = collapse(extremum, x, axes, keepdim)

    def even_pullback(incoming: Array, needs: Needs) -> Gradients:
        best = restore(value, shape, axes)
        chosen = x == best if best.dtype.kind != "f" else (x == best) | (np.isnan(best) & np.isnan(x))
        count = collapse(np.add, chosen, axes, True, dtype=x.dtype)
        return (chosen * (restore(incoming, shape, axes) / count),)

    return value, even_pullback


def _not_empty(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    if not math.prod([shape[axis] for axis in axes]):
        raise IndexError(f"the maximum or minimum of nothing: axes {axes} of shape {shape}")


def max(x: Any, *, dim: int | None = None, keepdim: bool = False) -> tuple[Any, Pullback]:
    """Take the largest element of all, or the largest along one axis together with where they are.

    Shapes: ``x`` of any shape. With ``dim``, two outputs that lack that axis: the values and their int64 indices.
    Without, one scalar.

    Forward: ``y = max x``. Backward: the gradient goes to the element that is the maximum.

    Convention: along an axis, a tie is won by the first, and it alone gets the gradient; without an axis the gradient
    is shared evenly among ties. Both as in torch.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.max(np.array([[1.0, 5.0], [5.0, 2.0]]), dim=1)
    >>> value
    (array([5., 5.]), array([1, 0]))
    >>> pullback((np.array([4.0, 6.0]), None), (True,))
    (array([[0., 4.],
           [6., 0.]]),)
    """
    return _first(x, dim, keepdim, np.maximum, np.argmax)


def min(x: Any, *, dim: int | None = None, keepdim: bool = False) -> tuple[Any, Pullback]:
    """Take the smallest element of all, or the smallest along one axis and where they are; see :func:`max`.

    Shapes: as :func:`max`.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.min(np.array([[1.0, 5.0], [5.0, 2.0]]), dim=1)
    >>> value
    (array([1., 2.]), array([0, 1]))
    >>> pullback((np.array([4.0, 6.0]), None), (True,))
    (array([[4., 0.],
           [0., 6.]]),)
    """
    return _first(x, dim, keepdim, np.minimum, np.argmin)


def _first(x: Any, dim: int | None, keepdim: bool, extremum: np.ufunc, argument: Any) -> tuple[Any, Pullback]:
    if dim is None:
        return _even(x, None, keepdim, extremum)
    shape, dtype = x.shape, x.dtype
    axes = reduce_axes(dim, x.ndim)
    if not axes:
        value, pullback = _even(x, None, False, extremum)

        def scalar_pullback(incoming: tuple[Array, Array], needs: Needs) -> Gradients:
            return pullback(incoming[0], needs)

        return (value, np.zeros((), np.int64)), scalar_pullback
    _not_empty(shape, axes)
    axis = axes[0]
    places = argument(x, axis=axis, keepdims=True)
    value = np.take_along_axis(x, places, axis)

    def first_pullback(incoming: tuple[Array, Array], needs: Needs) -> Gradients:
        gradient = np.zeros(shape, dtype)
        np.put_along_axis(gradient, places, restore(incoming[0], shape, axes), axis)
        return (gradient,)

    if keepdim:
        return (value, places), first_pullback
    return (value.squeeze(axis), places.squeeze(axis)), first_pullback


def argmax(x: Any, *, dim: int | None = None, keepdim: bool = False) -> tuple[Array, Pullback]:
    """Find where the largest element of all is (counted in rows), or the largest along one axis.

    Forward: int64 indices; a tie is won by the first. Backward: none, an index has no gradient.

    Shapes: ``x`` of any shape; the value lacks the axis ``dim``, or has it with length 1, and is ``()`` without
    ``dim``.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.argmax(np.array([[1.0, 5.0], [5.0, 2.0]]), dim=1)
    >>> value
    array([1, 0])
    """
    return _place(x, dim, keepdim, np.argmax)


def argmin(x: Any, *, dim: int | None = None, keepdim: bool = False) -> tuple[Array, Pullback]:
    """Find where the smallest element is; see :func:`argmax`.

    Shapes: ``x`` of any shape; the value lacks the axis ``dim``, or has it with length 1, and is ``()`` without
    ``dim``.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.argmin(np.array([[1.0, 5.0], [5.0, 2.0]]), dim=1)
    >>> value
    array([0, 1])
    """
    return _place(x, dim, keepdim, np.argmin)


def _place(x: Any, dim: int | None, keepdim: bool, argument: Any) -> tuple[Array, Pullback]:
    axes = reduce_axes(dim, x.ndim)
    _not_empty(x.shape, axes)

    def index_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (None,)

    return argument(x, axis=axes[0] if dim is not None and axes else None, keepdims=keepdim), index_pullback
