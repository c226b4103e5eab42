"""What is not finite on one side: whether that is honest, before a fault is claimed.

A product overflows in one order of its factors and not in another, a sum of infinities of either sign is NaN or one of
them as its terms are added up, and a kink that is asked about NaN answers as its kernel likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.rerun import HEADROOM, Branch, Place, gap_of, kink_text, share_of
from compare.tolerance import Judgement

if TYPE_CHECKING:
    from compare.measured import Measured

__all__ = ["Beyond"]

_END = 1024.0
"""How many times its value the terms of an honest formula may be on the way, at the end of the range."""


class Beyond:
    """Judges values of one step that are not finite.

    Parameters
    ----------
    measured : whose usual floors and notes these are
    run : the step of the reference under a mode
    widened : the step in float64, where the run is narrower
    plain : the step of the reference, by place
    given : what it is given: inputs and parameters
    """

    def __init__(
        self,
        measured: Measured,
        run: Callable[[Any], dict[Place, np.ndarray]],
        widened: Callable[[], dict[Place, np.ndarray]],
        plain: Mapping[Place, np.ndarray],
        given: Callable[[], Iterable[np.ndarray]],
    ):
        self._measured = measured
        self._run = run
        self._widened = widened
        self._plain = plain
        self._given = given
        self._answers: list[Branch] | None = None

    def judged(
        self, checkpoint: Checkpoint, place: Place, actual: np.ndarray, expected: np.ndarray, before: Judgement
    ) -> tuple[np.ndarray, Judgement | None]:
        """Judge a pair that lies infinitely far apart.

        Returns
        -------
        actual : array
            With the reference's values in the place of those that are as honest; to be judged as any other.
        judgement : Judgement or None
            The last word, if there is no more to be said.
        """
        found = self._in_float64(checkpoint, place, actual, expected, before)
        if not found.agrees:
            found = self._answered(checkpoint, place, actual, found)
        if found.agrees:
            return actual, found
        actual = self._sums_overflow(checkpoint, actual, expected)
        actual = self._nearly_infinite(checkpoint, actual, expected)
        return actual, None if np.isfinite(gap_of(actual, expected)) else found

    def answers(self) -> list[Branch]:
        """What follows where a kink is asked about NaN: its gradient passes, or is stopped, or is NaN."""
        if self._answers is None:
            from compare.kinks import Undecided

            self._answers = []
            for given in (None, 0.0, np.nan):
                mode = Undecided(given)
                branch = self._run(mode)
                if not mode.found:
                    break
                self._answers.append((kink_text(mode.found, "NaN at", mode.found[0][1]), branch))
        return self._answers

    def _in_float64(
        self, checkpoint: Checkpoint, place: Place, actual: np.ndarray, expected: np.ndarray, before: Judgement
    ) -> Judgement:
        """Where the reference overflows and in float64 does not, it is no yardstick: its run in float64 is.

        What is computed from terms beyond the range of the run's dtype is infinite of either sign, or NaN, as they are
        added up; where the reference is not finite for that, any value that is not finite is as honest.
        """
        truth = self._widened().get(place)
        if truth is None or not np.isfinite(truth).all():
            return before
        with np.errstate(over="ignore"):
            truth = truth.astype(actual.dtype)  # what lies beyond the range is infinite in every honest run
        either = ~np.isfinite(expected) & ~np.isfinite(actual)
        judgement = self._but_for_what_is_not_finite(checkpoint, actual, np.where(either, actual, truth))
        if not judgement.agrees:
            return before
        found = "is out of reach of both sides" if either.any() else "is what the actual side has"
        self._measured.note(
            f"step {checkpoint.step}: the reference is not finite at {checkpoint.phase}, {checkpoint.label}; "
            f"its value in float64 {found}"
        )
        return judgement

    def _but_for_what_is_not_finite(self, checkpoint: Checkpoint, actual: np.ndarray, value: np.ndarray) -> Judgement:
        """How far apart the finite elements lie; infinitely, where one is finite and the other is not."""
        scale = float(np.max(np.abs(value), where=np.isfinite(value), initial=0.0))
        allowed = HEADROOM * self._measured.eps * max(self._measured.usual.get(checkpoint.phase, 0.0), 64.0)
        error = share_of(gap_of(actual, value), scale)
        return Judgement(error <= allowed, error, allowed, scale, HEADROOM * error / allowed, allowed * scale)

    def _answered(self, checkpoint: Checkpoint, place: Place, actual: np.ndarray, before: Judgement) -> Judgement:
        """What is not finite may follow from a kink that was asked about NaN: then any answer is right."""
        if self._measured.kinks == "either":
            for kink, branch in self.answers():
                if place in branch:
                    judgement = self._but_for_what_is_not_finite(checkpoint, actual, branch[place])
                    if judgement.agrees:
                        self._measured.note(f"step {checkpoint.step}: {kink}; both branches are right")
                        return judgement
        return before

    def _sums_overflow(self, checkpoint: Checkpoint, actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """The actual value, with the reference's where neither is finite in a step that overflows."""
        odd = ~np.isfinite(actual) & ~np.isfinite(expected)
        if not odd.any() or not self._overflows():
            return actual
        self._measured.note(
            f"step {checkpoint.step}: sums overflow; whether one ends as an infinity or as NaN depends on their order"
        )
        return np.where(odd, expected, actual)

    def _overflows(self) -> bool:
        """Whether there are finite numbers of which a product, or in float64 a number itself, is beyond the range.

        An infinity alone says nothing: the logarithm of zero is one, too.
        """
        most = float(np.sqrt(np.finfo(self._measured.dtype).max))
        values = chain(self._plain.values(), self._widened().values(), self._given())
        return any(
            bool(np.any(np.abs(value) > most, where=np.isfinite(value))) for value in values if value.dtype.kind == "f"
        )

    def _nearly_infinite(self, checkpoint: Checkpoint, actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """The actual value, with the reference's where one of them is infinite and the other nearly so.

        What is ``c a / b`` overflows in one order of its factors and not in the other.
        """
        infinite = np.isinf(actual) ^ np.isinf(expected)
        near = np.finfo(self._measured.dtype).max / _END
        beyond = infinite & (np.minimum(abs(actual), abs(expected)) > near) & (np.sign(actual) == np.sign(expected))
        if not beyond.any():
            return actual
        self._measured.note(
            f"step {checkpoint.step}: {checkpoint.phase}, {checkpoint.label} comes so near to the end of "
            f"{self._measured.dtype}'s range that it depends on the order of its factors whether it is infinite"
        )
        return np.where(beyond, expected, actual)
