"""A random choice that gradients pass through."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from manual import random
from manual.nn.functional.activation import softmax
from manual.tensor import Tensor, as_array

__all__ = ["gumbel_softmax"]


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """Draw one of several classes with the probabilities ``softmax(logits)``, softly.

    Shapes: ``logits`` and the value alike, of any shape; ``dim`` is the axis of the classes.

    Forward: ``y = softmax((logits + G) / tau)`` with ``G = -log E`` and ``E`` exponentially distributed: ``G`` has the
    Gumbel distribution, and the greatest of ``logits + G`` is class ``i`` with probability ``softmax(logits)_i``.
    ``hard`` has 1 at that class and 0 elsewhere for its value.

    Backward: through the softmax, with ``G`` a constant; the hard choice has the gradient of the soft one.

    Source: Jang, Gu and Poole (2017), Categorical Reparameterization with Gumbel-Softmax, sections 2.1 and 2.2.

    Convention: ``hard`` is straight through: its value and its gradient belong to different functions. ``eps`` is an
    old argument without effect. Both as torch.

    Raises what :func:`softmax` raises.

    Examples
    --------
    >>> _ = manual.manual_seed(0)
    >>> choice = F.gumbel_softmax(tensor([[5.0, -5.0, -5.0]] * 3), hard=True)
    >>> choice.sum(1)
    Tensor([1., 1., 1.])
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    array = as_array(logits)
    drawn = np.asarray(random.exponential(array.shape), array.dtype)
    soft: Tensor = softmax((logits + -np.log(drawn)) / tau, dim)
    if not hard:
        return soft
    choice = np.zeros_like(soft.data)
    np.put_along_axis(choice, soft.data.argmax(axis=dim, keepdims=True), 1, axis=dim)
    return soft + (choice - soft.data)
