"""Mistakes inside a formula or a derivation, found by making them in the reference.

Every call that the reference makes to PyTorch is a place where a mistake can be made: another axis, a term left out, a
derivative of the wrong variable. Each is made in turn, and what the reference then shows is held against what the
actual side showed. Fused ops are written out by their formula first, so that their inner terms can be got wrong too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compare.diagnosis.evidence import Evidence, Hypothesis

__all__ = ["hypotheses"]

_PHASES = ("forward", "loss", "backward", "deposit", "accumulated")


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Mutations of the reference that explain the divergence, the best first."""
    from compare.diagnosis.mutants.search import search

    if evidence.phase not in _PHASES or evidence.checkpoint.name == "denominator" or _is_elsewhere(evidence):
        return
    if not np.isfinite(evidence.pair.actual).all() or not np.isfinite(evidence.pair.expected).all():
        return
    yield from search(evidence)


def _is_elsewhere(evidence: Evidence) -> bool:
    """Whether all that the graph computes is right, and only what is done with it is not."""
    if evidence.phase == "accumulated":
        return any(key.name == evidence.checkpoint.name and pair.agrees for key, pair in evidence.at("deposit").items())
    if evidence.phase == "deposit" and evidence.culprit == "accumulation":
        return bool(evidence.at("backward"))
    return False
