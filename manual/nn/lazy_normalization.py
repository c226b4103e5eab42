"""Batch and instance norms that take the number of channels from the first input that they see."""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.nn.lazy import LazyModuleMixin, UninitializedBuffer, UninitializedParameter
from manual.nn.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    ChannelNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
]


class _LazyNorm(LazyModuleMixin, ChannelNorm):
    """A norm of channels whose number is ``input.shape[1]`` of the first call.

    Convention: ``affine`` and ``track_running_stats`` are on by default, for instance norm too, and a single sample
    ``(C, *)`` has its first axis of space taken for the channels, as in torch.
    """

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        ChannelNorm.__init__(self, 0, eps, momentum, False, False)
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = UninitializedParameter(dtype=dtype)
            if bias:
                self.bias = UninitializedParameter(dtype=dtype)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(dtype=dtype)
            self.running_var = UninitializedBuffer(dtype=dtype)
            self.num_batches_tracked = np.array(0, np.int64)

    def reset_parameters(self) -> None:
        if self.num_features and not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, input: Any) -> None:
        if not self.has_uninitialized_params():
            return
        self.num_features = input.shape[1]
        for parameter in self._parameters.values():
            if isinstance(parameter, UninitializedParameter):
                parameter.materialize((self.num_features,))
        for name, buffer in self._buffers.items():
            if isinstance(buffer, UninitializedBuffer):
                self._buffers[name] = buffer.materialize((self.num_features,))
        self.reset_parameters()


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """Becomes a :class:`~manual.nn.BatchNorm1d`.

    Shapes: those of :class:`~manual.nn.BatchNorm1d`. Raises what it raises.

    Examples
    --------
    >>> layer = nn.LazyBatchNorm1d()
    >>> _ = layer(tensor([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]))
    >>> layer.num_features, layer.running_mean
    (3, array([0.2, 0.3, 0.4], dtype=float32))
    """

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """Becomes a :class:`~manual.nn.BatchNorm2d`.

    Shapes: those of :class:`~manual.nn.BatchNorm2d`. Raises what it raises.

    Examples
    --------
    >>> layer = nn.LazyBatchNorm2d()
    >>> _ = layer(tensor([[[[1.0, 3.0]], [[5.0, 9.0]]]]))
    >>> layer.num_features, layer.running_mean
    (2, array([0.2, 0.7], dtype=float32))
    """

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """Becomes a :class:`~manual.nn.BatchNorm3d`.

    Shapes: those of :class:`~manual.nn.BatchNorm3d`. Raises what it raises.

    Examples
    --------
    >>> layer = nn.LazyBatchNorm3d()
    >>> _ = layer(tensor([[[[[1.0, 3.0]]], [[[5.0, 9.0]]]]]))
    >>> layer.num_features, layer.running_mean
    (2, array([0.2, 0.7], dtype=float32))
    """

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """Becomes an :class:`~manual.nn.InstanceNorm1d`.

    Shapes: those of :class:`~manual.nn.InstanceNorm1d`. Raises what it raises.

    Examples
    --------
    >>> layer = nn.LazyInstanceNorm1d(affine=True)
    >>> layer(tensor([[[1.0, 3.0], [5.0, 9.0]]]))
    Tensor([[[-1.,  1.],
             [-1.,  1.]]], requires_grad=True)
    >>> layer.num_features, tuple(layer.weight.shape)
    (2, (2,))
    """

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """Becomes an :class:`~manual.nn.InstanceNorm2d`.

    Shapes: those of :class:`~manual.nn.InstanceNorm2d`. Raises what it raises.

    Examples
    --------
    >>> layer = nn.LazyInstanceNorm2d(affine=True)
    >>> layer(tensor([[[[1.0, 3.0]]]]))
    Tensor([[[[-1.,  1.]]]], requires_grad=True)
    >>> layer.num_features, tuple(layer.weight.shape)
    (1, (1,))
    """

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """Becomes an :class:`~manual.nn.InstanceNorm3d`.

    Shapes: those of :class:`~manual.nn.InstanceNorm3d`. Raises what it raises.

    Examples
    --------
    >>> layer = nn.LazyInstanceNorm3d(affine=True)
    >>> layer(tensor([[[[[1.0, 3.0]]]]]))
    Tensor([[[[[-1.,  1.]]]]], requires_grad=True)
    >>> layer.num_features, tuple(layer.weight.shape)
    (1, (1,))
    """

    cls_to_become = InstanceNorm3d
