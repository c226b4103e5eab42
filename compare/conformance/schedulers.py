"""Runs schedules on both wings, and resumes each in the middle from a state of either.

After every epoch the options of the groups that schedulers move (rates, momentum, betas) and every number in the
schedulers' ``state_dict`` are compared. Schedulers compute with numbers of Python, out of reach of a dispatch mode; so
here the noise is that of runs in which these numbers are moved in their last place after every operation.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

import numpy as np
import torch
import torch.optim.swa_utils

import manual
from compare.conformance.judging import Outcome, Values
from compare.conformance.optimizers import laid_out
from compare.conformance.schedules import EPOCHS, Schedule, Scheduler
from compare.conformance.twins import MissingError
from compare.conformance.walks import as_arrays, as_tensors
from compare.floors import Floor, Spread

__all__ = ["MIDDLE", "conform"]

MIDDLE = 17
"""The run is resumed after so many epochs."""

_BY_HAND, _HALF = 11, 0.5
"""After this epoch rates are changed by hand, where a schedule asks for it, to so much."""

_SECOND = 0.25
"""The rate of the second group."""

_MOVED = ("lr", "momentum", "betas")


def conform(schedule: Schedule, *, seed: int = 0) -> Outcome:
    """Run one schedule on both wings, resume it in three directions, and compare all that shows."""
    result = Outcome(schedule.label)
    raising, where = "torch", ""
    try:
        reference = _Whole(_Run(schedule, torch))
        expected = _Expected(schedule, reference.found, seed)
        raising = "manual"
        mine = _Whole(_Run(schedule, manual))
        result.take_in("", mine.found, expected.values, expected.floors)
        result.gaps += laid_out(mine.final, reference.final)
        for source, raising, wing, state in (
            ("manual", "manual", manual, mine.state),
            ("torch", "manual", manual, as_arrays(reference.state)),
            ("manual", "torch", torch, as_tensors(mine.state)),
        ):
            where = f"{raising}, resumed from {source}: "
            resumed = _Run(schedule, wing)
            resumed.load(copy.deepcopy(state))
            result.take_in(where, dict(resumed.epochs(MIDDLE + 1, EPOCHS)), expected.rest, expected.floors)
    except MissingError as error:
        result.problem = str(error)
    except Exception as error:
        result.problem = f"{where}{raising} raised {type(error).__name__}: {error}"
    return result.settle()


class _Run:
    """An optimizer and its schedulers on one wing.

    Parameters
    ----------
    schedule : Schedule
    wing : the package, ``torch`` or ``manual``
    number : what the rates and the floating options are made of

    Raises
    ------
    MissingError
        If the manual wing lacks the optimizer or a scheduler.
    """

    def __init__(self, schedule: Schedule, wing: Any, number: type[float] = float):
        self._schedule = schedule
        self._number = number
        shapes = ((2, 3), (3, 2)) if schedule.groups else ((2, 3),)
        zeros = [np.zeros(shape, np.float32) for shape in shapes]
        groups: list[dict[str, Any]] = [{"params": [wing.tensor(value, requires_grad=True)]} for value in zeros]
        for group in groups[1:]:
            group["lr"] = _SECOND
        self.optimizer = self._found("", wing.optim, schedule.optimizer)(groups, **schedule.options)
        for group in self.optimizer.param_groups:
            group["lr"] = number(group["lr"])
        self._modules = [wing.optim.lr_scheduler, getattr(wing.optim, "swa_utils", None)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.schedulers = [self._made(one) for one in schedule.schedulers]

    def _found(self, where: str, module: Any, name: str) -> Any:
        kind = getattr(module, name, None)
        if kind is None:
            raise MissingError(f"manual.optim{where} has no {name}")
        return kind

    def _made(self, scheduler: Scheduler) -> Any:
        module = self._modules[scheduler.name == "SWALR"]
        kind = self._found(".swa_utils" if scheduler.name == "SWALR" else ".lr_scheduler", module, scheduler.name)
        arguments, options = self._given(scheduler.arguments), self._given(scheduler.options)
        if scheduler.name == "ChainedScheduler":
            return kind(*arguments, optimizer=self.optimizer, **options)
        return kind(self.optimizer, *arguments, **options)

    def _given(self, value: Any) -> Any:
        """An option of a scheduler, with inner schedulers constructed and objects copied."""
        if isinstance(value, Scheduler):
            return self._made(value)
        if isinstance(value, dict):
            return {key: self._given(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self._given(item) for item in value)
        return self._number(value) if isinstance(value, float) else copy.deepcopy(value)

    def epochs(self, first: int, last: int) -> Iterator[tuple[str, np.ndarray]]:
        """Step through some epochs; what shows after each. Epoch 0 is the construction."""
        for epoch in range(first, last + 1):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if epoch:
                    self._step(epoch)
                if self._schedule.by_hand and epoch == _BY_HAND:
                    for group in self.optimizer.param_groups:
                        group["lr"] = group["lr"] * _HALF
                for key in _MOVED:
                    values = [group[key] for group in self.optimizer.param_groups if key in group]
                    if values:
                        yield f"epoch {epoch}, {key}", np.array(values, np.float64)
                for scheduler in self.schedulers:
                    yield from _numbers(f"epoch {epoch}, {type(scheduler).__name__}", scheduler.state_dict())

    def _step(self, epoch: int) -> None:
        self.optimizer.step(lambda: 0.0)
        for scheduler in self.schedulers:
            if type(scheduler).__name__ == "ReduceLROnPlateau":
                scheduler.step(_METRICS[epoch])
            else:
                scheduler.step()

    def state(self) -> dict[str, Any]:
        """The states of the optimizer and of the schedulers, as copies."""
        schedulers = [scheduler.state_dict() for scheduler in self.schedulers]
        return copy.deepcopy({"optimizer": self.optimizer.state_dict(), "schedulers": schedulers})

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.optimizer.load_state_dict(state["optimizer"])
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)


_METRICS = (np.exp(-0.25 * np.minimum(np.arange(EPOCHS + 1), 9)) + 0.03 * np.sin(7.0 * np.arange(EPOCHS + 1))).tolist()
"""What a plateau is looked for in: it falls, then wavers."""


def _numbers(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The numbers of a state, by path; functions and words are left out."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(f"{name} {key}", item)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _numbers(f"{name} {index}", item)
    elif isinstance(value, (bool, int, float, np.generic)):
        yield name, np.asarray(float(value))
    elif not isinstance(value, (str, FunctionType)) and not callable(value):
        yield f"{name} is {type(value).__name__}", np.zeros(0)


class _Whole:
    """A run to its end.

    Attributes
    ----------
    found : what it shows, by epoch and name
    state : in the middle
    final : ``state_dict`` of the optimizer at the end
    """

    def __init__(self, run: _Run):
        self.found = dict(run.epochs(0, MIDDLE))
        self.state = run.state()
        self.found.update(run.epochs(MIDDLE + 1, EPOCHS))
        self.final = as_arrays(run.optimizer.state_dict())


class _Expected:
    """The reference's values, and how far from them honest ones may lie."""

    def __init__(self, schedule: Schedule, values: Values, seed: int):
        self.values = values
        later = tuple(f"epoch {epoch}," for epoch in range(MIDDLE + 1, EPOCHS + 1))
        self.rest = {name: value for name, value in values.items() if name.startswith(later)}
        self._schedule = schedule
        self._seed = seed
        self._spreads = {name: Spread(value) for name, value in values.items()}
        self._reruns = 0

    def floors(self, runs: int) -> dict[str, Floor]:
        """How far perturbed runs lie apart, value by value."""
        for number in range(self._reruns, runs):
            rerun = _Run(self._schedule, torch, _noisy(self._seed * 101 + number))
            for name, value in rerun.epochs(0, EPOCHS):
                if name in self._spreads and self._spreads[name].plain.shape == value.shape:
                    self._spreads[name].add(value)
        self._reruns = max(self._reruns, runs)
        return {name: spread.floor() for name, spread in self._spreads.items()}


def _noisy(seed: int) -> type[float]:
    """A kind of number whose every result is moved by up to one unit in the last place."""
    generator = np.random.default_rng(seed)
    eps = float(np.finfo(np.float64).eps)

    class Noisy(float):
        pass

    def moving(name: str) -> Any:
        plain = getattr(float, name)

        def operation(self: float, *others: Any) -> Any:
            value = plain(self, *others)
            return value if value is NotImplemented else Noisy(value * (1 + eps * generator.uniform(-1, 1)))

        return operation

    for name in ("add", "sub", "mul", "truediv", "pow"):
        for side in (f"__{name}__", f"__r{name}__"):
            setattr(Noisy, side, moving(side))
    return Noisy
