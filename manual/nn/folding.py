"""Windows as columns, and shuffles of pixels and channels. The derivations are in :mod:`manual.rules.folding`."""

from __future__ import annotations

from typing import Any

from manual import rules
from manual.nn.module import Module
from manual.tensor import Tensor, apply

__all__ = ["ChannelShuffle", "Fold", "PixelShuffle", "PixelUnshuffle", "Unfold"]


class Unfold(Module):
    """Lays every window of images out as a column, ``(N, C, H, W)`` to ``(N, C kh kw, L)``.

    Shapes: ``C`` may have no batch before it, ``(C, H, W)`` to ``(C kh kw, L)``; ``L`` is the number of windows.

    Raises
    ------
    RuntimeError
        When it is called, if the input has other axes, or there is no room for a window.

    Examples
    --------
    >>> x = tensor([[[1.0, 2.0, 3.0]]], requires_grad=True)
    >>> y = nn.Unfold((1, 2))(x)
    >>> y
    Tensor([[1., 2.],
            [2., 3.]], requires_grad=True)
    >>> y.backward(tensor([[1.0, 2.0], [10.0, 20.0]]))
    >>> x.grad
    array([[[ 1., 12., 20.]]], dtype=float32)
    """

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1):
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = apply(
            rules.unfold,
            input,
            kernel_size=self.kernel_size,
            dilation=self.dilation,
            padding=self.padding,
            stride=self.stride,
        )
        return result

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """Adds columns up to images, ``(N, C kh kw, L)`` to ``(N, C, H, W)``: the transpose of :class:`Unfold`.

    Shapes: also without a batch, ``(C kh kw, L)`` to ``(C, H, W)``; ``L`` is the number of windows.

    Raises
    ------
    RuntimeError
        When it is called, if the rows are no multiple of the kernel's size, or ``L`` is another number.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0], [10.0, 20.0]], requires_grad=True)
    >>> y = nn.Fold((1, 3), (1, 2))(x)
    >>> y
    Tensor([[[ 1., 12., 20.]]], requires_grad=True)
    >>> y.backward(tensor([[[3.0, 5.0, 7.0]]]))
    >>> x.grad
    array([[3., 5.],
           [5., 7.]], dtype=float32)
    """

    def __init__(self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1):
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = apply(
            rules.fold,
            input,
            output_size=self.output_size,
            kernel_size=self.kernel_size,
            dilation=self.dilation,
            padding=self.padding,
            stride=self.stride,
        )
        return result

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )


class PixelShuffle(Module):
    """Trades channels for resolution, ``(*, C r^2, H, W)`` to ``(*, C, H r, W r)``.

    Shapes: as said, with ``r = upscale_factor``.

    Raises
    ------
    RuntimeError
        When it is called, if the input has fewer than three axes, or its channels are no multiple of ``r^2``.

    Examples
    --------
    >>> nn.PixelShuffle(2)(tensor([[[1.0]], [[2.0]], [[3.0]], [[4.0]]]))
    Tensor([[[1., 2.],
             [3., 4.]]])
    """

    def __init__(self, upscale_factor: int):
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = apply(rules.pixel_shuffle, input, upscale_factor=self.upscale_factor)
        return result

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Trades resolution for channels, ``(*, C, H r, W r)`` to ``(*, C r^2, H, W)``.

    Shapes: as said, with ``r = downscale_factor``.

    Raises
    ------
    RuntimeError
        When it is called, if the input has fewer than three axes, or a length is no multiple of ``r``.

    Examples
    --------
    >>> nn.PixelUnshuffle(2)(tensor([[[1.0, 2.0], [3.0, 4.0]]])).flatten()
    Tensor([1., 2., 3., 4.])
    """

    def __init__(self, downscale_factor: int):
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = apply(rules.pixel_unshuffle, input, downscale_factor=self.downscale_factor)
        return result

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Deals the channels of each of ``groups`` groups out to all groups; the shape ``(N, C, *)`` stays.

    Raises
    ------
    RuntimeError
        When it is called, if the input has fewer than three axes, or its channels are no multiple of ``groups``.

    Examples
    --------
    >>> nn.ChannelShuffle(2)(tensor([[[1.0], [2.0], [3.0], [4.0]]])).flatten()
    Tensor([1., 3., 2., 4.])
    """

    def __init__(self, groups: int):
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = apply(rules.channel_shuffle, input, groups=self.groups)
        return result

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
