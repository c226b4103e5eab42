"""What can be explained, and under which spellings a name is found.

A name may be several things: ``relu`` is a rule and a function of ``manual.nn.functional``, ``one-vs-all`` an
experiment and a page of the course. All of them are shown.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from compare.batches import InputError

__all__ = ["KINDS", "Topic", "find", "topics"]


@dataclass(frozen=True)
class Topic:
    """One thing that can be explained.

    Attributes
    ----------
    kind : one of :data:`KINDS`
    name : as it is listed
    """

    kind: str
    name: str


KINDS = {
    "lesson": "ideas of the course, each on a page of its own",
    "rule": "ops of `manual.rules` and `manual.rules.losses`: a function and its pullback",
    "function": "functions of `manual.nn.functional`",
    "layer": "modules of `manual.nn`",
    "loss": "losses of `manual.nn`",
    "optimizer": "optimizers of `manual.optim`",
    "schedule": "schedules of `manual.optim.lr_scheduler`",
    "cause": "mistakes that a diagnosis can name",
    "fault": "mistakes that can be planted",
    "experiment": "built-in experiments",
    "phase": "moments of a training step at which tensors are compared",
    "word": "words that reports use",
}
"""Every kind of topic, and what it holds."""


@cache
def topics() -> dict[Topic, Any]:
    """Everything that can be explained, by kind, with the function or class behind it where there is one."""
    import manual.nn
    import manual.optim
    import manual.optim.lr_scheduler
    from compare.checkpoint import PHASES
    from compare.diagnosis.catalogue import CAUSES
    from compare.explaining.words import WORDS
    from compare.faults.table import table
    from compare.names import NAMES
    from manual import rules
    from manual.nn import functional
    from manual.rules import losses

    found: dict[Topic, Any] = {Topic("lesson", name): None for name in lesson_names()}
    for module in (rules, losses):
        found |= {Topic("rule", name): value for name, value in _functions(module) if _is_rule(value)}
    found |= {Topic("function", name): value for name, value in _functions(functional)}
    for name, value in sorted(vars(manual.nn).items()):
        if inspect.isclass(value) and issubclass(value, manual.nn.Module) and value is not manual.nn.Module:
            found[Topic("loss" if hasattr(value, "denominator") else "layer", name)] = value
    for kind, module, base in (
        ("optimizer", manual.optim, manual.optim.Optimizer),
        ("schedule", manual.optim.lr_scheduler, manual.optim.lr_scheduler.LRScheduler),
    ):
        for name, value in sorted(vars(module).items()):
            if inspect.isclass(value) and value is not base and not name.startswith("_"):
                found[Topic(kind, name)] = value
    found |= {Topic("cause", name): None for name in CAUSES}
    found |= {Topic("fault", fault["name"]): fault for fault in table()["faults"]}
    found |= {Topic("experiment", name): None for name in NAMES}
    found |= {Topic("phase", name): None for name in PHASES}
    found |= {Topic("word", name): None for name in WORDS}
    return found


def _functions(module: Any) -> list[tuple[str, Callable[..., Any]]]:
    return [
        (name, value)
        for name, value in sorted(vars(module).items())
        if not name.startswith("_") and callable(value) and not inspect.isclass(value) and not inspect.ismodule(value)
    ]


def _is_rule(value: Any) -> bool:
    """A rule returns a value and its pullback; helpers stand beside some of them."""
    return "Pullback" in str(inspect.signature(value).return_annotation)


def lesson_names() -> list[str]:
    """The pages of the course, as their files are called."""
    folder = files("compare.explaining").joinpath("pages")
    return sorted(place.name.removesuffix(".md") for place in folder.iterdir() if place.name.endswith(".md"))


_PREFIXES = {
    "rule": ("manual.rules.losses.", "manual.rules.", "rules.losses.", "rules.", "torch.", "manual."),
    "function": ("torch.nn.functional.", "manual.nn.functional.", "nn.functional.", "functional.", "f."),
    "layer": ("torch.nn.", "manual.nn.", "nn."),
    "loss": ("torch.nn.", "manual.nn.", "nn."),
    "optimizer": ("torch.optim.", "manual.optim.", "optim."),
    "schedule": (
        "torch.optim.lr_scheduler.",
        "manual.optim.lr_scheduler.",
        "optim.lr_scheduler.",
        "lr_scheduler.",
    ),
}
"""What may stand before a name, by kind; in small letters."""


def find(name: str) -> list[Topic]:
    """The topics that a name means.

    Parameters
    ----------
    name : as it is listed, or as PyTorch writes it (``torch.nn.Linear``, ``F.relu``, ``optim.Adam``); capital letters
        and hyphens are as one likes where only one spelling is meant

    Raises
    ------
    InputError
        If nothing is called so; the message names the nearest.
    """
    every = topics()
    given = name.strip().removesuffix("()")
    for same in (_exact, _folded):
        found = [topic for topic in every if given and same(topic, given)]
        if found:
            return found
    raise InputError(f"nothing to explain is called {name!r}; {_hint(given)}")


def _exact(topic: Topic, given: str) -> bool:
    if given == topic.name:
        return True
    prefixes = _PREFIXES.get(topic.kind, ())
    lowered = given.lower()
    return given.endswith(topic.name) and lowered[: len(given) - len(topic.name)] in prefixes


def _folded(topic: Topic, given: str) -> bool:
    folded = _letters(given)
    return folded == _letters(topic.name) or any(
        given.lower().startswith(prefix) and _letters(given[len(prefix) :]) == _letters(topic.name)
        for prefix in _PREFIXES.get(topic.kind, ())
    )


def _letters(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def _hint(given: str) -> str:
    last = given.rpartition(".")[2] or given
    names = dict.fromkeys(topic.name for topic in topics())
    by_letters: dict[str, list[str]] = {}
    for one in names:
        by_letters.setdefault(_letters(one), []).append(one)
    near = [one for close in get_close_matches(_letters(last), by_letters, 3, 0.6) for one in by_letters[close]]
    near.sort(key=lambda one: one.islower() != last.islower())  # a layer's name has capitals, a rule's has none
    inside = [one for one in names if len(last) > 2 and _letters(last) in _letters(one)]
    shown = list(dict.fromkeys([*near, *inside]))[:4]
    if shown:
        return f"did you mean {' or '.join(map(repr, shown))}?"
    return "`gradlock explain` lists the kinds, `gradlock list` the names"
