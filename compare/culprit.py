"""Data flow within a step: which divergences follow from an earlier one, and what to look at for the one that does not.

A value is *inherited* wrong if anything that it was computed from had diverged; otherwise the fault is its *own*, and
the culprit is what computed it. In the backward pass that is the module whose incoming gradient agrees and whose
outgoing one does not, which is seldom the module in whose output the gradient is seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.difference import Difference

__all__ = ["Flow", "owner_of"]

MODEL = "(model)"


def owner_of(parameter: str) -> str:
    """The path of the module that holds a parameter or buffer."""
    return parameter.rpartition(".")[0] or MODEL


class Flow:
    """What has diverged so far in this walk.

    Parameters
    ----------
    actual, expected : the two sides, of which only recorded inputs and gradients are read
    """

    def __init__(self, actual: Any, expected: Any):
        self._actual = actual
        self._expected = expected
        self.isolated = False
        self._carried: set[tuple[str, str]] = set()  # (phase, name): state that came from an earlier step
        self._step: set[tuple[str, str]] = set()
        self._batch: set[tuple[str, str, str]] = set()  # (phase, name, label) of this micro-batch
        self._agreed: set[tuple[str, str, str]] = set()

    def begin_step(self, *, keep: bool) -> None:
        """Start a step; ``keep`` if the actual side goes on from its own state."""
        state = {"parameter", "slots", "buffer", "schedule"}
        self._carried = (
            {(phase, name) for phase, name in self._step | self._carried if phase in state} if keep else set()
        )
        self._step = set()

    def begin_micro_batch(self) -> None:
        self._batch = set()
        self._agreed = set()

    def agreed(self, checkpoint: Checkpoint) -> None:
        if checkpoint.phase in ("backward", "deposit"):
            self._agreed.add((checkpoint.phase, checkpoint.name, checkpoint.output))

    def diverged(self, checkpoint: Checkpoint) -> tuple[bool, str]:
        """Note a divergence; returns whether it is the checkpoint's own, and the culprit."""
        phase, name = checkpoint.phase, checkpoint.name
        own = self.isolated or getattr(self, f"_own_{phase}")(checkpoint)
        culprit = self._culprit(checkpoint)
        self._step.add((phase if phase != "init" else "parameter", name))
        self._batch.add((phase, name, checkpoint.output))
        return own, culprit

    def blind(self, checkpoint: Checkpoint, found: Difference) -> bool:
        """Whether a gradient is the rounding left by a uniform incoming gradient that the module maps to zero."""
        if not checkpoint.output.startswith("input"):
            return False
        gradients = getattr(self._expected, "activation_gradients", None) or {}
        incoming = gradients.get((checkpoint.name, checkpoint.call, "output"))
        if incoming is None or incoming.size < 2:
            return False
        first = incoming.flat[0]
        return bool(found.scale <= 64 * np.finfo(incoming.dtype).eps * abs(first) and np.all(incoming == first))

    # -- inherited or own, phase by phase ----------------------------------------------------------------------------

    def _bad(self, phase: str, name: str | None = None) -> bool:
        """Whether anything in a phase of this micro-batch has diverged: everywhere, or at and below one path."""
        return any(
            p == phase and (name is None or n == name or not name or n.startswith(f"{name}."))
            for p, n, _ in self._batch
        )

    def _parameters_bad(self, path: str = "") -> bool:
        return any(
            phase in ("parameter", "buffer") and (not path or name.startswith(f"{path}."))
            for phase, name in self._carried
        )

    def _inputs_bad(self, name: str, call: int) -> bool:
        """Whether a module was given something else: by its recorded inputs, else by anything that came before."""
        if not self._bad("forward"):
            return False
        mine, theirs = (getattr(side, "inputs", None) or {} for side in (self._actual, self._expected))
        keys = [key for key in theirs if key[:2] == (name, call) and key in mine]
        if not keys:
            return True
        return not all(_near(mine[key], theirs[key]) for key in keys)

    def _own_init(self, checkpoint: Checkpoint) -> bool:
        return True

    def _own_forward(self, checkpoint: Checkpoint) -> bool:
        name = checkpoint.name
        return not (self._parameters_bad(name) or self._bad("forward", name) or self._inputs_bad(name, checkpoint.call))

    def _own_loss(self, checkpoint: Checkpoint) -> bool:
        if checkpoint.name == "denominator":
            return True
        if checkpoint.name == "penalty":
            return not self._parameters_bad()
        if checkpoint.name == "total" and self._bad("loss"):
            return False
        return not (self._bad("forward") or self._parameters_bad())

    def _own_backward(self, checkpoint: Checkpoint) -> bool:
        name = checkpoint.name
        if name == "penalty":
            return not self._parameters_bad()
        if name == "loss":
            return not (self._bad("forward") or self._parameters_bad())
        if checkpoint.output.startswith("output"):
            return not (self._bad("backward") or self._bad("forward") or self._parameters_bad())
        return not (
            self._bad("backward", name)
            or self._bad("forward", name)
            or self._inputs_bad(name, checkpoint.call)
            or self._parameters_bad(name)
        )

    def _own_deposit(self, checkpoint: Checkpoint) -> bool:
        path = owner_of(checkpoint.name)
        observed = any(n == path for _, n, _ in self._agreed | self._batch)
        return not (
            self._bad("backward", path if observed else None)
            or ("backward", "penalty", f"input.{checkpoint.name}") in self._batch
            or self._bad("forward", path)
            or self._inputs_bad(path, 0)
            or self._parameters_bad(path if observed else "")
        )

    def _own_accumulated(self, checkpoint: Checkpoint) -> bool:
        name = checkpoint.name
        if ("accumulated", name) in self._step or ("deposit", name) in self._step:
            return False
        if ("deposit", name, "") in self._agreed:
            return True
        return not (self._parameters_bad() or any(self._bad(phase) for phase in ("forward", "backward")))

    def _own_clip(self, checkpoint: Checkpoint) -> bool:
        if checkpoint.name == "total_norm":
            return not any(phase == "accumulated" for phase, _ in self._step)
        return not {("accumulated", checkpoint.name), ("clip", "total_norm")} & self._step

    def _own_slots(self, checkpoint: Checkpoint) -> bool:
        name = checkpoint.name
        if {("accumulated", name), ("clip", name)} & self._step:
            return False
        return not (
            {("slots", name), ("parameter", name)} & self._carried
            or any(phase == "schedule" for phase, _ in self._carried)
        )

    def _own_update(self, checkpoint: Checkpoint) -> bool:
        return ("slots", checkpoint.name) not in self._step and self._own_slots(checkpoint)

    def _own_parameter(self, checkpoint: Checkpoint) -> bool:
        name = checkpoint.name
        return ("update", name) not in self._step and ("parameter", name) not in self._carried

    def _own_buffer(self, checkpoint: Checkpoint) -> bool:
        return ("buffer", checkpoint.name) not in self._carried and not any(p == "forward" for p, _ in self._step)

    def _own_schedule(self, checkpoint: Checkpoint) -> bool:
        return ("schedule", checkpoint.name) not in self._carried

    # -- the culprit -------------------------------------------------------------------------------------------------

    def _culprit(self, checkpoint: Checkpoint) -> str:
        phase, name = checkpoint.phase, checkpoint.name
        if phase == "init":
            return "initial values"
        if phase == "loss":
            return "penalty" if name == "penalty" else "loss"
        if phase in ("forward", "buffer", "deposit"):
            return (name or MODEL) if phase == "forward" else owner_of(name)
        if phase == "backward":
            return self._backward_culprit(checkpoint)
        if phase == "accumulated":
            seen = any(p == "deposit" and n == name for p, n, _ in self._agreed | self._batch)
            return "accumulation" if seen or (checkpoint.micro_batch or 1) > 1 else owner_of(name)
        return {"clip": "clip", "schedule": "scheduler"}.get(phase, "optimizer")

    def _backward_culprit(self, checkpoint: Checkpoint) -> str:
        name = checkpoint.name
        if checkpoint.output.startswith("input") or self.isolated:
            return name or MODEL
        consumer = self._consumer(name, checkpoint.call)
        if consumer is None:
            return "loss"
        shown = any(
            p == "backward" and n == consumer and k.startswith("input") for p, n, k in self._agreed | self._batch
        )
        if shown:  # every share was right, their sum is not: the glue of the module that holds both
            return name.rpartition(".")[0] or MODEL
        return consumer

    def _consumer(self, name: str, call: int) -> str | None:
        """The leaf module that runs next after a module, ``None`` if the loss does."""
        order = [(path, number) for path, number, _ in getattr(self._expected, "activations", {})]
        leaves = [
            key
            for key in order
            if not any(p != key[0] and (p.startswith(f"{key[0]}.") or not key[0]) for p, _ in order)
        ]
        last = max(
            (i for i, (p, c) in enumerate(leaves) if (p == name and c == call) or _inside(p, name)), default=None
        )
        if last is None or last + 1 >= len(leaves):
            return None
        return leaves[last + 1][0]


def _inside(path: str, container: str) -> bool:
    return not container or path.startswith(f"{container}.")


def _near(actual: Any, expected: Any) -> bool:
    """Whether two recorded inputs are the same up to rounding: a thousandth of what a planted mistake leaves."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        return False
    if expected.dtype.kind != "f" or not expected.size:
        return bool(np.array_equal(actual, expected))
    known = np.isfinite(expected)
    if not np.array_equal(actual[~known], expected[~known], equal_nan=True):
        return False
    actual, expected = actual[known], expected[known]
    bound = 2.0**10 * float(np.finfo(expected.dtype).eps) * float(np.max(np.abs(expected), initial=0.0))
    return bool(np.max(np.abs(actual - expected), initial=0.0) <= bound)
