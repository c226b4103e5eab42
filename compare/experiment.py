"""What is compared: scenarios that must agree, contrasts that must part, and claims about what was learned.

An experiment is a function of a :class:`Setting` that returns a :class:`Study`; :func:`run` walks it. To add one, write
that function in :mod:`compare.experiments` and put it into the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compare.batches import MicroBatch
from compare.lockstep import lockstep
from compare.tolerance import Tolerance
from compare.verdict import Outcome, Verdict, worst_outcome

__all__ = [
    "Claim",
    "Contrast",
    "ContrastResult",
    "Experiment",
    "ExperimentResult",
    "Must",
    "Scenario",
    "Setting",
    "Study",
    "Table",
    "run",
]


@dataclass(frozen=True)
class Setting:
    """What the command line may change; ``None`` leaves the experiment's own choice.

    Attributes
    ----------
    dtype : "float64" or "float32"
    steps : int, optional
    micro_batches : int, optional
    optimizer : str, optional
        The name of a class in both ``manual.optim`` and ``torch.optim``, used with its defaults.
    sync : "free", "step", "module", optional
    seed : int
        Seeds initial values, batches and held-out rows.
    """

    dtype: str = "float64"
    steps: int | None = None
    micro_batches: int | None = None
    optimizer: str | None = None
    sync: str | None = None
    seed: int = 0

    @property
    def numpy_dtype(self) -> np.dtype:
        return np.dtype(self.dtype)

    @property
    def as_designed(self) -> bool:
        """Whether steps, micro-batches and optimizer are the experiment's own, so that what it claims is reached."""
        return self.steps is None and self.micro_batches is None and self.optimizer is None


@dataclass(frozen=True)
class Scenario:
    """One pair of sides and the steps that both walk.

    Attributes
    ----------
    name : str
    actual, expected : factories of sides
    steps : for each step its micro-batches with weights
    sync : how to walk unless the setting says otherwise
    promises : phases that must have an informative checkpoint; by default all that both sides show
    """

    name: str
    actual: Callable[[], Any]
    expected: Callable[[], Any]
    steps: Sequence[Sequence[MicroBatch]]
    sync: str = "free"
    promises: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Must:
    """Where a planted mistake must show first; ``None`` accepts any."""

    phase: str
    step: int
    micro_batch: int | None = None
    name: str | None = None
    culprit: str | None = None

    def unmet(self, verdict: Verdict) -> str:
        """What is not as it must be, in one sentence; empty if all is."""
        first = verdict.first_divergence
        if verdict.outcome is not Outcome.DIVERGED or first is None:
            return f"it should diverge at {self}, but is {verdict.outcome}"
        found = {
            "phase": first.checkpoint.phase,
            "step": first.checkpoint.step,
            "micro_batch": first.checkpoint.micro_batch,
            "name": first.checkpoint.name,
            "culprit": first.culprit,
        }
        wrong = [
            f"{key} is {found[key]!r} instead of {wanted!r}"
            for key, wanted in self.__dict__.items()
            if wanted is not None and found[key] != wanted
        ]
        return "it diverges in the wrong place: " + ", ".join(wrong) if wrong else ""

    def __str__(self) -> str:
        parts = [self.phase, f"step {self.step}"]
        if self.micro_batch is not None:
            parts.append(f"micro-batch {self.micro_batch}")
        if self.name is not None:
            parts.append(self.name)
        return ", ".join(parts) + (f" (culprit {self.culprit})" if self.culprit else "")


@dataclass(frozen=True)
class Contrast:
    """A scenario with a mistake planted, and where it must show."""

    scenario: Scenario
    must: Must
    mistake: str


@dataclass(frozen=True)
class Claim:
    """A statement about what the run learned, held against a number.

    It holds if ``|actual - expected| <= bound`` (``relation`` "=="), ``actual <= expected + bound`` ("<=") or
    ``actual >= expected - bound`` (">=").
    """

    statement: str
    actual: float
    expected: float
    bound: float = 0.0
    relation: str = "=="

    @property
    def holds(self) -> bool:
        gap = self.actual - self.expected
        if self.relation == "<=":
            return bool(gap <= self.bound)
        if self.relation == ">=":
            return bool(gap >= -self.bound)
        return bool(abs(gap) <= self.bound)


@dataclass(frozen=True)
class Table:
    """Numbers to learn from: a title, headers and rows, formatted by the report."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Study:
    """What an experiment consists of.

    ``lesson`` gets the verdicts by scenario name (each with its ``sides`` as they ended) and returns claims and tables.
    """

    scenarios: Sequence[Scenario]
    contrasts: Sequence[Contrast] = ()
    lesson: Callable[[Mapping[str, Verdict]], tuple[list[Claim], list[Table]]] | None = None


@dataclass(frozen=True)
class Experiment:
    """An entry of the catalogue."""

    name: str
    shows: str
    build: Callable[[Setting], Study]


@dataclass(frozen=True)
class ContrastResult:
    """What became of a planted mistake."""

    contrast: Contrast
    verdict: Verdict
    unmet: str

    @property
    def name(self) -> str:
        return self.contrast.scenario.name

    @property
    def as_it_must(self) -> bool:
        return not self.unmet


@dataclass
class ExperimentResult:
    """What a run of one experiment found."""

    experiment: Experiment
    setting: Setting
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    contrasts: list[ContrastResult] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    failure: str = ""
    error: BaseException | None = None

    @property
    def outcome(self) -> Outcome:
        """The worst of the scenarios; a contrast not seen where it must be, or a claim that fails, is a divergence."""
        outcomes = [verdict.outcome for verdict in self.verdicts.values()]
        for contrast in self.contrasts:
            if contrast.verdict.outcome in (Outcome.ERROR, Outcome.ABSTAINED):
                outcomes.append(contrast.verdict.outcome)
            elif not contrast.as_it_must:
                outcomes.append(Outcome.DIVERGED)
        if any(not claim.holds for claim in self.claims):
            outcomes.append(Outcome.DIVERGED)
        if self.failure:
            outcomes.append(Outcome.ERROR)
        return worst_outcome(outcomes)

    @property
    def reason(self) -> str:
        """Why the outcome is not ``equivalent``, in one sentence."""
        if self.failure:
            return self.failure
        outcome = self.outcome
        for name, verdict in self.verdicts.items():
            if verdict.outcome is outcome and verdict.reason:
                return f"{name}: {verdict.reason}" if len(self.verdicts) > 1 else verdict.reason
        for contrast in self.contrasts:
            if contrast.verdict.outcome in (Outcome.ERROR, Outcome.ABSTAINED):
                return f"contrast {contrast.name}: {contrast.verdict.reason}"
            if not contrast.as_it_must:
                return f"contrast {contrast.name}: {contrast.unmet}"
        for claim in self.claims:
            if not claim.holds:
                sides = f"{claim.actual:.6g} {claim.relation} {claim.expected:.6g}"
                return f"claim fails: {claim.statement} ({sides} is false)"
        return ""

    @property
    def worst(self) -> Verdict | None:
        """The scenario with the largest disagreement."""
        return max(self.verdicts.values(), key=lambda verdict: verdict.worst_error, default=None)

    @property
    def diverging(self) -> Verdict | None:
        """The first scenario that diverged."""
        return next((v for v in self.verdicts.values() if v.outcome is Outcome.DIVERGED), None)

    @property
    def checkpoints(self) -> int:
        return sum(verdict.coverage.checkpoints for verdict in self.verdicts.values())


def run(
    experiment: Experiment,
    setting: Setting | None = None,
    *,
    tolerance: Callable[[np.dtype], Tolerance] | str = "measured",
    fail_fast: bool = False,
    on_total: Callable[[int], None] | None = None,
    on_step: Callable[[], None] | None = None,
) -> ExperimentResult:
    """Walk an experiment's scenarios and contrasts, and hold its claims against the numbers.

    Parameters
    ----------
    experiment : Experiment
    setting : Setting, optional
    tolerance : ``"measured"``, ``"fixed"``, or what makes a judge from the dtype
    fail_fast : stop a walk after the step of its first divergence
    on_total, on_step : progress: the number of steps to come, then one call per step

    Raises
    ------
    InputError
        If the setting does not fit the data (more micro-batches than rows, for example).
    """
    setting = setting or Setting()
    study = experiment.build(setting)
    result = ExperimentResult(experiment, setting)
    judge = tolerance if isinstance(tolerance, str) else tolerance(setting.numpy_dtype)
    if on_total:
        on_total(sum(len(s.steps) for s in [*study.scenarios, *(c.scenario for c in study.contrasts)]))

    def verdict_of(scenario: Scenario, stop: bool) -> Verdict:
        return lockstep(
            scenario.actual,
            scenario.expected,
            scenario.steps,
            sync=setting.sync or scenario.sync,
            tolerance=judge,
            promises=scenario.promises,
            fail_fast=stop,
            on_step=on_step,
        )

    for scenario in study.scenarios:
        result.verdicts[scenario.name] = verdict_of(scenario, fail_fast)
    for contrast in study.contrasts:
        verdict = verdict_of(contrast.scenario, True)
        result.contrasts.append(ContrastResult(contrast, verdict, contrast.must.unmet(verdict)))
    if study.lesson and all(v.sides and v.outcome is not Outcome.ERROR for v in result.verdicts.values()):
        try:
            result.claims, result.tables = study.lesson(result.verdicts)
        except Exception as error:
            result.failure = f"its lesson raised {type(error).__name__}: {error} (--debug shows where)"
            result.error = error
    return result
