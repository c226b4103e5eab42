"""Optimizers as they are printed, line by line, so that one line can be replaced.

As written here they are right, and other arithmetic than the manual wing's: two of the controls are just that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.faults.planting import Plant
from manual.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from manual.rules.core import Array

__all__ = ["ADAM", "bare", "decayed", "penalised", "printed_adam", "printed_momentum", "printed_rmsprop"]


class _Lines:
    """The numbers of one update of one parameter, by the letters of the printed algorithms."""

    def __init__(self, theta: Array, gradient: Array, slots: Any, group: Any):
        self.theta, self.gradient = theta, gradient
        self.lr, self.eps, self.decay = group["lr"], group["eps"], group["weight_decay"]
        self.beta1, self.beta2 = group.get("betas", (0.0, group.get("alpha", 0.0)))
        self.t = slots["step"].item()
        self.g = gradient
        self.m: Any = 0.0
        self.v: Any = 0.0
        self.u: Any = 0.0
        self.m_hat: Any = 0.0
        self.u_hat: Any = 0.0
        self.change: Any = 0.0


Line = Callable[[Any], Any]


def penalised(n: Any) -> Any:
    return n.gradient + n.decay * n.theta


def bare(n: Any) -> Any:
    return n.gradient


def decayed(n: Any) -> Any:
    return n.theta - n.lr * n.decay * n.theta - n.lr * n.change


ADAM: dict[str, Line] = {
    "g": penalised,
    "m": lambda n: n.beta1 * n.m + (1 - n.beta1) * n.g,
    "v": lambda n: n.beta2 * n.v + (1 - n.beta2) * n.g**2,
    "largest": lambda n: n.v,
    "u": lambda n: np.maximum(n.u, n.largest),
    "m_hat": lambda n: n.m / (1 - n.beta1**n.t),
    "u_hat": lambda n: n.u / (1 - n.beta2**n.t),
    "change": lambda n: n.m_hat / (np.sqrt(n.u_hat) + n.eps),
    "theta": lambda n: n.theta - n.lr * n.change,
}


def printed_adam(optimizer: type[Optimizer] = Adam, **wrong: Line) -> Plant:
    """Adam or AdamW as printed, but for the lines given."""
    decoupled = {"g": bare, "theta": decayed} if optimizer is AdamW else {}
    lines = {**ADAM, **decoupled, **wrong}

    def update(right: Any, self: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        n: Any = _Lines(parameter, gradient, slots, group)
        n.m, n.v = slots["exp_avg"], slots["exp_avg_sq"]
        n.u = slots.get("max_exp_avg_sq", 0.0)
        for letter in ("g", "m", "v", "largest", "u", "m_hat", "u_hat", "change", "theta"):
            setattr(n, letter, lines[letter](n) if letter != "u" or group["amsgrad"] else n.v)
        slots["exp_avg"][...], slots["exp_avg_sq"][...] = n.m, n.v
        if group["amsgrad"]:
            slots["max_exp_avg_sq"][...] = n.u
        parameter[...] = n.theta

    return lambda plant: plant.replace(optimizer, "update", update)


RMSPROP: dict[str, Line] = {
    "g": penalised,
    "v": lambda n: n.beta2 * n.v + (1 - n.beta2) * n.g**2,
    "m": lambda n: n.beta2 * n.m + (1 - n.beta2) * n.g,
    "u": lambda n: n.v - n.m**2,
    "change": lambda n: n.g / (np.sqrt(n.u) + n.eps),
    "b": lambda n: n.momentum * n.b + n.change,
    "theta": lambda n: n.theta - n.lr * n.b,
}


def printed_rmsprop(**wrong: Line) -> Plant:
    """RMSprop, centred and with momentum, as printed, but for the lines given."""
    lines = {**RMSPROP, **wrong}

    def update(right: Any, self: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        n: Any = _Lines(parameter, gradient, slots, group)
        n.v, n.m, n.b = slots["square_avg"], slots["grad_avg"], slots["momentum_buffer"]
        n.momentum = group["momentum"]
        for letter, line in lines.items():
            setattr(n, letter, line(n))
        slots["square_avg"][...], slots["grad_avg"][...], slots["momentum_buffer"][...] = n.v, n.m, n.b
        parameter[...] = n.theta

    return lambda plant: plant.replace(RMSprop, "update", update)


def printed_momentum(
    buffer: Any = lambda b, g, o: o["momentum"] * b + (1 - o["dampening"]) * g,
    first: Any = lambda g, o: g.copy(),
    step: Any = lambda b, g, o: o["lr"] * b,
    gradient: Any = lambda g, theta, o: g + o["weight_decay"] * theta,
) -> Plant:
    """SGD with momentum as printed, but for the lines given; ``o`` holds the options."""

    def update(right: Any, self: Any, parameter: Array, grad: Array, slots: Any, group: Any) -> None:
        g = gradient(grad, parameter, group)
        b = slots.get("momentum_buffer")
        if b is None:
            slots["momentum_buffer"] = b = first(g, group)
        else:
            b[...] = buffer(b, g, group)
        parameter -= step(b, g, group)

    return lambda plant: plant.replace(SGD, "update", update)
