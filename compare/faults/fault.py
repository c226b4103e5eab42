"""What a fault and a control are: a scene, what is planted into it, and what must be found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from compare.batches import MicroBatch
from compare.diagnosis.catalogue import UNKNOWN
from compare.faults.planting import Plant, planted
from compare.lockstep import lockstep
from compare.verdict import Divergence, Outcome, Verdict

__all__ = ["Control", "ControlResult", "Fault", "FaultResult", "Scene", "run_control", "run_fault"]

Sides = tuple[Callable[[], Any], Callable[[], Any]]
Steps = Sequence[Sequence[MicroBatch]]


class Scene:
    """A small honest experiment; made when first asked for, and then shared, so that it is calibrated once.

    Parameters
    ----------
    name : what it is, in a few words
    build : returns ``((make_actual, make_expected), steps)``
    """

    def __init__(self, name: str, build: Callable[[], tuple[Sides, Steps]]):
        self.name = name
        self._build = build

    @cached_property
    def parts(self) -> tuple[Sides, Steps]:
        return self._build()

    @property
    def make_actual(self) -> Callable[[], Any]:
        return self.parts[0][0]

    @property
    def make_expected(self) -> Callable[[], Any]:
        return self.parts[0][1]

    @property
    def steps(self) -> Steps:
        return self.parts[1]


@dataclass(frozen=True)
class Fault:
    """A mistake that somebody really makes.

    Attributes
    ----------
    name : in kebab-case
    mistake : one sentence
    cause : the name in :data:`compare.diagnosis.catalogue.CAUSES` that a diagnosis must give it
    phase, step : where it must show first; ``step`` is thus also the least number of steps that show it (0: at once)
    scene : the smallest experiment that shows it
    plant : replaces right code by wrong code
    source : a thread in which somebody made it, as ``owner/repository#number``; empty if it is common
    also : other names of causes that say the same here, to the last bit of every tensor; they are as right
    """

    name: str
    mistake: str
    cause: str
    phase: str
    step: int
    scene: Scene
    plant: Plant
    source: str = ""
    also: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """What a scene and a plant are made of cannot be pickled; another process has the same catalogue."""
        return _catalogued, ("FAULTS", self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Every cause that may be named."""
        return (self.cause, *self.also)

    @property
    def make_actual(self) -> Callable[[], Any]:
        """A factory of the scene's manual side with the mistake in it."""
        return planted(self.scene.make_actual, self.plant, self.scene.steps)


@dataclass(frozen=True)
class Control:
    """An honest rewrite: other arithmetic, the same mathematics. It must stay silent.

    Attributes
    ----------
    name, scene, plant : as of a Fault
    rewrite : what is written otherwise, in one sentence
    """

    name: str
    rewrite: str
    scene: Scene
    plant: Plant

    def __reduce__(self) -> tuple[Any, ...]:
        """As of a Fault."""
        return _catalogued, ("CONTROLS", self.name)

    @property
    def make_actual(self) -> Callable[[], Any]:
        """A factory of the scene's manual side, rewritten."""
        return planted(self.scene.make_actual, self.plant, self.scene.steps)


@dataclass(frozen=True)
class FaultResult:
    """What a walk made of a planted mistake."""

    fault: Fault
    verdict: Verdict

    @property
    def first(self) -> Divergence | None:
        return self.verdict.first_divergence

    @property
    def detected(self) -> bool:
        return self.verdict.outcome is Outcome.DIVERGED and self.first is not None

    @property
    def place_right(self) -> bool:
        """Whether phase and step are those at which it must show first."""
        return self.detected and (self.phase, self.step) == (self.fault.phase, self.fault.step)

    @property
    def phase(self) -> str | None:
        return None if self.first is None else self.first.checkpoint.phase

    @property
    def step(self) -> int | None:
        return None if self.first is None else self.first.checkpoint.step

    @property
    def cause(self) -> str:
        """The first cause that the diagnosis names, ``unknown`` where it names none."""
        causes = getattr(self.verdict, "causes", None)
        return str(causes[0].cause) if causes else UNKNOWN

    @property
    def cause_right(self) -> bool:
        return self.detected and self.cause in self.fault.names

    @property
    def confidently_wrong(self) -> bool:
        """Whether another cause is named than the right one; not to know is honest."""
        return self.detected and self.cause not in (*self.fault.names, UNKNOWN)

    @property
    def noise_multiple(self) -> float | None:
        """The error in multiples of the noise floor, ``None`` where none was measured."""
        return None if self.first is None else self.first.judgement.noise_multiple

    @property
    def as_it_must(self) -> bool:
        """Whether it was seen, placed, and not given a wrong name."""
        return self.place_right and not self.confidently_wrong


@dataclass(frozen=True)
class ControlResult:
    """What a walk made of an honest rewrite."""

    control: Control
    verdict: Verdict

    @property
    def silent(self) -> bool:
        return self.verdict.outcome is Outcome.EQUIVALENT


def _catalogued(table: str, name: str) -> Any:
    from compare.faults import catalogue

    return getattr(catalogue, table)[name]


def run_fault(fault: Fault, **options: Any) -> FaultResult:
    """Walk a fault's scene with the mistake planted into the manual side; ``options`` are those of ``lockstep``."""
    scene = fault.scene
    return FaultResult(fault, lockstep(fault.make_actual, scene.make_expected, scene.steps, **options))


def run_control(control: Control, **options: Any) -> ControlResult:
    """Walk a control's scene with the rewrite in the manual side; ``options`` are those of ``lockstep``."""
    scene = control.scene
    return ControlResult(control, lockstep(control.make_actual, scene.make_expected, scene.steps, **options))
