"""Honest rewrites of layers of sequences and of their losses, to which nothing may be said."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.faults import loss_scenes, sequence_scenes
from compare.faults.collecting import Controls
from compare.faults.planting import Planting
from compare.faults.recurrent import gru, layer, lstm
from manual import rules
from manual.rules import losses
from manual.rules.core import Array, Gradients, Needs

__all__ = ["CONTROLS"]

CONTROLS = Controls()


CONTROLS.add(
    "lstm-of-four-products",
    "the fused product of the gates is split into one for each gate, and done anew at every step",
    sequence_scenes.read("LSTM"),
)(
    layer(
        rules.lstm_layer,
        lstm(
            sums=lambda n: [
                n["x"] @ w.T + n["h"] @ u.T + (b + c)
                for w, u, b, c in zip(*(np.split(n[name], 4) for name in ("w_ih", "w_hh", "b_ih", "b_hh")), strict=True)
            ]
        ),
    )
)

CONTROLS.add(
    "gru-moved-from-the-old-state",
    "the new state is written h + (1 - z) (n - h)",
    sequence_scenes.read("GRU"),
)(layer(rules.gru_layer, gru(y=lambda n: n["h"] + (1 - n["z"]) * (n["n"] - n["h"]))))


@CONTROLS.add(
    "bag-mean-of-weighted-rows",
    "every entry of a bag is divided by the bag's size before the entries are added up",
    sequence_scenes.bags("mean"),
)
def weighted_rows(plant: Planting) -> None:
    def wrong(right: Any, weight: Array, *, indices: Array, offsets: Array, padding_idx: Any, **options: Any) -> Any:
        kept = indices != padding_idx
        bag = np.repeat(np.arange(len(offsets)), np.diff(np.append(offsets, len(indices))))
        share = (kept / np.maximum(np.bincount(bag, kept), 1)[bag])[:, None]
        value = np.zeros((len(offsets), weight.shape[1]))
        np.add.at(value, bag, weight[indices] * share)

        def embedding_bag_pullback(incoming: Array, needs: Needs) -> Gradients:
            chosen = np.eye(len(weight))[indices] * share
            return (chosen.T @ incoming[bag],)

        return value, embedding_bag_pullback

    plant.rule(rules.embedding_bag, wrong)


@CONTROLS.add(
    "attention-shifted-by-the-mean",
    "the softmax of the scores subtracts their mean, not their maximum, and is normalised after the product",
    sequence_scenes.attended(),
)
def shifted_by_the_mean(plant: Planting) -> None:
    def wrong(right: Any, query: Array, key: Array, value: Array, mask: Any = None, **options: Any) -> Any:
        _, pullback = right(query, key, value, mask, **options)
        scores = query @ (key.swapaxes(-1, -2) / np.sqrt(query.shape[-1]))
        raised = np.exp(scores - scores.mean(-1, keepdims=True))
        if mask is not None:
            raised = np.where(mask, raised, 0) if mask.dtype == bool else raised * np.exp(mask)
        return (raised @ value) / raised.sum(-1, keepdims=True), pullback

    plant.rule(rules.scaled_dot_product_attention, wrong)


@CONTROLS.add(
    "cosine-of-unit-vectors",
    "the vectors are brought to length one, and the cosine is their product",
    loss_scenes.pairs(),
)
def of_unit_vectors(plant: Planting) -> None:
    def wrong(right: Any, one: Array, two: Array, *, target: Array, margin: float, **options: Any) -> Any:
        _, pullback = right(one, two, target=target, margin=margin, **options)
        units = [x / np.sqrt((x * x).sum(1, keepdims=True) + losses.pairs.COSINE_EPSILON) for x in (one, two)]
        cosine = (units[0] * units[1]).sum(1)
        return np.where(target == 1, 1 - cosine, np.maximum(cosine - margin, 0)).mean(), pullback

    plant.rule(losses.cosine_embedding_loss, wrong)


@CONTROLS.add(
    "ctc-of-probabilities",
    "the sums over paths are taken of probabilities, row by row, not of their logarithms",
    loss_scenes.spelling(),
)
def of_probabilities(plant: Planting) -> None:
    def wrong(right: Any, log_probs: Array, targets: Array, inputs: Array, lengths: Array, **options: Any) -> Any:
        _, pullback = right(log_probs, targets, inputs, lengths, **options)
        total = 0.0
        for row, (times, length) in enumerate(zip(inputs, lengths, strict=True)):
            labels = np.zeros(2 * length + 1, int)
            labels[1::2] = targets[row, :length]
            steps = np.exp(log_probs[:times, row][:, labels])
            reached = np.zeros(len(labels))
            reached[:2] = steps[0, :2]
            for step in steps[1:]:
                moved = reached + np.append(0, reached[:-1])
                moved[3::2] += np.where(labels[3::2] != labels[1:-2:2], reached[1:-2:2], 0)
                reached = moved * step
            total -= np.log(reached[-2:].sum()) / length
        return np.asarray(total / len(inputs)), pullback

    plant.rule(losses.ctc_loss, wrong)
