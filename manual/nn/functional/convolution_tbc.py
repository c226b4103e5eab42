"""Convolution over time, channels last, as a function."""

from __future__ import annotations

from manual import rules
from manual.tensor import lift

__all__ = ["conv_tbc"]

conv_tbc = lift(rules.conv_tbc)
