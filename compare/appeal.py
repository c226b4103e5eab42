"""The appeal: what is found out about one step before a fault is claimed in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.batches import MicroBatch
from compare.beyond import Beyond
from compare.checkpoint import Checkpoint
from compare.floors import Floor, Spread, floors_of
from compare.rerun import (
    BY_ROWS,
    DRIFT,
    HEADROOM,
    ORDERS,
    Branch,
    Place,
    adding,
    deciding,
    gap_of,
    is_faint,
    judgement_of,
    kink_text,
    perturbing,
    place_of,
    take_in,
)
from compare.tolerance import Judgement

if TYPE_CHECKING:
    from compare.measured import Measured

__all__ = ["Appeal"]

RUNS = 8
SUSPECT = 3.5
"""From so many floors of its row on, an element is also held to its own noise."""
OUT = 15.0
"""So many times what an element moved in any run is too far."""
NEAR = 3.0
"""How many floors a branch may lie away, or a step from the actual side's own gradients. A branch more, since it is
itself a computation with rounding of its own, if it explains most of the difference."""


class Appeal:
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
        self._widest: dict[Place, Any] = {}  # by element: how far the runs lay from the plain one
        self._wide: dict[Place, np.ndarray] | None = None
        self._deciding = deciding()
        self._branches: list[Branch] = []
        self._kink = ""  # the last one at which the other branch was found right
        self._tail: dict[Place, np.ndarray] | None = None
        self._more_branches = self._tried()
        # by micro-batch: the actual side's forward pass, and how far from the reference's it may honestly lie
        self._shown: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._as_shown: list[Branch] | None = None

    def judged(self, checkpoint: Checkpoint, pair: tuple[Any, Any], before: Judgement) -> Judgement:
        actual, reference = np.asarray(pair[0]), np.asarray(pair[1])
        if self._plain is None:
            self._plain = self._run(self._deciding)
            self._beyond = Beyond(self._measured, self._run, self.widened, self._plain, self._given)
        place = place_of(checkpoint, self._plain)
        plain = self._plain.get(place)
        if plain is None or plain.shape != actual.shape:
            return before
        expected = plain if self._drifted else reference
        if not np.isfinite(gap_of(actual, expected)):
            actual, found = self._beyond.judged(checkpoint, place, actual, expected, before)
            if found is not None:
                return found
        room = 0.0
        if self._drifted:
            old = self._measured.floor(checkpoint)
            if old is not None:
                multiple = old.multiple(
                    actual, expected, gap_of(actual, expected),
                    same_rows=checkpoint.phase not in BY_ROWS or self._measured.same_rows(checkpoint), here=False,
                )  # fmt: skip
                if multiple <= HEADROOM:
                    return self._agreed(before, checkpoint, multiple, old, "drift")
            if checkpoint.phase in ("slots", "update", "parameter") and not (self._state or {}).get("own slots"):
                room = DRIFT * gap_of(expected, reference)
        if self._floors is None:
            self._floors = self._measure()
        floor = self._floors[place]
        gap = max(0.0, gap_of(actual, expected) - room)
        multiple = floor.multiple(actual, expected, gap, same_rows=True, here=True) if gap else 0.0
        if SUSPECT < multiple <= HEADROOM:
            multiple = max(multiple, self._alone(place, actual, expected, floor))
        if multiple <= HEADROOM:
            return self._agreed(before, checkpoint, multiple, floor, "drift" if self._drifted else "floor")
        own = self._from_own(checkpoint, place, actual)
        if own is not None:
            other = floor.multiple(actual, own, gap_of(actual, own), same_rows=True, here=False)
            if other <= NEAR:
                return self._agreed(before, checkpoint, other, floor, "own")
        if self._measured.kinks == "either":
            branches = (self._behind(checkpoint), self._followed(checkpoint), self._other_branches())
            for kink, branch in chain(*branches):
                value = branch.get(place, plain)
                other = floor.multiple(actual, value, gap_of(actual, value), same_rows=True, here=False)
                if other <= NEAR or (other <= 2 * HEADROOM and 4 * other <= multiple):
                    self._measured.note(f"step {checkpoint.step}: {kink}; both branches are right")
                    self._kink = kink
                    return self._agreed(before, checkpoint, other, floor, "kink")
        found = judgement_of(multiple, before.error * before.scale, before.scale, floor, here=True)
        return replace(found, agrees=False)

    def _agreed(self, before: Judgement, checkpoint: Checkpoint, multiple: float, floor: Floor, why: str) -> Judgement:
        if why == "drift":
            place: Place = (checkpoint.micro_batch, *checkpoint[2:])
            drift = self._measured.drift
            if not drift:
                self._measured.note(
                    f"from step {checkpoint.step} on the sides' own paths lie apart by added-up rounding; "
                    "what exceeds the floors is judged from the actual side's own state"
                )
            drift[place] = max(drift.get(place, 0.0), before.error * before.scale)
        return replace(judgement_of(multiple, before.error * before.scale, before.scale, floor, here=True), agrees=True)

    def _run(self, mode: AbstractContextManager[Any] | None = None) -> dict[Place, np.ndarray]:
        return self._measured.run(self._state, self._micro_batches, mode)

    def _given(self) -> Iterator[np.ndarray]:
        """What the step is given: inputs, targets and parameters."""
        for (inputs, targets), _ in self._micro_batches:
            yield from (np.asarray(item) for item in (*(inputs if isinstance(inputs, tuple) else (inputs,)), targets))
        yield from (np.asarray(value) for value in self._measured.parameters().values())

    def widened(self) -> dict[Place, np.ndarray]:
        """The step in float64, where the run is narrower and the reference can be widened."""
        if self._wide is None:
            narrow = self._measured.dtype.itemsize < 8
            self._wide = self._measured.widened(self._state, self._micro_batches) if narrow else {}
        return self._wide

    def _alone(self, place: Place, actual: np.ndarray, expected: np.ndarray, floor: Floor) -> float:
        """How far elements of far noisier rows stand out, in what would be floors of a row as quiet as they are."""
        own = self._widest.get(place)
        if own is None or self._drifted or not actual.ndim:
            return 0.0
        gaps = np.abs(np.subtract(actual, expected, dtype=np.float64))
        noise = np.maximum(own, 2 * self._measured.eps * np.abs(np.asarray(expected, np.float64)))
        gaps[~(gaps > SUSPECT * floor.by_element(gaps.shape))] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.where(gaps > OUT * noise, gaps / noise, 0.0)
        return HEADROOM * float(apart.max(initial=0.0)) / OUT

    def _measure(self) -> dict[Place, Floor]:
        assert self._plain is not None
        spreads = {place: Spread(value) for place, value in self._plain.items()}
        measured = self._measured
        faint = is_faint(self._plain)
        for number in range(RUNS):
            wide = self._drifted and number >= RUNS - 2  # what the state's own rounding does to a kink
            amplitude = 4.0 if wide else 1.0
            seed = measured.seed * 1009 + 101 + number
            mode = perturbing(seed, amplitude, self._deciding.made, faint, repeats=True, alike=number % 2 == 1)
            take_in(spreads, self._run(mode))
        for order in ORDERS:
            take_in(spreads, self._run(adding(order, self._deciding.made)))
        if measured.dtype.itemsize < 8:
            take_in(spreads, measured.widened(self._state, self._micro_batches, self._deciding.made))
        self._widest = {place: spread.widest for place, spread in spreads.items() if spread.widest is not None}
        return floors_of(spreads)

    def _other_branches(self) -> Iterator[Branch]:
        """Runs of the reference in which something was decided the other way, each with what it was."""
        yield from self._beyond.answers()
        yield from self._branches
        for branch in self._more_branches:
            self._branches.append(branch)
            yield branch

    def _from_own(self, checkpoint: Checkpoint, place: Place, actual: np.ndarray) -> np.ndarray | None:
        """What follows from what the actual side was allowed before: a sum of its deposits, a step of its gradients.

        A sum may lie as far off as all of its terms together, and a step may magnify what gradients were allowed: a
        sign of rounding alone, divided by its own magnitude.
        """
        measured = self._measured
        if checkpoint.micro_batch is None:
            return None if measured.diverged else self._from_own_gradients().get(place)
        so_far, deposit = measured.so_far.get(checkpoint.name), measured.deposits.get(checkpoint.name)
        compared = (checkpoint.micro_batch, "deposit", *checkpoint[3:]) in (self._plain or {})
        if checkpoint.phase != "accumulated" or not compared or measured.is_confirmed("deposit", checkpoint.name):
            return None
        if so_far is None or deposit is None or not np.shape(so_far) == np.shape(deposit) == actual.shape:
            return None
        with np.errstate(all="ignore"):
            return np.asarray(np.add(so_far, deposit))

    def _behind(self, checkpoint: Checkpoint) -> Iterator[Branch]:
        """The step from gradients of which a branch was found right."""
        if checkpoint.micro_batch is None and self._kink:
            yield self._kink, self._from_own_gradients()

    def _from_own_gradients(self) -> dict[Place, np.ndarray]:
        """The end of the reference's step, from the gradients that the actual side has accumulated."""
        if self._tail is None:
            own = self._measured.accumulated
            self._tail = self._measured.tail(self._state, own) if own else {}
        return self._tail

    def _followed(self, checkpoint: Checkpoint) -> Iterator[Branch]:
        """The reference, deciding at each kink as the actual side's forward pass was decided."""
        from compare.following import Following

        number = checkpoint.micro_batch
        if number is not None and number not in self._shown and self._measured.shown:
            self._shown[number] = list(self._forward(number))
            self._as_shown = None
        if self._shown and self._as_shown is None:
            shown, allowed = ([[pair[i] for pair in pairs] for pairs in self._shown.values()] for i in (0, 1))
            mode = Following(shown, allowed)
            branch = self._run(mode)
            count = sum(count for _, count, _ in mode.found)
            self._as_shown = [(kink_text(mode.found, "within rounding of", count), branch)] if count else []
        yield from self._as_shown or []

    def _forward(self, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What the actual side has of a micro-batch's forward pass, each with what is allowed to its elements."""
        for key, value in self._measured.shown.items():
            array, allowed = np.array(value), np.zeros(np.shape(value))
            floor = (self._floors or {}).get((number, "forward", *key))
            if (
                floor is not None
                and array.ndim == len(floor.axes)
                and not self._measured.is_confirmed("forward", key[0])
            ):
                known = HEADROOM * floor.by_element(array.shape)
                allowed = np.where(np.isfinite(known), known, 0.0)
            if array.dtype.kind == "f":
                yield array, allowed

    def _tried(self) -> Iterator[Branch]:
        from compare.kinks import Deciding, Nudging, changed

        assert self._plain is not None
        for near in (0.0, 16.0):
            for direction in (1, -1):
                mode = Nudging(direction, near)
                branch = self._run(mode)
                if mode.found:
                    kink = kink_text(mode.found, "at", mode.found[0][1])
                    yield kink, branch
                    yield kink, {place: (value + self._plain[place]) / 2 for place, value in branch.items()}
        for number in range(RUNS):
            deciding = Deciding()
            with ExitStack() as stack:
                stack.enter_context(perturbing(self._measured.seed * 1009 + 501 + number, 1.0 + number % 4))
                branch = self._run(deciding)
            kink = changed(self._deciding.made, deciding.made)
            if kink:
                yield kink, branch
