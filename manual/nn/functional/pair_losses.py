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
    """See :func:`manual.rules.losses.cosine_embedding_loss`.

    Shapes: ``input1`` and ``input2`` ``(N, D)`` with ``target (N,)``, or ``(D,)`` with ``()``; the loss ``()``, with
    reduction ``"none"`` the target's shape.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> first = tensor([[3.0, 4.0], [3.0, 4.0]], requires_grad=True)
    >>> second = tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> target = tensor([1.0, -1.0])
    >>> loss = F.cosine_embedding_loss(first, second, target, margin=0.5, reduction="sum")
    >>> loss
    Tensor(0.7, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> first.grad
    array([[-0.256,  0.192],
           [-0.192,  0.144]], dtype=float32)
    """
    options = {"target": as_array(target), "margin": margin, "reduction": reduction}
    result: Tensor = apply(losses.cosine_embedding_loss, input1, input2, **options)
    return result


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """See :func:`manual.rules.losses.gaussian_nll_loss`; ``var`` may be a number.

    Shapes: ``input`` and ``target`` ``(N, *)``, ``var`` the same, or with a last axis of length 1 or without one; the
    loss ``()``, with reduction ``"none"`` the input's.

    Raises
    ------
    ValueError
        If ``var`` has another shape or a negative element, or ``reduction`` is unknown.

    Examples
    --------
    >>> input = tensor([1.0, 3.0], requires_grad=True)
    >>> loss = F.gaussian_nll_loss(input, tensor([0.0, 1.0]), tensor([1.0, 4.0]), reduction="sum")
    >>> loss
    Tensor(1.6931, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([2., 1.], dtype=float32)
    """
    result: Tensor = apply(losses.gaussian_nll_loss, input, target, var, full=full, eps=eps, reduction=reduction)
    return result


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.hinge_embedding_loss`.

    Shapes: ``input`` and ``target`` of one shape ``(*)``; the loss ``()``, with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([0.5, 0.5], requires_grad=True)
    >>> loss = F.hinge_embedding_loss(input, tensor([1.0, -1.0]), margin=2.0, reduction="sum")
    >>> loss
    Tensor(2., requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([ 2., -2.], dtype=float32)
    """
    result: Tensor = apply(losses.hinge_embedding_loss, input, target, margin=margin, reduction=reduction)
    return result


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.margin_ranking_loss`.

    Shapes: ``input1``, ``input2`` and ``target`` of one shape ``(N,)`` or ``()``; the loss ``()``, with reduction
    ``"none"`` that shape.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the three have not the same number of axes, or do not broadcast.

    Examples
    --------
    >>> first = tensor([1.0, 4.0], requires_grad=True)
    >>> loss = F.margin_ranking_loss(first, tensor([2.0, 1.0]), tensor([1.0, 1.0]), margin=1.0, reduction="sum")
    >>> loss
    Tensor(2., requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> first.grad
    array([-2., -0.], dtype=float32)
    """
    result: Tensor = apply(losses.margin_ranking_loss, input1, input2, target, margin=margin, reduction=reduction)
    return result


def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.multilabel_margin_loss`.

    Shapes: ``input`` and ``target`` ``(N, C)`` or ``(C,)``; a row of the target lists its classes and ends with the
    first -1. The loss ``()``, with reduction ``"none"`` ``(N,)`` or ``()``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not fit, or a target is no integer or no class.

    Examples
    --------
    >>> input = tensor([[0.0, 0.5, 2.0]], requires_grad=True)
    >>> loss = F.multilabel_margin_loss(input, tensor([[0, -1, 1]]), reduction="sum")
    >>> loss
    Tensor(1.5, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-1.3333,  0.6667,  0.6667]], dtype=float32)
    """
    result: Tensor = apply(losses.multilabel_margin_loss, input, target, reduction=reduction)
    return result


def multilabel_soft_margin_loss(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.multilabel_soft_margin_loss`.

    Shapes: ``input`` and ``target`` ``(N, C)``, ``weight (C,)``; the loss ``()``, with reduction ``"none"`` ``(N,)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    IndexError
        If the input is a scalar.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([[0.0, 2.0]], requires_grad=True)
    >>> loss = F.multilabel_soft_margin_loss(input, tensor([[1.0, 0.0]]), reduction="sum")
    >>> loss
    Tensor(1.41, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-0.5   ,  0.8808]], dtype=float32)
    """
    weight = None if weight is None else as_array(weight)
    result: Tensor = apply(losses.multilabel_soft_margin_loss, input, target, weight=weight, reduction=reduction)
    return result


def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
) -> Tensor:
    """See :func:`manual.rules.losses.poisson_nll_loss`.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, or two that broadcast; the loss ``()``, with reduction
    ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([0.0, 1.0], requires_grad=True)
    >>> loss = F.poisson_nll_loss(input, tensor([2.0, 1.0]), reduction="sum")
    >>> loss
    Tensor(2.7183, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-2.    ,  3.4366], dtype=float32)
    """
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
    """See :func:`manual.rules.losses.triplet_margin_loss`.

    Shapes: ``anchor``, ``positive`` and ``negative`` ``(N, D)`` or ``(D,)``; the loss ``()``, with reduction ``"none"``
    ``(N,)`` or ``()``.

    Raises
    ------
    ValueError
        If the margin is not positive, or ``reduction`` is unknown.
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> anchor = tensor([[0.0, 0.0]], requires_grad=True)
    >>> positive, negative = tensor([[3.0, 4.0]]), tensor([[0.0, 6.0]])
    >>> loss = F.triplet_margin_loss(anchor, positive, negative, margin=2.0, eps=0.0, reduction="sum")
    >>> loss
    Tensor(1., requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> anchor.grad
    array([[-1.2,  0.4]], dtype=float32)
    """
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

    Shapes: ``anchor``, ``positive`` and ``negative`` as the function takes them; the loss ``()``, with reduction
    ``"none"`` the shape of a distance.

    Raises
    ------
    ValueError
        If the margin is not positive, or for an unknown reduction.
    RuntimeError
        If the inputs have different numbers of axes.

    Examples
    --------
    >>> first, second, third = tensor([[0.0, 0.0]]), tensor([[3.0, 4.0]]), tensor([[0.0, 5.0]])
    >>> F.triplet_margin_with_distance_loss(first, second, third, distance_function=lambda x, y: (x - y).abs().sum(1))
    Tensor(3.)
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
