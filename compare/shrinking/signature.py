"""In which way a walk fails: what has to stay the same while its case is made small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from compare.batches import MicroBatch
from compare.diagnosis.catalogue import UNKNOWN
from compare.verdict import Outcome, Verdict

__all__ = ["Signature", "kind_of", "signature_of"]

Factory = Callable[[], Any]
Steps = Sequence[Sequence[MicroBatch]]


@dataclass(frozen=True)
class Signature:
    """The first divergence and its cause; step, micro-batch and name may change, as sizes do.

    Attributes
    ----------
    phase : of the first divergence
    culprit : its kind: the class of a module, or a word such as ``optimizer``
    own : whether all that its value was computed from agreed
    cause : the first that the diagnosis names, ``unknown`` where it names none
    """

    phase: str
    culprit: str
    own: bool
    cause: str

    def __str__(self) -> str:
        return f"{self.phase}, culprit {self.culprit or 'the model'}, cause {self.cause}"


def kind_of(culprit: str, side: Any) -> str:
    """The kind of a culprit: the class of the module at that path of a side, or the word itself.

    The first divergence's path changes when layers are left out, its class does not.
    """
    module = getattr(side, "module", None)
    find = getattr(module, "get_submodule", None)
    if find is None:
        return culprit
    try:
        return type(find(culprit)).__name__
    except AttributeError:
        return culprit


def signature_of(verdict: Verdict) -> Signature | None:
    """The way in which a walk diverged; ``None`` if it did not."""
    first = verdict.first_divergence
    if verdict.outcome is not Outcome.DIVERGED or first is None:
        return None
    kind = kind_of(first.culprit, verdict.sides[1]) if verdict.sides else first.culprit
    causes = verdict.causes
    return Signature(first.checkpoint.phase, kind, first.own, causes[0].cause if causes else UNKNOWN)
