"""Losses of pairs, triplets, several labels and likelihoods as functions; see :mod:`manual.rules.losses`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from manual import rules
from manual.nn.functional.distance import pairwise_distance
from manual.rules import losses
from manual.tensor import Tensor, apply, as_array

__all__ = [
    "cosine_embedding_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "poisson_nll_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.cosine_embedding_loss`."""
    options = {"target": as_array(target), "margin": margin, "reduction": reduction}
    result: Tensor = apply(losses.cosine_embedding_loss, input1, input2, **options)
    return result


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """See :func:`manual.rules.losses.gaussian_nll_loss`; ``var`` may be a number."""
    result: Tensor = apply(losses.gaussian_nll_loss, input, target, var, full=full, eps=eps, reduction=reduction)
    return result


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.hinge_embedding_loss`."""
    result: Tensor = apply(losses.hinge_embedding_loss, input, target, margin=margin, reduction=reduction)
    return result


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.margin_ranking_loss`."""
    result: Tensor = apply(losses.margin_ranking_loss, input1, input2, target, margin=margin, reduction=reduction)
    return result


def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.multilabel_margin_loss`."""
    result: Tensor = apply(losses.multilabel_margin_loss, input, target, reduction=reduction)
    return result


def multilabel_soft_margin_loss(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.multilabel_soft_margin_loss`."""
    weight = None if weight is None else as_array(weight)
    result: Tensor = apply(losses.multilabel_soft_margin_loss, input, target, weight=weight, reduction=reduction)
    return result


def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
) -> Tensor:
    """See :func:`manual.rules.losses.poisson_nll_loss`."""
    options = {"log_input": log_input, "full": full, "eps": eps, "reduction": reduction}
    result: Tensor = apply(losses.poisson_nll_loss, input, target, **options)
    return result


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """See :func:`manual.rules.losses.triplet_margin_loss`."""
    options = {"margin": margin, "p": p, "eps": eps, "swap": swap, "reduction": reduction}
    result: Tensor = apply(losses.triplet_margin_loss, anchor, positive, negative, **options)
    return result


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """:func:`triplet_margin_loss` with a distance of one's own, a function of two tensors that ops are made of.

    Convention: at ``v = 0`` the slope is that of ``v``; equal distances share the gradient of the swap. As torch.

    Raises
    ------
    ValueError
        If the margin is not positive, or for an unknown reduction.
    RuntimeError
        If the inputs have different numbers of axes.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    axes = [as_array(item).ndim for item in (anchor, positive, negative)]
    if len(set(axes)) > 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {axes[0]}D, positive {axes[1]}D, and negative {axes[2]}D inputs"
        )
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = apply(rules.minimum, far, distance(positive, negative))
    violation = apply(rules.add, apply(rules.sub, near, far), margin)
    terms: Tensor = apply(rules.clamp, violation, 0)
    if reduction == "none":
        return terms
    result: Tensor = apply(rules.mean if reduction == "mean" else rules.sum, terms)
    return result
