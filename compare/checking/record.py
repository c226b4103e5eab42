"""Reports of calls under names of the user's own, as the record of one run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare.report.records import calls_record
from compare.verdict import Outcome, exit_code

if TYPE_CHECKING:
    from compare.checking.defaults import Defaults
    from compare.checking.source import Source
    from compare.report.report import Report

__all__ = ["gathered", "named"]

_WORDS = {0: "equivalent", 1: "diverged", 3: "abstained", 4: "error"}


def named(report: Report, name: str, source: Source | None, folder: Path) -> dict[str, Any]:
    """One report as the record of an experiment of this name, with the place of the code that it is about.

    A file in the folder is named relative to it.
    """
    (experiment,) = calls_record([report], threads=1)["experiments"]
    return {**experiment, "name": name, **({"source": source.record(folder)} if source else {})}


def gathered(
    experiments: Sequence[dict[str, Any]], *, threads: int, defaults: Defaults, fail_fast: bool = False
) -> dict[str, Any]:
    """The record of a run that consists of these."""
    record = calls_record([], threads=threads, seed=defaults.seed or 0)
    code = exit_code([Outcome(one["outcome"]) for one in experiments])
    scenarios = [scenario for one in experiments for scenario in one["scenarios"]]
    record["setting"] |= {
        "dtype": defaults.dtype or _narrowest(one["dtype"] for one in experiments),
        "steps": defaults.steps,
        "fail_fast": fail_fast,
        "tolerance": defaults.tolerance
        or ("fixed" if any(one["tolerance"] == "fixed" and one["checkpoints"] for one in scenarios) else "measured"),
    }
    return {**record, "outcome": _WORDS[code], "exit_code": code, "experiments": list(experiments)}


def _narrowest(dtypes: Iterable[str]) -> str:
    return min(dtypes, default="float64")
