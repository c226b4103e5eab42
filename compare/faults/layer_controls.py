"""Honest rewrites of convolutions, normalisations and poolings: other arithmetic for the same mathematics."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.faults.collecting import Controls
from compare.faults.image_scenes import layer
from compare.faults.planting import Planting
from manual import rules
from manual.rules import convolution, layer_normalization
from manual.rules.core import Array, Gradients, Needs

__all__ = ["CONTROLS"]

CONTROLS = Controls()
_IMAGE = layer("Conv2d", 4, 5, (2, 3), stride=(1, 2))
_IMAGE_SINGLE = layer("Conv2d", 4, 5, (2, 3), stride=(1, 2), dtype="float32")
_TRANSPOSED = layer("ConvTranspose2d", 4, 3, (3, 2), stride=(2, 1), shape=(4, 3, 5))
_BATCH = layer("BatchNorm2d", 4, eps=1e-2, momentum=0.3)
_BATCH_SINGLE = layer("BatchNorm2d", 4, eps=1e-2, momentum=0.3, dtype="float32")
_LAYER = layer("LayerNorm", (5, 6), eps=1e-2)


@CONTROLS.add(
    "convolution-added-tap-by-tap",
    "a convolution is the sum of one product for each tap of its kernel, the last tap first",
    _IMAGE,
    _IMAGE_SINGLE,
)
def tap_by_tap(plant: Planting) -> None:
    def wrong(right: Any, x: Array, weight: Array, bias: Array, *, stride: Any, **options: Any) -> Any:
        value, pullback = right(x, weight, bias, stride=stride, **options)
        high, wide = value.shape[2:]
        total = np.zeros_like(value)
        for i, j in reversed(list(np.ndindex(*weight.shape[2:]))):
            rows, columns = slice(i, i + stride[0] * (high - 1) + 1, stride[0]), slice(j, None, stride[1])
            seen = x[:, :, rows, columns][..., :wide]
            total += np.einsum("nchw,oc->nohw", seen, weight[:, :, i, j])
        return total + bias[:, None, None], pullback

    plant.rule(rules.conv_nd, wrong)


@CONTROLS.add(
    "convolution-gradient-sample-by-sample",
    "the weight's gradient is a sum of one product for each sample, the last one first",
    _IMAGE,
    _IMAGE_SINGLE,
)
def sample_by_sample(plant: Planting) -> None:
    def wrong(right: Any, x: Array, weight: Array, bias: Array, **options: Any) -> Any:
        value, pullback = right(x, weight, bias, **options)
        each = [right(np.ascontiguousarray(row[None]), weight, bias, **options)[1] for row in x]

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            total = np.zeros_like(weight)
            for row, one in reversed(list(zip(incoming, each, strict=True))):
                total += one(np.ascontiguousarray(row[None]), needs)[1]
            found = pullback(incoming, needs)
            return found[0], total, *found[2:]

        return value, pulled

    plant.rule(rules.conv_nd, wrong)


@CONTROLS.add(
    "transposed-convolution-by-zeros-between",
    "zeros are put between the elements, and the turned kernel is convolved over them",
    _TRANSPOSED,
)
def zeros_between(plant: Planting) -> None:
    def wrong(right: Any, x: Array, weight: Array, bias: Array, *, stride: Any, **options: Any) -> Any:
        _, pullback = right(x, weight, bias, stride=stride, **options)
        sizes = [(size - 1) * step + 1 for size, step in zip(x.shape[2:], stride, strict=True)]
        apart = np.zeros((*x.shape[:2], *sizes), x.dtype)
        apart[:, :, :: stride[0], :: stride[1]] = x
        turned = np.ascontiguousarray(weight[..., ::-1, ::-1].swapaxes(0, 1))
        value, _ = convolution.conv_nd(apart, turned, bias, padding=tuple(size - 1 for size in weight.shape[2:]))
        return value, pullback

    plant.rule(rules.conv_transpose_nd, wrong)


@CONTROLS.add(
    "batch-norm-by-welford",
    "mean and variance are updated value by value (Welford 1962)",
    _BATCH,
    _BATCH_SINGLE,
)
def by_welford(plant: Planting) -> None:
    def wrong(right: Any, x: Array, weight: Array, bias: Array, *, eps: float, **options: Any) -> Any:
        _, pullback = right(x, weight, bias, eps=eps, **options)
        rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
        mean, squares = np.zeros_like(rows[0]), np.zeros_like(rows[0])
        for count, row in enumerate(rows, 1):
            apart = row - mean
            mean = mean + apart / count
            squares = squares + apart * (row - mean)
        scale = weight / np.sqrt(squares / len(rows) + eps)
        return (x - mean[:, None, None]) * scale[:, None, None] + bias[:, None, None], pullback

    plant.rule(rules.batch_norm, wrong)


@CONTROLS.add(
    "layer-norm-gradient-in-one-fraction",
    "the gradient is (n h - sum(h) - x sum(h x)) / (n s), in place of means subtracted one by one",
    _LAYER,
)
def in_one_fraction(plant: Planting) -> None:
    def to_rows(
        right: Any, incoming: Array, needs: Needs, normal: Array, inverse: Array, weight: Any, bias: Any, **options: Any
    ) -> Gradients:
        found = right(incoming, needs, normal, inverse, weight, bias, **options)
        h = incoming.reshape(normal.shape) * weight.reshape(-1)
        count = normal.shape[1]
        sums, dots = h.sum(1, keepdims=True), (h * normal).sum(1, keepdims=True)
        gradient = (count * h - sums - normal * dots) * (inverse / count)
        return gradient.reshape(incoming.shape), *found[1:]

    plant.replace(layer_normalization, "_to_rows", to_rows)


@CONTROLS.add(
    "average-pool-as-a-product",
    "a mean of a window is the sum of its elements times 1/n each, column by column",
    layer("AvgPool2d", (2, 3), shape=(3, 4, 6)),
)
def as_a_product(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, kernel_size: Any, **options: Any) -> Any:
        _, pullback = right(x, kernel_size=kernel_size, **options)
        down, across = (
            np.kron(np.eye(n // k), np.full((1, k), 1 / k)) for n, k in zip(x.shape[2:], kernel_size, strict=True)
        )
        return down @ (x @ across.T), pullback

    plant.rule(rules.avg_pool, wrong)


@CONTROLS.add(
    "power-pool-scaled-by-its-largest",
    "the elements of a window are divided by the largest before they are squared, the root is multiplied by it",
    layer("LPPool2d", 2, (2, 3), shape=(3, 4, 6)),
)
def scaled_by_the_largest(plant: Planting) -> None:
    def wrong(right: Any, x: Array, **options: Any) -> Any:
        _, pullback = right(x, **options)
        largest = np.abs(x).max()
        return right(x / largest, **options)[0] * largest, pullback

    plant.rule(rules.lp_pool, wrong)


@CONTROLS.add(
    "softmax-2d-shifted-by-the-mean",
    "the scores are shifted by their mean over the channels, not by their maximum",
    layer("Softmax2d"),
)
def shifted_by_the_mean(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, dim: int) -> Any:
        _, pullback = right(x, dim=dim)
        raised = np.exp(x - x.mean(dim, keepdims=True))
        return raised / raised.sum(dim, keepdims=True), pullback

    plant.rule(rules.softmax, wrong)
