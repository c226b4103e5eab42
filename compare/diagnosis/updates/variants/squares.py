"""What is written wrong in Adagrad, RMSprop and Adadelta."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules.core import Array, power
from compare.diagnosis.updates.variants.shared import (
    Variant,
    averages,
    divisors,
    other_eps,
    squares,
    starts,
    with_option,
)

__all__ = ["adadelta", "adagrad", "rmsprop"]

RMSPROP = "v ← α v + (1 − α) g²; θ ← θ − γ g / (√v + ε)"
CENTRED = "a ← α a + (1 − α) g; s = √(v − a²) + ε"
PUSH = "b ← μ b + g / (√v + ε); θ ← θ − γ b"
ADAGRAD = "s ← s + g²; θ ← θ − γ / (1 + (t − 1) η) g / (√s + ε)"
ADADELTA = "v ← ρ v + (1 − ρ) g²; Δ = √(a + ε) / √(v + ε) g; a ← ρ a + (1 − ρ) Δ²; θ ← θ − γ Δ"


def adagrad(o: Mapping[str, Any]) -> Iterator[Variant]:
    yield from divisors(ADAGRAD, False)
    yield from squares(ADAGRAD)
    start = float(o["initial_accumulator_value"])
    yield from starts(ADAGRAD, "the sum", next((text for text in ("0", "0.1", "1") if start == float(text)), ""))
    says = "the step uses the sum as it was before this step's gradient entered"
    yield Variant("moment of the old step", says, ADAGRAD, 3, {"old": True})
    says = "the sum keeps nothing of the steps before: s ← g²"
    yield Variant("moment without its average", says, ADAGRAD, 3, {"total": lambda s, square: square})
    for beta in (0.9, 0.99, 0.999):
        says = f"the sum is a moving average: s ← {beta} s + {1 - beta:.3g} g²"
        total = {"total": lambda s, square, beta=beta: beta * s + (1 - beta) * square}
        yield Variant("wrong function", says, ADAGRAD, 4, total)
    if o["lr_decay"]:
        says = "the rate decays from the first step on: 1 + t η"
        yield Variant("step count off by one", says, ADAGRAD, 2, {"late": 0})
        says = "the rate's decay is one step late: 1 + (t − 2) η"
        yield Variant("step count off by one", says, ADAGRAD, 3, {"late": 2})
        says = "lr_decay is left out"
        yield Variant("schedule not advanced", says, ADAGRAD, 2, {"decays": False})


def rmsprop(o: Mapping[str, Any]) -> Iterator[Variant]:
    says = "the mean square is corrected by 1 − αᵗ, as in Adam, which RMSprop's is not"
    yield Variant("bias correction added", says, RMSPROP, 2, {"correct": power})
    yield from divisors(RMSPROP, False)
    yield from squares(RMSPROP)
    letters = {"s": "v", "g": "g²", "b": "α"}
    yield from averages(RMSPROP, "moment", letters, "the mean square")
    says = "the root uses the mean square as it was before this step's gradient entered"
    yield Variant("moment of the old step", says, RMSPROP, 3, {"old": True})
    yield from starts(RMSPROP, "the mean square", "0")
    if o["centered"]:
        says = "the mean is not subtracted from the mean square"
        yield Variant("centring", says, CENTRED, 2, {"centre": lambda v, a: v})
        says = "the mean is subtracted without its square: √(v − a)"
        yield Variant("centring", says, CENTRED, 2, {"centre": lambda v, a: v - a})
        says = "the mean's square is added: √(v + a²)"
        yield Variant("centring", says, CENTRED, 3, {"centre": lambda v, a: v + a * a})
    else:
        says = "the mean is subtracted from the mean square, which this RMSprop does not"
        yield Variant("centring", says, RMSPROP, 3, options=with_option("centered", True))
    if o["momentum"]:
        says = "the parameter moves by the scaled gradient alone; the buffer has no effect"
        yield Variant("momentum left out", says, PUSH, 2, {"use": lambda b, scaled: scaled})
        says = "the buffer holds steps, b ← μ b + γ g / (√v + ε): another path once the rate moves"
        yield Variant("learning rate inside the momentum buffer", says, PUSH, 2, {"rate_in_buffer": True})
        says = "the buffer averages: b ← μ b + (1 − μ) g / (√v + ε)"
        yield Variant("dampening", says, PUSH, 3, {"push": lambda b, s, mu: mu * b + (1 - mu) * s})
        says = "the buffer is b ← (1 − μ) b + μ g / (√v + ε)"
        push = {"push": lambda b, s, mu: (1 - mu) * b + mu * s}
        yield Variant("moment without its average", says, PUSH, 4, push)
        says = "the buffer holds gradients, and the root divides it when it is used"
        yield Variant("wrong operand", says, PUSH, 4, {"push_gradient": True})
        says = "Nesterov's look-ahead is added to the buffer"
        mu = float(o["momentum"])
        yield Variant("nesterov", says, PUSH, 4, {"use": lambda b, scaled: scaled + mu * b})


def adadelta(o: Mapping[str, Any]) -> Iterator[Variant]:
    """Adadelta."""

    def outside(v: Array, correction: float, eps: float) -> Array:
        return np.sqrt(v) + eps

    def above(a: Array, eps: float) -> Array:
        return np.sqrt(a) + eps

    says = "ε is added to {}, not under it"
    yield Variant(
        "eps outside the root", says.format("both roots"), ADADELTA, 2, {"divisor": outside, "numerator": above}
    )
    yield Variant("eps outside the root", says.format("the root of the squares"), ADADELTA, 2, {"divisor": outside})
    yield Variant("eps outside the root", says.format("the root of the steps"), ADADELTA, 2, {"numerator": above})
    says = "ε is left out of the root of the {}"
    missing = {"divisor": lambda v, correction, eps: np.sqrt(v)}
    yield Variant("other eps", says.format("squares"), ADADELTA, 3, missing)
    yield Variant("other eps", says.format("steps"), ADADELTA, 3, {"numerator": lambda a, eps: np.sqrt(a)})
    roots = {"divisor": lambda v, correction, eps: v + eps, "numerator": lambda a, eps: a + eps}
    yield Variant("root left out", "both roots are left out", ADADELTA, 2, roots)
    for keyword, text in (("divisor", "squares"), ("numerator", "steps")):
        says = f"the root of the {text} is left out"
        yield Variant("root left out", says, ADADELTA, 3, {keyword: roots[keyword]})
    says = "the steps of the past are left out, as in RMSprop: γ g / √(v + ε)"
    yield Variant("missing term", says, ADADELTA, 2, {"numerator": lambda a, eps: np.ones(np.shape(a))})
    upside = {
        "divisor": lambda v, correction, eps: 1.0,
        "numerator": lambda a, eps: np.ones(np.shape(a)),
    }
    yield Variant("missing term", "the gradient is not scaled at all", ADADELTA, 4, upside)
    says = "the average of the steps takes in their length with the rate, γ Δ: another path once the rate moves"
    yield Variant("learning rate inside the momentum buffer", says, ADADELTA, 2, {"rate_inside": True})
    says = "the average of the steps takes in g², not Δ²"
    yield Variant("wrong operand", says, ADADELTA, 2, {"square_of_step": lambda step, g: g * g})
    says = "the average of the steps takes in |Δ|, not Δ²"
    yield Variant("square left out", says, ADADELTA, 2, {"square_of_step": lambda step, g: np.abs(step)})
    says = "the average of the steps takes in Δ, not Δ²"
    yield Variant("square left out", says, ADADELTA, 2, {"square_of_step": lambda step, g: step})
    yield from squares(ADADELTA)
    letters = {"s": "v", "g": "g²", "b": "ρ"}
    yield from averages(ADADELTA, "moment", letters, "the mean of the squares")
    letters = {"s": "a", "g": "Δ²", "b": "ρ"}
    yield from averages(ADADELTA, "moment_of_steps", letters, "the mean of the steps")
    swapped = with_option("rho", 1 - float(o["rho"]))
    says = "ρ and 1 − ρ have changed places in both averages"
    yield Variant("moment without its average", says, ADADELTA, 2, options=swapped)
    says = "the root uses the mean of the squares as it was before this step's gradient entered"
    yield Variant("moment of the old step", says, ADADELTA, 3, {"old": True})
    yield from starts(ADADELTA, "the mean of the squares", "0")
    yield from other_eps(ADADELTA)
