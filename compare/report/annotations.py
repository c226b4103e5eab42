"""Annotations: what is wrong as lines that GitHub shows beside the code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["to_github"]


def to_github(record: dict[str, Any]) -> str:
    """One workflow command for each experiment or call that is not equivalent, each on a line of its own.

    An annotation stands at the code under test where the record knows its place. GitHub wants files relative to the
    repository, which it names in ``GITHUB_WORKSPACE``; elsewhere the working folder stands for it.
    """
    return "".join(_line(one) + "\n" for one in record["experiments"] if one["outcome"] != "equivalent")


def _line(one: dict[str, Any]) -> str:
    place = {}
    if "source" in one:
        place = {"file": _in_repository(one["source"]["file"]), "line": str(one["source"]["line"])}
    properties = {**place, "title": f"gradlock: {one['name']} {one['outcome']}"}
    given = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::error {given}::{_data(_message(one))}"


def _message(one: dict[str, Any]) -> str:
    """The reason, both values, and why."""
    lines = [one["reason"] or one["outcome"]]
    first = one["first_divergence"]
    if first is not None:
        lines.append(first["text"] or f"actual {first['actual']}, expected {first['expected']}")
    for cause in one["causes"][:1]:
        lines.append(f"cause: {cause['cause']}: {cause['explanation']}")
        lines += [f"look at: {cause['look_at']}"] if cause["look_at"] else []
    return "\n".join(lines)


def _in_repository(file: str) -> str:
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    path = Path(file).resolve()
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _data(text: str) -> str:
    """A message in a workflow command: an end of line would end the command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """A property in a workflow command: a colon or a comma would end it as well."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
