"""Normalisation. The formulas and their derivations are in :mod:`manual.rules.normalization` and beside it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from manual import rules
from manual.nn.module import Module, Parameter
from manual.tensor import DEFAULT_DTYPE, Tensor, apply

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "CrossMapLRN2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


class _Affine(Module):
    """A module with a ``weight`` of ones and a ``bias`` of zeros, either of which may be left out."""

    weight: Parameter | None
    bias: Parameter | None

    def _register_affine(self, shape: Any, weight: bool, bias: bool, dtype: Any) -> None:
        for name, present in (("weight", weight), ("bias", weight and bias)):
            self.register_parameter(name, Parameter(np.empty(shape, dtype or DEFAULT_DTYPE)) if present else None)

    def reset_parameters(self) -> None:
        for name, value in (("weight", 1), ("bias", 0)):
            parameter = self._parameters.get(name)
            if parameter is not None:
                parameter.data.fill(value)


class ChannelNorm(_Affine):
    """What batch and instance norm share: parameters and running statistics, one of each for every channel."""

    _axes: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._register_affine(num_features, affine, bias, dtype)
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, np.empty(num_features, dtype or DEFAULT_DTYPE) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.array(0, np.int64) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        if self.track_running_stats:
            for name, value in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
                self._buffers[name].fill(value)

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        super().reset_parameters()

    def _check_input_dim(self, input: Any) -> None:
        if input.ndim not in self._axes:
            expected = " or ".join(f"{axes}D" for axes in self._axes)
            raise ValueError(f"expected {expected} input (got {input.ndim}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(ChannelNorm):
    """Normalises every channel over the batch and space: :func:`manual.rules.batch_norm`.

    Shapes: input and output ``(N, C, *)``, ``weight``, ``bias``, ``running_mean`` and ``running_var`` ``(C,)``,
    ``num_batches_tracked`` ``()``. In evaluation the running statistics normalise; without them
    (``track_running_stats=False``) it is always the batch's own. ``momentum=None`` keeps the plain average of all
    batches seen: the momentum of batch ``t`` is ``1 / t``.

    Raises
    ------
    ValueError
        If the input has another number of axes, or a channel has a single element in training.
    """

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        buffers, parameters = self._buffers, self._parameters
        momentum = self.momentum
        if self.training and self.track_running_stats and buffers["num_batches_tracked"] is not None:
            buffers["num_batches_tracked"][...] += 1
            if momentum is None:
                momentum = 1 / int(buffers["num_batches_tracked"])
        mean, var = buffers["running_mean"], buffers["running_var"]
        training = self.training or (mean is None and var is None)
        if self.training and not self.track_running_stats:
            mean = var = None
        result: Tensor = apply(
            rules.batch_norm,
            input,
            parameters["weight"],
            parameters["bias"],
            running_mean=mean,
            running_var=var,
            training=training,
            momentum=momentum or 0.0,
            eps=self.eps,
        )
        return result


class BatchNorm1d(_BatchNorm):
    """Batch norm of ``(N, C)`` or ``(N, C, L)``. See :func:`manual.rules.batch_norm`.

    Shapes: input and output ``(N, C)`` or ``(N, C, L)``; ``weight``, ``bias``, ``running_mean`` and ``running_var``
    ``(C,)``.

    Raises
    ------
    ValueError
        When it is called, if the input has other axes, or in training one value per channel.
    RuntimeError
        When it is called, if there are not ``num_features`` channels.

    Examples
    --------
    >>> x = tensor([[0.0], [1.0], [5.0]], requires_grad=True)
    >>> layer = nn.BatchNorm1d(1)
    >>> layer(x)
    Tensor([[-0.9258],
            [-0.4629],
            [ 1.3887]], requires_grad=True)
    >>> layer.running_mean
    array([0.2], dtype=float32)
    >>> layer(x).backward(tensor([[3.0], [0.0], [0.0]]))
    >>> x.grad
    array([[ 0.529 ],
           [-0.6613],
           [ 0.1323]], dtype=float32)
    """

    _axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm of ``(N, C, H, W)``. See :func:`manual.rules.batch_norm`.

    Shapes: input and output ``(N, C, H, W)``; ``weight``, ``bias``, ``running_mean`` and ``running_var`` ``(C,)``.

    Raises
    ------
    ValueError
        When it is called, if the input has other axes, or in training one value per channel.
    RuntimeError
        When it is called, if there are not ``num_features`` channels.

    Examples
    --------
    >>> layer = nn.BatchNorm2d(1)
    >>> layer(tensor([[[[0.0, 2.0], [2.0, 0.0]]]]))
    Tensor([[[[-1.,  1.],
              [ 1., -1.]]]], requires_grad=True)
    >>> layer.running_mean
    array([0.1], dtype=float32)
    >>> layer.eval()(tensor([[[[0.0, 2.0], [2.0, 0.0]]]]))
    Tensor([[[[-0.0984,  1.8691],
              [ 1.8691, -0.0984]]]], requires_grad=True)
    """

    _axes = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch norm of ``(N, C, D, H, W)``. See :func:`manual.rules.batch_norm`.

    Shapes: input and output ``(N, C, D, H, W)``; ``weight``, ``bias``, ``running_mean`` and ``running_var`` ``(C,)``.

    Raises
    ------
    ValueError
        When it is called, if the input has other axes, or in training one value per channel.
    RuntimeError
        When it is called, if there are not ``num_features`` channels.

    Examples
    --------
    >>> nn.BatchNorm3d(1)(tensor([[[[[0.0, 2.0], [2.0, 0.0]]]]]))
    Tensor([[[[[-1.,  1.],
               [ 1., -1.]]]]], requires_grad=True)
    """

    _axes = (5,)


class _InstanceNorm(ChannelNorm):
    """Normalises every channel of every sample over space: :func:`manual.rules.instance_norm`.

    Shapes: input and output ``(N, C, *)``, or ``(C, *)`` for one sample. In evaluation the sample's own statistics
    normalise, unless running ones are tracked.

    Convention: ``num_batches_tracked`` stays 0, and ``momentum=None`` leaves the running statistics as they are, as in
    torch.

    Raises
    ------
    ValueError
        If the input has another number of axes, or other channels than ``affine`` parameters are for, or a single
        element in space where its statistics are asked for.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        lone = input.ndim == self._axes[0]
        channels = input.shape[0 if lone else 1]
        if channels != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={0 if lone else 1} to match num_features ({self.num_features}), "
                    f"but got: {channels}."
                )
            warnings.warn(
                f"input's size at dim={0 if lone else 1} does not match num_features, which is not used because "
                "affine=False",
                stacklevel=2,
            )
        buffers, parameters = self._buffers, self._parameters
        result: Tensor = apply(
            rules.instance_norm,
            apply(rules.reshape, input, shape=(1, *input.shape)) if lone else input,
            parameters["weight"],
            parameters["bias"],
            running_mean=buffers["running_mean"],
            running_var=buffers["running_var"],
            use_input_stats=self.training or not self.track_running_stats,
            momentum=self.momentum or 0.0,
            eps=self.eps,
        )
        return apply(rules.reshape, result, shape=input.shape) if lone else result


class InstanceNorm1d(_InstanceNorm):
    """Instance norm of ``(N, C, L)`` or ``(C, L)``. See :func:`manual.rules.instance_norm`.

    Shapes: input and output ``(N, C, L)`` or ``(C, L)``; with ``affine`` ``weight`` and ``bias`` ``(C,)``.

    Raises
    ------
    ValueError
        When it is called, if the input has other axes, or one value per channel; with ``affine`` if there are not
        ``num_features`` channels.

    Examples
    --------
    >>> nn.InstanceNorm1d(2)(tensor([[0.0, 2.0, 0.0, 2.0], [5.0, 5.0, 9.0, 9.0]]))
    Tensor([[-1.,  1., -1.,  1.],
            [-1., -1.,  1.,  1.]])
    """

    _axes = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance norm of ``(N, C, H, W)`` or ``(C, H, W)``. See :func:`manual.rules.instance_norm`.

    Shapes: input and output ``(N, C, H, W)`` or ``(C, H, W)``; with ``affine`` ``weight`` and ``bias`` ``(C,)``.

    Raises
    ------
    ValueError
        When it is called, if the input has other axes, or one value per channel; with ``affine`` if there are not
        ``num_features`` channels.

    Examples
    --------
    >>> nn.InstanceNorm2d(1)(tensor([[[0.0, 2.0], [2.0, 0.0]]]))
    Tensor([[[-1.,  1.],
             [ 1., -1.]]])
    """

    _axes = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance norm of ``(N, C, D, H, W)`` or ``(C, D, H, W)``. See :func:`manual.rules.instance_norm`.

    Shapes: input and output ``(N, C, D, H, W)`` or ``(C, D, H, W)``; with ``affine`` ``weight`` and ``bias`` ``(C,)``.

    Raises
    ------
    ValueError
        When it is called, if the input has other axes, or one value per channel; with ``affine`` if there are not
        ``num_features`` channels.

    Examples
    --------
    >>> nn.InstanceNorm3d(1)(tensor([[[[0.0, 2.0], [2.0, 0.0]]]]))
    Tensor([[[[-1.,  1.],
              [ 1., -1.]]]])
    """

    _axes = (4, 5)


class GroupNorm(_Affine):
    """Normalises groups of channels of every sample. See :func:`manual.rules.group_norm`.

    Shapes: input and output ``(N, num_channels, *)``, ``weight`` and ``bias`` ``(num_channels,)``.

    Raises
    ------
    ValueError
        If ``num_channels`` is no multiple of ``num_groups``.
    RuntimeError
        When it is called, if there are not ``num_channels`` channels.

    Examples
    --------
    >>> x = tensor([[0.0, 2.0, 10.0, 30.0]])
    >>> nn.GroupNorm(2, 4)(x)
    Tensor([[-1.,  1., -1.,  1.]], requires_grad=True)
    >>> nn.GroupNorm(1, 4)(x)
    Tensor([[-0.885 , -0.7165, -0.0421,  1.6437]], requires_grad=True)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._register_affine(num_channels, affine, bias, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        parameters = self._parameters
        options = {"num_groups": self.num_groups, "eps": self.eps}
        result: Tensor = apply(rules.group_norm, input, parameters["weight"], parameters["bias"], **options)
        return result

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


def _as_shape(shape: Any) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(shape)


class LayerNorm(_Affine):
    """Normalises every sample over its last axes. See :func:`manual.rules.layer_norm`.

    Shapes: input and output ``(*, *normalized_shape)``, ``weight`` and ``bias`` of ``normalized_shape`` (a number is
    the shape of one axis).

    Raises
    ------
    RuntimeError
        When it is called, if the last axes of the input are not ``normalized_shape``.

    Examples
    --------
    >>> x = tensor([[0.0, 1.0, 5.0]], requires_grad=True)
    >>> layer = nn.LayerNorm(3)
    >>> y = layer(x)
    >>> y
    Tensor([[-0.9258, -0.4629,  1.3887]], requires_grad=True)
    >>> y.backward(tensor([[3.0, 0.0, 0.0]]))
    >>> x.grad
    array([[ 0.529 , -0.6613,  0.1323]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | list[int] | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._register_affine(self.normalized_shape, elementwise_affine, bias, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        parameters = self._parameters
        options = {"normalized_shape": self.normalized_shape, "eps": self.eps}
        result: Tensor = apply(rules.layer_norm, input, parameters["weight"], parameters["bias"], **options)
        return result

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(_Affine):
    """Divides every sample by its root mean square over the last axes. See :func:`manual.rules.rms_norm`.

    Shapes: input and output ``(*, *normalized_shape)``, ``weight`` of ``normalized_shape``. ``eps=None`` is that of the
    dtype.

    Raises
    ------
    RuntimeError
        When it is called, if the last axes of the input are not ``normalized_shape``.

    Examples
    --------
    >>> x = tensor([[1.0, 7.0]], requires_grad=True)
    >>> y = nn.RMSNorm(2)(x)
    >>> y
    Tensor([[0.2, 1.4]], requires_grad=True)
    >>> y.backward(tensor([[25.0, 0.0]]))
    >>> x.grad
    array([[ 4.9, -0.7]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | list[int] | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = Parameter(np.empty(self.normalized_shape, dtype or DEFAULT_DTYPE)) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        options = {"normalized_shape": self.normalized_shape, "eps": self.eps}
        result: Tensor = apply(rules.rms_norm, input, self._parameters["weight"], **options)
        return result

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class _ResponseNorm(Module):
    """Divides by a power of the mean square of a window of channels."""

    _rule: Any

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        options = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}
        result: Tensor = apply(self._rule, input, **options)
        return result

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class LocalResponseNorm(_ResponseNorm):
    """Local response normalisation of ``(N, C, *)``. See :func:`manual.rules.local_response_norm`.

    Shapes: input and output ``(N, C, *)``.

    Raises
    ------
    ValueError
        When it is called, if the input has fewer than three axes.

    Examples
    --------
    >>> nn.LocalResponseNorm(3, alpha=3.0, beta=1.0)(tensor([[[1.0], [2.0], [4.0]]]))
    Tensor([[[0.1667],
             [0.0909],
             [0.1905]]])
    """

    _rule = staticmethod(rules.local_response_norm)


class CrossMapLRN2d(_ResponseNorm):
    """Torch 7's local response normalisation of ``(N, C, H, W)``. See :func:`manual.rules.cross_map_lrn2d`.

    Shapes: input and output ``(N, C, H, W)``.

    Raises
    ------
    ValueError
        When it is called, if the input has other axes.

    Examples
    --------
    >>> nn.CrossMapLRN2d(3, alpha=3.0, beta=1.0)(tensor([[[[1.0]], [[2.0]], [[4.0]]]]))[0, :, 0]
    Tensor([[0.1667],
            [0.0909],
            [0.1818]])
    """

    _rule = staticmethod(rules.cross_map_lrn2d)

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1):
        super().__init__(size, alpha, beta, k)
