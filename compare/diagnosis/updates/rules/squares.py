"""Rules that divide by the root of squares: Adagrad, RMSprop, Adadelta."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules.core import Array, Turn, ema, root_plus_eps

__all__ = ["adadelta", "adagrad", "rmsprop"]


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


# -- Adadelta ----------------------------------------------------------------------------------------------------------


def adadelta(
    turn: Turn,
    *,
    moment: Callable[[Array, Array, float], Array] = ema,
    moment_of_steps: Callable[[Array, Array, float], Array] = ema,
    square: Callable[[Array, Array], Array] = lambda g, m: g * g,
    square_of_step: Callable[[Array, Array], Array] = lambda step, g: step * step,
    divisor: Callable[[Array, float, float], Array] = lambda v, correction, eps: np.sqrt(v + eps),
    numerator: Callable[[Array, float], Array] = lambda a, eps: np.sqrt(a + eps),
    rate_inside: bool = False,
    start: Callable[[Array, float], Any] = lambda g, eps: 0.0,
    old: bool = False,
) -> Array:
    """Adadelta: ``Δ = √(a + ε) / √(v + ε) g``, ``a ← ρ a + (1 − ρ) Δ²``, and the change is ``−γ Δ``.

    ``numerator`` and ``divisor`` are the two roots; ``rate_inside`` lets ``a`` average the steps with their rate.
    """
    o, g = turn.options, turn.g
    lr, rho, eps = float(o["lr"]), float(o["rho"]), float(o["eps"])
    before = turn.slot("square_avg", start(g, eps))
    v = moment(before, square(g, g), rho)
    steps = turn.slot("acc_delta")
    with np.errstate(all="ignore"):
        step = numerator(steps, eps) / divisor(before if old else v, 1.0, eps) * g
        taken = lr * step if rate_inside else step
        steps = moment_of_steps(steps, square_of_step(taken, g), rho)
    turn.slots.update(square_avg=v, acc_delta=steps, step=np.asarray(float(turn.t)))
    return -lr * step
