"""Tables of vectors as functions. The formulas and their derivations are in :mod:`manual.rules.embedding`."""

from __future__ import annotations

from typing import Any

import numpy as np

from manual import rules
from manual.rules.core import Array
from manual.tensor import Tensor, apply, as_array

__all__ = ["embedding", "embedding_bag", "one_hot"]


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Look rows of ``weight`` up; see :func:`manual.rules.embedding`.

    With ``max_norm`` the rows that are looked up are first shortened to that norm, in ``weight`` itself, and no
    gradient passes through the shortening. With ``sparse`` the gradient of ``weight`` is a
    :class:`~manual.sparse_rows.SparseRows` of the rows that were looked up; where ``weight`` is no leaf (something was
    computed to get it) it is an array all the same, and torch's is sparse.

    Shapes: ``input`` (integers) ``(*)``, ``weight (rows, D)``; the value ``(*, D)``.

    Raises
    ------
    RuntimeError
        If the input is not integer.
    AssertionError
        If ``padding_idx`` is no row.
    IndexError
        If an index is no row.

    Examples
    --------
    >>> table = tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> y = F.embedding(tensor([1, 1]), table)
    >>> y
    Tensor([[3., 4.],
            [3., 4.]], requires_grad=True)
    >>> y.backward(tensor([[5.0, 0.0], [7.0, 1.0]]))
    >>> table.grad
    array([[ 0.,  0.],
           [12.,  1.]], dtype=float32)
    """
    indices, table = _indices(input, "embedding"), as_array(weight)
    if padding_idx is not None and not -len(table) <= padding_idx < len(table):
        raise AssertionError("Padding_idx must be within num_embeddings")
    if max_norm is not None:
        _shorten_rows(table, indices, max_norm, norm_type)
    padding_idx = None if padding_idx is None else padding_idx % len(table)
    result: Tensor = apply(
        rules.embedding,
        weight,
        indices=indices,
        padding_idx=padding_idx,
        scale_grad_by_freq=scale_grad_by_freq,
        sparse=sparse and _is_leaf(weight),
    )
    return result


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Look rows of ``weight`` up and pool each bag; see :func:`manual.rules.embedding_bag`.

    A vector ``input`` is cut into bags by ``offsets``; each row of a matrix is a bag. ``max_norm`` and ``sparse`` as in
    :func:`embedding`; the maximum takes no ``sparse``, as in torch.

    Shapes: ``input`` (integers) ``(N,)`` with ``offsets (B,)``, or ``(B, L)``; ``per_sample_weights`` as the input,
    ``weight (rows, D)``; the value ``(B, D)``.

    Raises
    ------
    ValueError
        If the shapes or the mode do not fit.
    RuntimeError
        If the input is not integer, or an index or ``padding_idx`` is no row.
    NotImplementedError
        If there are weights for the samples and the mode is not ``"sum"``.

    Examples
    --------
    >>> table = tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> y = F.embedding_bag(tensor([[0, 1], [1, 1]]), table, mode="sum")
    >>> y
    Tensor([[4., 6.],
            [6., 8.]], requires_grad=True)
    >>> y.backward(tensor([[5.0, 0.0], [7.0, 1.0]]))
    >>> table.grad
    array([[ 5.,  0.],
           [19.,  2.]], dtype=float32)
    """
    indices, table = _indices(input, "embedding_bag"), as_array(weight)
    if per_sample_weights is not None and as_array(per_sample_weights).shape != indices.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({as_array(per_sample_weights).shape}) is not None, "
            f"then it must have the same shape as the input ({indices.shape})"
        )
    indices, starts, include_last_offset = _bags(indices, offsets, include_last_offset)
    _check_mode(mode, scale_grad_by_freq, sparse, per_sample_weights)
    if padding_idx is not None:
        count = len(table)
        if not -count <= padding_idx < count:
            raise RuntimeError(
                f"padding_idx must be within the number of embeddings, -{count} through {count - 1}, "
                f"but got {padding_idx}"
            )
        padding_idx %= count
    if max_norm is not None:
        _shorten_rows(table, indices, max_norm, norm_type)
    shares: tuple[Tensor, ...] = ()
    if per_sample_weights is not None:
        if as_array(per_sample_weights).dtype != table.dtype:
            raise RuntimeError(
                f"Expected weight to have the same type as per_sample_weights; but type {table.dtype} does not equal "
                f"{as_array(per_sample_weights).dtype} (while checking arguments for embedding_bag)"
            )
        shares = (apply(rules.reshape, per_sample_weights, shape=(-1,)),)
    result: Tensor = apply(
        rules.embedding_bag,
        weight,
        *shares,
        indices=indices,
        offsets=starts,
        mode=mode,
        padding_idx=padding_idx,
        scale_grad_by_freq=scale_grad_by_freq,
        include_last_offset=include_last_offset,
        sparse=sparse and _is_leaf(weight),
    )
    return result


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """Turn class ``c`` into a row of ``num_classes`` integers, 1 at ``c`` and 0 elsewhere.

    Shapes: ``(*)`` to ``(*, num_classes)``; without ``num_classes`` there is one more than the largest class. Integers
    have no gradient.

    Raises
    ------
    RuntimeError
        If the input is not int64, or has a negative class or one beyond ``num_classes``.

    Examples
    --------
    >>> F.one_hot(tensor([2, 0]), 3)
    Tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    classes = as_array(tensor)
    if classes.dtype != np.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if not classes.size:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
    elif classes.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    elif num_classes == -1:
        num_classes = int(classes.max()) + 1
    elif classes.max() >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    return Tensor((classes[..., np.newaxis] == np.arange(num_classes)).astype(np.int64))


def _shorten_rows(table: Array, indices: Array, max_norm: float, norm_type: float) -> None:
    """Scale each row that is looked up and longer than ``max_norm`` down to it, in place.

    Convention: by ``max_norm / (norm + 1e-7)``, so that a shortened row falls short of ``max_norm``, as in torch.
    """
    if indices.size and (indices.min() < 0 or indices.max() >= len(table)):
        raise IndexError("index out of range in self")
    looked_up = np.unique(indices)
    norms, _ = rules.norm(table[looked_up], p=norm_type, dim=1, keepdim=True)
    long = norms[:, 0] > max_norm
    wide = norms[long].astype(np.result_type(norms.dtype, np.float64))
    table[looked_up[long]] *= (max_norm / (wide + 1e-7)).astype(table.dtype)


def _indices(input: Any, name: str) -> Array:
    indices: Array = as_array(input)
    if indices.dtype not in (np.int64, np.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; "
            f"but got {indices.dtype} instead (while checking arguments for {name})"
        )
    return indices


def _bags(indices: Array, offsets: Any, include_last_offset: bool) -> tuple[Array, Array, bool]:
    """Bring a matrix of bags into the form of a vector and offsets."""
    if indices.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                f"sequences. However, found offsets of type {type(offsets)}"
            )
        bags, length = indices.shape
        return indices.reshape(-1), np.arange(bags) * length, False
    if indices.ndim != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {indices.ndim}")
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    starts = _indices(offsets, "embedding_bag")
    if starts.ndim != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    return indices, starts, include_last_offset


def _is_leaf(weight: Any) -> bool:
    return isinstance(weight, Tensor) and weight.is_leaf


def _check_mode(mode: str, scale_grad_by_freq: bool, sparse: bool, per_sample_weights: Any) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if mode != "sum" and per_sample_weights is not None:
        raise NotImplementedError(
            f"embedding_bag: per_sample_weights is only supported for mode='sum' (got mode='{mode}')."
        )
