"""How small an error in one element of one gradient is seen: by lockstep, ``assert_close`` and ``assert_allclose``.

In every scenario of the built-in experiments, one element of each parameter's first gradient is made wrong by a
fraction ``e`` of itself: the largest element, one of ordinary size (the median of those that are not zero) and a small
one (the tenth percentile). Lockstep walks the step under its default tolerance, and has seen an error only where its
first divergence is that gradient. The rivals judge the gradients of the step with their default tolerances. What they
call wrong when nothing is planted is counted as false alarms, and not as seen.

In later steps rounding has been added up, so that a fraction of the element says little; there the table gives the
error in multiples of the noise floor that was measured at that very step.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.timing import environment
from compare.experiment import Scenario, Setting
from compare.experiments import CATALOGUE
from compare.fuzz.sensitivity import SIZES, Plant, Trial, gradients_at, plants, threshold
from compare.threads import threads
from compare.verdict import Outcome

OURS, TORCH, NUMPY = "lockstep", "assert_close", "assert_allclose"
JUDGES = (OURS, TORCH, NUMPY)
LEAST = {"float64": 1e-17, "float32": 1e-9}
PROMISED = {"float64": 1e-12, "float32": 1e-5}
LATER = (2, 10)

Judge = Callable[[np.ndarray, np.ndarray], object]
RIVALS: dict[str, Judge] = {
    TORCH: lambda actual, expected: torch.testing.assert_close(torch.from_numpy(actual), torch.from_numpy(expected)),
    NUMPY: np.testing.assert_allclose,
}


@dataclass(frozen=True)
class Result:
    """What one plant came to: for each judge the smallest error that it saw, infinite for none, ``None`` where it
    objects to the honest gradient."""

    experiment: str
    scenario: str
    dtype: str
    plant: Plant
    thresholds: dict[str, float | None]
    multiple: float | None = None


def scenarios(names: Iterable[str], dtype: str) -> list[tuple[str, Scenario]]:
    """Every scenario of the experiments; the contrasts are wrong on purpose and left out."""
    return [(name, scenario) for name in names for scenario in CATALOGUE[name].build(Setting(dtype)).scenarios]


def accepts(judge: Judge, actual: np.ndarray, expected: np.ndarray) -> bool:
    """Whether an assertion passes."""
    try:
        judge(actual, expected)
    except AssertionError:
        return False
    return True


def excess(judge: Judge, gradient: np.ndarray, expected: np.ndarray, plant: Plant, error: float) -> float:
    """Infinite if an assertion fails for a gradient with an error in it, else 0."""
    planted = gradient.copy()
    planted[plant.index] = float(planted[plant.index]) * (1 + error)
    return 0.0 if accepts(judge, planted, expected) else math.inf


def first_step(name: str, scenario: Scenario, dtype: str) -> list[Result]:
    """Plant errors in every first gradient."""
    trial = Trial(scenario.actual, scenario.expected, scenario.steps[:1], scenario.sync)
    is_honest = trial.verdict().outcome is not Outcome.DIVERGED
    expected = gradients_at(scenario.expected, scenario.steps, 1)
    actual = gradients_at(scenario.actual, scenario.steps, 1, scenario.expected())
    results = []
    for plant in plants(expected, 1):
        least = threshold(partial(trial.excess, plant), LEAST[dtype]) if is_honest else None
        found: dict[str, float | None] = {OURS: least}
        pair = actual[plant.name], expected[plant.name]
        for rival, judge in RIVALS.items():
            honest = accepts(judge, *pair)
            found[rival] = threshold(partial(excess, judge, *pair, plant), LEAST[dtype]) if honest else None
        results.append(Result(name, scenario.name, dtype, plant, found))
    return results


def later_steps(name: str, scenario: Scenario, dtype: str) -> list[Result]:
    """Plant errors of ordinary size in later gradients, and find the multiple of the floor at which they are seen."""
    trial = Trial(scenario.actual, scenario.expected, scenario.steps, scenario.sync)
    results = []
    for step in LATER:
        if step > len(scenario.steps):
            break
        for plant in plants(gradients_at(scenario.expected, scenario.steps, step), step, ("ordinary",)):
            least = threshold(partial(trial.excess, plant), LEAST[dtype], within=1.1)
            first = None if math.isinf(least) else trial.seen(plant, least)
            multiple = None if first is None else first.judgement.noise_multiple
            results.append(Result(name, scenario.name, dtype, plant, {OURS: least}, multiple))
    return results


# -- tables ------------------------------------------------------------------------------------------------------------


def fraction(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.1e}"


def first_table(results: list[Result]) -> str:
    """One row for each dtype, size of element and judge."""
    rows = []
    for dtype in LEAST:
        for size in SIZES:
            some = [result for result in results if result.dtype == dtype and result.plant.size == size]
            for judge in JUDGES if some else ():
                found = [result.thresholds[judge] for result in some]
                honest = [value for value in found if value is not None]
                row = [dtype, size, judge, len(some), len(found) - len(honest)]
                shares = [f"{sum(value <= e for value in honest)}" for e in (PROMISED[dtype], 1e-3, 1.0)]
                half, always = (statistics.median_high(honest), max(honest)) if honest else (math.inf, math.inf)
                rows.append([*row, fraction(half), fraction(always), *shares])
    headers = ["dtype", "element", "judge", "plants", "false alarms", "e seen half the time", "e always seen"]
    headers += ["seen at 1e-12 / 1e-5", "seen at 1e-3", "seen at 1"]
    return tabulate(rows, headers, disable_numparse=True, maxheadercolwidths=12)


def later_table(results: list[Result]) -> str:
    """One row for each dtype and step."""
    rows = []
    for dtype in LEAST:
        for step in LATER:
            some = [result for result in results if result.dtype == dtype and result.plant.step == step]
            seen = [result.multiple for result in some if result.multiple is not None]
            if some:
                multiples = [f"{statistics.median(seen):.1f}", f"{max(seen):.1f}"] if seen else ["never", "never"]
                fractions = [value for result in some if (value := result.thresholds[OURS]) is not None]
                middle, worst = fraction(statistics.median_high(fractions)), fraction(max(fractions))
                rows.append([dtype, step, len(some), len(some) - len(seen), *multiples, middle, worst])
    headers = ["dtype", "step", "plants", "never seen", "floors, half", "floors, always", "e, half", "e, always"]
    return tabulate(rows, headers, disable_numparse=True)


def worst_table(results: list[Result], count: int = 8) -> str:
    """The plants of ordinary size that lockstep sees last."""
    rows = []
    for dtype in LEAST:
        some = [result for result in results if result.dtype == dtype and result.plant.size == "ordinary"]
        some.sort(key=lambda result: result.thresholds[OURS] or math.inf, reverse=True)
        for result in some[:count]:
            plant = result.plant
            place = f"{plant.name}{list(plant.index)}"
            least = fraction(result.thresholds[OURS] or math.inf)
            rows.append([dtype, result.experiment, result.scenario, place, f"{plant.value:.2e}", least])
    return tabulate(rows, ["dtype", "experiment", "scenario", "element", "value", "e seen"], disable_numparse=True)


def record(result: Result) -> dict[str, Any]:
    plant = result.plant
    return {
        "experiment": result.experiment,
        "scenario": result.scenario,
        "dtype": result.dtype,
        "step": plant.step,
        "name": plant.name,
        "index": list(plant.index),
        "size": plant.size,
        "value": plant.value,
        "thresholds": {
            judge: None if value is None else value if math.isfinite(value) else "inf"
            for judge, value in result.thresholds.items()
        },
        "noise_multiple": result.multiple,
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sensitivity", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="EXPERIMENT", help="only these experiments")
    parser.add_argument("--no-later", action="store_true", help="leave out the later steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in CATALOGUE]
    if unknown:
        parser.error(f"no experiment is called {unknown[0]!r}; known: {', '.join(CATALOGUE)}")
    names = options.names or list(CATALOGUE)
    start = time.perf_counter()
    first, later = [], []
    with threads(1):
        setting = environment()
        pairs = [(dtype, *pair) for dtype in LEAST for pair in scenarios(names, dtype)]
        for dtype, name, scenario in tqdm(pairs, unit="scenario", leave=False, disable=not sys.stderr.isatty()):
            first += first_step(name, scenario, dtype)
            if not options.no_later:
                later += later_steps(name, scenario, dtype)
    print(", ".join(f"{name} {value}" for name, value in setting.items()))
    print(f"{len(first) + len(later)} places in {len(pairs)} scenarios, {time.perf_counter() - start:.0f} s")
    print(f"\nFirst step: an error of e of itself in one element of one gradient\n{first_table(first)}")
    print(f"\nFirst step: what lockstep sees last, of ordinary size\n{worst_table(first)}")
    if later:
        print(f"\nLater steps: lockstep, elements of ordinary size, in noise floors of that step\n{later_table(later)}")
    if options.json:
        figures = {"environment": setting, "first": list(map(record, first)), "later": list(map(record, later))}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
