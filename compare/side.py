"""The protocol of one implementation of a training step, and how the hall reads it.

A side is any object with the five members of :class:`Side`. Whatever else it has of the following is compared too; what
it does not have is not guessed.

=========================  =============================================================================================
``activations``            ``{(module path, call, label): array}`` of the last ``accumulate``, in order of execution
``inputs``                 the same for what the modules were given
``activation_gradients``   the same for the gradients of their outputs (``"output"``) and inputs (``"input"``)
``deposits``               ``{parameter: array}``, what the last ``accumulate`` handed over before it was added
``total_norm``             the norm that the last step's clipping measured, ``None`` without clipping
``slots``                  ``{parameter: {slot: array}}``
``buffers``                ``{name: array}``
``learning_rate``          a number, or one per parameter group
``scheduled_momentum``     the same, where the schedule moves it; else ``None``
``replay(draws)``          take the reference's dropout masks for the next ``accumulate``
``state()``                a copy of all that the next step depends on (asked of the reference)
``needs_closure``          whether its optimizer evaluates the model itself within a step, as ``LBFGS`` does
``load_state(state)``      makes the walk by step possible
``run_module(...)``        makes the walk by module possible, with ``clip_gradients``, ``update``, ``advance_schedule``
``magnitude(phase, name)`` the sums of magnitudes behind a gradient (asked of the reference)
=========================  =============================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

__all__ = ["Key", "Side", "missing_members", "needs_closure", "observed", "rates"]

Key = tuple[str, int, str]
"""Module path, parameter or term; call; label."""


@runtime_checkable
class Side(Protocol):
    """The least that a side must have."""

    @property
    def parameters(self) -> Mapping[str, np.ndarray]: ...

    @property
    def gradients(self) -> Mapping[str, np.ndarray | None]: ...

    def zero_grad(self) -> None: ...

    def accumulate(self, micro_batch: Any, weight: float) -> Any: ...

    def step(self) -> None: ...  # or step(closure), in a side of a user: compare.calls.owned


def missing_members(
    side: Any, members: Iterable[str] = ("parameters", "gradients", "zero_grad", "accumulate", "step")
) -> list[str]:
    """Which of these members a side does not have."""
    return [member for member in members if not hasattr(side, member)]


def needs_closure(side: Any) -> bool:
    """Whether a side's optimizer evaluates the model itself within a step, so that gradients alone do not make one."""
    return bool(getattr(side, "needs_closure", False))


def observed(side: Any, phase: str, terms: Any = None) -> dict[Key, Any] | None:
    """What a side shows of one phase, or ``None`` if it shows nothing of it.

    Parameters
    ----------
    side : Side
    phase : one of ``PHASES``
    terms : what ``accumulate`` returned, for the loss
    """
    if phase in ("init", "parameter"):
        return _by_name(side.parameters)
    if phase == "forward":
        return _as_is(getattr(side, "activations", None))
    if phase == "loss":
        if terms is None:
            return None
        return _by_name(terms if isinstance(terms, Mapping) else {"data": terms})
    if phase == "backward":
        return _as_is(getattr(side, "activation_gradients", None))
    if phase == "deposit":
        deposits = getattr(side, "deposits", None)
        return _by_name({**dict.fromkeys(side.parameters), **deposits}) if deposits else None
    if phase in ("accumulated", "clip"):
        found = _by_name(side.gradients)
        if phase == "clip" and found is not None:
            norm = getattr(side, "total_norm", None)
            return {**({} if norm is None else {("total_norm", 0, ""): norm}), **found}
        return found
    if phase == "slots":
        slots = getattr(side, "slots", None)
        if slots is None:
            return None
        return {(name, 0, slot): value for name, values in slots.items() for slot, value in values.items()}
    if phase == "buffer":
        return _by_name(getattr(side, "buffers", None))
    if phase == "schedule":
        found_rates, found_momenta = rates(side), _numbers(side, "scheduled_momentum")
        if found_rates is None:
            return None
        shown = [(f"group {i}", rate) for i, rate in enumerate(found_rates)]
        shown += [(f"group {i} momentum", momentum) for i, momentum in enumerate(found_momenta or ())]
        return _by_name(dict(shown))
    raise ValueError(f"no phase is called {phase!r}")


def rates(side: Any) -> list[float] | None:
    """The learning rates in force, one per parameter group."""
    return _numbers(side, "learning_rate")


def _numbers(side: Any, member: str) -> list[float] | None:
    """A member that holds one number per parameter group, or a single one."""
    found = getattr(side, member, None)
    if found is None:
        return None
    return [float(number) for number in found] if isinstance(found, (list, tuple, np.ndarray)) else [float(found)]


def _by_name(values: Mapping[str, Any] | None) -> dict[Key, Any] | None:
    return None if values is None else {(name, 0, ""): value for name, value in values.items()}


def _as_is(values: Mapping[Key, Any] | None) -> dict[Key, Any] | None:
    return None if values is None else dict(values)
