"""Mistakes in linear layers, and in the engine that goes backwards through all of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

import manual.training
from compare.faults import scenes
from compare.faults.collecting import Faults, with_pullback
from compare.faults.planting import Plant, Planting
from manual import engine, rules
from manual.nn import Linear
from manual.rules.core import Array

__all__ = ["FAULTS"]

FAULTS = Faults()
_PLAIN = scenes.network()
_SQUARE = scenes.network(sizes=(9, 5, 5, 10))
_TENSOR = import_module("manual.tensor")  # the package has a function of that name


def _linear(change: Callable[..., Any]) -> Plant:
    """A linear layer whose gradients are ``change(gradients, incoming, input, weight)``."""
    wrong = with_pullback(lambda found, incoming, needs, *inputs: change(found, incoming, *inputs[:2]))
    return lambda plant: plant.rule(rules.linear, wrong)


# -- linear layers -----------------------------------------------------------------------------------------------------

FAULTS.add(
    "input-gradient-through-the-transpose",
    "the incoming gradient is multiplied by the transposed weight, which fits where the layer is square",
    cause="transposed",
    phase="backward",
    step=1,
    scene=_SQUARE,
)(
    _linear(
        lambda found, incoming, x, weight: (
            incoming @ weight.T if weight.shape[0] == weight.shape[1] and found[0] is not None else found[0],
            *found[1:],
        )
    )
)

FAULTS.add(
    "weight-gradient-transposed",
    "the outer product of a square layer's weight gradient is taken the other way round",
    cause="transposed",
    phase="deposit",
    step=1,
    scene=_SQUARE,
)(
    _linear(
        lambda found, incoming, x, weight: (
            found[0],
            found[1].T if weight.shape[0] == weight.shape[1] else found[1],
            *found[2:],
        )
    )
)

FAULTS.add(
    "weight-gradient-with-the-output",
    "the weight's gradient takes the layer's output in place of its input",
    cause="wrong operand",
    phase="deposit",
    step=1,
    scene=_SQUARE,
)(
    _linear(
        lambda found, incoming, x, weight: (
            found[0],
            incoming.T @ (x @ weight.T) if weight.shape[0] == weight.shape[1] else found[1],
            *found[2:],
        )
    )
)

FAULTS.add(
    "bias-gradient-of-the-last-row",
    "the bias gets the last row's gradient, not the sum over the rows",
    cause="broadcasting not summed",
    also=("overwritten instead of added",),
    phase="deposit",
    step=1,
    scene=_PLAIN,
)(_linear(lambda found, incoming, x, weight: (*found[:2], incoming[-1].copy())))

FAULTS.add(
    "weight-gradient-averaged-again",
    "the weight's gradient is divided by the rows, which the loss's mean has done",
    cause="divided twice",
    also=("mean instead of sum",),
    phase="deposit",
    step=1,
    scene=_PLAIN,
)(_linear(lambda found, incoming, x, weight: (found[0], found[1] / len(x), *found[2:])))


@FAULTS.add(
    "bias-not-added",
    "the forward pass forgets the bias",
    cause="missing term",
    phase="forward",
    step=1,
    scene=_PLAIN,
)
def bias_not_added(plant: Planting) -> None:
    def wrong(right: Any, input: Array, weight: Array, bias: Any = None) -> Any:
        value, pullback = right(input, weight, bias)
        return value - bias, pullback

    plant.rule(rules.linear, wrong)


@FAULTS.add(
    "product-in-float32",
    "a float64 layer multiplies in float32",
    cause="lower precision",
    phase="forward",
    step=1,
    scene=_PLAIN,
)
def product_in_float32(plant: Planting) -> None:
    def wrong(right: Any, input: Array, weight: Array, bias: Any = None) -> Any:
        _, pullback = right(input, weight, bias)
        return (input.astype(np.float32) @ weight.T.astype(np.float32)).astype(input.dtype) + bias, pullback

    plant.rule(rules.linear, wrong)


@FAULTS.add(
    "weights-cached-at-the-first-call",
    "the transposed weight is kept from the first call, and later updates are not seen",
    cause="stale weights",
    phase="forward",
    step=2,
    scene=_PLAIN,
)
def weights_cached(plant: Planting) -> None:
    cached: dict[Any, Array] = {}

    def forward(right: Any, layer: Any, input: Any) -> Any:
        first = cached.setdefault(layer, layer.weight.data.copy())
        now = layer.weight.data
        layer.weight.data = first
        try:
            return right(layer, input)
        finally:
            layer.weight.data = now

    plant.replace(Linear, "forward", forward)


@FAULTS.add(
    "layers-updated-during-the-backward",
    "each layer moves its weight before it hands the gradient on through it",
    cause="already updated weights",
    phase="backward",
    step=1,
    scene=_PLAIN,
)
def updated_during_the_backward(plant: Planting) -> None:
    rate = [0.0]

    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        rate[0] = side.learning_rate[0] * weight
        return right(side, micro_batch, weight)

    def through(found: Any, incoming: Array, x: Array, weight: Array) -> Any:
        to_input = None if found[0] is None else incoming @ (weight - rate[0] * found[1])
        return to_input, *found[1:]

    plant.replace(manual.training.Side, "accumulate", accumulate)
    _linear(through)(plant)


# -- the engine --------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "shared-gradient-overwritten",
    "a parameter that is used twice keeps the gradient of one use only",
    cause="overwritten instead of added",
    also=("missing term",),
    phase="deposit",
    step=1,
    scene=scenes.residual(),
)
def shared_gradient_overwritten(plant: Planting) -> None:
    def sweep(right: Any, roots: list[Any], seeds: list[Array], **options: Any) -> None:
        shares: dict[Any, list[Any]] = {}
        leaves: dict[int, Any] = {}
        given: Any = zip(roots, seeds, strict=True)
        while True:
            for tensor, share in given:
                if tensor._node is None:
                    leaves[id(tensor)] = (tensor, share)
                else:
                    _add(shares, tensor, share)
            if not shares:
                break
            node = max(shares, key=lambda node: node.number)
            given = engine._pull_back(node, shares.pop(node), False)
        for leaf, gradient in leaves.values():
            engine._deposit(leaf, gradient)

    plant.replace(_TENSOR, "sweep", sweep)


@FAULTS.add(
    "backward-visits-consumers-twice",
    "the recursion goes on from a tensor whenever a share arrives there, with all shares so far",
    cause="doubled term",
    phase="backward",
    step=1,
    scene=scenes.residual(),
)
def visits_twice(plant: Planting) -> None:
    def sweep(right: Any, roots: list[Any], seeds: list[Array], **options: Any) -> None:
        shares: dict[Any, list[Any]] = {}
        leaves: dict[int, Any] = {}

        def visit(tensor: Any, share: Array) -> None:
            if tensor._node is None:
                held = leaves.get(id(tensor))
                leaves[id(tensor)] = (tensor, share if held is None else held[1] + share)
                return
            _add(shares, tensor, share)
            for input, gradient in engine._pull_back(tensor._node, list(shares[tensor._node]), True):
                visit(input, gradient)

        for root, seed in zip(roots, seeds, strict=True):
            visit(root, seed)
        for leaf, gradient in leaves.values():
            engine._deposit(leaf, gradient)

    plant.replace(_TENSOR, "sweep", sweep)


def _add(shares: dict[Any, list[Any]], tensor: Any, share: Array) -> None:
    held = shares.setdefault(tensor._node, [None] * tensor._node.outputs)
    held[tensor._index] = share if held[tensor._index] is None else held[tensor._index] + share
