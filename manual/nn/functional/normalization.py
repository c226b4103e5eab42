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
    """See :func:`manual.rules.batch_norm`."""
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
    """See :func:`manual.rules.instance_norm`."""
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
    """See :func:`manual.rules.group_norm`."""
    result: Tensor = apply(rules.group_norm, input, weight, bias, num_groups=num_groups, eps=eps)
    return result


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """See :func:`manual.rules.layer_norm`."""
    result: Tensor = apply(rules.layer_norm, input, weight, bias, normalized_shape=normalized_shape, eps=eps)
    return result


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Tensor:
    """See :func:`manual.rules.rms_norm`."""
    result: Tensor = apply(rules.rms_norm, input, weight, normalized_shape=normalized_shape, eps=eps)
    return result


local_response_norm = lift(rules.local_response_norm)
normalize = lift(rules.normalize)
