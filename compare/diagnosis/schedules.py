"""The learning rate, and the momentum that moves with it: late, early, advanced too often, or not at all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis
from compare.diagnosis.feeds import counts_of
from compare.diagnosis.numbers import equals
from compare.side import observed

__all__ = ["hypotheses", "rates_at"]

LOOK_AT = "where the schedule is advanced: once per step, after the update"
FORMULA = "the schedule's formula, rate = initial rate * factor(count of steps)"
_FURTHEST = 10_000  # a count beyond which no schedule is followed

Value = Callable[[int, str], float]
"""What is shown after a step under a name: the rate of a group, or its momentum."""


def rates_at(evidence: Evidence) -> Callable[[int], list[float]] | None:
    """The reference's rates after any number of advances, one per group; ``None`` without a schedule to be asked."""
    at = _shown_at(evidence)
    if at is None:
        return None
    return lambda count: [value for name, value in at(count).items() if not _is_momentum(name)]


def _shown_at(evidence: Evidence) -> Callable[[int], dict[str, float]] | None:
    """The same by name, momenta among it."""
    side = evidence.another_reference()
    scheduler = getattr(side, "scheduler", None)
    if scheduler is None or getattr(side, "optimizer", None) is None:
        return None

    def shown() -> dict[str, float]:
        return {name: float(value) for (name, _, _), value in (observed(side, "schedule") or {}).items()}

    known = [shown()]

    def at(count: int) -> dict[str, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch minds a schedule that is advanced without a step
            while len(known) <= min(count, _FURTHEST):
                try:
                    scheduler.step()
                except ValueError:  # one cycle has an end
                    return known[-1]
                known.append(shown())
        return known[min(count, _FURTHEST)]

    try:
        at(1)
    except TypeError:  # a plateau schedule wants a loss
        return None
    return at


def _is_momentum(name: str) -> bool:
    return name.endswith(" momentum")


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Yield what the rates would be under each mistake; quickly nothing where they do not differ first."""
    if evidence.phase != "schedule":
        return
    at = _shown_at(evidence)
    if at is not None:
        for cause, says, rank, count in _counts(evidence):

            def value(step: int, name: str, count: Callable[[int], int] = count) -> float:
                return at(max(0, count(step)))[name]

            yield _hypothesis(evidence, cause, says, value, LOOK_AT, rank)

        def compounded(step: int, name: str) -> float:
            if _is_momentum(name):
                return at(step)[name]
            first = at(0)[name]
            in_force = _shown(evidence, step - 1, name) if evidence.sync == "free" else at(step - 1)[name]
            return in_force * at(step)[name] / first if first else math.nan

        says = "the schedule's factor multiplies the rate in force, not the initial rate, and so compounds"
        yield _hypothesis(evidence, "other learning rate", says, compounded, FORMULA, 4)
    yield from _other_values(evidence)


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


def _other_values(evidence: Evidence) -> Iterator[Hypothesis]:
    """The rates, or the momenta, as they are, with the factor by which they are off."""
    numbers = counts_of(evidence)
    pair, own = evidence.pair, evidence.checkpoint.name
    what, cause = ("momentum", "other scheduled momentum") if _is_momentum(own) else ("rate", "other learning rate")
    if not float(pair.expected):
        return
    factor = float(pair.actual) / float(pair.expected)
    if not math.isfinite(factor):
        return

    def scaled(step: int, name: str) -> float:
        found = evidence.pairs.get(_place(step, name))
        same_kind = _is_momentum(name) == _is_momentum(own)
        return math.nan if found is None else (factor if same_kind else 1.0) * float(found.expected)

    says = f"the {what} is {equals(factor, numbers)} times what it should be"
    yield _hypothesis(evidence, cause, says, scaled, FORMULA, 6, 1)
    after = [
        f"{_shown(evidence, step, own):.6g} for {float(found.expected):.6g}"
        for step in range(evidence.checkpoint.step, len(evidence.steps) + 1)
        if (found := evidence.pairs.get(_place(step, own))) is not None
    ]
    says = f"from step {evidence.checkpoint.step} on the {what} is {', '.join(after)}; "
    says += "no count of this schedule gives that"
    yield _hypothesis(evidence, cause, says, lambda step, name: _shown(evidence, step, name), FORMULA, 9, len(after))


def _place(step: int, name: str) -> Checkpoint:
    return Checkpoint(step, None, "schedule", name)


def _shown(evidence: Evidence, step: int, name: str) -> float:
    """What the actual side shows after a step; before the first the rate is the initial one."""
    if step == 0:
        return evidence.steps[0].rates[int(name.split()[1])]
    found = evidence.pairs.get(_place(step, name))
    return math.nan if found is None else float(found.actual)


def _hypothesis(
    evidence: Evidence, cause: str, says: str, value: Value, look_at: str, rank: int, freedom: int = 0
) -> Hypothesis:
    """Predict the rates, and the momenta that are shown, of every recorded step."""
    predicted = {key: value(key.step, key.name) for key in evidence.pairs if key.phase == "schedule"}
    return Hypothesis(cause, predicted, says, look_at, rank, freedom)
