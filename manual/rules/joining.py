"""Joining arrays, cutting them up, and laying copies side by side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, elementwise, reduce_axes

__all__ = ["cat", "chunk", "flip", "repeat", "roll", "split", "stack", "unbind"]


@elementwise
def cat(*tensors: Any, dim: int = 0) -> tuple[Array, Pullback]:
    """Join arrays along an axis that they have.

    Shapes: alike but for axis ``dim``, whose lengths add up. An empty vector ``(0,)`` fits everywhere, as in torch.

    Forward: the arrays one behind the other. Backward: each gets its own stretch of the incoming gradient.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If the other axes do not match.

    Examples
    --------
    >>> value, pullback = rules.cat(np.array([1.0, 2.0]), np.array([3.0]))
    >>> value
    array([1., 2., 3.])
    >>> pullback(np.array([5.0, 7.0, 9.0]), (True, True))
    (array([5., 7.]), array([9.]))
    """
    parts = [part for part in tensors if part.shape != (0,)] or list(tensors[:1])
    axis = _position(dim, parts[0].ndim)
    shapes = [part.shape for part in tensors]

    def cat_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradients: list[Array | None] = []
        start = 0
        before = (slice(None),) * axis
        for shape, need in zip(shapes, needs, strict=True):
            if shape == (0,) and incoming.ndim != 1:
                gradients.append(np.zeros(shape, incoming.dtype) if need else None)
                continue
            stop = start + shape[axis]
            gradients.append(incoming[(*before, slice(start, stop))] if need else None)
            start = stop
        return tuple(gradients)

    try:
        return np.concatenate(parts, axis), cat_pullback
    except ValueError:
        raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}: got {shapes}") from None


@elementwise
def stack(*tensors: Any, dim: int = 0) -> tuple[Array, Pullback]:
    """Join arrays along a new axis.

    Shapes: ``n`` arrays of one shape; the value has a new axis ``dim`` of length ``n``.

    Forward: ``y[.., i, ..] = x_i``. Backward: array ``i`` gets the slice ``i`` of the incoming gradient.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If the shapes differ.

    Examples
    --------
    >>> value, pullback = rules.stack(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> value
    array([[1., 2.],
           [3., 4.]])
    >>> pullback(np.array([[5.0, 6.0], [7.0, 8.0]]), (True, True))
    (array([5., 6.]), array([7., 8.]))
    """
    axis = _position(dim, tensors[0].ndim + 1)

    def stack_pullback(incoming: Array, needs: Needs) -> Gradients:
        before: tuple[Any, ...] = (slice(None),) * axis
        return tuple([incoming[(*before, place)] if need else None for place, need in enumerate(needs)])

    try:
        return np.stack(tensors, axis), stack_pullback
    except ValueError:
        shapes = [part.shape for part in tensors]
        raise RuntimeError(f"stack expects each tensor to be equal size, but got {shapes}") from None


def split(x: Any, *, split_size_or_sections: Any, dim: int = 0) -> tuple[tuple[Array, ...], Pullback]:
    """Cut an array into pieces along an axis.

    Shapes: pieces of length ``split_size`` along ``dim`` (the last may be shorter), or of the lengths in a list.

    Forward: views of the pieces. Backward: the pieces' gradients, joined.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If a size is negative, or the sizes do not add up to the length.

    Examples
    --------
    >>> value, pullback = rules.split(np.array([1.0, 2.0, 3.0]), split_size_or_sections=[1, 2])
    >>> value
    (array([1.]), array([2., 3.]))
    >>> pullback((np.array([5.0]), np.array([7.0, 9.0])), (True,))
    (array([5., 7., 9.]),)
    """
    axis = _position(dim, x.ndim)
    length = x.shape[axis]
    if isinstance(split_size_or_sections, (int, np.integer)):
        size = int(split_size_or_sections)
        if size < 0 or (size == 0 and length):
            raise RuntimeError(
                f"split expects split_size be non-negative, and positive for length {length}: got {size}"
            )
        count = max(-(-length // size), 1) if size else 1
        sections = [size] * (count - 1) + [length - size * (count - 1)]
    else:
        sections = [int(section) for section in split_size_or_sections]
        if min(sections, default=0) < 0 or math.fsum(sections) != length:
            raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {length}, but got {sections}")
    return _cut(x, sections, axis)


def _cut(x: Any, sections: list[int], axis: int) -> tuple[tuple[Array, ...], Pullback]:
    pieces = []
    start = 0
    for section in sections:
        pieces.append(x[(slice(None),) * axis + (slice(start, start + section),)])
        start += section

    def split_pullback(incoming: tuple[Array, ...], needs: Needs) -> Gradients:
        return (np.concatenate(incoming, axis),)

    return tuple(pieces), split_pullback


def chunk(x: Any, *, chunks: int, dim: int = 0) -> tuple[tuple[Array, ...], Pullback]:
    """Cut an array into at most ``chunks`` pieces of equal length along an axis; the last may be shorter.

    Forward: with ``n`` elements along the axis, a :func:`split` into pieces of ``⌈n / chunks⌉``. Backward: the pieces'
    gradients, joined.

    Convention: the length is rounded up, as in torch, so there may be fewer pieces than asked for: 6 in 4 chunks
    gives 3 pieces of 2.

    Shapes: ``x`` of any shape; the values have ``⌈n / chunks⌉`` of its ``n`` elements along ``dim``, the last what is
    left.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If ``chunks`` is not positive.

    Examples
    --------
    >>> value, pullback = rules.chunk(np.array([1.0, 2.0, 3.0]), chunks=2)
    >>> value
    (array([1., 2.]), array([3.]))
    >>> pullback((np.array([5.0, 7.0]), np.array([9.0])), (True,))
    (array([5., 7., 9.]),)
    """
    if chunks < 1:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    axis = _position(dim, x.ndim)
    size = -(-x.shape[axis] // chunks)
    if not size:
        return _cut(x, [0] * chunks, axis)
    return split(x, split_size_or_sections=size, dim=axis)


def unbind(x: Any, *, dim: int = 0) -> tuple[tuple[Array, ...], Pullback]:
    """Take an array apart along an axis: one output, without that axis, for each index.

    Forward: ``y_i = x[.., i, ..]``, views. Backward: the outputs' gradients, stacked.

    Shapes: ``x`` of any shape; as many values as ``dim`` has elements, without that axis.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.unbind(np.array([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    >>> value
    (array([1., 3.]), array([2., 4.]))
    >>> pullback((np.array([5.0, 7.0]), np.array([1.0, 10.0])), (True,))
    (array([[ 5.,  1.],
           [ 7., 10.]]),)
    """
    axis = _position(dim, x.ndim)
    shape, dtype = x.shape, x.dtype

    def unbind_pullback(incoming: tuple[Array, ...], needs: Needs) -> Gradients:
        return (np.stack(incoming, axis) if incoming else np.zeros(shape, dtype),)

    return tuple(np.moveaxis(x, axis, 0)), unbind_pullback


def flip(x: Any, *, dims: Any) -> tuple[Array, Pullback]:
    """Reverse the order along axes.

    Forward: ``y[i] = x[n - 1 - i]``. Backward: a reversal undoes itself.

    Shapes: ``x`` and the value alike, of any shape.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> value, pullback = rules.flip(np.array([[1.0, 2.0], [3.0, 4.0]]), dims=(1,))
    >>> value
    array([[2., 1.],
           [4., 3.]])
    >>> pullback(np.array([[5.0, 6.0], [7.0, 8.0]]), (True,))
    (array([[6., 5.],
           [8., 7.]]),)
    """
    axes = () if dims == () else reduce_axes(dims, x.ndim)

    def flip_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (np.flip(incoming, axes),)

    return np.flip(x, axes), flip_pullback


def roll(x: Any, *, shifts: Any, dims: Any = None) -> tuple[Array, Pullback]:
    """Shift elements along axes; what falls off one end comes in at the other.

    Forward: ``y[(i + shift) mod n] = x[i]``; without ``dims`` the array is rolled as if it were flat.
    Backward: a roll by ``-shift``.

    Shapes: ``x`` and the value alike, of any shape.

    Raises
    ------
    IndexError
        If there is no such axis.

    Examples
    --------
    >>> value, pullback = rules.roll(np.array([1.0, 2.0, 3.0]), shifts=1, dims=0)
    >>> value
    array([3., 1., 2.])
    >>> pullback(np.array([5.0, 7.0, 9.0]), (True,))
    (array([7., 9., 5.]),)
    """
    axes = None if dims is None or dims == () else dims
    back = -shifts if isinstance(shifts, (int, np.integer)) else tuple(-shift for shift in shifts)

    def roll_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (np.roll(incoming, back, axes),)

    return np.roll(x, shifts, axes), roll_pullback


def repeat(x: Any, *, repeats: Any) -> tuple[Array, Pullback]:
    """Lay copies of an array side by side, as ``torch.Tensor.repeat`` and ``numpy.tile`` do.

    Shapes: ``(n, m)`` with ``repeats=(r, s)`` gives ``(r n, s m)``; more repeats than axes add axes in front.

    Forward: ``y[i, j] = x[i mod n, j mod m]``. Backward: the gradients of all copies add up.

    Raises
    ------
    RuntimeError
        If there are fewer numbers than axes.
    ValueError
        If one is negative.

    Examples
    --------
    >>> value, pullback = rules.repeat(np.array([1.0, 2.0]), repeats=(2, 2))
    >>> value
    array([[1., 2., 1., 2.],
           [1., 2., 1., 2.]])
    >>> pullback(np.array([[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]]), (True,))
    (array([44., 66.]),)
    """
    times = (repeats,) if isinstance(repeats, (int, np.integer)) else tuple(repeats)
    if len(times) < x.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    shape = x.shape
    padded = (1,) * (len(times) - x.ndim) + shape

    def repeat_pullback(incoming: Array, needs: Needs) -> Gradients:
        apart = [length for pair in zip(times, padded, strict=True) for length in pair]
        gradient = np.add.reduce(incoming.reshape(apart), axis=tuple(range(0, len(apart), 2)))
        return (np.asarray(gradient).reshape(shape),)

    return np.tile(x, times), repeat_pullback


def _position(dim: int, ndim: int) -> int:
    """One axis as a non-negative number; a scalar has none to join or cut along."""
    if not ndim:
        raise RuntimeError("zero-dimensional tensors cannot be concatenated, cut or unbound")
    return reduce_axes(int(dim), ndim)[0]
