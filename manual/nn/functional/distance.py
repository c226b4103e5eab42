"""Distances and similarities as functions; see :mod:`manual.rules.distance`."""

from __future__ import annotations

from manual import rules
from manual.tensor import lift

__all__ = [
    "cosine_similarity",
    "pairwise_distance",
    "pdist",
]

cosine_similarity = lift(rules.cosine_similarity)
pairwise_distance = lift(rules.pairwise_distance)
pdist = lift(rules.pdist)
