"""Padding as a function."""

from __future__ import annotations

from typing import Any

from manual import rules
from manual.tensor import Tensor, apply

__all__ = ["pad"]


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """See :func:`manual.rules.pad`."""
    try:
        lengths = tuple(pad)
    except TypeError:
        raise TypeError(f"pad(): argument 'pad' (position 2) must be tuple of ints, not {type(pad).__name__}") from None
    for place, length in enumerate(lengths):
        if not hasattr(length, "__index__"):
            raise TypeError(
                "pad(): argument 'pad' (position 2) must be tuple of ints, but found element of type "
                f"{type(length).__name__} at pos {place}"
            )
    result: Tensor = apply(rules.pad, input, pad=lengths, mode=mode, value=value)
    return result
