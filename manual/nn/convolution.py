"""Convolutions and transposed convolutions over one, two or three axes.

The derivations are in :mod:`manual.rules.convolution`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from manual import rules
from manual.nn import init
from manual.nn.module import Module, Parameter
from manual.tensor import DEFAULT_DTYPE, Tensor, apply

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]

_STRINGS = ("valid", "same")
_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolutions share: their attributes, their parameters and how these start."""

    axes: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        transposed: bool,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        dtype: Any,
    ):
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            if padding not in _STRINGS:
                raise ValueError(f"Invalid padding string {padding!r}, should be one of {set(_STRINGS)}")
            if padding == "same" and any(one != 1 for one in self._per_axis(stride)):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in _MODES:
            raise ValueError(f"padding_mode must be one of {set(_MODES)}, but got padding_mode='{padding_mode}'")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = self._per_axis(kernel_size)
        self.stride = self._per_axis(stride)
        self.padding = padding if isinstance(padding, str) else self._per_axis(padding)
        self.dilation = self._per_axis(dilation)
        self.transposed = transposed
        self.output_padding = self._per_axis(output_padding)
        self.groups = groups
        self.padding_mode = padding_mode
        self.weight = Parameter(np.empty(self._weight_shape(), dtype or DEFAULT_DTYPE))
        if bias:
            self.bias = Parameter(np.empty(out_channels, dtype or DEFAULT_DTYPE))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _per_axis(self, value: Any) -> tuple[Any, ...]:
        return (value,) * self.axes if isinstance(value, (int, np.integer)) else tuple(value)

    def _weight_shape(self) -> tuple[int, ...]:
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.shape[1:])
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        none = (0,) * len(self.kernel_size)
        ones = (1,) * len(self.kernel_size)
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        if self.padding != none:
            parts.append(f"padding={self.padding}")
        if self.dilation != ones:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != none:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    def __init__(
        self,
        in_channels: int,
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
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            False,
            0,
            groups,
            bias,
            padding_mode,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        parameters = self._parameters
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = apply(rules.pad, input, pad=self._border(), mode=self.padding_mode)
            padding = 0
        result: Tensor = apply(
            rules.conv_nd,
            input,
            parameters["weight"],
            parameters["bias"],
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        return result

    def _border(self) -> tuple[int, ...]:
        """How many elements come before and behind each axis, the last axis first, as ``pad`` takes them.

        Of an odd number, ``"same"`` puts one more behind.
        """
        if not isinstance(self.padding, str):
            around = [2 * one for one in self.padding]
        elif self.padding == "valid":
            around = [0] * len(self.kernel_size)
        else:
            around = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        return tuple(length for total in reversed(around) for length in (total // 2, total - total // 2))


class Conv1d(_Conv):
    """Convolves over one axis: a cross-correlation with ``out_channels`` kernels.

    Shapes: input ``(N, in_channels, L)`` or ``(in_channels, L)``, ``weight (out_channels, in_channels / groups, K)``,
    ``bias (out_channels,)``, output ``(N, out_channels, L')``. Both start uniform in ``+-1/sqrt(fan_in)`` with
    ``fan_in = in_channels / groups * K``. ``padding`` may be ``"same"`` or ``"valid"``; with a ``padding_mode`` other
    than ``"zeros"`` the input is continued by itself.

    Raises
    ------
    ValueError
        If ``groups`` is not positive or does not divide the channels, or a padding or its mode is unknown.
    RuntimeError
        When it is called, if the shape does not fit, or a kernel is longer than its padded axis.

    Examples
    --------
    >>> layer = nn.Conv1d(1, 1, kernel_size=2, bias=False)
    >>> _ = layer.load_state_dict({"weight": tensor([[[2.0, -1.0]]])})
    >>> x = tensor([[[1.0, 3.0, 2.0]]], requires_grad=True)
    >>> y = layer(x)
    >>> y
    Tensor([[[-1.,  4.]]], requires_grad=True)
    >>> y.backward(tensor([[[5.0, 7.0]]]))
    >>> x.grad
    array([[[10.,  9., -7.]]], dtype=float32)
    >>> layer.weight.grad
    array([[[26., 29.]]], dtype=float32)
    """

    axes = 1


class Conv2d(_Conv):
    """Convolves over two axes; see :class:`Conv1d`.

    Shapes: input ``(N, in_channels, H, W)`` or without ``N``, ``weight (out_channels, in_channels / groups, K_H,
    K_W)``, ``bias (out_channels,)``, output ``(N, out_channels, H_out, W_out)``.

    Raises
    ------
    ValueError
        If ``groups`` is not positive or does not divide the channels, or a padding or its mode is unknown.
    RuntimeError
        When it is called, if the shape does not fit, or a kernel is longer than its padded axis.

    Examples
    --------
    >>> layer = nn.Conv2d(1, 1, kernel_size=(1, 2), bias=False)
    >>> _ = layer.load_state_dict({"weight": tensor([[[[2.0, -1.0]]]])})
    >>> x = tensor([[[[1.0, 3.0, 2.0]]]], requires_grad=True)
    >>> y = layer(x)
    >>> y
    Tensor([[[[-1.,  4.]]]], requires_grad=True)
    >>> y.backward(tensor([[[[5.0, 7.0]]]]))
    >>> x.grad
    array([[[[10.,  9., -7.]]]], dtype=float32)
    >>> layer.weight.grad
    array([[[[26., 29.]]]], dtype=float32)
    """

    axes = 2


class Conv3d(_Conv):
    """Convolves over three axes; see :class:`Conv1d`.

    Shapes: input ``(N, in_channels, D, H, W)`` or without ``N``, ``weight (out_channels, in_channels / groups, K_D,
    K_H, K_W)``, ``bias (out_channels,)``, output ``(N, out_channels, D_out, H_out, W_out)``.

    Raises
    ------
    ValueError
        If ``groups`` is not positive or does not divide the channels, or a padding or its mode is unknown.
    RuntimeError
        When it is called, if the shape does not fit, or a kernel is longer than its padded axis.

    Examples
    --------
    >>> layer = nn.Conv3d(1, 1, kernel_size=(1, 1, 2), bias=False)
    >>> _ = layer.load_state_dict({"weight": tensor([[[[[2.0, -1.0]]]]])})
    >>> x = tensor([[[[[1.0, 3.0, 2.0]]]]], requires_grad=True)
    >>> y = layer(x)
    >>> y
    Tensor([[[[[-1.,  4.]]]]], requires_grad=True)
    >>> y.backward(tensor([[[[[5.0, 7.0]]]]]))
    >>> x.grad
    array([[[[[10.,  9., -7.]]]]], dtype=float32)
    >>> layer.weight.grad
    array([[[[[26., 29.]]]]], dtype=float32)
    """

    axes = 3


class _ConvTranspose(_ConvNd):
    def __init__(
        self,
        in_channels: int,
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
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            True,
            output_padding,
            groups,
            bias,
            padding_mode,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        parameters = self._parameters
        result: Tensor = apply(
            rules.conv_transpose_nd,
            input,
            parameters["weight"],
            parameters["bias"],
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding if output_size is None else self._missing(input.shape, output_size),
            groups=self.groups,
            dilation=self.dilation,
        )
        return result

    def _missing(self, shape: tuple[int, ...], output_size: Sequence[int]) -> tuple[int, ...]:
        """The output padding with which an output has the size that is asked for.

        Raises
        ------
        ValueError
            If no output padding makes that size.
        """
        n = len(self.kernel_size)
        before = 2 if len(shape) == n + 2 else 1
        wanted = list(output_size)
        if len(wanted) == n + before:
            wanted = wanted[before:]
        if len(wanted) != n:
            raise ValueError(
                f"ConvTranspose{n}D: for {len(shape)}D input, output_size must have {n} or {n + before} elements "
                f"(got {len(wanted)})"
            )
        least = [
            (size - 1) * s - 2 * p + d * (k - 1) + 1
            for size, s, p, d, k in zip(
                shape[before:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        most = [size + s - 1 for size, s in zip(least, self.stride, strict=True)]
        if any(not low <= size <= high for low, size, high in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"requested an output size of {output_size}, but valid sizes range from {least} to {most} (for an "
                f"input of {tuple(shape[before:])})"
            )
        return tuple(size - low for size, low in zip(wanted, least, strict=True))


class ConvTranspose1d(_ConvTranspose):
    """The transpose of :class:`Conv1d`: every element of the input stamps a kernel into the output.

    Shapes: input ``(N, in_channels, L)`` or ``(in_channels, L)``, ``weight (in_channels, out_channels / groups, K)``,
    ``bias (out_channels,)``, output ``(N, out_channels, L')``. Where outputs of several lengths would be convolved to
    the input's length, ``output_padding``, or ``output_size`` in the call, chooses one.

    Convention: both parameters start uniform in ``+-1/sqrt(out_channels / groups * K)``. torch reads off the weight's
    second axis what it calls the fan in, and here that axis has the outputs.

    Raises
    ------
    ValueError
        If ``groups`` is not positive or does not divide the channels, ``padding_mode`` is not ``"zeros"``, or, when it
        is called, ``output_size`` is out of reach.
    RuntimeError
        When it is called, if the shape does not fit.

    Examples
    --------
    >>> layer = nn.ConvTranspose1d(1, 1, kernel_size=2, bias=False)
    >>> _ = layer.load_state_dict({"weight": tensor([[[2.0, -1.0]]])})
    >>> x = tensor([[[3.0, 1.0]]], requires_grad=True)
    >>> y = layer(x)
    >>> y
    Tensor([[[ 6., -1., -1.]]], requires_grad=True)
    >>> y.backward(tensor([[[5.0, 7.0, 0.0]]]))
    >>> x.grad
    array([[[ 3., 14.]]], dtype=float32)
    >>> layer.weight.grad
    array([[[22., 21.]]], dtype=float32)
    """

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """The transpose of :class:`Conv2d`; see :class:`ConvTranspose1d`.

    Shapes: input ``(N, in_channels, H, W)`` or without ``N``, ``weight (in_channels, out_channels / groups, K_H,
    K_W)``, ``bias (out_channels,)``, output ``(N, out_channels, H_out, W_out)``.

    Raises
    ------
    ValueError
        If ``groups`` is not positive or does not divide the channels, ``padding_mode`` is not ``"zeros"``, or, when it
        is called, ``output_size`` is out of reach.
    RuntimeError
        When it is called, if the shape does not fit.

    Examples
    --------
    >>> layer = nn.ConvTranspose2d(1, 1, kernel_size=(1, 2), bias=False)
    >>> _ = layer.load_state_dict({"weight": tensor([[[[2.0, -1.0]]]])})
    >>> x = tensor([[[[3.0, 1.0]]]], requires_grad=True)
    >>> y = layer(x)
    >>> y
    Tensor([[[[ 6., -1., -1.]]]], requires_grad=True)
    >>> y.backward(tensor([[[[5.0, 7.0, 0.0]]]]))
    >>> x.grad
    array([[[[ 3., 14.]]]], dtype=float32)
    >>> layer.weight.grad
    array([[[[22., 21.]]]], dtype=float32)
    """

    axes = 2


class ConvTranspose3d(_ConvTranspose):
    """The transpose of :class:`Conv3d`; see :class:`ConvTranspose1d`.

    Shapes: input ``(N, in_channels, D, H, W)`` or without ``N``, ``weight (in_channels, out_channels / groups, K_D,
    K_H, K_W)``, ``bias (out_channels,)``, output ``(N, out_channels, D_out, H_out, W_out)``.

    Raises
    ------
    ValueError
        If ``groups`` is not positive or does not divide the channels, ``padding_mode`` is not ``"zeros"``, or, when it
        is called, ``output_size`` is out of reach.
    RuntimeError
        When it is called, if the shape does not fit.

    Examples
    --------
    >>> layer = nn.ConvTranspose3d(1, 1, kernel_size=(1, 1, 2), bias=False)
    >>> _ = layer.load_state_dict({"weight": tensor([[[[[2.0, -1.0]]]]])})
    >>> x = tensor([[[[[3.0, 1.0]]]]], requires_grad=True)
    >>> y = layer(x)
    >>> y
    Tensor([[[[[ 6., -1., -1.]]]]], requires_grad=True)
    >>> y.backward(tensor([[[[[5.0, 7.0, 0.0]]]]]))
    >>> x.grad
    array([[[[[ 3., 14.]]]]], dtype=float32)
    >>> layer.weight.grad
    array([[[[[22., 21.]]]]], dtype=float32)
    """

    axes = 3
