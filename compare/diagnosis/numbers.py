"""Which numbers of a run a factor equals: ``0.0833`` is one over the twelve rows of the batch.

A factor that is none of them is still a factor; one that is says which line to look at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

__all__ = ["equals", "recognise"]

_PLAIN = {"2": 2.0, "1/2": 0.5, "4": 4.0, "1/4": 0.25, "3": 3.0, "1/3": 1 / 3, "10": 10.0, "1/10": 0.1}


def recognise(value: float, numbers: Mapping[str, float], tolerance: float = 1e-9) -> list[str]:
    """Say what a number equals, the simplest reading first.

    Tried are plain small numbers; each number of the run, its inverse, square, root, double and half; ``n/(n-1)`` for
    counts and ``1-n`` for fractions, each with its inverse; and products and quotients of two. A minus sign is allowed
    throughout.

    Parameters
    ----------
    value : the number
    numbers : what the run is made of, by name: ``{"rows": 12, "micro-batches": 3, "lr": 0.1}``
    tolerance : relative

    Returns
    -------
    Readings such as ``"1/rows"``; empty where nothing fits, and for zero, infinity and NaN.

    Examples
    --------
    >>> recognise(1 / 12, {"micro-batches": 3, "rows": 12})
    ['1/rows']
    >>> recognise(-4 / 3, {"micro-batches": 4})
    ['-micro-batches/(micro-batches - 1)']
    """
    if not math.isfinite(value) or value == 0:
        return []
    size, sign = abs(value), "-" if value < 0 else ""
    found: dict[str, int] = {}
    for complexity, text, candidate in _readings(numbers):
        if math.isfinite(candidate) and abs(size - candidate) <= tolerance * candidate:
            found.setdefault(f"{sign}{text}", complexity)
    return sorted(found, key=lambda text: found[text])


def equals(value: float, numbers: Mapping[str, float], tolerance: float = 1e-9) -> str:
    """The same as the end of a sentence: ``"0.0833333 = 1/rows"``, or the number alone."""
    readings = recognise(value, numbers, tolerance)
    return f"{value:.6g}" + (f" = {readings[0]}" if readings and readings[0] != f"{value:.6g}" else "")


def _readings(numbers: Mapping[str, float]) -> Iterator[tuple[int, str, float]]:
    """Candidates as (complexity, text, positive value)."""
    yield 0, "1", 1.0
    for text, plain in _PLAIN.items():
        yield 1, text, plain
    known = {name: float(n) for name, n in numbers.items() if n > 0 and n != 1 and math.isfinite(n)}
    for name, n in known.items():
        yield 2, name, n
        yield 3, f"1/{name}", 1 / n
        yield 4, f"2 * {name}", 2 * n
        yield 4, f"{name}/2", n / 2
        yield 4, f"2/{name}", 2 / n
        yield 4, f"1/(2 * {name})", 0.5 / n
        yield 4, f"{name}^2", n * n
        yield 4, f"1/{name}^2", 1 / (n * n)
        yield 4, f"sqrt({name})", math.sqrt(n)
        yield 4, f"1/sqrt({name})", 1 / math.sqrt(n)
        if n > 1:
            yield 4, f"{name}/({name} - 1)", n / (n - 1)
            yield 4, f"({name} - 1)/{name}", (n - 1) / n
        else:
            yield 4, f"1 - {name}", 1 - n
            yield 4, f"1/(1 - {name})", 1 / (1 - n)
    names = list(known)
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            n, m = known[name], known[other]
            yield 5, f"{name} * {other}", n * m
            yield 5, f"{name}/{other}", n / m
            yield 5, f"{other}/{name}", m / n
            yield 6, f"1/({name} * {other})", 1 / (n * m)
