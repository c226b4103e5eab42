"""Dropout with a given mask."""

from __future__ import annotations

from typing import Any

from manual.rules.core import Array, Gradients, Needs, Pullback

__all__ = ["dropout"]


def dropout(input: Any, mask: Any, *, p: float = 0.5) -> tuple[Array, Pullback]:
    """Zero what a mask drops, and scale the rest up so that the mean stays.

    Shapes: ``input``, ``mask`` and the value alike; the mask is 1 (or True) where an element is kept, 0 where it is
    dropped. It is given, never drawn: a comparison replays the mask of the reference.

    Forward: ``y = x m / (1 - p)`` with ``m`` Bernoulli(1 - p), so ``E[y] = x``. Source: Srivastava et al., "Dropout:
    A Simple Way to Prevent Neural Networks from Overfitting" (JMLR 2014), section 10 (there called scaling at
    training time).

    Backward: linear in ``x``; the gradient is multiplied by the same ``m / (1 - p)``.

    Convention: at ``p = 1`` everything is dropped and the value is 0, not 0 / 0, as in torch.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    scale = mask.astype(input.dtype)
    if p == 1:
        scale *= 0
    elif p:
        scale /= 1 - p

    def dropout_pullback(incoming: Array, needs: Needs) -> Gradients:
        return incoming * scale if needs[0] else None, None

    return input * scale, dropout_pullback
