"""The pages of the course: Markdown in ``pages/``, whose numbers are computed when a page is shown.

``{{name}}`` in a page stands for a number or a word, on a line of its own for a table, that the page's function in
:mod:`compare.explaining.lesson_numbers` computes.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from compare.explaining.blocks import Block, Bullets, Heading, Paragraph, Table, read
from compare.explaining.finding import Topic

__all__ = ["lesson_page"]

_PLACE = re.compile(r"\{\{([\w-]+)\}\}")


def lesson_page(topic: Topic, numbers: bool, level: int) -> list[Block]:
    """A page of the course with its numbers filled in; without numbers, their places are left as dots."""
    text = files("compare.explaining").joinpath("pages", f"{topic.name}.md").read_text(encoding="utf-8")
    computed: dict[str, Any] = {}
    if numbers:
        from compare.explaining.lesson_numbers import NUMBERS

        computed = NUMBERS[topic.name]()
    return [filled for block in read(text) for filled in _filled(block, computed, level, numbers)]


def _filled(block: Block, computed: dict[str, Any], level: int, numbers: bool) -> list[Block]:
    if isinstance(block, Heading):
        return [Heading(block.level + level - 2, block.text)]
    if isinstance(block, Paragraph):
        alone = _PLACE.fullmatch(block.text.strip())
        if alone and not numbers:
            return []
        if alone and isinstance(computed[alone[1]], Table):
            return [computed[alone[1]]]
    if isinstance(block, Table):
        return [block]
    put = {key: _written(value) for key, value in computed.items()}

    def fill(text: str) -> str:
        return _PLACE.sub(lambda found: put[found[1]] if numbers else "...", text)

    if isinstance(block, Bullets):
        return [Bullets(tuple(fill(item) for item in block.items))]
    return [type(block)(fill(block.text))]


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
