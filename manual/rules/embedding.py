"""Tables of vectors: looking rows up, and pooling the rows of a bag.

Looking up row ``i`` of a table ``W`` is the product of a one-hot row with ``W``, carried out without forming it. It is
linear in ``W``, and its transpose adds each incoming gradient to the row that was looked up.

The table's gradient is an array of its shape, zero in rows that nobody looked up; with ``sparse``, it is the looked-up
rows alone: one entry per place, not yet added up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback
from manual.rules.indexing import add_rows
from manual.sparse_rows import SparseRows

__all__ = ["embedding", "embedding_bag"]


def embedding(
    weight: Any,
    *,
    indices: Any,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> tuple[Array, Pullback]:
    """Look rows of a table up.

    Shapes: ``weight (V, D)``, integers ``indices (*)``, value ``(*, D)``.

    Forward: ``y[p] = W[i_p]`` for every place ``p``. Backward: ``dL/dW[v] = Σ_{p: i_p = v} g_p``, a sum over all places
    that looked row ``v`` up.

    Convention: row ``padding_idx`` takes part in the forward pass and gets no gradient. ``scale_grad_by_freq`` divides
    the gradient of a row by how often it was looked up in this call, which turns the sum into a mean; it is then no
    gradient of any loss. Both as torch.

    Raises
    ------
    RuntimeError
        If ``weight`` is no matrix.
    IndexError
        If a row is out of bounds; negative ones do not count from the end.

    Examples
    --------
    >>> value, pullback = rules.embedding(np.array([[1.0, 2.0], [3.0, 4.0]]), indices=np.array([1, 1]))
    >>> value
    array([[3., 4.],
           [3., 4.]])
    >>> pullback(np.array([[5.0, 0.0], [7.0, 1.0]]), (True,))
    (array([[ 0.,  0.],
           [12.,  1.]]),)
    """
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    rows = indices.reshape(-1)
    if rows.size and (np.minimum.reduce(rows) < 0 or np.maximum.reduce(rows) >= len(weight)):
        raise IndexError("index out of range in self")

    def embedding_pullback(incoming: Array, needs: Needs) -> Gradients:
        share = incoming.reshape(rows.size, weight.shape[1])
        if sparse:
            return (_listed(rows, share, weight.shape, padding_idx, scale_grad_by_freq),)
        gradient = np.zeros_like(weight, order="C", subok=False)
        add_rows(gradient, rows, share)
        _finish(gradient, rows, padding_idx, scale_grad_by_freq)
        return (gradient,)

    return np.take(weight, rows, axis=0).reshape(*indices.shape, weight.shape[1]), embedding_pullback


def embedding_bag(
    weight: Any,
    per_sample_weights: Any = None,
    *,
    indices: Any,
    offsets: Any,
    mode: str = "mean",
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
    include_last_offset: bool = False,
    sparse: bool = False,
) -> tuple[Array, Pullback]:
    """Look rows of a table up and pool those of each bag.

    Shapes: ``weight (V, D)``, integers ``indices (N,)``, ``offsets (B,)`` where in ``indices`` each bag starts (the
    first at 0) and the one before it ends, ``per_sample_weights (N,)``, value ``(B, D)``. The last bag ends at N or,
    with ``include_last_offset``, at the last of ``B + 1`` offsets.

    Forward: over the entries ``p`` of bag ``b``, ``y_b = Σ a_p W[i_p]`` for ``"sum"`` (``a`` the per-sample weights, or
    1), ``Σ W[i_p] / |b|`` for ``"mean"``, the largest in each column for ``"max"``.

    Backward: entry ``p`` of bag ``b`` has the gradient ``a_p g_b``, ``g_b / |b|``, or ``g_b`` in the columns where it
    is the largest; row ``v`` of the table gets the sum over its entries. ``dL/da_p = g_b · W[i_p]``.

    Convention: entries of ``padding_idx`` are left out of their bag, of its size too, and get no gradient. An empty bag
    is 0 in every mode. Among ties of the maximum the first entry gets all the gradient; a nan counts as the largest
    only where it comes first. All as torch. ``scale_grad_by_freq`` divides by a row's own number of entries in the
    input; torch 2.13 divides the k-th smallest row that occurs by the number of entries of the k-th smallest *entry*,
    which is another row wherever a smaller one occurs twice. A last offset below N ends the last bag, of any mode;
    torch 2.13 then still divides that bag's mean by its size up to N, and in float64 it takes the entries beyond into
    that bag.

    Raises
    ------
    RuntimeError
        If an index is no row.

    Examples
    --------
    >>> table, bags = np.array([[1.0, 2.0], [3.0, 4.0]]), {"indices": np.array([0, 1, 1]), "offsets": np.array([0, 2])}
    >>> value, pullback = rules.embedding_bag(table, **bags, mode="sum")
    >>> value
    array([[4., 6.],
           [3., 4.]])
    >>> pullback(np.array([[5.0, 0.0], [7.0, 1.0]]), (True, False))[0]
    array([[ 5.,  0.],
           [12.,  1.]])
    """
    _check_bags(weight, indices, offsets, include_last_offset)
    starts, ends = (
        (offsets[:-1], offsets[1:]) if include_last_offset else (offsets, np.append(offsets[1:], len(indices)))
    )
    bag = np.repeat(np.arange(len(starts)), ends[: len(starts)] - starts)
    rows, shares, taking = indices, per_sample_weights, None
    if padding_idx is not None:
        taking = np.flatnonzero(indices[: len(bag)] != padding_idx)
    elif len(bag) < len(indices):
        taking = np.arange(len(bag))
    if taking is not None:
        bag, rows = bag[taking], indices[taking]
        shares = None if shares is None else shares[taking]
    found = np.take(weight, rows, axis=0)
    sizes = np.bincount(bag, minlength=len(starts))
    shape = (len(starts), weight.shape[1])
    picked: Any = None
    if mode == "max":
        value, picked = _largest(found, sizes, shape)
    else:
        value = np.zeros(shape, weight.dtype)
        add_rows(value, bag, found if shares is None else found * shares[:, np.newaxis])
        if mode == "mean":
            value /= np.maximum(sizes, 1).astype(weight.dtype)[:, np.newaxis]

    def embedding_bag_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_weight: Any = None
        to_shares = None
        if needs[0]:
            if mode == "max":
                to_weight = np.zeros_like(weight, order="C", subok=False)
                places = rows[picked] * shape[1] + np.arange(shape[1])
                np.add.at(to_weight.reshape(-1), places.reshape(-1), incoming[sizes > 0].reshape(-1))
            else:
                if mode == "mean":
                    incoming = incoming / np.maximum(sizes, 1).astype(weight.dtype)[:, np.newaxis]
                share = np.take(incoming, bag, axis=0)
                if shares is not None:
                    share *= shares[:, np.newaxis]
                if sparse:
                    to_weight = _listed(rows, share, weight.shape, padding_idx, scale_grad_by_freq)
                else:
                    to_weight = np.zeros_like(weight, order="C", subok=False)
                    add_rows(to_weight, rows, share)
            if not sparse:
                _finish(to_weight, indices, padding_idx, scale_grad_by_freq)
        if len(needs) < 2:
            return (to_weight,)
        if needs[1]:
            to_shares = np.zeros_like(per_sample_weights)
            to_shares[slice(None) if taking is None else taking] = np.einsum("pd,pd->p", incoming[bag], found)
        return to_weight, to_shares

    return value, embedding_bag_pullback


def _largest(found: Array, sizes: Array, shape: tuple[int, int]) -> tuple[Array, Array]:
    """The largest of each bag, column by column, and which entry it is for the bags that have any."""
    value = np.zeros(shape, found.dtype)
    filled = sizes > 0
    if not filled.any() or not shape[1]:
        return value, np.zeros((int(filled.sum()), shape[1]), np.int64)
    starts = (np.cumsum(sizes) - sizes)[filled]
    largest = np.fmax.reduceat(found, starts, axis=0)
    first = found[starts]
    np.copyto(largest, first, where=np.isnan(first))
    value[filled] = largest
    found = found == np.repeat(largest, sizes[filled], axis=0)
    found[starts] |= np.isnan(first)
    entries = np.arange(len(found))[:, np.newaxis]
    return value, np.minimum.reduceat(np.where(found, entries, len(found)), starts, axis=0)


def _listed(
    rows: Array, share: Array, shape: tuple[int, ...], padding_idx: int | None, scale_grad_by_freq: bool
) -> Any:
    """The entries as they are, but for those of the padding."""
    if scale_grad_by_freq:
        raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
    if padding_idx is not None:
        taken = np.flatnonzero(rows != padding_idx)
        rows, share = rows[taken], share[taken]
    return SparseRows(rows.astype(np.int64), share, shape)


def _finish(gradient: Array, indices: Array, padding_idx: int | None, scale_grad_by_freq: bool) -> None:
    """Divide the rows by how often they were looked up, and leave none for the padding, in place."""
    if scale_grad_by_freq:
        counts = np.bincount(indices, minlength=len(gradient))
        gradient /= np.maximum(counts, 1).astype(gradient.dtype)[:, np.newaxis]
    if padding_idx is not None:
        gradient[padding_idx] = 0


def _check_bags(weight: Array, indices: Array, offsets: Array, include_last_offset: bool) -> None:
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if include_last_offset and not len(offsets):
        raise RuntimeError("include_last_offset: number of offset should be at least 1")
    if len(offsets):
        if offsets[0] != 0:
            raise RuntimeError(
                "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
                f"However, got {offsets[0]}"
            )
        if offsets[-1] > len(indices):
            raise RuntimeError(
                f"offsets[-1] can not be greater than input's length {len(indices)} "
                f"but got offsets[-1] of {offsets[-1]}"
            )
        if (np.diff(offsets) < 0).any():
            raise RuntimeError("offsets must not decrease: a bag would end before it starts")
    outside = np.flatnonzero((indices < 0) | (indices >= len(weight)))
    if outside.size:
        place = int(outside[0])
        raise RuntimeError(
            f"Index {place} of input takes value {indices[place]} which is not in the valid range [0, {len(weight)})"
        )
