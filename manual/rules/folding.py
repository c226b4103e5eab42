"""Windows over the last axes of an array: cutting them out, adding them up again, and shuffling pixels and channels.

A window of ``kernel`` taps lies at every ``stride``-th place of an axis that ``padding`` zeros precede, its taps
``dilation`` apart: tap ``k`` of window ``i`` sees element ``s i + d k - p``. Cutting windows out is a linear map that
copies elements, so its transpose adds up what lies over each element; several axes are several such maps, one after
the other. Convolution (``manual.rules.convolution``) is windows and one product of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from manual.rules.core import Array, Gradients, Needs, Pullback

__all__ = ["channel_shuffle", "fold", "pixel_shuffle", "pixel_unshuffle", "unfold"]


class Frame(NamedTuple):
    """How windows lie over the last axes of an array; one number per axis in each field."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    counts: tuple[int, ...]


def windows(x: Array, frame: Frame) -> Array:
    """Show every window: ``(..., *sizes)`` gives a view ``(..., *kernel, *counts)``, not to be written to.

    Forward: ``y[.., k, .., i, ..] = x[.., s i + d k - p, ..]``, and 0 where that lies outside.
    """
    n = len(frame.kernel)
    x = _padded(x, frame)
    lead, steps = x.ndim - n, x.strides[x.ndim - n :]
    return as_strided(
        x,
        (*x.shape[:lead], *frame.kernel, *frame.counts),
        (
            *x.strides[:lead],
            *(step * apart for step, apart in zip(steps, frame.dilation, strict=True)),
            *(step * apart for step, apart in zip(steps, frame.stride, strict=True)),
        ),
        writeable=False,
    )


def _padded(x: Array, frame: Frame) -> Array:
    """Put zeros before and behind, up to the last element that a window sees; ``x`` itself where none is missing."""
    lead = x.ndim - len(frame.kernel)
    reach: list[int] = []
    inside: list[Any] = [...]
    put: list[Any] = [...]
    for size, kernel, stride, padding, dilation, count in zip(x.shape[lead:], *frame, strict=True):
        seen = stride * (count - 1) + dilation * (kernel - 1) + 1
        taken = max(0, min(size, seen - padding))
        reach.append(seen)
        inside.append(slice(0, taken))
        put.append(slice(padding, padding + taken))
    if not any(frame.padding) and all(size >= seen for size, seen in zip(x.shape[lead:], reach, strict=True)):
        return x
    padded = np.zeros((*x.shape[:lead], *reach), x.dtype)
    padded[tuple(put)] = x[tuple(inside)]
    return padded


def overlap_add(columns: Array, frame: Frame, sizes: Sequence[int]) -> Array:
    """Add windows up where they came from, the transpose of :func:`windows`: ``(..., *kernel, *counts)`` gives
    ``(..., *sizes)``.

    Forward: ``x[.., j, ..] = Σ y[.., k, .., i, ..]`` over all taps and windows with ``s i + d k - p = j``. One axis is
    added up after the other, so that the taps of an axis, not those of the whole window, are gone through one by one.
    """
    n = len(sizes)
    lead = columns.ndim - 2 * n
    for axis in reversed(range(n)):
        columns = _add_up(
            columns,
            lead + axis,
            lead + 2 * axis + 1,
            frame.stride[axis],
            frame.padding[axis],
            frame.dilation[axis],
            sizes[axis],
        )
    return columns


def _add_up(columns: Array, taps: int, places: int, stride: int, padding: int, dilation: int, size: int) -> Array:
    """Add up the windows of one axis: axis ``taps`` goes, axis ``places`` becomes ``size`` long."""
    shape = list(columns.shape)
    kernel, count = shape[taps], shape[places]
    before: tuple[Any, ...] = (slice(None),) * taps
    between: tuple[Any, ...] = (slice(None),) * (places - taps - 1)
    if kernel == 1 and stride == 1 and padding == 0 and count == size:
        return columns[(*before, 0)]
    shape[places] = size
    del shape[taps]
    total = np.zeros(shape, columns.dtype)
    for tap in range(kernel):
        offset = dilation * tap - padding
        first = max(0, -(offset // stride))
        behind = min(count, (size - 1 - offset) // stride + 1)
        if first < behind:
            hit = slice(offset + stride * first, offset + stride * (behind - 1) + 1, stride)
            total[(*before, *between, hit)] += columns[(*before, tap, *between, slice(first, behind))]
    return total


def count_windows(size: int, kernel: int, stride: int, around: int, dilation: int) -> int:
    """How many windows fit on an axis with ``around`` zeros in all at its ends."""
    return (size + around - dilation * (kernel - 1) - 1) // stride + 1


def unfold(
    input: Any, *, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> tuple[Array, Pullback]:
    """Lay every window of images out as a column (*im2col*).

    Shapes: ``input (N, C, H, W)`` or ``(C, H, W)``; the value ``(N, C kh kw, L)`` or without ``N``, with ``L`` windows
    in the order of rows.

    Forward: ``y[n, (c, k, l), (i, j)] = x[n, c, s i + d k - p, s j + d l - p]``, 0 outside of the image.

    Backward: an element acts through every window that it lies in, so the gradients of its copies add up:
    :func:`fold` of the incoming gradient.

    Raises
    ------
    RuntimeError
        If the input has other axes, or there is no room for a window.

    Examples
    --------
    >>> value, pullback = rules.unfold(np.array([[[1.0, 2.0, 3.0]]]), kernel_size=(1, 2))
    >>> value
    array([[1., 2.],
           [2., 3.]])
    >>> pullback(np.array([[1.0, 2.0], [10.0, 20.0]]), (True,))
    (array([[[ 1., 12., 20.]]]),)
    """
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {list(input.shape)}"
        )
    shape, sizes = input.shape, input.shape[-2:]
    frame = _frame_of_images(sizes, kernel_size, stride, padding, dilation)
    if min(frame.counts) < 1:
        raise RuntimeError(
            f"Given input with spatial size {sizes}, kernel_size={frame.kernel}, dilation={frame.dilation}, "
            f"padding={frame.padding}, calculated shape of the array of sliding blocks as {frame.counts}, but its "
            "components must be at least one."
        )
    value = windows(input, frame).copy()
    columns, channels = value.shape, shape[-3] * math.prod(frame.kernel)

    def unfold_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (overlap_add(incoming.reshape(columns), frame, sizes),)

    return value.reshape(*shape[:-3], channels, math.prod(frame.counts)), unfold_pullback


def fold(
    input: Any, *, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> tuple[Array, Pullback]:
    """Add columns up to images, each where its window lies (*col2im*).

    Shapes: ``input (N, C kh kw, L)`` or ``(C kh kw, L)``; the value ``(N, C, H, W)`` or ``(C, H, W)`` with
    ``output_size = (H, W)``, over which ``L`` windows lie.

    Forward: ``y[n, c, u, v] = Σ x[n, (c, k, l), (i, j)]`` over ``s i + d k - p = u`` and ``s j + d l - p = v``. Windows
    that overlap add up: ``fold(unfold(x))`` is ``x`` times the number of windows that an element lies in.

    Backward: every element of a column goes to one place, whose gradient it gets: :func:`unfold` of the incoming
    gradient.

    Raises
    ------
    RuntimeError
        If the rows are no multiple of the kernel's size, or there is another number of windows.

    Examples
    --------
    >>> value, pullback = rules.fold(np.array([[1.0, 2.0], [10.0, 20.0]]), output_size=(1, 3), kernel_size=(1, 2))
    >>> value
    array([[[ 1., 12., 20.]]])
    >>> pullback(np.array([[[3.0, 5.0, 7.0]]]), (True,))
    (array([[3., 5.],
           [5., 7.]]),)
    """
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            f"input, but got: {list(input.shape)}"
        )
    sizes = _two(output_size, "output_size")
    frame = _frame_of_images(sizes, kernel_size, stride, padding, dilation)
    shape = input.shape
    area = math.prod(frame.kernel)
    if shape[-2] % area:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={shape[-2]} and kernel_size={frame.kernel}."
        )
    rows, columns = frame.counts
    if min(frame.counts) < 1 or shape[-1] != rows * columns:
        raise RuntimeError(
            f"Given output_size={sizes}, kernel_size={frame.kernel}, dilation={frame.dilation}, "
            f"padding={frame.padding}, stride={frame.stride}, expected size of input's dimension 2 to match the "
            f"calculated number of sliding blocks {rows} * {columns} = {rows * columns}, but got "
            f"input.size(2)={shape[-1]}."
        )
    apart = input.reshape(*shape[:-2], shape[-2] // area, *frame.kernel, *frame.counts)

    def fold_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (windows(incoming, frame).copy().reshape(shape),)

    value = overlap_add(apart, frame, sizes)
    return value, fold_pullback


def _frame_of_images(sizes: Sequence[int], kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Frame:
    kernel, stride = _two(kernel_size, "kernel_size"), _two(stride, "stride")
    padding, dilation = _two(padding, "padding"), _two(dilation, "dilation")
    for values, name, symbol in (
        (kernel, "kernel size", "kernel"),
        (stride, "stride", "stride"),
        (dilation, "dilation", "dilation"),
    ):
        if min(values) < 1:
            raise RuntimeError(
                f"{name} should be greater than zero, but got {symbol}_height: {values[0]} {symbol}_width: {values[1]}"
            )
    if min(padding) < 0:
        raise RuntimeError(f"padding should be non-negative, but got pad_height: {padding[0]} pad_width: {padding[1]}")
    counts = tuple(
        count_windows(size, k, s, 2 * p, d)
        for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)
    )
    return Frame(kernel, stride, padding, dilation, counts)


def _two(value: Any, name: str) -> tuple[int, int]:
    if isinstance(value, (int, np.integer)):
        return int(value), int(value)
    if len(value) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(value)}")
    return int(value[0]), int(value[1])


# -- shuffles ----------------------------------------------------------------------------------------------------------


def pixel_shuffle(input: Any, *, upscale_factor: int) -> tuple[Array, Pullback]:
    """Trade channels for resolution: ``r²`` channels become squares of ``r x r`` pixels.

    Shapes: ``(..., C r², H, W)`` gives ``(..., C, H r, W r)``.

    Forward: ``y[c, r i + a, r j + b] = x[(c, a, b), i, j]``. Backward: a permutation of the elements, which
    :func:`pixel_unshuffle` undoes.

    Source: Shi et al. (2016), Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network, section 2.2.

    Raises
    ------
    RuntimeError
        If the input has fewer than three axes, or its channels are no multiple of the square of the factor.

    Examples
    --------
    >>> value, pullback = rules.pixel_shuffle(np.array([[[1.0]], [[2.0]], [[3.0]], [[4.0]]]), upscale_factor=2)
    >>> value
    array([[[1., 2.],
            [3., 4.]]])
    >>> pullback(np.array([[[5.0, 6.0], [7.0, 8.0]]]), (True,))[0].ravel()
    array([5., 6., 7., 8.])
    """
    r = int(upscale_factor)
    _check_image(input, "pixel_shuffle")
    if r < 1:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    if input.shape[-3] % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={input.shape[-3]} is not divisible by {r * r}"
        )

    def pixel_shuffle_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (_gathered(incoming, r),)

    return _spread(input, r), pixel_shuffle_pullback


def pixel_unshuffle(input: Any, *, downscale_factor: int) -> tuple[Array, Pullback]:
    """Trade resolution for channels: squares of ``r x r`` pixels become ``r²`` channels.

    Shapes: ``(..., C, H r, W r)`` gives ``(..., C r², H, W)``.

    Forward: ``y[(c, a, b), i, j] = x[c, r i + a, r j + b]``. Backward: a permutation of the elements, which
    :func:`pixel_shuffle` undoes.

    Raises
    ------
    RuntimeError
        If the input has fewer than three axes, or a length is no multiple of the factor.

    Examples
    --------
    >>> value, pullback = rules.pixel_unshuffle(np.array([[[1.0, 2.0], [3.0, 4.0]]]), downscale_factor=2)
    >>> value.ravel()
    array([1., 2., 3., 4.])
    >>> pullback(np.array([[[5.0]], [[6.0]], [[7.0]], [[8.0]]]), (True,))
    (array([[[5., 6.],
            [7., 8.]]]),)
    """
    r = int(downscale_factor)
    _check_image(input, "pixel_unshuffle")
    if r < 1:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    for axis, name in ((-2, "height"), (-1, "width")):
        if input.shape[axis] % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but "
                f"input.size({axis})={input.shape[axis]} is not divisible by {r}"
            )

    def pixel_unshuffle_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (_spread(incoming, r),)

    return _gathered(input, r), pixel_unshuffle_pullback


def _spread(x: Array, r: int) -> Array:
    *lead, channels, height, width = x.shape
    n = len(lead)
    split = x.reshape(*lead, channels // (r * r), r, r, height, width)
    turned = split.transpose(*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return turned.reshape(*lead, channels // (r * r), height * r, width * r)


def _gathered(x: Array, r: int) -> Array:
    *lead, channels, height, width = x.shape
    n = len(lead)
    split = x.reshape(*lead, channels, height // r, r, width // r, r)
    turned = split.transpose(*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return turned.reshape(*lead, channels * r * r, height // r, width // r)


def _check_image(x: Array, name: str) -> None:
    if x.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {x.ndim} dimension(s)"
        )


def channel_shuffle(input: Any, *, groups: int) -> tuple[Array, Pullback]:
    """Deal the channels of each group out to all groups, as a pack of cards is dealt.

    Shapes: ``input`` and the value ``(N, C, d1, ...)``; ``groups`` divides ``C``.

    Forward: with ``C = G K``, ``y[n, (k, g)] = x[n, (g, k)]``: a matrix of groups by channels, transposed.
    Backward: the transposition undone, which is the shuffle with ``K`` groups.

    Source: Zhang et al. (2018), ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices,
    section 3.1.

    Raises
    ------
    RuntimeError
        If the input has fewer than three axes, or its channels are no multiple of ``groups``.

    Examples
    --------
    >>> value, pullback = rules.channel_shuffle(np.array([[[1.0], [2.0], [3.0], [4.0]]]), groups=2)
    >>> value.ravel()
    array([1., 3., 2., 4.])
    >>> pullback(np.array([[[5.0], [6.0], [7.0], [8.0]]]), (True,))[0].ravel()
    array([5., 7., 6., 8.])
    """
    groups = int(groups)
    if input.ndim < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    if groups < 1:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    channels = input.shape[1]
    if channels % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups."
        )

    def channel_shuffle_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (_dealt(incoming, channels // groups),) if channels else (incoming,)

    return _dealt(input, groups), channel_shuffle_pullback


def _dealt(x: Array, groups: int) -> Array:
    each = x.shape[1] // groups
    return x.reshape(x.shape[0], groups, each, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)
