"""The one place where random numbers come from: a NumPy generator that ``manual_seed`` resets.

A comparison draws nothing here: initial values and dropout masks are copied from the reference, and what a layer draws
in a forward pass is replayed (:func:`replaying`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from manual.rules.core import Array

__all__ = ["bernoulli", "default_generator", "exponential", "manual_seed", "replaying", "uniform"]

_generator = np.random.default_rng()
_queue: deque[Array] | None = None


def manual_seed(seed: int) -> np.random.Generator:
    """Restart the default generator, and return it.

    Takes no arrays.

    Raises
    ------
    TypeError
        If the seed is no number.

    Examples
    --------
    >>> draws = []
    >>> for _ in range(2):
    ...     generator = manual.manual_seed(7)
    ...     draws.append(nn.Linear(1, 1).weight.item())
    >>> draws[0] == draws[1]
    True
    """
    global _generator
    _generator = np.random.default_rng(seed)
    return _generator


def default_generator() -> np.random.Generator:
    """The generator from which initial values and masks are drawn."""
    return _generator


def bernoulli(shape: tuple[int, ...], p: float) -> Array:
    """A mask that is 1 (or True) with probability ``p``; a recorded one where draws are replayed.

    Where nothing is left to chance, at ``p`` 0 or 1 and for an empty shape, nothing is drawn, as in torch.
    """
    if p in (0, 1) or 0 in shape:
        return np.full(shape, p == 1)
    replayed = _next(shape)
    return _generator.random(shape) < p if replayed is None else replayed


def uniform(shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Array:
    """Numbers between ``low`` and ``high``; recorded ones where draws are replayed."""
    replayed = _next(shape)
    return _generator.uniform(low, high, shape) if replayed is None else replayed


def exponential(shape: tuple[int, ...]) -> Array:
    """Exponentially distributed numbers of mean 1; recorded ones where draws are replayed."""
    replayed = _next(shape)
    return _generator.standard_exponential(shape) if replayed is None else replayed


def _next(shape: tuple[int, ...]) -> Array | None:
    """The next draw to replay, or ``None`` where nothing is replayed.

    Raises
    ------
    RuntimeError
        If draws are replayed and none is left.
    ValueError
        If the next one has another shape.
    """
    if _queue is None:
        return None
    if not _queue:
        raise RuntimeError("more random numbers are asked for than were recorded to be replayed")
    values = _queue.popleft()
    if values.shape != tuple(shape):
        raise ValueError(f"the draw to replay has shape {values.shape}, but shape {tuple(shape)} is asked for")
    return values


@contextmanager
def replaying(draws: Iterable[Array]) -> Iterator[None]:
    """Let every layer that draws in a forward pass take these draws instead, in order of execution.

    A mask is an array of zeros and ones (1 where a value is kept), uniform numbers are the numbers themselves.

    Raises
    ------
    RuntimeError
        If draws are left over at the end.
    """
    global _queue
    before, _queue = _queue, deque(np.asarray(values) for values in draws)
    try:
        yield
        if _queue:
            raise RuntimeError(f"{len(_queue)} recorded draws were not asked for")
    finally:
        _queue = before
