"""What is written wrong in the moments of Adam and its kin, in Adam itself and in SparseAdam."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules.core import Array, power, root_plus_eps
from compare.diagnosis.updates.variants.shared import (
    STARTS,
    Variant,
    averages,
    corrections,
    divisors,
    squares,
)

__all__ = ["adam", "first_moments", "moments", "sparse_adam", "swapped"]

ADAM = "m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ), θ ← θ − γ m̂ / (√v̂ + ε)"
MOMENTS = "m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²"
AMSGRAD = "u ← max(u, v), û = u / (1 − β₂ᵗ), θ ← θ − γ m̂ / (√û + ε)"
SPARSE = "m̂ = m / (1 − β₁ᵗ), θ ← θ − γ m̂ √(1 − β₂ᵗ) / (√v + ε), in the rows that have a gradient"

Start = Callable[[Array, float], Any]


def swapped(formula: str) -> Variant:
    """The betas handed over the wrong way round."""
    says = "β₁ and β₂ have changed places"
    return Variant("moments swapped", says, formula, 2, options=lambda o: {**o, "betas": tuple(reversed(o["betas"]))})


def first_moments(formula: str) -> Iterator[Variant]:
    """The first moment averaged otherwise, and either moment read too early."""
    yield from averages(formula, "first_moment", {"s": "m", "g": "g", "b": "β₁"}, "the first moment")
    for old, text in (("m", "the first moment"), ("v", "the second moment"), ("mv", "both moments")):
        says = f"{text}: used as before this step's gradient entered"
        yield Variant("moment of the old step", says, formula, 3, {"old": old})
        yield Variant("moment of the old step", says + ", from step 2 on", formula, 3, {"old": old, "old_from": 2})


def moments(formula: str) -> Iterator[Variant]:
    """Both moments: their averages, their starts, what they take in."""
    yield swapped(formula)
    yield from squares(formula)
    says = "the second moment averages m², not g²"
    yield Variant("wrong operand", says, formula, 4, {"square": lambda g, m: m * m})
    says = "the second moment averages (g − m)²: the mean is subtracted"
    yield Variant("centring", says, formula, 3, {"square": lambda g, m: (g - m) ** 2})
    yield from first_moments(formula)
    yield from averages(formula, "second_moment", {"s": "v", "g": "g²", "b": "β₂"}, "the second moment")
    begins: dict[str, Callable[[Array, float], tuple[Any, Any]]] = {
        "the first moment starts at the first gradient": lambda g, eps: (g, 0.0),
        "both moments start at the first gradient and its square": lambda g, eps: (g, g * g),
    }
    begins |= {f"the second moment starts at {text}": _second(start) for text, start in STARTS.items() if text != "0"}
    for says, start in begins.items():
        yield Variant("slot starts elsewhere", says, formula, 3, {"start": start})


def _second(start: Start) -> Callable[[Array, float], tuple[Any, Any]]:
    """Another start of the second moment."""
    return lambda g, eps: (0.0, start(g, eps))


# -- Adam and AdamW --------------------------------------------------------------------------------------------------


def adam(o: Mapping[str, Any]) -> Iterator[Variant]:
    """Adam and AdamW."""
    yield from _adam(o, ADAM)
    yield from divisors(ADAM, True)
    yield from moments(MOMENTS)
    if o.get("amsgrad"):
        says = "the maximum is taken of the corrected second moment"
        yield Variant("maximum of the corrected moment", says, AMSGRAD, 2, {"maximum": "of corrected v"})
        says = "v̂ is used where AMSGrad's maximum belongs"
        yield Variant("maximum left out", says, AMSGRAD, 2, {"maximum": "left out"})
        yield Variant("maximum left out", says + "; its slot stays at 0", AMSGRAD, 2, {"maximum": "never made"})
        says = "the slot of AMSGrad's maximum holds the last v"
        yield Variant("maximum left out", says, AMSGRAD, 2, {"maximum": "of nothing"})


def _adam(o: Mapping[str, Any], formula: str) -> Iterator[Variant]:
    yield from corrections(formula)
    says = "the second moment's correction is used without its root: √v / (1 − β₂ᵗ)"
    changes = {"divisor": lambda v, c, eps: np.sqrt(v) / c + eps}
    yield Variant("root left out", says, formula, 4, changes)
    changes = {"divisor": lambda v, c, eps: (np.sqrt(v) + eps) / c}
    yield Variant("root left out", says + ", ε included", formula, 4, changes)
    says = "the gradient itself stands where the corrected first moment belongs"
    yield Variant("momentum left out", says, formula, 3, {"numerator": lambda m, g: g})
    says = "β₁ and β₂ have changed places in the corrections"
    crossed = {
        "correct_m": lambda beta, t: power(float(o["betas"][1]), t),
        "correct_v": lambda beta, t: power(float(o["betas"][0]), t),
    }
    yield Variant("moments swapped", says, formula, 3, crossed)
    says = "the corrected moments are written back, and corrected again in the next step"
    yield Variant("applied twice", says, formula, 5, {"keep_corrected": True})


# -- SparseAdam ------------------------------------------------------------------------------------------------------


def sparse_adam(o: Mapping[str, Any]) -> Iterator[Variant]:
    """Adam for row-sparse gradients."""
    says = "rows without gradient are updated as if it were zero; they are to be left alone, moments included"
    dense = {"rows": "all"}
    yield Variant("None taken as zero", says, SPARSE, 1, dense)
    says = "the moments of rows without gradient decay, though the rows do not move"
    yield Variant("None taken as zero", says, SPARSE, 1, {"rows": "all decay"})
    says = "all rows are updated, as by Adam, with ε after the correction"
    yield Variant("None taken as zero", says, SPARSE, 2, {**dense, "divisor": root_plus_eps})
    yield from _adam(o, SPARSE)
    yield from divisors(SPARSE, True, eps_first=True)
    yield from moments(MOMENTS)
