"""Windows as columns, and shuffles of pixels and channels, as functions."""

from __future__ import annotations

from manual import rules
from manual.tensor import lift

__all__ = [
    "channel_shuffle",
    "fold",
    "pixel_shuffle",
    "pixel_unshuffle",
    "unfold",
]

channel_shuffle = lift(rules.channel_shuffle)
fold = lift(rules.fold)
pixel_shuffle = lift(rules.pixel_shuffle)
pixel_unshuffle = lift(rules.pixel_unshuffle)
unfold = lift(rules.unfold)
