"""The PyTorch twins of :mod:`compare.faults.models_manual`, as one would write them with ``torch.nn``.

Scales, shifts and running statistics start away from 1 and 0, which would hide mistakes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = [
    "Attention",
    "BatchNormed",
    "Normed",
    "OfTwoEnds",
    "Pooled",
    "Residual",
    "Rooted",
    "Spare",
    "Tagger",
    "WeightNormed",
]


class Positions(nn.Module):
    """One vector for each place of a sequence, added to whatever stands there."""

    def __init__(self, length: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(length, width))

    def forward(self, input: Tensor) -> Tensor:
        return input + self.weight


class Tagger(nn.Module):
    """Tokens and their places to a score for each next token; ``tied`` scores by the table of tokens itself."""

    def __init__(self, tokens: int, length: int, width: int, tied: bool = False):
        super().__init__()
        self.tokens = nn.Embedding(tokens, width, padding_idx=None if tied else 0)
        nn.init.normal_(self.tokens.weight, std=0.5)
        self.places = Positions(length, width)
        self.act = nn.Tanh()
        if not tied:
            self.head = nn.Linear(width, tokens)
        self.tied = tied
        self.scale = math.sqrt(width)

    def forward(self, input: Tensor) -> Tensor:
        hidden = self.act(self.places(self.tokens(input) * self.scale))
        scores = hidden @ self.tokens.weight.T if self.tied else self.head(hidden)
        return scores.transpose(1, 2)


class Normed(nn.Module):
    """A layer, its normalisation, an activation, a head."""

    def __init__(self, features: int, hidden: int, classes: int, eps: float = 1e-2):
        super().__init__()
        self.layer = nn.Linear(features, hidden)
        self.norm = nn.LayerNorm(hidden, eps)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)
        nn.init.uniform_(self.norm.bias, -0.5, 0.5)
        self.act = nn.Tanh()
        self.head = nn.Linear(hidden, classes)

    def forward(self, input: Tensor) -> Tensor:
        return self.head(self.act(self.norm(self.layer(input))))


class BatchNormed(nn.Module):
    """A layer, its batch normalisation (``frozen``: by fixed statistics), an activation, a head."""

    def __init__(self, features: int, hidden: int, classes: int, frozen: bool = False):
        super().__init__()
        self.layer = nn.Linear(features, hidden)
        self.norm = nn.BatchNorm1d(hidden, eps=1e-2, momentum=0.3)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)
        nn.init.uniform_(self.norm.bias, -0.5, 0.5)
        for name, low in (("running_mean", -0.5), ("running_var", 0.5)):
            nn.init.uniform_(self.norm.get_buffer(name), low, low + 1)
        self.act = nn.Tanh()
        self.head = nn.Linear(hidden, classes)
        if frozen:
            self.norm.eval()

    def forward(self, input: Tensor) -> Tensor:
        return self.head(self.act(self.norm(self.layer(input))))


class WeightNormed(nn.Module):
    """A layer whose rows are a length times a direction, an activation, a head."""

    def __init__(self, features: int, hidden: int, classes: int):
        super().__init__()
        self.direction = nn.Parameter(torch.randn(hidden, features))
        self.length = nn.Parameter(torch.rand(hidden, 1) + 0.5)
        self.act = nn.Tanh()
        self.head = nn.Linear(hidden, classes)

    def forward(self, input: Tensor) -> Tensor:
        weight = self.direction * (self.length / self.direction.norm(dim=1, keepdim=True))
        return self.head(self.act(input @ weight.T))


class Weights(nn.Module):
    """What each place takes from each other: a softmax that leaves blank places out."""

    def forward(self, scores: Tensor, blank: Tensor) -> Tensor:
        nothing = blank.all(1)[:, None, None, None]
        masked = scores.masked_fill(blank[:, None, None, :] & ~nothing, -math.inf)
        return masked.softmax(-1).masked_fill(nothing, 0.0)


class Attention(nn.Module):
    """Self-attention with two heads over a sequence in which blank places are masked, mean pooling, a head."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.weights = Weights()
        self.out = nn.Linear(width, width)
        self.head = nn.Linear(width, classes)
        for layer in (self.query, self.key):  # weights that are far from uniform
            nn.init.normal_(layer.weight)

    def forward(self, input: Tensor) -> Tensor:
        rows, places, width = input.shape
        query, key, value = (
            layer(input).reshape(rows, places, 2, width // 2).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = (query @ key.transpose(2, 3)) * (1 / math.sqrt(width // 2))
        weights = self.weights(scores, (input == 0).all(2))
        merged = (weights @ value).transpose(1, 2).reshape(rows, places, width)
        return self.head(self.out(merged).mean(1))


class Pooled(nn.Module):
    """A layer at every place, the maximum over the places, a head; equal places tie."""

    def __init__(self, width: int, hidden: int, classes: int):
        super().__init__()
        self.layer = nn.Linear(width, hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, input: Tensor) -> Tensor:
        return self.head(self.layer(input).max(1).values)


class Root(nn.Module):
    """``sqrt(x)`` where ``x`` is positive, else 0."""

    def forward(self, input: Tensor) -> Tensor:
        positive = input > 0
        safe = torch.where(positive, input, 1.0)
        return torch.where(positive, safe.sqrt(), 0.0)


class Rooted(nn.Module):
    """A layer, the root of what is positive, a head."""

    def __init__(self, features: int, hidden: int, classes: int):
        super().__init__()
        self.layer = nn.Linear(features, hidden)
        self.root = Root()
        self.head = nn.Linear(hidden, classes)

    def forward(self, input: Tensor) -> Tensor:
        return self.head(self.root(self.layer(input)))


class Residual(nn.Module):
    """A layer that is used twice, the second time beside a shortcut."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.inner = nn.Linear(features, features)
        self.act = nn.Tanh()
        self.head = nn.Linear(features, classes)

    def forward(self, input: Tensor) -> Tensor:
        hidden = self.act(self.inner(input))
        return self.head(hidden + self.act(self.inner(hidden)))


class Spare(nn.Module):
    """A network of which one layer takes no part; it stands before the one that is used last."""

    def __init__(self, features: int, hidden: int, classes: int):
        super().__init__()
        self.layer = nn.Linear(features, hidden)
        self.act = nn.Tanh()
        self.spare = nn.Linear(hidden, classes)
        self.head = nn.Linear(hidden, classes)

    def forward(self, input: Tensor) -> Tensor:
        return self.head(self.act(self.layer(input)))


class OfTwoEnds(nn.Module):
    """A layer of two inputs, which gets the first so many of the last axis and the others."""

    def __init__(self, layer: nn.Module, first: int):
        super().__init__()
        self.layer = layer
        self.first = first

    def forward(self, input: Tensor) -> Tensor:
        return self.layer(input[..., : self.first], input[..., self.first :])
