"""``gradlock selfcheck``: which mistakes an experiment would not have shown, and what to change."""

from __future__ import annotations

import sys
from typing import Any

import click

from compare.names import NAMES
from compare.output import Refused, check_writable, known, say, write

__all__ = ["selfcheck"]


@click.command()
@click.argument("name")
@click.option("--scenario", metavar="NAME", help="This scenario; the first by default.")
@click.option("--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True)
@click.option("--steps", type=click.IntRange(1, 1_000_000), help="Steps of the scenario, not its own number.")
@click.option("--micro-batches", type=click.IntRange(min=1), help="Cut each batch into this many.")
@click.option("--optimizer", metavar="NAME", help="Use this torch.optim class at its defaults on both sides.")
@click.option("--sync", type=click.Choice(["free", "step", "module"]), help="How to walk; see the README.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--json", "json_path", metavar="FILE", help="Write a JSON report; - is standard output.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def selfcheck(name: str, scenario: str | None, json_path: str | None, debug: bool, **options: Any) -> int:
    """Say which known mistakes an experiment, run with these options, would not have shown, and what shows them.

    Every mistake whose wrong code runs here is planted in turn. Each change that is advised has been tried.

    Exit codes: 0 no mistake is missed that a change would show, 3 some are, 2 wrong usage.
    """
    known("experiment", name, NAMES)
    check_writable(json=json_path)
    from tqdm import tqdm

    from compare.batches import InputError
    from compare.experiment import Setting
    from compare.experiments import CATALOGUE
    from compare.selfcheck.calls import check_scenario
    from compare.threads import thread_count, threads

    if options["optimizer"] is not None:
        import manual.optim

        classes = [one for one in manual.optim.__all__ if one[0].isupper() and one != "Optimizer"]
        known("optimizer", options["optimizer"], classes)
    setting = Setting(**options)
    try:
        with threads(thread_count()), tqdm(unit="mistake", leave=False, disable=not sys.stderr.isatty()) as bar:
            scenarios = {one.name: one for one in CATALOGUE[name].build(setting).scenarios}
            chosen = scenario or next(iter(scenarios))
            known("scenario", chosen, scenarios)

            def on_fault(number: int, many: int) -> None:
                bar.total = many
                bar.update(number - bar.n)

            found = check_scenario(scenarios[chosen], setting, f"{name}, {chosen}", on_fault)
    except InputError as error:
        raise Refused(str(error)) from error
    if json_path != "-":
        say(f"{found}\n")
    write(json_path, found.to_json())
    return 3 if found.missed else 0
