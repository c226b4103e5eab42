"""The optimizer's update: the printed algorithms with the mistakes that are made in them, run over the whole walk.

:mod:`rules` are the algorithms, :mod:`variants` the wrong formulas, :mod:`decays` what goes wrong with weight decay,
:mod:`around` mistakes that any update can have, :mod:`fitting` a setting that has another value, :mod:`sharing` and
:mod:`turn` mistakes about several parameters together, :mod:`quasi_newton` L-BFGS;
:mod:`run` holds each against every slot, update and parameter that was recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis
from compare.diagnosis.updates.around import around
from compare.diagnosis.updates.decay import coupled, decoupled, with_decay
from compare.diagnosis.updates.decays import decays
from compare.diagnosis.updates.fitting import other_eps
from compare.diagnosis.updates.quasi_newton import quasi_newton
from compare.diagnosis.updates.rules import WHOLE
from compare.diagnosis.updates.run import Run
from compare.diagnosis.updates.sharing import sharing
from compare.diagnosis.updates.trial import Trial, of_rule
from compare.diagnosis.updates.turn import in_turn
from compare.diagnosis.updates.variants import VARIANTS

__all__ = ["hypotheses"]


_LARGE, _SAMPLE = 20_000, 2_000


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Yield what slots, updates and parameters would be under each mistake of an optimizer."""
    if evidence.phase not in ("slots", "update", "parameter"):
        return
    if evidence.pair.actual.shape != evidence.pair.expected.shape:
        return
    run = Run.of(evidence)
    if run is None or run.name not in run.groups:
        return
    for trial in quasi_newton(run) if run.kind == "LBFGS" else chain(_promising(run), sharing(run), in_turn(run)):
        found = trial.found()
        if not found.predicted:
            continue
        if trial.freedom and _differing(evidence, found.predicted) < trial.freedom + 2:
            continue  # so few numbers say nothing about one that was fitted to them
        says, rank, freedom = trial.says, trial.rank, trial.freedom
        if found.only:  # a mistake for some parameters only says less
            says += (
                f"; so it is for {', '.join(found.only[:4])}{' and more' if len(found.only) > 4 else ''}, not for all"
            )
            rank, freedom = rank + 1, freedom + 1
        yield Hypothesis(trial.cause, found.predicted, says, trial.look_at, rank, freedom)


def _promising(run: Run) -> Iterable[Trial]:
    """The mistakes about one parameter; of a large one those that explain a sample of its elements."""

    def all_of(run: Run) -> list[Trial]:
        return list(chain(formulas(run), decays(run), around(run), other_eps(run)))

    trials = all_of(run)
    pair = run.evidence.pairs.get(run.evidence.checkpoint._replace(phase="update", output="", call=0))
    size = 0 if pair is None else pair.actual.size
    if pair is None or size <= _LARGE or run.kind in WHOLE:
        return trials
    worst = int(np.argmax(np.abs(np.nan_to_num(pair.actual - pair.expected))))
    sample = all_of(run.at([worst, *np.linspace(0, size - 1, _SAMPLE, dtype=int)]))
    if [trial.cause for trial in sample] != [trial.cause for trial in trials]:
        return trials
    return [trial for trial, small in zip(trials, sample, strict=True) if small.found().explains]


def _differing(evidence: Evidence, predicted: Mapping[Checkpoint, Any]) -> int:
    """In how many elements of the predicted updates the sides differ."""
    pairs = [evidence.pairs[key] for key in predicted if key.phase == "update" and key in evidence.pairs]
    return sum(int(np.count_nonzero(np.abs(pair.actual - pair.expected) > pair.allowed)) for pair in pairs)


def formulas(run: Run) -> Iterator[Trial]:
    """The wrong formulas of this optimizer."""
    if not run.written_out:
        return
    decay = decoupled if run.decays_apart else coupled
    for variant in VARIANTS[run.kind](run.groups[run.name]):
        rule = with_decay(run.core(**variant.changes), decay)
        changed = variant.options
        options = None if changed is None else lambda own, step, name, changed=changed: changed(own)
        yield Trial(variant.cause, variant.says, variant.look_at, of_rule(run, rule, options=options), variant.rank)
