"""Pooling with windows of one size: the maximum, the mean, or the p-norm of what each window sees.

All take ``x`` of shape ``(N, C, d1, ...)`` or ``(C, d1, ...)`` and as many lengths in ``kernel_size``, ``stride``,
``padding`` and ``dilation`` as there are pooled axes ``d1, ...``. The value has
``floor((d + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1`` windows along an axis; ``ceil_mode`` rounds up
instead, so that a last window may stick out at the end, but not one that would begin in the padding there.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback
from manual.rules.power import pow
from manual.rules.windows import Windows, divisor, maxima, means, sliding, spread, sums

__all__ = ["avg_pool", "lp_pool", "max_pool"]

Lengths = tuple[int, ...]


def max_pool(
    x: Any,
    *,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    padding: Lengths | None = None,
    dilation: Lengths | None = None,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Any, Pullback]:
    """Take the maximum of each window.

    Shapes: see the module. With ``return_indices`` a second output holds the int64 index of each maximum, counted in
    rows of the axes ``d1, ...`` of ``x``.

    Forward: ``y_i = max_t x_(i stride - padding + t dilation)`` over the taps ``t`` of the kernel that fall inside.

    Backward: ``dy_i = dx_j`` with ``j`` the place of the maximum, so element ``j`` gets the sum of the gradients of all
    windows that it wins.

    Source: Scherer, Müller and Behnke (2010), Evaluation of Pooling Operations in Convolutional Architectures.

    Convention: padding never wins (it counts as minus infinity). A tie is won by the first in the order of rows. Where
    there are NaN the last of them is the maximum. All as torch. A dilated window that steps over a short axis, from
    padding to padding, is refused: torch gives minus infinity, and its gradient to a place outside.

    Raises
    ------
    RuntimeError
        If the shape or the lengths do not fit.
    NotImplementedError
        For booleans, and in one dimension for integers.

    Examples
    --------
    >>> value, pullback = rules.max_pool(np.array([[1.0, 3.0, 2.0, 0.0]]), kernel_size=(2,))
    >>> value
    array([[3., 2.]])
    >>> pullback(np.array([[5.0, 7.0]]), (True,))
    (array([[0., 5., 7., 0.]]),)
    """
    dimensions = len(kernel_size)
    name = f"max_pool{dimensions}d"
    if x.dtype.kind == "b" or (dimensions == 1 and x.dtype.kind != "f"):
        raise NotImplementedError(f'"{name}" not implemented for {x.dtype}')
    windows = _windows(name, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    return maxima(x, windows, return_indices)


def avg_pool(
    x: Any,
    *,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    padding: Lengths | None = None,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Array, Pullback]:
    """Take the mean of each window.

    Shapes: see the module.

    Forward: ``y_i = 1/k_i Σ_t x_(i stride - padding + t)`` over the taps ``t`` that fall inside.

    Backward: ``dy_i = 1/k_i Σ_t dx_(..)``, so each element gets ``g_i / k_i`` from every window ``i`` that it is in.
    The sum over a window is a sum of sums along each axis, and so is its transpose.

    Source: LeCun et al. (1998), Gradient-Based Learning Applied to Document Recognition, section II.A (subsampling).

    Convention: ``k_i`` counts padding (of zeros) unless ``count_include_pad`` is false, but never what ``ceil_mode``
    lets stick out beyond the padding; ``divisor_override`` takes its place. Integers are rounded toward zero. As torch.

    Raises
    ------
    RuntimeError
        If the shape or the lengths do not fit.
    NotImplementedError
        For integers other than int64.

    Examples
    --------
    >>> value, pullback = rules.avg_pool(np.array([[1.0, 3.0, 2.0, 0.0]]), kernel_size=(2,))
    >>> value
    array([[2., 1.]])
    >>> pullback(np.array([[4.0, 8.0]]), (True,))
    (array([[2., 2., 4., 4.]]),)
    """
    name = f"avg_pool{len(kernel_size)}d"
    if x.dtype.kind != "f" and x.dtype != np.int64:
        raise NotImplementedError(f'"{name}" not implemented for {x.dtype}')
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    windows = _windows(name, x.shape, kernel_size, stride, padding, None, ceil_mode)
    _check_room(x, kernel_size)
    if divisor_override is not None:
        return means(x, windows, divisor_override)
    return means(x, windows, divisor(windows, padding if count_include_pad else None))


def lp_pool(
    x: Any,
    *,
    norm_type: float,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    ceil_mode: bool = False,
) -> tuple[Array, Pullback]:
    """Take the p-norm of each window, without the absolute values.

    Shapes: see the module; there is no padding.

    Forward: ``S_i = Σ_t x_(i stride + t)^p``, ``y_i = S_i^(1/p)``. For ``p = inf`` the largest magnitude, for ``-inf``
    the smallest.

    Backward: ``p y^(p-1) dy = dS = Σ_t p x_t^(p-1) dx_t``, so ``dy = Σ_t y^(1-p) x_t^(p-1) dx_t``, for ``p = 2`` the
    familiar ``x_t / y``. An element adds up what it gets from all windows that it is in.

    Source: Sermanet, Chintala and LeCun (2012), Convolutional Neural Networks Applied to House Numbers.

    Convention: ``x^p`` keeps the sign that it has (negative for odd ``p``, NaN for a negative ``x`` and fractional
    ``p``), so ``y`` is no norm there. Where ``S = 0`` the slope of the root is taken as 0. A window that ``ceil_mode``
    lets stick out is scaled up as if it were full. All as torch.

    Raises
    ------
    RuntimeError
        If the shape or the lengths do not fit.
    NotImplementedError
        For integers.

    Examples
    --------
    >>> value, pullback = rules.lp_pool(np.array([[3.0, 4.0, 0.0, 0.0]]), norm_type=2, kernel_size=(2,))
    >>> value
    array([[5., 0.]])
    >>> pullback(np.array([[5.0, 0.0]]), (True,))
    (array([[3., 4., 0., 0.]]),)
    """
    name = f"lp_pool{len(kernel_size)}d"
    if x.dtype.kind != "f":
        raise NotImplementedError(f'"{name}" not implemented for {x.dtype}')
    windows = _windows(name, x.shape, kernel_size, stride, None, None, ceil_mode)
    if math.isinf(norm_type):
        return _extreme_magnitude(x, windows, norm_type)
    _check_room(x, kernel_size)
    scale = math.prod(kernel_size) / divisor(windows)
    if isinstance(scale, np.ndarray):
        scale = scale.astype(x.dtype)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        powers, to_x = pow(x, norm_type)
        total = sums(powers, windows) * scale
        y, to_total = pow(total, 1 / norm_type)

    def lp_pool_pullback(incoming: Array, needs: Needs) -> Gradients:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share, _ = to_total(incoming, (True, False))
            share = np.where(total == 0, 0, share)
            share *= scale
            return to_x(spread(share, windows), (True, False))[:1]

    return y, lp_pool_pullback


def _extreme_magnitude(x: Array, windows: tuple[Windows, ...], norm_type: float) -> tuple[Array, Pullback]:
    sign = 1 if norm_type > 0 else -1
    extreme, inner = maxima(np.abs(x) * sign, windows, False)

    def extreme_magnitude_pullback(incoming: Array, needs: Needs) -> Gradients:
        (gradient,) = inner(incoming, needs)
        assert gradient is not None
        gradient *= np.sign(x)
        return (gradient,)

    return extreme * sign, extreme_magnitude_pullback


# -- windows -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _windows(
    name: str,
    shape: tuple[int, ...],
    kernel_size: Lengths,
    stride: Lengths | None,
    padding: Lengths | None,
    dilation: Lengths | None,
    ceil_mode: bool,
) -> tuple[Windows, ...]:
    """The windows along each axis, every length checked as torch checks it."""
    dimensions = len(kernel_size)
    stride = stride or kernel_size
    padding = padding or (0,) * dimensions
    dilation = dilation or (1,) * dimensions
    if len(shape) not in (dimensions + 1, dimensions + 2) or 0 in shape[1 if len(shape) == dimensions + 2 else 0 :]:
        prefix = f"{name}: " if dimensions == 1 else ""
        raise RuntimeError(
            f"{prefix}Expected {dimensions + 1}D or {dimensions + 2}D (batch mode) tensor with optional 0 dim batch "
            f"size for input, but got:{list(shape)}"
        )
    for what, lengths, axes in (
        ("kernel size", kernel_size, "k"),
        ("stride", stride, "d"),
        ("dilation", dilation, "dilation"),
    ):
        if min(lengths) <= 0:
            shown = " ".join(f"{axes}{axis}: {value}" for axis, value in zip("THW"[-dimensions:], lengths, strict=True))
            raise RuntimeError(f"{what} should be greater than zero, but got {shown}")
    for reach, pad, step in zip(kernel_size, padding, dilation, strict=True):
        if pad < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {pad}")
        if pad > ((reach - 1) * step + 1) // 2 or pad > reach // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={pad}, kernel_size={reach} "
                f"and dilation={step}"
            )
    lengths = shape[-dimensions:]
    found = [
        sliding(int(length), int(reach), int(step_on), int(pad), int(step), bool(ceil_mode))
        for length, reach, step_on, pad, step in zip(lengths, kernel_size, stride, padding, dilation, strict=True)
    ]
    if None in found:
        sizes = "x".join(str(0 if along is None else along.count) for along in found)
        given = "x".join(map(str, shape[-dimensions - 1 :]))
        raise RuntimeError(
            f"Given input size: ({given}). Calculated output size: ({shape[-dimensions - 1]}x{sizes}). "
            "Output size is too small"
        )
    for along, step in zip(found, dilation, strict=True):
        if along is not None and not along.sizes.all():  # torch returns -inf, and an index that is none
            raise RuntimeError(f"{name}: with dilation {step} a window has no element of {along.length}, only padding")
    return tuple(along for along in found if along is not None)


def _check_room(x: Array, kernel_size: Lengths) -> None:
    """Refuse a kernel that has room only with the padding: torch's mean does, in three dimensions alone."""
    lengths = x.shape[-len(kernel_size) :]
    if len(kernel_size) == 3 and any(length < reach for length, reach in zip(lengths, kernel_size, strict=True)):
        image = " ".join(f"{axis}: {length}" for axis, length in zip("THW", lengths, strict=True))
        kernel = " ".join(f"k{axis}: {reach}" for axis, reach in zip("THW", kernel_size, strict=True))
        raise RuntimeError(f"input image ({image}) smaller than kernel size ({kernel})")
