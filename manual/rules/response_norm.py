"""Local response normalisation: every channel is damped by the activity of its neighbours.

With ``d_i = k + (alpha / size) Σ_{j near i} x_j²`` the value is ``y_i = x_i d_i^-beta``. Source: Krizhevsky et al.,
"ImageNet Classification with Deep Convolutional Neural Networks" (2012), section 3.3 (there ``alpha`` is not divided by
the size).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, floating

__all__ = ["cross_map_lrn2d", "local_response_norm"]


@floating
def local_response_norm(
    input: Any, *, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tuple[Array, Pullback]:
    """Divide by a power of the mean square of a window of channels.

    Shapes: ``input`` and the value ``(N, C, *)`` with at least one axis of space.

    Forward: ``y_i = x_i d_i^-beta`` with ``d_i = k + (alpha / size) Σ_j x_j²`` over ``size`` channels ``j`` around
    ``i``.

    Backward: ``dy_i = d_i^-beta dx_i - beta y_i / d_i (2 alpha / size) Σ_j x_j dx_j``. Transposed, channel ``j``
    collects from all ``i`` in whose window it lies, which is the window mirrored:
    ``g_j d_j^-beta - (2 alpha beta / size) x_j Σ_i g_i y_i / d_i``.

    Convention: the window has ``size // 2`` channels before ``i`` and ``(size - 1) // 2`` after it; channels that do
    not exist count as zeros, and the sum is divided by ``size`` at the ends too.

    Raises
    ------
    ValueError
        If the input has no axis of space.
    RuntimeError
        If ``size`` is not positive.

    Examples
    --------
    >>> value, pullback = rules.local_response_norm(np.array([[[1.0], [2.0], [4.0]]]), size=3, alpha=3.0, beta=1.0)
    >>> value.ravel()
    array([0.1667, 0.0909, 0.1905])
    >>> pullback(np.array([[[1.0], [0.0], [0.0]]]), (True,))[0].ravel()
    array([ 0.1111, -0.1111,  0.    ])
    """
    if input.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)")
    if size < 1:
        raise RuntimeError(f"kernel size should be greater than zero, but got {size}")
    before, after = size // 2, (size - 1) // 2
    level = _window_sum(input * input, before, after)
    level *= alpha / size
    level += k
    factor = level**-beta
    value = input * factor

    def local_response_norm_pullback(incoming: Array, needs: Needs) -> Gradients:
        shares = incoming * value
        shares /= level
        gradient = _window_sum(shares, after, before)
        gradient *= input
        gradient *= -2 * alpha * beta / size
        gradient += incoming * factor
        return (gradient,)

    return value, local_response_norm_pullback


@floating
def cross_map_lrn2d(
    input: Any, *, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tuple[Array, Pullback]:
    """Normalise the local response as torch's ``CrossMapLRN2d``, a relic of Torch 7, does.

    Shapes: ``input`` and the value ``(N, C, H, W)``.

    Forward: ``y_i = x_i d_i^-beta`` as in :func:`local_response_norm`, with another window: ``(size - 1) // 2``
    channels on either side.

    Backward: ``g_j d_j^-beta - (2 alpha beta / size) x_j Σ_i g_i y_i / d_i`` as there, but see below for the window.

    Convention: torch is followed where it departs from the formula, and it does so twice. Forward, channel 0 never
    leaves the sum once the window has moved past it, so that it damps *every* channel. Backward, the window mirrors
    neither that nor the forward one: channel ``j`` collects from ``j - (size - size // 2)`` to ``j + size // 2 - 1``.
    What torch hands back is therefore not the derivative of what it computes; :func:`local_response_norm` is right.
    For ``size=1`` torch has no gradient (it raises), and neither has this rule.

    Raises
    ------
    ValueError
        If the input is not of four axes.

    Examples
    --------
    >>> value, pullback = rules.cross_map_lrn2d(np.array([[[[1.0]], [[2.0]], [[4.0]]]]), size=3, alpha=3.0, beta=1.0)
    >>> value.ravel()
    array([0.1667, 0.0909, 0.1818])
    >>> pullback(np.array([[[[1.0]], [[0.0]], [[0.0]]]]), (True,))[0].ravel()
    array([ 0.1111, -0.1111, -0.2222])
    """
    if input.ndim != 4:
        raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.ndim}D instead.")
    reach = (size - 1) // 2
    square = input * input
    level = _window_sum(square, reach, reach)
    level[:, reach + 1 :] += square[:, :1]
    level *= alpha / size
    level += k
    factor = level**-beta
    value = input * factor

    def cross_map_lrn2d_pullback(incoming: Array, needs: Needs) -> Gradients:
        if size < 2:
            raise RuntimeError("CrossMapLRN2d has no gradient for size=1, in torch neither")
        shares = incoming * value
        shares /= level
        gradient = _window_sum(shares, size - size // 2, size // 2 - 1)
        gradient *= input
        gradient *= -2 * alpha * beta / size
        gradient += incoming * factor
        return (gradient,)

    return value, cross_map_lrn2d_pullback


def _window_sum(x: Array, before: int, after: int) -> Array:
    """Sum over the channels (axis 1) from ``before`` ahead of each to ``after`` behind it, as far as they exist."""
    total = np.array(x)
    channels = x.shape[1]
    for shift in range(1, min(before, channels - 1) + 1):
        total[:, shift:] += x[:, :-shift]
    for shift in range(1, min(after, channels - 1) + 1):
        total[:, :-shift] += x[:, shift:]
    return total
