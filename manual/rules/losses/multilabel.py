"""Losses of rows that belong to several classes at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Pullback, common_shape, floating, unbroadcast
from manual.rules.losses.binary import binary_cross_entropy_with_logits
from manual.rules.losses.reductions import reduce_terms, spread

__all__ = ["multilabel_margin_loss", "multilabel_soft_margin_loss"]

Needs = tuple[bool, ...]
Gradients = tuple[Array | None, ...]


def multilabel_margin_loss(input: Array, target: Array, *, reduction: str = "mean") -> tuple[Any, Pullback]:
    """Demand that every class of a row scores a margin of 1 above every other class.

    Shapes: ``input`` (scores) ``(N, C)`` or ``(C,)``; ``target`` (int64) alike: the row's classes, then -1, and what
    follows it is not read; the value ``(N,)`` or ``()`` for ``"none"``, else ``()``.

    Forward: ``l = 1/C Σ_t Σ_(j no class of the row) max(0, z_tj)`` with ``z_tj = 1 - x_t + x_j``.

    Derivation: every active pair, ``z_tj > 0``, adds ``1/C`` to the gradient of ``x_j`` and takes it from that of
    ``x_t``: a pair of classes is a row and a column of one matrix of ones and zeros, whose sums both are.

    Convention: at ``z = 0`` the slope is 0, as in ``multi_margin_loss``. A class that is named twice counts twice. The
    mean is over rows. All as torch.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit, or a class is out of range.
    ValueError
        If ``reduction`` is unknown.

    Examples
    --------
    >>> value, pullback = losses.multilabel_margin_loss(np.array([[0.0, 0.5, 2.0]]), np.array([[0, -1, 1]]))
    >>> np.round(value, 4)
    np.float64(1.5)
    >>> pullback(np.array(2.0), (True, False))
    (array([[-1.3333,  0.6667,  0.6667]]), None)
    """
    target = np.asarray(target)
    if input.ndim > 2 or (input.ndim and not input.shape[-1]):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}"
        )
    if target.shape != input.shape:
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")
    if target.dtype != np.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype}")
    scores, labels = np.atleast_2d(input), np.atleast_2d(target)
    rows, classes = scores.shape
    if labels.size and (labels.min() < -1 or labels.max() >= classes):
        raise RuntimeError("argument #2 'target' is out of range")
    named = np.logical_and.accumulate(labels >= 0, axis=1)
    named = named[:, : max(int(named.sum(axis=1).max(initial=0)), 1)]
    labels = np.where(named, labels[:, : named.shape[1]], 0)
    own = np.zeros((rows, classes), bool)
    row, place = np.nonzero(named)
    own[row, labels[row, place]] = True
    counts = named[:, :, np.newaxis] & ~own[:, np.newaxis, :]
    lag = scores[:, np.newaxis, :] + (1 - np.take_along_axis(scores, labels, 1))[:, :, np.newaxis]
    slack = np.where(counts, np.maximum(lag, 0), 0)
    terms = np.add.reduce(slack, axis=(1, 2))
    terms *= 1.0 / classes

    def multilabel_margin_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
        active = slack > 0
        gradient = np.add.reduce(active, axis=1, dtype=input.dtype)
        behind = np.add.reduce(active, axis=2, dtype=input.dtype)
        np.subtract.at(gradient, (row, labels[row, place]), behind[row, place])
        gradient *= np.reshape(spread(incoming, reduction, rows, 1.0 / classes), (-1, 1))
        return gradient.reshape(input.shape), None

    return reduce_terms(terms.reshape(input.shape[:-1]), reduction), multilabel_margin_loss_pullback


@floating
def multilabel_soft_margin_loss(
    input: Array, target: Array, *, weight: Array | None = None, reduction: str = "mean"
) -> tuple[Any, Pullback]:
    """Average the cross entropies of each class's own decision, yes or no.

    Shapes: ``input`` (logits) and ``target`` broadcast to ``(..., C)``; ``weight`` broadcasts to that; the value
    ``(...)`` for ``"none"``, else ``()``.

    Forward: ``l = 1/C Σ_c w_c (softplus(-x_c) t_c + softplus(x_c) (1 - t_c))``: the mean over the classes of
    :func:`binary_cross_entropy_with_logits`.

    Derivation: ``dl/dx_c = w_c (sigmoid(x_c) - t_c) / C`` and ``dl/dt_c = -w_c x_c / C``, by the pullback of that rule
    with the incoming gradient repeated along the classes.

    Convention: the mean divides by elements, never by weights; ``"none"`` still averages over the classes.

    Raises
    ------
    RuntimeError
        If the shapes do not broadcast.
    IndexError
        If there is no axis of classes.
    ValueError
        If ``reduction`` is unknown.

    Examples
    --------
    >>> value, pullback = losses.multilabel_soft_margin_loss(np.array([[0.0, 2.0]]), np.array([[1.0, 0.0]]))
    >>> np.round(value, 4)
    np.float64(1.41)
    >>> pullback(np.array(2.0), (True, False))
    (array([[-0.5   ,  0.8808]]), None)
    """
    shape = common_shape(input.shape, target.shape)
    if not shape:
        raise IndexError("Dimension specified as -1 but tensor has no dimensions")
    logits, labels = np.broadcast_to(input, shape), np.broadcast_to(target, shape)
    terms, entropy_pullback = binary_cross_entropy_with_logits(logits, labels, weight=weight, reduction="none")
    classes = shape[-1]
    losses = np.asarray(np.add.reduce(terms, axis=-1) / classes)

    def multilabel_soft_margin_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
        share = np.reshape(spread(incoming, reduction, losses.size, 1.0 / classes), (*np.shape(incoming), 1))
        share = np.broadcast_to(share, shape)
        to_input, to_target = entropy_pullback(share, needs)
        return (
            None if to_input is None else unbroadcast(to_input, input.shape),
            None if to_target is None else unbroadcast(to_target, target.shape),
        )

    return reduce_terms(losses, reduction), multilabel_soft_margin_loss_pullback
