"""Putting elements into an array at given places, by overwriting or by combining.

The value is a copy of ``x`` in which the elements of a source have found a place. Its gradient goes back the same way:
the source *gathers* it from where its elements were put, and ``x`` keeps what was not overwritten.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, common_shape, contraction, reduce_axes, unbroadcast
from manual.rules.indexing import add_rows, flat_places
from manual.rules.masking import drop

__all__ = ["index_add", "index_put", "masked_scatter", "scatter", "scatter_add", "scatter_reduce"]


@contraction
def scatter(x: Any, src: Any, *, dim: int, index: Any) -> tuple[Array, Pullback]:
    """Write elements along an axis to the places that an index names.

    Shapes: ``index`` has as many axes as ``x`` and ``src`` and is nowhere longer than ``src``, nor, but along ``dim``,
    than ``x``; the value has the shape of ``x``. ``src`` may be a number.

    Forward: ``y = x``, then ``y[i, index[i, j, k], k] = src[i, j, k]`` for ``dim = 1``. Backward: ``src`` gets the
    gradient of the place it was written to, ``x`` gets it where nothing was written.

    Convention: where several elements are written to one place, the last one stays, and yet each of them gets the
    gradient of that place, as in torch: let indices be unique. What ``index`` does not reach in ``src`` gets 0 (torch
    refuses that backward pass).

    Examples
    --------
    >>> value, pullback = rules.scatter(np.array([1.0, 2.0, 3.0]), np.array([10.0]), dim=0, index=np.array([1]))
    >>> value
    array([ 1., 10.,  3.])
    >>> pullback(np.array([5.0, 7.0, 9.0]), (True, True))
    (array([5., 0., 9.]), array([7.]))
    """
    places, taken = _prepared(x, src, dim, index)
    value = x.copy().reshape(-1)
    value[places] = src[taken] if np.ndim(src) else src

    def scatter_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_x = None
        if needs[0]:
            to_x = incoming.copy().reshape(-1)
            to_x[places] = 0
            to_x = to_x.reshape(x.shape)
        return to_x, _source_gradient(incoming.reshape(-1)[places], src, taken) if needs[1] else None

    return value.reshape(x.shape), scatter_pullback


@contraction
def scatter_add(x: Any, src: Any, *, dim: int, index: Any) -> tuple[Array, Pullback]:
    """Add elements along an axis to the places that an index names.

    Shapes: as in :func:`scatter`.

    Forward: ``y = x``, then ``y[i, index[i, j, k], k] += src[i, j, k]`` for ``dim = 1``. Backward: the transpose of
    :func:`manual.rules.gather`: ``src`` gathers the gradient, ``x`` gets all of it.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If the index has other axes, is longer than ``src``, or out of range.

    Examples
    --------
    >>> value, pullback = rules.scatter_add(
    ...     np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0]), dim=0, index=np.array([1, 1])
    ... )
    >>> value
    array([ 1., 32.,  3.])
    >>> pullback(np.array([5.0, 7.0, 9.0]), (True, True))
    (array([5., 7., 9.]), array([7., 7.]))
    """
    places, taken = _prepared(x, src, dim, index)
    value = x.copy().reshape(-1)
    np.add.at(value, places.reshape(-1), src[taken].reshape(-1))

    def scatter_add_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_src = _source_gradient(incoming.reshape(-1)[places], src, taken) if needs[1] else None
        return incoming if needs[0] else None, to_src

    return value.reshape(x.shape), scatter_add_pullback


@contraction
def scatter_reduce(
    x: Any, src: Any, *, dim: int, index: Any, reduce: str, include_self: bool = True
) -> tuple[Array, Pullback]:
    """Combine elements along an axis at the places that an index names.

    Shapes: as in :func:`scatter`.

    Forward: each place that ``index`` names holds the sum, product, mean, maximum or minimum of what came there, and
    of the element of ``x`` that stood there unless ``include_self`` is false. Other places keep ``x``.

    Backward: sum, slope 1; mean, one over the number of elements; product, the product of the other elements (made
    without dividing by a zero: of one zero, the product of the rest; of two, nothing); extremes, the gradient goes to
    the extreme element.

    Convention: ties share an extreme's gradient evenly, as in torch. Only torch 2.13 lets ``x`` take part in such a tie
    although ``include_self`` is false, and loses its share; this rule does not.

    Raises
    ------
    RuntimeError
        For another ``reduce``, or shapes that do not fit.

    Examples
    --------
    >>> value, pullback = rules.scatter_reduce(
    ...     np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0]), dim=0, index=np.array([1, 1]), reduce="amax"
    ... )
    >>> value
    array([ 1., 20.,  3.])
    >>> pullback(np.array([5.0, 7.0, 9.0]), (True, True))
    (array([5., 0., 9.]), array([0., 7.]))
    """
    if reduce not in _COMBINED:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    placed, taken = _prepared(x, src, dim, index)
    places, shape = placed.reshape(-1), x.shape
    combine, neutral = _COMBINED[reduce]
    flat, given = x.reshape(-1), src[taken].reshape(-1)
    arrivals = np.zeros(x.size, np.int64)
    np.add.at(arrivals, places, 1)
    left_out = np.zeros(x.size, bool) if include_self else arrivals > 0
    value = flat.copy()
    value[left_out] = neutral
    combine.at(value, places, given)
    count = np.maximum(arrivals + include_self, 1).astype(x.dtype)
    if reduce == "mean":
        value = value / count if x.dtype.kind == "f" else value // count

    def scatter_reduce_pullback(incoming: Array, needs: Needs) -> Gradients:
        arriving = incoming.reshape(-1)
        if reduce == "prod":
            to_x, to_given = _product_gradients(flat, given, places, left_out, arriving)
        elif reduce in ("amax", "amin"):
            kept, came = (flat == value) & ~left_out, given == value[places]
            ties = kept.astype(x.dtype)
            np.add.at(ties, places, came.astype(x.dtype))
            share = arriving / np.maximum(ties, 1)
            to_x, to_given = share * kept, share[places] * came
        else:
            share = arriving / count if reduce == "mean" else arriving
            to_x, to_given = drop(share, left_out), share[places]
        to_src = _source_gradient(to_given.reshape(placed.shape), src, taken) if needs[1] else None
        return to_x.reshape(shape) if needs[0] else None, to_src

    return value.reshape(shape), scatter_reduce_pullback


_COMBINED: dict[str, tuple[np.ufunc, float]] = {
    "sum": (np.add, 0),
    "mean": (np.add, 0),
    "prod": (np.multiply, 1),
    "amax": (np.maximum, -math.inf),
    "amin": (np.minimum, math.inf),
}
"""How elements are combined, and what changes nothing in that."""


def _product_gradients(flat: Any, given: Any, places: Any, left_out: Any, arriving: Any) -> tuple[Array, Array]:
    """The gradients of both kinds of factors: the product of the others, times the incoming gradient."""
    zero, zero_given = flat == 0, given == 0
    zeros = (zero & ~left_out).astype(np.int64)
    np.add.at(zeros, places, zero_given.astype(np.int64))
    rest = np.where(zero | left_out, 1, flat)
    np.multiply.at(rest, places, np.where(zero_given, 1, given))
    rest *= arriving

    def slope(factor: Any, is_zero: Any, rest: Any, zeros: Any) -> Any:
        """The product of all factors that are not 0, without this one; 0 where another factor is."""
        return np.where(zeros > is_zero, 0, rest / np.where(is_zero, 1, factor))

    to_x = np.where(left_out, 0, slope(flat, zero, rest, zeros))
    return to_x.astype(flat.dtype, copy=False), slope(given, zero_given, rest[places], zeros[places])


def _prepared(x: Any, src: Any, dim: int, index: Any) -> tuple[Array, tuple[slice, ...]]:
    """Where in the flattened ``x`` each element of ``index`` points, and the part of ``src`` that it covers."""
    if index.ndim != x.ndim and (index.ndim > 1 or x.ndim > 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    number = not np.ndim(src) and bool(index.ndim)
    if not number and np.ndim(src) != index.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    axes = reduce_axes(int(dim), x.ndim)
    axis = axes[0] if axes else 0
    fits = all(
        size <= length for place, (size, length) in enumerate(zip(index.shape, x.shape, strict=False)) if place != axis
    )
    if not fits or (not number and any(size > length for size, length in zip(index.shape, src.shape, strict=True))):
        raise RuntimeError(
            f"Expected index {list(index.shape)} to be no larger than self {list(x.shape)} apart from dimension {axis} "
            f"and to be no larger size than src {list(np.shape(src))}"
        )
    length = x.shape[axis] if x.ndim else 1
    if index.size and (index.min() < 0 or index.max() >= length):
        wrong = index[(index < 0) | (index >= length)][0]
        raise RuntimeError(f"index {wrong} is out of bounds for dimension {axis} with size {length}")
    return flat_places(index, axis, x.shape), tuple(slice(size) for size in index.shape)


def _source_gradient(gathered: Array, src: Any, taken: tuple[slice, ...]) -> Array:
    """The gradient of a source, of which a part may not have been used."""
    if gathered.shape == src.shape:
        return gathered
    gradient = np.zeros(src.shape, src.dtype)
    gradient[taken] = gathered
    return gradient


@contraction
def index_add(x: Any, source: Any, *, dim: int, index: Any, alpha: float = 1) -> tuple[Array, Pullback]:
    """Add whole slices to the slices that an index names.

    Shapes: ``source`` has the shape of ``x``, but along ``dim`` the length of the vector ``index``.

    Forward: ``y = x``, then ``y[.., index[i], ..] += alpha source[.., i, ..]``. Backward: the transpose of
    :func:`manual.rules.index_select`: ``x`` gets all of the gradient, slice ``i`` of ``source`` gets ``alpha`` times
    that of slice ``index[i]``.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If there is no such element.

    Examples
    --------
    >>> value, pullback = rules.index_add(
    ...     np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0]), dim=0, index=np.array([1, 1])
    ... )
    >>> value
    array([ 1., 32.,  3.])
    >>> pullback(np.array([5.0, 7.0, 9.0]), (True, True))
    (array([5., 7., 9.]), array([7., 7.]))
    """
    rows = np.atleast_1d(index)
    axes = reduce_axes(int(dim), x.ndim)
    axis = axes[0] if axes else 0
    if source.ndim != x.ndim or any(
        size != other for place, (size, other) in enumerate(zip(x.shape, source.shape, strict=True)) if place != axis
    ):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(x.shape)} source.shape = {list(source.shape)}"
        )
    shape = source.shape
    length, slices = (x.shape[axis], shape[axis]) if x.ndim else (1, 1)
    if len(rows) != slices:
        raise RuntimeError(
            f"index_add_(): Number of indices ({len(rows)}) should be equal to source.size(dim): ({slices}), "
            f"for dim: {axis}"
        )
    if rows.size and (rows.min() < 0 or rows.max() >= length):
        wrong = rows[(rows < 0) | (rows >= length)][0]
        raise RuntimeError(f"index {wrong} is out of bounds for dimension {axis} with size {length}")
    added = np.zeros(x.shape or (1,), x.dtype)
    add_rows(np.moveaxis(added, axis, 0), rows, np.moveaxis(source.reshape(shape or (1,)), axis, 0))
    if alpha != 1:
        added *= alpha
    value = np.asarray(x + added.reshape(x.shape))

    def index_add_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_source = None
        if needs[1]:
            to_source = np.take(incoming.reshape(x.shape or (1,)), rows, axis).reshape(shape)
            if alpha != 1:
                to_source *= alpha
        return incoming if needs[0] else None, to_source

    return value, index_add_pullback


@contraction
def index_put(x: Any, values: Any, *, indices: Any, accumulate: bool = False) -> tuple[Array, Pullback]:
    """Write values where square brackets point: ``x[indices] = values``, on a copy.

    Shapes: ``values`` broadcasts to ``x[indices]``; the value has the shape of ``x``. Everything that
    :func:`manual.rules.getitem` takes is an index.

    Forward: ``y = x``, then ``y[indices] = values``, or ``+=`` where ``accumulate``. Backward: ``values`` gets the
    gradient of the places it was written to, summed over what was broadcast; ``x`` gets it where nothing was written,
    or everywhere if values were added.

    Convention: without ``accumulate``, a place that is written several times keeps the last value, and yet each gets
    its gradient, as in torch: let such places be unique.

    Raises
    ------
    IndexError
        If there is no such element.
    RuntimeError
        If the values do not broadcast.

    Examples
    --------
    >>> value, pullback = rules.index_put(
    ...     np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0]), indices=(np.array([0, 2]),)
    ... )
    >>> value
    array([10.,  2., 20.])
    >>> pullback(np.array([5.0, 7.0, 9.0]), (True, True))
    (array([0., 7., 0.]), array([5., 9.]))
    """
    value = x.copy()
    try:
        if accumulate:
            np.add.at(value, indices, values)
        else:
            value[indices] = values
    except ValueError:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(np.shape(values))} cannot be broadcast to indexing result of "
            f"shape {list(x[indices].shape)}"
        ) from None

    def index_put_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_x = to_values = None
        if needs[0]:
            to_x = incoming
            if not accumulate:
                to_x = incoming.copy()
                to_x[indices] = 0
        if needs[1]:
            to_values = np.array(unbroadcast(np.asarray(incoming[indices]), values.shape))
        return to_x, to_values

    return value, index_put_pullback


@contraction
def masked_scatter(x: Any, source: Any, *, mask: Any) -> tuple[Array, Pullback]:
    """Write the elements of a source, one after the other, to the places where a mask holds.

    Shapes: the boolean ``mask`` and ``x`` are broadcast to the shape of the value; ``source`` of any shape has at least
    as many elements as the mask has places.

    Forward: ``y = x``, then ``y[mask] = source's first elements``. Backward: ``x`` gets the gradient where the mask
    does not hold; an element of ``source`` that was used gets that of its place, the others 0.

    Raises
    ------
    RuntimeError
        If the source has too few elements, or the mask does not broadcast.

    Examples
    --------
    >>> value, pullback = rules.masked_scatter(
    ...     np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0]), mask=np.array([True, False, True])
    ... )
    >>> value
    array([10.,  2., 20.])
    >>> pullback(np.array([5.0, 7.0, 9.0]), (True, True))
    (array([0., 7., 0.]), array([5., 9.]))
    """
    if mask.dtype != bool:
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype}")
    full = common_shape(x.shape, mask.shape)
    chosen = np.broadcast_to(mask, full)
    count = int(np.count_nonzero(chosen))
    if source.size < count:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    value = np.array(np.broadcast_to(x, full))
    value[chosen] = source.reshape(-1)[:count]

    def masked_scatter_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_source = None
        if needs[1]:
            to_source = np.zeros(source.size, source.dtype)
            to_source[:count] = incoming[chosen]
            to_source = to_source.reshape(source.shape)
        return unbroadcast(drop(incoming, chosen), x.shape) if needs[0] else None, to_source

    return value, masked_scatter_pullback
