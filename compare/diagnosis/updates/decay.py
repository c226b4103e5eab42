"""Weight decay around an update rule: in the gradient (L2), or on the parameter (decoupled), and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules import Rule, Turn

__all__ = [
    "VARIABLES",
    "Decay",
    "coupled",
    "decays_apart",
    "decoupled",
    "decoupled_after",
    "none",
    "of_the_update",
    "with_decay",
]

Array = Any
Decay = Callable[[Turn, Rule], Array]
"""Makes the change of a parameter from its turn (decay in its options) and the rule for the gradient's share."""


def with_decay(rule: Rule, decay: Decay) -> Rule:
    """Put decay around a rule; the gradient's sign is turned first where the reference maximises."""

    def decayed(turn: Turn) -> Array:
        if turn.options.get("maximize"):
            turn = replace(turn, g=-turn.g)
        return decay(turn, rule)

    return decayed


_DECOUPLED = ("AdamW", "Adafactor", "Muon")


def decays_apart(kind: str, options: Any) -> bool:
    """Whether torch's class decouples the decay."""
    return bool(options.get("decoupled_weight_decay", kind in _DECOUPLED))


def none(turn: Turn, rule: Rule) -> Array:
    """No decay."""
    return rule(turn)


def coupled(
    turn: Turn,
    rule: Rule,
    *,
    variable: Callable[[Array, Array], Array] = lambda theta, g: theta,
    factor: float = 1.0,
) -> Array:
    """L2: ``g ← g + λ θ``. ``variable`` is what stands for ``θ``, ``factor`` a factor of ``λ``."""
    strength = factor * float(turn.options.get("weight_decay", 0.0))
    return rule(replace(turn, g=turn.g + strength * variable(turn.theta, turn.g)) if strength else turn)


def decoupled(
    turn: Turn,
    rule: Rule,
    *,
    variable: Callable[[Array, Array], Array] = lambda theta, g: theta,
    factor: float = 1.0,
    with_rate: bool = True,
) -> Array:
    """``θ ← θ − γ λ θ`` before the step; the rule never sees it."""
    lr = float(turn.options["lr"]) if with_rate else 1.0
    pull = lr * factor * float(turn.options.get("weight_decay", 0.0)) * variable(turn.theta, turn.g)
    return rule(turn) - pull


def decoupled_after(turn: Turn, rule: Rule) -> Array:
    """``θ ← (1 − γ λ) (θ + step)``: the step's own part decays too."""
    step = rule(turn)
    shrink = float(turn.options["lr"]) * float(turn.options.get("weight_decay", 0.0))
    return step - shrink * (turn.theta + step)


def of_the_update(turn: Turn, rule: Rule) -> Array:
    """``γ λ`` times the step in place of the parameter."""
    step = rule(turn)
    return step - float(turn.options["lr"]) * float(turn.options.get("weight_decay", 0.0)) * step


VARIABLES: dict[str, Callable[[Array, Array], Array]] = {
    "the gradient": lambda theta, g: g,
    "the parameter's magnitude": lambda theta, g: np.abs(theta),
    "the parameter's sign (an L1 penalty)": lambda theta, g: np.sign(theta),
    "the parameter squared": lambda theta, g: theta * theta,
    "the gradient's magnitude": lambda theta, g: np.abs(g),
    "a constant": lambda theta, g: np.ones(np.shape(theta)),
}
"""What has been seen in place of the parameter."""
