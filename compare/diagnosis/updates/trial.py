"""A hypothesis about the update before it is held against the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compare.diagnosis.updates.rules import Rule
from compare.diagnosis.updates.run import Found, Run

__all__ = ["Trial", "of_rule"]


@dataclass(frozen=True)
class Trial:
    """One mistake that may have been made.

    Attributes
    ----------
    cause, says, look_at, rank, freedom : see :class:`compare.diagnosis.evidence.Hypothesis`
    found : holds it against the run
    """

    cause: str
    says: str
    look_at: str
    found: Callable[[], Found]
    rank: int = 3
    freedom: int = 0


def of_rule(run: Run, rule: Rule, **changed: Any) -> Callable[[], Found]:
    """The trial of one rule for every parameter; ``feed`` and ``options`` as in :meth:`Run.trajectory`."""
    return lambda: run.judged(lambda name: run.trajectory(name, rule, **changed))
