"""A gradient that has a few rows only: those of a table that were looked up."""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array
from manual.rules.indexing import add_rows

__all__ = ["SparseRows"]


class SparseRows:
    """Some rows of an array; the others are zero.

    It is what ``torch.sparse_coo_tensor`` with one sparse dimension is to torch: the gradient of a large table, of
    which a step looks a few rows up. A row may be listed several times: its entries add up. A row that is listed with
    zeros is there all the same, and an optimizer that updates the listed rows updates it.

    Parameters
    ----------
    indices : integers of shape (n,)
        Which row each entry belongs to.
    values : array of shape (n, *shape[1:])
        Kept as it is.
    shape : tuple of int
        Of the whole array, with at least one axis.

    Notes
    -----
    It adds to its like by joining the lists, to an array as the array it stands for, and takes a number as a factor.
    ``array += rows`` adds in place. ``np.asarray`` makes it dense.

    Raises
    ------
    RuntimeError
        If the shapes do not fit, or a row is outside.

    Examples
    --------
    >>> rows = manual.SparseRows(np.array([2, 0, 2]), np.array([[1.0], [5.0], [3.0]]), (3, 1))
    >>> rows.to_dense()
    array([[5.],
           [0.],
           [4.]])
    """

    __slots__ = ("indices", "shape", "values")

    is_sparse = True

    def __init__(self, indices: Any, values: Any, shape: tuple[int, ...]):
        self.indices: Array = np.asarray(indices)
        self.values: Array = np.asarray(values)
        self.shape = tuple(shape)
        if not self.shape or self.indices.ndim != 1 or self.values.shape != (len(self.indices), *self.shape[1:]):
            raise RuntimeError(
                f"indices of shape {self.indices.shape} and values of shape {self.values.shape} are no rows of an "
                f"array of shape {self.shape}"
            )
        if len(self.indices) and not 0 <= np.minimum.reduce(self.indices) <= np.maximum.reduce(self.indices) < shape[0]:
            outside = self.indices[(self.indices < 0) | (self.indices >= shape[0])][0]
            raise RuntimeError(
                f"size is inconsistent with indices: for dim 0, size is {shape[0]} but found index {outside}"
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def ndim(self) -> int:
        """The number of axes of the whole array."""
        return len(self.shape)

    @property
    def base(self) -> Array | None:
        """What the values are a view of: the engine copies a gradient that is not its own."""
        return self.values.base

    def copy(self) -> SparseRows:
        """An independent copy."""
        return SparseRows(self.indices.copy(), self.values.copy(), self.shape)

    @classmethod
    def of(cls, dense: Array, like: SparseRows) -> SparseRows:
        """The rows of an array that ``like`` lists, and all others that are not zero."""
        listed = (dense != 0).reshape(len(dense), -1).any(axis=1)
        listed[like.indices] = True
        rows = np.flatnonzero(listed)
        return cls(rows, dense[rows], dense.shape)

    def coalesce(self) -> SparseRows:
        """The same rows in ascending order, each once: entries of one row are added up."""
        if (self.indices[1:] > self.indices[:-1]).all():
            return self
        rows, places = np.unique(self.indices, return_inverse=True)
        values = np.zeros((len(rows), *self.shape[1:]), self.dtype)
        add_rows(values, places, self.values)
        return SparseRows(rows, values, self.shape)

    def to_dense(self) -> Array:
        """The array it stands for."""
        dense = np.zeros(self.shape, self.dtype)
        add_rows(dense, self.indices, self.values)
        return dense

    def fill(self, value: float) -> None:
        """Drop all rows: the only value that leaves the others as they are is zero."""
        if value != 0:
            raise ValueError(f"rows can be filled with 0 only, not with {value}")
        self.indices, self.values = self.indices[:0], self.values[:0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.to_dense() if dtype is None else self.to_dense().astype(dtype, copy=False)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, SparseRows):
            if other.shape != self.shape:
                raise RuntimeError(f"rows of shape {self.shape} and of shape {other.shape} do not add up")
            indices = np.concatenate([self.indices, other.indices])
            return SparseRows(indices, np.concatenate([self.values, other.values]), self.shape)
        if isinstance(other, np.ndarray) and other.shape == self.shape:
            return self._added_to(other.copy())
        return NotImplemented

    __radd__ = __add__

    def __mul__(self, factor: Any) -> SparseRows:
        if np.ndim(factor):
            return NotImplemented
        return SparseRows(self.indices, np.multiply(self.values, factor, dtype=self.dtype), self.shape)

    __rmul__ = __mul__

    def __neg__(self) -> SparseRows:
        return SparseRows(self.indices, -self.values, self.shape)

    def _added_to(self, dense: Array) -> Array:
        add_rows(dense, self.indices, self.values)
        return dense

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        """Answer NumPy where it stands on the left: ``array + rows``, ``array += rows`` and ``scalar * rows``."""
        if method == "__call__" and not options and len(inputs) == 2:
            left, right = inputs
            if ufunc is np.add and out is None:
                return self.__add__(left if right is self else right)
            if ufunc is np.add and out[0] is left and right is self and left.shape == self.shape:
                return self._added_to(left)
            if ufunc is np.multiply and out is None:
                return self.__mul__(left if right is self else right)
        return NotImplemented

    def __repr__(self) -> str:
        return f"SparseRows(indices={self.indices!r}, values={self.values!r}, shape={self.shape})"
