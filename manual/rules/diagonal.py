"""Diagonals: taking them out of matrices, making matrices of them, and adding them up.

A diagonal is named by its offset: 0 is the main one, 1 the one above it, -1 the one below.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, reduce_axes

__all__ = ["diag", "diag_embed", "diagonal", "trace"]


def diagonal(x: Any, *, offset: int = 0, dim1: int = 0, dim2: int = 1) -> tuple[Array, Pullback]:
    """Take a diagonal of the matrices that two axes make.

    Shapes: the value lacks ``dim1`` and ``dim2`` and has the diagonal as its last axis: ``(n, m, b)`` gives
    ``(b, min(n, m))``.

    Forward: ``y[.., i] = x[i, i + offset, ..]``, a view. Backward: the gradient is put on the diagonal of zeros.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If both are the same.

    Examples
    --------
    >>> value, pullback = rules.diagonal(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> value
    array([1., 4.])
    >>> pullback(np.array([5.0, 7.0]), (True,))
    (array([[5., 0.],
           [0., 7.]]),)
    """
    axes = _two_axes(dim1, dim2, x.ndim)
    shape = x.shape

    def diagonal_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (_on_diagonal(incoming, shape, offset, axes),)

    return np.diagonal(x, offset, *axes), diagonal_pullback


def diag_embed(x: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> tuple[Array, Pullback]:
    """Make matrices whose diagonals are the last axis of ``x``.

    Shapes: ``(..., n)`` gives matrices of ``n + |offset|`` rows and columns along ``dim1`` and ``dim2`` of the value.

    Forward: ``y[.., i, i + offset] = x[.., i]``, zeros beside it. Backward: the diagonal of the incoming gradient.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If both are the same.

    Examples
    --------
    >>> value, pullback = rules.diag_embed(np.array([1.0, 2.0]))
    >>> value
    array([[1., 0.],
           [0., 2.]])
    >>> pullback(np.array([[5.0, 1.0], [1.0, 7.0]]), (True,))
    (array([5., 7.]),)
    """
    if not x.ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [-1, 0], but got {dim1})")
    axes = _two_axes(dim1, dim2, x.ndim + 1)
    side = x.shape[-1] + abs(offset)
    rest = iter(x.shape[:-1])
    shape = tuple(side if axis in axes else next(rest) for axis in range(x.ndim + 1))

    def diag_embed_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (np.diagonal(incoming, offset, *axes),)

    return _on_diagonal(x, shape, offset, axes), diag_embed_pullback


def diag(x: Any, *, diagonal: int = 0) -> tuple[Array, Pullback]:
    """Make a matrix of a vector (see :func:`diag_embed`), or take a vector out of a matrix (see :func:`diagonal`).

    Shapes: a vector ``(n,)`` to a matrix ``(n + |diagonal|, n + |diagonal|)``, a matrix to a vector.

    Raises
    ------
    RuntimeError
        If ``x`` is neither a vector nor a matrix.

    Examples
    --------
    >>> value, pullback = rules.diag(np.array([1.0, 2.0]))
    >>> value
    array([[1., 0.],
           [0., 2.]])
    >>> pullback(np.array([[5.0, 1.0], [1.0, 7.0]]), (True,))
    (array([5., 7.]),)
    """
    if x.ndim == 1:
        return diag_embed(x, offset=diagonal)
    if x.ndim == 2:
        return _diagonal(x, offset=diagonal)
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {x.ndim}D")


_diagonal = diagonal


def trace(x: Any) -> tuple[Array, Pullback]:
    """Add up the main diagonal of a matrix ``(n, m)``.

    Forward: ``y = Σ_i x[i, i]``. Backward: every element of the diagonal gets the gradient, the others 0.

    Shapes: a matrix ``(n, m)`` to ``()``.

    Raises
    ------
    RuntimeError
        If ``x`` is no matrix.

    Examples
    --------
    >>> value, pullback = rules.trace(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> value
    np.float64(5.0)
    >>> pullback(np.array(5.0), (True,))
    (array([[5., 0.],
           [0., 5.]]),)
    """
    if x.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {x.ndim}")
    shape = x.shape

    def trace_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (_on_diagonal(np.broadcast_to(incoming, min(shape)), shape, 0, (0, 1)),)

    return np.add.reduce(np.diagonal(x), dtype=None if x.dtype.kind == "f" else np.int64), trace_pullback


def _two_axes(dim1: int, dim2: int, ndim: int) -> tuple[int, int]:
    first, second = (_axis(dim, ndim) for dim in (dim1, dim2))
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return first, second


def _axis(dim: int, ndim: int) -> int:
    axes = reduce_axes(int(dim), ndim)
    return axes[0] if axes else 0


def _on_diagonal(values: Array, shape: tuple[int, ...], offset: int, axes: tuple[int, int]) -> Array:
    """An array of zeros with values, whose last axis runs along it, on a diagonal."""
    matrix = np.zeros(shape, values.dtype)
    steps = np.arange(values.shape[-1])
    np.moveaxis(matrix, axes, (-2, -1))[..., steps + max(-offset, 0), steps + max(offset, 0)] = values
    return matrix
