"""Losses that are content once the right answer leads by a margin.

``hinge_loss`` and ``squared_hinge_loss`` are the losses of a linear support vector machine. torch has no module for
them (its ``HingeEmbeddingLoss`` is another thing); the names here are this project's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Pullback, floating, unbroadcast
from manual.rules.losses.reductions import paired, reduce_terms, same_shape, spread

__all__ = ["hinge_loss", "multi_margin_loss", "soft_margin_loss", "squared_hinge_loss"]


@floating
def hinge_loss(input: Array, target: Array, *, reduction: str = "mean") -> tuple[Any, Pullback]:
    """Hinge loss of a score, for targets -1 and +1.

    Shapes: ``input`` (scores) and ``target`` any one shape; the value that shape for ``"none"``, else ``()``.

    Forward: ``l = max(0, 1 - y s)``.

    Derivation: where ``y s < 1`` the loss is ``1 - y s``, whose slope in ``s`` is ``-y``; elsewhere it is flat.

    Source: Cortes and Vapnik, Support-Vector Networks (1995), section 3, where the sum of these is the slack.

    Convention: at ``y s = 1`` any slope between ``-y`` and 0 is a subgradient; this rule takes 0, as ``relu`` does at
    0 (``torch.clamp(1 - y * s, min=0)`` would take ``-y``).

    Raises
    ------
    ValueError
        If the shapes differ.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = losses.hinge_loss(np.array([0.5, 3.0, 1.0]), np.array([1.0, 1.0, -1.0]))
    >>> np.round(value, 4)
    np.float64(0.8333)
    >>> pullback(np.array(2.0), (True, False))
    (array([-0.6667, -0.    ,  0.6667]), None)
    """
    input, target = same_shape(input, target)
    slack = 1 - target * input

    def hinge_loss_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        slope = (slack > 0) * -spread(incoming, reduction, slack.size)
        return slope * target if needs[0] else None, slope * input if needs[1] else None

    return reduce_terms(np.maximum(slack, 0), reduction), hinge_loss_pullback


@floating
def squared_hinge_loss(input: Array, target: Array, *, reduction: str = "mean") -> tuple[Any, Pullback]:
    """Squared hinge loss of a score, for targets -1 and +1.

    Shapes: ``input`` (scores) and ``target`` any one shape; the value that shape for ``"none"``, else ``()``.

    Forward: ``l = h * h`` with ``h = max(0, 1 - y s)``.

    Derivation: ``dl/ds = 2 h dh/ds = -2 h y``. At ``y s = 1`` both sides give 0: the square has smoothed the kink away.

    Source: LIBLINEAR (Fan et al., 2008) calls it L2-loss.

    Raises
    ------
    ValueError
        If the shapes differ.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = losses.squared_hinge_loss(np.array([0.5, 3.0, 1.0]), np.array([1.0, 1.0, -1.0]))
    >>> np.round(value, 4)
    np.float64(1.4167)
    >>> pullback(np.array(2.0), (True, False))
    (array([-0.6667, -0.    ,  2.6667]), None)
    """
    input, target = same_shape(input, target)
    slack = np.maximum(1 - target * input, 0)

    def squared_hinge_loss_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        slope = slack * spread(incoming, reduction, slack.size, -2.0)
        return slope * target if needs[0] else None, slope * input if needs[1] else None

    return reduce_terms(slack * slack, reduction), squared_hinge_loss_pullback


@floating
def soft_margin_loss(input: Array, target: Array, *, reduction: str = "mean") -> tuple[Any, Pullback]:
    """Logistic loss of a score, for targets -1 and +1.

    Shapes: ``input`` and ``target`` broadcast to one shape; the value that shape for ``"none"``, else ``()``.

    Forward: ``l = log(1 + exp(z))`` with ``z = -y s``, computed as ``max(z, 0) + log(1 + exp(-|z|))``.

    Derivation: ``dl/dz`` is ``1 / (1 + exp(-z))``, the sigmoid, so ``dl/ds = -y sigmoid(z)``.

    Convention: torch computes the formula as it is printed and overflows to infinity (with a gradient of nan) where
    ``z`` passes 88 in float32 or 709 in float64. This rule stays finite; elsewhere the two agree. torch gives no
    gradient for the target; this rule does.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = losses.soft_margin_loss(np.array([0.0, 2.0]), np.array([1.0, -1.0]))
    >>> np.round(value, 4)
    np.float64(1.41)
    >>> pullback(np.array(2.0), (True, False))
    (array([-0.5   ,  0.8808]), None)
    """
    input, target = paired(input, target)
    exponent = -(target * input)
    small = np.exp(-np.abs(exponent))
    terms = np.log1p(small)
    terms += np.maximum(exponent, 0)

    def soft_margin_loss_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        slope = np.maximum(small, exponent >= 0)
        slope /= 1 + small
        slope *= spread(incoming, reduction, slope.size, -1.0)
        return (
            unbroadcast(slope * target, input.shape) if needs[0] else None,
            unbroadcast(slope * input, target.shape) if needs[1] else None,
        )

    return reduce_terms(terms, reduction), soft_margin_loss_pullback


def multi_margin_loss(
    input: Array,
    target: Array,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | None = None,
    reduction: str = "mean",
) -> tuple[Any, Pullback]:
    """Multi-class hinge loss: every wrong class must stay a margin below the right one.

    Shapes: ``input`` (scores) ``(N, C)`` or ``(C,)``; ``target`` (integers) ``(N,)`` or ``()``; ``weight`` ``(C,)``;
    the value the target's shape for ``"none"``, else ``()``.

    Forward: ``l = w_t / C sum_(j != t) max(0, margin - x_t + x_j)^p``.

    Derivation: with ``z_j`` the argument of the maximum, each active wrong class gets ``w_t p z_j^(p-1) / C``, and the
    right one, which enters every ``z_j`` with a minus sign, gets minus their sum.

    Source: Weston and Watkins, Multi-class Support Vector Machines (1998), section 3, divided by C.

    Convention: at ``z_j = 0`` the slope is 0, and where it is not a number it counts for nothing. The mean divides by
    the rows, never by the weights. All as torch.

    Raises
    ------
    ValueError
        If ``p`` is neither 1 nor 2.
    RuntimeError
        If shapes or dtypes do not fit, or a class is out of range (torch raises no IndexError here).

    Examples
    --------
    >>> value, pullback = losses.multi_margin_loss(np.array([[2.0, 1.5, 0.0]]), np.array([0]), margin=1.0)
    >>> np.round(value, 4)
    np.float64(0.1667)
    >>> pullback(np.array(2.0), (True, False))
    (array([[-0.6667,  0.6667,  0.    ]]), None)
    """
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    target = np.asarray(target)
    scores = np.atleast_2d(input)
    labels = target.reshape(-1)
    rows, classes = scores.shape[0], scores.shape[-1]
    if scores.ndim != 2 or not classes:
        raise RuntimeError(f"expected a non-empty vector or matrix of scores, but got shape {list(input.shape)}")
    if target.ndim > 1 or labels.size != rows:
        raise RuntimeError(
            f"multi_margin_loss: target should be 1-D with one class per row. Expected target size [{rows}], "
            f"but got {list(target.shape)}. Input has shape {list(input.shape)}."
        )
    if target.dtype.kind not in "iu":
        raise RuntimeError(f"expected target dtype to be an integer dtype, but got {target.dtype}")
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise RuntimeError("target out of range")
    where = (np.arange(rows), labels)
    factor: Any = 1.0 / classes
    if weight is not None:
        if weight.shape != (classes,):
            raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight.shape)}")
        factor = weight.astype(input.dtype, copy=False)[labels] * factor
    slack = np.fmax(margin - scores[where][:, None] + scores, 0)
    slack[where] = 0
    terms = np.add.reduce(slack if p == 1 else slack * slack, axis=1)
    terms *= factor
    shape = target.shape if input.ndim == 1 else (rows,)

    def multi_margin_loss_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        scale = (spread(incoming, reduction, rows, float(p)) * factor).reshape(-1, 1)
        gradient = (slack > 0) * scale if p == 1 else slack * scale
        gradient[where] = -np.add.reduce(gradient, axis=1)
        return gradient.reshape(input.shape), None

    return reduce_terms(terms.reshape(shape), reduction), multi_margin_loss_pullback
