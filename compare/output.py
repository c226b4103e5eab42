"""What every command needs: refusing wrong usage, printing, and writing reports."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

__all__ = ["Refused", "check_writable", "say", "show_errors", "write"]


class Refused(click.ClickException):
    """Wrong usage or unreadable input: one line, exit code 2."""

    exit_code = 2


def check_writable(*paths: str | None) -> None:
    """Find out before the run that a report cannot be written, or that one would spoil the other."""
    given = [path for path in paths if path is not None]
    if len({path if path == "-" else os.path.realpath(path) for path in given}) < len(given):
        place = "standard output" if "-" in given else given[0]
        raise Refused(f"--json and --markdown both go to {place}; give them two places")
    for path in given:
        if path == "-":
            continue
        target = Path(path)
        try:
            if target.is_dir():
                raise Refused(f"cannot write {path}: it is a folder; name a file")
            if not target.parent.is_dir():
                raise Refused(f"cannot write {path}: the folder {target.parent} does not exist; make it first")
            existed = target.exists()
            if existed and not target.is_file():  # a pipe or a device: opening it may wait for a reader
                continue
            with target.open("a", encoding="utf-8"):
                pass
            if not existed:
                target.unlink()
        except OSError as error:
            raise Refused(f"cannot write {path}: {error.strerror}; try another place") from error


def write(path: str | None, text: str) -> None:
    if path == "-":
        say(text)
    elif path is not None:
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise Refused(f"cannot write {path}: {error.strerror}; try another place") from error


def say(text: str) -> None:
    """Print; a reader that has gone changes neither the other reports nor the exit code."""
    try:
        click.echo(text, nl=False, color=True)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_errors(errors: Sequence[BaseException | None]) -> None:
    """Print tracebacks, for ``--debug``."""
    for error in errors:
        if error is not None:
            click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
