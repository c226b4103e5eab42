"""What ``gradlock conformance modules`` does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import torch

from compare.batches import InputError
from compare.conformance import database
from compare.conformance.judging import Gap
from compare.conformance.modules import SampleResult, conform

__all__ = ["ModuleResult", "failure_lines", "failure_record", "finite", "modules", "record", "shown", "text"]

T = TypeVar("T")

DTYPES = {"float32": torch.float32, "float64": torch.float64}
MODES = {"train": True, "eval": False}


@dataclass
class ModuleResult:
    """All samples of one module in one mode and dtype."""

    name: str
    mode: str
    dtype: str
    samples: list[SampleResult] = field(default_factory=list)

    @property
    def passed(self) -> int:
        return sum(sample.passed for sample in self.samples)

    @property
    def multiple(self) -> float:
        return max((sample.multiple for sample in self.samples), default=0.0)

    @property
    def ratios(self) -> list[float]:
        return sorted(sample.ratio for sample in self.samples if sample.ratio is not None)


def modules(
    match: str | None = None,
    *,
    dtypes: Sequence[str] = ("float64", "float32"),
    modes: Sequence[str] = ("train", "eval"),
    timed: bool = True,
    progress: bool | None = None,
) -> list[ModuleResult]:
    """Run the samples of every module whose name matches.

    Raises
    ------
    InputError
        If nothing matches, or the database cannot be read.
    """
    chosen = [name for name in database.names() if match is None or fnmatchcase(name, match)]
    if not chosen:
        raise InputError(f"no module of the database matches {match!r}, such as Conv2d or 'LSTM*'")
    plan = [(name, mode, dtype) for mode in modes for dtype in dtypes for name in chosen]
    results = []
    for name, mode, dtype in shown(plan, ", ".join, progress):
        result = ModuleResult(name, mode, dtype)
        for sample in database.samples(name, DTYPES[dtype], MODES[mode]):
            result.samples.append(conform(sample, DTYPES[dtype], MODES[mode], timed=timed))
        results.append(result)
    return results


def shown(plan: Sequence[T], said: Callable[[T], str], progress: bool | None) -> Iterator[T]:
    """What is to be run, behind a progress bar that says what runs; by default on a terminal only."""
    from tqdm import tqdm

    bar = tqdm(plan, file=sys.stderr, leave=False, disable=None if progress is None else not progress)
    for one in bar:
        bar.set_description(said(one))
        yield one


def record(results: Sequence[ModuleResult]) -> dict[str, Any]:
    """The results as JSON."""
    from statistics import median

    ratios = [ratio for result in results for ratio in result.ratios]
    return {
        "schema_version": 1,
        "torch": torch.__version__,
        "passed": sum(result.passed for result in results),
        "samples": sum(len(result.samples) for result in results),
        "median_ratio": round(median(ratios), 3) if ratios else None,
        "worst_ratio": round(max(ratios), 3) if ratios else None,
        "exit_code": 0 if all(result.passed == len(result.samples) for result in results) else 1,
        "modules": [
            {
                "name": result.name,
                "mode": result.mode,
                "dtype": result.dtype,
                "passed": result.passed,
                "samples": len(result.samples),
                "noise_multiple": finite(result.multiple),
                "median_ratio": round(median(result.ratios), 3) if result.ratios else None,
                "worst_ratio": round(max(result.ratios), 3) if result.ratios else None,
                "failures": [
                    failure_record(sample.sample.label, sample.problem, sample.gaps)
                    for sample in result.samples
                    if not sample.passed
                ],
            }
            for result in results
        ],
    }


def failure_record(label: str, problem: str, gaps: Sequence[Gap], *, most: int | None = None) -> dict[str, Any]:
    """What is said of a sample that does not pass; of many gaps the first ``most``, and how many there are."""
    return {
        "sample": label,
        "problem": problem,
        "gaps": [
            {"name": gap.name, "error": finite(gap.error), "noise_multiple": finite(gap.multiple), "text": gap.text}
            for gap in gaps[:most]
        ],
        **({} if most is None else {"gaps_in_all": len(gaps)}),
    }


def finite(value: float) -> float | None:
    """A number for JSON; ``None`` for an infinite one."""
    return float(value) if abs(value) < float("inf") else None


def text(found: dict[str, Any], *, failures: int = 20) -> str:
    """The table by module, then what failed."""
    from tabulate import tabulate

    rows = [
        [
            one["name"],
            one["mode"],
            one["dtype"],
            f"{one['passed']} of {one['samples']}",
            "" if one["noise_multiple"] is None else f"{one['noise_multiple']:.2g}",
            "" if one["median_ratio"] is None else f"{one['median_ratio']:.2g}",
            "" if one["worst_ratio"] is None else f"{one['worst_ratio']:.2g}",
        ]
        for one in found["modules"]
    ]
    headers = ["module", "mode", "dtype", "passed", "noise floors", "time / torch", "worst"]
    lines = [str(tabulate(rows, headers, disable_numparse=True)), ""]
    lines += failure_lines([failure for one in found["modules"] for failure in one["failures"]], failures)
    lines.append(f"{found['passed']} of {found['samples']} samples pass.")
    return "\n".join(lines) + "\n"


def failure_lines(found: Sequence[dict[str, Any]], most: int) -> list[str]:
    """A line for each of the first failures, and how many more there are."""
    lines = []
    for failure in found[:most]:
        why = failure["problem"] or "; ".join(_gap_text(gap) for gap in failure["gaps"][:4])
        lines.append(f"{failure['sample']}: {why}")
    if len(found) > most:
        lines.append(f"... and {len(found) - most} more")
    return lines


def _gap_text(gap: dict[str, Any]) -> str:
    if gap["text"]:
        return f"{gap['name']}: {gap['text']}"
    multiple = "infinitely many" if gap["noise_multiple"] is None else f"{gap['noise_multiple']:.3g}"
    return f"{gap['name']}: off by {multiple} noise floors" + (
        "" if gap["error"] is None else f", {gap['error']:.2g} of its scale"
    )
