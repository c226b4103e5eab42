"""How much memory a long trace takes to write and to compare: ``python -m benchmarks.tracing --gigabytes 5``.

Each is done in a process of its own, which reports by how much its largest resident memory exceeds what it held with
PyTorch and this package imported. The traces are deleted afterwards.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

__all__ = ["main", "measure"]

_LAYERS, _ROWS, _WIDTH = 8, 64, 1024


def _write(folder: str, gigabytes: float) -> None:
    """Steps of eight layers of 1024 by 1024 numbers, forward to parameter, until so much is written."""
    import numpy as np

    from compare.tracing.writer import TraceWriter

    generator = np.random.default_rng(0)
    weights = generator.standard_normal((_LAYERS, _WIDTH, _WIDTH), np.float32)
    rows = generator.standard_normal((_ROWS, _WIDTH), np.float32)
    with TraceWriter(folder, dtype="float32") as trace:
        for layer in range(_LAYERS):
            trace.add(0, None, "init", f"layers.{layer}.weight", weights[layer])
        step, written = 0, 0
        while written < gigabytes * 1e9:
            step += 1
            names = [f"layers.{layer}.weight" for layer in range(_LAYERS)]
            for part in (1, 2):
                trace.weight(step, part, 0.5)
                for phase in ("forward", "backward"):
                    for layer in range(_LAYERS):
                        trace.add(step, part, phase, f"layers.{layer}", rows * np.float32(step + layer))
                for phase in ("deposit", "accumulated"):
                    for name, weight in zip(names, weights, strict=True):
                        trace.add(step, part, phase, name, weight)
            for phase in ("slots", "update", "parameter"):
                for name, weight in zip(names, weights, strict=True):
                    trace.add(step, None, phase, name, weight, output="exp_avg" if phase == "slots" else "")
            trace.add(step, None, "schedule", "group 0", 0.1 / step)
            written += 4 * (weights.nbytes + 2 * _LAYERS * rows.nbytes // 2) + 3 * weights.nbytes


def _child(task: str, places: list[str], gigabytes: float) -> dict[str, Any]:
    import compare
    import compare.tracing.writer

    if task == "compare":
        import torch  # noqa: F401

        import compare.tracing.traces

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    outcome = "written"
    if task == "write":
        _write(places[0], gigabytes)
    else:
        outcome = str(compare.traces(places[0], places[1]).outcome)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"task": task, "outcome": outcome, "seconds": seconds, "megabytes": (peak - before) / 1024}


def measure(gigabytes: float, folder: str | None = None) -> list[dict[str, Any]]:
    """Write two traces of this size and compare them."""
    base = tempfile.mkdtemp(dir=folder)
    places = [str(Path(base) / side) for side in ("actual", "expected")]
    try:
        found = []
        for task, given in (("write", places[:1]), ("write", places[1:]), ("compare", places)):
            command = [
                sys.executable,
                "-m",
                "benchmarks.tracing",
                "--child",
                task,
                *given,
                "--gigabytes",
                str(gigabytes),
            ]
            found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        size = sum(file.stat().st_size for file in Path(places[0]).iterdir())
        return [{**one, "size": size} for one in found]
    finally:
        shutil.rmtree(base)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of each trace")
    parser.add_argument("--folder", help="where there is room for two of them")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_child(options.child[0], options.child[1:], options.gigabytes)))
        return
    for one in measure(options.gigabytes, options.folder):
        print(
            f"{one['task']}: {one['outcome']}, {one['size'] / 1e9:.2f} GB in {one['seconds']:.1f} s, "
            f"{one['megabytes']:.0f} MB above the interpreter and torch"
        )


if __name__ == "__main__":
    main()
