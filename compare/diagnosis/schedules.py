"""The learning rate: a schedule that is late, early, advanced too often, or not at all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis
from compare.diagnosis.feeds import counts_of
from compare.diagnosis.numbers import equals

__all__ = ["hypotheses", "momenta_at", "rates_at"]

LOOK_AT = "where the schedule is advanced: once per step, after the update"
FORMULA = "the schedule's formula, rate = initial rate * factor(count of steps)"
_FURTHEST = 10_000  # a count beyond which no schedule is followed

Rate = Callable[[int, int], float]
"""The rate of a group after a step."""


def rates_at(evidence: Evidence) -> Callable[[int], list[float]] | None:
    """The reference's rates after any number of advances, one per group; ``None`` without a schedule to be asked."""
    side = evidence.another_reference()
    scheduler, optimizer = getattr(side, "scheduler", None), getattr(side, "optimizer", None)
    if scheduler is None or optimizer is None:
        return None
    known = [_rates(optimizer)]

    def at(count: int) -> list[float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch minds a schedule that is advanced without a step
            while len(known) <= min(count, _FURTHEST):
                try:
                    scheduler.step()
                except ValueError:  # one cycle has an end
                    return known[-1]
                known.append(_rates(optimizer))
        return known[min(count, _FURTHEST)]

    try:
        at(1)
    except TypeError:  # a plateau schedule wants a loss
        return None
    return at


def momenta_at(evidence: Evidence) -> Callable[[int], list[dict[str, Any]]] | None:
    """The reference's momenta or betas after any number of advances, by group; ``None`` where they do not move."""
    if "momenta" not in evidence.memory:
        evidence.memory["momenta"] = _momenta_at(evidence)
    found: Callable[[int], list[dict[str, Any]]] | None = evidence.memory["momenta"]
    return found


def _momenta_at(evidence: Evidence) -> Callable[[int], list[dict[str, Any]]] | None:
    scheduler = getattr(evidence.reference, "scheduler", None)
    if not getattr(scheduler, "cycle_momentum", False):
        return None
    side = evidence.another_reference()
    known = [_momenta(side.optimizer)]

    def at(count: int) -> list[dict[str, Any]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while len(known) <= min(count, _FURTHEST):
                try:
                    side.scheduler.step()
                except ValueError:
                    return known[-1]
                known.append(_momenta(side.optimizer))
        return known[min(count, _FURTHEST)]

    return at


def _momenta(optimizer: Any) -> list[dict[str, Any]]:
    return [{name: group[name] for name in ("momentum", "betas") if name in group} for group in optimizer.param_groups]


def _rates(optimizer: Any) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Yield what the rates would be under each mistake; quickly nothing where they do not differ first."""
    if evidence.phase != "schedule":
        return
    at = rates_at(evidence)
    if at is not None:
        for cause, says, rank, count in _counts(evidence):

            def rate(step: int, group: int, count: Callable[[int], int] = count) -> float:
                return at(max(0, count(step)))[group]

            yield _hypothesis(evidence, cause, says, rate, LOOK_AT, rank)

        def compounded(step: int, group: int) -> float:
            first = at(0)[group]
            in_force = _shown(evidence, step - 1, group) if evidence.sync == "free" else at(step - 1)[group]
            return in_force * at(step)[group] / first if first else math.nan

        says = "the schedule's factor multiplies the rate in force, not the initial rate, and so compounds"
        yield _hypothesis(evidence, "other learning rate", says, compounded, FORMULA, 4)
    yield from _other_rates(evidence)


def _counts(evidence: Evidence) -> Iterator[tuple[str, str, int, Callable[[int], int]]]:
    """Mistakes in the count, each as (cause, what it says, rank, the count after a step).

    Where the walk shares the state, each step starts from the reference's count, and standing still is being late.
    """
    shared = evidence.sync != "free"
    many = [len(facts.micro_batches) for facts in evidence.steps]
    stays = "the rate stays what it was" + (", or is one step late" if shared else " at the start")
    yield "schedule not advanced", stays, 2, lambda step: step - 1 if shared else 0
    if not shared:
        yield "schedule off by one", "the rate is one step late", 2, lambda step: step - 1
    yield "schedule off by one", "the rate is one step ahead", 2, lambda step: step + 1
    if max(many) > 1:

        def before(step: int) -> int:
            return step - 1 if shared else sum(many[: step - 1])

        says = "the schedule advances with every micro-batch"
        yield "schedule per micro-batch", says, 1, lambda step: before(step) + many[step - 1]
        says += ", and once more with the step"
        more = 0 if shared else 1
        yield "schedule per micro-batch", says, 2, lambda step: before(step) + many[step - 1] + 1 + more * (step - 1)
    where = evidence.checkpoint.step
    for turn in (where, where - 1):
        if turn > 1:
            says = f"from step {turn} on the rate is {turn} steps ahead: the decay is counted during the warm-up, too"
            yield "other learning rate", says, 4, _ahead(turn)


def _ahead(turn: int) -> Callable[[int], int]:
    """The count of a decay that has been running since the start, once the warm-up is over."""
    return lambda step: step if step < turn else step + turn


def _other_rates(evidence: Evidence) -> Iterator[Hypothesis]:
    """The rates as they are, with the factor by which they are off."""
    numbers = counts_of(evidence)
    pair = evidence.pair
    if not float(pair.expected):
        return
    factor = float(pair.actual) / float(pair.expected)
    if not math.isfinite(factor):
        return

    def scaled(step: int, group: int) -> float:
        found = evidence.pairs.get(_place(step, group))
        return math.nan if found is None else factor * float(found.expected)

    says = f"the rate is {equals(factor, numbers)} times what it should be"
    yield _hypothesis(evidence, "other learning rate", says, scaled, FORMULA, 6, 1)
    after = [
        f"{_shown(evidence, step, _group_of(evidence.checkpoint)):.6g} for {float(found.expected):.6g}"
        for step in range(evidence.checkpoint.step, len(evidence.steps) + 1)
        if (found := evidence.pairs.get(_place(step, _group_of(evidence.checkpoint)))) is not None
    ]
    says = (
        f"from step {evidence.checkpoint.step} on the rate is {', '.join(after)}; no count of this schedule gives that"
    )
    yield _hypothesis(
        evidence, "other learning rate", says, lambda step, group: _shown(evidence, step, group), FORMULA, 9, len(after)
    )


def _place(step: int, group: int) -> Checkpoint:
    return Checkpoint(step, None, "schedule", f"group {group}")


def _shown(evidence: Evidence, step: int, group: int) -> float:
    """The actual side's rate after a step; before the first it is the initial one."""
    if step == 0:
        return evidence.steps[0].rates[group]
    found = evidence.pairs.get(_place(step, group))
    return math.nan if found is None else float(found.actual)


def _hypothesis(
    evidence: Evidence, cause: str, says: str, rate: Rate, look_at: str, rank: int, freedom: int = 0
) -> Hypothesis:
    """Predict the rates of every recorded step."""
    predicted = {key: rate(key.step, _group_of(key)) for key in evidence.pairs if key.phase == "schedule"}
    return Hypothesis(cause, predicted, says, look_at, rank, freedom)


def _group_of(key: Checkpoint) -> int:
    return int(key.name.rpartition(" ")[2])
