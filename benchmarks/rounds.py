"""Timing two things in turn: rounds A B A B ..., and each round's ratio, so that a drift of the machine cancels."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Ratio", "in_turn"]


@dataclass(frozen=True)
class Ratio:
    """Seconds per call of both (medians), and the ratio A / B of the rounds: median and quartiles."""

    a: float
    b: float
    median: float
    low: float
    high: float


def _calls_for(function: Callable[[], Any], seconds: float) -> int:
    start = time.perf_counter()
    function()
    once = max(time.perf_counter() - start, 1e-7)
    return max(1, int(seconds / once))


def in_turn(a: Callable[[], Any], b: Callable[[], Any], *, rounds: int = 11, seconds: float = 0.05) -> Ratio:
    """Time two callables in turn.

    Parameters
    ----------
    a, b : callables
    rounds : an odd number of rounds
    seconds : about how long one side of one round takes
    """
    for function in (a, b):
        for _ in range(3):
            function()
    counts = _calls_for(a, seconds), _calls_for(b, seconds)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for index, function in enumerate((a, b)):
            start = time.perf_counter()
            for _ in range(counts[index]):
                function()
            times[index].append((time.perf_counter() - start) / counts[index])
    ratios = [x / y for x, y in zip(*times, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    return Ratio(statistics.median(times[0]), statistics.median(times[1]), median, low, high)
