"""Clipping: gradients are kept from being too long, all together, or too large, each for itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator, Iterable
from typing import Any

import numpy as np

from manual.rules.core import Array
from manual.tensor import Tensor, as_array

__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]

BLOCK = 16384


def get_total_norm(
    tensors: Iterable[Array | Tensor] | Array | Tensor,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Array:
    """The norm of all arrays together, as if they were one vector: the norm of their norms.

    Parameters
    ----------
    tensors : arrays or tensors, of any shapes
    norm_type : p of the p-norm ``(Σ|x|^p)^(1/p)``, negative ones too; ``inf`` for the largest magnitude, ``-inf`` for
        the smallest, 0 for the number of elements that are not 0
    error_if_nonfinite : raise for a norm that is nan or infinite
    foreach : accepted, as in torch; chooses a kernel there

    Returns
    -------
    A 0-d array of the dtype that the arrays promote to; float32 where there are none.

    Raises
    ------
    RuntimeError
        If an array is not floating, is empty where the norm is a minimum or maximum, or the norm is not finite where it
        must be.
    NotImplementedError
        If one is sparse.

    Convention: the norm of each array is rounded to its dtype, and of order 0 the result is the number of *arrays* that
    have an element other than 0, both as in torch: it is the norm of the norms.

    Examples
    --------
    >>> round(float(nn.utils.get_total_norm([tensor([3.0]), tensor([4.0, 0.0])])), 4)
    5.0
    """
    if isinstance(tensors, (np.ndarray, Tensor)):
        tensors = [tensors]
    arrays = [_dense(as_array(tensor) if isinstance(tensor, Tensor) else tensor) for tensor in tensors]
    order = float(norm_type)
    if not arrays:
        return np.asarray(0.0, np.float32)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        norms = np.array([array.dtype.type(_norm(array, order)) for array in arrays], np.result_type(*arrays))
        total = np.asarray(_norm(norms, order), norms.dtype)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {order} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


def _norm(array: Array, p: float) -> Any:
    flat = array.reshape(-1)
    if flat.dtype.kind != "f":
        raise RuntimeError(f"Expected a floating point tensor as input of a norm. Got {flat.dtype}")
    if not flat.size:
        if p < 0 or math.isinf(p):
            raise RuntimeError(
                f"cannot compute the {p:g} norm on an empty tensor because the operation does not have an identity"
            )
        return 0.0
    if flat.dtype == np.float16:
        flat = flat.astype(np.float32)  # squares leave the range of float16 early
    if p == 2.0:
        return np.sqrt(_sum_of_squares(flat))
    size = np.abs(flat)
    if math.isinf(p):
        return size.max() if p > 0 else size.min()
    if p == 1.0:
        return size.sum()
    if p == 0.0:
        return np.count_nonzero(flat)
    return (size**p).sum() ** (1.0 / p)


def _sum_of_squares(flat: Array) -> Any:
    """In blocks, added up in double precision: one float32 product over millions of elements loses four digits."""
    wider = np.promote_types(flat.dtype, np.float64).type
    total = wider(0)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        total += wider(block.dot(block))
    return total


def clip_grads_with_norm_(
    parameters: Iterable[Tensor] | Tensor, max_norm: float, total_norm: Any, foreach: Any = None
) -> None:
    """Scale every gradient in place by ``min(1, max_norm / (total_norm + 1e-6))``.

    Convention: the factor is always multiplied, also where it is 1; the 1e-6 is torch's, and makes a gradient that is
    clipped end a little below ``max_norm``.

    Shapes: parameters and gradients of any shape; ``total_norm`` is a scalar. Raises nothing of its own.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, 1.0]))
    >>> weight.backward(tensor([3.0, 4.0]))
    >>> nn.utils.clip_grads_with_norm_([weight], max_norm=1.0, total_norm=tensor(5.0))
    >>> weight.grad
    array([0.6, 0.8], dtype=float32)
    """
    coefficient = np.minimum(float(max_norm) / (as_array(total_norm) + 1e-6), 1.0)
    with np.errstate(invalid="ignore"):  # a norm that is infinite makes an infinite gradient nan, as in torch
        for gradient in _gradients(parameters):
            factor = coefficient.astype(np.promote_types(gradient.dtype, np.float32))
            np.multiply(gradient, factor, out=gradient, casting="same_kind")


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Array:
    """Clip the norm of all gradients together, in place.

    With ``g`` all gradients as one vector, ``g <- g min(1, max_norm / (|g| + 1e-6))``: the direction stays (Pascanu,
    Mikolov and Bengio 2013, algorithm 1). Clipping each tensor by a norm of its own would turn it.

    Shapes: parameters and gradients of any shape; the norm that is returned is a scalar.

    Returns
    -------
    The norm before clipping. Parameters without gradient are left out.

    Raises
    ------
    RuntimeError
        If the norm is infinite or nan, and ``error_if_nonfinite``.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, 1.0]))
    >>> weight.backward(tensor([3.0, 4.0]))
    >>> float(nn.utils.clip_grad_norm_([weight], max_norm=1.0))
    5.0
    >>> weight.grad
    array([0.6, 0.8], dtype=float32)
    """
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    elif isinstance(parameters, Generator):
        parameters = list(parameters)
        if not parameters:
            warnings.warn("`parameters` is an empty generator: no gradient will be clipped", UserWarning, stacklevel=2)
    else:
        parameters = list(parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float, foreach: Any = None) -> None:
    """Cut every element of every gradient to ``[-clip_value, clip_value]``, in place; nan stays.

    Shapes: parameters and gradients of any shape. Raises nothing of its own.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, 1.0]))
    >>> weight.backward(tensor([3.0, -0.5]))
    >>> nn.utils.clip_grad_value_([weight], clip_value=1.0)
    >>> weight.grad
    array([ 1. , -0.5], dtype=float32)
    """
    limit = float(clip_value)
    for gradient in _gradients(parameters):
        np.clip(gradient, -limit, limit, out=gradient)


def _gradients(parameters: Iterable[Tensor] | Tensor) -> list[Array]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [_dense(parameter.grad) for parameter in parameters if parameter.grad is not None]


def _dense(gradient: Any) -> Array:
    if getattr(gradient, "is_sparse", False):
        raise NotImplementedError("clipping takes dense gradients only, as torch does on the CPU: make them dense")
    return np.asarray(gradient)
