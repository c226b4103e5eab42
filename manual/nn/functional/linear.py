"""Linear maps as functions."""

from __future__ import annotations

from manual import rules
from manual.tensor import lift

__all__ = [
    "bilinear",
    "linear",
]

bilinear = lift(rules.bilinear)
linear = lift(rules.linear)
