"""The gallery in words: a table of every path, and the numbers of the two halves."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

__all__ = ["HALVES", "MOVE", "halves_rows", "parts", "rows_of", "text"]

HEADERS = (
    "optimizer",
    "surface",
    "outcome",
    "steps",
    "ends at",
    "distance",
    "mistake parts at",
    "off the path",
    "named",
)

HALVES = (
    "Accumulation. A micro-batch of m of the M rows deposits m/M times the gradient of its own mean loss. The deposits "
    "add up to the gradient of the whole batch, however it is cut; with equal weights a short tail counts too much."
)
MOVE = (
    "One simultaneous step. Both gradients are taken at the old point, and only then both parameters move. Where the "
    "weight moves first, the bias follows a gradient of another point: downhill all the same, so nobody notices."
)


def parts(outcome: dict[str, Any]) -> str:
    """Where a verdict's sides part, in two words; the outcome where they do not."""
    found = outcome["parts"]
    return outcome["outcome"] if found is None else f"step {found['step']}, {found['phase']}"


def rows_of(one: dict[str, Any]) -> list[list[str]]:
    """The rows of one optimizer: all columns but its name."""
    rows = []
    for surface in one["surfaces"]:
        mistake = surface["mistake"]
        rows.append(
            [
                surface["name"],
                surface["outcome"] if surface["parts"] is None else f"{surface['outcome']}: {parts(surface)}",
                str(surface["steps"]),
                _point(surface["end"]),
                "" if surface["distance"] is None else f"{surface['distance']:.2g}",
                parts(mistake),
                "not seen" if mistake["leaves"] is None else f"step {mistake['leaves']}",
                mistake["cause"] or "",
            ]
        )
    return rows


def halves_rows(found: dict[str, Any]) -> list[list[str]]:
    """One row a micro-batch: rows, weight, deposit, and ``.grad`` afterwards on both sides."""
    return [
        [str(index), str(one["rows"]), f"{one['weight']:g}"]
        + [_point(one[what][side], 6) for what in ("deposit", "accumulated") for side in ("manual", "torch")]
        for index, one in enumerate(found["micro_batches"], 1)
    ]


HALVES_HEADERS = ("micro-batch", "rows", "weight", "deposit, manual", "torch", "added up, manual", "torch")


def moved_rows(found: dict[str, Any]) -> list[list[str]]:
    """Where the first step leads."""
    after = found["after_one_step"]
    words = {
        "simultaneous": "manual, both at once",
        "torch": "torch",
        "in turn": f"mistake: the weight, then the bias ({parts(found['verdicts']['in turn'])})",
    }
    return [["start", _point(found["start"], 6)], *([words[name], _point(after[name], 6)] for name in words)]


def text(record: dict[str, Any], *, quiet: bool = False) -> str:
    """The report on a terminal; ``quiet`` leaves out what is as it must be."""
    shown = [one for one in record["optimizers"] if not quiet or not _right(one)]
    blocks = []
    if shown:
        rows = [[one["name"], *row] for one in shown for row in rows_of(one)]
        align = ("left", "left", "left", "right", "right", "right", "left", "left", "left")
        blocks.append(str(tabulate(rows, HEADERS, disable_numparse=True, colalign=align)))
        blocks.append("Planted mistakes\n" + "\n".join(f"  {one['name']}: {one['mistake']}" for one in shown))
    if record["left_out"]:
        blocks.append("\n".join(f"{name} is left out: {why}" for name, why in record["left_out"].items()))
    if record["halves"] and not quiet:
        blocks += _halves(record["halves"])
    blocks += [
        f"{one['name']} on {surface['name']}: {reason}"
        for one in record["optimizers"]
        for surface in one["surfaces"]
        for reason in (surface["reason"], "" if surface["mistake"]["seen"] else _unseen(surface["mistake"]))
        if reason
    ]
    if record["files"]:
        blocks.append(f"Pictures: {record['files'][-1]}")
    return "\n\n".join(blocks) + "\n"


def _halves(found: dict[str, Any]) -> list[str]:
    verdicts = found["verdicts"]
    means = verdicts["mean of means"]["parts"]
    first = tabulate(halves_rows(found), HALVES_HEADERS, disable_numparse=True)
    second = tabulate(moved_rows(found), ("first step", "weight, bias"), disable_numparse=True)
    return [
        f"{HALVES}\n\n{first}\n"
        f"in one piece: {_point(found['whole'], 6)}; the two sides: {verdicts['cut']['outcome']}\n"
        f"mistake, every micro-batch weighs 1/3: {_point(found['mean_of_means'], 6)}; "
        f"{'not seen' if means is None else 'parts at ' + means['where']}",
        f"{MOVE}\n\n{second}",
    ]


def _right(one: dict[str, Any]) -> bool:
    return all(surface["outcome"] == "equivalent" and surface["mistake"]["seen"] for surface in one["surfaces"])


def _unseen(mistake: dict[str, Any]) -> str:
    return f"the planted mistake is not seen to lead off the path ({mistake['reason'] or mistake['outcome']})"


def _point(numbers: list[float | None], digits: int = 3) -> str:
    return ", ".join("not finite" if number is None else f"{number:.{digits}f}" for number in numbers)
