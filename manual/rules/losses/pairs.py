"""Losses of two or three vectors or scores: which is the larger, do they belong together, which of two is nearer.

All of them are hinges: content, and flat, once the right answer leads by a margin.

Convention: exactly at the margin a hinge may have any slope between its two; torch keeps that of the *active* side here
(its ``clamp_min`` passes the gradient at the bound), and so do these rules. ``multi_margin_loss`` and
``multilabel_margin_loss`` take 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.comparison import minimum
from manual.rules.core import Array, Pullback, common_shape, floating, unbroadcast
from manual.rules.distance import pairwise_distance
from manual.rules.losses.reductions import reduce_terms, spread

__all__ = ["cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "triplet_margin_loss"]

COSINE_EPSILON = float(np.float32(1e-12))  # torch's constant has single precision in every dtype

Needs = tuple[bool, ...]
Gradients = tuple[Array | None, ...]


@floating
def margin_ranking_loss(
    input1: Array, input2: Array, target: Array, *, margin: float = 0.0, reduction: str = "mean"
) -> tuple[Any, Pullback]:
    """Demand that the first score is the larger where the target is 1, the second where it is -1.

    Shapes: ``input1``, ``input2`` and ``target`` have as many axes and are broadcast; the value that shape for
    ``"none"``, else ``()``.

    Forward: ``l = max(0, v)`` with ``v = margin - y (x1 - x2)``.

    Derivation: where ``v >= 0``, ``dl = -y dx1 + y dx2 - (x1 - x2) dy``; elsewhere nothing moves it.

    Convention: at ``v = 0`` the slope is that of ``v``, as in torch; with equal scores and no margin, where training
    may well start, that makes the difference between moving and standing still.

    Raises
    ------
    RuntimeError
        If the inputs have different numbers of axes, or do not broadcast.
    ValueError
        If ``reduction`` is unknown.

    Examples
    --------
    >>> first = np.array([1.0, 4.0])
    >>> second = np.array([2.0, 1.0])
    >>> target = np.array([1.0, 1.0])
    >>> value, pullback = losses.margin_ranking_loss(first, second, target, margin=1.0)
    >>> np.round(value, 4)
    np.float64(1.0)
    >>> pullback(np.array(2.0), (True, False, False))
    (array([-1., -0.]), None, None)
    """
    inputs = input1, input2, target
    if not input1.ndim == input2.ndim == target.ndim:
        sizes = ", ".join(
            f"{name}: {list(array.shape)}" for name, array in zip(("input1", "input2", "target"), inputs, strict=True)
        )
        raise RuntimeError(f"margin_ranking_loss : All input tensors should have same dimension but got sizes: {sizes}")
    common_shape(*[array.shape for array in inputs])
    lead = np.asarray(input1 - input2)
    violation = np.asarray(margin - target * lead)

    def margin_ranking_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
        slope = np.asarray((violation >= 0) * spread(incoming, reduction, violation.size, -1.0))
        to_lead = slope * target if needs[0] or needs[1] else None
        return (
            unbroadcast(to_lead, input1.shape) if to_lead is not None and needs[0] else None,
            unbroadcast(-to_lead, input2.shape) if to_lead is not None and needs[1] else None,
            unbroadcast(slope * lead, target.shape) if needs[2] else None,
        )

    return reduce_terms(np.maximum(violation, 0), reduction), margin_ranking_loss_pullback


def hinge_embedding_loss(
    input: Array, target: Array, *, margin: float = 1.0, reduction: str = "mean"
) -> tuple[Any, Pullback]:
    """Make a distance small where the target is 1, and larger than a margin where it is -1.

    Shapes: ``input`` (distances) and ``target`` are broadcast; the value that shape for ``"none"``, else ``()``.

    Forward: ``l = x`` where ``y = 1``, ``l = max(0, margin - x)`` where ``y = -1``.

    Derivation: slope 1 where ``y = 1``; where ``y = -1``, -1 up to the margin and 0 beyond it.

    Convention: at the margin the slope is -1. A target that is neither 1 nor -1 gets the *sum* of both terms, since
    each is left out only where the other target holds. Both as torch. The target has no gradient.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = losses.hinge_embedding_loss(np.array([0.5, 0.5]), np.array([1.0, -1.0]), margin=2.0)
    >>> np.round(value, 4)
    np.float64(1.0)
    >>> pullback(np.array(2.0), (True, False))
    (array([ 1., -1.]), None)
    """
    target = np.asarray(target)
    shape = common_shape(input.shape, target.shape)
    alike, apart = target != -1, target != 1
    slack = np.asarray(margin - input)
    terms = np.where(apart, np.maximum(slack, 0), 0) + np.where(alike, input, 0)
    terms = np.asarray(terms, input.dtype)

    def hinge_embedding_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
        slope = np.subtract(alike, apart & (slack >= 0), dtype=input.dtype)
        slope = np.asarray(np.broadcast_to(slope, shape) * spread(incoming, reduction, terms.size))
        return unbroadcast(slope, input.shape) if needs[0] else None, None

    return reduce_terms(terms, reduction), hinge_embedding_loss_pullback


@floating
def cosine_embedding_loss(
    input1: Array, input2: Array, *, target: Array, margin: float = 0.0, reduction: str = "mean"
) -> tuple[Any, Pullback]:
    """Turn vectors towards each other where the target is 1, and apart where it is -1.

    Shapes: ``input1`` and ``input2`` broadcast to ``(N, D)`` or ``(D,)``; ``target`` ``(N,)`` or ``()``; the value the
    target's shape for ``"none"``, else ``()``.

    Forward: with ``c`` the cosine of the angle, ``l = 1 - c`` where ``y = 1`` and ``l = max(0, c - margin)`` where
    ``y = -1``. The cosine is ``p / sqrt(a b)`` with ``p = x1·x2``, ``a = x1·x1 + e`` and ``b = x2·x2 + e``.

    Derivation: ``dp = x2·dx1`` and ``da = 2 x1·dx1``, so ``dc = (x2 / sqrt(a b) - c x1 / a)·dx1``, and the same with
    both exchanged. The loss's slope in ``c`` is -1 for ``y = 1``; for ``y = -1`` it is 1 from the margin on.

    Convention: ``e = 1e-12`` (in single precision) is added to the *squared* lengths, unlike in ``cosine_similarity``;
    at ``c = margin`` the slope is 1; a row with another target costs nothing. All as torch. The target has no gradient.

    Raises
    ------
    RuntimeError
        If the shapes do not fit.
    ValueError
        If ``reduction`` is unknown.

    Examples
    --------
    >>> first = np.array([[3.0, 4.0], [3.0, 4.0]])
    >>> second = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> target = np.array([1.0, -1.0])
    >>> value, pullback = losses.cosine_embedding_loss(first, second, target=target, margin=0.5)
    >>> np.round(value, 4)
    np.float64(0.35)
    >>> pullback(np.array(2.0), (True, False))
    (array([[-0.128,  0.096],
           [-0.096,  0.072]]), None)
    """
    target = np.asarray(target)
    if target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if not input1.ndim == input2.ndim == target.ndim + 1:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, "
            f"but found inputs with sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    inputs = input1, input2
    shape = common_shape(input1.shape, input2.shape)
    rows = common_shape(shape[:-1], target.shape)
    product = np.asarray(np.add.reduce(input1 * input2, axis=-1))
    squares = [np.asarray(np.add.reduce(array * array, axis=-1) + COSINE_EPSILON) for array in inputs]
    scale = 1 / np.sqrt(squares[0] * squares[1])
    cosine = np.asarray(product * scale)
    alike, apart = target == 1, target == -1
    terms = np.where(alike, 1 - cosine, 0) + np.where(apart, np.maximum(cosine - margin, 0), 0)
    terms = np.asarray(terms, input1.dtype)

    def cosine_embedding_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
        slope = np.subtract(apart & (cosine - margin >= 0), alike, dtype=input1.dtype)
        slope = np.asarray(np.broadcast_to(slope, rows) * spread(incoming, reduction, terms.size))
        gradients: list[Array | None] = []
        for place, need in enumerate(needs):
            if not need:
                gradients.append(None)
                continue
            gradient = (slope * scale)[..., np.newaxis] * inputs[1 - place]
            gradient = gradient - (slope * cosine / squares[place])[..., np.newaxis] * inputs[place]
            gradients.append(unbroadcast(gradient, inputs[place].shape))
        return tuple(gradients)

    return reduce_terms(terms, reduction), cosine_embedding_loss_pullback


@floating
def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> tuple[Any, Pullback]:
    """Bring an anchor nearer to its positive than to its negative, by a margin.

    Shapes: ``anchor``, ``positive`` and ``negative`` ``(N, D)`` or ``(D,)``, broadcast; the value ``(N,)`` or ``()``
    for ``"none"``, else ``()``.

    Forward: ``l = max(0, v)`` with ``v = margin + d(a, p) - d(a, n)`` and ``d`` the p-norm distance of
    :func:`manual.rules.pairwise_distance`. With ``swap``, ``d(a, n)`` is replaced by ``d(p, n)`` where that is smaller:
    the negative is then pushed away from whichever of the two it is nearer to.

    Derivation: where ``v >= 0``, ``dl = d d(a, p) - d d(a, n)``; each distance hands its share to its own two vectors,
    and the shares of a vector add up.

    Source: Balntas et al., Learning local feature descriptors with triplets and shallow convolutional neural networks
    (2016); the swap is their "anchor swap".

    Convention: at ``v = 0`` the slope is that of ``v``; of two equal distances in the swap each gets half. As torch.

    Raises
    ------
    ValueError
        If the margin is not positive.
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> anchor = np.array([[0.0, 0.0]])
    >>> positive = np.array([[3.0, 4.0]])
    >>> negative = np.array([[0.0, 6.0]])
    >>> value, pullback = losses.triplet_margin_loss(anchor, positive, negative, margin=2.0, eps=0.0)
    >>> np.round(value, 4)
    np.float64(1.0)
    >>> pullback(np.array(2.0), (True, False, False))
    (array([[-1.2,  0.4]]), None, None)
    """
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    near, near_pullback = pairwise_distance(anchor, positive, p=p, eps=eps)
    far, far_pullback = pairwise_distance(anchor, negative, p=p, eps=eps)
    if swap:
        other, other_pullback = pairwise_distance(positive, negative, p=p, eps=eps)
        far, nearer_pullback = minimum(far, other)
    violation = np.asarray(near - far + margin)

    def triplet_margin_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
        slope = np.asarray((violation >= 0) * spread(incoming, reduction, violation.size))
        to_anchor, to_positive = near_pullback(unbroadcast(slope, near.shape), (needs[0], needs[1]))
        to_far = unbroadcast(-slope, np.shape(far))
        if not swap:
            again, to_negative = far_pullback(to_far, (needs[0], needs[2]))
            return _sum(to_anchor, again), to_positive, to_negative
        to_far, to_other = nearer_pullback(np.asarray(to_far), (True, True))
        again, to_negative = far_pullback(to_far, (needs[0], needs[2]))
        more, to_negative_too = other_pullback(to_other, (needs[1], needs[2]))
        return _sum(to_anchor, again), _sum(to_positive, more), _sum(to_negative, to_negative_too)

    return reduce_terms(np.maximum(violation, 0), reduction), triplet_margin_loss_pullback


def _sum(one: Array | None, other: Array | None) -> Array | None:
    return None if one is None or other is None else one + other
