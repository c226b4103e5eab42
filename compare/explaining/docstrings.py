"""Reads the docstrings of the manual wing: what it is, shapes, formula, derivation, conventions, source.

They are written by hand for people, in paragraphs. A word with a colon opens a part, at the start of a paragraph or
of a sentence: ``Shapes:``, ``Forward:``, ``Backward:``, ``Derivation:``, ``Source:``, ``Convention:``.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass
from typing import Any

from compare.explaining.blocks import Block, Bullets, Code, Heading, Paragraph

__all__ = ["Lesson", "lesson", "plain"]

PARTS = {
    "Shapes": "Shapes",
    "Forward": "Formula",
    "Closed form": "Formula",
    "Backward": "Derivation",
    "Derivation": "Derivation",
    "Convention": "Convention",
    "Source": "Source",
}
"""What opens a part, and the title that it gets."""

_NUMPY_SECTION = re.compile(r"^(Parameters|Returns|Raises|Examples|Attributes|Notes|See Also)\n-{3,}$")
_OPENING = re.compile(rf"(?:^|(?<=[.;] ))({'|'.join(PARTS)}): ")
_EXAMPLE = re.compile(r"^\s*>>> ", re.MULTILINE)


@dataclass(frozen=True)
class Lesson:
    """What a docstring teaches.

    Attributes
    ----------
    summary : its first sentence
    parts : titles with their blocks, in the order of the docstring; the untitled ones come under ``""``
    """

    summary: str
    parts: tuple[tuple[str, tuple[Block, ...]], ...]

    def has(self, title: str) -> bool:
        return any(one == title for one, _ in self.parts)

    def blocks(self, level: int = 2, *, but: tuple[str, ...] = ()) -> list[Block]:
        """The parts under headings of a level; those of one title under one heading, conventions at the end."""
        found: list[Block] = []
        order = ["", "Shapes", "Formula", "Derivation", "Source", "Convention"]
        for title in order:
            inside = [block for one, blocks in self.parts if one == title for block in blocks]
            if inside and title not in but:
                plural = title == "Convention" and len(inside) > 1
                found += [Heading(level, title + "s" * plural)] if title else []
                found += inside
        return found


def lesson(source: Any) -> Lesson:
    """Read the docstring of a function or a class, or a text."""
    text = source if isinstance(source, str) else inspect.getdoc(source) or ""
    summary, _, rest = text.strip().partition("\n\n")
    opening = _OPENING.search(summary)
    if opening and opening.start():  # a docstring of one paragraph: the first sentence, and then the parts
        rest = f"{summary[opening.start() :]}\n\n{rest}"
        summary = summary[: opening.start()]
    parts: list[tuple[str, tuple[Block, ...]]] = []
    title = ""
    for chunk in re.split(r"\n\s*\n", rest):
        if _NUMPY_SECTION.match("\n".join(chunk.splitlines()[:2])) or re.match(r"^\w[\w ]*\n-{3,}", chunk):
            title = "skipped"
        if _EXAMPLE.search(chunk):
            continue
        if title == "skipped" and not _OPENING.match(chunk):
            continue
        for piece, blocks in _pieces(chunk, "" if title == "skipped" else title):
            title = piece if piece in ("Formula", "Derivation") else ""
            if blocks:
                parts.append((piece, blocks))
    return Lesson(plain(" ".join(summary.split())), tuple(parts))


def _pieces(chunk: str, title: str) -> list[tuple[str, tuple[Block, ...]]]:
    """One paragraph, cut where a sentence opens another part."""
    if not chunk.strip():
        return []
    if chunk.startswith(("    ", "\t")):
        return [(title, (Code(_dedented(chunk)),))]
    code = re.match(r"^\s+``(.*)``$", chunk, re.DOTALL)
    if code:
        return [(title, (Code(_dedented(code[1])),))]
    openings = list(_OPENING.finditer(chunk.replace("\n", " ")))
    if not openings or openings[0].start():
        # what follows a formula is still about it; anything else is a remark of its own
        lead = chunk[: openings[0].start()] if openings else chunk
        found = [(title if title and not openings else "", _prose(lead))]
    else:
        found = []
    for place, opening in enumerate(openings):
        end = openings[place + 1].start() if place + 1 < len(openings) else len(chunk)
        found.append((PARTS[opening[1]], _prose(chunk[opening.end() : end])))
    return found


def _prose(text: str) -> tuple[Block, ...]:
    """A paragraph; its lines as a list if each begins with a dash; a code block after a double colon comes later."""
    lines = text.strip("\n").splitlines()
    starts = [place for place, line in enumerate(lines) if line.startswith("- ")]
    if starts:
        head = " ".join(lines[: starts[0]])
        ends = [*starts[1:], len(lines)]
        items = tuple(
            plain(" ".join(line.strip() for line in lines[a:b])[2:]) for a, b in zip(starts, ends, strict=True)
        )
        return (*([Paragraph(plain(head))] if head.strip() else []), Bullets(items))
    indented = [place for place, line in enumerate(lines) if line.startswith("    ")]
    if indented and lines[indented[0] - 1].rstrip().endswith("::"):
        first = indented[0]
        head = " ".join(lines[:first])
        return Paragraph(plain(head)), Code(_dedented("\n".join(lines[first:])))
    joined = plain(" ".join(" ".join(lines).split()))
    return (Paragraph(joined[:1].upper() + joined[1:] if joined[:1].isalpha() and " " in joined else joined),)


def _dedented(text: str) -> str:
    return textwrap.dedent(text).strip("\n").replace("``", "")


def plain(text: str) -> str:
    """A text without the marks of reStructuredText; what is code keeps single backticks."""
    text = re.sub(r":\w+:`~?([^`]*)`", lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    text = text.replace("``", "`")
    text = re.sub(r"(?<![\w*(`])\*(\w[\w -]*)\*(?![\w*)`])", r"\1", text)
    return re.sub(r"::$", ":", text)
