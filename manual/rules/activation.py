"""Smooth activations, on arrays of any shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, floating, reduce_axes
from manual.rules.masking import blend
from manual.rules.special import standard_normal

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "logsigmoid",
    "mish",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanh",
    "tanhshrink",
]


def _logistic(x: Any) -> Any:
    """``1 / (1 + exp(-x))``; where the exponential overflows the quotient is 0, as it should be."""
    with np.errstate(over="ignore"):
        y = np.exp(-x)
    y += 1
    return np.reciprocal(y, out=y) if type(y) is np.ndarray else np.reciprocal(y)


def _softplus(x: Any) -> Any:
    """``log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))``, whose exponential is never above 1."""
    y = np.abs(x)
    y = np.log1p(np.exp(-y))
    y += np.maximum(x, 0)
    return y


@floating
def sigmoid(x: Any) -> tuple[Array, Pullback]:
    """Squash into (0, 1).

    Forward: ``y = 1 / (1 + exp(-x))``. For a very negative ``x`` the exponential overflows to infinity, and ``y`` is
    0 as it should be.

    Backward: ``dy = exp(-x) / (1 + exp(-x))² dx = y (1 - y) dx``.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.sigmoid(np.array([0.0, 2.0]))
    >>> value
    array([0.5   , 0.8808])
    >>> pullback(np.array([4.0, -1.0]), (True,))
    (array([ 1.   , -0.105]),)
    """
    y = _logistic(x)

    def sigmoid_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = 1 - y
        gradient *= y
        gradient *= incoming
        return (gradient,)

    return y, sigmoid_pullback


@floating
def logsigmoid(x: Any) -> tuple[Array, Pullback]:
    """Take the logarithm of the sigmoid.

    Forward: ``y = -log(1 + exp(-x)) = min(x, 0) - log1p(exp(-|x|))``; the second form neither overflows nor cancels.

    Backward: ``dy = exp(-x) / (1 + exp(-x)) dx = sigmoid(-x) dx``.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.logsigmoid(np.array([0.0, 2.0]))
    >>> value
    array([-0.6931, -0.1269])
    >>> pullback(np.array([4.0, -1.0]), (True,))
    (array([ 2.    , -0.1192]),)
    """

    def logsigmoid_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = _logistic(-x)
        gradient *= incoming
        return (gradient,)

    return -_softplus(-x), logsigmoid_pullback


@floating
def tanh(x: Any) -> tuple[Array, Pullback]:
    """Squash into (-1, 1).

    Forward: ``y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))``. Backward: the quotient rule gives ``dy = (1 - y²) dx``.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.tanh(np.array([0.0, 2.0]))
    >>> value
    array([0.   , 0.964])
    >>> pullback(np.array([4.0, -1.0]), (True,))
    (array([ 4.    , -0.0707]),)
    """
    y = np.tanh(x)

    def tanh_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = y * y
        gradient = np.subtract(1, gradient, out=gradient) if type(gradient) is np.ndarray else 1 - gradient
        gradient *= incoming
        return (gradient,)

    return y, tanh_pullback


@floating
def tanhshrink(x: Any) -> tuple[Array, Pullback]:
    """Take what the hyperbolic tangent leaves over.

    Forward: ``y = x - tanh(x)``. Backward: ``dy = (1 - (1 - tanh²(x))) dx = tanh²(x) dx``.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.tanhshrink(np.array([0.0, 2.0]))
    >>> value
    array([0.   , 1.036])
    >>> pullback(np.array([4.0, 5.0]), (True,))
    (array([0.    , 4.6467]),)
    """
    squashed = np.tanh(x)

    def tanhshrink_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = squashed * squashed
        gradient *= incoming
        return (gradient,)

    return x - squashed, tanhshrink_pullback


@floating
def softsign(x: Any) -> tuple[Array, Pullback]:
    """Squash into (-1, 1) by a rational function.

    Forward: ``y = x / (1 + |x|)``. Backward: ``dy = ((1 + |x|) - x sign(x)) / (1 + |x|)² dx = dx / (1 + |x|)²``; the
    two halves meet at 0 with slope 1.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.softsign(np.array([-1.0, 3.0]))
    >>> value
    array([-0.5 ,  0.75])
    >>> pullback(np.array([4.0, 8.0]), (True,))
    (array([1. , 0.5]),)
    """
    size = np.abs(x)
    size += 1

    def softsign_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming / (size * size),)

    return x / size, softsign_pullback


@floating
def softplus(x: Any, *, beta: float = 1.0, threshold: float = 20.0) -> tuple[Array, Pullback]:
    """Smooth the corner of ReLU.

    Forward: ``y = log(1 + exp(beta x)) / beta``, and ``x`` itself where ``beta x > threshold``.

    Backward: ``dy = exp(beta x) / (1 + exp(beta x)) dx = sigmoid(beta x) dx``, and ``dx`` above the threshold.

    Convention: at ``beta x = threshold`` exactly, the formula holds.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.softplus(np.array([0.0, 3.0]), beta=2.0)
    >>> value
    array([0.3466, 3.0012])
    >>> pullback(np.array([4.0, 5.0]), (True,))
    (array([2.    , 4.9876]),)
    """
    scaled = x * beta
    high = scaled > threshold
    y = _softplus(scaled)
    y /= beta
    if high.any():
        y = blend(high, x, y)

    def softplus_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = _logistic(scaled)
        gradient *= incoming
        return (blend(high, incoming, gradient) if high.any() else gradient,)

    return y, softplus_pullback


@floating
def elu(x: Any, *, alpha: float = 1.0) -> tuple[Array, Pullback]:
    """Bend what is negative to an exponential that ends at ``-alpha``.

    Forward: ``y = x if x > 0 else alpha (exp(x) - 1)``. Source: Clevert et al., "Fast and Accurate Deep Network
    Learning by Exponential Linear Units" (2015), equation 15.

    Backward: slope 1 where ``x > 0``, else ``alpha exp(x)``.

    Convention: at 0, where the pieces meet with slopes 1 and ``alpha``, it is ``alpha``.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.elu(np.array([-1.0, 2.0]), alpha=2.0)
    >>> value
    array([-1.2642,  2.    ])
    >>> pullback(np.array([3.0, 5.0]), (True,))
    (array([2.2073, 5.    ]),)
    """
    y, slope = _exponential_unit(x, alpha, 1.0, 1.0)

    def elu_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (slope(incoming),)

    return y, elu_pullback


@floating
def celu(x: Any, *, alpha: float = 1.0) -> tuple[Array, Pullback]:
    """Bend what is negative to an exponential that ends at ``-alpha``, without a corner for any ``alpha``.

    Forward: ``y = x if x > 0 else alpha (exp(x / alpha) - 1)``. Source: Barron, "Continuously Differentiable
    Exponential Linear Units" (2017).

    Backward: slope 1 where ``x > 0``, else ``exp(x / alpha)``; both are 1 at 0.

    Shapes: ``x`` and the value alike, of any shape.

    Raises
    ------
    RuntimeError
        If ``alpha`` is 0.

    Examples
    --------
    >>> value, pullback = rules.celu(np.array([-1.0, 2.0]), alpha=2.0)
    >>> value
    array([-0.7869,  2.    ])
    >>> pullback(np.array([3.0, 5.0]), (True,))
    (array([1.8196, 5.    ]),)
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    y, slope = _exponential_unit(x, alpha, 1.0, 1 / alpha)

    def celu_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (slope(incoming),)

    return y, celu_pullback


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


@floating
def selu(x: Any) -> tuple[Array, Pullback]:
    """Scale ELU so that a layer keeps mean 0 and variance 1.

    Forward: ``y = scale (x if x > 0 else alpha (exp(x) - 1))`` with ``scale = 1.0507...`` and ``alpha = 1.6732...``.
    Source: Klambauer et al., "Self-Normalizing Neural Networks" (2017), equation 2 and the fixed point (14).

    Backward: slope ``scale`` where ``x > 0``, else ``scale alpha exp(x)``.

    Convention: at 0 the slope is ``scale alpha``.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.selu(np.array([-1.0, 2.0]))
    >>> value
    array([-1.1113,  2.1014])
    >>> pullback(np.array([3.0, 5.0]), (True,))
    (array([1.9403, 5.2535]),)
    """
    y, slope = _exponential_unit(x, _SELU_ALPHA, _SELU_SCALE, 1.0)

    def selu_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (slope(incoming),)

    return y, selu_pullback


def _exponential_unit(x: Any, alpha: float, scale: float, rate: float) -> tuple[Any, Any]:
    """``scale (x if x > 0 else alpha (exp(rate x) - 1))``, and what multiplies an incoming gradient by its slope.

    Without a branch: ``max(x, 0)`` and ``expm1(rate min(x, 0))`` are each 0 where the other counts.
    """
    below = np.minimum(x, 0)
    below *= rate
    y = np.expm1(below)
    y *= alpha
    y += np.maximum(x, 0)
    if scale != 1:
        y *= scale

    def slope(incoming: Array) -> Array:
        curved = np.exp(below)
        curved *= incoming
        curved *= alpha * rate * scale
        return blend(x <= 0, curved, incoming if scale == 1 else incoming * scale)

    return y, slope


@floating
def silu(x: Any) -> tuple[Array, Pullback]:
    """Weigh every element by its own sigmoid (also called swish).

    Forward: ``y = x s`` with ``s = sigmoid(x)``. Backward: ``dy = (s + x s (1 - s)) dx = s (1 + x (1 - s)) dx``.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.silu(np.array([0.0, 2.0]))
    >>> value
    array([0.    , 1.7616])
    >>> pullback(np.array([4.0, 1.0]), (True,))
    (array([2.    , 1.0908]),)
    """
    gate = _logistic(x)

    def silu_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = 1 - gate
        gradient *= x
        gradient += 1
        gradient *= gate
        gradient *= incoming
        return (gradient,)

    return x * gate, silu_pullback


@floating
def mish(x: Any) -> tuple[Array, Pullback]:
    """Weigh every element by the hyperbolic tangent of its softplus.

    Forward: ``y = x t`` with ``t = tanh(log(1 + exp(x)))``. Source: Misra, "Mish" (2019), equation 1. With
    ``p = sigmoid(x)`` and ``q = sigmoid(-x) = 1 / (1 + exp(x))`` the exponential of the softplus is ``1 / q``, so
    ``t = (1 / q - q) / (1 / q + q) = p (1 + q) / (1 + q²)``: nothing overflows or cancels.

    Backward: ``dt = (1 - t²) p dx`` and ``1 - t² = 4 q² / (1 + q²)²``, so ``dy = (t + 4 x p q² / (1 + q²)²) dx``.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.mish(np.array([0.0, 2.0]))
    >>> value
    array([0.   , 1.944])
    >>> pullback(np.array([5.0, 1.0]), (True,))
    (array([3.    , 1.0693]),)
    """
    p, q = _logistic(x), _logistic(-x)
    below = q * q
    below += 1
    gate = q + 1
    gate *= p
    gate /= below

    def mish_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = q / below
        gradient *= gradient
        gradient *= p
        gradient *= x
        gradient *= 4
        gradient += gate
        gradient *= incoming
        return (gradient,)

    return x * gate, mish_pullback


@floating
def gelu(x: Any, *, approximate: str = "none") -> tuple[Array, Pullback]:
    """Weigh every element by the probability that a standard normal lies below it.

    Forward: ``y = x Φ(x)`` with ``Φ(x) = (1 + erf(x / √2)) / 2``; with ``approximate="tanh"``,
    ``y = x (1 + tanh u) / 2`` with ``u = √(2 / π) (x + 0.044715 x³)``. Source: Hendrycks and Gimpel, "Gaussian Error
    Linear Units" (2016), section 2.

    Backward: ``Φ' = φ``, the normal density, so ``dy = (Φ(x) + x φ(x)) dx``; for the approximation
    ``dy = ((1 + t) / 2 + x (1 - t²) u' / 2) dx`` with ``t = tanh u`` and ``u' = √(2 / π) (1 + 0.134145 x²)``.

    Shapes: ``x`` and the value alike, of any shape.

    Raises
    ------
    RuntimeError
        If ``approximate`` is neither ``"none"`` nor ``"tanh"``.

    Examples
    --------
    >>> value, pullback = rules.gelu(np.array([0.0, 2.0]))
    >>> value
    array([0.    , 1.9545])
    >>> pullback(np.array([4.0, 1.0]), (True,))
    (array([2.    , 1.0852]),)
    """
    if approximate == "none":
        below, density = standard_normal(x)

        def gelu_pullback(incoming: Array, needs: Needs) -> Gradients:
            gradient = density()
            gradient *= x
            gradient += below
            gradient *= incoming
            return (gradient,)

        return x * below, gelu_pullback
    if approximate != "tanh":
        raise RuntimeError(f"approximate argument must be either none or tanh, not {approximate!r}")
    square = x * x
    squashed = square * 0.044715
    squashed += 1
    with np.errstate(over="ignore"):  # tanh is one there
        squashed *= x
    squashed *= math.sqrt(2 / math.pi)
    squashed = np.tanh(squashed)
    half = squashed * 0.5
    half += 0.5

    def gelu_tanh_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = square * (0.044715 * 3 * math.sqrt(2 / math.pi))
        gradient += math.sqrt(2 / math.pi)
        gradient *= 0.5 - 0.5 * (squashed * squashed)  # before x, so that far out no cube can overflow
        gradient *= x
        gradient += half
        gradient *= incoming
        return (gradient,)

    return x * half, gelu_tanh_pullback


@floating
def glu(x: Any, *, dim: int = -1) -> tuple[Array, Pullback]:
    """Let one half of an axis gate the other.

    Shapes: axis ``dim`` of ``x`` has an even length ``2 n``; that of the value is ``n``.

    Forward: ``y = a s`` with ``a`` the first half, ``b`` the second and ``s = sigmoid(b)``. Source: Dauphin et al.,
    "Language Modeling with Gated Convolutional Networks" (2017), equation 1.

    Backward: the product rule, ``dy = s da + a s (1 - s) db``.

    Raises
    ------
    RuntimeError
        If the axis has an odd length, or ``x`` is a scalar.
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.glu(np.array([4.0, 0.0]), dim=0)
    >>> value
    array([2.])
    >>> pullback(np.array([2.0]), (True,))
    (array([1., 2.]),)
    """
    if not x.ndim:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    axis = reduce_axes(int(dim), x.ndim)[0]
    half, odd = divmod(x.shape[axis], 2)
    if odd:
        raise RuntimeError(f"Halving dimension must be even, but dimension {axis} is size {x.shape[axis]}")
    before = (slice(None),) * axis
    first, second = (*before, slice(None, half)), (*before, slice(half, None))
    passed, gate = x[first], _logistic(x[second])
    value = passed * gate

    def glu_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.empty(x.shape, incoming.dtype)
        np.multiply(incoming, gate, out=gradient[first])
        slope = 1 - gate
        slope *= value
        np.multiply(incoming, slope, out=gradient[second])
        return (gradient,)

    return value, glu_pullback
