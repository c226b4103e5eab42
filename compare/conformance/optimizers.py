"""Runs the configurations of PyTorch's test database of optimizers on both wings, and judges them by measured noise.

Both start from the same parameters and meet the same gradients (LBFGS: the same losses); the rates change on the way.
Each goes its own way to the end, and every slot and parameter is compared after every step. So that a rounding that
adds up is no divergence, the noise is that of whole walks: the reference, in its plain loop over tensors, walks again
in stochastic arithmetic, and in float64 where the run is narrower.

The same numbers must come out where a state is handed over on the way through ``state_dict``: from torch to the manual
wing, and from the manual wing to torch. And it is measured how far torch's other implementations lie away.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import manual
from compare.conformance.database import Configuration
from compare.conformance.judging import RUNS, Gap, Outcome, Values, judged
from compare.conformance.problems import STEPS, Problem, problem
from compare.conformance.twins import MissingError
from compare.conformance.walks import KERNELS, ManualWalk, TorchWalk, Walk, as_arrays, as_tensors
from compare.floors import Floor, Spread
from compare.kinks import Deciding
from compare.noise import Perturbing

__all__ = ["HANDOVER", "ConfigurationResult", "conform", "laid_out"]

HANDOVER = 7
"""The state is handed over after so many steps."""

_MANY = 16
"""The reruns before LBFGS is blamed: a walk of it shows hundreds of lone numbers, each with a floor of its own."""


@dataclass
class ConfigurationResult(Outcome):
    """What came of one configuration.

    Attributes
    ----------
    implementations : the distance of torch's other implementations in noise floors, ``None`` where torch raises
    """

    implementations: dict[str, float | None] = field(default_factory=dict)


def conform(configuration: Configuration, dtype: str, *, seed: int = 0) -> ConfigurationResult:
    """Walk one configuration on both wings, hand it over in either direction, and compare all that shows."""
    given = problem(configuration, dtype, seed=seed)
    result = ConfigurationResult(configuration.label)
    where, raising = "", "torch"
    try:
        if not hasattr(manual.optim, configuration.optimizer):
            raise MissingError(f"manual.optim has no {configuration.optimizer}")
        reference = _Reference(configuration, given, seed)
        result.implementations = reference.implementations()
        raising = "manual"
        mine = _Whole(ManualWalk(configuration, given))
        result.take_in("", _aligned(mine.found, reference.found), reference.found, reference.floors, measured=True)
        result.gaps += laid_out(mine.final, reference.final)
        where = "handed over to manual: "
        found = (
            ManualWalk(configuration, given)
            .load(reference.values, as_arrays(reference.state))
            .steps(HANDOVER + 1, STEPS)
        )
        result.take_in(where, _aligned(found, reference.rest), reference.rest, reference.floors, measured=True)
        where, raising = "handed over to torch: ", "torch"
        found = TorchWalk(configuration, given).load(mine.values, as_tensors(mine.state)).steps(HANDOVER + 1, STEPS)
        result.take_in(where, _aligned(found, reference.rest), reference.rest, reference.floors, measured=True)
    except MissingError as error:
        result.problem = str(error)
    except Exception as error:
        result.problem = f"{where}{raising} raised {type(error).__name__}: {error}"
    return result.settle()


def _aligned(actual: Values, expected: Values) -> Values:
    """Let a lone number of a slot be Python's on one side and a tensor's on the other; ``state_dict`` says which."""
    found = dict(actual)
    for name, value in actual.items():
        theirs = expected.get(name)
        slot = " " in name.partition(", ")[2]
        if slot and theirs is not None and value.ndim == theirs.ndim == 0 and value.dtype.kind == theirs.dtype.kind:
            found[name] = value.astype(theirs.dtype)
    return found


def laid_out(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> list[Gap]:
    """Where two ``state_dict`` have other keys, options or kinds of arrays; what chooses a kernel is torch's alone."""
    gaps = []

    def compare(where: str, mine: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> None:
        for word, keys in (("torch", mine.keys() - theirs.keys()), ("manual", theirs.keys() - mine.keys())):
            if keys:
                named = ", ".join(sorted(map(str, keys)))
                gaps.append(Gap(f"state_dict, {where}", np.inf, np.inf, f"{word} has no {named}"))

    compare("parameters", actual["state"], expected["state"])
    for number in actual["state"].keys() & expected["state"].keys():
        mine, theirs = actual["state"][number], expected["state"][number]
        compare(f"parameter {number}", mine, theirs)
        for key in mine.keys() & theirs.keys():
            one, other = mine[key], theirs[key]
            if isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and one.dtype != other.dtype:
                gaps.append(Gap(f"state_dict, {key}", np.inf, np.inf, f"dtype {one.dtype}, torch {other.dtype}"))
    for number, (mine, theirs) in enumerate(zip(actual["param_groups"], expected["param_groups"], strict=True)):
        theirs = {key: value for key, value in theirs.items() if key not in KERNELS}
        compare(f"group {number}", mine, theirs)
        for key in sorted(mine.keys() & theirs.keys()):
            if not _same(mine[key], theirs[key]):
                text = f"{key} is {mine[key]!r}, torch {theirs[key]!r}"
                gaps.append(Gap(f"state_dict, group {number}", np.inf, np.inf, text))
    return gaps


def _same(mine: Any, theirs: Any) -> bool:
    """Whether two options are equal; tuples and lists count as the same."""
    if isinstance(mine, (tuple, list)) and isinstance(theirs, (tuple, list)):
        return len(mine) == len(theirs) and all(map(_same, mine, theirs))
    return bool(mine == theirs)


class _Whole:
    """A walk to its end, and its state on the way.

    Attributes
    ----------
    found : what it shows, by step and name
    rest : the same after the handover
    values, state : parameters and ``state_dict`` at the handover, as copies
    final : ``state_dict`` at the end
    """

    def __init__(self, walk: Walk):
        start = walk.steps(1, HANDOVER)
        self.values = walk.values()
        self.state = copy.deepcopy(walk.optimizer.state_dict())
        self.rest = walk.steps(HANDOVER + 1, STEPS)
        self.found = {**start, **self.rest}
        self.final = as_arrays(walk.optimizer.state_dict())


class _Reference(_Whole):
    """PyTorch's walk, and how far from it honest ones may lie."""

    def __init__(self, configuration: Configuration, given: Problem, seed: int):
        self._configuration = configuration
        self._problem = given
        self._seed = seed
        self._spreads: dict[str, Spread] = {}
        self._reruns = 0
        self._floors: dict[str, Floor] = {}
        super().__init__(TorchWalk(configuration, given))

    def implementations(self) -> dict[str, float | None]:
        """The largest distance of torch's other implementations, in noise floors; ``None`` where torch raises.

        The fused one is run twice, with gradients that are laid out as the parameters are, and with others.
        """
        found: dict[str, float | None] = {}
        for name in self._configuration.implementations:
            ways = {name: True, f"{name}, other strides": False} if name == "fused" else {name: False}
            for way, alike in ways.items():
                try:
                    walk = TorchWalk(self._configuration, self._problem, {name: True}, alike=alike)
                    found[way] = judged(walk.steps(1, STEPS), self.found, self.floors, measured=True)[1]
                except (RuntimeError, TypeError, ValueError):
                    found[way] = None
        return found

    def floors(self, runs: int) -> dict[str, Floor]:
        """How far perturbed walks lie apart, value by value."""
        if runs > RUNS and self._problem.losses:
            runs = _MANY
        if not self._reruns:
            self._spreads = {name: Spread(value) for name, value in self.found.items() if value.dtype.kind == "f"}
            self._walk(deciding := Deciding())
            self._decisions = deciding.made
            if self.narrow:
                self._take_in(self._walk(double=True))
        for number in range(self._reruns, runs):
            mode = Perturbing(self._seed * 101 + number, 1.0, self._decisions, compound=True)
            self._take_in(self._walk(mode))
        if self._reruns < runs:
            self._reruns = runs
            self._floors = {name: spread.floor() for name, spread in self._spreads.items()}
        return self._floors

    @property
    def narrow(self) -> bool:
        return next(iter(self._problem.values.values())).dtype != np.float64

    def _walk(self, *modes: Any, double: bool = False) -> Values:
        return TorchWalk(self._configuration, self._problem, double=double).steps(1, STEPS, *modes)

    def _take_in(self, values: Values) -> None:
        for name, value in values.items():
            spread = self._spreads.get(name)
            if spread is not None and spread.plain.shape == value.shape:
                spread.add(value)
