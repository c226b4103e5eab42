"""Joining, cutting, picking and products."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import case, chosen, inf, normal

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
