"""Rules that change no number: copy, cast, and the rule that only marks a place."""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback

__all__ = ["alias", "clone", "to"]


def alias(x: Any) -> tuple[Array, Pullback]:
    """Pass an array of any shape through: the same array, under a new node of the graph.

    Forward: ``y = x``, sharing memory. Backward: the incoming gradient itself. What a recorder hangs on the node sees
    this use of ``x`` only, apart from its other uses.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.alias(np.array([1.0, 2.0]))
    >>> value
    array([1., 2.])
    >>> pullback(np.array([3.0, 5.0]), (True,))
    (array([3., 5.]),)
    """

    def alias_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming,)

    return x, alias_pullback


def clone(x: Any) -> tuple[Array, Pullback]:
    """Copy an array of any shape.

    Forward: ``y = x`` in memory of its own. Backward: the incoming gradient itself.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.clone(np.array([1.0, 2.0]))
    >>> value
    array([1., 2.])
    >>> pullback(np.array([3.0, 5.0]), (True,))
    (array([3., 5.]),)
    """

    def clone_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming,)

    return x.copy(), clone_pullback


def to(x: Any, *, dtype: Any) -> tuple[Array, Pullback]:
    """Cast an array of any shape to another dtype.

    Forward: ``y = x``, rounded to ``dtype``; the same array where it has that dtype already. Backward: the incoming
    gradient, cast back. Rounding has no useful derivative and is treated as the identity, as in torch.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.to(np.array([1.0, 2.0]), dtype=np.float32)
    >>> value
    array([1., 2.], dtype=float32)
    >>> pullback(np.array([3.0, 5.0], np.float32), (True,))
    (array([3., 5.]),)
    """
    source = x.dtype

    def to_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming.astype(source, copy=False),)

    return x.astype(np.dtype(dtype), copy=False), to_pullback
