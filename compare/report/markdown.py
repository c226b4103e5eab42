"""Markdown: the summary as tables that GitHub renders."""

from __future__ import annotations

import re
from typing import Any

from tabulate import tabulate

from compare.report.terminal import extent, full, short, where

__all__ = ["to_markdown"]


def to_markdown(record: dict[str, Any]) -> str:
    """A heading with the outcome, a table of experiments, planted mistakes, divergences and the environment."""
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
    parts = [f"# gradlock: {record['outcome']}", _table(rows, headers)]
    contrasts = [
        [one["name"], c["mistake"], c["first_divergence"]["where"] if c["first_divergence"] else c["outcome"],
         c["first_divergence"]["culprit"] if c["first_divergence"] else "", "yes" if c["as_it_must"] else "NO"]
        for one in record["experiments"]
        for c in one["contrasts"]
    ]  # fmt: skip
    if contrasts:
        headers = ["experiment", "mistake", "first divergence", "culprit", "as it must"]
        parts += ["## Planted mistakes", _table(contrasts, headers)]
    found = [
        [
            one["name"],
            f["where"],
            f["culprit"],
            f["own_or_inherited"],
            f["text"] or full(f["actual"], 17),
            full(f["expected"], 17),
            "" if f["kind"] or f["nonfinite"] else short(f["max_abs"]),
            short(f["error"]),
        ]
        for one in record["experiments"]
        if (f := one["first_divergence"])
    ]
    if found:
        headers = ["experiment", "where", "culprit", "", "actual", "expected", "difference", "of the scale"]
        parts += ["## First divergences", _table(found, headers)]
    wrong = [one for one in record["experiments"] if one["reason"]]
    if wrong:
        parts.append("\n".join(f"- **{_escape(one['name'])}**: {_escape(one['reason'])}" for one in wrong))
    environment = ", ".join(f"{name} {value}" for name, value in record["environment"].items())
    parts.append(f"Environment: {environment}. Exit code {record['exit_code']}.")
    return "\n\n".join(parts) + "\n"


def _table(rows: list[list[Any]], headers: list[str]) -> str:
    cells = [[_escape(str(cell)) for cell in row] for row in rows]
    return str(tabulate(cells, headers, tablefmt="github", disable_numparse=True))


def _escape(text: str) -> str:
    """What would be read as markup is text: a pipe ends a cell, and ``<`` begins a tag that is never shown."""
    return re.sub(r"([\\|<`*\[])", r"\\\1", " ".join(text.split()))


def _share(flags: list[bool]) -> str:
    return f"{sum(flags)}/{len(flags)}" if flags else ""
