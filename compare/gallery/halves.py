"""The two halves of a step of gradient descent, as the lockstep sees them: accumulation, and one simultaneous move.

A line through twenty patients of the diabetes data has two parameters, so that gradients and steps can be drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import manual.classic
import torch_ref.classic
from compare.batches import MicroBatch, cut
from compare.checkpoint import Checkpoint
from compare.experiment import Setting
from compare.experiments.datasets import load, standardise
from compare.experiments.descent import InTurnSide, MeanOfMeans
from compare.experiments.pairs import Recipe, classic_pair
from compare.lockstep import lockstep
from compare.verdict import Verdict
from manual.training import ClassicSide

__all__ = ["NAMES", "RATE", "SIZES", "Halves", "Seen", "halves"]

NAMES = ("linear.weight", "linear.bias")
SIZES = (9, 9, 2)
RATE = 0.6
STEPS = 4
_START = {"linear.weight": np.array([[-1.4]]), "linear.bias": np.array([1.6])}
_PROMISES = ("init", "forward", "loss", "deposit", "accumulated", "update", "parameter", "schedule")


@dataclass
class Seen:
    """One walk: its verdict, and both sides' values at each checkpoint of three phases.

    Attributes
    ----------
    values : dict of (phase, step, micro-batch) to two arrays of two numbers, weight and bias: actual, expected
    """

    values: dict[tuple[str, int, int | None], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    verdict: Verdict | None = None

    def begin_step(self, number: int, micro_batches: Sequence[MicroBatch], expected: Any) -> None:
        """Told by the walk."""

    def pair(self, checkpoint: Checkpoint, actual: Any, expected: Any, room: float, agrees: bool) -> None:
        """Told by the walk of every pair that it compares."""
        phase = "parameter" if checkpoint.phase == "init" else checkpoint.phase
        if phase in ("deposit", "accumulated", "parameter"):
            place = (phase, checkpoint.step, checkpoint.micro_batch)
            both = self.values.setdefault(place, (np.zeros(2), np.zeros(2)))
            for side, value in zip(both, (actual, expected), strict=True):
                side[NAMES.index(checkpoint.name)] = float(np.ravel(value)[0])

    def points(self, phase: str, side: int, *, step: int | None = None) -> np.ndarray:
        """The values of one phase in the order of execution, of side 0 (actual) or 1 (expected): rows of two."""
        return np.array([v[side] for (p, s, _), v in self.values.items() if p == phase and step in (None, s)])


@dataclass(frozen=True)
class Halves:
    """The walks of the lesson.

    Attributes
    ----------
    cut, whole : the batch in micro-batches, and in one piece
    means : every micro-batch weighs the same in the manual side: a mistake
    in_turn : the manual side moves one parameter after the other: a mistake
    """

    x: np.ndarray
    y: np.ndarray
    cut: Seen
    whole: Seen
    means: Seen
    in_turn: Seen

    def cost(self, weight: Any, bias: Any) -> np.ndarray:
        """Half the mean squared error, over a grid of weights and biases."""
        error = np.multiply.outer(weight, self.x[:, 0]) + np.asarray(bias)[..., None] - self.y
        return np.asarray((error**2).mean(-1) / 2)

    @property
    def lowest(self) -> np.ndarray:
        """The weight and bias of least squares."""
        columns = np.column_stack([self.x[:, 0], np.ones(len(self.x))])
        return np.asarray(np.linalg.lstsq(columns, self.y, rcond=None)[0])


def halves(**options: Any) -> Halves:
    """Walk the batch cut and whole, and with both mistakes; ``options`` are those of ``lockstep``."""
    data = load("diabetes")
    rows = sum(SIZES)
    column = data.x[:rows, [data.feature_names.index("bmi")]]
    x = standardise(column, column.mean(0), column.std(0)) + 0.5  # of mean zero, neither parameter would feel the other
    y = (data.y[:rows] - data.y[:rows].mean()) / data.y[:rows].std()

    def pair(side: Any = ClassicSide) -> tuple[Callable[[], Any], Callable[[], Any]]:
        return classic_pair(
            lambda: manual.classic.LinearRegression(1, dtype=np.float64),
            lambda: torch_ref.classic.LinearRegression(1, dtype=torch.float64),
            Recipe(("SGD", {"lr": RATE})),
            Setting(),
            subtracted=lambda output, target: output.abs() + target.reshape(output.shape).abs(),
            initial=_START,
            side=side,
        )

    def walked(sizes: Sequence[int], sides: tuple[Callable[[], Any], Callable[[], Any]]) -> Seen:
        seen = Seen()
        steps = [cut(x, y, sizes)] * STEPS
        seen.verdict = lockstep(*sides, steps, promises=_PROMISES, observer=seen, **options)
        return seen

    actual, expected = pair()
    return Halves(
        x,
        y,
        cut=walked(SIZES, (actual, expected)),
        whole=walked([rows], (actual, expected)),
        means=walked(SIZES, (lambda: MeanOfMeans(actual(), len(SIZES)), expected)),
        in_turn=walked(SIZES, pair(InTurnSide)),
    )
