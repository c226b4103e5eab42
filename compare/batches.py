"""Cutting a batch into weighted micro-batches, and refusing what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

__all__ = ["InputError", "MicroBatch", "check_batches", "cut", "sizes_of"]

MicroBatch = tuple[tuple[Any, Any], float]


class InputError(ValueError):
    """What a user handed in cannot be compared; the message is one clear line."""


def sizes_of(rows: int, micro_batches: int | Sequence[int]) -> list[int]:
    """The row counts of the micro-batches: equal ones with a clearly shorter tail, or exactly those asked for.

    Raises
    ------
    InputError
        If there are more micro-batches than rows, fewer than one, or the asked sizes do not add up.

    Examples
    --------
    >>> sizes_of(100, 3)
    [40, 40, 20]
    """
    if isinstance(micro_batches, (int, np.integer)):
        count = int(micro_batches)
        if count < 1:
            raise InputError(f"micro-batches: at least 1 is needed, got {count}")
        if count > rows:
            raise InputError(
                f"micro-batches: {count} asked for, but the batch has only {rows} rows; ask for at most {rows}"
            )
        if count == 1:
            return [rows]
        tail = max(1, rows // (2 * count - 1))
        each, extra = divmod(rows - tail, count - 1)
        return [each + 1] * extra + [each] * (count - 1 - extra) + [tail]
    sizes = [int(size) for size in micro_batches]
    if any(size < 1 for size in sizes) or sum(sizes) != rows:
        raise InputError(f"micro-batches: sizes {sizes} must be positive and add up to the batch's {rows} rows")
    return sizes


def cut(
    x: Any, y: Any, micro_batches: int | Sequence[int] = 1, weigh: Callable[[Any], float] = len
) -> list[MicroBatch]:
    """Cut one batch into micro-batches with their weights.

    Parameters
    ----------
    x : array of shape (rows, ...), or a tuple of such arrays
    y : array of shape (rows, ...)
    micro_batches : how many, or the row counts themselves
    weigh : maps a micro-batch's targets to its loss denominator (rows, tokens that count, sum of target weights)

    Returns
    -------
    A list of ``((x, y), weight)``; the weights add up to one.
    """
    sizes = sizes_of(len(y), micro_batches)
    ends = np.cumsum(sizes)
    parts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    denominators = [float(weigh(y[part])) for part in parts]
    total = sum(denominators)
    if not total > 0:
        raise InputError("the batch's loss denominator is zero: no target counts")

    def of(part: slice) -> Any:
        return tuple(item[part] for item in x) if isinstance(x, tuple) else x[part]

    return [((of(part), y[part]), share / total) for part, share in zip(parts, denominators, strict=True)]


def check_batches(batches: Sequence[tuple[Any, Any]]) -> None:
    """Refuse batches that no comparison could use.

    Raises
    ------
    InputError
        For no batches, empty ones, numbers of rows that differ between inputs and targets, and non-finite numbers.
    """
    if not batches:
        raise InputError("no batches: nothing would be compared")
    for number, (x, y) in enumerate(batches, 1):
        for what, array in [*_named(x, "x"), *_named(y, "y")]:
            if not array.ndim or not array.shape[0]:
                raise InputError(f"batch {number}: {what} has no rows (shape {array.shape})")
            if array.shape[0] != np.asarray(y[0] if isinstance(y, tuple) else y).shape[0]:
                raise InputError(
                    f"batch {number}: {what} has {array.shape[0]} rows, y has {len(y)}; they must be equal"
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
                raise InputError(f"batch {number}: {what}{list(index)} is {array[index]}; every number must be finite")


def _named(value: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield f"{name}[{index}]", np.asarray(item)
    else:
        yield name, np.asarray(value)
