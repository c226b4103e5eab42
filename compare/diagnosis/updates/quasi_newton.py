"""L-BFGS, whose memory spans all parameters: the two loops with a place for every mistake that is made in them.

Only what needs no further evaluation of the loss is told: one iteration in each step, of fixed length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.updates.run import Found, Run
from compare.diagnosis.updates.trial import Trial

__all__ = ["quasi_newton"]

Array = Any
_CURVATURE = 1e-10
LOOPS = "from the newest pair to the oldest: α = ρ sᵀq, q ← q − α y; d ← H q; back again: d ← d + (α − ρ yᵀd) s"
MEMORY = "y = g − g₋ and s = t d of the step before, remembered if yᵀs > 1e-10; H = yᵀs / yᵀy of the newest pair"
LENGTH = "t = γ min(1, 1/‖g‖₁) in the first iteration, then γ"

_MISTAKES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("reversed", "both loops go through the memory from the oldest pair to the newest", LOOPS, {"order": (1, 1)}),
    ("reversed", "the loops go through the memory the other way round", LOOPS, {"order": (1, -1)}),
    ("reversed", "both loops go from the newest pair to the oldest", LOOPS, {"order": (-1, -1)}),
    ("missing term", "the second loop is left out", LOOPS, {"second": "none"}),
    ("missing term", "the second loop adds α s, and does not subtract ρ yᵀd", LOOPS, {"second": "alpha"}),
    ("sign", "the second loop adds α + ρ yᵀd", LOOPS, {"second": "plus"}),
    ("scale left out", "the first guess of the inverse Hessian is 1: H is left out", MEMORY, {"scale": "one"}),
    ("wrong operand", "H is sᵀs / yᵀs", MEMORY, {"scale": "steps"}),
    ("wrong operand", "H is yᵀy / yᵀs, upside down", MEMORY, {"scale": "upside down"}),
    ("other threshold", "pairs without curvature are remembered, too", MEMORY, {"least": -np.inf}),
    ("other threshold", "no pair is ever remembered", MEMORY, {"least": np.inf}),
    ("wrong operand", "s is the direction, without the length of the step", MEMORY, {"length_in_s": False}),
    ("sign", "y is the old gradient less the new one", MEMORY, {"y_sign": -1.0}),
    ("stale gradient", "the gradient of the first step is kept for every difference", MEMORY, {"keep_first": True}),
    ("missing term", "the first step is as long as all others", LENGTH, {"first": "rate"}),
    ("wrong function", "the first step is divided by the gradient's 2-norm", LENGTH, {"first": "norm"}),
    ("other threshold", "the first step is γ/‖g‖₁ also where that is longer than γ", LENGTH, {"first": "unbounded"}),
    ("sign", "the step is subtracted, although d points downwards", LOOPS, {"sign": -1.0}),
    ("momentum left out", "the memory is empty at every step: steepest descent", MEMORY, {"forget": True}),
)


def quasi_newton(run: Run) -> Iterator[Trial]:
    """The wrong forms of L-BFGS."""
    options = run.groups[run.name]
    if options["max_iter"] != 1 or options["line_search_fn"] is not None or run.evidence.sync != "free":
        return
    for cause, says, look_at, changes in _MISTAKES:
        yield Trial(cause, says, look_at, partial(_judged, run, **changes), 2)
    for size in (options["history_size"] - 1, options["history_size"] + 1):
        if size > 0:
            says = f"the memory holds {size} pairs, not {options['history_size']}"
            yield Trial("other option", says, MEMORY, partial(_judged, run, history=size), 3)


def _judged(run: Run, **changes: Any) -> Found:
    predicted: dict[Checkpoint, Array] = dict(_path(run, **changes))
    return Found(predicted, run.evidence.fit(predicted).explained)


def _path(
    run: Run,
    *,
    order: tuple[int, int] = (-1, 1),
    second: str = "both",
    scale: str = "newest",
    least: float = _CURVATURE,
    length_in_s: bool = True,
    y_sign: float = 1.0,
    keep_first: bool = False,
    first: str = "bounded",
    sign: float = 1.0,
    forget: bool = False,
    history: int = 0,
) -> Iterator[tuple[Checkpoint, Array]]:
    """What L-BFGS leads to: the changes of all parameters in every step, and the state under the first of them."""
    names = list(run.groups)
    pairs: list[tuple[Array, Array]] = []
    before: tuple[Array, Array, float] | None = None  # the last gradient, direction and length
    h = 1.0
    for step in run.steps:
        shapes = {name: np.shape(run.parameters[step][name]) for name in names}
        g = np.concatenate([_flat(run.gradient(step, name), shapes[name]) for name in names])
        lr = float(run.options(step, names[0])["lr"])
        if before is None or forget:
            d, t = -g, lr * _first_length(g, first)
        else:
            y, s = y_sign * (g - before[0]), before[1] * (before[2] if length_in_s else 1.0)
            if np.dot(y, s) > least:
                pairs = [*pairs, (y, s)][-(history or int(run.groups[names[0]]["history_size"])) :]
                h = _first_guess(y, s, scale)
            d, t = _direction(g, pairs, h, order, second), lr
        before = (before[0] if keep_first and before else g, d, t)
        yield Checkpoint(step, None, "slots", names[0], 0, "d"), d
        yield Checkpoint(step, None, "slots", names[0], 0, "t"), np.asarray(t)
        if scale != "one":  # which may be known and not used
            yield Checkpoint(step, None, "slots", names[0], 0, "H_diag"), np.asarray(h)
        yield Checkpoint(step, None, "slots", names[0], 0, "prev_flat_grad"), before[0]
        moves = float(np.dot(g, d)) <= -float(run.groups[names[0]]["tolerance_change"])
        start = 0
        for name in names:
            size = int(np.prod(shapes[name]))
            change = moves * sign * t * d[start : start + size].reshape(shapes[name])
            start += size
            yield from run.shown(step, name, {}, change)


def _flat(gradient: Array | None, shape: tuple[int, ...]) -> Array:
    """A gradient as a vector; zeros where there is none."""
    return np.zeros(int(np.prod(shape))) if gradient is None else np.ravel(gradient)


def _first_length(g: Array, how: str) -> float:
    sizes: dict[str, Callable[[], float]] = {
        "bounded": lambda: min(1.0, 1.0 / float(np.abs(g).sum())),
        "unbounded": lambda: 1.0 / float(np.abs(g).sum()),
        "norm": lambda: min(1.0, 1.0 / float(np.linalg.norm(g))),
        "rate": lambda: 1.0,
    }
    return sizes[how]()


def _first_guess(y: Array, s: Array, how: str) -> float:
    guesses: dict[str, Callable[[], float]] = {
        "newest": lambda: float(np.dot(y, s) / np.dot(y, y)),
        "one": lambda: 1.0,
        "steps": lambda: float(np.dot(s, s) / np.dot(y, s)),
        "upside down": lambda: float(np.dot(y, y) / np.dot(y, s)),
    }
    return guesses[how]()


def _direction(g: Array, pairs: list[tuple[Array, Array]], h: float, order: tuple[int, int], second: str) -> Array:
    d, alphas = -g, {}
    for i in list(range(len(pairs)))[:: order[0]]:
        y, s = pairs[i]
        alphas[i] = np.dot(s, d) / np.dot(y, s)
        d = d - alphas[i] * y
    d = h * d
    for i in list(range(len(pairs)))[:: order[1]] if second != "none" else ():
        y, s = pairs[i]
        back = {"both": -1.0, "plus": 1.0, "alpha": 0.0}[second] * np.dot(y, d) / np.dot(y, s)
        d = d + (alphas[i] + back) * s
    return d
