"""Running sums, products and extremes along an axis, and the differences that undo a running sum.

A running reduction lets element ``i`` act on every output from ``i`` on, so every gradient here runs the other way:
from the end of the axis to its start. A scalar counts as an axis of length 1, as in torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, floating, reduce_axes
from manual.rules.indexing import flat_places

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "diff", "logcumsumexp"]


def cumsum(x: Any, *, dim: int) -> tuple[Array, Pullback]:
    """Add up elements along an axis, keeping every partial sum.

    Shapes: ``x`` and the value alike.

    Forward: ``y_k = Σ_(i <= k) x_i``.

    Backward: ``x_i`` enters every ``y_k`` from ``k = i`` on with slope 1, so its gradient is ``Σ_(k >= i) g_k``: a
    running sum from the end.

    Convention: integers add up as int64, as in torch.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.cumsum(np.array([1.0, 2.0, 3.0]), dim=0)
    >>> value
    array([1., 3., 6.])
    >>> pullback(np.array([1.0, 10.0, 100.0]), (True,))
    (array([111., 110., 100.]),)
    """
    axis = _axis(dim, x)
    shape = x.shape
    value = np.cumsum(x, axis, dtype=None if x.dtype.kind == "f" else np.int64)

    def cumsum_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (_from_the_end(np.cumsum, incoming, axis).reshape(shape),)

    return value.reshape(shape), cumsum_pullback


def cumprod(x: Any, *, dim: int) -> tuple[Array, Pullback]:
    """Multiply elements along an axis, keeping every partial product.

    Shapes: ``x`` and the value alike.

    Forward: ``y_k = Π_(i <= k) x_i``.

    Backward: ``dy_k/dx_i = Π_(j <= k, j != i) x_j``, which is ``y_k / x_i``, so the gradient is
    ``(Σ_(k >= i) g_k y_k) / x_i``: a running sum from the end. Before the first zero of a line that stays true, for
    ``y_k`` is 0 from there on. The first zero itself is left out of its own slope: with it replaced by 1 the products
    are ``z_k``, and its gradient is ``Σ_(k >= i) g_k z_k``. What lies behind it acts on nothing but zeros: gradient 0.

    Convention: integers multiply as int64, as in torch.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.cumprod(np.array([1.0, 2.0, 3.0]), dim=0)
    >>> value
    array([1., 2., 6.])
    >>> pullback(np.array([1.0, 10.0, 100.0]), (True,))
    (array([621., 310., 200.]),)
    """
    axis = _axis(dim, x)
    shape = x.shape
    value = np.cumprod(x, axis, dtype=None if x.dtype.kind == "f" else np.int64).reshape(shape)

    def cumprod_pullback(incoming: Array, needs: Needs) -> Gradients:
        zero = np.equal(x, 0)
        weighted = _from_the_end(np.cumsum, incoming * value, axis).reshape(shape)
        if not zero.any():
            return (weighted / x,)
        zeros_so_far = np.cumsum(zero, axis).reshape(shape)
        first = zero & (zeros_so_far == 1)
        without = np.cumprod(np.where(first, 1, x), axis, dtype=x.dtype).reshape(shape)
        without *= incoming
        at_zero = _from_the_end(np.cumsum, without, axis).reshape(shape)
        gradient = np.zeros(shape, x.dtype)
        np.divide(weighted, x, out=gradient, where=zeros_so_far == 0)
        np.copyto(gradient, at_zero, where=first)
        return (gradient,)

    return value, cumprod_pullback


def cummax(x: Any, *, dim: int) -> tuple[tuple[Array, Array], Pullback]:
    """Take the largest element so far along an axis, and where it is.

    Shapes: ``x``, the values and the int64 indices alike.

    Forward: ``y_k = max_(i <= k) x_i``.

    Backward: an element gets the gradients of all outputs that it is the maximum of.

    Convention: a tie is won by the later element, unlike in ``max``; NaN counts as larger than everything. As torch.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.cummax(np.array([1.0, 3.0, 2.0]), dim=0)
    >>> value
    (array([1., 3., 3.]), array([0, 1, 1]))
    >>> pullback((np.array([1.0, 10.0, 100.0]), None), (True,))
    (array([  1., 110.,   0.]),)
    """
    return _extreme(x, dim, np.maximum)


def cummin(x: Any, *, dim: int) -> tuple[tuple[Array, Array], Pullback]:
    """Take the smallest element so far along an axis, and where it is; NaN wins here too. See :func:`cummax`.

    Shapes: as :func:`cummax`.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.cummin(np.array([2.0, 1.0, 3.0]), dim=0)
    >>> value
    (array([2., 1., 1.]), array([0, 1, 1]))
    >>> pullback((np.array([1.0, 10.0, 100.0]), None), (True,))
    (array([  1., 110.,   0.]),)
    """
    return _extreme(x, dim, np.minimum)


def _extreme(x: Any, dim: int, extremum: np.ufunc) -> tuple[tuple[Array, Array], Pullback]:
    axis = _axis(dim, x)
    shape, dtype = x.shape, x.dtype
    line = x.reshape(-1) if not x.ndim else x
    best = extremum.accumulate(line, axis=axis)
    length = line.shape[axis]
    positions = np.arange(length).reshape([-1 if place == axis else 1 for place in range(line.ndim)])
    places = np.maximum.accumulate(np.where((line == best) | (line != line), positions, 0), axis=axis)

    def extreme_pullback(incoming: tuple[Array, Array], needs: Needs) -> Gradients:
        gradient = np.zeros(line.size, dtype)
        np.add.at(gradient, flat_places(places, axis, line.shape).reshape(-1), incoming[0].reshape(-1))
        return (gradient.reshape(shape),)

    value = np.take_along_axis(line, places, axis)
    return (value.reshape(shape), places.reshape(shape)), extreme_pullback


@floating
def logcumsumexp(x: Any, *, dim: int) -> tuple[Array, Pullback]:
    """Take the logarithm of the running sum of exponentials along an axis.

    Shapes: ``x`` and the value alike.

    Forward: ``y_k = log Σ_(i <= k) exp(x_i)``, one element at a time: ``log(exp(y_(k-1)) + exp(x_k))`` with the larger
    of the two taken out, so that nothing overflows.

    Backward: ``dy_k/dx_i = exp(x_i - y_k)``, so the gradient is ``exp(x_i) Σ_(k >= i) g_k exp(-y_k)``. Neither factor
    need be finite, so the sum is formed as a logarithm too, once for the positive and once for the negative ``g_k``.

    Convention: where all elements so far are minus infinity, so is the value, as in torch; the gradient there is 0,
    where torch 2.13 answers NaN.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> value, pullback = rules.logcumsumexp(np.array([0.0, 0.0]), dim=0)
    >>> value
    array([0.    , 0.6931])
    >>> pullback(np.array([1.0, 10.0]), (True,))
    (array([6., 5.]),)
    """
    axis = _axis(dim, x)
    shape = x.shape
    line = x.reshape(-1) if not x.ndim else x
    value = np.logaddexp.accumulate(line, axis=axis)

    def logcumsumexp_pullback(incoming: Array, needs: Needs) -> Gradients:
        arriving = incoming.reshape(line.shape)
        gradient = np.zeros(line.shape, x.dtype)
        for sign, part in ((1, arriving), (-1, -arriving)):
            with np.errstate(divide="ignore", invalid="ignore"):
                logarithm = np.log(np.maximum(part, 0))
                logarithm -= np.where(np.isneginf(value), np.inf, value)
                total = _from_the_end(np.logaddexp.accumulate, logarithm, axis)
                gradient += sign * np.exp(line + total)
        return (gradient.reshape(shape),)

    return value.reshape(shape), logcumsumexp_pullback


def diff(x: Any, *, n: int = 1, dim: int = -1) -> tuple[Array, Pullback]:
    """Subtract each element from the next one along an axis, ``n`` times over.

    Shapes: axis ``dim`` becomes ``n`` shorter (empty where it is not longer than ``n``).

    Forward: ``y_i = x_(i+1) - x_i``.

    Backward: ``x_i`` enters ``y_(i-1)`` with slope 1 and ``y_i`` with slope -1, so its gradient is ``g_(i-1) - g_i``,
    with 0 for a ``g`` beyond either end: minus the differences of the padded ``g``.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If ``n`` is negative, or ``x`` a scalar.

    Examples
    --------
    >>> value, pullback = rules.diff(np.array([1.0, 4.0, 9.0]))
    >>> value
    array([3., 5.])
    >>> pullback(np.array([1.0, 10.0]), (True,))
    (array([-1., -9., 10.]),)
    """
    if not x.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = _axis(dim, x)
    shape, dtype = x.shape, x.dtype
    times = n if n < shape[axis] else 0

    def diff_pullback(incoming: Array, needs: Needs) -> Gradients:
        if n and not times:
            return (np.zeros(shape, dtype),)
        padding = [(1, 1) if place == axis else (0, 0) for place in range(len(shape))]
        gradient = incoming
        for _ in range(times):
            gradient = np.pad(gradient, padding)
            gradient = -np.diff(gradient, axis=axis)
        return (gradient,)

    if n and not times:
        return np.zeros([0 if place == axis else size for place, size in enumerate(shape)], dtype), diff_pullback
    return np.diff(x, n, axis), diff_pullback


def _axis(dim: int, x: Any) -> int:
    """One axis as a non-negative number; 0 for a scalar."""
    axes = reduce_axes(int(dim), x.ndim)
    return axes[0] if axes else 0


def _from_the_end(running: Any, values: Any, axis: int) -> Any:
    """A running reduction that starts at the end of the axis."""
    return np.flip(running(np.flip(np.atleast_1d(values), axis), axis=axis), axis)
