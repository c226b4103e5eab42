"""Mistakes in pooling, padding, the dropouts of whole channels, learnt slopes and the softmax of channels."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from compare.faults.collecting import Faults, with_pullback
from compare.faults.image_scenes import layer
from compare.faults.planting import Planting
from manual import rules
from manual.nn import Dropout2d
from manual.rules.core import Array, Gradients, Needs
from manual.tensor import apply

__all__ = ["FAULTS"]

FAULTS = Faults()
_MAXIMA = import_module("manual.rules.windows.maxima")  # the package has a function of that name
_TIED = layer("MaxPool2d", (2, 3), stride=(1, 2), shape=(3, 4, 7), behind="ReLU")
_PADDED = layer("MaxPool2d", (2, 3), stride=(1, 2), padding=1, shape=(3, 4, 7))
_MEAN = layer("AvgPool2d", (2, 3), stride=(1, 2), padding=(0, 1), count_include_pad=False, shape=(3, 4, 7))
_POWER = layer("LPPool2d", 2, (2, 3), shape=(3, 4, 6))
_ADAPTIVE = layer("AdaptiveAvgPool2d", (2, 4), shape=(3, 5, 6))
_MIRRORED = layer("ReflectionPad2d", (1, 2, 2, 1), shape=(3, 4, 5))
_REPEATED = layer("ReplicationPad1d", (2, 1), shape=(4, 5))
_CHANNELS = layer("Dropout2d", 0.4, shape=(7, 2, 3))
_ALPHA = layer("AlphaDropout", 0.4)
_SLOPES = layer("PReLU", 4)


# -- pooling -----------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "max-pool-all-maxima",
    "every element that equals the maximum of its window gets the gradient: (x == max) * incoming",
    cause="tie policy",
    phase="backward",
    step=1,
    scene=_TIED,
    source="tensorflow/tensorflow#4886",
)
def all_maxima(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, kernel_size: Any, stride: Any, **options: Any) -> Any:
        value, _ = right(x, kernel_size=kernel_size, stride=stride, **options)

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            gradient = np.zeros_like(x)
            for i, j in np.ndindex(*value.shape[2:]):
                top, left = i * stride[0], j * stride[1]
                place = (..., slice(top, top + kernel_size[0]), slice(left, left + kernel_size[1]))
                winners = x[place] == value[..., i : i + 1, j : j + 1]
                gradient[place] += winners * incoming[..., i : i + 1, j : j + 1]
            return (gradient,)

        return value, pulled

    plant.rule(rules.max_pool, wrong)


@FAULTS.add(
    "max-pool-zeros-win",
    "the padding is zeros, which win over negative values, where padding never wins",
    cause="mask ignored",
    phase="forward",
    step=1,
    scene=_PADDED,
)
def zeros_win(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, padding: Any, **options: Any) -> Any:
        padded, unpad = rules.pad(x, pad=tuple(one for axis in reversed(padding) for one in (axis, axis)))
        value, pullback = right(padded, padding=None, **options)
        return value, lambda incoming, needs: unpad(pullback(incoming, needs)[0], needs)

    plant.rule(rules.max_pool, wrong)


@FAULTS.add(
    "max-pool-gradient-of-overlaps-assigned",
    "an element that wins several windows keeps the gradient of the last: gradient[index] = incoming",
    cause="overwritten instead of added",
    phase="backward",
    step=1,
    scene=layer("MaxPool2d", (2, 3), stride=1, shape=(3, 4, 6)),
)
def winners_assigned(plant: Planting) -> None:
    def deposit(right: Any, incoming: Array, indices: Array, shape: tuple[int, ...], axes: int) -> Array:
        planes, size = math.prod(shape[:-axes]), math.prod(shape[-axes:])
        gradient = np.zeros(planes * size, incoming.dtype)
        gradient[(indices.reshape(planes, -1) + (np.arange(planes) * size)[:, None]).reshape(-1)] = incoming.reshape(-1)
        return gradient.reshape(shape)

    plant.replace(_MAXIMA, "deposit", deposit)


@FAULTS.add(
    "avg-pool-counts-the-padding",
    "windows at the border are divided by the size of the kernel, not by the elements that they hold",
    cause="wrong denominator",
    phase="forward",
    step=1,
    scene=_MEAN,
)
def counts_the_padding(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, count_include_pad: bool, **options: Any) -> Any:
        return right(x, count_include_pad=not count_include_pad, **options)

    plant.rule(rules.avg_pool, wrong)


@FAULTS.add(
    "avg-pool-gradient-not-divided",
    "every element of a window gets the whole of its gradient, not its share",
    cause="sum instead of mean",
    phase="backward",
    step=1,
    scene=layer("AvgPool2d", (2, 3), shape=(3, 4, 6)),
)
def gradient_not_divided(plant: Planting) -> None:
    plant.rule(rules.avg_pool, with_pullback(lambda found, incoming, needs, x: (found[0] * 6,)))


@FAULTS.add(
    "adaptive-pool-ends-rounded-down",
    "both ends of a window are rounded down, so that neighbouring windows never overlap",
    cause="other windows",
    phase="forward",
    step=1,
    scene=_ADAPTIVE,
)
def ends_rounded_down(plant: Planting) -> None:
    def means(length: int, count: int) -> Array:
        edges = np.arange(count + 1) * length // count
        places = np.arange(length)
        inside = (edges[:-1, None] <= places) & (places < edges[1:, None])
        return inside / inside.sum(1, keepdims=True)

    def wrong(right: Any, x: Array, *, output_size: Any) -> Any:
        rows, columns = (means(length, count) for length, count in zip(x.shape[2:], output_size, strict=True))
        return rows @ x @ columns.T, lambda incoming, needs: (rows.T @ incoming @ columns,)

    plant.rule(rules.adaptive_avg_pool, wrong)


@FAULTS.add(
    "lp-pool-averaged",
    "the powers of a window are averaged before the root, as a generalised mean has it",
    cause="mean instead of sum",
    phase="forward",
    step=1,
    scene=_POWER,
)
def averaged(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, norm_type: float, kernel_size: Any, **options: Any) -> Any:
        value, pullback = right(x, norm_type=norm_type, kernel_size=kernel_size, **options)
        factor = math.prod(kernel_size) ** (-1 / norm_type)
        return value * factor, lambda incoming, needs: pullback(incoming * factor, needs)

    plant.rule(rules.lp_pool, wrong)


@FAULTS.add(
    "lp-pool-without-its-root",
    "the sum of the squares of a window is handed on without its root",
    cause="left out",
    phase="forward",
    step=1,
    scene=_POWER,
)
def without_its_root(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, norm_type: float, **options: Any) -> Any:
        value, pullback = right(x, norm_type=norm_type, **options)

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            return pullback(incoming * norm_type * value ** (norm_type - 1), needs)

        return value**norm_type, pulled

    plant.rule(rules.lp_pool, wrong)


# -- padding -----------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "reflection-pad-repeats-the-edge",
    "the image is mirrored with its edge repeated, as NumPy's 'symmetric' has it",
    cause="wrong function",
    phase="forward",
    step=1,
    scene=_MIRRORED,
)
def repeats_the_edge(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, pad: Any, **options: Any) -> Any:
        left, right_, top, bottom = pad
        places = [
            np.pad(np.arange(size), ends, mode="symmetric")
            for size, ends in zip(x.shape[2:], ((top, bottom), (left, right_)), strict=True)
        ]

        everywhere: Any = (..., places[0][:, None], places[1])

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            gradient = np.zeros_like(x)
            np.add.at(gradient, everywhere, incoming)
            return (gradient,)

        return x[everywhere], pulled

    plant.rule(rules.pad, wrong)


@FAULTS.add(
    "reflection-pad-gradient-of-the-middle",
    "the gradient is cut out of the middle: what arrives at the border is lost",
    cause="missing term",
    also=("overwritten instead of added",),
    phase="backward",
    step=1,
    scene=_MIRRORED,
)
def gradient_of_the_middle(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, pad: Any, **options: Any) -> Any:
        value, _ = right(x, pad=pad, **options)
        left, _, top, _ = pad
        middle = (..., slice(top, top + x.shape[2]), slice(left, left + x.shape[3]))
        return value, lambda incoming, needs: (np.ascontiguousarray(incoming[middle]),)

    plant.rule(rules.pad, wrong)


@FAULTS.add(
    "replication-pad-mirrors",
    "the sequence is mirrored at its ends, where the end is to be repeated",
    cause="wrong function",
    phase="forward",
    step=1,
    scene=_REPEATED,
)
def mirrors(plant: Planting) -> None:
    plant.rule(rules.pad, lambda right, x, **options: right(x, **{**options, "mode": "reflect"}))


@FAULTS.add(
    "replication-pad-gradient-assigned",
    "the end gets the gradient of its last copy: gradient[index] = incoming",
    cause="overwritten instead of added",
    phase="backward",
    step=1,
    scene=_REPEATED,
)
def copies_assigned(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, pad: Any, **options: Any) -> Any:
        value, _ = right(x, pad=pad, **options)
        places = np.clip(np.arange(-pad[0], x.shape[-1] + pad[1]), 0, x.shape[-1] - 1)

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            gradient = np.zeros_like(x)
            gradient[..., places] = incoming
            return (gradient,)

        return value, pulled

    plant.rule(rules.pad, wrong)


# -- dropouts ----------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "dropout-2d-of-single-values",
    "single values are dropped where whole channels should be",
    cause="another mask",
    phase="forward",
    step=1,
    scene=_CHANNELS,
)
def of_single_values(plant: Planting) -> None:
    rng = np.random.default_rng(3)

    def forward(right: Any, layer: Any, input: Any) -> Any:
        return apply(rules.dropout, input, rng.random(input.shape) >= layer.p, p=layer.p)

    plant.replace(Dropout2d, "forward", forward)


@FAULTS.add(
    "dropout-2d-not-scaled",
    "channels that are kept are not divided by the probability of being kept",
    cause="dropout scale",
    phase="forward",
    step=1,
    scene=_CHANNELS,
)
def not_scaled(plant: Planting) -> None:
    def wrong(right: Any, x: Array, mask: Array, *, p: float) -> Any:
        kept = mask.astype(x.dtype)
        return x * kept, lambda incoming, needs: (incoming * kept, None)

    plant.rule(rules.dropout, wrong)


@FAULTS.add(
    "alpha-dropout-to-zero",
    "dropped values become zero before mean and variance are set right, where they become SELU's lowest",
    cause="wrong function",
    phase="forward",
    step=1,
    scene=_ALPHA,
)
def to_zero(plant: Planting) -> None:
    def wrong(right: Any, x: Array, mask: Array, *, p: float) -> Any:
        _, pullback = right(x, mask, p=p)
        stretch, shift = _affine(p)
        return stretch * x * mask + shift, pullback

    plant.rule(rules.alpha_dropout, wrong)


@FAULTS.add(
    "alpha-dropout-without-its-affine-map",
    "values are replaced by SELU's lowest, and mean and variance are not set right again",
    cause="dropout scale",
    phase="forward",
    step=1,
    scene=_ALPHA,
)
def without_the_map(plant: Planting) -> None:
    def wrong(right: Any, x: Array, mask: Array, *, p: float) -> Any:
        return np.where(mask, x, _FLOOR), lambda incoming, needs: (incoming * mask, None)

    plant.rule(rules.alpha_dropout, wrong)


_FLOOR = -1.7580993408473766


def _affine(p: float) -> tuple[float, float]:
    stretch = 1 / math.sqrt((1 - p) * (1 + _FLOOR**2 * p))
    return stretch, -stretch * p * _FLOOR


# -- activations of channels -------------------------------------------------------------------------------------------


@FAULTS.add(
    "prelu-slope-learns-from-all",
    "the slope's gradient is the sum of g x over all values, not over the negative ones",
    cause="mask ignored",
    phase="deposit",
    step=1,
    scene=_SLOPES,
)
def learns_from_all(plant: Planting) -> None:
    def change(found: Gradients, incoming: Array, needs: Needs, x: Array, weight: Array) -> Gradients:
        return found[0], (incoming * x).sum((0, 2, 3))

    plant.rule(rules.prelu, with_pullback(change))


@FAULTS.add(
    "prelu-gradient-without-the-slope",
    "nothing passes where the value is negative, as through a ReLU",
    cause="wrong derivative",
    phase="backward",
    step=1,
    scene=_SLOPES,
)
def without_the_slope(plant: Planting) -> None:
    def change(found: Gradients, incoming: Array, needs: Needs, x: Array, weight: Array) -> Gradients:
        return incoming * (x > 0), found[1]

    plant.rule(rules.prelu, with_pullback(change))


@FAULTS.add(
    "softmax-2d-over-the-last-axis",
    "the softmax runs over the width, not over the channels",
    cause="wrong axis",
    phase="forward",
    step=1,
    scene=layer("Softmax2d"),
)
def over_the_width(plant: Planting) -> None:
    plant.rule(rules.softmax, lambda right, x, *, dim: right(x, dim=-1))
