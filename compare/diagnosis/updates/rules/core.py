"""What every update rule is made of: one parameter's turn, moving averages, corrections, roots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Array", "Rule", "Turn", "ema", "power", "root_plus_eps", "scalar"]

Array = Any


@dataclass
class Turn:
    """One parameter's turn in one step.

    Attributes
    ----------
    theta, g : the parameter before the step, and its gradient
    slots : its slots by torch's names; the rule changes them
    t : how many updates the parameter has had, this one counted
    options : the group's options, ``lr`` among them being the rate in force
    """

    theta: Array
    g: Array
    slots: dict[str, Array]
    t: int
    options: Mapping[str, Any]

    def slot(self, name: str, start: Any = 0.0) -> Array:
        """A slot, made of ``start`` at the first turn."""
        if name not in self.slots:
            self.slots[name] = np.zeros(np.shape(self.g)) + start
        return self.slots[name]


Rule = Callable[[Turn], Array]


def ema(moment: Array, g: Array, beta: float) -> Array:
    """The moving average ``β m + (1 − β) g``."""
    return beta * moment + (1 - beta) * g


def power(beta: float, t: int) -> float:
    """The correction of a moving average that started at zero: ``1 − βᵗ``."""
    return 1 - beta**t


def root_plus_eps(v: Array, correction: float, eps: float) -> Array:
    """``√v̂ + ε`` with the corrected ``v̂``."""
    return np.sqrt(v / correction) + eps


def scalar(value: float) -> Array:
    """A number as torch keeps it among the slots: a float32, whatever the dtype of the parameters."""
    return np.asarray(np.float32(value), np.float64)
