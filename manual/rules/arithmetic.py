"""The four operations, sign and size: what every other derivation is built from."""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, elementwise, floating, unbroadcast

__all__ = ["abs", "add", "div", "mul", "neg", "reciprocal", "sign", "sub"]


@elementwise
def add(x: Any, y: Any, *, alpha: float = 1) -> tuple[Array, Pullback]:
    """Add two arrays, element by element.

    Shapes: ``x`` and ``y`` are broadcast to the shape of the value.

    Forward: ``z = x + alpha * y``.

    Backward: ``dz = dx + alpha dy``, so both inputs get the incoming gradient (``y`` scaled by ``alpha``), summed
    over the axes along which they were broadcast.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.add(np.array([[6.0], [8.0]]), np.array([1.0, 2.0]), alpha=2)
    >>> value
    array([[ 8., 10.],
           [10., 12.]])
    >>> pullback(np.array([[1.0, 2.0], [3.0, 4.0]]), (True, True))
    (array([[3.],
           [7.]]), array([ 8., 12.]))
    """
    x_shape, y_shape = getattr(x, "shape", ()), getattr(y, "shape", ())

    def add_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_x = unbroadcast(incoming, x_shape) if needs[0] else None
        if not needs[1]:
            return to_x, None
        return to_x, unbroadcast(incoming if alpha == 1 else incoming * alpha, y_shape)

    return x + (y if alpha == 1 else alpha * y), add_pullback


@elementwise
def sub(x: Any, y: Any, *, alpha: float = 1) -> tuple[Array, Pullback]:
    """Subtract, element by element.

    Shapes: ``x`` and ``y`` are broadcast to the shape of the value.

    Forward: ``z = x - alpha * y``.

    Backward: ``dz = dx - alpha dy``.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.sub(np.array([[6.0], [8.0]]), np.array([1.0, 2.0]), alpha=2)
    >>> value
    array([[4., 2.],
           [6., 4.]])
    >>> pullback(np.array([[1.0, 2.0], [3.0, 4.0]]), (True, True))
    (array([[3.],
           [7.]]), array([ -8., -12.]))
    """
    x_shape, y_shape = getattr(x, "shape", ()), getattr(y, "shape", ())

    def sub_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_x = unbroadcast(incoming, x_shape) if needs[0] else None
        if not needs[1]:
            return to_x, None
        return to_x, unbroadcast(-incoming if alpha == 1 else incoming * -alpha, y_shape)

    return x - (y if alpha == 1 else alpha * y), sub_pullback


@elementwise
def mul(x: Any, y: Any) -> tuple[Array, Pullback]:
    """Multiply, element by element.

    Shapes: ``x`` and ``y`` are broadcast to the shape of the value.

    Forward: ``z = x y``.

    Backward: the product rule, ``dz = y dx + x dy``: each input gets the incoming gradient times the *other* input.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.mul(np.array([[6.0], [8.0]]), np.array([1.0, 2.0]))
    >>> value
    array([[ 6., 12.],
           [ 8., 16.]])
    >>> pullback(np.array([[1.0, 2.0], [3.0, 4.0]]), (True, True))
    (array([[ 5.],
           [11.]]), array([30., 44.]))
    """

    def mul_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (
            unbroadcast(incoming * y, x.shape) if needs[0] else None,
            unbroadcast(incoming * x, y.shape) if needs[1] else None,
        )

    return x * y, mul_pullback


@floating
def div(x: Any, y: Any) -> tuple[Array, Pullback]:
    """Divide, element by element.

    Shapes: ``x`` and ``y`` are broadcast to the shape of the value.

    Forward: ``z = x / y``.

    Backward: the quotient rule, ``dz = dx / y - (x / y²) dy``. With ``g = incoming / y`` the two gradients are ``g``
    and ``-g z``.

    Convention: division by zero gives an infinity or NaN, and the gradient follows; integers divide to float32, as in
    torch.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.div(np.array([[6.0], [8.0]]), np.array([1.0, 2.0]))
    >>> value
    array([[6., 3.],
           [8., 4.]])
    >>> pullback(np.array([[1.0, 2.0], [3.0, 4.0]]), (True, True))
    (array([[2.],
           [5.]]), array([-30., -11.]))
    """
    value = x / y

    def div_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_x = incoming / y
        to_y = None
        if needs[1]:
            to_y = to_x * value
            to_y = unbroadcast(np.negative(to_y, out=to_y) if to_y.ndim else -to_y, y.shape)
        return unbroadcast(to_x, x.shape) if needs[0] else None, to_y

    return value, div_pullback


@elementwise
def neg(x: Any) -> tuple[Array, Pullback]:
    """Change the sign of an array of any shape.

    Forward: ``y = -x``. Backward: ``dy = -dx``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.neg(np.array([1.0, -2.0]))
    >>> value
    array([-1.,  2.])
    >>> pullback(np.array([3.0, 5.0]), (True,))
    (array([-3., -5.]),)
    """

    def neg_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (-incoming,)

    return -x, neg_pullback


@floating
def reciprocal(x: Any) -> tuple[Array, Pullback]:
    """Invert every element of an array of any shape.

    Forward: ``y = 1 / x``. Backward: ``dy = -dx / x² = -y² dx``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.reciprocal(np.array([2.0, -4.0]))
    >>> value
    array([ 0.5 , -0.25])
    >>> pullback(np.array([8.0, 16.0]), (True,))
    (array([-2., -1.]),)
    """
    y = np.reciprocal(x)

    def reciprocal_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = y * y
        gradient *= incoming
        return (-gradient,)

    return y, reciprocal_pullback


@elementwise
def abs(x: Any) -> tuple[Array, Pullback]:
    """Take the absolute value of every element of an array of any shape.

    Forward: ``y = |x|``. Backward: ``dy = sign(x) dx``.

    Convention: at the kink ``x = 0`` every slope in [-1, 1] is a subgradient; torch takes 0, and so does this rule.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.abs(np.array([2.0, -4.0, 0.0]))
    >>> value
    array([2., 4., 0.])
    >>> pullback(np.array([3.0, 5.0, 7.0]), (True,))
    (array([ 3., -5.,  0.]),)
    """

    def abs_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.sign(x)
        gradient *= incoming
        return (gradient,)

    return np.abs(x), abs_pullback


@elementwise
def sign(x: Any) -> tuple[Array, Pullback]:
    """Take the sign (-1, 0 or 1) of every element of an array of any shape.

    Forward: ``y = sign(x)``. Backward: zero; the function is flat wherever it has a slope at all.

    Convention: at the jump ``x = 0`` the gradient is zero too, as in torch.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.sign(np.array([2.0, -4.0, 0.0]))
    >>> value
    array([ 1., -1.,  0.])
    >>> pullback(np.array([3.0, 5.0, 7.0]), (True,))
    (array([0., 0., 0.]),)
    """

    def sign_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (np.zeros_like(incoming),)

    return np.sign(x), sign_pullback
