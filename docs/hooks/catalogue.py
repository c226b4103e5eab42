"""The pages that list what the code knows: causes, layers, losses, optimizers and schedulers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["LISTED", "cause_groups", "causes_page", "cell", "listing_page", "table"]

_INTRODUCTIONS = {
    "layers": "Every module of `manual.nn` that is no loss. *Samples*: how many samples of PyTorch's own test database "
    "of modules it passes, of all; blank where the database has none. `gradlock conformance modules` runs them.",
    "losses": "Every loss of `manual.nn`. *Samples*: how many samples of PyTorch's own test database of modules it "
    "passes, of all; blank where the database has none. `gradlock conformance modules` runs them.",
    "optimizers": "Every optimizer of `manual.optim`, with the conventions that it follows. "
    "`gradlock conformance optimizers` runs PyTorch's own test database against them, slot by slot.",
    "schedulers": "Every schedule of `manual.optim.lr_scheduler`. `gradlock conformance schedulers` runs PyTorch's own "
    "test database against them.",
}
_PACKAGES = {
    "layers": "manual.nn",
    "losses": "manual.nn",
    "optimizers": "manual.optim",
    "schedulers": "manual.optim.lr_scheduler",
}
LISTED = tuple(_PACKAGES)
"""The kinds that have a page."""


def causes_page() -> str:
    """Every cause with what it means, and the planted mistakes that must be given that name."""
    from compare.diagnosis.catalogue import CAUSES
    from compare.faults.table import table as faults_table

    planted: dict[str, list[str]] = {}
    for fault in faults_table()["faults"]:
        for cause in (fault["cause"], *fault["also"]):
            planted.setdefault(cause, []).append(fault["name"])
    parts = [
        "# The catalogue of causes",
        f"A diagnosis gives one of these {len(CAUSES)} names to a divergence. A name is given only if the mistake, "
        "made in the reference, gives the actual side's numbers down to the noise floor: see "
        "[how a verdict is reached](../verdicts.md). `gradlock list causes` prints the same list.",
        "*Planted as* shows mistakes of the [benchmark](../faults.md) that must be given this name. Plant one with "
        "`gradlock run mlp-digits --fault NAME`.",
    ]
    for heading, names in cause_groups().items():
        rows = [[f"**{name}**", CAUSES[name], _examples(planted.get(name, []))] for name in names]
        parts += [f"## {heading[0].upper()}{heading[1:]}", table(["cause", "what it means", "planted as"], rows)]
    return "\n\n".join(parts) + "\n"


def cause_groups() -> dict[str, list[str]]:
    """The causes under the headings by which the catalogue's source is divided."""
    from compare.diagnosis import catalogue

    source = Path(catalogue.__file__).read_text(encoding="utf-8")
    groups: dict[str, list[str]] = {}
    heading = ""
    for line in source.splitlines():
        if found := re.match(r"    # -- (.+?) -+$", line):
            heading = found[1]
        elif found := re.match(r'    (?:"([^"]+)"|(UNKNOWN)): ', line):
            groups.setdefault(heading, []).append(found[1] or catalogue.UNKNOWN)
    return groups


def _examples(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"`{name}`" for name in names[:3]) + more


def listing_page(kind: str) -> str:
    """Every layer, loss, optimizer or scheduler: what it is, its conventions, the samples that it passes."""
    from compare.listing import entries

    found = entries(kind)
    samples = any(entry.samples for entry in found)
    rows = []
    for entry in found:
        text = "<br>".join(
            [entry.summary, *(re.sub("^Convention: ", "*Convention:* ", one) for one in entry.conventions)]
        )
        rows.append([f"[`{entry.name}`][{entry.path}]", text, *([entry.samples] if samples else [])])
    headers = [kind[:-1] if kind != "losses" else "loss", "what it is", *(["samples"] if samples else [])]
    package = f"The API is on the page of [`{_PACKAGES[kind]}`](../api/{_PACKAGES[kind]}.md)."
    return f"# {kind.capitalize()}\n\n{_INTRODUCTIONS[kind]} {package}\n\n{table(headers, rows)}\n"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(text: str) -> str:
    """A text that cannot break a table; between backticks a bar does not."""
    return "`".join(part if place % 2 else part.replace("|", "\\|") for place, part in enumerate(text.split("`")))
