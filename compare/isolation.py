"""The walk by module: everything is judged on the reference's inputs, so that each fault shows once.

Each module runs alone, forward on what the reference's module was given, backward on the gradient that arrived at the
reference's output; a container runs with its children's outputs and gradients replaced by the reference's. The loss
gets the reference's prediction, a deposit is put together from the modules that own the parameter, accumulation starts
from the reference's gradients, clipping gets the reference's accumulated gradients, the update the reference's clipped
ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.side import Key, observed

if TYPE_CHECKING:
    from compare.batches import MicroBatch
    from compare.walker import Walker

__all__ = ["IsolatedStep"]


class ChildCall:
    """What one call of a child returns in place of running: outputs and input gradients by label."""

    def __init__(self, outputs: Mapping[str, np.ndarray], input_gradients: Mapping[str, np.ndarray]):
        self.outputs = outputs
        self.input_gradients = input_gradients


class IsolatedStep:
    """One step of a walk by module."""

    def __init__(self, walker: Walker, number: int):
        self._walker = walker
        self._actual = walker.actual
        self._expected = walker.expected
        self._number = number
        self._before: dict[str, np.ndarray | None] = {}
        walker.flow.isolated = True

    def before_micro_batch(self, index: int) -> None:
        """Let accumulation start from the reference's gradients; the first must start from the actual zero_grad."""
        self._before = {
            name: None if value is None else np.array(value) for name, value in self._expected.gradients.items()
        }
        if index > 1:
            self._actual.load_state({"gradients": self._before})

    def micro_batch(self, index: int, batch: MicroBatch, found: Any, terms: Any) -> None:
        """Judge modules, loss, deposits and accumulation of a micro-batch that both sides have just run."""
        expected, actual = self._expected, self._actual
        diverged = self._walker.diverged
        forward, backward, deposits = self._modules()
        (_, target), weight = batch
        prediction = _first_output(expected.activations)
        loss = actual.run_module("loss", ((prediction, target), {}), {"output": np.asarray(1.0, prediction.dtype)}, {})
        if ("loss", 0, "input") in expected.activation_gradients and "input.0" in loss.input_gradients:
            backward[0]["loss", 0, "input"] = loss.input_gradients["input.0"]
            backward[1]["loss", 0, "input"] = expected.activation_gradients["loss", 0, "input"]
        for (name, call, label), gradient in expected.activation_gradients.items():
            if name == "penalty":
                parameter = label.removeprefix("input.")
                backward[1][name, call, label] = gradient
                if (name, call, label) in actual.activation_gradients:
                    backward[0][name, call, label] = actual.activation_gradients[name, call, label]
                deposits[parameter, 0, ""] = deposits.get((parameter, 0, ""), 0) + gradient
        for key in deposits:
            deposits[key] = deposits[key] * weight
        losses = {(name, 0, ""): value for name, value in found.items()}
        losses["data", 0, ""] = float(loss.outputs["output"])
        glue = found["total"] - found["data"] - found["penalty"]
        losses["total", 0, ""] = terms["data"] + terms["penalty"] + glue
        self._compare(index, "forward", *forward)
        self._compare(index, "loss", losses, observed(expected, "loss", terms))
        order = list(expected.activation_gradients)
        in_order = sorted(backward[1], key=lambda key: order.index(key) if key in order else len(order))
        self._compare(index, "backward", backward[0], {key: backward[1][key] for key in in_order})
        reference = observed(expected, "deposit") or {}
        if self._walker.diverged == diverged:  # no module is wrong: the side's own deposits show the weight too
            deposits = observed(actual, "deposit") or deposits
        self._compare(index, "deposit", {key: deposits[key] for key in deposits if key in reference}, reference)
        sums: dict[Key, Any] = {}
        for name, deposit in (actual.deposits or {}).items():
            before = self._before.get(name)
            sums[name, 0, ""] = deposit if before is None else before + deposit
        mine = observed(actual, "accumulated") or {}
        self._compare(index, "accumulated", {key: mine[key] for key in sums}, sums)

    def clip(self) -> None:
        """Clip the reference's accumulated gradients on both sides."""
        gradients = _copies(self._expected.gradients)
        self._expected.clip_gradients()
        self._actual.load_state({"gradients": gradients})
        self._actual.clip_gradients()
        self._walker.compare_clip(self._number)

    def update(self) -> None:
        """Update from the reference's clipped gradients on both sides, then move the schedule on."""
        loss = {"mean_loss": self._expected.mean_loss} if hasattr(self._expected, "mean_loss") else {}
        self._actual.load_state({"gradients": _copies(self._expected.gradients), **loss})
        for side in (self._expected, self._actual):
            side.update()
        self._compare(None, "slots", observed(self._actual, "slots"), observed(self._expected, "slots"))
        for side in (self._expected, self._actual):
            side.advance_schedule()

    # -- modules -----------------------------------------------------------------------------------------------------

    def _modules(
        self,
    ) -> tuple[tuple[dict[Key, Any], dict[Key, Any]], tuple[dict[Key, Any], dict[Key, Any]], dict[Key, Any]]:
        """Run every recorded module call alone; returns (actual, expected) forward and backward, and deposits."""
        expected = self._expected
        calls = list(dict.fromkeys((name, call) for name, call, _ in expected.activations))
        names = {name for name, _ in calls}
        forward: tuple[dict[Key, Any], dict[Key, Any]] = ({}, {})
        backward: tuple[dict[Key, Any], dict[Key, Any]] = ({}, {})
        deposits: dict[Key, Any] = {}
        for name, call in calls:
            children = {
                child: self._child_calls(child, call, sum(n == name for n, _ in calls))
                for child in names
                if _parent(child, names) == name and child != name
            }
            mask = getattr(expected, "draws", {}).get((name, call))
            if mask is not None and hasattr(self._actual, "replay"):
                self._actual.replay({(name, call): mask})
            run = self._actual.run_module(
                name,
                _arguments(_labelled(expected.inputs, name, call)),
                {
                    k: v
                    for k, v in _labelled(expected.activation_gradients, name, call).items()
                    if k.startswith("output")
                },
                children,
            )
            for label, value in _labelled(expected.activations, name, call).items():
                _put(forward, (name, call, label), run.outputs.get(label), value)
            for label, value in _labelled(expected.activation_gradients, name, call).items():
                if label.startswith("input"):
                    _put(backward, (name, call, label), run.input_gradients.get(label), value)
            for (child, number, label), value in run.child_inputs.items():
                first = call * len(children[child])
                reference = expected.inputs.get((child, first + number, label))
                if reference is not None:
                    _put(forward, (name, call, f"to {child} ({label})"), value, reference)
            for (child, number, label), value in run.child_output_gradients.items():
                first = call * len(children[child])
                reference = expected.activation_gradients.get((child, first + number, label))
                if reference is not None:
                    _put(backward, (name, call, f"to {child} ({label})"), value, reference)
            for parameter, gradient in run.parameter_gradients.items():
                key = (parameter, 0, "")
                deposits[key] = deposits[key] + gradient if key in deposits else gradient
        return forward, backward, deposits

    def _child_calls(self, child: str, call: int, parent_calls: int) -> list[ChildCall]:
        """The calls of a child that happened inside one call of its parent."""
        expected = self._expected
        numbers = sorted({c for n, c, _ in expected.activations if n == child})
        each = len(numbers) // parent_calls
        return [
            ChildCall(
                _labelled(expected.activations, child, number),
                {
                    k: v
                    for k, v in _labelled(expected.activation_gradients, child, number).items()
                    if k.startswith("input")
                },
            )
            for number in numbers[call * each : (call + 1) * each]
        ]

    def _compare(self, index: int | None, phase: str, actual: Any, expected: Any) -> None:
        self._walker.compare(self._number, index, phase, actual, expected)


def _put(pair: tuple[dict[Key, Any], dict[Key, Any]], key: Key, actual: Any, expected: Any) -> None:
    if actual is not None:
        pair[0][key] = actual
    pair[1][key] = expected


def _labelled(records: Mapping[Key, np.ndarray], name: str, call: int) -> dict[str, np.ndarray]:
    return {label: value for (n, c, label), value in records.items() if (n, c) == (name, call)}


def _copies(gradients: Mapping[str, np.ndarray | None]) -> dict[str, np.ndarray | None]:
    return {name: None if value is None else np.array(value) for name, value in gradients.items()}


def _first_output(activations: Mapping[Key, np.ndarray]) -> np.ndarray:
    """The model's output: what the root returned."""
    return next(value for (name, _, label), value in activations.items() if name == "" and label.startswith("output"))


def _parent(path: str, names: set[str]) -> str:
    """The nearest recorded module above a path (a ModuleList is never called, so it is never recorded)."""
    while path:
        path = path.rpartition(".")[0]
        if path in names:
            return path
    return ""


def _arguments(inputs: Mapping[str, np.ndarray]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Rebuild a call's arguments from labels such as ``input``, ``input.0``, ``input.0.1`` and ``input.mask``."""
    if "input" in inputs:
        return (inputs["input"],), {}
    positional: dict[int, Any] = {}
    named: dict[str, Any] = {}
    for label, value in inputs.items():
        head, _, rest = label.removeprefix("input.").partition(".")
        slot = positional if head.isdigit() else named
        key: Any = int(head) if head.isdigit() else head
        if rest:
            slot.setdefault(key, []).append(value)
        else:
            slot[key] = value
    plain = [tuple(value) if isinstance(value, list) else value for _, value in sorted(positional.items())]
    return tuple(plain), {key: tuple(value) if isinstance(value, list) else value for key, value in named.items()}
