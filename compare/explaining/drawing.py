"""Small inputs for worked examples, drawn by a seed: what to draw, and how the tables of examples write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Draw", "away", "between", "classes", "fixed", "made", "mask", "normal", "positive", "signs"]


@dataclass(frozen=True)
class Draw:
    """An input that is drawn; one with a gradient if its numbers are floating and it is not ``fixed``."""

    make: Callable[[np.random.Generator], np.ndarray]
    fixed: bool = False


def normal(*shape: int) -> Draw:
    """Normal numbers; rounded, so that the numbers on the page are the numbers of the example."""
    return Draw(lambda generator: np.round(generator.standard_normal(shape), 3))


def between(low: float, high: float, *shape: int) -> Draw:
    return Draw(lambda generator: np.round(generator.uniform(low, high, shape), 3))


def positive(*shape: int) -> Draw:
    return between(0.3, 2.5, *shape)


def away(*shape: int) -> Draw:
    """Of both signs and none near zero, where many functions have a kink."""
    return Draw(
        lambda generator: np.round(generator.uniform(0.2, 2.5, shape) * generator.choice([-1.0, 1.0], shape), 3)
    )


def mask(*shape: int) -> Draw:
    return Draw(lambda generator: generator.permutation(np.arange(int(np.prod(shape))) % 2 == 0).reshape(shape), True)


def signs(*shape: int) -> Draw:
    """Targets of -1 and 1, both of them."""
    return Draw(
        lambda generator: generator.permutation(np.arange(int(np.prod(shape))) % 2 * 2.0 - 1).reshape(shape), True
    )


def classes(count: int, *shape: int) -> Draw:
    """Classes in which as many as possible occur."""
    return Draw(lambda generator: generator.permutation(np.arange(int(np.prod(shape))) % count).reshape(shape), True)


def fixed(draw: Draw | Any) -> Draw:
    """The same without a gradient: a target, a table of positions."""
    return Draw(draw.make if isinstance(draw, Draw) else lambda generator: np.array(draw), True)


def made(inputs: tuple[Any, ...], seed: int) -> tuple[list[Any], list[bool]]:
    """The inputs of an example, and which of them have a gradient; what is not drawn stays as it is."""
    generator = np.random.default_rng([seed, len(inputs)])
    values = [item.make(generator) if isinstance(item, Draw) else item for item in inputs]
    kept = [
        isinstance(item, Draw) and not item.fixed and value.dtype.kind == "f"
        for item, value in zip(inputs, values, strict=True)
    ]
    return values, kept
