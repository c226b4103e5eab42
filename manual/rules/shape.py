"""Rules that move elements without changing them: their pullbacks move them back.

A reshape or a permutation of axes is a linear map that takes every element to one place, so its transpose, which is
what the pullback is, takes it back. Values are views wherever NumPy can show one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, reduce_axes, unbroadcast

__all__ = [
    "expand",
    "flatten",
    "movedim",
    "permute",
    "reshape",
    "squeeze",
    "t",
    "transpose",
    "unsqueeze",
]


def _axis(dim: int, ndim: int) -> int:
    """One axis as a non-negative number; ``IndexError`` out of range."""
    axes = reduce_axes(int(dim), ndim)
    return axes[0] if axes else 0


def reshape(x: Any, *, shape: Any) -> tuple[Array, Pullback]:
    """Lay the elements of an array out in another shape, in the order of its rows.

    Shapes: ``x`` of any shape; ``shape`` holds as many elements, one entry may be -1 for "what is left".

    Forward: the same elements. Backward: the incoming gradient in the shape of ``x``.

    Raises
    ------
    RuntimeError
        If the shape has not as many elements.

    Examples
    --------
    >>> value, pullback = rules.reshape(np.array([[1.0, 2.0], [3.0, 6.0]]), shape=(4,))
    >>> value
    array([1., 2., 3., 6.])
    >>> pullback(np.array([5.0, 6.0, 7.0, 8.0]), (True,))
    (array([[5., 6.],
           [7., 8.]]),)
    """
    before = x.shape
    target = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)

    def reshape_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming.reshape(before),)

    try:
        return x.reshape(target), reshape_pullback
    except ValueError:
        raise RuntimeError(f"shape '{list(target)}' is invalid for input of size {x.size}") from None


def flatten(x: Any, *, start_dim: int = 0, end_dim: int = -1) -> tuple[Array, Pullback]:
    """Join the axes from ``start_dim`` to ``end_dim``, both included, to one.

    Shapes: ``(a, b, c, d)`` with ``start_dim=1, end_dim=2`` gives ``(a, b c, d)``; a scalar gives ``(1,)``.

    Forward: the same elements. Backward: the incoming gradient in the shape of ``x``.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If ``start_dim`` comes behind ``end_dim``.

    Examples
    --------
    >>> value, pullback = rules.flatten(np.array([[1.0, 2.0], [3.0, 6.0]]))
    >>> value
    array([1., 2., 3., 6.])
    >>> pullback(np.array([5.0, 6.0, 7.0, 8.0]), (True,))
    (array([[5., 6.],
           [7., 8.]]),)
    """
    before = x.shape
    start, end = _axis(start_dim, x.ndim), _axis(end_dim, x.ndim)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")

    def flatten_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming.reshape(before),)

    joined = math.prod(before[start : end + 1])
    return x.reshape(*before[:start], joined, *before[end + 1 :]), flatten_pullback


def transpose(x: Any, *, dim0: int, dim1: int) -> tuple[Array, Pullback]:
    """Swap two axes.

    Shapes: ``(..., n, ..., m, ...)`` gives ``(..., m, ..., n, ...)``.

    Forward: ``y[.., j, .., i, ..] = x[.., i, .., j, ..]``. Backward: a swap undoes itself.

    Raises
    ------
    IndexError
        If there is no such axis.

    Examples
    --------
    >>> value, pullback = rules.transpose(np.array([[1.0, 2.0], [3.0, 6.0]]), dim0=0, dim1=1)
    >>> value
    array([[1., 3.],
           [2., 6.]])
    >>> pullback(np.array([[5.0, 6.0], [7.0, 8.0]]), (True,))
    (array([[5., 7.],
           [6., 8.]]),)
    """
    first, second = _axis(dim0, x.ndim), _axis(dim1, x.ndim)

    def transpose_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming.swapaxes(first, second) if incoming.ndim else incoming,)

    return x.swapaxes(first, second) if x.ndim else x, transpose_pullback


def t(x: Any) -> tuple[Array, Pullback]:
    """Transpose a matrix ``(n, m)`` to ``(m, n)``; vectors and scalars stay as they are.

    Forward: ``Y = Xᵀ``. Backward: ``Gᵀ``.

    Raises
    ------
    RuntimeError
        If ``x`` has more than two axes.

    Examples
    --------
    >>> value, pullback = rules.t(np.array([[1.0, 2.0], [3.0, 6.0]]))
    >>> value
    array([[1., 3.],
           [2., 6.]])
    >>> pullback(np.array([[5.0, 6.0], [7.0, 8.0]]), (True,))
    (array([[5., 7.],
           [6., 8.]]),)
    """
    if x.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {x.ndim}D")

    def t_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming.T,)

    return x.T, t_pullback


def permute(x: Any, *, dims: Any) -> tuple[Array, Pullback]:
    """Put the axes in another order.

    Shapes: axis ``i`` of the value is axis ``dims[i]`` of ``x``.

    Forward: the same elements. Backward: the inverse permutation, which sorts ``dims``.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If an axis is missing or named twice.

    Examples
    --------
    >>> value, pullback = rules.permute(np.array([[1.0, 2.0], [3.0, 6.0]]), dims=(1, 0))
    >>> value
    array([[1., 3.],
           [2., 6.]])
    >>> pullback(np.array([[5.0, 6.0], [7.0, 8.0]]), (True,))
    (array([[5., 7.],
           [6., 8.]]),)
    """
    order = [_axis(dim, x.ndim) for dim in dims]
    if sorted(order) != list(range(x.ndim)):
        raise RuntimeError(f"permute(dims): {tuple(dims)} does not name each of the {x.ndim} axes once")

    def permute_pullback(incoming: Array, needs: Needs) -> Gradients:
        inverse = [0] * len(order)
        for position, axis in enumerate(order):
            inverse[axis] = position
        return (incoming.transpose(inverse),)

    return x.transpose(order), permute_pullback


def movedim(x: Any, *, source: Any, destination: Any) -> tuple[Array, Pullback]:
    """Move axes to other places; the rest keep their order.

    Forward: the same elements. Backward: the axes move back.

    Shapes: the axes of ``x`` in another order.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice, or there are more of one kind than of the other.

    Examples
    --------
    >>> value, pullback = rules.movedim(np.array([[1.0, 2.0], [3.0, 6.0]]), source=0, destination=1)
    >>> value
    array([[1., 3.],
           [2., 6.]])
    >>> pullback(np.array([[5.0, 6.0], [7.0, 8.0]]), (True,))
    (array([[5., 7.],
           [6., 8.]]),)
    """
    sources = [_axis(dim, x.ndim) for dim in np.atleast_1d(source)]
    destinations = [_axis(dim, x.ndim) for dim in np.atleast_1d(destination)]
    if not len(sources) == len(destinations) == len(set(sources)) == len(set(destinations)):
        raise RuntimeError(f"movedim: {source} and {destination} must name as many axes, each once")

    def movedim_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (np.moveaxis(incoming, destinations, sources),)

    return np.moveaxis(x, sources, destinations), movedim_pullback


def squeeze(x: Any, *, dim: Any = None) -> tuple[Array, Pullback]:
    """Leave out axes of length 1.

    Shapes: ``(a, 1, b, 1)`` gives ``(a, b)``; with ``dim`` only the named axes go, and only where their length is 1.

    Forward: the same elements. Backward: the incoming gradient in the shape of ``x``.

    Raises
    ------
    IndexError
        If there is no such axis.

    Examples
    --------
    >>> value, pullback = rules.squeeze(np.array([[1.0, 2.0]]))
    >>> value
    array([1., 2.])
    >>> pullback(np.array([5.0, 7.0]), (True,))
    (array([[5., 7.]]),)
    """
    before = x.shape
    axes = tuple(range(x.ndim)) if dim is None else () if dim == () else reduce_axes(dim, x.ndim)

    def squeeze_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming.reshape(before),)

    return x.squeeze(tuple(axis for axis in axes if before[axis] == 1)), squeeze_pullback


def unsqueeze(x: Any, *, dim: int) -> tuple[Array, Pullback]:
    """Put in an axis of length 1, so that it is axis ``dim`` of the value.

    Shapes: ``(a, b)`` with ``dim=1`` gives ``(a, 1, b)``.

    Forward: the same elements. Backward: the incoming gradient in the shape of ``x``.

    Raises
    ------
    IndexError
        If there is no such place for an axis.

    Examples
    --------
    >>> value, pullback = rules.unsqueeze(np.array([1.0, 2.0]), dim=0)
    >>> value
    array([[1., 2.]])
    >>> pullback(np.array([[5.0, 7.0]]), (True,))
    (array([5., 7.]),)
    """
    before = x.shape
    place = _axis(dim, x.ndim + 1)

    def unsqueeze_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming.reshape(before),)

    return x[(slice(None),) * place + (np.newaxis,)], unsqueeze_pullback


def expand(x: Any, *, size: Any) -> tuple[Array, Pullback]:
    """Repeat axes of length 1, and add axes in front, without copying.

    Shapes: ``(3, 1)`` with ``size=(2, 3, 4)`` gives ``(2, 3, 4)``; -1 keeps a length.

    Forward: ``y[i, j, k] = x[j, 0]``. Backward: every copy acts, so their gradients add up over the repeated axes.

    Raises
    ------
    RuntimeError
        If an axis that is not 1 long shall change its length.

    Examples
    --------
    >>> value, pullback = rules.expand(np.array([[1.0], [2.0]]), size=(2, 3))
    >>> value
    array([[1., 1., 1.],
           [2., 2., 2.]])
    >>> pullback(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), (True,))
    (array([[ 6.],
           [60.]]),)
    """
    before = x.shape
    sizes = (size,) if isinstance(size, (int, np.integer)) else tuple(size)
    extra = len(sizes) - x.ndim
    if extra < 0:
        raise RuntimeError(f"expand: the number of sizes {len(sizes)} must not be less than the dimensions {x.ndim}")
    target = tuple(
        before[axis - extra] if length == -1 and axis >= extra else length for axis, length in enumerate(sizes)
    )

    def expand_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (unbroadcast(incoming, before),)

    try:
        return np.broadcast_to(x, target), expand_pullback
    except ValueError:
        raise RuntimeError(f"expand: shape {before} cannot be expanded to {target}") from None
