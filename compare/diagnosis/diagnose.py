"""Look into the divergences of a walk: walk again with everything recorded, ask every family, rank what explains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from compare.batches import MicroBatch
from compare.diagnosis.catalogue import CAUSES, UNKNOWN
from compare.diagnosis.evidence import Cause, Evidence, Hypothesis, Recording, explained
from compare.verdict import Divergence, Verdict

__all__ = ["FAMILIES", "diagnose"]

FAMILIES = (
    "mismatch",
    "nonfinite",
    "schedules",
    "accumulation",
    "penalties",
    "clipping",
    "updates",
    "buffers",
    "transforms",
    "factors",
    "reductions",
    "mutants",
    "unstable",
    "precision",
)
"""The modules that are asked, in this order; each has ``hypotheses(evidence)``."""

_BEYOND = 2  # steps recorded after the divergence: what the next step shows tells mistakes apart
_FAULTS = 16  # divergences looked into in one walk


def diagnose(
    verdict: Verdict,
    make_actual: Callable[[], Any],
    make_expected: Callable[[], Any],
    steps: Sequence[Sequence[MicroBatch]],
    *,
    tolerance: Any = None,
) -> None:
    """Put causes on the divergences of a verdict: on the first, and in a walk by module on one for each culprit.

    Parameters
    ----------
    verdict : Verdict
        Its ``divergences`` are replaced by ones with ``causes``.
    make_actual, make_expected, steps, tolerance : as the walk that led to the verdict had them
    """
    from compare.lockstep import walk

    recordings: dict[int, Recording] = {}
    for divergence in _to_look_into(verdict):
        focus = max(1, divergence.checkpoint.step)
        if focus not in recordings:
            recordings[focus] = Recording(focus)
            walk(
                make_actual(),
                make_expected(),
                steps[: focus + _BEYOND],
                sync=verdict.sync,
                tolerance=tolerance,
                observer=recordings[focus],
            )
        recording = recordings[focus]
        if divergence.checkpoint not in recording.pairs:
            continue  # a side raised in the second walk, or the value is not one that is kept
        evidence = Evidence(
            divergence.checkpoint, divergence.culprit, recording, make_actual, make_expected, verdict.sync
        )
        causes = causes_of(evidence, verdict.coverage.notes)
        place = verdict.divergences.index(divergence)
        verdict.divergences[place] = replace(divergence, causes=causes)


def _to_look_into(verdict: Verdict) -> list[Divergence]:
    first = verdict.first_divergence
    if first is None:
        return []
    if verdict.sync != "module":
        return [first]
    by_culprit: dict[str, Divergence] = {first.culprit: first}
    for found in verdict.divergences:
        if found.own:
            by_culprit.setdefault(found.culprit, found)
    return list(by_culprit.values())[:_FAULTS]


def causes_of(
    evidence: Evidence, notes: list[str] | None = None, families: Iterable[str] = FAMILIES
) -> tuple[Cause, ...]:
    """The best explanation and the runner-up; ``unknown`` first where nothing explains the difference."""
    hypotheses: list[Hypothesis] = []
    for family in families:
        try:
            hypotheses += import_module(f"compare.diagnosis.{family}").hypotheses(evidence)
        except Exception as error:
            if notes is not None:
                notes.append(f"the diagnosis of {family} raised {type(error).__name__}: {error}")
    ranked = explained(evidence, hypotheses)
    causes: list[Cause] = []
    for hypothesis, fit in ranked:
        assert hypothesis.cause in CAUSES, hypothesis.cause
        if not fit.explained and not causes:
            closest = f"; the closest is {hypothesis.cause!r}" if fit.residual < 1 else ""
            causes.append(Cause(UNKNOWN, 1.0, CAUSES[UNKNOWN] + closest))
        if (fit.explained or fit.residual < 1) and hypothesis.cause not in {cause.cause for cause in causes}:
            causes.append(Cause(hypothesis.cause, fit.residual, hypothesis.explanation, hypothesis.look_at))
        if len(causes) == 2:
            break
    return tuple(causes) or (Cause(UNKNOWN, 1.0, CAUSES[UNKNOWN]),)
