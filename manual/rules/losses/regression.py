"""Losses of the difference between a prediction and a number: squared, absolute, and the two that blend them.

All four are functions of ``d = input - target``, so their pullbacks differ in the slope alone, and the gradient of
the target is that of the input with the sign turned. Shapes that differ are broadcast, with a warning, as in torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Pullback, floating
from manual.rules.losses.reductions import difference_gradients, paired, reduce_terms, spread

__all__ = ["huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss"]


@floating
def mse_loss(input: Array, target: Array, *, reduction: str = "mean") -> tuple[Any, Pullback]:
    """Squared error.

    Shapes: ``input`` and ``target`` any one shape; the value that shape for ``"none"``, else ``()``.

    Forward: ``l = d * d`` with ``d = input - target``; the mean is over all ``n`` elements.

    Derivation: ``dl/dd = 2 d`` and ``dd/dinput = 1``, so the mean's gradient is ``2 d / n`` times the incoming one.
    With input (1, 3) and target (0, 1): d = (1, 2), loss 5/2, gradient (1, 2).

    Convention: torch has no factor 1/2, and ``"mean"`` divides by *elements*. A course's ``1/(2m)`` sums over the
    columns of a row and divides by twice the rows: it is ``columns / 2`` times this mean.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = losses.mse_loss(np.array([1.0, 3.0]), np.array([0.0, 1.0]))
    >>> np.round(value, 4)
    np.float64(2.5)
    >>> pullback(np.array(2.0), (True, False))
    (array([2., 4.]), None)
    """
    input, target = paired(input, target)
    difference = input - target

    def mse_loss_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        gradient = difference * spread(incoming, reduction, difference.size, 2.0)
        return difference_gradients(gradient, needs, input.shape, target.shape)

    return reduce_terms(difference * difference, reduction), mse_loss_pullback


@floating
def l1_loss(input: Array, target: Array, *, reduction: str = "mean") -> tuple[Any, Pullback]:
    """Absolute error.

    Shapes: ``input`` and ``target`` any one shape; the value that shape for ``"none"``, else ``()``.

    Forward: ``l = |d|`` with ``d = input - target``.

    Derivation: ``dl/dd = sign(d)``; every error pulls equally hard, however small.

    Convention: at ``d = 0`` any slope between -1 and 1 is a subgradient; torch and this rule take 0.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = losses.l1_loss(np.array([1.0, 3.0]), np.array([2.0, 1.0]))
    >>> np.round(value, 4)
    np.float64(1.5)
    >>> pullback(np.array(2.0), (True, False))
    (array([-1.,  1.]), None)
    """
    input, target = paired(input, target)
    difference = input - target

    def l1_loss_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        gradient = np.sign(difference)
        gradient *= spread(incoming, reduction, difference.size)
        return difference_gradients(gradient, needs, input.shape, target.shape)

    return reduce_terms(np.abs(difference), reduction), l1_loss_pullback


@floating
def smooth_l1_loss(input: Array, target: Array, *, reduction: str = "mean", beta: float = 1.0) -> tuple[Any, Pullback]:
    """Absolute error with its tip, of half-width ``beta``, rounded to a parabola.

    Shapes: ``input`` and ``target`` any one shape; the value that shape for ``"none"``, else ``()``.

    Forward: with ``d = input - target``, ``l = d * d / (2 beta)`` where ``|d| < beta``, else ``|d| - beta / 2``. With
    ``c = min(|d|, beta)`` both branches are ``c (|d| - c / 2) / beta``: no choice is left to make.

    Derivation: the slope is ``d / beta`` inside and ``sign(d)`` outside, that is ``d`` clipped to ``[-beta, beta]``,
    divided by ``beta``. The two sides meet at the edge, so there is no kink.

    Source: Girshick, Fast R-CNN (2015), section 2.3, where beta is 1.

    Convention: this is the Huber loss divided by ``beta``. ``beta = 0`` is the absolute error, as in torch.

    Raises
    ------
    RuntimeError
        If ``beta`` is negative.
    ValueError
        If ``reduction`` is unknown.

    Examples
    --------
    >>> value, pullback = losses.smooth_l1_loss(np.array([1.0, 5.0]), np.array([0.0, 1.0]), beta=2.0)
    >>> np.round(value, 4)
    np.float64(1.625)
    >>> pullback(np.array(2.0), (True, False))
    (array([0.5, 1. ]), None)
    """
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    input, target = paired(input, target)
    difference = input - target
    beta = float(beta)
    size = np.abs(difference)
    terms = _inside_and_outside(size, beta)
    terms *= 1.0 / beta

    def smooth_l1_loss_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        gradient = difference.clip(-beta, beta)
        gradient *= spread(incoming, reduction, difference.size, 1.0 / beta)
        return difference_gradients(gradient, needs, input.shape, target.shape)

    return reduce_terms(terms, reduction), smooth_l1_loss_pullback


@floating
def huber_loss(input: Array, target: Array, *, reduction: str = "mean", delta: float = 1.0) -> tuple[Any, Pullback]:
    """Squared error for errors up to ``delta``, growing only linearly beyond it.

    Shapes: ``input`` and ``target`` any one shape; the value that shape for ``"none"``, else ``()``.

    Forward: with ``d = input - target``, ``l = d * d / 2`` where ``|d| <= delta``, else ``delta (|d| - delta / 2)``.
    With ``c = min(|d|, delta)`` both branches are ``c (|d| - c / 2)``.

    Derivation: the slope is ``d`` inside and ``delta sign(d)`` outside: ``d`` clipped to ``[-delta, delta]``. An
    outlier pulls no harder than an error of ``delta``.

    Source: Huber, Robust Estimation of a Location Parameter (1964), section 2.

    Convention: the parabola has the factor 1/2 that ``mse_loss`` has not.

    Raises
    ------
    RuntimeError
        If ``delta`` is not positive.
    ValueError
        If ``reduction`` is unknown.

    Examples
    --------
    >>> value, pullback = losses.huber_loss(np.array([1.0, 5.0]), np.array([0.0, 1.0]), delta=2.0)
    >>> np.round(value, 4)
    np.float64(3.25)
    >>> pullback(np.array(2.0), (True, False))
    (array([1., 2.]), None)
    """
    if not delta > 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    input, target = paired(input, target)
    difference = input - target
    delta = float(delta)

    def huber_loss_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        gradient = difference.clip(-delta, delta)
        gradient *= spread(incoming, reduction, difference.size)
        return difference_gradients(gradient, needs, input.shape, target.shape)

    return reduce_terms(_inside_and_outside(np.abs(difference), delta), reduction), huber_loss_pullback


def _inside_and_outside(size: Any, edge: float) -> Any:
    """``c (size - c / 2)`` with ``c = min(size, edge)``; overwrites ``size``."""
    nearer = np.minimum(size, edge)
    size -= 0.5 * nearer
    size *= nearer
    return size
