"""``gradlock fuzz``: a campaign or a single case, what it prints and its exit code."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from compare import __version__
from compare.fuzz.campaign import Finding, campaign, examined
from compare.fuzz.case import Case
from compare.fuzz.corners import count
from compare.fuzz.generate import case as drawn
from compare.fuzz.shrink import shrink
from compare.fuzz.state import StateFile
from compare.threads import threads
from compare.verdict import Outcome, Verdict, exit_code

__all__ = ["Summary", "one_case", "record", "run", "text"]

SCHEMA_VERSION = 1
_SHRUNK = 10  # failures that are made small; a campaign with more has one cause for many of them
_SECONDS = 300.0  # for all of them together


@dataclass
class Summary:
    """What a campaign came to.

    Attributes
    ----------
    seed, asked, jobs : as asked for
    seconds : of this run
    resumed : how many of the findings are from earlier runs
    findings : in the order of their numbers
    shrunk : the smallest case found, by the number of what failed
    """

    seed: int
    asked: int
    jobs: int
    seconds: float = 0.0
    resumed: int = 0
    findings: list[Finding] = field(default_factory=list)
    shrunk: dict[int, Case] = field(default_factory=dict)

    @property
    def failures(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.failed]

    @property
    def outcomes(self) -> dict[str, int]:
        found = Counter(finding.outcome for finding in self.findings)
        return {str(outcome): found[outcome] for outcome in Outcome if found[outcome]}

    @property
    def exit_code(self) -> int:
        """4 if a side raised, else 1 for a false alarm, else 3 if no case at all had a verdict, else 0."""
        outcomes = self.outcomes
        if Outcome.ERROR in outcomes:
            return 4
        if Outcome.DIVERGED in outcomes:
            return 1
        return 0 if Outcome.EQUIVALENT in outcomes else 3


def run(
    cases: int,
    seed: int,
    *,
    jobs: int = 1,
    minutes: float | None = None,
    resume: str | None = None,
    progress: bool = False,
) -> Summary:
    """Run a campaign, and make small what failed.

    Parameters
    ----------
    cases : the numbers 0 to this
    seed : the campaign's
    jobs, minutes : see :func:`compare.fuzz.campaign.campaign`
    resume : a file that keeps what was found; cases that it knows are not run again
    progress : show a bar on standard error

    Raises
    ------
    InputError
        If the file cannot be used, or a worker process dies.
    """
    summary = Summary(seed, cases, jobs)
    state = None if resume is None else StateFile(resume, seed)
    earlier = {} if state is None else {n: found for n, found in state.earlier.items() if n < cases}
    found = list(earlier.values())
    summary.resumed = len(found)
    start = time.perf_counter()
    try:
        with tqdm(total=cases, initial=len(found), unit="case", leave=False, disable=not progress) as bar:
            failures = sum(finding.failed for finding in found)

            def on_finding(finding: Finding) -> None:
                nonlocal failures
                found.append(finding)
                if state is not None:
                    state.add(finding)
                failures += finding.failed
                bar.set_postfix(failed=failures, refresh=False)
                bar.update()

            numbers = [number for number in range(cases) if number not in earlier]
            campaign(seed, numbers, jobs=jobs, minutes=minutes, on_finding=on_finding)
    finally:
        if state is not None:
            state.close()
    summary.seconds = time.perf_counter() - start
    summary.findings = sorted(found, key=lambda finding: finding.number)
    summary.shrunk = _shrunk(seed, summary.failures, progress)
    return summary


def _shrunk(seed: int, failures: Sequence[Finding], progress: bool) -> dict[int, Case]:
    some = failures[:_SHRUNK]
    with threads(1), tqdm(some, "shrinking", unit="case", leave=False, disable=not progress) as bar:
        return {f.number: shrink(drawn(seed, f.number), f, seconds=_SECONDS / len(some)) for f in bar}


# -- what is said ------------------------------------------------------------------------------------------------------


def text(summary: Summary) -> str:
    """The campaign in words and tables."""
    findings = summary.findings
    number = len(findings)
    fresh = number - summary.resumed
    pace = f", {summary.seconds / fresh:.3f} s a case" if fresh else ""
    earlier = f" ({summary.resumed} of them earlier)" if summary.resumed else ""
    cases = f"{number} of {summary.asked} cases{earlier}"
    taken = f"{summary.seconds:.1f} s{pace}, {_many(summary.jobs, 'job')}"
    parts = [f"fuzz: seed {summary.seed}, {cases} in {taken}"]
    rows = [[outcome, many, f"{100 * many / number:.1f} %"] for outcome, many in summary.outcomes.items()]
    parts.append(
        tabulate(rows, ["outcome", "cases", "share"], disable_numparse=True, colalign=("left", *["right"] * 2))
    )
    parts.append("\n".join(_notes(summary)))
    reasons = _reasons(findings)
    if reasons:
        parts.append(tabulate(reasons.items(), ["why no verdict", "cases"]))
    parts += [_failure(summary, finding) for finding in summary.failures[:_SHRUNK]]
    left = len(summary.failures) - _SHRUNK
    if left > 0:
        numbers = ", ".join(str(finding.number) for finding in summary.failures[_SHRUNK:])
        parts.append(f"{left} more failed, cases {numbers}: gradlock fuzz --seed {summary.seed} --case NUMBER")
    parts.append(_last_line(summary))
    return "\n\n".join(parts) + "\n"


def _notes(summary: Summary) -> list[str]:
    findings = summary.findings
    worst = _worst(findings)
    lines = []
    if worst is not None:
        lines.append(f"largest disagreement: {worst.noise:.2g} noise floors, in case {worst.number}")
    corners = count(drawn(summary.seed, finding.number) for finding in findings)
    missing = [name for name, many in corners.items() if not many]
    met = f"corners met: {len(corners) - len(missing)} of {len(corners)}"
    lines.append(f"{met}; not yet: {', '.join(missing)}" if missing else met)
    nonfinite = sum(finding.nonfinite for finding in findings)
    if nonfinite:
        lines.append(f"cases in which both sides overflowed alike: {nonfinite}")
    return lines


def _worst(findings: Iterable[Finding]) -> Finding | None:
    """The finding that disagrees most, in multiples of the noise floor."""
    measured = [finding for finding in findings if finding.noise is not None]
    return max(measured, key=lambda finding: finding.noise or 0.0, default=None)


def _reasons(findings: Iterable[Finding]) -> dict[str, int]:
    """Why cases abstained, numbers aside, the most frequent first."""
    found = Counter(re.sub(r"\d+", "#", finding.reason) for finding in findings if finding.outcome == Outcome.ABSTAINED)
    return dict(found.most_common())


def _failure(summary: Summary, finding: Finding) -> str:
    lines = [
        f"case {finding.number}: {finding.outcome}. {finding.reason}",
        f"  reproduce  gradlock fuzz --seed {summary.seed} --case {finding.number}",
    ]
    smallest = summary.shrunk.get(finding.number)
    if smallest is not None:
        lines.append(f"  smaller    {smallest.command}")
    return "\n".join(lines)


def _last_line(summary: Summary) -> str:
    alarms = sum(finding.is_alarm for finding in summary.findings)
    errors = len(summary.failures) - alarms
    said = f"{_many(alarms, 'false alarm')} in {_many(len(summary.findings), 'honest experiment')}"
    if errors:
        said += f", {_many(errors, 'error')}"
    return f"{said}. Exit code {summary.exit_code}."


def _many(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def record(summary: Summary) -> dict[str, Any]:
    """The campaign for JSON."""
    from importlib.metadata import version

    findings = summary.findings
    worst = _worst(findings)
    return {
        "schema_version": SCHEMA_VERSION,
        "environment": {
            "gradlock": __version__,
            "python": sys.version.split()[0],
            "numpy": np.__version__,
            "torch": version("torch"),
        },
        "seed": summary.seed,
        "asked": summary.asked,
        "jobs": summary.jobs,
        "cases": len(findings),
        "resumed": summary.resumed,
        "seconds": round(summary.seconds, 3),
        "outcomes": summary.outcomes,
        "exit_code": summary.exit_code,
        "nonfinite": sum(finding.nonfinite for finding in findings),
        "worst_noise": None if worst is None else worst.as_dict()["noise"],
        "abstained": _reasons(findings),
        "corners": count(drawn(summary.seed, finding.number) for finding in findings),
        "failures": [
            {
                **finding.as_dict(),
                "case": drawn(summary.seed, finding.number).text,
                "shrunk": summary.shrunk[finding.number].text if finding.number in summary.shrunk else None,
            }
            for finding in summary.failures
        ],
    }


def one_case(case: Case) -> tuple[str, dict[str, Any], int]:
    """Run a single case; what is said of it, its record for JSON, and the exit code."""
    with threads(1):
        finding, verdict = examined(case, diagnose=True)
    code = exit_code([Outcome(finding.outcome)])
    lines = [
        f"{finding.outcome}{'. ' if finding.reason else ''}{finding.reason}",
        *([] if verdict is None else _details(verdict)),
        f"  reproduce  {case.command}",
        f"Exit code {code}.",
    ]
    found = {"schema_version": SCHEMA_VERSION, "case": case.as_dict(), "text": case.text, **finding.as_dict()}
    return "\n".join(lines) + "\n", {**found, "exit_code": code}, code


def _details(verdict: Verdict) -> list[str]:
    first = verdict.first_divergence
    if first is None:
        return []
    difference, judgement = first.difference, first.judgement
    lines = [
        f"  actual     {difference.actual_at!r} at {difference.max_abs_index}",
        f"  expected   {difference.expected_at!r}",
    ]
    noise = "" if judgement.noise_multiple is None else f"; {judgement.noise_multiple:.3g} noise floors"
    lines.append(f"  error      {judgement.error:.3g} of {judgement.scale:.3g}, allowed {judgement.allowed:.3g}{noise}")
    lines += [
        f"  cause      {cause.cause} (residual {cause.residual:.2g}): {cause.explanation}" for cause in verdict.causes
    ]
    return lines
