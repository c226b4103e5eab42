"""``gradlock check``: the pairs that a user's file defines."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import click

from compare.output import (
    Refused,
    annotate,
    annotations_option,
    check_annotations,
    check_writable,
    keeping_histories,
    report_options,
    say,
    show_errors,
    taken,
    write_reports,
)

__all__ = ["check"]


@click.command()
@click.argument("file", metavar="FILE.py", type=click.Path(path_type=Path))
@click.option("--match", metavar="GLOB", help="Only the checks whose name matches, such as 'ridge*'.")
@click.option("--dtype", type=click.Choice(["float64", "float32"]), help="Cast inputs and modules to it.")
@click.option("--steps", type=click.IntRange(1, 1_000_000), help="Steps of every optimizer and training.")
@click.option("--tolerance", type=click.Choice(["measured", "fixed"]), help="How far is honest; see the README.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of what calls and checks draw.")
@click.option("--fail-fast", is_flag=True, help="Stop after the first check that is not equivalent.")
@click.option("--watch", is_flag=True, help="Run again whenever the file, or a file that it imports, is saved.")
@report_options
@annotations_option
@click.option("--quiet", is_flag=True, help="Print nothing if all is equivalent, else only what is not.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def check(context: click.Context, file: Path, watch: bool, **options: Any) -> int:
    """Run your own pairs, defined in a file.

    They are its functions named check_*. Each takes no arguments and returns what a call of compare returns, or several
    of them, or yields them:

    \b
        def check_ridge():
            return compare.gradients(ridge, ridge_torch, inputs)

    Options that a call in the file gives itself win over those given here. `gradlock new NAME` writes a file to start
    from.

    Exit codes: 0 all equivalent, 1 a divergence, 2 wrong usage or unreadable input, 3 abstained, 4 a side or a check
    raised, 130 the end of --watch.
    """
    if watch:
        return _watch(context, file, options)
    return _check(file, **options)


def _check(
    file: Path,
    *,
    match: str | None,
    dtype: str | None,
    steps: int | None,
    tolerance: str | None,
    seed: int | None,
    fail_fast: bool,
    annotations: str | None,
    quiet: bool,
    debug: bool,
    **places: str | None,
) -> int:
    reports = taken(places)
    check_writable(**reports)
    check_annotations(annotations, reports)
    from compare.batches import InputError
    from compare.checking.loading import checks_in, load, matching, read
    from compare.threads import thread_count, threads

    on_stdout = "-" in reports.values()
    try:
        read(file)  # what is no Python is refused before PyTorch is imported
        count = thread_count()
        # what the file prints goes beside a report, not into it
        with redirect_stdout(sys.stderr) if on_stdout else nullcontext():
            checks = checks_in(load(file, seed or 0), file)
            checks = checks if match is None else matching(checks, match)
            from compare.checking.defaults import Defaults, Session
            from compare.checking.record import gathered, named
            from compare.checking.running import run
            from compare.checking.text import checks_text

            session = Session(Defaults(dtype, steps, tolerance, seed))
            session.effective.add("seed")  # the checks' own random numbers start from it in any case
            with threads(count), keeping_histories(reports):
                found, left_out = run(checks, session, fail_fast=fail_fast)
    except InputError as error:
        raise Refused(str(error)) from error
    if debug:
        show_errors([one.report.verdict.error for one in found])
    experiments = [named(one.report, one.name, one.source, Path.cwd()) for one in found]
    record = gathered(experiments, threads=count, defaults=session.defaults, fail_fast=fail_fast)
    if not on_stdout and not (quiet and record["exit_code"] == 0):
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        say(checks_text(record, coloured=coloured, quiet=quiet, left_out=left_out))
    write_reports(record, reports)
    annotate(record, annotations)
    idle = session.without_effect()
    if idle and not left_out and all(one.report.outcome != "error" for one in found):
        what = "it" if len(idle) == 1 else "them"
        raise Refused(f"{' and '.join(idle)} had no effect: no call in {file} leaves {what} open; leave {what} out")
    return int(record["exit_code"])


def _watch(context: click.Context, file: Path, options: dict[str, Any]) -> int:
    from compare.batches import InputError
    from compare.checking.watching import in_a_fresh_process, watch

    if "-" in taken(dict(options)).values():
        raise Refused("--watch runs again and again; give its reports a file, not standard output")
    if not file.is_file():
        from compare.checking.loading import read

        try:
            read(file)
        except InputError as error:
            raise Refused(str(error)) from error
    arguments = _arguments(context)
    watch(file, lambda: in_a_fresh_process(arguments), lambda text: click.echo(text, err=True))
    return 130


def _arguments(context: click.Context) -> list[str]:
    """The command line of one run: every option as it was given, but for ``--watch``."""
    given: list[str] = ["check"]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name == "watch" or value is None or value is False:
            continue
        if isinstance(parameter, click.Argument):
            continue
        given += [parameter.opts[0]] if value is True else [f"{parameter.opts[0]}={value}"]
    return [*given, "--", str(context.params["file"])]
