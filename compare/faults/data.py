"""The real data of the scenes, cut small: 17 rows a step, in three micro-batches with a short tail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from compare.batches import MicroBatch, cut
from compare.experiments.datasets import load, standardise
from manual.rules.core import Array

__all__ = [
    "CLASSES",
    "ROWS",
    "SIZES",
    "STEPS",
    "brightnesses",
    "columns",
    "patients",
    "pixels",
    "steps_of",
    "tokens",
    "tumours",
]

ROWS, SIZES, STEPS = 17, (8, 7, 2), 4
PIXELS = (10, 13, 18, 21, 26, 29, 34, 42, 53)
CLASSES = 10


def steps_of(
    x: Array,
    y: Array,
    dtype: str = "float64",
    weigh: Callable[[Any], float] = len,
    sizes: Sequence[int] = SIZES,
    steps: int = STEPS,
) -> list[list[MicroBatch]]:
    """Other rows at every step."""
    x = x.astype(dtype) if x.dtype.kind == "f" else x
    y = y.astype(dtype) if y.dtype.kind == "f" else y
    parts = [slice(ROWS * step, ROWS * (step + 1)) for step in range(steps)]
    return [cut(np.ascontiguousarray(x[part]), y[part], sizes, weigh) for part in parts]


def _shuffled(*arrays: Array) -> tuple[Array, ...]:
    """The rows in another order: the files are sorted, and what is sorted hides mistakes."""
    order = np.random.default_rng(3).permutation(len(arrays[0]))
    return tuple(np.ascontiguousarray(array[order]) for array in arrays)


@cache
def pixels() -> tuple[Array, Array]:
    """Nine pixels of a digit, and which digit it is."""
    digits = load("digits")
    x, y = _shuffled(digits.x[:, PIXELS] / 16, digits.y)
    return x, y


@cache
def patients() -> tuple[Array, Array]:
    """Seven measurements of a patient, and four others to be told from them."""
    diabetes = load("diabetes")
    every = np.column_stack([diabetes.x, diabetes.y])
    every = standardise(every, every.mean(0), every.std(0))
    return every[:, (0, 1, 4, 5, 6, 7, 8)], every[:, (10, 2, 3, 9)]


@cache
def tumours() -> tuple[Array, Array]:
    """Six measurements of a tumour, and whether it is benign."""
    cancer = load("breast-cancer")
    x = cancer.x[:, (0, 1, 4, 5, 8, 9)]
    x, y = _shuffled(standardise(x, x.mean(0), x.std(0)), cancer.y.astype(np.float64))
    return x, y


@cache
def tokens() -> tuple[Array, Array]:
    """Five brightnesses from 0 (blank) to 8 in a row of pixels, and the next ones."""
    brightness = load("digits").x[:, (18, 19, 20, 21, 26, 27)].astype(np.int64) // 2
    x, y = _shuffled(brightness[:, :-1], brightness[:, 1:])
    return x, y


@cache
def brightnesses() -> tuple[Array, Array]:
    """The brightness of one pixel of a digit, from 0 to 16, and which digit it is."""
    digits = load("digits")
    x, y = _shuffled(digits.x[:, 20].astype(np.int64), digits.y)
    return x, y


@cache
def columns() -> tuple[Array, Array]:
    """Four columns of a digit, six pixels each; many are blank, and of the first two digits all are."""
    digits = load("digits")
    images = digits.x.reshape(-1, 8, 8)[:, 1:7, (0, 1, 6, 7)].transpose(0, 2, 1) / 16
    order = [122, 129, *range(100)]
    return np.ascontiguousarray(images[order]), digits.y[order]
