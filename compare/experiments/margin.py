"""``linear-svm``: what C does, and lambda against C."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

import manual.classic
import torch_ref.classic
from compare.experiment import Claim, Scenario, Setting, Study, Table
from compare.experiments.pairs import Recipe, classic_pair, steps_of
from compare.experiments.regression import standardised
from compare.verdict import Verdict

__all__ = ["linear_svm"]

PHASES = ("init", "forward", "loss", "backward", "deposit", "accumulated", "slots", "update", "parameter", "schedule")
STRENGTHS = (0.001, 0.1, 10.0)


def linear_svm(setting: Setting) -> Study:
    """Hinge loss on breast cancer for three C, and squared hinge for one."""
    x, y, _ = standardised("breast-cancer")
    rows, columns = x.shape
    steps = steps_of(x, y, 80, 3, setting)
    recipe = Recipe(("Adagrad", {"lr": 0.2, "lr_decay": 0.01}), ("MultiStepLR", {"milestones": [30, 60], "gamma": 0.5}))
    scenarios = []
    cases: dict[str, dict[str, Any]] = {f"C={C:g}": {"C": C} for C in STRENGTHS}
    cases["C=0.1, squared"] = {"C": 0.1, "loss": "squared_hinge"}
    for name, case in cases.items():
        options = {"rows": rows, "convention": "mean", **case}
        actual, expected = classic_pair(
            partial(manual.classic.LinearSVM, columns, dtype=setting.numpy_dtype, **options),
            partial(torch_ref.classic.LinearSVM, columns, dtype=getattr(torch, setting.dtype), **options),
            recipe,
            setting,
            subtracted=lambda output, target: 1 + output.abs(),
        )
        scenarios.append(Scenario(name, actual, expected, steps, promises=PHASES))

    def lesson(verdicts: Mapping[str, Verdict]) -> tuple[list[Claim], list[Table]]:
        table: list[list[Any]] = []
        claims: list[Claim] = []
        for name, verdict in verdicts.items():
            model = verdict.sides[0].model
            signs = 2 * y - 1
            scores = signs * model.forward(x.astype(model.dtype))[:, 0]
            length = float(np.linalg.norm(model.parameters["linear.weight"]))
            C = float(name.split("=")[1].split(",")[0])
            lambda_ = manual.classic.svm_lambda_from_C(C)
            table.append([name, lambda_, 2 / length, int((scores < 1).sum()), float((scores > 0).mean())])
            if "," in name:
                continue
            # C sum t + |w|^2/2 and mean t + lambda/(2m) |w|^2 are the same problem: their gradients are parallel
            course = manual.classic.LinearSVM(columns, rows=rows, C=C, dtype=model.dtype)
            course.load_parameters(model.parameters)
            mean, total = (m.evaluate(x.astype(model.dtype), y).gradients["linear.weight"] for m in (model, course))
            converted = manual.classic.svm_sum_form_from_mean(mean, C, rows)
            gap = float(np.abs(converted - total).max() / np.abs(total).max())
            claims.append(
                Claim(
                    f"{name}: the gradient with C is C m times the one with lambda = 1/C",
                    gap,
                    0.0,
                    1e-10 if setting.dtype == "float64" else 1e-3,
                )
            )
        if setting.as_designed:
            widths = [row[2] for row in table[: len(STRENGTHS)]]
            claims.append(
                Claim(
                    "a larger C makes the margin narrower: the least narrowing",
                    min(-np.diff(widths)),
                    0.0,
                    relation=">=",
                )
            )
        headers = ["scenario", "lambda = 1/C", "margin 2/|w|", "rows inside the margin", "accuracy"]
        return claims, [Table("What C does", headers, table)]

    return Study(scenarios, lesson=lesson)
