"""Shrinking a built-in experiment, or the scene of a fault, with a mistake planted into the manual side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compare.batches import InputError, MicroBatch
from compare.experiment import Setting
from compare.experiments import CATALOGUE
from compare.lockstep import lockstep, walk
from compare.report.report import Report
from compare.shrinking.minimal import Minimal
from compare.shrinking.program import sides_of
from compare.shrinking.reductions import PASSES, described, key_of
from compare.shrinking.search import Search
from compare.shrinking.setup import Setup, UnreadableError, read
from compare.shrinking.signature import Signature, kind_of, signature_of
from compare.shrinking.writing import test_of_setup, test_of_steps
from compare.threads import threads
from compare.tolerance import Fixed
from compare.verdict import Outcome, Verdict

__all__ = ["Failing", "failing_experiment", "shrink_failing"]

Factory = Callable[[], Any]
Steps = Sequence[Sequence[MicroBatch]]
_BEYOND = 2  # steps after the divergence that the diagnosis looks at


@dataclass(frozen=True)
class Failing:
    """A walk that diverges.

    Attributes
    ----------
    name : what it is called, in a few words
    make_actual, make_expected, steps, sync : as lockstep takes them; the mistake is not planted
    fault : the name of the fault that is planted into the actual side; none if it fails without
    source : Python that makes ``actual, expected, steps`` again, as expression, for sides that cannot be read
    imports : the lines of imports that ``source`` needs
    command : how it was asked for
    """

    name: str
    make_actual: Factory
    make_expected: Factory
    steps: Steps
    sync: str = "free"
    fault: str | None = None
    source: str = ""
    imports: tuple[str, ...] = ()
    command: str = ""
    tolerance: str = "measured"

    def planted(self, make: Factory, steps: Steps) -> Factory:
        """The factory with the mistake in it."""
        if self.fault is None:
            return make
        from compare.faults.catalogue import FAULTS
        from compare.faults.planting import planted

        return planted(make, FAULTS[self.fault].plant, steps)


def failing_experiment(
    name: str, setting: Setting, fault: str | None, scenario: str | None, command: str = "", tolerance: str = "measured"
) -> Failing:
    """The first scenario of a built-in experiment that diverges.

    Parameters
    ----------
    name : of the experiment
    setting : what is not as the experiment has it
    fault : the mistake that is planted, or ``None``
    scenario : only this one

    Raises
    ------
    InputError
        If there is no such scenario, or none diverges.
    """
    scenarios = CATALOGUE[name].build(setting).scenarios
    names = [one.name for one in scenarios]
    if scenario is not None and scenario not in names:
        raise InputError(f"{name} has no scenario {scenario!r}; it has {', '.join(map(repr, names))}")
    whys = []
    for number, one in enumerate(scenarios):
        if scenario not in (None, one.name):
            continue
        failing = Failing(
            f"{name}, {one.name}" + (f", {fault} planted" if fault else ""),
            one.actual,
            one.expected,
            one.steps,
            sync=setting.sync or one.sync,
            fault=fault,
            source=f'scenario = CATALOGUE["{name}"].build({setting!r}).scenarios[{number}]\n'
            "actual, expected = scenario.actual, scenario.expected",
            imports=("from compare.experiment import Setting", "from compare.experiments import CATALOGUE"),
            command=command,
            tolerance=tolerance,
        )
        made = failing.planted(one.actual, one.steps)()
        found = walk(made, one.expected(), one.steps, sync=failing.sync, fail_fast=True)
        if found.outcome is Outcome.DIVERGED:
            return failing
        whys.append(_why_not(found))
    planted = f" with {fault} planted" if fault else ""
    hint = "" if fault else "; plant a mistake with --fault"
    raise InputError(f"{name}{planted}: {'; '.join(dict.fromkeys(whys))}; only what diverges can be made small{hint}")


def shrink_failing(
    failing: Failing, *, seconds: float = 60.0, on_try: Callable[[int, bool], None] | None = None
) -> Minimal:
    """The smallest case that fails in the same way.

    Parameters
    ----------
    failing : Failing
    seconds : begin no attempt after so long
    on_try : told of each attempt: how many there have been, and whether it was kept

    Raises
    ------
    InputError
        If it does not diverge.
    """
    with threads():  # on a busy machine the pools of NumPy and PyTorch would fight for the cores
        return _shrunk(failing, seconds, on_try)


def _shrunk(failing: Failing, seconds: float, on_try: Callable[[int, bool], None] | None) -> Minimal:
    start = time.monotonic()
    verdict = _verdict(failing, failing.make_actual, failing.make_expected, failing.steps, failing.sync)
    signature = signature_of(verdict)
    if signature is None:
        raise InputError(f"{failing.name}: {_why_not(verdict)}; only what diverges can be made small")
    first = verdict.first_divergence
    assert first is not None
    until = max(1, first.checkpoint.step) + _BEYOND
    notes: tuple[str, ...] = ()
    try:
        setup = read(failing.make_expected, failing.steps, failing.sync)
    except UnreadableError as error:
        setup = None
        notes = (f"only steps and rows were reduced: {error}",)
    judge = _Judge(failing, signature)
    if setup is not None and not judge.keeps(_cut(setup, until)):
        notes = ("only steps and rows were reduced: its chain of layers alone does not fail in the same way",)
        setup = None
    if setup is None:
        return _shrink_steps(failing, signature, verdict, notes, start, seconds, on_try)
    search = Search(judge.keeps, key_of, seconds - (time.monotonic() - start), on_try)
    smallest = search.smallest(_cut(setup, until), PASSES)
    actual, expected, steps = sides_of(smallest)
    final = _verdict(failing, actual, expected, steps, smallest.sync)
    return Minimal(
        Report(final, _title(failing)),
        signature,
        described(setup),
        described(smallest),
        search.tried,
        time.monotonic() - start,
        search.out_of_time,
        notes,
        lambda: test_of_setup(smallest, signature, failing),
    )


def _title(failing: Failing) -> str:
    return f"{failing.name}, made small"


def _why_not(verdict: Verdict) -> str:
    return f"it is {verdict.outcome}" + (f" ({verdict.reason})" if verdict.reason else "")


def _cut(setup: Setup, until: int) -> Setup:
    return replace(setup, steps=setup.steps[:until])


def _verdict(failing: Failing, actual: Factory, expected: Factory, steps: Steps, sync: str) -> Verdict:
    made = failing.planted(actual, steps)
    return lockstep(made, expected, steps, sync=sync, tolerance=failing.tolerance, fail_fast=True)


class _Judge:
    """Says whether a setup fails in the same way.

    The fixed tolerance is asked first: it takes a tenth of the time, and most attempts fail there. Where the failure is
    too small for it, it is not asked.
    """

    def __init__(self, failing: Failing, signature: Signature):
        self.failing = failing
        self.signature = signature
        self._quick: bool | None = None

    def keeps(self, setup: Setup) -> bool:
        try:
            actual, expected, steps = sides_of(setup)
            quick = self._quickly(actual, expected, steps, setup.sync)
            if self._quick and not quick:
                return False
            verdict = _verdict(self.failing, actual, expected, steps, setup.sync)
        except Exception:  # an attempt that cannot be built is none
            return False
        kept = signature_of(verdict) == self.signature
        if self._quick is None and kept:
            self._quick = quick
        return kept

    def _quickly(self, actual: Factory, expected: Factory, steps: Steps, sync: str) -> bool:
        if self._quick is False:
            return True
        made, reference = self.failing.planted(actual, steps)(), expected()
        verdict = walk(made, reference, steps, sync=sync, tolerance=Fixed(_dtype(reference)), fail_fast=True)
        first = verdict.first_divergence
        if verdict.outcome is not Outcome.DIVERGED or first is None:
            return False
        found = (first.checkpoint.phase, kind_of(first.culprit, reference), first.own)
        return found == (self.signature.phase, self.signature.culprit, self.signature.own)


def _dtype(side: Any) -> Any:
    return next(iter(side.parameters.values())).dtype


# -- sides that cannot be read -----------------------------------------------------------------------------------------


def _shrink_steps(
    failing: Failing,
    signature: Signature,
    verdict: Verdict,
    notes: tuple[str, ...],
    start: float,
    seconds: float,
    on_try: Callable[[int, bool], None] | None,
) -> Minimal:
    """Reduce steps, micro-batches and rows of sides that are made by code of their own."""
    from compare.shrinking.batches import PASSES as BATCH_PASSES
    from compare.shrinking.batches import key_of as key_of_batches
    from compare.shrinking.batches import sizes_of

    def keeps(steps: Steps) -> bool:
        try:
            found = _verdict(failing, failing.make_actual, failing.make_expected, steps, failing.sync)
        except Exception:
            return False
        return signature_of(found) == signature

    search = Search(keeps, key_of_batches, seconds - (time.monotonic() - start), on_try)
    smallest = search.smallest(failing.steps, BATCH_PASSES)
    final = _verdict(failing, failing.make_actual, failing.make_expected, smallest, failing.sync)
    return Minimal(
        Report(final, _title(failing)),
        signature,
        sizes_of(failing.steps),
        sizes_of(smallest),
        search.tried,
        time.monotonic() - start,
        search.out_of_time,
        notes,
        lambda: test_of_steps(smallest, signature, failing),
    )
