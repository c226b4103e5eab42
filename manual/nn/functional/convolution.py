"""Convolutions as functions. The derivations are in :mod:`manual.rules.convolution`."""

from __future__ import annotations

from typing import Any

from manual import rules
from manual.tensor import Tensor, apply

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]


def _convolved(rule: Any, n: int, input: Any, weight: Any, bias: Any, **options: Any) -> Tensor:
    if weight.ndim != n + 2:
        raise RuntimeError(
            f"Expected {n + 2}-dimensional weight for a convolution over {n} axes, but got weight of size "
            f"{list(weight.shape)}"
        )
    result: Tensor = apply(rule, input, weight, bias, **options)
    return result


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """:func:`manual.rules.conv_nd` over one axis of space.

    Shapes: ``input (N, C, L)`` or without ``N``, ``weight (O, C / groups, ...)``, ``bias (O,)``; the value ``(N, O,
    ...)``.

    Raises
    ------
    RuntimeError
        If a shape or a length does not fit.

    Examples
    --------
    >>> x = tensor([[[1.0, 3.0, 2.0]]], requires_grad=True)
    >>> y = F.conv1d(x, tensor([[[2.0, -1.0]]]))
    >>> y
    Tensor([[[-1.,  4.]]], requires_grad=True)
    >>> y.backward(tensor([[[5.0, 7.0]]]))
    >>> x.grad
    array([[[10.,  9., -7.]]], dtype=float32)
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _convolved(rules.conv_nd, 1, input, weight, bias, **options)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """:func:`manual.rules.conv_nd` over two axes of space.

    Shapes: ``input (N, C, H, W)`` or without ``N``, ``weight (O, C / groups, ...)``, ``bias (O,)``; the value ``(N, O,
    ...)``.

    Raises
    ------
    RuntimeError
        If a shape or a length does not fit.

    Examples
    --------
    >>> x = tensor([[[[1.0, 3.0, 2.0]]]], requires_grad=True)
    >>> y = F.conv2d(x, tensor([[[[2.0, -1.0]]]]))
    >>> y
    Tensor([[[[-1.,  4.]]]], requires_grad=True)
    >>> y.backward(tensor([[[[5.0, 7.0]]]]))
    >>> x.grad
    array([[[[10.,  9., -7.]]]], dtype=float32)
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _convolved(rules.conv_nd, 2, input, weight, bias, **options)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """:func:`manual.rules.conv_nd` over three axes of space.

    Shapes: ``input (N, C, D, H, W)`` or without ``N``, ``weight (O, C / groups, ...)``, ``bias (O,)``; the value ``(N,
    O, ...)``.

    Raises
    ------
    RuntimeError
        If a shape or a length does not fit.

    Examples
    --------
    >>> x = tensor([[[[[1.0, 3.0, 2.0]]]]], requires_grad=True)
    >>> y = F.conv3d(x, tensor([[[[[2.0, -1.0]]]]]))
    >>> y
    Tensor([[[[[-1.,  4.]]]]], requires_grad=True)
    >>> y.backward(tensor([[[[[5.0, 7.0]]]]]))
    >>> x.grad
    array([[[[[10.,  9., -7.]]]]], dtype=float32)
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _convolved(rules.conv_nd, 3, input, weight, bias, **options)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """:func:`manual.rules.conv_transpose_nd` over one axis of space.

    Shapes: ``input (N, C, L)`` or without ``N``, ``weight (C, O / groups, ...)``, ``bias (O,)``; the value ``(N, O,
    ...)``.

    Raises
    ------
    RuntimeError
        If a shape or a length does not fit.

    Examples
    --------
    >>> x = tensor([[[3.0, 1.0]]], requires_grad=True)
    >>> y = F.conv_transpose1d(x, tensor([[[2.0, -1.0]]]))
    >>> y
    Tensor([[[ 6., -1., -1.]]], requires_grad=True)
    >>> y.backward(tensor([[[5.0, 7.0, 0.0]]]))
    >>> x.grad
    array([[[ 3., 14.]]], dtype=float32)
    """
    options = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    return _convolved(rules.conv_transpose_nd, 1, input, weight, bias, groups=groups, **options)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """:func:`manual.rules.conv_transpose_nd` over two axes of space.

    Shapes: ``input (N, C, H, W)`` or without ``N``, ``weight (C, O / groups, ...)``, ``bias (O,)``; the value ``(N, O,
    ...)``.

    Raises
    ------
    RuntimeError
        If a shape or a length does not fit.

    Examples
    --------
    >>> x = tensor([[[[3.0, 1.0]]]], requires_grad=True)
    >>> y = F.conv_transpose2d(x, tensor([[[[2.0, -1.0]]]]))
    >>> y
    Tensor([[[[ 6., -1., -1.]]]], requires_grad=True)
    >>> y.backward(tensor([[[[5.0, 7.0, 0.0]]]]))
    >>> x.grad
    array([[[[ 3., 14.]]]], dtype=float32)
    """
    options = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    return _convolved(rules.conv_transpose_nd, 2, input, weight, bias, groups=groups, **options)


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """:func:`manual.rules.conv_transpose_nd` over three axes of space.

    Shapes: ``input (N, C, D, H, W)`` or without ``N``, ``weight (C, O / groups, ...)``, ``bias (O,)``; the value ``(N,
    O, ...)``.

    Raises
    ------
    RuntimeError
        If a shape or a length does not fit.

    Examples
    --------
    >>> x = tensor([[[[[3.0, 1.0]]]]], requires_grad=True)
    >>> y = F.conv_transpose3d(x, tensor([[[[[2.0, -1.0]]]]]))
    >>> y
    Tensor([[[[[ 6., -1., -1.]]]]], requires_grad=True)
    >>> y.backward(tensor([[[[[5.0, 7.0, 0.0]]]]]))
    >>> x.grad
    array([[[[[ 3., 14.]]]]], dtype=float32)
    """
    options = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    return _convolved(rules.conv_transpose_nd, 3, input, weight, bias, groups=groups, **options)
