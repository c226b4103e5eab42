"""The optimizer's update: the printed algorithms with the mistakes that are made in them, run over the whole walk.

:mod:`rules` are the algorithms, :mod:`variants` the wrong formulas, :mod:`decays` what goes wrong with weight decay,
:mod:`around` mistakes that any update can have, :mod:`fitting` a setting that has another value, :mod:`sharing` and
:mod:`turn` mistakes about several parameters together;
:mod:`run` holds each against every slot, update and parameter that was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from compare.diagnosis.evidence import Evidence, Hypothesis
from compare.diagnosis.updates.around import around
from compare.diagnosis.updates.decay import coupled, decoupled, with_decay
from compare.diagnosis.updates.decays import decays
from compare.diagnosis.updates.fitting import other_eps
from compare.diagnosis.updates.run import Run
from compare.diagnosis.updates.sharing import sharing
from compare.diagnosis.updates.trial import Trial, of_rule
from compare.diagnosis.updates.turn import in_turn
from compare.diagnosis.updates.variants import VARIANTS

__all__ = ["hypotheses"]


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Yield what slots, updates and parameters would be under each mistake of an optimizer."""
    if evidence.phase not in ("slots", "update", "parameter"):
        return
    run = Run.of(evidence)
    if run is None or run.name not in run.groups:
        return
    for trial in chain(formulas(run), decays(run), around(run), other_eps(run), sharing(run), in_turn(run)):
        found = trial.found()
        if not found.predicted:
            continue
        says, rank, freedom = trial.says, trial.rank, trial.freedom
        if found.only:  # a mistake for some parameters only says less
            says += (
                f"; so it is for {', '.join(found.only[:4])}{' and more' if len(found.only) > 4 else ''}, not for all"
            )
            rank, freedom = rank + 1, freedom + 1
        yield Hypothesis(trial.cause, found.predicted, says, trial.look_at, rank, freedom)


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
