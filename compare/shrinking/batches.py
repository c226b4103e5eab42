"""Fewer steps, micro-batches and rows of a walk whose sides stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from compare.batches import MicroBatch
from compare.shrinking.search import sizes_below

__all__ = ["PASSES", "key_of", "sizes_of"]

Steps = Sequence[Sequence[MicroBatch]]


def rows_of(value: Any) -> int:
    """The rows of inputs or targets, which may be a tuple of arrays."""
    return len(value[0]) if isinstance(value, tuple) else len(value)


def _first(value: Any, count: int) -> Any:
    return tuple(item[:count] for item in value) if isinstance(value, tuple) else value[:count]


def _fewer_steps(steps: Steps) -> Iterator[Steps]:
    for count in sizes_below(len(steps)):
        yield steps[:count]


def _fewer_micro_batches(steps: Steps) -> Iterator[Steps]:
    many = max(map(len, steps))
    for kept in (slice(0, 1), slice(-1, None), slice(0, many // 2), slice(0, many - 1), slice(1, None)):
        if many > 1 and all(step[kept] for step in steps):
            yield [_reweighed(step[kept]) for step in steps]


def _fewer_rows(steps: Steps) -> Iterator[Steps]:
    """Weights follow the rows: each micro-batch keeps what a row of it weighs beside a row of the others."""
    for least in (1, 2, 3):
        yield [_cut(step, partial(min, least)) for step in steps]
    yield [_cut(step, lambda size: (size + 1) // 2) for step in steps]
    yield [_cut(step, lambda size: max(1, size - 1)) for step in steps]


def _cut(step: Sequence[MicroBatch], size_of: Callable[[int], int]) -> list[MicroBatch]:
    found = []
    for (x, y), weight in step:
        rows = rows_of(y)
        kept = size_of(rows)
        found.append(((_first(x, kept), _first(y, kept)), weight * kept / rows))
    return _reweighed(found)


def _reweighed(step: Sequence[MicroBatch]) -> list[MicroBatch]:
    total = sum(weight for _, weight in step)
    return [(batch, weight / total) for batch, weight in step]


PASSES = (_fewer_steps, _fewer_micro_batches, _fewer_rows)


def key_of(steps: Steps) -> Any:
    """What makes two lists of steps the same."""
    return tuple(tuple((tuple(map(_frozen, batch)), round(weight, 12)) for batch, weight in step) for step in steps)


def _frozen(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_frozen, value))
    array = np.asarray(value)
    return array.shape, array.tobytes()


def sizes_of(steps: Steps) -> dict[str, int]:
    """The sizes by readable names."""
    return {
        "steps": len(steps),
        "micro-batches": max(map(len, steps)),
        "rows": max(sum(rows_of(y) for (_, y), _ in step) for step in steps),
    }
