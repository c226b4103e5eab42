"""The update rules of torch's optimizers with a place for every mistake that is made in them.

Each rule is the printed algorithm for one parameter, with its conventions as keyword arguments whose defaults are
torch's: called without them it is the right rule, and with one of them changed it is a rule that somebody wrote. A
rule returns the change of the parameter, ``-lr u``, without decay (:mod:`compare.diagnosis.updates.decay`), and keeps
its slots under torch's names. All is computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["RULES", "Rule", "Turn", "adagrad", "adam", "rmsprop", "sgd"]

Array = Any


@dataclass
class Turn:
    """One parameter's turn in one step.

    Attributes
    ----------
    theta, g : the parameter before the step, and its gradient
    slots : its slots by torch's names; the rule changes them
    t : how many updates the parameter has had, this one counted
    options : the group's options, ``lr`` among them being the rate in force
    """

    theta: Array
    g: Array
    slots: dict[str, Array]
    t: int
    options: Mapping[str, Any]

    def slot(self, name: str, start: Any = 0.0) -> Array:
        """A slot, made of ``start`` at the first turn."""
        if name not in self.slots:
            self.slots[name] = np.zeros(np.shape(self.g)) + start
        return self.slots[name]


Rule = Callable[[Turn], Array]


def ema(moment: Array, g: Array, beta: float) -> Array:
    """The moving average ``β m + (1 − β) g``."""
    return beta * moment + (1 - beta) * g


def power(beta: float, t: int) -> float:
    """The correction of a moving average that started at zero: ``1 − βᵗ``."""
    return 1 - beta**t


def root_plus_eps(v: Array, correction: float, eps: float) -> Array:
    """``√v̂ + ε`` with the corrected ``v̂``."""
    return np.sqrt(v / correction) + eps


def with_rate(direction: Array, lr: float) -> Array:
    return lr * direction


# -- SGD ---------------------------------------------------------------------------------------------------------------


def sgd(
    turn: Turn,
    *,
    first: Callable[[Array, float, float], Array] = lambda g, mu, tau: g,
    later: Callable[[Array, Array, float, float], Array] = lambda b, g, mu, tau: mu * b + (1 - tau) * g,
    step: Callable[[Array, Array, Array, float, bool], Array] = lambda b, g, old, mu, nesterov: (
        g + mu * b if nesterov else b
    ),
    rate_in_buffer: int = 0,
    aliased: str = "",
) -> Array:
    """SGD with momentum.

    ``b ← g`` at the first step (``first``), ``b ← μ b + (1 − τ) g`` after it (``later``); the parameter moves by
    ``−γ b`` or, with Nesterov momentum, ``−γ (g + μ b)`` (``step``, which is also given the buffer of before).

    ``rate_in_buffer``: with 1 or −1 the buffer holds ``±γ g`` and is not multiplied by the rate when it is used, with 3
    it is multiplied once more, with −2 it holds ``−b``. ``aliased`` lets the buffer begin as the first gradient's own
    memory, which is set to zero and added to in the next step: ``"once"`` if the second step then makes a buffer of its
    own, ``"always"`` if it goes on in place.
    """
    o, g = turn.options, turn.g
    lr, mu, tau = float(o["lr"]), float(o["momentum"]), float(o["dampening"])
    if not mu:
        return -lr * g
    sign = -1.0 if rate_in_buffer < 0 else 1.0
    inside = sign * (lr if abs(rate_in_buffer) in (1, 3) else 1.0)
    held = turn.slots.get("momentum_buffer")
    if held is not None and aliased and (aliased == "always" or turn.t == 2):
        held = g
        g = mu * g if aliased == "always" else g
    old = np.zeros(np.shape(g)) if held is None else held
    b = inside * first(g, mu, tau) if held is None else later(held, inside * g, mu, tau)
    turn.slots["momentum_buffer"] = b
    outside = sign * (1.0 if abs(rate_in_buffer) == 1 else lr)
    return -outside * step(b, inside * g, old, mu, bool(o["nesterov"]))


# -- Adam and AdamW ----------------------------------------------------------------------------------------------------


def adam(
    turn: Turn,
    *,
    first_moment: Callable[[Array, Array, float], Array] = ema,
    second_moment: Callable[[Array, Array, float], Array] = ema,
    square: Callable[[Array, Array], Array] = lambda g, m: g * g,
    correct_m: Callable[[float, int], float] = power,
    correct_v: Callable[[float, int], float] = power,
    divisor: Callable[[Array, float, float], Array] = root_plus_eps,
    maximum: str = "of v",
    start: Callable[[Array, float], tuple[Any, Any]] = lambda g, eps: (0.0, 0.0),
    old: str = "",
    old_from: int = 1,
    keep_corrected: bool = False,
    numerator: Callable[[Array, Array], Array] = lambda m, g: m,
) -> Array:
    """Adam: ``m``, ``v``, their corrections (``correct_m``, ``correct_v``), and ``−γ m̂ / (√v̂ + ε)`` (``divisor``).

    ``maximum`` says what AMSGrad takes its maximum of: ``"of v"``, ``"of corrected v"``, ``"of nothing"`` (the slot
    holds the last ``v``), or that it is ``"left out"`` or ``"never made"`` (the slot stays at zero); ``old`` which
    moments (``"m"``, ``"v"``, ``"mv"``) are used as they were before this step, from step ``old_from`` on;
    ``keep_corrected`` writes the corrected moments back into the slots; ``numerator`` is what is divided.
    """
    o, g, t = turn.options, turn.g, turn.t
    lr, (beta1, beta2), eps = float(o["lr"]), o["betas"], float(o["eps"])
    starts = start(g, eps)
    m_before, v_before = turn.slot("exp_avg", starts[0]), turn.slot("exp_avg_sq", starts[1])
    m = first_moment(m_before, g, beta1)
    v = second_moment(v_before, square(g, m), beta2)
    turn.slots.update(exp_avg=m, exp_avg_sq=v, step=np.asarray(float(t)))
    if t >= old_from:
        m, v = m_before if "m" in old else m, v_before if "v" in old else v
    with np.errstate(all="ignore"):
        c1, c2 = correct_m(beta1, t), correct_v(beta2, t)
        if maximum == "left out":
            turn.slots.pop("max_exp_avg_sq", None)
        elif maximum == "never made":
            turn.slots["max_exp_avg_sq"] = np.zeros(np.shape(g))
        elif o.get("amsgrad"):
            held, c2, now = turn.slot("max_exp_avg_sq"), *((1.0, v / c2) if maximum == "of corrected v" else (c2, v))
            v = now if maximum == "of nothing" else np.maximum(held, now)
            turn.slots["max_exp_avg_sq"] = v
        if keep_corrected:
            turn.slots.update(exp_avg=m / c1, exp_avg_sq=v / c2)
        return -lr * numerator(np.divide(m, c1), g) / divisor(v, np.float64(c2), eps)


# -- Adagrad -----------------------------------------------------------------------------------------------------------


def adagrad(
    turn: Turn,
    *,
    total: Callable[[Array, Array], Array] = lambda s, square: s + square,
    square: Callable[[Array, Array], Array] = lambda g, m: g * g,
    divisor: Callable[[Array, float, float], Array] = root_plus_eps,
    start: Callable[[Array, float], Any] | None = None,
    late: int = 1,
    decays: bool = True,
    old: bool = False,
) -> Array:
    """Adagrad: ``s ← s + g²``, then ``−γ / (1 + (t − 1) η) g / (√s + ε)``; ``late`` is the 1 of ``t − 1``."""
    o, g = turn.options, turn.g
    if start is None:
        before = turn.slot("sum", float(o["initial_accumulator_value"]))
    else:
        before = turn.slot("sum", start(g, float(o["eps"])))
    s = total(before, square(g, g))
    turn.slots.update(sum=s, step=np.asarray(float(turn.t)))
    rate = float(o["lr"]) / (1 + (turn.t - late) * float(o["lr_decay"]) * decays)
    with np.errstate(all="ignore"):
        return -rate * g / divisor(before if old else s, 1.0, float(o["eps"]))


# -- RMSprop -----------------------------------------------------------------------------------------------------------


def rmsprop(
    turn: Turn,
    *,
    moment: Callable[[Array, Array, float], Array] = ema,
    square: Callable[[Array, Array], Array] = lambda g, m: g * g,
    centre: Callable[[Array, Array], Array] = lambda v, a: v - a * a,
    divisor: Callable[[Array, float, float], Array] = root_plus_eps,
    correct: Callable[[float, int], float] = lambda alpha, t: 1.0,
    push: Callable[[Array, Array, float], Array] = lambda b, scaled, mu: mu * b + scaled,
    use: Callable[[Array, Array], Array] = lambda b, scaled: b,
    rate_in_buffer: bool = False,
    push_gradient: bool = False,
    start: Callable[[Array, float], Any] = lambda g, eps: 0.0,
    old: bool = False,
) -> Array:
    """RMSprop: ``v ← α v + (1 − α) g²``; ``g / (√v + ε)``, or ``√(v − a²)`` when centered, through the momentum buffer.

    ``push`` is how the buffer takes the scaled gradient in, ``use`` what the step takes from it; ``push_gradient``
    lets the buffer hold gradients and scales when it is used.
    """
    o, g = turn.options, turn.g
    lr, alpha, mu, eps = float(o["lr"]), float(o["alpha"]), float(o["momentum"]), float(o["eps"])
    before = turn.slot("square_avg", start(g, eps))
    v = moment(before, square(g, g), alpha)
    turn.slots.update(square_avg=v, step=np.asarray(float(turn.t)))
    v = before if old else v
    with np.errstate(all="ignore"):
        if o["centered"]:
            a = moment(turn.slot("grad_avg"), g, alpha)
            turn.slots["grad_avg"] = a
            v = centre(v, a)
        scale = divisor(v, correct(alpha, turn.t), eps)
        if not mu:
            return -lr * g / scale
        pushed = (g if push_gradient else g / scale) * (lr if rate_in_buffer else 1.0)
        b = push(turn.slot("momentum_buffer"), pushed, mu)
        turn.slots["momentum_buffer"] = b
        return -(1.0 if rate_in_buffer else lr) * use(b, pushed) / (scale if push_gradient else 1.0)


RULES: dict[str, Callable[..., Array]] = {
    "SGD": sgd,
    "Adam": adam,
    "AdamW": adam,
    "Adagrad": adagrad,
    "RMSprop": rmsprop,
}
"""By the name of torch's class."""
