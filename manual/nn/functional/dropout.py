"""Dropout as functions."""

from __future__ import annotations

from manual import random, rules
from manual.rules.core import Array
from manual.tensor import Tensor, apply

__all__ = [
    "dropout",
]


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, mask: Array | None = None
) -> Tensor:
    """Zero values with probability ``p`` and scale the others by ``1 / (1 - p)``; ``mask`` replays a given draw."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training:
        return input
    if mask is None:
        mask = random.bernoulli(input.shape, 1 - p)
    result: Tensor = apply(rules.dropout, input, mask, p=p)
    return result
