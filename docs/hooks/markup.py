"""The marks of reStructuredText, which docstrings are written in, as those of Markdown."""

from __future__ import annotations

import re

__all__ = ["as_markdown"]


def as_markdown(text: str) -> str:
    """The text with roles, literals, literal blocks and tables as Markdown writes them."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    text = re.sub(r"(?<=\n\n)( {4,})``([^`\n]+)``$", r"\1\2", text, flags=re.MULTILINE)  # alone and indented: a block
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    text = re.sub(r"(?m)^(=+ +=+)\n(.*?)\n\1$", lambda found: _table(found[2]), text, flags=re.DOTALL)
    return re.sub(r"(?m)::$", ":", text)


def _table(body: str) -> str:
    """A table of two columns without a heading."""
    rows: list[list[str]] = []
    for line in body.splitlines():
        left, _, right = line.partition("  ")
        if line.startswith(" "):
            rows[-1][1] += " " + line.strip()
        else:
            rows.append([left.strip(), right.strip()])
    return "\n".join(["| name | what it is |", "| --- | --- |", *(f"| {left} | {right} |" for left, right in rows)])
