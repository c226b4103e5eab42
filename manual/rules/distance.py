"""How far vectors lie apart, and whether they point the same way.

Distances are p-norms of differences, ``d = (Σ |x - y|^p)^(1/p)``, with slope ``sign(x - y) (|x - y| / d)^(p - 1)`` in
``x`` and minus that in ``y``: for ``p = 2`` the unit vector from ``y`` to ``x``, for ``p = 1`` its signs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import (
    Array,
    Gradients,
    Needs,
    Pullback,
    common_shape,
    contraction,
    elementwise,
    floating,
    reduce_axes,
    unbroadcast,
)
from manual.rules.norm import norm

__all__ = ["cdist", "cosine_similarity", "pairwise_distance", "pdist"]

BLOCK = 1 << 20
"""How many differences ``cdist`` holds at a time."""


@floating
def pairwise_distance(
    x1: Any, x2: Any, *, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> tuple[Array, Pullback]:
    """Take the distance between vectors that stand at the same place.

    Shapes: ``x1`` and ``x2`` broadcast to ``(..., D)``; the value is ``(...)``, or ``(..., 1)`` with ``keepdim``.

    Forward: ``d = ||x1 - x2 + eps||_p`` along the last axis.

    Backward: that of :func:`manual.rules.norm` for ``x1``, with the sign turned for ``x2``.

    Convention: ``eps`` is added to every *difference*, inside the norm, as in torch: it keeps the slope of equal
    vectors defined, and makes the distance of ``x1`` from ``x2`` another than that of ``x2`` from ``x1``.

    Raises
    ------
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.pairwise_distance(np.array([[3.0, 0.0]]), np.array([[0.0, 4.0]]), eps=0.0)
    >>> value
    array([5.])
    >>> pullback(np.array([10.0]), (True, True))
    (array([[ 6., -8.]]), array([[-6.,  8.]]))
    """
    common_shape(x1.shape, x2.shape)
    difference = np.asarray(x1 - x2)
    difference = np.asarray(difference + eps)
    value, length_pullback = norm(difference, p=p, dim=-1, keepdim=keepdim)

    def pairwise_distance_pullback(incoming: Array, needs: Needs) -> Gradients:
        (gradient,) = length_pullback(incoming, (True,))
        assert gradient is not None
        return (
            unbroadcast(gradient, x1.shape) if needs[0] else None,
            unbroadcast(-gradient, x2.shape) if needs[1] else None,
        )

    return value, pairwise_distance_pullback


@elementwise
def cosine_similarity(x1: Any, x2: Any, *, dim: int = 1, eps: float = 1e-8) -> tuple[Array, Pullback]:
    """Take the cosine of the angle between vectors.

    Shapes: ``x1`` and ``x2`` are broadcast; the value lacks the axis ``dim``.

    Forward: ``c = Σ u1 u2`` with ``u = x / m`` and ``m = max(||x||, eps)``.

    Backward: ``dc = Σ u2 dx1 / m1 - c dm1 / m1``, and ``dm1 = Σ x1 dx1 / ||x1||``, so the slope in ``x1`` is
    ``(u2 - c x1 / ||x1||) / m1``: what is left of ``u2`` beside the direction of ``x1``. The same for ``x2``.

    Convention: as in torch, each norm is clamped for itself, and the gradient does not see the clamp: ``dm`` is that of
    the norm even where ``m = eps``, and 0 where the norm is 0.

    Raises
    ------
    RuntimeError
        If ``eps`` is negative, or the vectors hold integers.

    Examples
    --------
    >>> value, pullback = rules.cosine_similarity(np.array([[3.0, 4.0]]), np.array([[2.0, 0.0]]))
    >>> value
    array([0.6])
    >>> pullback(np.array([25.0]), (True, True))
    (array([[ 3.2, -2.4]]), array([[ 0., 10.]]))
    """
    if eps < 0:
        raise RuntimeError(f"eps must be non-negative, got: {eps}")
    if x1.dtype.kind != "f":
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {x1.dtype}")
    shape = common_shape(x1.shape, x2.shape)
    axes = reduce_axes(int(dim), len(shape))
    arrays = [np.broadcast_to(array, shape) for array in (x1, x2)]
    norms = [np.sqrt(np.asarray(np.add.reduce(array * array, axis=axes, keepdims=True))) for array in arrays]
    bounded = [np.maximum(length, eps) for length in norms]
    units = [array / length for array, length in zip(arrays, bounded, strict=True)]
    cosine = np.asarray(np.add.reduce(units[0] * units[1], axis=axes, keepdims=True))

    def cosine_similarity_pullback(incoming: Array, needs: Needs) -> Gradients:
        arriving = incoming.reshape(cosine.shape)
        gradients: list[Array | None] = []
        for place, source in enumerate((x1, x2)):
            if not needs[place]:
                gradients.append(None)
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                pull = np.where(norms[place] == 0, 0, cosine / norms[place])
                gradient = units[1 - place] - arrays[place] * pull
                gradient *= arriving / bounded[place]
            gradients.append(unbroadcast(gradient, source.shape))
        return tuple(gradients)

    return cosine.reshape([size for axis, size in enumerate(shape) if axis not in axes]), cosine_similarity_pullback


@contraction
def cdist(
    x1: Any, x2: Any, *, p: float = 2.0, compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary"
) -> tuple[Array, Pullback]:
    """Take the distance between every vector of one set and every vector of another.

    Shapes: ``x1 (..., P, M)`` and ``x2 (..., R, M)`` give ``(..., P, R)``; the leading axes broadcast.

    Forward: ``d_ij = ||x1_i - x2_j||_p``; ``p = 0`` counts the unequal components, ``p = inf`` takes the largest
    difference. The differences are made for a block of rows at a time, so that memory stays bounded.

    Backward: with ``s_ij`` the slope of the norm, ``dL/dx1_i = Σ_j g_ij s_ij`` and ``dL/dx2_j = -Σ_i g_ij s_ij``. The
    differences are made again, not saved.

    Convention: equal vectors have gradient 0; for ``p = inf`` each of several largest components gets the whole
    gradient (``norm`` shares it); for ``p < 1`` equal components get 0. All as torch. ``compute_mode`` is accepted and
    has no effect: torch expands ``||x||^2 - 2 x·y + ||y||^2`` for more than 25 vectors, which is faster and cancels.

    Raises
    ------
    RuntimeError
        If the shapes do not fit, ``p`` is negative, or the vectors hold integers.

    Examples
    --------
    >>> value, pullback = rules.cdist(np.array([[0.0, 0.0], [3.0, 0.0]]), np.array([[0.0, 4.0]]))
    >>> value
    array([[4.],
           [5.]])
    >>> pullback(np.array([[1.0], [10.0]]), (True, True))
    (array([[ 0., -1.],
           [ 6., -8.]]), array([[-6.,  9.]]))
    """
    if x1.ndim < 2 or x2.ndim < 2:
        which, ndim = ("X1", x1.ndim) if x1.ndim < 2 else ("X2", x2.ndim)
        raise RuntimeError(f"cdist only supports at least 2D tensors, {which} got: {ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    if x1.dtype.kind != "f":
        raise RuntimeError(f"cdist only supports floating-point dtypes, X1 got: {x1.dtype}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if compute_mode not in _MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    lead = common_shape(x1.shape[:-2], x2.shape[:-2])
    columns = x2[..., np.newaxis, :, :]
    value = np.empty((*lead, x1.shape[-2], x2.shape[-2]), x1.dtype)
    blocks = _blocks(x1.shape[-2], math.prod(lead) * x2.shape[-2] * x2.shape[-1])
    for rows in blocks:
        value[..., rows, :] = _length(x1[..., rows, np.newaxis, :] - columns, p)

    def cdist_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_x1 = np.empty((*lead, *x1.shape[-2:]), x1.dtype) if needs[0] else None
        to_x2 = np.zeros((*lead, *x2.shape[-2:]), x2.dtype) if needs[1] else None
        for rows in blocks:
            length, weight = value[..., rows, :], incoming[..., rows, :]
            slope = x1[..., rows, np.newaxis, :] - columns
            if p == 2:  # divided by the length as numbers, not as vectors
                weight = weight / np.where(length == 0, 1, length)
            else:
                slope = _slope(slope, length[..., np.newaxis], p)
            if to_x1 is not None:
                to_x1[..., rows, :] = (weight[..., np.newaxis, :] @ slope)[..., 0, :]
            if to_x2 is not None:
                to_x2 -= np.einsum("...ij,...ijm->...jm", weight, slope)
        return (
            None if to_x1 is None else unbroadcast(to_x1, x1.shape),
            None if to_x2 is None else unbroadcast(to_x2, x2.shape),
        )

    return value, cdist_pullback


_MODES = (None, "use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


def _blocks(rows: int, size: int) -> list[slice]:
    """Blocks of rows, of ``size`` numbers each, that hold no more than ``BLOCK`` numbers (or one row)."""
    height = max(1, BLOCK // max(size, 1))
    return [slice(start, min(start + height, rows)) for start in range(0, rows, height)]


def pdist(x: Any, *, p: float = 2.0) -> tuple[Array, Pullback]:
    """Take the distance between every two vectors of a set.

    Shapes: ``x (N, M)`` gives a vector of ``N (N - 1) / 2``: the part of the matrix ``cdist(x, x)`` above its diagonal,
    row by row.

    Forward: ``d = ||x_i - x_j||_p`` for ``i < j``. Backward: that of :func:`cdist`, with both sets the same: row ``i``
    gets what it got as the first and as the second of a pair.

    Raises
    ------
    RuntimeError
        If ``x`` is no matrix of floating numbers, or ``p`` is negative.

    Examples
    --------
    >>> value, pullback = rules.pdist(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
    >>> value
    array([5.    , 1.    , 4.2426])
    >>> pullback(np.array([5.0, 0.0, 0.0]), (True,))
    (array([[-3., -4.],
           [ 3.,  4.],
           [ 0.,  0.]]),)
    """
    if x.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {x.ndim}D")
    if x.dtype.kind != "f":
        raise RuntimeError(f"pdist only supports floating-point dtypes, got: {x.dtype}")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    square, between_pullback = cdist(x, x, p=p)
    pairs = np.triu_indices(len(x), 1)

    def pdist_pullback(incoming: Array, needs: Needs) -> Gradients:
        above = np.zeros(square.shape, x.dtype)
        above[pairs] = incoming
        as_first, as_second = between_pullback(above, (True, True))
        assert as_first is not None
        return (as_first + as_second,)

    return square[pairs], pdist_pullback


def _length(difference: Any, p: float) -> Any:
    """The p-norm along the last axis; that of no components is 0."""
    if p == 0:
        return np.count_nonzero(difference, axis=-1)
    if p == 2:
        return np.sqrt(np.einsum("...m,...m->...", difference, difference))
    size = np.abs(difference, out=difference)
    if p == 1:
        return np.add.reduce(size, axis=-1)
    if math.isinf(p):
        return np.maximum.reduce(size, axis=-1, initial=0)
    return np.add.reduce(size**p, axis=-1) ** (1 / p)


def _slope(difference: Any, length: Any, p: float) -> Any:
    """The slope of the p-norm, but for ``p = 2``."""
    if p == 0:
        return np.zeros_like(difference)
    if p == 1:
        return np.sign(difference)
    size = np.abs(difference)
    if math.isinf(p):
        return np.sign(difference) * (size == length)
    size /= np.where(length == 0, 1, length)
    if p < 1:
        np.copyto(size, 1, where=size == 0)  # a zero to a negative power; its sign makes it 0
    size **= p - 1
    return np.sign(difference) * size
