"""The command line: ``gradlock`` and ``python -m compare``.

Heavy imports wait until a command needs them, so that help and refusals are quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from compare import __version__
from compare.gallery.entry import gallery
from compare.listing import KINDS, listing
from compare.names import NAMES
from compare.output import Refused
from compare.output import check_writable as _check_writable
from compare.output import say as _say
from compare.output import show_errors as _show_errors
from compare.output import write as _write

if TYPE_CHECKING:
    from compare.experiment import ExperimentResult, Setting, Study

__all__ = ["main"]


class Program(click.Group):
    """A group that says what a word is that is none of its commands."""

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        word = arguments[0]
        if word in NAMES:
            raise Refused(f"{word!r} is an experiment, no command; try `gradlock run {word}`")
        if not word.startswith("-"):
            _known("command", word, self.commands)
        return super().resolve_command(context, arguments)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a run."""
    options = [
        click.option("--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True),
        click.option("--steps", type=click.IntRange(1, 1_000_000), help="Steps of each scenario, not its own number."),
        click.option("--micro-batches", type=click.IntRange(min=1), help="Cut each batch into this many."),
        click.option("--optimizer", metavar="NAME", help="Use this torch.optim class at its defaults on both sides."),
        click.option("--sync", type=click.Choice(["free", "step", "module"]), help="How to walk; see the README."),
        click.option("--tolerance", type=click.Choice(["measured", "fixed"]), default="measured", show_default=True),
        click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True),
        click.option("--fault", metavar="NAME", help="Plant this mistake; `gradlock list faults` shows them."),
        click.option("--fail-fast", is_flag=True, help="Stop a walk after the step of its first divergence."),
        click.option("--json", "json_path", metavar="FILE", help="Write a JSON report; - is standard output."),
        click.option(
            "--markdown", "markdown_path", metavar="FILE", help="Write a Markdown report; - is standard output."
        ),
        click.option("--quiet", is_flag=True, help="Print nothing if all is equivalent, else only what is not."),
        click.option("--debug", is_flag=True, help="Show tracebacks."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(cls=Program, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gradlock")
@run_options
@click.pass_context
def cli(context: click.Context, **options: Any) -> int:
    """Prove, checkpoint by checkpoint, that a hand-written training step equals PyTorch's.

    Without a command, every built-in experiment is run.

    Exit codes: 0 all equivalent, 1 a divergence, 2 wrong usage or unreadable input, 3 abstained, 4 a side raised.
    """
    if context.invoked_subcommand is None:
        return execute(list(NAMES), full=False, **options)
    if any(context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE for name in options):
        raise Refused(f"options of a run go after the command: gradlock {context.invoked_subcommand} ... --option")
    return 0


@cli.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everything", is_flag=True, help="Run every built-in experiment.")
@run_options
def run(names: tuple[str, ...], everything: bool, **options: Any) -> int:
    """Run experiments by name, and print each in detail if they are few."""
    if everything and names:
        raise Refused("give names or --all, not both")
    if not everything and not names:
        raise Refused("which experiments? Give names or --all; `gradlock list experiments` shows them")
    for name in names:
        _known("experiment", name, NAMES)
    chosen = list(NAMES) if everything else list(dict.fromkeys(names))
    return execute(chosen, full=not everything and len(chosen) <= 3, **options)


@cli.command(name="list")
@click.argument("kind", required=False)
def list_command(kind: str | None) -> None:
    """List experiments, layers, losses, optimizers, schedulers, faults or causes; all without an argument.

    Layers and losses come with the conventions that they follow where experts disagree, and with how many samples of
    PyTorch's own test database of modules they pass.
    """
    if kind is not None:
        _known("kind", kind, KINDS)
    for one in [kind] if kind else KINDS:
        _say(listing(one, NAMES) + "\n\n")


@cli.command()
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
    _check_writable(json_path)
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
        _say(text)
    _write(json_path, json.dumps(record, indent=2) + "\n")
    return code


@cli.command()
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
    _check_writable(json_path)
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
        _show_errors([*(result.verdict.error for result in found), *(result.verdict.error for result in heard)])
    if json_path != "-" and not (quiet and record["exit_code"] == 0):
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        _say(faults_text(record, coloured=coloured, quiet=quiet))
    _write(json_path, json.dumps(record, indent=2, allow_nan=False) + "\n")
    return int(record["exit_code"])


@cli.command()
@click.argument("kind", default="modules", type=click.Choice(["modules", "optimizers", "schedulers"]))
@click.option("--match", metavar="GLOB", help="Only what has a name that matches, such as 'Conv*', 'Ada*', 'Cosine*'.")
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    type=click.Choice(["float64", "float32"]),
    help="Of modules and optimizers; both by default.",
)
@click.option(
    "--mode", "modes", multiple=True, type=click.Choice(["train", "eval"]), help="Of modules; both by default."
)
@click.option("--no-timing", is_flag=True, help="Do not time the samples of modules against torch.")
@click.option("--json", "json_path", metavar="FILE", help="Write a JSON report; - is standard output.")
@click.option("--quiet", is_flag=True, help="Print nothing if all samples pass.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def conformance(
    kind: str,
    match: str | None,
    dtypes: tuple[str, ...],
    modes: tuple[str, ...],
    no_timing: bool,
    json_path: str | None,
    quiet: bool,
    debug: bool,
) -> int:
    """Run PyTorch's own test databases against the manual wing.

    \b
    modules     every sample of torch.nn: outputs, gradients, buffers
    optimizers  every configuration of torch.optim, 12 steps: each slot and
                parameter after each step, and a state handed over in either
                direction; and how far torch's other kernels lie from its own
                plain loop
    schedulers  those of the database of optimizers, and every class of
                torch.optim.lr_scheduler with more options, 36 epochs: rates,
                momentum and state after each, and resumed in the middle

    Exit codes: 0 every sample passes, 1 one does not, 2 wrong usage or another database.
    """
    for option, given, kinds in (
        ("--dtype", dtypes, ("modules", "optimizers")),
        ("--mode", modes, ("modules",)),
        ("--no-timing", no_timing, ("modules",)),
    ):
        if given and kind not in kinds:
            raise Refused(f"{option} is for {' and '.join(kinds)}; {kind} have none")
    _check_writable(json_path)
    import json

    from compare.batches import InputError
    from compare.threads import thread_count, threads

    progress = False if quiet else None
    try:
        count = thread_count()
        from compare.conformance import command, optim_command

        dtypes = dtypes or ("float64", "float32")
        with threads(count):
            if kind == "modules":
                modes = modes or ("train", "eval")
                results = command.modules(match, dtypes=dtypes, modes=modes, timed=not no_timing, progress=progress)
                found, text = command.record(results), command.text
            else:
                if kind == "optimizers":
                    rows = optim_command.run_optimizers(match, dtypes=dtypes, progress=progress)
                else:
                    rows = optim_command.run_schedulers(match, progress=progress)
                found, text = optim_command.record(kind, rows), optim_command.text
    except InputError as error:
        raise Refused(str(error)) from error
    if json_path != "-" and not (quiet and found["exit_code"] == 0):
        _say(text(found))
    _write(json_path, json.dumps(found, indent=2, allow_nan=False) + "\n")
    return int(found["exit_code"])


cli.add_command(gallery)


def execute(
    names: Sequence[str],
    *,
    full: bool,
    dtype: str,
    steps: int | None,
    micro_batches: int | None,
    optimizer: str | None,
    sync: str | None,
    tolerance: str,
    seed: int,
    fault: str | None,
    fail_fast: bool,
    json_path: str | None,
    markdown_path: str | None,
    quiet: bool,
    debug: bool,
) -> int:
    """Run experiments, print and write the reports; returns the run's exit code."""
    _check_writable(json_path, markdown_path)
    from compare.batches import InputError
    from compare.experiment import Setting

    if optimizer is not None:
        import manual.optim

        _known(
            "optimizer", optimizer, [name for name in manual.optim.__all__ if name[0].isupper() and name != "Optimizer"]
        )
    if fault is not None:
        from compare.faults.table import table

        _known("fault", fault, [one["name"] for one in table()["faults"]], "`gradlock list faults` shows them")
    setting = Setting(dtype, steps, micro_batches, optimizer, sync, seed)
    from compare.threads import thread_count, threads

    try:
        count = thread_count()
    except InputError as error:
        raise Refused(str(error)) from error
    with threads(count):
        results = _run_all(names, setting, tolerance, fail_fast, fault)
    from compare.report.json import to_json
    from compare.report.markdown import to_markdown
    from compare.report.records import run_record
    from compare.report.terminal import details, summary

    record = run_record(results, setting=setting, threads=count, fail_fast=fail_fast, tolerance=tolerance)
    if debug:
        _show_tracebacks(results)
    on_stdout = "-" in (json_path, markdown_path)
    if not on_stdout and not (quiet and record["exit_code"] == 0):
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        shown = {
            **record,
            "experiments": [e for e in record["experiments"] if not quiet or e["outcome"] != "equivalent"],
        }
        _say((details if full else summary)(shown, coloured=coloured))
    for path, text in ((json_path, to_json), (markdown_path, to_markdown)):
        _write(path, text(record))
    return int(record["exit_code"])


def _build_all(names: Sequence[str], setting: Setting, fault: str | None) -> dict[str, Study | Exception]:
    """Each experiment's study, or what building it raised; input that cannot be used is refused before any walk."""
    from compare.batches import InputError
    from compare.experiments import CATALOGUE
    from compare.experiments.datasets import DataError

    studies: dict[str, Study | Exception] = {}
    for name in names:
        try:
            studies[name] = study = CATALOGUE[name].build(setting)
            if fault is not None:
                from compare.faults.command import with_fault

                studies[name] = with_fault(study, fault)
        except (InputError, DataError) as error:
            raise Refused(f"{name}: {error}") from error
        except Exception as error:
            studies[name] = error
    return studies


def _built(study: Study, setting: Setting) -> Study:
    return study


def _run_all(
    names: Sequence[str], setting: Setting, tolerance: str, fail_fast: bool, fault: str | None
) -> list[ExperimentResult]:
    """Run every experiment; one whose own code raises is a failure of that one, and the others go on."""
    from tqdm import tqdm

    from compare.experiment import ExperimentResult
    from compare.experiment import run as run_experiment
    from compare.experiments import CATALOGUE

    results = []
    studies = _build_all(names, setting, fault)
    with tqdm(total=0, unit="step", leave=False, disable=not sys.stderr.isatty()) as bar:

        def on_total(count: int) -> None:
            bar.total += count
            bar.refresh()

        for name, study in studies.items():
            bar.set_description(name)
            experiment = CATALOGUE[name]
            try:
                if isinstance(study, Exception):
                    raise study
                result = run_experiment(
                    replace(experiment, build=partial(_built, study)),
                    setting,
                    tolerance=tolerance,
                    fail_fast=fail_fast,
                    on_total=on_total,
                    on_step=lambda: bar.update() and None,
                )
            except Exception as error:
                failure = f"the experiment's own code raised {type(error).__name__}: {error} (--debug shows where)"
                result = ExperimentResult(experiment, setting, failure=failure, error=error)
            results.append(result)
    return results


def _show_tracebacks(results: Sequence[ExperimentResult]) -> None:
    for result in results:
        verdicts = [*result.verdicts.values(), *(contrast.verdict for contrast in result.contrasts)]
        _show_errors([result.error, *(verdict.error for verdict in verdicts)])


def _known(what: str, name: str, known: Any, otherwise: str = "") -> None:
    if name not in known:
        near = get_close_matches(name, list(known), 1, 0.4) or get_close_matches(name.lower(), list(known), 1, 0.4)
        folded = [one for one in known if one.lower() == name.lower()]
        hint = f"did you mean {(folded or near)[0]!r}?" if folded or near else otherwise or f"known: {', '.join(known)}"
        raise Refused(f"no {what} is called {name!r}; {hint}")


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit; never ends in a traceback unless ``--debug`` asks for one."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(args=given, prog_name="gradlock", standalone_mode=False)
    except click.Abort:
        code = _complain("interrupted", 130)
    except click.ClickException as error:
        if "--debug" in given and error.__cause__ is not None:
            raise
        usage = isinstance(error, click.UsageError) and error.ctx is not None
        hint = f" See `{error.ctx.command_path} --help`." if usage else ""  # type: ignore[attr-defined]
        code = _complain(error.format_message() + hint, 2)
    except Exception as error:
        if "--debug" in given:
            raise
        code = _complain(f"{type(error).__name__}: {error} (--debug shows where)", 4)
    sys.exit(code)


def _complain(message: str, code: int) -> int:
    click.echo(f"gradlock: {' '.join(message.split())}", err=True)
    return code


if __name__ == "__main__":
    main()
