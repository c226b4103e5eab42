"""What the walks of the gallery found, as plain data: the table, the page and the JSON are made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compare.gallery.halves import NAMES, RATE, SIZES, Halves, Seen
from compare.gallery.recipes import LEFT_OUT
from compare.gallery.walks import Descent, Portrait
from compare.verdict import Outcome, Verdict, exit_code

__all__ = ["record_of"]


def record_of(portraits: Sequence[Portrait], lesson: Halves | None, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """The findings, JSON-ready.

    ``exit_code`` is that of :func:`compare.verdict.exit_code`, where a planted mistake that is not seen to lead off the
    path counts as a divergence.
    """
    outcomes = [
        outcome
        for portrait in portraits
        for descent in portrait.descents
        for outcome in (descent.verdict.outcome, _as_it_must(descent.spoiled, descent.seen))
    ]
    found = {
        "schema_version": 1,
        "optimizers": [_portrait(portrait) for portrait in portraits],
        "left_out": {name: LEFT_OUT[name] for name in left_out},
        "halves": None if lesson is None else _halves(lesson),
    }
    if lesson is not None:
        outcomes += [_verdict(seen).outcome for seen in (lesson.cut, lesson.whole)]
        wrong = [_verdict(seen) for seen in (lesson.means, lesson.in_turn)]
        outcomes += [_as_it_must(verdict, verdict.outcome is Outcome.DIVERGED) for verdict in wrong]
    return {**found, "exit_code": exit_code(outcomes) if outcomes else 0}


def _as_it_must(verdict: Verdict, seen: bool) -> Outcome:
    """What a planted mistake counts as: agreement, if it was seen."""
    if verdict.outcome in (Outcome.ERROR, Outcome.ABSTAINED):
        return verdict.outcome
    return Outcome.EQUIVALENT if seen else Outcome.DIVERGED


def _portrait(portrait: Portrait) -> dict[str, Any]:
    mistake = portrait.mistake
    return {
        "name": portrait.optimizer,
        "mistake": mistake.words,
        "fault": mistake.fault,
        "surfaces": [_descent(descent) for descent in portrait.descents],
    }


def _descent(descent: Descent) -> dict[str, Any]:
    surface, options = descent.surface, descent.recipe.optimizer[1]
    end = descent.path.actual[-1] if descent.path.actual else np.full(2, np.nan)
    return {
        "name": surface.name,
        "options": dict(options),
        **_outcome(descent.verdict),
        "steps": descent.verdict.steps,
        "end": [_finite(number) for number in end],
        "distance": _finite(surface.distance(end)),
        "mistake": {**_outcome(descent.spoiled), "leaves": descent.astray.leaves, "seen": descent.seen},
    }


def _outcome(verdict: Verdict) -> dict[str, Any]:
    first, causes = verdict.first_divergence, verdict.causes
    return {
        "outcome": str(verdict.outcome),
        "reason": verdict.reason,
        "worst": _finite(verdict.worst_error),
        "parts": None
        if first is None
        else {"step": first.checkpoint.step, "phase": first.checkpoint.phase, "where": first.where},
        "cause": str(causes[0].cause) if causes else None,
    }


def _halves(lesson: Halves) -> dict[str, Any]:
    deposits = [lesson.cut.points("deposit", side, step=1) for side in (0, 1)]
    sums = [lesson.cut.points("accumulated", side, step=1) for side in (0, 1)]
    rows = sum(SIZES)
    moved = {
        "simultaneous": (lesson.cut, 0),
        "torch": (lesson.cut, 1),
        "in turn": (lesson.in_turn, 0),
    }
    return {
        "names": list(NAMES),
        "rate": RATE,
        "micro_batches": [
            {
                "rows": size,
                "weight": size / rows,
                "deposit": {side: _plain(values[index]) for side, values in zip(_SIDES, deposits, strict=True)},
                "accumulated": {side: _plain(values[index]) for side, values in zip(_SIDES, sums, strict=True)},
            }
            for index, size in enumerate(SIZES)
        ],
        "whole": _plain(lesson.whole.points("accumulated", 0, step=1)[0]),
        "mean_of_means": _plain(lesson.means.points("accumulated", 0, step=1)[-1]),
        "start": _plain(lesson.cut.points("parameter", 0)[0]),
        "after_one_step": {name: _plain(seen.points("parameter", side)[1]) for name, (seen, side) in moved.items()},
        "verdicts": {
            "cut": _outcome(_verdict(lesson.cut)),
            "whole": _outcome(_verdict(lesson.whole)),
            "mean of means": _outcome(_verdict(lesson.means)),
            "in turn": _outcome(_verdict(lesson.in_turn)),
        },
    }


_SIDES = ("manual", "torch")


def _verdict(seen: Seen) -> Verdict:
    assert seen.verdict is not None
    return seen.verdict


def _plain(values: np.ndarray) -> list[float | None]:
    return [_finite(value) for value in values]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
