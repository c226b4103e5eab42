"""Padding as modules. The formula and its derivation are in :func:`manual.rules.pad`.

``padding`` is one number for all ends, or ``(before, after)`` of the last axis, then of the one before it, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

from manual.nn import functional
from manual.nn.module import Module
from manual.tensor import Tensor

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """Pads the last axes, in the way that a subclass names."""

    _dimensions: int
    _mode: str

    def __init__(self, padding: int | Sequence[int]):
        super().__init__()
        self.padding = tuple(padding) if isinstance(padding, Sequence) else (padding,) * (2 * self._dimensions)

    def forward(self, input: Tensor) -> Tensor:
        return functional.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ReflectionPad(_Pad):
    _mode = "reflect"


class ReflectionPad1d(_ReflectionPad):
    """Mirrors each end, without repeating it: ``(N, C, W)`` or ``(C, W)``.

    Shapes: input ``(N, C, L)`` or ``(C, L)``, output the same with each length and its padding added up.

    Raises
    ------
    RuntimeError
        When it is called, if a padding is not less than its axis.
    NotImplementedError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    >>> y = nn.ReflectionPad1d((2, 1))(x)
    >>> y
    Tensor([[3., 2., 1., 2., 3., 2.]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[1., 6., 6.]], dtype=float32)
    """

    _dimensions = 1


class ReflectionPad2d(_ReflectionPad):
    """Mirrors each end, without repeating it: ``(N, C, H, W)`` or ``(C, H, W)``.

    Shapes: input ``(N, C, H, W)`` or ``(C, H, W)``, output the same with each length and its padding added up.

    Raises
    ------
    RuntimeError
        When it is called, if a padding is not less than its axis.
    NotImplementedError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> x = tensor([[[1.0, 2.0], [3.0, 4.0]]], requires_grad=True)
    >>> y = nn.ReflectionPad2d((1, 0, 0, 1))(x)
    >>> y
    Tensor([[[2., 1., 2.],
             [4., 3., 4.],
             [2., 1., 2.]]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[[2., 8.],
            [3., 8.]]], dtype=float32)
    """

    _dimensions = 2


class ReflectionPad3d(_ReflectionPad):
    """Mirrors each end, without repeating it: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.

    Shapes: input ``(N, C, D, H, W)`` or ``(C, D, H, W)``, output the same with each length and its padding added up.

    Raises
    ------
    RuntimeError
        When it is called, if a padding is not less than its axis.
    NotImplementedError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> x = tensor([[[[1.0, 2.0]]]], requires_grad=True)
    >>> y = nn.ReflectionPad3d((1, 1, 0, 0, 0, 0))(x)
    >>> y
    Tensor([[[[2., 1., 2., 1.]]]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[[[2., 4.]]]], dtype=float32)
    """

    _dimensions = 3


class _ReplicationPad(_Pad):
    _mode = "replicate"


class ReplicationPad1d(_ReplicationPad):
    """Repeats the element at each end: ``(N, C, W)`` or ``(C, W)``.

    Shapes: input ``(N, C, L)`` or ``(C, L)``, output the same with each length and its padding added up.

    Raises
    ------
    NotImplementedError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    >>> y = nn.ReplicationPad1d((2, 1))(x)
    >>> y
    Tensor([[1., 1., 1., 2., 3., 3.]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[3., 2., 6.]], dtype=float32)
    """

    _dimensions = 1


class ReplicationPad2d(_ReplicationPad):
    """Repeats the element at each end: ``(N, C, H, W)`` or ``(C, H, W)``.

    Shapes: input ``(N, C, H, W)`` or ``(C, H, W)``, output the same with each length and its padding added up.

    Raises
    ------
    NotImplementedError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> x = tensor([[[1.0, 2.0], [3.0, 4.0]]], requires_grad=True)
    >>> y = nn.ReplicationPad2d((1, 0, 0, 1))(x)
    >>> y
    Tensor([[[1., 1., 2.],
             [3., 3., 4.],
             [3., 3., 4.]]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[[ 2.,  2.],
            [12.,  8.]]], dtype=float32)
    """

    _dimensions = 2


class ReplicationPad3d(_ReplicationPad):
    """Repeats the element at each end: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.

    Shapes: input ``(N, C, D, H, W)`` or ``(C, D, H, W)``, output the same with each length and its padding added up.

    Raises
    ------
    NotImplementedError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> x = tensor([[[[1.0, 2.0]]]], requires_grad=True)
    >>> y = nn.ReplicationPad3d((1, 1, 0, 0, 0, 0))(x)
    >>> y
    Tensor([[[[1., 1., 2., 2.]]]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[[[2., 4.]]]], dtype=float32)
    """

    _dimensions = 3


class _CircularPad(_Pad):
    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (self._dimensions + 1, self._dimensions + 2):
            raise ValueError(
                f"expected {self._dimensions + 1}D or {self._dimensions + 2}D input (got {input.dim()}D input)"
            )
        return super().forward(input)


class CircularPad1d(_CircularPad):
    """Goes on at the other end: ``(N, C, W)`` or ``(C, W)``.

    Shapes: input ``(N, C, L)`` or ``(C, L)``, output the same with each length and its padding added up.

    Raises
    ------
    ValueError
        When it is called, if the input has other axes.
    RuntimeError
        When it is called, if a padding is more than its axis.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    >>> y = nn.CircularPad1d((2, 1))(x)
    >>> y
    Tensor([[2., 3., 1., 2., 3., 1.]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[2., 4., 6.]], dtype=float32)
    """

    _dimensions = 1


class CircularPad2d(_CircularPad):
    """Goes on at the other end: ``(N, C, H, W)`` or ``(C, H, W)``.

    Shapes: input ``(N, C, H, W)`` or ``(C, H, W)``, output the same with each length and its padding added up.

    Raises
    ------
    ValueError
        When it is called, if the input has other axes.
    RuntimeError
        When it is called, if a padding is more than its axis.

    Examples
    --------
    >>> x = tensor([[[1.0, 2.0], [3.0, 4.0]]], requires_grad=True)
    >>> y = nn.CircularPad2d((1, 0, 0, 1))(x)
    >>> y
    Tensor([[[2., 1., 2.],
             [4., 3., 4.],
             [2., 1., 2.]]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[[2., 8.],
            [3., 8.]]], dtype=float32)
    """

    _dimensions = 2


class CircularPad3d(_CircularPad):
    """Goes on at the other end: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.

    Shapes: input ``(N, C, D, H, W)`` or ``(C, D, H, W)``, output the same with each length and its padding added up.

    Raises
    ------
    ValueError
        When it is called, if the input has other axes.
    RuntimeError
        When it is called, if a padding is more than its axis.

    Examples
    --------
    >>> x = tensor([[[[1.0, 2.0]]]], requires_grad=True)
    >>> y = nn.CircularPad3d((1, 1, 0, 0, 0, 0))(x)
    >>> y
    Tensor([[[[2., 1., 2., 1.]]]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[[[2., 4.]]]], dtype=float32)
    """

    _dimensions = 3


class _ConstantPad(_Pad):
    def __init__(self, padding: int | Sequence[int], value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return functional.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Puts one value around the last axis.

    Shapes: input of at least 1 axis, ``(*, L)``, output the same with each length and its padding added up.

    Raises
    ------
    RuntimeError
        When it is called, if the input has fewer axes, or a negative padding takes more than there is.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    >>> y = nn.ConstantPad1d((2, 1), 9.0)(x)
    >>> y
    Tensor([[9., 9., 1., 2., 3., 9.]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[1., 2., 3.]], dtype=float32)
    """

    _dimensions = 1


class ConstantPad2d(_ConstantPad):
    """Puts one value around the last two axes.

    Shapes: input of at least 2 axes, ``(*, H, W)``, output the same with each length and its padding added up.

    Raises
    ------
    RuntimeError
        When it is called, if the input has fewer axes, or a negative padding takes more than there is.

    Examples
    --------
    >>> x = tensor([[[1.0, 2.0], [3.0, 4.0]]], requires_grad=True)
    >>> y = nn.ConstantPad2d((1, 0, 0, 1), 9.0)(x)
    >>> y
    Tensor([[[9., 1., 2.],
             [9., 3., 4.],
             [9., 9., 9.]]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[[1., 2.],
            [3., 4.]]], dtype=float32)
    """

    _dimensions = 2


class ConstantPad3d(_ConstantPad):
    """Puts one value around the last three axes.

    Shapes: input of at least 3 axes, ``(*, D, H, W)``, output the same with each length and its padding added up.

    Raises
    ------
    RuntimeError
        When it is called, if the input has fewer axes, or a negative padding takes more than there is.

    Examples
    --------
    >>> x = tensor([[[[1.0, 2.0]]]], requires_grad=True)
    >>> y = nn.ConstantPad3d((1, 1, 0, 0, 0, 0), 9.0)(x)
    >>> y
    Tensor([[[[9., 1., 2., 9.]]]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[[[1., 2.]]]], dtype=float32)
    """

    _dimensions = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | Sequence[int]):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Puts zeros around the last axis.

    Shapes: input of at least 1 axis, ``(*, L)``, output the same with each length and its padding added up.

    Raises
    ------
    RuntimeError
        When it is called, if the input has fewer axes, or a negative padding takes more than there is.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    >>> y = nn.ZeroPad1d((2, 1))(x)
    >>> y
    Tensor([[0., 0., 1., 2., 3., 0.]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[1., 2., 3.]], dtype=float32)
    """

    _dimensions = 1


class ZeroPad2d(_ZeroPad):
    """Puts zeros around the last two axes.

    Shapes: input of at least 2 axes, ``(*, H, W)``, output the same with each length and its padding added up.

    Raises
    ------
    RuntimeError
        When it is called, if the input has fewer axes, or a negative padding takes more than there is.

    Examples
    --------
    >>> x = tensor([[[1.0, 2.0], [3.0, 4.0]]], requires_grad=True)
    >>> y = nn.ZeroPad2d((1, 0, 0, 1))(x)
    >>> y
    Tensor([[[0., 1., 2.],
             [0., 3., 4.],
             [0., 0., 0.]]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[[1., 2.],
            [3., 4.]]], dtype=float32)
    """

    _dimensions = 2


class ZeroPad3d(_ZeroPad):
    """Puts zeros around the last three axes.

    Shapes: input of at least 3 axes, ``(*, D, H, W)``, output the same with each length and its padding added up.

    Raises
    ------
    RuntimeError
        When it is called, if the input has fewer axes, or a negative padding takes more than there is.

    Examples
    --------
    >>> x = tensor([[[[1.0, 2.0]]]], requires_grad=True)
    >>> y = nn.ZeroPad3d((1, 1, 0, 0, 0, 0))(x)
    >>> y
    Tensor([[[[0., 1., 2., 0.]]]], requires_grad=True)
    >>> (y * y).sum().backward(tensor(0.5))
    >>> x.grad
    array([[[[1., 2.]]]], dtype=float32)
    """

    _dimensions = 3
