"""Mistakes in the normalisations of ``torch.nn``: the wrong set or variance, eps in the wrong place, lost terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.faults.collecting import Faults
from compare.faults.image_scenes import layer
from compare.faults.planting import Plant, Planting
from manual import rules
from manual.rules import normalization, response_norm
from manual.rules.core import Array, Gradients, Needs

__all__ = ["FAULTS"]

FAULTS = Faults()
_SEQUENCE = layer("BatchNorm1d", 4, eps=1e-2, momentum=0.3, shape=(4, 7))
_BATCH = layer("BatchNorm2d", 4, eps=1e-2, momentum=0.3, whole=True)
_FROZEN = layer("BatchNorm2d", 4, eps=1e-2, frozen=True, whole=True)
_INSTANCE = layer("InstanceNorm2d", 4, eps=1e-2, affine=True)
_GROUP = layer("GroupNorm", 2, 6, eps=1e-2, shape=(6, 3, 4))
_LAYER = layer("LayerNorm", (5, 6), eps=1e-2)
_RMS = layer("RMSNorm", (6,), eps=1e-2)
_RESPONSE = layer("LocalResponseNorm", 3, 0.5, shape=(5, 3, 4))

Axes = tuple[int, ...]


def _standardised(
    axes: Axes | Callable[[Array], Axes],
    *,
    ddof: int = 0,
    outside: bool = False,
    centred: bool = True,
    terms: str = "mean scale",
) -> Callable[..., Any]:
    """A normalisation over these axes, with the gradient of what it computes, or with some terms of it.

    ``outside`` adds eps to the root, ``terms`` says which parts of the gradient are there: what goes through the mean,
    and what goes through the divisor.
    """

    def wrong(right: Any, x: Array, weight: Any = None, bias: Any = None, *, eps: float, **options: Any) -> Any:
        over = axes(x) if callable(axes) else axes
        count = np.prod([x.shape[axis] for axis in over]) - ddof
        normal = x - x.mean(over, keepdims=True) if centred else x
        variance = (normal**2).sum(over, keepdims=True) / count
        root = np.sqrt(variance) if outside else np.sqrt(variance + eps)
        divisor = root + eps if outside else root
        value = scaled = normal / divisor
        shape = weight.shape if weight.shape == x.shape[-weight.ndim :] else (-1, *(1,) * (x.ndim - 2))
        value = scaled * weight.reshape(shape)
        if bias is not None:
            value += bias.reshape(shape)

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            rows = tuple(range(x.ndim - weight.ndim)) if weight.ndim > 1 or shape == weight.shape else None
            rows = (0, *range(2, x.ndim)) if rows is None else rows
            h = incoming * weight.reshape(shape)
            gradient = h / divisor
            if "scale" in terms:
                dot = (h * normal).sum(over, keepdims=True) / divisor**2
                gradient = gradient - dot * normal / (count * root)
            if "mean" in terms and centred:
                gradient = gradient - gradient.mean(over, keepdims=True)
            return (gradient, (incoming * scaled).sum(rows), incoming.sum(rows))[: len(needs)]

        return value, pulled

    return wrong


def _norm(rule: Any, *args: Any, **options: Any) -> Plant:
    return lambda plant: plant.rule(rule, _standardised(*args, **options))


def _last_two(x: Array) -> Axes:
    return (x.ndim - 2, x.ndim - 1)


# -- batch norm --------------------------------------------------------------------------------------------------------


def _observed(plant: Planting, change: Callable[..., Any]) -> None:
    """A batch norm that keeps its statistics by ``change(running, observed, momentum, which, count)``."""

    def wrong(right: Any, x: Array, *others: Any, running_mean: Array, running_var: Array, **options: Any) -> Any:
        before = running_mean.copy(), running_var.copy()
        found = right(x, *others, running_mean=running_mean, running_var=running_var, **options)
        over = (0, *range(2, x.ndim))
        count = x.size // x.shape[1]
        if options["training"]:
            for running, was, seen in zip(
                (running_mean, running_var), before, (x.mean(over), x.var(over)), strict=True
            ):
                running[...] = change(was, seen, options["momentum"], running is running_var, count)
        return found

    plant.rule(rules.batch_norm, wrong)


@FAULTS.add(
    "batch-norm-2d-running-variance-biased",
    "the running variance takes up the variance that normalises, over n and not over n - 1",
    cause="biased or unbiased variance",
    phase="buffer",
    step=1,
    scene=_BATCH,
    source="ml-explore/mlx#3817",
)
def running_variance_biased(plant: Planting) -> None:
    _observed(plant, lambda was, seen, momentum, variance, count: was + momentum * (seen - was))


@FAULTS.add(
    "batch-norm-1d-momentum-of-the-old",
    "the momentum is the share of the old statistics, as in TensorFlow, not of the new ones",
    cause="moment without its average",
    phase="buffer",
    step=1,
    scene=_SEQUENCE,
)
def momentum_of_the_old(plant: Planting) -> None:
    def change(was: Array, seen: Array, momentum: float, variance: bool, count: int) -> Array:
        return momentum * was + (1 - momentum) * seen * (count / (count - 1) if variance else 1)

    _observed(plant, change)


FAULTS.add(
    "batch-norm-1d-over-the-batch-alone",
    "mean and variance are taken for every place of a sequence, over the batch and not over space",
    cause="wrong axis",
    phase="forward",
    step=1,
    scene=_SEQUENCE,
)(_norm(rules.batch_norm, (0,)))


@FAULTS.add(
    "batch-norm-gradient-past-the-statistics",
    "the backward pass of training is that of evaluation: mean and variance are taken for constants",
    cause="missing term",
    also=("detached",),
    phase="backward",
    step=1,
    scene=_BATCH,
)
def past_the_statistics(plant: Planting) -> None:
    plant.rule(rules.batch_norm, _standardised((0, 2, 3), terms=""))


@FAULTS.add(
    "batch-norm-gradient-past-the-mean",
    "the mean is computed outside the graph: no gradient flows through it",
    cause="detached",
    also=("missing term",),
    phase="backward",
    step=1,
    scene=_SEQUENCE,
)
def past_the_mean(plant: Planting) -> None:
    plant.rule(rules.batch_norm, _standardised((0, 2), terms="scale"))


@FAULTS.add(
    "batch-norm-frozen-in-training",
    "in training too the batch is normalised by the running statistics",
    cause="other statistics",
    phase="forward",
    step=1,
    scene=_BATCH,
)
def frozen_in_training(plant: Planting) -> None:
    def wrong(right: Any, *inputs: Any, running_mean: Array, running_var: Array, **options: Any) -> Any:
        kept = {"running_mean": running_mean.copy(), "running_var": running_var.copy()}
        right(*inputs, running_mean=running_mean, running_var=running_var, **options)
        return right(*inputs, **kept, **{**options, "training": False})

    plant.rule(rules.batch_norm, wrong)


@FAULTS.add(
    "frozen-batch-norm-normalises-by-the-batch",
    "train() has switched a frozen layer on again: it normalises by the batch and its statistics drift",
    cause="other statistics",
    phase="forward",
    step=1,
    scene=_FROZEN,
    source="pgniewko/gt-pyg#112",
)
def thawed(plant: Planting) -> None:
    plant.rule(rules.batch_norm, lambda right, *inputs, **options: right(*inputs, **{**options, "training": True}))


# -- instance and group norm -------------------------------------------------------------------------------------------

FAULTS.add(
    "instance-norm-over-the-batch",
    "the statistics are taken over the batch as well as over space: a batch norm",
    cause="wrong axis",
    phase="forward",
    step=1,
    scene=_INSTANCE,
)(_norm(rules.instance_norm, (0, 2, 3)))

FAULTS.add(
    "instance-norm-unbiased",
    "a channel is divided by its deviation over n - 1",
    cause="biased or unbiased variance",
    also=("wrong denominator",),
    phase="forward",
    step=1,
    scene=_INSTANCE,
)(_norm(rules.instance_norm, (2, 3), ddof=1))


@FAULTS.add(
    "group-norm-interleaved",
    "every second channel belongs to a group, where neighbouring channels do",
    cause="wrong groups",
    phase="forward",
    step=1,
    scene=_GROUP,
)
def interleaved(plant: Planting) -> None:
    def by_groups(right: Any, x: Array, weight: Any, bias: Any, groups: int, eps: float) -> Any:
        order = np.arange(x.shape[1]).reshape(-1, groups).T.reshape(-1)
        back = np.argsort(order)
        value, pullback, mean, var = right(np.ascontiguousarray(x[:, order]), weight[order], bias[order], groups, eps)

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            to_input, *others = pullback(np.ascontiguousarray(incoming[:, order]), needs)
            return np.ascontiguousarray(to_input[:, back]), *(found[back] for found in others)

        return np.ascontiguousarray(value[:, back]), pulled, mean, var

    plant.replace(normalization, "_by_groups", by_groups)


@FAULTS.add(
    "group-norm-eps-outside",
    "eps is added to the deviation of a group, not under the root",
    cause="eps outside the root",
    phase="forward",
    step=1,
    scene=_GROUP,
)
def group_eps_outside(plant: Planting) -> None:
    def wrong(right: Any, x: Array, weight: Array, bias: Array, *, num_groups: int, eps: float) -> Any:
        apart = x.reshape(len(x), num_groups, -1)
        ones = np.ones(apart.shape[1:])
        value, pullback = _standardised((2,), outside=True)(None, apart, ones, None, eps=eps)
        slope = weight[:, None, None]

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            to_input = pullback((incoming * slope).reshape(apart.shape), (True, True))[0]
            scaled = incoming * value.reshape(x.shape)
            assert to_input is not None
            return to_input.reshape(x.shape), scaled.sum((0, 2, 3)), incoming.sum((0, 2, 3))

        return value.reshape(x.shape) * slope + bias[:, None, None], pulled

    plant.rule(rules.group_norm, wrong)


# -- layer norm and root mean square -----------------------------------------------------------------------------------

FAULTS.add(
    "layer-norm-over-the-last-axis-alone",
    "of two normalised axes only the last is normalised over",
    cause="wrong axis",
    phase="forward",
    step=1,
    scene=_LAYER,
)(_norm(rules.layer_norm, lambda x: (x.ndim - 1,)))

FAULTS.add(
    "layer-norm-of-two-axes-unbiased",
    "the variance divides by n - 1, as std() does when nothing is said",
    cause="biased or unbiased variance",
    also=("wrong denominator",),
    phase="forward",
    step=1,
    scene=_LAYER,
    source="harvardnlp/annotated-transformer#119",
)(_norm(rules.layer_norm, _last_two, ddof=1))

FAULTS.add(
    "layer-norm-of-two-axes-eps-outside",
    "eps is added to the standard deviation of both axes",
    cause="eps outside the root",
    phase="forward",
    step=1,
    scene=_LAYER,
)(_norm(rules.layer_norm, _last_two, outside=True))

FAULTS.add(
    "layer-norm-gradient-past-the-variance",
    "the term x mean(g x) of the input's gradient is left out: the variance is taken for a constant",
    cause="missing term",
    also=("detached",),
    phase="backward",
    step=1,
    scene=_LAYER,
)(_norm(rules.layer_norm, _last_two, terms="mean"))

FAULTS.add(
    "rms-norm-centred",
    "the mean is subtracted before the root mean square is taken: a layer norm",
    cause="wrong function",
    phase="forward",
    step=1,
    scene=_RMS,
)(_norm(rules.rms_norm, lambda x: (x.ndim - 1,)))

FAULTS.add(
    "rms-norm-eps-outside",
    "eps is added to the root mean square",
    cause="eps outside the root",
    phase="forward",
    step=1,
    scene=_RMS,
)(_norm(rules.rms_norm, lambda x: (x.ndim - 1,), centred=False, outside=True))

FAULTS.add(
    "rms-norm-gradient-as-a-scale",
    "the backward pass divides by the root mean square as if it were a constant",
    cause="missing term",
    also=("detached",),
    phase="backward",
    step=1,
    scene=_RMS,
)(_norm(rules.rms_norm, lambda x: (x.ndim - 1,), centred=False, terms=""))


# -- local response norm -----------------------------------------------------------------------------------------------


@FAULTS.add(
    "local-response-norm-not-averaged",
    "alpha is multiplied by the sum over the neighbours, as in the paper, where PyTorch has their mean",
    cause="sum instead of mean",
    phase="forward",
    step=1,
    scene=_RESPONSE,
)
def not_averaged(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, size: int, alpha: float, **options: Any) -> Any:
        return right(x, size=size, alpha=alpha * size, **options)

    plant.rule(rules.local_response_norm, wrong)


@FAULTS.add(
    "local-response-norm-along-space",
    "the neighbours are those along the last axis, not the channels",
    cause="wrong axis",
    phase="forward",
    step=1,
    scene=_RESPONSE,
)
def along_space(plant: Planting) -> None:
    def wrong(right: Any, x: Array, **options: Any) -> Any:
        value, pullback = right(np.ascontiguousarray(x.swapaxes(1, -1)), **options)

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            (found,) = pullback(np.ascontiguousarray(incoming.swapaxes(1, -1)), needs)
            return (np.ascontiguousarray(found.swapaxes(1, -1)),)

        return np.ascontiguousarray(value.swapaxes(1, -1)), pulled

    plant.rule(rules.local_response_norm, wrong)


@FAULTS.add(
    "local-response-norm-gradient-of-the-centre",
    "the gradient goes through the numerator alone: what a channel does to its neighbours is forgotten",
    cause="missing term",
    also=("detached", "overwritten instead of added"),
    phase="backward",
    step=1,
    scene=_RESPONSE,
)
def gradient_of_the_centre(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, size: int, alpha: float, beta: float, k: float) -> Any:
        value, _ = right(x, size=size, alpha=alpha, beta=beta, k=k)
        level = k + alpha / size * response_norm._window_sum(x * x, size // 2, (size - 1) // 2)
        return value, lambda incoming, needs: (incoming * level**-beta,)

    plant.rule(rules.local_response_norm, wrong)
