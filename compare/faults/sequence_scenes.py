"""Scenes for layers of sequences: recurrent ones, tables of vectors, attention, encoders.

Both wings have these layers under one name, so each small network is written once and made by either wing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch

import manual
from compare.experiment import Setting
from compare.experiments.pairs import Recipe, module_pair
from compare.faults.data import CLASSES, columns, steps_of, tokens
from compare.faults.fault import Scene
from compare.faults.scenes import FALLING, SGD

__all__ = [
    "attended",
    "bags",
    "bidirectional",
    "by_cell",
    "either",
    "encoder",
    "looked_up",
    "looking_up",
    "read",
    "twins",
]

WIDTH = 6
HIDDEN = 5
TOKENS = 9

Make = Callable[[Any], Any]


def twins(
    said: str,
    make: Make,
    steps: Callable[[], Any],
    loss: Make = lambda wing: wing.nn.CrossEntropyLoss(),
    recipe: Recipe | None = None,
    denominator: Callable[[Any, Any], float] | None = None,
) -> Scene:
    """A scene in which ``make(wing)`` and ``loss(wing)`` make both sides; ``wing`` is ``manual`` or ``torch``."""

    def build() -> Any:
        sides = module_pair(
            partial(make, manual),
            partial(make, torch),
            partial(loss, manual),
            partial(loss, torch),
            recipe or Recipe(SGD, FALLING),
            Setting("float64", seed=5),
            denominator=denominator,
        )
        return sides, steps()

    return Scene(said, build)


def either(write: Callable[[Any], type]) -> Callable[[Any], type]:
    """A class that is written once for both wings: ``write(wing)`` returns it, made when first asked for."""
    return cache(write)


# -- recurrent layers --------------------------------------------------------------------------------------------------


@either
def _reading(wing: Any) -> type:
    class Reading(wing.nn.Module):
        """A map of each column, a recurrent layer, the mean of its outputs, a head."""

        def __init__(self, layer: Any, width: int):
            super().__init__()
            self.inner = wing.nn.Linear(WIDTH, WIDTH)
            self.layer = layer
            self.head = wing.nn.Linear(width, CLASSES)

        def forward(self, input: Any) -> Any:
            output, _ = self.layer(self.inner(input))
            return self.head(output.mean(1))

    return Reading


@either
def _stepping(wing: Any) -> type:
    class Stepping(wing.nn.Module):
        """A map of each column, a cell that reads one column after the other, a head on the last state."""

        def __init__(self, cell: Any):
            super().__init__()
            self.inner = wing.nn.Linear(WIDTH, WIDTH)
            self.cell = cell
            self.head = wing.nn.Linear(HIDDEN, CLASSES)

        def forward(self, input: Any) -> Any:
            columns = self.inner(input)
            state = None
            for place in range(input.shape[1]):
                state = self.cell(columns[:, place], state)
            return self.head(state[0] if isinstance(state, tuple) else state)

    return Stepping


def _columns() -> Any:
    return steps_of(*columns())


@cache
def read(kind: str) -> Scene:
    """A recurrent layer (``RNN``, ``LSTM``, ``GRU``) that reads the columns of a digit."""

    def make(wing: Any) -> Any:
        return _reading(wing)(getattr(wing.nn, kind)(WIDTH, HIDDEN, batch_first=True), HIDDEN)

    return twins(f"columns of digits, {kind}", make, _columns)


@cache
def bidirectional(kind: str) -> Scene:
    """A recurrent layer that reads the columns of a digit from either side."""

    def make(wing: Any) -> Any:
        layer = getattr(wing.nn, kind)(WIDTH, HIDDEN, batch_first=True, bidirectional=True)
        return _reading(wing)(layer, 2 * HIDDEN)

    return twins(f"columns of digits, bidirectional {kind}", make, _columns)


@cache
def by_cell(kind: str) -> Scene:
    """A cell that reads the columns of a digit one after the other."""

    def make(wing: Any) -> Any:
        return _stepping(wing)(getattr(wing.nn, kind)(WIDTH, HIDDEN))

    return twins(f"columns of digits, {kind}", make, _columns)


# -- tables ------------------------------------------------------------------------------------------------------------


@either
def looking_up(wing: Any) -> type:
    class LookingUp(wing.nn.Module):
        """A vector for each token, an activation, a score for each next token."""

        def __init__(self, **options: Any):
            super().__init__()
            self.table = wing.nn.Embedding(TOKENS, WIDTH, **options)
            self.act = wing.nn.Tanh()
            self.head = wing.nn.Linear(WIDTH, TOKENS)

        def forward(self, input: Any) -> Any:
            return self.head(self.act(self.table(input))).transpose(1, 2)

    return LookingUp


@cache
def looked_up(by_frequency: bool = False) -> Scene:
    """A table of vectors for the brightness of pixels; blank ones are padding."""
    said = "digits as tokens, " + ("embedding scaled by frequency" if by_frequency else "embedding with padding")
    options: dict[str, Any] = {"scale_grad_by_freq": True} if by_frequency else {"padding_idx": 0}
    return twins(said, lambda wing: looking_up(wing)(**options), lambda: steps_of(*tokens()))


@cache
def bags(mode: str = "mean") -> Scene:
    """Bags of tokens, blank ones left out; the last of the next ones is to be told."""

    def make(wing: Any) -> Any:
        return wing.nn.Sequential(
            wing.nn.EmbeddingBag(TOKENS, HIDDEN, mode=mode, padding_idx=0),
            wing.nn.Tanh(),
            wing.nn.Linear(HIDDEN, TOKENS),
        )

    def steps() -> Any:
        x, y = tokens()
        return steps_of(x, np.ascontiguousarray(y[:, -1]))

    return twins(f"digits as bags of tokens, {mode}", make, steps)


# -- attention ---------------------------------------------------------------------------------------------------------


@either
def _attending(wing: Any) -> type:
    class Attending(wing.nn.Module):
        """A map of each column, attention of all columns to those that are not blank, their mean, a head."""

        def __init__(self, attention: Any):
            super().__init__()
            self.inner = wing.nn.Linear(WIDTH, WIDTH)
            self.attention = attention
            self.head = wing.nn.Linear(WIDTH, CLASSES)

        def forward(self, input: Any) -> Any:
            blank = (np.asarray(input.data) == 0).all(2)
            blank &= ~blank.all(1, keepdims=True)
            mask = blank if wing is manual else torch.from_numpy(blank)
            return self.head(self.attention(self.inner(input), mask).mean(1))

    return Attending


@either
def _to_itself(wing: Any) -> type:
    class ToItself(wing.nn.MultiheadAttention):
        """Self-attention with the places that are to be left out as its second input."""

        def forward(self, input: Any, blank: Any) -> Any:
            return super().forward(input, input, input, key_padding_mask=blank, need_weights=False)[0]

    return ToItself


@either
def _encoding(wing: Any) -> type:
    class Encoding(wing.nn.TransformerEncoderLayer):
        """A layer of an encoder with the places that are to be left out as its second input."""

        def forward(self, input: Any, blank: Any) -> Any:
            return super().forward(input, src_key_padding_mask=blank)

    return Encoding


@cache
def attended(extra: bool = False) -> Scene:
    """Attention with two heads over the columns of a digit; ``extra`` adds a key and a value that are learnt."""

    def make(wing: Any) -> Any:
        layer = _to_itself(wing)(WIDTH, 2, batch_first=True, add_bias_kv=extra)
        return _attending(wing)(layer)

    said = "columns of digits, multi-head attention" + (" with a learnt key" if extra else "")
    return twins(said, make, _columns)


@cache
def encoder(norm_first: bool = False) -> Scene:
    """A layer of a transformer's encoder over the columns of a digit."""

    def make(wing: Any) -> Any:
        layer = _encoding(wing)(WIDTH, 2, 7, dropout=0.0, layer_norm_eps=1e-2, batch_first=True, norm_first=norm_first)
        return _attending(wing)(layer)

    said = "norm first" if norm_first else "norm last"
    return twins(f"columns of digits, encoder layer with {said}", make, _columns)
