"""The history of a walk: every checkpoint's error and both sides' losses, for the map and the curves of a page.

A walk keeps none unless it is asked to, by ``lockstep(..., history=True)`` or inside :func:`record_histories`. A
checkpoint takes 17 bytes: its key, step, micro-batch, error (twice) and state. Of a long run the worst is kept for
each key and bin of steps, so that memory has a bound however many steps there are.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.tolerance import Judgement

__all__ = ["AGREES", "INHERITED", "LIMITS", "OWN", "History", "record_histories", "wanted"]

AGREES, INHERITED, OWN = 0, 1, 2
"""The states of a checkpoint, from best to worst."""

LIMITS = {"measured": 5.0, "fixed": 1.0}
"""The largest honest multiple: of the noise floor, or of what the fixed table allows."""

_LOSSES = 4096
_COLUMNS = (("key", "H"), ("step", "I"), ("micro_batch", "H"), ("multiple", "f"), ("error", "f"), ("state", "B"))
_LARGEST = 3.0e38  # of a float32; what is larger, or infinite, is kept as inf
_MOST = 2**16 - 1

_WANTED: ContextVar[bool] = ContextVar("gradlock_histories", default=False)


@contextmanager
def record_histories(on: bool = True) -> Iterator[None]:
    """Within this, every lockstep walk keeps its history (``Verdict.history``).

    Examples
    --------
    >>> with record_histories():
    ...     wanted()
    True
    >>> wanted()
    False
    """
    token = _WANTED.set(on)
    try:
        yield
    finally:
        _WANTED.reset(token)


def wanted() -> bool:
    """Whether walks are to keep their histories."""
    return _WANTED.get()


class History:
    """What a walk met, checkpoint by checkpoint.

    Parameters
    ----------
    tolerance : str
        The name of the judge; ``"measured"`` gives multiples of the noise floor, any other of what is allowed.
    most : int
        Checkpoints kept before steps are put together; four times the number of keys if that is more.

    Attributes
    ----------
    keys : list of (phase, name, call, output)
        In the order in which they were met first.
    elements : list of int
        The number of elements of each key's tensor.
    seen : int
        Checkpoints met, kept or not.
    width : int
        0 where every checkpoint is kept; else how many steps a bin has, of which each key's worst checkpoint is kept.
    limit : float
        The largest multiple that agrees.

    Examples
    --------
    >>> history = History("measured")
    >>> history.add(Checkpoint(1, 1, "forward", "hidden"), 12, Judgement(True, 1e-16, 5e-16, 1.0, 1.0), AGREES)
    >>> history.columns()["multiple"], history.keys
    (array([1.], dtype=float32), [('forward', 'hidden', 0, '')])
    """

    def __init__(self, tolerance: str = "measured", *, most: int = 200_000):
        self.tolerance = tolerance
        self.limit = LIMITS.get(tolerance, 1.0)
        self.keys: list[tuple[str, str, int, str]] = []
        self.elements: list[int] = []
        self.seen = 0
        self.width = 0
        self._most = most
        self._places: dict[tuple[str, str, int, str], int] = {}
        self._columns: dict[str, array[Any]] = {name: array(code) for name, code in _COLUMNS}
        self._losses: list[tuple[int, float, float]] = []
        self._step_loss: tuple[int, float, float] | None = None
        self._loss_width = 1

    def add(self, checkpoint: Checkpoint, elements: int, judgement: Judgement, state: int) -> None:
        """Take in one compared checkpoint.

        Parameters
        ----------
        checkpoint : Checkpoint
        elements : int
        judgement : Judgement
        state : ``AGREES``, ``INHERITED`` or ``OWN``
        """
        key = checkpoint[2:]
        place = self._places.get(key)
        if place is None:
            if len(self.keys) == _MOST:  # the rest of a model with more tensors than that has no row
                return
            place = self._places[key] = len(self.keys)
            self.keys.append(key)
            self.elements.append(elements)
        self.seen += 1
        multiple = judgement.noise_multiple
        if multiple is None:
            error, allowed = judgement.error, judgement.allowed
            multiple = 0.0 if not error else self.limit * error / allowed if allowed else float("inf")
        columns = self._columns
        columns["key"].append(place)
        columns["step"].append(checkpoint.step)
        columns["micro_batch"].append(min(checkpoint.micro_batch or 0, _MOST))
        columns["multiple"].append(_single(multiple))
        columns["error"].append(_single(judgement.error))
        columns["state"].append(state)
        if len(columns["key"]) >= max(self._most, 4 * len(self.keys)):
            self._fold()

    def losses(self, step: int, weight: float, actual: Any, expected: Any) -> None:
        """Add a micro-batch's loss to that of its batch.

        Parameters
        ----------
        step : int
        weight : float
            The share of the micro-batch in the batch.
        actual, expected
            What ``accumulate`` returned on each side: a number, or a mapping with ``total`` or ``data``.
        """
        found = [_loss(terms) for terms in (actual, expected)]
        if None in found:
            return
        mine, reference = (float(weight) * float(value) for value in found if value is not None)
        if self._step_loss is not None and self._step_loss[0] == step:
            mine, reference = mine + self._step_loss[1], reference + self._step_loss[2]
        else:
            self._close_step()
        self._step_loss = (step, mine, reference)

    def curves(self) -> dict[str, np.ndarray]:
        """The loss of each step's batch on both sides: ``step``, ``actual``, ``expected``.

        Of a long run it holds, for each bin of steps, the one at which the sides differ most.
        """
        self._close_step()
        found = np.array(self._losses, dtype=np.float64).reshape(-1, 3)
        return {"step": found[:, 0].astype(np.int64), "actual": found[:, 1], "expected": found[:, 2]}

    def columns(self) -> dict[str, np.ndarray]:
        """The kept checkpoints as arrays of one length, in order of execution."""
        kept = {name: np.array(column) for name, column in self._columns.items()}
        if self.width:  # sorted by key when they were put together
            once_last = kept["micro_batch"] - np.uint16(1)  # 0, once per step, becomes the largest
            order = np.lexsort((kept["key"], once_last, kept["step"]))
            kept = {name: column[order] for name, column in kept.items()}
        return kept

    @property
    def nbytes(self) -> int:
        """The memory of the kept checkpoints."""
        return sum(column.itemsize * len(column) for column in self._columns.values())

    def __len__(self) -> int:
        return len(self._columns["key"])

    def _fold(self) -> None:
        """Keep the worst of each key and bin of steps, in bins so wide that half the room is free again."""
        kept = {name: np.array(column) for name, column in self._columns.items()}
        room = max(self._most, 4 * len(self.keys)) // 2
        while True:
            bins = kept["step"] // max(1, self.width)
            if len(bins) <= room and self.width:
                break
            worst_last = np.lexsort((kept["multiple"], kept["state"], bins, kept["key"]))
            key, place = kept["key"][worst_last], bins[worst_last]
            last = np.append((key[1:] != key[:-1]) | (place[1:] != place[:-1]), True)
            kept = {name: column[worst_last[last]] for name, column in kept.items()}
            self.width = max(1, self.width) if len(kept["key"]) <= room else max(1, self.width) * 2
        self._columns = {name: array(code, kept[name].tobytes()) for name, code in _COLUMNS}

    def _close_step(self) -> None:
        if self._step_loss is None:
            return
        self._losses.append(self._step_loss)
        self._step_loss = None
        if len(self._losses) < 2 * _LOSSES:
            return
        self._loss_width *= 2
        worst: dict[int, tuple[int, float, float]] = {}
        for one in self._losses:
            known = worst.get(one[0] // self._loss_width)
            if known is None or abs(one[1] - one[2]) > abs(known[1] - known[2]):
                worst[one[0] // self._loss_width] = one
        self._losses = list(worst.values())


def _single(value: float) -> float:
    """What a float32 holds of a number; never NaN."""
    return float("inf") if not value < _LARGEST else value


def _loss(terms: Any) -> float | None:
    if isinstance(terms, Mapping):
        terms = terms.get("total", terms.get("data"))
    if terms is None or np.ndim(terms):
        return None
    return float(terms)
