"""Pooling into a given number of windows, and pooling into windows that are laid at random.

All take ``x`` of shape ``(N, C, d1, ...)`` or ``(C, d1, ...)``, and ``output_size`` says how many windows there are
along each of the axes ``d1, ...``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback
from manual.rules.windows import Windows, adaptive, deposit, divisor, maxima, means

__all__ = ["adaptive_avg_pool", "adaptive_max_pool", "fractional_max_pool"]


def adaptive_avg_pool(x: Any, *, output_size: tuple[int, ...]) -> tuple[Array, Pullback]:
    """Take the mean of each of ``m`` windows that cover an axis of ``n`` elements.

    Shapes: ``x (N, C, d1, ...)`` or ``(C, d1, ...)``; the value has ``output_size`` in the place of ``d1, ...``.

    Forward: ``y_i = 1/k_i Σ_j x_j`` over ``floor(i n / m) <= j < ceil((i + 1) n / m)``, ``k_i`` of them; in several
    dimensions along each axis.

    Backward: each element gets ``g_i / k_i`` from every window that it is in, and these are again such windows: ``i``
    runs from ``floor(j m / n)`` to ``ceil((j + 1) m / n)``, because the condition that the intervals
    ``[i, i + 1) / m`` and ``[j, j + 1) / n`` meet is symmetric.

    Source: He et al. (2014), Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition.

    Convention: windows overlap by an element where ``m`` does not divide ``n``; with ``m > n`` elements are repeated.

    Raises
    ------
    RuntimeError
        If the shape or the sizes do not fit.

    Examples
    --------
    >>> value, pullback = rules.adaptive_avg_pool(np.array([[1.0, 3.0, 2.0]]), output_size=(2,))
    >>> value
    array([[2. , 2.5]])
    >>> pullback(np.array([[4.0, 8.0]]), (True,))
    (array([[2., 6., 4.]]),)
    """
    windows = _adaptive("avg", x, output_size)
    if 0 in output_size:
        return _nothing(x, output_size, False)
    return means(x, windows, divisor(windows))


def adaptive_max_pool(x: Any, *, output_size: tuple[int, ...], return_indices: bool = False) -> tuple[Any, Pullback]:
    """Take the maximum of each of ``m`` windows that cover an axis of ``n`` elements.

    Shapes: as :func:`adaptive_avg_pool`; with ``return_indices`` a second output has the int64 index of each maximum,
    counted in rows of the axes ``d1, ...`` of ``x``.

    Forward: ``y_i = max_j x_j`` over the windows of :func:`adaptive_avg_pool`. Backward: the place of the maximum gets
    the gradient, the sum of them where it wins several windows.

    Convention: a tie is won by the first in the order of rows; where there are NaN, the last of them is the maximum.

    Raises
    ------
    RuntimeError
        If the input has other axes, or an axis of no length.

    Examples
    --------
    >>> value, pullback = rules.adaptive_max_pool(np.array([[1.0, 3.0, 2.0]]), output_size=(2,))
    >>> value
    array([[3., 3.]])
    >>> pullback(np.array([[4.0, 8.0]]), (True,))
    (array([[ 0., 12.,  0.]]),)
    """
    windows = _adaptive("max", x, output_size)
    if 0 in output_size:
        return _nothing(x, output_size, return_indices)
    return maxima(x, windows, return_indices)


def _adaptive(kind: str, x: Array, output_size: tuple[int, ...]) -> tuple[Windows, ...]:
    dimensions = len(output_size)
    name = f"adaptive_{kind}_pool{dimensions}d"
    if x.ndim not in (dimensions + 1, dimensions + 2):
        raise RuntimeError(f"{name}(): Expected {dimensions + 1}D or {dimensions + 2}D tensor, but got {list(x.shape)}")
    for axis in range(x.ndim - dimensions - (kind == "max" and x.ndim == dimensions + 2), x.ndim):
        if not x.shape[axis]:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                f"{list(x.shape)} with dimension {axis} being empty"
            )
    if min(output_size) < 0:
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received "
            f"{{{', '.join(map(str, output_size))}}}"
        )
    if x.dtype.kind != "f":
        raise NotImplementedError(f'"{name}" not implemented for {x.dtype}')
    return tuple(
        adaptive(int(length), int(count)) for length, count in zip(x.shape[-dimensions:], output_size, strict=True)
    )


def _nothing(x: Array, output_size: tuple[int, ...], return_indices: bool) -> tuple[Any, Pullback]:
    shape = (*x.shape[: -len(output_size)], *output_size)
    value = np.zeros(shape, x.dtype)

    def nothing_pullback(incoming: Any, needs: Needs) -> Gradients:
        return (np.zeros_like(x),)

    return ((value, np.zeros(shape, np.int64)) if return_indices else value), nothing_pullback


def fractional_max_pool(
    x: Any,
    *,
    kernel_size: tuple[int, ...],
    output_size: tuple[int, ...],
    random_samples: Array,
    return_indices: bool = False,
) -> tuple[Any, Pullback]:
    """Take the maximum of windows that lie at pseudorandom distances, so that sizes shrink by less than half.

    Shapes: ``x (N, C, d1, ...)`` or ``(C, d1, ...)``; ``random_samples (N or more, C, axes)``, numbers between 0 and 1;
    the value has ``output_size`` in the place of ``d1, ...``; indices as in :func:`adaptive_max_pool`.

    Forward: with ``u`` the sample of an axis of ``n`` elements, ``m`` windows of ``k`` taps, and
    ``a = (n - k) / (m - 1)``, window ``i`` begins at ``floor((i + u) a) - floor(u a)``, the last at ``n - k``. Its
    maximum is taken.

    Backward: the place of the maximum gets the gradient, the sum of them where it wins several windows.

    Source: Graham (2014), Fractional Max-Pooling, section 2 (the pseudorandom, overlapping kind).

    Convention: in two dimensions the first sample is that of the last axis, in three the samples are in the order of
    the axes. Positions are computed in the dtype of ``x``. Ties are won by the first, NaN by the last. All as torch.

    Raises
    ------
    RuntimeError
        If the shape, the sizes or the samples do not fit.

    Examples
    --------
    >>> image, places = np.array([[[1.0, 3.0, 2.0], [0.0, 5.0, 4.0]]]), np.array([[[0.0, 0.9]]])
    >>> options = {"kernel_size": (1, 1), "output_size": (1, 2), "random_samples": places}
    >>> value, pullback = rules.fractional_max_pool(image, **options)
    >>> value
    array([[[0., 4.]]])
    >>> pullback(np.array([[[5.0, 7.0]]]), (True,))
    (array([[[0., 0., 0.],
            [5., 0., 7.]]]),)
    """
    dimensions = len(kernel_size)
    _check_fractional(x, kernel_size, output_size, random_samples)
    if 0 in output_size:
        return _nothing(x, output_size, return_indices)
    shape = x.shape
    axes = shape[-dimensions:]
    batch = shape[0] if x.ndim == dimensions + 2 else 1
    planes = math.prod(shape[:-dimensions])
    samples = random_samples[:batch].reshape(planes, dimensions).astype(x.dtype, copy=False)
    if dimensions == 2:
        samples = samples[:, ::-1]
    corner: Any = (np.arange(planes) * math.prod(axes)).reshape(-1, *(1,) * dimensions)
    taps = np.zeros(1, np.int64)
    for axis, (length, reach, count) in enumerate(zip(axes, kernel_size, output_size, strict=True)):
        stride = math.prod(axes[axis + 1 :])
        starts = _fractional_starts(samples[:, axis], length, reach, count)
        corner = corner + starts.reshape(planes, *(1,) * axis, count, *(1,) * (dimensions - axis - 1)) * stride
        taps = (taps[:, None] + np.arange(reach) * stride).reshape(-1)
    elements = x.reshape(-1)
    value = elements[corner + taps[0]]
    winner = np.zeros(value.shape, np.intp)
    for number, tap in enumerate(taps[1:], 1):
        part = elements[corner + tap]
        better = part > value
        better |= part != part
        np.maximum(winner, better * number, out=winner)  # the numbers rise, so the last that is better stays
        np.maximum(value, part, out=value)
    places = np.take(taps, winner)
    places += corner
    places -= (np.arange(planes) * math.prod(axes)).reshape(-1, *(1,) * dimensions)
    value_shape = (*shape[:-dimensions], *output_size)
    indices = places.reshape(value_shape)
    value = value.reshape(value_shape)

    def fractional_max_pool_pullback(incoming: Any, needs: Needs) -> Gradients:
        return (deposit(incoming[0] if return_indices else incoming, indices, shape, dimensions),)

    return ((value, indices) if return_indices else value), fractional_max_pool_pullback


def _fractional_starts(samples: Array, length: int, reach: int, count: int) -> Array:
    """Where the windows of each plane begin, ``(planes, count)``."""
    starts = np.full((len(samples), count), length - reach, np.int64)
    if count > 1:
        kind = samples.dtype.type
        ratio = kind(length - reach) / kind(count - 1)
        steps = np.arange(count - 1, dtype=samples.dtype)
        ahead = (steps + samples[:, None]) * ratio
        starts[:, :-1] = ahead.astype(np.int64) - (samples * ratio).astype(np.int64)[:, None]
    return starts


def _check_fractional(x: Array, kernel_size: tuple[int, ...], output_size: tuple[int, ...], samples: Array) -> None:
    dimensions = len(kernel_size)
    name = f"fractional_max_pool{dimensions}d"
    if x.ndim not in (dimensions + 1, dimensions + 2):
        raise RuntimeError(f"{name}(): Expected {dimensions + 1}D or {dimensions + 2}D tensor, but got {list(x.shape)}")
    if x.dtype.kind != "f":
        raise NotImplementedError(f'"{name}" not implemented for {x.dtype}')
    batched = x.ndim == dimensions + 2
    if 0 in x.shape[batched:]:
        raise RuntimeError(
            f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got {list(x.shape)}"
        )
    words = ("time", "height", "width")[-dimensions:]
    for word, length, reach, count in zip(words, x.shape[-dimensions:], kernel_size, output_size, strict=True):
        if reach < 1:
            raise RuntimeError(f"{name}(): kernel_size must be greater than zero, but got {reach}")
        # In three dimensions torch asks for one element more than is needed.
        if count + reach - 1 > length or (dimensions == 3 and count + reach - 1 == length):
            raise RuntimeError(f"{name}(): pool {word} {reach} too large relative to input {word} {length}")
    if samples.ndim != 3:
        raise RuntimeError(f"Expect _random_samples to have 3 dimensions, got {samples.ndim}")
    if samples.shape[0] < (x.shape[0] if batched else 1):
        raise RuntimeError("Expect _random_samples.size(0) no less then input batch size.")
    if samples.shape[1] != x.shape[-dimensions - 1]:
        raise RuntimeError("Expect _random_samples.size(1) equals to input channel size.")
    if samples.shape[2] != dimensions:
        raise RuntimeError(f"Expect _random_samples.size(2) equals to {dimensions}; got {samples.shape[2]}.")
