"""What a diagnosis may look at, and how a hypothesis is held against it.

After a walk has diverged, both sides are made anew and walked once more, a step or two beyond the divergence, and every
pair of tensors is kept (:class:`Recording`). A hypothesis is a function that predicts, from the reference and from
what is known about the run, what the actual tensors would be if one certain mistake had been made
(:class:`Hypothesis`). :meth:`Evidence.fit` holds the prediction against what the actual side showed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from compare.batches import MicroBatch
from compare.checkpoint import PER_MICRO_BATCH, Checkpoint
from compare.side import observed, rates

__all__ = ["Cause", "Evidence", "Fit", "Hypothesis", "Pair", "Recording", "StepFacts"]

_MOST_BYTES = 512 * 2**20
"""The most that a recording keeps; beyond it only the checkpoints of the diverging step are kept."""


@dataclass(frozen=True, slots=True)
class Cause:
    """An explanation of a divergence.

    Attributes
    ----------
    cause : str
        A name of :data:`compare.diagnosis.catalogue.CAUSES`.
    residual : float
        What the explanation leaves of the difference: ``max |actual - predicted| / max |actual - expected|``.
    explanation : str
        One sentence with the numbers of this run.
    look_at : str
        The formula or the source line to look at; empty where nothing more is known.
    """

    cause: str
    residual: float
    explanation: str
    look_at: str = ""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the actual side would have shown if one certain mistake had been made.

    Attributes
    ----------
    cause : str
        A name of the catalogue.
    predicted : dict of Checkpoint to array
        Every checkpoint that the hypothesis speaks about. Those that diverged must be among what it explains, those
        that agreed must agree with it.
    explanation, look_at : see :class:`Cause`
    rank : int
        Of two hypotheses that both explain everything the one of lower rank comes first: 0 for a mistake that leaves
        no other reading, 5 for one usual name among several, 9 for a last resort.
    freedom : int
        How many numbers were fitted to the actual tensors; each makes a hypothesis weaker.
    noise : dict of Checkpoint to float
        Rounding that the mistake itself brings, absolute: what is computed in a narrower dtype cannot be predicted any
        better. A hypothesis with noise needs other evidence than closeness, and is a last resort.
    """

    cause: str
    predicted: Mapping[Checkpoint, Any]
    explanation: str
    look_at: str = ""
    rank: int = 5
    freedom: int = 0
    noise: Mapping[Checkpoint, float] = field(default_factory=dict)


class Pair(NamedTuple):
    """One checkpoint as both sides showed it, what was allowed between them (absolute), and whether they agreed."""

    actual: np.ndarray
    expected: np.ndarray
    allowed: float
    agrees: bool


class Fit(NamedTuple):
    """How well a prediction explains: the residual, and whether what is left is rounding."""

    residual: float
    explained: bool


@dataclass
class StepFacts:
    """What is known about one step of the walk.

    Attributes
    ----------
    number : int
        From 1.
    micro_batches : list of ``((x, y), weight)``
    state : dict
        The reference's state before the step, as ``Side.state()`` gives it: ``parameters``, ``buffers``, ``slots``
        (parameter to slot to array), ``learning_rate``.
    rates : list of float
        The reference's learning rates in force during the step, one per parameter group.
    gradients_before : dict of parameter to array or None
        What the reference's ``.grad`` held before ``zero_grad``.
    """

    number: int
    micro_batches: Sequence[MicroBatch]
    state: Mapping[str, Any]
    rates: list[float]
    gradients_before: Mapping[str, np.ndarray | None]

    @property
    def weights(self) -> list[float]:
        return [float(weight) for _, weight in self.micro_batches]

    @property
    def rows(self) -> list[int]:
        """The number of rows of each micro-batch."""
        return [len(_first(batch[1] if batch[1] is not None else batch[0])) for batch, _ in self.micro_batches]


@dataclass
class Recording:
    """Keeps what a walk compares: an observer of :func:`compare.lockstep.walk`."""

    focus: int
    """The step that is kept whole; of the others what happens once per step, deposits and accumulated gradients."""
    pairs: dict[Checkpoint, Pair] = field(default_factory=dict)
    steps: list[StepFacts] = field(default_factory=list)
    kept: int = 0

    def begin_step(self, number: int, micro_batches: Sequence[MicroBatch], expected: Any) -> None:
        """Note the reference's state before a step."""
        state = expected.state() if hasattr(expected, "state") else {"parameters": _copies(expected.parameters)}
        self.steps.append(StepFacts(number, micro_batches, state, rates(expected) or [], _copies(expected.gradients)))

    def pair(self, checkpoint: Checkpoint, actual: Any, expected: Any, allowed: float, agrees: bool) -> None:
        """Keep one pair."""
        if checkpoint.step != self.focus:
            if checkpoint.phase in PER_MICRO_BATCH and checkpoint.phase not in ("deposit", "accumulated"):
                return
            if self.kept > _MOST_BYTES:
                return
        copied = Pair(np.array(actual), np.array(expected), allowed + self._held(checkpoint, expected), agrees)
        self.kept += copied.actual.nbytes + copied.expected.nbytes
        self.pairs[checkpoint] = copied

    def _held(self, checkpoint: Checkpoint, expected: Any) -> float:
        """What an update carries beside its own rounding: a unit in the last place of the weight that it moved."""
        if checkpoint.phase != "update" or not self.steps:
            return 0.0
        weight = np.asarray(self.steps[-1].state["parameters"].get(checkpoint.name, 0.0))
        kind = np.asarray(expected).dtype
        if kind.kind != "f" or not weight.size:
            return 0.0
        return float(np.finfo(kind).eps) * float(np.max(np.abs(weight)))


class Evidence:
    """Everything known about one divergence.

    Attributes
    ----------
    checkpoint : Checkpoint
        Where the sides parted.
    culprit : str
        A module path, ``loss``, ``penalty``, ``accumulation``, ``clip``, ``optimizer``, ``scheduler`` ...
    pairs : dict of Checkpoint to Pair
        All checkpoints of the diverging step; of the other steps what happens once per step, deposits and accumulated
        gradients. In execution order.
    steps : list of StepFacts
        From step 1 to a step or two beyond the divergence.
    sync : str
    memory : dict
        What families have worked out about this evidence, under names of their own.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        culprit: str,
        recording: Recording,
        make_actual: Callable[[], Any],
        make_expected: Callable[[], Any],
        sync: str,
    ):
        self.checkpoint = checkpoint
        self.culprit = culprit
        self.pairs = recording.pairs
        self.steps = recording.steps
        self.sync = sync
        self.memory: dict[Any, Any] = {}
        self._make_actual = make_actual
        self._make_expected = make_expected
        self._reference: Any = None

    # -- the place -------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        return self.checkpoint.phase

    @property
    def pair(self) -> Pair:
        """The pair at the divergence."""
        return self.pairs[self.checkpoint]

    @property
    def step(self) -> StepFacts:
        """The step of the divergence; for ``init`` the first."""
        return self.steps[max(0, self.checkpoint.step - 1)]

    @property
    def reference(self) -> Any:
        """A fresh reference side, to look at its module, loss, optimizer, clip; never trained."""
        if self._reference is None:
            self._reference = self._make_expected()
        return self._reference

    def another_reference(self) -> Any:
        """A reference side made anew, that may be trained."""
        return self._make_expected()

    def fresh(self) -> tuple[Any, Any]:
        """Both sides made anew: actual, expected."""
        return self._make_actual(), self._make_expected()

    def at(self, phase: str, step: int | None = None, micro_batch: int | None = None) -> dict[Checkpoint, Pair]:
        """The pairs of one phase of one step (that of the divergence unless given), in order of execution.

        Per micro-batch phases: of ``micro_batch``, by default that of the divergence, or the last one if the
        divergence is at no micro-batch.
        """
        step = self.checkpoint.step if step is None else step
        if phase in PER_MICRO_BATCH and micro_batch is None:
            last = len(self.steps[step - 1].micro_batches) if 0 < step <= len(self.steps) else 1
            micro_batch = self.checkpoint.micro_batch or last
        elif phase not in PER_MICRO_BATCH:
            micro_batch = None
        return {
            key: pair
            for key, pair in self.pairs.items()
            if key.phase == phase and key.step == step and key.micro_batch == micro_batch
        }

    def by_name(self, phase: str, step: int | None = None, micro_batch: int | None = None) -> dict[str, Pair]:
        """The same by name, for phases whose names are parameters."""
        return {key.name: pair for key, pair in self.at(phase, step, micro_batch).items()}

    # -- the reference once more ---------------------------------------------------------------------------------------

    def prepared(self, parameters: Mapping[str, np.ndarray] | None = None) -> Any:
        """A fresh reference side in its state before the diverging step, with other ``parameters`` where given."""
        side = self._make_expected()
        if hasattr(side, "load_state"):
            state = {key: value for key, value in self.step.state.items() if key != "slots"}
            state["parameters"] = {**state["parameters"], **(parameters or {})}
            side.load_state(state)
        return side

    def replay(
        self,
        context: Callable[[Any], AbstractContextManager[Any]] = lambda side: nullcontext(),
        *,
        parameters: Mapping[str, np.ndarray] | None = None,
        micro_batch: int | None = None,
    ) -> dict[Checkpoint, np.ndarray]:
        """Run one micro-batch of the diverging step on a fresh reference, and return all that it shows, as copies.

        Parameters
        ----------
        context : made from the side and entered around ``accumulate``: a place for a torch mode that changes ops
        parameters : values to use in place of the reference's own
        micro_batch : by default that of the divergence, or the last

        Returns
        -------
        Checkpoints of the phases ``forward``, ``loss``, ``backward``, ``deposit`` and, for the first micro-batch,
        ``accumulated``.
        """
        facts = self.step
        number = facts.number
        index = micro_batch or self.checkpoint.micro_batch or len(facts.micro_batches)
        side = self.prepared(parameters)
        side.zero_grad()
        batch, weight = facts.micro_batches[index - 1]
        with context(side):
            terms = side.accumulate(batch, weight)
        found: dict[Checkpoint, np.ndarray] = {}
        phases = ["forward", "loss", "backward", "deposit"]
        if index == 1:  # nothing has been added up before
            phases.append("accumulated")
        for phase in phases:
            for key, value in (observed(side, phase, terms) or {}).items():
                if value is not None:
                    found[Checkpoint(number, index, phase, *key)] = np.array(value)
        return found

    # -- holding a hypothesis against what was seen ------------------------------------------------------------------

    def fit(self, predicted: Mapping[Checkpoint, Any], noise: Mapping[Checkpoint, float] | None = None) -> Fit:
        """How well a prediction explains what the actual side showed.

        It must speak about the divergence. Everything that it speaks about must agree with it to rounding: what
        diverged, and what agreed. What it speaks about and the walk did not show counts for nothing. ``noise`` is what
        a hypothesis claims beyond that (:class:`Hypothesis`).
        """
        if self.checkpoint not in predicted:
            return Fit(np.inf, False)
        worst, explained = 0.0, True
        for key, value in predicted.items():
            pair = self.pairs.get(key)
            if pair is None:
                continue
            residual, close = closeness(pair, value, (noise or {}).get(key, 0.0))
            explained &= close
            if not pair.agrees:
                worst = max(worst, residual)
        return Fit(worst, explained)


_SLACK = 4.0  # a prediction is itself a computation with rounding of its own
_EXPLAINS = 0.02  # and where the difference is hardly more than rounding, nothing can be told from it
_LEAST = 4.0  # units in the last place of the largest element: no prediction is held to less
_UNMEASURED = 512.0  # and to so many where nothing was measured: another shape, another dtype, NaN
_ROUNDING = 64.0  # units in the last place of the difference: of two residuals below that neither is the better


def closeness(pair: Pair, predicted: Any, noise: float = 0.0) -> tuple[float, bool]:
    """What a prediction leaves of a pair's difference beyond the noise it claims, and whether that is rounding."""
    predicted = np.asarray(predicted)
    actual, expected = pair.actual, pair.expected
    if predicted.shape != actual.shape or actual.dtype.kind not in "fiub":
        return np.inf, False
    with np.errstate(all="ignore"):
        left = _largest(actual, predicted)
        gap = _largest(actual, expected) if expected.shape == actual.shape else np.inf
    if not np.isfinite(left):
        return np.inf, False
    same = actual.shape == expected.shape and actual.dtype == expected.dtype
    same = same and bool(np.array_equal(np.isfinite(actual), np.isfinite(expected)))
    allowed = pair.allowed * _SLACK * max(1.0, _growth(predicted, expected))
    allowed = max(allowed, (_LEAST if same else _UNMEASURED) * _ulp(actual, expected)) + noise
    beyond = max(0.0, left - noise)
    residual = 0.0 if not beyond else beyond / gap if gap else np.inf
    close = left <= allowed
    if not pair.agrees and not noise:
        close = close and residual <= _EXPLAINS
    return residual, close


def _largest(a: np.ndarray, b: np.ndarray) -> float:
    if not a.size:
        return 0.0
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gaps = np.where(same, 0.0, np.abs(a - b))
    worst = float(np.max(gaps))
    return np.inf if np.isnan(worst) else worst


def _ulp(actual: np.ndarray, expected: np.ndarray) -> float:
    """A unit in the last place of the largest element, in the wider of the two dtypes."""
    kinds = [value.dtype for value in (actual, expected) if value.dtype.kind == "f"]
    if not kinds or not expected.size:
        return 0.0
    with np.errstate(all="ignore"):
        largest = float(np.max(np.abs(np.where(np.isfinite(expected), expected, 0.0)), initial=0.0))
    return float(np.finfo(max(kinds, key=lambda dtype: dtype.itemsize)).eps) * largest


def _growth(predicted: np.ndarray, expected: np.ndarray) -> float:
    """How much larger the prediction is than what the allowance was measured for."""
    largest = float(np.max(np.abs(np.asarray(expected, np.float64)), initial=0.0))
    wanted = float(np.max(np.abs(np.asarray(predicted, np.float64)), initial=0.0))
    return wanted / largest if largest and np.isfinite(wanted / largest) else 1.0


def _first(value: Any) -> Any:
    while isinstance(value, (tuple, list)):
        value = value[0]
    return value if np.ndim(value) else [value]


def _copies(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value is None else np.array(value) for name, value in values.items()}


def explained(evidence: Evidence, hypotheses: Iterable[Hypothesis]) -> list[tuple[Hypothesis, Fit]]:
    """The hypotheses with their fits: those that explain all, by rank, freedom and residual; then the rest.

    Residuals that are rounding are equal: between those the order in which the families were asked decides.
    """
    kind = evidence.pair.actual.dtype
    rounding = _ROUNDING * float(np.finfo(kind).eps) if kind.kind == "f" else 0.0
    judged = [(hypothesis, evidence.fit(hypothesis.predicted, hypothesis.noise)) for hypothesis in hypotheses]
    return sorted(
        judged,
        key=lambda item: (
            not item[1].explained,
            (item[0].rank, item[0].freedom, max(rounding, item[1].residual))
            if item[1].explained
            else (item[1].residual, 0, 0),
        ),
    )
