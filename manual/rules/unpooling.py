"""Undoing a maximum pooling as far as that can be done."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback

__all__ = ["max_unpool"]


def max_unpool(x: Any, *, indices: Array, output_size: tuple[int, ...]) -> tuple[Array, Pullback]:
    """Put maxima back where they came from, and zeros elsewhere.

    Shapes: ``x`` and the int64 ``indices`` alike, ``(N, C, d1, ...)`` or ``(C, d1, ...)``; the value has
    ``output_size`` in the place of ``d1, ...``. An index counts the elements of ``output_size`` in rows, as those of
    ``max_pool`` do.

    Forward: ``y[indices_i] = x_i`` in each plane. Backward: ``g[indices_i]``.

    Source: Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks, section 2.1.

    Convention: where several elements go to one place, the last of them stays, and yet each is handed the gradient of
    that place. As torch, though the others have no influence.

    Raises
    ------
    RuntimeError
        If the shapes do not fit or an index lies outside.

    Examples
    --------
    >>> value, pullback = rules.max_unpool(np.array([[3.0, 2.0]]), indices=np.array([[1, 2]]), output_size=(4,))
    >>> value
    array([[0., 3., 2., 0.]])
    >>> pullback(np.array([[5.0, 6.0, 7.0, 8.0]]), (True,))
    (array([[6., 7.]]),)
    """
    dimensions = len(output_size)
    shown = max(dimensions, 2)  # torch has one dimension done by the op for two
    if x.ndim not in (dimensions + 1, dimensions + 2):
        raise RuntimeError(
            f"Input to max_unpooling{shown}d should be a {shown + 1}d or {shown + 2}d Tensor, but got a tensor with "
            f"{x.ndim + shown - dimensions} dimensions."
        )
    if x.dtype.kind != "f":
        raise NotImplementedError(f'"max_unpool{shown}d" not implemented for {x.dtype}')
    if indices.dtype != np.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype}")
    if indices.shape != x.shape:
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(x.shape)}) but got indices "
            f"tensor with shape: {list(indices.shape)}"
        )
    if 0 in x.shape[x.ndim == dimensions + 2 :]:
        raise RuntimeError(
            f"max_unpooling{shown}d: Expected input to have non-zero size for non-batch dimensions, but got "
            f"{list(x.shape)}"
        )
    size = math.prod(output_size)
    outside = (indices < 0) | (indices >= size)
    if outside.any():
        volumes = "x".join(map(str, output_size))
        raise RuntimeError(f"Found an invalid max index: {indices[outside][0]} (output volumes are of size {volumes})")
    shape = x.shape
    planes = math.prod(shape[:-dimensions])
    places = indices.reshape(planes, math.prod(shape[-dimensions:])) + (np.arange(planes) * size)[:, None]
    value = np.zeros(planes * size, x.dtype)
    value[places.reshape(-1)] = x.reshape(-1)

    def max_unpool_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming.reshape(-1)[places].reshape(shape),)

    return value.reshape(*shape[:-dimensions], *output_size), max_unpool_pullback
