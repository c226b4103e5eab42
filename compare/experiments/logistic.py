"""``logistic-regression``, and a path of lambda from none to very large: ``logistic-regression-l2``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

import manual.classic
import torch_ref.classic
from compare.experiment import Claim, Scenario, Setting, Study, Table
from compare.experiments.datasets import load, split, standardise
from compare.experiments.pairs import Recipe, classic_pair, steps_of
from compare.verdict import Verdict

__all__ = ["logistic_regression", "logistic_regression_l2"]

PHASES = ("init", "forward", "loss", "backward", "deposit", "accumulated", "update", "parameter", "schedule")
LAMBDAS = (0.0, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)


def logistic_regression(setting: Setting) -> Study:
    """Plain gradient descent on breast cancer, with a rate that falls."""
    train, held_out = _data()
    steps = steps_of(train[0], train[1], 120, 3, setting)
    recipe = Recipe(("SGD", {"lr": 1.0}), ("ExponentialLR", {"gamma": 0.99}))
    scenario = _scenario("plain", 0.0, recipe, train, steps, setting, PHASES)

    def lesson(verdicts: Mapping[str, Verdict]) -> tuple[list[Claim], list[Table]]:
        rows = [_row("plain", 0.0, verdicts["plain"], train, held_out)]
        claims = []
        if setting.as_designed:
            claims.append(Claim("nine rows in ten that were held out are told apart", rows[0][5], 0.9, relation=">="))
        return claims, [Table("Logistic regression on breast cancer", HEADERS, rows)]

    return Study([scenario], lesson=lesson)


HEADERS = [
    "scenario",
    "C = 1/lambda",
    "training loss",
    "held-out loss",
    "training accuracy",
    "held-out accuracy",
    "|w|",
]


def logistic_regression_l2(setting: Setting) -> Study:
    """One scenario a lambda: with none the model overfits, with very much nothing is learned."""
    train, held_out = _data()
    steps = steps_of(train[0], train[1], 150, 3, setting)
    recipe = Recipe(("Adam", {"lr": 0.2, "betas": (0.8, 0.95)}), ("StepLR", {"step_size": 100, "gamma": 0.1}))
    phases = (*PHASES, "slots")
    # by step: Adam divides what is left of a gradient by its own size, so that on its own each side's rounding grows
    scenarios = [
        replace(_scenario(f"lambda={strength:g}", strength, recipe, train, steps, setting, phases), sync="step")
        for strength in LAMBDAS
    ]

    def lesson(verdicts: Mapping[str, Verdict]) -> tuple[list[Claim], list[Table]]:
        names = [f"lambda={strength:g}" for strength in LAMBDAS]
        rows = [_row(n, strength, verdicts[n], train, held_out) for n, strength in zip(names, LAMBDAS, strict=True)]
        table = Table("A path of lambda (losses without the penalty)", HEADERS, rows)
        claims = []
        if setting.as_designed:
            training = [row[2] for row in rows]
            unseen = [row[3] for row in rows]
            claims = [
                Claim("training loss grows with lambda: the least growth", min(np.diff(training)), 0.0, relation=">="),
                Claim(
                    "overfitting: without penalty the held-out loss is above the best",
                    unseen[0],
                    1.2 * min(unseen),
                    relation=">=",
                ),
                Claim(
                    "underfitting: with the largest penalty it is above the best",
                    unseen[-1],
                    2 * min(unseen),
                    relation=">=",
                ),
            ]
        return claims, [table]

    return Study(scenarios, lesson=lesson)


def _data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    train, held_out = split(load("breast-cancer"), 0.4, 0)
    mean, std = train.x.mean(0), train.x.std(0)
    return (standardise(train.x, mean, std), train.y), (standardise(held_out.x, mean, std), held_out.y)


def _scenario(name, lambda_, recipe, train, steps, setting, phases) -> Scenario:  # type: ignore[no-untyped-def]
    rows, columns = train[0].shape
    options: dict[str, Any] = {"lambda_": lambda_, "rows": rows}
    actual, expected = classic_pair(
        partial(manual.classic.LogisticRegression, columns, dtype=setting.numpy_dtype, **options),
        partial(torch_ref.classic.LogisticRegression, columns, dtype=getattr(torch, setting.dtype), **options),
        recipe,
        setting,
        of_logits=True,
    )
    return Scenario(name, actual, expected, steps, promises=phases)


def _row(name, lambda_, verdict, train, held_out) -> list:  # type: ignore[no-untyped-def]
    model = verdict.sides[0].model
    losses = [model.evaluate(x.astype(model.dtype), y).loss["data"] for x, y in (train, held_out)]
    accuracies = [model.accuracy(x.astype(model.dtype), y) for x, y in (train, held_out)]
    length = float(np.linalg.norm(model.parameters["linear.weight"]))
    return [name, float("inf") if not lambda_ else 1 / lambda_, *map(float, losses), *accuracies, length]
