"""Rules that move along the gradient or its sign: SGD, ASGD, Rprop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules.core import Array, Turn, scalar

__all__ = ["asgd", "rprop", "sgd"]


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


# -- ASGD --------------------------------------------------------------------------------------------------------------


def annealed(lr: float, decay: float, alpha: float, t: int) -> float:
    """ASGD's rate after ``t`` steps: ``γ / (1 + λ γ t)^α``."""
    return float(lr / (1 + decay * lr * t) ** alpha)


def asgd(
    turn: Turn,
    *,
    rate: Callable[[float, float, float, int], float] = annealed,
    ahead: bool = False,
    pull: Callable[[Array, Array, float, float], Array] = lambda theta, moved, decay, eta: decay * eta * theta,
    weight: Callable[[int, float], float] = lambda t, t0: 1 / max(1.0, t - t0),
    average: Callable[[Array, Array, float], Array] = lambda ax, theta, mu: ax + mu * (theta - ax),
) -> Array:
    """ASGD: ``θ ← (1 − λ η) θ − η g`` (``pull`` is ``λ η θ``), ``ax ← ax + μ (θ − ax)``, then ``η`` and ``μ``.

    ``rate`` and ``weight`` are those of the next step; with ``ahead`` this step uses them already.
    """
    o, g, t = turn.options, turn.g, turn.t
    lr, decay = float(o["lr"]), float(o["lambd"])
    next_eta, next_mu = scalar(rate(lr, decay, float(o["alpha"]), t)), scalar(weight(t, float(o["t0"])))
    held: Mapping[str, Array] = {"eta": scalar(lr), "mu": np.asarray(1.0), **turn.slots}
    eta, mu = (next_eta, next_mu) if ahead else (held["eta"], held["mu"])
    change = -eta * g
    change = change - pull(turn.theta, turn.theta + change, decay, float(eta))
    after = turn.theta + change
    ax = average(turn.slot("ax"), after, float(mu))
    turn.slots.update(ax=ax, eta=next_eta, mu=next_mu, step=np.asarray(float(t)))
    return change


# -- Rprop -------------------------------------------------------------------------------------------------------------


def rprop(
    turn: Turn,
    *,
    factors: Callable[[Array, float, float], Array] = lambda sign, minus, plus: np.where(
        sign > 0, plus, np.where(sign < 0, minus, 1.0)
    ),
    bounded: Callable[[Array, float, float], Array] = lambda size, least, most: np.clip(size, least, most),
    on_change: str = "stands",
    move: Callable[[Array, Array], Array] = lambda g, size: np.sign(g) * size,
    old: bool = False,
    start: float | None = None,
    start_of_previous: Callable[[Array], Any] = lambda g: 0.0,
) -> Array:
    """Rprop: each step size grows by ``η⁺`` while the gradient keeps its sign and shrinks by ``η⁻`` when it changes.

    ``on_change``: where the sign changed the parameter ``"stands"`` and the gradient is forgotten; ``"moves"`` all the
    same; stands and ``"remembers"`` the gradient; moves and ``"forgets"`` it; or ``"goes back"`` by the last step.
    ``old`` moves by the size of before. Sizes begin at ``start``, the learning rate unless given.
    """
    o, g = turn.options, turn.g
    (minus, plus), (least, most) = o["etas"], o["step_sizes"]
    first = "step_size" not in turn.slots
    previous = turn.slot("prev", start_of_previous(g))
    before = turn.slot("step_size", float(o["lr"]) if start is None else start)
    sign = np.sign(g * previous)
    size = bounded(before * factors(sign, float(minus), float(plus)), float(least), float(most))
    changed = sign < 0
    stands = np.where(changed & (on_change not in ("moves", "forgets")), 0.0, g)
    change = -move(stands, before if old else size)
    if on_change == "goes back" and not first:
        change = np.where(changed, -turn.slots.get("last", 0.0), change)
    kept = np.where(changed & (on_change not in ("moves", "remembers")), 0.0, g)
    turn.slots.update(prev=kept, step_size=size, step=np.asarray(float(turn.t)))
    if on_change == "goes back":
        turn.slots["last"] = change
    return change
