"""Mistakes of the course: linear and logistic regression, regularisation, a network of two layers."""

from __future__ import annotations

from typing import Any

import numpy as np

import manual.classic
import manual.training
from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Planting
from manual import rules
from manual.classic import model as classic_model
from manual.classic import sigmoid_network
from manual.optim import SGD, Optimizer
from manual.rules.core import Array

__all__ = ["FAULTS"]

FAULTS = Faults()
Linear = classic_model.LinearModel
Network = manual.classic.SigmoidNetwork


# -- the update --------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "updated-in-turn",
    "theta is updated through an alias: each gradient is taken after the parameters before it have moved",
    cause="updated in turn",
    phase="update",
    step=1,
    scene=scenes.logistic(),
    source="kaleko/CourseraML#12",
)
def updated_in_turn(plant: Planting) -> None:
    batches: list[Any] = []

    def zero_grad(right: Any, side: Any) -> None:
        batches.clear()
        right(side)

    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        batches.append((micro_batch, weight))
        return right(side, micro_batch, weight)

    def update(right: Any, side: Any, closure: Any = None) -> None:
        held = side.gradients
        for name, parameter in side._named.items():
            for other in side._named.values():
                other.grad = None
            parameter.grad = sum(weight * side.model.evaluate(*batch).gradients[name] for batch, weight in batches)
            side.optimizer.step()
        for name, parameter in side._named.items():
            parameter.grad = held[name]

    plant.replace(manual.training.ClassicSide, "zero_grad", zero_grad)
    plant.replace(manual.training.ClassicSide, "accumulate", accumulate)
    plant.replace(manual.training.ClassicSide, "update", update)


@FAULTS.add(
    "bias-left-out-of-the-update",
    "only the weights are updated, the biases stay where they started",
    cause="parameter left out",
    phase="update",
    step=1,
    scene=scenes.sigmoid_network(),
    source="mattm/simple-neural-network#5",
)
def bias_left_out(plant: Planting) -> None:
    def step(right: Any, optimizer: Any, closure: Any = None) -> Any:
        biases = [p for group in optimizer.param_groups for p in group["params"] if p.ndim == 1]
        kept = [bias.data.copy() for bias in biases]
        loss = right(optimizer, closure)
        for bias, value in zip(biases, kept, strict=True):
            bias.data[...] = value
        return loss

    plant.replace(Optimizer, "step", step)


@FAULTS.add(
    "hidden-deltas-through-updated-weights",
    "the output weights are updated first, and the hidden deltas are computed with the new ones",
    cause="already updated weights",
    phase="backward",
    step=1,
    scene=scenes.sigmoid_network(),
    source="Mazur, A Step by Step Backpropagation Example (2015), its last printed error",
)
def through_updated_weights(plant: Planting) -> None:
    rate = [0.0]

    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        (rate[0],) = side.learning_rate
        return right(side, micro_batch, weight)

    def evaluate(right: Any, model: Any, x: Array, y: Array, weights: Any = None) -> Any:
        moved = model.parameters["output.weight"] - rate[0] * right(model, x, y, weights).gradients["output.weight"]
        return right(model, x, y, weights, through=moved)

    plant.replace(manual.training.ClassicSide, "accumulate", accumulate)
    plant.replace(Network, "evaluate", evaluate)


@FAULTS.add(
    "gradient-ascent",
    "the gradient is added to the parameters",
    cause="sign",
    phase="update",
    step=1,
    scene=scenes.logistic(),
)
def gradient_ascent(plant: Planting) -> None:
    def update(right: Any, optimizer: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        before = parameter.copy()
        right(optimizer, parameter, gradient, slots, group)
        parameter[...] = before + (before - parameter)

    plant.replace(SGD, "update", update)


# -- the data term -----------------------------------------------------------------------------------------------------


@FAULTS.add(
    "gradient-summed-over-rows",
    "the gradient leaves out the 1/m that the cost has",
    cause="sum instead of mean",
    phase="backward",
    step=1,
    scene=scenes.logistic(lambda_=0.0),
)
def gradient_summed(plant: Planting) -> None:
    def through(right: Any, model: Any, x: Array, slopes: Array, shares: Array, factor: Any) -> Any:
        return right(model, x, slopes, np.ones_like(shares), 1.0)

    plant.replace(Linear, "_through_the_linear_map", through)


@FAULTS.add(
    "cost-summed-over-rows",
    "the cost is the sum over the rows; the gradient that of the mean",
    cause="sum instead of mean",
    phase="loss",
    step=1,
    scene=scenes.ridge(lambda_=0.0),
)
def cost_summed(plant: Planting) -> None:
    def evaluate(right: Any, model: Any, x: Array, y: Array, weights: Any = None) -> Any:
        found = right(model, x, y, weights)
        found.loss["data"] = model._losses_and_slopes(model.forward(x), model._targets(y, len(x)))[0].sum()
        found.loss["total"] = found.loss["data"] + found.loss["penalty"]
        return found

    plant.replace(Linear, "evaluate", evaluate)


@FAULTS.add(
    "target-minus-prediction",
    "the error is y - h in the gradient, which then points uphill",
    cause="sign",
    phase="backward",
    step=1,
    scene=scenes.logistic(lambda_=0.0),
)
def target_minus_prediction(plant: Planting) -> None:
    def losses_and_slopes(right: Any, model: Any, z: Array, y: Array) -> Any:
        losses, slopes = right(model, z, y)
        return losses, -slopes

    plant.replace(manual.classic.LogisticRegression, "_losses_and_slopes", losses_and_slopes)


@FAULTS.add(
    "factor-two-of-the-square-kept",
    "the slope of r^2 / 2 is written 2 r",
    cause="constant factor",
    phase="backward",
    step=1,
    scene=scenes.ridge(),
)
def factor_two(plant: Planting) -> None:
    def losses_and_slopes(right: Any, model: Any, z: Array, y: Array) -> Any:
        losses, slopes = right(model, z, y)
        return losses, 2.0 * slopes

    plant.replace(manual.classic.LinearRegression, "_losses_and_slopes", losses_and_slopes)


@FAULTS.add(
    "intercept-gradient-averaged-again",
    "the intercept's gradient takes the mean of errors that the 1/m is already in",
    cause="mean instead of sum",
    also=("divided twice", "broadcasting not summed"),
    phase="deposit",
    step=1,
    scene=scenes.logistic(),
)
def intercept_averaged(plant: Planting) -> None:
    def through(right: Any, model: Any, x: Array, slopes: Array, shares: Array, factor: Any) -> Any:
        return {**right(model, x, slopes, shares, factor), "linear.bias": slopes.mean(0)}

    plant.replace(Linear, "_through_the_linear_map", through)


# -- the network -------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "sigmoid-slope-of-the-activation",
    "the derivative, which applies the sigmoid itself, is given the activation: the sigmoid is taken twice",
    cause="derivative of the wrong variable",
    phase="backward",
    step=1,
    scene=scenes.sigmoid_network(),
    source="dwhitena/gophernet#6",
)
def sigmoid_slope_of_the_activation(plant: Planting) -> None:
    def slope(right: Any, a: Array) -> Array:
        again = 1 / (1 + np.exp(-a))
        return again * (1 - again)

    plant.replace(sigmoid_network, "sigmoid_slope", slope)


@FAULTS.add(
    "sigmoid-slope-of-the-argument",
    "the derivative a (1 - a) is computed of the argument z instead of the activation",
    cause="derivative of the wrong variable",
    phase="backward",
    step=1,
    scene=scenes.network(activation="Sigmoid"),
)
def sigmoid_slope_of_the_argument(plant: Planting) -> None:
    def sigmoid(right: Any, x: Array) -> Any:
        value, _ = right(x)

        def sigmoid_pullback(incoming: Array, needs: Any) -> Any:
            return (incoming * x * (1 - x),)

        return value, sigmoid_pullback

    plant.rule(rules.sigmoid, sigmoid)


@FAULTS.add(
    "sigmoid-slope-left-out",
    "the hidden deltas leave out the slope of the sigmoid",
    cause="derivative left out",
    phase="backward",
    step=1,
    scene=scenes.sigmoid_network("cross_entropy"),
)
def sigmoid_slope_left_out(plant: Planting) -> None:
    plant.replace(sigmoid_network, "sigmoid_slope", lambda right, a: np.ones_like(a))


@FAULTS.add(
    "squares-delta-under-cross-entropy",
    "the output delta of squared errors, with the sigmoid's slope, is kept when the cost becomes cross entropy",
    cause="wrong derivative",
    phase="backward",
    step=1,
    scene=scenes.sigmoid_network("cross_entropy"),
)
def squares_delta(plant: Planting) -> None:
    def losses(right: Any, model: Any, z2: Array, y: Array) -> Any:
        rows, slopes, a2 = right(model, z2, y)
        probability = slopes + y
        return rows, slopes * probability * (1 - probability), a2

    plant.replace(Network, "_losses", losses)


@FAULTS.add(
    "deltas-with-the-old-activation",
    "the output weights' gradient takes the hidden layer's input in place of its activation",
    cause="wrong operand",
    phase="deposit",
    step=1,
    scene=scenes.sigmoid_network("cross_entropy", 9),
)
def deltas_with_the_old_activation(plant: Planting) -> None:
    def evaluate(right: Any, model: Any, x: Array, y: Array, weights: Any = None) -> Any:
        found = right(model, x, y, weights)
        found.gradients["output.weight"] = found.activation_gradients["output", "output"].T @ x
        return found

    plant.replace(Network, "evaluate", evaluate)
