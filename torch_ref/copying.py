"""Copies of a side: module, optimizer and schedule together, and hooks of its own."""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch

from torch_ref.recording import Recorder
from torch_ref.training import Side

__all__ = ["copy_side"]


def copy_side(side: Side) -> Side:
    """An independent side in the same state, without gradients; the original stays as it is.

    Functions are shared, not copied: a penalty, clip, loss or denominator that reaches the module from outside still
    reaches the original.

    Shapes: those of the side. Raises a ``TypeError`` if something in it cannot be copied.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> side = torch_ref.Side(model, torch.optim.SGD(model.parameters(), lr=0.5), torch.nn.MSELoss())
    >>> twin = torch_ref.copying.copy_side(side)
    >>> _ = torch_ref.training.training_step(side, [((torch.tensor([[2.0]]), torch.tensor([[5.0]])), 1.0)])
    >>> side.parameters["weight"], twin.parameters["weight"]
    (array([[7.]], dtype=float32), array([[1.]], dtype=float32))
    """
    recorder = side._recorder
    if recorder:  # its hooks would be copied along, and report to the original
        recorder.remove()
    memo: dict[int, Any] = {}
    try:
        module = copy.deepcopy(side.module, memo)
        optimizer = _copied(side.optimizer, memo)
        loss, scheduler, clip, penalty, denominator, subtracted = copy.deepcopy(
            (side.loss, side.scheduler, side.clip, side.penalty, side.denominator, side.subtracted), memo
        )
    finally:
        if recorder:
            side._recorder = Recorder(side.module, side._record, side._draw)
    made = Side(
        module,
        optimizer,
        loss,
        scheduler,
        clip,
        penalty=penalty,
        denominator=denominator,
        subtracted=subtracted,
        of_logits=side.of_logits,
        observe=recorder is not None,
    )
    made._random_state = None if side._random_state is None else side._random_state.clone()
    return made


def _copied(optimizer: torch.optim.Optimizer, memo: dict[int, Any]) -> torch.optim.Optimizer:
    """Copy an optimizer with all its attributes; ``Optimizer`` itself would keep three of them.

    A schedule has replaced its ``step`` by a wrapper that calls the original's; the copy gets one of its own.
    """
    made: Any = object.__new__(type(optimizer))
    memo[id(optimizer)] = made
    attributes = {name: value for name, value in vars(optimizer).items() if name != "step"}
    made.__dict__.update(copy.deepcopy(attributes, memo))
    if "step" in vars(optimizer):
        plain = made.step

        @functools.wraps(plain.__func__)
        def step(*args: Any, **kwargs: Any) -> Any:
            made._opt_called = True
            return plain(*args, **kwargs)

        step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
        made.step = step
    return made
