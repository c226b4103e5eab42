"""Normalisation of channels: shift and scale values so that a set of them has mean 0 and variance 1.

The rules differ in the set over which the statistics are taken: batch norm takes one channel of all samples, group norm
a group of channels of one sample (instance norm: a single channel), layer norm (``manual.rules.layer_normalization``)
the last axes. The derivation is one. With ``n`` elements in a set, ``m`` their mean, ``v`` their biased variance and
``r = 1 / sqrt(v + eps)``::

    x̂ = (x - m) r,    dx̂ = r (dx - dm) - x̂ r² dv / 2,    dm = Σ dx / n,    dv = 2 Σ (x - m) dx / n

(in ``dv`` the term with ``dm`` is gone, since the deviations add up to 0). With ``h`` incoming at ``x̂`` and the means
taken over the set, transposing the two sums gives

    gradient = r (h - mean(h) - x̂ mean(h x̂))

which is what is left of ``h`` without its parts along the constant and along ``x̂``: a change of ``x`` that only shifts
or scales the set changes nothing (up to ``eps``). Where ``y = w x̂ + b``, it is ``h = w g``, and ``dy = x̂ dw + db``
gives the parameters the sums of ``g x̂`` and of ``g`` over all that they multiply.

Convention: statistics of float16 are taken in float32, as in torch, and so is all else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, contraction

__all__ = ["batch_norm", "group_norm", "instance_norm"]

Rule = Callable[..., tuple[Array, Pullback]]


def half_in_single(rule: Rule) -> Rule:
    """Let a rule compute in float32 what it is given in float16: sums of squares would leave float16's range."""

    @wraps(rule)
    def widened(*inputs: Any, **options: Any) -> tuple[Array, Pullback]:
        if inputs[0].dtype != np.float16:
            return rule(*inputs, **options)
        single = [None if array is None else array.astype(np.float32) for array in inputs]
        value, inner = rule(*single, **options)

        def half_pullback(incoming: Array, needs: Needs) -> Gradients:
            gradients = inner(incoming.astype(np.float32), needs)
            return tuple(None if gradient is None else gradient.astype(np.float16) for gradient in gradients)

        return value.astype(np.float16), half_pullback

    return widened


@contraction
@half_in_single
def batch_norm(
    input: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Pullback]:
    """Normalise every channel by its mean and variance over the batch and space.

    Shapes: ``input`` and the value ``(N, C, *)``; ``weight``, ``bias``, ``running_mean`` and ``running_var`` ``(C,)``,
    each of the first two or both of the last two may be ``None``. A channel has ``n = N prod(*)`` elements.

    Forward: ``y = w x̂ + b`` with ``x̂ = (x - m) / sqrt(v + eps)``. In training ``m`` and ``v`` are those of the
    channel in this batch, and ``running = (1 - momentum) running + momentum observed`` is written into the running
    statistics, which are buffers and no inputs. In evaluation ``m`` and ``v`` *are* the running statistics. Source:
    Ioffe and Szegedy, "Batch Normalization" (2015), algorithms 1 and 2.

    Backward: in training ``w r (g - mean(g) - x̂ mean(g x̂))``, see this module's docstring; ``w`` is the same for the
    whole set, so both means are the parameters' gradients ``Σ g`` and ``Σ g x̂`` over ``n``. In evaluation the
    statistics are constants, and the gradient is ``w r g``.

    Convention: the variance that normalises is the biased one (over ``n``), the one that is kept as running variance
    the unbiased one (over ``n - 1``); ``eps`` is inside the root.

    Raises
    ------
    ValueError
        If a channel has a single element in training, or only one of the running statistics is given.
    RuntimeError
        If there are no running statistics in evaluation, or a vector does not fit the channels.

    Examples
    --------
    >>> value, pullback = rules.batch_norm(np.array([[0.0], [1.0], [5.0]]))
    >>> value
    array([[-0.9258],
           [-0.4629],
           [ 1.3887]])
    >>> pullback(np.array([[3.0], [0.0], [0.0]]), (True, False, False))[0]
    array([[ 0.529 ],
           [-0.6613],
           [ 0.1323]])
    """
    _check_channels(input, weight, bias, running_mean, running_var)
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("running_mean must be defined in evaluation mode")
        return _by_constants(input, weight, bias, running_mean, running_var, eps)
    rows = _rows(input)
    count = rows.shape[0] * rows.shape[2]
    if count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(input.shape)}")
    mean = _channel_sum(rows) / max(count, 1)
    normal = rows - mean[:, np.newaxis]
    var = _channel_dot(normal, normal) / max(count, 1)
    if running_mean is not None and running_var is not None and count:
        _follow(running_mean, mean, momentum)
        _follow(running_var, var * (count / (count - 1)), momentum)
    inverse = 1 / np.sqrt(var + eps)
    normal *= inverse[:, np.newaxis]

    def batch_norm_pullback(incoming: Array, needs: Needs) -> Gradients:
        arriving = _rows(incoming)
        to_bias, to_weight = _channel_sum(arriving), _channel_dot(arriving, normal)
        gradient = None
        if needs[0]:
            gradient = normal * (-to_weight / max(count, 1))[:, np.newaxis]
            gradient += arriving
            gradient -= (to_bias / max(count, 1))[:, np.newaxis]
            gradient *= (inverse if weight is None else inverse * weight)[:, np.newaxis]
            gradient = gradient.reshape(input.shape)
        return gradient, to_weight if needs[1] else None, to_bias if needs[2] else None

    return _affine(normal, weight, bias).reshape(input.shape), batch_norm_pullback


@contraction
@half_in_single
def instance_norm(
    input: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Pullback]:
    """Normalise every channel of every sample by its own mean and variance over space.

    Shapes: ``input`` and the value ``(N, C, *)``; the vectors ``(C,)`` as in :func:`batch_norm`.

    Forward: ``y = w x̂ + b``, a group norm with one channel in each group. Source: Ulyanov et al., "Instance
    Normalization" (2016), equation 3.

    Backward: ``w r (g - mean(g) - x̂ mean(g x̂))`` with the means over space, see this module's docstring; without
    ``use_input_stats`` the statistics are constants, as in evaluation of batch norm.

    Convention: running statistics follow the mean over the samples of their means and of their unbiased variances.

    Raises
    ------
    ValueError
        If there is a single element in space where its statistics are asked for.
    RuntimeError
        If there are no running statistics where they are needed, or a vector does not fit the channels.

    Examples
    --------
    >>> value, pullback = rules.instance_norm(np.array([[[0.0, 1.0, 5.0]]]))
    >>> value
    array([[[-0.9258, -0.4629,  1.3887]]])
    >>> pullback(np.array([[[3.0, 0.0, 0.0]]]), (True, False, False))[0]
    array([[[ 0.529 , -0.6613,  0.1323]]])
    """
    _check_channels(input, weight, bias, running_mean, running_var)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return _by_constants(input, weight, bias, running_mean, running_var, eps)
    size = math.prod(input.shape[2:])
    if size == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {list(input.shape)}")
    value, pullback, mean, var = _by_groups(input, weight, bias, input.shape[1], eps)
    if running_mean is not None and running_var is not None and input.size:
        _follow(running_mean, np.add.reduce(mean, axis=0) / len(mean), momentum)
        _follow(running_var, np.add.reduce(var, axis=0) / len(var) * (size / (size - 1)), momentum)

    def instance_norm_pullback(incoming: Array, needs: Needs) -> Gradients:
        return pullback(incoming, needs)

    return value, instance_norm_pullback


@contraction
@half_in_single
def group_norm(
    input: Any, weight: Any = None, bias: Any = None, *, num_groups: int, eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """Normalise every group of channels of every sample by its own mean and variance.

    Shapes: ``input`` and the value ``(N, C, *)`` with ``C`` a multiple of ``num_groups``; ``weight`` and ``bias``
    ``(C,)`` or ``None``.

    Forward: ``y = w x̂ + b``, the statistics over the channels of a group and space. Source: Wu and He, "Group
    Normalization" (2018), equation 7.

    Backward: ``r (h - mean(h) - x̂ mean(h x̂))`` with ``h = w g``, see this module's docstring. ``w`` is constant
    within a channel, so the means over a group are weighted sums of the channels' ``Σ g`` and ``Σ g x̂``, of which the
    parameters' gradients are the sums over the samples.

    Convention: the variance is the biased one, and ``eps`` is inside the root.

    Raises
    ------
    RuntimeError
        If the channels do not fall into groups, or a vector does not fit them.
    ValueError
        If a lone sample's groups have a single element.

    Examples
    --------
    >>> value, pullback = rules.group_norm(
    ...     np.array([[0.0, 2.0, 10.0, 30.0]]), np.array([1.0, 2.0, 3.0, 4.0]), num_groups=2
    ... )
    >>> value
    array([[-1.,  2., -3.,  4.]])
    >>> pullback(np.array([[3.0, 5.0, 7.0, 9.0]]), (False, True, False))[1]
    array([-3.,  5., -7.,  9.])
    """
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    shape = list(input.shape)
    if shape[1] % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, "
            f"but got input of shape {shape} and num_groups={num_groups}"
        )
    for name, vector in (("weight", weight), ("bias", bias)):
        if vector is not None and vector.shape != (shape[1],):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, "
                f"but got {name} of shape {list(vector.shape)} and input of shape {shape}"
            )
    if shape[0] * shape[1] // num_groups * math.prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")
    value, pullback, *_ = _by_groups(input, weight, bias, num_groups, eps)

    def group_norm_pullback(incoming: Array, needs: Needs) -> Gradients:
        return pullback(incoming, needs)

    return value, group_norm_pullback


# -- channels: (N, C, S) with S the whole of space -------------------------------------------------------------------


def _rows(x: Array) -> Array:
    return x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))


def _channel_sum(rows: Array) -> Array:
    """The sum of every channel."""
    if rows.shape[2] == 1:
        return column_sum(rows[:, :, 0])
    return np.asarray(np.add.reduce(np.add.reduce(rows, axis=2), axis=0))


def _channel_dot(first: Array, second: Array) -> Array:
    """The sum of the products of every channel, without an array of products."""
    if first.shape[2] == 1:
        return column_dot(first[:, :, 0], second[:, :, 0])
    return np.asarray(np.add.reduce(np.vecdot(first, second), axis=0))


def _affine(normal: Array, weight: Any, bias: Any) -> Array:
    """``w x̂ + b`` with one ``w`` and ``b`` for each channel (axis 1)."""
    value = normal if weight is None else normal * weight[:, np.newaxis]
    if bias is not None:
        value = np.add(value, bias[:, np.newaxis], out=None if weight is None else value)
    return value


def _follow(running: Array, observed: Array, momentum: float) -> None:
    """Move running statistics towards what was observed, in place."""
    running *= 1 - momentum
    running += (momentum * observed).astype(running.dtype, copy=False)


def _by_constants(input: Array, weight: Any, bias: Any, mean: Array, var: Array, eps: float) -> tuple[Array, Pullback]:
    """Normalise by given statistics: an affine map of every channel."""
    rows = _rows(input)
    centre = mean.astype(input.dtype, copy=False)[:, np.newaxis].copy()
    inverse = (1 / np.sqrt(var.astype(input.dtype, copy=False) + eps))[:, np.newaxis]
    slope = inverse if weight is None else inverse * weight[:, np.newaxis]
    value = rows - centre
    value *= slope
    if bias is not None:
        value += bias[:, np.newaxis]

    def affine_pullback(incoming: Array, needs: Needs) -> Gradients:
        arriving = _rows(incoming)
        to_input = (arriving * slope).reshape(input.shape) if needs[0] else None
        to_weight = _channel_dot(arriving, (rows - centre) * inverse) if needs[1] else None
        return to_input, to_weight, _channel_sum(arriving) if needs[2] else None

    return value.reshape(input.shape), affine_pullback


def _by_groups(input: Array, weight: Any, bias: Any, groups: int, eps: float) -> tuple[Array, Pullback, Array, Array]:
    """Normalise groups of channels; also returns their means and biased variances ``(N, groups)``."""
    samples, channels = input.shape[:2]
    space = math.prod(input.shape[2:])
    count = channels // groups * space
    sets = input.reshape(samples, groups, count)
    mean = np.add.reduce(sets, axis=2) / max(count, 1)
    normal = sets - mean[..., np.newaxis]
    var = np.vecdot(normal, normal) / max(count, 1)
    inverse = 1 / np.sqrt(var + eps)
    normal *= inverse[..., np.newaxis]
    by_channel = normal.reshape(samples, channels, space)

    def group_pullback(incoming: Array, needs: Needs) -> Gradients:
        arriving = _rows(incoming)
        sums, dots = np.add.reduce(arriving, axis=2), np.vecdot(arriving, by_channel)
        gradient = None
        if needs[0]:
            along_one, along_normal = (
                _group_sum(part if weight is None else part * weight, groups) * (-inverse / max(count, 1))
                for part in (sums, dots)
            )
            gradient = normal * along_normal[..., np.newaxis]
            gradient += along_one[..., np.newaxis]
            slope = np.repeat(inverse, channels // groups, axis=1)
            gradient = gradient.reshape(arriving.shape)
            gradient += arriving * (slope if weight is None else slope * weight)[..., np.newaxis]
            gradient = gradient.reshape(input.shape)
        to_weight = np.add.reduce(dots, axis=0) if needs[1] else None
        return gradient, to_weight, np.add.reduce(sums, axis=0) if needs[2] else None

    return _affine(by_channel, weight, bias).reshape(input.shape), group_pullback, mean, var


def _group_sum(parts: Array, groups: int) -> Array:
    """``(N, C) -> (N, groups)``."""
    samples, channels = parts.shape
    return np.asarray(np.add.reduce(parts.reshape(samples, groups, channels // groups), axis=2))


def _check_channels(input: Array, weight: Any, bias: Any, running_mean: Any, running_var: Any) -> None:
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions, samples and channels, but got {input.ndim}")
    named = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, vector in named.items():
        if vector is not None and vector.shape != (input.shape[1],):
            raise RuntimeError(f"{name} should contain {input.shape[1]} elements not {vector.size}")


def column_sum(rows: Array) -> Array:
    """The sum along axis 0 of two, left to BLAS."""
    return np.asarray(np.ones(len(rows), rows.dtype) @ rows)


def column_dot(first: Array, second: Array) -> Array:
    """The sum of products along axis 0 of two, without an array of products."""
    return np.asarray(np.einsum("ij,ij->j", first, second))
