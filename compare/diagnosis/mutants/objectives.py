"""Losses of pairs, triplets, hinges and likelihoods, and bags of vectors, written out as the textbook has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["OBJECTIVES", "bags_of"]

Given = Mapping[str, Any]

_TINY = 1e-12
"""What torch adds to the squared lengths in its cosine embedding."""


def _reduced(losses: Tensor, given: Given) -> Tensor:
    reduction = given.get("reduction", "mean")
    if reduction == "mean":
        return losses.mean()
    return losses.sum() if reduction == "sum" else losses


def _gaussian(given: Given) -> Tensor:
    x, t, variance = given["input"], given["target"], given["var"]
    if not isinstance(variance, Tensor) or bool((variance < given.get("eps", 1e-6)).any()):
        raise NotImplementedError
    losses = 0.5 * (variance.log() + (x - t).square() / variance)
    if given.get("full"):
        losses = losses + 0.5 * math.log(2 * math.pi)
    return _reduced(losses, given)


def _poisson(given: Given) -> Tensor:
    x, t = given["input"], given["target"]
    if given.get("full"):
        raise NotImplementedError
    losses = x.exp() - t * x if given.get("log_input", True) else x - t * (x + given.get("eps", 1e-8)).log()
    return _reduced(losses, given)


def _multi_margin(given: Given) -> Tensor:
    x, t = given["input"], given["target"]
    if x.ndim != 2 or given.get("weight") is not None:
        raise NotImplementedError
    with torch.no_grad():
        others = torch.ones_like(x).scatter(1, t.unsqueeze(1), 0.0)
    right = x.gather(1, t.unsqueeze(1))
    hinges = (x - right + given.get("margin", 1.0)).clamp(min=0)
    if given.get("p", 1) == 2:
        hinges = hinges.square()
    return _reduced((hinges * others).mean(1), given)


def _hinge_embedding(given: Given) -> Tensor:
    x, t = given["input"], given["target"]
    alike, apart = _signs(t, x)
    losses = x * alike + (given.get("margin", 1.0) - x).clamp(min=0) * apart
    return _reduced(losses, given)


def _margin_ranking(given: Given) -> Tensor:
    lead = given["input1"] - given["input2"]
    losses = (given.get("margin", 0.0) - given["target"] * lead).clamp(min=0)
    return _reduced(losses, given)


def _cosine_embedding(given: Given) -> Tensor:
    a, b = given["input1"], given["input2"]
    product = (a * b).sum(-1)
    of_a = (a * a).sum(-1) + _TINY
    of_b = (b * b).sum(-1) + _TINY
    cosine = product / (of_a * of_b).sqrt()
    alike, apart = _signs(given["target"], cosine)
    losses = (1 - cosine) * alike + (cosine - given.get("margin", 0.0)).clamp(min=0) * apart
    return _reduced(losses, given)


def _signs(target: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return (target == 1).to(like.dtype), (target == -1).to(like.dtype)


def _triplet_margin(given: Given) -> Tensor:
    anchor, eps = given["anchor"], given.get("eps", 1e-6)
    if given.get("p", 2) != 2 or given.get("swap"):
        raise NotImplementedError
    near = (anchor - given["positive"] + eps).square().sum(-1).sqrt()
    far = (anchor - given["negative"] + eps).square().sum(-1).sqrt()
    losses = (near - far + given.get("margin", 1.0)).clamp(min=0)
    return _reduced(losses, given)


# -- bags --------------------------------------------------------------------------------------------------------------


def bags_of(given: Given) -> tuple[Tensor, Tensor, int]:
    """The entries of all bags in a row, the bag of each, and how many bags there are."""
    entries = given["input"]
    if given.get("include_last_offset"):
        raise NotImplementedError
    with torch.no_grad():
        if entries.ndim == 2:
            count, size = entries.shape
            return entries.reshape(-1), torch.arange(count).repeat_interleave(size), count
        offsets = given["offsets"]
        ends = torch.cat([offsets[1:], torch.tensor([len(entries)], dtype=offsets.dtype)])
        return entries, torch.arange(len(offsets)).repeat_interleave(ends - offsets), len(offsets)


def _embedding_bag(given: Given) -> Tensor:
    weight, mode, padding = given["weight"], given.get("mode", "mean"), given.get("padding_idx")
    if mode == "max" or given.get("max_norm") is not None or not weight.is_floating_point():
        raise NotImplementedError
    entries, bag, count = bags_of(given)
    with torch.no_grad():
        kept = torch.ones_like(entries, dtype=torch.bool) if padding is None else entries != padding
        member = (bag == torch.arange(count).unsqueeze(1)) & kept
        pool = member.to(weight.dtype)
        sizes = pool.sum(1, keepdim=True).clamp(min=1)
    found = F.embedding(entries, weight, scale_grad_by_freq=bool(given.get("scale_grad_by_freq")))
    shares = given.get("per_sample_weights")
    if shares is not None:
        found = found * shares.reshape(-1, 1)
    pooled = pool @ found
    return pooled / sizes if mode == "mean" else pooled


OBJECTIVES: dict[str, Callable[[Given], Tensor]] = {
    "cosine_embedding_loss": _cosine_embedding,
    "embedding_bag": _embedding_bag,
    "gaussian_nll_loss": _gaussian,
    "hinge_embedding_loss": _hinge_embedding,
    "margin_ranking_loss": _margin_ranking,
    "multi_margin_loss": _multi_margin,
    "poisson_nll_loss": _poisson,
    "triplet_margin_loss": _triplet_margin,
}
"""Ops by name; each takes its arguments by name."""
