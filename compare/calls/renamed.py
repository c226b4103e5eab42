"""A side whose names and layouts are another's: what it shows is translated one way, what it is given the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from compare.checkpoint import PHASES
from compare.isolation import ChildCall
from compare.naming import NameMap
from compare.side import Key
from compare.verdict import Coverage

__all__ = ["Renamed", "told_nearest"]

_BY_NAME = frozenset({"parameters", "gradients", "deposits", "buffers"})
_BY_KEY = frozenset({"activations", "inputs", "activation_gradients"})
_PENALTY = "penalty"  # its inputs are parameters, so their names are in its labels


class Renamed:
    """A side under the expected side's names, in its layouts.

    Parameters
    ----------
    side : the actual side, under its own names
    names : NameMap
    """

    def __init__(self, side: Any, names: NameMap):
        self._side = side
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_side", "_names"):
            raise AttributeError(name)
        value = getattr(self._side, name)
        if value is None:
            return None
        if name in _BY_NAME:
            return self._shown(value)
        if name in _BY_KEY:
            return self._by_key(value)
        if name == "slots":
            return self._slots(value)
        translated = {
            "state": self._state,
            "load_state": self._load_state,
            "replay": self._replay,
            "run_module": self._run_module,
        }
        return translated.get(name, value)

    # -- what it shows ---------------------------------------------------------------------------------------------

    def _shown(self, values: Mapping[str, Any]) -> dict[str, Any]:
        turned = {name: None if v is None else self._names.to_expected(name, v) for name, v in values.items()}
        return self._names.renamed(turned)

    def _by_key(self, values: Mapping[Key, Any]) -> dict[Key, Any]:
        found: dict[Key, Any] = {}
        for (path, call, label), value in values.items():
            if path == _PENALTY and label.startswith("input."):
                name = label.removeprefix("input.")
                key, owner = (path, call, f"input.{self._names.expected_name(name)}"), name
            else:
                key, owner = (self._names.met(path), call, label), path
            found[key] = None if value is None else self._names.to_expected(owner, value)
        return found

    def _slots(self, values: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        turned = {
            name: self._names.renamed({slot: self._names.to_expected(name, v) for slot, v in slots.items()})
            for name, slots in values.items()
        }
        return self._names.renamed(turned)

    def _state(self) -> dict[str, Any]:
        state = dict(self._side.state())
        for part in ("parameters", "buffers", "gradients"):
            if state.get(part) is not None:
                state[part] = self._shown(state[part])
        for part in ("slots", "memories"):
            if state.get(part) is not None:
                state[part] = self._slots(state[part])
        return state

    # -- what it is given ------------------------------------------------------------------------------------------

    def _load_state(self, state: Mapping[str, Any]) -> None:
        given = dict(state)
        for part in ("parameters", "buffers", "gradients"):
            if given.get(part) is not None:
                given[part] = self._own(given[part])
        for part in ("slots", "memories"):
            if given.get(part) is not None:
                given[part] = {
                    (mine := self._names.actual_name(name)): {
                        self._names.actual_name(slot): self._turned(mine, value) for slot, value in slots.items()
                    }
                    for name, slots in given[part].items()
                }
        self._side.load_state(given)

    def _own(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by name as the side itself has them."""
        return {(mine := self._names.actual_name(name)): self._turned(mine, v) for name, v in values.items()}

    def _turned(self, mine: str, value: Any) -> Any:
        """A value in the side's own layout, an array of its own; lists (the memory of LBFGS) stay."""
        if not isinstance(value, np.ndarray):
            return value
        turned = self._names.to_actual(mine, value)
        return turned if turned is value else np.asarray(turned, order="C")

    def _replay(self, draws: Mapping[tuple[str, int], np.ndarray]) -> None:
        mine = {(self._names.actual_name(path), call): mask for (path, call), mask in draws.items()}
        self._side.replay({key: self._turned(key[0], mask) for key, mask in mine.items()})

    def _run_module(
        self, path: str, inputs: tuple[tuple[Any, ...], dict[str, Any]], gradients: Any, children: Any
    ) -> Any:
        mine, (positional, named) = self._names.actual_name(path), inputs
        own: dict[str, Any] = {}
        for child, calls in children.items():
            name = self._names.actual_name(child)
            own[name] = [
                ChildCall(self._each(name, call.outputs), self._each(name, call.input_gradients)) for call in calls
            ]
        run = self._side.run_module(
            mine,
            (tuple(self._deep(mine, value) for value in positional), self._each(mine, named)),
            self._each(mine, gradients),
            own,
        )
        theirs = self._names.to_expected
        return SimpleNamespace(
            outputs={label: theirs(mine, value) for label, value in run.outputs.items()},
            input_gradients={label: theirs(mine, value) for label, value in run.input_gradients.items()},
            parameter_gradients=self._shown(run.parameter_gradients),
            child_inputs=self._by_key(run.child_inputs),
            child_output_gradients=self._by_key(run.child_output_gradients),
        )

    def _each(self, mine: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return {label: self._deep(mine, value) for label, value in values.items()}

    def _deep(self, mine: str, value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(self._deep(mine, item) for item in value)
        return self._turned(mine, value)

    # -- the members of the protocol, so that it is seen to have them ----------------------------------------------

    def zero_grad(self) -> None:
        self._side.zero_grad()

    def accumulate(self, micro_batch: Any, weight: float) -> Any:
        return self._side.accumulate(micro_batch, weight)

    def step(self, *closure: Callable[[], Any]) -> None:
        self._side.step(*closure)


def told_nearest(coverage: Coverage, names: NameMap) -> None:
    """Say of every name that one side alone shows what it may be called on the other, where it is first listed."""
    for side, texts, unmatched in (
        ("actual", coverage.only_actual, names.only_actual),
        ("expected", coverage.only_expected, names.only_expected),
    ):
        for name in unmatched:
            hint = names.hint(side, name)
            shown = {f"{phase}: {name}" for phase in PHASES}
            place = next((i for i, text in enumerate(texts) if text in shown), None)
            if hint and place is not None:
                texts[place] += f" ({hint})"
    coverage.notes += [note for note in names.unused() if note not in coverage.notes]
