"""Mistakes in L-BFGS."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Plant, Planting
from manual.optim import LBFGS, lbfgs
from manual.rules.core import Array

__all__ = ["FAULTS"]

FAULTS = Faults()
_SCENE = scenes.quasi_newton()
_SHORT = scenes.quasi_newton(history_size=2)


def _directed(order: tuple[int, int], *, back: float = 1.0, scaled: bool = True) -> Plant:
    """The two loops through the memory in another order; ``back`` is a factor of what the second one subtracts."""

    def direction(right: Any, state: dict[str, Any], g: Array, history_size: int) -> Array:
        y, s, ro = state["old_dirs"], state["old_stps"], state["ro"]
        places = list(range(len(y)))
        alphas = [0.0] * len(y)
        d = -g
        for i in places[:: order[0]]:
            alphas[i] = np.dot(s[i], d) * ro[i]
            d = d - alphas[i] * y[i]
        d = d * (state["H_diag"] if scaled else 1.0)
        for i in places[:: order[1]]:
            d = d + (alphas[i] - back * np.dot(y[i], d) * ro[i]) * s[i]
        return d

    return lambda plant: plant.replace(lbfgs, "_direction", direction)


FAULTS.add(
    "lbfgs-memory-the-other-way",
    "the first loop begins with the oldest pair, and the second with the newest",
    cause="reversed",
    phase="slots",
    step=3,
    scene=_SCENE,
)(_directed((1, -1)))

FAULTS.add(
    "lbfgs-second-loop-without-its-correction",
    "the second loop adds alpha s and subtracts nothing",
    cause="missing term",
    phase="slots",
    step=2,
    scene=_SCENE,
)(_directed((-1, 1), back=0.0))

FAULTS.add(
    "lbfgs-first-guess-left-out",
    "the direction between the loops is not scaled by y s / y y",
    cause="scale left out",
    phase="slots",
    step=2,
    scene=_SCENE,
)(_directed((-1, 1), scaled=False))


@FAULTS.add(
    "lbfgs-curvature-not-tested",
    "pairs with negative curvature enter the memory",
    cause="other threshold",
    phase="slots",
    step=4,
    scene=scenes.quasi_newton(0.01),
)
def curvature_not_tested(plant: Planting) -> None:
    def remember(right: Any, optimizer: Any, state: dict[str, Any], g: Array, history_size: int) -> None:
        least, lbfgs.LEAST_CURVATURE = lbfgs.LEAST_CURVATURE, -np.inf
        try:
            right(optimizer, state, g, history_size)
        finally:
            lbfgs.LEAST_CURVATURE = least

    plant.replace(LBFGS, "_remember", remember)


FAULTS.add(
    "lbfgs-first-step-in-full",
    "the first step is as long as all others",
    cause="missing term",
    phase="slots",
    step=1,
    scene=_SCENE,
)(lambda plant: plant.replace(lbfgs, "_first_length", lambda right, g: 1.0))


@FAULTS.add(
    "lbfgs-memory-one-too-long",
    "a pair is dropped when there are more than history_size, not when there are as many",
    cause="other option",
    phase="slots",
    step=4,
    scene=_SHORT,
)
def one_too_long(plant: Planting) -> None:
    plant.replace(LBFGS, "_remember", lambda right, optimizer, state, g, size: right(optimizer, state, g, size + 1))
    plant.replace(lbfgs, "_direction", lambda right, state, g, size: right(state, g, size + 1))
