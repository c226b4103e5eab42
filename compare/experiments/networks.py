"""``mlp-digits``, ``mlp-digits-adamw`` and ``mlp-dropout``: networks on the handwritten digits, through the engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

import manual
import manual.models
import torch_ref.models
from compare.experiment import Claim, Scenario, Setting, Study, Table
from compare.experiments.datasets import load, split
from compare.experiments.pairs import Recipe, module_pair, steps_of
from compare.verdict import Verdict

__all__ = ["mlp_digits", "mlp_digits_adamw", "mlp_dropout"]

PHASES = (
    *("init", "forward", "loss", "backward", "deposit", "accumulated"),
    *("clip", "slots", "update", "parameter", "schedule"),
)
ROWS = 128  # a step's rows, cut into micro-batches of 56, 56 and a tail of 16
SIZES = (56, 56, 16)
EPOCHS = 3


def mlp_digits(setting: Setting) -> Study:
    """ReLU network with SGD, momentum, decay, clipping and a stepped rate."""
    recipe = Recipe(
        ("SGD", {"lr": 0.3, "momentum": 0.9, "dampening": 0.1, "weight_decay": 1e-3}),
        ("MultiStepLR", {"milestones": [10, 20], "gamma": 0.5}),
        max_norm=0.5,
    )
    return _study(setting, {"relu": (manual.nn.ReLU, torch.nn.ReLU, 0.0, recipe)})


def mlp_digits_adamw(setting: Setting) -> Study:
    """AdamW at its defaults, and with AMSGrad, a large eps and a strong decay, which small ones would hide."""
    usual = Recipe(("AdamW", {"lr": 1e-2}), ("CosineAnnealingLR", {"T_max": 33, "eta_min": 1e-4}), max_norm=1.0)
    stress = Recipe(
        ("AdamW", {"lr": 2e-2, "eps": 1e-2, "weight_decay": 0.5, "amsgrad": True}),
        ("LinearLR", {"start_factor": 0.2, "total_iters": 10}),
        max_norm=1.0,
    )
    return _study(
        setting,
        {
            "defaults": (manual.nn.GELU, torch.nn.GELU, 0.0, usual),
            "stress": (manual.nn.Tanh, torch.nn.Tanh, 0.0, stress),
        },
    )


def mlp_dropout(setting: Setting) -> Study:
    """Two hidden values in five are dropped; which ones, the reference draws and the manual side replays."""
    recipe = Recipe(("Adam", {"lr": 1e-2, "weight_decay": 1e-3}), ("ExponentialLR", {"gamma": 0.97}), max_norm=1.0)
    return _study(setting, {"dropout": (manual.nn.ReLU, torch.nn.ReLU, 0.4, recipe)})


def _study(setting: Setting, cases: Mapping[str, tuple[Any, Any, float, Recipe]]) -> Study:
    train, held_out = split(load("digits"), 0.25, 0)
    x, unseen = train.x / 16, held_out.x / 16
    steps = steps_of(x, train.y, EPOCHS * len(x) // ROWS, SIZES, setting, ROWS)
    scenarios = []
    for name, (manual_activation, torch_activation, dropout, recipe) in cases.items():
        actual, expected = module_pair(
            partial(manual.models.MLP, (64, 32, 10), manual_activation, dropout=dropout),
            partial(torch_ref.models.MLP, (64, 32, 10), torch_activation, dropout=dropout),
            manual.nn.CrossEntropyLoss,
            torch.nn.CrossEntropyLoss,
            recipe,
            setting,
        )
        scenarios.append(Scenario(name, actual, expected, steps, promises=PHASES))

    def lesson(verdicts: Mapping[str, Verdict]) -> tuple[list[Claim], list[Table]]:
        rows, claims = [], []
        for name, verdict in verdicts.items():
            for wing, side in zip(("manual", "torch"), verdict.sides or (), strict=False):
                accuracies = [_accuracy(side, a, b, setting) for a, b in ((x, train.y), (unseen, held_out.y))]
                rows.append([name, wing, *accuracies])
                if setting.as_designed:
                    claims.append(
                        Claim(f"{name}: the {wing} side names unseen digits", accuracies[1], 0.85, relation=">=")
                    )
        return claims, [Table("Accuracy of both sides", ["scenario", "side", "training", "held out"], rows)]

    return Study(scenarios, lesson=lesson)


def _accuracy(side: Any, x: np.ndarray, y: np.ndarray, setting: Setting) -> float:
    x = x.astype(setting.numpy_dtype)
    side.module.eval()
    if isinstance(side.module, torch.nn.Module):
        with torch.no_grad():
            output = side.module(torch.from_numpy(x)).numpy()
    else:
        with manual.no_grad():
            output = side.module(manual.tensor(x)).data
    side.module.train()
    return float((output.argmax(1) == y).mean())
