"""``gradlock fuzz``: random experiments in which nothing is wrong."""

from __future__ import annotations

import sys

import click

from compare.output import Refused, check_writable, say, write

__all__ = ["fuzz"]


@click.command()
@click.option("--cases", type=click.IntRange(1, 10_000_000), default=1000, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Begin no case after so long.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
@click.option("--resume", metavar="FILE", help="Keep what was found in FILE, and go on from there.")
@click.option("--case", "number", type=click.IntRange(0), help="Run this case of the seed alone.")
@click.option("--replay", metavar="LINE", help="Run the case that this line describes.")
@click.option("--json", "json_path", metavar="FILE", help="Write a JSON report; - is standard output.")
@click.option("--quiet", is_flag=True, help="Print nothing if no case fails.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def fuzz(
    context: click.Context,
    cases: int,
    seed: int,
    minutes: float | None,
    jobs: int,
    resume: str | None,
    number: int | None,
    replay: str | None,
    json_path: str | None,
    quiet: bool,
    debug: bool,
) -> int:
    """Run random experiments in which nothing is wrong; any divergence is a false alarm.

    Exit codes: 0 no false alarm, 1 a false alarm, 2 wrong usage, 3 no case had a verdict, 4 a side raised.
    """
    single = "--case" if number is not None else "--replay" if replay is not None else None
    if number is not None and replay is not None:
        raise Refused("give --case or --replay, not both")
    for name in ("cases", "minutes", "jobs", "resume", *(["seed"] if replay is not None else [])):
        if single and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise Refused(f"--{name} is for a campaign; {single} runs one case")
    check_writable(json_path)
    import json

    from compare.batches import InputError
    from compare.fuzz import command
    from compare.fuzz.case import Case
    from compare.fuzz.generate import case

    try:
        if single:
            chosen = Case.parse(replay) if replay is not None else case(seed, number or 0)
            text, record, code = command.one_case(chosen)
        else:
            progress = sys.stderr.isatty()
            summary = command.run(cases, seed, jobs=jobs, minutes=minutes, resume=resume, progress=progress)
            text, record, code = command.text(summary), command.record(summary), summary.exit_code
    except InputError as error:
        raise Refused(str(error)) from error
    if json_path != "-" and not (quiet and code == 0):
        say(text)
    write(json_path, json.dumps(record, indent=2) + "\n")
    return code
