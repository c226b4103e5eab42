"""Selecting by a mask, the way a pullback needs it: exactly, and without branches.

Where a function has a flat piece, its gradient is zero *whatever comes in*. Multiplying the incoming gradient by a
mask of zeros does not say that: ``inf * 0`` is NaN. ``np.where`` does, but on the unpredictable masks of a ReLU it
mispredicts every other branch and takes ten times as long. Both are had at once by a bitwise *and* of the numbers'
representation with all ones (keep) or all zeros (drop).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array

__all__ = ["blend", "drop", "keep"]

_INTEGERS: dict[Any, Any] = {
    np.dtype(np.float16): np.int16,
    np.dtype(np.float32): np.int32,
    np.dtype(np.float64): np.int64,
}
_SMALL = 512  # below this np.where is faster, whatever the mask


def drop(values: Array, mask: Array) -> Array:
    """Make a copy of ``values`` that is zero where ``mask`` holds (both of one shape)."""
    integer = _INTEGERS.get(values.dtype)
    if integer is None or values.size < _SMALL or values.shape != mask.shape:
        return np.where(mask, 0, values)
    bits = mask.astype(integer)
    bits -= 1
    bits &= values.view(integer)
    return bits.view(values.dtype)


def keep(values: Array, mask: Array) -> Array:
    """Make a copy of ``values`` that is zero where ``mask`` does not hold (both of one shape)."""
    integer = _INTEGERS.get(values.dtype)
    if integer is None or values.size < _SMALL or values.shape != mask.shape:
        return np.where(mask, values, 0)
    bits = mask.astype(integer)
    np.negative(bits, out=bits)
    bits &= values.view(integer)
    return bits.view(values.dtype)


def blend(mask: Array, chosen: Array, other: Array) -> Array:
    """Make an array of ``chosen`` where ``mask`` holds and ``other`` elsewhere."""
    shape = mask.shape
    if getattr(chosen, "shape", None) != shape or getattr(other, "shape", None) != shape or mask.size < _SMALL:
        return np.where(mask, chosen, other)
    integer = _INTEGERS.get(chosen.dtype)
    if integer is None or other.dtype != chosen.dtype:
        return np.where(mask, chosen, other)
    bits = mask.astype(integer)
    np.negative(bits, out=bits)
    below = other.view(integer)
    bits &= chosen.view(integer) ^ below
    bits ^= below
    return bits.view(chosen.dtype)
