"""What a walk found: outcome, coverage, divergences. Data only; reports format it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from compare.checkpoint import PHASES, Checkpoint
from compare.difference import Difference
from compare.tolerance import Judgement

if TYPE_CHECKING:
    from compare.diagnosis.evidence import Cause
    from compare.history import History
    from compare.neighbourhood import Neighbourhood

__all__ = ["Coverage", "Divergence", "Outcome", "PhaseCoverage", "Verdict", "exit_code", "worst_outcome"]


class Outcome(StrEnum):
    """How a comparison ended; compares equal to its word."""

    EQUIVALENT = "equivalent"
    DIVERGED = "diverged"
    ABSTAINED = "abstained"
    ERROR = "error"


_EXIT_CODES = {Outcome.ERROR: 4, Outcome.DIVERGED: 1, Outcome.ABSTAINED: 3, Outcome.EQUIVALENT: 0}


def worst_outcome(outcomes: list[Outcome]) -> Outcome:
    """Any error, else any divergence, else any abstention; nothing at all is an abstention."""
    for outcome in _EXIT_CODES:
        if outcome in outcomes:
            return outcome
    return Outcome.ABSTAINED


def exit_code(outcomes: list[Outcome]) -> int:
    """The exit code of a run."""
    return _EXIT_CODES[worst_outcome(outcomes)]


@dataclass(frozen=True, slots=True)
class Divergence:
    """A checkpoint at which the sides parted.

    Attributes
    ----------
    checkpoint : Checkpoint
    culprit : str
        What to look at: a module path, ``loss``, ``penalty``, ``accumulation``, ``clip``, ``optimizer``, ``scheduler``.
    own : bool
        Whether all that this value was computed from agreed.
    difference : Difference
    judgement : Judgement
    causes : tuple of Cause
        Why, best first; empty for a divergence that was not looked into.
    nearer : str
        Which side is nearer to the reference's value in float64, ``"actual"`` or ``"expected"``; empty where that was
        not measured.
    digits : float or None
        On how many decimal digits any honest computation of this checkpoint can be expected to agree.
    around : Neighbourhood or None
        The values around the element to look at.
    """

    checkpoint: Checkpoint
    culprit: str
    own: bool
    difference: Difference
    judgement: Judgement
    causes: tuple[Cause, ...] = ()
    nearer: str = ""
    digits: float | None = None
    around: Neighbourhood | None = None

    @property
    def own_or_inherited(self) -> str:
        return "own" if self.own else "inherited"

    @property
    def where(self) -> str:
        return self.checkpoint.where


@dataclass(slots=True)
class PhaseCoverage:
    """What was compared in one phase."""

    names: set[str] = field(default_factory=set)
    informative_names: set[str] = field(default_factory=set)
    compared: int = 0
    elements: int = 0
    informative: int = 0
    diverged: int = 0
    nonfinite: int = 0
    worst: float = 0.0
    worst_at: Checkpoint | None = None

    @property
    def uninformative_names(self) -> list[str]:
        return sorted(self.names - self.informative_names)


@dataclass(slots=True)
class Coverage:
    """What a verdict rests on.

    Attributes
    ----------
    phases : dict of phase to PhaseCoverage, in order of execution; only phases in which something was compared
    only_actual, only_expected : what one side alone showed, as ``"phase: name"``
    blind_spots : which mistakes could not have shown in this run, in sentences
    notes : what else a reader should know
    digits : per phase, on how many decimal digits any honest computation of its tensors can be expected to agree, by
        the measured floors: the fewest of any tensor
    """

    phases: dict[str, PhaseCoverage] = field(default_factory=dict)
    only_actual: list[str] = field(default_factory=list)
    only_expected: list[str] = field(default_factory=list)
    blind_spots: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    digits: dict[str, float] = field(default_factory=dict)

    def phase(self, phase: str) -> PhaseCoverage:
        return self.phases.setdefault(phase, PhaseCoverage())

    @property
    def checkpoints(self) -> int:
        return sum(phase.compared for phase in self.phases.values())

    @property
    def elements(self) -> int:
        return sum(phase.elements for phase in self.phases.values())

    def in_order(self) -> list[tuple[str, PhaseCoverage]]:
        return [(phase, self.phases[phase]) for phase in PHASES if phase in self.phases]


@dataclass(slots=True)
class Verdict:
    """The result of one lockstep walk.

    Attributes
    ----------
    outcome : Outcome
    reason : str
        Why it is not ``equivalent``, in one sentence; empty if it is.
    coverage : Coverage
    divergences : list of Divergence
        In order of execution, the first hundred; ``diverged`` counts all.
    worst_error : float
        The largest disagreement: in multiples of the noise floor under the measured tolerance, as a fraction of the
        scale it was measured against under the fixed one.
    worst_at : Checkpoint or None
    steps : int
        Steps walked.
    sync, tolerance, dtype : str
    error : the exception that a side raised, or None
    sides : the pair (actual, expected) as the walk left it, or None where there was no walk
    history : History or None
        Every checkpoint's error, where the walk was asked to keep it.
    """

    outcome: Outcome
    reason: str
    coverage: Coverage
    divergences: list[Divergence] = field(default_factory=list)
    diverged: int = 0
    worst_error: float = 0.0
    worst_at: Checkpoint | None = None
    steps: int = 0
    sync: str = "free"
    tolerance: str = "fixed"
    dtype: str = "float64"
    error: BaseException | None = None
    sides: Any = None
    history: History | None = None

    @property
    def first_divergence(self) -> Divergence | None:
        """The earliest divergence in execution and data-flow order: none of its inputs had diverged."""
        return next(
            (found for found in self.divergences if found.own), self.divergences[0] if self.divergences else None
        )

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Why the first divergence is there, best first: at most the best explanation and the runner-up."""
        first = self.first_divergence
        return () if first is None else first.causes

    @property
    def faults(self) -> list[Divergence]:
        """The divergences that were looked into: the first, and in a walk by module one for each culprit."""
        return [found for found in self.divergences if found.causes]
