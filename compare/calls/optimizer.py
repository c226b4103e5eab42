"""``compare.optimizer``: a hand-written update against an optimizer of PyTorch, over several steps."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

import manual.optim
import torch_ref.training
from compare.batches import InputError
from compare.calls.arrays import ContractError, Watch, as_array, called, describe
from compare.calls.call import Call
from compare.calls.renamed import Renamed
from compare.calls.running import checked_seed, checked_tolerance, verdict_of
from compare.naming import Names, name_map
from compare.report.report import Report
from compare.tolerance import Tolerance
from compare.verdict import Outcome
from manual.nn import Parameter

__all__ = ["SHAPES", "optimizer"]

SHAPES: Mapping[str, tuple[int, ...]] = {"matrix": (4, 3), "vector": (5,), "single": (1,), "cube": (2, 3, 2)}
"""The parameters that are updated, unless others are asked for."""


def optimizer(
    update: Callable[..., Any],
    torch_optimizer: type[torch.optim.Optimizer],
    *,
    options: Mapping[str, Any] | None = None,
    steps: int = 10,
    rate_factor: float = 0.3,
    shapes: Mapping[str, tuple[int, ...]] = SHAPES,
    names: Names = None,
    dtype: Any = np.float64,
    tolerance: Tolerance | str | None = None,
    seed: int = 0,
) -> Report:
    """Compare an update rule of yours with an optimizer of PyTorch: state, change and parameter after every step.

    Both get the same parameters, of several shapes, and the same random gradients of mixed magnitudes, some of them
    exactly zero.

    Parameters
    ----------
    update : callable or class
        ``update(parameter, gradient, slots, step)`` changes the array ``parameter`` in place. ``slots`` is this
        parameter's own dict, empty before its first step; ``step`` counts from 1. If it has a keyword ``lr`` it is
        given the rate in force, which then changes half-way; other keywords that are options of the optimizer
        (``betas``, ``eps`` ...) are given their values, too. Slots are compared where they bear PyTorch's names.
        Or a class of :mod:`manual.optim` or ``torch.optim.Optimizer`` with the same options.
    torch_optimizer : a class of ``torch.optim``
    options : dict, optional
        Its options.
    steps : int
    rate_factor : float
        The learning rate of the second half, as a multiple of the first's; 1 keeps it constant.
    shapes : dict of name to shape
    names : dict or callable, optional
        What the update calls its slots, in terms of PyTorch's names: ``{"m": "exp_avg", "v": "exp_avg_sq"}``.
    dtype : "float64" or "float32"
    tolerance : "measured" (the default), "fixed" or a :class:`compare.tolerance.Tolerance`
    seed : int
        Seeds parameters and gradients.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If the arguments cannot be used. What the update does wrong is in the report.
    """
    seed = checked_seed(seed)
    options, dtype = _checked(torch_optimizer, options, steps, dtype, shapes)
    generator = np.random.default_rng(seed)
    initial = {name: np.array(generator.standard_normal(shape), dtype) for name, shape in shapes.items()}
    walk = [[((_gradients(initial, generator), None), 1.0)] for _ in range(steps)]
    takes_rate, keywords = _keywords(update, torch_optimizer, options)
    change_after = max(1, steps // 2) if takes_rate and rate_factor != 1 else None
    told: dict[str, None] = {}
    habits = {"moves": False, "returns": False}

    def expected() -> _TorchOptimizer:
        return _TorchOptimizer(torch_optimizer, options, initial, change_after, rate_factor)

    def defaults() -> dict[str, Any]:
        """The options in force, the optimizer's own among them."""
        return dict(expected().optimizer.param_groups[0])

    def actual() -> Any:
        if not isinstance(update, type):
            return _Update(update, initial, keywords, defaults(), told, habits, change_after, rate_factor)
        if issubclass(update, torch.optim.Optimizer):
            return _TorchOptimizer(update, options, initial, change_after, rate_factor)
        return _ManualOptimizer(update, options, initial, change_after, rate_factor)

    try:
        expected()
    except Exception as error:
        raise InputError(f"torch.optim.{called(torch_optimizer)} cannot be made with {options}: {error}") from error
    mapping = name_map(names, {}, {}, later=_slots(expected, walk, names))
    verdict = verdict_of(
        actual if names is None else lambda: Renamed(actual(), mapping),
        expected,
        walk,
        tolerance=checked_tolerance(tolerance),
        dtype=dtype,
        seed=seed,
        told=told,
        name=called(update),
        promises=("update",),
        only=("init", "slots", "update", "parameter", "schedule"),
        irrelevant=("one micro-batch", "no forward", "no backward", "no deposit"),
    )
    if verdict.outcome is Outcome.DIVERGED and not isinstance(update, type) and not habits["moves"]:
        how = "it returns a value instead" if habits["returns"] else "an assignment to the name makes another array"
        verdict.outcome = Outcome.ERROR
        verdict.reason = (
            f"{called(update)} never changes a parameter; it must change the array in place (parameter -= ..., "
            f"parameter[...] = ...): {how}"
        )
    coverage = verdict.coverage
    coverage.notes += mapping.unused() if verdict.outcome is not Outcome.ERROR else []
    if not takes_rate:
        coverage.only_expected = [text for text in coverage.only_expected if not text.startswith("schedule")]
        if verdict.outcome is not Outcome.ERROR and steps > 1:
            coverage.notes.append(
                f"{called(update)} has no keyword lr, so the learning rate was not changed on the way"
            )
    call = Call(
        "optimizer",
        {
            "update": update,
            "torch_optimizer": torch_optimizer,
            "options": options,
            "steps": steps,
            "rate_factor": rate_factor,
            "shapes": dict(shapes),
            "names": names,
            "dtype": str(dtype),
            "tolerance": tolerance,
            "seed": seed,
        },
    )
    return Report(verdict, f"{called(update)} against torch.optim.{called(torch_optimizer)}", call)


def _checked(
    torch_optimizer: Any, options: Any, steps: Any, dtype: Any, shapes: Any
) -> tuple[dict[str, Any], np.dtype[Any]]:
    if not isinstance(torch_optimizer, type) or not issubclass(torch_optimizer, torch.optim.Optimizer):
        raise InputError(f"the reference is {describe(torch_optimizer)}; it must be a class of torch.optim")
    if issubclass(torch_optimizer, torch.optim.LBFGS):
        raise InputError("LBFGS evaluates the model itself, and an update of a gradient cannot be compared with it")
    if options is not None and not isinstance(options, Mapping):
        raise InputError(f"options is {describe(options)}; it must be a dict such as {{'lr': 0.01}}")
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise InputError(f"steps is {steps!r}; it must be a whole number of at least 1")
    if dtype not in ("float64", "float32", np.float64, np.float32):
        raise InputError(f"dtype is {dtype!r}; it must be float64 or float32")
    if not isinstance(shapes, Mapping) or not shapes:
        raise InputError(f"shapes is {describe(shapes)}; it must be a dict of name to shape")
    for name, shape in shapes.items():
        if not isinstance(name, str) or not name or "." in name:
            raise InputError(f"shapes names {name!r}; a name is a word without dots")
        if not isinstance(shape, tuple) or not all(isinstance(size, int) and size >= 0 for size in shape):
            raise InputError(f"shapes[{name!r}] is {shape!r}; it must be a tuple of whole numbers")
    return dict(options or {}), np.dtype(dtype)


def _keywords(
    update: Any, torch_optimizer: type[torch.optim.Optimizer], options: Mapping[str, Any]
) -> tuple[bool, tuple[str, ...]]:
    """Whether the rate reaches the update, and the options that a function asks for by keyword."""
    if isinstance(update, type):
        if not issubclass(update, (manual.optim.Optimizer, torch.optim.Optimizer)):
            raise InputError(f"update is the class {called(update)}; it must be a function or a class of manual.optim")
        return True, ()
    if not callable(update):
        raise InputError(f"update is {describe(update)}; it must be a function or a class of manual.optim")
    try:
        parameters = inspect.signature(update).parameters
    except (TypeError, ValueError):  # built in another language: it says nothing about itself
        return False, ()
    known = inspect.signature(torch_optimizer).parameters.keys() | options.keys()
    by_keyword = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    wanted = tuple(
        name for position, (name, p) in enumerate(parameters.items())
        if p.kind in by_keyword and name in known and (position >= 4 or p.kind is inspect.Parameter.KEYWORD_ONLY)
    )  # fmt: skip
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        wanted = tuple(dict.fromkeys([*wanted, *options, "lr"]))
    return "lr" in wanted, wanted


def _slots(expected: Callable[[], Any], walk: Any, names: Names) -> list[str]:
    """The slots of PyTorch's optimizer, as its first step makes them."""
    if not isinstance(names, Mapping):
        return []
    side = expected()
    try:
        side.accumulate(*walk[0][0])
        side.step()
    except Exception:  # the walk reports it
        return [value if isinstance(value, str) else value[0] for value in names.values()]
    return sorted({slot for slots in side.slots.values() for slot in slots})


def _gradients(initial: Mapping[str, np.ndarray], generator: np.random.Generator) -> dict[str, np.ndarray]:
    """One step's gradients: both signs, magnitudes over three decades, a tenth of them zero."""
    found = {}
    for name, value in initial.items():
        numbers = generator.standard_normal(value.shape) * 10.0 ** generator.uniform(-2, 1, value.shape)
        found[name] = np.where(generator.random(value.shape) < 0.1, 0.0, numbers).astype(value.dtype)
    return found


# -- the sides ---------------------------------------------------------------------------------------------------------


class _Held(nn.Module):
    """Parameters under names, of a model that there is none of."""

    def __init__(self, values: Mapping[str, np.ndarray]):
        super().__init__()
        for name, value in values.items():
            self.register_parameter(name, nn.Parameter(torch.from_numpy(value.copy())))


class _TorchOptimizer(torch_ref.training.Side):
    """An optimizer of PyTorch as a side; a micro-batch is ``({name: gradient}, None)``."""

    def __init__(
        self,
        kind: type[torch.optim.Optimizer],
        options: Mapping[str, Any],
        initial: Mapping[str, np.ndarray],
        change_after: int | None,
        factor: float,
    ):
        module = _Held(initial)
        made: Any = kind(
            module.parameters(), **copy.deepcopy(dict(options))
        )  # a rate that is a tensor is changed in place
        scheduler = None
        if change_after is not None:
            scheduler = torch.optim.lr_scheduler.LambdaLR(made, lambda done: factor if done >= change_after else 1.0)
        super().__init__(module, made, _no_loss, scheduler, observe=False)

    def accumulate(self, micro_batch: Any, weight: float) -> Any:
        for name, gradient in micro_batch[0].items():
            parameter = self._named[name]
            parameter.grad = torch.tensor(gradient, dtype=parameter.dtype)


def _no_loss(output: Any, target: Any) -> Any:
    raise NotImplementedError


class _ManualOptimizer:
    """A class of :mod:`manual.optim` as a side."""

    def __init__(
        self,
        kind: type[Any],
        options: Mapping[str, Any],
        initial: Mapping[str, np.ndarray],
        change_after: int | None,
        factor: float,
    ):
        self._named = {name: Parameter(value.copy()) for name, value in initial.items()}
        self.optimizer: Any = kind(self._named.values(), **copy.deepcopy(dict(options)))
        self._change_after = change_after
        self._factor = factor
        self._done = 0

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        return {name: parameter.data for name, parameter in self._named.items()}

    @property
    def gradients(self) -> dict[str, np.ndarray | None]:
        return {name: parameter.grad for name, parameter in self._named.items()}

    @property
    def slots(self) -> dict[str, dict[str, np.ndarray]]:
        state = self.optimizer.state
        return {
            name: {slot: np.asarray(value) for slot, value in state[parameter].items() if value is not None}
            for name, parameter in self._named.items()
            if parameter in state
        }

    @property
    def learning_rate(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()

    def accumulate(self, micro_batch: Any, weight: float) -> None:
        for name, gradient in micro_batch[0].items():
            self._named[name].grad = gradient.copy()

    def step(self) -> None:
        self.optimizer.step()
        self._done += 1
        if self._done == self._change_after:
            for group in self.optimizer.param_groups:
                group["lr"] = group["lr"] * self._factor


class _Update:
    """A function ``update(parameter, gradient, slots, step)`` as a side.

    Parameters
    ----------
    update : callable
    initial : dict of name to array
    keywords : options that it is given by keyword
    options : what they are
    told : dict used as an ordered set
        Where sentences about changed gradients are put.
    habits : dict
        Whether the function ever ``moves`` a parameter, and ever ``returns`` something, is put here.
    change_after, factor : after how many steps the rate is multiplied by what
    """

    def __init__(
        self,
        update: Callable[..., Any],
        initial: Mapping[str, np.ndarray],
        keywords: tuple[str, ...],
        options: dict[str, Any],
        told: dict[str, None],
        habits: dict[str, bool],
        change_after: int | None,
        factor: float,
    ):
        self.parameters = {name: value.copy() for name, value in initial.items()}
        self.gradients: dict[str, np.ndarray | None] = dict.fromkeys(initial)
        self._held: dict[str, dict[str, Any]] = {name: {} for name in initial}
        self._update = update
        self._keywords = keywords
        self._options = options
        self._told = told
        self._habits = habits
        self._change_after = change_after
        self._factor = factor
        self._number = 0

    @property
    def learning_rate(self) -> list[float] | None:
        return [float(self._options["lr"])] if "lr" in self._keywords else None

    @property
    def slots(self) -> dict[str, dict[str, np.ndarray]]:
        """What is numeric among the slots; a function may keep anything in them."""
        found: dict[str, dict[str, np.ndarray]] = {}
        for name, slots in self._held.items():
            found[name] = {}
            for slot, value in slots.items():
                try:
                    found[name][str(slot)] = as_array(f"slot {slot!r}", value, self.parameters[name].dtype)
                except ContractError:
                    continue
        return found

    def zero_grad(self) -> None:
        self.gradients = dict.fromkeys(self.gradients)

    def accumulate(self, micro_batch: Any, weight: float) -> None:
        self.gradients = {
            name: gradient.astype(self.parameters[name].dtype) for name, gradient in micro_batch[0].items()
        }

    def step(self) -> None:
        self._number += 1
        options = {name: self._options[name] for name in self._keywords if name in self._options}
        who = called(self._update)
        for name, gradient in self.gradients.items():
            assert gradient is not None
            parameter, watch = self.parameters[name], Watch(self._told)
            before = parameter.tobytes()
            result = self._update(parameter, watch("the gradient", gradient), self._held[name], self._number, **options)
            watch.look(who)
            self._habits["moves"] |= parameter.tobytes() != before
            self._habits["returns"] |= result is not None
        if self._number == self._change_after:
            self._options["lr"] = self._options["lr"] * self._factor
