"""One step of every optimizer: the manual wing against torch's default implementation.

Only ``step`` is timed; the gradients stay as they are. Two sizes: one tensor of a million elements, where memory
decides, and a thousand tensors of a thousand, where the calls do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import manual
from benchmarks.timing import in_turn, quartiles, ratio

__all__ = ["optimizer_names", "optimizer_rows"]

Step = Callable[[], Any]

SIZES = {"one of a million": (1, (1_000_000,)), "a thousand of a thousand": (1000, (1000,))}
MATRICES = {"one of 1000x1000": (1, (1000, 1000)), "a thousand of 32x32": (1000, (32, 32))}
"""Muon takes nothing else."""
TABLES = {"one of 10000x100": (1, (10_000, 100)), "a thousand of 100x10": (1000, (100, 10))}
"""SparseAdam: a tenth of the rows have a gradient."""

_OWN = {"Muon": MATRICES, "SparseAdam": TABLES}

QUICK = {"ten of a thousand": (10, (1000,))}
_QUICK = {"Muon": {"ten of 32x32": (10, (32, 32))}, "SparseAdam": {"ten of 100x10": (10, (100, 10))}}

LBFGS = {"lr": 1e-3, "max_iter": 4, "history_size": 10, "tolerance_grad": 0.0, "tolerance_change": 0.0}
"""So that no step ends early: the minimum stays far away."""


def optimizer_names() -> list[str]:
    """Every optimizer of torch, in the order of the alphabet."""
    found = {name: getattr(torch.optim, name) for name in torch.optim.__all__ if name != "Optimizer"}
    return sorted((name for name, kind in found.items() if isinstance(kind, type)), key=str.lower)


def _steps(name: str, count: int, shape: tuple[int, ...], dtype: str) -> tuple[Step, Step]:
    """One step on either wing, from the same parameters and gradients.

    Raises
    ------
    NotImplementedError
        If the manual wing has no such optimizer.
    """
    kind = getattr(manual.optim, name, None)
    if kind is None:
        raise NotImplementedError(name)
    generator = np.random.default_rng(0)
    values = [generator.standard_normal(shape).astype(dtype) for _ in range(count)]
    gradients = [generator.standard_normal(shape).astype(dtype) for _ in range(count)]
    mine = [manual.tensor(value.copy(), requires_grad=True) for value in values]
    theirs = [torch.from_numpy(value.copy()).requires_grad_() for value in values]
    options = LBFGS if name == "LBFGS" else {}
    optimizers = kind(mine, **options), getattr(torch.optim, name)(theirs, **options)
    for a, b, gradient in zip(mine, theirs, gradients, strict=True):
        if name == "SparseAdam":
            rows = np.sort(generator.permutation(shape[0])[: shape[0] // 10])
            a.grad = manual.SparseRows(rows, gradient[rows], shape)
            b.grad = torch.sparse_coo_tensor(
                torch.from_numpy(rows)[None], torch.from_numpy(gradient[rows]), shape, check_invariants=True
            )
        else:
            a.grad, b.grad = gradient, torch.from_numpy(gradient.copy())
    if name != "LBFGS":
        return optimizers[0].step, optimizers[1].step

    centres = [torch.from_numpy(gradient.copy()) for gradient in gradients]

    def manual_closure() -> Any:
        loss = 0.0
        for parameter, centre in zip(mine, gradients, strict=True):
            parameter.grad = parameter.data - centre
            flat = parameter.grad.reshape(-1)
            loss += flat @ flat / 2
        return loss

    @torch.no_grad()
    def torch_closure() -> Any:
        loss = torch.zeros((), dtype=centres[0].dtype)
        for parameter, centre in zip(theirs, centres, strict=True):
            parameter.grad = parameter - centre
            flat = parameter.grad.reshape(-1)
            loss += flat @ flat / 2
        return loss

    return lambda: optimizers[0].step(manual_closure), lambda: optimizers[1].step(torch_closure)


def optimizer_rows(rounds: int, quick: bool = False) -> tuple[list[list[Any]], list[str]]:
    """Rows of optimizer, size, dtype, microseconds of either side and ratio manual / torch with quartiles.

    Also returned are the names of those that are left out. ``quick`` takes a few small tensors: their calls alone.
    """
    rows, missing = [], []
    own, others = (_QUICK, QUICK) if quick else (_OWN, SIZES)
    for name in optimizer_names():
        for size, (count, shape) in own.get(name, others).items():
            for dtype in ("float32", "float64"):
                try:
                    mine, theirs = _steps(name, count, shape, dtype)
                except NotImplementedError:
                    missing.append(name)
                    continue
                times = in_turn({"a": mine, "b": theirs}, rounds=rounds, least=0.02)
                found = ratio(times, "a", "b")
                each = [quartiles(times[side]).median * 1e6 for side in ("a", "b")]
                rows.append([name, size, dtype, *each, found.median, found.lower, found.upper])
    return rows, list(dict.fromkeys(missing))
