"""Mistakes in convolutions, bilinear forms, and in what cuts images up and puts them together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compare.faults.collecting import Faults, with_pullback
from compare.faults.image_scenes import layer
from compare.faults.planting import Plant, Planting
from manual import rules
from manual.rules import folding
from manual.rules.core import Array, Gradients, Needs

__all__ = ["FAULTS"]

FAULTS = Faults()
_SEQUENCE = layer("Conv1d", 4, 3, 3, stride=2, shape=(4, 7))
_IMAGE = layer("Conv2d", 4, 5, (2, 3), padding=(1, 2))
_GROUPS = layer("Conv2d", 4, 6, (2, 3), groups=2)
_TRANSPOSED = layer("ConvTranspose2d", 4, 3, (3, 2), stride=(2, 1), shape=(4, 3, 5))
_FORM = layer("Bilinear", 4, 4, 3, shape=(2, 8))
_UNFOLD = layer("Unfold", (2, 3), shape=(3, 4, 5))
_FOLD = layer("Fold", (4, 5), (2, 3), shape=(12, 9))

Change = Callable[..., Any]


def _turned(turn: Callable[[Array], Array], back: Callable[[Array], Array] | None = None) -> Change:
    """A rule that reads its weight in another order, with the gradient of that."""

    def wrong(right: Any, input: Array, weight: Array, bias: Any = None, **options: Any) -> Any:
        value, pullback = right(input, np.ascontiguousarray(turn(weight)), bias, **options)

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            found = list(pullback(incoming, needs))
            found[1] = np.ascontiguousarray((back or turn)(found[1]))
            return tuple(found)

        return value, pulled

    return wrong


# -- convolutions ------------------------------------------------------------------------------------------------------

FAULTS.add(
    "conv-kernel-flipped",
    "the kernel is flipped, as signal processing has it, where PyTorch's convolution is a correlation",
    cause="reversed",
    phase="forward",
    step=1,
    scene=_SEQUENCE,
)(lambda plant: plant.rule(rules.conv_nd, _turned(lambda weight: weight[..., ::-1])))


@FAULTS.add(
    "conv-stride-and-dilation-exchanged",
    "the windows are two apart and their taps next to each other, and the code has it the other way round",
    cause="other windows",
    phase="forward",
    step=1,
    scene=_SEQUENCE,
)
def stride_and_dilation(plant: Planting) -> None:
    def wrong(right: Any, *inputs: Any, stride: Any, dilation: Any, **options: Any) -> Any:
        return right(*inputs, stride=dilation, dilation=stride, **options)

    plant.rule(rules.conv_nd, wrong)


@FAULTS.add(
    "conv-padded-by-the-edge",
    "the image is continued by its edge where the convolution pads with zeros",
    cause="wrong function",
    phase="forward",
    step=1,
    scene=_IMAGE,
)
def padded_by_the_edge(plant: Planting) -> None:
    def wrong(right: Any, input: Array, *inputs: Any, padding: Any, **options: Any) -> Any:
        border = tuple(one for one in reversed(padding) for _ in range(2))
        padded, unpad = rules.pad(input, pad=border, mode="replicate")
        value, pullback = right(padded, *inputs, padding=0, **options)

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            first, *others = pullback(incoming, needs)
            return (None if first is None else unpad(first, (True,))[0], *others)

        return value, pulled

    plant.rule(rules.conv_nd, wrong)


@FAULTS.add(
    "conv-groups-interleaved",
    "every second channel belongs to a group, where neighbouring channels do",
    cause="wrong groups",
    phase="forward",
    step=1,
    scene=_GROUPS,
)
def groups_interleaved(plant: Planting) -> None:
    def wrong(right: Any, input: Array, *inputs: Any, groups: int, **options: Any) -> Any:
        order = np.arange(input.shape[1]).reshape(-1, groups).T.reshape(-1)
        value, pullback = right(np.ascontiguousarray(input[:, order]), *inputs, groups=groups, **options)

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            first, *others = pullback(incoming, needs)
            return (None if first is None else np.ascontiguousarray(first[:, np.argsort(order)]), *others)

        return value, pulled

    plant.rule(rules.conv_nd, wrong)


@FAULTS.add(
    "conv-input-gradient-not-turned",
    "the gradient to the input is a convolution with the kernel as it stands, not turned by half a turn",
    cause="reversed",
    phase="backward",
    step=1,
    scene=_IMAGE,
)
def input_gradient_not_turned(plant: Planting) -> None:
    def wrong(right: Any, input: Array, weight: Array, bias: Any = None, **options: Any) -> Any:
        value, pullback = right(input, weight, bias, **options)
        _, turned = right(input, np.ascontiguousarray(weight[..., ::-1, ::-1]), bias, **options)
        return value, lambda incoming, needs: (turned(incoming, needs)[0], *pullback(incoming, needs)[1:])

    plant.rule(rules.conv_nd, wrong)


FAULTS.add(
    "conv-bias-gradient-averaged-over-space",
    "the gradient of a channel's bias is the mean over space, summed over the batch",
    cause="mean instead of sum",
    also=("broadcasting not summed",),
    phase="deposit",
    step=1,
    scene=_IMAGE,
)(
    lambda plant: plant.rule(
        rules.conv_nd,
        with_pullback(lambda found, incoming, needs, *inputs: (*found[:2], found[2] / math.prod(incoming.shape[2:]))),
    )
)


@FAULTS.add(
    "conv-weight-gradient-of-the-last-sample",
    "in a loop over the samples the weight's gradient is assigned, not added",
    cause="overwritten instead of added",
    phase="deposit",
    step=1,
    scene=_SEQUENCE,
)
def weight_gradient_of_the_last(plant: Planting) -> None:
    def wrong(right: Any, input: Array, weight: Array, bias: Any = None, **options: Any) -> Any:
        value, pullback = right(input, weight, bias, **options)
        _, of_last = right(np.ascontiguousarray(input[-1:]), weight, bias, **options)

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            first, _, *others = pullback(incoming, needs)
            return first, of_last(np.ascontiguousarray(incoming[-1:]), needs)[1], *others

        return value, pulled

    plant.rule(rules.conv_nd, wrong)


# -- transposed convolutions -------------------------------------------------------------------------------------------

FAULTS.add(
    "conv-transpose-kernel-flipped",
    "the kernel is laid down upside down and back to front: a transposed convolution taken for a convolution",
    cause="reversed",
    phase="forward",
    step=1,
    scene=_TRANSPOSED,
)(lambda plant: plant.rule(rules.conv_transpose_nd, _turned(lambda weight: weight[..., ::-1, ::-1])))

FAULTS.add(
    "conv-transpose-channels-exchanged",
    "the weight is taken for (out, in, ...), as a convolution has it, which fits where both are as many",
    cause="transposed",
    phase="forward",
    step=1,
    scene=layer("ConvTranspose2d", 4, 4, (2, 3), shape=(4, 3, 5)),
)(lambda plant: plant.rule(rules.conv_transpose_nd, _turned(lambda weight: weight.swapaxes(0, 1))))


@FAULTS.add(
    "conv-transpose-overlaps-assigned",
    "where two windows overlap the later one is kept, not the sum",
    cause="overwritten instead of added",
    phase="forward",
    step=1,
    scene=_TRANSPOSED,
)
def overlaps_assigned(plant: Planting) -> None:
    def wrong(right: Any, input: Array, weight: Array, bias: Array, *, stride: Any, **options: Any) -> Any:
        value, pullback = right(input, weight, bias, stride=stride, **options)
        made = np.zeros_like(value)
        high, wide = weight.shape[2:]
        for i in range(input.shape[2]):
            for j in range(input.shape[3]):
                laid = np.einsum("nc,cokl->nokl", input[:, :, i, j], weight)
                made[:, :, stride[0] * i : stride[0] * i + high, stride[1] * j : stride[1] * j + wide] = laid
        return made + bias[:, None, None], pullback

    plant.rule(rules.conv_transpose_nd, wrong)


# -- bilinear forms ----------------------------------------------------------------------------------------------------


@FAULTS.add(
    "bilinear-inputs-exchanged",
    "the second input meets the rows of the form, the first its columns",
    cause="transposed",
    phase="forward",
    step=1,
    scene=_FORM,
)
def inputs_exchanged(plant: Planting) -> None:
    plant.rule(rules.bilinear, _exchanged)


def _exchanged(right: Any, first: Array, second: Array, *others: Any) -> Any:
    value, pullback = right(second, first, *others)

    def pulled(incoming: Array, needs: Needs) -> Gradients:
        to_second, to_first, *rest = pullback(incoming, needs)
        return to_first, to_second, *rest

    return value, pulled


@FAULTS.add(
    "bilinear-gradient-by-its-own-input",
    "the gradient to the first input multiplies the form by the first input again, not by the second",
    cause="wrong operand",
    phase="backward",
    step=1,
    scene=_FORM,
)
def by_its_own_input(plant: Planting) -> None:
    def change(found: Gradients, incoming: Array, needs: Needs, u: Array, v: Array, weight: Array, bias: Any) -> Any:
        return np.einsum("...o,oij,...j->...i", incoming, weight, u), *found[1:]

    plant.rule(rules.bilinear, with_pullback(change))


# -- cutting up and putting together -----------------------------------------------------------------------------------


@FAULTS.add(
    "pixel-shuffle-factor-first",
    "the channels are read as (factor, factor, channel), where the channel comes first",
    cause="permuted",
    phase="forward",
    step=1,
    scene=layer("PixelShuffle", 2, shape=(8, 3, 4)),
)
def factor_first(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, upscale_factor: int) -> Any:
        order = np.arange(x.shape[1]).reshape(upscale_factor**2, -1).T.reshape(-1)
        value, pullback = right(np.ascontiguousarray(x[:, order]), upscale_factor=upscale_factor)
        back = np.argsort(order)
        return value, lambda incoming, needs: (np.ascontiguousarray(pullback(incoming, needs)[0][:, back]),)

    plant.rule(rules.pixel_shuffle, wrong)


@FAULTS.add(
    "unfold-taps-before-channels",
    "the rows of the columns are ordered as (tap, channel), where the channel comes first",
    cause="permuted",
    phase="forward",
    step=1,
    scene=_UNFOLD,
)
def taps_first(plant: Planting) -> None:
    def wrong(right: Any, x: Array, *, kernel_size: Any, **options: Any) -> Any:
        value, pullback = right(x, kernel_size=kernel_size, **options)
        order = np.arange(value.shape[1]).reshape(x.shape[1], -1).T.reshape(-1)
        back = np.argsort(order)

        def pulled(incoming: Array, needs: Needs) -> Gradients:
            return pullback(np.ascontiguousarray(incoming[:, back]), needs)

        return np.ascontiguousarray(value[:, order]), pulled

    plant.rule(rules.unfold, wrong)


def _assigned(columns: Array, frame: Any, sizes: Any) -> Array:
    """What windows are put over each other, the last of them kept: ``image[window] = column``."""
    lead = columns.ndim - 2 * len(sizes)
    made = np.zeros((*columns.shape[:lead], *(size + 2 * pad for size, pad in zip(sizes, frame.padding, strict=True))))
    for window in np.ndindex(*frame.counts):
        ends = zip(window, frame.stride, frame.dilation, frame.kernel, strict=True)
        place: Any = (..., *(slice(s * i, s * i + d * (k - 1) + 1, d) for i, s, d, k in ends))
        column: Any = (..., *window)
        made[place] = columns[column]
    inside: Any = (..., *(slice(pad, pad + size) for pad, size in zip(frame.padding, sizes, strict=True)))
    return np.ascontiguousarray(made[inside])


def _windows_assigned() -> Plant:
    return lambda plant: plant.replace(
        folding, "overlap_add", lambda right, columns, frame, sizes: _assigned(columns, frame, sizes)
    )


FAULTS.add(
    "fold-overlaps-assigned",
    "where windows overlap the last one stays: image[window] = column, where it should be added",
    cause="overwritten instead of added",
    phase="forward",
    step=1,
    scene=_FOLD,
)(_windows_assigned())

FAULTS.add(
    "unfold-gradient-assigned",
    "the gradient of a pixel in several windows is that of the last one: gradient[window] = column",
    cause="overwritten instead of added",
    phase="backward",
    step=1,
    scene=_UNFOLD,
)(_windows_assigned())
