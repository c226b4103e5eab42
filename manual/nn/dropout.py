"""Dropout, with masks that can be replayed."""

from __future__ import annotations

from collections import deque
from typing import Any

from manual import rules
from manual.nn.functional.dropout import channels_1d, channels_2d, channels_3d, draw_mask, mask_shape
from manual.nn.module import Module
from manual.rules.core import Array
from manual.rules.dropout import check_probability
from manual.tensor import Tensor, apply

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _DropoutNd(Module):
    """In training, drops values or channels with probability ``p``; in evaluation does nothing.

    A mask (1 or True where a value is kept) queued by :meth:`replay` is used instead of a drawn one; ``last_mask`` is
    the one that was used. ``inplace`` is accepted and has no effect on the numbers.

    Raises
    ------
    ValueError
        If ``p`` is not between 0 and 1.
    """

    _rule: Any = staticmethod(rules.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        check_probability(p)
        self.p = p
        self.inplace = inplace
        self.last_mask: Array | None = None
        self._queued: deque[Array] = deque()

    def replay(self, *masks: Array) -> None:
        """Use these masks in the next calls, in this order; masks queued earlier and not used are forgotten."""
        self._queued = deque(masks)

    def _channel_axis(self, ndim: int) -> int | None:
        """The axis of the channels that are dropped as a whole; ``None`` where single values are."""
        return None

    def forward(self, input: Tensor) -> Tensor:
        axis = self._channel_axis(input.ndim)
        if not self.training:
            return input
        if self._queued:
            mask = self._queued.popleft()
            if mask.shape != mask_shape(input.shape, axis):
                raise ValueError(f"the mask to replay has shape {mask.shape}, the input has shape {input.shape}")
        else:
            mask = draw_mask(input.shape, self.p, axis)
        self.last_mask = mask
        result: Tensor = apply(self._rule, input, mask, p=self.p)
        return result

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Zeroes values and scales the others by ``1 / (1 - p)``. See :func:`manual.rules.dropout`.

    Shapes: input and output alike, of any shape ``(*)``; a mask to replay too.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1], or, when it is called, a mask to replay has another shape.

    Examples
    --------
    >>> layer = nn.Dropout(p=0.75)
    >>> np.unique(layer(tensor(np.ones(1000))).data)
    array([0., 4.])
    >>> layer.eval()(tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """


class Dropout1d(_DropoutNd):
    """Zeroes whole channels of ``(N, C, L)`` or ``(C, L)``. See :func:`manual.rules.dropout`.

    Shapes: input and output alike, ``(N, C, L)`` or ``(C, L)``.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].
    RuntimeError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> y = nn.Dropout1d(p=0.75)(tensor(np.ones((500, 2, 3))))
    >>> np.unique(y.sum(-1).data)
    array([ 0., 12.])
    """

    def _channel_axis(self, ndim: int) -> int | None:
        return channels_1d(ndim)


class Dropout2d(_DropoutNd):
    """Zeroes whole channels of ``(N, C, H, W)``; three axes are read as ``(N, C, L)``, with a warning, as in torch.

    Shapes: input and output alike, ``(N, C, H, W)``.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> y = nn.Dropout2d(p=0.75)(tensor(np.ones((500, 2, 3, 1))))
    >>> np.unique(y.sum((-2, -1)).data)
    array([ 0., 12.])
    """

    def _channel_axis(self, ndim: int) -> int | None:
        return channels_2d(ndim)


class Dropout3d(_DropoutNd):
    """Zeroes whole channels of ``(N, C, D, H, W)`` or ``(C, D, H, W)``. See :func:`manual.rules.dropout`.

    Shapes: input and output alike, ``(N, C, D, H, W)`` or ``(C, D, H, W)``.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> y = nn.Dropout3d(p=0.75)(tensor(np.ones((500, 2, 3, 1, 1))))
    >>> np.unique(y.sum((-3, -2, -1)).data)
    array([ 0., 12.])
    """

    def _channel_axis(self, ndim: int) -> int | None:
        return channels_3d(ndim)


class AlphaDropout(_DropoutNd):
    """Replaces values by SELU's lowest, and keeps mean and variance. See :func:`manual.rules.alpha_dropout`.

    Shapes: input and output alike, of any shape ``(*)``.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> layer = nn.AlphaDropout(p=0.5)
    >>> np.unique(layer(tensor(np.zeros(1000))).data)
    array([-0.7792,  0.7792])
    >>> layer.eval()(tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """

    _rule = staticmethod(rules.alpha_dropout)


class FeatureAlphaDropout(AlphaDropout):
    """Replaces whole channels of ``(N, C, *)`` by SELU's lowest value. See :func:`manual.rules.alpha_dropout`.

    Shapes: input and output alike, ``(N, C, *)``.

    Raises
    ------
    ValueError
        If ``p`` is not in [0, 1].

    Examples
    --------
    >>> y = nn.FeatureAlphaDropout(p=0.5)(tensor(np.zeros((500, 2, 3))))
    >>> np.unique(y.sum(-1).data)
    array([-2.3376,  2.3376])
    """

    def _channel_axis(self, ndim: int) -> int | None:
        return 1
