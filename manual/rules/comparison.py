"""Choosing between values: larger, smaller, clamped, or by a condition."""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, elementwise, unbroadcast
from manual.rules.masking import blend, drop, keep

__all__ = ["clamp", "maximum", "minimum", "where"]


@elementwise
def maximum(x: Any, y: Any) -> tuple[Array, Pullback]:
    """Take the larger of two arrays, element by element.

    Shapes: ``x`` and ``y`` are broadcast to the shape of the value.

    Forward: ``z = max(x, y)``; NaN where either is.

    Backward: the gradient goes to the one that was taken.

    Convention: at a tie, torch gives each input half of it, and so does this rule.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.maximum(np.array([1.0, 5.0, 2.0]), np.array([3.0, 4.0, 2.0]))
    >>> value
    array([3., 5., 2.])
    >>> pullback(np.array([4.0, 6.0, 8.0]), (True, True))
    (array([0., 6., 4.]), array([4., 0., 4.]))
    """

    def maximum_pullback(incoming: Array, needs: Needs) -> Gradients:
        ties = np.equal(x, y)
        return (
            unbroadcast(_winner(incoming, np.less(x, y), ties), x.shape) if needs[0] else None,
            unbroadcast(_winner(incoming, np.less(y, x), ties), y.shape) if needs[1] else None,
        )

    return np.maximum(x, y), maximum_pullback


@elementwise
def minimum(x: Any, y: Any) -> tuple[Array, Pullback]:
    """Take the smaller of two arrays, element by element.

    Shapes: ``x`` and ``y`` are broadcast to the shape of the value.

    Forward: ``z = min(x, y)``; NaN where either is.

    Backward: the gradient goes to the one that was taken.

    Convention: at a tie, torch gives each input half of it, and so does this rule.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.minimum(np.array([1.0, 5.0, 2.0]), np.array([3.0, 4.0, 2.0]))
    >>> value
    array([1., 4., 2.])
    >>> pullback(np.array([4.0, 6.0, 8.0]), (True, True))
    (array([4., 0., 4.]), array([0., 6., 4.]))
    """

    def minimum_pullback(incoming: Array, needs: Needs) -> Gradients:
        ties = np.equal(x, y)
        return (
            unbroadcast(_winner(incoming, np.less(y, x), ties), x.shape) if needs[0] else None,
            unbroadcast(_winner(incoming, np.less(x, y), ties), y.shape) if needs[1] else None,
        )

    return np.minimum(x, y), minimum_pullback


def _winner(incoming: Array, lost: Array, ties: Array) -> Array:
    gradient = drop(incoming, lost)
    return blend(ties, incoming * 0.5, gradient) if ties.any() else gradient


@elementwise
def clamp(x: Any, min: Any = None, max: Any = None) -> tuple[Array, Pullback]:
    """Bring every element into ``[min, max]``.

    Shapes: ``x``, ``min`` and ``max`` are broadcast to the shape of the value; either bound may be ``None`` or a
    number.

    Forward: ``z = minimum(maximum(x, min), max)``; where ``min > max`` that is ``max``.

    Backward: the gradient goes to ``x`` inside, to ``min`` below it, to ``max`` above it (or where ``min > max``).

    Convention: *at* the ends ``x`` still gets it all, as in torch. (``relu6`` and ``hardtanh``, the same function,
    pass nothing at their ends.)

    Raises
    ------
    RuntimeError
        If there is neither ``min`` nor ``max``.
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.clamp(np.array([-3.0, 0.5, 3.0]), -1.0, 2.0)
    >>> value
    array([-1. ,  0.5,  2. ])
    >>> pullback(np.array([4.0, 6.0, 8.0]), (True, False, False))[0]
    array([0., 6., 0.])
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    value = x if min is None else np.maximum(x, min)
    if max is not None:
        value = np.minimum(value, max)

    def clamp_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_x = to_min = to_max = None
        if needs[0]:
            inside = np.equal(x, x) if min is None else np.greater_equal(x, min)
            if max is not None:
                inside = inside & np.less_equal(x, max)
            to_x = unbroadcast(keep(incoming, inside), x.shape)
        if len(needs) > 1 and needs[1]:
            below = np.less(x, min)
            if max is not None:
                below = below & np.less(min, max)
            to_min = unbroadcast(keep(incoming, below), min.shape)
        if len(needs) > 2 and needs[2]:
            above = np.greater(x, max)
            if min is not None:
                above = above | np.less(max, min)
            to_max = unbroadcast(keep(incoming, above), max.shape)
        return (to_x, to_min, to_max)[: len(needs)]

    return value, clamp_pullback


@elementwise
def where(x: Any, y: Any, *, condition: Any) -> tuple[Array, Pullback]:
    """Take ``x`` where a condition holds and ``y`` elsewhere.

    Shapes: ``x``, ``y`` and the boolean ``condition`` are broadcast to the shape of the value.

    Forward: ``z = x if condition else y``. Backward: each gets the incoming gradient where it was taken, and 0
    elsewhere.

    Convention: the zero is put there, not multiplied in: an infinite or NaN gradient of the branch that was not taken
    does not leak. (What the *forward* of that branch does with its own zero gradient is another matter:
    ``0 * inf`` is NaN there, in torch too.)

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.where(np.array([1.0, 2.0]), np.array([3.0, 4.0]), condition=np.array([True, False]))
    >>> value
    array([1., 4.])
    >>> pullback(np.array([5.0, 7.0]), (True, True))
    (array([5., 0.]), array([0., 7.]))
    """
    value = blend(condition, x, y)

    def where_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (
            unbroadcast(keep(incoming, condition), x.shape) if needs[0] else None,
            unbroadcast(drop(incoming, condition), y.shape) if needs[1] else None,
        )

    return value, where_pullback
