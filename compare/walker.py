"""The state of one walk: what both sides show at each checkpoint, compared, judged, counted and placed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from compare.batches import MicroBatch
from compare.checkpoint import PHASES, Checkpoint
from compare.culprit import Flow
from compare.difference import Difference, difference, differences
from compare.history import AGREES, INHERITED, OWN, History
from compare.isolation import IsolatedStep
from compare.neighbourhood import neighbourhood
from compare.side import Key, observed, rates
from compare.tolerance import Judgement, Tolerance
from compare.verdict import Coverage, Divergence, Outcome, Verdict

__all__ = ["SideError", "Walker"]

_NUMBERS = {"loss", "clip", "slots", "schedule"}
_FORGET = 0.9  # how fast a peak fades, per step: as the rounding in a momentum buffer does
_KEPT = 100  # divergences whose numbers are kept; all are counted


class SideError(Exception):
    """One side raised; ``__cause__`` is what it raised."""

    def __init__(self, side: str, moment: str):
        super().__init__(f"the {side} side raised in {moment}")
        self.side = side


@dataclass
class _Behind:
    """Answers a tolerance's questions about one checkpoint of a walk."""

    walker: Walker
    checkpoint: Checkpoint
    scale: float

    def magnitude(self) -> float | None:
        return self.walker.magnitude(self.checkpoint, self.scale)

    def parameter_scale(self) -> float:
        name = self.checkpoint.name
        value = np.asarray(self.walker.expected.parameters[name])
        return max(float(np.max(np.abs(value), initial=0.0)), self.walker.peak("parameter", name))

    def update_scale(self) -> float:
        peak = self.walker.peak("update", self.checkpoint.name)
        behind = self.walker.magnitude(self.checkpoint._replace(phase="update", output=""), peak)
        return max(peak, behind or 0.0)


class Walker:
    """The state of one walk."""

    def __init__(
        self,
        actual: Any,
        expected: Any,
        tolerance: Tolerance,
        sync: str,
        observer: Any = None,
        history: History | None = None,
    ):
        self.observer = observer
        self.history = history
        self.actual = actual
        self.expected = expected
        self.tolerance = tolerance
        self._appeal = getattr(tolerance, "appeal", None)
        self.sync = sync
        self.coverage = Coverage()
        self.flow = Flow(actual, expected)
        self.divergences: list[Divergence] = []
        self.diverged = 0
        self._blunt: set[str] = set()  # names whose value is rounding alone
        self._one_sided: set[tuple[str, str]] = set()
        self._gradient_scale: dict[str, float] = {}  # of the gradient as accumulated so far
        self._peaks: dict[tuple[str, str, int, str], float] = {}  # the largest scale of the last few steps
        self._share = 1.0
        self._state: Any = None  # from which the actual side went into this step
        self._drifted = False
        self._rates = {tuple(rates(expected) or ())}

    # -- one step --------------------------------------------------------------------------------------------------

    def step(self, number: int, micro_batches: Sequence[MicroBatch]) -> None:
        """Walk one step and compare everything in it."""
        actual, expected = self.actual, self.expected
        self.flow.begin_step(keep=self.sync == "free")
        if self.observer:
            self.observer.begin_step(number, micro_batches, expected)
        isolated = None
        if self.sync == "free":
            self._state, self._drifted = self._own_state(number)
        else:
            state = self._state = expected.state()
            self._call("actual", "load_state", actual.load_state, state)
            if self.sync == "module":
                isolated = IsolatedStep(self, number)
        before = {
            side: {name: np.array(value) for name, value in owner.parameters.items()}
            for side, owner in (("actual", actual), ("expected", expected))
        }
        self._call("expected", "zero_grad", expected.zero_grad)
        self._call("actual", "zero_grad", actual.zero_grad)
        for index, (micro_batch, weight) in enumerate(micro_batches, 1):
            self._share = weight
            self.flow.begin_micro_batch()
            if hasattr(self.tolerance, "so_far"):
                self.tolerance.so_far = _copies(actual.gradients) if index > 1 and not isolated else {}
            if isolated:
                self._call("actual", "load_state", isolated.before_micro_batch, index)
            terms = self._call("expected", "accumulate", expected.accumulate, micro_batch, weight)
            draws = getattr(expected, "draws", None)
            if draws and hasattr(actual, "replay"):
                self._call("actual", "replay", actual.replay, draws)
            found = self._call("actual", "accumulate", actual.accumulate, micro_batch, weight)
            if self.history is not None:
                self.history.losses(number, weight, found, terms)
            if hasattr(self.tolerance, "shown"):
                self.tolerance.shown = observed(actual, "forward") or {}
            if hasattr(self.tolerance, "deposits"):
                self.tolerance.deposits = getattr(actual, "deposits", None) or {}
            if isolated:
                self._call("actual", "run_module", isolated.micro_batch, index, (micro_batch, weight), found, terms)
                continue
            for phase in ("forward", "loss", "backward", "deposit", "accumulated"):
                self.compare(number, index, phase, observed(actual, phase, found), observed(expected, phase, terms))
        if hasattr(self.tolerance, "accumulated") and not isolated:  # a step may be judged from these
            self.tolerance.accumulated = _copies(actual.gradients)
        for name, scale in self._gradient_scale.items():
            self._remember(("accumulated", name, 0, ""), scale)
        if isolated:
            self._call("actual", "clip_gradients", isolated.clip)
            self._call("actual", "update", isolated.update)
        else:
            self._call("expected", "step", expected.step)
            self._call("actual", "step", actual.step)
            self.compare_clip(number)
            self.compare(number, None, "slots", observed(actual, "slots"), observed(expected, "slots"))
        self.compare_changes(number, before["actual"], before["expected"])
        for phase in ("parameter", "buffer", "schedule"):
            self.compare(number, None, phase, observed(actual, phase), observed(expected, phase))
        self._rates.add(tuple(rates(expected) or ()))

    def _own_state(self, number: int) -> tuple[Any, bool]:
        """What a reference must start from to be where the actual side is, as far as that can be seen."""
        if number == 1 or not self._appeal or not hasattr(self.expected, "load_state"):
            return None, False
        theirs = self.expected.state()
        mine = self.actual.state() if hasattr(self.actual, "state") else None
        if mine is None:
            mine = {"parameters": {name: np.array(value) for name, value in self.actual.parameters.items()}}
        own_slots = "slots" in mine and _same_names(mine["slots"], theirs.get("slots", {}))
        state = {**theirs, "parameters": mine["parameters"], "own slots": own_slots}
        for part in ("slots",) if own_slots else ():
            state[part] = mine[part]
        if _same_names({"": mine.get("buffers", {})}, {"": theirs.get("buffers", {})}):
            state["buffers"] = mine.get("buffers", {})
        return state, True

    def compare_clip(self, number: int) -> None:
        """The clip phase applies where either side clips; the gradients after the step are the clipped ones."""
        if any(getattr(side, "total_norm", None) is not None for side in (self.actual, self.expected)) or any(
            getattr(side, "clip", None) is not None for side in (self.actual, self.expected)
        ):
            self.compare(number, None, "clip", observed(self.actual, "clip"), observed(self.expected, "clip"))

    def compare_changes(self, number: int, actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
        """Compare the change of each parameter since the copies handed in, which are overwritten."""
        for before, side in ((actual, self.actual), (expected, self.expected)):
            after = side.parameters
            for name, value in before.items():
                np.subtract(after[name], value, out=value)
        self.compare(number, None, "update", *({(n, 0, ""): v for n, v in side.items()} for side in (actual, expected)))

    def _call(self, side: str, moment: str, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            raise SideError(side, moment) from error

    # -- one phase -------------------------------------------------------------------------------------------------

    def compare(
        self,
        step: int,
        micro_batch: int | None,
        phase: str,
        actual: Mapping[Key, Any] | None,
        expected: Mapping[Key, Any] | None,
    ) -> None:
        """Compare what both sides show of one phase, in the reference's order of execution."""
        if actual is None or expected is None:
            if actual or expected:
                self._note_one_sided("expected" if actual is None else "actual", phase, "(the whole phase)")
            return
        keys: list[Key] = []
        pairs: list[tuple[Any, Any]] = []
        for key, reference in expected.items():
            if key not in actual:
                self._note_one_sided("expected", phase, key[0] or "(model)", key)
                continue
            mine = actual[key]
            if mine is None or reference is None:
                if mine is reference:
                    continue
                present = reference if mine is None else mine
                if not np.any(present):
                    self._note(f"{phase}: {key[0]} is None on one side and zero on the other")
                    continue
                mine, reference = (np.zeros_like(present) if value is None else value for value in (mine, reference))
            if phase in _NUMBERS and np.ndim(mine) == np.ndim(reference) == 0:  # a number, whatever holds it
                mine, reference = float(mine), float(reference)
            keys.append(key)
            pairs.append((mine, reference))
        for key in actual:
            if key not in expected:
                self._note_one_sided("actual", phase, key[0] or "(model)", key)
        if not pairs:
            return
        coverage = self.coverage.phase(phase)
        before = len(self.divergences)
        for key, pair, found in zip(keys, pairs, differences(pairs), strict=True):
            checkpoint = Checkpoint(step, micro_batch, phase, *key)
            if phase == "accumulated":
                self._gradient_scale[key[0]] = float(found.scale)
            elif phase in ("clip", "slots", "update", "parameter"):
                self._remember((phase, *key), float(found.scale))
            behind = _Behind(self, checkpoint, float(found.scale))
            judgement = self.tolerance.judge(checkpoint, pair, found, behind, coverage.worst)
            if not judgement.agrees and self._appeal:
                judgement = self._appeal(
                    checkpoint, pair, found, judgement, self._state, self._drifted, self.diverged > 0
                )
            self._count(coverage, checkpoint, found, judgement)
            if self.observer:
                self.observer.pair(checkpoint, *pair, judgement.room, judgement.agrees)
            if not judgement.agrees:
                state = OWN if self._diverge(checkpoint, pair, found, judgement) else INHERITED
            else:
                state = AGREES
                self.flow.agreed(checkpoint)
            if self.history is not None:
                self.history.add(checkpoint, found.count, judgement, state)
        wrong = self.divergences[before:]
        if phase == "deposit" and len(wrong) == len(pairs) > 1 and all(found.own for found in wrong):
            # no layer gets every parameter wrong with every gradient around it right: the weight of the micro-batch
            # does
            self.divergences[before:] = [replace(found, culprit="accumulation") for found in wrong]

    def peak(self, phase: str, name: str) -> float:
        """The largest scale of a value in the last few steps."""
        return self._peaks.get((phase, name, 0, ""), 0.0)

    def _remember(self, key: tuple[str, str, int, str], scale: float) -> None:
        self._peaks[key] = max(scale, _FORGET * self._peaks.get(key, 0.0))

    def _count(self, coverage: Any, checkpoint: Checkpoint, found: Difference, judgement: Judgement) -> None:
        name = checkpoint.label if checkpoint.phase in ("forward", "backward", "slots") else checkpoint.name
        coverage.names.add(name)
        coverage.compared += 1
        coverage.elements += found.count
        coverage.nonfinite += found.nonfinite_agreeing
        blunt = judgement.noise_multiple is not None and judgement.room >= 5 * judgement.scale > 0
        if blunt:  # a floor as large as the value lets anything of that size pass
            self._blunt.add(checkpoint.name)
        elif self._informative(checkpoint, found, judgement):
            coverage.informative += 1
            coverage.informative_names.add(name)
        if judgement.extent > coverage.worst:
            coverage.worst = judgement.extent
            coverage.worst_at = checkpoint

    def _informative(self, checkpoint: Checkpoint, found: Difference, judgement: Judgement) -> bool:
        """Whether agreement here says anything: see DESIGN, the four outcomes."""
        if found.nonfinite_agreeing + (0 if judgement.scale else found.nonfinite_disagreeing) == found.count:
            return False  # nothing is finite; or there is nothing
        if checkpoint.phase in ("init", "parameter", "schedule", "buffer", "loss"):
            return True
        constant = found.constant and found.count > 3  # two or three values may well be equal
        if found.zero or constant:
            return False
        return not (checkpoint.phase == "backward" and self.flow.blind(checkpoint, found))

    def _diverge(self, checkpoint: Checkpoint, pair: tuple[Any, Any], found: Difference, judgement: Judgement) -> bool:
        """Note a divergence; returns whether it is the checkpoint's own."""
        self.diverged += 1
        self.coverage.phase(checkpoint.phase).diverged += 1
        own, culprit = self.flow.diverged(checkpoint)
        if len(self.divergences) < _KEPT:
            detailed = difference(*pair)
            locate = getattr(self.tolerance, "locate", None)
            at = detailed.nonfinite_index or (locate(checkpoint, pair) if locate and not detailed.kind else None)
            if at is not None:  # then this element is the one to look at
                actual, expected = (float(np.asarray(value)[at]) for value in pair)
                detailed = replace(detailed, max_abs_index=at, actual_at=actual, expected_at=expected)
            nearer = getattr(self.tolerance, "nearer", None)
            side = nearer(checkpoint, pair) if nearer and own else ""
            digits = getattr(self.tolerance, "digits", None)
            self.divergences.append(
                Divergence(
                    checkpoint,
                    culprit,
                    own,
                    detailed,
                    judgement,
                    nearer=side,
                    digits=digits(checkpoint) if digits else None,
                    around=neighbourhood(*pair, detailed.max_abs_index),
                )
            )
        return own

    def _note_one_sided(self, side: str, phase: str, what: str, key: Key | None = None) -> None:
        label = what if key is None else Checkpoint(0, None, phase, *key).label
        if (side + phase, label) not in self._one_sided:
            self._one_sided.add((side + phase, label))
            names = self.coverage.only_actual if side == "actual" else self.coverage.only_expected
            names.append(f"{phase}: {label}")

    def _note(self, note: str) -> None:
        if note not in self.coverage.notes:
            self.coverage.notes.append(note)

    # -- sums of magnitudes ----------------------------------------------------------------------------------------

    def magnitude(self, checkpoint: Checkpoint, scale: float) -> float | None:
        """The largest sum of magnitudes behind a value, carried along the data flow from the loss to the update.

        The loss's gradient may be a difference (of probability and target): its *cancellation* is the ratio of what was
        subtracted to what is left, and nothing behind it in the backward pass can be more exact. A deposit adds its
        own, the sum over rows. Slots and updates follow from the gradient: what it is known to, times their own
        size over the gradient's, both as the largest of the last few steps, since a momentum buffer passes zero.
        """
        ask = getattr(self.expected, "magnitude", None)
        phase, name = checkpoint.phase, checkpoint.name
        if phase == "parameter":
            return self.peak("parameter", name)
        if ask is None or phase not in ("loss", "backward", "deposit", "accumulated", "clip", "slots", "update"):
            return None
        if phase == "loss":
            found = ask("loss", name) if name in ("data", "total") else None
            return None if found is None else float(found)
        gradients = getattr(self.expected, "activation_gradients", None) or {}
        incoming = gradients.get(("loss", 0, "input"))
        loss = ask("backward", "loss")
        cancellation = 1.0
        if loss is not None and incoming is not None:
            left = float(np.max(np.abs(incoming), initial=0.0))
            cancellation = max(1.0, float(np.max(loss)) / left) if left else 1.0
            if not left:
                return float(np.max(loss))
        if phase == "backward":
            return scale * cancellation
        if name == "total_norm":
            each = [self._gradient_magnitude(ask, other, cancellation) for other in self._gradient_scale]
            return max((value for value in each if value is not None), default=None)
        behind = self._gradient_magnitude(ask, name, cancellation)
        if behind is None or phase == "accumulated":
            return behind
        if phase == "deposit":
            return behind * self._share
        gradient = self.peak("accumulated", name)
        peak = self._peaks[phase, name, checkpoint.call, checkpoint.output]
        return behind * peak / gradient if gradient else None

    def _gradient_magnitude(self, ask: Any, name: str, cancellation: float) -> float | None:
        """The sums behind a parameter's gradient, from the last micro-batch, as if it were the whole batch."""
        sums = ask("deposit", name)
        if sums is None:
            return self._gradient_scale.get(name, 0.0) * cancellation if cancellation > 1.0 else None
        return float(np.max(sums, initial=0.0)) * cancellation

    # -- the end ---------------------------------------------------------------------------------------------------

    def verdict(
        self,
        walked: int,
        steps: Sequence[Sequence[MicroBatch]],
        promises: Iterable[str] | None,
        failure: SideError | None,
        dtype: str,
    ) -> Verdict:
        """Sum the walk up."""
        coverage = self.coverage
        coverage.phases = dict(coverage.in_order())
        for note in getattr(self.tolerance, "notes", ()):
            self._note(note)
        if hasattr(self.tolerance, "digits_by_phase"):
            coverage.digits = self.tolerance.digits_by_phase()
        worst = max(coverage.phases.values(), key=lambda phase: phase.worst, default=None)
        result = Verdict(
            Outcome.EQUIVALENT,
            "",
            coverage,
            divergences=self.divergences,
            diverged=self.diverged,
            worst_error=worst.worst if worst else 0.0,
            worst_at=worst.worst_at if worst else None,
            steps=walked,
            sync=self.sync,
            tolerance=self.tolerance.name,
            dtype=dtype,
            sides=(self.actual, self.expected),
            history=self.history,
        )
        coverage.blind_spots = _blind_spots(steps[: max(walked, 1)], coverage, len(self._rates) > 1)
        unsteady = getattr(self.tolerance, "unsteady", None)
        if failure is not None:
            cause = failure.__cause__
            result.outcome = Outcome.ERROR
            result.error = cause
            result.reason = f"{failure} (step {walked + 1}): {type(cause).__name__}: {cause}"
        elif unsteady and not self.diverged:
            result.outcome = Outcome.ABSTAINED
            result.reason = (
                f"nondeterminism: two runs of the expected side differ from each other at {unsteady}; "
                "seed it where it is made"
            )
        elif self.diverged:
            first = result.first_divergence
            assert first is not None
            result.outcome = Outcome.DIVERGED
            result.reason = f"the sides part at {first.where}; culprit {first.culprit}"
        else:
            reason = self._abstention(promises, walked)
            if reason:
                result.outcome, result.reason = Outcome.ABSTAINED, reason
        return result

    def _abstention(self, promises: Iterable[str] | None, walked: int) -> str:
        phases = self.coverage.phases
        if not walked:
            return "no step was walked"
        if not any(phase.compared for name, phase in phases.items() if name != "init"):
            return "nothing was compared: no name of one side matches a name of the other"
        promised = set(PHASES) & set(promises) if promises is not None else {name for name in phases if name != "init"}
        for name in PHASES:
            if name in promised and not (name in phases and phases[name].informative):
                return f"{name} was promised, but has no informative checkpoint (all zero, constant, or never shown)"
        trained = {name for name, gradient in self.expected.gradients.items() if gradient is not None}
        for name in sorted(trained):
            if name in self._blunt:
                self._note(
                    f"the gradient of {name} is rounding alone: all that is known is that it is as small as that"
                )
            elif not any(
                name in phases[p].informative_names for p in ("deposit", "accumulated", "update") if p in phases
            ):
                return f"parameter {name} has no informative gradient or update: nothing is known about it"
        return ""


def _copies(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value is None else np.array(value) for name, value in values.items()}


def _same_names(mine: Mapping[str, Mapping[str, Any]], theirs: Mapping[str, Mapping[str, Any]]) -> bool:
    return {name: set(values) for name, values in mine.items()} == {
        name: set(values) for name, values in theirs.items()
    }


def _blind_spots(steps: Sequence[Sequence[MicroBatch]], coverage: Coverage, rate_moved: bool) -> list[str]:
    """Which mistakes could not have shown."""
    spots = []
    if len(steps) == 1:
        spots.append("one step: a missing zero_grad, wrong optimizer state and most schedules show from the second on")
    if not rate_moved and len(steps) > 1:
        spots.append("constant learning rate: a rate inside or outside a momentum buffer is the same")
    weights = [[weight for _, weight in step] for step in steps]
    if all(len(step) == 1 for step in weights):
        spots.append("one micro-batch: wrong accumulation does not show")
    elif all(np.ptp(step) == 0 for step in weights):
        spots.append("equal micro-batches: a mean of means is the mean")
    for phase in ("forward", "backward", "deposit"):
        if phase not in coverage.phases:
            spots.append(f"no {phase} on both sides: a mistake there is seen later and placed less exactly")
    return spots
