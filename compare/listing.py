"""What ``gradlock list`` shows: the names of each kind with what they are, and for layers and losses more.

A layer's row has the first line of its docstring, the conventions that it and its rule declare where experts disagree,
and how many samples of PyTorch's own test database of modules it passes (``compare/conformance/counts.json``).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compare.names import NAMES

__all__ = ["KINDS", "Entry", "conventions", "entries", "listing", "rules_behind"]

KINDS = ("experiments", "layers", "losses", "optimizers", "schedulers", "faults", "causes")

COUNTS = Path(__file__).parent / "conformance" / "counts.json"

WIDTH = 100


@dataclass(frozen=True)
class Entry:
    """A layer, loss, optimizer or scheduler.

    Attributes
    ----------
    name : str
    path : str
        Where the class is defined.
    summary : str
        The first line of its docstring.
    conventions : list of str
        What is declared where experts disagree.
    samples : str
        How many samples of PyTorch's own test database of modules it passes; empty where that has none.
    """

    name: str
    path: str
    summary: str
    conventions: list[str]
    samples: str = ""


def entries(kind: str) -> list[Entry]:
    """The classes of one kind ("layers", "losses", "optimizers" or "schedulers") by name."""
    if kind in ("layers", "losses"):
        counts = json.loads(COUNTS.read_text(encoding="utf-8"))["modules"]
        found, declared = _modules(kind), conventions
    else:
        counts, found, declared = {}, _optim(kind), _declared_by_class
    return [
        Entry(name, f"{one.__module__}.{one.__qualname__}", _summary(one), declared(one), _passed(counts.get(name)))
        for name, one in sorted(found.items())
    ]


def listing(kind: str, experiments: Mapping[str, str] = NAMES) -> str:
    """The table of one kind, at most 100 columns wide where its names allow it."""
    from tabulate import tabulate

    if kind not in ("layers", "losses"):
        rows = list(experiments.items()) if kind == "experiments" else _named(kind)
        return str(tabulate(rows, [kind, "what it is"], maxcolwidths=[None, 90]))
    first: dict[str, str] = {}
    shown = [
        [entry.name, "\n".join([entry.summary, *_declared(entry, first)]), entry.samples] for entry in entries(kind)
    ]
    headers = [kind, "what it is, and its conventions", "samples"]
    padding = 2  # which tabulate adds to a header that is wider than its column
    taken = [max(len(str(row[place])) for row in [*shown, headers]) + padding for place in (0, 2)]
    table = str(tabulate(shown, headers, maxcolwidths=[None, WIDTH - 4 - sum(taken), None]))
    return f"{table}\n\nsamples: of PyTorch's own test database of modules, passed of all; blank where it has none"


def _declared(entry: Entry, first: dict[str, str]) -> list[str]:
    """The conventions of a class; those that the row of another class has shown already, by its name alone."""
    others = dict.fromkeys(first[one] for one in entry.conventions if one in first)
    lines = [one for one in entry.conventions if first.setdefault(one, entry.name) == entry.name]
    return [*lines, *([f"Conventions of {', '.join(others)}."] if others else [])]


def _named(kind: str) -> list[tuple[str, str]]:
    """The names of one kind, each with what it is."""
    if kind == "causes":
        from compare.diagnosis.catalogue import CAUSES

        return list(CAUSES.items())
    if kind == "faults":
        from compare.faults.table import table

        return [(fault["name"], fault["mistake"]) for fault in table()["faults"]]
    return [(entry.name, entry.summary) for entry in entries(kind)]


def _optim(kind: str) -> dict[str, Any]:
    """The optimizers or the schedulers of the manual wing."""
    import manual.optim
    import manual.optim.lr_scheduler

    module = manual.optim if kind == "optimizers" else manual.optim.lr_scheduler
    base = "Optimizer" if kind == "optimizers" else "LRScheduler"
    return {name: value for name, value in vars(module).items() if inspect.isclass(value) and name != base}


def _modules(kind: str) -> dict[str, Any]:
    """The layers or the losses of the manual wing: a loss is a module that knows what its mean divides by."""
    import manual.nn

    found = {
        name: value
        for name, value in vars(manual.nn).items()
        if inspect.isclass(value) and issubclass(value, manual.nn.Module) and value is not manual.nn.Module
    }
    return {name: value for name, value in found.items() if hasattr(value, "denominator") == (kind == "losses")}


def _summary(kind: Any) -> str:
    """The first line of a docstring."""
    return _plain((inspect.getdoc(kind) or "").partition("\n")[0])


def _passed(count: dict[str, int] | None) -> str:
    return f"{count['passed']} of {count['samples']}" if count else ""


def conventions(kind: Any) -> list[str]:
    """What a module's docstring declares as a convention, then what the rules behind it declare."""
    return _conventions_in([inspect.getdoc(kind) or "", *_docstrings_behind(kind)])


def _declared_by_class(kind: Any) -> list[str]:
    """What a class declares as a convention itself."""
    return _conventions_in([inspect.getdoc(kind) or ""])


def _conventions_in(docstrings: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for docstring in docstrings:
        for paragraph in re.findall(r"^Convention: .*?(?=^Convention:|^\s*$|\Z)", docstring, re.MULTILINE | re.DOTALL):
            found[_plain(paragraph)] = None
    return list(found)


def _docstrings_behind(kind: Any) -> Iterator[str]:
    """The docstrings of the rules that a module applies; a sum or a mean is not what it does."""
    for rule in rules_behind(kind):
        if getattr(rule, "__module__", "") != "manual.rules.reduction" or rule is getattr(kind, "_rule", None):
            yield inspect.getdoc(rule) or ""


def rules_behind(kind: Any) -> Iterator[Any]:
    """The rules that a module applies: its ``_rule``, or those named by ``forward`` and the helpers that it calls."""
    from manual import rules
    from manual.nn import functional
    from manual.rules import losses

    rule = getattr(kind, "_rule", None)
    if rule is not None:
        yield rule
        return
    waiting, seen = [kind.forward], set()
    while waiting:
        for owner, name in re.findall(r"\b(rules|losses|functional|self)\.(\w+)", inspect.getsource(waiting.pop(0))):
            if (owner, name) in seen:
                continue
            seen.add((owner, name))
            found = getattr(
                {"rules": rules, "losses": losses, "functional": functional, "self": kind}[owner], name, None
            )
            if owner in ("rules", "losses"):
                if found is not None:
                    yield found
            elif inspect.isfunction(found):
                waiting.append(inspect.unwrap(found))


def _plain(text: str) -> str:
    """One line without the marks of reStructuredText."""
    text = re.sub(r":\w+:`[~.\w]*?(\w+)`", r"\1", " ".join(text.split())).replace("``", "")
    return re.sub(r"(?<![\w*(])\*(\w+)\*(?![\w*)])", r"\1", text)
