"""Products of matrices: every rule here is a call of BLAS, forward and backward.

All of them rest on one derivation. For ``C = A B`` and a loss ``L`` with ``G = dL/dC``, the differential is
``dL = tr(Gᵀ dC) = tr(Gᵀ dA B) + tr(Gᵀ A dB)``, and since a trace lets its factors rotate, ``dL/dA = G Bᵀ`` and
``dL/dB = Aᵀ G``. Source: M. B. Giles, "An extended collection of matrix derivative results for forward and reverse
mode algorithmic differentiation" (2008), section 2.2.1.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, contraction, elementwise, unbroadcast

__all__ = ["addmm", "bmm", "dot", "linear", "matmul", "mm", "outer"]


@contraction
def matmul(x: Any, y: Any) -> tuple[Array, Pullback]:
    """Multiply matrices, vectors, or stacks of them.

    Shapes: ``(..., n, k)`` and ``(..., k, m)`` give ``(..., n, m)``; the leading axes broadcast. A vector stands for
    a row on the left and a column on the right, and that axis is missing from the value; two vectors give a scalar.

    Forward: ``Z = X Y``. Backward: ``dL/dX = G Yᵀ`` and ``dL/dY = Xᵀ G``, summed over the leading axes that were
    broadcast. A stack times one matrix is one tall product: the rows of all matrices are alike to ``Y``.

    Raises
    ------
    RuntimeError
        If a side is a scalar, or the lengths do not match.

    Examples
    --------
    >>> value, pullback = rules.matmul(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]))
    >>> value
    array([21., 43.])
    >>> pullback(np.array([5.0, 7.0]), (True, True))
    (array([[ 5., 50.],
           [ 7., 70.]]), array([26., 38.]))
    """
    if not (x.ndim and y.ndim):
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {x.ndim}D and {y.ndim}D")
    folded = x.ndim > 2 and y.ndim == 2
    try:
        value = (_rows(x) @ y).reshape(*x.shape[:-1], y.shape[1]) if folded else x @ y
    except ValueError:
        raise RuntimeError(f"shapes cannot be multiplied ({x.shape} and {y.shape})") from None

    def matmul_pullback(incoming: Array, needs: Needs) -> Gradients:
        if x.ndim == 2 and y.ndim == 2:
            return incoming @ y.T if needs[0] else None, x.T @ incoming if needs[1] else None
        if x.ndim == 1 and y.ndim == 1:
            return incoming * y if needs[0] else None, incoming * x if needs[1] else None
        if folded:
            tall = _rows(incoming)
            return (tall @ y.T).reshape(x.shape) if needs[0] else None, _rows(x).T @ tall if needs[1] else None
        left = x[np.newaxis] if x.ndim == 1 else x
        right = y[:, np.newaxis] if y.ndim == 1 else y
        if x.ndim == 1:
            incoming = incoming[..., np.newaxis, :]
        if y.ndim == 1:
            incoming = incoming[..., np.newaxis]
        to_x = to_y = None
        if needs[0]:
            to_x = unbroadcast(incoming @ right.swapaxes(-1, -2), left.shape).reshape(x.shape)
        if needs[1]:
            to_y = unbroadcast(left.swapaxes(-1, -2) @ incoming, right.shape).reshape(y.shape)
        return to_x, to_y

    return value, matmul_pullback


@contraction
def linear(input: Any, weight: Any, bias: Any = None) -> tuple[Array, Pullback]:
    """Apply an affine map to the last axis.

    Shapes: ``input (..., in)``, ``weight (out, in)``, ``bias (out,)`` or ``None``, value ``(..., out)``.

    Forward: ``Y = X Wᵀ + b``. The weight is stored transposed, one row per output, as in torch.

    Backward: with ``G`` incoming and all leading axes folded into rows, ``dL/dX = G W``, ``dL/dW = Gᵀ X``, and since
    ``b`` is added to every row, ``dL/db`` is the sum of the rows of ``G``, a product with ones: ``1ᵀ G``.

    Raises
    ------
    RuntimeError
        If the lengths do not match.

    Examples
    --------
    >>> value, pullback = rules.linear(np.array([[1.0, 3.0]]), np.array([[2.0, -1.0]]), np.array([0.5]))
    >>> value
    array([[-0.5]])
    >>> pullback(np.array([[10.0]]), (True, True, True))
    (array([[ 20., -10.]]), array([[10., 30.]]), array([10.]))
    """
    if weight.ndim != 2 or not input.ndim:
        raise RuntimeError(
            f"linear: expected weight (out, in) and input (..., in), got {weight.shape} and {input.shape}"
        )
    shape = input.shape
    flat = input if len(shape) == 2 else _rows(input)
    try:
        value = flat @ weight.T
        if bias is not None:
            value += bias
    except ValueError:
        sizes = f"input {shape}, weight {weight.shape}" + ("" if bias is None else f", bias {bias.shape}")
        raise RuntimeError(f"linear: shapes cannot be multiplied and added ({sizes})") from None

    def linear_pullback(incoming: Array, needs: Needs) -> Gradients:
        if incoming.ndim != 2:
            incoming = _rows(incoming)
        to_input = to_weight = to_bias = None
        if needs[0]:
            to_input = incoming @ weight
            if len(shape) != 2:
                to_input = to_input.reshape(shape)
        if needs[1]:
            to_weight = incoming.T @ flat
        if len(needs) < 3:
            return to_input, to_weight
        if needs[2]:
            to_bias = unbroadcast(_ones(len(incoming), incoming.dtype).dot(incoming), bias.shape)
        return to_input, to_weight, to_bias

    return value if len(shape) == 2 else value.reshape(*shape[:-1], weight.shape[0]), linear_pullback


def _rows(x: Array) -> Array:
    """Fold all axes but the last into one."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


@lru_cache(maxsize=64)
def _ones(count: int, dtype: Any) -> Array:
    ones = np.ones(count, dtype)
    ones.flags.writeable = False
    return ones


@contraction
def mm(x: Any, y: Any) -> tuple[Array, Pullback]:
    """Multiply two matrices, ``(n, k)`` and ``(k, m)``: :func:`matmul` for nothing else.

    Shapes: ``x (n, k)``, ``y (k, m)``, the value ``(n, m)``.

    Raises
    ------
    RuntimeError
        If a side is no matrix, or the lengths do not match.

    Examples
    --------
    >>> value, pullback = rules.mm(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    >>> value
    array([[11.]])
    >>> pullback(np.array([[10.0]]), (True, True))
    (array([[30., 40.]]), array([[10.],
           [20.]]))
    """
    if x.ndim != 2 or y.ndim != 2:
        raise RuntimeError(f"mm expects two matrices, got {x.ndim}D and {y.ndim}D")
    return matmul(x, y)


@contraction
def bmm(x: Any, y: Any) -> tuple[Array, Pullback]:
    """Multiply two stacks of matrices, ``(b, n, k)`` and ``(b, k, m)``: :func:`matmul` without broadcasting.

    Shapes: ``x (b, n, k)``, ``y (b, k, m)``, the value ``(b, n, m)``.

    Raises
    ------
    RuntimeError
        If a side has not three axes, or the lengths do not match.

    Examples
    --------
    >>> value, pullback = rules.bmm(np.array([[[1.0, 2.0]]]), np.array([[[3.0], [4.0]]]))
    >>> value
    array([[[11.]]])
    >>> pullback(np.array([[[10.0]]]), (True, True))
    (array([[[30., 40.]]]), array([[[10.],
            [20.]]]))
    """
    if x.ndim != 3 or y.ndim != 3 or len(x) != len(y):
        raise RuntimeError(f"bmm expects two stacks of as many matrices, got shapes {x.shape} and {y.shape}")
    return matmul(x, y)


@contraction
def dot(x: Any, y: Any) -> tuple[Array, Pullback]:
    """Take the inner product ``Σ x_i y_i`` of two vectors: :func:`matmul` for nothing else.

    Shapes: ``x`` and ``y`` ``(n,)``, the value ``()``.

    Raises
    ------
    RuntimeError
        If a side is no vector, or the lengths differ.

    Examples
    --------
    >>> value, pullback = rules.dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> value
    np.float64(11.0)
    >>> pullback(np.array(10.0), (True, True))
    (array([30., 40.]), array([10., 20.]))
    """
    if x.ndim != 1 or y.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {x.ndim}D and {y.ndim}D tensors")
    return matmul(x, y)


@elementwise
def outer(x: Any, y: Any) -> tuple[Array, Pullback]:
    """Multiply every element of one vector by every element of another.

    Shapes: ``(n,)`` and ``(m,)`` give ``(n, m)``.

    Forward: ``Z = x yᵀ``. Backward: ``dL/dx = G y`` and ``dL/dy = Gᵀ x``.

    Raises
    ------
    RuntimeError
        If a side is no vector.

    Examples
    --------
    >>> value, pullback = rules.outer(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> value
    array([[3., 4.],
           [6., 8.]])
    >>> pullback(np.array([[1.0, 0.0], [0.0, 10.0]]), (True, True))
    (array([ 3., 40.]), array([ 1., 20.]))
    """
    if x.ndim != 1 or y.ndim != 1:
        raise RuntimeError(f"outer: expected 1-D tensors, but got {x.ndim}D and {y.ndim}D tensors")

    def outer_pullback(incoming: Array, needs: Needs) -> Gradients:
        return incoming @ y if needs[0] else None, x @ incoming if needs[1] else None

    return x[:, np.newaxis] * y, outer_pullback


@contraction
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> tuple[Array, Pullback]:
    """Add a matrix to a product of matrices.

    Shapes: ``mat1 (n, k)``, ``mat2 (k, m)``; ``input`` is broadcast to ``(n, m)``.

    Forward: ``Z = beta M + alpha A B``. Backward: ``dL/dM = beta G``, summed over what was broadcast,
    ``dL/dA = alpha G Bᵀ``, ``dL/dB = alpha Aᵀ G``.

    Convention: ``beta = 0`` ignores ``input``, even NaN in it, as in torch.

    Raises
    ------
    RuntimeError
        If the matrices do not fit each other.
    ValueError
        If ``input`` does not broadcast to their product.

    Examples
    --------
    >>> value, pullback = rules.addmm(np.array([5.0]), np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), alpha=2)
    >>> value
    array([[27.]])
    >>> pullback(np.array([[10.0]]), (True, True, True))
    (array([10.]), array([[60., 80.]]), array([[20.],
           [40.]]))
    """
    value, product_pullback = mm(mat1, mat2)
    if alpha != 1:
        value *= alpha
    if beta:
        value += input if beta == 1 else input * beta

    def addmm_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_input = unbroadcast(incoming if beta == 1 else incoming * beta, input.shape) if needs[0] else None
        return to_input, *product_pullback(incoming if alpha == 1 else incoming * alpha, needs[1:])

    return value, addmm_pullback
