"""``numeric-gradient``: backprop against central differences and the complex step."""

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

__all__ = ["central_differences", "complex_step", "numeric_gradient"]

PHASES = ("init", "forward", "loss", "backward", "deposit", "accumulated", "slots", "update", "parameter", "schedule")
WIDTHS = (1, 4, 16)


def central_differences(model, x, y, step: float = 1e-5) -> tuple[dict[str, np.ndarray], int]:  # type: ignore[no-untyped-def]
    """``(J(theta + h e) - J(theta - h e)) / 2h`` for every parameter, and the number of evaluations.

    The truncation error falls as ``h^2``, the rounding error grows as ``eps / h``: about ten digits are the best.
    """
    return _perturbed(model, x, y, float, lambda cost, theta, k: _central(cost, theta, k, step))


def complex_step(model, x, y) -> tuple[dict[str, np.ndarray], int]:  # type: ignore[no-untyped-def]
    """``Im J(theta + i h e) / h`` with a step so small that nothing is truncated: no subtraction, so full precision."""
    return _perturbed(model, x, y, complex, lambda cost, theta, k: (_imaginary(cost, theta, k), 1))


def _central(cost, theta, k, step) -> tuple[float, int]:  # type: ignore[no-untyped-def]
    held = theta.flat[k]
    theta.flat[k] = held + step
    above = cost()
    theta.flat[k] = held - step
    below = cost()
    theta.flat[k] = held
    return (above - below) / (2 * step), 2


def _imaginary(cost, theta, k, step=1e-30) -> float:  # type: ignore[no-untyped-def]
    held = theta.flat[k]
    theta.flat[k] = held + 1j * step
    slope = cost().imag / step
    theta.flat[k] = held
    return float(slope)


def _perturbed(model, x, y, kind, differentiate) -> tuple[dict[str, np.ndarray], int]:  # type: ignore[no-untyped-def]
    parameters = {name: value.astype(kind) for name, value in model.parameters.items()}
    evaluations = 0
    gradients = {}
    for name, theta in parameters.items():
        gradient = np.zeros(theta.shape)
        for k in range(theta.size):
            gradient.flat[k], used = differentiate(lambda: model.cost(x, y, parameters=parameters), theta, k)
            evaluations += used
        gradients[name] = gradient
    return gradients, evaluations


def numeric_gradient(setting: Setting) -> Study:
    """Numeric derivatives of networks of growing width, beside the hand-derived gradient."""
    data = load("digits")
    x, y = data.x[:60] / 16, data.y[:60]
    recipe = Recipe(("Adam", {"lr": 0.02, "amsgrad": True, "weight_decay": 0.1}), ("StepLR", {"step_size": 3}))
    options: dict[str, Any] = {"lambda_": 0.3, "rows": 60}
    actual, expected = classic_pair(
        partial(manual.classic.SigmoidNetwork, 64, 8, 10, dtype=setting.numpy_dtype, **options),
        partial(torch_ref.classic.SigmoidNetwork, 64, 8, 10, dtype=getattr(torch, setting.dtype), **options),
        recipe,
        setting,
        of_logits=True,
    )
    scenario = Scenario("backprop beside autograd", actual, expected, steps_of(x, y, 8, 3, setting), promises=PHASES)

    def lesson(verdicts: Mapping[str, Verdict]) -> tuple[list[Claim], list[Table]]:
        rows, claims = [], []
        for width in WIDTHS:
            model = manual.classic.SigmoidNetwork(64, width, 10, lambda_=0.3, rows=60, seed=setting.seed)
            gradients = model.evaluate(x, y).gradients
            scale = max(float(np.abs(g).max()) for g in gradients.values())
            row: list = [sum(p.size for p in model.parameters.values()), "1 forward, 1 backward"]
            for method, bound in ((central_differences, 1e-7), (complex_step, 1e-13)):
                found, evaluations = method(model, x, y)
                error = max(float(np.abs(found[name] - g).max()) for name, g in gradients.items()) / scale
                row += [evaluations, error]
                what = method.__name__.replace("_", " ")
                claims.append(Claim(f"{row[0]} parameters: {what} agrees with backprop", error, 0.0, bound))
            rows.append(row)
        headers = ["parameters", "backprop", "central: evaluations", "error", "complex step: evaluations", "error"]
        return claims, [Table("What a gradient costs, and how exact it is", headers, rows)]

    return Study([scenario], lesson=lesson)
