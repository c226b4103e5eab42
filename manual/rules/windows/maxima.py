"""Maxima of windows, and where they lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback
from manual.rules.windows.layout import Windows, adaptive, picked, taps_of

__all__ = ["deposit", "maxima"]

_TOGETHER = 30  # the most taps of a window for which several axes are searched at once


@dataclass(frozen=True, eq=False)
class _Stage:
    """One step of a search for maxima: ``y`` is the maximum of ``x`` over windows along ``axes`` next to each other."""

    x: Array
    y: Array
    axis: int  # the first of them, counted from the end
    windows: tuple[Windows, ...]


def maxima(x: Array, windows: Sequence[Windows], return_indices: bool) -> tuple[Any, Pullback]:
    """Take the maximum of each window of the last axes.

    Shapes: ``x (..., d1, d2, ...)``; the value, and the int64 indices where they are asked for,
    ``(..., count1, count2, ...)``. An index counts the elements of ``(d1, d2, ...)`` in rows.

    Forward: ``y_i = max_t x_(s_i + t)``. Backward: the element that is the maximum gets the gradient of ``y_i``, the
    sum of them where it is the maximum of several windows. Where it lies is looked for only when that is asked for.

    Convention: a tie is won by the first in the order of rows; where there are NaN, the last of them is the maximum.
    """
    windows = tuple(windows)
    shape = x.shape
    lead, axes = shape[: -len(windows)], shape[-len(windows) :]
    counts = tuple(along.count for along in windows)
    if all(along.count == 1 and along.tiling for along in windows):  # one window over all: as good as one long axis
        x = x.reshape(*lead, math.prod(axes))
        windows = (adaptive(math.prod(axes), 1),)
    stages = _search(x, windows)
    value = (stages[-1].y if stages else x).reshape(lead + counts)
    indices = _indices(stages, x.shape[-len(windows) :], lead + counts) if return_indices else None

    def maxima_pullback(incoming: Any, needs: Needs) -> Gradients:
        if indices is not None:
            return (deposit(incoming[0], indices, shape, len(axes)),)
        return (deposit(incoming, _indices(stages, x.shape[len(lead) :], lead + counts), shape, len(axes)),)

    return (value if indices is None else (value, indices)), maxima_pullback


def deposit(incoming: Array, indices: Array, shape: tuple[int, ...], axes: int) -> Array:
    """Add each gradient to the element of the last ``axes`` axes of ``shape`` that its index counts out."""
    planes, size = math.prod(shape[:-axes]), math.prod(shape[-axes:])
    gradient = np.zeros(planes * size, incoming.dtype)
    if incoming.size:
        places = indices.reshape(planes, -1) + (np.arange(planes) * size)[:, None]
        np.add.at(gradient, places.reshape(-1), incoming.reshape(-1))
    return gradient.reshape(shape)


def _search(x: Array, windows: tuple[Windows, ...]) -> list[_Stage]:
    """The maxima of all axes at once, or of one after the other, the last first, so that rows come before columns."""
    dimensions = len(windows)
    if math.prod(along.reach for along in windows) <= _TOGETHER and all(along.stride for along in windows):
        plan = [(-dimensions, windows)]
    else:
        plan = [(axis - dimensions, (windows[axis],)) for axis in reversed(range(dimensions))]
    stages = []
    for axis, group in plan:
        if not all(along.identity for along in group):
            y = _maximum(x, group, axis)
            stages.append(_Stage(x, y, axis, group))
            x = y
    return stages


def _maximum(x: Array, group: tuple[Windows, ...], axis: int) -> Array:
    if len(group) == 1 and group[0].long(x.size):
        return np.asarray(np.maximum.reduce(group[0].laid_out(x, axis), axis=axis))
    shape = list(x.shape)
    for offset, along in enumerate(group):
        shape[axis + offset] = along.count
    y: Array | None = None
    for windows, elements in taps_of(group, -axis - len(group)):
        part = picked(x, elements, axis)
        if y is None:
            if part.shape == tuple(shape):
                y = part.copy()
                continue
            y = np.full(shape, -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min, x.dtype)
        before = y[windows]
        np.maximum(before, part, out=before)
        if not group[0].stride:
            y[windows] = before
    assert y is not None
    return y


def _indices(stages: list[_Stage], axes: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Where the maxima lie, counted in rows of ``axes``."""
    strides = [math.prod(axes[axis + 1 :]) for axis in range(len(axes))]
    found: Array | None = None
    left = dict.fromkeys(range(-len(axes), 0))
    for stage in stages:
        for axis in range(stage.axis, stage.axis + len(stage.windows)):
            left.pop(axis)
        if len(stage.windows) > 1:
            return _winners(stage, strides)
        winners = _winners(stage, [1])
        earlier = 0 if found is None else np.take_along_axis(found, winners, stage.axis)
        winners *= strides[stage.axis]
        winners += earlier
        found = winners
    if found is None:
        found = np.zeros(shape, np.int64)
    for axis in left:  # axes whose windows are single elements
        found += (np.arange(axes[axis]) * strides[axis]).reshape(-1, *(1,) * (-axis - 1))
    return found.reshape(shape)


def _winners(stage: _Stage, strides: list[int]) -> Array:
    """Where each window of a stage has its maximum: the sum over its axes of position times stride."""
    x, y, group, axis = stage.x, stage.y, stage.windows, stage.axis
    after = -axis - len(group)
    if len(group) == 1 and group[0].long(x.size):
        return _winners_laid_out(stage) * strides[0]
    reach = math.prod(along.reach for along in group)
    # The tap that wins is the number of taps before the first that equals the maximum.
    number = np.uint8 if reach <= 255 else np.uint32
    tap = np.zeros(y.shape, number)
    waiting = np.ones(y.shape, bool)
    as_number = waiting.view(number) if number is np.uint8 else waiting
    for windows, elements in taps_of(group, after):
        waiting[windows] &= picked(x, elements, axis) != y[windows]
        tap += as_number
    if waiting.any():  # NaN equals nothing
        for position, (windows, elements) in enumerate(taps_of(group, after)):
            part = picked(x, elements, axis)
            tap[windows] = np.where(part != part, position, tap[windows])
    base: Any = np.zeros((), np.int64)
    steps: Any = np.zeros((), np.int64)
    for along, stride in zip(group, strides, strict=True):
        base = base[..., None] + along.starts * stride
        steps = steps[..., None] + np.arange(along.reach) * (along.step * stride)
    places = np.take(steps.reshape(-1), tap)
    places += base.reshape(*base.shape, *(1,) * after)
    return places


def _winners_laid_out(stage: _Stage) -> Array:
    along = stage.windows[0]
    laid_out = along.laid_out(stage.x, stage.axis)
    tap = np.argmax(laid_out, axis=stage.axis)
    if (stage.y != stage.y).any():
        backwards = np.flip(np.isnan(laid_out), stage.axis)
        tap = np.where(np.isnan(stage.y), along.reach - 1 - np.argmax(backwards, axis=stage.axis), tap)
    window = np.arange(along.count).reshape(-1, *(1,) * (-stage.axis - 1))
    return np.asarray(along.places()[0][window, tap])
