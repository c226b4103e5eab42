"""What every rule shares: its types, and the undoing of broadcasting.

A *rule* is a function of arrays that returns its value and a named *pullback*. The pullback maps the
incoming gradient (of the value) to one gradient per input, and what its closure holds is what is saved::

    def exp(x):
        y = np.exp(x)

        def exp_pullback(incoming, needs):
            return (incoming * y,)

        return y, exp_pullback

The contract, which the engine relies on and ``tests/manual/rules`` holds every rule to:

- positional parameters are the differentiable inputs, keyword-only parameters are options;
- ``needs[i]`` says whether input ``i`` needs its gradient; what nobody needs is not computed but ``None``
  (a rule of one input may ignore ``needs``: it is called only when that input needs its gradient);
- a gradient has the shape and dtype of its input; it is an array, or for a leaf a ``SparseRows``;
- a gradient is ``incoming``, a view of it, or an array that the pullback has just made: never a saved array, and
  the same array never stands for two inputs (``incoming`` itself excepted);
- inputs, saved values and ``incoming`` are never written to.

A rule of several outputs returns a tuple of arrays, and its pullback takes a tuple of incoming gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "Gradients",
    "Needs",
    "Pullback",
    "common_shape",
    "contraction",
    "elementwise",
    "floating",
    "reduce_axes",
    "unbroadcast",
]

Array = NDArray[Any]
Needs = tuple[bool, ...]
Gradients = tuple["Array | None", ...]
Pullback = Callable[[Any, Needs], Gradients]


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an input was broadcast.

    If ``x`` of shape ``shape`` is repeated to fill a larger array, each of its elements acts through all of its
    copies, and by the chain rule their gradients add up.

    Parameters
    ----------
    gradient : array of the broadcast shape
    shape : the shape that the input had before broadcasting

    Returns
    -------
    Array of shape ``shape``; ``gradient`` itself where nothing was broadcast.
    """
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    stretched = tuple(
        axis + extra for axis, size in enumerate(shape) if size == 1 and gradient.shape[axis + extra] != 1
    )
    summed = gradient.sum(axis=tuple(range(extra)) + stretched, keepdims=True)
    return np.asarray(summed).reshape(shape)


def common_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which shapes are broadcast.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(list(shape)) for shape in shapes)
        raise RuntimeError(
            f"sizes must match at every dimension where none is 1, but the shapes are {listed}"
        ) from None


def reduce_axes(dim: int | tuple[int, ...] | list[int] | None, ndim: int) -> tuple[int, ...]:
    """Name the axes of a reduction by non-negative numbers, as torch's ``dim`` means them.

    ``None`` and the empty tuple mean every axis.

    Raises
    ------
    IndexError
        If an axis is out of range.
    RuntimeError
        If an axis appears twice.
    """
    if dim is None:
        return tuple(range(ndim))
    axes = (dim,) if isinstance(dim, (int, np.integer)) else tuple(dim)
    if not axes:
        return tuple(range(ndim))
    span = max(ndim, 1)
    for axis in axes:
        if not -span <= axis < span:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-span}, {span - 1}], but got {axis})"
            )
    if ndim == 0:
        return ()
    positive = tuple(int(axis) % ndim for axis in axes)
    if len(set(positive)) != len(positive):
        raise RuntimeError(f"dim {dim} names the same axis twice")
    return positive


def elementwise(rule: Any) -> Any:
    """Mark a rule whose inputs are promoted to one dtype, as torch promotes them, before it sees them."""
    rule.promotes = True
    return rule


def floating(rule: Any) -> Any:
    """Mark an elementwise rule that has floating results even for integers (exp, log, division ...)."""
    rule.promotes = "floating"
    return rule


def contraction(rule: Any) -> Any:
    """Mark a rule whose inputs must share one dtype: torch refuses mixed contractions, and so does this wing."""
    rule.promotes = False
    return rule
