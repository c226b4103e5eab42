"""What the reference computed, op by op: where a value came from, and what it was made of.

A micro-batch is replayed on a fresh reference under a dispatch mode that keeps every op with its operands and results.
Nothing is known here about modules or names; a user's function in torch operations is traced just as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence

__all__ = ["VIEWS", "Maker", "Op", "Replayed", "as_array", "makers", "replayed"]

_MOST_BYTES = 256 * 2**20
"""The most that a trace keeps; ops beyond it are not looked at."""

VIEWS = {"t", "transpose", "permute", "view", "reshape", "_unsafe_view", "_reshape_alias", "expand", "squeeze"}
VIEWS |= {"unsqueeze", "select", "slice", "unbind", "split", "detach", "alias", "clone", "contiguous", "lift_fresh"}
"""Ops that make nothing new."""


class Op(NamedTuple):
    """One op: its name without namespace and overload, copies of its operands and results, and itself, to run again.

    ``backward`` tells whether autograd ran it.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outs: tuple[Any, ...]
    backward: bool
    function: Callable[..., Any]


class Replayed(NamedTuple):
    """One micro-batch of the reference: every op in order of execution, and every checkpoint that it showed."""

    ops: list[Op]
    found: dict[Checkpoint, np.ndarray]


class Maker(NamedTuple):
    """An op that made a checkpoint's value, as the result at ``place``, ``out``.

    ``shaped`` brings another result of such an op (a NumPy array) into the checkpoint's shape, micro-batch weight
    included.
    """

    op: Op
    place: int
    out: np.ndarray
    shaped: Callable[[np.ndarray], np.ndarray]


def replayed(evidence: Evidence, micro_batch: int | None = None) -> Replayed:
    """Replay a micro-batch of the diverging step, by default that of the divergence; done once per evidence."""
    index = micro_batch or evidence.checkpoint.micro_batch or len(evidence.step.micro_batches)
    key = ("replayed", index)
    if key not in evidence.memory:
        ops: list[Op] = []
        found = evidence.replay(lambda side: _keeping(ops), micro_batch=index)
        evidence.memory[key] = Replayed(ops, found)
    kept: Replayed = evidence.memory[key]
    return kept


def makers(evidence: Evidence, key: Checkpoint, expected: np.ndarray) -> Iterator[Maker]:
    """The ops whose result is the given part of a gradient, up to shape, transposition and the micro-batch's weight."""
    if expected.dtype.kind != "f" or not np.any(expected) or key.micro_batch is None:
        return
    weight = 1.0 if key.phase == "backward" else evidence.step.weights[key.micro_batch - 1]
    tolerance = 8 * float(np.finfo(expected.dtype).eps) * float(np.max(np.abs(expected)))
    for op in replayed(evidence, key.micro_batch).ops:
        if op.name in VIEWS:
            continue
        for place, out in enumerate(op.outs):
            value = as_array(out)
            if value is None or value.size != expected.size:
                continue
            for shaped in _shapings(value, expected, weight):
                if np.max(np.abs(shaped(value) - expected), initial=0.0) <= tolerance:
                    yield Maker(op, place, value, shaped)
                    break


def as_array(value: Any) -> np.ndarray | None:
    """A floating tensor's elements, in float32 where NumPy lacks the dtype; ``None`` for anything else."""
    if not hasattr(value, "numel") or not value.is_floating_point():
        return None
    return np.asarray(value.float().numpy() if value.element_size() < 4 else value.numpy())


def _shapings(value: np.ndarray, expected: np.ndarray, weight: float) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    shape, share = expected.shape, np.asarray(weight, expected.dtype)
    if np.squeeze(value).shape == np.squeeze(expected).shape:
        yield lambda other: other.reshape(shape) * share
    if value.ndim == 2 and value.T.shape == shape:
        yield lambda other: other.T * share


def _keeping(ops: list[Op]) -> AbstractContextManager[Any]:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    task = getattr(torch._C, "_current_graph_task_id", lambda: -1)

    class Keeping(TorchDispatchMode):
        kept = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if self.kept > _MOST_BYTES:
                return func(*args, **kwargs)
            operands = self.copied(args)
            options = {key: self.copied(value) for key, value in kwargs.items()}
            result = func(*args, **kwargs)
            outs = self.copied(result if isinstance(result, (tuple, list)) else (result,))
            ops.append(Op(func._schema.name.partition("::")[2], operands, options, tuple(outs), task() >= 0, func))
            return result

        def copied(self, value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                self.kept += value.numel() * value.element_size()
                return value.detach().clone()
            if isinstance(value, (tuple, list)):
                return type(value)([self.copied(item) for item in value])
            return value

    return Keeping()
