"""Picking elements out, and putting their gradients back where they came from.

Picking is a linear map: every element of the value is one element of ``x``. Its transpose adds each incoming gradient
to the place that was picked; places picked several times get the sum, places never picked get 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, reduce_axes, unbroadcast
from manual.rules.masking import drop

__all__ = [
    "gather",
    "getitem",
    "index_select",
    "masked_fill",
    "masked_select",
    "take_along_dim",
    "tril",
    "triu",
]


def getitem(x: Any, *, index: Any) -> tuple[Array, Pullback]:
    """Pick elements with NumPy's (and torch's) square brackets.

    Shapes: ``x`` of any shape; integers, slices, ``None``, ``...``, integer arrays and boolean masks may be mixed.

    Forward: ``y = x[index]``; a view where the index has no arrays.

    Backward: an element of ``x`` that was picked gets the gradient of its place in ``y``, the sum of them where it
    was picked several times, and 0 where it was not picked.

    Raises
    ------
    IndexError
        If the index does not fit.

    Examples
    --------
    >>> value, pullback = rules.getitem(np.array([1.0, 2.0, 3.0]), index=np.array([2, 0, 2]))
    >>> value
    array([3., 1., 3.])
    >>> pullback(np.array([5.0, 7.0, 9.0]), (True,))
    (array([ 7.,  0., 14.]),)
    """
    shape = x.shape

    def getitem_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.zeros(shape, incoming.dtype)
        kinds = _array_kinds(index)
        if "i" not in kinds and "u" not in kinds:  # slices and masks pick no element twice
            gradient[index] = incoming
        elif type(index) is not tuple:
            rows = np.asarray(index)
            add_rows(gradient, rows.reshape(-1), incoming.reshape(rows.size, *shape[1:]))
        else:
            places = np.arange(gradient.size).reshape(shape)[index]
            np.add.at(gradient.reshape(-1), places.reshape(-1), incoming.reshape(-1))
        return (gradient,)

    return x[index], getitem_pullback


def _array_kinds(index: Any) -> set[str]:
    """The dtype kinds of the arrays in an index."""
    parts = index if type(index) is tuple else (index,)
    return {
        np.asarray(part).dtype.kind
        for part in parts
        if part is not None and part is not Ellipsis and not isinstance(part, (int, np.integer, slice))
    }


def add_rows(gradient: Array, rows: Array, incoming: Array) -> None:
    """Add row ``i`` of ``incoming`` to row ``rows[i]`` of ``gradient``, rows that occur several times included.

    NumPy adds at places of a vector many times faster than at rows of a matrix, so many rows are added element by
    element, each at its place in the flattened ``gradient``.
    """
    if gradient.ndim == 1 or incoming.size < 256:
        np.add.at(gradient, rows, incoming)
        return
    width = math.prod(gradient.shape[1:])
    places = np.where(rows < 0, rows + len(gradient), rows).astype(np.int64)[:, np.newaxis] * width + np.arange(width)
    if gradient.flags.c_contiguous:
        np.add.at(gradient.reshape(-1), places.reshape(-1), incoming.reshape(-1))
    else:
        total = np.zeros(gradient.size, gradient.dtype)
        np.add.at(total, places.reshape(-1), incoming.reshape(-1))
        gradient += total.reshape(gradient.shape)


def index_select(x: Any, *, dim: int, index: Any) -> tuple[Array, Pullback]:
    """Pick whole slices along one axis.

    Shapes: axis ``dim`` of ``x`` becomes the length of the vector ``index`` of integers.

    Forward: ``y[.., i, ..] = x[.., index[i], ..]``. Backward: slice ``index[i]`` gets the gradient of slice ``i``;
    slices picked several times get the sum.

    Raises
    ------
    IndexError
        If there is no such axis or element.

    Examples
    --------
    >>> value, pullback = rules.index_select(np.array([[1.0, 2.0], [3.0, 4.0]]), dim=1, index=np.array([1, 1]))
    >>> value
    array([[2., 2.],
           [4., 4.]])
    >>> pullback(np.array([[5.0, 7.0], [1.0, 10.0]]), (True,))
    (array([[ 0., 12.],
           [ 0., 11.]]),)
    """
    shape = x.shape
    if np.ndim(index) > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    rows = np.atleast_1d(index)
    _check_range(rows, shape[_axis(dim, x.ndim)] if shape else 1, IndexError)

    def index_select_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.zeros(shape, incoming.dtype)
        if shape:
            axis = _axis(dim, len(shape))
            add_rows(np.moveaxis(gradient, axis, 0), rows, np.moveaxis(incoming, axis, 0))
        else:
            gradient += incoming
        return (gradient,)

    return np.take(x, rows, axis=dim) if shape else x.copy(), index_select_pullback


def gather(x: Any, *, dim: int, index: Any) -> tuple[Array, Pullback]:
    """Pick one element along an axis for each place of an index.

    Shapes: ``index`` has as many axes as ``x`` and is no longer in any but ``dim``; the value has its shape.

    Forward: ``y[i, j, k] = x[i, index[i, j, k], k]`` for ``dim = 1``. Backward: that element gets the gradient.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If the index has other axes or is out of range.

    Examples
    --------
    >>> value, pullback = rules.gather(np.array([[1.0, 2.0], [3.0, 4.0]]), dim=1, index=np.array([[1], [0]]))
    >>> value
    array([[2.],
           [3.]])
    >>> pullback(np.array([[5.0], [7.0]]), (True,))
    (array([[0., 5.],
           [7., 0.]]),)
    """
    if index.ndim != x.ndim and (index.ndim > 1 or x.ndim > 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    axis = _axis(dim, x.ndim)
    for other, (length, picked) in enumerate(zip(x.shape, index.shape, strict=False)):
        if other != axis and picked > length:
            raise RuntimeError(f"Size does not match at dimension {other}: index {index.shape}, input {x.shape}")
    return _pick(x, index, axis, x.shape)


def take_along_dim(x: Any, *, indices: Any, dim: int | None = None) -> tuple[Array, Pullback]:
    """Pick one element along an axis for each place of an index, the other axes being broadcast.

    Shapes: ``indices`` has as many axes as ``x``; without ``dim`` both are flattened.

    Forward: as :func:`gather`, so that ``take_along_dim(x, argmax(x, dim, keepdim=True), dim)`` is the maximum.
    Backward: the picked element gets the gradient.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If the index has other axes or is out of range.

    Examples
    --------
    >>> value, pullback = rules.take_along_dim(
    ...     np.array([[1.0, 2.0], [3.0, 4.0]]), dim=1, indices=np.array([[1], [0]])
    ... )
    >>> value
    array([[2.],
           [3.]])
    >>> pullback(np.array([[5.0], [7.0]]), (True,))
    (array([[0., 5.],
           [7., 0.]]),)
    """
    if dim is None:
        return _pick(x, indices.reshape(-1), 0, (x.size,))
    if x.ndim != indices.ndim:
        raise RuntimeError(f"take_along_dim(): {x.ndim} axes in input and {indices.ndim} in indices, must be as many")
    axis = _axis(dim, x.ndim)
    rest = [list(x.shape), list(indices.shape)]
    lengths = [sizes.pop(axis) for sizes in rest]
    common = np.broadcast_shapes(*map(tuple, rest))
    full, index_shape = [(*common[:axis], length, *common[axis:]) for length in lengths]
    return _pick(x, np.broadcast_to(indices, index_shape), axis, full)


def _pick(x: Any, index: Array, axis: int, shape: tuple[int, ...]) -> tuple[Array, Pullback]:
    """Pick from ``x``, seen as an array of ``shape`` (broadcast, or flattened where that is a vector)."""
    original = x.shape
    flattened = len(shape) != len(original)
    seen = x.reshape(-1) if flattened else x if shape == original else np.broadcast_to(x, shape)
    _check_range(index, shape[axis] if shape else 1, RuntimeError)
    places = flat_places(index, axis, shape)

    def pick_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.zeros(math.prod(shape), incoming.dtype)
        np.add.at(gradient, places.reshape(-1), incoming.reshape(-1))
        gradient = gradient.reshape(shape)
        return (gradient.reshape(original) if flattened else unbroadcast(gradient, original),)

    return seen.reshape(-1)[places], pick_pullback


def flat_places(index: Array, axis: int, shape: tuple[int, ...]) -> Array:
    """Where in the flattened array of ``shape`` the elements lie that an index along one axis names."""
    places = np.zeros(index.shape, np.int64)
    stride = 1
    for position in reversed(range(len(shape))):
        if position == axis:
            steps = index
        else:
            steps = np.arange(index.shape[position]).reshape(-1, *(1,) * (len(shape) - 1 - position))
        places += steps * stride
        stride *= shape[position]
    return places


def _check_range(index: Array, length: int, error: type[Exception]) -> None:
    if index.size and (np.minimum.reduce(index, axis=None) < 0 or np.maximum.reduce(index, axis=None) >= length):
        raise error(f"index out of range: it must lie in [0, {length - 1}]")


def _axis(dim: int, ndim: int) -> int:
    axes = reduce_axes(int(dim), ndim)
    return axes[0] if axes else 0


def masked_fill(x: Any, value: Any, *, mask: Any) -> tuple[Array, Pullback]:
    """Put one value wherever a mask holds.

    Shapes: the boolean ``mask`` and ``x`` are broadcast to the shape of the result; ``value`` is a number or a scalar
    array.

    Forward: ``y = value where mask else x``, in the dtype of ``x``. Backward: ``x`` gets the incoming gradient where
    it was kept, ``value`` gets the sum of the rest.

    Raises
    ------
    RuntimeError
        If ``value`` is no scalar.
    ValueError
        If the mask does not broadcast.

    Examples
    --------
    >>> value, pullback = rules.masked_fill(np.array([1.0, 2.0]), np.array(9.0), mask=np.array([True, False]))
    >>> value
    array([9., 2.])
    >>> pullback(np.array([5.0, 7.0]), (True, True))
    (array([0., 7.]), array(5.))
    """
    if np.ndim(value):
        raise RuntimeError(
            f"masked_fill_ only supports a 0-dimensional value tensor, but got {np.ndim(value)} dimensions"
        )
    filled = np.where(mask, np.asarray(value, x.dtype), x)

    def masked_fill_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_value = None
        if needs[1]:
            to_value = np.asarray(np.where(mask, incoming, 0).sum(), value.dtype)
        return unbroadcast(drop(incoming, mask), x.shape) if needs[0] else None, to_value

    return filled, masked_fill_pullback


def masked_select(x: Any, *, mask: Any) -> tuple[Array, Pullback]:
    """Collect the elements where a mask holds, in the order of rows, as a vector.

    Shapes: ``x`` and the boolean ``mask`` are broadcast against each other.

    Forward: ``y = x[mask]``. Backward: kept elements get their gradient, the others 0.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.masked_select(np.array([1.0, 2.0, 3.0]), mask=np.array([True, False, True]))
    >>> value
    array([1., 3.])
    >>> pullback(np.array([5.0, 7.0]), (True,))
    (array([5., 0., 7.]),)
    """
    shape = x.shape
    full = np.broadcast_shapes(shape, mask.shape)
    chosen = np.broadcast_to(mask, full)

    def masked_select_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.zeros(full, incoming.dtype)
        gradient[chosen] = incoming
        return (unbroadcast(gradient, shape),)

    return np.broadcast_to(x, full)[chosen], masked_select_pullback


def tril(x: Any, *, diagonal: int = 0) -> tuple[Array, Pullback]:
    """Keep what lies on and below a diagonal of matrices, and put 0 elsewhere.

    Shapes: ``x (..., n, m)`` and the value alike; diagonal 1 is the one above the main diagonal.

    Forward: ``y[i, j] = x[i, j] if j - i <= diagonal else 0``. Backward: the same is done to the incoming gradient.

    Raises
    ------
    RuntimeError
        If ``x`` has fewer than two axes.

    Examples
    --------
    >>> value, pullback = rules.tril(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> value
    array([[1., 0.],
           [3., 4.]])
    >>> pullback(np.array([[5.0, 6.0], [7.0, 8.0]]), (True,))
    (array([[5., 0.],
           [7., 8.]]),)
    """
    _check_matrix(x, "tril")

    def tril_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (np.tril(incoming, diagonal),)

    return np.tril(x, diagonal), tril_pullback


def triu(x: Any, *, diagonal: int = 0) -> tuple[Array, Pullback]:
    """Keep what lies on and above a diagonal of matrices, and put 0 elsewhere; see :func:`tril`.

    Shapes: ``x`` and the value alike, with at least two axes.

    Raises
    ------
    RuntimeError
        If ``x`` has fewer than two axes.

    Examples
    --------
    >>> value, pullback = rules.triu(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> value
    array([[1., 2.],
           [0., 4.]])
    >>> pullback(np.array([[5.0, 6.0], [7.0, 8.0]]), (True,))
    (array([[5., 6.],
           [0., 8.]]),)
    """
    _check_matrix(x, "triu")

    def triu_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (np.triu(incoming, diagonal),)

    return np.triu(x, diagonal), triu_pullback


def _check_matrix(x: Any, name: str) -> None:
    if x.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
