"""Putting elements into an array, repeating them, and diagonals."""

from typing import Any

import numpy as np
import torch

from . import case, chosen, exactly, normal, off_zero

once = np.array([[3, 0, 1], [1, 2, 0]])
again = np.array([[0, 0, 3], [2, 2, 2]])
column = np.array([[2, 0, 1, 1], [0, 2, 2, 0]])

# -- scatter -----------------------------------------------------------------------------------------------------------

put = {"torch": lambda x, src, dim, index: torch.scatter(x, dim, index, src)}
case("scatter", normal(2, 4), normal(2, 3), dim=1, index=once, **put)
case("scatter", normal(2, 4), -2.5, dim=1, index=again, **put)
case("scatter", normal(2, 4), normal(2, 3), dim=1, index=again, note="one place twice", smooth=False, **put)
case(
    "scatter",
    normal(4, 4),
    normal(2, 4),
    dim=0,
    index=once[:, :2],
    note="small index",
    torch=lambda x, src, dim, index: torch.scatter(x, dim, index, src[:2, :2]),
)
case("scatter", normal(5), normal(3), dim=0, index=np.array([4, 0, 2]), **put)
case("scatter", normal(), normal(), dim=0, index=np.array(0), **put)
case("scatter", normal(2, 4), normal(2, 0), dim=1, index=np.zeros((2, 0), int), **put)

add = {"torch": lambda x, src, dim, index: torch.scatter_add(x, dim, index, src)}
case("scatter_add", normal(2, 4), normal(2, 3), dim=1, index=again, **add)
case("scatter_add", normal(3, 4), normal(2, 4), dim=-2, index=column, **add)
case(
    "scatter_add",
    normal(3, 4),
    normal(5, 4),
    dim=0,
    index=column,
    note="larger source",
    torch=lambda x, src, dim, index: torch.scatter_add(x, dim, index, src[:2]),
)
case("scatter_add", normal(3, 4, 2), normal(2, 4, 2), dim=0, index=np.stack([column, 2 - column], -1), **add)
case("scatter_add", normal(6), normal(40), dim=0, index=np.arange(40) * 7 % 6, **add)
case("scatter_add", normal(), normal(), dim=0, index=np.array(0), **add)

reduced = {
    "torch": lambda x, src, dim, index, reduce, include_self=True: torch.scatter_reduce(
        x, dim, index, src, reduce, include_self=include_self
    )
}
for reduce in ("sum", "prod", "mean", "amax", "amin"):
    for include in (True, False):
        how = {"reduce": reduce, "include_self": include, **reduced}
        case("scatter_reduce", off_zero(2, 4), off_zero(2, 3), dim=1, index=again, **how)
        case("scatter_reduce", off_zero(3, 4), off_zero(2, 4), dim=0, index=column, **how)
        case("scatter_reduce", off_zero(3), off_zero(9), dim=0, index=np.arange(9) // 4, **how)
        case("scatter_reduce", off_zero(), off_zero(), dim=0, index=np.array(0), **how)
    tied = {"reduce": reduce, "smooth": reduce[0] != "a", **reduced}
    case(
        "scatter_reduce",
        exactly(2.0, 3.0, -1.0),
        exactly(2.0, 3.0, 3.0, -1.0, 2.0),
        dim=0,
        index=np.array([0, 1, 1, 2, 0]),
        note="ties",
        **tied,
    )
zero = exactly(0.0, 2.0, 5.0, 3.0), exactly(3.0, 0.0, 4.0, 0.0, 0.0, 7.0, 2.0)
for include in (True, False):
    case(
        "scatter_reduce",
        *zero,
        dim=0,
        index=np.array([0, 1, 1, 2, 2, 2, 3]),
        reduce="prod",
        include_self=include,
        note="zeros",
        **reduced,
    )

# -- whole slices, brackets, masks -------------------------------------------------------------------------------------

added = {"torch": lambda x, source, dim, index, alpha=1: torch.index_add(x, dim, index, source, alpha=alpha)}
case("index_add", normal(3, 4), normal(2, 4), dim=0, index=np.array([2, 0]), **added)
case("index_add", normal(3, 4), normal(3, 5), dim=-1, index=np.array([1, 1, 3, 0, 1]), alpha=-2.0, **added)
case("index_add", normal(3, 4, 2), normal(3, 3, 2), dim=1, index=np.array([3, 3, 0]), **added)
case("index_add", normal(5), normal(3), dim=0, index=np.array([4, 4, 1]), **added)
case("index_add", normal(5), normal(0), dim=0, index=np.array([], int), **added)
case(
    "index_add",
    normal(),
    normal(),
    dim=0,
    index=np.array(0),
    torch=lambda x, source, dim, index: torch.index_add(x, dim, index[None], source),
    note="scalar",
)


def brackets(x: Any, values: Any, indices: Any, accumulate: bool = False) -> Any:
    parts = indices if isinstance(indices, tuple) else (indices,)
    parts = tuple(torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in parts)
    if accumulate:
        return torch.index_put(x, parts, values, accumulate=True)
    changed = x.clone()
    changed[parts] = values
    return changed


rows, columns = np.array([2, 0, 1]), np.array([3, 3, 0])
case("index_put", normal(3, 4), normal(3), indices=(rows, columns), torch=brackets, note="pairs")
case("index_put", normal(3, 4), normal(2, 4), indices=(rows[:2],), torch=brackets, note="rows")
case("index_put", normal(3, 4), normal(4), indices=(rows[:2],), torch=brackets, note="broadcast")
case("index_put", normal(3, 4), normal(), indices=chosen, torch=brackets, note="mask and scalar")
case("index_put", normal(3, 4), normal(6), indices=chosen, torch=brackets, note="mask")
case("index_put", normal(3, 4), normal(2, 1), indices=(slice(0, 3, 2), slice(1, None)), torch=brackets, note="slices")
case("index_put", normal(3, 4), normal(4), indices=1, torch=brackets, note="row")
case(
    "index_put",
    normal(3, 4),
    normal(3),
    indices=(rows * 0, columns),
    torch=brackets,
    note="one place twice",
    smooth=False,
)
case(
    "index_put",
    normal(3, 4),
    normal(3),
    indices=(rows * 0, columns),
    accumulate=True,
    torch=brackets,
    note="one place twice",
)
case("index_put", normal(3, 4), normal(1), indices=(rows, columns), accumulate=True, torch=brackets, note="broadcast")

masked = {"torch": lambda x, source, mask: torch.masked_scatter(x, mask, source)}
case("masked_scatter", normal(3, 4), normal(3, 4), mask=chosen, **masked)
case("masked_scatter", normal(3, 4), normal(7), mask=chosen, **masked)
case("masked_scatter", normal(2, 3, 4), normal(30), mask=chosen[:, :1], note="broadcast mask", **masked)
case("masked_scatter", normal(1, 4), normal(12), mask=chosen, note="broadcast input", **masked)

# -- copies and windows ------------------------------------------------------------------------------------------------

case("repeat_interleave", normal(2, 3), repeats=2)
case("repeat_interleave", normal(2, 3), repeats=3, dim=1)
case("repeat_interleave", normal(2, 3, 2), repeats=np.array([2, 0, 3]), dim=-2)
case("repeat_interleave", normal(4), repeats=np.array([1, 0, 2, 1]), output_size=4)
case("repeat_interleave", normal(2, 3), repeats=np.array([2]), dim=0, note="vector of one")
case("repeat_interleave", normal(2, 3), repeats=0, dim=0)
case("repeat_interleave", normal(), repeats=2)
unfold = {"torch": lambda x, dimension, size, step: x.unfold(dimension, size, step)}
case("sliding_windows", normal(7), dimension=0, size=3, step=1, **unfold)
case("sliding_windows", normal(2, 8, 3), dimension=1, size=3, step=2, **unfold)
case("sliding_windows", normal(2, 3, 9), dimension=-1, size=2, step=3, **unfold)
case("sliding_windows", normal(3, 4), dimension=0, size=3, step=1, **unfold)
case("sliding_windows", normal(3, 4), dimension=0, size=0, step=2, **unfold)
case("sliding_windows", normal(), dimension=0, size=1, step=1, **unfold)

# -- diagonals ---------------------------------------------------------------------------------------------------------

for offset in (0, 1, -2, 9):
    case("diagonal", normal(3, 4), offset=offset)
    case("diag", normal(3, 4), diagonal=offset)
for offset in (0, 1, -2):
    case("diag", normal(3), diagonal=offset)
    case("diag_embed", normal(2, 3), offset=offset)
case("diagonal", normal(2, 3, 4, 2), offset=1, dim1=-1, dim2=1)
case("diag_embed", normal(2, 3, 2), offset=-1, dim1=0, dim2=-2)
case("diag_embed", normal(3), dim1=1, dim2=0, offset=1)
case("trace", normal(3, 3))
case("trace", normal(2, 4))
