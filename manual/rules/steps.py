"""How a recurrent rule walks through sequences: which rows are a step, and which states lie before them.

Sequences may differ in length. They come sorted, the longest first, and step by step: the first element of every
sequence, then the second of those that have one, and so on. ``batch_sizes[t]`` says how many sequences have a step
``t``; they are always the first ones. All elements are thus the *rows* of one matrix, the rows of a step lie together,
and a padded element, which would have to be masked, does not exist. A batch of sequences of one length, ``(steps,
batch, features)``, is the same thing with equal batch sizes.

The states are rows of one matrix too, the initial ones first, so that what lies before a row is again a row of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from manual.rules.core import Array, Needs

__all__ = ["Walk", "check_cell", "products", "squash", "sums_over_rows", "tanh_slope"]


class Walk:
    """A walk through the sequences of one input, from the first step to the last or, in ``reverse``, back.

    The recursion always runs forward: where the walk is reversed, every sequence is turned round on the way in
    (:meth:`rows`) and what becomes of it on the way out (:meth:`shaped`).

    Parameters
    ----------
    input : array ``(steps, batch, features)``, or ``(rows, features)`` with ``batch_sizes``
    batch_sizes : how many sequences have each step, or ``None`` where all have all
    reverse : bool

    Attributes
    ----------
    steps : for each step three slices: its rows of the input, its rows of the states, and the rows of the states before
    batch : how many sequences there are

    Raises
    ------
    RuntimeError
        If there is no step, or the batch sizes rise or do not add up to the rows.
    """

    def __init__(self, input: Array, batch_sizes: Sequence[int] | None, reverse: bool):
        self._shape = input.shape
        if batch_sizes is None:
            if input.ndim != 3:
                raise RuntimeError(f"expected an input (steps, batch, features), or batch_sizes: got {input.shape}")
            sizes = (input.shape[1],) * input.shape[0]
        else:
            sizes = tuple(map(int, batch_sizes))
        if not sizes:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        self._order = _order_of(sizes)
        if batch_sizes is not None and (input.ndim != 2 or self._order.rows != len(input)):
            raise RuntimeError(f"expected an input of {self._order.rows} rows, got shape {input.shape}")
        self._reverse = reverse
        self.steps = self._order.steps
        self.batch = sizes[0]

    def rows(self, array: Array) -> Array:
        """What is shaped as the input, as rows in the order of the walk."""
        flat = array.reshape(self._order.rows, array.shape[-1])
        return flat[self._order.mirror] if self._reverse else flat

    def shaped(self, rows: Array) -> Array:
        """Rows in the order of the walk, shaped as the input."""
        found = rows[self._order.mirror] if self._reverse else rows
        return found.reshape(*self._shape[:-1], rows.shape[-1])

    def states(self, first: Array, width: int) -> Array:
        """Room for the states, the initial ones filled in.

        Raises
        ------
        RuntimeError
            If the initial ones have another shape.
        """
        if first.shape != (self.batch, width):
            raise RuntimeError(f"Expected hidden size {(self.batch, width)}, got {list(first.shape)}")
        states = np.empty((self.batch + self._order.rows, width), first.dtype)
        states[: self.batch] = first
        return states

    def before(self, states: Array) -> Array:
        """For each row of the input the state before it."""
        found: Array = states[self._order.before]
        return found

    def last(self, states: Array) -> Array:
        """The state of each sequence after its last step."""
        return np.array(states[self._order.last])


@dataclass(frozen=True)
class _Order:
    """What follows from the batch sizes alone: slices by step, and for whole matrices one index each."""

    rows: int
    steps: list[tuple[slice, slice, slice]]
    before: Any
    last: Any
    mirror: Array


@lru_cache(maxsize=32)
def _order_of(batch_sizes: tuple[int, ...]) -> _Order:
    sizes = np.array(batch_sizes)
    if (sizes[1:] > sizes[:-1]).any() or sizes[-1] < 0:
        raise RuntimeError(f"batch sizes must not rise from one step to the next, and not be negative: {batch_sizes}")
    batch, rows = batch_sizes[0], int(sizes.sum())
    starts = np.cumsum(sizes) - sizes
    step = np.repeat(np.arange(len(sizes)), sizes)
    sequence = np.arange(rows) - starts[step]
    lengths = (sizes[:, np.newaxis] > np.arange(batch)).sum(axis=0)
    before: Any = slice(0, rows)
    last: Any = slice(rows, batch + rows)
    if batch_sizes[-1] != batch:
        before = np.where(step == 0, sequence, batch + starts[step - 1] + sequence)
        last = batch + starts[lengths - 1] + np.arange(batch)
    mirror = starts[lengths[sequence] - 1 - step] + sequence
    steps = []
    previous = 0
    for size, start in zip(batch_sizes, starts.tolist(), strict=True):
        here = slice(start, start + size)
        steps.append((here, slice(batch + start, batch + start + size), slice(previous, previous + size)))
        previous = batch + start
    return _Order(rows, steps, before, last, mirror)


def products(x: Array, weight: Array, *biases: Any) -> Array:
    """``x Wᵀ`` plus the biases, for all rows at once."""
    if weight.shape[1] != x.shape[1]:
        raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {weight.shape[1]}, got {x.shape[1]}")
    sums: Array = x @ weight.T
    for bias in biases:
        if bias is not None:
            sums += bias
    return sums


def sums_over_rows(to_sums: Array, factor: Array, needs: Needs) -> tuple[Array | None, Array | None]:
    """The gradients of the weight and of the bias of ``W factor + b``, summed over all rows: ``δᵀ F`` and ``δᵀ 1``."""
    to_weight = to_sums.T @ factor if needs[0] else None
    to_bias = np.ones(len(to_sums), to_sums.dtype) @ to_sums if len(needs) > 1 and needs[1] else None
    return to_weight, to_bias


def squash(sums: Array) -> None:
    """Put ``σ(a) = 1 / (1 + exp(-a))`` in the place of ``a``; where the exponential overflows it is 0, as it should."""
    np.negative(sums, out=sums)
    np.exp(sums, out=sums)
    sums += 1
    np.reciprocal(sums, out=sums)


def tanh_slope(y: Array) -> Array:
    """``1 - y²`` of ``y = tanh(a)``."""
    slope = y * y
    return np.subtract(1, slope, out=slope)


def check_cell(input: Any, states: tuple[Any, ...], w_ih: Any, w_hh: Any) -> None:
    """Refuse what does not fit, in torch's words."""
    if input.shape[1] != w_ih.shape[1]:
        raise RuntimeError(f"input has inconsistent input_size: got {input.shape[1]} expected {w_ih.shape[1]}")
    for number, state in enumerate(states):
        if len(input) != len(state):
            raise RuntimeError(f"Input batch size {len(input)} doesn't match hidden{number} batch size {len(state)}")
        if state.shape[1] != w_hh.shape[1]:
            raise RuntimeError(
                f"hidden{number} has inconsistent hidden_size: got {state.shape[1]}, expected {w_hh.shape[1]}"
            )
