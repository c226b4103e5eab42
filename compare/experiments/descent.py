"""The two halves of gradient descent: ``gradient-accumulation`` over a batch, and one ``simultaneous-update``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

import manual
import manual.classic
import manual.models
import torch_ref.classic
import torch_ref.models
from compare.batches import MicroBatch
from compare.experiment import Claim, Contrast, Must, Scenario, Setting, Study, Table
from compare.experiments.pairs import Recipe, classic_pair, module_pair, steps_of
from compare.experiments.regression import standardised
from compare.verdict import Verdict
from manual.training import ClassicSide

__all__ = ["InTurnSide", "falling_rate", "gradient_accumulation", "simultaneous_update"]

PHASES = ("init", "forward", "loss", "backward", "deposit", "accumulated", "update", "parameter", "schedule")


class InTurnSide(ClassicSide):
    """A planted mistake: the parameters are updated one after the other.

    Each gradient is taken when its parameter's turn comes, at parameters of which the earlier ones have already moved.
    """

    def zero_grad(self) -> None:
        super().zero_grad()
        self._batch: list[MicroBatch] = []

    def accumulate(self, micro_batch: tuple[Any, Any], weight: float) -> dict[str, float]:
        self._batch.append((micro_batch, weight))
        return super().accumulate(micro_batch, weight)

    def update(self, closure: Callable[[], Any] | None = None) -> None:
        held = self.gradients
        for name, parameter in self._named.items():
            for other in self._named.values():
                other.grad = None
            parameter.grad = sum(weight * self.model.evaluate(*batch).gradients[name] for batch, weight in self._batch)
            self.optimizer.step()
        for name, parameter in self._named.items():
            parameter.grad = held[name]


def falling_rate(step: int) -> float:
    """The factor of the rate after so many steps."""
    return 1 / (1 + 0.05 * step)


def _linear(setting: Setting, side: Any = ClassicSide) -> tuple[Callable[[], Any], Callable[[], Any]]:
    return classic_pair(
        partial(manual.classic.LinearRegression, 10, dtype=setting.numpy_dtype),
        partial(torch_ref.classic.LinearRegression, 10, dtype=getattr(torch, setting.dtype)),
        Recipe(("SGD", {"lr": 0.1}), ("LambdaLR", {"lr_lambda": falling_rate})),
        setting,
        subtracted=lambda output, target: output.abs() + target.reshape(output.shape).abs(),
        side=side,
    )


def simultaneous_update(setting: Setting) -> Study:
    """Gradient descent as it is meant, and with every parameter updated before the next gradient is taken."""
    x, y, _ = standardised("diabetes")
    x = x[:, ::-1] + 0.5  # columns of mean zero would hide the mistake: the bias would not act on the weights
    steps = steps_of(x, y, 20, 3, setting)
    simultaneous = Scenario("simultaneous", *_linear(setting), steps, promises=PHASES)
    in_turn = Scenario("one after the other", *_linear(setting, InTurnSide), steps, promises=PHASES)
    contrast = Contrast(
        in_turn,
        Must("update", 1, name="linear.bias", culprit="optimizer"),
        "the bias is updated with a gradient taken after the weights have moved",
    )

    def lesson(verdicts: Mapping[str, Verdict]) -> tuple[list[Claim], list[Table]]:
        right = manual.classic.LinearRegression(10)
        wrong = manual.classic.LinearRegression(10)
        costs = [
            manual.classic.gradient_descent(right, x, y, 0.1, 5),
            manual.classic.gradient_descent(wrong, x, y, 0.1, 5, manual.classic.update_in_turn),
        ]
        rows = [[step, *pair] for step, pair in enumerate(zip(*costs, strict=True))]
        return [], [Table("Both go downhill, which is why nobody notices", ["step", "simultaneous", "in turn"], rows)]

    return Study([simultaneous], [contrast], lesson)


def gradient_accumulation(setting: Setting) -> Study:
    """One gradient, however the batch is cut; unless a short tail is weighted like the others."""
    x, y, _ = standardised("diabetes")
    rows = len(y)
    cuts = {"full batch": [rows], "equal micro-batches": [rows // 2] * 2, "unequal, short tail": [200, 200, rows - 400]}
    recipe = Recipe(("SGD", {"lr": 0.05, "momentum": 0.5}), ("StepLR", {"step_size": 5, "gamma": 0.5}))
    targets = ((y - y.mean()) / y.std())[:, None]

    def pair() -> tuple[Callable[[], Any], Callable[[], Any]]:
        sizes = (10, 6, 1)
        return module_pair(
            lambda: manual.models.MLP(sizes, manual.nn.Tanh),
            lambda: torch_ref.models.MLP(sizes, torch.nn.Tanh),
            manual.nn.MSELoss,
            torch.nn.MSELoss,
            recipe,
            setting,
        )

    phases = (*PHASES, "slots")
    scenarios = [
        Scenario(name, *pair(), steps_of(x, targets, 12, sizes, setting), promises=phases)
        for name, sizes in cuts.items()
    ]
    actual, expected = pair()
    tail = steps_of(x, targets, 12, cuts["unequal, short tail"], setting)
    mean_of_means = Scenario(
        "mean of means", lambda: MeanOfMeans(actual(), len(tail[0])), expected, tail, promises=phases
    )
    contrast = Contrast(
        mean_of_means,
        Must("deposit", 1, micro_batch=1, culprit="accumulation"),
        "every micro-batch weighs 1/K, whatever its number of rows",
    )

    def lesson(verdicts: Mapping[str, Verdict]) -> tuple[list[Claim], list[Table]]:
        ends = {name: verdict.sides[0].parameters for name, verdict in verdicts.items() if verdict.sides}
        claims = []
        if setting.micro_batches is None:
            whole = ends["full batch"]
            bound = 1e-12 if setting.dtype == "float64" else 1e-4
            for name in list(cuts)[1:]:
                gap = max(float(np.abs(ends[name][p] - whole[p]).max() / np.abs(whole[p]).max()) for p in whole)
                claims.append(Claim(f"{name}: training ends where the full batch ends", gap, 0.0, bound))
        weights = [
            [name, " + ".join(map(str, sizes)), " + ".join(f"{s / rows:.4f}" for s in sizes)]
            for name, sizes in cuts.items()
        ]
        return claims, [Table("A micro-batch's weight is its share of the rows", ["cut", "rows", "weights"], weights)]

    return Study(scenarios, [contrast], lesson)


class MeanOfMeans:
    """A planted mistake: a side whose micro-batches all weigh the same."""

    def __init__(self, side: Any, micro_batches: int):
        self._side = side
        self._share = 1 / micro_batches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._side, name)

    def accumulate(self, micro_batch: Any, weight: float) -> Any:
        return self._side.accumulate(micro_batch, self._share)
