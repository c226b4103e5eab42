"""Sums and means of windows, and how a gradient goes back to all that was summed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback
from manual.rules.windows.layout import Windows, adaptive, picked, taps_of

__all__ = ["divisor", "means", "spread", "sums"]


def means(x: Array, windows: tuple[Windows, ...], by: Any) -> tuple[Array, Pullback]:
    """The sum of each window over ``by``, a number or one per window."""
    shape, counts = x.shape, tuple(along.count for along in windows)
    lead = shape[: -len(counts)]
    if isinstance(by, np.ndarray):
        by = by.astype(x.dtype)
    if all(along.count == 1 and along.tiling for along in windows):  # one window over all: as good as one long axis
        size = math.prod(shape[-len(windows) :])
        windows = (adaptive(size, 1),)
        total = sums(x.reshape(*lead, size), windows).reshape(lead + counts)
    else:
        total = sums(x, windows)
    if x.dtype.kind != "f":
        value = np.sign(total) * np.sign(by) * (np.abs(total) // np.abs(by))
    elif total is x or total.base is not None:
        value = total / by
    else:
        value = np.divide(total, by, out=total)

    def mean_pullback(incoming: Array, needs: Needs) -> Gradients:
        share = incoming / by
        if len(windows) != len(counts):
            share = share.reshape(*lead, 1)
        return (spread(share, windows).reshape(shape),)

    return value, mean_pullback


@lru_cache(maxsize=512)
def divisor(windows: tuple[Windows, ...], padding: tuple[int, ...] | None = None) -> Any:
    """How many elements the windows have: one number where all have as many, else one per window.

    With ``padding`` that is counted too, but not what sticks out beyond it.
    """
    sizes = [
        along.sizes if pad is None else np.minimum(along.starts + along.reach, along.length + pad) - along.starts
        for along, pad in zip(windows, padding or (None,) * len(windows), strict=True)
    ]
    if all((along == along[0]).all() for along in sizes):
        return math.prod(int(along[0]) for along in sizes)
    product = sizes[0]
    for along in sizes[1:]:
        product = np.multiply.outer(product, along)
    return product


def sums(x: Array, windows: Sequence[Windows]) -> Array:
    """Add up each window of the last axes, one axis after the other. May be ``x`` itself."""
    windows = list(windows)
    for axis, along in enumerate(windows, -len(windows)):
        x = _summed(x, along, axis)
    return x


def _summed(x: Array, along: Windows, axis: int) -> Array:
    if along.identity:
        return x
    if along.long(x.size):
        inside: Any = True
        if along.sizes.min() < along.reach:
            _, held = along.places()
            inside = held.reshape(*held.shape, *(1,) * (-axis - 1))
        return np.asarray(np.add.reduce(along.laid_out(x, axis), axis=axis, where=inside))
    total = np.zeros(_replaced(x.shape, axis, along.count), x.dtype)
    for windows, elements in taps_of((along,), -axis - 1):
        total[windows] += picked(x, elements, axis)
    return total


def spread(gradient: Array, windows: Sequence[Windows]) -> Array:
    """The transpose of :func:`sums`: each element gets the sum over the windows that it is in."""
    windows = list(windows)
    for axis, along in reversed(list(enumerate(windows, -len(windows)))):
        gradient = _spread(gradient, along, axis)
    return gradient


def _spread(gradient: Array, along: Windows, axis: int) -> Array:
    if along.identity:
        return gradient
    if along.step == 1 and not along.tiling and (not along.stride or along.count < along.reach):
        return _summed(gradient, along.mirror, axis)
    shape = _replaced(gradient.shape, axis, along.length)
    if along.tiling:
        each = np.empty((*gradient.shape[:axis], along.count, along.reach, *gradient.shape[axis:][1:]), gradient.dtype)
        each[...] = np.expand_dims(gradient, axis)
        return each.reshape(shape)
    total = np.zeros(shape, gradient.dtype)
    for windows, elements in taps_of((along,), -axis - 1):
        if along.disjoint:
            total[elements] = gradient[windows]
        else:
            total[elements] += gradient[windows]
    return total


def _replaced(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    return (*shape[:axis], length, *shape[axis:][1:])
