"""Exponentials, logarithms, and their circular relatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, floating

__all__ = ["cos", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sin", "tan"]


@floating
def exp(x: Any) -> tuple[Array, Pullback]:
    """Raise e to every element of an array of any shape.

    Forward: ``y = exp(x)``. Backward: the function is its own derivative, ``dy = y dx``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.exp(np.array([0.0, 1.0]))
    >>> value
    array([1.    , 2.7183])
    >>> pullback(np.array([3.0, 2.0]), (True,))
    (array([3.    , 5.4366]),)
    """
    y = np.exp(x)

    def exp_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming * y,)

    return y, exp_pullback


@floating
def expm1(x: Any) -> tuple[Array, Pullback]:
    """Take ``exp(x) - 1`` of every element of an array of any shape, without cancellation near 0.

    Forward: ``y = exp(x) - 1``. Backward: ``dy = exp(x) dx = (y + 1) dx``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.expm1(np.array([0.0, 1.0]))
    >>> value
    array([0.    , 1.7183])
    >>> pullback(np.array([3.0, 2.0]), (True,))
    (array([3.    , 5.4366]),)
    """
    y = np.expm1(x)

    def expm1_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = y + 1
        gradient *= incoming
        return (gradient,)

    return y, expm1_pullback


@floating
def exp2(x: Any) -> tuple[Array, Pullback]:
    """Raise 2 to every element of an array of any shape.

    Forward: ``y = 2 ** x = exp(x log 2)``. Backward: ``dy = y log(2) dx``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.exp2(np.array([0.0, 3.0]))
    >>> value
    array([1., 8.])
    >>> pullback(np.array([3.0, 2.0]), (True,))
    (array([ 2.0794, 11.0904]),)
    """
    y = np.exp2(x)

    def exp2_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = incoming * y
        gradient *= math.log(2)
        return (gradient,)

    return y, exp2_pullback


@floating
def log(x: Any) -> tuple[Array, Pullback]:
    """Take the natural logarithm of every element of an array of any shape.

    Forward: ``y = log(x)``. Backward: ``exp(y) dy = dx``, so ``dy = dx / x``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.log(np.array([1.0, 4.0]))
    >>> value
    array([0.    , 1.3863])
    >>> pullback(np.array([3.0, 2.0]), (True,))
    (array([3. , 0.5]),)
    """

    def log_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming / x,)

    return np.log(x), log_pullback


@floating
def log2(x: Any) -> tuple[Array, Pullback]:
    """Take the logarithm to base 2 of every element of an array of any shape.

    Forward: ``y = log(x) / log(2)``. Backward: ``dy = dx / (x log 2)``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.log2(np.array([1.0, 4.0]))
    >>> value
    array([0., 2.])
    >>> pullback(np.array([3.0, 2.0]), (True,))
    (array([4.3281, 0.7213]),)
    """

    def log2_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming / (x * math.log(2)),)

    return np.log2(x), log2_pullback


@floating
def log10(x: Any) -> tuple[Array, Pullback]:
    """Take the logarithm to base 10 of every element of an array of any shape.

    Forward: ``y = log(x) / log(10)``. Backward: ``dy = dx / (x log 10)``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.log10(np.array([1.0, 100.0]))
    >>> value
    array([0., 2.])
    >>> pullback(np.array([3.0, 2.0]), (True,))
    (array([1.3029, 0.0087]),)
    """

    def log10_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming / (x * math.log(10)),)

    return np.log10(x), log10_pullback


@floating
def log1p(x: Any) -> tuple[Array, Pullback]:
    """Take ``log(1 + x)`` of every element of an array of any shape, without loss of digits near 0.

    Forward: ``y = log(1 + x)``. Backward: ``dy = dx / (1 + x)``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.log1p(np.array([0.0, 3.0]))
    >>> value
    array([0.    , 1.3863])
    >>> pullback(np.array([3.0, 2.0]), (True,))
    (array([3. , 0.5]),)
    """

    def log1p_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming / (x + 1),)

    return np.log1p(x), log1p_pullback


@floating
def sin(x: Any) -> tuple[Array, Pullback]:
    """Take the sine of every element of an array of any shape.

    Forward: ``y = sin(x)``. Backward: ``dy = cos(x) dx``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.sin(np.array([0.0, 1.0]))
    >>> value
    array([0.    , 0.8415])
    >>> pullback(np.array([3.0, 2.0]), (True,))
    (array([3.    , 1.0806]),)
    """

    def sin_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.cos(x)
        gradient *= incoming
        return (gradient,)

    return np.sin(x), sin_pullback


@floating
def cos(x: Any) -> tuple[Array, Pullback]:
    """Take the cosine of every element of an array of any shape.

    Forward: ``y = cos(x)``. Backward: ``dy = -sin(x) dx``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.cos(np.array([0.0, 1.0]))
    >>> value
    array([1.    , 0.5403])
    >>> pullback(np.array([3.0, 2.0]), (True,))
    (array([-0.    , -1.6829]),)
    """

    def cos_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.sin(x)
        gradient *= incoming
        return (-gradient,)

    return np.cos(x), cos_pullback


@floating
def tan(x: Any) -> tuple[Array, Pullback]:
    """Take the tangent of every element of an array of any shape.

    Forward: ``y = sin(x) / cos(x)``. Backward: the quotient rule gives ``dy = dx / cos²(x) = (1 + y²) dx``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.tan(np.array([0.0, 1.0]))
    >>> value
    array([0.    , 1.5574])
    >>> pullback(np.array([3.0, 2.0]), (True,))
    (array([3.   , 6.851]),)
    """
    y = np.tan(x)

    def tan_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = y * y
        gradient += 1
        gradient *= incoming
        return (gradient,)

    return y, tan_pullback
