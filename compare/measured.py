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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from compare.batches import MicroBatch
from compare.checkpoint import Checkpoint
from compare.difference import Difference
from compare.floors import Floor, Spread
from compare.side import observed
from compare.tolerance import Behind, Fixed, Judgement

__all__ = ["HEADROOM", "Measured"]

HEADROOM = 5.0
"""How many floors honest computations may lie apart: over 1,700 tensors of random networks it was at most 2.9."""
RUNS = 3
APPEAL_RUNS = 8
_REPEATED = frozenset({"forward", "loss"})  # what two runs of one reference must agree on
_EXACT = frozenset({"init", "schedule"})
_GIVE_UP = 6  # steps that are measured anew after the first divergence was confirmed
_DRIFT = 2.0

Place = tuple[int | None, str, str, int, str]
"""A checkpoint without its step."""

_Branch = tuple[str, dict[Place, np.ndarray]]
"""Which kink, and the values of the run that took the other branch."""


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
        self.unsteady = ""
        self.bare_steps = 0
        self._make = make_expected
        self._steps = steps
        self._seed = seed
        self._eps = float(np.finfo(self.dtype).eps)
        self._fixed = Fixed(self.dtype)
        self._floors: dict[Place, Floor] | None = None
        self._usual: dict[str, float] = {}
        self._drift: dict[Place, float] = {}  # differences that were found to be added-up rounding
        self._appeals: dict[int, _Appeal] = {}
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
        floor = self._floor(checkpoint)
        if floor is None:
            allowed = HEADROOM * self._eps * max(self._usual.get(checkpoint.phase, 4.0), 4.0)
            error = _share(gap, scale)
            return Judgement(error <= allowed, error, allowed, scale, HEADROOM * error / allowed, allowed * scale)
        here = checkpoint.step == 1
        if here and checkpoint.phase in _REPEATED and not self.unsteady:
            # under a dispatch mode some composites take another path, equal but for rounding
            self.unsteady = checkpoint.where if abs(floor.scale - scale) > 2.0**10 * self._eps * scale else ""
        actual, expected = (np.asarray(value) for value in pair)
        multiple = floor.multiple(
            actual, expected, gap, same_rows=here or checkpoint.phase not in _BY_ROWS or self._same_rows(checkpoint),
            here=here, enough=min(record, HEADROOM),
        )  # fmt: skip
        if multiple > HEADROOM:  # an appeal may have shown as much drift to be honest
            drift = _DRIFT * self._drift.get((checkpoint.micro_batch, *checkpoint[2:]), 0.0)
            multiple = HEADROOM * gap / drift if gap <= drift else multiple
        return _judgement(multiple, gap, scale, floor, here=here)

    def _floor(self, checkpoint: Checkpoint) -> Floor | None:
        assert self._floors is not None
        place = _place(checkpoint, self._floors)
        floor = self._floors.get(place)
        index = checkpoint.micro_batch
        while floor is None and index is not None and index > 1:
            index -= 1
            floor = self._floors.get((index, *checkpoint[2:]))
        return floor

    def _same_rows(self, checkpoint: Checkpoint) -> bool:
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
        floor = self._floor(checkpoint)
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
        deciding = _deciding()
        plain = self.run(None, micro_batches, deciding)
        if deciding.random:
            self._repeat(plain, self.run(None, micro_batches, _deciding()))
        if self.dtype.itemsize < 8:
            widened = self.widened(None, micro_batches)
        spreads = {place: Spread(value) for place, value in plain.items()}
        faint = _faint(plain)
        for number in range(RUNS):
            mode = _perturbing(self._seed * 1009 + number, decisions=deciding.made, faint=faint)
            _take_in(spreads, self.run(None, micro_batches, mode))
        if widened:
            _take_in(spreads, widened)
        floors = {place: spread.floor() for place, spread in spreads.items()}
        for (_, phase, *_), floor in floors.items():
            self._usual[phase] = max(self._usual.get(phase, 0.0), floor.relative)
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
        found.update(_after(side, before))
        return found

    def tail(self, state: Mapping[str, Any] | None, gradients: Mapping[str, Any]) -> dict[Place, np.ndarray]:
        """The end of a step of the reference, from given accumulated gradients: clip, slots, update."""
        side, fresh = self._side(False)
        side.load_state({**fresh, **(state or {}), "gradients": gradients})
        before = {name: np.array(value) for name, value in side.parameters.items()}
        side.step()
        return _after(side, before)

    def open_appeal(self, step: int) -> _Appeal | None:
        """What is being found out about a step, if anything is."""
        return self._appeals.get(step)

    def widened(self, state: Mapping[str, Any] | None, micro_batches: Sequence[MicroBatch]) -> dict[Place, np.ndarray]:
        """The same step in float64; nothing, with a note, where the reference cannot be run so."""
        try:
            return self.run(state, micro_batches, widen=True)
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
        _single_tensor(side)
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
            self._appeals = {checkpoint.step: _Appeal(self, self._steps[checkpoint.step - 1], state, drifted)}
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
        floor = self._floor(checkpoint)
        return floor.locate(actual, expected) if floor is not None and len(floor.axes) == actual.ndim else None

    def nearer(self, checkpoint: Checkpoint, pair: tuple[Any, Any]) -> str:
        """Which side is nearer to the value in float64: ``"actual"``, ``"expected"``, or "" where that is not known."""
        appeal = self._appeals.get(checkpoint.step)
        wide = {} if appeal is None else appeal.widened()
        truth = wide.get(_place(checkpoint, wide))
        sides = [np.asarray(side) for side in pair]
        if truth is None or any(side.shape != truth.shape for side in sides):
            return ""
        actual, expected = (_gap(side, truth) if np.isfinite(side).all() else np.inf for side in sides)
        return "" if actual == expected else "actual" if actual < expected else "expected"

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


_BY_ROWS = frozenset({"forward", "backward"})


class _Appeal:
    """What is found out about one step; each measure is taken when it is first needed."""

    def __init__(
        self,
        measured: Measured,
        micro_batches: Sequence[MicroBatch],
        state: Mapping[str, Any] | None,
        drifted: bool,
    ):
        self._measured = measured
        self._micro_batches = micro_batches
        self._state = state
        self._drifted = drifted
        self._plain: dict[Place, np.ndarray] | None = None
        self._floors: dict[Place, Floor] | None = None
        self._wide: dict[Place, np.ndarray] | None = None
        self._deciding = _deciding()
        self._branches: list[_Branch] = []
        self._kink = ""  # the last one at which the other branch was found right
        self._delta: dict[str, np.ndarray] = {}  # by parameter: what other branches have changed in its gradient
        self._tail: dict[Place, np.ndarray] | None = None
        self.gradients: Mapping[str, Any] | None = None  # the actual side's, accumulated
        self._more_branches = self._tried()

    def judged(self, checkpoint: Checkpoint, pair: tuple[Any, Any], before: Judgement) -> Judgement:
        actual, reference = np.asarray(pair[0]), np.asarray(pair[1])
        if self._plain is None:
            self._plain = self._run(self._deciding)
        place = _place(checkpoint, self._plain)
        plain = self._plain.get(place)
        if plain is None or plain.shape != actual.shape:
            return before
        if not np.isfinite(reference).all() or not np.isfinite(actual).all():
            return self._overflowed(checkpoint, actual, reference, before)
        expected = plain if self._drifted else reference
        room = 0.0
        if self._drifted:
            old = self._measured._floor(checkpoint)
            if old is not None:
                multiple = old.multiple(
                    actual, expected, _gap(actual, expected),
                    same_rows=checkpoint.phase not in _BY_ROWS or self._measured._same_rows(checkpoint), here=False,
                )  # fmt: skip
                if multiple <= HEADROOM:
                    return self._agreed(before, checkpoint, multiple, old, "drift")
            if checkpoint.phase in ("slots", "update", "parameter") and not (self._state or {}).get("own slots"):
                room = _DRIFT * _gap(expected, reference)
        if self._floors is None:
            self._floors = self._measure()
        floor = self._floors[place]
        gap = max(0.0, _gap(actual, expected) - room)
        multiple = floor.multiple(actual, expected, gap, same_rows=True, here=True) if gap else 0.0
        if multiple <= HEADROOM:
            return self._agreed(before, checkpoint, multiple, floor, "drift" if self._drifted else "floor")
        if self._measured.kinks == "either":
            for kink, branch in chain(self._behind(checkpoint, expected), self._other_branches()):
                value = branch.get(place, plain)
                other = floor.multiple(actual, value, _gap(actual, value), same_rows=True, here=True)
                if other <= 2 * HEADROOM:  # a branch is itself a computation with rounding of its own
                    self._measured.note(f"step {checkpoint.step}: {kink}; both branches are right")
                    self._kink = kink
                    if checkpoint.phase == "deposit":
                        self._delta[checkpoint.name] = self._delta.get(checkpoint.name, 0.0) + (actual - expected)
                    return self._agreed(before, checkpoint, other, floor, "kink")
        found = _judgement(multiple, before.error * before.scale, before.scale, floor, here=True)
        return replace(found, agrees=False)

    def _agreed(self, before: Judgement, checkpoint: Checkpoint, multiple: float, floor: Floor, why: str) -> Judgement:
        if why == "drift":
            place: Place = (checkpoint.micro_batch, *checkpoint[2:])
            drift = self._measured._drift
            if not drift:
                self._measured.note(
                    f"from step {checkpoint.step} on the sides' own paths lie apart by added-up rounding; "
                    "what exceeds the floors is judged from the actual side's own state"
                )
            drift[place] = max(drift.get(place, 0.0), before.error * before.scale)
        return replace(_judgement(multiple, before.error * before.scale, before.scale, floor, here=True), agrees=True)

    def _run(self, mode: AbstractContextManager[Any] | None = None) -> dict[Place, np.ndarray]:
        return self._measured.run(self._state, self._micro_batches, mode)

    def widened(self) -> dict[Place, np.ndarray]:
        """The step in float64, where the run is narrower and the reference can be widened."""
        if self._wide is None:
            narrow = self._measured.dtype.itemsize < 8
            self._wide = self._measured.widened(self._state, self._micro_batches) if narrow else {}
        return self._wide

    def _overflowed(
        self, checkpoint: Checkpoint, actual: np.ndarray, reference: np.ndarray, before: Judgement
    ) -> Judgement:
        """Where the reference overflows and in float64 does not, it is no yardstick: its run in float64 is."""
        truth = self.widened().get(_place(checkpoint, self.widened()))
        if truth is None or not np.isfinite(truth).all() or not np.isfinite(actual).all():
            return before
        measured = self._measured
        scale = float(np.max(np.abs(truth), initial=0.0))
        allowed = HEADROOM * measured._eps * max(measured._usual.get(checkpoint.phase, 0.0), 64.0)
        error = _share(_gap(actual, truth), scale)
        if error > allowed:
            return before
        measured.note(
            f"step {checkpoint.step}: the reference is not finite at {checkpoint.phase}, {checkpoint.label}; "
            "the actual side agrees with the reference's run in float64, which is"
        )
        return Judgement(True, error, allowed, scale, HEADROOM * error / allowed, allowed * scale)

    def _measure(self) -> dict[Place, Floor]:
        assert self._plain is not None
        spreads = {place: Spread(value) for place, value in self._plain.items()}
        measured = self._measured
        faint = _faint(self._plain)
        for number in range(APPEAL_RUNS):
            wide = self._drifted and number >= APPEAL_RUNS - 2  # what the state's own rounding does to a kink
            amplitude = 4.0 if wide else 1.0
            seed = measured._seed * 1009 + 101 + number
            _take_in(spreads, self._run(_perturbing(seed, amplitude, self._deciding.made, faint)))
        _take_in(spreads, self.widened())
        return {place: spread.floor() for place, spread in spreads.items()}

    def _other_branches(self) -> Iterator[_Branch]:
        """Runs of the reference in which something was decided the other way, each with what it was."""
        yield from self._branches
        for branch in self._more_branches:
            self._branches.append(branch)
            yield branch

    def _behind(self, checkpoint: Checkpoint, expected: np.ndarray) -> Iterator[_Branch]:
        """What follows from branches that were found right before: sums of deposits, and the step from those sums."""
        if checkpoint.phase == "accumulated" and checkpoint.name in self._delta:
            place = _place(checkpoint, self._plain or {})
            yield self._kink, {place: expected + self._delta[checkpoint.name]}
        elif checkpoint.micro_batch is None and self._kink and self.gradients is not None:
            if self._tail is None:
                self._tail = self._measured.tail(self._state, self.gradients)
            yield self._kink, self._tail

    def _tried(self) -> Iterator[_Branch]:
        from compare.kinks import Deciding, Nudging, changed

        assert self._plain is not None
        for near in (0.0, 16.0):
            for direction in (1, -1):
                mode = Nudging(direction, near)
                branch = self._run(mode)
                if mode.found:
                    name, count, first = mode.found[0]
                    kink = f"{count} element{'s' * (count > 1)} at the kink of {name} (the first at {first})"
                    yield kink, branch
                    yield kink, {place: (value + self._plain[place]) / 2 for place, value in branch.items()}
        for number in range(APPEAL_RUNS):
            deciding = Deciding()
            with ExitStack() as stack:
                stack.enter_context(_perturbing(self._measured._seed * 1009 + 501 + number, 1.0 + number % 4))
                branch = self._run(deciding)
            kink = changed(self._deciding.made, deciding.made)
            if kink:
                yield kink, branch


def _after(side: Any, before: Mapping[str, np.ndarray]) -> dict[Place, np.ndarray]:
    """What a side shows once its step is done, as copies."""
    found: dict[Place, np.ndarray] = {}
    for phase in ("clip", "slots", "parameter", "buffer"):
        for key, value in (observed(side, phase) or {}).items():
            if value is not None:
                found[(None, phase, *key)] = np.array(value)
    for name, value in side.parameters.items():
        found[None, "update", name, 0, ""] = np.asarray(value) - before[name]
    return found


def _place(checkpoint: Checkpoint, known: Mapping[Place, Any]) -> Place:
    """Where a checkpoint's value is kept: what is accumulated after the first micro-batch is its deposit."""
    place: Place = (checkpoint.micro_batch, *checkpoint[2:])
    if checkpoint.phase == "accumulated" and place not in known and checkpoint.micro_batch == 1:
        return (1, "deposit", *checkpoint[3:])
    return place


def _judgement(multiple: float, gap: float, scale: float, floor: Floor, *, here: bool) -> Judgement:
    allowed = HEADROOM * gap / multiple if multiple and np.isfinite(multiple) else HEADROOM * floor.largest
    grown = 1.0 if here or not floor.scale else max(1.0, scale / floor.scale)
    room = HEADROOM * floor.largest * grown
    return Judgement(multiple <= HEADROOM, _share(gap, scale), _share(allowed, scale), scale, multiple, max(room, 0.0))


def _share(gap: float, scale: float) -> float:
    return 0.0 if not gap else gap / scale if scale else float("inf")


def _gap(a: np.ndarray, b: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        gaps = np.abs(np.subtract(a, b, dtype=np.float64))
    return float(gaps[np.isfinite(gaps)].max(initial=0.0))


def _take_in(spreads: Mapping[Place, Spread], rerun: Mapping[Place, np.ndarray]) -> None:
    for place, value in rerun.items():
        spread = spreads.get(place)
        if spread is not None and spread.plain.shape == value.shape:
            spread.add(value)


def _perturbing(seed: int, amplitude: float = 1.0, decisions: Any = None, faint: bool = False) -> Any:
    from compare.noise import Perturbing

    return Perturbing(seed, amplitude, decisions, faint=faint)


def _faint(values: Mapping[Place, np.ndarray]) -> bool:
    """Whether any value is so small that what it was computed from may have underflown."""
    for value in values.values():
        if value.dtype.kind == "f" and value.size:
            sizes = np.abs(value)
            if bool(((sizes > 0) & (sizes < 2.0**24 * np.finfo(value.dtype).tiny)).any()):
                return True
    return False


def _deciding() -> Any:
    from compare.kinks import Deciding

    return Deciding()


def _single_tensor(side: Any) -> None:
    """Let the optimizer take its plain path: the grouped kernels hide what they change from a dispatch mode."""
    for group in getattr(getattr(side, "optimizer", None), "param_groups", ()):
        for choice in ("foreach", "fused"):
            if choice in group:
                group[choice] = False
