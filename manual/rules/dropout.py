"""Dropout with a given mask.

A mask is 1 (or True) where an element is kept and 0 where it is dropped. It has the shape of the input, or length 1
along the axes on which all elements share their fate: ``(N, C, 1, 1)`` drops whole channels. It is given, never drawn:
a comparison replays the mask of the reference.
"""

from __future__ import annotations

import math
from typing import Any

from manual.rules.core import Array, Gradients, Needs, Pullback

__all__ = ["alpha_dropout", "dropout"]


def dropout(input: Any, mask: Any, *, p: float = 0.5) -> tuple[Array, Pullback]:
    """Zero what a mask drops, and scale the rest up so that the mean stays.

    Shapes: ``input`` and the value alike; ``mask`` broadcasts against them.

    Forward: ``y = x m / (1 - p)`` with ``m`` Bernoulli(1 - p), so ``E[y] = x``. Source: Srivastava et al., "Dropout:
    A Simple Way to Prevent Neural Networks from Overfitting" (JMLR 2014), section 10 (there called scaling at
    training time); whole channels: Tompson et al., "Efficient Object Localization Using Convolutional Networks"
    (2015), section 3.2.

    Backward: linear in ``x``; the gradient is multiplied by the same ``m / (1 - p)``.

    Convention: at ``p = 1`` everything is dropped and the value is 0, not 0 / 0, as in torch.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> value, pullback = rules.dropout(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, False]))
    >>> value
    array([2., 0., 6., 0.])
    >>> pullback(np.array([3.0, 5.0, 7.0, 9.0]), (True, False))
    (array([ 6.,  0., 14.,  0.]), None)
    """
    check_probability(p)
    scale = mask.astype(input.dtype)
    if p == 1:
        scale *= 0
    elif p:
        scale /= 1 - p

    def dropout_pullback(incoming: Array, needs: Needs) -> Gradients:
        return incoming * scale if needs[0] else None, None

    return input * scale, dropout_pullback


_SELU_FLOOR = -1.7580993408473766
"""The value that SELU tends to at minus infinity, ``-scale alpha``."""


def alpha_dropout(input: Any, mask: Any, *, p: float = 0.5) -> tuple[Array, Pullback]:
    """Replace what a mask drops by SELU's lowest value, and map the result so that mean 0 and variance 1 stay.

    Shapes: ``input`` and the value alike; ``mask`` broadcasts against them.

    Forward: ``y = a (x m + f (1 - m)) + b`` with ``f = -1.758...``, ``q = 1 - p``, ``a = (q + f² q p)^(-1/2)`` and
    ``b = -a p f``. For ``x`` of mean 0 and variance 1, ``x m + f (1 - m)`` has the mean ``p f`` and the variance
    ``q + f² q p``, which ``b`` and ``a`` undo. Source: Klambauer et al., "Self-Normalizing Neural Networks" (2017),
    section 2, "New Dropout Technique".

    Backward: linear in ``x``; the gradient is multiplied by ``a m``.

    Convention: at ``p = 1`` the value is 0 everywhere, as in torch, not the infinite ``a`` times 0.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> value, pullback = rules.alpha_dropout(np.array([1.0, 2.0]), np.array([True, False]))
    >>> value
    array([ 1.6656, -0.7792])
    >>> pullback(np.array([3.0, 5.0]), (True, False))
    (array([2.6592, 0.    ]), None)
    """
    check_probability(p)
    scale = mask.astype(input.dtype)
    if p == 1:
        scale *= 0
        value = input * scale
    else:
        stretch = 1 / math.sqrt((1 - p) * (1 + _SELU_FLOOR**2 * p))
        shift = (1 - scale) - p
        shift *= stretch * _SELU_FLOOR
        scale *= stretch
        value = input * scale
        value += shift

    def alpha_dropout_pullback(incoming: Array, needs: Needs) -> Gradients:
        return incoming * scale if needs[0] else None, None

    return value, alpha_dropout_pullback


def check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
