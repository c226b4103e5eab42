"""Normalisation of samples: over the last axes, with parameters for every element.

The derivation, which these share with batch norm, is in ``manual.rules.normalization``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, contraction
from manual.rules.normalization import column_dot, column_sum, half_in_single

__all__ = ["layer_norm", "rms_norm"]


@contraction
@half_in_single
def layer_norm(
    input: Any, weight: Any = None, bias: Any = None, *, normalized_shape: Any, eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """Normalise every sample by its mean and variance over the last axes.

    Shapes: ``input`` and the value ``(*, *normalized_shape)``; ``weight`` and ``bias`` of ``normalized_shape`` or
    ``None``: every element has its own.

    Forward: ``y = w x̂ + b``. Source: Ba et al., "Layer Normalization" (2016), section 3.

    Backward: ``r (h - mean(h) - x̂ mean(h x̂))`` with ``h = w g``, see ``manual.rules.normalization``.

    Convention: the variance is the biased one, and ``eps`` is inside the root.

    Raises
    ------
    RuntimeError
        If a shape does not fit.

    Examples
    --------
    >>> value, pullback = rules.layer_norm(np.array([[0.0, 1.0, 5.0]]), normalized_shape=(3,))
    >>> value
    array([[-0.9258, -0.4629,  1.3887]])
    >>> pullback(np.array([[3.0, 0.0, 0.0]]), (True, False, False))[0]
    array([[ 0.529 , -0.6613,  0.1323]])
    """
    count = _normalized_size(input, normalized_shape, weight, bias)
    rows = input.reshape(-1, count)
    normal = rows - np.add.reduce(rows, axis=1, keepdims=True) / max(count, 1)
    inverse = 1 / np.sqrt(np.vecdot(normal, normal)[:, np.newaxis] / max(count, 1) + eps)
    normal *= inverse

    def layer_norm_pullback(incoming: Array, needs: Needs) -> Gradients:
        return _to_rows(incoming, needs, normal, inverse, weight, bias, centred=True)

    return _scaled(normal, weight, bias).reshape(input.shape), layer_norm_pullback


@contraction
@half_in_single
def rms_norm(
    input: Any, weight: Any = None, *, normalized_shape: Any, eps: float | None = None
) -> tuple[Array, Pullback]:
    """Divide every sample by its root mean square over the last axes.

    Shapes: ``input`` and the value ``(*, *normalized_shape)``; ``weight`` of ``normalized_shape`` or ``None``.

    Forward: ``y = w x̂`` with ``x̂ = x r`` and ``r = 1 / sqrt(mean(x²) + eps)``. Source: Zhang and Sennrich, "Root Mean
    Square Layer Normalization" (2019), equation 4.

    Backward: no mean is subtracted, so nothing but the part along ``x̂`` is taken out of ``h = w g``:
    ``dr = -r³ Σ x dx / n`` gives ``r (h - x̂ mean(h x̂))``.

    Convention: ``eps`` is inside the root; ``None`` is the distance from 1 to the next number of the dtype in which
    the statistics are taken.

    Raises
    ------
    RuntimeError
        If a shape does not fit.

    Examples
    --------
    >>> value, pullback = rules.rms_norm(np.array([[1.0, 7.0]]), normalized_shape=(2,))
    >>> value
    array([[0.2, 1.4]])
    >>> pullback(np.array([[25.0, 0.0]]), (True, False))[0]
    array([[ 4.9, -0.7]])
    """
    count = _normalized_size(input, normalized_shape, weight, None)
    rows = input.reshape(-1, count)
    small = float(np.finfo(input.dtype).eps) if eps is None else eps
    inverse = 1 / np.sqrt(np.vecdot(rows, rows)[:, np.newaxis] / max(count, 1) + small)
    normal = rows * inverse

    def rms_norm_pullback(incoming: Array, needs: Needs) -> Gradients:
        return _to_rows(incoming, (*needs, False), normal, inverse, weight, None, centred=False)[:2]

    return _scaled(normal, weight, None).reshape(input.shape), rms_norm_pullback


def _normalized_size(input: Array, normalized_shape: Any, weight: Any, bias: Any) -> int:
    """How many elements are normalised together.

    Raises
    ------
    RuntimeError
        If a shape does not fit.
    """
    shape = list(normalized_shape)
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
            "but got normalized_shape = []"
        )
    for name, array in (("weight", weight), ("bias", bias)):
        if array is not None and list(array.shape) != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(array.shape)} and normalized_shape = {shape}"
            )
    if list(input.shape[-len(shape) :]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={shape}, expected input with shape [*, {', '.join(map(str, shape))}], "
            f"but got input of size{list(input.shape)}"
        )
    return math.prod(shape)


def _scaled(normal: Array, weight: Any, bias: Any) -> Array:
    """``w x̂ + b`` with ``w`` and ``b`` for each element of a row."""
    value = normal if weight is None else normal * weight.reshape(-1)
    if bias is not None:
        value = np.add(value, bias.reshape(-1), out=None if weight is None else value)
    return value


def _to_rows(
    incoming: Array, needs: Needs, normal: Array, inverse: Array, weight: Any, bias: Any, *, centred: bool
) -> Gradients:
    """What rows, weight and bias get, given ``x̂`` and ``r``."""
    arriving = incoming.reshape(normal.shape)
    count = max(normal.shape[1], 1)
    gradient = None
    if needs[0]:
        scaled = arriving if weight is None else arriving * weight.reshape(-1)
        gradient = normal * (np.vecdot(scaled, normal)[:, np.newaxis] / -count)
        gradient += scaled
        if centred:
            gradient -= np.add.reduce(scaled, axis=1, keepdims=True) / count
        gradient *= inverse
        gradient = gradient.reshape(incoming.shape)
    to_weight = column_dot(arriving, normal).reshape(weight.shape) if needs[1] else None
    return gradient, to_weight, column_sum(arriving).reshape(bias.shape) if needs[2] else None
