"""``gradlock record``: a side of a built-in experiment, written as a trace."""

from __future__ import annotations

import os
import sys

import click

from compare.names import NAMES
from compare.output import Refused, known, say

__all__ = ["record"]


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--side", type=click.Choice(["manual", "torch"]), required=True, help="Which side to record.")
@click.option("--out", metavar="DIR", required=True, help="The folder of the trace; it is made.")
@click.option("--scenario", metavar="NAME", help="Which scenario of the experiment, by default its first.")
@click.option("--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True)
@click.option("--steps", type=click.IntRange(1, 1_000_000), help="Steps, not the experiment's own number.")
@click.option("--micro-batches", type=click.IntRange(min=1), help="Cut each batch into this many.")
@click.option("--optimizer", metavar="NAME", help="Use this torch.optim class at its defaults.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--fault", metavar="NAME", help="Plant this mistake in the manual side.")
@click.option("--noise/--no-noise", default=True, show_default=True, help="Measure noise floors with --side torch.")
@click.option("--quiet", is_flag=True, help="Print nothing.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def record(
    name: str,
    side: str,
    out: str,
    scenario: str | None,
    dtype: str,
    steps: int | None,
    micro_batches: int | None,
    optimizer: str | None,
    seed: int,
    fault: str | None,
    noise: bool,
    quiet: bool,
    debug: bool,
) -> int:
    """Write a trace of one side of a built-in experiment.

    The trace of the torch side carries the noise floors of the whole run, by which `gradlock diff` judges; measuring
    them takes about twenty times as long as the run itself.
    """
    known("experiment", name, NAMES)
    if fault is not None and side == "torch":
        raise Refused("a mistake is planted in the manual side; use --side manual with --fault")
    from compare.batches import InputError
    from compare.experiment import Setting
    from compare.experiments import CATALOGUE
    from compare.experiments.datasets import DataError
    from compare.threads import threads
    from compare.tracing.recording import record_side

    if optimizer is not None:
        import manual.optim

        known("optimizer", optimizer, [one for one in manual.optim.__all__ if one[0].isupper() and one != "Optimizer"])
    setting = {"dtype": dtype, "steps": steps, "micro_batches": micro_batches, "optimizer": optimizer, "seed": seed}
    try:
        study = CATALOGUE[name].build(Setting(**setting))  # type: ignore[arg-type]
        scenarios = {one.name: one for one in study.scenarios}
        if not scenarios:
            raise Refused(f"{name} has no scenario that could be recorded")
        if scenario is not None:
            known("scenario", scenario, scenarios)
        chosen = scenarios[scenario] if scenario is not None else study.scenarios[0]
        make = chosen.actual if side == "manual" else chosen.expected
        if fault is not None:
            from compare.faults.catalogue import FAULTS
            from compare.faults.planting import planted

            known("fault", fault, FAULTS, "`gradlock list faults` shows them")
            make = planted(make, FAULTS[fault].plant, chosen.steps)
        source = {"experiment": name, "scenario": chosen.name, "side": side, "setting": setting}
        from tqdm import tqdm

        with threads(), tqdm(total=len(chosen.steps), unit="step", leave=False, disable=not sys.stderr.isatty()) as bar:
            record_side(
                make,
                chosen.steps,
                out,
                noise=noise and side == "torch",
                seed=seed,
                source=source,
                draws_of=chosen.expected if side == "manual" else None,
                on_step=lambda: bar.update() and None,
            )
    except (InputError, DataError) as error:
        raise Refused(str(error)) from error
    if not quiet:
        size = sum(entry.stat().st_size for entry in os.scandir(out))
        count = f"{len(chosen.steps)} step{'s' * (len(chosen.steps) > 1)}"
        say(f"{out}: {count} of {name} ({chosen.name}), {side} side, {size / 1e6:.1f} MB\n")
    return 0
