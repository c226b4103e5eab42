"""``gradlock faults``: plant every known mistake in turn."""

from __future__ import annotations

import os
import sys

import click

from compare.output import Refused, check_writable, say, show_errors, write

__all__ = ["faults"]


@click.command()
@click.option("--match", metavar="GLOB", help="Only faults and controls whose name matches, such as 'adam-*'.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes; one for each core where there is much to do.")
@click.option("--json", "json_path", metavar="FILE", help="Write a JSON report; - is standard output.")
@click.option("--quiet", is_flag=True, help="Print nothing if all is as it must be, else only what is not.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def faults(match: str | None, jobs: int | None, json_path: str | None, quiet: bool, debug: bool) -> int:
    """Plant every known mistake in turn: seen, placed, named? Then honest rewrites, which must stay silent.

    Exit codes: 0 all as it must be; 1 a mistake missed, misplaced or named wrongly, fewer than 95 % named rightly, or
    a false alarm; 2 wrong usage.
    """
    check_writable(json_path)
    import json

    from compare.batches import InputError
    from compare.threads import thread_count, threads

    try:
        count = thread_count()
        from compare.faults.command import run_with_progress

        with threads(count):
            found, heard = run_with_progress(match, jobs=jobs)
    except InputError as error:
        raise Refused(str(error)) from error
    from compare.report.faults import faults_record, faults_text

    record = faults_record(found, heard, threads=count)
    if debug:
        show_errors([*(result.verdict.error for result in found), *(result.verdict.error for result in heard)])
    if json_path != "-" and not (quiet and record["exit_code"] == 0):
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        say(faults_text(record, coloured=coloured, quiet=quiet))
    write(json_path, json.dumps(record, indent=2, allow_nan=False) + "\n")
    return int(record["exit_code"])
