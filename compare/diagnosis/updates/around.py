"""Mistakes around an update rule: its sign, its rate, its count, which gradient it gets, which parameter it moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.feeds import counts_of
from compare.diagnosis.numbers import equals
from compare.diagnosis.schedules import rates_at
from compare.diagnosis.updates.rules import Turn
from compare.diagnosis.updates.run import Feed, Found, Run
from compare.diagnosis.updates.trial import Trial, of_rule

__all__ = ["around"]

Array = Any


def around(run: Run) -> Iterator[Trial]:
    """Every mistake that does not depend on which rule it is."""
    yield from _signs(run)
    yield from _unstored(run)
    yield from _parameters(run)
    yield from _gradients(run)
    yield from _counts(run)
    yield from _schedules(run)
    yield from _momenta(run)
    yield from _factors(run)


def _signs(run: Run) -> Iterator[Trial]:
    right = run.rule()
    yield Trial("sign", "the step is added, not subtracted", "θ ← θ − γ u", of_rule(run, lambda turn: -right(turn)), 2)
    says = "the gradient has the wrong sign: the loss grows"
    turned = of_rule(run, lambda turn: right(replace(turn, g=-turn.g)))
    yield Trial("sign", says, "the sign of the gradient (maximize)", turned, 3)


def _unstored(run: Run) -> Iterator[Trial]:
    """Slots that are computed anew and never written back."""
    right = run.rule()

    def forgetting(turn: Turn) -> Array:
        now: dict[str, Array] = {}
        change = right(replace(turn, slots=now))
        turn.slots.update({name: value if name == "step" else np.zeros(np.shape(value)) for name, value in now.items()})
        return change

    says = "the slots are computed and not kept: every step starts from zero"
    cause = "momentum left out" if run.kind == "SGD" else "moment without its average"
    yield Trial(cause, says, "where the slots are written back", of_rule(run, forgetting), 4)


def _parameters(run: Run) -> Iterator[Trial]:
    """Parameters that do not move, or move twice."""
    right = run.rule()

    def nothing(turn: Turn) -> Array:
        return np.zeros(np.shape(turn.theta))

    def standing(turn: Turn, counted: bool) -> Array:
        now = dict(turn.slots)
        right(replace(turn, slots=now))
        start = float(turn.options.get("initial_accumulator_value", 0.0))
        for name, value in now.items():
            turn.slots.setdefault(name, np.zeros(np.shape(value)) + (start if name == "sum" else 0.0))
        if counted and "step" in now:
            turn.slots["step"] = now["step"]
        return nothing(turn)

    def advanced_only(turn: Turn) -> Array:
        right(turn)
        return nothing(turn)

    def twice(turn: Turn) -> Array:
        change = right(turn)
        return change + right(replace(turn, theta=turn.theta + change, t=turn.t + 1))

    def counted_twice(turn: Turn) -> Array:
        return twice(replace(turn, t=2 * turn.t - 1))

    def doubled(turn: Turn) -> Array:
        return 2 * right(turn)

    look_at = "the parameters that the update goes through"
    says = "the parameter does not move"
    yield Trial("parameter left out", says, look_at, of_rule(run, nothing), 1)
    for counted, text in ((False, "nor do its slots"), (True, "nor do its slots, though the count does")):
        found = of_rule(run, partial(standing, counted=counted))
        yield Trial("parameter left out", f"{says}, {text}", look_at, found, 1)
    says = "the parameter does not move, though its slots do"
    yield Trial("parameter left out", says, look_at, of_rule(run, advanced_only), 2)
    says = "the update is made twice in a step"
    yield Trial("updated twice", says, look_at, of_rule(run, counted_twice), 2)
    yield Trial("updated twice", says + ", and counted once", look_at, of_rule(run, twice), 3)
    yield Trial("updated twice", "the change is made twice in a step", look_at, of_rule(run, doubled), 3)


def _gradients(run: Run) -> Iterator[Trial]:
    """No gradient, or that of another step."""
    right = run.rule()

    def or_zeros(step: int, name: str) -> Array:
        g = run.gradient(step, name)
        return np.zeros(np.shape(run.parameters[step][name])) if g is None else g

    if any(run.gradient(step, run.name) is None for step in run.steps):
        says = f"{run.name} has no gradient and is updated as if it were zero; torch leaves such a parameter alone"
        found = of_rule(run, right, feed=or_zeros)
        yield Trial("None taken as zero", says, "the parameters whose gradient is None", found, 1)

    def late(empty_first: bool) -> Feed:
        def stale(step: int, name: str) -> Array | None:
            g = run.gradient(max(step - 1, run.steps.start), name)
            return np.zeros(np.shape(g)) if step == 1 and g is not None and empty_first else g

        return stale

    says = "the update uses the gradient of the step before"
    look_at = "when the gradients are read"
    yield Trial("stale gradient", says, look_at, of_rule(run, right, feed=late(False)), 3)
    says += ", and in the first step none"
    yield Trial("stale gradient", says, look_at, of_rule(run, right, feed=late(True)), 3)


def _counts(run: Run) -> Iterator[Trial]:
    """The step count: shifted, or advanced more than once in a step."""
    if not run.written_out or run.kind == "SGD":
        return
    right = run.rule()
    look_at = "t, which counts the updates of a parameter from 1"

    def counted(t: Callable[[int], int]) -> Callable[[], Found]:
        return of_rule(run, lambda turn: right(replace(turn, t=t(turn.t))))

    def moved(by: int) -> Callable[[int], int]:
        # where each step starts from the reference's count, only the first can start elsewhere
        return lambda t: t + by if run.evidence.sync == "free" or t == 1 else t

    for start, by in ((0, -1), (2, 1)):
        says = f"the step count starts at {start}"
        yield Trial("step count off by one", says, look_at, counted(moved(by)), 2)
    many = len(run.evidence.step.micro_batches)
    if many > 1:
        says = f"the step count advances with every micro-batch, {many} times in a step"
        yield Trial("step count off by one", says, look_at, counted(lambda t: t * many), 2)
    names = list(run.groups)
    if len(names) > 1:

        def one_for_all(name: str) -> Iterator[tuple[Checkpoint, Array]]:
            place = names.index(name)
            return run.trajectory(name, lambda turn: right(replace(turn, t=(turn.t - 1) * len(names) + place + 1)))

        says = "one step count serves all parameters and advances with each of them"
        yield Trial("slots shared", says, look_at, lambda: run.judged(one_for_all), 2)


def _with_rate(run: Run, rate: Callable[[float, int, int], float]) -> Callable[[], Found]:
    """The right rule at another learning rate, made from the one in force, the step and the parameter's group."""

    def changed(options: dict[str, Any], step: int, name: str) -> dict[str, Any]:
        return {**options, "lr": rate(float(options["lr"]), step, run.group_numbers[name])}

    return of_rule(run, run.rule(), options=changed)


def _schedules(run: Run) -> Iterator[Trial]:
    """The rate of another count of the schedule, where the side hides its rate or uses another than it shows."""
    schedule = rates_at(run.evidence)
    if schedule is None:
        return
    look_at = "when the schedule is advanced: once per step, after the update"
    facts, shared = run.evidence.steps, run.evidence.sync != "free"
    many = [len(each.micro_batches) for each in facts]

    def before(step: int) -> int:
        return step - 1 if shared else sum(many[: step - 1])

    def at(count: Callable[[int], int]) -> Callable[[], Found]:
        return _with_rate(run, lambda rate, step, group: schedule(max(0, count(step)))[group])

    says = "the rate is already that of the next step: the schedule moves before the update"
    yield Trial("schedule off by one", says, look_at, at(lambda step: step), 2)
    says = "the rate is still that of the step before"
    yield Trial("schedule off by one", says, look_at, at(lambda step: step - 2), 2)
    says = "the rate stays what it was at the start"
    yield Trial("schedule not advanced", says, look_at, at(lambda step: 0), 2)
    if max(many) > 1:
        says = "the schedule advances with every micro-batch"
        yield Trial("schedule per micro-batch", says, look_at, at(before), 2)
        text = f"{says}, before the update"
        yield Trial("schedule per micro-batch", text, look_at, at(lambda step: before(step) + many[step - 1]), 2)
        text = f"{says}, for the last one after the update"
        yield Trial("schedule per micro-batch", text, look_at, at(lambda step: before(step) + many[step - 1] - 1), 2)


def _momenta(run: Run) -> Iterator[Trial]:
    """The momentum of another count of the schedule, or one that stays."""
    if not run.momenta(1, run.name):
        return

    def at(count: Callable[[int], int]) -> Callable[[], Found]:
        def changed(options: dict[str, Any], step: int, name: str) -> dict[str, Any]:
            return {**options, **run.momenta(count(step), name)}

        return of_rule(run, run.rule(), options=changed)

    look_at = "the momentum that the schedule moves against the rate"
    says = "the schedule moves the rate, and the momentum stays what it was at the start"
    yield Trial("other scheduled momentum", says, look_at, at(lambda step: 1), 2)
    says = "the momentum is still that of the step before"
    yield Trial("other scheduled momentum", says, look_at, at(lambda step: step - 1), 2)


def _factors(run: Run) -> Iterator[Trial]:
    """A factor on the learning rate."""
    look_at = "the factor of the update: the learning rate"
    says = "the learning rate is multiplied in twice"
    found = _with_rate(run, lambda rate, step, group: rate * rate)
    yield Trial("other learning rate", says, look_at, found, 3)
    found = _with_rate(run, lambda rate, step, group: 1.0)
    yield Trial("other learning rate", "the learning rate is left out", look_at, found, 3)
    factor = _rate_factor(run)
    if factor is not None:
        says = f"the step is {equals(factor, counts_of(run.evidence), 1e-6)} times as long as it should be"
        found = _with_rate(run, lambda rate, step, group: rate * factor)
        yield Trial("other learning rate", says, look_at, found, 4, 1)


def _rate_factor(run: Run) -> float | None:
    at = run.evidence.checkpoint._replace(phase="update", output="", call=0)
    pair, right = run.evidence.pairs.get(at), run.right(run.name).get(at)
    if pair is None or right is None or pair.actual.size < 2:
        return None
    size = float(np.vdot(right, right))
    factor = float(np.vdot(right, pair.actual)) / size if size else 0.0
    return factor if factor > 0 and np.isfinite(factor) else None
