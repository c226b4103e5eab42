"""A descent as a training step on either side, and what the lockstep sees of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import manual.models
import manual.nn
import manual.optim
import manual.training
import torch_ref.models
import torch_ref.training
from compare.batches import MicroBatch
from compare.checkpoint import Checkpoint
from compare.experiments.pairs import Recipe
from compare.gallery.surfaces import Surface

__all__ = ["PROMISES", "Path", "sides", "steps_of"]

PROMISES = ("init", "loss", "deposit", "accumulated", "update", "parameter", "schedule")
"""What must say something: all but the gradient that comes into a surface, which is always one."""


class Path:
    """Follows a walk: where each side stands after every step, and when the two are no longer in one place.

    Attributes
    ----------
    actual, expected : lists of arrays of two numbers, the start and then one for each step
    leaves : int or None
        The first step after which the sides stand apart.
    """

    def __init__(self) -> None:
        self.actual: list[np.ndarray] = []
        self.expected: list[np.ndarray] = []
        self.leaves: int | None = None

    def begin_step(self, number: int, micro_batches: Sequence[MicroBatch], expected: Any) -> None:
        """Told by the walk."""

    def pair(self, checkpoint: Checkpoint, actual: Any, expected: Any, room: float, agrees: bool) -> None:
        """Told by the walk of every pair that it compares."""
        if checkpoint.phase in ("init", "parameter"):
            self.actual.append(np.array(actual).ravel())
            self.expected.append(np.array(expected).ravel())
        if checkpoint.phase in ("update", "parameter") and not agrees and self.leaves is None:
            self.leaves = checkpoint.step


def steps_of(surface: Surface) -> list[list[MicroBatch]]:
    """One micro-batch a step: the coefficients."""
    return [[((np.array(surface.coefficients), None), 1.0)]] * surface.steps


def sides(surface: Surface, recipe: Recipe) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Factories of the manual and the PyTorch side of a descent in float64."""
    start = np.array([surface.start])

    def actual() -> Any:
        module = surface.make(manual.models).to(np.float64)
        module.load_state_dict({"point": start.copy()})
        optimizer = recipe.make_optimizer(manual, module.parameters())
        return manual.training.Side(module, optimizer, _Height(), recipe.make_scheduler(manual, optimizer))

    def expected() -> Any:
        module = surface.make(torch_ref.models).double()
        module.load_state_dict({"point": torch.from_numpy(start)})
        optimizer = recipe.make_optimizer(torch, module.parameters())
        scheduler = recipe.make_scheduler(torch, optimizer)
        return torch_ref.training.Side(module, optimizer, _height, scheduler, denominator=lambda output, target: 1.0)

    return actual, expected


class _Height(manual.nn.Module):
    """The loss of a descent is the height itself."""

    def forward(self, output: Any, target: None) -> Any:
        return output

    def denominator(self, output: Any, target: None) -> float:
        return 1.0


def _height(output: torch.Tensor, target: Any) -> torch.Tensor:
    return output
