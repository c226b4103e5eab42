"""``python -m benchmarks``: every performance figure, as a ratio of two things measured in turn in this run."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys

import numpy as np
import torch
from tabulate import tabulate

from benchmarks.measuring import calibration_rows
from benchmarks.modules import module_rows
from benchmarks.training import lockstep_rows, step_rows
from compare.threads import threads


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="rounds of each pair (default: 11)")
    parser.add_argument("--quick", action="store_true", help="leave the comparison of large tensors out")
    arguments = parser.parse_args()
    with threads(1) as count:
        print(
            f"threads: BLAS {count}, torch {torch.get_num_threads()}; numpy {np.__version__}, torch {torch.__version__}"
        )
        for title, rows in (
            ("One training step, manual / torch eager", step_rows(arguments.rounds)),
            ("One lockstep step / one bare torch step", lockstep_rows(arguments.rounds)),
        ):
            headers = ["case", "dtype", "A, us", "B, us", "ratio A/B", "first quartile", "third"]
            print(f"\n{title}\n{tabulate(rows, headers, floatfmt=('', '', '.1f', '.1f', '.3f', '.3f', '.3f'))}")
        rows, missing = module_rows(arguments.rounds)
        headers = ["case", "A, us", "B, us", "ratio A/B", "first quartile", "third"]
        table = tabulate(rows, headers, floatfmt=("", ".1f", ".1f", ".3f", ".3f", ".3f"))
        print(f"\nOne forward and backward pass in float32, manual / torch eager\n{table}")
        if missing:
            print(f"left out, because manual.nn has them not: {', '.join(missing)}")
        headers = ["case", "dtype", "A, us", "B, us", "ratio A/B", "first quartile", "third", "memory A/B"]
        table = tabulate(
            calibration_rows(arguments.rounds),
            headers,
            floatfmt=("", "", ".1f", ".1f", ".1f", ".1f", ".1f", ".3f"),
        )
        print(f"\nMeasuring the noise floors, once per scenario / one bare torch step; floors / values\n{table}")
    if not arguments.quick and importlib.util.find_spec("benchmarks.comparing"):
        print("\nComparing two tensors", flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks.comparing"], check=True)


if __name__ == "__main__":
    main()
