"""Which optimizers walk, and with which options: one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch

import manual.optim
from compare.batches import InputError
from compare.experiments.pairs import Recipe
from compare.gallery.surfaces import Surface

__all__ = ["LEFT_OUT", "RECIPES", "optimizers", "recipe_of"]

LEFT_OUT = {"SparseAdam": "it takes sparse gradients only, and that of a point is dense"}
"""Optimizers of both wings that do not walk, and why."""


@dataclass(frozen=True)
class _Options:
    """The learning rate on each surface of :data:`compare.gallery.surfaces.SURFACES`, and what else is not default."""

    rates: tuple[float, float, float]
    others: Mapping[str, Any] = field(default_factory=dict)


RECIPES = {
    "ASGD": _Options((0.05, 0.03, 0.2), {"lambd": 0.01, "t0": 0}),
    "Adadelta": _Options((2.0, 1.0, 2.0), {"eps": 1e-3}),
    "Adafactor": _Options((0.2, 0.1, 0.1)),
    "Adagrad": _Options((0.8, 0.6, 0.4)),
    "Adam": _Options((0.3, 0.2, 0.2)),
    "AdamW": _Options((0.3, 0.2, 0.2), {"weight_decay": 0.3}),
    "Adamax": _Options((0.4, 0.4, 0.2)),
    "LBFGS": _Options((0.5, 0.5, 0.5), {"max_iter": 1}),
    "Muon": _Options((0.2, 0.1, 0.15), {"weight_decay": 0.0}),
    "NAdam": _Options((0.3, 0.2, 0.2)),
    "RAdam": _Options((0.09, 0.05, 0.3)),
    "RMSprop": _Options((0.1, 0.05, 0.05), {"alpha": 0.9}),
    "Rprop": _Options((0.1, 0.05, 0.05)),
    "SGD": _Options((0.01, 0.008, 0.05), {"momentum": 0.9}),
}
"""Rates at which a path is easy to follow by eye. An optimizer that is not listed walks with its defaults."""


def optimizers(match: str | None = None) -> list[str]:
    """The optimizers of ``manual.optim`` that ``torch.optim`` has too, those left out among them.

    Raises
    ------
    InputError
        If none matches.
    """
    known = [name for name in sorted(manual.optim.__all__) if _is_optimizer(name)]
    chosen = [name for name in known if match is None or fnmatchcase(name.lower(), match.lower())]
    if not chosen:
        raise InputError(f"no optimizer matches {match!r}; known: {', '.join(known)}")
    return chosen


def _is_optimizer(name: str) -> bool:
    wings = (manual.optim, torch.optim)
    kinds = [getattr(wing, name, None) for wing in wings]
    return name != "Optimizer" and all(
        isinstance(kind, type) and issubclass(kind, wing.Optimizer) for kind, wing in zip(kinds, wings, strict=True)
    )


def recipe_of(optimizer: str, surface: Surface, place: int) -> Recipe:
    """The optimizer as it walks on the surface that is at this place of the table.

    After a quarter of the steps the rate is halved, once: some mistakes show only where it moves.
    """
    found = RECIPES.get(optimizer)
    options = {} if found is None else {"lr": found.rates[place], **found.others}
    drop = surface.steps // 4
    return Recipe((optimizer, options), ("LambdaLR", {"lr_lambda": lambda done: 1.0 if done < drop else 0.5}))
