"""Losses of a binary decision: cross entropy of a probability, and of a logit.

The target is the probability of the positive class, 0 or 1 or anything between. Gradients flow to it too, where asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Pullback, contraction, floating
from manual.rules.losses.reductions import reduce_terms, same_shape, spread

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits"]

LOWEST_LOGARITHM = -100.0
LEAST_DENOMINATOR = float(np.float32(1e-12))  # torch's constant has single precision in every dtype


@contraction
def binary_cross_entropy(
    input: Array, target: Array, *, weight: Array | None = None, reduction: str = "mean"
) -> tuple[Any, Pullback]:
    """Cross entropy of a probability.

    Shapes: ``input`` and ``target`` any one shape; ``weight`` broadcasts to it; the value that shape for ``"none"``,
    else ``()``.

    Forward: ``l = -w (t log x + (1 - t) log(1 - x))``.

    Derivation: ``dl/dx = -w (t / x - (1 - t) / (1 - x)) = w (x - t) / (x (1 - x))``, on one denominator; the linear
    part in ``t`` gives ``dl/dt = w (log(1 - x) - log x)``. After a sigmoid, whose slope is ``x (1 - x)``, only
    ``w (x - t)`` is left: ``binary_cross_entropy_with_logits`` makes use of that.

    Convention: as in torch, each logarithm is clamped from below at -100, so that a confident mistake costs 100 and
    not infinity; the gradients know nothing of that clamp (the input's keeps its denominator at 1e-12 or more instead,
    the target's is infinite at 0 and 1); and the weighted mean divides by the number of elements, not by the sum of
    the weights.

    Raises
    ------
    ValueError
        If the shapes differ.
    RuntimeError
        If an element of ``input`` or ``target`` lies outside [0, 1], or ``weight`` does not broadcast.

    Examples
    --------
    >>> value, pullback = losses.binary_cross_entropy(np.array([0.5, 0.25]), np.array([1.0, 0.0]))
    >>> np.round(value, 4)
    np.float64(0.4904)
    >>> pullback(np.array(2.0), (True, False))
    (array([-2.    ,  1.3333]), None)
    """
    input, target = same_shape(input, target)
    weight = _broadcast_weight("weight", weight, input)
    other = target - 1
    if input.size and not np.maximum.reduce(target * other, axis=None) <= 0:  # t (t - 1) <= 0 on [0, 1] only
        raise RuntimeError("all elements of target should be between 0 and 1")
    with np.errstate(divide="ignore", invalid="ignore"):
        log_input = np.maximum(np.log(input), LOWEST_LOGARITHM)
        log_rest = np.maximum(np.log1p(-input), LOWEST_LOGARITHM)
    terms = other * log_rest
    terms -= target * log_input
    if weight is not None:
        terms *= weight
    value = reduce_terms(terms, reduction)
    total = value if reduction != "none" else np.add.reduce(terms, axis=None)
    if total != total and input.size and not bool(((input >= 0) & (input <= 1)).all()):
        raise RuntimeError("all elements of input should be between 0 and 1")

    def binary_cross_entropy_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        scale = spread(incoming, reduction, input.size)
        if weight is not None:
            scale = weight * scale
        to_input = to_target = None
        if needs[0]:
            denominator = 1 - input
            denominator *= input
            to_input = input - target
            to_input /= np.maximum(denominator, LEAST_DENOMINATOR)
            to_input *= scale
        if needs[1]:
            with np.errstate(divide="ignore"):
                to_target = np.log1p(-input)
                to_target -= np.log(input)
            to_target *= scale
        return to_input, to_target

    return value, binary_cross_entropy_pullback


@floating
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> tuple[Any, Pullback]:
    """Cross entropy of the sigmoid of a logit, without ever forming ``log(0)``.

    Shapes: ``input`` and ``target`` any one shape; ``weight`` and ``pos_weight`` broadcast to it; the value that shape
    for ``"none"``, else ``()``.

    Forward: with ``s`` the sigmoid and ``p = pos_weight``, ``l = -w (p t log s(x) + (1 - t) log s(-x))``. Put
    ``softplus(-x) = -log s(x) = max(-x, 0) + log(1 + exp(-|x|))``, whose exponential cannot overflow, and note that
    ``-log s(-x) = x + softplus(-x)``: then ``l = w ((1 - t) x + (1 + (p - 1) t) softplus(-x))``.

    Derivation: ``softplus(-x)`` has the slope ``s(x) - 1``. So ``dl/dx = w ((1 - t) + (1 + (p - 1) t) (s(x) - 1))``
    ``= w ((1 + (p - 1) t) s(x) - p t)``; for ``p = 1`` that is ``w (s(x) - t)``, what was predicted less what was true.
    And ``dl/dt = w ((p - 1) softplus(-x) - x)``.

    Convention: the weighted mean divides by the number of elements, as in torch.

    Raises
    ------
    ValueError
        If the shapes differ.
    RuntimeError
        If ``weight`` or ``pos_weight`` does not broadcast.

    Examples
    --------
    >>> input = np.array([0.0, 2.0])
    >>> target = np.array([1.0, 0.0])
    >>> value, pullback = losses.binary_cross_entropy_with_logits(input, target, pos_weight=np.array(3.0))
    >>> np.round(value, 4)
    np.float64(2.1032)
    >>> pullback(np.array(2.0), (True, False))
    (array([-1.5   ,  0.8808]), None)
    """
    input, target = same_shape(input, target)
    weight = _broadcast_weight("weight", weight, input)
    pos_weight = _broadcast_weight("pos_weight", pos_weight, input)
    small = np.exp(-np.abs(input))
    softplus = np.log1p(small)
    softplus -= np.minimum(input, 0)
    emphasis = None if pos_weight is None else 1 + (pos_weight - 1) * target
    terms = (1 - target) * input
    terms += softplus if emphasis is None else emphasis * softplus
    if weight is not None:
        terms *= weight

    def binary_cross_entropy_with_logits_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        scale = spread(incoming, reduction, input.size)
        if weight is not None:
            scale = weight * scale
        to_input = to_target = None
        if needs[0]:
            to_input = np.maximum(small, input >= 0)  # the sigmoid's numerator: 1 or exp(x), whichever cannot overflow
            to_input /= 1 + small
            if emphasis is None:
                to_input -= target
            else:
                to_input *= emphasis
                to_input -= pos_weight * target
            to_input *= scale
        if needs[1]:
            to_target = -input if pos_weight is None else (pos_weight - 1) * softplus - input
            to_target *= scale
        return to_input, to_target

    return reduce_terms(terms, reduction), binary_cross_entropy_with_logits_pullback


def _broadcast_weight(name: str, weight: Any, input: Array) -> Any:
    """``weight`` in the input's dtype, known to broadcast to the input's shape."""
    if weight is None:
        return None
    weight = np.asarray(weight)
    try:
        np.broadcast_to(weight, input.shape)
    except ValueError:
        raise RuntimeError(f"{name} of shape {weight.shape} does not broadcast to the input's {input.shape}") from None
    return weight.astype(input.dtype, copy=False)
