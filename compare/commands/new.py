"""``gradlock new``: a commented file to start from."""

from __future__ import annotations

import shlex

import click

from compare.output import Refused, say

__all__ = ["new"]


@click.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--kind", type=click.Choice(["gradients", "module", "optimizer", "training"]), help="Only a pair of this kind."
)
def new(name: str, kind: str | None) -> None:
    """Write a file of pairs to start from.

    It is commented, has a pair of each kind, and `gradlock check NAME.py` runs it as it is.
    """
    from compare.batches import InputError
    from compare.checking.starting import place, starting_file

    try:
        path = place(name)
        with path.open("x", encoding="utf-8") as file:
            file.write(starting_file(path.name, kind))
    except InputError as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(f"cannot write {name}: {error.strerror}; try another place") from error
    said = shlex.quote(str(path))
    say(
        f"Wrote {path}. Run it: gradlock check {said}\n"
        "It agrees with PyTorch. Plant an error where a comment says so, and put your own code in place of it: with\n"
        f"`gradlock check {said} --watch` it runs again whenever you save.\n"
    )
