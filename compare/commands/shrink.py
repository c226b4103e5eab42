"""``gradlock shrink``: the smallest case that fails in the same way, written as a test."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from compare.names import NAMES
from compare.output import Refused, check_writable, known, say, write

if TYPE_CHECKING:
    from compare.shrinking.experiments import Failing
    from compare.shrinking.minimal import Minimal

__all__ = ["shrink"]


@click.command()
@click.argument("name", required=False)
@click.option("--fault", metavar="NAME", help="Plant this mistake; without NAME of an experiment, into its own scene.")
@click.option("--scenario", metavar="NAME", help="Only this scenario; the first that diverges by default.")
@click.option("--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True)
@click.option("--steps", type=click.IntRange(1, 1_000_000), help="Steps of each scenario, not its own number.")
@click.option("--micro-batches", type=click.IntRange(min=1), help="Cut each batch into this many.")
@click.option("--optimizer", metavar="NAME", help="Use this torch.optim class at its defaults on both sides.")
@click.option("--sync", type=click.Choice(["free", "step", "module"]), help="How to walk; see the README.")
@click.option("--tolerance", type=click.Choice(["measured", "fixed"]), default="measured", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True, help="Stop then.")
@click.option("--out", "out", metavar="FILE", help="Write the test there; - is standard output.")
@click.option("--json", "json_path", metavar="FILE", help="Write a JSON report; - is standard output.")
@click.option("--quiet", is_flag=True, help="Print nothing but what goes to standard output.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def shrink(
    name: str | None,
    fault: str | None,
    scenario: str | None,
    seconds: float,
    out: str | None,
    json_path: str | None,
    tolerance: str,
    quiet: bool,
    debug: bool,
    **options: Any,
) -> int:
    """Make a failing experiment small, while it fails in the same way, and write it as a stand-alone test.

    Rows, widths, layers, micro-batches, steps and options go for as long as the same first divergence and the same
    cause remain. The test fails, with the report, until the mistake is mended.

    Exit codes: 1 there is a minimal case (what diverges still does), 2 wrong usage, or nothing diverges.
    """
    if name is None and fault is None:
        raise Refused("what fails? Give an experiment, a --fault to plant, or both; `gradlock list` shows them")
    if name is not None:
        known("experiment", name, NAMES)
    if fault is not None:
        from compare.faults.table import table

        known("fault", fault, [one["name"] for one in table()["faults"]], "`gradlock list faults` shows them")
    given = [key for key, value in options.items() if value is not None and key not in ("dtype", "seed")]
    if name is None and (given or scenario):
        raise Refused("options of a run need the name of an experiment; a fault's own scene is as it is")
    check_writable(out=out, json=json_path)
    from compare.batches import InputError
    from compare.shrinking.experiments import shrink_failing
    from compare.threads import thread_count, threads

    if options["optimizer"] is not None:
        import manual.optim

        classes = [one for one in manual.optim.__all__ if one[0].isupper() and one != "Optimizer"]
        known("optimizer", options["optimizer"], classes)
    try:
        with threads(thread_count()):
            failing = _failing(name, fault, scenario, options, tolerance)
            minimal = _with_progress(lambda on_try: shrink_failing(failing, seconds=seconds, on_try=on_try))
            text = minimal.text()
    except (InputError, ValueError) as error:
        raise Refused(str(error)) from error
    if not quiet and "-" not in (out, json_path):
        say(f"{minimal}\n" + (f"written to {out}; run it with: python -m pytest {out}\n" if out else f"\n{text}"))
    write(out, text)
    if json_path is not None:
        import json

        write(json_path, json.dumps({**minimal.record(), "test": text}, indent=2, allow_nan=False) + "\n")
    return 1


def _failing(
    name: str | None, fault: str | None, scenario: str | None, options: dict[str, Any], tolerance: str
) -> Failing:
    from compare.shrinking.experiments import Failing, failing_experiment

    parts = ["gradlock", "shrink", *([name] if name else []), *(["--fault", fault] if fault else [])]
    for key, value in options.items():
        if value is not None and (key, value) not in (("dtype", "float64"), ("seed", 0)):
            parts += [f"--{key.replace('_', '-')}", str(value)]
    command = shlex.join(parts)
    if name is None:
        from compare.faults.catalogue import FAULTS

        assert fault is not None
        scene = FAULTS[fault].scene
        return Failing(
            f"{fault} in its own scene",
            scene.make_actual,
            scene.make_expected,
            scene.steps,
            fault=fault,
            source=f'scene = FAULTS["{fault}"].scene\nactual, expected = scene.make_actual, scene.make_expected',
            command=command,
            tolerance=tolerance,
        )
    from compare.experiment import Setting

    return failing_experiment(name, Setting(**options), fault, scenario, command, tolerance)


def _with_progress(run: Any) -> Minimal:
    from tqdm import tqdm

    with tqdm(unit="case", leave=False, disable=not sys.stderr.isatty()) as bar:

        def on_try(tried: int, kept: bool) -> None:
            bar.set_postfix_str("smaller" if kept else "", refresh=False)
            bar.update()

        found: Minimal = run(on_try)
    return found
