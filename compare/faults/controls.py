"""Honest rewrites of losses and layers: other arithmetic for the same mathematics, to which nothing may be said.

Sums in another order, products the other way round, formulas that are equal on paper. Most are planted into float64,
where rounding is small, and some into float32, where it is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compare.faults import models_manual as models
from compare.faults import scenes
from compare.faults.collecting import Controls
from compare.faults.planting import Plant, Planting
from manual import rules
from manual.rules import losses
from manual.rules.core import Array, Needs
from manual.tensor import Tensor

__all__ = ["CONTROLS"]

CONTROLS = Controls()
_NETWORK = scenes.network()
_SINGLE = scenes.network(dtype="float32")
_LAYER_NORM = scenes.with_layer_norm()


# -- products and sums -------------------------------------------------------------------------------------------------


def _product(
    multiply: Callable[[Array, Array], Array], add_rows: Callable[[Array], Array] = lambda g: g.sum(0)
) -> Plant:
    """A linear layer whose products of matrices are ``multiply(a, b)``, its sum of rows ``add_rows(gradient)``."""

    def wrong(right: Any, x: Array, weight: Array, bias: Any = None) -> Any:
        def linear_pullback(incoming: Array, needs: Needs) -> Any:
            to_input = multiply(incoming, weight) if needs[0] else None
            return to_input, multiply(incoming.T, x), *([add_rows(incoming)] if len(needs) > 2 else [])

        value = multiply(x, weight.T)
        return value if bias is None else value + bias, linear_pullback

    return lambda plant: plant.rule(rules.linear, wrong)


def _in_chunks(a: Array, b: Array) -> Array:
    parts = [a[:, start : start + 2] @ b[start : start + 2] for start in range(0, len(b), 2)]
    total = parts[-1]
    for part in parts[:-1]:
        total = part + total
    return total


def _kahan(rows: Array) -> Array:
    total = np.zeros_like(rows[0])
    lost = np.zeros_like(total)
    for row in rows:
        corrected = row - lost
        raised = total + corrected
        lost = (raised - total) - corrected
        total = raised
    return total


def _one_by_one(values: Array) -> Any:
    return np.cumsum(values, axis=0)[-1]


CONTROLS.add(
    "rows-added-backwards",
    "every sum over the rows, and every product that has one, runs from the last row to the first",
    _NETWORK,
    _SINGLE,
)(_product(lambda a, b: a[:, ::-1] @ b[::-1], lambda g: _one_by_one(g[::-1])))

CONTROLS.add(
    "product-the-other-way-round",
    "A B is computed as the transpose of B' A'",
    _NETWORK,
    _SINGLE,
)(_product(lambda a, b: np.ascontiguousarray((b.T @ a.T).T)))

CONTROLS.add(
    "product-in-chunks",
    "products are added up from pieces of two columns each",
    _NETWORK,
    _SINGLE,
)(_product(_in_chunks))

CONTROLS.add(
    "product-by-einsum",
    "products are taken element by element in place of by BLAS",
    _NETWORK,
    _SINGLE,
)(_product(lambda a, b: np.einsum("ij,jk->ik", a, b)))

CONTROLS.add(
    "bias-gradient-with-compensation",
    "the rows of the bias's gradient are added with Kahan's compensation",
    _NETWORK,
    _SINGLE,
)(_product(lambda a, b: a @ b, _kahan))

CONTROLS.add(
    "products-added-in-float64",
    "float32 products are accumulated in float64 and rounded once",
    _SINGLE,
)(_product(lambda a, b: (a.astype(np.float64) @ b.astype(np.float64)).astype(a.dtype)))


# -- losses ------------------------------------------------------------------------------------------------------------


def _cross_entropy(
    shift: Callable[[Array], Array] = lambda x: x.max(1, keepdims=True),
    mean: Callable[[Array], Any] = lambda terms: terms.mean(),
) -> Plant:
    """Cross entropy by ``log_softmax``, shifted by ``shift(logits)``, its terms averaged by ``mean(terms)``."""

    def wrong(right: Any, x: Array, target: Array, **options: Any) -> Any:
        shifted = x - shift(x)
        log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        at_target = np.eye(x.shape[1], dtype=x.dtype)[target]
        value = mean(-log_p[np.arange(len(x)), target])
        return value, lambda incoming, needs: ((np.exp(log_p) - at_target) * (incoming / x.dtype.type(len(x))), None)

    return lambda plant: plant.rule(losses.cross_entropy, wrong)


CONTROLS.add(
    "mean-as-a-product",
    "the mean over the rows is their sum times 1/n",
    _NETWORK,
    _SINGLE,
)(_cross_entropy(mean=lambda terms: terms.sum() * terms.dtype.type(1 / len(terms))))

CONTROLS.add(
    "logsumexp-shifted-by-the-mean",
    "the logits are shifted by their mean, not by their maximum",
    _NETWORK,
    _SINGLE,
)(_cross_entropy(lambda x: x.mean(1, keepdims=True)))

CONTROLS.add(
    "loss-added-one-by-one",
    "the terms of the loss are added up in their order, not in pairs",
    _NETWORK,
    _SINGLE,
)(_cross_entropy(mean=lambda terms: _one_by_one(terms) / terms.dtype.type(len(terms))))


@CONTROLS.add(
    "log-softmax-applied-twice",
    "log_softmax is applied to log-probabilities, which it leaves as they are",
    scenes.distillation(),
)
def log_softmax_twice(plant: Planting) -> None:
    def twice(right: Any, x: Array, *, dim: int) -> Any:
        once, first = right(x, dim=dim)
        value, second = right(once, dim=dim)
        return value, lambda incoming, needs: first(second(incoming, needs)[0], needs)

    plant.rule(rules.log_softmax, twice)


# -- layers ------------------------------------------------------------------------------------------------------------


def _activation(rule: Callable[..., Any], value: Callable[..., Array], slope: Callable[..., Array]) -> Plant:
    """An activation with another ``value(x)`` and ``slope(x, y)``."""

    def wrong(right: Any, x: Array, **options: Any) -> Any:
        y = value(x)
        return y, lambda incoming, needs: (incoming * slope(x, y),)

    return lambda plant: plant.rule(rule, wrong)


CONTROLS.add(
    "sigmoid-by-tanh",
    "the sigmoid is (1 + tanh(x / 2)) / 2, its slope (1 - tanh^2) / 4",
    scenes.network(activation="Sigmoid"),
)(_activation(rules.sigmoid, lambda x: (1 + np.tanh(x / 2)) / 2, lambda x, y: (1 - np.tanh(x / 2) ** 2) / 4))

CONTROLS.add(
    "rectifier-by-a-product",
    "ReLU is x (x > 0)",
    scenes.network(activation="ReLU"),
)(_activation(rules.relu, lambda x: x * (x > 0), lambda x, y: (x > 0).astype(x.dtype)))

_COMPLEMENT = np.vectorize(math.erfc, otypes=[np.float64])

CONTROLS.add(
    "gelu-by-erfc",
    "GELU is x erfc(-x / sqrt 2) / 2",
    scenes.network(activation="GELU"),
)(
    _activation(
        rules.gelu,
        lambda x: 0.5 * x * _COMPLEMENT(-x / math.sqrt(2)),
        lambda x, y: 0.5 * _COMPLEMENT(-x / math.sqrt(2)) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi),
    )
)


@CONTROLS.add(
    "dropout-divided-last",
    "what is kept is masked first and divided afterwards",
    scenes.network(dropout=0.4),
)
def dropout_divided_last(plant: Planting) -> None:
    def wrong(right: Any, x: Array, mask: Array, *, p: float) -> Any:
        return np.where(mask, x, 0.0) / (1 - p), lambda incoming, needs: (np.where(mask, incoming, 0.0) / (1 - p), None)

    plant.rule(rules.dropout, wrong)


@CONTROLS.add(
    "layer-norm-by-shifted-squares",
    "the variance is the mean square less the squared mean, of values shifted by the first",
    _LAYER_NORM,
)
def by_shifted_squares(plant: Planting) -> None:
    def standardised(right: Any, x: Array, eps: float) -> Any:
        shifted = x - x[..., :1]
        mean = shifted.mean(-1, keepdims=True)
        inverse = 1 / np.sqrt((shifted * shifted).mean(-1, keepdims=True) - mean * mean + eps)
        return (shifted - mean) * inverse, inverse

    plant.replace(models, "standardised", standardised)


@CONTROLS.add(
    "layer-norm-as-scale-and-shift",
    "(x - m) / s is written x / s - m / s",
    _LAYER_NORM,
)
def as_scale_and_shift(plant: Planting) -> None:
    def standardised(right: Any, x: Array, eps: float) -> Any:
        _, inverse = right(x, eps)
        return x * inverse - x.mean(-1, keepdims=True) * inverse, inverse

    plant.replace(models, "standardised", standardised)


@CONTROLS.add(
    "lookup-as-a-product",
    "looking up is a product with a matrix of ones and zeros, forward and backward",
    scenes.tagger(),
)
def lookup_as_a_product(plant: Planting) -> None:
    def wrong(right: Any, weight: Array, *, indices: Array, padding_idx: Any, **options: Any) -> Any:
        picked = np.eye(len(weight))[indices]
        counted = np.arange(len(weight)) != padding_idx

        def embedding_pullback(incoming: Array, needs: Needs) -> Any:
            return (np.einsum("npt,npw->tw", picked, incoming) * counted[:, None],)

        return picked @ weight, embedding_pullback

    plant.rule(rules.embedding, wrong)


@CONTROLS.add(
    "queries-scaled-before-the-product",
    "the queries are divided by the root of their width, not the scores",
    scenes.attention(),
)
def queries_scaled(plant: Planting) -> None:
    def scores(right: Any, model: Any, query: Tensor, key: Tensor) -> Any:
        return (query / math.sqrt(key.shape[3])) @ key.transpose(2, 3)

    plant.replace(models.Attention, "scores", scores)


@CONTROLS.add(
    "softmax-gradient-by-the-jacobian",
    "the incoming gradient is multiplied by diag(y) - y y', written out",
    scenes.attention(),
)
def by_the_jacobian(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, dim: int) -> Any:
        y, _ = right(x, dim=dim)
        jacobian = y[..., None] * np.eye(y.shape[-1]) - y[..., None] * y[..., None, :]
        return y, lambda incoming, needs: ((jacobian @ incoming[..., None])[..., 0],)

    plant.rule(rules.softmax, wrong)
