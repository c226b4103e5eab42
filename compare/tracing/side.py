"""A trace as one side of a walk: it computes nothing, and shows what was recorded, micro-batch by micro-batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from compare.batches import InputError
from compare.side import Key
from compare.tracing.reader import Reader, Step, place_text

__all__ = ["TraceSide"]

_NEEDED = ("init", "accumulated", "parameter")


class TraceSide:
    """A recorded run as a side (:mod:`compare.side`), so that it is judged and diagnosed against a live reference.

    Its arrays have the shapes of the recording.
    ``accumulate`` and ``step`` read on; whatever micro-batch they are given, the recorded one is shown. The walk must
    have the steps and micro-batches of the recording. The trace must have the phases ``init``, ``accumulated`` and
    ``parameter``.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    InputError
        If the trace cannot be read or lacks one of those phases; by ``accumulate`` and ``step`` where it has ended.

    Examples
    --------
    >>> import tempfile, torch, torch_ref, numpy as np, compare
    >>> from compare.tracing.recording import record_side
    >>> from compare.batches import cut
    >>> def reference():
    ...     module = torch.nn.Linear(2, 1)
    ...     torch.nn.init.ones_(module.weight), torch.nn.init.zeros_(module.bias)
    ...     return torch_ref.Side(module, torch.optim.SGD(module.parameters(), lr=0.1), torch.nn.MSELoss())
    >>> batches = [(np.float32([[1, 2], [3, 5]]), np.float32([[1], [0]]))] * 3
    >>> folder = tempfile.mkdtemp()
    >>> record_side(reference, [cut(x, y) for x, y in batches], folder)
    >>> compare.training(TraceSide(folder), reference(), batches).outcome == "equivalent"
    True
    """

    recorded = True  # it computes nothing: other inputs or another dtype would change nothing

    def __init__(self, path: str | os.PathLike[str]):
        self.path = path
        self._reader = Reader(path)
        self._steps: Iterator[Step] = self._reader.steps()
        self._step: Step | None = None
        self._index = 0
        self._ended = False
        self.parameters: dict[str, np.ndarray] = {}
        self.gradients: dict[str, np.ndarray | None] = {}
        self.activations: dict[Key, np.ndarray] | None = None
        self.activation_gradients: dict[Key, np.ndarray] | None = None
        self.deposits: dict[str, np.ndarray] | None = None
        self.slots: dict[str, dict[str, np.ndarray]] | None = None
        self.buffers: dict[str, np.ndarray] | None = None
        self.learning_rate: list[float] | None = None
        self.scheduled_momentum: list[float] | None = None
        self.total_norm: float | None = None
        first = next(self._steps, None)
        if first is None or first.number:
            raise InputError(f"the trace {path} has no initial values (phase init), which a walk starts from")
        self._move_to(first)
        known = {name for name, _, _ in first.moments.get((None, "init"), {})}
        following = next(self._steps, None)
        if following is not None:
            known &= {name for name, _, _ in following.moments.get((None, "parameter"), {})} or known
        initial = self._arrays((None, "init"))
        held = set() if following is None else {n for n, _, _ in following.moments.get((None, "buffer"), {})}
        self.parameters = {name: value for (name, _, _), value in initial.items() if name in known and name not in held}
        if held:
            self.buffers = {name: value for (name, _, _), value in initial.items() if name in held}
        self.gradients = dict.fromkeys(self.parameters)
        self._next = following

    def __deepcopy__(self, memo: Any) -> TraceSide:
        """The same trace from its beginning."""
        return TraceSide(self.path)

    def zero_grad(self) -> None:
        """Go to the next step."""
        step = self._next
        if step is None:
            raise InputError(f"the trace {self.path} {self._end()}: it has no further step; walk as many as it has")
        self._next = next(self._steps, None)
        self._move_to(step)
        self.gradients = dict.fromkeys(self.parameters)

    def accumulate(self, micro_batch: Any, weight: float) -> dict[str, float]:
        """Show the next micro-batch; returns the recorded loss terms."""
        assert self._step is not None
        self._index += 1
        if self._index > self._step.micro_batches:
            raise InputError(
                f"the trace {self.path} has {self._step.micro_batches} micro-batches in step {self._step.number}, and "
                f"the walk asks for number {self._index}; cut the batch as the recording does"
            )
        if self._step.cut and (self._index, "accumulated") not in self._step.moments:
            raise InputError(f"the trace {self.path} {self._end()}; walk as many steps as it has whole")
        index = self._index
        recorded = self._step.weights.get(index)
        if recorded is not None and abs(recorded - weight) > 1e-6:
            raise InputError(
                f"the trace {self.path} gives micro-batch {index} of step {self._step.number} the weight {recorded:g}, "
                f"and the walk {weight:g}; cut the batch as the recording does"
            )
        accumulated = self._arrays((index, "accumulated"))
        if not accumulated:
            raise InputError(f"the trace {self.path} has no accumulated gradients in step {self._step.number}")
        self.activations = self._arrays((index, "forward")) or None
        self.activation_gradients = self._arrays((index, "backward")) or None
        self.deposits = {name: value for (name, _, _), value in self._arrays((index, "deposit")).items()} or None
        self.gradients = {
            **dict.fromkeys(self.parameters),
            **{name: value for (name, _, _), value in accumulated.items()},
        }
        terms = self._arrays((index, "loss"))
        return {name: float(value) for (name, _, _), value in terms.items() if value.size == 1}

    def step(self) -> None:
        """Show the end of the step."""
        assert self._step is not None
        if self._index != self._step.micro_batches:
            raise InputError(
                f"the trace {self.path} has {self._step.micro_batches} micro-batches in step {self._step.number}, and "
                f"the walk has {self._index}; cut the batch as the recording does"
            )
        clip = self._arrays((None, "clip"))
        norm = clip.pop(("total_norm", 0, ""), None)
        self.total_norm = None if norm is None else float(norm)
        self.gradients.update({name: value for (name, _, _), value in clip.items()})
        slots = self._arrays((None, "slots"))
        if slots:
            self.slots = {}
            for (name, _, slot), value in slots.items():
                self.slots.setdefault(name, {})[slot] = value
        parameters = {name: value for (name, _, _), value in self._arrays((None, "parameter")).items()}
        missing = [name for name in self.parameters if name not in parameters]
        if missing:
            raise InputError(
                f"the trace {self.path} has no value of {missing[0]!r} after step {self._step.number} (phase parameter)"
            )
        self.parameters = {name: parameters[name] for name in self.parameters}
        buffers = self._arrays((None, "buffer"))
        if buffers:
            self.buffers = {name: value for (name, _, _), value in buffers.items()}
        rates = {name: float(value) for (name, _, _), value in self._arrays((None, "schedule")).items()}
        self.learning_rate = [rate for name, rate in rates.items() if not name.endswith(" momentum")] or None
        self.scheduled_momentum = [rate for name, rate in rates.items() if name.endswith(" momentum")] or None

    def _move_to(self, step: Step) -> None:
        self._step, self._index = step, 0
        self.activations = self.activation_gradients = self.deposits = None

    def _arrays(self, moment: Any) -> dict[Key, np.ndarray]:
        assert self._step is not None
        return {key: entry.array() for key, entry in self._step.moments.get(moment, {}).items()}

    def _end(self) -> str:
        end = self._reader.end
        return f"ends after {place_text(*end)}" if end else "is empty"
