"""A user's own training side: read through one window that converts and checks, made anew for every run."""

from __future__ import annotations

import copy
import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import torch_ref
from compare.batches import InputError
from compare.calls.arrays import ContractError, Watch, as_array, called, describe
from compare.side import missing_members
from torch_ref.copying import copy_side

__all__ = ["MEMBERS", "Owned", "captured", "is_factory", "repeatable"]

MEMBERS = "parameters, gradients, zero_grad(), accumulate(micro_batch, weight) and step()"
_BY_NAME = frozenset({"parameters", "gradients", "deposits", "buffers"})
_BY_KEY = {"activations": "output", "inputs": "input", "activation_gradients": "output"}
_SHOWN = (*_BY_NAME, *_BY_KEY, "slots", "learning_rate", "scheduled_momentum", "total_norm")


def is_factory(what: str, value: Any) -> bool:
    """Whether a value makes sides, or is one.

    Raises
    ------
    InputError
        If it is neither; ``what`` names it.
    """
    if isinstance(value, type):
        return True
    missing = missing_members(value)
    if not missing:
        return False
    if callable(value) and len(missing) == 5:
        return True
    raise InputError(f"{what} ({describe(value)}) lacks {', '.join(missing)}; a side has {MEMBERS}")


class Owned:
    """A user's side as the walk reads it.

    Members may be attributes, properties or methods without arguments; arrays may be of any library that NumPy can
    read. Every micro-batch is handed over as a copy.

    Parameters
    ----------
    side : the user's object
    told : dict used as an ordered set
        Where sentences about changed inputs are put.
    penalty : bool
        Whether the reference has a penalty: a bare number from ``accumulate`` is the loss with it.
    """

    def __init__(self, side: Any, told: dict[str, None], *, penalty: bool):
        missing = missing_members(side)
        if missing:
            raise InputError(f"the side ({describe(side)}) lacks {', '.join(missing)}; a side has {MEMBERS}")
        self._side = side
        self._told = told
        self._number = "total" if penalty else "data"
        self._asks = _asks_for_closure(side)
        self._given: list[tuple[Any, float]] = []  # the step's micro-batches, for a side that evaluates them anew

    def zero_grad(self) -> None:
        self._given.clear()
        self._side.zero_grad()

    def accumulate(self, micro_batch: Any, weight: float) -> dict[str, Any] | None:
        if self._asks:
            self._given.append((micro_batch, weight))
        return self._accumulated(micro_batch, weight)

    def _accumulated(self, micro_batch: Any, weight: float) -> dict[str, Any] | None:
        (x, y), watch = micro_batch, Watch(self._told)
        many = isinstance(x, tuple)
        given = (
            tuple(watch(f"x[{i}] of its micro-batch", item) for i, item in enumerate(x))
            if many
            else watch("x of its micro-batch", x)
        )
        found = self._side.accumulate((given, watch("y of its micro-batch", y)), weight)
        watch.look("accumulate")
        if found is None:
            return None
        terms = found if isinstance(found, Mapping) else {self._number: found}
        return {
            str(name): _scalar(f"the loss term {name!r} that accumulate returned", value)
            for name, value in terms.items()
        }

    def step(self) -> None:
        before = {name: value.shape for name, value in self.parameters.items()}
        self._side.step(*([self._evaluated] if self._asks else []))
        after = self.parameters
        for name, shape in before.items():
            if name not in after:
                raise ContractError(f"the side has no parameter {name!r} any more after step()")
            if after[name].shape != shape:
                raise ContractError(
                    f"the side's parameter {name!r} has shape {after[name].shape} after step(), and {shape} before"
                )

    def _evaluated(self) -> float:
        """What a closure does: evaluate the step's micro-batches anew, from a zero gradient; their mean loss."""
        self._side.zero_grad()
        total = 0.0
        for micro_batch, weight in self._given:
            terms = self._accumulated(micro_batch, weight)
            if terms is None:
                raise ContractError("accumulate returned no loss, which the closure that step takes has to return")
            total += weight * terms.get("total", terms.get("data", 0.0) + terms.get("penalty", 0.0))
        return total

    @property
    def needs_closure(self) -> bool:
        """Whether the side's own step takes a closure, or its optimizer does."""
        return self._asks or bool(getattr(self._side, "needs_closure", False))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            value = getattr(self._side, name)
            if name in _SHOWN and callable(value):
                value = value()
        except AttributeError as error:
            if hasattr(type(self._side), name):  # it is there, and what it does is wrong
                raise ContractError(f"the side's {name} raised AttributeError: {error}") from error
            raise
        except Exception as error:
            raise ContractError(f"the side's {name} raised {type(error).__name__}: {error}") from error
        return _normal(name, value) if name in _SHOWN and value is not None else value


def _asks_for_closure(side: Any) -> bool:
    """Whether ``step`` takes an argument without default."""
    try:
        parameters = inspect.signature(side.step).parameters.values()
    except (TypeError, ValueError):  # built in another language: it says nothing about itself
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(one.default is inspect.Parameter.empty and one.kind in kinds for one in parameters)


def _normal(name: str, value: Any) -> Any:
    """A member in the form in which the walk reads it."""
    if name in ("learning_rate", "scheduled_momentum", "total_norm"):
        numbers = _array(name, value)
        return [float(number) for number in numbers] if numbers.ndim == 1 else _scalar(f"the side's {name}", numbers)
    if not isinstance(value, Mapping):
        raise ContractError(f"the side's {name} is {describe(value)}; it must be a dict")
    if name in _BY_NAME:
        return {
            key: None if held is None and name != "parameters" else _array(f"{name}[{key!r}]", held)
            for key, held in value.items()
        }
    if name == "slots":
        for key, slots in value.items():
            if not isinstance(slots, Mapping):
                raise ContractError(
                    f"the side's slots[{key!r}] is {describe(slots)}; it must be a dict of slot to array"
                )
        return {
            key: {slot: _array(f"slots[{key!r}][{slot!r}]", held) for slot, held in slots.items() if held is not None}
            for key, slots in value.items()
        }
    return {_key(name, key): _array(f"{name}[{key!r}]", held) for key, held in value.items()}


def _array(what: str, value: Any) -> np.ndarray:
    return as_array(f"the side's {what}", value, np.dtype(np.float64), copy=False)


def _key(name: str, key: Any) -> tuple[str, int, str]:
    """``(module path, call, label)``; a path alone is its first call and only output."""
    if isinstance(key, str):
        return key, 0, _BY_KEY[name]
    if isinstance(key, tuple) and len(key) == 2:
        return key[0], 0, key[1]
    if isinstance(key, tuple) and len(key) == 3:
        return key
    raise ContractError(
        f"the side's {name} has the key {key!r}; it must be (module path, call, label), or the path alone"
    )


def _scalar(what: str, value: Any) -> float:
    array = as_array(what, value, np.dtype(np.float64))
    if array.size != 1:
        raise ContractError(f"{what} is {describe(array)}; it must be a number")
    return float(array.reshape(())[()])


# -- made anew for every run -------------------------------------------------------------------------------------------


def repeatable(side: Any, own: Callable[[Any], Owned], notes: list[str], *, needs_copies: bool) -> Callable[[], Any]:
    """A factory from an object: a copy for every run, or one run that is recorded and then shown again.

    Parameters
    ----------
    side : the user's object
    own : makes the window on it
    notes : where it is said that the object was run once
    needs_copies : bool
        Whether showing a run again does not do.

    Raises
    ------
    InputError
        If it cannot be copied and has to be.
    """
    if isinstance(side, torch_ref.Side):
        return lambda: own(copy_side(side))
    reason = _why_not_copied(side, own)
    if not reason:
        return lambda: own(copy.deepcopy(side))
    if needs_copies:
        raise InputError(f"the side cannot be copied ({reason}), which the walk by module needs; hand in a factory")
    notes.append(
        f"the side could not be copied ({reason}), so it was run once and whether it agrees with itself is not known; "
        "a factory is run again"
    )
    tape: list[_Event] = []
    return lambda: _Again(tape) if tape else _Once(own(side), tape)


def _why_not_copied(side: Any, own: Callable[[Any], Owned]) -> str:
    reached = captured(side)
    if reached:
        return f"its {reached} reaches values from outside"
    try:
        twin = copy.deepcopy(side)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    mine, theirs = own(side).parameters, own(twin).parameters
    if any(name in theirs and np.may_share_memory(value, theirs[name]) for name, value in mine.items()):
        return "its copy shares its parameters"
    return ""


_FIXED = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    np.ufunc,
)


def _changes(value: Any) -> bool:
    return not isinstance(value, _FIXED)


def captured(value: Any, matters: Callable[[Any], bool] = _changes) -> str:
    """The name of a function inside a value that uses something from outside of it; empty if there is none.

    Such a function goes on using the original's values when the value is copied.

    Parameters
    ----------
    value : looked through, with what its attributes, methods, items and functions hold
    matters : says of a closed-over or global value whether it is one to be wary of
    """
    return _captured(value, matters, set(), 5)


def _captured(value: Any, matters: Callable[[Any], bool], seen: set[int], depth: int) -> str:
    if id(value) in seen or depth < 0 or isinstance(value, (*_FIXED, np.ndarray)):
        return ""
    seen.add(id(value))
    if isinstance(value, types.FunctionType):
        for held in _outer(value):
            if isinstance(held, types.FunctionType):
                if _captured(held, matters, seen, depth - 1):
                    return called(value)
            elif matters(held):
                return called(value)
        return ""
    if isinstance(value, types.MethodType):
        return _captured(value.__self__, matters, seen, depth - 1)
    if isinstance(value, functools.partial):
        parts = [value.func, *value.args, *value.keywords.values()]
    elif isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, (list, tuple, set)):
        parts = list(value)
    else:
        parts = list(getattr(value, "__dict__", {}).values())
    return next((name for part in parts if (name := _captured(part, matters, seen, depth - 1))), "")


def _outer(function: types.FunctionType) -> list[Any]:
    """What a function closes over, and the globals that it names, installed packages' own excepted."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    if (function.__module__ or "").partition(".")[0] not in _LIBRARIES:
        found += [function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__]
    return found


_LIBRARIES = frozenset({"torch", "numpy", "manual", "torch_ref", "compare"})


def _names(code: types.CodeType) -> set[str]:
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


class _Event:
    """One call of a recorded run: what it was, what it returned, and what the side showed afterwards."""

    def __init__(self, kind: str, returned: Any, owned: Owned):
        self.kind = kind
        self.returned = returned
        self.shown = {name: copy.deepcopy(getattr(owned, name)) for name in _SHOWN if hasattr(owned, name)}


class _Once:
    """The one run of a side that cannot be copied, kept on a tape."""

    def __init__(self, owned: Owned, tape: list[_Event]):
        self._owned = owned
        self._tape = tape
        self._keep("made")

    def _keep(self, kind: str, returned: Any = None) -> Any:
        self._tape.append(_Event(kind, returned, self._owned))
        return returned

    def zero_grad(self) -> None:
        self._owned.zero_grad()
        self._keep("zero_grad")

    def accumulate(self, micro_batch: Any, weight: float) -> Any:
        return self._keep("accumulate", self._owned.accumulate(micro_batch, weight))

    def step(self) -> None:
        self._owned.step()
        self._keep("step")

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._owned, name)
        if name != "load_state":
            return value
        return lambda state: self._keep("load_state", value(state))


class _Again:
    """Shows a recorded run again, call by call; a walk that loads no state passes over where one was loaded."""

    recorded = True  # it computes nothing: other inputs or another dtype would change nothing

    def __init__(self, tape: list[_Event]):
        self._events = iter(tape)
        self._now = next(self._events)

    def _go(self, kind: str) -> Any:
        self._now = next(event for event in self._events if event.kind == kind)
        return self._now.returned

    def zero_grad(self) -> None:
        self._go("zero_grad")

    def accumulate(self, micro_batch: Any, weight: float) -> Any:
        return self._go("accumulate")

    def step(self) -> None:
        self._go("step")

    def load_state(self, state: Any) -> None:
        self._go("load_state")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._now.shown:
            raise AttributeError(name)
        return self._now.shown[name]
