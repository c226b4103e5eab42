"""What the losses share: pairing input with target, reducing terms, and spreading the incoming gradient again."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from manual.rules.core import Array, unbroadcast

__all__ = ["difference_gradients", "paired", "reduce_terms", "same_shape", "spread"]


def paired(input: Any, target: Any) -> tuple[Array, Array]:
    """Input and target as arrays; warns where they will be broadcast.

    A prediction of shape ``(N, 1)`` against a target of shape ``(N,)`` broadcasts to ``(N, N)`` and trains on nonsense:
    like torch, the losses say so.

    Raises
    ------
    RuntimeError
        If the shapes do not broadcast.
    """
    if type(input) is not np.ndarray:
        input = np.asarray(input, dtype=getattr(input, "dtype", getattr(target, "dtype", np.float32)))
    if type(target) is not np.ndarray:
        target = np.asarray(target, dtype=getattr(target, "dtype", input.dtype))
    if input.shape != target.shape:
        try:
            shape = np.broadcast_shapes(input.shape, target.shape)
        except ValueError:
            raise RuntimeError(f"input of shape {input.shape} and target of shape {target.shape} do not fit") from None
        warnings.warn(
            f"Using a target size {target.shape} that is different to the input size {input.shape}: the loss is "
            f"computed on the broadcast shape {shape}. Give both the same shape.",
            UserWarning,
            stacklevel=5,
        )
    return input, target


def same_shape(input: Any, target: Any) -> tuple[Array, Array]:
    """Input and target as arrays of one shape.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    input, target = np.asarray(input), np.asarray(target)
    if input.shape != target.shape:
        raise ValueError(f"Target size {target.shape} must be the same as input size {input.shape}")
    return input, target


def reduce_terms(terms: Any, reduction: str) -> Any:
    """Reduce the terms of a loss by ``"none"``, ``"sum"`` or ``"mean"`` (over all elements).

    Convention: the mean of no terms is nan, silently, as in torch.

    Raises
    ------
    ValueError
        For any other reduction.
    """
    if reduction == "mean":
        return np.add.reduce(terms, axis=None) / (terms.size or math.nan)
    if reduction == "sum":
        return np.add.reduce(terms, axis=None)
    if reduction == "none":
        return terms
    raise ValueError(f"{reduction} is not a valid value for reduction")


def spread(incoming: Any, reduction: str, size: int, factor: float = 1.0) -> Any:
    """The gradient of each term, times ``factor``: a mean hands each of its ``size`` terms ``incoming / size``.

    A scalar stands for terms that all get the same.
    """
    if reduction == "mean":
        factor = factor / size if size else math.nan
    return incoming if factor == 1.0 else incoming * factor


def difference_gradients(
    gradient: Any, needs: tuple[bool, ...], input_shape: tuple[int, ...], target_shape: tuple[int, ...]
) -> tuple[Array | None, Array | None]:
    """Gradients of input and target of a loss of ``input - target``, whose gradient is ``gradient``.

    The target enters with a minus sign, so its gradient is the input's with the sign turned.
    """
    return (
        unbroadcast(gradient, input_shape) if needs[0] else None,
        unbroadcast(-gradient, target_shape) if needs[1] else None,
    )
