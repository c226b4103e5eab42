"""Activations as functions.

``inplace`` is accepted, as in torch, and has no effect on the numbers: no rule writes to its input.
"""

from __future__ import annotations

from typing import Any

from manual import random, rules
from manual.tensor import Tensor, apply, as_array, lift

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]

gelu = lift(rules.gelu)
sigmoid = lift(rules.sigmoid)
logsigmoid = lift(rules.logsigmoid)
tanh = lift(rules.tanh)
softplus = lift(rules.softplus)
softsign = lift(rules.softsign)
tanhshrink = lift(rules.tanhshrink)
hardshrink = lift(rules.hardshrink)
softshrink = lift(rules.softshrink)
prelu = lift(rules.prelu)
glu = lift(rules.glu)


def relu(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.relu`.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = F.relu(x)
    >>> y
    Tensor([0., 2.], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([0., 5.], dtype=float32)
    """
    result: Tensor = apply(rules.relu, input)
    return result


def relu6(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.relu6`.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0, 9.0], requires_grad=True)
    >>> y = F.relu6(x)
    >>> y
    Tensor([0., 2., 6.], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0, 7.0]))
    >>> x.grad
    array([0., 5., 0.], dtype=float32)
    """
    result: Tensor = apply(rules.relu6, input)
    return result


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.leaky_relu`.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = F.leaky_relu(x, negative_slope=0.1)
    >>> y
    Tensor([-0.1,  2. ], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([0.3, 5. ], dtype=float32)
    """
    result: Tensor = apply(rules.leaky_relu, input, negative_slope=negative_slope)
    return result


def rrelu(
    input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Shrink what is negative by slopes drawn between the bounds; in evaluation by the slope halfway between them.

    See :func:`manual.rules.rrelu`.

    Shapes: ``input`` and the value alike, of any shape.

    Raises
    ------
    RuntimeError
        If the bounds are the wrong way round.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = F.rrelu(x, lower=0.25, upper=0.75)
    >>> y
    Tensor([-0.5,  2. ], requires_grad=True)
    >>> y.backward(tensor([4.0, 5.0]))
    >>> x.grad
    array([2., 5.], dtype=float32)
    """
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if training:
        result: Tensor = apply(rules.rrelu, input, random.uniform(as_array(input).shape, lower, upper))
        return result
    return leaky_relu(input, (lower + upper) / 2)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.elu`.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = F.elu(x, alpha=2.0)
    >>> y
    Tensor([-1.2642,  2.    ], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([2.2073, 5.    ], dtype=float32)
    """
    result: Tensor = apply(rules.elu, input, alpha=alpha)
    return result


def selu(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.selu`.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = F.selu(x)
    >>> y
    Tensor([-1.1113,  2.1014], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([1.9403, 5.2535], dtype=float32)
    """
    result: Tensor = apply(rules.selu, input)
    return result


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.celu`.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = F.celu(x, alpha=2.0)
    >>> y
    Tensor([-0.7869,  2.    ], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([1.8196, 5.    ], dtype=float32)
    """
    result: Tensor = apply(rules.celu, input, alpha=alpha)
    return result


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.hardtanh`.

    Shapes: input and output alike, of any shape ``(*)``.

    Raises nothing: where the bounds are the wrong way round, everything becomes ``max_val``.

    Examples
    --------
    >>> x = tensor([-3.0, 0.5, 2.5], requires_grad=True)
    >>> y = F.hardtanh(x, min_val=-1.0, max_val=2.0)
    >>> y
    Tensor([-1. ,  0.5,  2. ], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0, 7.0]))
    >>> x.grad
    array([0., 5., 0.], dtype=float32)
    """
    result: Tensor = apply(rules.hardtanh, input, min_val=min_val, max_val=max_val)
    return result


def silu(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.silu`.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([0.0, 2.0], requires_grad=True)
    >>> y = F.silu(x)
    >>> y
    Tensor([0.    , 1.7616], requires_grad=True)
    >>> y.backward(tensor([4.0, 1.0]))
    >>> x.grad
    array([2.    , 1.0908], dtype=float32)
    """
    result: Tensor = apply(rules.silu, input)
    return result


def mish(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.mish`.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([0.0, 2.0], requires_grad=True)
    >>> y = F.mish(x)
    >>> y
    Tensor([0.   , 1.944], requires_grad=True)
    >>> y.backward(tensor([5.0, 1.0]))
    >>> x.grad
    array([3.    , 1.0693], dtype=float32)
    """
    result: Tensor = apply(rules.mish, input)
    return result


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.threshold`.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([0.5, 2.0], requires_grad=True)
    >>> y = F.threshold(x, threshold=1.0, value=-9.0)
    >>> y
    Tensor([-9.,  2.], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([0., 5.], dtype=float32)
    """
    result: Tensor = apply(rules.threshold, input, threshold=threshold, value=value)
    return result


def hardsigmoid(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.hardsigmoid`.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-4.0, 0.0, 1.5], requires_grad=True)
    >>> y = F.hardsigmoid(x)
    >>> y
    Tensor([0.  , 0.5 , 0.75], requires_grad=True)
    >>> y.backward(tensor([6.0, 12.0, 18.0]))
    >>> x.grad
    array([0., 2., 3.], dtype=float32)
    """
    result: Tensor = apply(rules.hardsigmoid, input)
    return result


def hardswish(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.hardswish`.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-4.0, 0.0, 3.0], requires_grad=True)
    >>> y = F.hardswish(x)
    >>> y
    Tensor([-0.,  0.,  3.], requires_grad=True)
    >>> y.backward(tensor([6.0, 12.0, 2.0]))
    >>> x.grad
    array([0., 6., 2.], dtype=float32)
    """
    result: Tensor = apply(rules.hardswish, input)
    return result


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """See :func:`manual.rules.softmax`; ``dtype`` is that in which it is taken.

    Shapes: input and output alike, of any shape; ``dim`` is the axis of the classes.

    Raises
    ------
    ValueError
        If ``dim`` is not given.
    IndexError
        When it is called, if the input has no axis ``dim``.

    Examples
    --------
    >>> x = tensor([0.0, 0.0], requires_grad=True)
    >>> y = F.softmax(x, dim=0)
    >>> y
    Tensor([0.5, 0.5], requires_grad=True)
    >>> y.backward(tensor([4.0, 0.0]))
    >>> x.grad
    array([ 1., -1.], dtype=float32)
    """
    return _along(rules.softmax, input, dim, dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """See :func:`manual.rules.log_softmax`; ``dtype`` is that in which it is taken.

    Shapes: input and output alike, of any shape; ``dim`` is the axis of the classes.

    Raises
    ------
    ValueError
        If ``dim`` is not given.
    IndexError
        When it is called, if the input has no axis ``dim``.

    Examples
    --------
    >>> x = tensor([0.0, 0.0], requires_grad=True)
    >>> y = F.log_softmax(x, dim=0)
    >>> y
    Tensor([-0.6931, -0.6931], requires_grad=True)
    >>> y.backward(tensor([4.0, 0.0]))
    >>> x.grad
    array([ 2., -2.], dtype=float32)
    """
    return _along(rules.log_softmax, input, dim, dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """See :func:`manual.rules.softmin`; ``dtype`` is that in which it is taken.

    Shapes: input and output alike, of any shape; ``dim`` is the axis of the classes.

    Raises
    ------
    ValueError
        If ``dim`` is not given.
    IndexError
        When it is called, if the input has no axis ``dim``.

    Examples
    --------
    >>> x = tensor([0.0, 0.0], requires_grad=True)
    >>> y = F.softmin(x, dim=0)
    >>> y
    Tensor([0.5, 0.5], requires_grad=True)
    >>> y.backward(tensor([4.0, 0.0]))
    >>> x.grad
    array([-1.,  1.], dtype=float32)
    """
    return _along(rules.softmin, input, dim, dtype)


def _along(rule: Any, input: Any, dim: int | None, dtype: Any) -> Tensor:
    if dim is None:
        raise ValueError(
            f"{rule.__name__}: name the axis, dim=...; torch guesses one, which has been the wrong one too often"
        )
    if dtype is not None:
        input = apply(rules.to, input, dtype=dtype)
    result: Tensor = apply(rule, input, dim=dim)
    return result
