"""Losses as functions. The formulas and their derivations are in :mod:`manual.rules.losses`."""

from __future__ import annotations

from typing import Any

from manual import rules
from manual.rules import losses
from manual.tensor import Tensor, apply, as_array

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "multi_margin_loss",
    "nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "squared_hinge_loss",
]


def _loss(rule: Any, input: Any, target: Any, **options: Any) -> Tensor:
    weights = {name: None if options[name] is None else as_array(options[name]) for name in options if "weight" in name}
    result: Tensor = apply(rule, input, target, **{**options, **weights})
    return result


def _weighted(rule: Any, input: Any, target: Any, weight: Any, reduction: str, **options: Any) -> Tensor:
    """Weight the terms of a loss of differences, element by element. The weights may need a gradient too.

    Convention: torch's mean divides by the sum of the weights, but that of ``huber_loss`` by the number of elements.
    """
    if weight is None:
        return _loss(rule, input, target, reduction=reduction, **options)
    if as_array(weight).shape != as_array(input).shape:
        raise ValueError("Weights and input must have the same size.")
    terms: Tensor = apply(rules.mul, _loss(rule, input, target, reduction="none", **options), weight)
    if reduction == "none":
        return terms
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    total: Tensor = apply(rules.sum, terms)
    if reduction == "sum":
        return total
    divisor = terms.numel() if rule is losses.huber_loss else apply(rules.sum, weight)
    result: Tensor = apply(rules.div, total, divisor)
    return result


def mse_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """See :func:`manual.rules.losses.mse_loss`; ``weight`` has the input's shape.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, or two that broadcast, with a warning; the loss ``()``, with
    reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([1.0, 3.0], requires_grad=True)
    >>> loss = F.mse_loss(input, tensor([0.0, 1.0]), reduction="sum")
    >>> loss
    Tensor(5., requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([4., 8.], dtype=float32)
    """
    return _weighted(losses.mse_loss, input, target, weight, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """See :func:`manual.rules.losses.l1_loss`; ``weight`` has the input's shape.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, or two that broadcast, with a warning; the loss ``()``, with
    reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([1.0, 3.0], requires_grad=True)
    >>> loss = F.l1_loss(input, tensor([2.0, 1.0]), reduction="sum")
    >>> loss
    Tensor(3., requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-2.,  2.], dtype=float32)
    """
    return _weighted(losses.l1_loss, input, target, weight, reduction)


def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.soft_margin_loss`.

    Shapes: ``input`` and ``target`` of one shape ``(*)``; the loss ``()``, with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([0.0, 2.0], requires_grad=True)
    >>> loss = F.soft_margin_loss(input, tensor([1.0, -1.0]), reduction="sum")
    >>> loss
    Tensor(2.8201, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-1.    ,  1.7616], dtype=float32)
    """
    return _loss(losses.soft_margin_loss, input, target, reduction=reduction)


def hinge_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.hinge_loss`.

    Shapes: ``input`` and ``target`` of one shape ``(*)``; the loss ``()``, with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If the shapes differ, or ``reduction`` is unknown.

    Examples
    --------
    >>> input = tensor([0.5, 3.0, 1.0], requires_grad=True)
    >>> F.hinge_loss(input, tensor([1.0, 1.0, -1.0]), reduction="none")
    Tensor([0.5, 0. , 2. ], requires_grad=True)
    >>> F.hinge_loss(input, tensor([1.0, 1.0, -1.0])).backward(tensor(6.0))
    >>> input.grad
    array([-2., -0.,  2.], dtype=float32)
    """
    return _loss(losses.hinge_loss, input, target, reduction=reduction)


def squared_hinge_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.squared_hinge_loss`.

    Shapes: ``input`` and ``target`` of one shape ``(*)``; the loss ``()``, with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If the shapes differ, or ``reduction`` is unknown.

    Examples
    --------
    >>> input = tensor([0.5, 3.0, 1.0], requires_grad=True)
    >>> F.squared_hinge_loss(input, tensor([1.0, 1.0, -1.0]), reduction="none")
    Tensor([0.25, 0.  , 4.  ], requires_grad=True)
    >>> F.squared_hinge_loss(input, tensor([1.0, 1.0, -1.0])).backward(tensor(6.0))
    >>> input.grad
    array([-2., -0.,  8.], dtype=float32)
    """
    return _loss(losses.squared_hinge_loss, input, target, reduction=reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """See :func:`manual.rules.losses.smooth_l1_loss`.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, or two that broadcast, with a warning; the loss ``()``, with
    reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast, or ``beta`` is negative.

    Examples
    --------
    >>> input = tensor([1.0, 5.0], requires_grad=True)
    >>> loss = F.smooth_l1_loss(input, tensor([0.0, 1.0]), beta=2.0, reduction="sum")
    >>> loss
    Tensor(3.25, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([1., 2.], dtype=float32)
    """
    return _loss(losses.smooth_l1_loss, input, target, reduction=reduction, beta=beta)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Tensor:
    """See :func:`manual.rules.losses.huber_loss`; ``weight`` has the input's shape.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, or two that broadcast, with a warning; the loss ``()``, with
    reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast, or ``delta`` is not positive.

    Examples
    --------
    >>> input = tensor([1.0, 5.0], requires_grad=True)
    >>> loss = F.huber_loss(input, tensor([0.0, 1.0]), delta=2.0, reduction="sum")
    >>> loss
    Tensor(6.5, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([2., 4.], dtype=float32)
    """
    return _weighted(losses.huber_loss, input, target, weight, reduction, delta=delta)


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.binary_cross_entropy`.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, ``weight`` of one that broadcasts to it; the loss ``()``,
    with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If the shapes differ, or ``reduction`` is unknown.
    RuntimeError
        If an element of the input or of the target is not in [0, 1], or ``weight`` does not broadcast.

    Examples
    --------
    >>> input = tensor([0.5, 0.25], requires_grad=True)
    >>> loss = F.binary_cross_entropy(input, tensor([1.0, 0.0]), reduction="sum")
    >>> loss
    Tensor(0.9808, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-4.    ,  2.6667], dtype=float32)
    """
    return _loss(losses.binary_cross_entropy, input, target, weight=weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """See :func:`manual.rules.losses.binary_cross_entropy_with_logits`.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, ``weight`` and ``pos_weight`` of shapes that broadcast to it;
    the loss ``()``, with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If the shapes differ, or ``reduction`` is unknown.
    RuntimeError
        If ``weight`` or ``pos_weight`` does not broadcast.

    Examples
    --------
    >>> input = tensor([0.0, 2.0], requires_grad=True)
    >>> loss = F.binary_cross_entropy_with_logits(input, tensor([1.0, 0.0]), pos_weight=tensor(3.0), reduction="sum")
    >>> loss
    Tensor(4.2064, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-3.    ,  1.7616], dtype=float32)
    """
    rule = losses.binary_cross_entropy_with_logits
    return _loss(rule, input, target, weight=weight, reduction=reduction, pos_weight=pos_weight)


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.nll_loss`.

    Shapes: ``input (C,)``, ``(N, C)`` or ``(N, C, d1, d2, ...)``, ``target`` the same without ``C``, ``weight (C,)``;
    the loss ``()``, with reduction ``"none"`` the target's.

    Raises
    ------
    IndexError
        If a target is no class and not ``ignore_index``.
    ValueError
        If the batches differ, the input is a scalar, or ``reduction`` is unknown.
    RuntimeError
        If the target is not integer or has a shape that does not fit, or ``weight`` has another size or dtype.

    Examples
    --------
    >>> input = tensor([[-1.0, -2.0], [-0.5, -4.0]], requires_grad=True)
    >>> loss = F.nll_loss(input, tensor([0, 1]), weight=tensor([1.0, 3.0]), reduction="sum")
    >>> loss
    Tensor(13., requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-2.,  0.],
           [ 0., -6.]], dtype=float32)
    """
    return _loss(losses.nll_loss, input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """See :func:`manual.rules.losses.cross_entropy`.

    Shapes: ``input (C,)``, ``(N, C)`` or ``(N, C, d1, d2, ...)``, ``target`` the same without ``C`` for class indices
    and with it for probabilities, ``weight (C,)``; the loss ``()``, with reduction ``"none"`` the shape of class
    indices.

    Raises
    ------
    IndexError
        If a target is no class and not ``ignore_index``.
    ValueError
        If the batches differ, the input is a scalar, or ``reduction`` is unknown.
    RuntimeError
        If the target has a shape or dtype that does not fit, ``weight`` another size or dtype, or ``label_smoothing``
        is not in [0, 1].

    Examples
    --------
    >>> input = tensor([[0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    >>> loss = F.cross_entropy(input, tensor([0, 1]), reduction="sum")
    >>> loss
    Tensor(1.3863, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-1.,  1.],
           [ 1., -1.]], dtype=float32)
    """
    options = {"weight": weight, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
    return _loss(losses.cross_entropy, input, target, reduction=reduction, **options)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """See :func:`manual.rules.losses.kl_div`.

    Shapes: ``input`` (log-probabilities) and ``target`` of one shape ``(N, *)``; the loss ``()``, with reduction
    ``"none"`` ``(N, *)``.

    Raises
    ------
    ValueError
        If the shapes do not broadcast, or ``reduction`` is unknown.

    Examples
    --------
    >>> input = tensor([[-1.0, -0.5]], requires_grad=True)
    >>> loss = F.kl_div(input, tensor([[0.25, 0.75]]), reduction="batchmean")
    >>> loss
    Tensor(0.0627, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-0.5, -1.5]], dtype=float32)
    """
    return _loss(losses.kl_div, input, target, reduction=reduction, log_target=log_target)


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """See :func:`manual.rules.losses.multi_margin_loss`.

    Shapes: ``input (N, C)`` or ``(C,)``, ``target (N,)`` or ``()``, ``weight (C,)``; the loss ``()``, with reduction
    ``"none"`` the target's shape.

    Raises
    ------
    ValueError
        If ``p`` is neither 1 nor 2, or ``reduction`` is unknown.
    RuntimeError
        If a shape does not fit, or a target is no class.

    Examples
    --------
    >>> input = tensor([[2.0, 1.5, 0.0]], requires_grad=True)
    >>> loss = F.multi_margin_loss(input, tensor([0]), margin=1.0, reduction="sum")
    >>> loss
    Tensor(0.1667, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-0.6667,  0.6667,  0.    ]], dtype=float32)
    """
    return _loss(losses.multi_margin_loss, input, target, p=p, margin=margin, weight=weight, reduction=reduction)
