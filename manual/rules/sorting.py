"""Ordering elements along an axis, and picking them by their rank.

Each of these picks elements: the value is ``x`` at some indices, and an element that was picked gets the gradient of
its place. A scalar counts as an axis of length 1, as in torch.

Convention: equal elements keep their order, the first one first, in ascending and in descending order alike, and NaN
counts as larger than everything. torch agrees wherever it promises anything: of equal elements ``topk``, ``kthvalue``
and ``median`` may pick any.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, reduce_axes

__all__ = ["argsort", "kthvalue", "median", "sort", "topk"]


def sort(
    x: Any, *, dim: int = -1, descending: bool = False, stable: bool = False
) -> tuple[tuple[Array, Array], Pullback]:
    """Order the elements along an axis.

    Shapes: ``x``, the sorted values and the int64 indices of where they were alike.

    Forward: ``y_k = x_(i_k)`` with ``y_1 <= y_2 <= ...``. Backward: the incoming gradient goes back along the indices.

    Convention: this sort is always stable, so ``stable`` has no effect.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.sort(np.array([3.0, 1.0, 2.0]))
    >>> value
    (array([1., 2., 3.]), array([1, 2, 0]))
    >>> pullback((np.array([5.0, 7.0, 9.0]), None), (True,))
    (array([9., 5., 7.]),)
    """
    axis = _axis(dim, x)
    return _pick(x, _order(_line(x), axis, descending), axis, x.shape)


def argsort(x: Any, *, dim: int = -1, descending: bool = False, stable: bool = False) -> tuple[Array, Pullback]:
    """Find the order of the elements along an axis.

    Forward: the int64 indices that :func:`sort` returns. Backward: none, an index has no gradient.

    Shapes: ``x`` and the value alike, of any shape.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.argsort(np.array([3.0, 1.0, 2.0]))
    >>> value
    array([1, 2, 0])
    """

    def argsort_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (None,)

    return _order(_line(x), _axis(dim, x), descending).reshape(x.shape), argsort_pullback


def topk(
    x: Any, *, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[tuple[Array, Array], Pullback]:
    """Pick the ``k`` largest (or smallest) elements along an axis, and where they are.

    Shapes: axis ``dim`` of values and int64 indices has length ``k``; a scalar stays one.

    Forward: the first ``k`` of the descending (ascending) order. Backward: the picked elements get their gradients.

    Convention: the order is always sorted, whatever ``sorted`` says; torch leaves it open where that is false.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If ``k`` is out of range.

    Examples
    --------
    >>> value, pullback = rules.topk(np.array([3.0, 1.0, 2.0]), k=2)
    >>> value
    (array([3., 2.]), array([0, 2]))
    >>> pullback((np.array([5.0, 7.0]), None), (True,))
    (array([5., 0., 7.]),)
    """
    axis = _axis(dim, x)
    line = _line(x)
    if not 0 <= k <= line.shape[axis]:
        raise RuntimeError("selected index k out of range")
    places = _order(line, axis, largest)[(slice(None),) * axis + (slice(k),)]
    return _pick(x, places, axis, places.shape if x.ndim else () if k else (0,))


def kthvalue(x: Any, *, k: int, dim: int = -1, keepdim: bool = False) -> tuple[tuple[Array, Array], Pullback]:
    """Pick the ``k``-th smallest element along an axis, and where it is.

    Shapes: values and int64 indices lack the axis ``dim``; ``k`` counts from 1.

    Forward: element ``k`` of the ascending order. Backward: it alone gets the gradient.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If ``k`` is out of range.

    Examples
    --------
    >>> value, pullback = rules.kthvalue(np.array([3.0, 1.0, 2.0]), k=2)
    >>> value
    (array(2.), array(2))
    >>> pullback((np.array(5.0), None), (True,))
    (array([0., 0., 5.]),)
    """
    axis = _axis(dim, x)
    line = _line(x)
    if not 0 < k <= line.shape[axis]:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    return _one(x, _order(line, axis, False).take([k - 1], axis), axis, keepdim)


def median(x: Any, *, dim: int | None = None, keepdim: bool = False) -> tuple[Any, Pullback]:
    """Take the element in the middle of all, or of each line along an axis, and then also where it is.

    Shapes: without ``dim`` a scalar; with ``dim`` values and int64 indices that lack this axis.

    Forward: of ``n`` ordered elements number ``(n + 1) // 2``. Backward: along an axis the element that was picked gets
    the gradient; without an axis it is shared evenly among all elements of that value.

    Convention: as in torch, an even number of elements has the *lower* of the two middle ones as its median, not their
    mean; a NaN makes the median NaN, along an axis the first one; the median of no elements is NaN.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.median(np.array([3.0, 1.0, 2.0, 9.0]))
    >>> value
    array(2.)
    >>> pullback(np.array(5.0), (True,))
    (array([0., 0., 5., 0.]),)
    """
    if dim is None:
        return _median_of_all(x)
    axis = _axis(dim, x)
    line = _line(x)
    length = line.shape[axis]
    if not length:
        raise IndexError(f"median(): Expected reduction dim {dim} to have non-zero size.")
    places = _order(line, axis, False).take([(length - 1) // 2], axis)
    missing = line != line
    if missing.any():
        places = np.where(missing.any(axis, keepdims=True), missing.argmax(axis, keepdims=True), places)
    return _one(x, places, axis, keepdim)


def _median_of_all(x: Any) -> tuple[Any, Pullback]:
    flat = x.reshape(-1)
    missing = flat != flat
    if not flat.size or missing.any():
        value = np.asarray(np.nan, x.dtype)
    else:
        value = np.asarray(np.partition(flat, (flat.size - 1) // 2)[(flat.size - 1) // 2])
    shape, dtype = x.shape, x.dtype

    def median_pullback(incoming: Array, needs: Needs) -> Gradients:
        chosen = missing if np.isnan(value) else flat == value
        count = max(int(np.count_nonzero(chosen)), 1)
        return ((chosen * np.asarray(incoming / count, dtype)).reshape(shape),)

    return value, median_pullback


def _axis(dim: int, x: Any) -> int:
    """One axis as a non-negative number; 0 for a scalar."""
    axes = reduce_axes(int(dim), x.ndim)
    return axes[0] if axes else 0


def _line(x: Any) -> Any:
    """The array itself; a scalar as a vector of one."""
    return x if x.ndim else x.reshape(-1)


def _order(x: Any, axis: int, descending: bool) -> Array:
    """The indices that sort an axis, equal elements in the order in which they stand."""
    if not descending:
        return np.argsort(x, axis, kind="stable")
    backwards = np.argsort(np.flip(x, axis), axis, kind="stable")
    return np.flip(x.shape[axis] - 1 - backwards, axis)


def _one(x: Any, places: Array, axis: int, keepdim: bool) -> tuple[tuple[Array, Array], Pullback]:
    shape = tuple(
        size for place, size in enumerate(x.shape if not keepdim else places.shape) if keepdim or place != axis
    )
    return _pick(x, places, axis, shape if x.ndim else ())


def _pick(x: Any, places: Array, axis: int, shape: tuple[int, ...]) -> tuple[tuple[Array, Array], Pullback]:
    """Elements of ``x`` along an axis, no one twice, in an array of ``shape``; and their indices."""
    before, line = x.shape, _line(x)

    def pick_pullback(incoming: tuple[Array, Array], needs: Needs) -> Gradients:
        gradient = np.zeros(line.shape, line.dtype)
        np.put_along_axis(gradient, places, incoming[0].reshape(places.shape), axis)
        return (gradient.reshape(before),)

    return (np.take_along_axis(line, places, axis).reshape(shape), places.reshape(shape)), pick_pullback
