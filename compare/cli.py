"""The command line: ``gradlock`` and ``python -m compare``.

Heavy imports wait until a command needs them, so that help and refusals are quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from compare import __version__
from compare.commands.check import check
from compare.commands.conformance import conformance
from compare.commands.diff import diff
from compare.commands.explain import explain
from compare.commands.faults import faults
from compare.commands.fuzz import fuzz
from compare.commands.new import new
from compare.commands.record import record
from compare.commands.selfcheck import selfcheck
from compare.commands.shrink import shrink
from compare.gallery.entry import gallery
from compare.listing import KINDS, listing
from compare.names import NAMES
from compare.output import (
    Refused,
    annotate,
    annotations_option,
    check_annotations,
    check_writable,
    keeping_histories,
    known,
    report_options,
    say,
    show_errors,
    taken,
    write_reports,
)

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
            known("command", word, self.commands)
        return super().resolve_command(context, arguments)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a run."""
    options: list[Callable[..., Any]] = [
        click.option("--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True),
        click.option("--steps", type=click.IntRange(1, 1_000_000), help="Steps of each scenario, not its own number."),
        click.option("--micro-batches", type=click.IntRange(min=1), help="Cut each batch into this many."),
        click.option("--optimizer", metavar="NAME", help="Use this torch.optim class at its defaults on both sides."),
        click.option("--sync", type=click.Choice(["free", "step", "module"]), help="How to walk; see the README."),
        click.option("--tolerance", type=click.Choice(["measured", "fixed"]), default="measured", show_default=True),
        click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True),
        click.option("--fault", metavar="NAME", help="Plant this mistake; `gradlock list faults` shows them."),
        click.option("--fail-fast", is_flag=True, help="Stop a walk after the step of its first divergence."),
        report_options,
        annotations_option,
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
        known("experiment", name, NAMES)
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
        known("kind", kind, KINDS)
    for one in [kind] if kind else KINDS:
        say(listing(one, NAMES) + "\n\n")


for command in (check, conformance, diff, explain, faults, fuzz, gallery, new, record, selfcheck, shrink):
    cli.add_command(command)


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
    annotations: str | None,
    quiet: bool,
    debug: bool,
    **places: str | None,
) -> int:
    """Run experiments, print and write the reports; returns the run's exit code."""
    reports = taken(places)
    check_writable(**reports)
    check_annotations(annotations, reports)
    from compare.batches import InputError
    from compare.experiment import Setting

    if optimizer is not None:
        import manual.optim

        known(
            "optimizer", optimizer, [name for name in manual.optim.__all__ if name[0].isupper() and name != "Optimizer"]
        )
    if fault is not None:
        from compare.faults.table import table

        known("fault", fault, [one["name"] for one in table()["faults"]], "`gradlock list faults` shows them")
    setting = Setting(dtype, steps, micro_batches, optimizer, sync, seed)
    from compare.threads import thread_count, threads

    try:
        count = thread_count()
    except InputError as error:
        raise Refused(str(error)) from error
    with threads(count), keeping_histories(reports):
        results = _run_all(names, setting, tolerance, fail_fast, fault)
    from compare.report.records import run_record
    from compare.report.terminal import details, summary

    record = run_record(results, setting=setting, threads=count, fail_fast=fail_fast, tolerance=tolerance)
    if debug:
        _show_tracebacks(results)
    on_stdout = "-" in reports.values()
    if not on_stdout and not (quiet and record["exit_code"] == 0):
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        shown = {
            **record,
            "experiments": [e for e in record["experiments"] if not quiet or e["outcome"] != "equivalent"],
        }
        say((details if full else summary)(shown, coloured=coloured))
    write_reports(record, reports)
    annotate(record, annotations)
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
        show_errors([result.error, *(verdict.error for verdict in verdicts)])


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
