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
    """See :func:`manual.rules.losses.mse_loss`; ``weight`` has the input's shape."""
    return _weighted(losses.mse_loss, input, target, weight, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """See :func:`manual.rules.losses.l1_loss`; ``weight`` has the input's shape."""
    return _weighted(losses.l1_loss, input, target, weight, reduction)


def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.soft_margin_loss`."""
    return _loss(losses.soft_margin_loss, input, target, reduction=reduction)


def hinge_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.hinge_loss`."""
    return _loss(losses.hinge_loss, input, target, reduction=reduction)


def squared_hinge_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.squared_hinge_loss`."""
    return _loss(losses.squared_hinge_loss, input, target, reduction=reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """See :func:`manual.rules.losses.smooth_l1_loss`."""
    return _loss(losses.smooth_l1_loss, input, target, reduction=reduction, beta=beta)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Tensor:
    """See :func:`manual.rules.losses.huber_loss`; ``weight`` has the input's shape."""
    return _weighted(losses.huber_loss, input, target, weight, reduction, delta=delta)


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.binary_cross_entropy`."""
    return _loss(losses.binary_cross_entropy, input, target, weight=weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """See :func:`manual.rules.losses.binary_cross_entropy_with_logits`."""
    rule = losses.binary_cross_entropy_with_logits
    return _loss(rule, input, target, weight=weight, reduction=reduction, pos_weight=pos_weight)


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """See :func:`manual.rules.losses.nll_loss`."""
    return _loss(losses.nll_loss, input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """See :func:`manual.rules.losses.cross_entropy`."""
    options = {"weight": weight, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
    return _loss(losses.cross_entropy, input, target, reduction=reduction, **options)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """See :func:`manual.rules.losses.kl_div`."""
    return _loss(losses.kl_div, input, target, reduction=reduction, log_target=log_target)


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """See :func:`manual.rules.losses.multi_margin_loss`."""
    return _loss(losses.multi_margin_loss, input, target, p=p, margin=margin, weight=weight, reduction=reduction)
