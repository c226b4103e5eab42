"""Explains every rule, layer, loss, optimizer, schedule, cause, fault and experiment, with numbers beside each other.

Everything is made from what exists: docstrings, the catalogue of causes, the planted faults and the experiments.
Numbers are computed when a page is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from compare.explaining.blocks import Block, Heading, Paragraph, Table
from compare.explaining.finding import KINDS, Topic, find, topics

__all__ = ["KINDS", "Topic", "blocks_of", "names", "overview", "page", "terminal"]


def page(name: str, *, kind: str | None = None, numbers: bool = True) -> str:
    """Explain a name, in Markdown.

    Parameters
    ----------
    name : as ``gradlock list`` shows it, or as PyTorch writes it: ``torch.nn.Linear``, ``F.relu``
    kind : one of :data:`KINDS`, where a name means several things and one is wanted
    numbers : False leaves the worked examples out; the page then costs no computation

    Raises
    ------
    compare.batches.InputError
        If nothing is called so.

    Examples
    --------
    >>> print(page("pullback").splitlines()[0])
    # pullback
    """
    from compare.explaining.blocks import to_markdown

    return to_markdown(blocks_of(name, kind=kind, numbers=numbers))


def terminal(name: str, *, kind: str | None = None, coloured: bool = False) -> str:
    """Explain a name, as text for a terminal; parameters as of :func:`page`.

    Examples
    --------
    >>> print(terminal("ulp").splitlines()[0])
    ulp
    """
    from compare.explaining.blocks import to_text

    return to_text(blocks_of(name, kind=kind), coloured=coloured)


def names(kind: str) -> list[str]:
    """The names of one kind, in the order of the listing.

    Examples
    --------
    >>> names("optimizer")[:3]
    ['ASGD', 'Adadelta', 'Adafactor']
    """
    return [topic.name for topic in topics() if topic.kind == kind]


def overview() -> str:
    """What there is to explain, by kind, as text for a terminal.

    Examples
    --------
    >>> overview().splitlines()[0].split()
    ['kind', 'count', 'what', 'it', 'is', 'one', 'of', 'them']
    """
    from compare.explaining.blocks import to_text

    rows = [[kind, str(len(names(kind))), text.replace("`", ""), _example(kind)] for kind, text in KINDS.items()]
    shown = to_text([Table(("kind", "count", "what it is", "one of them"), tuple(map(tuple, rows)), frozenset({1}))])
    return f"{shown}\nTry `gradlock explain relu`; `gradlock list` shows the names of most kinds.\n"


def _example(kind: str) -> str:
    chosen = {
        "lesson": "mazur",
        "rule": "softmax",
        "function": "F.conv2d",
        "layer": "nn.Linear",
        "loss": "CrossEntropyLoss",
        "optimizer": "optim.Adam",
        "schedule": "OneCycleLR",
        "cause": "mean of means",
        "fault": "updated-in-turn",
        "experiment": "backprop-by-hand",
        "phase": "deposit",
        "word": "ulp",
    }
    return chosen[kind]


def blocks_of(name: str, *, kind: str | None = None, numbers: bool = True) -> list[Block]:
    """What :func:`page` and :func:`terminal` write, as blocks."""
    from compare.batches import InputError
    from compare.explaining.writing import written

    found = [topic for topic in find(name) if kind in (None, topic.kind)]
    if not found:
        raise InputError(f"{name!r} is no {kind}; it is {_listed(topic.kind for topic in find(name))}")
    several = len(found) > 1
    blocks: list[Block] = [Heading(1, found[0].name)]
    if several:
        kinds = [topic.kind for topic in found]
        blocks.append(Paragraph(f"`{found[0].name}` is {len(found)} things: {_listed(kinds)}."))
    for topic in found:
        blocks += written(topic, numbers=numbers, level=3 if several else 2, titled=several)
    return blocks


def _listed(kinds: Iterable[str]) -> str:
    named = [f"a{'n' if kind[0] in 'aeiou' else ''} {kind}" for kind in kinds]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
