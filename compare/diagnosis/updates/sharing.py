"""Slots that two or more parameters have in common, because they are kept under a key that is not theirs alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.updates.rules import Turn
from compare.diagnosis.updates.run import Found, Run
from compare.diagnosis.updates.trial import Trial

__all__ = ["sharing"]

Array = Any


def sharing(run: Run) -> Iterator[Trial]:
    """Two or more parameters of one shape keep their slots in one place."""
    shapes = {name: np.shape(run.parameters[run.steps.start].get(name, ())) for name in run.groups}
    alike = [name for name in run.groups if shapes[name] == shapes[run.name]]
    if len(alike) < 2:
        return
    by_shape = [[name for name in run.groups if shapes[name] == shape] for shape in dict.fromkeys(shapes.values())]
    pairs = [[[name for name in alike if name in (run.name, other)]] for other in alike if other != run.name]
    if run.evidence.sync != "free" and run.steps.start > 1:
        return
    for sets in ([by_shape] if by_shape not in pairs else []) + pairs[:8]:
        sets = [each for each in sets if len(each) > 1]
        for own_count in (False, True):
            names = "; ".join(" and ".join(each) for each in sets)
            says = f"{names} share their slots" + (", each with a count of its own" if own_count else "")
            found = partial(_judge_shared, run, sets, own_count)
            yield Trial("slots shared", says, "the key under which the slots are kept", found, 2 if own_count else 1)


def _judge_shared(run: Run, sets: Sequence[Sequence[str]], own_count: bool) -> Found:
    together = {name: each for each in sets for name in each}
    predicted: dict[str, dict[Checkpoint, Array]] = {}

    def wrong(name: str) -> Iterator[tuple[Checkpoint, Array]]:
        if name not in together:
            return iter(run.right(name).items())
        if name not in predicted:
            predicted.update(_share(run, together[name], own_count))
        return iter(predicted[name].items())

    return run.judged(wrong)


def _share(run: Run, names: Sequence[str], own_count: bool) -> dict[str, dict[Checkpoint, Array]]:
    right = run.rule()
    found: dict[str, dict[Checkpoint, Array]] = {name: {} for name in names}
    slots: dict[str, Array] = {}
    turns = 0
    free = run.evidence.sync == "free"
    for step in run.steps if free else [1]:  # what a side makes of slots that it is given apart is not known
        slots, start = run.start(step, names[-1], slots, turns)
        turns = start
        changes = {}
        for name in names:
            theta, g = run.parameters[step][name], run.gradient(step, name)
            if g is None:
                continue
            turns += 1
            count = start // len(names) + 1 if own_count else turns
            changes[name] = right(Turn(np.asarray(theta, np.float64), g, slots, count, run.options(step, name)))
        for name in names:  # what is shown is what the last of them left
            change = changes.get(name, np.zeros(np.shape(run.parameters[step][name])))
            found[name].update(run.shown(step, name, slots, change))
    return found
