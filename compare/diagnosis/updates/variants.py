"""The mistakes that are made in the formulas of the optimizers, each as a change of one convention of a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules import power

__all__ = ["VARIANTS", "Variant"]

Array = Any
ADAM = "m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ), θ ← θ − γ m̂ / (√v̂ + ε)"
MOMENTS = "m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²"
AMSGRAD = "u ← max(u, v), û = u / (1 − β₂ᵗ), θ ← θ − γ m̂ / (√û + ε)"
BUFFER = "b ← g at the first step, then b ← μ b + (1 − τ) g; θ ← θ − γ b"
NESTEROV = "b ← μ b + g; θ ← θ − γ (g + μ b)"
RMSPROP = "v ← α v + (1 − α) g²; θ ← θ − γ g / (√v + ε)"
CENTRED = "a ← α a + (1 − α) g; s = √(v − a²) + ε"
PUSH = "b ← μ b + g / (√v + ε); θ ← θ − γ b"
ADAGRAD = "s ← s + g²; θ ← θ − γ / (1 + (t − 1) η) g / (√s + ε)"


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


def _divisors(formula: str, corrected: bool) -> Iterator[Variant]:
    yield Variant("eps inside the root", "ε is added under the root: √(v̂ + ε)", formula, 2, {"divisor": _inside})
    if corrected:
        says = "ε is added under the root, before the correction: √((v + ε) / (1 − β₂ᵗ))"
        yield Variant("eps inside the root", says, formula, 3, {"divisor": _inside_before})
        says = "ε is added to √v before the correction, so that it shrinks with it: (√v + ε) / √(1 − β₂ᵗ)"
        yield Variant("eps before the bias correction", says, formula, 2, {"divisor": _before})
    says = "ε squared is added under the root"
    yield Variant("eps inside the root", says, formula, 4, {"divisor": _squared_inside})
    says = "ε is a lower bound of the root: max(√v̂, ε)"
    yield Variant("other eps", says, formula, 4, {"divisor": _at_least})
    yield Variant("root left out", "the step is divided by v̂ + ε, without the root", formula, 2, {"divisor": _no_root})
    yield from _other_eps(formula)


def _with(option: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Another value of one option."""
    return lambda options: {**options, option: value}


def _other_eps(formula: str) -> Iterator[Variant]:
    yield Variant("other eps", "ε is left out (0)", formula, 3, options=_with("eps", 0.0))
    for exponent in range(3, 17):
        yield Variant("other eps", f"ε is 1e-{exponent}", formula, 3, options=_with("eps", 10.0**-exponent))


_SQUARES: dict[str, Callable[[Array, Array], Array]] = {
    "|g|": lambda g, m: np.abs(g),
    "g": lambda g, m: g,
}


def _squares(formula: str, keyword: str = "square") -> Iterator[Variant]:
    for text, square in _SQUARES.items():
        says = f"the second moment takes {text} in, not g²"
        yield Variant("square left out", says, formula, 2, {keyword: square})


_STARTS: dict[str, Callable[[Array, float], Any]] = {
    "0": lambda g, eps: 0.0,
    "0.1": lambda g, eps: 0.1,
    "1": lambda g, eps: 1.0,
    "ε": lambda g, eps: eps,
    "1e-8": lambda g, eps: 1e-8,
    "the first gradient squared": lambda g, eps: g * g,
}


def _starts(formula: str, slot: str, right: str) -> Iterator[Variant]:
    for text, start in _STARTS.items():
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


def _averages(formula: str, keyword: str, letters: dict[str, str], what: str) -> Iterator[Variant]:
    for kind, (text, average) in _AVERAGES.items():
        cause = "moment without its average"
        if kind in ("plain", "no growth") and letters["s"] == "m":
            cause = "momentum left out"
        yield Variant(cause, f"{what} {text.format(**letters)}", formula, 3, {keyword: average})


def _second(start: Callable[[Array, float], Any]) -> Callable[[Array, float], tuple[Any, Any]]:
    """Another start of the second moment."""
    return lambda g, eps: (0.0, start(g, eps))


# -- Adam and AdamW --------------------------------------------------------------------------------------------------


def _adam(o: Mapping[str, Any]) -> Iterator[Variant]:
    def corrections(m: Any, v: Any) -> dict[str, Any]:
        return {key: value for key, value in (("correct_m", m), ("correct_v", v)) if value is not None}

    def missing(beta: float, t: int) -> float:
        return 1.0

    def constant(beta: float, t: int) -> float:
        return 1 - beta

    def multiplied(beta: float, t: int) -> float:
        return 1 / (1 - beta**t)

    def shifted(by: int) -> Callable[[float, int], float]:
        return lambda beta, t: np.float64(1) - np.float64(beta) ** (t + by)

    which = {"both moments": (1, 1), "the first moment": (1, 0), "the second moment": (0, 1)}
    for text, (m, v) in which.items():
        rank = 2 if m and v else 3
        says = f"{text}: used without the correction"
        yield Variant(
            "bias correction missing", says, ADAM, rank, corrections(missing if m else None, missing if v else None)
        )
        says = f"{text}: corrected by 1 − β at every step, without the exponent t"
        changes = corrections(constant if m else None, constant if v else None)
        yield Variant("bias correction without exponent", says, ADAM, rank, changes)
        says = f"{text}: multiplied by the correction 1 − βᵗ"
        changes = corrections(multiplied if m else None, multiplied if v else None)
        yield Variant("bias correction multiplied", says, ADAM, rank, changes)
        for by in (-1, 1):
            says = f"{text}: corrected with t {'−' if by < 0 else '+'} 1 for t"
            changes = corrections(shifted(by) if m else None, shifted(by) if v else None)
            yield Variant("step count off by one", says, ADAM, rank, changes)
    says = "the second moment's correction is used without its root: √v / (1 − β₂ᵗ)"
    changes = {"divisor": lambda v, c, eps: np.sqrt(v) / c + eps}
    yield Variant("root left out", says, ADAM, 4, changes)
    changes = {"divisor": lambda v, c, eps: (np.sqrt(v) + eps) / c}
    yield Variant("root left out", says + ", ε included", ADAM, 4, changes)
    says = "the gradient itself stands where the corrected first moment belongs"
    yield Variant("momentum left out", says, ADAM, 3, {"numerator": lambda m, g: g})
    says = "β₁ and β₂ have changed places in the corrections"
    swapped = {
        "correct_m": lambda beta, t: power(float(o["betas"][1]), t),
        "correct_v": lambda beta, t: power(float(o["betas"][0]), t),
    }
    yield Variant("moments swapped", says, ADAM, 3, swapped)
    says = "the corrected moments are written back, and corrected again in the next step"
    yield Variant("applied twice", says, ADAM, 5, {"keep_corrected": True})
    yield Variant(
        "moments swapped",
        "β₁ and β₂ have changed places",
        MOMENTS,
        2,
        options=lambda o: {**o, "betas": tuple(reversed(o["betas"]))},
    )
    yield from _divisors(ADAM, True)
    yield from _squares(MOMENTS)
    says = "the second moment averages m², not g²"
    yield Variant("wrong operand", says, MOMENTS, 4, {"square": lambda g, m: m * m})
    says = "the second moment averages (g − m)²: the mean is subtracted"
    yield Variant("centring", says, MOMENTS, 3, {"square": lambda g, m: (g - m) ** 2})
    yield from _averages(MOMENTS, "first_moment", {"s": "m", "g": "g", "b": "β₁"}, "the first moment")
    yield from _averages(MOMENTS, "second_moment", {"s": "v", "g": "g²", "b": "β₂"}, "the second moment")
    for old, text in (("m", "the first moment"), ("v", "the second moment"), ("mv", "both moments")):
        says = f"{text}: used as before this step's gradient entered"
        yield Variant("moment of the old step", says, MOMENTS, 3, {"old": old})
        yield Variant("moment of the old step", says + ", from step 2 on", MOMENTS, 3, {"old": old, "old_from": 2})
    starts: dict[str, Callable[[Array, float], tuple[Any, Any]]] = {
        "the first moment starts at the first gradient": lambda g, eps: (g, 0.0),
        "both moments start at the first gradient and its square": lambda g, eps: (g, g * g),
    }
    starts |= {f"the second moment starts at {text}": _second(start) for text, start in _STARTS.items() if text != "0"}
    for says, start in starts.items():
        yield Variant("slot starts elsewhere", says, MOMENTS, 3, {"start": start})
    if o.get("amsgrad"):
        says = "the maximum is taken of the corrected second moment"
        yield Variant("maximum of the corrected moment", says, AMSGRAD, 2, {"maximum": "of corrected v"})
        says = "v̂ is used where AMSGrad's maximum belongs"
        yield Variant("maximum left out", says, AMSGRAD, 2, {"maximum": "left out"})
        yield Variant("maximum left out", says + "; its slot stays at 0", AMSGRAD, 2, {"maximum": "never made"})
        says = "the slot of AMSGrad's maximum holds the last v"
        yield Variant("maximum left out", says, AMSGRAD, 2, {"maximum": "of nothing"})


# -- SGD -------------------------------------------------------------------------------------------------------------


def _sgd(o: Mapping[str, Any]) -> Iterator[Variant]:
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


# -- Adagrad and RMSprop ---------------------------------------------------------------------------------------------


def _adagrad(o: Mapping[str, Any]) -> Iterator[Variant]:
    yield from _divisors(ADAGRAD, False)
    yield from _squares(ADAGRAD)
    start = float(o["initial_accumulator_value"])
    yield from _starts(ADAGRAD, "the sum", next((text for text in ("0", "0.1", "1") if start == float(text)), ""))
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


def _rmsprop(o: Mapping[str, Any]) -> Iterator[Variant]:
    yield from _divisors(RMSPROP, False)
    yield from _squares(RMSPROP)
    letters = {"s": "v", "g": "g²", "b": "α"}
    yield from _averages(RMSPROP, "moment", letters, "the mean square")
    says = "the root uses the mean square as it was before this step's gradient entered"
    yield Variant("moment of the old step", says, RMSPROP, 3, {"old": True})
    yield from _starts(RMSPROP, "the mean square", "0")
    if o["centered"]:
        says = "the mean is not subtracted from the mean square"
        yield Variant("centring", says, CENTRED, 2, {"centre": lambda v, a: v})
        says = "the mean is subtracted without its square: √(v − a)"
        yield Variant("centring", says, CENTRED, 2, {"centre": lambda v, a: v - a})
        says = "the mean's square is added: √(v + a²)"
        yield Variant("centring", says, CENTRED, 3, {"centre": lambda v, a: v + a * a})
    else:
        says = "the mean is subtracted from the mean square, which this RMSprop does not"
        yield Variant("centring", says, RMSPROP, 3, options=_with("centered", True))
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


VARIANTS: dict[str, Callable[[Mapping[str, Any]], Iterator[Variant]]] = {
    "SGD": _sgd,
    "Adam": _adam,
    "AdamW": _adam,
    "Adagrad": _adagrad,
    "RMSprop": _rmsprop,
}
"""By the name of torch's class, from the options of the parameter's group."""
