"""Several micro-batches, one gradient: their weights, what is still there from before, what is lost.

With ``D_k = w_k g_k`` what the reference deposits in micro-batch ``k``, the batch's gradient is the sum of the
``D_k``. Every mistake here is another combination of the same deposits, and of the last step's gradient; the same for
all parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis, StepFacts
from compare.diagnosis.feeds import Arrays, counts_of, deposits, walked
from compare.diagnosis.moved import at_other_weights
from compare.diagnosis.numbers import equals
from compare.diagnosis.parts import whole_or_part

__all__ = ["hypotheses"]

WEIGHTS = "the weight of a micro-batch: its share of the loss's denominator, so that all weights add up to one"
CLEARING = "zero_grad: once per step, before the first micro-batch"
ADDING = "grad += weight * gradient, for every micro-batch"

Predicted = dict[Checkpoint, np.ndarray]
Weigh = Callable[[StepFacts], Sequence[float]]
"""The weights of a step's micro-batches under a mistake."""


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Yield what deposits and accumulated gradients would be under each mistake."""
    if evidence.pair.actual.shape != evidence.pair.expected.shape:
        return
    if evidence.phase in ("deposit", "accumulated"):
        for found in chain(_weighted(evidence), _lost(evidence), _left_over(evidence)):
            yield from whole_or_part(evidence, found)
    if evidence.phase in ("forward", "loss", "backward", "deposit", "accumulated"):
        yield from at_other_weights(evidence)


# -- weights ---------------------------------------------------------------------------------------------------------


def _equal(facts: StepFacts) -> Sequence[float]:
    return [1 / len(facts.weights)] * len(facts.weights)


def _rows(facts: StepFacts) -> Sequence[float]:
    return [rows / sum(facts.rows) for rows in facts.rows]


def _weighted(evidence: Evidence) -> Iterator[Hypothesis]:
    """Every micro-batch with another weight."""
    many = len(evidence.step.micro_batches)
    if many < 2:
        return
    known: list[tuple[str, str, int, Weigh]] = [
        ("mean of means", f"every micro-batch weighs 1/{many}, whatever it contains", 1, _equal),
        ("sum of micro-batches", "every micro-batch weighs 1: their means are added up", 1, lambda facts: [1.0] * many),
        (
            "normalised twice",
            f"a micro-batch's share is divided by the number of micro-batches, {many}, once more",
            2,
            lambda facts: [weight / len(facts.weights) for weight in facts.weights],
        ),
        (
            "normalised twice",
            f"every micro-batch weighs 1/{many}^2",
            2,
            lambda facts: [share**2 for share in _equal(facts)],
        ),
        (
            "normalised twice",
            "a micro-batch's share is multiplied in twice",
            3,
            lambda facts: [weight**2 for weight in facts.weights],
        ),
        (
            "constant factor",
            f"a micro-batch's share is multiplied by the number of micro-batches, {many}",
            2,
            lambda facts: [weight * len(facts.weights) for weight in facts.weights],
        ),
        (
            "wrong denominator",
            "a micro-batch weighs by its rows, its mean counts something else",
            2,
            _rows,
        ),
        (
            "wrong denominator",
            f"every micro-batch is divided by the size of the largest and by their number, {many}",
            3,
            lambda facts: [weight / (max(facts.weights) * len(facts.weights)) for weight in facts.weights],
        ),
    ]
    for cause, says, rank, weigh in known:
        yield from _from_here_or_always(evidence, Hypothesis(cause, _combined(evidence, weigh), says, WEIGHTS, rank))
    yield from _running(evidence)
    bases: list[tuple[str, str, int, Weigh]] = [
        ("constant factor", "the weights are {factor} times what they should be", 4, lambda facts: facts.weights),
        ("mean of means", "every micro-batch weighs {factor}, whatever it contains", 4, lambda facts: [1.0] * many),
        ("wrong denominator", "a micro-batch weighs by its rows: {factor} times its share of the rows", 5, _rows),
    ]
    for cause, says, rank, weigh in bases:
        predicted = _combined(evidence, weigh)
        factor = _factor(evidence, predicted)
        if factor is None:
            continue
        text = says.format(factor=equals(factor, counts_of(evidence), 1e-6))
        scaled = {key: factor * value for key, value in predicted.items()}
        yield from _from_here_or_always(evidence, Hypothesis(cause, scaled, text, WEIGHTS, rank, 1))


def _running(evidence: Evidence) -> Iterator[Hypothesis]:
    """After each micro-batch the mean of those so far, equal or by their weights."""
    if evidence.sync == "module":
        return
    facts, each = evidence.step, deposits(evidence, evidence.step.number)
    cases = (
        ("mean of means", "the means so far are averaged, whatever the micro-batches contain", [1.0] * len(each)),
        ("wrong denominator", "the gradient is divided by the weights so far, not by the whole batch's", facts.weights),
    )
    for cause, says, weights in cases:
        predicted: Predicted = {}
        held: Arrays = {}
        for index, deposit in enumerate(each, 1):
            for name, value in deposit.items():
                own = facts.weights[index - 1]
                held[name] = held.get(name, 0.0) + value * (weights[index - 1] / own if own else 0.0)
                mean = held[name] / sum(weights[:index])
                predicted[Checkpoint(facts.number, index, "accumulated", name)] = mean
        yield Hypothesis(cause, predicted, says, WEIGHTS, 3)


def _from_here_or_always(evidence: Evidence, found: Hypothesis) -> Iterator[Hypothesis]:
    """A mistake made in every step, or one that begins with the diverging step: a weaker reading."""
    yield found
    number = evidence.step.number
    here = {key: value for key, value in found.predicted.items() if key.step == number}
    if len(here) < len(found.predicted):
        says = f"{found.explanation}, from step {number} on"
        yield replace(found, predicted=here, explanation=says, rank=found.rank + 1, freedom=found.freedom + 1)


def _steps(evidence: Evidence) -> Iterator[int]:
    """The steps for which the reference's deposits are those of the actual side, but for the mistake."""
    last = evidence.step.number
    shared = evidence.sync != "free"
    yield from (step for step in walked(evidence) if step <= last or shared)


def _combined(evidence: Evidence, weigh: Weigh) -> Predicted:
    """Deposits and their sums with other weights."""
    predicted: Predicted = {}
    for step in _steps(evidence):
        facts = evidence.steps[step - 1]
        weights = weigh(facts)
        if len(weights) != len(facts.weights):
            continue  # another number of micro-batches
        each = [
            {name: value * (new / old if old else 0.0) for name, value in deposit.items()}
            for deposit, new, old in zip(deposits(evidence, step), weights, facts.weights, strict=False)
        ]
        predicted |= _added_up(evidence, step, each)
    return predicted


def _added_up(
    evidence: Evidence, step: int, each: Sequence[Arrays], before: Mapping[str, np.ndarray] = {}
) -> Predicted:
    """What is deposited, and what is held after each micro-batch.

    In a walk by module each micro-batch starts from the reference's gradients; only deposits can be told there.
    """
    predicted: Predicted = {}
    held: Arrays = dict(before)
    for index, deposit in enumerate(each, 1):
        for name, value in deposit.items():
            held[name] = held[name] + value if name in held else value
            predicted[Checkpoint(step, index, "deposit", name)] = value
            if evidence.sync != "module":
                predicted[Checkpoint(step, index, "accumulated", name)] = held[name]
    return predicted


def _factor(evidence: Evidence, predicted: Mapping[Checkpoint, np.ndarray]) -> float | None:
    """The factor on a prediction that fits the diverging micro-batch best, over all parameters together."""
    here = evidence.checkpoint
    keys = [key for key in predicted if key[:3] == here[:3] and key in evidence.pairs]
    size = sum(float(np.vdot(predicted[key], predicted[key])) for key in keys)
    if not size or sum(evidence.pairs[key].actual.size for key in keys) < 3:
        return None
    factor = sum(float(np.vdot(predicted[key], evidence.pairs[key].actual)) for key in keys) / size
    return factor if np.isfinite(factor) and factor > 0 else None


# -- what is lost ----------------------------------------------------------------------------------------------------


def _lost(evidence: Evidence) -> Iterator[Hypothesis]:
    """Micro-batches that never arrive, or are overwritten, or arrive one too late or twice."""
    facts = evidence.step
    step, many = facts.number, len(facts.micro_batches)
    each = deposits(evidence, step)
    if many < 2 or len(each) < many:
        return
    for text, weights in (
        ("", facts.weights),
        (", each with the weight 1", [1.0] * many),
        (f", each with the weight 1/{many}", [1 / many] * many),
    ):
        says = "only the last micro-batch is held: what came before is overwritten or cleared"
        alone = [
            {name: value * (new / old) for name, value in deposit.items()}
            for deposit, new, old in zip(each, weights, facts.weights, strict=True)
        ]
        predicted = {
            Checkpoint(step, index, "accumulated", name): value
            for index, deposit in enumerate(alone, 1)
            for name, value in deposit.items()
        }
        yield Hypothesis(
            "only the last micro-batch", predicted, says + text, ADDING + "; " + CLEARING, 0 if not text else 2
        )
    nothing = [{name: np.zeros_like(value) for name, value in deposit.items()} for deposit in each]
    for left_out in range(1, many + 1):
        without = [nothing[i] if i == left_out - 1 else each[i] for i in range(many)]
        says = f"micro-batch {left_out} of {many} never arrives"
        if evidence.sync == "module":
            yield Hypothesis("micro-batch left out", _missing(each, step, left_out), says, ADDING, 2)
            continue
        yield Hypothesis("micro-batch left out", _held(_added_up(evidence, step, without)), says, ADDING, 2)
        rest = 1 - facts.weights[left_out - 1]
        if rest > 0:
            others = [{name: value / rest for name, value in deposit.items()} for deposit in without]
            text = says + ", and the others are weighed without it"
            yield Hypothesis("micro-batch left out", _held(_added_up(evidence, step, others)), text, ADDING, 3)
        twice = [{n: 2 * v for n, v in each[i].items()} if i == left_out - 1 else each[i] for i in range(many)]
        says = f"micro-batch {left_out} of {many} is counted twice"
        yield Hypothesis("doubled term", _held(_added_up(evidence, step, twice)), says, ADDING, 3)
    if many > 2 and evidence.sync != "module":
        first = [each[0], *nothing[1:]]
        says = "only the first micro-batch is held"
        yield Hypothesis("micro-batch left out", _held(_added_up(evidence, step, first)), says, ADDING, 2)
    if evidence.sync != "module":
        earlier = deposits(evidence, step - 1)[-1:] if step > 1 else []
        late = [(earlier or nothing)[0], *each[:-1]]
        says = "each micro-batch hands over the gradient of the one before"
        yield Hypothesis("stale gradient", _added_up(evidence, step, late), says, "when the gradients are read", 3)


def _held(predicted: Predicted) -> Predicted:
    """Only what is held: the backward pass may well have been run and shown."""
    return {key: value for key, value in predicted.items() if key.phase == "accumulated"}


def _missing(each: Sequence[Arrays], step: int, left_out: int) -> Predicted:
    """In a walk by module: what the reference had before the micro-batch stays as it is."""
    predicted: Predicted = {}
    for name, value in each[left_out - 1].items():
        before = [deposit[name] for deposit in each[: left_out - 1]]
        predicted[Checkpoint(step, left_out, "accumulated", name)] = sum(before, np.zeros_like(value))
    return predicted


# -- what is left over -----------------------------------------------------------------------------------------------


def _left_over(evidence: Evidence) -> Iterator[Hypothesis]:
    """The last step's gradient: still there, or used in place of this step's."""
    step = evidence.step.number
    each = deposits(evidence, step)
    if not each:
        return
    if evidence.sync == "module":
        each = each[:1]  # later micro-batches start from the reference's gradients
    for text, previous in _previous(evidence, step):
        if not previous:
            continue
        zero = {name: np.zeros_like(value) for name, value in each[0].items()}
        before = {**zero, **{name: value for name, value in previous.items() if name in zero}}
        predicted = _after(step, each, before)
        says = f"{text} is still there"
        yield Hypothesis("previous gradient added", predicted, says, CLEARING, 1)
        share = _share(evidence, _after(step, each, zero), before)
        if share is not None and abs(share - 1) > 1e-6:
            says = f"{equals(share, counts_of(evidence), 1e-6)} times {text} is still there"
            part = {name: share * value for name, value in before.items()}
            predicted = _after(step, each, part)
            yield Hypothesis("previous gradient added", predicted, says, CLEARING, 4, 1)
        stale = {
            Checkpoint(step, index, "accumulated", n): v for index in range(1, len(each) + 1) for n, v in before.items()
        }
        yield Hypothesis("stale gradient", stale, f"{text} is used", "when the gradients are read", 2)
    if step == 1 and evidence.sync != "module":
        yield from _one_step_late(evidence)


def _one_step_late(evidence: Evidence) -> Iterator[Hypothesis]:
    """No gradient in the first step, and the first step's gradient in the second: it is read too early."""
    first = _added_up(evidence, 1, deposits(evidence, 1))
    many = len(evidence.steps[0].micro_batches)
    predicted: Predicted = {}
    for key, value in first.items():
        if key.phase == "accumulated":
            predicted[key] = np.zeros_like(value)
            if key.micro_batch == many and len(evidence.steps) > 1:
                predicted[key._replace(step=2, micro_batch=len(evidence.steps[1].micro_batches))] = value
    says = "the gradient of the step before is used, and in the first step none"
    rank = 1 if any(key.step == 2 for key in predicted) else 3  # zero alone may be many things
    yield Hypothesis("stale gradient", predicted, says, "when the gradients are read", rank)


def _previous(evidence: Evidence, step: int) -> Iterator[tuple[str, Arrays]]:
    """What a gradient may have been left at by the step before."""
    if step < 2:
        return
    last = len(evidence.steps[step - 2].micro_batches)
    clipped = evidence.by_name("clip", step - 1)
    clipped.pop("total_norm", None)
    held = evidence.by_name("accumulated", step - 1, last)
    module = evidence.sync == "module"
    if clipped:
        yield (
            "the last step's gradient, clipped,",
            {name: pair.expected if module else pair.actual for name, pair in clipped.items()},
        )
    yield "the last step's gradient", {name: pair.actual for name, pair in held.items()}
    if last > 1:
        yield "the gradient of the last step's last micro-batch", (deposits(evidence, step - 1) or [{}])[-1]
    yield (
        "the last step's gradient",
        {name: np.asarray(g) for name, g in evidence.steps[step - 1].gradients_before.items() if g is not None},
    )


def _after(step: int, each: Sequence[Arrays], before: Mapping[str, np.ndarray]) -> Predicted:
    """What is held after each micro-batch, from what was held before the first."""
    predicted: Predicted = {}
    held: Arrays = dict(before)
    for index, deposit in enumerate(each, 1):
        for name, value in deposit.items():
            held[name] = held[name] + value
            predicted[Checkpoint(step, index, "accumulated", name)] = held[name]
    return predicted


def _share(evidence: Evidence, right: Predicted, before: Mapping[str, np.ndarray]) -> float | None:
    """How much of a gradient is in the difference, over all parameters together."""
    here = evidence.checkpoint
    gaps = {
        key.name: evidence.pairs[key].actual - value
        for key, value in right.items()
        if key[:3] == here[:3] and key in evidence.pairs and key.name in before
    }
    size = sum(float(np.vdot(before[name], before[name])) for name in gaps)
    if not size or sum(gap.size for gap in gaps.values()) < 3:
        return None
    share = sum(float(np.vdot(before[name], gap)) for name, gap in gaps.items()) / size
    return share if np.isfinite(share) and share else None
