"""``gradlock conformance``: PyTorch's own test databases against the manual wing."""

from __future__ import annotations

import click

from compare.output import Refused, check_writable, say, write

__all__ = ["conformance"]


@click.command()
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
    check_writable(json_path)
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
        say(text(found))
    write(json_path, json.dumps(found, indent=2, allow_nan=False) + "\n")
    return int(found["exit_code"])
