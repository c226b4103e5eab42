"""A line search along a direction of descent, for the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from manual.rules.core import Array

__all__ = ["cubic_minimizer", "largest", "strong_wolfe"]

ARMIJO = 1e-4
"""The part of the promised decrease that a step must keep, ``c₁``."""

CURVATURE = 0.9
"""The part of the slope that may be left, ``c₂``."""


class _Trial:
    """One trial step: its length ``t``, value ``φ(t)``, slope ``φ'(t) = ∇f·d`` and gradient ``∇f``."""

    __slots__ = ("gradient", "length", "slope", "value")

    def __init__(self, length: Any, value: float, slope: Any, gradient: Array):
        self.length = length
        self.value = value
        self.slope = slope
        self.gradient = gradient


def strong_wolfe(
    evaluate: Callable[[Any], tuple[float, Array]],
    length: Any,
    direction: Array,
    value: float,
    gradient: Array,
    slope: Any,
    *,
    tolerance: float = 1e-9,
    evaluations: int = 25,
) -> tuple[float, Array, Any, int]:
    """Find a length ``t`` for which a step ``t d`` decreases enough and leaves little slope.

    With ``φ(t) = f(θ + t d)`` and ``φ'(0) < 0`` the conditions are

        ``φ(t) ≤ φ(0) + c₁ t φ'(0)``        (Armijo: a decrease in proportion to the step)
        ``|φ'(t)| ≤ −c₂ φ'(0)``             (strong curvature: most of the slope is used up)

    *Bracketing.* While trials go down and still slope down, the step grows, each time to the minimiser of the cubic
    through the last two trials, kept within ``[t + 0.01 (t − t₋), 10 t]``. A trial that is too high, higher than the
    one before it, or slopes up ends an interval that holds a good point.

    *Zooming.* The interval's lower end is the best trial so far. A new trial goes to the minimiser of the cubic through
    both ends; if that lies within a tenth of the interval from an end twice in a row, or beyond it, it is moved to a
    tenth from the nearer end. It replaces the higher end, or becomes the lower one, and the other end is the one on
    the side to which the slope falls.

    Parameters
    ----------
    evaluate : callable
        Maps a length to ``φ`` there, a float, and the gradient ``∇f`` there, an array that nobody else writes to.
    length : number
        The first trial.
    direction, gradient : arrays of one shape (n,)
        ``d``, and ``∇f`` at 0.
    value, slope : numbers
        ``φ(0)`` and ``φ'(0)``.
    tolerance : float
        An interval shorter than this, times the largest element of ``|d|``, is not searched further.
    evaluations : int
        How many trials after the first are allowed.

    Returns
    -------
    The value, gradient and length of the best trial, and the number of evaluations.

    Nocedal and Wright, "Numerical Optimization" (2nd edition), algorithms 3.5 and 3.6, with the safeguards of
    Schmidt's minFunc (2005).

    Convention: where the evaluations run out, or the interval gets too short, the lower end is returned whether or not
    it meets the conditions, as in torch; it may be the start itself, with length 0. Where bracketing itself used the
    last evaluation, the ends are the start and the last trial.

    Convention: "higher than the one before" is asked from the third trial on, as in torch (in the book from the
    second).

    Convention: a scalar of the gradient's dtype times or plus a Python float keeps that dtype, in NumPy as in torch, so
    the tests below round alike.
    """
    start = previous = _Trial(0, value, slope, gradient)
    reach = largest(direction)

    def trial_at(length: Any) -> _Trial:
        value, gradient = evaluate(length)
        return _Trial(length, value, np.dot(gradient, direction), gradient)

    def too_high(trial: _Trial) -> bool:
        return bool(trial.value > value + ARMIJO * trial.length * slope)

    def flat(trial: _Trial) -> bool:
        return bool(abs(trial.slope) <= -CURVATURE * slope)

    trial = trial_at(length)
    count = 0  # trials after the first
    found = False
    ends = [start, trial]
    while count < evaluations:
        if too_high(trial) or (count > 1 and trial.value >= previous.value):
            ends = [previous, trial]
            break
        if flat(trial):
            ends = [trial]
            found = True
            break
        if trial.slope >= 0:
            ends = [previous, trial]
            break
        bounds = trial.length + 0.01 * (trial.length - previous.length), trial.length * 10
        previous, trial = trial, trial_at(cubic_minimizer(previous, trial, bounds))
        count += 1
        ends = [start, trial]

    low, high = _ordered(ends)
    cramped = False  # whether the last trial fell close to an end
    while not found and count < evaluations:
        first, last = ends[0].length, ends[1].length
        if abs(last - first) * reach < tolerance:
            break
        left, right = min(first, last), max(first, last)
        length = cubic_minimizer(ends[0], ends[1])
        margin = 0.1 * (right - left)
        close = bool(min(right - length, length - left) < margin)
        if close and (cramped or length >= right or length <= left):
            length = right - margin if abs(length - right) < abs(length - left) else left + margin
            close = False
        cramped = close

        trial = trial_at(length)
        count += 1
        if too_high(trial) or trial.value >= ends[low].value:
            ends[high] = trial
            low, high = _ordered(ends)
        else:
            found = flat(trial)
            if not found and trial.slope * (ends[high].length - ends[low].length) >= 0:
                ends[high] = ends[low]
            ends[low] = trial

    best = ends[low]
    return best.value, best.gradient, best.length, count + 1


def largest(array: Array) -> Any:
    """The largest magnitude, without an array of magnitudes; not a number where one element is none."""
    return np.maximum(array.max(), -array.min())


def _ordered(ends: list[_Trial]) -> tuple[int, int]:
    """Which end is the lower one, and which the higher."""
    return (0, 1) if ends[0].value <= ends[-1].value else (1, 0)


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def cubic_minimizer(first: _Trial, second: _Trial, bounds: tuple[Any, Any] | None = None) -> Any:
    """The minimiser of the cubic that has two trials' values and slopes, kept within bounds.

    With ``t₁ ≤ t₂``, values ``f``, slopes ``g``,

        ``d₁ = g₁ + g₂ − 3 (f₁ − f₂)/(t₁ − t₂)``,  ``d₂ = √(d₁² − g₁ g₂)``
        ``t = t₂ − (t₂ − t₁) (g₂ + d₂ − d₁)/(g₂ − g₁ + 2 d₂)``

    Of the two roots of the cubic's derivative this is the one where it changes from negative to positive. Without a
    real root the cubic has no minimum, and the middle of the bounds is returned.

    Parameters
    ----------
    first, second : trials, in either order
    bounds : two lengths, by default those of the trials

    Nocedal and Wright, equation 3.59.
    """
    if first.length > second.length:
        first, second = second, first
    left, right = bounds or (first.length, second.length)
    g1, g2 = first.slope, second.slope
    d1 = g1 + g2 - 3 * (first.value - second.value) / (first.length - second.length)
    square = d1**2 - g1 * g2
    if not square >= 0:
        return (left + right) / 2.0
    d2 = np.sqrt(square)
    width = second.length - first.length
    return min(max(second.length - width * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2)), left), right)
