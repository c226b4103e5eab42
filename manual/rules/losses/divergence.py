"""Kullback-Leibler divergence."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from manual.rules.core import Array, Pullback, floating, unbroadcast
from manual.rules.losses.reductions import reduce_terms, spread

__all__ = ["kl_div"]


@floating
def kl_div(input: Array, target: Array, *, reduction: str = "mean", log_target: bool = False) -> tuple[Any, Pullback]:
    """Divergence of the distribution ``exp(input)`` from the distribution ``target``.

    Shapes: ``input`` (log-probabilities) and ``target`` broadcast to one shape ``(N, ...)``; the value that shape for
    ``"none"``, else ``()``.

    Forward: ``l = t (log t - x)``, with ``0 log 0 = 0``; if ``log_target``, ``target`` holds ``u = log t`` and
    ``l = exp(u) (u - x)``.

    Derivation: ``l`` is linear in ``x``: ``dl/dx = -t``. By the product rule ``dl/dt = log t + 1 - x``, and
    ``dl/du = exp(u) (u - x + 1)``.

    Convention: ``"batchmean"`` divides the sum by the rows, which is the mathematical mean over a batch; ``"mean"``
    divides by all elements and, as in torch, warns that it does. At ``t = 0`` the slope in ``t`` is minus infinity in
    mathematics and nan in torch (0/0 of ``t log t``): this rule gives nan too.

    Raises
    ------
    ValueError
        For an unknown reduction.

    Examples
    --------
    >>> value, pullback = losses.kl_div(np.array([[-1.0, -0.5]]), np.array([[0.25, 0.75]]), reduction="batchmean")
    >>> np.round(value, 4)
    np.float64(0.0627)
    >>> pullback(np.array(2.0), (True, False))
    (array([[-0.5, -1.5]]), None)
    """
    input, target = np.asarray(input), np.asarray(target)
    if log_target:
        log_of_target, probability = target, np.exp(target)
    else:
        probability = target
        log_of_target = np.zeros_like(target)
        with np.errstate(invalid="ignore"):  # what is below 0 has no logarithm, and its term is nan, as in torch
            np.log(target, out=log_of_target, where=target != 0)
    terms = log_of_target - input
    terms *= probability
    if reduction == "mean":
        warnings.warn(
            "reduction 'mean' divides by the elements; 'batchmean' divides by the rows, as the divergence is defined",
            UserWarning,
            stacklevel=4,
        )
    batchmean = reduction == "batchmean"
    divisor = terms.size
    if batchmean:
        divisor = input.shape[0] if input.ndim else 1
    value = reduce_terms(terms, "sum" if batchmean else reduction)
    if batchmean:
        value = value / (divisor or math.nan)

    def kl_div_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        scale = spread(incoming, "mean" if batchmean else reduction, divisor)
        to_input = to_target = None
        if needs[0]:
            to_input = probability * -scale
            if to_input.shape != terms.shape:  # the target alone is smaller than what it was broadcast to
                to_input = np.broadcast_to(to_input, terms.shape)
            to_input = unbroadcast(to_input, input.shape)
        if needs[1]:
            to_target = terms + probability if log_target else log_of_target - input + 1
            if not log_target and not probability.all():
                to_target = np.where(probability == 0, math.nan, to_target)
            to_target = unbroadcast(to_target * scale, target.shape)
        return to_input, to_target

    return value, kl_div_pullback
