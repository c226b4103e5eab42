"""The mistake that is planted into each optimizer: one of the fault set where one is easy to see, else one of these.

What is written here leaves the optimizer's slots as they are and spoils the move alone, by the names that slots have in
torch: ``kept`` is the point before the step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import manual.optim
from compare.faults.catalogue import FAULTS
from compare.faults.planting import Plant
from manual.rules.core import Array

__all__ = ["Mistake", "mistake_in"]


@dataclass(frozen=True)
class Mistake:
    """A mistake, in words, and what plants it; ``fault`` is its name in the fault set, if it is from there."""

    words: str
    plant: Plant
    fault: str = ""


Move = Callable[[Any], Array]


class _Step:
    """The numbers of one step, by the letters of the printed algorithms."""

    def __init__(self, kept: Array, moved: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]):
        self.kept, self.moved, self.g = kept, moved, gradient
        self.slots, self.lr, self.eps = slots, float(group["lr"]), group.get("eps")
        self.beta1, self.beta2 = group.get("betas", (0.0, 0.0))
        self.t = float(slots["step"]) if "step" in slots else 0.0

    @property
    def adam(self) -> Array:
        """The change of Adam: the corrected first moment over the root of the corrected second."""
        m_hat = self.slots["exp_avg"] / (1 - self.beta1**self.t)
        u_hat = self.slots["exp_avg_sq"] / (1 - self.beta2**self.t)
        return np.asarray(m_hat / (np.sqrt(u_hat) + self.eps))


def _moving(optimizer: str, move: Move) -> Plant:
    """The optimizer with its slots as they must be, and a move of its own."""

    def update(right: Any, self: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        kept = parameter.copy()
        right(self, parameter, gradient, slots, group)
        parameter[...] = move(_Step(kept, parameter.copy(), gradient, slots, group))

    return lambda plant: plant.replace(getattr(manual.optim, optimizer), "update", update)


def _given(optimizer: str, **wrong: Any) -> Plant:
    """The optimizer with other options than it is given."""

    def init(right: Any, self: Any, params: Any, *arguments: Any, **options: Any) -> None:
        right(self, params, *arguments, **{**options, **wrong})

    return lambda plant: plant.replace(getattr(manual.optim, optimizer), "__init__", init)


def _adadelta(n: _Step) -> Array:
    v, u = (n.slots[slot].mean() for slot in ("square_avg", "acc_delta"))
    return np.asarray(n.kept - n.lr * np.sqrt(u + n.eps) / np.sqrt(v + n.eps) * n.g)


def _adafactor(n: _Step) -> Array:
    change = n.g / np.sqrt(n.slots["row_var"])
    rate = min(n.lr, 1 / np.sqrt(n.t)) * max(1e-3, _root_mean_square(n.kept))
    return np.asarray(n.kept - rate * change / max(1.0, _root_mean_square(change)))


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


_FAULTS = {
    "SGD": "momentum-buffer-holds-steps",
    "Adam": "adam-correction-without-exponent",
    "AdamW": "adamw-as-adam",
    "Adagrad": "adagrad-root-left-out",
}

_MISTAKES = {
    "ASGD": Mistake("the point is set to the running average", _moving("ASGD", lambda n: n.slots["ax"])),
    "Adadelta": Mistake(
        "both averages are taken over the whole parameter, not element by element", _moving("Adadelta", _adadelta)
    ),
    "Adafactor": Mistake(
        "of the second moment's two factors only that of the rows is used", _moving("Adafactor", _adafactor)
    ),
    "Adamax": Mistake(
        "the first moment is used without its bias correction",
        _moving("Adamax", lambda n: n.kept - n.lr * n.slots["exp_avg"] / n.slots["exp_inf"]),
    ),
    "LBFGS": Mistake("of the pairs of moves and gradients only the last is kept", _given("LBFGS", history_size=1)),
    "Muon": Mistake("the buffer keeps 1 − mu of itself, and not mu", _given("Muon", momentum=1 - 0.95)),
    "NAdam": Mistake(
        "Nesterov's look-ahead is left out, so that Adam is left",
        _moving("NAdam", lambda n: n.kept - n.lr * n.adam),
    ),
    "RAdam": Mistake(
        "the rectification is left out, so that Adam is left", _moving("RAdam", lambda n: n.kept - n.lr * n.adam)
    ),
    "RMSprop": Mistake("alpha weighs the new square, 1 − alpha the average", _given("RMSprop", alpha=1 - 0.9)),
    "Rprop": Mistake(
        "where a gradient turns, its step is shortened, and taken all the same",
        _moving("Rprop", lambda n: n.kept - np.sign(n.g) * n.slots["step_size"]),
    ),
}

_ANYWHERE = "zero-grad-left-out"


def mistake_in(optimizer: str) -> Mistake:
    """The mistake for this optimizer; for one that is not listed, gradients that are never cleared."""
    if optimizer in _MISTAKES:
        return _MISTAKES[optimizer]
    fault = FAULTS[_FAULTS.get(optimizer, _ANYWHERE)]
    return Mistake(fault.mistake, fault.plant, fault.name)
