"""Negative log likelihoods of numbers: a Gaussian's with its variance, and a Poisson distribution's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Pullback, common_shape, floating, unbroadcast
from manual.rules.losses.reductions import reduce_terms, spread

__all__ = ["gaussian_nll_loss", "poisson_nll_loss"]

Needs = tuple[bool, ...]
Gradients = tuple[Array | None, ...]


@floating
def gaussian_nll_loss(
    input: Array, target: Array, var: Any, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> tuple[Any, Pullback]:
    """Score a prediction of mean and variance by the Gaussian density of what came.

    Shapes: ``input`` (means) and ``target`` are broadcast; ``var`` has the input's shape, or lacks its last axis, or
    has length 1 along one axis (one variance for several numbers), or is a number; the value the broadcast shape for
    ``"none"``, else ``()``.

    Forward: with ``v = max(var, eps)`` and ``d = x - t``, ``l = (log v + d² / v) / 2``; ``full`` adds the constant
    ``log(2 π) / 2``.

    Derivation: ``dl/dx = d / v = -dl/dt`` and ``dl/dv = (1 - d² / v) / (2 v)``: the variance grows where the squared
    error is larger than it, and is best where both are equal.

    Source: Nix and Weigend, Estimating the mean and variance of the target probability distribution (1994).

    Convention: the clamp at ``eps`` is not part of the graph, as in torch: a variance below ``eps`` gets the gradient
    that a variance of ``eps`` has, and not 0.

    Raises
    ------
    ValueError
        If ``var`` has another shape, or a negative entry.
    RuntimeError
        If input and target do not broadcast.

    Examples
    --------
    >>> value, pullback = losses.gaussian_nll_loss(np.array([1.0, 3.0]), np.array([0.0, 1.0]), np.array([1.0, 4.0]))
    >>> np.round(value, 4)
    np.float64(0.8466)
    >>> pullback(np.array(2.0), (True, False, False))
    (array([1. , 0.5]), None, None)
    """
    variance = np.asarray(var, input.dtype)
    if isinstance(var, np.ndarray) and var.shape != input.shape:
        differing = [size for size, wanted in zip(var.shape, input.shape, strict=False) if size != wanted]
        if input.shape[:-1] == var.shape:
            variance = variance[..., np.newaxis]
        elif var.ndim != input.ndim or differing != [1]:
            raise ValueError("var is of incorrect size")
    if (variance < 0).any():
        raise ValueError("var has negative entry/entries")
    variance = np.maximum(variance, eps)
    shape = common_shape(input.shape, target.shape, variance.shape)
    error = np.asarray(input - target)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(error / variance)
        terms = np.asarray(0.5 * (np.log(variance) + error * ratio))
    if full:
        terms += 0.5 * math.log(2 * math.pi)

    def gaussian_nll_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
        scale = np.broadcast_to(spread(incoming, reduction, terms.size), shape)
        to_error = ratio * scale if needs[0] or needs[1] else None
        to_variance = None
        if len(needs) > 2 and needs[2]:
            with np.errstate(divide="ignore", invalid="ignore"):
                to_variance = (1 - error * ratio) / variance
            to_variance = unbroadcast(to_variance * (0.5 * scale), variance.shape).reshape(np.shape(var))
        return (
            unbroadcast(to_error, input.shape) if to_error is not None and needs[0] else None,
            unbroadcast(-to_error, target.shape) if to_error is not None and needs[1] else None,
            to_variance,
        )

    return reduce_terms(terms, reduction), gaussian_nll_loss_pullback


@floating
def poisson_nll_loss(
    input: Array,
    target: Array,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> tuple[Any, Pullback]:
    """Score a predicted rate by the Poisson probability of the count that came.

    Shapes: ``input`` (rates, or their logarithms if ``log_input``) and ``target`` (counts) are broadcast; the value
    that shape for ``"none"``, else ``()``.

    Forward: ``l = exp(x) - t x`` of a logarithm, ``l = x - t log(x + eps)`` of a rate. Left out is ``log t!``, which no
    prediction changes; ``full`` adds Stirling's approximation, ``t log t - t + log(2 π t) / 2``, where ``t > 1``.

    Derivation: ``dl/dx = exp(x) - t``, or ``1 - t / (x + eps)``: the rate is drawn to the count. ``dl/dt`` is ``-x``,
    or ``-log(x + eps)``; Stirling's terms add ``log t + 1 / (2 t)``.

    Convention: ``eps`` is added inside the logarithm. Up to ``t = 1`` Stirling's terms are left out, and so are their
    slopes; torch 2.13 answers NaN for the slope in a target of 0 (or less), this rule ``-x``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = losses.poisson_nll_loss(np.array([0.0, 1.0]), np.array([2.0, 1.0]))
    >>> np.round(value, 4)
    np.float64(1.3591)
    >>> pullback(np.array(2.0), (True, False))
    (array([-1.    ,  1.7183]), None)
    """
    shape = common_shape(input.shape, target.shape)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if log_input:
            rate, logarithm = np.exp(input), input
        else:
            rate, logarithm = input, np.log(input + eps)
        terms = np.asarray(rate - target * logarithm)
    large = target > 1
    counts = np.where(large, target, 1)
    if full:
        log_counts = np.log(counts)
        terms += np.where(large, counts * log_counts - counts + 0.5 * np.log(2 * math.pi * counts), 0)

    def poisson_nll_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
        scale = np.broadcast_to(spread(incoming, reduction, terms.size), shape)
        to_input = to_target = None
        if needs[0]:
            with np.errstate(divide="ignore", invalid="ignore"):
                slope = rate - target if log_input else 1 - target / (input + eps)
            to_input = unbroadcast(slope * scale, input.shape)
        if needs[1]:
            slope = -logarithm
            if full:
                slope = slope + np.where(large, np.log(counts) + 0.5 / counts, 0)
            to_target = unbroadcast(slope * scale, target.shape)
        return to_input, to_target

    return reduce_terms(terms, reduction), poisson_nll_loss_pullback
