"""Changes of a configuration that may show a mistake which it hides; the smallest first."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from compare.shrinking.setup import Batch, Layer, Made, Setup, joined

__all__ = ["CHANGES"]

Change = Callable[[Setup], Setup | None]
_STEPS = 4


def _more_steps(setup: Setup) -> Setup | None:
    """At least so many steps: what there is, again."""
    if len(setup.steps) >= _STEPS:
        return None
    return replace(setup, steps=tuple(setup.steps[i % len(setup.steps)] for i in range(_STEPS)))


def _moving_rate(setup: Setup) -> Setup | None:
    if setup.schedule is not None:
        return None
    moved = replace(setup, schedule=Made("StepLR", {"step_size": 2, "gamma": 0.45}))
    return _more_steps(moved) or moved


def _unequal_micro_batches(setup: Setup) -> Setup | None:
    """Two of three parts of the rows, and the rest."""
    sizes = [len(batch.y) for batch in setup.steps[0]]
    if len(set(sizes)) > 1:
        return None
    found: dict[int, tuple[Batch, ...]] = {}
    for step in setup.distinct:
        x, y = joined(step)
        if len(y) < 3:  # too few to be cut: each row is taken twice more, a little moved
            x, y = np.concatenate([x, 0.7 * x, -x] if x.dtype.kind == "f" else [x] * 3), np.concatenate([y] * 3)
            x = x.astype(step[0].x.dtype)
        cut = -(-2 * len(y) // 3)
        found[id(step)] = Batch(x[:cut], y[:cut]), Batch(x[cut:], y[cut:])
    return replace(setup, steps=tuple(found[id(step)] for step in setup.steps))


def _with_option(name: str, value: float) -> Change:
    """The optimizer with an option that it has left at nothing, or at next to nothing."""

    def changed(setup: Setup) -> Setup | None:
        kind = setup.optimizer
        known = inspect.signature(getattr(torch.optim, kind.name)).parameters
        present = kind.options.get(name, known[name].default if name in known else None)
        if name not in known or not isinstance(present, (int, float)) or (present >= value / 100 and present):
            return None
        longer = _more_steps(setup) or setup
        return replace(longer, optimizer=Made(kind.name, {**kind.options, name: value}))

    return changed


def _clipped(setup: Setup) -> Setup | None:
    return None if setup.max_norm is None else replace(setup, max_norm=setup.max_norm / 20)


def _random_scales(setup: Setup) -> Setup | None:
    """Scales and shifts that start at one number start at others, and every layer's values differ."""
    rng = np.random.default_rng(0)
    changed = False
    layers: list[Layer] = []
    for layer in setup.layers:
        values = dict(layer.values)
        for name, value in values.items():
            if value.ndim == 1 and value.size > 1 and value.dtype.kind == "f" and not np.ptp(value):
                values[name] = (value + rng.uniform(-0.4, 0.4, value.shape)).astype(value.dtype)
                changed = True
        layers.append(replace(layer, values=values))
    return replace(setup, layers=tuple(layers)) if changed else None


def _more_rows(setup: Setup) -> Setup | None:
    """Rows of mixed numbers, where there are few or all are alike."""
    if max(len(batch.y) for step in setup.steps for batch in step) > 3 or setup.steps[0][0].x.dtype.kind != "f":
        return None
    rng = np.random.default_rng(1)

    def more(batch: Batch) -> Batch:
        x = np.concatenate([batch.x] * 4)
        return Batch((x + rng.normal(size=x.shape)).astype(batch.x.dtype), np.concatenate([batch.y] * 4))

    found = {id(step): tuple(more(batch) for batch in step) for step in setup.distinct}
    return replace(setup, steps=tuple(found[id(step)] for step in setup.steps))


def _all(setup: Setup) -> Setup | None:
    """Steps, rate and micro-batches together."""
    for change in (_unequal_micro_batches, _moving_rate, _more_steps):
        setup = change(setup) or setup
    return setup


CHANGES: tuple[tuple[str, Change], ...] = (
    (f"take {_STEPS} steps", _more_steps),
    ("use unequal micro-batches", _unequal_micro_batches),
    ("let the learning rate move, over four steps", _moving_rate),
    ("take more rows, and mixed ones", _more_rows),
    ("give the optimizer a weight decay", _with_option("weight_decay", 0.3)),
    ("give the optimizer a larger eps", _with_option("eps", 1e-2)),
    ("give the optimizer a momentum", _with_option("momentum", 0.7)),
    ("clip the gradient to a smaller norm", _clipped),
    ("let scales and shifts start at values that differ", _random_scales),
    ("use unequal micro-batches, and a rate that moves over four steps", _all),
)
"""What to do, as a sentence begins, and the change; ``None`` where there is nothing to change."""
