"""The table of rules: what each is called with, and the PyTorch function that it is held against.

A row is ``case(rule, inputs, options)``. Inputs are drawn from a seeded generator; Python numbers and masks take part as
they are and need no gradient. ``smooth=False`` marks rows at kinks and ties, where differences say nothing, and
``singular=True`` rows whose results are infinite or NaN on purpose. Without ``torch=``, the function of the same name is
looked up in ``torch`` and ``torch.nn.functional`` and called with the same arguments. ``loose`` is a tolerance for the row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
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

# -- arithmetic ------------------------------------------------------------------------------------------------------

for name in ("add", "sub", "mul"):
    case(name, normal(3, 4), normal(3, 4))
    case(name, normal(3, 1), normal(2, 1, 4))
    case(name, normal(3, 4), normal())
    case(name, normal(), normal())
    case(name, normal(0, 4), normal(4))
    case(name, normal(3, 4), 2.5)
    case(name, 2.5, normal(3, 4))
case("add", normal(3, 4), normal(4), alpha=2.5)
case("sub", normal(3, 4), normal(4), alpha=2.5)
case("div", normal(3, 4), off_zero(3, 4))
case("div", normal(3, 1), off_zero(2, 1, 4))
case("div", normal(), off_zero())
case("div", normal(3, 4), 2.5)
case("div", 2.5, off_zero(3, 4))
case("div", exactly(1, 0, -1), exactly(0, 0, 0), singular=True)
case("reciprocal", off_zero(3, 4))
case("reciprocal", off_zero())
for name in ("neg", "abs", "sign"):
    case(name, off_zero(3, 4))
    case(name, off_zero())
    case(name, exactly(-1, 0, 2), smooth=False)

# -- powers ----------------------------------------------------------------------------------------------------------

case("pow", positive(3, 4), normal(3, 4))
case("pow", positive(3, 1), normal(2, 1, 4))
case("pow", positive(), normal())
for exponent in (0, 1, 2, 3, 4, 5, -1, -2, 0.5, -0.5, 1.7, -1.3):
    case("pow", positive(3, 4), exponent)
for exponent in (0, 1, 2, 3, 4, 5, -1, -2, -3):
    case("pow", off_zero(3, 4), exponent, note="both signs")
case("pow", positive(), 3)
case("pow", 2.5, normal(3, 4))
case("pow", exactly(0, 0, 0, 2), exactly(0, 1, 2, 0), smooth=False, note="zero base")
case("pow", exactly(0, 0), exactly(-1, 0.5), singular=True, note="zero base, infinite slope")
case("pow", exactly(-2, -1.5), exactly(2, 3), singular=True, note="negative base")
case("pow", 0, exactly(0, 1, 2.5), smooth=False, note="zero base")
case("pow", 0, exactly(-1), singular=True, note="zero base, negative exponent")
case("pow", -2, exactly(2, 3), singular=True, note="negative base")
for exponent in (0, 0.5, 1, 2, 3, -1):
    case("pow", exactly(0), exponent, singular=True, note="zero base")
case("square", normal(3, 4))
case("square", normal())
for name in ("sqrt", "rsqrt"):
    case(name, positive(3, 4))
    case(name, positive())
    case(name, exactly(0, -1, inf), singular=True)

# -- exponentials and circular functions -----------------------------------------------------------------------------

for name in ("exp", "expm1", "exp2", "sin", "cos", "tan", "erf"):
    case(name, between(-1.2, 1.2, 3, 4))
    case(name, normal())
    case(name, normal(0, 3))
for name in ("log", "log2", "log10", "log1p"):
    case(name, positive(3, 4))
    case(name, positive())
    case(name, exactly(0, -1, -2, inf), singular=True)
case("erf", between(-6, 6, 40, 20))

# -- choosing --------------------------------------------------------------------------------------------------------

for name in ("maximum", "minimum"):
    case(name, normal(3, 4), normal(3, 4))
    case(name, normal(3, 1), normal(2, 1, 4))
    case(name, normal(30, 1), normal(30, 40))
    case(name, exactly(1, 2, 3, 2), exactly(2, 2, 1, 2), smooth=False, note="ties")
    case(name, exactly([1], [2]), exactly(1, 2), smooth=False, note="ties across broadcasting")
    case(name, exactly(1, nan, nan), exactly(nan, 1, nan), singular=True)
    case(name, normal(), normal())
for name, function in (("maximum", torch.clamp_min), ("minimum", torch.clamp_max)):
    case(name, normal(3, 4), 0.3, torch=function)
case("clamp", normal(3, 4), -0.5, 0.7)
case("clamp", normal(30, 40), -0.5, 0.7)
case("clamp", normal(3, 4), None, 0.2, torch=lambda x, low, high: torch.clamp(x, max=high))
case("clamp", normal(3, 4), 0.2)
case("clamp", exactly(-1, -0.5, 0, 0.5, 1), -0.5, 0.5, smooth=False, note="ends")
case("clamp", exactly(-1, 0, 1), 0.5, -0.5, smooth=False, note="empty interval")
case("clamp", normal(3, 4), normal(4), normal(3, 1))
case("clamp", normal(3, 4), normal(4))
case("clamp", exactly(0, 1, 2), exactly(1, 1, 1), exactly(1, 1, 1), smooth=False, note="ends")
case("clamp", exactly(0, 1, 2), exactly(2, 2, 2), exactly(1, 1, 1), smooth=False, note="empty interval")
case("clamp", exactly(nan, 1), -0.5, 0.5, singular=True)
chosen = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])
pick = {"torch": lambda x, y, condition: torch.where(condition, x, y)}
case("where", normal(3, 4), normal(3, 4), condition=chosen, **pick)
case("where", normal(3, 1), normal(4), condition=chosen, **pick)
case("where", normal(3, 4), -2.5, condition=chosen, **pick)
case("where", 2.5, normal(3, 4), condition=chosen, **pick)
case("where", normal(2, 3, 4), normal(3, 4), condition=chosen, **pick)
case("where", normal(40, 30), normal(40, 30), condition=np.arange(1200).reshape(40, 30) % 3 == 0, **pick)
case("where", normal(40, 30), -2.5, condition=np.arange(1200).reshape(40, 30) % 3 == 0, **pick)
case("where", exactly(inf, 1, nan), exactly(1, nan, inf), condition=chosen[0, :3], singular=True, **pick)

# -- reductions ------------------------------------------------------------------------------------------------------

for name in ("sum", "mean", "var", "std", "amax", "amin", "logsumexp"):
    for keepdim in (False, True):
        case(name, normal(3, 4, 5), dim=1, keepdim=keepdim)
        case(name, normal(3, 4, 5), dim=(0, -1), keepdim=keepdim)
    case(name, normal(3, 4), dim=-2)
    if name not in ("var", "std"):  # torch warns of these, though there is nothing to take a variance of
        case(name, normal(3, 0, 2), dim=(0, 2))
for name in ("sum", "mean", "var", "std"):
    case(name, normal(3, 4))
    case(name, normal(3, 4), dim=None, keepdim=True)
for name in ("sum", "mean", "amax", "amin", "prod"):
    case(name, normal())
    case(name, normal(), dim=0)
case("sum", normal(0, 4), dim=0)
case("sum", normal(0, 4))
case("mean", normal(0, 4), dim=0, singular=True)
for name in ("var", "std"):
    case(name, normal(3, 4), dim=1, correction=0)
    case(name, normal(3, 4), correction=2)
case("std", exactly([1, 1, 1], [1, 2, 4]), dim=1, smooth=False, note="equal elements")
case("std", exactly(2, 2, 2), smooth=False, note="equal elements")
case("prod", normal(3, 4))
case("prod", normal(3, 4, 2), dim=1)
case("prod", normal(3, 4), dim=0, keepdim=True)
case("prod", normal(3, 1), dim=1)
case("prod", normal(3, 0), dim=1)
case("prod", exactly([0, 2, 3], [0, 0, 3], [1, 2, 3]), dim=1, note="zeros")
case("prod", exactly([5, 2, 3], [0, 7, 3]), note="one zero")
case("prod", exactly([0, 2, 3], [0, 7, 3]), note="two zeros")
for name in ("amax", "amin"):
    case(name, normal(3, 4))
    case(name, exactly([1, 3, 3, 1], [2, 2, 2, 2]), dim=1, smooth=False, note="ties")
    case(name, exactly([1, 3], [3, 1]), smooth=False, note="ties")
for name in ("max", "min"):
    case(name, normal(3, 4))
    case(name, normal(3, 4), dim=1)
    case(name, normal(3, 4, 2), dim=-2, keepdim=True)
    case(name, normal(), dim=0)
    case(name, exactly([1, 3, 3, 1], [2, 2, 2, 2]), dim=1, smooth=False, note="ties")
    case(name, exactly([1, 3], [3, 1], [1, 1]), smooth=False, note="ties")
    case(name, exactly([1, nan, 3], [2, 1, 3]), dim=1, singular=True)
    case(name, exactly([1, nan, 3], [nan, 1, 3]), singular=True, note="NaN")
for name in ("argmax", "argmin"):
    case(name, normal(3, 4), smooth=False)
    case(name, normal(3, 4), dim=1, smooth=False)
    case(name, normal(3, 4), dim=-2, keepdim=True, smooth=False)
    case(name, exactly([1, 3, 3, 1], [2, 2, 2, 2]), dim=1, smooth=False, note="ties")
case("logsumexp", exactly([-inf, 1, 2], [inf, 1, 2]), dim=1, singular=True, note="infinite")
case("logsumexp", exactly([1000, 1001], [-1000, -1001]), dim=1)
vector_norm = {"torch": lambda x, p=2, dim=None, keepdim=False: torch.linalg.vector_norm(x, p, dim, keepdim)}
for p in (2, 1, 3, 1.5, 0.5, 0, inf, -inf):
    case("norm", off_zero(3, 4), p=p, **vector_norm)
    case("norm", off_zero(3, 4, 2), p=p, dim=1, **vector_norm)
    case("norm", exactly([0, 0, 0], [0, 1, -2]), p=p, dim=1, smooth=False, note="zeros", **vector_norm)
case("norm", off_zero(3, 4, 2), dim=(0, 2), keepdim=True, **vector_norm)
case("norm", off_zero(3, 4), p="fro", torch=torch.norm)
case("norm", exactly([1, -3, 3], [-2, 2, 2]), p=inf, dim=1, smooth=False, note="ties", **vector_norm)
case("norm", exactly(0, 0), smooth=False, note="zeros", **vector_norm)

# -- shape -----------------------------------------------------------------------------------------------------------

case("reshape", normal(3, 4), shape=(2, -1))
case("reshape", normal(3, 4), shape=(12,))
case("reshape", normal(), shape=(1, 1))
case("reshape", normal(0, 4), shape=(2, 0))
case("flatten", normal(2, 3, 4, 5), start_dim=1, end_dim=2)
case("flatten", normal(2, 3))
case("flatten", normal())
case("flatten", normal(0, 3), start_dim=0)
case("transpose", normal(2, 3, 4), dim0=0, dim1=-1)
case("transpose", normal(), dim0=0, dim1=-1)
case("t", normal(2, 3))
case("t", normal(3))
case("t", normal())
case("permute", normal(2, 3, 4), dims=(2, 0, -2))
case("movedim", normal(2, 3, 4), source=0, destination=-1)
case("movedim", normal(2, 3, 4), source=(0, 1), destination=(2, 0))
squeeze_all = {"torch": lambda x, dim=None: torch.squeeze(x) if dim is None else torch.squeeze(x, dim)}
case("squeeze", normal(2, 1, 3, 1), **squeeze_all)
case("squeeze", normal(2, 1, 3, 1), dim=1, **squeeze_all)
case("squeeze", normal(2, 1, 3, 1), dim=0, **squeeze_all)
case("squeeze", normal(1, 2, 1), dim=(0, 1), **squeeze_all)
case("unsqueeze", normal(2, 3), dim=1)
case("unsqueeze", normal(2, 3), dim=-1)
case("unsqueeze", normal(), dim=0)
case("expand", normal(3, 1), size=(2, 3, 4), torch=lambda x, size: x.expand(size))
case("expand", normal(3, 1), size=(-1, 5), torch=lambda x, size: x.expand(size))
case("expand", normal(), size=(2, 3), torch=lambda x, size: x.expand(size))

# -- joining and cutting ---------------------------------------------------------------------------------------------

join = {"torch": lambda *tensors, dim=0: torch.cat(tensors, dim)}
case("cat", normal(2, 3), normal(4, 3), **join)
case("cat", normal(2, 3), normal(2, 1), normal(2, 2), dim=-1, **join)
case("cat", normal(0), normal(2, 3), **join)
case("cat", normal(0), normal(3), **join)
case("cat", normal(0, 3), normal(2, 3), **join)
case("stack", normal(2, 3), normal(2, 3), normal(2, 3), dim=1, torch=lambda *tensors, dim: torch.stack(tensors, dim))
case("stack", normal(), normal(), torch=lambda *tensors: torch.stack(tensors))
cut = {"torch": lambda x, split_size_or_sections, dim=0: torch.split(x, split_size_or_sections, dim)}
case("split", normal(5, 3), split_size_or_sections=2, **cut)
case("split", normal(2, 5), split_size_or_sections=[1, 4], dim=1, **cut)
case("split", normal(0, 3), split_size_or_sections=2, **cut)
case("chunk", normal(6, 2), chunks=4)
case("chunk", normal(2, 7), chunks=3, dim=-1)
case("chunk", normal(2, 0), chunks=3, dim=1)
case("unbind", normal(3, 2))
case("unbind", normal(2, 3, 4), dim=-2)
case("flip", normal(2, 3, 4), dims=(0, 2))
case("flip", normal(3), dims=(-1,))
case("roll", normal(3, 4), shifts=2, dims=1)
case("roll", normal(3, 4), shifts=(1, -1), dims=(0, 1))
case("roll", normal(3, 4), shifts=5)
case("repeat", normal(2, 3), repeats=(2, 3), torch=lambda x, repeats: x.repeat(repeats))
case("repeat", normal(3), repeats=(2, 1, 2), torch=lambda x, repeats: x.repeat(repeats))
case("repeat", normal(), repeats=(2, 3), torch=lambda x, repeats: x.repeat(repeats))

# -- picking ---------------------------------------------------------------------------------------------------------


def brackets(x: Tensor, index: Any) -> Tensor:
    parts = index if isinstance(index, tuple) else (index,)
    return x[tuple(torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in parts)]


repeating = np.array([2, 0, 2, 2, -1])
for note, index in {
    "integer": 1,
    "negative integer": -1,
    "slice": slice(0, 3, 2),
    "integer and slice": (slice(None), 1),
    "every axis": (1, 2, 0),
    "ellipsis": (..., 0),
    "new axis": (None, slice(1, None), None),
    "rows": repeating,
    "rows of a matrix of rows": repeating[:4].reshape(2, 2),
    "list": [0, 0, 1],
    "no rows": np.array([], dtype=int),
    "column": (slice(None), repeating),
    "pairs": (repeating, np.array([1, 0, 1, 3, 2])),
    "outer": (repeating[:, None], np.array([1, 1, 3])),
    "apart": (repeating, slice(None), np.array([0, 1, 0, 1, 1])),
    "mask": chosen,
    "mask of rows": chosen[:, 0],
    "mask and integer": (chosen, 1),
}.items():
    case("getitem", normal(3, 4, 2), index=index, torch=brackets, note=note)
case("getitem", normal(5), index=repeating, torch=brackets, note="rows of a vector")
case("getitem", normal(), index=(...,), torch=brackets, note="scalar")
case("getitem", normal(50, 8), index=np.arange(200) * 7 % 50, torch=brackets, note="many rows")
case("index_select", normal(3, 4), dim=1, index=np.array([3, 0, 3]))
case("index_select", normal(3, 4, 2), dim=-3, index=np.array([1, 1, 0, 2]))
case("index_select", normal(5), dim=0, index=np.array([4, 4, 1]))
case("gather", normal(3, 4), dim=1, index=np.array([[0, 3], [1, 1], [2, 0]]))
case("gather", normal(3, 4), dim=0, index=np.array([[0, 2, 2], [2, 2, 1]]))
case("gather", normal(2, 3, 4), dim=-1, index=np.array([[[0, 3, 3], [1, 1, 1]]]))
case("gather", normal(4), dim=0, index=np.array([3, 3, 0]))
take = {"torch": lambda x, indices, dim=None: torch.take_along_dim(x, indices, dim)}
case("take_along_dim", normal(3, 4), indices=np.array([[0], [3], [1]]), dim=1, **take)
case("take_along_dim", normal(3, 4), indices=np.array([[0, 3, 3]]), dim=1, note="broadcast", **take)
case("take_along_dim", normal(1, 4), indices=np.array([[0, 3], [1, 1]]), dim=1, **take)
case("take_along_dim", normal(3, 4), indices=np.array([11, 0, 11]), **take)
fill = {"torch": lambda x, value, mask: torch.masked_fill(x, mask, value)}
case("masked_fill", normal(3, 4), -2.5, mask=chosen, **fill)
case("masked_fill", normal(3, 4), normal(), mask=chosen, **fill)
case("masked_fill", normal(3, 4), -inf, mask=chosen[0], smooth=False, **fill)
case("masked_fill", normal(2, 3, 4), 0, mask=chosen, **fill)
case("masked_select", normal(3, 4), mask=chosen)
case("masked_select", normal(3, 1), mask=chosen)
for name in ("tril", "triu"):
    case(name, normal(3, 4))
    case(name, normal(2, 4, 3), diagonal=1)
    case(name, normal(3, 3), diagonal=-1)

# -- products --------------------------------------------------------------------------------------------------------

for left, right in (
    ((4,), (4,)),
    ((4,), (4, 3)),
    ((2, 4), (4,)),
    ((2, 4), (4, 3)),
    ((5, 2, 4), (5, 4, 3)),
    ((5, 2, 4), (4, 3)),
    ((2, 4), (5, 4, 3)),
    ((5, 1, 2, 4), (6, 4, 3)),
    ((1, 2, 4), (6, 4, 3)),
    ((5, 2, 4), (4,)),
    ((4,), (5, 4, 3)),
    ((2, 5, 4), (2, 1, 4, 3)),
    ((0, 4), (4, 3)),
    ((2, 0), (0, 3)),
    ((0,), (0,)),
    ((2, 0, 4), (4, 3)),
):
    case("matmul", normal(*left), normal(*right))
case("linear", normal(5, 4), normal(3, 4), normal(3))
case("linear", normal(5, 4), normal(3, 4))
case("linear", normal(5, 4), normal(3, 4), None)
case("linear", normal(4), normal(3, 4), normal(3))
case("linear", normal(2, 5, 4), normal(3, 4), normal(3))
case("linear", normal(2, 3, 5, 4), normal(1, 4))
case("linear", normal(0, 4), normal(3, 4), normal(3))
case("linear", normal(2, 0, 4), normal(3, 4), normal(3))
case("linear", normal(5, 0), normal(3, 0), normal(3))
case("mm", normal(2, 4), normal(4, 3))
case("bmm", normal(5, 2, 4), normal(5, 4, 3))
case("dot", normal(4), normal(4))
case("outer", normal(4), normal(3))
case("addmm", normal(2, 3), normal(2, 4), normal(4, 3))
case("addmm", normal(3), normal(2, 4), normal(4, 3), beta=0.5, alpha=-2.0)
case("addmm", normal(3), normal(2, 4), normal(4, 3), beta=0)

# -- activations -----------------------------------------------------------------------------------------------------

for name in [
    "relu",
    "relu6",
    "leaky_relu",
    "hardtanh",
    "hardshrink",
    "softshrink",
    "hardsigmoid",
    "hardswish",
    "sigmoid",
    "logsigmoid",
    "tanh",
    "tanhshrink",
    "softsign",
    "softplus",
    "elu",
    "celu",
    "selu",
    "silu",
    "mish",
    "gelu",
]:
    loose = TORCH_ROUNDS if name == "hardsigmoid" else 0.0
    case(name, normal(3, 4), loose=loose)
    case(name, normal(), loose=loose)
    case(name, normal(0, 3))
    case(name, between(-5, 9, 30, 40), loose=loose)
    points = (
        (nan,) if name in ("softsign", "gelu") else (-inf, inf, nan)
    )  # there torch's two dtypes disagree, or inf / inf
    case(name, exactly(*points), singular=True, note="not finite")
for name, points in {
    "relu": (-1, 0, 1),
    "relu6": (-1, 0, 3, 6, 7),
    "leaky_relu": (-1, 0, 1),
    "hardtanh": (-2, -1, 0, 1, 2),
    "hardshrink": (-1, -0.5, 0, 0.5, 1),
    "softshrink": (-1, -0.5, 0, 0.5, 1),
    "hardsigmoid": (-4, -3, 0, 3, 4),
    "hardswish": (-4, -3, 0, 3, 4),
    "softsign": (-1, 0, 1),
    "selu": (-1, 0, 1),
    "celu": (-1, 0, 1),
    "elu": (-1, 0, 1),
}.items():
    case(name, exactly(*points), smooth=False, note="kinks", loose=TORCH_ROUNDS if name == "hardsigmoid" else 0.0)
for name in ("sigmoid", "logsigmoid", "tanh", "softplus", "silu", "mish", "gelu", "elu", "selu", "celu"):
    case(name, exactly(-800, -90, -30, 30, 90, 800), smooth=False, note="far out")
case("leaky_relu", normal(3, 4), negative_slope=-0.3)
case("leaky_relu", normal(30, 40), negative_slope=1.5)
case("hardtanh", exactly(-3, -2, 0, 0.5, 1), min_val=-2.0, max_val=0.5, smooth=False, note="kinks")
case("hardshrink", normal(3, 4), lambd=0.2)
case("softshrink", normal(3, 4), lambd=0.2)
case("softplus", normal(3, 4), beta=2.0, threshold=1.0)
case("softplus", exactly(0.25, 0.5, 1), beta=2.0, threshold=1.0, smooth=False, note="threshold")
case("elu", normal(3, 4), alpha=0.3)
case("elu", exactly(-1, 0, 1), alpha=0.3, smooth=False, note="kinks")
case("celu", normal(3, 4), alpha=0.5)
case("celu", normal(3, 4), alpha=0.3, loose=TORCH_ROUNDS, note="not a power of two")
case("gelu", normal(3, 4), approximate="tanh")
case("gelu", exactly(-800, -9, 9, 800), approximate="tanh", smooth=False, note="far out")
case("threshold", normal(3, 4), threshold=0.3, value=2.0)
case("threshold", normal(30, 40), threshold=0.3, value=2.0)
case("threshold", exactly(0, 0.25, 1), threshold=0.25, value=2.0, smooth=False, note="kinks")
case("prelu", normal(3, 4), normal(1))
case("prelu", normal(2, 4, 3), normal(4))
case("prelu", normal(20, 4, 9), normal(4))
case("prelu", normal(5), normal(1))
case("prelu", normal(), normal(1))
case("prelu", exactly([-1, 0, 1]), exactly(0.3), smooth=False, note="kinks")
case("glu", normal(3, 4))
case("glu", normal(2, 6, 3), dim=1)

# -- softmax ---------------------------------------------------------------------------------------------------------

for name in ("softmax", "softmin", "log_softmax"):
    case(name, normal(3, 4), dim=1)
    case(name, normal(3, 4), dim=0)
    case(name, normal(2, 3, 4), dim=-2)
    case(name, normal(3, 100), dim=-1)
    case(name, normal(), dim=0)
    case(name, normal(0, 4), dim=1)
    case(name, normal(3, 1), dim=1)
    case(name, exactly([1000, 1001, 999], [-1000, 0, 1000]), dim=1, smooth=False, note="far out")
    case(
        name,
        exactly([-inf, 1, 2], [-inf, -inf, 0]),
        dim=1,
        singular=name == "softmin",
        smooth=False,
        note="minus infinity",
    )
    case(name, exactly([-inf, -inf], [inf, 1]), dim=1, singular=True, note="no answer")

# -- the rest --------------------------------------------------------------------------------------------------------


def given_dropout(x: Tensor, kept: Tensor, p: float = 0.5) -> Tensor:
    return x * kept.to(x.dtype) * (0.0 if p == 1 else 1 / (1 - p))


case("dropout", normal(3, 4), mask(3, 4), torch=given_dropout)
case("dropout", normal(3, 4), mask(3, 4), p=0.2, torch=given_dropout)
case("dropout", normal(3, 4), mask(3, 4), p=0.0, torch=given_dropout)
case("dropout", normal(3, 4), mask(3, 4), p=1.0, torch=given_dropout)
case("alias", normal(3, 4), torch=lambda x: x.view_as(x))
case("clone", normal(3, 4))
case("to", normal(3, 4), dtype="float64", torch=lambda x, dtype: x.to(torch.float64).clone(), note="up")
case("to", normal(3, 4), dtype="float32", torch=lambda x, dtype: x.to(torch.float32).clone(), smooth=False, note="down")
