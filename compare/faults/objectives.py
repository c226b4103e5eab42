"""Mistakes in losses of choices, pairs, triplets, spellings and likelihoods."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.faults import loss_scenes as scenes
from compare.faults.collecting import Faults, with_pullback
from compare.faults.planting import Planting
from manual.rules import losses
from manual.rules.core import Array, Gradients, Needs
from manual.rules.losses.pairs import COSINE_EPSILON

__all__ = ["FAULTS"]

FAULTS = Faults()
_MARGINS = scenes.margins()
_SPELLING = scenes.spelling()
_PAIRS = scenes.pairs()
_TRIPLETS = scenes.triplets()
_GAUSSIAN = scenes.gaussian()
_POISSON = scenes.poisson()


# -- spellings ---------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "ctc-blank-is-the-last-class",
    "the blank is the last class, as another library has it, not the first",
    cause="other option",
    phase="loss",
    step=1,
    scene=_SPELLING,
    source="liuhu-bigeye/enctc.crnn#9",
)
def blank_is_last(plant: Planting) -> None:
    def wrong(right: Any, log_probs: Array, *others: Any, **options: Any) -> Any:
        return right(log_probs, *others, **{**options, "blank": log_probs.shape[-1] - 1})

    plant.rule(losses.ctc_loss, wrong)


@FAULTS.add(
    "ctc-input-lengths-ignored",
    "every input is taken to be as long as the longest",
    cause="mask ignored",
    phase="loss",
    step=1,
    scene=_SPELLING,
)
def input_lengths_ignored(plant: Planting) -> None:
    def wrong(right: Any, log_probs: Array, targets: Any, input_lengths: Any, *others: Any, **options: Any) -> Any:
        return right(log_probs, targets, np.full_like(input_lengths, len(log_probs)), *others, **options)

    plant.rule(losses.ctc_loss, wrong)


@FAULTS.add(
    "ctc-not-divided-by-the-lengths",
    "the mean is that of the rows' losses, none of them divided by the length of its target",
    cause="wrong denominator",
    phase="loss",
    step=1,
    scene=_SPELLING,
)
def not_divided_by_lengths(plant: Planting) -> None:
    def wrong(right: Any, log_probs: Array, *others: Any, **options: Any) -> Any:
        terms, pullback = right(log_probs, *others, **{**options, "reduction": "none"})
        return terms.mean(), lambda incoming, needs: pullback(np.full(len(terms), incoming / len(terms)), needs)

    plant.rule(losses.ctc_loss, wrong)


# -- choices -----------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "classes-flattened-without-moving",
    "scores (rows, classes, places) are flattened to rows of classes as they lie, without moving the classes last",
    cause="permuted",
    phase="loss",
    step=1,
    scene=scenes.tagged(),
)
def flattened(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        value, pullback = right(input.reshape(-1, input.shape[1]), target.reshape(-1), **options)
        return value, lambda incoming, needs: (pullback(incoming, needs)[0].reshape(input.shape), None)

    plant.rule(losses.nll_loss, wrong)


@FAULTS.add(
    "likelihood-gradient-at-ignored-targets",
    "the gradient is -1/n at every target, also at those that are to be ignored",
    cause="mask ignored",
    phase="backward",
    step=1,
    scene=scenes.tagged(),
)
def gradient_at_ignored(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, *, ignore_index: int, **options: Any) -> Any:
        value, _ = right(input, target, ignore_index=ignore_index, **options)
        share = np.count_nonzero(target != ignore_index) / target.size
        _, pullback = right(input, target, ignore_index=-100, **options)
        return value, lambda incoming, needs: pullback(incoming / share, needs)

    plant.rule(losses.nll_loss, wrong)


@FAULTS.add(
    "divergence-without-the-entropy",
    "the target's own entropy is left out: a cross entropy stands for a divergence",
    cause="missing term",
    phase="loss",
    step=1,
    scene=scenes.of_logarithms(),
)
def without_entropy(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        value, pullback = right(input, target, **options)
        return value - np.sum(np.exp(target) * target) / len(input), pullback

    plant.rule(losses.kl_div, wrong)


@FAULTS.add(
    "margin-of-the-right-class-counted",
    "the sum runs over all classes, the right one too, which always costs the margin",
    cause="mask ignored",
    phase="loss",
    step=1,
    scene=_MARGINS,
)
def right_class_counted(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, **options: Any) -> Any:
        value, pullback = right(input, target, **options)
        return value + options["margin"] / input.shape[1], pullback

    plant.rule(losses.multi_margin_loss, wrong)


@FAULTS.add(
    "margin-gradient-at-the-right-class-left-out",
    "every active wrong class is pushed down, and the right one is not pushed up",
    cause="missing term",
    also=("detached",),
    phase="backward",
    step=1,
    scene=_MARGINS,
)
def right_class_not_pushed(plant: Planting) -> None:
    def change(found: Any, incoming: Any, needs: Needs, input: Array, target: Array) -> Gradients:
        gradient = found[0].copy()
        gradient[np.arange(len(target)), target] = 0
        return (gradient, None)

    plant.rule(losses.multi_margin_loss, with_pullback(change))


@FAULTS.add(
    "squared-margin-gradient-without-the-two",
    "the derivative of the squared hinge is written without its 2",
    cause="constant factor",
    phase="backward",
    step=1,
    scene=scenes.margins(p=2),
)
def squared_margin_without_two(plant: Planting) -> None:
    def change(found: Any, incoming: Any, needs: Needs, *inputs: Any) -> Gradients:
        return (found[0] / 2, None)

    plant.rule(losses.multi_margin_loss, with_pullback(change))


# -- pairs and triplets ------------------------------------------------------------------------------------------------


@FAULTS.add(
    "cosine-margin-left-out",
    "pairs that do not belong together are pushed apart until they are orthogonal, without the margin",
    cause="other option",
    phase="loss",
    step=1,
    scene=_PAIRS,
)
def cosine_margin_left_out(plant: Planting) -> None:
    plant.rule(
        losses.cosine_embedding_loss, lambda right, *inputs, **options: right(*inputs, **{**options, "margin": 0.0})
    )


@FAULTS.add(
    "cosine-gradient-with-constant-lengths",
    "the gradient of the cosine is that of the inner product: the lengths are taken for constants",
    cause="missing term",
    also=("detached",),
    phase="backward",
    step=1,
    scene=_PAIRS,
)
def constant_lengths(plant: Planting) -> None:
    def wrong(right: Any, *inputs: Array, target: Array, margin: float, **options: Any) -> Any:
        value, _ = right(*inputs, target=target, margin=margin, **options)
        one, two = inputs
        scale = 1 / np.sqrt(((one * one).sum(1) + COSINE_EPSILON) * ((two * two).sum(1) + COSINE_EPSILON))
        slope = np.where(target == 1, -1, (one * two).sum(1) * scale >= margin) / len(target)

        def cosine_embedding_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
            share = (incoming * slope * scale)[:, None]
            return share * two, share * one

        return value, cosine_embedding_loss_pullback

    plant.rule(losses.cosine_embedding_loss, wrong)


@FAULTS.add(
    "triplet-of-squared-distances",
    "the distances are compared squared, without their roots",
    cause="left out",
    phase="loss",
    step=1,
    scene=_TRIPLETS,
)
def squared_distances(plant: Planting) -> None:
    def wrong(
        right: Any, anchor: Array, positive: Array, negative: Array, *, margin: float, eps: float, **_: Any
    ) -> Any:
        near, far = anchor - positive + eps, anchor - negative + eps
        violation = margin + (near * near).sum(1) - (far * far).sum(1)

        def triplet_margin_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
            slope = 2 * incoming * (violation >= 0)[:, None] / len(anchor)
            return slope * (near - far), -slope * near, slope * far

        return np.maximum(violation, 0).mean(), triplet_margin_loss_pullback

    plant.rule(losses.triplet_margin_loss, wrong)


@FAULTS.add(
    "triplet-anchor-not-pushed-away",
    "the anchor gets the gradient of its distance to the positive alone",
    cause="missing term",
    also=("detached",),
    phase="backward",
    step=1,
    scene=_TRIPLETS,
)
def anchor_not_pushed(plant: Planting) -> None:
    def change(found: Any, incoming: Any, needs: Needs, *inputs: Array) -> Gradients:
        return (-found[1], *found[1:])  # a distance pulls both of its ends alike

    plant.rule(losses.triplet_margin_loss, with_pullback(change))


# -- likelihoods -------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "gaussian-variance-taken-for-the-deviation",
    "what is handed over as a variance is taken for a standard deviation, and squared",
    cause="wrong function",
    phase="loss",
    step=1,
    scene=_GAUSSIAN,
)
def variance_squared(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, var: Array, **options: Any) -> Any:
        value, pullback = right(input, target, var * var, **options)

        def gaussian_nll_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
            to_input, to_target, to_square = pullback(incoming, needs)
            return to_input, to_target, 2 * var * to_square

        return value, gaussian_nll_loss_pullback

    plant.rule(losses.gaussian_nll_loss, wrong)


@FAULTS.add(
    "gaussian-without-the-logarithm",
    "the logarithm of the variance is left out: a variance without end costs nothing",
    cause="missing term",
    phase="loss",
    step=1,
    scene=_GAUSSIAN,
)
def without_the_logarithm(plant: Planting) -> None:
    def wrong(right: Any, input: Array, target: Array, var: Array, **options: Any) -> Any:
        value, pullback = right(input, target, var, **options)

        def gaussian_nll_loss_pullback(incoming: Any, needs: Needs) -> Gradients:
            to_input, to_target, to_var = pullback(incoming, needs)
            return to_input, to_target, to_var - incoming / (2 * var * var.size)

        return value - np.log(var).mean() / 2, gaussian_nll_loss_pullback

    plant.rule(losses.gaussian_nll_loss, wrong)


@FAULTS.add(
    "gaussian-variance-without-gradient",
    "the variance is taken for a constant: how sure the network is never changes",
    cause="detached",
    also=("missing term",),
    phase="backward",
    step=1,
    scene=_GAUSSIAN,
)
def variance_without_gradient(plant: Planting) -> None:
    def change(found: Any, incoming: Any, needs: Needs, *inputs: Array) -> Gradients:
        return (*found[:2], np.zeros_like(inputs[2]))

    plant.rule(losses.gaussian_nll_loss, with_pullback(change))


@FAULTS.add(
    "poisson-of-a-rate",
    "a rate is taken for its logarithm: exp(x) - t x stands for x - t log x",
    cause="other option",
    phase="loss",
    step=1,
    scene=scenes.poisson(log_input=False),
)
def of_a_rate(plant: Planting) -> None:
    plant.rule(
        losses.poisson_nll_loss, lambda right, *inputs, **options: right(*inputs, **{**options, "log_input": True})
    )


@FAULTS.add(
    "poisson-with-stirlings-terms",
    "the logarithm of the count's factorial is added, which the reference leaves out",
    cause="other option",
    phase="loss",
    step=1,
    scene=_POISSON,
)
def with_stirling(plant: Planting) -> None:
    plant.rule(losses.poisson_nll_loss, lambda right, *inputs, **options: right(*inputs, **{**options, "full": True}))


@FAULTS.add(
    "poisson-gradient-without-the-exponential",
    "the gradient is x - t: the slope of squares, not exp(x) - t",
    cause="derivative of the wrong variable",
    also=("wrong derivative",),
    phase="backward",
    step=1,
    scene=_POISSON,
)
def without_the_exponential(plant: Planting) -> None:
    def change(found: Any, incoming: Any, needs: Needs, input: Array, target: Array) -> Gradients:
        return (incoming * (input - target) / input.size, None)

    plant.rule(losses.poisson_nll_loss, with_pullback(change))
