"""What the templates show, picked from a record: one view a run, an experiment and a walk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from compare.report.html.charts import losses_svg
from compare.report.html.tree import module_tree
from compare.report.html.unpacking import Columns
from compare.report.html.words import address, count, extent_words

__all__ = ["run_view"]

_ORDER = ("error", "diverged", "abstained", "equivalent")
_HEADLINES = {
    "equivalent": "Both sides are equivalent",
    "diverged": "The sides part",
    "abstained": "No verdict",
    "error": "A side raised",
}
SIGNS = {"equivalent": "=", "diverged": "≠", "abstained": "?", "error": "!"}
_SHADES = 6


def run_view(record: Mapping[str, Any]) -> dict[str, Any]:
    """The whole page: what is said on top, and every experiment."""
    numbers = iter(range(1, 1_000_000))
    experiments = [_experiment(one, numbers) for one in record["experiments"]]
    worst = min(experiments, key=lambda one: _ORDER.index(one["outcome"]), default=None)
    if worst is not None:
        worst["open"] = True
        _open_one(worst)
    return {
        "outcome": record["outcome"],
        "sign": SIGNS[record["outcome"]],
        "title": f"gradlock: {record['outcome']}",
        "headline": _headline(record["outcome"], worst, experiments),
        "hero": worst if worst is not None and worst["outcome"] != "equivalent" else None,
        "facts": _facts(record),
        "experiments": experiments,
        "environment": _environment(record),
        "signs": SIGNS,
    }


def _open_one(experiment: dict[str, Any]) -> None:
    """Open the walk that says why the experiment has its outcome."""
    shown = next((w for w in experiment["walks"] if w["outcome"] == experiment["outcome"]), None)
    shown = shown or next(iter(experiment["walks"]), None)
    if shown is not None:
        shown["open"] = True


def _headline(outcome: str, worst: dict[str, Any] | None, experiments: list[dict[str, Any]]) -> str:
    if worst is None:
        return "Nothing was compared"
    if outcome == "equivalent" and len(experiments) > 1:
        return f"All {len(experiments)} are equivalent"
    first = worst["first"]
    if outcome == "diverged" and first is not None:
        return f"The sides part at {first['where']}"
    if outcome == "diverged":
        return "Not as it must be"
    return _HEADLINES[outcome]


def _facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The run in a few figures."""
    experiments = record["experiments"]
    walks = [walk for one in experiments for walk in one["scenarios"]]
    facts = [("checkpoints compared", count(sum(one["checkpoints"] for one in experiments)))]
    if len(experiments) > 1:
        facts.insert(0, ("experiments", count(len(experiments))))
    facts.append(("steps walked", count(sum(walk["steps"] for walk in walks))))
    measured = [one["worst"] for one in experiments if one["worst"] and not isinstance(one["worst"]["error"], str)]
    if measured:
        facts.append(("largest disagreement", extent_words(max(measured, key=lambda one: float(one["error"])))))
    for kind, key, words in (("contrasts", "as_it_must", "planted mistakes seen"), ("claims", "holds", "claims hold")):
        held = [one[key] for experiment in experiments for one in experiment[kind]]
        if held:
            facts.append((words, f"{sum(held)} of {len(held)}"))
    return facts


def _environment(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    setting = {
        name.replace("_", "-"): "the experiment's own" if value is None else str(value)
        for name, value in record["setting"].items()
        if name != "fail_fast" or value
    }
    if all(value is None for name, value in record["setting"].items() if name in ("steps", "optimizer", "sync")):
        setting = {name: text for name, text in setting.items() if text != "the experiment's own"}
    return [(name, str(value)) for name, value in record["environment"].items()] + list(setting.items())


def _experiment(one: Mapping[str, Any], numbers: Iterator[int]) -> dict[str, Any]:
    walks = [_walk(walk, "scenario", next(numbers)) for walk in one["scenarios"]]
    walks += [_walk(walk, "contrast", next(numbers)) for walk in one["contrasts"]]
    diverging = next((walk for walk in walks if walk["kind"] == "scenario" and walk["outcome"] == "diverged"), None)
    return {
        **{key: one[key] for key in ("name", "dtype", "outcome", "reason", "checkpoints", "worst", "claims", "tables")},
        "id": f"e{next(numbers)}",
        "sign": SIGNS[one["outcome"]],
        "first": one["first_divergence"],
        "causes": one["causes"],
        "where": address(one["worst"]["at"]) if one["worst"] else "",
        "steps": sum(walk["steps"] for walk in one["scenarios"]),
        "contrasts": one["contrasts"],
        "strips": [walk["strip"] for walk in walks if walk["kind"] == "scenario"],
        "names": " ".join([one["name"], *(walk["name"] for walk in walks)]),
        "walks": walks,
        "diverging": diverging,
        "open": False,
    }


def _walk(walk: Mapping[str, Any], kind: str, number: int) -> dict[str, Any]:
    history = walk.get("history")
    columns = Columns(history) if history and history["count"] else None
    first = walk["first_divergence"]
    kept = history["divergences"] if history else []
    around = next((one["around"] for one in kept if first and _same(one, first)), None)
    losses = history["losses"] if history else {"step": []}
    identity = f"w{number}"
    return {
        **walk,
        "kind": kind,
        "id": identity,
        "sign": SIGNS[walk["outcome"]],
        "first": first,
        "others": [fault for fault in walk["faults"] if not (first and _same(fault, first))],
        "around": None if around is None else _matrices(around),
        "limit": 5.0 if walk["tolerance"] == "measured" else 1.0,
        "chart": losses_svg(losses, first["step"] if first else None, identity) if len(losses["step"]) > 1 else None,
        "losses": _only_loss(losses),
        "tree": module_tree(columns, walk["coverage"], first["culprit"] if first else None),
        "strip": columns.strip() if columns else "",
        "data": None if columns is None or history is None else _data(history, first),
        "columns": columns,
        "open": False,
    }


def _only_loss(losses: Mapping[str, Any]) -> dict[str, Any] | None:
    """The numbers of a single step, which make no curve."""
    if len(losses["step"]) != 1:
        return None
    actual, expected = losses["actual"][0], losses["expected"][0]
    apart = float(actual) - float(expected)
    return {"actual": actual, "expected": expected, "apart": apart if math.isfinite(apart) else str(apart)}


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("step", "micro_batch", "phase", "name", "call", "output"))


def _data(history: Mapping[str, Any], first: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the script needs of one walk."""
    kept = ("keys", "elements", "layout", "columns", "count", "limit", "unit", "width", "seen")
    shown = (
        "step", "micro_batch", "phase", "name", "call", "output", "culprit", "own_or_inherited", "kind", "text",
        "index", "actual", "expected", "max_abs", "max_rel", "max_ulp", "nonfinite", "digits", "nearer",
    )  # fmt: skip
    return {
        **{key: history[key] for key in kept},
        "divergences": [{key: one[key] for key in shown} for one in history["divergences"]],
        "first": first and {key: first[key] for key in ("step", "micro_batch", "phase", "name", "call", "output")},
    }


def _matrices(around: Mapping[str, Any]) -> dict[str, Any]:
    """Both sides and their difference around an element, each a table with the indices of its rows and columns."""
    index: list[int] = [0, 0, *around["index"]]
    *held, row, column = index
    held = held[2:] if len(around["index"]) >= 2 else []
    top, left = around["corner"]
    apart = [
        [_minus(mine, theirs) for mine, theirs in zip(*rows, strict=True)]
        for rows in zip(around["actual"], around["expected"], strict=True)
    ]
    sizes = [abs(value) for cells in apart for value in cells if isinstance(value, float) and value]
    shades = [[_shade(value, sizes) for value in cells] for cells in apart]
    vector = len(around["shape"]) < 2
    return {
        "held": held,
        "columns": [left + place for place in range(len(around["actual"][0]))],
        "rows": [None if vector else top + place for place in range(len(around["actual"]))],
        "at": (row - top, column - left),
        "shape": around["shape"],
        "sides": [
            ("actual", around["actual"], None),
            ("expected", around["expected"], None),
            ("difference", apart, shades),
        ],
    }


def _minus(mine: Any, theirs: Any) -> Any:
    found = float(mine) - float(theirs)
    return found if math.isfinite(found) else str(found)


def _shade(value: Any, sizes: list[float]) -> int:
    """How dark a difference is shown: by its decades below the largest of those around it."""
    if isinstance(value, str):
        return _SHADES
    if not value:
        return 0
    return max(1, _SHADES - int(math.log10(max(sizes) / abs(value))))
