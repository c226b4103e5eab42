"""Run many cases, on one core or several, for a while or to the end, and keep what each came to."""

from __future__ import annotations

import math
import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from compare.batches import InputError
from compare.fuzz.case import Case
from compare.fuzz.generate import case as drawn
from compare.verdict import Outcome, Verdict

__all__ = ["Finding", "campaign", "examined", "judged"]

_AT_ONCE = 8  # cases that a worker is given at a time: enough to make the handing over cheap
_WORKER = ExitStack()  # what a worker process holds as long as it lives


@dataclass(frozen=True)
class Finding:
    """What one case came to.

    Attributes
    ----------
    number : which case of the campaign; -1 for one that is given as it is
    outcome, reason : of the verdict
    seconds : float
    phase, culprit, where : of the first divergence; empty without one
    raised : the exception that a side, or the making of the sides, raised, without its numbers; empty without one
    noise : the largest disagreement in multiples of the measured noise floor; ``None`` under another tolerance
    nonfinite : whether both sides met infinities or not-a-numbers, and agreed on them
    """

    number: int
    outcome: str
    reason: str
    seconds: float
    phase: str = ""
    culprit: str = ""
    where: str = ""
    raised: str = ""
    noise: float | None = None
    nonfinite: bool = False

    @property
    def is_alarm(self) -> bool:
        """Whether an honest experiment was called wrong."""
        return self.outcome == Outcome.DIVERGED

    @property
    def failed(self) -> bool:
        return self.outcome in (Outcome.DIVERGED, Outcome.ERROR)

    @property
    def signature(self) -> tuple[str, str]:
        """What a smaller case must have in common to be the same failure."""
        return self.outcome, self.raised or self.phase

    def as_dict(self) -> dict[str, Any]:
        """The finding for JSON, which has no infinity."""
        noise = self.noise if self.noise is None or math.isfinite(self.noise) else str(self.noise)
        return {**asdict(self), "noise": noise}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """The finding that :meth:`as_dict` wrote."""
        noise = values["noise"]
        return cls(**{**values, "noise": noise if noise is None else float(noise)})


def examined(case: Case, number: int = -1, *, diagnose: bool = False) -> tuple[Finding, Verdict | None]:
    """Walk a case's two sides under the default tolerance, and keep what came of it; never raises.

    Parameters
    ----------
    case : Case
    number : which case of its campaign
    diagnose : whether to look for the cause of a divergence

    Returns
    -------
    The finding, and the verdict, which is ``None`` where there was nothing to walk.
    """
    from compare.fuzz.build import pair
    from compare.lockstep import lockstep

    start = time.perf_counter()
    try:
        actual, expected, steps = pair(case)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of overflow, in the cases that are drawn to overflow
            verdict = lockstep(actual, expected, steps, sync=case.sync, diagnose=diagnose)
    except Exception as error:
        reason = f"the case could not be run: {type(error).__name__}: {error}"
        return Finding(number, str(Outcome.ERROR), reason, time.perf_counter() - start, raised=_kind(error)), None
    first = verdict.first_divergence
    finding = Finding(
        number,
        str(verdict.outcome),
        verdict.reason,
        time.perf_counter() - start,
        phase="" if first is None else first.checkpoint.phase,
        culprit="" if first is None else first.culprit,
        where="" if first is None else first.where,
        raised="" if verdict.error is None else _kind(verdict.error),
        noise=verdict.worst_error if verdict.tolerance == "measured" else None,
        nonfinite=any(phase.nonfinite for phase in verdict.coverage.phases.values()),
    )
    return finding, verdict


def judged(case: Case, number: int = -1) -> Finding:
    """What a case comes to."""
    return examined(case, number)[0]


def _kind(error: BaseException) -> str:
    return type(error).__name__ + ": " + "".join(letter for letter in str(error) if not letter.isdigit())


def campaign(
    seed: int,
    numbers: Sequence[int],
    *,
    jobs: int = 1,
    minutes: float | None = None,
    on_finding: Callable[[Finding], None],
) -> None:
    """Run the cases of these numbers, each with one thread; those begun when the time is over are finished.

    Parameters
    ----------
    seed : the campaign's
    numbers : which cases
    jobs : processes; with one, the cases run in this process
    minutes : begin no case after so long, but always the first
    on_finding : called in this process with what each case came to, in the order of their ends

    Raises
    ------
    InputError
        If a worker process dies, with the numbers of the cases that it may have been running.
    """
    end = None if minutes is None else time.monotonic() + 60 * minutes
    if jobs == 1:
        from compare.threads import threads

        with threads(1):
            for position, number in enumerate(numbers):
                if position and end is not None and time.monotonic() > end:
                    return
                on_finding(judged(drawn(seed, number), number))
        return
    _in_processes(seed, iter(numbers), jobs, end, on_finding)


def _in_processes(
    seed: int, numbers: Iterator[int], jobs: int, end: float | None, on_finding: Callable[[Finding], None]
) -> None:
    running: dict[Future[list[Finding]], tuple[int, ...]] = {}
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads of BLAS may hang
    with ProcessPoolExecutor(jobs, spawn, initializer=_limit_threads) as pool:

        def submit() -> None:
            some = tuple(islice(numbers, _AT_ONCE))
            if some:
                running[pool.submit(_judged_all, seed, some)] = some

        for _ in range(2 * jobs):
            submit()
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                try:
                    findings = future.result()
                except BrokenProcessPool as error:
                    lost = sorted(number for some in running.values() for number in some)
                    raise InputError(
                        f"a worker process died in one of the cases {', '.join(map(str, lost))}; "
                        "run them with --jobs 1, or resume with fewer jobs if memory was short"
                    ) from error
                del running[future]
                for finding in findings:
                    on_finding(finding)
                if end is None or time.monotonic() < end:
                    submit()
                else:
                    running = {waiting: some for waiting, some in running.items() if not waiting.cancel()}


def _limit_threads() -> None:
    """One thread for each pool of a worker, as long as it lives."""
    from compare.threads import threads

    _WORKER.enter_context(threads(1))


def _judged_all(seed: int, numbers: tuple[int, ...]) -> list[Finding]:
    return [judged(drawn(seed, number), number) for number in numbers]
