"""The comparison of two float32 tensors against ``torch.testing.assert_close`` and ``numpy.testing.assert_allclose``.

Two kinds of data: *noise*, where each number differs by about 1e-7 of itself, as two honest computations do, and
*identical*, bit by bit. The tolerances of the rivals are so wide that they pass: a failure would cost them more. They
answer yes or no; ``difference`` finds the worst pair by three measures, the root mean square and the rest as well.

Extra memory is the rise of the greatest resident size in a process of its own for each rival, and beside it what
``tracemalloc`` saw, which is NumPy's and Python's share and none of torch's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks.timing import environment, extra_resident, in_turn, quartiles, ratio, seconds
from compare.difference import difference, differences
from compare.tally import BUFFERS
from compare.threads import threads
from manual.rules.core import Array

SIZES = (10, 1_000, 1_000_000, 100_000_000)
KINDS = ("noise", "identical")
OURS, COARSE = "difference", "difference, detail=False"
TORCH, NUMPY = "assert_close", "assert_allclose"
RIVALS = (OURS, COARSE, TORCH, NUMPY)
BLOCK = 1 << 20
TOLERANCE = 1e-3


def operands(size: int, kind: str) -> tuple[Array, Array]:
    """Make the two tensors block by block, so that making them needs less memory than comparing them."""
    generator = np.random.default_rng(size)
    expected = np.empty(size, np.float32)
    actual = np.empty(size, np.float32)
    for start in range(0, size, BLOCK):
        part = expected[start : start + BLOCK]
        generator.standard_normal(out=part, dtype=np.float32)
        noise = generator.standard_normal(part.size) if kind == "noise" else 0.0
        actual[start : start + BLOCK] = part * (1 + 1e-7 * np.asarray(noise))
    return actual, expected


def rivals(actual: Array, expected: Array) -> dict[str, Callable[[], object]]:
    """Name the calls that are timed."""
    import torch

    tensors = torch.from_numpy(actual), torch.from_numpy(expected)
    return {
        OURS: lambda: difference(actual, expected),
        COARSE: lambda: difference(actual, expected, detail=False),
        TORCH: lambda: torch.testing.assert_close(*tensors, rtol=TOLERANCE, atol=TOLERANCE),
        NUMPY: lambda: np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE),
    }


def small_tensors(kind: str) -> list[tuple[Array, Array]]:
    """Make forty pairs of 10 to 10,000 elements, as the parameters of a small network are."""
    sizes = np.geomspace(10, 10_000, 40).astype(int)
    return [operands(int(size), kind) for size in sizes]


def measure(size: int, kind: str, rounds: int) -> dict[str, Any]:
    """Time all rivals on one pair."""
    times = in_turn(rivals(*operands(size, kind)), rounds=rounds)
    return summary(times, size, kind, TORCH)


def measure_many(kind: str, rounds: int) -> dict[str, Any]:
    """Time forty small pairs at once against forty calls."""
    import torch

    pairs = small_tensors(kind)
    tensors = [(torch.from_numpy(actual), torch.from_numpy(expected)) for actual, expected in pairs]
    calls: dict[str, Callable[[], object]] = {
        OURS: lambda: differences(pairs, detail=True),
        COARSE: lambda: differences(pairs),
        TORCH: lambda: [torch.testing.assert_close(*pair, rtol=TOLERANCE, atol=TOLERANCE) for pair in tensors],
        NUMPY: lambda: [np.testing.assert_allclose(*pair, rtol=TOLERANCE, atol=TOLERANCE) for pair in pairs],
    }
    times = in_turn(calls, rounds=rounds)
    return summary(times, sum(expected.size for _, expected in pairs), f"40 small, {kind}", TORCH)


def summary(times: dict[str, list[float]], size: int, kind: str, reference: str) -> dict[str, Any]:
    """Gather what one row says."""
    return {
        "elements": size,
        "data": kind,
        "seconds": {name: quartiles(found)._asdict() for name, found in times.items()},
        "ratio_to_" + reference: {name: ratio(times, name, reference)._asdict() for name in times if name != reference},
        "gigabytes_per_second": {name: 8 * size / quartiles(found).median / 1e9 for name, found in times.items()},
    }


def memory_of(name: str, size: int, kind: str) -> dict[str, int]:
    """Measure one rival's extra memory; meant for a process of its own."""
    with threads(1):
        warm_up, call = rivals(*operands(1000, kind))[name], rivals(*operands(size, kind))[name]
        warm_up()
        BUFFERS.made.clear()
        resident = extra_resident(call)
        BUFFERS.made.clear()
        tracemalloc.start()
        call()
        traced = tracemalloc.get_traced_memory()[1]
    return {"resident": resident, "traced": traced}


def memory(size: int, kind: str) -> list[dict[str, Any]]:
    """Measure each rival's extra memory in a child, before this process has grown (a child inherits its peak)."""
    rows = []
    for name in RIVALS:
        command = [sys.executable, "-m", "benchmarks.comparing"]
        command += ["--memory-of", name, "--largest", str(size), "--data", kind]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        rows.append({"rival": name, "elements": size, "data": kind, "operand_bytes": 4 * size, **found})
    return rows


def tables(rows: list[dict[str, Any]], memories: list[dict[str, Any]]) -> str:
    """Lay out what was found."""
    lines = []
    for row in rows:
        ratios, taken = row["ratio_to_" + TORCH], row["seconds"]
        lines.append(
            [
                f"{row['elements']:,}",
                row["data"],
                *(seconds(taken[name]["median"]) for name in RIVALS),
                *("{median:.3f} ({lower:.3f} to {upper:.3f})".format(**ratios[name]) for name in (OURS, COARSE, NUMPY)),
                f"{row['gigabytes_per_second'][OURS]:.2f}",
            ]
        )
    headers = ["elements", "data", *RIVALS, *(f"{name} / {TORCH}" for name in (OURS, COARSE, NUMPY)), f"GB/s, {OURS}"]
    text = tabulate(lines, headers, disable_numparse=True, maxheadercolwidths=15)
    if memories:
        lines = [
            [
                row["rival"],
                f"{row['elements']:,}",
                row["data"],
                f"{row['resident'] / 1e6:.1f}",
                f"{row['resident'] / row['operand_bytes']:.3f}",
                f"{row['traced'] / 1e6:.1f}",
            ]
            for row in memories
        ]
        headers = ["extra memory", "elements", "data", "resident, MB", "in operands", "tracemalloc, MB"]
        text += "\n\n" + tabulate(lines, headers, disable_numparse=True)
    return text


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comparing", description=__doc__)
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="leave larger sizes out (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds in which all rivals take turns (default 7)")
    parser.add_argument("--data", choices=KINDS, action="append", help="only this kind of data")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--no-memory", action="store_true", help="leave out the extra memory")
    parser.add_argument("--memory-of", choices=RIVALS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    kinds = options.data or list(KINDS)
    if options.memory_of:
        print(json.dumps(memory_of(options.memory_of, options.largest, kinds[0])))
        return

    sizes = [size for size in SIZES if size <= options.largest]
    memories = [] if options.no_memory or not sizes else [row for kind in kinds for row in memory(sizes[-1], kind)]
    with threads(1):
        setting = environment()
        print(", ".join(f"{name} {value}" for name, value in setting.items() if name != "threads"))
        print(f"threads: {setting['threads']}; {options.rounds} rounds; median (quartiles) of the ratio within a round")
        rows = [measure(size, kind, options.rounds) for size in sizes for kind in kinds]
        rows += [measure_many(kind, options.rounds) for kind in kinds]
    print()
    print(tables(rows, memories))
    if options.json:
        record = {"environment": setting, "rounds": options.rounds, "rows": rows, "memory": memories}
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
