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
    """See :func:`manual.rules.relu`."""
    result: Tensor = apply(rules.relu, input)
    return result


def relu6(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.relu6`."""
    result: Tensor = apply(rules.relu6, input)
    return result


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.leaky_relu`."""
    result: Tensor = apply(rules.leaky_relu, input, negative_slope=negative_slope)
    return result


def rrelu(
    input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Shrink what is negative by slopes drawn between the bounds; in evaluation by the slope halfway between them.

    See :func:`manual.rules.rrelu`.

    Raises
    ------
    RuntimeError
        If the bounds are the wrong way round.
    """
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if training:
        result: Tensor = apply(rules.rrelu, input, random.uniform(as_array(input).shape, lower, upper))
        return result
    return leaky_relu(input, (lower + upper) / 2)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.elu`."""
    result: Tensor = apply(rules.elu, input, alpha=alpha)
    return result


def selu(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.selu`."""
    result: Tensor = apply(rules.selu, input)
    return result


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.celu`."""
    result: Tensor = apply(rules.celu, input, alpha=alpha)
    return result


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.hardtanh`."""
    result: Tensor = apply(rules.hardtanh, input, min_val=min_val, max_val=max_val)
    return result


def silu(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.silu`."""
    result: Tensor = apply(rules.silu, input)
    return result


def mish(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.mish`."""
    result: Tensor = apply(rules.mish, input)
    return result


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.threshold`."""
    result: Tensor = apply(rules.threshold, input, threshold=threshold, value=value)
    return result


def hardsigmoid(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.hardsigmoid`."""
    result: Tensor = apply(rules.hardsigmoid, input)
    return result


def hardswish(input: Any, inplace: bool = False) -> Tensor:
    """See :func:`manual.rules.hardswish`."""
    result: Tensor = apply(rules.hardswish, input)
    return result


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """See :func:`manual.rules.softmax`; ``dtype`` is that in which it is taken."""
    return _along(rules.softmax, input, dim, dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """See :func:`manual.rules.log_softmax`; ``dtype`` is that in which it is taken."""
    return _along(rules.log_softmax, input, dim, dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """See :func:`manual.rules.softmin`; ``dtype`` is that in which it is taken."""
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
