"""Small models of the manual wing that the built-in ones do not cover; ``models_torch.py`` has the twins.

They are cut into the lines that can be got wrong, so that a fault replaces one of them.
"""

from __future__ import annotations

import math

import numpy as np

from manual import nn
from manual.rules.core import Array, Gradients, Needs, Pullback
from manual.tensor import Tensor, apply

__all__ = [
    "Attention",
    "BatchNorm1d",
    "BatchNormed",
    "LayerNorm",
    "Normed",
    "OfTwoEnds",
    "Pooled",
    "Residual",
    "Rooted",
    "Spare",
    "Tagger",
    "WeightNormed",
    "layer_norm",
]


# -- tokens ------------------------------------------------------------------------------------------------------------


class Positions(nn.Module):
    """One vector for each place of a sequence, added to whatever stands there."""

    def __init__(self, length: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(np.zeros((length, width), np.float32))

    def forward(self, input: Tensor) -> Tensor:
        return input + self.weight


class Tagger(nn.Module):
    """Tokens and their places to a score for each next token; ``tied`` scores by the table of tokens itself."""

    def __init__(self, tokens: int, length: int, width: int, tied: bool = False):
        super().__init__()
        self.tokens = nn.Embedding(tokens, width, padding_idx=None if tied else 0)
        self.places = Positions(length, width)
        self.act = nn.Tanh()
        if not tied:
            self.head = nn.Linear(width, tokens)
        self.tied = tied

    def scale(self) -> float:
        """The root of the width, as Vaswani et al. (2017), section 3.4, have it."""
        return math.sqrt(self.tokens.weight.shape[1])

    def forward(self, input: Tensor) -> Tensor:
        hidden = self.act(self.places(self.tokens(input) * self.scale()))
        scores = hidden @ self.tokens.weight.transpose(0, 1) if self.tied else self.head(hidden)
        result: Tensor = scores.transpose(1, 2)
        return result


# -- normalisation -----------------------------------------------------------------------------------------------------


def standardised(x: Array, eps: float) -> tuple[Array, Array]:
    """``(x - m) / sqrt(v + eps)`` along the last axis with the biased variance, and one over that root."""
    centred = x - x.mean(-1, keepdims=True)
    inverse = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + eps)
    return centred * inverse, inverse


def standardised_gradient(incoming: Array, normal: Array, inverse: Array) -> Array:
    """``(g - mean(g) - n mean(g n)) / s``: mean and variance depend on every element too."""
    return inverse * (
        incoming - incoming.mean(-1, keepdims=True) - normal * (incoming * normal).mean(-1, keepdims=True)
    )


def layer_norm(input: Array, weight: Array, bias: Array, *, eps: float) -> tuple[Array, Pullback]:
    """Standardise the last axis, then scale and shift it."""
    normal, inverse = standardised(input, eps)

    def layer_norm_pullback(incoming: Array, needs: Needs) -> Gradients:
        rows = tuple(range(incoming.ndim - 1))
        return (
            standardised_gradient(incoming * weight, normal, inverse) if needs[0] else None,
            (incoming * normal).sum(rows) if needs[1] else None,
            incoming.sum(rows) if needs[2] else None,
        )

    return normal * weight + bias, layer_norm_pullback


class LayerNorm(nn.Module):
    """Layer normalisation of the last axis."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(np.ones(width, np.float32))
        self.bias = nn.Parameter(np.zeros(width, np.float32))

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = apply(layer_norm, input, self.weight, self.bias, eps=self.eps)
        return result


class Normed(nn.Module):
    """A layer, its normalisation, an activation, a head."""

    def __init__(self, features: int, hidden: int, classes: int, eps: float = 1e-2):
        super().__init__()
        self.layer = nn.Linear(features, hidden)
        self.norm = LayerNorm(hidden, eps)
        self.act = nn.Tanh()
        self.head = nn.Linear(hidden, classes)

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.head(self.act(self.norm(self.layer(input))))
        return result


class BatchNorm1d(nn.Module):
    """Batch normalisation: by the batch's statistics in training, by the running ones elsewhere."""

    def __init__(self, width: int, eps: float, momentum: float):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(np.ones(width, np.float32))
        self.bias = nn.Parameter(np.zeros(width, np.float32))
        self.register_buffer("running_mean", np.zeros(width, np.float32))
        self.register_buffer("running_var", np.ones(width, np.float32))
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64))

    def track(self, input: Array) -> None:
        """Move the running mean and the running *unbiased* variance towards the batch's."""
        self.num_batches_tracked += 1
        for running, seen in ((self.running_mean, input.mean(0)), (self.running_var, input.var(0, ddof=1))):
            running += self.momentum * (seen - running)

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            self.track(input.data)
            mean, variance = input.mean(0), input.var(0, unbiased=False)
        else:
            mean, variance = self.running_mean, self.running_var
        normal = (input - mean) / (variance + self.eps) ** 0.5
        return normal * self.weight + self.bias


class BatchNormed(nn.Module):
    """A layer, its batch normalisation (``frozen``: by fixed statistics), an activation, a head."""

    def __init__(self, features: int, hidden: int, classes: int, frozen: bool = False):
        super().__init__()
        self.layer = nn.Linear(features, hidden)
        self.norm = BatchNorm1d(hidden, eps=1e-2, momentum=0.3)
        self.act = nn.Tanh()
        self.head = nn.Linear(hidden, classes)
        if frozen:
            self.norm.eval()

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.head(self.act(self.norm(self.layer(input))))
        return result


class WeightNormed(nn.Module):
    """A layer whose rows are a length times a direction (Salimans and Kingma 2016), an activation, a head."""

    def __init__(self, features: int, hidden: int, classes: int):
        super().__init__()
        self.direction = nn.Parameter(np.zeros((hidden, features), np.float32))
        self.length = nn.Parameter(np.zeros((hidden, 1), np.float32))
        self.act = nn.Tanh()
        self.head = nn.Linear(hidden, classes)

    def forward(self, input: Tensor) -> Tensor:
        weight = self.direction * (self.length / self.direction.norm(dim=1, keepdim=True))
        result: Tensor = self.head(self.act(input @ weight.transpose(0, 1)))
        return result


# -- attention ---------------------------------------------------------------------------------------------------------


class Weights(nn.Module):
    """What each place takes from each other: a softmax that leaves blank places out."""

    def attend(self, scores: Tensor, blank: Array) -> Tensor:
        """Where nothing is left, the weights are zero."""
        nothing = blank.all(1).reshape(-1, 1, 1, 1)
        masked = scores.masked_fill(blank[:, None, None, :] & ~nothing, -math.inf)
        return masked.softmax(-1).masked_fill(nothing, 0.0)

    def forward(self, scores: Tensor, blank: Tensor) -> Tensor:
        return self.attend(scores, blank.data)


class Attention(nn.Module):
    """Self-attention with two heads over a sequence in which blank places are masked, mean pooling, a head."""

    heads = 2

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a bias would shift all scores of a place alike: no effect
        self.value = nn.Linear(width, width)
        self.weights = Weights()
        self.out = nn.Linear(width, width)
        self.head = nn.Linear(width, classes)

    def split(self, x: Tensor) -> Tensor:
        """``(rows, places, heads * width)`` to ``(rows, heads, places, width)``."""
        rows, places, width = x.shape
        result: Tensor = x.reshape(rows, places, self.heads, width // self.heads).transpose(1, 2)
        return result

    def merge(self, x: Tensor) -> Tensor:
        """The other way round."""
        rows, heads, places, width = x.shape
        result: Tensor = x.transpose(1, 2).reshape(rows, places, heads * width)
        return result

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """How much each place asks of each other: the inner products over the root of their length."""
        result: Tensor = query @ key.transpose(2, 3) * (1 / math.sqrt(key.shape[3]))
        return result

    def pool(self, x: Tensor) -> Tensor:
        """The mean over the places."""
        return x.mean(1)

    def forward(self, input: Tensor) -> Tensor:
        query, key, value = (self.split(layer(input)) for layer in (self.query, self.key, self.value))
        weights = self.weights(self.scores(query, key), Tensor((input.data == 0).all(2)))
        result: Tensor = self.head(self.pool(self.out(self.merge(weights @ value))))
        return result


# -- kinks, roots, shared and unused parts -----------------------------------------------------------------------------


class Pooled(nn.Module):
    """A layer at every place, the maximum over the places, a head; equal places tie."""

    def __init__(self, width: int, hidden: int, classes: int):
        super().__init__()
        self.layer = nn.Linear(width, hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.head(self.layer(input).max(1).values)
        return result


class Root(nn.Module):
    """``sqrt(x)`` where ``x`` is positive, else 0."""

    def forward(self, input: Tensor) -> Tensor:
        positive = input.data > 0
        safe = input.where(positive, 1.0)
        result: Tensor = safe.sqrt().where(positive, 0.0)
        return result


class Rooted(nn.Module):
    """A layer, the root of what is positive, a head."""

    def __init__(self, features: int, hidden: int, classes: int):
        super().__init__()
        self.layer = nn.Linear(features, hidden)
        self.root = Root()
        self.head = nn.Linear(hidden, classes)

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.head(self.root(self.layer(input)))
        return result


class Residual(nn.Module):
    """A layer that is used twice, the second time beside a shortcut."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.inner = nn.Linear(features, features)
        self.act = nn.Tanh()
        self.head = nn.Linear(features, classes)

    def forward(self, input: Tensor) -> Tensor:
        hidden = self.act(self.inner(input))
        result: Tensor = self.head(hidden + self.act(self.inner(hidden)))
        return result


class Spare(nn.Module):
    """A network of which one layer takes no part; it stands before the one that is used last."""

    def __init__(self, features: int, hidden: int, classes: int):
        super().__init__()
        self.layer = nn.Linear(features, hidden)
        self.act = nn.Tanh()
        self.spare = nn.Linear(hidden, classes)
        self.head = nn.Linear(hidden, classes)

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.head(self.act(self.layer(input)))
        return result


class OfTwoEnds(nn.Module):
    """A layer of two inputs, which gets the first so many of the last axis and the others."""

    def __init__(self, layer: nn.Module, first: int):
        super().__init__()
        self.layer = layer
        self.first = first

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.layer(input[..., : self.first], input[..., self.first :])
        return result
