"""Convolutions that take the number of their input channels from the first input that they see."""

from __future__ import annotations

from typing import Any

from manual.nn.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    _Conv,
    _ConvNd,
    _ConvTranspose,
)
from manual.nn.lazy import LazyModuleMixin, UninitializedParameter

__all__ = [
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
]


class _LazyConvNd(LazyModuleMixin, _ConvNd):
    """Takes ``in_channels`` from the first input."""

    weight: Any
    bias: Any

    def _leave_open(self, out_channels: int, bias: bool, dtype: Any) -> None:
        self.out_channels = out_channels
        self.weight = UninitializedParameter(dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(dtype=dtype)

    def reset_parameters(self) -> None:
        if self.in_channels and not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, input: Any, *args: Any, **kwargs: Any) -> None:
        if not self.has_uninitialized_params():
            if not self.in_channels:  # a state_dict brought the shapes
                self.in_channels = self.weight.shape[0] if self.transposed else self.weight.shape[1] * self.groups
            return
        n = len(self.kernel_size)
        if len(input.shape) not in (n + 1, n + 2):
            raise RuntimeError(
                f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {type(self).__name__}, but got input of "
                f"size: {tuple(input.shape)}"
            )
        self.in_channels = input.shape[-n - 1]
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        self.weight.materialize(self._weight_shape())
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class _LazyConv(_LazyConvNd, _Conv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        _Conv.__init__(self, 0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode)
        self._leave_open(out_channels, bias, dtype)


class LazyConv1d(_LazyConv):
    """A :class:`Conv1d` that takes ``in_channels`` from its first input, and then is one.

    Shapes: those of :class:`Conv1d`.

    Raises
    ------
    ValueError
        If ``groups`` does not divide the channels.
    RuntimeError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> layer = nn.LazyConv1d(4, kernel_size=2)
    >>> _ = layer(tensor(np.zeros((2, 3, 5)), dtype=np.float32))
    >>> layer
    Conv1d(3, 4, kernel_size=(2,), stride=(1,))
    >>> tuple(layer.weight.shape)
    (4, 3, 2)
    """

    axes = 1
    cls_to_become = Conv1d


class LazyConv2d(_LazyConv):
    """A :class:`Conv2d` that takes ``in_channels`` from its first input, and then is one.

    Shapes: those of :class:`Conv2d`.

    Raises
    ------
    ValueError
        If ``groups`` does not divide the channels.
    RuntimeError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> layer = nn.LazyConv2d(4, kernel_size=2)
    >>> _ = layer(tensor(np.zeros((2, 3, 5, 5)), dtype=np.float32))
    >>> layer
    Conv2d(3, 4, kernel_size=(2, 2), stride=(1, 1))
    >>> tuple(layer.weight.shape)
    (4, 3, 2, 2)
    """

    axes = 2
    cls_to_become = Conv2d


class LazyConv3d(_LazyConv):
    """A :class:`Conv3d` that takes ``in_channels`` from its first input, and then is one.

    Shapes: those of :class:`Conv3d`.

    Raises
    ------
    ValueError
        If ``groups`` does not divide the channels.
    RuntimeError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> layer = nn.LazyConv3d(4, kernel_size=2)
    >>> _ = layer(tensor(np.zeros((2, 3, 5, 5, 5)), dtype=np.float32))
    >>> layer
    Conv3d(3, 4, kernel_size=(2, 2, 2), stride=(1, 1, 1))
    >>> tuple(layer.weight.shape)
    (4, 3, 2, 2, 2)
    """

    axes = 3
    cls_to_become = Conv3d


class _LazyConvTranspose(_LazyConvNd, _ConvTranspose):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        _ConvTranspose.__init__(
            self, 0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode
        )
        self._leave_open(out_channels, bias, dtype)


class LazyConvTranspose1d(_LazyConvTranspose):
    """A :class:`ConvTranspose1d` that takes ``in_channels`` from its first input, and then is one.

    Shapes: those of :class:`ConvTranspose1d`.

    Raises
    ------
    ValueError
        If ``groups`` does not divide the channels.
    RuntimeError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> layer = nn.LazyConvTranspose1d(4, kernel_size=2)
    >>> _ = layer(tensor(np.zeros((2, 3, 5)), dtype=np.float32))
    >>> layer
    ConvTranspose1d(3, 4, kernel_size=(2,), stride=(1,))
    >>> tuple(layer.weight.shape)
    (3, 4, 2)
    """

    axes = 1
    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose):
    """A :class:`ConvTranspose2d` that takes ``in_channels`` from its first input, and then is one.

    Shapes: those of :class:`ConvTranspose2d`.

    Raises
    ------
    ValueError
        If ``groups`` does not divide the channels.
    RuntimeError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> layer = nn.LazyConvTranspose2d(4, kernel_size=2)
    >>> _ = layer(tensor(np.zeros((2, 3, 5, 5)), dtype=np.float32))
    >>> layer
    ConvTranspose2d(3, 4, kernel_size=(2, 2), stride=(1, 1))
    >>> tuple(layer.weight.shape)
    (3, 4, 2, 2)
    """

    axes = 2
    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose):
    """A :class:`ConvTranspose3d` that takes ``in_channels`` from its first input, and then is one.

    Shapes: those of :class:`ConvTranspose3d`.

    Raises
    ------
    ValueError
        If ``groups`` does not divide the channels.
    RuntimeError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> layer = nn.LazyConvTranspose3d(4, kernel_size=2)
    >>> _ = layer(tensor(np.zeros((2, 3, 5, 5, 5)), dtype=np.float32))
    >>> layer
    ConvTranspose3d(3, 4, kernel_size=(2, 2, 2), stride=(1, 1, 1))
    >>> tuple(layer.weight.shape)
    (3, 4, 2, 2, 2)
    """

    axes = 3
    cls_to_become = ConvTranspose3d
