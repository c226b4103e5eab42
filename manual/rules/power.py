"""Powers and roots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, elementwise, floating, unbroadcast

__all__ = ["pow", "rsqrt", "sqrt", "square"]


@elementwise
def pow(x: Any, exponent: Any) -> tuple[Array, Pullback]:
    """Raise to a power, element by element.

    Shapes: ``x`` and ``exponent`` are broadcast to the shape of the value; either may be a number.

    Forward: ``z = x ** p``.

    Backward: with ``z = exp(p log x)``, ``dz = p x ** (p - 1) dx + z log(x) dp``.

    Convention: the gradient of the base is 0 where ``p = 0`` (also at ``x = 0``, where the formula would read 0 / 0),
    and that of the exponent is 0 where ``x = 0`` and ``p >= 0`` (the limit of ``x ** p log x``; at ``p = 0`` there is
    none, and torch takes 0 too). A negative base has a NaN for its exponent's gradient.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.pow(np.array([2.0, 3.0]), np.array(2.0))
    >>> value
    array([4., 9.])
    >>> pullback(np.array([1.0, 5.0]), (True, True))
    (array([ 4., 30.]), array(52.2101))
    """
    value = _power(x, exponent) if isinstance(exponent, (int, float)) else x**exponent

    def pow_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_x = to_exponent = None
        if needs[0]:
            to_x = unbroadcast(incoming * _slope(x, exponent), x.shape)
        if needs[1]:
            with np.errstate(divide="ignore", invalid="ignore"):
                gradient = incoming * value
                gradient *= _log(x)
            undefined = np.equal(x, 0) & (exponent >= 0)
            to_exponent = unbroadcast(np.where(undefined, 0, gradient), exponent.shape)
        return to_x, to_exponent

    return value, pow_pullback


def _power(x: Any, exponent: float) -> Any:
    """``x ** exponent`` without NumPy's general power (270 times the cost of ``x * x * x`` in float32)."""
    if x.dtype.kind == "f":
        if exponent == 2:
            return x * x
        if exponent == 3:
            cube = x * x
            cube *= x
            return cube
        if exponent == 4:
            square = x * x
            square *= square
            return square
        if exponent == 0.5:
            return np.sqrt(x)
        if exponent == -0.5:
            root = np.sqrt(x)
            return np.reciprocal(root)
        if exponent == -1:
            return np.reciprocal(x)
    return x**exponent


def _slope(x: Any, exponent: Any) -> Any:
    """The derivative ``p x ** (p - 1)``, zero where ``p`` is."""
    if isinstance(exponent, (int, float)):
        if exponent == 0:
            return np.zeros_like(x)
        if exponent == 1:
            return np.ones_like(x)
        if exponent == 2:
            return x * 2
        slope = _power(x, exponent - 1)
        slope *= exponent
        return slope
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = x ** (exponent - 1)
        slope *= exponent
    return np.where(exponent == 0, 0, slope)


def _log(x: Any) -> Any:
    if isinstance(x, (int, float)):
        return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan
    return np.log(x)


@elementwise
def square(x: Any) -> tuple[Array, Pullback]:
    """Square every element of an array of any shape.

    Forward: ``y = x²``. Backward: ``dy = 2 x dx``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.square(np.array([2.0, 3.0]))
    >>> value
    array([4., 9.])
    >>> pullback(np.array([1.0, 5.0]), (True,))
    (array([ 4., 30.]),)
    """

    def square_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = incoming * x
        gradient *= 2
        return (gradient,)

    return x * x, square_pullback


@floating
def sqrt(x: Any) -> tuple[Array, Pullback]:
    """Take the square root of every element of an array of any shape.

    Forward: ``y = √x``. Backward: ``2 y dy = dx``, so ``dy = dx / (2 y)``.

    Convention: the slope at 0 is infinite, and so is the gradient, as in torch. NaN below 0.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.sqrt(np.array([4.0, 9.0]))
    >>> value
    array([2., 3.])
    >>> pullback(np.array([1.0, 6.0]), (True,))
    (array([0.25, 1.  ]),)
    """
    y = np.sqrt(x)

    def sqrt_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming / (y * 2),)

    return y, sqrt_pullback


@floating
def rsqrt(x: Any) -> tuple[Array, Pullback]:
    """Take the reciprocal square root of every element of an array of any shape.

    Forward: ``y = 1 / √x``. Backward: ``dy = -x ** (-3 / 2) dx / 2 = -y³ dx / 2``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.rsqrt(np.array([4.0, 1.0]))
    >>> value
    array([0.5, 1. ])
    >>> pullback(np.array([16.0, 6.0]), (True,))
    (array([-1., -3.]),)
    """
    root = np.sqrt(x)
    y = np.reciprocal(root)

    def rsqrt_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = y * y
        gradient *= y
        gradient *= incoming
        gradient *= -0.5
        return (gradient,)

    return y, rsqrt_pullback
