"""What every command needs: refusing wrong usage, printing, and writing reports.

A format of a report is one entry of ``FORMATS``: a function from the record of a run to text. The commands that write
reports take an option of its name.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

__all__ = [
    "FORMATS",
    "Refused",
    "annotate",
    "annotations_option",
    "check_annotations",
    "check_writable",
    "keeping_histories",
    "known",
    "report_options",
    "say",
    "show_errors",
    "taken",
    "write",
    "write_reports",
]


class Refused(click.ClickException):
    """Wrong usage or unreadable input: one line, exit code 2."""

    exit_code = 2


def known(what: str, name: str, names: Any, otherwise: str = "") -> None:
    """Refuse a name that is none of these, with the nearest of them."""
    if name not in names:
        near = get_close_matches(name, list(names), 1, 0.4) or get_close_matches(name.lower(), list(names), 1, 0.4)
        folded = [one for one in names if one.lower() == name.lower()]
        hint = f"did you mean {(folded or near)[0]!r}?" if folded or near else otherwise or f"known: {', '.join(names)}"
        raise Refused(f"no {what} is called {name!r}; {hint}")


FORMATS = {
    "json": ("compare.report.json", "to_json", "Write a JSON report"),
    "junit": ("compare.report.junit", "to_junit", "Write a JUnit report, which CI servers read"),
    "html": ("compare.report.html", "to_html", "Write a page to look at, one file that needs no network"),
    "markdown": ("compare.report.markdown", "to_markdown", "Write a Markdown report"),
}
"""Per format of a report the module and the function that makes it of a run's record, and what its option says."""

_NEEDED = {"html": ("jinja2", "matplotlib")}
"""Per format the packages that it needs, which an extra of its name installs."""


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option for each format of a report, named after it; :func:`taken` gathers them."""
    for name, (_, _, text) in reversed(FORMATS.items()):
        option = click.option(f"--{name}", f"{name}_path", metavar="FILE", help=f"{text}; - is standard output.")
        command = option(command)
    return command


def taken(options: dict[str, Any]) -> dict[str, str | None]:
    """Where each format of the report goes; taken out of a command's options."""
    return {name: options.pop(f"{name}_path") for name in FORMATS}


def keeping_histories(paths: Mapping[str, str | None]) -> AbstractContextManager[None]:
    """Within this, walks keep their histories where a report that is asked for shows them."""
    from compare.history import record_histories

    return record_histories(paths.get("html") is not None)


def write_reports(record: dict[str, Any], paths: Mapping[str, str | None]) -> None:
    """Write a run's record in every format that is asked for."""
    for name, path in paths.items():
        if path is not None:
            module, function, _ = FORMATS[name]
            write(path, getattr(import_module(module), function)(record))


def annotations_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option ``--annotations``; :func:`annotate` does what it asks for."""
    option = click.option("--annotations", type=click.Choice(["github"]), help="Print what is wrong for this service.")
    return option(command)


def check_annotations(service: str | None, paths: Mapping[str, str | None]) -> None:
    """Refuse to print annotations into a report."""
    for name, path in paths.items():
        if service is not None and path == "-":
            raise Refused(f"--annotations print on standard output, and so does --{name} -; give the report a file")


def annotate(record: dict[str, Any], service: str | None) -> None:
    """Print what is wrong in the form that a service shows beside the code; on standard output, where it looks."""
    if service is not None:
        say(import_module("compare.report.annotations").to_github(record))


def check_writable(*places: str | None, **paths: str | None) -> None:
    """Find out before the run that a report cannot be made or written, or that one would spoil the other.

    Parameters
    ----------
    places : paths of reports
    paths : the same under the names of their options
    """
    named = {name: path for name, path in paths.items() if path is not None}
    for name in named:
        missing = [package for package in _NEEDED.get(name.removeprefix("gradlock-"), ()) if find_spec(package) is None]
        if missing:
            extra = name.removeprefix("gradlock-")
            raise Refused(f"--{name} needs {' and '.join(missing)}: pip install 'gradlock[{extra}]'")
    given = [path for path in places if path is not None] + list(named.values())
    places_of = [path if path == "-" else os.path.realpath(path) for path in named.values()]
    for place in dict.fromkeys(places_of):
        options = [f"--{name}" for name, one in zip(named, places_of, strict=True) if one == place]
        if len(options) > 1:
            shown = "standard output" if place == "-" else named[options[0][2:]]
            both = "both" if len(options) == 2 else "all"
            raise Refused(f"{' and '.join(options)} {both} go to {shown}; give each its own place")
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
            Path(path).write_text(text, encoding="utf-8", errors="backslashreplace")
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
