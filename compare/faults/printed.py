"""Optimizers as they are printed, line by line, so that one line can be replaced.

As written here they are right, and other arithmetic than the manual wing's: two of the controls are just that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.faults.planting import Plant
from manual.optim import ASGD, SGD, Adadelta, Adafactor, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop, Rprop
from manual.rules.core import Array

__all__ = [
    "ADAM",
    "bare",
    "decayed",
    "penalised",
    "printed_adadelta",
    "printed_adafactor",
    "printed_adam",
    "printed_adamax",
    "printed_asgd",
    "printed_momentum",
    "printed_nadam",
    "printed_radam",
    "printed_rmsprop",
    "printed_rprop",
]


class _Lines:
    """The numbers of one update of one parameter, by the letters of the printed algorithms."""

    def __init__(self, theta: Array, gradient: Array, slots: Any, group: Any):
        self.theta, self.gradient = theta, gradient
        self.lr, self.eps, self.decay = group["lr"], group.get("eps", 0.0), group.get("weight_decay", 0.0)
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


def _printed(
    optimizer: type[Optimizer],
    slots_of: dict[str, str],
    lines: dict[str, Line],
    scalars: tuple[str, ...] = (),
    least: int = 0,
) -> Plant:
    """An update made of lines, each the new value of a letter; ``slots_of`` says which letters are kept, and where.

    ``scalars`` are the kept letters that the optimizer itself moves on, before or after the update. Parameters of
    fewer than ``least`` dimensions are updated by the optimizer itself.
    """

    def update(right: Any, self: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        if parameter.ndim < least:
            right(self, parameter, gradient, slots, group)
            return
        n: Any = _Lines(parameter, gradient, slots, group)
        vars(n).update({name: value for name, value in group.items() if name not in ("lr", "eps", "params")})
        for letter, slot in slots_of.items():
            setattr(n, letter, slots[slot].item() if letter in scalars else slots[slot])
        with np.errstate(all="ignore"):
            for letter, line in lines.items():
                setattr(n, letter, line(n))
        for letter, slot in slots_of.items():
            if letter not in scalars:
                slots[slot][...] = getattr(n, letter)
        parameter[...] = n.theta

    return lambda plant: plant.replace(optimizer, "update", update)


ADADELTA: dict[str, Line] = {
    "g": penalised,
    "v": lambda n: n.rho * n.v + (1 - n.rho) * n.g**2,
    "change": lambda n: np.sqrt(n.a + n.eps) / np.sqrt(n.v + n.eps) * n.g,
    "a": lambda n: n.rho * n.a + (1 - n.rho) * n.change**2,
    "theta": lambda n: n.theta - n.lr * n.change,
}


def printed_adadelta(**wrong: Line) -> Plant:
    """Adadelta as printed, but for the lines given."""
    return _printed(Adadelta, {"v": "square_avg", "a": "acc_delta"}, {**ADADELTA, **wrong})


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x**2)))


ADAFACTOR: dict[str, Line] = {
    "g": bare,
    "length": lambda n: max(n.eps[1], n.rms(n.theta)) * min(n.lr, 1 / np.sqrt(n.t)),
    "share": lambda n: n.t**n.beta2_decay,
    "square_of_rows": lambda n: np.mean(n.g**2, -1, keepdims=True),
    "square_of_columns": lambda n: np.mean(n.g**2, -2, keepdims=True),
    "rows": lambda n: (1 - n.share) * n.rows + n.share * n.square_of_rows,
    "columns": lambda n: (1 - n.share) * n.columns + n.share * n.square_of_columns,
    "v": lambda n: n.rows * n.columns / np.maximum(np.mean(n.rows, -2, keepdims=True), n.eps[0]),
    "root": lambda n: np.sqrt(np.maximum(n.v, n.eps[0] ** 2)),
    "step": lambda n: n.g / n.root,
    "clipped": lambda n: n.step / max(1, n.rms(n.step) / n.d),
    "theta": lambda n: n.theta - n.length * n.clipped,
}


def printed_adafactor(**wrong: Line) -> Plant:
    """Adafactor of matrices as printed, but for the lines given; vectors are updated as they should."""
    lines = {"rms": lambda n: _rms, **ADAFACTOR, **wrong}
    return _printed(Adafactor, {"rows": "row_var", "columns": "col_var"}, lines, least=2)


ADAMAX: dict[str, Line] = {
    "g": penalised,
    "m": ADAM["m"],
    "u": lambda n: np.maximum(n.beta2 * n.u, np.abs(n.g) + n.eps),
    "m_hat": ADAM["m_hat"],
    "change": lambda n: n.m_hat / n.u,
    "theta": ADAM["theta"],
}


def printed_adamax(**wrong: Line) -> Plant:
    """Adamax as printed, but for the lines given."""
    return _printed(Adamax, {"m": "exp_avg", "u": "exp_inf"}, {**ADAMAX, **wrong})


NADAM: dict[str, Line] = {
    "g": penalised,
    "mu": lambda n: n.beta1 * (1 - 0.5 * 0.96 ** (n.t * n.momentum_decay)),
    "mu_next": lambda n: n.beta1 * (1 - 0.5 * 0.96 ** ((n.t + 1) * n.momentum_decay)),
    "m": ADAM["m"],
    "v": ADAM["v"],
    "m_hat": lambda n: n.mu_next * n.m / (1 - n.product * n.mu_next) + (1 - n.mu) * n.g / (1 - n.product),
    "u_hat": lambda n: n.v / (1 - n.beta2**n.t),
    "change": ADAM["change"],
    "theta": ADAM["theta"],
}


def printed_nadam(**wrong: Line) -> Plant:
    """NAdam as printed, but for the lines given."""
    slots = {"m": "exp_avg", "v": "exp_avg_sq", "product": "mu_product"}
    return _printed(NAdam, slots, {**NADAM, **wrong}, scalars=("product",))


RADAM: dict[str, Line] = {
    "g": penalised,
    "m": ADAM["m"],
    "v": ADAM["v"],
    "m_hat": ADAM["m_hat"],
    "longest": lambda n: 2 / (1 - n.beta2) - 1,
    "length": lambda n: n.longest - 2 * n.t * n.beta2**n.t / (1 - n.beta2**n.t),
    "threshold": lambda n: 5.0,
    "r": lambda n: np.sqrt(
        (n.length - 4) * (n.length - 2) * n.longest / ((n.longest - 4) * (n.longest - 2) * n.length)
    ),
    "scale": lambda n: np.sqrt(1 - n.beta2**n.t) / (np.sqrt(n.v) + n.eps),
    "early": lambda n: n.m_hat,
    "change": lambda n: n.m_hat * n.r * n.scale if n.length > n.threshold else n.early,
    "theta": ADAM["theta"],
}


def printed_radam(**wrong: Line) -> Plant:
    """RAdam as printed, but for the lines given."""
    return _printed(RAdam, {"m": "exp_avg", "v": "exp_avg_sq"}, {**RADAM, **wrong})


ASGD_: dict[str, Line] = {
    "g": penalised,
    "shrunk": lambda n: (1 - n.lambd * n.eta) * n.theta,
    "theta": lambda n: n.shrunk - n.eta * n.g,
    "a": lambda n: n.a + n.mu * (n.theta - n.a),
}


def printed_asgd(**wrong: Line) -> Plant:
    """ASGD as printed, but for the lines given."""
    return _printed(ASGD, {"a": "ax", "eta": "eta", "mu": "mu"}, {**ASGD_, **wrong}, scalars=("eta", "mu"))


RPROP: dict[str, Line] = {
    "g": bare,
    "sign": lambda n: np.sign(n.g * n.previous),
    "factor": lambda n: np.where(n.sign > 0, n.etas[1], np.where(n.sign < 0, n.etas[0], 1.0)),
    "size": lambda n: np.clip(n.size * n.factor, *n.step_sizes),
    "used": lambda n: np.where(n.sign < 0, 0.0, n.g),
    "theta": lambda n: n.theta - np.sign(n.used) * n.size,
    "previous": lambda n: n.used,
}


def printed_rprop(**wrong: Line) -> Plant:
    """Rprop as printed, but for the lines given."""
    return _printed(Rprop, {"previous": "prev", "size": "step_size"}, {**RPROP, **wrong})
