"""A run of checks on a terminal: one row a pair, then the report of each that is not equivalent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from compare.report.terminal import (
    SIGNS,
    UNITS,
    coverage_lines,
    divergence_lines,
    extent,
    last_line,
    phase_table,
    say,
    where,
)

__all__ = ["checks_text"]


def checks_text(
    record: dict[str, Any], *, coloured: bool = False, quiet: bool = False, left_out: Sequence[str] = ()
) -> str:
    """The record of a run of checks.

    Parameters
    ----------
    record : see :func:`compare.checking.record.gathered`
    coloured, quiet : whether to use colours, and to leave out what is equivalent
    left_out : the names of the checks that were not run
    """
    shown = [one for one in record["experiments"] if not quiet or one["outcome"] != "equivalent"]
    rows = [
        [
            one["name"],
            _title(one),
            say(one["outcome"], SIGNS[one["outcome"]], coloured),
            one["dtype"],
            one["checkpoints"] or "",
            extent(one["worst"]) if one["checkpoints"] else "",
            where(one["worst"]["at"]) if one["worst"] else "",
        ]
        for one in shown
    ]
    headers = ["check", "compares", "outcome", "dtype", "checkpoints", "worst", "at"]
    align = ("left", "left", "left", "left", "right", "right", "left")
    parts = [tabulate(rows, headers, disable_numparse=True, colalign=align)]
    parts.append(f"worst: the largest disagreement, {UNITS[record['setting']['tolerance']]}.")
    parts += [_report(one, coloured) for one in shown if one["outcome"] != "equivalent"]
    if left_out:
        parts.append(f"not run, because of --fail-fast: {', '.join(left_out)}")
    parts.append(last_line(record, coloured))
    return "\n\n".join(parts) + "\n"


def _title(one: dict[str, Any]) -> str:
    """What is compared; a check that raised compared nothing."""
    title = str(one["scenarios"][0]["name"])
    return "" if title == one["name"].partition("[")[0] else title


def _report(one: dict[str, Any], coloured: bool) -> str:
    title = _title(one)
    source = f" ({one['source']['file']} line {one['source']['line']})" if "source" in one else ""
    head = f"{one['name']}{source}: {say(one['outcome'], SIGNS[one['outcome']], coloured)}"
    parts = ["\n".join([head, *([f"  {title}"] if title else []), f"  {one['reason']}"])]
    parts += ["\n".join(divergence_lines(one["scenarios"][0], coloured))]
    parts += [phase_table(one["coverage"])] if one["coverage"]["phases"] else []
    parts += ["\n".join(coverage_lines(one["coverage"]))]
    return "\n\n".join(part for part in parts if part)
