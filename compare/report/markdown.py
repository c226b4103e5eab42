"""Markdown: the summary as tables that GitHub renders, as long as its job summaries may be."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from tabulate import tabulate

from compare.report.terminal import extent, full, short, where

__all__ = ["LIMIT", "to_markdown"]

LIMIT = 1024 * 1024
"""How many bytes a step's summary may have on GitHub; one that is longer is not shown at all."""

_LONGEST = 500  # characters of a cell or a reason; what a user's function raises may be longer than any page
_NOTE = 400  # bytes kept for the line that says what was left out


class _Part(NamedTuple):
    """A table: its heading, if it has one, its headers, its rows, and which rows matter most."""

    title: str
    what: str
    headers: list[str]
    rows: list[list[str]]
    first: list[bool]


def to_markdown(record: dict[str, Any], *, limit: int = LIMIT) -> str:
    """A heading with the outcome, first divergences, a table of experiments, planted mistakes and the environment.

    Parameters
    ----------
    record : the record of a run
    limit : int
        The most bytes. Where there would be more, rows are left out and a line says which: of what is as it should be
        first, of first divergences last.
    """
    found, experiments, contrasts = _divergences(record), _experiments(record), _contrasts(record)
    reasons = [
        f"- **{_escape(one['name'])}**: {_escape(one['reason'])}" for one in record["experiments"] if one["reason"]
    ]
    environment = ", ".join(f"{name} {value}" for name, value in record["environment"].items())
    head = f"# gradlock: {record['outcome']}"
    last = f"Environment: {environment}. Exit code {record['exit_code']}."
    parts = [head, _table(found), "\n".join(reasons), _table(experiments), _table(contrasts), last]
    text = _joined(parts)
    if _size(text) <= limit:
        return text
    room = limit - _size(_joined([head, last])) - _NOTE
    told = []
    shown = [head]
    for part in (found, reasons, experiments, contrasts):
        if isinstance(part, list):
            piece, out = _fitting_lines(part, room)
            what = "reasons"
        else:
            piece, out = _fitting(part, room)
            what = part.what
        shown.append(piece)
        room -= _size(piece) + 2
        told += [f"{out:,} {what}"] if out else []
    note = (
        f"Left out, so that GitHub shows this at all: {', '.join(told)}. The JSON report has everything."
        if told
        else ""
    )
    return _joined([*shown, note, last])


# -- the tables --------------------------------------------------------------------------------------------------------


def _experiments(record: dict[str, Any]) -> _Part:
    rows = [
        [
            one["name"],
            one["dtype"],
            one["outcome"],
            one["checkpoints"],
            ", ".join(one["coverage"]["phases"]),
            extent(one["worst"]),
            where(one["worst"]["at"]) if one["worst"] else "",
            _share([c["as_it_must"] for c in one["contrasts"]]),
            _share([c["holds"] for c in one["claims"]]),
        ]
        for one in record["experiments"]
    ]
    headers = ["experiment", "dtype", "outcome", "checkpoints", "phases", "worst", "at", "contrasts", "claims"]
    wrong = [one["outcome"] != "equivalent" for one in record["experiments"]]
    return _Part("", "rows of the table of experiments", headers, _cells(rows), wrong)


def _contrasts(record: dict[str, Any]) -> _Part:
    rows, wrong = [], []
    for one in record["experiments"]:
        for contrast in one["contrasts"]:
            first = contrast["first_divergence"]
            seen = first["where"] if first else contrast["outcome"]
            must = "yes" if contrast["as_it_must"] else "NO"
            rows.append([one["name"], contrast["mistake"], seen, first["culprit"] if first else "", must])
            wrong.append(not contrast["as_it_must"])
    headers = ["experiment", "mistake", "first divergence", "culprit", "as it must"]
    return _Part("## Planted mistakes", "planted mistakes", headers, _cells(rows), wrong)


def _divergences(record: dict[str, Any]) -> _Part:
    rows = [
        [
            one["name"],
            f["where"],
            f["culprit"],
            f["own_or_inherited"],
            f["text"] or full(f["actual"], 17),
            full(f["expected"], 17),
            "" if f["kind"] or f["nonfinite"] else short(f["max_abs"]),
            short(f["error"]),
            "; ".join(f"{cause['cause']}: {cause['explanation']}" for cause in one["causes"][:1]),
            "; ".join(cause["look_at"] for cause in one["causes"][:1]),
        ]
        for one in record["experiments"]
        if (f := one["first_divergence"])
    ]
    headers = [
        "experiment",
        "where",
        "culprit",
        "",
        "actual",
        "expected",
        "difference",
        "of the scale",
        "cause",
        "look at",
    ]
    return _Part("## First divergences", "first divergences", headers, _cells(rows), [True] * len(rows))


def _cells(rows: list[list[Any]]) -> list[list[str]]:
    return [[_escape(str(cell)) for cell in row] for row in rows]


def _table(part: _Part) -> str:
    """A table with its columns in line; nothing where there are no rows, unless it is the table of experiments."""
    if not part.rows and part.title:
        return ""
    table = str(tabulate(part.rows, part.headers, tablefmt="github", disable_numparse=True))
    return f"{part.title}\n\n{table}" if part.title else table


# -- what fits ---------------------------------------------------------------------------------------------------------


def _fitting(part: _Part, room: int) -> tuple[str, int]:
    """A table of the rows that fit, those that matter most first, and how many do not."""
    if not part.rows:
        return "", 0
    lines = ["| " + " | ".join(row) + " |" for row in part.rows]
    head = [
        *([part.title, ""] if part.title else []),
        "| " + " | ".join(part.headers) + " |",
        "|---" * len(part.headers) + "|",
    ]
    room -= _size("\n".join(head)) + 1
    kept: set[int] = set()
    for number in sorted(range(len(lines)), key=lambda one: not part.first[one]):
        room -= _size(lines[number]) + 1
        if room < 0:
            break
        kept.add(number)
    if not kept:
        return "", len(lines)
    return "\n".join([*head, *(lines[number] for number in sorted(kept))]), len(lines) - len(kept)


def _fitting_lines(lines: list[str], room: int) -> tuple[str, int]:
    """The first of these lines that fit, and how many do not."""
    for count, line in enumerate(lines):
        room -= _size(line) + 1
        if room < 0:
            return "\n".join(lines[:count]), len(lines) - count
    return "\n".join(lines), 0


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _size(text: str) -> int:
    """How many bytes a text has."""
    return len(text.encode("utf-8", "surrogatepass"))


def _escape(text: str) -> str:
    """What would be read as markup is text: a pipe ends a cell, and ``<`` begins a tag that is never shown."""
    text = " ".join(text.split())
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return re.sub(r"([\\|<`*\[])", r"\\\1", text)


def _share(flags: list[bool]) -> str:
    return f"{sum(flags)}/{len(flags)}" if flags else ""
