"""What torch refuses, the rules refuse with the same kind of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from manual import rules

x = np.arange(12.0).reshape(3, 4)
far = np.array([[0, 1, 2, 3], [0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2]])

REFUSED: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], str]] = {
    "reshape": (lambda: rules.reshape(x, shape=(5, -1)), lambda t: t.reshape(5, -1), "invalid for input of size 12"),
    "expand": (lambda: rules.expand(x, size=(3, 5)), lambda t: t.expand(3, 5), "cannot be expanded"),
    "expand to fewer axes": (lambda: rules.expand(x, size=(4,)), lambda t: t.expand(4), "number of sizes"),
    "permute": (lambda: rules.permute(x, dims=(0, 0)), lambda t: t.permute(0, 0), "each of the 2 axes once"),
    "transpose": (lambda: rules.transpose(x, dim0=0, dim1=2), lambda t: t.transpose(0, 2), "out of range"),
    "flatten": (lambda: rules.flatten(x, start_dim=1, end_dim=0), lambda t: t.flatten(1, 0), "start_dim cannot come"),
    "t": (lambda: rules.t(x[None]), lambda t: t[None].t(), "<= 2 dimensions"),
    "movedim": (
        lambda: rules.movedim(x, source=(0, 1), destination=0),
        lambda t: t.movedim((0, 1), (0,)),
        "must name as many axes",
    ),
    "repeat": (lambda: rules.repeat(x, repeats=2), lambda t: t.repeat(2), "can not be smaller"),
    "cat": (lambda: rules.cat(x, x[:, 1:]), lambda t: torch.cat([t, t[:, 1:]]), "must match except in dimension 0"),
    "stack": (lambda: rules.stack(x, x[1:]), lambda t: torch.stack([t, t[1:]]), "equal size"),
    "split": (
        lambda: rules.split(x, split_size_or_sections=[1, 1]),
        lambda t: torch.split(t, [1, 1]),
        "sum exactly to 3",
    ),
    "chunk": (lambda: rules.chunk(x, chunks=0), lambda t: t.chunk(0), "greater than 0"),
    "gather": (
        lambda: rules.gather(x, dim=1, index=far),
        lambda t: t.gather(1, torch.from_numpy(far)),
        "Size does not match at dimension 0",
    ),
    "gather axes": (
        lambda: rules.gather(x, dim=1, index=far[0]),
        lambda t: t.gather(1, torch.from_numpy(far[0])),
        "same number of dimensions",
    ),
    "gather range": (
        lambda: rules.gather(x, dim=1, index=far[:3] - 1),
        lambda t: t.gather(1, torch.from_numpy(far[:3] - 1)),
        r"it must lie in \[0, 3\]",
    ),
    "index_select range": (
        lambda: rules.index_select(x, dim=0, index=far[0]),
        lambda t: t.index_select(0, torch.from_numpy(far[0])),
        r"it must lie in \[0, 2\]",
    ),
    "masked_fill": (
        lambda: rules.masked_fill(x, np.ones(4), mask=x > 3),
        lambda t: t.masked_fill(t > 3, torch.ones(4)),
        "0-dimensional value",
    ),
    "tril": (lambda: rules.tril(x[0]), lambda t: t[0].tril(), "at least 2 dimensions"),
    "matmul": (lambda: rules.matmul(x, x), lambda t: t @ t, "cannot be multiplied"),
    "matmul of a stack": (lambda: rules.matmul(x[None], x), lambda t: t[None] @ t, "cannot be multiplied"),
    "matmul of a scalar": (lambda: rules.matmul(x, np.array(1.0)), lambda t: t @ torch.tensor(1.0), "at least 1D"),
    "mm": (lambda: rules.mm(x, x[0]), lambda t: t.mm(t[0]), "two matrices"),
    "bmm": (lambda: rules.bmm(x[None], x), lambda t: t[None].bmm(t), "two stacks"),
    "dot": (lambda: rules.dot(x, x), lambda t: torch.dot(t, t), "1D tensors expected"),
    "outer": (lambda: rules.outer(x, x), lambda t: torch.outer(t, t), "expected 1-D tensors"),
    "linear": (lambda: rules.linear(x, x.T), lambda t: functional.linear(t, t.T), "cannot be multiplied"),
    "linear bias": (
        lambda: rules.linear(x, x, np.ones(2)),
        lambda t: functional.linear(t, t, torch.ones(2, dtype=t.dtype)),
        r"bias \(2,\)",
    ),
    "mean of integers": (lambda: rules.mean(far), lambda t: torch.from_numpy(far).mean(), "floating point"),
    "std of integers": (lambda: rules.std(far), lambda t: torch.from_numpy(far).std(), "floating point"),
    "an axis twice": (lambda: rules.sum(x, dim=(0, -2)), lambda t: t.sum((0, -2)), "same axis twice"),
    "no such axis": (lambda: rules.softmax(x, dim=2), lambda t: torch.softmax(t, 2), "Dimension out of range"),
    "maximum of nothing": (lambda: rules.max(x[:0], dim=0), lambda t: t[:0].max(0), "nothing"),
    "clamp without ends": (lambda: rules.clamp(x), lambda t: t.clamp(), "At least one of"),
    "softshrink": (lambda: rules.softshrink(x, lambd=-1), lambda t: functional.softshrink(t, -1), "greater or equal"),
    "celu": (lambda: rules.celu(x, alpha=0), lambda t: functional.celu(t, 0.0), "alpha cannot be 0"),
    "gelu": (lambda: rules.gelu(x, approximate="no"), lambda t: functional.gelu(t, approximate="no"), "none or tanh"),
    "glu": (lambda: rules.glu(x, dim=0), lambda t: functional.glu(t, 0), "dimension 0 is size 3"),
    "prelu": (
        lambda: rules.prelu(x, np.ones(3)),
        lambda t: functional.prelu(t, torch.ones(3, dtype=t.dtype)),
        "Got 3 and 4",
    ),
    "dropout": (lambda: rules.dropout(x, x > 0, p=1.5), lambda t: functional.dropout(t, 1.5), "between 0 and 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses_is_refused(name: str) -> None:
    ours, theirs, message = REFUSED[name]
    with pytest.raises((RuntimeError, IndexError, ValueError)) as refusal:
        theirs(torch.from_numpy(x))
    with pytest.raises(refusal.type, match=message):
        ours()
