"""The error function, vectorised, and the normal distribution that rests on it.

NumPy has no error function, and the exact GELU needs a fast one. Both versions below are published minimax
approximations by quotients of polynomials, evaluated in blocks that stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, floating

__all__ = ["erf"]

_BLOCK = 32768

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969), 631-637. Coefficients
# as in his CALERF, highest power first. For |x| <= 0.46875, erf(x) = x A(x^2) / B(x^2).
_A = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_B = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
# For 0.46875 <= x <= 4, erf(x) = 1 - exp(-x^2) C(x) / D(x). Beyond 4 the second term is below 2e-8 and this still
# gives it to more digits than survive the subtraction from 1.
_C = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
_D = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)
# In float32, erf(x) = tanh(x T(x^2)): the error of the polynomial T is damped where tanh saturates, and NumPy's
# float32 tanh is fast. T is our own fit: the weighted minimax approximation of atanh(erf(x)) / x on [0, 4.2]
# (Lawson's iteratively reweighted least squares, "Contributions to the theory of linear least maximum approximation",
# 1961), to 2e-8 of erf.
_T = (
    1.081346846e-10,
    -5.737045456e-09,
    1.150398875e-07,
    -9.777998776e-07,
    4.976455465e-08,
    7.217400381e-05,
    -0.0005986136487,
    -0.0002048921111,
    0.1027718354,
    1.128379188,
)


@floating
def erf(x: Any) -> tuple[Array, Pullback]:
    """Take the error function of an array of any shape.

    Forward: ``y = 2 / √π ∫₀ˣ exp(-t²) dt``. Backward: by the fundamental theorem, ``dy = 2 / √π exp(-x²) dx``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.erf(np.array([0.0, 1.0]))
    >>> value
    array([0.    , 0.8427])
    >>> pullback(np.array([2.0, 1.0]), (True,))
    (array([2.2568, 0.4151]),)
    """

    def erf_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = x * x
        gradient = np.exp(-gradient)
        gradient *= 2 / math.sqrt(math.pi)
        gradient *= incoming
        return (gradient,)

    return error_function(x), erf_pullback


def standard_normal(x: Any) -> tuple[Array, Callable[[], Any]]:
    """``Φ(x)``, the probability that a standard normal lies below ``x``, and what computes its density ``φ(x)``."""
    below = error_function(x * math.sqrt(0.5))
    below += 1
    below *= 0.5

    def density() -> Any:
        exponent = x * x
        exponent *= -0.5
        exponent = np.exp(exponent)
        exponent *= 1 / math.sqrt(2 * math.pi)
        return exponent

    return below, density


def error_function(x: Any) -> Array:
    """Compute the error function, to four units in the last place of float64 and of float32.

    float16 goes through float32; longdouble through a power series, which is right but slow.
    """
    if x.dtype == np.float16:
        return error_function(x.astype(np.float32)).astype(np.float16)
    if x.dtype != np.float32 and x.dtype != np.float64:
        return _series(x)
    kernel = _single if x.dtype == np.float32 else _double
    flat = np.ascontiguousarray(x).reshape(-1)
    result = np.empty(flat.shape, flat.dtype)
    workspace = np.empty((3, min(_BLOCK, flat.size)), flat.dtype)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        kernel(block, result[start : start + _BLOCK], *workspace[:, : block.size])
    return result.reshape(x.shape)


def _polynomial(coefficients: tuple[float, ...], x: Array, out: Array) -> None:
    """Horner's scheme, highest power first."""
    np.multiply(x, coefficients[0], out=out)
    for coefficient in coefficients[1:-1]:
        out += coefficient
        out *= x
    out += coefficients[-1]


def _single(x: Array, out: Array, clipped: Array, square: Array, spare: Array) -> None:
    np.minimum(x, 4.2, out=clipped)
    np.maximum(clipped, -4.2, out=clipped)
    np.multiply(clipped, clipped, out=square)
    _polynomial(_T, square, out)
    out *= clipped
    np.tanh(out, out=out)


def _double(x: Array, out: Array, size: Array, square: Array, below: Array) -> None:
    np.abs(x, out=size)
    np.minimum(size, 6, out=size)
    _polynomial(_C, size, out)
    _polynomial(_D, size, below)
    out /= below
    np.multiply(size, size, out=square)
    near = np.flatnonzero(size <= 0.46875)
    small = square[near]
    np.negative(square, out=square)
    out *= np.exp(square, out=square)
    np.subtract(1, out, out=out)
    np.copysign(out, x, out=out)
    if near.size:
        quotient, divisor = np.empty_like(small), np.empty_like(small)
        _polynomial(_A, small, quotient)
        _polynomial(_B, small, divisor)
        quotient /= divisor
        quotient *= x[near]
        out[near] = quotient


def _series(x: Array) -> Array:
    """``erf(x) = 2 / √π exp(-x²) Σ 2ⁿ x^(2n+1) / (1·3···(2n+1))``: all terms have one sign, so nothing cancels."""
    x = np.minimum(np.maximum(x, -7), 7)
    square = x * x
    term = total = x + 0
    for n in range(1, 260):
        term = term * square / (n + 0.5)
        total = total + term
    return total * np.exp(-square) * (2 / np.sqrt(np.arccos(np.longdouble(-1))))
