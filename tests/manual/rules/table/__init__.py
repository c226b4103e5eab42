"""The table of rules: what each is called with, and the PyTorch function that it is held against.

A row is ``case(rule, inputs, options)``. Inputs are drawn from a seeded generator; Python numbers and masks take part as
they are and need no gradient. ``smooth=False`` marks rows at kinks and ties, where differences say nothing, and
``singular=True`` rows whose results are infinite or NaN on purpose. Without ``torch=``, the function of the same name is
looked up in ``torch`` and ``torch.nn.functional`` and called with the same arguments. ``loose`` is a tolerance for the row.

Each family of rules has a file of this folder; all of them are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

inf, nan = np.inf, np.nan

TORCH_ROUNDS = 1e-7
"""A looser tolerance in float64, where torch's own backward holds a constant (1 / 6, 1 / alpha) in float32."""


@dataclass(frozen=True)
class Draw:
    """An input: what makes the array, and how it is shown in a test's id."""

    label: str
    make: Callable[[np.random.Generator], np.ndarray]


def normal(*shape: int) -> Draw:
    return Draw("x".join(map(str, shape)) or "0d", lambda generator: generator.standard_normal(shape))


def between(low: float, high: float, *shape: int) -> Draw:
    return Draw("x".join(map(str, shape)) or "0d", lambda generator: generator.uniform(low, high, shape))


def positive(*shape: int) -> Draw:
    return between(0.3, 3.0, *shape)


def off_zero(*shape: int) -> Draw:
    """Of both signs, none near zero."""
    return Draw(
        "x".join(map(str, shape)) or "0d",
        lambda generator: generator.uniform(0.2, 2.5, shape) * generator.choice([-1.0, 1.0], shape),
    )


def mask(*shape: int) -> Draw:
    return Draw("mask", lambda generator: generator.random(shape) < 0.6)


def exactly(*values: Any) -> Draw:
    return Draw("exact", lambda generator: np.array(values, dtype=float))


@dataclass(frozen=True)
class Case:
    rule: str
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    reference: Callable[..., Any]
    smooth: bool
    singular: bool
    name: str
    loose: float

    def arrays(self, dtype: Any, seed: int = 0) -> list[Any]:
        generator = np.random.default_rng([seed, *self.name.encode()])
        drawn = [np.asarray(item.make(generator)) if isinstance(item, Draw) else item for item in self.inputs]
        return [item.astype(dtype) if getattr(item, "dtype", None) == np.float64 else item for item in drawn]

    @property
    def differentiable(self) -> list[int]:
        return [place for place, item in enumerate(self.inputs) if isinstance(item, Draw) and item.label != "mask"]

    def expected(self, *tensors: Any) -> Any:
        options = {
            name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in self.options.items()
        }
        return self.reference(*tensors, **options)


CASES: list[Case] = []


def case(
    rule: str,
    *inputs: Any,
    torch: Callable[..., Any] | None = None,
    smooth: bool = True,
    singular: bool = False,
    note: str = "",
    loose: float = 0.0,
    **options: Any,
) -> None:
    shown = [item.label if isinstance(item, Draw) else repr(item) for item in inputs]
    shown += [f"{name}={value}" for name, value in options.items() if not isinstance(value, np.ndarray)]
    name = f"{rule}({', '.join(shown)})" + (f" {note}" if note else "")
    reference = torch or getattr(_torch, rule, None) or getattr(functional, rule)
    CASES.append(Case(rule, inputs, options, reference, smooth and not singular, singular, name, loose))


_torch = torch

chosen = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])
"""A mask of 3 x 4."""
