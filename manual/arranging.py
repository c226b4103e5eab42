"""The methods of Tensor that order, scan, scatter and lay out elements: torch's names, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from manual import rules

if TYPE_CHECKING:
    from manual.tensor import Tensor

__all__ = ["ArrangingMethods", "Picked"]


class Picked(NamedTuple):
    """What ops return that pick elements along an axis: the values, and where they were found."""

    values: Tensor
    indices: Tensor


class ArrangingMethods:
    """Ops as methods. ``_apply(rule, *others, **options)`` applies a rule to this tensor and others."""

    __slots__ = ()

    dtype: Any

    def _apply(self, rule: Any, *others: Any, **options: Any) -> Any:
        raise NotImplementedError

    def _in(self, dtype: Any) -> Any:
        """This tensor in another dtype; itself where none is given or it has that dtype."""
        return self if dtype is None or self.dtype == dtype else self._apply(rules.to, dtype=dtype)

    # -- running reductions, differences, order ----------------------------------------------------------------------

    def cumsum(self, dim: int, *, dtype: Any = None) -> Tensor:
        return self._in(dtype)._apply(rules.cumsum, dim=dim)

    def cumprod(self, dim: int, *, dtype: Any = None) -> Tensor:
        return self._in(dtype)._apply(rules.cumprod, dim=dim)

    def cummax(self, dim: int) -> Picked:
        return Picked(*self._apply(rules.cummax, dim=dim))

    def cummin(self, dim: int) -> Picked:
        return Picked(*self._apply(rules.cummin, dim=dim))

    def logcumsumexp(self, dim: int) -> Tensor:
        return self._apply(rules.logcumsumexp, dim=dim)

    def diff(self, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
        from manual import ops

        return ops.diff(self, n, dim, prepend, append)

    def sort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Picked:
        return Picked(*self._apply(rules.sort, dim=dim, descending=descending, stable=stable))

    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
        return self._apply(rules.argsort, dim=dim, descending=descending, stable=stable)

    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Picked:
        return Picked(*self._apply(rules.topk, k=k, dim=dim, largest=largest, sorted=sorted))

    def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False) -> Picked:
        return Picked(*self._apply(rules.kthvalue, k=k, dim=dim, keepdim=keepdim))

    def median(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The (lower) median; with ``dim``, the medians along it and their indices."""
        found = self._apply(rules.median, dim=dim, keepdim=keepdim)
        return found if dim is None else Picked(*found)

    # -- putting elements elsewhere ----------------------------------------------------------------------------------

    def scatter(self, dim: int, index: Any, src: Any = None, *, value: Any = None) -> Tensor:
        return self._apply(rules.scatter, value if src is None else src, dim=dim, index=index)

    def scatter_add(self, dim: int, index: Any, src: Any) -> Tensor:
        return self._apply(rules.scatter_add, src, dim=dim, index=index)

    def scatter_reduce(self, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Tensor:
        options = {"dim": dim, "index": index, "reduce": reduce, "include_self": include_self}
        return self._apply(rules.scatter_reduce, src, **options)

    def index_add(self, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Tensor:
        return self._apply(rules.index_add, source, dim=dim, index=index, alpha=alpha)

    def index_put(self, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
        return self._apply(rules.index_put, values, indices=tuple(indices), accumulate=accumulate)

    def masked_scatter(self, mask: Any, source: Any) -> Tensor:
        return self._apply(rules.masked_scatter, source, mask=mask)

    def take_along_dim(self, indices: Any, dim: int | None = None) -> Tensor:
        return self._apply(rules.take_along_dim, indices=indices, dim=dim)

    # -- copies, windows, diagonals, products ------------------------------------------------------------------------

    def repeat_interleave(self, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
        return self._apply(rules.repeat_interleave, repeats=repeats, dim=dim, output_size=output_size)

    def unfold(self, dimension: int, size: int, step: int) -> Tensor:
        """The windows of an axis, as a last axis; see :func:`manual.rules.sliding_windows`."""
        return self._apply(rules.sliding_windows, dimension=dimension, size=size, step=step)

    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        return self._apply(rules.diagonal, offset=offset, dim1=dim1, dim2=dim2)

    def diag(self, diagonal: int = 0) -> Tensor:
        return self._apply(rules.diag, diagonal=diagonal)

    def diag_embed(self, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
        return self._apply(rules.diag_embed, offset=offset, dim1=dim1, dim2=dim2)

    def trace(self) -> Tensor:
        return self._apply(rules.trace)

    def kron(self, other: Any) -> Tensor:
        return self._apply(rules.kron, other)
