"""``one-vs-all`` and ``softmax-regression``: K independent heads against one distribution, on iris and the digits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

import manual.classic
import torch_ref.classic
from compare.experiment import Claim, Scenario, Setting, Study, Table
from compare.experiments.datasets import load
from compare.experiments.pairs import Recipe, classic_pair, steps_of
from compare.verdict import Verdict

__all__ = ["one_vs_all", "softmax_regression"]

PHASES = ("init", "forward", "loss", "backward", "deposit", "accumulated", "slots", "update", "parameter", "schedule")


def one_vs_all(setting: Setting) -> Study:
    """K logistic regressions, each one class against the rest; the surest answers."""
    return _study(setting, "OneVsAll", Recipe(("SGD", {"lr": 0.3, "momentum": 0.9, "nesterov": True}), DECAY))


def softmax_regression(setting: Setting) -> Study:
    """One softmax over all classes; with RMSprop, centered and with momentum."""
    return _study(
        setting, "SoftmaxRegression", Recipe(("RMSprop", {"lr": 0.02, "momentum": 0.5, "centered": True}), DECAY)
    )


DECAY = ("CosineAnnealingLR", {"T_max": 60, "eta_min": 1e-3})


def _study(setting: Setting, model: str, recipe: Recipe) -> Study:
    scenarios = []
    data = {}
    for name, steps, sizes in (("iris", 60, 4), ("digits", 40, 3)):
        loaded = load(name)
        spread = loaded.x.std(0)
        x = (loaded.x - loaded.x.mean(0)) / np.where(spread == 0, 1, spread)
        data[name] = x, loaded.y
        sizes_of_model = x.shape[1], len(loaded.target_names)
        options: dict[str, Any] = {"lambda_": 0.5, "rows": len(x)}
        actual, expected = classic_pair(
            partial(getattr(manual.classic, model), *sizes_of_model, dtype=setting.numpy_dtype, **options),
            partial(getattr(torch_ref.classic, model), *sizes_of_model, dtype=getattr(torch, setting.dtype), **options),
            recipe,
            setting,
            of_logits=True,
        )
        scenarios.append(
            Scenario(name, actual, expected, steps_of(x, loaded.y, steps, sizes, setting), promises=PHASES)
        )

    def lesson(verdicts: Mapping[str, Verdict]) -> tuple[list[Claim], list[Table]]:
        rows, claims = [], []
        for name, (x, y) in data.items():
            fitted = verdicts[name].sides[0].model
            probability = fitted.predict_probability(x.astype(fitted.dtype))
            sums = probability.sum(1)
            accuracy = fitted.accuracy(x.astype(fitted.dtype), y)
            rows.append([name, len(fitted.parameters["linear.bias"]), accuracy, float(sums.min()), float(sums.max())])
            if setting.as_designed:
                claims.append(Claim(f"{name}: nine rows in ten are named rightly", accuracy, 0.9, relation=">="))
            if model == "SoftmaxRegression":
                worst = float(np.abs(sums - 1).max())
                bound = 8 * float(np.finfo(setting.numpy_dtype).eps)
                claims.append(Claim(f"{name}: the probabilities of every row add up to one", worst, 0.0, bound))
        headers = ["data", "classes", "accuracy", "least sum of probabilities", "greatest"]
        return claims, [Table("Probabilities of K heads need not add up to one; those of a softmax do", headers, rows)]

    return Study(scenarios, lesson=lesson)
