"""Options of a command or a test run that the calls of :mod:`compare` fall back to where they are not given their own.

A call looks into the session that is active, if there is one. What a file or a test gives explicitly always wins, and
what an option did is kept: an option that reached no call is said to have had no effect, never passed over.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from compare.checking.source import Source, source_of

if TYPE_CHECKING:
    from compare.report.report import Report

__all__ = ["Defaults", "Session", "active", "adjustable"]


@dataclass(frozen=True)
class Defaults:
    """What is wanted where a call says nothing; ``None`` leaves the call's own default.

    Attributes
    ----------
    dtype : "float64" or "float32"
        Handed to ``optimizer``; the inputs of ``gradients``, and module and inputs of ``module``, are cast to it.
    steps : int
        Handed to ``optimizer``; ``training`` takes so many batches, from the first again after the last.
    tolerance : "measured" or "fixed"
    seed : int
    """

    dtype: str | None = None
    steps: int | None = None
    tolerance: str | None = None
    seed: int | None = None

    def wanted(self) -> dict[str, Any]:
        """The options that are given."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}


@dataclass
class Session:
    """One run of a command, or one test: its options, and the reports of the calls that it made.

    Parameters
    ----------
    defaults : Defaults
    prefix : str
        What stands before the name of an option where a user types it.
    """

    defaults: Defaults = field(default_factory=Defaults)
    prefix: str = "--"
    effective: set[str] = field(default_factory=set)
    made: list[tuple[Report, Source | None]] = field(default_factory=list)

    @contextmanager
    def __call__(self) -> Iterator[Session]:
        """Make the options those of every call while the context lasts."""
        token = _ACTIVE.set(self)
        try:
            yield self
        finally:
            _ACTIVE.reset(token)

    def without_effect(self) -> list[str]:
        """The options that reached no call."""
        return without_effect(self.defaults, self.effective, self.prefix)

    def source(self, report: Report) -> Source | None:
        """Where the code that a report is about was written."""
        return next((source for made, source in self.made if made is report), None)

    def apply(self, call: Callable[..., Any], given: dict[str, Any]) -> list[str]:
        """Put the options into a call's arguments, by name; returns what its report should say about that."""
        notes = []
        known = inspect.signature(call).parameters
        for name, value in self.defaults.wanted().items():
            option = f"{self.prefix}{name} {value}"
            if given.get(name) is not None:
                notes.append(f"{option} does not reach this call, which gives its own {name}")
            elif name in known:
                given[name] = value
                self.effective.add(name)
            elif (call.__name__, name) in _OTHERWISE:
                _OTHERWISE[call.__name__, name](given, value)
                notes.append(f"{option}: {_SAID[call.__name__, name]}")
                self.effective.add(name)
            elif name == "dtype":
                notes.append(f"{option} does not reach {call.__name__}, whose dtypes are those of what it is given")
        return notes


_ACTIVE: ContextVar[Session | None] = ContextVar("gradlock session", default=None)


def active() -> Session | None:
    """The session whose options the calls fall back to."""
    return _ACTIVE.get()


def without_effect(defaults: Defaults, effective: set[str], prefix: str) -> list[str]:
    """The options, as a user types them, that are given and reached no call."""
    return [f"{prefix}{name}" for name in defaults.wanted() if name not in effective]


def adjustable(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call of :mod:`compare` that falls back to the options of the active session, and is kept by it."""

    @functools.wraps(call)
    def adjusted(*args: Any, **options: Any) -> Report:
        __tracebackhide__ = True
        session = active()
        if session is None:
            report: Report = call(*args, **options)
            return report
        try:
            bound = inspect.signature(call).bind(*args, **options)
        except TypeError:
            return call(*args, **options)  # raises: the call says itself what is wrong
        notes = session.apply(call, bound.arguments)
        report = call(*bound.args, **bound.kwargs)
        report.coverage.notes += notes
        session.made.append((report, source_of(next(iter(bound.arguments.values())))))
        return report

    return adjusted


# -- options that are no argument of a call ----------------------------------------------------------------------------


def _cast_inputs(given: dict[str, Any], dtype: str) -> None:
    if isinstance(given["inputs"], Mapping):
        given["inputs"] = {name: _cast(value, dtype) for name, value in given["inputs"].items()}


def _cast_module(given: dict[str, Any], dtype: str) -> None:
    import torch

    from compare.calls.layers import copied

    for name in ("manual_fn", "torch_module"):
        if isinstance(given[name], torch.nn.Module):
            given[name] = copied(given[name]).to(getattr(torch, dtype))
    given["inputs"] = _cast(tuple(given.get("inputs", ())), dtype)


def _cast(value: Any, dtype: str) -> Any:
    """Floating arrays in another dtype, in tuples too; anything else as it is."""
    import numpy as np

    if isinstance(value, (tuple, list)):
        return tuple(_cast(item, dtype) for item in value)
    floating = isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "f"
    return value.astype(dtype) if floating else value


def _take_batches(given: dict[str, Any], steps: int) -> None:
    batches = given["batches"]
    if isinstance(batches, (list, tuple)) and batches:
        given["batches"] = [batches[number % len(batches)] for number in range(steps)]


_OTHERWISE: Mapping[tuple[str, str], Callable[[dict[str, Any], Any], None]] = {
    ("gradients", "dtype"): _cast_inputs,
    ("module", "dtype"): _cast_module,
    ("training", "steps"): _take_batches,
}
_SAID = {
    ("gradients", "dtype"): "the floating inputs are cast",
    ("module", "dtype"): "the module and its floating inputs are cast",
    ("training", "steps"): "the batches are taken in turn",
}
