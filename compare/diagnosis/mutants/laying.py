"""How windows lie over an image: what convolution, pooling and folding have in common, written out by indices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LAYING", "Frame", "alpha_map", "each", "frame_of", "last_writers", "mirrored", "padded", "seen"]

Given = Mapping[str, Any]


class Frame(NamedTuple):
    """Windows along the last axes, one number for each axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def counts(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """How many windows there are along each axis."""
        return tuple((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in zip(sizes, *self, strict=True))

    def grids(self, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Which elements of a padded image the windows see: indices that spread to ``(*counts, *kernel)``."""
        n = len(sizes)
        found = []
        for axis, (count, k, s, d) in enumerate(
            zip(self.counts(sizes), self.kernel, self.stride, self.dilation, strict=True)
        ):
            places = torch.arange(count)[:, None] * s + torch.arange(k) * d
            shape = [1] * (2 * n)
            shape[axis], shape[n + axis] = count, k
            found.append(places.reshape(shape))
        return tuple(found)


def each(value: Any, n: int) -> tuple[int, ...]:
    """One number for every axis."""
    return tuple(value) if isinstance(value, (tuple, list)) and len(value) == n else (int(_only(value)),) * n


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, (tuple, list)) else value


def frame_of(given: Given, n: int, kernel: Any) -> Frame:
    """The windows of an op over the last ``n`` axes; a pooling's stride is its kernel where none is given."""
    stride = given.get("stride")
    kernel = each(kernel, n)
    if given.get("ceil_mode"):
        raise NotImplementedError
    return Frame(
        kernel,
        kernel if stride is None or stride == [] else each(stride, n),
        each(given.get("padding", 0), n),
        each(given.get("dilation", 1), n),
    )


def padded(x: Tensor, padding: tuple[int, ...], value: float = 0.0) -> Tensor:
    """An image with a border of one value."""
    if not any(padding):
        return x
    return F.pad(x, [one for width in reversed(padding) for one in (width, width)], value=value)


def seen(x: Tensor, frame: Frame, value: float = 0.0) -> Tensor:
    """What every window sees: ``(..., *counts, *kernel)``."""
    n = len(frame.kernel)
    grids = frame.grids(tuple(x.shape[x.ndim - n :]))
    index: Any = (..., *grids)
    return padded(x, frame.padding, value)[index]


def last_writers(places: Any, size: int) -> Any:
    """Which of several writers to each place comes last; -1 where none writes."""
    flat, last = np.asarray(places).reshape(-1), np.full(size, -1)
    last[flat] = np.arange(len(flat))
    return torch.from_numpy(last)


def alpha_map(p: float) -> tuple[float, float, float]:
    """By what an alpha dropout multiplies, what it adds, and what a dropped value is before that: SELU's lowest."""
    low = -1.7580993408473766
    stretch = 1 / math.sqrt((1 - p) * (1 + low**2 * p))
    return stretch, -stretch * p * low, low


# -- formulas ----------------------------------------------------------------------------------------------------------


def _average(given: Given, n: int) -> Tensor:
    x, frame = given["input"], frame_of(given, n, given["kernel_size"])
    if given.get("divisor_override") is not None:
        raise NotImplementedError
    windows = seen(x, frame)
    axes = tuple(range(-n, 0))
    if given.get("count_include_pad", True) or not any(frame.padding):
        return windows.mean(axes)
    with torch.no_grad():
        counts = seen(torch.ones_like(x), frame).sum(axes)
    return windows.sum(axes) / counts


def _power(given: Given, n: int) -> Tensor:
    x, p = given["input"], float(given["norm_type"])
    powers = seen(x.pow(p), frame_of(given, n, given["kernel_size"]))
    return powers.sum(tuple(range(-n, 0))).pow(1 / p)


def _unfold(given: Given) -> Tensor:
    x, frame = given["input"], frame_of({"stride": 1, **given}, 2, given["kernel_size"])
    windows = seen(x, frame)
    lead = x.ndim - 2
    apart = windows.permute(*range(lead), lead + 2, lead + 3, lead, lead + 1)
    return apart.reshape(*x.shape[: lead - 1], x.shape[lead - 1] * math.prod(frame.kernel), -1)


def mirrored(size: int, before: int, after: int, mode: str) -> Any:
    """Where the elements of a padded axis come from; ``"symmetric"`` repeats the edge that ``"reflect"`` does not."""
    named = {"reflect": "reflect", "symmetric": "symmetric", "replicate": "edge", "circular": "wrap"}[mode]
    return torch.from_numpy(np.pad(np.arange(size), (before, after), mode=named))  # type: ignore[call-overload]


def _pad(given: Given) -> Tensor:
    x, mode, pad = given["input"], given.get("mode", "constant"), given["pad"]
    if mode == "constant":
        raise NotImplementedError
    n = len(pad) // 2
    pairs = [(pad[2 * axis], pad[2 * axis + 1]) for axis in reversed(range(n))]
    with torch.no_grad():
        places = [mirrored(x.shape[axis - n], *pairs[axis], mode) for axis in range(n)]
        grids = [place.reshape(-1, *(1,) * (n - axis - 1)) for axis, place in enumerate(places)]
    return x[(..., *grids)]


def _response(given: Given) -> Tensor:
    x, size = given["input"], int(given["size"])
    alpha, beta, k = (given.get(name, usual) for name, usual in (("alpha", 1e-4), ("beta", 0.75), ("k", 1.0)))
    square = x.square()
    with torch.no_grad():
        places = torch.arange(x.shape[1])[:, None] + torch.arange(size)
        around = [0] * (2 * (x.ndim - 2)) + [size // 2, (size - 1) // 2]
    neighbours = F.pad(square, around)[:, places]
    level = neighbours.mean(2) * alpha + k
    return x / level.pow(beta)


def _over(formula: Callable[[Given, int], Tensor], n: int) -> Callable[[Given], Tensor]:
    return lambda given: formula(given, n)


LAYING: dict[str, Callable[[Given], Tensor]] = {
    **{
        f"{name}_pool{n}d": _over(formula, n)
        for (name, formula), n in itertools.product((("avg", _average), ("lp", _power)), (1, 2, 3))
    },
    "unfold": _unfold,
    "pad": _pad,
    "local_response_norm": _response,
}
"""Ops on windows by name, written out; each takes its arguments by name."""
