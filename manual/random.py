"""The one place where random numbers come from: a NumPy generator that ``manual_seed`` resets.

A comparison draws nothing here: initial values and dropout masks are copied from the reference.
"""

from __future__ import annotations

import numpy as np

__all__ = ["default_generator", "manual_seed"]

_generator = np.random.default_rng()


def manual_seed(seed: int) -> np.random.Generator:
    """Restart the default generator, and return it."""
    global _generator
    _generator = np.random.default_rng(seed)
    return _generator


def default_generator() -> np.random.Generator:
    """The generator from which initial values and masks are drawn."""
    return _generator
