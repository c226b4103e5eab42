"""Mistakes in embeddings and in normalisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compare.faults import models_manual as models
from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Planting
from manual import rules
from manual.rules import arithmetic
from manual.rules.core import Array, Gradients, Needs
from manual.tensor import Tensor, apply

__all__ = ["FAULTS"]

FAULTS = Faults()
_TOKENS = scenes.tagger()
_LAYER_NORM = scenes.with_layer_norm()
_BATCH_NORM = scenes.batch_norm()


# -- embeddings --------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "padding-index-learnt",
    "the row of the padding index gets a gradient like all others",
    cause="padding index ignored",
    phase="deposit",
    step=1,
    scene=_TOKENS,
    source="pytorch/pytorch#26302",
)
def padding_learnt(plant: Planting) -> None:
    plant.rule(rules.embedding, lambda right, weight, **options: right(weight, **{**options, "padding_idx": None}))


@FAULTS.add(
    "repeated-token-overwritten",
    "of a token that occurs several times the last gradient is assigned: table[index] = gradient",
    cause="overwritten instead of added",
    phase="deposit",
    step=1,
    scene=_TOKENS,
)
def repeated_overwritten(plant: Planting) -> None:
    def wrong(right: Any, weight: Array, *, indices: Array, padding_idx: Any, **options: Any) -> Any:
        def embedding_pullback(incoming: Array, needs: Needs) -> Gradients:
            gradient = np.zeros_like(weight)
            gradient[indices] = incoming
            gradient[padding_idx] = 0
            return (gradient,)

        return weight[indices], embedding_pullback

    plant.rule(rules.embedding, wrong)


@FAULTS.add(
    "tied-weight-keeps-one-gradient",
    "the table that also scores the tokens keeps the gradient of the scores alone",
    cause="overwritten instead of added",
    also=("missing term",),
    phase="deposit",
    step=1,
    scene=scenes.tagger(tied=True),
    source="entrenar#314",
)
def tied_keeps_one(plant: Planting) -> None:
    plant.rule(rules.embedding, lambda right, weight, **options: (right(weight, **options)[0], _no_gradient))


def _no_gradient(incoming: Any, needs: Needs) -> Gradients:
    return (None,) * len(needs)


@FAULTS.add(
    "embedding-not-scaled",
    "the embeddings are not multiplied by the root of their width",
    cause="scale left out",
    phase="forward",
    step=1,
    scene=_TOKENS,
)
def embedding_not_scaled(plant: Planting) -> None:
    plant.replace(models.Tagger, "scale", lambda right, model: 1.0)


@FAULTS.add(
    "places-counted-from-the-end",
    "the vectors of the places are added in reverse order",
    cause="reversed",
    phase="forward",
    step=1,
    scene=_TOKENS,
)
def places_reversed(plant: Planting) -> None:
    plant.replace(models.Positions, "forward", lambda right, layer, x: x + layer.weight.flip(0))


@FAULTS.add(
    "spread-gradient-averaged",
    "the gradient of a value that was spread over the rows is their mean, not their sum",
    cause="broadcasting not summed",
    also=("mean instead of sum",),
    phase="deposit",
    step=1,
    scene=_TOKENS,
)
def spread_averaged(plant: Planting) -> None:
    def unbroadcast(right: Any, gradient: Array, shape: tuple[int, ...]) -> Array:
        return right(gradient, shape) * (math.prod(shape) / gradient.size)

    plant.replace(arithmetic, "unbroadcast", unbroadcast)


# -- normalisation -----------------------------------------------------------------------------------------------------


def _standardised(plant: Planting, normal: Any) -> None:
    """Layer norm by ``normal(x, eps)``, which returns the normal values and one over their divisor."""
    plant.replace(models, "standardised", lambda right, x, eps: normal(x, eps))


@FAULTS.add(
    "layer-norm-unbiased",
    "the variance of layer norm divides by n - 1",
    cause="biased or unbiased variance",
    also=("wrong denominator",),
    phase="forward",
    step=1,
    scene=_LAYER_NORM,
    source="harvardnlp/annotated-transformer#119",
)
def layer_norm_unbiased(plant: Planting) -> None:
    def normal(x: Array, eps: float) -> Any:
        inverse = 1 / np.sqrt(x.var(-1, keepdims=True, ddof=1) + eps)
        return (x - x.mean(-1, keepdims=True)) * inverse, inverse

    _standardised(plant, normal)


@FAULTS.add(
    "layer-norm-eps-outside",
    "eps is added to the standard deviation",
    cause="eps outside the root",
    phase="forward",
    step=1,
    scene=_LAYER_NORM,
    source="harvardnlp/annotated-transformer#119",
)
def layer_norm_eps_outside(plant: Planting) -> None:
    def normal(x: Array, eps: float) -> Any:
        inverse = 1 / (x.std(-1, keepdims=True) + eps)
        return (x - x.mean(-1, keepdims=True)) * inverse, inverse

    _standardised(plant, normal)


@FAULTS.add(
    "layer-norm-over-the-batch",
    "mean and variance are taken over the rows, not over the features",
    cause="wrong axis",
    phase="forward",
    step=1,
    scene=_LAYER_NORM,
)
def layer_norm_over_the_batch(plant: Planting) -> None:
    def normal(x: Array, eps: float) -> Any:
        inverse = 1 / np.sqrt(x.var(0, keepdims=True) + eps)
        return (x - x.mean(0, keepdims=True)) * inverse, inverse

    _standardised(plant, normal)


@FAULTS.add(
    "layer-norm-mean-outside-the-graph",
    "the mean is computed outside the graph, and no gradient flows through it",
    cause="detached",
    also=("missing term",),
    phase="backward",
    step=1,
    scene=_LAYER_NORM,
)
def mean_outside(plant: Planting) -> None:
    def gradient(right: Any, incoming: Array, normal: Array, inverse: Array) -> Array:
        return inverse * (incoming - normal * (incoming * normal).mean(-1, keepdims=True))

    plant.replace(models, "standardised_gradient", gradient)


@FAULTS.add(
    "layer-norm-gradient-as-a-scale",
    "the backward pass takes mean and variance for constants",
    cause="missing term",
    phase="backward",
    step=1,
    scene=_LAYER_NORM,
)
def gradient_as_a_scale(plant: Planting) -> None:
    plant.replace(models, "standardised_gradient", lambda right, incoming, normal, inverse: inverse * incoming)


@FAULTS.add(
    "layer-norm-scale-never-learns",
    "the scale of layer norm is a plain tensor that asks for no gradient",
    cause="detached",
    phase="deposit",
    step=1,
    scene=_LAYER_NORM,
    source="harvard-edge/cs249r_book#1504",
)
def scale_never_learns(plant: Planting) -> None:
    def forward(right: Any, layer: Any, input: Tensor) -> Any:
        return apply(models.layer_norm, input, layer.weight.detach(), layer.bias, eps=layer.eps)

    plant.replace(models.LayerNorm, "forward", forward)


@FAULTS.add(
    "weight-norm-length-detached",
    "the length of the direction is taken for a constant",
    cause="detached",
    also=("missing term",),
    phase="deposit",
    step=1,
    scene=scenes.with_weight_norm(),
)
def length_detached(plant: Planting) -> None:
    plant.rule(rules.norm, lambda right, x, **options: (right(x, **options)[0], _no_gradient))


@FAULTS.add(
    "running-variance-biased",
    "the running variance takes up the biased variance of the batch",
    cause="biased or unbiased variance",
    also=("wrong denominator",),
    phase="buffer",
    step=1,
    scene=_BATCH_NORM,
    source="pytorch/pytorch#3122",
)
def running_variance_biased(plant: Planting) -> None:
    def track(right: Any, layer: Any, input: Array) -> None:
        before = layer.running_var.copy()
        right(layer, input)
        layer.running_var[...] = before + layer.momentum * (input.var(0) - before)

    plant.replace(models.BatchNorm1d, "track", track)


@FAULTS.add(
    "running-momentum-the-other-way",
    "the momentum is the share of the old value, as in TensorFlow, not of the new one",
    cause="moment without its average",
    phase="buffer",
    step=1,
    scene=_BATCH_NORM,
)
def momentum_the_other_way(plant: Planting) -> None:
    def track(right: Any, layer: Any, input: Array) -> None:
        layer.momentum = 1 - layer.momentum
        right(layer, input)
        layer.momentum = 1 - layer.momentum

    plant.replace(models.BatchNorm1d, "track", track)


@FAULTS.add(
    "running-statistics-never-updated",
    "the running statistics stay where they started",
    cause="buffer not updated",
    phase="buffer",
    step=1,
    scene=_BATCH_NORM,
)
def never_updated(plant: Planting) -> None:
    def track(right: Any, layer: Any, input: Array) -> None:
        layer.num_batches_tracked += 1

    plant.replace(models.BatchNorm1d, "track", track)


@FAULTS.add(
    "frozen-statistics-drift",
    "a frozen batch norm goes on updating its running statistics",
    cause="buffer updated when frozen",
    phase="buffer",
    step=1,
    scene=scenes.batch_norm(frozen=True),
    source="pgniewko/gt-pyg#112",
)
def frozen_drift(plant: Planting) -> None:
    def forward(right: Any, layer: Any, input: Tensor) -> Any:
        output = right(layer, input)
        layer.track(input.data)
        return output

    plant.replace(models.BatchNorm1d, "forward", forward)


@FAULTS.add(
    "batch-norm-unbiased",
    "the batch is normalised by its unbiased variance",
    cause="biased or unbiased variance",
    also=("wrong denominator",),
    phase="forward",
    step=1,
    scene=_BATCH_NORM,
)
def batch_norm_unbiased(plant: Planting) -> None:
    def forward(right: Any, layer: Any, input: Tensor) -> Any:
        layer.track(input.data)
        normal = (input - input.mean(0)) / (input.var(0, unbiased=True) + layer.eps) ** 0.5
        return normal * layer.weight + layer.bias

    plant.replace(models.BatchNorm1d, "forward", forward)
