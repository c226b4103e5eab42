"""What a page is made of, and how it is written: as Markdown, or as text for a terminal.

A page is a list of blocks. Markdown is read into blocks too (:func:`read`), as far as the pages of this package use it.
Text within a block may hold ``code`` between single backticks.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Block", "Bullets", "Code", "Heading", "Paragraph", "Table", "read", "to_markdown", "to_text"]

WIDTH = 100


@dataclass(frozen=True)
class Heading:
    """A title; level 1 is the page's own."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Code:
    """Lines that are shown as they are: a formula, an array, a command."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of short texts."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows of cells; the columns ``right`` stand to the right."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()


Block = Heading | Paragraph | Code | Bullets | Table


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[int] | None = None) -> Table:
    """A table of anything: floats are written with ten digits, and columns of numbers stand to the right."""
    kept = [list(row) for row in rows]
    if right is None:
        right = [
            place
            for place in range(len(headers))
            if kept and all(not isinstance(row[place], str) or row[place] == "" for row in kept)
        ]
    return Table(tuple(headers), tuple(tuple(shown(cell) for cell in row) for row in kept), frozenset(right))


def shown(cell: Any) -> str:
    """A cell's text."""
    if isinstance(cell, float):
        return f"{cell:.10g}"
    return "" if cell is None else str(cell)


def to_markdown(blocks: Iterable[Block]) -> str:
    """A page as Markdown."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Paragraph):
        return textwrap.fill(_escaped(block.text), 110, break_long_words=False, break_on_hyphens=False)
    if isinstance(block, Bullets):
        return "\n".join(f"- {_escaped(item)}" for item in block.items)
    if isinstance(block, Code):
        return f"```text\n{block.text}\n```"
    marks = ["---:" if place in block.right else "---" for place in range(len(block.headers))]
    lines = [[_cell(header) for header in block.headers], marks, *([_cell(cell) for cell in row] for row in block.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    """Stars and underscores outside of code mean themselves."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<])", r"\\\1", part) for part in parts)


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def to_text(blocks: Iterable[Block], *, width: int = WIDTH, coloured: bool = False) -> str:
    """A page for a terminal, as wide as a terminal is where its tables and formulas allow it."""
    return "\n\n".join(_text(block, width, coloured) for block in blocks) + "\n"


def _text(block: Block, width: int, coloured: bool) -> str:
    if isinstance(block, Heading):
        title = _bare(block.text)
        line = "=-"[block.level > 1] * len(title) if block.level < 3 else ""
        title = f"\033[1m{title}\033[0m" if coloured else title
        return f"{title}\n{line}" if line else title
    if isinstance(block, Paragraph):
        return _filled(block.text, width)
    if isinstance(block, Bullets):
        return "\n".join(_filled(item, width, "- ", "  ") for item in block.items)
    if isinstance(block, Code):
        return textwrap.indent(block.text, "    ")
    from tabulate import tabulate

    sides = ["right" if place in block.right else "left" for place in range(len(block.headers))]
    cells = [[_bare(cell) for cell in row] for row in block.rows]
    return str(tabulate(cells, block.headers, colalign=sides if cells else None, disable_numparse=True))


def _filled(text: str, width: int, first: str = "", later: str = "") -> str:
    return textwrap.fill(
        _bare(text),
        width,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _bare(text: str) -> str:
    return text.replace("`", "")


def read(text: str) -> list[Block]:
    """Markdown as blocks: headings, paragraphs, lists of one level, fenced code and tables."""
    blocks: list[Block] = []
    for chunk in _chunks(text):
        first = chunk[0]
        if first.startswith("```"):
            blocks.append(Code("\n".join(chunk[1:-1])))
        elif first.startswith("#"):
            marks, _, title = first.partition(" ")
            blocks.append(Heading(len(marks), title))
        elif first.startswith("|"):
            rows = [tuple(cell.strip() for cell in line.strip().strip("|").split("|")) for line in chunk]
            right = frozenset(place for place, mark in enumerate(rows[1]) if mark.endswith(":"))
            blocks.append(Table(rows[0], tuple(rows[2:]), right))
        elif first.startswith("- "):
            items = re.split(r"\n- ", "\n" + "\n".join(chunk))[1:]
            blocks.append(Bullets(tuple(" ".join(item.split()) for item in items)))
        else:
            blocks.append(Paragraph(" ".join(" ".join(chunk).split())))
    return blocks


def _chunks(text: str) -> Iterable[list[str]]:
    """Lines that belong together: what empty lines part, but for those within fences."""
    chunk: list[str] = []
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        if line.strip() or fenced:
            chunk.append(line.rstrip())
        elif chunk:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
