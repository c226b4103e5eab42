"""Scenes for single layers: a linear layer, the layer in question, a head, on small random images or sequences.

Rows, channels, height and width are unequal, and so are the micro-batches: what a mistake confuses is never equal. The
linear layer in front acts on the last axis, so that a gradient has to pass the layer in question; what starts at one
number (scales, shifts, running statistics) starts at random instead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

import manual
import torch_ref.models
from compare.experiments.pairs import Recipe
from compare.faults.data import steps_of
from compare.faults.fault import Scene
from compare.faults.scenes import FALLING, SGD, pair_of
from manual.rules.core import Array

__all__ = ["layer"]

CLASSES, STEPS, SIZES, ROWS = 3, 3, (8, 6, 3), 17
Shape = tuple[int, ...]


class _Twice(torch.nn.Module):
    """A layer of two inputs, which are two ends of the last axis."""


@cache
def layer(
    name: str,
    *arguments: Any,
    shape: Shape = (4, 5, 6),
    dtype: str = "float64",
    whole: bool = False,
    evaluated: bool = False,
    rounded: int | None = None,
    **options: Any,
) -> Scene:
    """A layer of this name between a linear layer and a head.

    ``shape`` is that of a row: channels and axes of space. ``whole`` takes every step's rows in one micro-batch,
    ``evaluated`` keeps the layer in evaluation, ``rounded`` rounds what comes into the layer, so that values tie.
    """
    said = ", ".join([*map(str, arguments), *(f"{key} {value}" for key, value in options.items())])

    def build() -> Any:
        made = [lambda wing: getattr(wing.nn, name)(*arguments, **options)]
        if rounded is not None:
            made.insert(0, lambda wing: _of(wing).Rounded(rounded))

        def make(wing: Any) -> Any:
            layers = [wing.nn.Linear(shape[-1], shape[-1]), *(one(wing) for one in made)]
            body = torch.nn.Sequential(torch.nn.Linear(shape[-1], shape[-1]), *(one(torch) for one in made))
            with torch.no_grad():
                width = body(torch.zeros(2, *shape)).numel() // 2
            return layers
