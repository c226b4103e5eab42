"""Every smooth rule against central differences, in the highest precision that NumPy has."""

from __future__ import annotations

from typing import Any

import numpy as np

from manual import rules

STEP = float(np.finfo(np.longdouble).eps) ** (1 / 3)


def test_agrees_with_central_differences(smooth_case: Any, run: Any) -> None:
    case = smooth_case
    arrays = case.arrays(np.longdouble)
    _, incoming, gradients, _ = run(case, arrays)
    generator = np.random.default_rng(7)

    def weighted(place: int, direction: Any, step: float) -> Any:
        moved = list(arrays)
        moved[place] = moved[place] + direction * step
        value, _ = getattr(rules, case.rule)(*moved, **case.options)
        values = value if type(value) is tuple else (value,)
        return sum(
            np.sum(seed * output) for seed, output in zip(incoming, values, strict=True) if seed.dtype.kind == "f"
        )

    for place in case.differentiable:
        for _ in range(2):
            direction = generator.standard_normal(arrays[place].shape).astype(np.longdouble)
            measured = (weighted(place, direction, STEP) - weighted(place, direction, -STEP)) / (2 * STEP)
            claimed = np.sum(gradients[place] * direction)
            scale = np.sum(np.abs(gradients[place] * direction)) + sum(float(np.sum(np.abs(g))) for g in incoming)
            assert abs(measured - claimed) <= 1e-8 * scale, f"input {place}: measured {measured}, claimed {claimed}"
