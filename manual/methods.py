"""The methods of Tensor that are ops: torch's names, one line each.

Operators, the array's own properties and the graph are in ``manual.tensor``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from manual import rules
from manual.arranging import ArrangingMethods

if TYPE_CHECKING:
    from manual.tensor import Tensor

__all__ = ["Extremum", "TensorMethods"]


class Extremum(NamedTuple):
    """What ``max`` and ``min`` along an axis return: the values, and where they were found."""

    values: Tensor
    indices: Tensor


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    if len(sizes) == 1 and not isinstance(sizes[0], (int, np.integer)):
        return tuple(sizes[0])
    return sizes


class TensorMethods(ArrangingMethods):
    """Ops as methods. ``_apply(rule, *others, **options)`` applies a rule to this tensor and others."""

    __slots__ = ()

    # -- element by element ----------------------------------------------------------------------------------------

    def add(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return self._apply(rules.add, other, alpha=alpha)

    def sub(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return self._apply(rules.sub, other, alpha=alpha)

    def mul(self, other: Any) -> Tensor:
        return self._apply(rules.mul, other)

    def div(self, other: Any) -> Tensor:
        return self._apply(rules.div, other)

    def neg(self) -> Tensor:
        return self._apply(rules.neg)

    def pow(self, exponent: Any) -> Tensor:
        return self._apply(rules.pow, exponent)

    def square(self) -> Tensor:
        return self._apply(rules.square)

    def sqrt(self) -> Tensor:
        return self._apply(rules.sqrt)

    def rsqrt(self) -> Tensor:
        return self._apply(rules.rsqrt)

    def reciprocal(self) -> Tensor:
        return self._apply(rules.reciprocal)

    def abs(self) -> Tensor:
        return self._apply(rules.abs)

    def sign(self) -> Tensor:
        return self._apply(rules.sign)

    def exp(self) -> Tensor:
        return self._apply(rules.exp)

    def expm1(self) -> Tensor:
        return self._apply(rules.expm1)

    def log(self) -> Tensor:
        return self._apply(rules.log)

    def log1p(self) -> Tensor:
        return self._apply(rules.log1p)

    def log2(self) -> Tensor:
        return self._apply(rules.log2)

    def log10(self) -> Tensor:
        return self._apply(rules.log10)

    def sin(self) -> Tensor:
        return self._apply(rules.sin)

    def cos(self) -> Tensor:
        return self._apply(rules.cos)

    def tan(self) -> Tensor:
        return self._apply(rules.tan)

    def erf(self) -> Tensor:
        return self._apply(rules.erf)

    def relu(self) -> Tensor:
        return self._apply(rules.relu)

    def sigmoid(self) -> Tensor:
        return self._apply(rules.sigmoid)

    def tanh(self) -> Tensor:
        return self._apply(rules.tanh)

    def maximum(self, other: Any) -> Tensor:
        return self._apply(rules.maximum, other)

    def minimum(self, other: Any) -> Tensor:
        return self._apply(rules.minimum, other)

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        return self._apply(rules.clamp, min, max)

    def where(self, condition: Any, other: Any) -> Tensor:
        """This tensor where ``condition`` holds, ``other`` elsewhere."""
        return self._apply(rules.where, other, condition=condition)

    def masked_fill(self, mask: Any, value: Any) -> Tensor:
        return self._apply(rules.masked_fill, value, mask=mask)

    # -- along axes ------------------------------------------------------------------------------------------------

    def sum(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        return _cast(self, dtype)._apply(rules.sum, dim=dim, keepdim=keepdim)

    def mean(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        return _cast(self, dtype)._apply(rules.mean, dim=dim, keepdim=keepdim)

    def prod(self, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        return _cast(self, dtype)._apply(rules.prod, dim=dim, keepdim=keepdim)

    def var(self, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None) -> Tensor:
        degrees = int(unbiased) if correction is None else correction
        return self._apply(rules.var, dim=dim, correction=degrees, keepdim=keepdim)

    def std(self, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None) -> Tensor:
        degrees = int(unbiased) if correction is None else correction
        return self._apply(rules.std, dim=dim, correction=degrees, keepdim=keepdim)

    def norm(self, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
        return self._apply(rules.norm, p=p, dim=dim, keepdim=keepdim)

    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest element; with ``dim``, the largest along it and their indices."""
        found = self._apply(rules.max, dim=dim, keepdim=keepdim)
        return found if dim is None else Extremum(*found)

    def min(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The smallest element; with ``dim``, the smallest along it and their indices."""
        found = self._apply(rules.min, dim=dim, keepdim=keepdim)
        return found if dim is None else Extremum(*found)

    def amax(self, dim: Any = (), keepdim: bool = False) -> Tensor:
        return self._apply(rules.amax, dim=dim, keepdim=keepdim)

    def amin(self, dim: Any = (), keepdim: bool = False) -> Tensor:
        return self._apply(rules.amin, dim=dim, keepdim=keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return self._apply(rules.argmax, dim=dim, keepdim=keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return self._apply(rules.argmin, dim=dim, keepdim=keepdim)

    def logsumexp(self, dim: Any, keepdim: bool = False) -> Tensor:
        return self._apply(rules.logsumexp, dim=dim, keepdim=keepdim)

    def softmax(self, dim: int, dtype: Any = None) -> Tensor:
        return _cast(self, dtype)._apply(rules.softmax, dim=dim)

    def log_softmax(self, dim: int, dtype: Any = None) -> Tensor:
        return _cast(self, dtype)._apply(rules.log_softmax, dim=dim)

    # -- shape -----------------------------------------------------------------------------------------------------

    def reshape(self, *shape: Any) -> Tensor:
        return self._apply(rules.reshape, shape=_sizes(shape))

    def view(self, *shape: Any) -> Tensor:
        """As :meth:`reshape`; unlike torch, it copies where the memory does not lie as needed."""
        return self._apply(rules.reshape, shape=_sizes(shape))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        return self._apply(rules.flatten, start_dim=start_dim, end_dim=end_dim)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        return self._apply(rules.transpose, dim0=dim0, dim1=dim1)

    def permute(self, *dims: Any) -> Tensor:
        return self._apply(rules.permute, dims=_sizes(dims))

    def movedim(self, source: Any, destination: Any) -> Tensor:
        return self._apply(rules.movedim, source=source, destination=destination)

    def t(self) -> Tensor:
        return self._apply(rules.t)

    @property
    def T(self) -> Tensor:  # noqa: N802 (torch's name)
        return self._apply(rules.t)

    @property
    def mT(self) -> Tensor:  # noqa: N802 (torch's name)
        return self.transpose(-2, -1)

    def squeeze(self, dim: Any = None) -> Tensor:
        return self._apply(rules.squeeze, dim=dim)

    def unsqueeze(self, dim: int) -> Tensor:
        return self._apply(rules.unsqueeze, dim=dim)

    def expand(self, *sizes: Any) -> Tensor:
        return self._apply(rules.expand, size=_sizes(sizes))

    def repeat(self, *repeats: Any) -> Tensor:
        return self._apply(rules.repeat, repeats=_sizes(repeats))

    def flip(self, *dims: Any) -> Tensor:
        return self._apply(rules.flip, dims=_sizes(dims))

    def roll(self, shifts: Any, dims: Any = None) -> Tensor:
        return self._apply(rules.roll, shifts=shifts, dims=dims)

    def split(self, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
        return self._apply(rules.split, split_size_or_sections=split_size, dim=dim)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        return self._apply(rules.chunk, chunks=chunks, dim=dim)

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        return self._apply(rules.unbind, dim=dim)

    def tril(self, diagonal: int = 0) -> Tensor:
        return self._apply(rules.tril, diagonal=diagonal)

    def triu(self, diagonal: int = 0) -> Tensor:
        return self._apply(rules.triu, diagonal=diagonal)

    # -- picking, products, dtype ----------------------------------------------------------------------------------

    def index_select(self, dim: int, index: Any) -> Tensor:
        return self._apply(rules.index_select, dim=dim, index=index)

    def gather(self, dim: int, index: Any) -> Tensor:
        return self._apply(rules.gather, dim=dim, index=index)

    def masked_select(self, mask: Any) -> Tensor:
        return self._apply(rules.masked_select, mask=mask)

    def matmul(self, other: Any) -> Tensor:
        return self._apply(rules.matmul, other)

    def mm(self, mat2: Any) -> Tensor:
        return self._apply(rules.mm, mat2)

    def bmm(self, mat2: Any) -> Tensor:
        return self._apply(rules.bmm, mat2)

    def dot(self, other: Any) -> Tensor:
        return self._apply(rules.dot, other)

    def clone(self) -> Tensor:
        return self._apply(rules.clone)

    def to(self, dtype: Any) -> Tensor:
        """This tensor in another dtype; itself where it has that dtype, as in torch."""
        return _cast(self, dtype)

    def double(self) -> Tensor:
        return self.to(np.float64)

    def half(self) -> Tensor:
        return self.to(np.float16)

    def long(self) -> Tensor:
        return self.to(np.int64)

    def float(self) -> Tensor:
        return self.to(np.float32)


def _cast(tensor: Any, dtype: Any) -> Any:
    return tensor if dtype is None or tensor.dtype == dtype else tensor._apply(rules.to, dtype=dtype)
