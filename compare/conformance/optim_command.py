"""What ``gradlock conformance optimizers`` and ``gradlock conformance schedulers`` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch

from compare.batches import InputError
from compare.conformance import database, optimizers, schedulers
from compare.conformance.command import failure_lines, failure_record, finite, shown
from compare.conformance.judging import Outcome
from compare.conformance.schedules import TABLE

__all__ = ["Row", "record", "run_optimizers", "run_schedulers", "text"]

_HEADERS = {"foreach": "torch foreach", "fused": "torch fused", "fused, other strides": "other strides"}
_LEGEND = """\
noise floors: of the manual wing; up to 5 is rounding
torch foreach, torch fused: how far torch's own kernels lie from its plain loop over tensors, in noise floors
other strides: torch fused where a gradient is laid out in memory otherwise than its parameter
"""
_MOST_GAPS = 20
"""So many gaps of one sample are put in a report."""


@dataclass
class Row:
    """All that was run of one optimizer in one dtype, or of one chain of schedulers."""

    name: str
    dtype: str | None
    samples: list[Outcome] = field(default_factory=list)

    @property
    def passed(self) -> int:
        return sum(sample.passed for sample in self.samples)

    @property
    def multiple(self) -> float:
        return max((sample.multiple for sample in self.samples), default=0.0)

    @property
    def implementations(self) -> dict[str, dict[str, Any]]:
        """For each of torch's implementations its largest distance, and in how many configurations it raises."""
        found: dict[str, dict[str, Any]] = {}
        for sample in self.samples:
            for name, multiple in getattr(sample, "implementations", {}).items():
                one = found.setdefault(name, {"noise_multiple": 0.0, "raises": 0})
                if multiple is None:
                    one["raises"] += 1
                else:
                    one["noise_multiple"] = max(one["noise_multiple"], multiple)
        return {name: {**one, "noise_multiple": finite(one["noise_multiple"])} for name, one in found.items()}


def run_optimizers(
    match: str | None = None, *, dtypes: Sequence[str] = ("float64", "float32"), progress: bool | None = None
) -> list[Row]:
    """Run every configuration of the optimizers whose name matches.

    Raises
    ------
    InputError
        If nothing matches, or the database cannot be read.
    """
    names = [name for name in database.optimizers() if match is None or fnmatchcase(name, match)]
    if not names:
        raise InputError(f"no optimizer of the database matches {match!r}, such as SGD or 'Ada*'")
    plan = [(dtype, one) for dtype in dtypes for name in names for one in database.configurations(name)]
    rows: dict[tuple[str, str], Row] = {}
    for dtype, one in shown(plan, lambda pair: f"{pair[1].label}, {pair[0]}", progress):
        row = rows.setdefault((one.optimizer, dtype), Row(one.optimizer, dtype))
        row.samples.append(optimizers.conform(one, dtype))
    return list(rows.values())


def run_schedulers(match: str | None = None, *, progress: bool | None = None) -> list[Row]:
    """Run every schedule in which a scheduler takes part whose name matches: the database's, then the table's.

    Raises
    ------
    InputError
        If nothing matches, or the database cannot be read.
    """
    plan = [*database.schedules(), *TABLE]
    if match is not None:
        plan = [one for one in plan if any(fnmatchcase(name, match) for name in (*one.names, one.name))]
    if not plan:
        raise InputError(f"no scheduler matches {match!r}, such as StepLR or 'Cosine*'")
    rows: dict[str, Row] = {}
    for one in shown(plan, lambda one: one.label, progress):
        rows.setdefault(one.name, Row(one.name, None)).samples.append(schedulers.conform(one))
    return list(rows.values())


def record(kind: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The results as JSON; ``kind`` is ``"optimizers"`` or ``"schedulers"``."""
    passed, samples = sum(row.passed for row in rows), sum(len(row.samples) for row in rows)
    return {
        "schema_version": 1,
        "torch": torch.__version__,
        "passed": passed,
        "samples": samples,
        "exit_code": 0 if passed == samples else 1,
        kind: [
            {
                "name": row.name,
                **({} if row.dtype is None else {"dtype": row.dtype}),
                "passed": row.passed,
                "samples": len(row.samples),
                "compared": sum(sample.compared for sample in row.samples),
                "noise_multiple": finite(row.multiple),
                **({} if row.dtype is None else {"implementations": row.implementations}),
                "failures": [
                    failure_record(sample.label, sample.problem, sample.gaps, most=_MOST_GAPS)
                    for sample in row.samples
                    if not sample.passed
                ],
            }
            for row in rows
        ],
    }


def text(found: dict[str, Any], *, failures: int = 20) -> str:
    """The table by optimizer or by scheduler, then what failed."""
    from tabulate import tabulate

    kind = "optimizers" if "optimizers" in found else "schedulers"
    rows, columns = found[kind], _COLUMNS[kind]
    table = tabulate([[show(row) for show in columns.values()] for row in rows], list(columns), disable_numparse=True)
    what = "configurations" if kind == "optimizers" else "schedules"
    return "\n".join(
        [
            str(table),
            "",
            *([_LEGEND] if kind == "optimizers" else []),
            *failure_lines([failure for row in rows for failure in row["failures"]], failures),
            f"{found['passed']} of {found['samples']} {what} pass.\n",
        ]
    )


def _multiple(row: dict[str, Any]) -> str:
    if not row["compared"]:
        return ""
    return "infinitely many" if row["noise_multiple"] is None else f"{row['noise_multiple']:.2g}"


def _implementation(name: str) -> Callable[[dict[str, Any]], str]:
    def show(row: dict[str, Any]) -> str:
        one = row["implementations"].get(name)
        if one is None:
            return ""
        multiple = "infinitely many" if one["noise_multiple"] is None else f"{one['noise_multiple']:.2g}"
        return f"{multiple}, raises {one['raises']} times" if one["raises"] else multiple

    return show


_COLUMNS: dict[str, dict[str, Callable[[dict[str, Any]], str]]] = {
    "optimizers": {
        "optimizer": lambda row: row["name"],
        "dtype": lambda row: row["dtype"],
        "passed": lambda row: f"{row['passed']} of {row['samples']}",
        "noise floors": _multiple,
        **{header: _implementation(name) for name, header in _HEADERS.items()},
    },
    "schedulers": {
        "scheduler": lambda row: row["name"],
        "passed": lambda row: f"{row['passed']} of {row['samples']}",
        "noise floors": _multiple,
        "numbers": lambda row: str(row["compared"]),
    },
}
