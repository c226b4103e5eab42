"""Scenes for one layer each: a linear layer, the layer in question, a head, on small random images or sequences.

Rows, channels, height and width are unequal, and so are the micro-batches: what a mistake confuses is never equal. The
linear layer in front acts on the last axis, so that gradients have to pass the layer in question. Scales, shifts,
slopes and running statistics, which start at one number, start at random ones instead.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import torch

import manual
from compare.experiment import Setting
from compare.experiments.pairs import Recipe, module_pair
from compare.faults import models_manual, models_torch
from compare.faults.data import ROWS, SIZES, steps_of
from compare.faults.fault import Scene
from compare.faults.scenes import FALLING, SGD

__all__ = ["layer"]

CLASSES, STEPS = 3, 3
Shape = tuple[int, ...]


@cache
def layer(
    name: str,
    *arguments: Any,
    shape: Shape = (4, 5, 6),
    dtype: str = "float64",
    whole: bool = False,
    frozen: bool = False,
    behind: str = "",
    **options: Any,
) -> Scene:
    """A layer of this name between a linear layer and a head.

    ``shape`` is that of a row: channels and axes of space. ``whole`` takes the rows of a step in one micro-batch,
    ``frozen`` keeps the layer in evaluation, ``behind`` names an activation before it (after ReLU, values tie). All
    else goes to the layer.
    """

    def build() -> Any:
        with torch.random.fork_rng(), torch.no_grad():
            width = _body(torch, models_torch)(torch.ones(2, *shape)).numel() // 2
        make_manual = partial(_whole, manual, models_manual, width)
        make_torch = partial(_whole, torch, models_torch, width)
        losses = (manual.nn.CrossEntropyLoss, torch.nn.CrossEntropyLoss)
        pair = module_pair(make_manual, make_torch, *losses, Recipe(SGD, FALLING), Setting(dtype, seed=5))
        return pair, steps_of(*_images(shape), dtype, sizes=(ROWS,) if whole else SIZES, steps=STEPS)

    def _body(wing: Any, models: Any, *more: Any) -> Any:
        made = getattr(wing.nn, name)(*arguments, **options)
        if wing is torch:
            _start_at_random(made)
        if frozen:
            made.eval()
        if name == "Bilinear":
            made = models.OfTwoEnds(made, arguments[0])
        parts = [wing.nn.Linear(shape[-1], shape[-1]), *([getattr(wing.nn, behind)()] if behind else []), made]
        return wing.nn.Sequential(*parts, *more)

    def _whole(wing: Any, models: Any, width: int) -> Any:
        return _body(wing, models, wing.nn.Flatten(), wing.nn.Linear(width, CLASSES))

    given = ", ".join([*map(str, arguments), *(f"{key}={value}" for key, value in options.items())])
    said = [f"random {'x'.join(map(str, shape))}", *([behind] if behind else []), f"{name}({given})"]
    said += ["frozen"] * frozen + ["one micro-batch"] * whole + ([dtype] if dtype != "float64" else [])
    return Scene(", ".join(said), build)


@cache
def _images(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Random images or sequences of this shape, and a class for each."""
    rng = np.random.default_rng(11)
    return rng.normal(size=(ROWS * STEPS, *shape)), rng.integers(0, CLASSES, ROWS * STEPS)


def _start_at_random(made: torch.nn.Module) -> None:
    """Scales and slopes near one, shifts near zero: where all start at one number, mistakes hide."""
    for value in [*made.parameters(), *made.buffers()]:
        if value.ndim == 1 and bool((value == value[0]).all()):
            low = 0.5 * value[0].item() or -0.5
            torch.nn.init.uniform_(value, low, 3 * low if low > 0 else 0.5)
