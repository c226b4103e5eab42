"""The page of the command line, made from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
from catalogue import table

__all__ = ["commands_page"]

_INTRODUCTION = """\
`gradlock` and `python -m compare` are the same program. Without a command it runs every built-in experiment.

Exit codes: 0 all equivalent, 1 a divergence, 2 wrong usage or unreadable input, 3 abstained, 4 a side raised. The
worst of a run counts. Bad input gets one line that says what was wrong, where, and what to try; `--debug` shows the
traceback. Long work shows a progress bar on a terminal and is quiet in a pipe. `NO_COLOR` is honoured."""


def commands_page() -> str:
    """Every command with its usage, its help and its options."""
    from compare.cli import cli

    parts = ["# The command line", _INTRODUCTION]
    with click.Context(cli, info_name="gradlock") as root:
        parts += _described(cli, root, 2)
        for command, context in _below(cli, root):
            parts += _described(command, context, 2 + context.command_path.count(" ") - 1)
    return "\n\n".join(parts) + "\n"


def _below(group: click.Group, parent: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        if command is None or command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=parent)
        yield command, context
        if isinstance(command, click.Group):
            yield from _below(command, context)


def _described(command: click.Command, context: click.Context, level: int) -> list[str]:
    """The heading, the usage, the help and the options of one command."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"{'#' * level} {context.command_path}", f"```text\n{usage}\n```", _text(command.help or "")]
    options = [
        [f"`{record[0]}`", record[1].replace("<", "&lt;")]
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) is not None and any(record[1:])
    ]
    return [*parts, table(["option", "what it does"], options)] if options else parts


def _text(help: str) -> str:
    """A help text as paragraphs; what click must not wrap is a block."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", help.replace("\f", "\n\n").strip()):
        if paragraph.startswith("\b"):
            paragraphs.append("```text\n" + paragraph.removeprefix("\b").strip("\n") + "\n```")
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "\n\n".join(paragraphs)
