"""What is written wrong in SGD, ASGD and Rprop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules.core import Array
from compare.diagnosis.updates.rules.descent import annealed
from compare.diagnosis.updates.variants.shared import Variant

__all__ = ["asgd", "rprop", "sgd"]

BUFFER = "b ← g at the first step, then b ← μ b + (1 − τ) g; θ ← θ − γ b"
NESTEROV = "b ← μ b + g; θ ← θ − γ (g + μ b)"
ASGD = "θ ← (1 − λ η) θ − η g; then η ← γ / (1 + λ γ t)^α"
AVERAGE = "ax ← ax + μ (θ − ax) with the moved θ, then μ ← 1 / max(1, t − t₀)"
RPROP = "s ← s η⁺ where g keeps its sign, s η⁻ where it changes, within the bounds; θ ← θ − s sign(g)"
CHANGE = "where g changes its sign: θ stands still, and g is forgotten, so that the next step counts as no change"


def sgd(o: Mapping[str, Any]) -> Iterator[Variant]:
    mu, tau, nesterov = float(o["momentum"]), float(o["dampening"]), bool(o["nesterov"])
    if not mu:
        return
    formula = NESTEROV if nesterov else BUFFER
    says = "the parameter moves by the gradient alone; the buffer has no effect"
    yield Variant("momentum left out", says, formula, 2, {"step": lambda b, g, old, m, n: g})
    says = "the buffer is overwritten by the gradient"
    yield Variant("momentum left out", says, formula, 3, {"later": lambda b, g, m, t: g + 0.0})
    for sign, text in ((1, "b ← μ b + γ g; θ ← θ − b"), (-1, "b ← μ b − γ g; θ ← θ + b")):
        says = f"the buffer holds steps, {text}: another path once the rate moves"
        yield Variant("learning rate inside the momentum buffer", says, formula, 2, {"rate_in_buffer": sign})
    says = "the rate is multiplied in twice, into the buffer and out of it: b ← μ b + γ g; θ ← θ − γ b"
    yield Variant("learning rate inside the momentum buffer", says, formula, 3, {"rate_in_buffer": 3})
    says = "the buffer has the other sign: b ← μ b − g; θ ← θ + γ b"
    yield Variant("sign", says, formula, 3, {"rate_in_buffer": -2})
    if tau:
        says = "the first gradient is damped: b ← (1 − τ) g"
        yield Variant("dampening on the first step", says, formula, 2, {"first": lambda g, m, t: (1 - t) * g})
        says = "dampening is left out: b ← μ b + g"
        yield Variant("dampening", says, formula, 2, {"later": lambda b, g, m, t: m * b + g})
        says = "the gradient is multiplied by τ, not by 1 − τ"
        yield Variant("dampening", says, formula, 3, {"later": lambda b, g, m, t: m * b + t * g})
        both = {"first": lambda g, m, t: t * g, "later": lambda b, g, m, t: m * b + t * g}
        yield Variant("dampening", says + ", at the first step too", formula, 3, both)
        says = "the buffer is damped, not the gradient: b ← (1 − τ) μ b + g"
        yield Variant("dampening", says, formula, 3, {"later": lambda b, g, m, t: (1 - t) * m * b + g})
    says = "the buffer averages, b ← μ b + (1 − μ) g (a dampening of μ), where it adds g"
    cause = "dampening" if tau else "moment without its average"
    damp: dict[str, Callable[..., Array]] = {"later": lambda b, g, m, t: m * b + (1 - m) * g}
    yield Variant(cause, says, formula, 3, damp)
    damp = {**damp, "first": lambda g, m, t: (1 - m) * g}
    yield Variant(cause, says + ", from zero", formula, 3, damp)
    for how, text in (("always", "for ever"), ("once", "until the second step makes one of its own")):
        says = f"the buffer is the first gradient's own memory, {text}: zero_grad and the next backward change it"
        yield Variant("aliased memory", says, "b ← g at the first step: a copy", 4, {"aliased": how})
    others: dict[str, Callable[[Array, Array, float, float], Array]] = {
        "b ← (1 − μ) b + μ g": lambda b, g, m, t: (1 - m) * b + m * g,
        "b ← (1 − μ) b + g": lambda b, g, m, t: (1 - m) * b + g,
        "b ← μ (b + g)": lambda b, g, m, t: m * (b + g),
        "b ← b + g": lambda b, g, m, t: b + g,
        "b ← b + (1 − μ) g": lambda b, g, m, t: b + (1 - m) * g,
    }
    for text, later in others.items():
        says = f"the buffer is {text}"
        yield Variant("moment without its average", says, formula, 4, {"later": later})
        changes = {"later": later, "first": _from_zero(later)}
        yield Variant("moment without its average", says + ", from zero", formula, 4, changes)
    says = "the momentum is subtracted: b ← g − μ b"
    yield Variant("sign", says, formula, 4, {"later": lambda b, g, m, t: (1 - t) * g - m * b})
    says = "the step uses the buffer as it was before this step's gradient entered"
    before: dict[str, Any] = {"step": lambda b, g, old, m, n: g + m * old if n else old}
    yield Variant("moment of the old step", says, formula, 3, before)
    before = {"step": lambda b, g, old, m, n: (g + m * old if n else old) if np.any(old) else b}
    yield Variant("moment of the old step", says + ", from step 2 on", formula, 3, before)
    for text, step in _lookaheads(nesterov).items():
        yield Variant("nesterov", text, formula, 2, {"step": step})


def _from_zero(later: Callable[..., Array]) -> Callable[[Array, float, float], Array]:
    """The first step of a buffer that starts at zero and is treated as in every later step."""
    return lambda g, m, t: later(np.zeros(np.shape(g)), g, m, t)


def _lookaheads(nesterov: bool) -> dict[str, Callable[..., Array]]:
    found: dict[str, Callable[..., Array]] = {
        "the look-ahead leaves the gradient out: θ ← θ − γ μ b": lambda b, g, old, m, n: m * b,
        "the look-ahead is not multiplied by the momentum: θ ← θ − γ (g + b)": lambda b, g, old, m, n: g + b,
        "the look-ahead is added to the buffer: θ ← θ − γ (b + μ b)": lambda b, g, old, m, n: b + m * b,
        "the look-ahead uses the old buffer: θ ← θ − γ (b + μ b_old)": lambda b, g, old, m, n: b + m * old,
        "the look-ahead of the old buffer is subtracted: θ ← θ − γ ((1 + μ) b − μ b_old)": (
            lambda b, g, old, m, n: (1 + m) * b - m * old
        ),
    }
    if nesterov:
        found["Nesterov's look-ahead is left out: θ ← θ − γ b"] = lambda b, g, old, m, n: b
    else:
        found["Nesterov's look-ahead is added: θ ← θ − γ (g + μ b)"] = lambda b, g, old, m, n: g + m * b
    return found


# -- ASGD ------------------------------------------------------------------------------------------------------------


def asgd(o: Mapping[str, Any]) -> Iterator[Variant]:
    """Averaged gradient descent."""
    Pull = Callable[[Array, Array, float, float], Array]
    pulls: list[tuple[str, str, Pull]] = [
        ("missing penalty", "λ does not shrink the parameter", lambda theta, moved, decay, eta: 0.0 * theta),
        (
            "decay order",
            "the parameter shrinks after it has moved",
            lambda theta, moved, decay, eta: decay * eta * moved,
        ),
        (
            "decay without the learning rate",
            "the parameter shrinks by λ θ, without the rate η",
            lambda theta, moved, decay, eta: decay * theta,
        ),
        (
            "decay without the learning rate",
            "the parameter shrinks by the rate γ, which does not fall, not by η",
            lambda theta, moved, decay, eta: decay * float(o["lr"]) * theta,
        ),
        ("sign", "the parameter grows by λ η θ", lambda theta, moved, decay, eta: -decay * eta * theta),
    ]
    for cause, says, pull in pulls:
        yield Variant(cause, says, ASGD, 2, {"pull": pull})
    Rate = Callable[[float, float, float, int], float]
    rates: list[tuple[str, str, Rate]] = [
        ("schedule not advanced", "η stays at γ", lambda lr, decay, alpha, t: lr),
        (
            "schedule off by one",
            "η is that of one step earlier",
            lambda lr, decay, alpha, t: annealed(lr, decay, alpha, t - 1),
        ),
        (
            "schedule off by one",
            "η is that of one step later",
            lambda lr, decay, alpha, t: annealed(lr, decay, alpha, t + 1),
        ),
        ("other option", "η falls without the exponent α", lambda lr, decay, alpha, t: annealed(lr, decay, 1.0, t)),
        (
            "missing term",
            "η falls as 1 / (1 + λ t)^α, without γ",
            lambda lr, decay, alpha, t: lr / (1 + decay * t) ** alpha,
        ),
        (
            "wrong operand",
            "α multiplies where it is an exponent",
            lambda lr, decay, alpha, t: lr / (1 + alpha * decay * lr * t),
        ),
    ]
    for cause, says, rate in rates:
        yield Variant(cause, says, ASGD, 2, {"rate": rate})
    says = "η and μ are those of the next step already"
    yield Variant("schedule off by one", says, ASGD, 2, {"ahead": True})
    Weight = Callable[[int, float], float]
    weights: list[tuple[str, Weight]] = [
        ("the average begins at the first step: t₀ is not heeded", lambda t, t0: 1 / max(1.0, t)),
        ("the average begins a step early: μ is 1 / max(1, t + 1 − t₀)", lambda t, t0: 1 / max(1.0, t + 1 - t0)),
        ("the average begins a step late: μ is 1 / max(1, t − 1 − t₀)", lambda t, t0: 1 / max(1.0, t - 1 - t0)),
        ("nothing is averaged: μ stays at 1", lambda t, t0: 1.0),
    ]
    for says, weight in weights:
        yield Variant("weights averaged otherwise", says, AVERAGE, 2, {"weight": weight})
    Average = Callable[[Array, Array, float], Array]
    means: list[tuple[str, Average]] = [
        ("nothing is averaged: ax is the parameter", lambda ax, theta, mu: theta + 0.0),
        ("μ and 1 − μ have changed places", lambda ax, theta, mu: mu * ax + (1 - mu) * theta),
        ("the average is not kept", lambda ax, theta, mu: ax),
        ("the average adds μ θ in full: ax ← ax + μ θ", lambda ax, theta, mu: ax + mu * theta),
    ]
    for says, average in means:
        yield Variant("weights averaged otherwise", says, AVERAGE, 2, {"average": average})


# -- Rprop -----------------------------------------------------------------------------------------------------------


def rprop(o: Mapping[str, Any]) -> Iterator[Variant]:
    """Resilient propagation."""
    minus, plus = o["etas"]
    says = "η⁻ and η⁺ have changed places"
    yield Variant("factors swapped", says, RPROP, 2, options=lambda o: {**o, "etas": (plus, minus)})
    habits = {
        "moves": "the parameter moves, and the gradient is remembered",
        "remembers": "the parameter stands still, but the gradient is remembered",
        "forgets": "the gradient is forgotten, but the parameter moves",
        "goes back": "the parameter goes back by the last step, as in Rprop+",
    }
    for habit, text in habits.items():
        yield Variant("sign change", f"where the gradient changes its sign {text}", CHANGE, 2, {"on_change": habit})
    Factors = Callable[[Array, float, float], Array]
    factors: list[tuple[str, str, Factors]] = [
        ("sign change", "the steps never shrink", lambda sign, a, b: np.where(sign > 0, b, 1.0)),
        ("missing term", "the steps never grow", lambda sign, a, b: np.where(sign < 0, a, 1.0)),
        (
            "other threshold",
            "no change and zero count alike: s grows at zero, too",
            lambda sign, a, b: np.where(sign < 0, a, b),
        ),
        ("other threshold", "s shrinks at zero, too", lambda sign, a, b: np.where(sign > 0, b, a)),
        ("missing term", "the step sizes stay as they are", lambda sign, a, b: np.ones(np.shape(sign))),
    ]
    for cause, says, factor in factors:
        yield Variant(cause, says, RPROP, 2, {"factors": factor})
    bounds: list[tuple[str, Callable[[Array, float, float], Array]]] = [
        ("the step sizes have no bounds", lambda size, least, most: size),
        ("the step sizes have no lower bound", lambda size, least, most: np.minimum(size, most)),
        ("the step sizes have no upper bound", lambda size, least, most: np.maximum(size, least)),
    ]
    for says, bounded in bounds:
        yield Variant("other threshold", says, RPROP, 2, {"bounded": bounded})
    says = "the step is multiplied by the gradient, not by its sign"
    yield Variant("wrong operand", says, RPROP, 2, {"move": lambda g, size: g * size})
    says = "the step sizes are multiplied by the rate when they are used"
    rate = float(o["lr"])
    yield Variant("other learning rate", says, RPROP, 3, {"move": lambda g, size: rate * np.sign(g) * size})
    says = "the parameter moves by the step size of before"
    yield Variant("moment of the old step", says, RPROP, 2, {"old": True})
    for start in (0.1, 0.01, 0.0125, 1.0, 1e-3):
        if start != rate:
            says = f"the step sizes start at {start:g}, not at the learning rate"
            yield Variant("slot starts elsewhere", says, RPROP, 2, {"start": start})
    says = "the first gradient counts as one that keeps its sign: the first step grows already"
    yield Variant("slot starts elsewhere", says, RPROP, 2, {"start_of_previous": lambda g: g})
