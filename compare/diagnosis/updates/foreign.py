"""An optimizer of torch for which no formulas are written out here: its own code is the rule.

Mistakes around a rule (the gradient that it is fed, the rate, a parameter left out) can be told all the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.diagnosis.updates.rules import Rule, Turn

__all__ = ["rule_of"]


def rule_of(kind: Any) -> Rule:
    """The update of one parameter by an optimizer class of torch, decay included."""
    import torch

    def rule(turn: Turn) -> Any:
        theta = torch.tensor(turn.theta, dtype=torch.float64, requires_grad=True)
        optimizer = kind([{"params": [theta], **turn.options}], lr=turn.options["lr"])
        optimizer.state[theta].update({name: torch.from_numpy(np.array(value)) for name, value in turn.slots.items()})
        theta.grad = torch.tensor(turn.g, dtype=torch.float64)
        optimizer.step()
        state = optimizer.state[theta]
        turn.slots.clear()
        turn.slots.update({name: value.numpy() for name, value in state.items() if isinstance(value, torch.Tensor)})
        return theta.detach().numpy() - turn.theta

    return rule
