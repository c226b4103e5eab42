"""Elements that appear several times: repeated one by one, or in windows that overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from manual.rules.core import Array, Gradients, Needs, Pullback, reduce_axes
from manual.rules.indexing import add_rows

__all__ = ["repeat_interleave", "sliding_windows"]


def repeat_interleave(
    x: Any, *, repeats: Any, dim: int | None = None, output_size: int | None = None
) -> tuple[Array, Pullback]:
    """Repeat each element along an axis, copies side by side, as ``numpy.repeat`` does.

    Shapes: ``repeats`` is a number or a vector of one number per element; axis ``dim`` becomes as long as they add up
    to. Without ``dim`` the array is flattened first.

    Forward: ``y = x_0 x_0 x_1 x_1 ...``. Backward: the gradients of all copies of an element add up.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If a number is negative, or there are not as many as elements.

    Examples
    --------
    >>> value, pullback = rules.repeat_interleave(np.array([1.0, 2.0]), repeats=np.array([1, 2]))
    >>> value
    array([1., 2., 2.])
    >>> pullback(np.array([5.0, 7.0, 9.0]), (True,))
    (array([ 5., 16.]),)
    """
    times = np.asarray(repeats)
    if times.dtype.kind not in "iu":
        raise RuntimeError(f"repeats has to be Long or Int tensor, but got {times.dtype}")
    if times.size and times.min() < 0:
        raise RuntimeError("Repeats must be non-negative")
    shape = x.shape
    flat = dim is None or not x.ndim
    line = x.reshape(-1) if flat else x
    axis = 0 if flat else reduce_axes(int(dim or 0), x.ndim)[0]
    length = line.shape[axis]
    if times.size not in (1, length):
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {times.size} and "
            f"input.size({axis}) = {length}"
        )
    rows = np.repeat(np.arange(length), times)
    if output_size is not None and output_size != rows.size:
        raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {rows.size} but got {output_size}")

    def repeat_interleave_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.zeros(line.shape, incoming.dtype)
        add_rows(np.moveaxis(gradient, axis, 0), rows, np.moveaxis(incoming, axis, 0))
        return (gradient.reshape(shape),)

    return np.take(line, rows, axis), repeat_interleave_pullback


def sliding_windows(x: Any, *, dimension: int, size: int, step: int) -> tuple[Array, Pullback]:
    """Show the windows of an axis, as ``torch.Tensor.unfold`` does.

    Shapes: axis ``dimension`` of length ``n`` becomes the number of windows, ``(n - size) // step + 1``; a new last
    axis of length ``size`` runs inside each.

    Forward: ``y[.., w, .., k] = x[.., w step + k, ..]``, a view. Backward: an element gets the sum of the gradients of
    all windows in which it lies: one strided addition for each ``k``.

    Raises
    ------
    RuntimeError
        If a window is longer than the axis, or ``step`` is not positive.

    Examples
    --------
    >>> value, pullback = rules.sliding_windows(np.array([1.0, 2.0, 3.0]), dimension=0, size=2, step=1)
    >>> value
    array([[1., 2.],
           [2., 3.]])
    >>> pullback(np.array([[1.0, 2.0], [10.0, 20.0]]), (True,))
    (array([ 1., 12., 20.]),)
    """
    axes = reduce_axes(int(dimension), x.ndim)
    shape = x.shape
    line = x if x.ndim else x.reshape(-1)
    axis = axes[0] if axes else 0
    length = line.shape[axis]
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > length:
        raise RuntimeError(f"maximum size for tensor at dimension {axis} is {length} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    count = (length - size) // step + 1
    before = (slice(None),) * axis
    if size:
        value = sliding_window_view(line, size, axis)[(*before, slice(None, None, step))]
    else:
        value = np.zeros((*line.shape[:axis], count, *line.shape[axis + 1 :], 0), x.dtype)

    lengths, seen, dtype = line.shape, value.shape, x.dtype

    def sliding_windows_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.zeros(lengths, dtype)
        arriving = incoming.reshape(seen)
        for place in range(size):
            gradient[(*before, slice(place, place + step * (count - 1) + 1, step))] += arriving[..., place]
        return (gradient.reshape(shape),)

    return value if x.ndim else value.reshape(size), sliding_windows_pullback
