"""Time rivals in turn, and say what their ratios are.

A machine's speed drifts by tens of percent within minutes. So the rivals take turns within each round, and what is
reported is the median and the quartiles of the ratios *within* the rounds, from which the drift has gone.
"""

from __future__ import annotations

import platform
import resource
import statistics
import sys
import timeit
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

__all__ = ["Quartiles", "environment", "extra_resident", "in_turn", "quartiles", "ratio", "seconds"]


class Quartiles(NamedTuple):
    """A median between its quartiles."""

    lower: float
    median: float
    upper: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.lower:.3g} to {self.upper:.3g})"


def quartiles(values: list[float]) -> Quartiles:
    """Find the median and the quartiles, which are interpolated between the values and never lie outside them."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))


def in_turn(
    rivals: Mapping[str, Callable[[], object]], *, rounds: int = 7, least: float = 0.01
) -> dict[str, list[float]]:
    """Time each rival once per round, and return its seconds per call, round by round.

    Parameters
    ----------
    rivals : calls without arguments, by name
    rounds : how many times all of them are timed
    least : a rival is called so often in a row that it takes about this many seconds or more

    The order of the turns rotates from round to round, so that nobody always finds the cache that the same rival left.
    """
    timers = {name: timeit.Timer(call) for name, call in rivals.items()}
    repeats = {}
    for name, timer in timers.items():
        timer.timeit(1)
        number = 1
        while (taken := timer.timeit(number)) < least:
            number = max(number + 1, min(10 * number, int(number * least / max(taken, 1e-9)) + 1))
        repeats[name] = number
    names = list(rivals)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(timers[name].timeit(repeats[name]) / repeats[name])
    return times


def ratio(times: Mapping[str, list[float]], name: str, reference: str) -> Quartiles:
    """Divide one rival's time by another's, round by round."""
    return quartiles([own / other for own, other in zip(times[name], times[reference], strict=True)])


def seconds(time: float) -> str:
    """Write a time with its unit: ``12.3 us``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if time >= size:
            return f"{time / size:.3g} {unit}"
    return f"{time / 1e-9:.3g} ns"


def environment() -> dict[str, str]:
    """Name what the figures depend on: versions, and the threads of each pool as they are now."""
    import torch
    from threadpoolctl import threadpool_info

    pools = ", ".join(f"{pool['internal_api']} {pool['num_threads']}" for pool in threadpool_info())
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": f"torch {torch.get_num_threads()}, {pools}",
    }


def extra_resident(call: Callable[[], object]) -> int:
    """Measure by how many bytes a call raises the process's greatest resident size, in steps of about 64 KiB.

    It sees the memory of any library, where ``tracemalloc`` sees NumPy's and Python's only. The greatest size may lie
    above the present one, which would hide a part of the rise, so ballast first fills that gap. Use a fresh process for
    each call, started by a small one: a child begins with its parent's peak.
    """
    unit = 1024 if sys.platform != "darwin" else 1

    def greatest() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    ballast = []
    before = greatest()
    while greatest() == before:
        ballast.append(np.ones(1 << 16, np.uint8))
    before = greatest()
    call()
    extra = greatest() - before
    ballast.clear()
    return extra
