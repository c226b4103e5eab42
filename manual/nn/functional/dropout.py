"""Dropout as functions. ``mask`` replays a given draw; ``inplace`` is accepted and has no effect on the numbers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from manual import random, rules
from manual.rules.core import Array
from manual.rules.dropout import check_probability
from manual.tensor import Tensor, apply

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, mask: Array | None = None
) -> Tensor:
    """Zero values with probability ``p`` and scale the others by ``1 / (1 - p)``. See :func:`manual.rules.dropout`.

    Shapes: ``input`` and the value alike, of any shape.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> np.unique(F.dropout(tensor(np.ones(1000)), p=0.75).data)
    array([0., 4.])
    >>> F.dropout(tensor([1.0, 2.0]), p=0.75, training=False)
    Tensor([1., 2.])
    """
    return _dropped(rules.dropout, input, p, training, mask, None)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, mask: Array | None = None
) -> Tensor:
    """Zero whole channels of ``(N, C, L)`` or ``(C, L)``. See :func:`manual.rules.dropout`.

    Shapes: ``input`` and the value ``(N, C, L)`` or ``(C, L)``.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].
    RuntimeError
        If the input has other axes.

    Examples
    --------
    >>> y = F.dropout1d(tensor(np.ones((500, 2, 3))), p=0.75)
    >>> np.unique(y.sum(-1).data)
    array([ 0., 12.])
    """
    return _dropped(rules.dropout, input, p, training, mask, channels_1d(input.ndim))


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, mask: Array | None = None
) -> Tensor:
    """Zero whole channels of ``(N, C, H, W)``. See :func:`manual.rules.dropout`.

    Convention: three axes are read as ``(N, C, L)``, with a warning, as in torch.

    Shapes: ``input`` and the value ``(N, C, H, W)``.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> y = F.dropout2d(tensor(np.ones((500, 2, 3, 1))), p=0.75)
    >>> np.unique(y.sum((-2, -1)).data)
    array([ 0., 12.])
    """
    return _dropped(rules.dropout, input, p, training, mask, channels_2d(input.ndim))


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, mask: Array | None = None
) -> Tensor:
    """Zero whole channels of ``(N, C, D, H, W)`` or ``(C, D, H, W)``. See :func:`manual.rules.dropout`.

    Shapes: ``input`` and the value ``(N, C, D, H, W)`` or ``(C, D, H, W)``.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> y = F.dropout3d(tensor(np.ones((500, 2, 3, 1, 1))), p=0.75)
    >>> np.unique(y.sum((-3, -2, -1)).data)
    array([ 0., 12.])
    """
    return _dropped(rules.dropout, input, p, training, mask, channels_3d(input.ndim))


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, mask: Array | None = None
) -> Tensor:
    """Replace values by SELU's lowest with probability ``p``. See :func:`manual.rules.alpha_dropout`.

    Shapes: ``input`` and the value alike, of any shape.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> np.unique(F.alpha_dropout(tensor(np.zeros(1000)), p=0.5, training=True).data)
    array([-0.7792,  0.7792])
    """
    return _dropped(rules.alpha_dropout, input, p, training, mask, None)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, mask: Array | None = None
) -> Tensor:
    """Replace whole channels of ``(N, C, *)`` by SELU's lowest value. See :func:`manual.rules.alpha_dropout`.

    Shapes: ``input`` and the value ``(N, C, *)``.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> y = F.feature_alpha_dropout(tensor(np.zeros((500, 2, 3))), p=0.5, training=True)
    >>> np.unique(y.sum(-1).data)
    array([-2.3376,  2.3376])
    """
    return _dropped(rules.alpha_dropout, input, p, training, mask, 1)


# -- masks -------------------------------------------------------------------------------------------------------------


def channels_1d(ndim: int) -> int:
    """The axis of the channels for :func:`dropout1d`."""
    if ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {ndim}D input: it drops channels of inputs with one "
            "axis of space, a channel axis and possibly a batch axis"
        )
    return ndim - 2


def channels_2d(ndim: int) -> int:
    """The axis of the channels for :func:`dropout2d`, as torch guesses it."""
    if ndim not in (3, 4):
        _warn_of_axes("dropout2d", ndim, "3-D or 4-D")
    elif ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d, which is read as (N, C, L): use dropout1d for that",
            stacklevel=4,
        )
    return 1


def channels_3d(ndim: int) -> int:
    """The axis of the channels for :func:`dropout3d`: 0 unless there are five axes."""
    if ndim not in (4, 5):
        _warn_of_axes("dropout3d", ndim, "4-D or 5-D")
    return 1 if ndim == 5 else 0


def _warn_of_axes(name: str, ndim: int, meant: str) -> None:
    warnings.warn(
        f"{name}: Received a {ndim}-D input to {name}, which is deprecated in torch: {name} drops channels of {meant} "
        "inputs, dropout single values",
        stacklevel=5,
    )


def mask_shape(shape: tuple[int, ...], channel_axis: int | None) -> tuple[int, ...]:
    """The shape of a mask for an input: its own, or one value for each channel.

    Raises
    ------
    RuntimeError
        If there is no such axis.
    """
    if channel_axis is None:
        return shape
    if len(shape) <= channel_axis:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return (*shape[: channel_axis + 1], *(1,) * (len(shape) - channel_axis - 1))


def draw_mask(shape: tuple[int, ...], p: float, channel_axis: int | None) -> Array:
    """Draw which values (or channels) of an input are kept.

    Convention: nothing is drawn where nothing is left to chance (``p`` of 0 or 1, no values), and a batch axis that is
    missing is there with length 1 while drawing: a recording of torch's draws can be replayed.
    """
    empty, shape = 0 in shape, mask_shape(shape, channel_axis)
    if empty:
        return np.ones(shape, bool)
    if channel_axis == 0:
        return random.bernoulli((1, *shape), 1 - p)[0]
    return random.bernoulli(shape, 1 - p)


def _dropped(
    rule: Any, input: Tensor, p: float, training: bool, mask: Array | None, channel_axis: int | None
) -> Tensor:
    check_probability(p)
    if not training:
        return input
    if mask is None:
        mask = draw_mask(input.shape, p, channel_axis)
    result: Tensor = apply(rule, input, mask, p=p)
    return result
