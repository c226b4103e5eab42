"""A wrong formula, and those that many rules share: eps, roots, squares, starts, averages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules.core import Array, root_plus_eps

__all__ = [
    "STARTS",
    "Array",
    "Variant",
    "averages",
    "corrections",
    "divisors",
    "other_eps",
    "squares",
    "starts",
    "with_option",
]


@dataclass(frozen=True)
class Variant:
    """One wrong formula.

    Attributes
    ----------
    cause : a name of the catalogue
    says : what is done, in one sentence
    look_at : the right formula
    rank : see ``Hypothesis``
    changes : keyword arguments of the rule
    options : options of the group to change
    """

    cause: str
    says: str
    look_at: str
    rank: int = 3
    changes: Mapping[str, Any] = field(default_factory=dict)
    options: Callable[[dict[str, Any]], dict[str, Any]] | None = None


# -- corrections -----------------------------------------------------------------------------------------------------


def corrections(formula: str, *, second: bool = True) -> Iterator[Variant]:
    """The corrections left out, without exponent, multiplied, of another count; of one moment or of both."""

    def missing(beta: float, t: int) -> float:
        return 1.0

    def constant(beta: float, t: int) -> float:
        return 1 - beta

    def multiplied(beta: float, t: int) -> float:
        return 1 / (1 - beta**t)

    def shifted(by: int) -> Callable[[float, int], float]:
        return lambda beta, t: np.float64(1) - np.float64(beta) ** (t + by)

    moments: dict[str, tuple[str, ...]] = {"the first moment": ("correct_m",)}
    if second:
        both = ("correct_m", "correct_v")
        moments = {"both moments": both, **moments, "the second moment": ("correct_v",)}
    mistakes: list[tuple[str, str, Callable[[float, int], float]]] = [
        ("bias correction missing", "used without the correction", missing),
        ("bias correction without exponent", "corrected by 1 − β at every step, without the exponent t", constant),
        ("bias correction multiplied", "multiplied by the correction 1 − βᵗ", multiplied),
        ("step count off by one", "corrected with t − 1 for t", shifted(-1)),
        ("step count off by one", "corrected with t + 1 for t", shifted(1)),
    ]
    for text, keywords in moments.items():
        rank = 2 if len(keywords) == len(moments["both moments"] if second else keywords) else 3
        for cause, says, correct in mistakes:
            yield Variant(cause, f"{text}: {says}", formula, rank, dict.fromkeys(keywords, correct))


# -- eps, roots and squares: shared by the adaptive rules ------------------------------------------------------------


def _inside(v: Array, correction: float, eps: float) -> Array:
    return np.sqrt(v / correction + eps)


def _inside_before(v: Array, correction: float, eps: float) -> Array:
    return np.sqrt((v + eps) / correction)


def _squared_inside(v: Array, correction: float, eps: float) -> Array:
    return np.sqrt(v / correction + eps * eps)


def _before(v: Array, correction: float, eps: float) -> Array:
    return (np.sqrt(v) + eps) / np.sqrt(correction)


def _no_root(v: Array, correction: float, eps: float) -> Array:
    return v / correction + eps


def _at_least(v: Array, correction: float, eps: float) -> Array:
    return np.maximum(np.sqrt(v / correction), eps)


def divisors(formula: str, corrected: bool, eps_first: bool = False) -> Iterator[Variant]:
    """Another divisor; ``eps_first`` where the right one adds ε before the correction."""
    if eps_first:
        says = "ε is added to the root of the corrected moment, where torch adds it before the correction"
        yield Variant("eps in another place", says, formula, 2, {"divisor": root_plus_eps})
    yield Variant("eps inside the root", "ε is added under the root: √(v̂ + ε)", formula, 2, {"divisor": _inside})
    if corrected:
        says = "ε is added under the root, before the correction: √((v + ε) / (1 − β₂ᵗ))"
        yield Variant("eps inside the root", says, formula, 3, {"divisor": _inside_before})
    if corrected and not eps_first:
        says = "ε is added to √v before the correction, so that it shrinks with it: (√v + ε) / √(1 − β₂ᵗ)"
        yield Variant("eps before the bias correction", says, formula, 2, {"divisor": _before})
    says = "ε squared is added under the root"
    yield Variant("eps inside the root", says, formula, 4, {"divisor": _squared_inside})
    says = "ε is a lower bound of the root: max(√v̂, ε)"
    yield Variant("other eps", says, formula, 4, {"divisor": _at_least})
    yield Variant("root left out", "the step is divided by v̂ + ε, without the root", formula, 2, {"divisor": _no_root})
    yield from other_eps(formula)


def with_option(option: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Another value of one option."""
    return lambda options: {**options, option: value}


def other_eps(formula: str) -> Iterator[Variant]:
    yield Variant("other eps", "ε is left out (0)", formula, 3, options=with_option("eps", 0.0))
    for exponent in range(3, 17):
        yield Variant("other eps", f"ε is 1e-{exponent}", formula, 3, options=with_option("eps", 10.0**-exponent))


_SQUARES: dict[str, Callable[[Array, Array], Array]] = {
    "|g|": lambda g, m: np.abs(g),
    "g": lambda g, m: g,
}


def squares(formula: str, keyword: str = "square") -> Iterator[Variant]:
    for text, square in _SQUARES.items():
        says = f"the second moment takes {text} in, not g²"
        yield Variant("square left out", says, formula, 2, {keyword: square})


STARTS: dict[str, Callable[[Array, float], Any]] = {
    "0": lambda g, eps: 0.0,
    "0.1": lambda g, eps: 0.1,
    "1": lambda g, eps: 1.0,
    "ε": lambda g, eps: eps,
    "1e-8": lambda g, eps: 1e-8,
    "the first gradient squared": lambda g, eps: g * g,
}


def starts(formula: str, slot: str, right: str) -> Iterator[Variant]:
    for text, start in STARTS.items():
        if text != right:
            yield Variant("slot starts elsewhere", f"{slot} starts at {text}", formula, 2, {"start": start})


_AVERAGES: dict[str, tuple[str, Callable[[Array, Array, float], Array]]] = {
    "sum": ("adds {g} in full: {s} ← {b} {s} + {g}", lambda s, g, beta: beta * s + g),
    "swapped": (
        "has β and 1 − β the wrong way round: {s} ← (1 − {b}) {s} + {b} {g}",
        lambda s, g, beta: (1 - beta) * s + beta * g,
    ),
    "both": ("adds {b} {g}: {s} ← {b} {s} + {b} {g}", lambda s, g, beta: beta * s + beta * g),
    "undamped": (
        "keeps what it had in full: {s} ← {s} + (1 − {b}) {g}",
        lambda s, g, beta: s + (1 - beta) * g,
    ),
    "share": ("keeps 1 − β and adds 1 − β: {s} ← (1 − {b}) ({s} + {g})", lambda s, g, beta: (1 - beta) * (s + g)),
    "plain": ("is the gradient's alone, nothing is kept: {s} ← {g}", lambda s, g, beta: g + 0.0),
    "no growth": ("is {s} ← (1 − {b}) {g}, nothing is kept", lambda s, g, beta: (1 - beta) * g),
}


def averages(formula: str, keyword: str, letters: dict[str, str], what: str) -> Iterator[Variant]:
    for kind, (text, average) in _AVERAGES.items():
        cause = "moment without its average"
        if kind in ("plain", "no growth") and letters["s"] == "m":
            cause = "momentum left out"
        yield Variant(cause, f"{what} {text.format(**letters)}", formula, 3, {keyword: average})


def _second(start: Callable[[Array, float], Any]) -> Callable[[Array, float], tuple[Any, Any]]:
    """Another start of the second moment."""
    return lambda g, eps: (0.0, start(g, eps))
