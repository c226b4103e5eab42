"""Mistakes in the penalty of a regularised cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import manual.training
from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Planting
from manual.classic import model as classic_model
from manual.rules.core import Array

__all__ = ["FAULTS"]

FAULTS = Faults()


Term = Callable[[float, Array], Any]


def _penalty(plant: Planting, value: Term | None = None, pull: Term | None = None, *, biases: bool = False) -> None:
    """Replace the penalty by ``value(decay, parameter)``, its gradient by ``pull(decay, parameter)``, or either."""

    def penalise(right: Any, model: Any, parameters: Any, gradients: Any = None) -> Any:
        total = right(model, parameters, gradients if pull is None else None)
        penalised = {name: p for name, p in parameters.items() if biases or name.endswith("weight")}
        if gradients is not None and pull is not None:
            for name, parameter in penalised.items():
                gradients[name] += pull(model.decay, parameter)
        return total if value is None else sum(value(model.decay, p) for p in penalised.values())

    plant.replace(classic_model.Model, "_penalise", penalise)


def _half_squares(decay: float, parameter: Array) -> Any:
    return 0.5 * decay * np.sum(parameter * parameter)


def _shrinking(decay: float, parameter: Array) -> Array:
    return decay * parameter


@FAULTS.add(
    "bias-regularised",
    "the penalty runs over theta from index 0, and so shrinks the intercept too",
    cause="penalty on the bias",
    phase="loss",
    step=1,
    scene=scenes.logistic(),
    source="kaleko/CourseraML#9",
)
def bias_regularised(plant: Planting) -> None:
    _penalty(plant, _half_squares, _shrinking, biases=True)


@FAULTS.add(
    "bias-regularised-in-the-gradient",
    "the cost leaves the intercept out of the penalty, its gradient does not",
    cause="penalty on the bias",
    phase="deposit",
    step=1,
    scene=scenes.ridge(),
    source="Lightning-AI/lightning-bolts#668",
)
def bias_regularised_in_the_gradient(plant: Planting) -> None:
    _penalty(plant, pull=_shrinking, biases=True)


@FAULTS.add(
    "penalty-not-divided-by-rows",
    "lambda stands where lambda / m belongs",
    cause="penalty scaled",
    phase="loss",
    step=1,
    scene=scenes.ridge(),
    source="scikit-learn/scikit-learn#4666",
)
def penalty_not_divided(plant: Planting) -> None:
    rows = scenes.ROWS * scenes.STEPS
    _penalty(plant, lambda decay, p: _half_squares(rows * decay, p), lambda decay, p: _shrinking(rows * decay, p))


@FAULTS.add(
    "penalty-of-c-for-lambda",
    "the penalty is multiplied by C, which divides it: 1 / lambda stands where lambda belongs",
    cause="penalty scaled",
    phase="loss",
    step=1,
    scene=scenes.logistic(),
    source="scikit-learn/scikit-learn#6919",
)
def penalty_of_c(plant: Planting) -> None:
    rows = scenes.ROWS * scenes.STEPS

    def inverse(decay: float) -> float:
        return 1 / (decay * rows) / rows

    _penalty(plant, lambda decay, p: _half_squares(inverse(decay), p), lambda decay, p: _shrinking(inverse(decay), p))


@FAULTS.add(
    "penalty-without-the-half",
    "the cost adds lambda / m where lambda / 2m belongs; the gradient is right",
    cause="penalty scaled",
    phase="loss",
    step=1,
    scene=scenes.ridge(),
)
def penalty_without_the_half(plant: Planting) -> None:
    _penalty(plant, lambda decay, p: decay * np.sum(p * p))


@FAULTS.add(
    "penalty-missing-in-the-gradient",
    "the cost has the penalty, its gradient has not",
    cause="missing penalty",
    phase="deposit",
    step=1,
    scene=scenes.logistic(),
)
def penalty_missing(plant: Planting) -> None:
    _penalty(plant, pull=lambda decay, p: 0.0)


@FAULTS.add(
    "penalty-per-micro-batch",
    "every micro-batch adds the whole penalty, not its share of it",
    cause="penalty per micro-batch",
    phase="deposit",
    step=1,
    scene=scenes.ridge(),
)
def penalty_per_micro_batch(plant: Planting) -> None:
    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        decay = side.model.decay
        evaluate = side.model.evaluate

        def evaluated(x: Array, y: Array) -> Any:
            found = evaluate(x, y)
            for name, parameter in side.model.parameters.items():
                if name.endswith("weight"):  # the weight that the side applies to all is undone for the penalty
                    found.gradients[name] += (1 / weight - 1) * decay * parameter
            return found

        side.model.evaluate = evaluated
        try:
            return right(side, micro_batch, weight)
        finally:
            del side.model.evaluate

    plant.replace(manual.training.ClassicSide, "accumulate", accumulate)


@FAULTS.add(
    "absolute-penalty",
    "the sum of absolute weights is penalised where the sum of squares is meant",
    cause="wrong function",
    phase="loss",
    step=1,
    scene=scenes.ridge(),
)
def absolute_penalty(plant: Planting) -> None:
    _penalty(plant, lambda decay, p: decay * np.sum(np.abs(p)), lambda decay, p: decay * np.sign(p))
