"""Dropout, with masks that can be replayed."""

from __future__ import annotations

from collections import deque

from manual import random, rules
from manual.nn.module import Module
from manual.rules.core import Array
from manual.tensor import Tensor, apply

__all__ = ["Dropout"]


class Dropout(Module):
    """In training, zeroes each value with probability ``p`` and scales the others by ``1 / (1 - p)``.

    A mask (1 or True where a value is kept) queued by :meth:`replay` is used instead of a drawn one; ``last_mask`` is
    the one that was used. ``inplace`` is accepted and has no effect on the numbers.

    Raises
    ------
    ValueError
        If ``p`` is not between 0 and 1.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace
        self.last_mask: Array | None = None
        self._queued: deque[Array] = deque()

    def replay(self, *masks: Array) -> None:
        """Use these masks in the next calls, in this order; masks queued earlier and not used are forgotten."""
        self._queued = deque(masks)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input
        if self._queued:
            mask = self._queued.popleft()
            if mask.shape != input.shape:
                raise ValueError(f"the mask to replay has shape {mask.shape}, the input has shape {input.shape}")
        else:
            mask = random.bernoulli(input.shape, 1 - self.p)
        self.last_mask = mask
        result: Tensor = apply(rules.dropout, input, mask, p=self.p)
        return result

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
