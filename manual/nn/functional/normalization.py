"""Normalisation as functions. Running statistics are arrays (or tensors), which are written to."""

from __future__ import annotations

from typing import Any

from manual import rules
from manual.tensor import Tensor, apply, as_array, lift

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "normalize",
    "rms_norm",
]


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """See :func:`manual.rules.batch_norm`.

    Shapes: ``input`` and the value ``(N, C, *)``; statistics, ``weight`` and ``bias`` ``(C,)``.

    Raises
    ------
    ValueError
        If there is one value per channel in training.
    RuntimeError
        If there are no statistics in evaluation, or a shape does not fit.

    Examples
    --------
    >>> x = tensor([[0.0], [1.0], [5.0]], requires_grad=True)
    >>> y = F.batch_norm(x, None, None, training=True)
    >>> y
    Tensor([[-0.9258],
            [-0.4629],
            [ 1.3887]], requires_grad=True)
    >>> y.backward(tensor([[3.0], [0.0], [0.0]]))
    >>> x.grad
    array([[ 0.529 ],
           [-0.6613],
           [ 0.1323]], dtype=float32)
    """
    result: Tensor = apply(
        rules.batch_norm,
        input,
        weight,
        bias,
        running_mean=_buffer(running_mean),
        running_var=_buffer(running_var),
        training=training,
        momentum=momentum,
        eps=eps,
    )
    return result


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """See :func:`manual.rules.instance_norm`.

    Shapes: ``input`` and the value ``(N, C, *)``; statistics, ``weight`` and ``bias`` ``(C,)``.

    Raises
    ------
    ValueError
        If there is one value per channel.
    RuntimeError
        If a shape does not fit.

    Examples
    --------
    >>> F.instance_norm(tensor([[[0.0, 2.0, 0.0, 2.0], [5.0, 5.0, 9.0, 9.0]]]))
    Tensor([[[-1.,  1., -1.,  1.],
             [-1., -1.,  1.,  1.]]])
    """
    result: Tensor = apply(
        rules.instance_norm,
        input,
        weight,
        bias,
        running_mean=_buffer(running_mean),
        running_var=_buffer(running_var),
        use_input_stats=use_input_stats,
        momentum=momentum,
        eps=eps,
    )
    return result


def _buffer(value: Any) -> Any:
    return None if value is None else as_array(value)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """See :func:`manual.rules.group_norm`.

    Shapes: ``input`` and the value ``(N, C, *)``; ``weight`` and ``bias`` ``(C,)``.

    Raises
    ------
    RuntimeError
        If ``num_groups`` does not divide ``C``, or a shape does not fit.

    Examples
    --------
    >>> F.group_norm(tensor([[0.0, 2.0, 10.0, 30.0]]), 2)
    Tensor([[-1.,  1., -1.,  1.]])
    """
    result: Tensor = apply(rules.group_norm, input, weight, bias, num_groups=num_groups, eps=eps)
    return result


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """See :func:`manual.rules.layer_norm`.

    Shapes: ``input`` and the value ``(*, *normalized_shape)``; ``weight`` and ``bias`` ``normalized_shape``.

    Raises
    ------
    RuntimeError
        If a shape does not fit.

    Examples
    --------
    >>> x = tensor([[0.0, 1.0, 5.0]], requires_grad=True)
    >>> y = F.layer_norm(x, (3,))
    >>> y
    Tensor([[-0.9258, -0.4629,  1.3887]], requires_grad=True)
    >>> y.backward(tensor([[3.0, 0.0, 0.0]]))
    >>> x.grad
    array([[ 0.529 , -0.6613,  0.1323]], dtype=float32)
    """
    result: Tensor = apply(rules.layer_norm, input, weight, bias, normalized_shape=normalized_shape, eps=eps)
    return result


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Tensor:
    """See :func:`manual.rules.rms_norm`.

    Shapes: ``input`` and the value ``(*, *normalized_shape)``; ``weight`` ``normalized_shape``.

    Raises
    ------
    RuntimeError
        If a shape does not fit.

    Examples
    --------
    >>> x = tensor([[1.0, 7.0]], requires_grad=True)
    >>> y = F.rms_norm(x, (2,))
    >>> y
    Tensor([[0.2, 1.4]], requires_grad=True)
    >>> y.backward(tensor([[25.0, 0.0]]))
    >>> x.grad
    array([[ 4.9, -0.7]], dtype=float32)
    """
    result: Tensor = apply(rules.rms_norm, input, weight, normalized_shape=normalized_shape, eps=eps)
    return result


local_response_norm = lift(rules.local_response_norm)
normalize = lift(rules.normalize)
