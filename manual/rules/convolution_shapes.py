"""The shapes of a convolution: what fits, what comes out, and how its windows lie."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from manual.rules.folding import Frame, count_windows

__all__ = ["Plan", "plan_conv", "plan_transposed"]

Shape = tuple[int, ...]


class Plan(NamedTuple):
    """The shapes of one call. *Wide* is the side that windows are cut from (the input of a convolution, the output of a
    transposed one), *narrow* the side with one element per window; both with a batch axis."""

    frame: Frame
    groups: int
    wide: Shape
    narrow: Shape
    weight: Shape
    input: Shape
    output: Shape


@lru_cache(maxsize=512)
def plan_conv(
    input: Shape, weight: Shape, bias: Shape | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Plan:
    n, batch, sizes = _check_axes(input, weight, "conv")
    kernel = weight[2:]
    stride, dilation = _positive(stride, "stride", n), _positive(dilation, "dilation", n)
    low, around = _padding(padding, kernel, stride, dilation)
    _check_channels(input, weight, bias, groups, n, transposed=False)
    if any(size + pad < d * (k - 1) + 1 for size, pad, d, k in zip(sizes, around, dilation, kernel, strict=True)):
        padded = tuple(size + pad for size, pad in zip(sizes, around, strict=True))
        extent = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
        raise RuntimeError(
            f"Calculated padded input size per channel: ({_times(padded)}). Kernel size: ({_times(extent)}). "
            "Kernel size can't be greater than actual input size"
        )
    counts = tuple(map(count_windows, sizes, kernel, stride, around, dilation))
    output = (weight[0], *counts)
    return Plan(
        Frame(kernel, stride, low, dilation, counts),
        groups,
        (*batch, input[-n - 1], *sizes) if batch else (1, *input),
        (*batch, *output) if batch else (1, *output),
        weight,
        input,
        (*batch, *output),
    )


@lru_cache(maxsize=512)
def plan_transposed(
    input: Shape,
    weight: Shape,
    bias: Shape | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    dilation: Any,
    groups: int,
) -> Plan:
    n, batch, sizes = _check_axes(input, weight, "conv_transpose")
    kernel = weight[2:]
    stride, dilation = _positive(stride, "stride", n), _positive(dilation, "dilation", n)
    low = _not_negative(padding, "padding", n)
    extra = _not_negative(output_padding, "output_padding", n)
    _check_channels(input, weight, bias, groups, n, transposed=True)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        names = ("depth", "height", "width")[-n:]
        given = [
            f"{what}_{name}: {value}"
            for what, values in (("output_padding", extra), ("stride", stride), ("dilation", dilation))
            for name, value in zip(names, values, strict=True)
        ]
        raise RuntimeError("output padding must be smaller than either stride or dilation, but got " + " ".join(given))
    lengths = tuple(
        (size - 1) * s - 2 * p + d * (k - 1) + e + 1
        for size, s, p, d, k, e in zip(sizes, stride, low, dilation, kernel, extra, strict=True)
    )
    if min(lengths) < 1:
        raise RuntimeError(
            f"Given input size per channel: ({_times(sizes)}). Calculated output size per channel: "
            f"({_times(lengths)}). Output size is too small"
        )
    output = (weight[1] * groups, *lengths)
    return Plan(
        Frame(kernel, stride, low, dilation, sizes),
        groups,
        (*batch, *output) if batch else (1, *output),
        input if batch else (1, *input),
        weight,
        input,
        (*batch, *output),
    )


def _check_axes(input: Shape, weight: Shape, name: str) -> tuple[int, Shape, Shape]:
    """The number of axes of space, the batch axis if there is one, and the sizes of space."""
    n = len(weight) - 2
    if n < 1:
        raise RuntimeError(f"weight should have at least three dimensions, but got weight of size {list(weight)}")
    if len(input) not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}{n}d, but got input of size: "
            f"{list(input)}"
        )
    if 0 in input[-n:]:
        raise RuntimeError(f"Only zero batch or zero channel inputs are supported, but got input shape: {list(input)}")
    if 0 in weight[2:]:
        raise RuntimeError(f"kernel size should be greater than zero, but got {_times(weight[2:])}")
    return n, input[: len(input) - n - 1], input[-n:]


def _check_channels(input: Shape, weight: Shape, bias: Shape | None, groups: int, n: int, *, transposed: bool) -> None:
    if groups < 1:
        raise RuntimeError("non-positive groups is not supported")
    if weight[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size "
            f"{list(weight)} instead"
        )
    if weight[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight "
            f"of size [{list(weight)}] instead"
        )
    channels = weight[0] if transposed else weight[1] * groups
    if input[-n - 1] != channels:
        given = "transposed=1" if transposed else f"groups={groups}"
        shown = ", ".join(map(str, input if len(input) == n + 2 else (1, *input)))
        raise RuntimeError(
            f"Given {given}, weight of size {list(weight)}, expected input[{shown}] to have {channels} channels, "
            f"but got {input[-n - 1]} channels instead"
        )
    outputs = weight[1] * groups if transposed else weight[0]
    if bias is not None and bias != (outputs,):
        given = "transposed=1, " if transposed else ""
        raise RuntimeError(
            f"Given {given}weight of size {list(weight)}, expected bias to be 1-dimensional with {outputs} "
            f"elements, but got bias of size {list(bias)} instead"
        )


def _padding(padding: Any, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[Shape, Shape]:
    """How many zeros lie before each axis, and how many at both of its ends."""
    if not isinstance(padding, str):
        low = _not_negative(padding, "padding", len(kernel))
        return low, tuple(2 * p for p in low)
    if padding == "valid":
        return (0,) * len(kernel), (0,) * len(kernel)
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    around = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    return tuple(total // 2 for total in around), around


def _per_axis(value: Any, name: str, n: int) -> Shape:
    values = (value,) if isinstance(value, (int, np.integer)) else tuple(value)
    if len(values) not in (1, n):
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {n} values to match the convolution "
            f"dimensions, but got {name}={list(values)}"
        )
    return tuple(int(one) for one in values) * (n if len(values) == 1 else 1)


def _positive(value: Any, name: str, n: int) -> Shape:
    values = _per_axis(value, name, n)
    if min(values) < 1:
        if name == "dilation":
            raise RuntimeError(f"dilation should be greater than zero, but got {list(values)}")
        raise RuntimeError(f"non-positive {name} is not supported")
    return values


def _not_negative(value: Any, name: str, n: int) -> Shape:
    values = _per_axis(value, name, n)
    if min(values) < 0:
        raise RuntimeError(f"negative {name} is not supported")
    return values


def _times(sizes: Shape) -> str:
    return " x ".join(map(str, sizes))
