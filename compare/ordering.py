"""Sums in another order: other honest ways to add up the same terms.

Noise on the terms shows what is lost when they are added up pairwise or in blocks. A loop that adds one after the
other loses more where its partial sums are large or the terms alike, and by how much depends on the very terms; so it
is tried. So is a pairwise sum, which loses next to nothing: where the reference itself is such a loop, no noise shows
how far it is off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from compare.kinks import name_of
from compare.rerun import ORDERS

__all__ = ["Adding"]

_DTYPES = (torch.float32, torch.float64)
_PRODUCTS = frozenset({"mm", "bmm", "mv", "dot", "addmm", "addmv", "baddbmm"})
"""Products of two operands; the first of three is added."""
_MOST = 1 << 26
"""A product of more terms is left as it is: a loop in Python would take seconds."""
_BLOCK = 16


class Adding(TorchDispatchMode):
    """Adds the terms of sums, means, norms and products of matrices up in an order of its own, in their own dtype.

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
        if name in _PRODUCTS:
            product = self._product(name, args, kwargs)
            return func(*args, **kwargs) if product is None else product
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

    def _product(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
        """A product of matrices or vectors, plus a bias if there is one; nothing where it is not for this mode."""
        if any(not isinstance(item, Tensor) or item.dtype not in _DTYPES or item.is_sparse for item in args):
            return None
        *bias, left, right = args
        a, b = left.detach().numpy(), right.detach().numpy()
        a, b = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
        if a.shape[-1] * a.shape[-2] * b.shape[-1] > _MOST or not a.size or not b.size:
            return None
        added = [float(kwargs.get("beta", 1)) * item.detach().numpy() for item in bias]
        with np.errstate(all="ignore"):
            total = _in_pairs(a, b) if self._order == "pairwise" else self._one_by_one(a, b)
            total = total.reshape((*left.shape[:-1], *right.shape[-1:][: right.ndim - 1]))
            if bias:
                total = added[0].astype(total.dtype) + total.dtype.type(kwargs.get("alpha", 1)) * total
        return torch.from_numpy(np.array(total, total.dtype))

    def _one_by_one(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        terms = range(a.shape[-1])
        total = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
        for k in reversed(terms) if self._order == "backwards" else terms:
            total += a[..., k, None] * b[..., None, k, :]
        return total

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


def _in_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    terms = a.shape[-1]
    if terms <= _BLOCK:
        found: np.ndarray = a @ b
        return found
    half = terms // 2
    return _in_pairs(a[..., :half], b[..., :half, :]) + _in_pairs(a[..., half:], b[..., half:, :])


def _given(args: Sequence[Any], kwargs: dict[str, Any], position: int) -> tuple[Sequence[int] | None, bool]:
    """The axes and ``keepdim`` of a reduction."""
    dims = args[position] if len(args) > position else kwargs.get("dim")
    keepdim = args[position + 1] if len(args) > position + 1 else kwargs.get("keepdim", False)
    return [dims] if isinstance(dims, int) else dims, bool(keepdim)
