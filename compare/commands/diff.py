"""``gradlock diff``: two traces against each other."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from compare.output import Refused, check_writable, report_options, say, show_errors, taken, write_reports

__all__ = ["diff"]


@click.command()
@click.argument("actual", metavar="ACTUAL")
@click.argument("expected", metavar="EXPECTED")
@click.option("--names", "names_path", metavar="FILE.json", help="The actual trace's names in terms of the other's.")
@click.option("--tolerance", type=click.Choice(["measured", "fixed"]), default="measured", show_default=True)
@report_options
@click.option("--quiet", is_flag=True, help="Print nothing if the traces are equivalent.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def diff(
    actual: str,
    expected: str,
    names_path: str | None,
    tolerance: str,
    quiet: bool,
    debug: bool,
    **places: Any,
) -> int:
    """Compare two traces, checkpoint by checkpoint, in one pass over both.

    ACTUAL and EXPECTED are folders that `gradlock record`, compare.TraceWriter or a program of any language wrote;
    docs/trace-format.md says how. FILE.json maps names: {"W1": "hidden.weight"}, patterns with one *, and for another
    layout {"W1": ["hidden.weight", [1, 0]]}.

    Exit codes: 0 equivalent, 1 diverged, 2 a trace cannot be read, 3 one ends before the other.
    """
    reports = taken(places)
    check_writable(**reports)
    names = None if names_path is None else _names(names_path)
    from compare.batches import InputError
    from compare.report.records import calls_record
    from compare.threads import thread_count
    from compare.tracing.traces import traces

    try:
        count = thread_count()
        report = traces(actual, expected, names=names, tolerance=tolerance)
    except InputError as error:
        raise Refused(str(error)) from error
    except MemoryError as error:
        raise Refused(f"{actual} and {expected}: a tensor does not fit into memory") from error
    if debug:
        show_errors([report.verdict.error])
    record = calls_record([report], threads=count)
    if "-" not in reports.values() and not (quiet and record["exit_code"] == 0):
        from compare.report.terminal import details

        say(details(record, coloured=sys.stdout.isatty() and not os.environ.get("NO_COLOR")))
    write_reports(record, reports)
    return int(record["exit_code"])


def _names(path: str) -> dict[str, Any]:
    """A map of names from a file."""
    from pathlib import Path

    from compare.batches import InputError
    from compare.tracing.tensors import small_json

    try:
        with Path(path).open("rb") as file:
            found = small_json(file.read(1 << 20), path)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from error
    except InputError as error:
        raise Refused(str(error)) from error
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
