"""One hand-written mistake: what a user wrote, what PyTorch says, and which names of the catalogue would help the user.

The accepted names were written down before any diagnosis had been run on these functions. A name is accepted only where
a user who reads it would find the wrong line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import compare
from compare.diagnosis.catalogue import CAUSES

__all__ = ["Case", "Topic", "judge"]


@dataclass(frozen=True)
class Case:
    """One wrong function beside its right one.

    Attributes
    ----------
    id : topic and mistake
    call : ``"gradients"``, ``"optimizer"`` or ``"training"``
    right, wrong : the functions (for training: the factories of a side)
    reference : a function in torch operations, an optimizer class, or the factory of a reference side
    inputs : what the call is given beside the two
    says : what is wrong, in one sentence
    accepted : the causes that name it rightly; none where the catalogue has no word for it, so that only ``unknown`` is honest
    """

    id: str
    call: str
    right: Callable[..., Any]
    wrong: Callable[..., Any]
    reference: Any
    inputs: dict[str, Any]
    says: str
    accepted: frozenset[str]


class Topic:
    """A right function, its reference, and the wrong variants that one word each selects.

    Parameters
    ----------
    name : the first half of every id
    call : as in :class:`Case`
    right : takes ``wrong=""`` beside the arguments of the call; each word changes one line of it
    reference, inputs : as in :class:`Case`
    """

    def __init__(self, name: str, call: str, right: Callable[..., Any], reference: Any, inputs: dict[str, Any]) -> None:
        self.name = name
        self.call = call
        self.right = right
        self.reference = reference
        self.inputs = inputs

    def cases(self, mistakes: Iterable[tuple[str, str, set[str]]]) -> list[Case]:
        """Make a case of each ``(word, what is wrong, accepted causes)``."""
        made = []
        for word, says, accepted in mistakes:
            unknown = accepted - set(CAUSES)
            if unknown:
                raise ValueError(f"{self.name}-{word}: {sorted(unknown)} are no causes of the catalogue")
            wrong = partial(self.right, wrong=word)
            name = f"{self.name}-{word}"
            made.append(
                Case(name, self.call, self.right, wrong, self.reference, self.inputs, says, frozenset(accepted))
            )
        return made


def judge(case: Case, function: Callable[..., Any]) -> Any:
    """The report on a case's right or wrong function, from the call that a user would make."""
    if case.call == "gradients":
        return compare.gradients(function, case.reference, case.inputs)
    if case.call == "optimizer":
        return compare.optimizer(function, case.reference, **case.inputs)
    return compare.training(function, case.reference, **case.inputs)
