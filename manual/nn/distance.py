"""Distances and similarities as modules. The formulas and their derivations are in :mod:`manual.rules.distance`."""

from __future__ import annotations

from manual import rules
from manual.nn.module import Module
from manual.tensor import Tensor, apply

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along axis ``dim``; lengths below ``eps`` count as ``eps``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        result: Tensor = apply(rules.cosine_similarity, x1, x2, dim=self.dim, eps=self.eps)
        return result


class PairwiseDistance(Module):
    """The p-norm of ``x1 - x2 + eps`` along the last axis."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        options = {"p": self.norm, "eps": self.eps, "keepdim": self.keepdim}
        result: Tensor = apply(rules.pairwise_distance, x1, x2, **options)
        return result
