"""``python -m benchmarks``: every performance figure, as a ratio of two things measured in turn in this run."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from benchmarks.measuring import calibration_rows
from benchmarks.modules import module_rows
from benchmarks.optimizers import optimizer_rows
from benchmarks.training import lockstep_rows, step_rows
from compare.threads import threads


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="rounds of each pair (default: 11)")
    parser.add_argument(
        "--quick", action="store_true", help="few and small tensors for the optimizers, and no comparison of large ones"
    )
    parser.add_argument("--part", action="append", choices=[*PARTS, "comparing"], help="only this one, or these")
    arguments = parser.parse_args()
    chosen = arguments.part or [*PARTS, *([] if arguments.quick else ["comparing"])]
    with threads(1) as count:
        print(
            f"threads: BLAS {count}, torch {torch.get_num_threads()}; numpy {np.__version__}, torch {torch.__version__}"
        )
        for name, part in PARTS.items():
            if name in chosen:
                part(arguments.rounds, arguments.quick)
    if "comparing" in chosen and importlib.util.find_spec("benchmarks.comparing"):
        print("\nComparing two tensors", flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks.comparing"], check=True)


def _print(title: str, first: list[str], rows: list[list[Any]], missing: Sequence[str] = (), where: str = "") -> None:
    headers = [*first, "A, us", "B, us", "ratio A/B", "first quartile", "third"]
    formats = (*("" for _ in first), ".1f", ".1f", ".3f", ".3f", ".3f")
    print(f"\n{title}\n{tabulate(rows, headers, floatfmt=formats)}", flush=True)
    if missing:
        print(f"left out, because {where} has them not: {', '.join(missing)}")


def _steps(rounds: int, quick: bool) -> None:
    _print("One training step, manual / torch eager", ["case", "dtype"], step_rows(rounds))
    _print("One lockstep step / one bare torch step", ["case", "dtype"], lockstep_rows(rounds))


def _modules(rounds: int, quick: bool) -> None:
    title = "One forward and backward pass in float32, manual / torch eager"
    _print(title, ["case"], *module_rows(rounds), "manual.nn")


def _optimizers(rounds: int, quick: bool) -> None:
    title = "One step of an optimizer, manual / torch's default implementation"
    _print(title, ["optimizer", "size", "dtype"], *optimizer_rows(rounds, quick), "manual.optim")


def _calibration(rounds: int, quick: bool) -> None:
    headers = ["case", "dtype", "A, us", "B, us", "ratio A/B", "first quartile", "third", "memory A/B"]
    table = tabulate(calibration_rows(rounds), headers, floatfmt=("", "", ".1f", ".1f", ".1f", ".1f", ".1f", ".3f"))
    print(f"\nMeasuring the noise floors, once per scenario / one bare torch step; floors / values\n{table}")


PARTS: dict[str, Callable[[int, bool], None]] = {
    "steps": _steps,
    "modules": _modules,
    "optimizers": _optimizers,
    "calibration": _calibration,
}


if __name__ == "__main__":
    main()
