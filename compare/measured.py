"""The measured tolerance: how far apart two honest computations of *this* checkpoint may lie, found by trying.

*Once per scenario* the first step of the reference is run plainly, a few times in stochastic arithmetic
(:class:`compare.noise.Perturbing`), and in float64 where the run is narrower. The spread is kept as one
:class:`compare.floors.Floor` per checkpoint and reused in later steps, where it grows with the values but does not
shrink: near convergence a gradient is the small difference of large sums, and knows no more digits than those.

*Before a fault is claimed* a difference beyond the tolerance is appealed (:meth:`Measured.appeal`), at its own step:

1. On its own path the actual side starts a step from a state of its own, and rounding has been added up in that. The
   reference is run once from the actual side's state: what then agrees is drift, not a fault.
2. Floors are measured anew at this very step, with more runs.
3. Where a value lies on a kink (ReLU at 0, a tie in max, a clip end ...), both branches are right: the reference is run
   with those values moved to either side. What agrees with one of the branches is annotated, and no divergence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from compare.appeal import Appeal
from compare.batches import MicroBatch
from compare.checkpoint import Checkpoint
from compare.difference import Difference
from compare.floors import Floor, Spread, floors_of
from compare.rerun import (
    BY_ROWS,
    DRIFT,
    HEADROOM,
    Place,
    deciding,
    gap_of,
    imposing,
    is_faint,
    judgement_of,
    perturbing,
    place_of,
    share_of,
    shown_after,
    single_tensor,
    take_in,
)
from compare.side import needs_closure, observed
from compare.tolerance import Behind, Fixed, Judgement

__all__ = ["HEADROOM", "Measured"]

RUNS = 3
_REPEATED = frozenset({"forward", "loss"})  # what two runs of one reference must agree on
_EXACT = frozenset({"init", "schedule"})
_GIVE_UP = 6  # steps that are measured anew after the first divergence was confirmed


class Measured:
    """Judges by measured noise floors.

    Parameters
    ----------
    make_expected : factory of the reference
        Its sides need ``load_state`` for an appeal at a later step, and ``widen`` for the run in float64; without
        them those are left out.
    steps : the micro-batches of every step of the walk
    dtype : dtype of the run
    seed : int
        Seeds the noise; the same seed gives the same floors.
    kinks : "either" or "reference"
        Whether at a kink either branch is right, or only the one that the reference takes.

    Attributes
    ----------
    bare_steps : int
        How many steps of the reference have been run to measure, the plain ones included.
    notes : list of str
        What was found out on appeal.
    unsteady : str
        Where two runs of the reference put out different values, so that its spread is no floor; empty if nowhere.
    """

    name = "measured"

    def __init__(
        self,
        make_expected: Callable[[], Any],
        steps: Sequence[Sequence[MicroBatch]],
        dtype: np.dtype | str,
        *,
        seed: int = 0,
        kinks: str = "either",
    ):
        if kinks not in ("either", "reference"):
            raise ValueError(f"kinks must be 'either' or 'reference', got {kinks!r}")
        self.dtype = np.dtype(dtype)
        self.kinks = kinks
        self.notes: list[str] = []
        self.shown: Mapping[Any, np.ndarray] = {}  # the actual side's forward pass of the micro-batch that is judged
        self.so_far: Mapping[str, Any] = {}  # the actual side's gradients before that micro-batch,
        self.deposits: Mapping[str, Any] = {}  # and what it added to them
        self.accumulated: Mapping[str, Any] = {}  # the actual side's gradients before the step that is judged
        self.unsteady = ""
        self.bare_steps = 0
        self._make = make_expected
        self._steps = steps
        self.seed = seed
        self.eps = float(np.finfo(self.dtype).eps)
        self._fixed = Fixed(self.dtype)
        self._floors: dict[Place, Floor] | None = None
        self.usual: dict[str, float] = {}
        self.drift: dict[Place, float] = {}  # differences that were found to be added-up rounding
        self._appeals: dict[int, Appeal] = {}
        self._confirmed: set[tuple[str, str, str]] = set()
        self._given_up = 0
        self._unmeasured = False
        self._sides: dict[bool, tuple[Any, Mapping[str, Any]]] = {}  # by whether widened

    # -- judging ---------------------------------------------------------------------------------------------------

    def judge(
        self, checkpoint: Checkpoint, pair: tuple[Any, Any], difference: Difference, behind: Behind, record: float
    ) -> Judgement:
        """Judge one difference by the floors of the first step."""
        if checkpoint.phase in _EXACT or difference.kind or difference.nonfinite_disagreeing:
            return self._fixed.judge(checkpoint, pair, difference, behind, record)
        if self._floors is None and not self._unmeasured:
            try:
                self.calibrate()
            except Exception as raised:
                self._unmeasured = True
                self.note(
                    f"no noise floor: the reference raised when it was run again ({type(raised).__name__}: {raised}); "
                    "judged by the fixed tolerance"
                )
        if self._unmeasured:
            return self._fixed.judge(checkpoint, pair, difference, behind, record)
        gap, scale = float(difference.max_abs), float(difference.scale)
        floor = self.floor(checkpoint)
        if floor is None:
            allowed = HEADROOM * self.eps * max(self.usual.get(checkpoint.phase, 4.0), 4.0)
            error = share_of(gap, scale)
            return Judgement(error <= allowed, error, allowed, scale, HEADROOM * error / allowed, allowed * scale)
        here = checkpoint.step == 1
        if here and checkpoint.phase in _REPEATED and not self.unsteady:
            # under a dispatch mode some composites take another path, equal but for rounding
            self.unsteady = checkpoint.where if abs(floor.scale - scale) > 2.0**10 * self.eps * scale else ""
        actual, expected = (np.asarray(value) for value in pair)
        multiple = floor.multiple(
            actual, expected, gap, same_rows=here or checkpoint.phase not in BY_ROWS or self.same_rows(checkpoint),
            here=here, enough=min(record, HEADROOM),
        )  # fmt: skip
        if multiple > HEADROOM:  # an appeal may have shown as much drift to be honest
            drift = DRIFT * self.drift.get((checkpoint.micro_batch, *checkpoint[2:]), 0.0)
            multiple = HEADROOM * gap / drift if gap <= drift else multiple
        return judgement_of(multiple, gap, scale, floor, here=here)

    def floor(self, checkpoint: Checkpoint) -> Floor | None:
        assert self._floors is not None
        place = place_of(checkpoint, self._floors)
        floor = self._floors.get(place)
        index = checkpoint.micro_batch
        while floor is None and index is not None and index > 1:
            index -= 1
            floor = self._floors.get((index, *checkpoint[2:]))
        return floor

    def same_rows(self, checkpoint: Checkpoint) -> bool:
        """Whether a later step has the very rows of the first."""
        first, now = self._steps[0], self._steps[checkpoint.step - 1]
        if first is now:
            return True
        index = (checkpoint.micro_batch or 1) - 1
        return index < min(len(first), len(now)) and first[index][0][0] is now[index][0][0]

    def digits(self, checkpoint: Checkpoint) -> float | None:
        """On how many decimal digits any honest computation of a checkpoint can be expected to agree."""
        if self._floors is None or checkpoint.phase in _EXACT:
            return None
        floor = self.floor(checkpoint)
        return None if floor is None else floor.digits()

    def digits_by_phase(self) -> dict[str, float]:
        """The same for each phase: the fewest of any tensor in it."""
        found: dict[str, float] = {}
        for (_, phase, *_rest), floor in (self._floors or {}).items():
            if floor.scale:
                found[phase] = min(found.get(phase, np.inf), floor.digits())
        if "deposit" in found:  # the first micro-batch's are not kept twice
            found["accumulated"] = min(found["deposit"], found.get("accumulated", np.inf))
        return found

    @property
    def nbytes(self) -> int:
        """The memory that the floors take."""
        return sum(floor.nbytes for floor in (self._floors or {}).values())

    # -- measuring -------------------------------------------------------------------------------------------------

    def calibrate(self) -> None:
        """Measure the floors of the first step; done when the first tensor is judged."""
        micro_batches, widened = self._steps[0], None
        noting = deciding()
        plain = self.run(None, micro_batches, noting)
        if noting.random:
            self._repeat(plain, self.run(None, micro_batches, deciding()))
        if self.dtype.itemsize < 8:
            widened = self.widened(None, micro_batches, noting.made)
        spreads = {place: Spread(value) for place, value in plain.items()}
        faint = is_faint(plain)
        for number in range(RUNS):
            mode = perturbing(self.seed * 1009 + number, decisions=noting.made, faint=faint)
            take_in(spreads, self.run(None, micro_batches, mode))
        if widened:
            take_in(spreads, widened)
        floors = floors_of(spreads)
        for (_, phase, *_), floor in floors.items():
            self.usual[phase] = max(self.usual.get(phase, 0.0), floor.relative)
        self._floors = floors

    def _repeat(self, plain: Mapping[Place, np.ndarray], again: Mapping[Place, np.ndarray]) -> None:
        """Where random numbers are drawn, make sure that a second run draws the same."""
        for place, value in plain.items():
            if not self.unsteady and not np.array_equal(value, again[place], equal_nan=True):
                self.unsteady = Checkpoint(1, *place).where

    def run(
        self,
        state: Mapping[str, Any] | None = None,
        micro_batches: Sequence[MicroBatch] | None = None,
        mode: AbstractContextManager[Any] | None = None,
        *,
        widen: bool = False,
    ) -> dict[Place, np.ndarray]:
        """One step of a fresh reference, from a state, under a mode; everything that it shows, as copies.

        Parameters
        ----------
        state : what the side is given before the step; ``None`` leaves it as it was made
        micro_batches : of the step, by default those of the first
        mode : a context in which the step is taken
        widen : take it in float64; a reference that cannot be widened shows nothing
        """
        micro_batches = self._steps[0] if micro_batches is None else micro_batches
        side, fresh = self._side(widen)
        if side is None:
            return {}
        if state is not None:
            side.load_state({**fresh, **state})
        elif fresh:
            side.load_state(fresh)
        self.bare_steps += 1
        found: dict[Place, np.ndarray] = {}

        def keep(index: int | None, phase: str, terms: Any = None) -> None:
            for key, value in (observed(side, phase, terms) or {}).items():
                if value is not None:
                    found[(index, phase, *key)] = np.array(value)

        before = {name: np.array(value) for name, value in side.parameters.items()}
        with mode or nullcontext():
            side.zero_grad()
            for index, (micro_batch, weight) in enumerate(micro_batches, 1):
                terms = side.accumulate(micro_batch, weight)
                for phase in ("forward", "loss", "backward", "deposit"):
                    keep(index, phase, terms)
                if index > 1 or not getattr(side, "deposits", None):
                    keep(index, "accumulated")
            side.step()
        found.update(shown_after(side, before))
        return found

    def tail(self, state: Mapping[str, Any] | None, gradients: Mapping[str, Any]) -> dict[Place, np.ndarray]:
        """The end of a step of the reference, from given accumulated gradients: clip, slots, update.

        Nothing where the reference's state cannot be set, or its step needs more than gradients.
        """
        side, fresh = self._side(False)
        if not fresh or needs_closure(side):
            return {}
        side.load_state({**fresh, **(state or {}), "gradients": gradients})
        before = {name: np.array(value) for name, value in side.parameters.items()}
        side.step()
        found = shown_after(side, before)  # but for buffers: no forward pass has moved them
        return {place: value for place, value in found.items() if place[1] != "buffer"}

    def parameters(self) -> Mapping[str, Any]:
        """Those of a reference that has been run."""
        found: Mapping[str, Any] = self._side(False)[0].parameters
        return found

    @property
    def diverged(self) -> bool:
        """Whether a divergence has been confirmed."""
        return bool(self._confirmed)

    def is_confirmed(self, phase: str, name: str) -> bool:
        """Whether a divergence of one tensor has been confirmed in a phase."""
        return any(key[:2] == (phase, name) for key in self._confirmed)

    def widened(
        self,
        state: Mapping[str, Any] | None,
        micro_batches: Sequence[MicroBatch],
        decisions: Sequence[Any] | None = None,
    ) -> dict[Place, np.ndarray]:
        """The same step in float64; nothing, with a note, where the reference cannot be run so.

        ``decisions`` are those of the plain run, if what a kink does to a wider value is not to be seen.
        """
        try:
            return self.run(state, micro_batches, imposing(decisions) if decisions else None, widen=True)
        except Exception as raised:
            self.note(f"the reference cannot be run in float64 ({type(raised).__name__}: {raised})")
            return {}

    def _side(self, widen: bool) -> tuple[Any, Mapping[str, Any]]:
        """A reference to run, and the state in which it was made; one that can be put back is made once."""
        if widen in self._sides:
            return self._sides[widen]
        side = self._make()
        if widen:
            if not hasattr(side, "widen"):
                return None, {}
            side.widen()
        single_tensor(side)
        if not (hasattr(side, "state") and hasattr(side, "load_state")):
            return side, {}
        gradients = {name: None if value is None else np.array(value) for name, value in side.gradients.items()}
        self._sides[widen] = side, {**side.state(), "gradients": gradients}
        return self._sides[widen]

    # -- appeal ------------------------------------------------------------------------------------------------------

    def appeal(
        self,
        checkpoint: Checkpoint,
        pair: tuple[Any, Any],
        difference: Difference,
        judgement: Judgement,
        state: Mapping[str, Any] | None,
        drifted: bool,
        diverged: bool,
    ) -> Judgement:
        """Look at a difference beyond the tolerance once more, before a fault is claimed.

        Parameters
        ----------
        checkpoint, pair, difference, judgement : what was judged, and how
        state : the state from which the actual side went into this step; ``None`` for the reference's first
        drifted : whether that state is the actual side's own
        diverged : whether a divergence has already been confirmed in this walk
        """
        key = (checkpoint.phase, checkpoint.name, checkpoint.output)
        if (
            checkpoint.phase in _EXACT
            or self._unmeasured
            or not checkpoint.step
            or difference.kind
            or key in self._confirmed
            or (checkpoint.step > 1 and state is None)
        ):
            return judgement
        appeal = self._appeals.get(checkpoint.step)
        if appeal is None:
            if diverged:
                self._given_up += 1
            if self._given_up > _GIVE_UP or (diverged and drifted):
                return judgement
            self._appeals = {checkpoint.step: Appeal(self, self._steps[checkpoint.step - 1], state, drifted)}
            appeal = self._appeals[checkpoint.step]
        found = appeal.judged(checkpoint, pair, judgement)
        if not found.agrees:
            self._confirmed.add(key)
        return found

    def locate(self, checkpoint: Checkpoint, pair: tuple[Any, Any]) -> tuple[int, ...] | None:
        """The index of the element that lies the most floors off, where that is known."""
        actual, expected = (np.asarray(side) for side in pair)
        if self._floors is None or checkpoint.phase in _EXACT or actual.shape != expected.shape or not actual.ndim:
            return None
        floor = self.floor(checkpoint)
        return floor.locate(actual, expected) if floor is not None and len(floor.axes) == actual.ndim else None

    def nearer(self, checkpoint: Checkpoint, pair: tuple[Any, Any]) -> str:
        """Which side is nearer to the value in float64: ``"actual"``, ``"expected"``, or "" where that is not known."""
        appeal = self._appeals.get(checkpoint.step)
        wide = {} if appeal is None else appeal.widened()
        truth = wide.get(place_of(checkpoint, wide))
        sides = [np.asarray(side) for side in pair]
        if truth is None or any(side.shape != truth.shape for side in sides):
            return ""
        actual, expected = (gap_of(side, truth) if np.isfinite(side).all() else np.inf for side in sides)
        return "" if actual == expected else "actual" if actual < expected else "expected"

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
