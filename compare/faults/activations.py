"""Mistakes in activations and in dropout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Plant, Planting
from manual import rules
from manual.rules.core import Array

__all__ = ["FAULTS"]

FAULTS = Faults()
_PLAIN = scenes.network()
_RECTIFIED = scenes.network(activation="ReLU")
_GAUSSIAN = scenes.network(activation="GELU")
_DROPOUT = scenes.network(dropout=0.4)


def _activation(rule: Callable[..., Any], value: Callable[..., Array] | None, slope: Callable[..., Array]) -> Plant:
    """An activation with another value (``None``: its own) and ``slope(x, y)``."""

    def wrong(right: Any, x: Array, **options: Any) -> Any:
        y = right(x, **options)[0] if value is None else value(x, **options)
        return y, lambda incoming, needs: (incoming * slope(x, y),)

    return lambda plant: plant.rule(rule, wrong)


# -- activations -------------------------------------------------------------------------------------------------------

FAULTS.add(
    "tanh-slope-without-the-square",
    "the slope of tanh is written 1 - y",
    cause="wrong derivative",
    phase="backward",
    step=1,
    scene=_PLAIN,
)(_activation(rules.tanh, None, lambda x, y: 1 - y))

FAULTS.add(
    "tanh-slope-of-the-argument",
    "the slope 1 - y^2 is computed of the argument",
    cause="derivative of the wrong variable",
    phase="backward",
    step=1,
    scene=_PLAIN,
)(_activation(rules.tanh, None, lambda x, y: 1 - x * x))

FAULTS.add(
    "tanh-slope-left-out",
    "the incoming gradient is handed on as it is",
    cause="derivative left out",
    phase="backward",
    step=1,
    scene=_PLAIN,
)(_activation(rules.tanh, None, lambda x, y: np.ones_like(x)))


@FAULTS.add(
    "incoming-gradient-not-multiplied-in",
    "an activation's backward returns its slope alone",
    cause="incoming gradient left out",
    phase="backward",
    step=1,
    scene=_PLAIN,
    source="pytorch/pytorch#995",
)
def incoming_left_out(plant: Planting) -> None:
    def wrong(right: Any, x: Array) -> Any:
        y, _ = right(x)
        return y, lambda incoming, needs: (1 - y * y,)

    plant.rule(rules.tanh, wrong)


FAULTS.add(
    "activation-left-out",
    "the layers are applied one after the other, without the activation between them",
    cause="left out",
    phase="forward",
    step=1,
    scene=_PLAIN,
)(_activation(rules.tanh, lambda x: x.copy(), lambda x, y: np.ones_like(x)))

FAULTS.add(
    "activation-applied-twice",
    "the layer applies its activation, and the model applies it again",
    cause="applied twice",
    phase="forward",
    step=1,
    scene=_PLAIN,
)(_activation(rules.tanh, lambda x: np.tanh(np.tanh(x)), lambda x, y: (1 - y**2) * (1 - np.tanh(x) ** 2)))

FAULTS.add(
    "sigmoid-for-tanh",
    "another squashing function stands in the place of tanh",
    cause="wrong function",
    phase="forward",
    step=1,
    scene=_PLAIN,
)(_activation(rules.tanh, lambda x: 1 / (1 + np.exp(-x)), lambda x, y: y * (1 - y)))


@FAULTS.add(
    "relu-slope-by-the-incoming-gradient",
    "ReLU's backward asks whether the incoming gradient is positive, not the input",
    cause="derivative of the wrong variable",
    phase="backward",
    step=1,
    scene=_RECTIFIED,
)
def by_the_incoming(plant: Planting) -> None:
    def wrong(right: Any, x: Array) -> Any:
        y, _ = right(x)
        return y, lambda incoming, needs: (incoming * (incoming > 0),)

    plant.rule(rules.relu, wrong)


FAULTS.add(
    "relu-slope-left-out",
    "ReLU hands the gradient on everywhere",
    cause="derivative left out",
    phase="backward",
    step=1,
    scene=_RECTIFIED,
)(_activation(rules.relu, None, lambda x, y: np.ones_like(x)))

FAULTS.add(
    "leaky-slope-of-another-forward",
    "the backward pass keeps a slope of 0.2 below zero when the forward pass has moved to 0.01",
    cause="forward and backward disagree",
    also=("wrong derivative",),
    phase="backward",
    step=1,
    scene=scenes.network(activation="LeakyReLU"),
)(_activation(rules.leaky_relu, None, lambda x, y: np.where(x > 0, 1.0, 0.2)))

_ROOT = math.sqrt(2 / math.pi)


def _tanh_gelu(x: Array, **options: Any) -> Array:
    return 0.5 * x * (1 + np.tanh(_ROOT * (x + 0.044715 * x**3)))


def _tanh_gelu_slope(x: Array, y: Array) -> Array:
    t = np.tanh(_ROOT * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _ROOT * (1 + 3 * 0.044715 * x**2)


FAULTS.add(
    "gelu-by-tanh",
    "GELU is computed by its tanh approximation, where the exact one is meant",
    cause="approximation",
    phase="forward",
    step=1,
    scene=_GAUSSIAN,
    source="kyutai-labs/pocket-tts#278",
)(_activation(rules.gelu, _tanh_gelu, _tanh_gelu_slope))

FAULTS.add(
    "gelu-backward-by-tanh",
    "GELU is exact, but its slope is that of the tanh approximation",
    cause="approximation",
    phase="backward",
    step=1,
    scene=_GAUSSIAN,
)(_activation(rules.gelu, None, _tanh_gelu_slope))

FAULTS.add(
    "gelu-by-sigmoid",
    "GELU is computed as x sigmoid(1.702 x)",
    cause="approximation",
    phase="forward",
    step=1,
    scene=_GAUSSIAN,
)(
    _activation(
        rules.gelu,
        lambda x, **options: x / (1 + np.exp(-1.702 * x)),
        lambda x, y: (1 + np.exp(-1.702 * x) * (1 + 1.702 * x)) / (1 + np.exp(-1.702 * x)) ** 2,
    )
)


@FAULTS.add(
    "saved-output-in-a-shared-buffer",
    "tanh saves its output for the backward pass in a scratch buffer that the next layer overwrites",
    cause="aliased memory",
    also=("derivative of the wrong variable",),
    phase="backward",
    step=1,
    scene=scenes.network(sizes=(9, 5, 5, 10)),
    source="AiDotNet.Tensors#925",
)
def saved_in_a_shared_buffer(plant: Planting) -> None:
    pool: dict[Any, Array] = {}

    def wrong(right: Any, x: Array) -> Any:
        y, _ = right(x)
        saved = pool.setdefault(y.shape, np.empty_like(y))
        saved[...] = y
        return y, lambda incoming, needs: (incoming * (1 - saved * saved),)

    plant.rule(rules.tanh, wrong)


# -- dropout -----------------------------------------------------------------------------------------------------------


def _dropout(value: Callable[..., Array], gradient: Callable[..., Array]) -> Plant:
    """Dropout with another ``value(x, mask, p)`` and ``gradient(incoming, mask, p)``."""

    def wrong(right: Any, input: Array, mask: Array, *, p: float) -> Any:
        mask = np.asarray(mask, input.dtype)
        return value(input, mask, p), lambda incoming, needs: (gradient(incoming, mask, p), None)

    return lambda plant: plant.rule(rules.dropout, wrong)


def _right_dropout(x: Array, mask: Array, p: float) -> Array:
    return x * mask / (1 - p)


FAULTS.add(
    "dropout-not-scaled",
    "what is kept is not divided by the probability of being kept",
    cause="dropout scale",
    phase="forward",
    step=1,
    scene=_DROPOUT,
)(_dropout(lambda x, mask, p: x * mask, lambda g, mask, p: g * mask))

FAULTS.add(
    "dropout-scaled-by-what-is-dropped",
    "what is kept is divided by p, the probability of being dropped",
    cause="dropout scale",
    phase="forward",
    step=1,
    scene=_DROPOUT,
)(_dropout(lambda x, mask, p: x * mask / p, lambda g, mask, p: g * mask / p))

FAULTS.add(
    "dropout-backward-not-scaled",
    "the gradient of what is kept is handed on without the scale",
    cause="dropout scale",
    phase="backward",
    step=1,
    scene=_DROPOUT,
)(_dropout(_right_dropout, lambda g, mask, p: g * mask))

FAULTS.add(
    "dropout-backward-without-mask",
    "the gradient is handed on where the value was dropped, too",
    cause="mask ignored",
    phase="backward",
    step=1,
    scene=_DROPOUT,
)(_dropout(_right_dropout, lambda g, mask, p: g / (1 - p)))


@FAULTS.add(
    "new-mask-on-recomputation",
    "the backward pass recomputes the layer, and draws a new mask",
    cause="another mask",
    also=("forward and backward disagree",),
    phase="backward",
    step=1,
    scene=_DROPOUT,
    source="openai/guided-diffusion#167",
)
def new_mask(plant: Planting) -> None:
    generator = np.random.default_rng(11)
    again = _dropout(_right_dropout, lambda g, mask, p: g * (generator.random(mask.shape) >= p) / (1 - p))
    again(plant)
