"""``gradlock explain``: formula, derivation, convention, and the numbers of all sides beside each other."""

from __future__ import annotations

import os
import sys

import click

from compare.output import Refused, check_writable, say, write

__all__ = ["explain"]


@click.command()
@click.argument("words", nargs=-1, metavar="[NAME]")
@click.option("--markdown", "markdown_path", metavar="FILE", help="Write the page as Markdown; - is standard output.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def explain(words: tuple[str, ...], markdown_path: str | None, debug: bool) -> int:
    """Explain a rule, layer, loss, optimizer, schedule, cause, fault, experiment, or an idea of the course.

    NAME is as `gradlock list` shows it, or as PyTorch writes it: torch.nn.Linear, F.relu, optim.Adam. A cause's name
    may have several words: mean of means. Without a name, the kinds are listed.
    """
    check_writable(markdown=markdown_path)
    from compare.batches import InputError
    from compare.explaining import overview, page, terminal

    try:
        name = " ".join(words)
        if not words:
            if markdown_path is not None:
                raise Refused("--markdown writes one page; name it: gradlock explain NAME --markdown FILE")
            say(overview())
        elif markdown_path is not None:
            write(markdown_path, page(name))
        else:
            say(terminal(name, coloured=sys.stdout.isatty() and not os.environ.get("NO_COLOR")))
    except InputError as error:
        raise Refused(str(error)) from error
    return 0
