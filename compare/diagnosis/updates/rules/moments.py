"""Rules with a first and a second moment: Adam and what was made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules.core import Array, Turn, ema, power, root_plus_eps, scalar

__all__ = ["adam", "adamax", "nadam", "radam", "sparse_adam"]


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
    m, v = _moments(turn, first_moment, second_moment, square, start, old, old_from)
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


# -- Adamax, NAdam, RAdam, SparseAdam ----------------------------------------------------------------------------------


def largest(u: Array, g: Array, beta: float, eps: float) -> Array:
    """The infinity norm of Adamax: ``max(β₂ u, |g| + ε)``."""
    return np.maximum(beta * u, np.abs(g) + eps)


def adamax(
    turn: Turn,
    *,
    first_moment: Callable[[Array, Array, float], Array] = ema,
    norm: Callable[[Array, Array, float, float], Array] = largest,
    correct_m: Callable[[float, int], float] = power,
    divisor: Callable[[Array, float, int, float], Array] = lambda u, beta, t, eps: u,
    start: Callable[[Array, float], tuple[Any, Any]] = lambda g, eps: (0.0, 0.0),
    old: str = "",
    old_from: int = 1,
    numerator: Callable[[Array, Array], Array] = lambda m, g: m,
) -> Array:
    """Adamax: ``u ← max(β₂ u, |g| + ε)`` (``norm``), then ``−γ / (1 − β₁ᵗ) m / u`` (``divisor``, that of ``u``)."""
    o, g, t = turn.options, turn.g, turn.t
    (beta1, beta2), eps = o["betas"], float(o["eps"])
    starts = start(g, eps)
    m_before, u_before = turn.slot("exp_avg", starts[0]), turn.slot("exp_inf", starts[1])
    m, u = first_moment(m_before, g, beta1), norm(u_before, g, beta2, eps)
    turn.slots.update(exp_avg=m, exp_inf=u, step=np.asarray(float(t)))
    if t >= old_from:
        m, u = m_before if "m" in old else m, u_before if "v" in old else u
    with np.errstate(all="ignore"):
        return -float(o["lr"]) * numerator(np.divide(m, correct_m(beta1, t)), g) / divisor(u, beta2, t, eps)


def warming(beta: float, decay: float, t: int) -> float:
    """NAdam's momentum of a step: ``μ_t = β₁ (1 − 0.96^(t ψ) / 2)``."""
    return beta * (1 - 0.5 * 0.96 ** (t * decay))


def blended(m: Array, g: Array, mu: float, mu_next: float, product: float) -> Array:
    """NAdam's numerator: ``(1 − μ_t) / (1 − Πμ) g + μ_{t+1} / (1 − Πμ μ_{t+1}) m``."""
    return (1 - mu) / (1 - product) * g + mu_next / (1 - product * mu_next) * m


def nadam(
    turn: Turn,
    *,
    first_moment: Callable[[Array, Array, float], Array] = ema,
    second_moment: Callable[[Array, Array, float], Array] = ema,
    square: Callable[[Array, Array], Array] = lambda g, m: g * g,
    momentum: Callable[[float, float, int], float] = warming,
    product: Callable[[Array, float, float, int], Array] = lambda before, mu, beta, t: (
        np.float32(before) * np.float32(mu)
    ),
    numerator: Callable[[Array, Array, float, float, float], Array] = blended,
    correct_v: Callable[[float, int], float] = power,
    divisor: Callable[[Array, float, float], Array] = root_plus_eps,
    start: Callable[[Array, float], tuple[Any, Any]] = lambda g, eps: (0.0, 0.0),
    old: str = "",
    old_from: int = 1,
) -> Array:
    """NAdam: Adam whose numerator looks ahead (``numerator``), with a momentum that warms up (``momentum``).

    ``product`` is what stands for ``Π μ_i`` in the correction, and is kept as the slot ``mu_product``.
    """
    o, g, t = turn.options, turn.g, turn.t
    (beta1, beta2), decay = o["betas"], float(o["momentum_decay"])
    m, v = _moments(turn, first_moment, second_moment, square, start, old, old_from)
    mu, mu_next = momentum(beta1, decay, t), momentum(beta1, decay, t + 1)
    all_of = scalar(product(turn.slots.get("mu_product", np.asarray(1.0)), mu, beta1, t))
    turn.slots["mu_product"] = all_of
    with np.errstate(all="ignore"):
        step = numerator(m, g, mu, mu_next, float(all_of))
        return -float(o["lr"]) * step / divisor(v, np.float64(correct_v(beta2, t)), float(o["eps"]))


def rectified(length: float, longest: float) -> float:
    """RAdam's rectification, from the length of the averaged past and the longest there is."""
    quotient = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return float(np.sqrt(np.float64(quotient)))


def eps_first(v: Array, correction: float, eps: float) -> Array:
    """``(√v + ε) / √(1 − β₂ᵗ)``: ε beside the root of what is not corrected yet."""
    return (np.sqrt(v) + eps) / np.sqrt(correction)


def radam(
    turn: Turn,
    *,
    first_moment: Callable[[Array, Array, float], Array] = ema,
    second_moment: Callable[[Array, Array, float], Array] = ema,
    square: Callable[[Array, Array], Array] = lambda g, m: g * g,
    correct_m: Callable[[float, int], float] = power,
    correct_v: Callable[[float, int], float] = power,
    divisor: Callable[[Array, float, float], Array] = eps_first,
    length: Callable[[float, float, int], float] = lambda longest, beta, t: longest - 2 * t * beta**t / (1 - beta**t),
    longest: Callable[[float], float] = lambda beta: 2 / (1 - beta) - 1,
    threshold: float = 5.0,
    rectify: Callable[[float, float], float] = rectified,
    early: Callable[[Array, Array, Array], Array] = lambda m_hat, m, divided: m_hat,
    start: Callable[[Array, float], tuple[Any, Any]] = lambda g, eps: (0.0, 0.0),
    old: str = "",
    old_from: int = 1,
) -> Array:
    """RAdam: ``−γ r m̂ / v̂`` once the averaged past is longer than ``threshold``, until then ``−γ m̂`` (``early``)."""
    o, t = turn.options, turn.t
    beta1, beta2 = o["betas"]
    m, v = _moments(turn, first_moment, second_moment, square, start, old, old_from)
    with np.errstate(all="ignore"):
        m_hat = np.divide(m, correct_m(beta1, t))
        divided = m_hat / divisor(v, np.float64(correct_v(beta2, t)), float(o["eps"]))
        most = longest(beta2)
        now = length(most, beta2, t)
        if now <= threshold:
            return -float(o["lr"]) * early(m_hat, m, divided)
        return -float(o["lr"]) * rectify(now, most) * divided


def sparse_adam(turn: Turn, *, rows: str = "given", divisor: Callable[..., Array] = eps_first, **changed: Any) -> Array:
    """Adam of the rows that have a gradient: the moments of all others stay as they are.

    ``rows``: ``"given"``, or ``"all"`` where rows without gradient are treated as if it were zero, or
    ``"all decay"`` where their moments decay and they do not move.
    """
    g = turn.g
    given = np.any(g.reshape(len(g), -1), axis=1) if np.ndim(g) else np.any(g)
    before = {name: np.array(value) for name, value in turn.slots.items()}
    change = adam(turn, divisor=divisor, **changed)
    if rows == "all":
        return change
    given = np.reshape(given, (-1,) + (1,) * (np.ndim(g) - 1)) if np.ndim(g) else given
    if rows == "given":
        for name in ("exp_avg", "exp_avg_sq"):
            turn.slots[name] = np.where(given, turn.slots[name], before.get(name, 0.0))
    return np.where(given, change, 0.0)


def _moments(
    turn: Turn,
    first_moment: Callable[[Array, Array, float], Array],
    second_moment: Callable[[Array, Array, float], Array],
    square: Callable[[Array, Array], Array],
    start: Callable[[Array, float], tuple[Any, Any]],
    old: str,
    old_from: int,
) -> tuple[Array, Array]:
    """Both moments of a turn, as the step uses them; the slots hold what they have become."""
    g, (beta1, beta2) = turn.g, turn.options["betas"]
    starts = start(g, float(turn.options["eps"]))
    m_before, v_before = turn.slot("exp_avg", starts[0]), turn.slot("exp_avg_sq", starts[1])
    m = first_moment(m_before, g, beta1)
    v = second_moment(v_before, square(g, m), beta2)
    turn.slots.update(exp_avg=m, exp_avg_sq=v, step=np.asarray(float(turn.t)))
    if turn.t >= old_from:
        m, v = m_before if "m" in old else m, v_before if "v" in old else v
    return m, v
