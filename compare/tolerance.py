"""How far apart two honest computations of a checkpoint may lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from compare.checkpoint import Checkpoint
from compare.difference import Difference

__all__ = ["FIXED", "Behind", "Fixed", "Judgement", "Tolerance"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a tolerance says of one difference.

    Attributes
    ----------
    agrees : bool
    error : float
        The largest difference as a fraction of ``scale``.
    allowed : float
        The largest fraction that is honest rounding.
    scale : float
        What the difference was measured against: the largest magnitude in the tensor, or the largest sum of magnitudes
        that the tensor is the result of, where that is known.
    noise_multiple : float or None
        The error in multiples of a measured noise floor; ``None`` where none was measured.
    room : float
        What is allowed to the element that is allowed most, absolute.
    """

    agrees: bool
    error: float
    allowed: float
    scale: float
    noise_multiple: float | None = None
    room: float = 0.0

    @property
    def extent(self) -> float:
        """The size of the error in the tolerance's own unit: noise floors where they were measured, else the scale."""
        return self.error if self.noise_multiple is None else self.noise_multiple


class Behind(Protocol):
    """What a checkpoint's expected tensor was computed from; asked only where the answer can change the verdict."""

    def magnitude(self) -> float | None:
        """The largest sum of magnitudes that the tensor is the result of, where that is known."""
        ...

    def parameter_scale(self) -> float:
        """The largest magnitude of the parameter that an ``update`` moved."""
        ...

    def update_scale(self) -> float:
        """The largest recent change of a ``parameter``."""
        ...


class Tolerance(Protocol):
    """Judges differences; the walk asks it once per checkpoint."""

    name: str

    def judge(
        self, checkpoint: Checkpoint, pair: tuple[Any, Any], difference: Difference, behind: Behind, record: float
    ) -> Judgement:
        """Judge the difference of one pair.

        ``record`` is the largest :attr:`Judgement.extent` of the phase so far. What a tensor was computed from is
        looked up where the error would otherwise exceed what is allowed, or that record: so the largest is a true one.
        """
        ...


FIXED = {
    "init": (0.0, 0.0),
    "forward": (1e-12, 2e-5),
    "loss": (1e-12, 2e-5),
    "backward": (1e-11, 5e-5),
    "deposit": (1e-11, 5e-5),
    "accumulated": (1e-11, 5e-5),
    "clip": (1e-11, 5e-5),
    "slots": (1e-11, 1e-4),
    "update": (1e-10, 1e-3),
    "parameter": (1e-11, 1e-4),
    "buffer": (1e-11, 1e-4),
    "schedule": (1e-14, 1e-14),
}
"""Per phase, the largest difference as a fraction of the tensor's scale, for float64 and for float32.

Learning rates are Python floats on both sides, whatever the dtype; initial values are copies."""


class Fixed:
    """The same table for every tensor: simple, fast, blind to what an op can and cannot know.

    Parameters
    ----------
    dtype : the dtype of the run; narrower ones than float32 scale float32's column by their epsilon
    """

    name = "fixed"

    def __init__(self, dtype: np.dtype | str):
        self.dtype = np.dtype(dtype)
        eps = float(np.finfo(self.dtype).eps)
        self._eps = eps
        if self.dtype.itemsize >= 8:
            self._allowed = {phase: double for phase, (double, _) in FIXED.items()}
        else:
            widen = eps / float(np.finfo(np.float32).eps)
            self._allowed = {
                phase: single * (1 if phase == "schedule" else widen) for phase, (_, single) in FIXED.items()
            }

    def judge(
        self, checkpoint: Checkpoint, pair: tuple[Any, Any], difference: Difference, behind: Behind, record: float
    ) -> Judgement:
        allowed = self._allowed[checkpoint.phase]
        scale = float(difference.scale)
        if difference.kind or difference.nonfinite_disagreeing:
            return Judgement(False, float("inf"), allowed, scale, None, allowed * scale)
        gap = float(difference.max_abs)
        if not gap:
            return Judgement(True, 0.0, allowed, scale, None, allowed * scale)
        if gap > min(allowed, max(record, 2 * self._eps)) * scale:
            scale = max(scale, behind.magnitude() or 0.0)
            if checkpoint.phase == "update":
                # the weight's own rounding: each side rounds it once, and once more where the weight decays
                gap = max(0.0, gap - 2 * self._eps * behind.parameter_scale())
            elif checkpoint.phase == "parameter":  # it inherits what its update was allowed, also where it passes zero
                gap = max(0.0, gap - self._allowed["update"] * behind.update_scale())
        error = 0.0 if not gap else gap / scale if scale else float("inf")
        return Judgement(error <= allowed, error, allowed, scale, None, allowed * scale)
