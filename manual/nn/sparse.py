"""Tables of vectors: embeddings, and bags of them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from manual.nn import functional, init
from manual.nn.module import Module, Parameter
from manual.tensor import DEFAULT_DTYPE, Tensor, as_array

__all__ = ["Embedding", "EmbeddingBag"]


class _Table(Module):
    """A table of vectors, one row per index, drawn from the standard normal; the row of the padding starts at 0."""

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None

    def _make(self, weight: Any, freeze: bool, dtype: Any, complaint: str) -> None:
        rows = self.num_embeddings
        if self.padding_idx is not None:
            if not -rows <= self.padding_idx < rows:
                raise AssertionError(complaint)
            self.padding_idx %= rows
        if weight is None:
            table = np.empty((rows, self.embedding_dim), dtype or DEFAULT_DTYPE)
            self.weight = Parameter(table, requires_grad=not freeze)
            self.reset_parameters()
            return
        if as_array(weight).shape != (rows, self.embedding_dim):
            raise AssertionError("Shape of weight does not match num_embeddings and embedding_dim")
        self.weight = Parameter(weight, requires_grad=not freeze)

    def reset_parameters(self) -> None:
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    @classmethod
    def _from(cls, embeddings: Any, freeze: bool, **options: Any) -> Self:
        if as_array(embeddings).ndim != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        options["_weight"] = embeddings
        table = cls(*as_array(embeddings).shape, **options)
        table.weight.requires_grad_(not freeze)
        return table


class Embedding(_Table):
    """Looks rows of ``weight`` up: index ``i`` gives ``weight[i]``.

    Shapes: input (integers) ``(*)``, ``weight (num_embeddings, embedding_dim)``, output ``(*, embedding_dim)``.

    The row ``padding_idx`` gets no gradient. With ``max_norm``, rows that are looked up and longer (in the
    ``norm_type``-norm) are shortened in ``weight`` before. ``scale_grad_by_freq`` divides a row's gradient by how often
    it was looked up. With ``sparse`` the gradient holds the looked-up rows alone, as a
    :class:`~manual.sparse_rows.SparseRows`, for ``SGD``, ``Adagrad`` and ``SparseAdam``.

    Raises
    ------
    AssertionError
        If ``padding_idx`` is no row, or ``_weight`` has another shape.
    IndexError
        When it is called, if an index is no row.

    Examples
    --------
    >>> table = nn.Embedding(3, 2, _weight=tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    >>> y = table(tensor([2, 0, 2]))
    >>> y
    Tensor([[5., 6.],
            [1., 2.],
            [5., 6.]], requires_grad=True)
    >>> y.backward(tensor([[1.0, 0.0], [0.0, 7.0], [10.0, 0.0]]))
    >>> table.weight.grad
    array([[ 0.,  7.],
           [ 0.,  0.],
           [11.,  0.]], dtype=float32)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        self._make(_weight, _freeze, dtype, "Padding_idx must be within num_embeddings")

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A table of these very rows (not a copy), which ``freeze`` keeps from being trained."""
        return cls._from(
            embeddings,
            freeze,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
        )

    def forward(self, input: Any) -> Tensor:
        return functional.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    def extra_repr(self) -> str:
        shown = [str(self.num_embeddings), str(self.embedding_dim)]
        if self.padding_idx is not None:
            shown.append(f"padding_idx={self.padding_idx}")
        shown += _norm_shown(self)
        if self.scale_grad_by_freq:
            shown.append(f"scale_grad_by_freq={self.scale_grad_by_freq}")
        if self.sparse:
            shown.append("sparse=True")
        return ", ".join(shown)


class EmbeddingBag(_Table):
    """Looks rows of ``weight`` up and pools those of each bag, without the rows in between.

    Shapes: input (integers) ``(N,)`` with ``offsets (B,)``, where in it the bags start, or ``(B, L)``, a bag per row;
    output ``(B, embedding_dim)``. With ``include_last_offset`` there is one more offset, the end of the last bag.

    ``mode`` is ``"sum"`` (of rows weighted by ``per_sample_weights``, if given), ``"mean"`` or ``"max"``. Entries of
    ``padding_idx`` are left out of their bag. The other options are those of :class:`Embedding`.

    Raises
    ------
    AssertionError
        If ``padding_idx`` is no row, or ``_weight`` has another shape.
    ValueError
        When it is called, if the input, the offsets and the weights do not go together.
    RuntimeError
        When it is called, if an index is no row.

    Examples
    --------
    >>> table = nn.EmbeddingBag(3, 2, mode="sum", _weight=tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    >>> y = table(tensor([0, 2, 1]), tensor([0, 2]))
    >>> y
    Tensor([[6., 8.],
            [3., 4.]], requires_grad=True)
    >>> y.backward(tensor([[3.0, 5.0], [7.0, 9.0]]))
    >>> table.weight.grad
    array([[3., 5.],
           [7., 9.],
           [3., 5.]], dtype=float32)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.padding_idx = padding_idx
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        self._make(_weight, False, dtype, "padding_idx must be within num_embeddings")

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """A table of these very rows (not a copy), which ``freeze`` keeps from being trained."""
        return cls._from(
            embeddings,
            freeze,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        return functional.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        shown = [str(self.num_embeddings), str(self.embedding_dim), *_norm_shown(self)]
        if self.scale_grad_by_freq:
            shown.append(f"scale_grad_by_freq={self.scale_grad_by_freq}")
        shown.append(f"mode={self.mode!r}")
        if self.padding_idx is not None:
            shown.append(f"padding_idx={self.padding_idx}")
        return ", ".join(shown)


def _norm_shown(table: Any) -> list[str]:
    shown = [] if table.max_norm is None else [f"max_norm={table.max_norm}"]
    return shown if table.norm_type == 2 else [*shown, f"norm_type={table.norm_type}"]
