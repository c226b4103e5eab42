"""``linear-regression`` and ``ridge-regression``: gradient descent reaches what the normal equations solve."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

import manual.classic
import torch_ref.classic
from compare.experiment import Claim, Scenario, Setting, Study, Table
from compare.experiments.datasets import load, standardise
from compare.experiments.pairs import Recipe, classic_pair, steps_of
from compare.verdict import Verdict

__all__ = ["linear_regression", "ridge_regression", "standardised"]

PHASES = ("init", "forward", "loss", "backward", "deposit", "accumulated", "slots", "update", "parameter", "schedule")


def standardised(name: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """A data set with columns of mean 0 and standard deviation 1."""
    data = load(name)
    return standardise(data.x, data.x.mean(0), data.x.std(0)), data.y, data.feature_names


def linear_regression(setting: Setting) -> Study:
    """Least squares on diabetes, in the course's convention and in torch's."""
    return _study(setting, {"course": 0.0, "torch": 0.0})


def ridge_regression(setting: Setting) -> Study:
    """The same with a penalty on the weights, none on the intercept."""
    return _study(setting, {"lambda=1": 1.0, "lambda=100": 100.0})


def _subtracted(factor: float, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return factor * (output.abs() + target.reshape(output.shape).abs())


def _study(setting: Setting, strengths: Mapping[str, float]) -> Study:
    x, y, _features = standardised("diabetes")
    rows, columns = x.shape
    steps = steps_of(x, y, 320, 3, setting)
    scenarios = []
    for name, lambda_ in strengths.items():
        convention = name if name in ("course", "torch") else "course"
        options: dict[str, Any] = {"convention": convention, "lambda_": lambda_, "rows": rows}
        # gradients in torch's convention are twice the course's, and half the rate makes the same path
        rate = 0.4 if convention == "course" else 0.2
        actual, expected = classic_pair(
            partial(manual.classic.LinearRegression, columns, dtype=setting.numpy_dtype, **options),
            partial(torch_ref.classic.LinearRegression, columns, dtype=getattr(torch, setting.dtype), **options),
            Recipe(("SGD", {"lr": rate, "momentum": 0.9}), ("StepLR", {"step_size": 250, "gamma": 0.8})),
            setting,
            subtracted=partial(_subtracted, 2 if convention == "torch" else 1),
        )
        scenarios.append(Scenario(name, actual, expected, steps, promises=PHASES))

    def lesson(verdicts: Mapping[str, Verdict]) -> tuple[list[Claim], list[Table]]:
        claims, rows_of_table = [], []
        for name, lambda_ in strengths.items():
            solution = manual.classic.normal_equations(x, y, lambda_)
            for side, wing in zip(verdicts[name].sides or (), ("manual", "torch"), strict=False):
                gaps = [np.abs(side.parameters[key] - value).max() for key, value in solution.items()]
                distance = max(gaps) / np.abs(solution["linear.bias"]).max()
                bound = 1e-6 if setting.dtype == "float64" else 1e-4
                if setting.as_designed:
                    claims.append(
                        Claim(f"{name}: the {wing} side reaches the normal equations' solution", distance, 0.0, bound)
                    )
            model = verdicts[name].sides[0].model if verdicts[name].sides else None
            if model is not None:
                weights = model.parameters["linear.weight"][0]
                r2 = model.accuracy(x.astype(setting.numpy_dtype), y)
                rows_of_table.append(
                    [
                        name,
                        lambda_,
                        float(np.linalg.norm(weights)),
                        float(model.parameters["linear.bias"][0]),
                        r2,
                        max(gaps),
                    ]
                )
        headers = ["scenario", "lambda", "|w|", "intercept", "R^2", "largest gap to the normal equations"]
        return claims, [Table("Gradient descent beside the normal equations", headers, rows_of_table)]

    return Study(scenarios, lesson=lesson)
