"""The tolerance of recorded runs: the noise floors that the expected trace carries, and without one the fixed table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from compare.batches import InputError
from compare.checkpoint import Checkpoint
from compare.difference import Difference
from compare.floors import Floor
from compare.rerun import HEADROOM, judgement_of
from compare.side import Key
from compare.tolerance import Behind, Fixed, Judgement
from compare.tracing.reader import Entry
from compare.tracing.tensors import load

__all__ = ["EPS", "Recorded"]

EPS = {"F64": 2.0**-52, "F32": 2.0**-23, "F16": 2.0**-10, "BF16": 2.0**-7}
_HALF = 4  # units in the last place of the scale, for what is stored in half precision; twice that behind the loss
_BEHIND = {
    "backward": 2,
    "deposit": 2,
    "accumulated": 2,
    "clip": 2,
    "slots": 4,
    "update": 4,
    "parameter": 2,
    "buffer": 2,
}


class _Half(Fixed):
    """The fixed table for tensors stored in half precision: float32's share would be larger than their own values."""

    def __init__(self, eps: float):
        super().__init__("float32")
        self._eps = eps
        self._allowed = {
            phase: share if phase in ("init", "schedule") else _HALF * eps * _BEHIND.get(phase, 1)
            for phase, share in self._allowed.items()
        }


class Recorded:
    """Judges by what the expected trace says of its own noise.

    Parameters
    ----------
    noise : bool
        False leaves recorded noise floors out.

    Attributes
    ----------
    name : str
        ``measured`` once a checkpoint was judged by a noise floor, ``fixed`` before.
    """

    def __init__(self, noise: bool = True):
        self.name = "fixed"
        self._noise = noise
        self._fixed: dict[str, Fixed] = {}
        self._here: dict[Key, tuple[Entry, str]] = {}
        self._floor: tuple[Checkpoint, Floor] | None = None
        self._digits: dict[str, float] = {}

    def about(self, here: Mapping[Key, tuple[Entry, str]]) -> None:
        """Say what the next checkpoints are: the expected side's entry, and the less exact of the two dtypes."""
        self._here = dict(here)

    def judge(
        self, checkpoint: Checkpoint, pair: tuple[Any, Any], difference: Difference, behind: Behind, record: float
    ) -> Judgement:
        """Judge one difference."""
        entry, dtype = self._here[checkpoint.name, checkpoint.call, checkpoint.output]
        if not self._noise or entry.noise is None or difference.kind or difference.nonfinite_disagreeing:
            table = self._fixed.get(dtype)
            if table is None:
                eps = EPS.get(dtype, EPS["F64"])
                table = self._fixed[dtype] = _Half(eps) if eps > EPS["F32"] else Fixed(_WIDE.get(dtype, "float64"))
            return table.judge(checkpoint, pair, difference, behind, record)
        self.name = "measured"
        actual, expected = (np.asarray(value) for value in pair)
        floor = self._floor_of(checkpoint, entry, dtype, float(difference.scale))
        gap = float(difference.max_abs)
        multiple = floor.multiple(actual, expected, gap, same_rows=True, here=True, enough=min(record, HEADROOM))
        return judgement_of(multiple, gap, float(difference.scale), floor, here=True)

    def locate(self, checkpoint: Checkpoint, pair: tuple[Any, Any]) -> tuple[int, ...] | None:
        """The index of the element that lies the most floors off, where that is known."""
        actual, expected = (np.asarray(value) for value in pair)
        if self._floor is None or self._floor[0] != checkpoint or actual.shape != expected.shape or not actual.ndim:
            return None
        return self._floor[1].locate(actual, expected)

    def digits(self, checkpoint: Checkpoint) -> float | None:
        """On how many decimal digits any honest computation of a checkpoint can be expected to agree."""
        return self._floor[1].digits() if self._floor is not None and self._floor[0] == checkpoint else None

    def digits_by_phase(self) -> dict[str, float]:
        """The same for each phase: the fewest of any tensor in it."""
        return dict(self._digits)

    def _floor_of(self, checkpoint: Checkpoint, entry: Entry, dtype: str, scale: float) -> Floor:
        assert entry.noise is not None
        flat = np.array(load(entry.noise))
        if not np.isfinite(flat).all() or (flat < 0).any():
            raise InputError(f"{entry.noise.path}: the noise floor of {checkpoint.where} is not finite and positive")
        eps = EPS.get(entry.value.dtype, EPS["F64"])
        if EPS.get(dtype, 0.0) > eps:  # the actual side holds it less exactly
            flat = np.maximum(flat, _HALF / HEADROOM * EPS[dtype] / eps * scale)
        ends = np.cumsum(entry.value.shape or (1,))[:-1]
        axes = tuple((part, np.zeros_like(part)) for part in np.split(flat, ends))
        floor = Floor(eps, scale, axes, 0.5)
        self._floor = checkpoint, floor
        if scale:
            self._digits[checkpoint.phase] = min(self._digits.get(checkpoint.phase, np.inf), floor.digits())
        return floor


_WIDE = {"F64": "float64", "F32": "float32"}
