"""Scenes for losses that take more than an output and a target of its kind: pairs, triplets, spellings, likelihoods."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from compare.experiments.datasets import load
from compare.faults.data import CLASSES, columns, patients, pixels, steps_of, tokens
from compare.faults.fault import Scene
from compare.faults.sequence_scenes import either, looking_up, twins
from manual.rules.core import Array

__all__ = ["gaussian", "margins", "of_logarithms", "pairs", "poisson", "spelling", "tagged", "triplets"]

PLACES = 4
"""Columns of a digit."""


def _mlp(*sizes: int, output: str = "") -> Any:
    """A perceptron with one hidden layer of either wing."""

    def make(wing: Any) -> Any:
        first, hidden, last = sizes
        layers = [wing.nn.Linear(first, hidden), wing.nn.Tanh(), wing.nn.Linear(hidden, last)]
        return wing.nn.Sequential(*layers, *([getattr(wing.nn, output)(dim=-1)] if output else []))

    return make


# -- a choice ----------------------------------------------------------------------------------------------------------


@cache
def tagged() -> Scene:
    """The log-probabilities of each next brightness, classes on axis 1; blank ones do not count."""

    def make(wing: Any) -> Any:
        return wing.nn.Sequential(looking_up(wing)(), wing.nn.LogSoftmax(dim=1))

    return twins(
        "digits as tokens, negative log-likelihood",
        make,
        lambda: steps_of(*tokens(), weigh=lambda target: float(np.count_nonzero(target))),
        lambda wing: wing.nn.NLLLoss(ignore_index=0),
    )


@cache
def margins(p: int = 1) -> Scene:
    """The hinges of every wrong class."""
    said = "digits, 9-5-10 Tanh, multi-class margin" + (" squared" if p == 2 else "")
    return twins(
        said, _mlp(9, 5, CLASSES), lambda: steps_of(*pixels()), lambda wing: wing.nn.MultiMarginLoss(p=p, margin=0.7)
    )


@cache
def of_logarithms() -> Scene:
    """A divergence from the logarithms of a teacher's probabilities."""

    def steps() -> Any:
        x, y = pixels()
        teacher = 0.8 * np.eye(CLASSES)[y] + 0.2 * np.linspace(0.5, 1.5, CLASSES) / CLASSES
        return steps_of(x, np.log(teacher))

    return twins(
        "digits, 9-5-10 Tanh, KL divergence from logarithms",
        _mlp(9, 5, CLASSES, output="LogSoftmax"),
        steps,
        lambda wing: wing.nn.KLDivLoss(reduction="batchmean", log_target=True),
    )


# -- pairs and triplets ------------------------------------------------------------------------------------------------


@either
def _between(wing: Any) -> type:
    class Between(wing.nn.Module):
        """A loss of the vectors that lie side by side on axis 1 of an output; ``labelled`` it gets the target too."""

        def __init__(self, loss: Any, labelled: bool):
            super().__init__()
            self.loss = loss
            self.labelled = labelled

        def forward(self, output: Any, target: Any) -> Any:
            vectors = [output[:, place] for place in range(output.shape[1])]
            return self.loss(*vectors, *([target] if self.labelled else []))

        def denominator(self, output: Any, target: Any) -> float:
            return float(len(output))

    return Between


def _rows_of(output: Any, target: Any) -> float:
    return float(len(output))


@cache
def pairs() -> Scene:
    """Two digits side by side: are they the same?"""

    def steps() -> Any:
        x, y = pixels()
        other = np.roll(np.arange(len(y)), 1)
        other[::2] = [np.flatnonzero((y == digit) & (np.arange(len(y)) != row))[0] for row, digit in enumerate(y)][::2]
        return steps_of(np.stack([x, x[other]], 1), np.where(y == y[other], 1.0, -1.0))

    return twins(
        "pairs of digits, 9-5-4 Tanh, cosine embedding",
        _mlp(9, 5, 4),
        steps,
        lambda wing: _between(wing)(wing.nn.CosineEmbeddingLoss(margin=0.2), True),
        denominator=_rows_of,
    )


@cache
def triplets() -> Scene:
    """A digit, one like it, and one unlike it."""

    def steps() -> Any:
        x, y = pixels()
        like = [np.flatnonzero((y == digit) & (np.arange(len(y)) != row))[row % 3] for row, digit in enumerate(y)]
        unlike = [np.flatnonzero(y != digit)[row] for row, digit in enumerate(y[:100])]
        return steps_of(np.stack([x[:100], x[like[:100]], x[unlike]], 1), y[:100])

    return twins(
        "triplets of digits, 9-5-4 Tanh, margin",
        _mlp(9, 5, 4),
        steps,
        lambda wing: _between(wing)(wing.nn.TripletMarginLoss(margin=0.6), False),
        denominator=_rows_of,
    )


# -- likelihoods -------------------------------------------------------------------------------------------------------


@either
def _gauss(wing: Any) -> type:
    class Gauss(wing.nn.Module):
        """The Gaussian likelihood of an output whose first half are means, and whose second are log-variances."""

        def __init__(self) -> None:
            super().__init__()
            self.loss = wing.nn.GaussianNLLLoss()

        def forward(self, output: Any, target: Any) -> Any:
            return self.loss(output[:, :4], target, output[:, 4:].exp())

        def denominator(self, output: Any, target: Any) -> float:
            return float(target.size if isinstance(target, np.ndarray) else target.numel())

    return Gauss


@cache
def gaussian() -> Scene:
    """Four measurements of a patient, and how sure they are."""
    return twins(
        "diabetes, 7-5-8 Tanh, Gaussian likelihood",
        _mlp(7, 5, 8),
        lambda: steps_of(*patients()),
        lambda wing: _gauss(wing)(),
        denominator=lambda output, target: float(target.numel()),
    )


@cache
def poisson(log_input: bool = True) -> Scene:
    """The brightness of four pixels, counted, told from nine others."""

    def steps() -> Any:
        images = load("digits").x
        return steps_of(images[:, ::7][:100, :9] / 16, np.ascontiguousarray(images[:100, 26:30] // 4))

    def make(wing: Any) -> Any:
        layers = [_mlp(9, 5, 4)(wing)]
        return wing.nn.Sequential(*layers, *([] if log_input else [wing.nn.Softplus()]))

    said = "Poisson likelihood" if log_input else "Poisson likelihood of rates"
    return twins(f"digits, 9-5-4 Tanh, {said}", make, steps, lambda wing: wing.nn.PoissonNLLLoss(log_input=log_input))


# -- spellings ---------------------------------------------------------------------------------------------------------


@either
def _spelling(wing: Any) -> type:
    class Spelling(wing.nn.Module):
        """CTC of scores ``(rows, times, classes)``; a target is two labels, how many count, and how many times do."""

        def __init__(self) -> None:
            super().__init__()
            self.loss = wing.nn.CTCLoss()

        def forward(self, output: Any, target: Any) -> Any:
            log_probs = output.log_softmax(2).transpose(0, 1)
            return self.loss(log_probs, target[:, :2], target[:, 3], target[:, 2])

        def denominator(self, output: Any, target: Any) -> float:
            return float(len(output))

    return Spelling


@cache
def spelling() -> Scene:
    """One digit or two, column by column, spelt out without knowing where each stands."""

    def steps() -> Any:
        x, y = columns()
        order = np.arange(0, 100)
        both = np.concatenate([x[order], x[(order * 7 + 3) % 100]], axis=1)
        count = 1 + order % 2
        return steps_of(both, _target(y[order] + 1, y[(order * 7 + 3) % 100] + 1, count, PLACES * count))

    return twins(
        "columns of one digit or two, CTC",
        _mlp(6, 5, CLASSES + 2),
        steps,
        lambda wing: _spelling(wing)(),
        denominator=_rows_of,
    )


def _target(*parts: Array) -> Array:
    return np.stack(parts, 1).astype(np.int64)
