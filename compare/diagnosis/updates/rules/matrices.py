"""Rules that see a parameter as a matrix: Adafactor and Muon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules.core import Array, Turn

__all__ = ["adafactor", "bfloat16", "muon"]

# -- Adafactor ---------------------------------------------------------------------------------------------------------


def rms(value: Array) -> float:
    """The root of the mean square of all elements."""
    return float(np.sqrt(np.mean(np.square(value)))) if np.size(value) else 0.0


def mean_square(g: Array, axis: int) -> Array:
    """The mean of the squares along an axis, which stays as one of size 1."""
    return np.mean(np.square(g), axis=axis, keepdims=True)


def outer(row: Array, column: Array, eps: float) -> Array:
    """The second moment from its factors: ``r c / mean(r)``."""
    return row @ column / np.maximum(np.mean(row, axis=-2, keepdims=True), eps)


def adafactor(
    turn: Turn,
    *,
    share: Callable[[int, float], float] = lambda t, power: float(t) ** power,
    square: Callable[[Array, int], Array] = mean_square,
    product: Callable[[Array, Array, float], Array] = outer,
    root: Callable[[Array, float], Array] = lambda v, eps: np.sqrt(np.maximum(v, eps * eps)),
    scale: Callable[[Array, float], float] = lambda theta, eps: max(eps, rms(theta)),
    clip: Callable[[Array, float], float] = lambda step, d: max(1.0, rms(step) / d),
    relative: Callable[[float, int], float] = lambda lr, t: min(lr, 1 / float(np.sqrt(t))),
    factored: bool = True,
    old: bool = False,
) -> Array:
    """Adafactor: the second moment of a matrix from the means of its rows and columns (``product``), of a vector whole.

    ``u = g / √max(v, ε₁²)`` (``root``) is brought to a root mean square of at most ``d`` (``clip``) and multiplied by
    ``max(ε₂, RMS(θ))`` (``scale``) and ``min(γ, 1/√t)`` (``relative``); a new square weighs ``t^−0.8`` (``share``).
    ``old`` uses the moment of before, ``factored=False`` keeps it whole.
    """
    o, g, t = turn.options, turn.g, turn.t
    least, smallest = map(float, o["eps"])
    weight = share(t, float(o["beta2_decay"]))

    def held(name: str, value: Array) -> Array:
        before = turn.slots.get(name, np.zeros(np.shape(value)))
        turn.slots[name] = before + weight * (value - before)
        return before if old else turn.slots[name]

    with np.errstate(all="ignore"):
        if np.ndim(g) > 1 and factored:
            v = product(held("row_var", square(g, -1)), held("col_var", square(g, -2)), least)
        else:
            v = held("variance", g * g)
        turn.slots["step"] = np.asarray(float(t))
        step = g / root(v, least)
        length = relative(float(o["lr"]), t) * scale(turn.theta, smallest)
        return -length / clip(step, float(o["d"])) * step


# -- Muon --------------------------------------------------------------------------------------------------------------


def bfloat16(value: Array) -> Array:
    """Rounded to the nearest bfloat16, ties to even; held in float32."""
    bits = np.ascontiguousarray(value, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def frobenius(x: Array, eps: float) -> float:
    """The norm of all elements, at least ``eps``."""
    return max(float(bfloat16(np.linalg.norm(x))[0]), eps)


def orthogonal(
    g: Array,
    coefficients: tuple[float, float, float],
    steps: int,
    eps: float,
    *,
    norm: Callable[[Array, float], float] = frobenius,
) -> Array:
    """The Newton-Schulz iteration ``X ← a X + (b A + c A²) X`` with ``A = X Xᵀ``, of the wide matrix, in bfloat16."""
    a, b, c = (np.float32(value) for value in coefficients)
    tall = g.shape[0] > g.shape[1]
    x = bfloat16(g.T if tall else g)
    x = bfloat16(x / np.float32(norm(x, eps)))
    with np.errstate(all="ignore"):
        for _ in range(steps):
            gram = bfloat16(x @ x.T)
            x = bfloat16(a * x + bfloat16(b * gram + c * (gram @ gram)) @ x)
    return np.asarray(x.T if tall else x, np.float64)


def stretched(shape: tuple[int, ...], kind: str | None) -> float:
    """What Muon multiplies its rate by, from the shape of the matrix."""
    rows, columns = shape[:2]
    if kind == "match_rms_adamw":
        return 0.2 * float(np.sqrt(max(rows, columns)))
    return float(np.sqrt(max(1.0, rows / columns)))


def muon(
    turn: Turn,
    *,
    moment: Callable[[Array, Array, float], Array] = lambda b, g, mu: mu * b + (1 - mu) * g,
    ahead: Callable[[Array, Array, float, bool], Array] = lambda b, g, mu, nesterov: (
        (1 - mu) * g + mu * b if nesterov else b
    ),
    orthogonalise: Callable[[Array, tuple[float, float, float], int, float], Array] = orthogonal,
    stretch: Callable[[tuple[int, ...], Any], float] = stretched,
    first: str = "momentum",
) -> Array:
    """Muon: the momentum (``moment``), Nesterov's look-ahead (``ahead``), made orthogonal, times a factor of the shape.

    ``first`` says what comes first: the ``"momentum"`` or the ``"orthogonalisation"``.
    """
    o, g = turn.options, turn.g
    if np.ndim(g) != 2:
        return np.zeros(np.shape(g))
    mu = float(o["momentum"])
    settings = (tuple(o["ns_coefficients"]), int(o["ns_steps"]), float(o["eps"]))
    if first == "orthogonalisation":
        g = orthogonalise(g, *settings)
    b = moment(turn.slot("momentum_buffer"), g, mu)
    turn.slots["momentum_buffer"] = b
    step = ahead(b, g, mu, bool(o["nesterov"]))
    if first == "momentum":
        step = orthogonalise(step, *settings)
    return -float(o["lr"]) * stretch(np.shape(g), o.get("adjust_lr_fn")) * step
