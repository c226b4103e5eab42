"""Mistakes in tables of vectors, in multi-head attention, and in a layer of a transformer's encoder."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compare.faults import sequence_scenes as scenes
from compare.faults.collecting import Faults, with_pullback
from compare.faults.planting import Planting
from manual import nn, rules
from manual.nn.functional import attention
from manual.rules.core import Array, Gradients, Needs
from manual.tensor import Tensor, apply

__all__ = ["FAULTS"]

FAULTS = Faults()
_MEAN = scenes.bags("mean")
_ATTENTION = scenes.attended()


# -- tables ------------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "embedding-not-divided-by-frequency",
    "the gradient of a row is the sum over its uses, where the mean is asked for",
    cause="sum instead of mean",
    phase="deposit",
    step=1,
    scene=scenes.looked_up(by_frequency=True),
)
def not_by_frequency(plant: Planting) -> None:
    plant.rule(
        rules.embedding, lambda right, weight, **options: right(weight, **{**options, "scale_grad_by_freq": False})
    )


@FAULTS.add(
    "bag-mean-counts-the-padding",
    "the mean of a bag divides by all its entries, padding among them",
    cause="wrong denominator",
    phase="forward",
    step=1,
    scene=_MEAN,
)
def mean_counts_padding(plant: Planting) -> None:
    def wrong(right: Any, weight: Array, *, indices: Array, offsets: Array, **options: Any) -> Any:
        value, pullback = right(weight, indices=indices, offsets=offsets, **options)
        counted = np.add.reduceat(indices != options["padding_idx"], offsets[: len(value)])
        share = (counted / np.diff(np.append(offsets[: len(value)], len(indices))))[:, None]
        return value * share, lambda incoming, needs: pullback(incoming * share, needs)

    plant.rule(rules.embedding_bag, wrong)


@FAULTS.add(
    "bag-gradient-not-divided",
    "each entry of a bag gets the whole gradient of the bag's mean",
    cause="sum instead of mean",
    phase="deposit",
    step=1,
    scene=_MEAN,
)
def bag_not_divided(plant: Planting) -> None:
    def wrong(right: Any, weight: Array, **options: Any) -> Any:
        value, _ = right(weight, **options)
        return value, right(weight, **{**options, "mode": "sum"})[1]

    plant.rule(rules.embedding_bag, wrong)


@FAULTS.add(
    "bag-maximum-shared-by-ties",
    "every entry that equals the maximum of its bag gets the gradient, a token that occurs twice gets it twice",
    cause="tie policy",
    phase="deposit",
    step=1,
    scene=scenes.bags("max"),
)
def maximum_shared(plant: Planting) -> None:
    def wrong(right: Any, weight: Array, *, indices: Array, offsets: Array, padding_idx: Any, **options: Any) -> Any:
        value, _ = right(weight, indices=indices, offsets=offsets, padding_idx=padding_idx, **options)
        bag = np.repeat(np.arange(len(value)), np.diff(np.append(offsets[: len(value)], len(indices))))

        def embedding_bag_pullback(incoming: Array, needs: Needs) -> Gradients:
            largest = (weight[indices] == value[bag]) & (indices != padding_idx)[:, None]
            gradient = np.zeros_like(weight)
            np.add.at(gradient, indices, largest * incoming[bag])
            return (gradient,)

        return value, embedding_bag_pullback

    plant.rule(rules.embedding_bag, wrong)


# -- attention ---------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "multi-head-padding-ignored",
    "the mask of padded keys is accepted and not used",
    cause="mask ignored",
    phase="forward",
    step=1,
    scene=_ATTENTION,
)
def padding_ignored(plant: Planting) -> None:
    plant.replace(attention, "_joined", lambda right, attn_mask, padding, batch: attn_mask)


@FAULTS.add(
    "multi-head-heads-not-moved-back",
    "the heads are reshaped into the width from where they stand, before the places",
    cause="permuted",
    phase="forward",
    step=1,
    scene=_ATTENTION,
)
def heads_not_moved_back(plant: Planting) -> None:
    def found(right: Any, *inputs: Any, **options: Any) -> Any:
        mixed = right(*inputs, **options)
        batch, heads, places, width = mixed.shape
        turned = apply(rules.reshape, mixed, shape=(batch, places, heads, width))
        return apply(rules.permute, turned, dims=(0, 2, 1, 3))

    plant.replace(attention, "scaled_dot_product_attention", found)


@FAULTS.add(
    "multi-head-scaled-by-the-width",
    "the scores are divided by the width of a head, not by its root",
    cause="scale left out",
    phase="forward",
    step=1,
    scene=_ATTENTION,
)
def scaled_by_the_width(plant: Planting) -> None:
    def wrong(right: Any, query: Array, *others: Any, **options: Any) -> Any:
        return right(query, *others, **{**options, "scale": 1 / query.shape[-1]})

    plant.rule(rules.scaled_dot_product_attention, wrong)


@FAULTS.add(
    "multi-head-projections-in-another-order",
    "the stacked projections are cut into queries, values and keys, in this order",
    cause="permuted",
    phase="forward",
    step=1,
    scene=_ATTENTION,
)
def projections_exchanged(plant: Planting) -> None:
    def projected(right: Any, *arguments: Any) -> Any:
        q, k, v = right(*arguments)
        return q, v, k

    plant.replace(attention, "_projected", projected)


@FAULTS.add(
    "multi-head-query-gradient-not-scaled",
    "the gradient of the queries lacks the scale of the scores",
    cause="scale left out",
    phase="backward",
    step=1,
    scene=_ATTENTION,
)
def queries_gradient_not_scaled(plant: Planting) -> None:
    def change(found: Gradients, incoming: Any, needs: Needs, query: Array, *others: Any) -> Gradients:
        to_query, *rest = found
        return (None if to_query is None else to_query * math.sqrt(query.shape[-1]), *rest)

    plant.rule(rules.scaled_dot_product_attention, with_pullback(change))


@FAULTS.add(
    "multi-head-learnt-key-for-the-value",
    "the learnt key is appended to the values too, in the place of the learnt value",
    cause="wrong operand",
    phase="forward",
    step=1,
    scene=scenes.attended(extra=True),
)
def key_for_the_value(plant: Planting) -> None:
    held: list[Tensor] = []

    def head_of_bias(right: Any, bias: Any, *arguments: Any) -> Any:
        held.append(bias)
        return right(held[(len(held) - 1) // 2 * 2], *arguments)

    plant.replace(attention, "_head_of_bias", head_of_bias)


# -- encoder -----------------------------------------------------------------------------------------------------------


def _blocks(layer: Any, src: Tensor, padding: Any) -> tuple[Any, Any]:
    """What the layer adds to its input, twice, without any normalisation."""
    mask, hidden = attention.canonical_masks(None, padding, ("src_mask", "src_key_padding_mask"), src.dtype)
    return (lambda x: layer._sa_block(x, mask, hidden)), layer._ff_block


@FAULTS.add(
    "encoder-normalised-first",
    "what is attended from and what is fed is normalised, where the sums are to be",
    cause="other order",
    phase="forward",
    step=1,
    scene=scenes.encoder(),
)
def normalised_first(plant: Planting) -> None:
    def forward(right: Any, layer: Any, src: Tensor, src_key_padding_mask: Any = None) -> Any:
        attend, feed = _blocks(layer, src, src_key_padding_mask)
        x = src + attend(layer.norm1(src))
        return x + feed(layer.norm2(x))

    plant.replace(nn.TransformerEncoderLayer, "forward", forward)


@FAULTS.add(
    "encoder-without-the-second-shortcut",
    "what is fed is not added to its input",
    cause="missing term",
    phase="forward",
    step=1,
    scene=scenes.encoder(),
)
def second_shortcut_left_out(plant: Planting) -> None:
    def forward(right: Any, layer: Any, src: Tensor, src_key_padding_mask: Any = None) -> Any:
        attend, feed = _blocks(layer, src, src_key_padding_mask)
        return layer.norm2(feed(layer.norm1(src + attend(src))))

    plant.replace(nn.TransformerEncoderLayer, "forward", forward)


@FAULTS.add(
    "encoder-shortcut-from-the-normalised",
    "with the norm first, the shortcut starts behind the norm: x = norm(x); x + attend(x)",
    cause="wrong operand",
    phase="forward",
    step=1,
    scene=scenes.encoder(norm_first=True),
)
def shortcut_from_the_normalised(plant: Planting) -> None:
    def forward(right: Any, layer: Any, src: Tensor, src_key_padding_mask: Any = None) -> Any:
        attend, feed = _blocks(layer, src, src_key_padding_mask)
        x = layer.norm1(src)
        x = x + attend(x)
        return x + feed(layer.norm2(x))

    plant.replace(nn.TransformerEncoderLayer, "forward", forward)
