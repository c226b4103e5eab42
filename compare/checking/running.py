"""Checks run one after the other; what goes wrong in one is the outcome of that one, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutine
from typing import Any

from compare.calls.arrays import describe
from compare.calls.running import raised_at
from compare.checking.defaults import Session
from compare.checking.loading import Check, start_generators
from compare.checking.source import Source
from compare.report.report import Report
from compare.verdict import Coverage, Outcome, Verdict

__all__ = ["Found", "run"]


@dataclass(frozen=True)
class Found:
    """One pair of a check: its name, its report, and where the code under test stands."""

    name: str
    report: Report
    source: Source | None


def run(
    checks: Sequence[Check],
    session: Session,
    *,
    fail_fast: bool = False,
    on_check: Callable[[Check], None] = lambda check: None,
) -> tuple[list[Found], list[str]]:
    """Run checks with the options of a session, each with the global generators at the same place.

    Returns
    -------
    found : list of Found
        One for each report, in order.
    left_out : list of str
        The names of the checks that were not run, because ``fail_fast`` ended it at one that is not equivalent.
    """
    found: list[Found] = []
    for number, check in enumerate(checks):
        on_check(check)
        start_generators(session.defaults.seed or 0)
        with session():
            reports = _reports(check, session)
        several = len(reports) > 1
        for position, (key, report) in enumerate(reports, 1):
            name = f"{check.name}[{key or position}]" if several or key else check.name
            found.append(Found(name, report, session.source(report) or check.source))
        if fail_fast and any(report.outcome != "equivalent" for _, report in reports):
            return found, [one.name for one in checks[number + 1 :]]
    return found, []


def _reports(check: Check, session: Session) -> list[tuple[str, Report]]:
    """A check's reports, each with its key if it gave one."""
    before = len(session.made)
    found: list[tuple[str, Report]] = []
    try:
        result = check.function()
        for key, item in _items(result):
            if not isinstance(item, Report):
                raise _NoReportError(_no_report(check, result, item, len(session.made) - before))
            found.append((key, item))
        if not found:
            raise _NoReportError(_no_report(check, result, result, len(session.made) - before))
    except _NoReportError as error:
        found.append(("", _failure(check, str(error), None)))
    except (Exception, SystemExit) as error:
        report = session.made[-1][0] if len(session.made) > before else None
        if isinstance(error, AssertionError) and report is not None and str(error) == str(report):
            found.append(("", report))  # raised by its assert_equivalent()
        else:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            found.append(("", _failure(check, f"{check.name} raised {said}{raised_at(error)}", error)))
    return found


class _NoReportError(Exception):
    """A check did not do what a check does; the message says what."""


def _items(result: Any) -> Iterator[tuple[str, Any]]:
    """What a check returned or yields, one by one."""
    if isinstance(result, Mapping):
        yield from ((str(key), item) for key, item in result.items())
    elif isinstance(result, Iterable) and not isinstance(result, (str, bytes)):
        yield from (("", item) for item in result)
    elif result is not None:
        if iscoroutine(result):
            result.close()
        yield "", result


def _no_report(check: Check, result: Any, item: Any, made: int) -> str:
    if result is None and made:
        return f"{check.name} compares, but returns nothing; write `return compare. ...` (or `yield`, for several)"
    what = describe(item) if item is result else f"{describe(item)} among others"
    if item is result and item is not None and not isinstance(item, str) and isinstance(item, Iterable):
        what = f"an empty {type(item).__name__}"
        if type(item).__name__ == "generator":
            return f"{check.name} yielded no report"
    return f"{check.name} returned {what}, no report; return what compare.gradients or another call of compare returns"


def _failure(check: Check, reason: str, error: BaseException | None) -> Report:
    return Report(Verdict(Outcome.ERROR, reason, Coverage(), error=error), check.name)
