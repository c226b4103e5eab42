"""Pooling as modules. The formulas and their derivations are in :mod:`manual.rules`.

Input is ``(N, C, W)``, ``(N, C, H, W)`` or ``(N, C, D, H, W)``, for one to three dimensions, or the same without ``N``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manual.nn import functional
from manual.nn.module import Module
from manual.tensor import Tensor, as_array

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

Lengths = int | Sequence[int]


def _each(value: Any, dimensions: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,) * dimensions


class _MaxPool(Module):
    _function: Any

    def __init__(
        self,
        kernel_size: Lengths,
        stride: Lengths | None = None,
        padding: Lengths = 0,
        dilation: Lengths = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return self._function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The maximum of each window of a row; with ``return_indices`` also where it is.

    Shapes: input ``(N, C, L)`` or ``(C, L)``, output the same with ``L_out``: as many as there are windows.

    Raises
    ------
    RuntimeError
        When it is called, if the shape or the lengths do not fit.

    Examples
    --------
    >>> x = tensor([[1.0, 3.0, 2.0, 0.0]], requires_grad=True)
    >>> y = nn.MaxPool1d(2)(x)
    >>> y
    Tensor([[3., 2.]], requires_grad=True)
    >>> y.backward(tensor([[5.0, 7.0]]))
    >>> x.grad
    array([[0., 5., 7., 0.]], dtype=float32)
    """

    _function = staticmethod(functional.max_pool1d)


class MaxPool2d(_MaxPool):
    """The maximum of each window of a plane; with ``return_indices`` also where it is.

    Shapes: input ``(N, C, H, W)`` or ``(C, H, W)``, output the same with ``H_out, W_out``: as many as there are
    windows.

    Raises
    ------
    RuntimeError
        When it is called, if the shape or the lengths do not fit.

    Examples
    --------
    >>> x = tensor([[[1.0, 3.0], [2.0, 0.0]]], requires_grad=True)
    >>> y = nn.MaxPool2d(2)(x)
    >>> y
    Tensor([[[3.]]], requires_grad=True)
    >>> y.backward(tensor([[[5.0]]]))
    >>> x.grad
    array([[[0., 5.],
            [0., 0.]]], dtype=float32)
    """

    _function = staticmethod(functional.max_pool2d)


class MaxPool3d(_MaxPool):
    """The maximum of each window of a volume; with ``return_indices`` also where it is.

    Shapes: input ``(N, C, D, H, W)`` or ``(C, D, H, W)``, output the same with ``D_out, H_out, W_out``: as many as
    there are windows.

    Raises
    ------
    RuntimeError
        When it is called, if the shape or the lengths do not fit.

    Examples
    --------
    >>> x = tensor([[[[1.0, 3.0], [2.0, 0.0]]]], requires_grad=True)
    >>> y = nn.MaxPool3d((1, 2, 2))(x)
    >>> y
    Tensor([[[[3.]]]], requires_grad=True)
    >>> y.backward(tensor([[[[5.0]]]]))
    >>> x.grad
    array([[[[0., 5.],
             [0., 0.]]]], dtype=float32)
    """

    _function = staticmethod(functional.max_pool3d)


class _MaxUnpool(Module):
    _dimensions: int
    _function: Any

    def __init__(self, kernel_size: Lengths, stride: Lengths | None = None, padding: Lengths = 0):
        super().__init__()
        self.kernel_size = _each(kernel_size, self._dimensions)
        self.stride = _each(kernel_size if stride is None else stride, self._dimensions)
        self.padding = _each(padding, self._dimensions)

    def forward(self, input: Tensor, indices: Any, output_size: Sequence[int] | None = None) -> Tensor:
        result: Tensor = self._function(input, indices, self.kernel_size, self.stride, self.padding, output_size)
        return result

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Puts the maxima of a :class:`MaxPool1d` back where they were, among zeros.

    Shapes: input ``(N, C, L)`` or ``(C, L)``, output the same with ``L_out``, by default ``(L - 1) stride - 2 padding +
    kernel_size`` for a length ``L``; ``indices`` as the input.

    Raises
    ------
    ValueError
        When it is called, if ``output_size`` does not fit.
    RuntimeError
        When it is called, if the shapes differ, or an index lies outside.

    Examples
    --------
    >>> x = tensor([[1.0, 3.0, 2.0, 0.0]])
    >>> y, indices = nn.MaxPool1d(2, return_indices=True)(x)
    >>> nn.MaxUnpool1d(2)(y, indices)
    Tensor([[0., 3., 2., 0.]])
    """

    _dimensions = 1
    _function = staticmethod(functional.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Puts the maxima of a :class:`MaxPool2d` back where they were, among zeros.

    Shapes: input ``(N, C, H, W)`` or ``(C, H, W)``, output the same with ``H_out, W_out``, by default ``(L - 1) stride
    - 2 padding + kernel_size`` for a length ``L``; ``indices`` as the input.

    Raises
    ------
    ValueError
        When it is called, if ``output_size`` does not fit.
    RuntimeError
        When it is called, if the shapes differ, or an index lies outside.

    Examples
    --------
    >>> x = tensor([[[1.0, 3.0], [2.0, 0.0]]])
    >>> y, indices = nn.MaxPool2d(2, return_indices=True)(x)
    >>> nn.MaxUnpool2d(2)(y, indices)
    Tensor([[[0., 3.],
             [0., 0.]]])
    """

    _dimensions = 2
    _function = staticmethod(functional.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Puts the maxima of a :class:`MaxPool3d` back where they were, among zeros.

    Shapes: input ``(N, C, D, H, W)`` or ``(C, D, H, W)``, output the same with ``D_out, H_out, W_out``, by default ``(L
    - 1) stride - 2 padding + kernel_size`` for a length ``L``; ``indices`` as the input.

    Raises
    ------
    ValueError
        When it is called, if ``output_size`` does not fit.
    RuntimeError
        When it is called, if the shapes differ, or an index lies outside.

    Examples
    --------
    >>> x = tensor([[[[1.0, 3.0], [2.0, 0.0]]]])
    >>> y, indices = nn.MaxPool3d((1, 2, 2), return_indices=True)(x)
    >>> nn.MaxUnpool3d((1, 2, 2))(y, indices)
    Tensor([[[[0., 3.],
              [0., 0.]]]])
    """

    _dimensions = 3
    _function = staticmethod(functional.max_unpool3d)


class _AvgPool(Module):
    def extra_repr(self) -> str:
        state = self.__dict__
        return f"kernel_size={state['kernel_size']}, stride={state['stride']}, padding={state['padding']}"


class AvgPool1d(_AvgPool):
    """The mean of each window of a row.

    Shapes: input ``(N, C, L)`` or ``(C, L)``, output the same with ``L_out``: as many as there are windows.

    Raises
    ------
    RuntimeError
        When it is called, if the shape or the lengths do not fit.

    Examples
    --------
    >>> x = tensor([[1.0, 3.0, 2.0, 0.0]], requires_grad=True)
    >>> y = nn.AvgPool1d(2)(x)
    >>> y
    Tensor([[2., 1.]], requires_grad=True)
    >>> y.backward(tensor([[4.0, 8.0]]))
    >>> x.grad
    array([[2., 2., 4., 4.]], dtype=float32)
    """

    def __init__(
        self,
        kernel_size: Lengths,
        stride: Lengths | None = None,
        padding: Lengths = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__()
        self.kernel_size = _each(kernel_size, 1)
        self.stride = _each(kernel_size if stride is None else stride, 1)
        self.padding = _each(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return functional.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class _AvgPoolOfPlanes(_AvgPool):
    _function: Any

    def __init__(
        self,
        kernel_size: Lengths,
        stride: Lengths | None = None,
        padding: Lengths = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self._function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )
        return result


class AvgPool2d(_AvgPoolOfPlanes):
    """The mean of each window of a plane.

    Shapes: input ``(N, C, H, W)`` or ``(C, H, W)``, output the same with ``H_out, W_out``: as many as there are
    windows.

    Raises
    ------
    RuntimeError
        When it is called, if the shape or the lengths do not fit.

    Examples
    --------
    >>> x = tensor([[[1.0, 3.0], [2.0, 0.0]]], requires_grad=True)
    >>> y = nn.AvgPool2d(2)(x)
    >>> y
    Tensor([[[1.5]]], requires_grad=True)
    >>> y.backward(tensor([[[4.0]]]))
    >>> x.grad
    array([[[1., 1.],
            [1., 1.]]], dtype=float32)
    """

    _function = staticmethod(functional.avg_pool2d)


class AvgPool3d(_AvgPoolOfPlanes):
    """The mean of each window of a volume.

    Shapes: input ``(N, C, D, H, W)`` or ``(C, D, H, W)``, output the same with ``D_out, H_out, W_out``: as many as
    there are windows.

    Raises
    ------
    RuntimeError
        When it is called, if the shape or the lengths do not fit.

    Examples
    --------
    >>> x = tensor([[[[1.0, 3.0], [2.0, 0.0]]]], requires_grad=True)
    >>> y = nn.AvgPool3d((1, 2, 2))(x)
    >>> y
    Tensor([[[[1.5]]]], requires_grad=True)
    >>> y.backward(tensor([[[[4.0]]]]))
    >>> x.grad
    array([[[[1., 1.],
             [1., 1.]]]], dtype=float32)
    """

    _function = staticmethod(functional.avg_pool3d)


class _LPPool(Module):
    _function: Any

    def __init__(self, norm_type: float, kernel_size: Lengths, stride: Lengths | None = None, ceil_mode: bool = False):
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self._function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)
        return result

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """The p-norm, without absolute values, of each window of a row.

    Shapes: input ``(N, C, L)`` or ``(C, L)``, output the same with ``L_out``: as many as there are windows.

    Raises
    ------
    RuntimeError
        When it is called, if the shape or the lengths do not fit.

    Examples
    --------
    >>> x = tensor([[3.0, 4.0, 0.0, 0.0]], requires_grad=True)
    >>> y = nn.LPPool1d(2, 2)(x)
    >>> y
    Tensor([[5., 0.]], requires_grad=True)
    >>> y.backward(tensor([[5.0, 0.0]]))
    >>> x.grad
    array([[3., 4., 0., 0.]], dtype=float32)
    """

    _function = staticmethod(functional.lp_pool1d)


class LPPool2d(_LPPool):
    """The p-norm, without absolute values, of each window of a plane.

    Shapes: input ``(N, C, H, W)`` or ``(C, H, W)``, output the same with ``H_out, W_out``: as many as there are
    windows.

    Raises
    ------
    RuntimeError
        When it is called, if the shape or the lengths do not fit.

    Examples
    --------
    >>> x = tensor([[[3.0, 4.0], [0.0, 0.0]]], requires_grad=True)
    >>> y = nn.LPPool2d(2, 2)(x)
    >>> y
    Tensor([[[5.]]], requires_grad=True)
    >>> y.backward(tensor([[[5.0]]]))
    >>> x.grad
    array([[[3., 4.],
            [0., 0.]]], dtype=float32)
    """

    _function = staticmethod(functional.lp_pool2d)


class LPPool3d(_LPPool):
    """The p-norm, without absolute values, of each window of a volume.

    Shapes: input ``(N, C, D, H, W)`` or ``(C, D, H, W)``, output the same with ``D_out, H_out, W_out``: as many as
    there are windows.

    Raises
    ------
    RuntimeError
        When it is called, if the shape or the lengths do not fit.

    Examples
    --------
    >>> x = tensor([[[[3.0, 4.0], [0.0, 0.0]]]], requires_grad=True)
    >>> y = nn.LPPool3d(2, (1, 2, 2))(x)
    >>> y
    Tensor([[[[5.]]]], requires_grad=True)
    >>> y.backward(tensor([[[[5.0]]]]))
    >>> x.grad
    array([[[[3., 4.],
             [0., 0.]]]], dtype=float32)
    """

    _function = staticmethod(functional.lp_pool3d)


# -- a given number of windows -----------------------------------------------------------------------------------------


class _AdaptiveAvgPool(Module):
    _function: Any

    def __init__(self, output_size: Any):
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self._function(input, self.output_size)
        return result

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The mean of each of ``output_size`` windows of a row.

    Shapes: input ``(N, C, L)`` or ``(C, L)``, output the same with ``output_size`` in their place.

    Raises
    ------
    RuntimeError
        When it is called, if the input has other axes, or ``output_size`` other lengths.

    Examples
    --------
    >>> x = tensor([[1.0, 3.0, 2.0, 0.0]], requires_grad=True)
    >>> y = nn.AdaptiveAvgPool1d(2)(x)
    >>> y
    Tensor([[2., 1.]], requires_grad=True)
    >>> y.backward(tensor([[4.0, 8.0]]))
    >>> x.grad
    array([[2., 2., 4., 4.]], dtype=float32)
    """

    _function = staticmethod(functional.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of each of ``output_size`` windows of a plane; ``None`` leaves an axis as long as it is.

    Shapes: input ``(N, C, H, W)`` or ``(C, H, W)``, output the same with ``output_size`` in their place.

    Raises
    ------
    RuntimeError
        When it is called, if the input has other axes, or ``output_size`` other lengths.

    Examples
    --------
    >>> x = tensor([[[1.0, 3.0], [2.0, 0.0]]], requires_grad=True)
    >>> y = nn.AdaptiveAvgPool2d((1, None))(x)
    >>> y
    Tensor([[[1.5, 1.5]]], requires_grad=True)
    >>> y.backward(tensor([[[4.0, 8.0]]]))
    >>> x.grad
    array([[[2., 4.],
            [2., 4.]]], dtype=float32)
    """

    _function = staticmethod(functional.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The mean of each of ``output_size`` windows of a volume; ``None`` leaves an axis as long as it is.

    Shapes: input ``(N, C, D, H, W)`` or ``(C, D, H, W)``, output the same with ``output_size`` in their place.

    Raises
    ------
    RuntimeError
        When it is called, if the input has other axes, or ``output_size`` other lengths.

    Examples
    --------
    >>> x = tensor([[[[1.0, 3.0], [2.0, 0.0]]]], requires_grad=True)
    >>> y = nn.AdaptiveAvgPool3d((None, 1, 2))(x)
    >>> y
    Tensor([[[[1.5, 1.5]]]], requires_grad=True)
    >>> y.backward(tensor([[[[4.0, 8.0]]]]))
    >>> x.grad
    array([[[[2., 4.],
             [2., 4.]]]], dtype=float32)
    """

    _function = staticmethod(functional.adaptive_avg_pool3d)


class _AdaptiveMaxPool(Module):
    _function: Any

    def __init__(self, output_size: Any, return_indices: bool = False):
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return self._function(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The maximum of each of ``output_size`` windows of a row.

    Shapes: input ``(N, C, L)`` or ``(C, L)``, output the same with ``output_size`` in their place.

    Raises
    ------
    RuntimeError
        When it is called, if the input has other axes, or ``output_size`` other lengths.

    Examples
    --------
    >>> x = tensor([[1.0, 3.0, 2.0, 0.0]], requires_grad=True)
    >>> y = nn.AdaptiveMaxPool1d(2)(x)
    >>> y
    Tensor([[3., 2.]], requires_grad=True)
    >>> y.backward(tensor([[4.0, 8.0]]))
    >>> x.grad
    array([[0., 4., 8., 0.]], dtype=float32)
    """

    _function = staticmethod(functional.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The maximum of each of ``output_size`` windows of a plane; ``None`` leaves an axis as long as it is.

    Shapes: input ``(N, C, H, W)`` or ``(C, H, W)``, output the same with ``output_size`` in their place.

    Raises
    ------
    RuntimeError
        When it is called, if the input has other axes, or ``output_size`` other lengths.

    Examples
    --------
    >>> x = tensor([[[1.0, 3.0], [2.0, 0.0]]], requires_grad=True)
    >>> y = nn.AdaptiveMaxPool2d((1, None))(x)
    >>> y
    Tensor([[[2., 3.]]], requires_grad=True)
    >>> y.backward(tensor([[[4.0, 8.0]]]))
    >>> x.grad
    array([[[0., 8.],
            [4., 0.]]], dtype=float32)
    """

    _function = staticmethod(functional.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The maximum of each of ``output_size`` windows of a volume; ``None`` leaves an axis as long as it is.

    Shapes: input ``(N, C, D, H, W)`` or ``(C, D, H, W)``, output the same with ``output_size`` in their place.

    Raises
    ------
    RuntimeError
        When it is called, if the input has other axes, or ``output_size`` other lengths.

    Examples
    --------
    >>> x = tensor([[[[1.0, 3.0], [2.0, 0.0]]]], requires_grad=True)
    >>> y = nn.AdaptiveMaxPool3d((None, 1, 2))(x)
    >>> y
    Tensor([[[[2., 3.]]]], requires_grad=True)
    >>> y.backward(tensor([[[[4.0, 8.0]]]]))
    >>> x.grad
    array([[[[0., 8.],
             [4., 0.]]]], dtype=float32)
    """

    _function = staticmethod(functional.adaptive_max_pool3d)


class _FractionalMaxPool(Module):
    _dimensions: int
    _function: Any

    def __init__(
        self,
        kernel_size: Lengths,
        output_size: Lengths | None = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ):
        super().__init__()
        self.kernel_size = _each(kernel_size, self._dimensions)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", None if _random_samples is None else as_array(_random_samples))
        self.output_size = None if output_size is None else _each(output_size, self._dimensions)
        self.output_ratio = None if output_ratio is None else _each(output_ratio, self._dimensions)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{type(self).__name__} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < ratio < 1 for ratio in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        samples = self._buffers["_random_samples"]
        return self._function(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, samples
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """The maximum of each window of a plane, the windows laid at random by the numbers ``_random_samples (N, C, 2)``.

    Where these are not given they are drawn anew in every call.

    Shapes: input ``(N, C, H, W)`` or ``(C, H, W)``, output the same with ``output_size`` in their place.

    Raises
    ------
    ValueError
        Unless just one of ``output_size`` and ``output_ratio`` is given, and ratios are between 0 and 1.
    RuntimeError
        When it is called, if the shape or the lengths do not fit.

    Examples
    --------
    >>> x = tensor([[[1.0, 3.0, 2.0], [0.0, 5.0, 4.0]]])
    >>> places = tensor([[[0.0, 0.9]]])
    >>> nn.FractionalMaxPool2d(1, output_size=(1, 2), _random_samples=places)(x)
    Tensor([[[0., 4.]]])
    """

    _dimensions = 2
    _function = staticmethod(functional.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """The maximum of each window of a volume, as :class:`FractionalMaxPool2d`; ``_random_samples`` is ``(N, C, 3)``.

    Shapes: input ``(N, C, D, H, W)`` or ``(C, D, H, W)``, output the same with ``output_size`` in their place.

    Raises
    ------
    ValueError
        Unless just one of ``output_size`` and ``output_ratio`` is given, and ratios are between 0 and 1.
    RuntimeError
        When it is called, if the shape or the lengths do not fit.

    Examples
    --------
    >>> x = tensor([[[[1.0, 3.0, 2.0], [0.0, 5.0, 4.0]], [[9.0, 7.0, 8.0], [0.0, 5.0, 4.0]]]])
    >>> places = tensor([[[0.0, 0.0, 0.9]]])
    >>> nn.FractionalMaxPool3d(1, output_size=(1, 1, 2), _random_samples=places)(x)
    Tensor([[[[0., 4.]]]])
    """

    _dimensions = 3
    _function = staticmethod(functional.fractional_max_pool3d)
