"""Sums in another order: other honest ways to add up the same terms.

Noise on the terms shows what is lost when they are added up pairwise or in blocks. A loop that adds one after the
other loses more where its partial sums are large or the terms alike, and by how much depends on the very terms; so it
is tried. So is a pairwise sum, which loses next to nothing: where the reference itself is such a loop, no noise shows
how far it is off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from compare.kinks import name_of
from compare.rerun import ORDERS

__all__ = ["Adding"]

_DTYPES = (torch.float32, torch.float64)


class Adding(TorchDispatchMode):
    """Adds the terms of sums, means and norms up in an order of its own, in their own dtype.

    Parameters
    ----------
    order : "forwards", "backwards" or "pairwise"
        One after the other, from the first or from the last, or the sums of either half.

    Raises
    ------
    ValueError
        For another order.

    Examples
    --------
    >>> terms = torch.tensor([1.0, 2.0**-53, 2.0**-53], dtype=torch.float64)
    >>> with Adding("forwards"):
    ...     first_comes_first = terms.sum()
    >>> with Adding("backwards"):
    ...     last_comes_first = terms.sum()
    >>> float(first_comes_first) - 1, float(last_comes_first) - 1
    (0.0, 2.220446049250313e-16)
    """

    def __init__(self, order: str):
        super().__init__()
        if order not in ORDERS:
            raise ValueError(f"the order must be one of {', '.join(ORDERS)}, got {order!r}")
        self._order = order

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = name_of(func)
        values: Any = args[0] if args else None
        if name == "_foreach_norm" and all(tensor.dtype in _DTYPES for tensor in values):
            single = torch.ops.aten.linalg_vector_norm.default
            return [self.__torch_dispatch__(single, types, (tensor, *args[1:2])) for tensor in values]
        if (
            not isinstance(values, Tensor)
            or values.dtype not in _DTYPES
            or not values.numel()
            or kwargs.get("dtype") not in (None, values.dtype)
            or "out" in kwargs
        ):
            return func(*args, **kwargs)
        if name in ("sum", "mean"):
            dims, keepdim = _given(args, kwargs, 1)
            total = self._total(values, dims, keepdim)
            return total if name == "sum" else total / (values.numel() / max(1, total.numel()))
        if name == "linalg_vector_norm":
            order = float(args[1] if len(args) > 1 else kwargs.get("ord", 2))
            dims, keepdim = _given(args, kwargs, 2)
            if order == 1:
                return self._total(values.abs(), dims, keepdim)
            if order == 2:
                return self._total(values * values, dims, keepdim).sqrt()
        return func(*args, **kwargs)

    def _total(self, values: Tensor, dims: Sequence[int] | None, keepdim: bool) -> Tensor:
        axes = tuple(range(values.ndim)) if not dims else tuple(dim % values.ndim for dim in dims)
        array = values.detach().numpy()
        terms = np.moveaxis(array, axes, range(len(axes)))
        terms = terms.reshape(-1, *terms.shape[len(axes) :])
        with np.errstate(all="ignore"):
            if self._order == "pairwise":  # as NumPy adds up what lies side by side
                total = np.add.reduce(np.ascontiguousarray(np.moveaxis(terms, 0, -1)), axis=-1)
            else:
                total = np.add.accumulate(terms[::-1] if self._order == "backwards" else terms)[-1]
        shape = [1 if axis in axes else size for axis, size in enumerate(array.shape)] if keepdim else total.shape
        return torch.from_numpy(np.array(total)).reshape(tuple(shape))


def _given(args: Sequence[Any], kwargs: dict[str, Any], position: int) -> tuple[Sequence[int] | None, bool]:
    """The axes and ``keepdim`` of a reduction."""
    dims = args[position] if len(args) > position else kwargs.get("dim")
    keepdim = args[position + 1] if len(args) > position + 1 else kwargs.get("keepdim", False)
    return [dims] if isinstance(dims, int) else dims, bool(keepdim)
