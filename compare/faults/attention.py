"""Mistakes in attention, and at kinks and roots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compare.faults import models_manual as models
from compare.faults import scenes
from compare.faults.collecting import Faults, with_pullback
from compare.faults.planting import Planting
from manual import rules
from manual.nn import Module
from manual.rules.core import Array, Gradients, Needs
from manual.tensor import Tensor

__all__ = ["FAULTS"]

FAULTS = Faults()
_ATTENTION = scenes.attention()


@FAULTS.add(
    "scores-not-scaled",
    "the scores are not divided by the root of the width of a head",
    cause="scale left out",
    phase="forward",
    step=1,
    scene=_ATTENTION,
)
def scores_not_scaled(plant: Planting) -> None:
    plant.replace(models.Attention, "scores", lambda right, model, query, key: query @ key.transpose(2, 3))


@FAULTS.add(
    "scores-scaled-by-the-whole-width",
    "the scores are divided by the root of the model's width, not of a head's",
    cause="scale left out",
    phase="forward",
    step=1,
    scene=_ATTENTION,
)
def scaled_by_the_whole_width(plant: Planting) -> None:
    def scores(right: Any, model: Any, query: Tensor, key: Tensor) -> Any:
        return right(model, query, key) * (1 / math.sqrt(model.heads))

    plant.replace(models.Attention, "scores", scores)


@FAULTS.add(
    "queries-and-keys-exchanged",
    "the scores of keys against queries are taken for those of queries against keys",
    cause="transposed",
    phase="forward",
    step=1,
    scene=_ATTENTION,
)
def exchanged(plant: Planting) -> None:
    plant.replace(models.Attention, "scores", lambda right, model, query, key: right(model, key, query))


@FAULTS.add(
    "heads-merged-without-turning-back",
    "the heads are reshaped into the width without moving their axis behind the places first",
    cause="permuted",
    phase="forward",
    step=1,
    scene=_ATTENTION,
)
def heads_merged(plant: Planting) -> None:
    def merge(right: Any, model: Any, x: Tensor) -> Any:
        rows, heads, places, width = x.shape
        return x.reshape(rows, places, heads * width)

    plant.replace(models.Attention, "merge", merge)


@FAULTS.add(
    "softmax-over-an-implicit-axis",
    "the softmax of the scores runs over the axis that the library chooses",
    cause="wrong axis",
    phase="forward",
    step=1,
    scene=_ATTENTION,
    source="triton-lang/triton#11409",
)
def implicit_axis(plant: Planting) -> None:
    def attend(right: Any, layer: Any, scores: Tensor, blank: Array) -> Any:
        nothing = blank.all(1).reshape(-1, 1, 1, 1)
        masked = scores.masked_fill(blank[:, None, None, :] & ~nothing, -1e9)
        return masked.softmax(1).masked_fill(nothing, 0.0)

    plant.replace(models.Weights, "attend", attend)


@FAULTS.add(
    "masked-scores-set-to-a-small-value",
    "masked scores are set to 1e-12, not to minus infinity",
    cause="mask with a small value",
    phase="forward",
    step=1,
    scene=_ATTENTION,
    source="hyunwoongko/transformer#10",
)
def small_value(plant: Planting) -> None:
    def attend(right: Any, layer: Any, scores: Tensor, blank: Array) -> Any:
        nothing = blank.all(1).reshape(-1, 1, 1, 1)
        masked = scores.masked_fill(blank[:, None, None, :] & ~nothing, 1e-12)
        return masked.softmax(-1).masked_fill(nothing, 0.0)

    plant.replace(models.Weights, "attend", attend)


@FAULTS.add(
    "mask-not-applied",
    "blank places are attended to like all others",
    cause="mask ignored",
    phase="forward",
    step=1,
    scene=_ATTENTION,
)
def mask_not_applied(plant: Planting) -> None:
    def attend(right: Any, layer: Any, scores: Tensor, blank: Array) -> Any:
        return right(layer, scores, np.zeros_like(blank) | blank.all(1).reshape(-1, 1))

    plant.replace(models.Weights, "attend", attend)


@FAULTS.add(
    "fully-masked-row",
    "a row of nothing but minus infinities has NaN for its softmax, which the gradient's zeros do not stop",
    cause="non-finite",
    phase="backward",
    step=1,
    scene=_ATTENTION,
    source="pytorch/pytorch#41508",
)
def fully_masked_row(plant: Planting) -> None:
    def attend(right: Any, layer: Any, scores: Tensor, blank: Array) -> Any:
        with np.errstate(invalid="ignore"):
            weights = (scores + np.where(blank[:, None, None, :], -np.inf, 0.0)).softmax(-1)
        return weights.masked_fill(blank.all(1).reshape(-1, 1, 1, 1), 0.0)

    plant.replace(models.Weights, "attend", attend)


@FAULTS.add(
    "softmax-gradient-of-the-diagonal",
    "the backward pass of softmax has y (1 - y) alone, the diagonal of its Jacobian",
    cause="missing term",
    phase="backward",
    step=1,
    scene=_ATTENTION,
)
def of_the_diagonal(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, dim: int) -> Any:
        y, _ = right(x, dim=dim)
        return y, lambda incoming, needs: (incoming * y * (1 - y),)

    plant.rule(rules.softmax, wrong)


@FAULTS.add(
    "mean-outside-the-graph",
    "the mean over the places is computed on the bare array: nothing below it gets a gradient",
    cause="detached",
    phase="deposit",
    step=1,
    scene=_ATTENTION,
    source="TrenTorch#53",
)
def pooling_outside(plant: Planting) -> None:
    plant.replace(models.Attention, "pool", lambda right, model, x: Tensor(x.data.mean(1)))


# -- kinks and roots ---------------------------------------------------------------------------------------------------


@FAULTS.add(
    "all-maxima-get-the-gradient",
    "every place that equals the maximum gets the whole gradient: (x == max) * incoming",
    cause="tie policy",
    phase="backward",
    step=1,
    scene=scenes.pooled(),
    source="tensorflow/tensorflow#4886",
)
def all_maxima(plant: Planting) -> None:
    def change(found: Gradients, incoming: Any, needs: Needs, x: Array) -> Gradients:
        return ((x == x.max(1, keepdims=True)) * incoming[0][:, None],)

    plant.rule(rules.max, with_pullback(change))


@FAULTS.add(
    "nan-from-the-branch-not-taken",
    "the root of negative numbers is replaced by zero after it has been taken: its gradient is 0 times NaN",
    cause="non-finite",
    phase="backward",
    step=1,
    scene=scenes.rooted(),
    source="pytorch/pytorch#68425",
)
def branch_not_taken(plant: Planting) -> None:
    def forward(right: Any, layer: Module, input: Tensor) -> Any:
        with np.errstate(invalid="ignore"):
            return input.sqrt().where(input.data > 0, 0.0)

    plant.replace(models.Root, "forward", forward)


@FAULTS.add(
    "shortcut-without-gradient",
    "the gradient goes through the layer, and not past it along the shortcut",
    cause="detached",
    also=("missing term",),
    phase="backward",
    step=1,
    scene=scenes.residual(),
)
def shortcut_without_gradient(plant: Planting) -> None:
    def forward(right: Any, model: Any, input: Tensor) -> Any:
        hidden = model.act(model.inner(input))
        return model.head(hidden.detach() + model.act(model.inner(hidden)))

    plant.replace(models.Residual, "forward", forward)
