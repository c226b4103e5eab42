"""Mistakes in a loss or in its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.collecting import Faults, with_pullback
from compare.faults.planting import Plant, Planting
from manual.rules import losses, softmax
from manual.rules.core import Array

__all__ = ["FAULTS"]

FAULTS = Faults()
_PLAIN = scenes.network()
_WEIGHTED = scenes.cross_entropy(weighted=True)
_IGNORING = scenes.cross_entropy(ignoring=True)
_SMOOTHED = scenes.cross_entropy(smoothing=0.2)


def _options(rule: Callable[..., Any], change: Callable[..., dict[str, Any]]) -> Plant:
    """A loss called with other options: ``change(**options)``."""

    def wrong(right: Any, *inputs: Any, **options: Any) -> Any:
        return right(*inputs, **{**options, **change(**options)})

    return lambda plant: plant.rule(rule, wrong)


def _scaled(rule: Callable[..., Any], factor: Callable[..., float]) -> Plant:
    """A loss that comes out, with its gradient, ``factor(x, target, **options)`` times too large."""

    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        value, pullback = right(input, target, **options)
        times = factor(input, target, **options)
        return value * times, lambda incoming, needs: pullback(incoming * times, needs)

    return lambda plant: plant.rule(rule, wrong)


def _gradient(rule: Callable[..., Any], change: Callable[..., Array]) -> Plant:
    """A loss whose value is right and whose gradient is ``change(gradient, x, target)``."""
    wrong = with_pullback(lambda found, incoming, needs, x, target: (change(found[0], x, target), *found[1:]))
    return lambda plant: plant.rule(rule, wrong)


# -- cross entropy -----------------------------------------------------------------------------------------------------


@FAULTS.add(
    "softmax-before-cross-entropy",
    "the network's probabilities are handed to a loss that takes logits",
    cause="applied twice",
    phase="loss",
    step=1,
    scene=_PLAIN,
    source="Lightning-AI/lightning-bolts#654",
)
def softmax_before(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        probabilities, through_softmax = softmax(input, dim=1)
        value, pullback = right(probabilities, target, **options)

        def twice_pullback(incoming: Any, needs: Any) -> Any:
            return (*through_softmax(pullback(incoming, needs)[0], (True,)), None)

        return value, twice_pullback

    plant.rule(losses.cross_entropy, wrong)


FAULTS.add(
    "cross-entropy-summed",
    "the loss is the sum over the rows",
    cause="sum instead of mean",
    phase="loss",
    step=1,
    scene=_PLAIN,
)(_options(losses.cross_entropy, lambda **options: {"reduction": "sum"}))

FAULTS.add(
    "divided-by-the-batch-twice",
    "the mean over the rows is divided by their number again",
    cause="divided twice",
    phase="loss",
    step=1,
    scene=_PLAIN,
    source="felipecode/coiltraine#37",
)(_scaled(losses.cross_entropy, lambda x, target, **options: 1 / len(x)))

FAULTS.add(
    "cross-entropy-gradient-without-the-target",
    "the gradient is the softmax, from which one is never taken at the target",
    cause="missing term",
    phase="backward",
    step=1,
    scene=_PLAIN,
)(_gradient(losses.cross_entropy, lambda gradient, x, target: gradient + np.eye(x.shape[1])[target] / len(x)))

FAULTS.add(
    "cross-entropy-gradient-not-divided",
    "softmax minus target is handed back without the division by the rows",
    cause="sum instead of mean",
    phase="backward",
    step=1,
    scene=_PLAIN,
)(_gradient(losses.cross_entropy, lambda gradient, x, target: gradient * len(x)))

FAULTS.add(
    "class-weights-left-out",
    "the weights of the classes are accepted and ignored",
    cause="class weights",
    phase="loss",
    step=1,
    scene=_WEIGHTED,
)(_options(losses.cross_entropy, lambda **options: {"weight": None}))

FAULTS.add(
    "weighted-mean-over-rows",
    "the weighted losses are divided by the number of rows, not by the sum of their weights",
    cause="class weights",
    phase="loss",
    step=1,
    scene=_WEIGHTED,
)(_scaled(losses.cross_entropy, lambda x, target, **options: options["weight"][target].sum() / len(target)))

FAULTS.add(
    "ignored-rows-in-the-denominator",
    "rows to be ignored have no loss, but are counted in the mean",
    cause="wrong denominator",
    phase="loss",
    step=1,
    scene=_IGNORING,
)(_scaled(losses.cross_entropy, lambda x, target, **options: (target != options["ignore_index"]).mean()))

FAULTS.add(
    "ignored-rows-counted",
    "rows to be ignored are learnt like all others",
    cause="mask ignored",
    phase="loss",
    step=1,
    scene=_IGNORING,
)(_options(losses.cross_entropy, lambda **options: {"ignore_index": -100}))


def _smoothed(input: Array, distribution: Array, counted: Array) -> Any:
    """Cross entropy with a distribution for each row, over the rows that count, and its pullback."""
    shifted = input - input.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    value = -(distribution * log_p).sum() / counted.sum()
    gradient = (np.exp(log_p) * distribution.sum(1, keepdims=True) - distribution) / counted.sum()
    return value, lambda incoming, needs: (incoming * gradient, None)


@FAULTS.add(
    "smoothing-forgets-the-mask",
    "the smoothed part of the loss runs over rows that are to be ignored too",
    cause="mask ignored",
    phase="loss",
    step=1,
    scene=scenes.cross_entropy(ignoring=True, smoothing=0.2),
    source="pytorch/pytorch#73205",
)
def smoothing_forgets(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        smoothing, classes = options["label_smoothing"], input.shape[1]
        counted = target != options["ignore_index"]
        distribution = (1 - smoothing) * np.eye(classes)[target] * counted[:, None] + smoothing / classes
        return _smoothed(input, distribution, counted)

    plant.rule(losses.cross_entropy, wrong)


@FAULTS.add(
    "smoothing-spread-over-the-others",
    "the smoothed mass is spread over the C - 1 other classes, not over all C",
    cause="wrong denominator",
    phase="loss",
    step=1,
    scene=_SMOOTHED,
)
def smoothing_over_the_others(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        smoothing, classes = options["label_smoothing"], input.shape[1]
        at_target = np.eye(classes)[target]
        distribution = (1 - smoothing) * at_target + smoothing / (classes - 1) * (1 - at_target)
        return _smoothed(input, distribution, np.ones(len(target)))

    plant.rule(losses.cross_entropy, wrong)


@FAULTS.add(
    "exponentials-without-a-shift",
    "the largest logit is not subtracted before the exponential, which overflows",
    cause="non-finite",
    phase="loss",
    step=1,
    scene=scenes.overflow(),
)
def without_a_shift(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            exponentials = np.exp(input)
            p = exponentials / exponentials.sum(1, keepdims=True)
            value = -np.log(p[np.arange(len(target)), target]).mean()
        gradient = (p - np.eye(input.shape[1])[target]) / len(target)
        return value, lambda incoming, needs: (incoming * gradient, None)

    plant.rule(losses.cross_entropy, wrong)


@FAULTS.add(
    "logits-cast-to-float32",
    "the logits of a float64 run are cast to float32 for the loss",
    cause="lower precision",
    phase="loss",
    step=1,
    scene=_PLAIN,
)
def cast_to_float32(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        value, pullback = right(input.astype(np.float32), target, **options)

        def cast_pullback(incoming: Any, needs: Any) -> Any:
            return pullback(incoming.astype(np.float32), needs)[0].astype(input.dtype), None

        return value.astype(input.dtype), cast_pullback

    plant.rule(losses.cross_entropy, wrong)


# -- squares, Huber, divergence ----------------------------------------------------------------------------------------

FAULTS.add(
    "squares-gradient-without-the-two",
    "the derivative of a square is written without its 2",
    cause="constant factor",
    phase="backward",
    step=1,
    scene=scenes.regression(),
)(_gradient(losses.mse_loss, lambda gradient, x, target: gradient / 2))

FAULTS.add(
    "squares-divided-by-rows",
    "the mean divides by the rows, not by the elements",
    cause="wrong denominator",
    phase="loss",
    step=1,
    scene=scenes.regression(),
)(_scaled(losses.mse_loss, lambda x, target, **options: x.shape[1]))

FAULTS.add(
    "smooth-l1-for-huber",
    "the smooth L1 loss stands for Huber's, which is beta times it",
    cause="constant factor",
    phase="loss",
    step=1,
    scene=scenes.regression("HuberLoss", delta=0.7),
)(_scaled(losses.huber_loss, lambda x, target, **options: 1 / options["delta"]))

FAULTS.add(
    "divergence-over-elements",
    "the divergence is divided by the elements, where its definition divides by the rows",
    cause="wrong denominator",
    phase="loss",
    step=1,
    scene=scenes.distillation(),
    source="facebookresearch/deit#61",
)(_scaled(losses.kl_div, lambda x, target, **options: 1 / x.shape[1]))


@FAULTS.add(
    "targets-spread-against-predictions",
    "targets of shape (n,) are broadcast against predictions of shape (n, k): every pair is compared",
    cause="wrong function",
    phase="loss",
    step=1,
    scene=scenes.binary(of_logits=False),
)
def targets_spread(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        pairs = np.broadcast_arrays(input, target.reshape(1, -1))
        value, pullback = right(*pairs, **options)

        def spread_pullback(incoming: Any, needs: Any) -> Any:
            return pullback(incoming, needs)[0].sum(1, keepdims=True), None

        return value, spread_pullback

    plant.rule(losses.binary_cross_entropy, wrong)


# -- binary cross entropy ----------------------------------------------------------------------------------------------


def _binary(terms: Callable[[Array, Array], Array], slopes: Callable[[Array, Array], Array]) -> Plant:
    """The mean of ``terms(p, y)``, with its gradient from ``slopes(p, y)``."""

    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        value = terms(input, target).mean()
        return value, lambda incoming, needs: (incoming * slopes(input, target) / input.size, None)

    return lambda plant: plant.rule(losses.binary_cross_entropy, wrong)


FAULTS.add(
    "second-half-of-cross-entropy-left-out",
    "only -y log p is summed, and what is not y costs nothing",
    cause="missing term",
    phase="loss",
    step=1,
    scene=scenes.binary(of_logits=False),
)(_binary(lambda p, y: -y * np.log(p), lambda p, y: -y / p))

FAULTS.add(
    "logarithm-of-p-plus-eps",
    "1e-7 is added to the probabilities inside the logarithms",
    cause="other eps",
    phase="loss",
    step=1,
    scene=scenes.binary(of_logits=False),
)(
    _binary(
        lambda p, y: -y * np.log(p + 1e-7) - (1 - y) * np.log(1 - p + 1e-7),
        lambda p, y: -y / (p + 1e-7) + (1 - y) / (1 - p + 1e-7),
    )
)


@FAULTS.add(
    "logarithm-of-one-minus-sigmoid",
    "the loss takes the logarithm of 1 - sigmoid(z), which has few digits left where the unit is sure",
    cause="unstable formula",
    phase="loss",
    step=1,
    scene=scenes.saturated(),
)
def of_one_minus_sigmoid(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        one = input.dtype.type(1)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            p = one / (one + np.exp(-input))
            terms = np.where(target == 1, -np.log(p), -np.log(one - p))
        _, pullback = right(input, target, **options)
        return terms.mean(), pullback

    plant.rule(losses.binary_cross_entropy_with_logits, wrong)
