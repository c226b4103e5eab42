"""Fused ops written out as the textbook has them, so that each of their terms and steps can be got wrong by itself.

What is fixed in a formula (masks, counts, target weights) is computed without gradients, so that it is no site.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from compare.diagnosis.mutants.arguments import axes_of, bound
from compare.diagnosis.mutants.laying import LAYING
from compare.diagnosis.mutants.objectives import OBJECTIVES
from compare.diagnosis.mutants.recurrent import RECURRENT

__all__ = ["FORMULAS", "counted_and_weights", "formula_of"]

Given = Mapping[str, Any]


def formula_of(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[], Any] | None:
    """The op of this name written out, ready to be called; ``None`` where it is no fused op."""
    if name == "multi_head_attention_forward":
        return partial(_opened(F.multi_head_attention_forward), *args, **kwargs)
    if name in RECURRENT:
        return partial(RECURRENT[name], *args, **kwargs)
    formula = FORMULAS.get(name)
    if formula is None:
        return None
    given = bound(name, args, kwargs)
    if name in _WITH_AXES:
        given["axes"] = axes_of(name, args, kwargs)
    return partial(formula, given)


@cache
def _opened(function: FunctionType) -> FunctionType:
    """A Python function of torch that does not hand itself over to the mode, so that what it calls is seen."""
    names = dict(function.__globals__)
    names["has_torch_function"] = lambda tensors: False
    opened = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    opened.__kwdefaults__ = function.__kwdefaults__
    return opened


# -- activations -------------------------------------------------------------------------------------------------------


def _softmax(given: Given) -> Tensor:
    x, axes = given["input"], given["axes"]
    raised = (x - x.amax(axes, keepdim=True).detach()).exp()
    return raised / raised.sum(axes, keepdim=True)


def _log_softmax(given: Given) -> Tensor:
    x, axes = given["input"], given["axes"]
    shifted = x - x.amax(axes, keepdim=True).detach()
    return shifted - shifted.exp().sum(axes, keepdim=True).log()


def _logsumexp(given: Given) -> Tensor:
    x, axes = given["input"], given["axes"]
    greatest = x.amax(axes, keepdim=True).detach()
    found = (x - greatest).exp().sum(axes, keepdim=True).log() + greatest
    return found if given.get("keepdim") else found.squeeze(axes)


def _gelu(given: Given) -> Tensor:
    x = given["input"]
    if given.get("approximate", "none") == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3))
        return 0.5 * x * (1 + torch.tanh(inner))
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def _silu(given: Given) -> Tensor:
    return given["input"] * torch.sigmoid(given["input"])


# -- statistics --------------------------------------------------------------------------------------------------------


def _variance(given: Given) -> Tensor:
    x, axes = given["input"], given["axes"]
    count = math.prod(x.shape[axis] for axis in axes)
    divisor = count - given.get("correction", 1 if given.get("unbiased", True) else 0)
    keepdim = bool(given.get("keepdim"))
    centred = x - x.mean(axes, keepdim=True)
    return centred.square().sum(axes, keepdim=keepdim) / divisor


def _norm(given: Given) -> Tensor:
    x, axes = given["input"], given["axes"]
    if given.get("p", "fro") not in (2, "fro", None) or given.get("ord") not in (2, None):
        raise NotImplementedError
    keepdim = bool(given.get("keepdim"))
    return x.square().sum(axes, keepdim=keepdim).sqrt()


def _normalize(given: Given) -> Tensor:
    x, dim = given["input"], given.get("dim", 1)
    if given.get("p", 2.0) != 2.0:
        raise NotImplementedError
    return x / x.square().sum(dim, keepdim=True).sqrt().clamp(min=given.get("eps", 1e-12))


def _standardised(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    variance = centred.square().mean(axes, keepdim=True)
    return centred / torch.sqrt(variance + eps)


def _affine(normal: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        normal = normal * weight
    if bias is not None:
        normal = normal + bias
    return normal


def _by_channel(value: Tensor | None, rank: int) -> Tensor | None:
    return value if value is None or rank == 2 else value.reshape(1, -1, *(1,) * (rank - 2))


def _layer_norm(given: Given) -> Tensor:
    x = given["input"]
    axes = tuple(range(x.ndim - len(given["normalized_shape"]), x.ndim))
    return _affine(_standardised(x, axes, given.get("eps", 1e-5)), given.get("weight"), given.get("bias"))


def _rms_norm(given: Given) -> Tensor:
    x = given["input"]
    axes = tuple(range(x.ndim - len(given["normalized_shape"]), x.ndim))
    eps = given.get("eps")
    square = x.square().mean(axes, keepdim=True)
    normal = x / torch.sqrt(square + (torch.finfo(x.dtype).eps if eps is None else eps))
    return _affine(normal, given.get("weight"), None)


def _batch_norm(given: Given) -> Tensor:
    x, eps = given["input"], given.get("eps", 1e-5)
    weight, bias = (_by_channel(given.get(name), x.ndim) for name in ("weight", "bias"))
    if given.get("training"):
        return _affine(_standardised(x, tuple(axis for axis in range(x.ndim) if axis != 1), eps), weight, bias)
    mean, variance = (_by_channel(given[name], x.ndim) for name in ("running_mean", "running_var"))
    return _affine((x - mean) / torch.sqrt(variance + eps), weight, bias)


def _instance_norm(given: Given) -> Tensor:
    x, eps = given["input"], given.get("eps", 1e-5)
    weight, bias = (_by_channel(given.get(name), x.ndim) for name in ("weight", "bias"))
    if not given.get("use_input_stats", True):
        raise NotImplementedError
    return _affine(_standardised(x, tuple(range(2, x.ndim)), eps), weight, bias)


def _group_norm(given: Given) -> Tensor:
    x = given["input"]
    grouped = x.reshape(x.shape[0], given["num_groups"], -1)
    normal = _standardised(grouped, (2,), given.get("eps", 1e-5)).reshape(x.shape)
    return _affine(normal, *(_by_channel(given.get(name), x.ndim) for name in ("weight", "bias")))


# -- losses ------------------------------------------------------------------------------------------------------------


def _reduced(losses: Tensor, given: Given, rows: int = 1) -> Tensor:
    reduction = given.get("reduction", "mean")
    if reduction == "batchmean":
        return losses.sum() / rows
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    return losses


def counted_and_weights(target: Tensor, weight: Tensor | None, ignore_index: int, like: Tensor) -> Any:
    """Which class indices count, the indices with 0 for the others, and the weight of each (0 for the others)."""
    with torch.no_grad():
        counted = target != ignore_index
        safe = torch.where(counted, target, torch.zeros_like(target))
        weights = counted.to(like.dtype) if weight is None else weight[safe] * counted
    return counted, safe, weights


def _picked(scores: Tensor, given: Given, smoothing: float = 0.0) -> Tensor:
    """The negative score of each row's class, and for cross entropy that of all classes in small part."""
    target, weight = given["target"], given.get("weight")
    axis = 1 if scores.ndim > 1 else 0
    if target.is_floating_point():
        if smoothing:
            with torch.no_grad():
                target = target * (1 - smoothing) + smoothing / scores.shape[axis]
        losses = (
            -(scores * target).sum(axis) if weight is None else -(scores * target * _along(weight, scores)).sum(axis)
        )
        rows = losses.numel()
        return losses.sum() / rows if given.get("reduction", "mean") == "mean" else _reduced(losses, given)
    counted, safe, weights = counted_and_weights(target, weight, given.get("ignore_index", -100), scores)
    losses = -scores.gather(axis, safe.unsqueeze(axis)).squeeze(axis)
    plain = weight is None and bool(counted.all())
    if not plain:
        losses = losses * weights
    if smoothing:
        if weight is not None:
            scores = scores * _along(weight, scores)
        uniform = -scores.sum(axis) / scores.shape[axis]
        if not bool(counted.all()):
            uniform = uniform * counted
        losses = (1 - smoothing) * losses + smoothing * uniform
    if given.get("reduction", "mean") == "mean" and not plain:
        return losses.sum() / float(weights.sum())
    return _reduced(losses, given)


def _along(weight: Tensor, scores: Tensor) -> Tensor:
    return weight.reshape(-1, *(1,) * (scores.ndim - 2)) if scores.ndim > 1 else weight


def _cross_entropy(given: Given) -> Tensor:
    x = given["input"]
    scores = torch.log_softmax(x, 1 if x.ndim > 1 else 0)
    return _picked(scores, given, given.get("label_smoothing", 0.0))


def _mse(given: Given) -> Tensor:
    losses = (given["input"] - given["target"]).square()
    return _reduced(losses, given)


def _l1(given: Given) -> Tensor:
    losses = (given["input"] - given["target"]).abs()
    return _reduced(losses, given)


def _weighted(losses: Tensor, given: Given) -> Tensor:
    weight = given.get("weight")
    if weight is not None:
        losses = losses * weight
    return _reduced(losses, given)


def _binary(given: Given) -> Tensor:
    p, t = given["input"], given["target"]
    losses = -(t * p.log() + (1 - t) * (1 - p).log())
    return _weighted(losses, given)


def _binary_logits(given: Given) -> Tensor:
    x, t, positive = given["input"], given["target"], given.get("pos_weight")
    with torch.no_grad():
        of_one, of_zero = t if positive is None else t * positive, 1 - t
    losses = -(of_one * F.logsigmoid(x) + of_zero * F.logsigmoid(-x))
    return _weighted(losses, given)


def _divergence(given: Given) -> Tensor:
    x, t = given["input"], given["target"]
    with torch.no_grad():
        target, log_target = (t.exp(), t) if given.get("log_target") else (t, t.clamp(min=1e-300).log())
    losses = target * (log_target - x)
    return _reduced(losses, given, x.shape[0] if x.ndim else 1)


# -- attention ---------------------------------------------------------------------------------------------------------


def _attention(given: Given) -> Tensor:
    query, key, mask = given["query"], given["key"], given.get("attn_mask")
    if given.get("dropout_p") or given.get("enable_gqa"):
        raise NotImplementedError
    scale = given.get("scale") or 1 / math.sqrt(query.shape[-1])
    scores = query @ key.transpose(-2, -1) * scale
    if given.get("is_causal"):
        with torch.no_grad():
            hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, -math.inf)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -math.inf)
    elif mask is not None:
        scores = scores + mask
    weights = torch.softmax(scores, -1)
    return weights @ given["value"]


FORMULAS: dict[str, Callable[[Given], Tensor]] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "logsumexp": _logsumexp,
    "gelu": _gelu,
    "silu": _silu,
    "var": _variance,
    "std": lambda given: torch.sqrt(_variance(given)),
    "norm": _norm,
    "normalize": _normalize,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "cross_entropy": _cross_entropy,
    "nll_loss": lambda given: _picked(given["input"], given),
    "mse_loss": _mse,
    "l1_loss": _l1,
    "binary_cross_entropy": _binary,
    "binary_cross_entropy_with_logits": _binary_logits,
    "kl_div": _divergence,
    "scaled_dot_product_attention": _attention,
    **LAYING,
    **OBJECTIVES,
}
"""Fused ops by name; each takes its arguments by name."""

_WITH_AXES = frozenset({"softmax", "log_softmax", "logsumexp", "var", "std", "norm"})
