"""One whole training step: the manual wing against PyTorch eager, and a lockstep step against a bare one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import manual
import manual.classic
import manual.models
import manual.training
import torch_ref.classic
import torch_ref.models
import torch_ref.training
from benchmarks.timing import in_turn, quartiles, ratio
from compare.experiments.datasets import load, standardise
from compare.tolerance import Fixed
from compare.walker import Walker

__all__ = ["lockstep_rows", "step_rows"]

Step = Callable[[], Any]


def _networks(sizes, activation, loss, optimizer, rows, dtype, output=None, **options):  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    kind = getattr(torch, dtype)
    theirs = torch_ref.models.MLP(sizes, getattr(torch.nn, activation), output and getattr(torch.nn, output)).to(kind)
    mine = manual.models.MLP(sizes, getattr(manual.nn, activation), output and getattr(manual.nn, output)).to(dtype)
    mine.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    generator = np.random.default_rng(0)
    x = generator.standard_normal((rows, sizes[0])).astype(dtype)
    y = generator.integers(0, sizes[-1], rows)
    if loss != "CrossEntropyLoss":
        x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype), np.array([[1], [0], [0], [1]], dtype)
    optimizers = [getattr(w.optim, optimizer)(m.parameters(), **options) for w, m in ((manual, mine), (torch, theirs))]
    criteria = getattr(manual.nn, loss)(), getattr(torch.nn, loss)()
    return (mine, theirs), optimizers, criteria, (x, y)


def _network_steps(*args: Any, **options: Any) -> tuple[Step, Step]:
    (mine, theirs), optimizers, criteria, (x, y) = _networks(*args, **options)
    a, b, target = manual.tensor(x), torch.from_numpy(x), torch.from_numpy(y)

    def manual_step() -> None:
        optimizers[0].zero_grad()
        criteria[0](mine(a), y).backward()
        optimizers[0].step()

    def torch_step() -> None:
        optimizers[1].zero_grad()
        criteria[1](theirs(b), target).backward()
        optimizers[1].step()

    return manual_step, torch_step


def _classic_steps(name: str, dtype: str) -> tuple[Step, Step]:
    kind = getattr(torch, dtype)
    if name == "logistic":
        data = load("breast-cancer")
        x, y = standardise(data.x, data.x.mean(0), data.x.std(0)).astype(dtype), data.y.astype(dtype)
        mine: Any = manual.classic.LogisticRegression(30, dtype=dtype)
        theirs: Any = torch_ref.classic.LogisticRegression(30, dtype=kind)
    else:
        x, y = manual.classic.truth_table("XNOR", np.dtype(dtype))
        mine = manual.classic.SigmoidNetwork(2, 2, 1, dtype=dtype)
        theirs = torch_ref.classic.SigmoidNetwork(2, 2, 1, dtype=kind)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    b, target = torch.from_numpy(x), torch.from_numpy(y)

    def torch_step() -> None:
        optimizer.zero_grad()
        theirs.loss(theirs(b), target).backward()
        optimizer.step()

    return lambda: manual.classic.update_simultaneously(mine, x, y, 0.1), torch_step


def _measured(a: Step, b: Step, rounds: int) -> list[float]:
    """Microseconds of either, and the ratio A / B: median and quartiles."""
    times = in_turn({"a": a, "b": b}, rounds=rounds, least=0.05)
    found = ratio(times, "a", "b")
    each = [quartiles(times[name]).median * 1e6 for name in ("a", "b")]
    return [*each, found.median, found.lower, found.upper]


def step_rows(rounds: int) -> list[list[Any]]:
    """Rows of case, dtype, microseconds of either side, ratio manual / torch with quartiles."""
    rows = []
    for dtype in ("float32", "float64"):
        cases = {
            "XNOR 2-2-1, SGD (engine)": _network_steps(
                (2, 2, 1), "Sigmoid", "BCELoss", "SGD", 4, dtype, "Sigmoid", lr=0.1
            ),
            "XNOR 2-2-1, SGD (classic)": _classic_steps("xnor", dtype),
            "logistic regression 569x30, SGD (classic)": _classic_steps("logistic", dtype),
            "MLP 64-128-10, batch 64, Adam": _network_steps(
                (64, 128, 10), "ReLU", "CrossEntropyLoss", "Adam", 64, dtype
            ),
            "MLP 784-512-512-10, batch 256, AdamW": _network_steps(
                (784, 512, 512, 10), "ReLU", "CrossEntropyLoss", "AdamW", 256, dtype
            ),
        }
        for name, (mine, theirs) in cases.items():
            rows.append([name, dtype, *_measured(mine, theirs, rounds)])
    return rows


def lockstep_rows(rounds: int) -> list[list[Any]]:
    """Rows of case, dtype, microseconds of a lockstep step and of a bare torch step, their ratio with quartiles.

    The rate is zero: both sides stay where they are, so that what is timed is an agreeing run.
    """
    rows = []
    for dtype in ("float32", "float64"):
        for name, arguments in {
            "MLP 64-128-10, batch 64, Adam": ((64, 128, 10), "ReLU", "CrossEntropyLoss", "Adam", 64, dtype),
            "MLP 784-512-512-10, batch 256, AdamW": (
                (784, 512, 512, 10),
                "ReLU",
                "CrossEntropyLoss",
                "AdamW",
                256,
                dtype,
            ),
        }.items():
            (mine, theirs), optimizers, criteria, batch = _networks(*arguments, lr=0.0)
            actual = manual.training.Side(mine, optimizers[0], criteria[0])
            expected = torch_ref.training.Side(theirs, optimizers[1], criteria[1])
            walker = Walker(actual, expected, Fixed(dtype), "free")
            count = iter(range(1, 10**9))
            _, bare = _network_steps(*arguments)

            def lockstep_step(walker: Any = walker, count: Any = count, batch: Any = batch) -> None:
                walker.step(next(count), [(batch, 1.0)])

            measured = _measured(lockstep_step, bare, rounds)
            if walker.diverged:
                raise RuntimeError(f"{name}, {dtype}: {walker.divergences[0]}; this is not the time of an agreeing run")
            rows.append([name, dtype, *measured])
    return rows
