"""What is written wrong in Adamax, NAdam and RAdam."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules.core import Array, power
from compare.diagnosis.updates.rules.moments import blended, rectified
from compare.diagnosis.updates.variants.moments import MOMENTS, first_moments, moments, swapped
from compare.diagnosis.updates.variants.shared import STARTS, Variant, corrections, divisors, other_eps

__all__ = ["adamax", "nadam", "radam"]

ADAMAX = "u ← max(β₂ u, |g| + ε), θ ← θ − γ / (1 − β₁ᵗ) m / u"
LOOK_AHEAD = "θ ← θ − γ [(1 − μ_t) / (1 − Πμ) g + μ_{t+1} / (1 − Πμ μ_{t+1}) m] / (√v̂ + ε)"
WARMING = "μ_t = β₁ (1 − 0.96^(t ψ) / 2), Πμ = μ_1 ⋯ μ_t"
RADAM = "ρ_t = ρ − 2 t β₂ᵗ / (1 − β₂ᵗ); θ ← θ − γ m̂ r_t √(1 − β₂ᵗ) / (√v + ε) if ρ_t > 5, else θ ← θ − γ m̂"
RECTIFY = "r_t = √((ρ_t − 4)(ρ_t − 2) ρ / ((ρ − 4)(ρ − 2) ρ_t)), ρ = 2 / (1 − β₂) − 1"

# -- Adamax ----------------------------------------------------------------------------------------------------------


def adamax(o: Mapping[str, Any]) -> Iterator[Variant]:
    """Adam with the largest magnitude in place of the mean square."""
    Norm = Callable[[Array, Array, float, float], Array]
    norms: list[tuple[str, str, int, Norm]] = [
        (
            "maximum left out",
            "u averages |g|, where the larger of β₂ u and |g| is kept",
            2,
            lambda u, g, b, eps: b * u + (1 - b) * np.abs(g),
        ),
        ("maximum left out", "u averages |g| + ε", 3, lambda u, g, b, eps: b * u + (1 - b) * (np.abs(g) + eps)),
        ("maximum left out", "u is |g| + ε alone, nothing is kept", 3, lambda u, g, b, eps: np.abs(g) + eps),
        ("maximum left out", "u adds up: β₂ u + |g| + ε", 3, lambda u, g, b, eps: b * u + np.abs(g) + eps),
        (
            "moment without its average",
            "u never decays: u ← max(u, |g| + ε)",
            2,
            lambda u, g, b, eps: np.maximum(u, np.abs(g) + eps),
        ),
        (
            "moment without its average",
            "the gradient is multiplied, too: u ← max(β₂ u, (1 − β₂) |g| + ε)",
            2,
            lambda u, g, b, eps: np.maximum(b * u, (1 - b) * np.abs(g) + eps),
        ),
        (
            "wrong operand",
            "the maximum is taken with g, not with its magnitude",
            2,
            lambda u, g, b, eps: np.maximum(b * u, g + eps),
        ),
        (
            "wrong operand",
            "the maximum is taken with g², not with |g|",
            3,
            lambda u, g, b, eps: np.maximum(b * u, g * g + eps),
        ),
        ("wrong function", "the smaller is kept", 3, lambda u, g, b, eps: np.minimum(b * u, np.abs(g) + eps)),
        (
            "eps in another place",
            "ε is added to the maximum, where torch adds it to |g|",
            2,
            lambda u, g, b, eps: np.maximum(b * u, np.abs(g)) + eps,
        ),
    ]
    for cause, says, rank, norm in norms:
        yield Variant(cause, says, ADAMAX, rank, {"norm": norm})

    def plain(u: Array, g: Array, beta: float, eps: float) -> Array:
        return np.maximum(beta * u, np.abs(g))

    says = "ε is added where the step is divided, m / (u + ε), where torch adds it to |g|"
    changes = {"norm": plain, "divisor": lambda u, b, t, eps: u + eps}
    yield Variant("eps in another place", says, ADAMAX, 2, changes)
    says = "ε is a lower bound of u where the step is divided, where torch adds it to |g|"
    changes = {"norm": plain, "divisor": lambda u, b, t, eps: np.maximum(u, eps)}
    yield Variant("eps in another place", says, ADAMAX, 3, changes)
    says = "ε is one of three in the maximum: max(β₂ u, |g|, ε)"
    bounded: Norm = lambda u, g, b, eps: np.maximum(np.maximum(b * u, np.abs(g)), eps)  # noqa: E731
    yield Variant("eps in another place", says, ADAMAX, 3, {"norm": bounded})
    says = "u is corrected by 1 − β₂ᵗ; a maximum has no bias"
    yield Variant("bias correction added", says, ADAMAX, 2, {"divisor": lambda u, b, t, eps: u / (1 - b**t)})
    says = "u is corrected by the root of 1 − β₂ᵗ; a maximum has no bias"
    yield Variant("bias correction added", says, ADAMAX, 3, {"divisor": lambda u, b, t, eps: u / np.sqrt(1 - b**t)})
    says = "the step is divided by the root of u; u is a magnitude, not a square"
    yield Variant("wrong function", says, ADAMAX, 3, {"divisor": lambda u, b, t, eps: np.sqrt(u)})
    says = "the gradient itself stands where the corrected first moment belongs"
    yield Variant("momentum left out", says, ADAMAX, 3, {"numerator": lambda m, g: g})
    says = "the first moment is corrected by β₂, not by β₁"
    crossed = {"correct_m": lambda beta, t: power(float(o["betas"][1]), t)}
    yield Variant("moments swapped", says, ADAMAX, 3, crossed)
    yield from corrections(ADAMAX, second=False)
    yield from other_eps(ADAMAX)
    yield swapped(ADAMAX)
    yield from first_moments(ADAMAX)
    for text, start in STARTS.items():
        if text != "0":
            begins = {"start": lambda g, eps, start=start: (0.0, start(g, eps))}
            yield Variant("slot starts elsewhere", f"u starts at {text}", ADAMAX, 3, begins)
    says = "the first moment starts at the first gradient"
    yield Variant("slot starts elsewhere", says, ADAMAX, 3, {"start": lambda g, eps: (g, 0.0)})


# -- NAdam -----------------------------------------------------------------------------------------------------------


def nadam(o: Mapping[str, Any]) -> Iterator[Variant]:
    """Adam with Nesterov's look-ahead."""
    Numerator = Callable[[Array, Array, float, float, float], Array]
    numerators: list[tuple[str, str, int, Numerator]] = [
        ("nesterov", "the gradient's own part is left out", 2, lambda m, g, mu, nxt, p: nxt / (1 - p * nxt) * m),
        (
            "nesterov",
            "the look-ahead goes by μ_t, not by that of the next step",
            2,
            lambda m, g, mu, nxt, p: (1 - mu) / (1 - p) * g + mu / (1 - p) * m,
        ),
        (
            "nesterov",
            "m is multiplied by μ_t, not by that of the next step",
            2,
            lambda m, g, mu, nxt, p: (1 - mu) / (1 - p) * g + mu / (1 - p * nxt) * m,
        ),
        (
            "step count off by one",
            "m is corrected by the product up to this step, not up to the next",
            2,
            lambda m, g, mu, nxt, p: (1 - mu) / (1 - p) * g + nxt / (1 - p) * m,
        ),
        (
            "step count off by one",
            "g is corrected by the product up to the next step, not up to this",
            2,
            lambda m, g, mu, nxt, p: (1 - mu) / (1 - p * nxt) * g + nxt / (1 - p * nxt) * m,
        ),
        (
            "nesterov",
            "the gradient is multiplied by 1 − μ of the next step",
            3,
            lambda m, g, mu, nxt, p: (1 - nxt) / (1 - p) * g + nxt / (1 - p * nxt) * m,
        ),
        (
            "bias correction missing",
            "neither part is corrected by the product of the momenta",
            2,
            lambda m, g, mu, nxt, p: (1 - mu) * g + nxt * m,
        ),
        (
            "bias correction missing",
            "the gradient's part is not corrected",
            3,
            lambda m, g, mu, nxt, p: (1 - mu) * g + nxt / (1 - p * nxt) * m,
        ),
        (
            "bias correction missing",
            "the first moment's part is not corrected",
            3,
            lambda m, g, mu, nxt, p: (1 - mu) / (1 - p) * g + nxt * m,
        ),
        (
            "missing term",
            "the gradient is not multiplied by 1 − μ_t",
            3,
            lambda m, g, mu, nxt, p: g / (1 - p) + nxt / (1 - p * nxt) * m,
        ),
        (
            "other order",
            "g and m have changed places",
            3,
            lambda m, g, mu, nxt, p: blended(g, m, mu, nxt, p),
        ),
    ]
    for cause, says, rank, numerator in numerators:
        yield Variant(cause, says, LOOK_AHEAD, rank, {"numerator": numerator})

    def still(beta: float, decay: float, t: int) -> float:
        return beta

    says = "the momentum is β₁ at every step: momentum_decay is not heeded"
    yield Variant("other option", says, WARMING, 2, {"momentum": still})
    changes = {"momentum": still, "product": lambda before, mu, beta, t: beta**t}
    yield Variant("other option", says + ", and the product is β₁ᵗ", WARMING, 3, changes)
    for by in (-1, 1):
        says = f"the momentum is that of step t {'−' if by < 0 else '+'} 1"
        late = {"momentum": lambda beta, decay, t, by=by: beta * (1 - 0.5 * 0.96 ** ((t + by) * decay))}
        yield Variant("step count off by one", says, WARMING, 2, late)
    says = "0.96 has the exponent ψ at every step, without t"
    constant = {"momentum": lambda beta, decay, t: beta * (1 - 0.5 * 0.96**decay)}
    yield Variant("bias correction without exponent", says, WARMING, 3, constant)
    says = "the half is left out: μ_t = β₁ (1 − 0.96^(t ψ))"
    whole = {"momentum": lambda beta, decay, t: beta * (1 - 0.96 ** (t * decay))}
    yield Variant("constant factor", says, WARMING, 3, whole)
    products: list[tuple[str, str, Callable[[Array, float, float, int], Any]]] = [
        (
            "bias correction without exponent",
            "the product of the momenta is not kept: it is that of this step alone",
            lambda before, mu, beta, t: mu,
        ),
        ("other option", "the product of the momenta is β₁ᵗ", lambda before, mu, beta, t: beta**t),
        (
            "bias correction without exponent",
            "the product of the momenta is this step's to the power t",
            lambda before, mu, beta, t: mu**t,
        ),
        ("wrong function", "the momenta are added up", lambda before, mu, beta, t: before + mu),
        ("slot starts elsewhere", "the product of the momenta starts at 0", lambda before, mu, beta, t: 0.0),
    ]
    for cause, says, product in products:
        yield Variant(cause, says, WARMING, 2, {"product": product})
    second = [v for v in corrections(LOOK_AHEAD) if set(v.changes) == {"correct_v"}]
    yield from second
    yield from divisors(LOOK_AHEAD, True)
    yield from moments(MOMENTS)


# -- RAdam -----------------------------------------------------------------------------------------------------------


def radam(o: Mapping[str, Any]) -> Iterator[Variant]:
    """Adam with a rectified rate."""
    for threshold in (4.0, 6.0, 0.0):
        says = f"the rectified step begins at ρ_t > {threshold:g}, not at ρ_t > 5"
        yield Variant("other threshold", says, RADAM, 2, {"threshold": threshold})
    says = "the adaptive step is taken from the first step on; while ρ_t ≤ 5 it is not rectified"
    yield Variant("other threshold", says, RADAM, 2, {"early": lambda m_hat, m, divided: divided})
    says = "the adaptive step is never taken"
    yield Variant("other threshold", says, RADAM, 3, {"threshold": np.inf})
    says = "while ρ_t ≤ 5 the parameter does not move"
    yield Variant("missing term", says, RADAM, 2, {"early": lambda m_hat, m, divided: 0.0 * m})
    says = "while ρ_t ≤ 5 the first moment is used without its correction"
    yield Variant("bias correction missing", says, RADAM, 2, {"early": lambda m_hat, m, divided: m})
    Rectify = Callable[[float, float], float]
    rectifies: list[tuple[str, str, int, Rectify]] = [
        ("scale left out", "the rectification is left out", 2, lambda now, most: 1.0),
        ("root left out", "the rectification is used without its root", 2, lambda now, most: rectified(now, most) ** 2),
        ("wrong operand", "the rectification is upside down", 2, lambda now, most: 1 / rectified(now, most)),
        (
            "missing term",
            "the rectification leaves ρ / ρ_t out",
            3,
            lambda now, most: rectified(now, most) * float(np.sqrt(now / most)),
        ),
        (
            "wrong operand",
            "the rectification has ρ and ρ_t in each other's place in ρ / ρ_t",
            3,
            lambda now, most: rectified(now, most) * now / most,
        ),
    ]
    for cause, says, rank, rectify in rectifies:
        yield Variant(cause, says, RECTIFY, rank, {"rectify": rectify})
    lengths: list[tuple[str, str, Callable[[float, float, int], float]]] = [
        ("step count off by one", "ρ_t is that of step t − 1", lambda r, b, t: _length(r, b, t - 1)),
        ("step count off by one", "ρ_t is that of step t + 1", lambda r, b, t: _length(r, b, t + 1)),
        ("constant factor", "ρ_t lacks the 2", lambda r, b, t: r - t * b**t / (1 - b**t)),
        (
            "bias correction missing",
            "ρ_t lacks the division by 1 − β₂ᵗ",
            lambda r, b, t: r - 2 * t * b**t,
        ),
        (
            "bias correction without exponent",
            "ρ_t has β₂ without the exponent t",
            lambda r, b, t: r - 2 * t * b / (1 - b),
        ),
    ]
    for cause, says, length in lengths:
        yield Variant(cause, says, RADAM, 2, {"length": length})
    says = "ρ lacks its − 1"
    yield Variant("missing term", says, RECTIFY, 2, {"longest": lambda beta: 2 / (1 - beta)})
    says = "ρ is of β₁"
    yield Variant("moments swapped", says, RECTIFY, 3, {"longest": lambda beta: 2 / (1 - float(o["betas"][0])) - 1})
    yield from corrections(RADAM)
    yield from divisors(RADAM, True, eps_first=True)
    yield from moments(MOMENTS)


def _length(longest: float, beta: float, t: int) -> float:
    return float(longest - 2 * t * beta**t / (1 - beta**t)) if t else -np.inf
