"""Activations with corners: pieces of straight lines (and one parabola).

At a corner every slope between those of the two pieces is a subgradient, and each rule says which one torch takes.
Where a piece is flat the gradient is 0 whatever comes in (see ``manual.rules.masking``). All work on arrays of any
shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, contraction, elementwise, floating
from manual.rules.masking import blend, drop, keep

__all__ = [
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "softshrink",
    "threshold",
]


@elementwise
def relu(x: Any) -> tuple[Array, Pullback]:
    """Cut off what is negative.

    Forward: ``y = max(x, 0)``. Backward: the slope is 1 where ``x > 0`` and 0 elsewhere; ``y`` tells the two apart,
    so ``x`` need not be saved.

    Convention: slope 0 at the kink ``x = 0``.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.relu(np.array([-1.0, 2.0]))
    >>> value
    array([0., 2.])
    >>> pullback(np.array([3.0, 5.0]), (True,))
    (array([0., 5.]),)
    """
    y = np.maximum(x, 0)

    def relu_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (drop(incoming, y <= 0),)

    return y, relu_pullback


@elementwise
def relu6(x: Any) -> tuple[Array, Pullback]:
    """Cut off what is negative or above 6.

    Forward: ``y = min(max(x, 0), 6)``. Backward: slope 1 inside, 0 outside.

    Convention: slope 0 at both kinks, 0 and 6 (``clamp``, the same function, has 1 there).

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.relu6(np.array([-1.0, 2.0, 9.0]))
    >>> value
    array([0., 2., 6.])
    >>> pullback(np.array([3.0, 5.0, 7.0]), (True,))
    (array([0., 5., 0.]),)
    """
    return hardtanh(x, min_val=0, max_val=6)


@elementwise
def hardtanh(x: Any, *, min_val: float = -1.0, max_val: float = 1.0) -> tuple[Array, Pullback]:
    """Cut off what is outside ``[min_val, max_val]``.

    Forward: ``y = min(max(x, min_val), max_val)``. Backward: slope 1 inside, 0 outside.

    Convention: slope 0 at both kinks (``clamp``, the same function, has 1 there).

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.hardtanh(np.array([-3.0, 0.5, 2.5]), min_val=-1.0, max_val=2.0)
    >>> value
    array([-1. ,  0.5,  2. ])
    >>> pullback(np.array([3.0, 5.0, 7.0]), (True,))
    (array([0., 5., 0.]),)
    """
    y = np.maximum(x, min_val)
    y = np.minimum(y, max_val)

    def hardtanh_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (drop(incoming, (x <= min_val) | (x >= max_val)),)

    return y, hardtanh_pullback


@floating
def leaky_relu(x: Any, *, negative_slope: float = 0.01) -> tuple[Array, Pullback]:
    """Shrink what is negative.

    Forward: ``y = x if x > 0 else negative_slope x``. Backward: those slopes.

    Convention: ``negative_slope`` at the kink ``x = 0``.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.leaky_relu(np.array([-1.0, 2.0]), negative_slope=0.1)
    >>> value
    array([-0.1,  2. ])
    >>> pullback(np.array([3.0, 5.0]), (True,))
    (array([0.3, 5. ]),)
    """
    scaled = x * negative_slope
    y = np.maximum(x, scaled) if 0 <= negative_slope <= 1 else blend(x > 0, x, scaled)

    def leaky_relu_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (blend(x > 0, incoming, incoming * negative_slope),)

    return y, leaky_relu_pullback


@contraction
def prelu(input: Any, weight: Any) -> tuple[Array, Pullback]:
    """Shrink what is negative, by a slope that is learnt.

    Shapes: ``input (N, C, ...)`` or anything with a weight of one element, ``weight (C,)`` or ``(1,)``.

    Forward: ``y = x if x > 0 else w x``, with one ``w`` for each channel, or one for all. Source: He et al., "Delving
    Deep into Rectifiers" (2015), section 2.1.

    Backward: ``dy = dx`` where ``x > 0``, else ``dy = w dx + x dw``; the gradient of ``w`` is the sum of ``g x`` over
    everything that it multiplied.

    Convention: at the kink ``x = 0`` the slope is ``w``.

    Raises
    ------
    RuntimeError
        If there are several weights, and axis 1 has another length.

    Examples
    --------
    >>> value, pullback = rules.prelu(np.array([[-1.0, 2.0], [-3.0, -4.0]]), np.array([0.5, 0.25]))
    >>> value
    array([[-0.5,  2. ],
           [-1.5, -1. ]])
    >>> pullback(np.array([[3.0, 5.0], [1.0, 2.0]]), (True, True))
    (array([[1.5, 5. ],
           [0.5, 0.5]]), array([-6., -8.]))
    """
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.size not in (1, channels):
        raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Got {weight.size} and {channels}")
    slope = weight.reshape(-1, *(1,) * (input.ndim - 2)) if input.ndim > 1 else weight.reshape(())
    positive = input > 0

    def prelu_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_input = blend(positive, incoming, incoming * slope) if needs[0] else None
        to_weight = None
        if needs[1]:
            shares = drop(incoming * input, positive)
            axes = (0, *range(2, input.ndim)) if weight.size > 1 else None
            to_weight = np.asarray(np.add.reduce(shares, axis=axes)).reshape(weight.shape)
        return to_input, to_weight

    return blend(positive, input, input * slope), prelu_pullback


def rrelu(input: Any, noise: Any) -> tuple[Array, Pullback]:
    """Shrink what is negative, by slopes that were drawn at random.

    Shapes: ``input``, ``noise`` and the value alike. The slopes are given, never drawn: a comparison replays those of
    the reference.

    Forward: ``y = x if x > 0 else r x`` with ``r`` uniform between two bounds. Source: Xu et al., "Empirical Evaluation
    of Rectified Activations in Convolutional Network" (2015), section 2.4 (there divided by, here multiplied).

    Backward: slope 1 where ``x > 0``, else ``r``.

    Convention: ``r`` at the kink ``x = 0``. Where ``x > 0``, ``noise`` does not count (torch's holds a 1 there).

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.rrelu(np.array([-1.0, 2.0]), np.array([0.25, 0.3]))
    >>> value
    array([-0.25,  2.  ])
    >>> pullback(np.array([4.0, 5.0]), (True, False))
    (array([1., 5.]), None)
    """
    slope = noise.astype(input.dtype, copy=False)
    slope = blend(input > 0, np.ones_like(slope), slope)

    def rrelu_pullback(incoming: Array, needs: Needs) -> Gradients:
        return incoming * slope if needs[0] else None, None

    return input * slope, rrelu_pullback


@elementwise
def threshold(x: Any, *, threshold: float, value: float) -> tuple[Array, Pullback]:
    """Replace what does not exceed a threshold.

    Forward: ``y = x if x > threshold else value``. Backward: slope 1 above, 0 elsewhere.

    Convention: slope 0 at the jump ``x = threshold``.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.threshold(np.array([0.5, 2.0]), threshold=1.0, value=-9.0)
    >>> value
    array([-9.,  2.])
    >>> pullback(np.array([3.0, 5.0]), (True,))
    (array([0., 5.]),)
    """
    low = x <= threshold

    def threshold_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (drop(incoming, low),)

    return blend(low, np.asarray(value, x.dtype), x), threshold_pullback


@floating
def hardshrink(x: Any, *, lambd: float = 0.5) -> tuple[Array, Pullback]:
    """Replace what is small by 0.

    Forward: ``y = x if |x| > lambd else 0``. Backward: slope 1 outside ``[-lambd, lambd]``, 0 inside.

    Convention: slope 0 at the jumps.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.hardshrink(np.array([-3.0, 0.5, 2.0]), lambd=1.0)
    >>> value
    array([-3.,  0.,  2.])
    >>> pullback(np.array([3.0, 5.0, 7.0]), (True,))
    (array([3., 0., 7.]),)
    """
    small = (x >= -lambd) & (x <= lambd)

    def hardshrink_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (drop(incoming, small),)

    return drop(x, small), hardshrink_pullback


@floating
def softshrink(x: Any, *, lambd: float = 0.5) -> tuple[Array, Pullback]:
    """Pull everything towards 0 by ``lambd``, and no further.

    Forward: ``y = sign(x) max(|x| - lambd, 0)``, the proximal operator of ``lambd |x|``. Backward: slope 1 outside
    ``[-lambd, lambd]``, 0 inside.

    Convention: slope 0 at the kinks ``|x| = lambd``.

    Shapes: ``x`` and the value alike, of any shape.

    Raises
    ------
    RuntimeError
        If ``lambd`` is negative.

    Examples
    --------
    >>> value, pullback = rules.softshrink(np.array([-3.0, 0.5, 2.0]), lambd=1.0)
    >>> value
    array([-2.,  0.,  1.])
    >>> pullback(np.array([3.0, 5.0, 7.0]), (True,))
    (array([3., 0., 7.]),)
    """
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    y = x - np.minimum(np.maximum(x, -lambd), lambd)

    def softshrink_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (drop(incoming, (x >= -lambd) & (x <= lambd)),)

    return y, softshrink_pullback


@floating
def hardsigmoid(x: Any) -> tuple[Array, Pullback]:
    """Approximate the sigmoid by three straight lines.

    Forward: ``y = min(max(x + 3, 0), 6) / 6``. Backward: slope 1/6 where ``-3 < x < 3``, 0 elsewhere.

    Convention: slope 0 at both kinks.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.hardsigmoid(np.array([-4.0, 0.0, 1.5]))
    >>> value
    array([0.  , 0.5 , 0.75])
    >>> pullback(np.array([6.0, 12.0, 18.0]), (True,))
    (array([0., 2., 3.]),)
    """
    y = np.minimum(np.maximum(x + 3, 0), 6)
    y /= 6

    def hardsigmoid_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (keep(incoming / 6, (x > -3) & (x < 3)),)

    return y, hardsigmoid_pullback


@floating
def hardswish(x: Any) -> tuple[Array, Pullback]:
    """Multiply by the hard sigmoid: 0, a parabola, the identity.

    Forward: ``y = x min(max(x + 3, 0), 6) / 6``. Source: Howard et al., "Searching for MobileNetV3" (2019), section
    5.2.

    Backward: slope 0 below -3, ``x / 3 + 1 / 2`` between, 1 above 3.

    Convention: at -3 the slope is that of the flat piece, 0; at 3 that of the identity, 1.

    Shapes: ``x`` and the value alike, of any shape. Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.hardswish(np.array([-4.0, 0.0, 3.0]))
    >>> value
    array([-0.,  0.,  3.])
    >>> pullback(np.array([6.0, 12.0, 2.0]), (True,))
    (array([0., 6., 2.]),)
    """
    y = np.minimum(np.maximum(x + 3, 0), 6)
    y *= x
    y /= 6

    def hardswish_pullback(incoming: Array, needs: Needs) -> Gradients:
        slope = x / 3
        slope += 0.5
        slope *= incoming
        return (drop(blend(x < 3, slope, incoming), x <= -3),)

    return y, hardswish_pullback
