"""Between sequences in a padded array and the rows of their elements alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback

__all__ = ["pad_rows"]


def pad_rows(x: Any, *, mask: Array, padding_value: float = 0.0) -> tuple[Array, Pullback]:
    """Lay rows out where a mask holds, with padding elsewhere.

    Shapes: ``mask`` is boolean and holds ``n`` times; ``x (n, ...)``; the value ``mask.shape + (...)``.

    Forward: ``y[mask] = x``, in the order of the mask's rows, and ``padding_value`` elsewhere: what ``y[mask]`` takes
    out is put back. Backward: a copy's gradient is that of its place, ``g[mask]``; padding is a constant.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.pad_rows(
    ...     np.array([1.0, 2.0, 3.0]), mask=np.array([[True, True], [True, False]]), padding_value=9.0
    ... )
    >>> value
    array([[1., 2.],
           [3., 9.]])
    >>> pullback(np.array([[5.0, 7.0], [1.0, 10.0]]), (True,))
    (array([5., 7., 1.]),)
    """
    if mask.dtype != bool or np.count_nonzero(mask) != len(x):
        raise RuntimeError(f"pad_rows: {len(x)} rows for a mask that holds {np.count_nonzero(mask)} times")
    value = np.full((*mask.shape, *x.shape[1:]), padding_value, x.dtype)
    value[mask] = x

    def pad_rows_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (incoming[mask],)

    return value, pad_rows_pullback
