"""What an optimizer is run on: parameters of many shapes, and for each step gradients or a loss, drawn from a seed.

Where matrices are asked for there are no others (Muon), where gradients are row-sparse there are tables (SparseAdam).
The shapes reach every way on which an update may go: a number, small parameters that are bundled, one that is not, one
that is cut into blocks, one that is not contiguous, one without elements (but for Adafactor, in which torch 2.13
raises ZeroDivisionError at one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compare.conformance.database import Configuration

__all__ = ["STEPS", "Loss", "Problem", "Rows", "problem"]

STEPS = 12
"""Steps of a walk."""

SHAPES: Mapping[str, tuple[int, ...]] = {
    "number": (),
    "single": (1,),
    "vector": (6,),
    "matrix": (7, 5),
    "cube": (2, 3, 4),
    "transposed": (5, 8),
    "late": (4, 3),
    "idle": (3,),
    "empty": (0, 3),
    "middle": (90, 100),
    "large": (170, 200),
}
MATRICES: Mapping[str, tuple[int, ...]] = {
    "row": (1, 6),
    "column": (5, 1),
    "wide": (5, 8),
    "tall": (8, 5),
    "square": (4, 4),
    "transposed": (5, 8),
    "late": (4, 3),
    "idle": (3, 2),
    "middle": (64, 32),
    "large": (40, 96),
}
TABLES: Mapping[str, tuple[int, ...]] = {
    "vector": (12,),
    "matrix": (10, 3),
    "cube": (6, 2, 2),
    "late": (4, 3),
    "idle": (3, 2),
    "large": (500, 70),
}
SMOOTH: Mapping[str, tuple[int, ...]] = {
    "matrix": (4, 3),
    "number": (),
    "vector": (5,),
    "cube": (2, 3, 2),
    "idle": (3,),
    "single": (1,),
}

_NONE = {"late": (1, 2), "vector": (4,), "wide": (4,), "matrix": (8, 9), "tall": (8, 9), "large": (3,)}
"""The steps at which a parameter has no gradient; ``idle`` never has one."""

_ZERO = {"vector": (5, 10), "wide": (5, 10), "cube": (7,), "square": (7,), "large": (9,), "single": (1,)}
"""The steps at which a gradient is all zeros."""

_TURNED = frozenset({"transposed"})
_TURNED_GRADIENT = frozenset({"cube", "square"})
"""Parameters and gradients that are held in the order of columns."""

_ITERATIONS, _HISTORY = 4, 10
_ROWS = 40
"""The rows of the data of a smooth loss."""


@dataclass(frozen=True)
class Rows:
    """A row-sparse gradient: what is added to which rows; a row may come more than once.

    Shapes: ``indices`` (k,), ``values`` (k, *the parameter's other sides).
    """

    indices: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Loss:
    """A smooth loss of all parameters in a row, ``‖W x − y‖² / (2 m) + Σ √(1 + x²) / 10``, other data at every step.

    Shapes: ``W`` (m, n), ``y`` (m,).
    """

    W: np.ndarray
    y: np.ndarray

    def value_and_gradient(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both at ``x`` (n,): the gradient is ``Wᵀ (W x − y) / m + x / √(1 + x²) / 10``."""
        residual = self.W @ x - self.y
        root = np.sqrt(1 + x * x)
        value = residual @ residual / (2 * len(residual)) + root.sum() / 10
        return value, self.W.T @ residual / len(residual) + x / root / 10


Gradient = np.ndarray | Rows | None


@dataclass
class Problem:
    """Parameters and what drives them.

    Attributes
    ----------
    values : the parameters at the start, by name, in order; not all of them are C-contiguous, nor are all gradients
    gradients : for each step the gradient of each parameter
    losses : for each step a loss, where the optimizer evaluates one itself
    options : of the optimizer, beside those of the configuration. Few evaluations a step leave every step so far from
        the minimum that its numbers are more than rounding; a short history is full before half of the way
    """

    values: dict[str, np.ndarray]
    gradients: list[dict[str, Gradient]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


def problem(configuration: Configuration, dtype: str, *, seed: int = 0) -> Problem:
    """Draw the problem of a configuration; the float32 one has the rounded numbers of the float64 one."""
    shapes = SMOOTH if configuration.closure else TABLES if configuration.sparse else SHAPES
    if configuration.optimizer == "Muon":
        shapes = MATRICES
    if configuration.optimizer == "Adafactor":
        shapes = {name: shape for name, shape in shapes.items() if name != "empty"}
    generator = np.random.default_rng([seed, configuration.number])
    values = {name: np.array(generator.standard_normal(shape)).astype(dtype) for name, shape in shapes.items()}
    found = Problem({name: np.asfortranarray(value) if name in _TURNED else value for name, value in values.items()})
    if configuration.closure:
        found.options.update(max_iter=_ITERATIONS, history_size=_HISTORY)
    for step in range(1, STEPS + 1):
        if configuration.closure:
            size = sum(value.size for name, value in values.items() if name != "idle")
            W = generator.standard_normal((_ROWS, size)) * 10 ** generator.uniform(-1, 0.5, size)
            found.losses.append(Loss(W.astype(dtype), generator.standard_normal(_ROWS).astype(dtype)))
        else:
            draw = _rows if configuration.sparse else _dense
            found.gradients.append({name: draw(name, value, step, generator) for name, value in values.items()})
    return found


def _dense(name: str, value: np.ndarray, step: int, generator: np.random.Generator) -> Gradient:
    """Both signs, magnitudes over three decades, a tenth of the elements zero."""
    numbers = generator.standard_normal(value.shape) * 10.0 ** generator.uniform(-2, 1, value.shape)
    numbers = np.where(generator.random(value.shape) < 0.1, 0.0, numbers)
    if name == "idle" or step in _NONE.get(name, ()):
        return None
    numbers = np.array(numbers * (step not in _ZERO.get(name, ()))).astype(value.dtype)
    return np.asfortranarray(numbers) if name in _TURNED_GRADIENT else numbers


def _rows(name: str, value: np.ndarray, step: int, generator: np.random.Generator) -> Gradient:
    """A third of the rows, some of them twice, in no order; at the eleventh step none."""
    count = 0 if step == 11 else max(2, len(value) // 3)
    indices = generator.integers(0, len(value), count)
    values = _dense(name, np.empty((count, *value.shape[1:]), value.dtype), step, generator)
    return values if values is None else Rows(indices, values)  # type: ignore[arg-type]
