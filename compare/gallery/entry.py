"""``gradlock gallery`` on the command line; whatever takes time to import waits until it is asked for."""

from __future__ import annotations

import json

import click

from compare.output import Refused, check_writable, say, show_errors, write

__all__ = ["gallery"]


@click.command()
@click.option("--match", metavar="GLOB", help="Only optimizers whose name matches, such as 'Ada*'; or 'halves'.")
@click.option("--out", metavar="DIR", help="Draw, too: a picture for each optimizer, and index.html with all of them.")
@click.option("--format", "kind", type=click.Choice(["svg", "png"]), default="svg", show_default=True)
@click.option("--json", "json_path", metavar="FILE", help="Write a JSON report; - is standard output.")
@click.option("--quiet", is_flag=True, help="Print nothing if all is as it must be, else only what is not.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def gallery(match: str | None, out: str | None, kind: str, json_path: str | None, quiet: bool, debug: bool) -> int:
    """Walk every optimizer down three surfaces, on both sides and with a mistake; draw where the mistake leaves.

    The two halves of gradient descent, accumulation and the simultaneous step, are shown with them. Pictures need
    matplotlib: pip install 'gradlock[gallery]'. The table does not.

    Exit codes: 0 both sides equivalent and every mistake seen, 1 not so, 2 wrong usage, 3 abstained, 4 a side raised.
    """
    check_writable(json_path)
    from compare.batches import InputError
    from compare.threads import thread_count, threads

    try:
        count = thread_count()
        from compare.gallery import command
        from compare.gallery.words import text

        with threads(count):
            found, raised = command.run(match, out=out, kind=kind)
    except InputError as error:
        raise Refused(str(error)) from error
    if debug:
        show_errors(raised)
    if json_path != "-" and not (quiet and found["exit_code"] == 0):
        say(text(found, quiet=quiet))
    write(json_path, json.dumps(found, indent=2, allow_nan=False) + "\n")
    return int(found["exit_code"])
