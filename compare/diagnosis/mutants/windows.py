"""Mistakes in convolutions, poolings and paddings: windows that lie otherwise, borders, overlaps, ties."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.laying import Frame, each, frame_of, last_writers, mirrored, padded
from compare.diagnosis.mutants.mutation import Mutation, holding
from compare.diagnosis.mutants.sites import Call, Site

__all__ = ["SPACE", "laid_over", "windowed"]

SPACE = {
    f"{kind}{n}d": (kind, n)
    for kind in ("conv", "conv_transpose", "max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool")
    for n in (1, 2, 3)
}
"""Ops on windows by name: their kind, and along how many axes."""

_LAID = "windows lie every stride-th place, their taps dilation apart, the first of them padding before the image"


def windowed(site: Site, around: Around) -> Iterator[Mutation]:
    """What a forward pass over windows may get wrong."""
    kind, n = SPACE.get(site.name, (site.name, 0))
    given = bound(site.name, site.args, site.kwargs)
    if kind in ("conv", "conv_transpose", "max_pool", "avg_pool"):
        yield from _laid_otherwise(site, given, n)
    if kind == "conv":
        yield from _grouped(site, given)
    elif kind == "conv_transpose":
        yield _put_over(lambda call: _transposed_assigned(_given(site, call), n))
    elif kind == "max_pool":
        yield from _maxima(given, n, site)
    elif kind == "avg_pool":
        yield from _means(given, n, site)
    elif kind.startswith("adaptive"):
        yield from _adaptive(site, n, max if kind == "adaptive_max_pool" else None)
    elif kind == "fold":
        yield _put_over(lambda call: _fold_assigned(_given(site, call)))
    elif kind == "pad":
        yield from _borders(site, given)


def _given(site: Site, call: Call) -> dict[str, Any]:
    return bound(site.name, call.args, call.kwargs)


# -- where windows lie -------------------------------------------------------------------------------------------------


def _laid_otherwise(site: Site, given: dict[str, Any], n: int) -> Iterator[Mutation]:
    """Stride, padding and dilation exchanged, turned round or left out, where as many windows come out."""
    now: dict[str, Any] = {name: given.get(name) for name in ("stride", "padding", "dilation") if name in given}
    if any(isinstance(value, str) for value in now.values()):
        return
    frame: dict[str, tuple[int, ...]] = {name: each(value, n) for name, value in now.items() if value is not None}
    plain: dict[str, tuple[int, ...]] = {"stride": (1,) * n, "padding": (0,) * n, "dilation": (1,) * n}
    has_dilation = not site.name.startswith("avg")
    others: dict[str, dict[str, tuple[int, ...]]] = {}
    for a, b in itertools.combinations(("stride", "padding", "dilation"), 2):
        if has_dilation or "dilation" not in (a, b):
            others[f"{a} and {b} are exchanged"] = {a: frame.get(b, plain[b]), b: frame.get(a, plain[a])}
    for name, value in frame.items():
        others[f"the {name} of the axes is exchanged"] = {name: value[::-1]}
        others[f"the {name} is left out"] = {name: plain[name]}
    others["stride, padding and dilation of the axes are exchanged"] = {k: v[::-1] for k, v in frame.items()}
    tried = [frame]
    for says, change in others.items():
        if {**plain, **frame, **change} in tried or {**frame, **change} == frame or min(change.get("stride", (1,))) < 1:
            continue
        tried.append({**plain, **frame, **change})
        replace = holding(lambda call, change: call.func(**{**_given(site, call), **change}), change)
        with suppress(RuntimeError, TypeError, ValueError):
            if replace(site.call).shape == site.output.shape:
                yield Mutation(says, "other windows", f"{says} in {site.name}", replace, 3, _LAID)
    padding = frame.get("padding", (0,) * n)
    if any(padding) and site.name.startswith(("conv1", "conv2", "conv3", "avg")):
        for key, ends in (("before", (2, 0)), ("behind", (0, 2))):
            widths = [end * width for width in reversed(padding) for end in ends]
            yield Mutation(
                f"all {key}",
                "other windows",
                f"all of the padding is put {key} the image",
                holding(_all_at_one_end, site, widths),
                3,
                _LAID,
            )


def _all_at_one_end(call: Call, site: Site, widths: list[int]) -> Any:
    given = _given(site, call)
    return call.func(**{**given, "input": F.pad(given["input"], widths), "padding": 0})


def _grouped(site: Site, given: dict[str, Any]) -> Iterator[Mutation]:
    groups = int(given.get("groups", 1))
    if groups < 2:
        return
    axis = site.tensor(site.slots[0]).ndim - site.output.ndim + 1 if site.output.ndim > 2 else 0
    for what, size in (("input", given["input"].shape[axis]), ("output", site.output.shape[axis])):
        for key, rows in (("interleaved", size // groups), ("dealt out", groups)):
            order = torch.arange(size).reshape(rows, -1).T.reshape(-1)
            yield Mutation(
                f"{what} {key}",
                "wrong groups",
                f"the {what} channels are {key} among the {groups} groups, where neighbours belong together",
                holding(_interleaved, site, what, axis, order),
                3,
            )


def _interleaved(call: Call, site: Site, what: str, axis: int, order: Tensor) -> Any:
    if what == "output":
        return call.plain().index_select(axis, order)
    given = _given(site, call)
    return call.func(**{**given, "input": given["input"].index_select(axis, order)})


# -- pooling -----------------------------------------------------------------------------------------------------------


def _maxima(given: dict[str, Any], n: int, site: Site) -> Iterator[Mutation]:
    if any(each(given.get("padding", 0), n)):
        yield Mutation(
            "zeros win",
            "mask ignored",
            "the padding is zeros, which win over negative values, where padding never wins",
            lambda call: _zeros_win(call, site, n),
            2,
        )
    pool = getattr(F, f"avg_pool{n}d")
    yield Mutation(
        "mean", "wrong function", "the mean of a window stands for its maximum", lambda c: _as(c, site, pool), 4
    )
    yield Mutation(
        "minimum",
        "wrong function",
        "the minimum of a window stands for its maximum",
        lambda call: -call.func(**{**_given(site, call), "input": -_given(site, call)["input"]}),
        4,
    )


def _zeros_win(call: Call, site: Site, n: int) -> Any:
    given = _given(site, call)
    return call.func(**{**given, "input": padded(given["input"], each(given.get("padding", 0), n)), "padding": 0})


def _as(call: Call, site: Site, pool: Any) -> Any:
    given = _given(site, call)
    return pool(given["input"], given["kernel_size"], given.get("stride"), given.get("padding", 0))


def _means(given: dict[str, Any], n: int, site: Site) -> Iterator[Mutation]:
    counted = bool(given.get("count_include_pad", True))
    if any(each(given.get("padding", 0), n)):
        says = "elements that a window holds" if counted else "size of the kernel, padding included"
        yield Mutation(
            "count",
            "wrong denominator",
            f"a window at the border is divided by the {says}",
            lambda call: call.func(**{**_given(site, call), "count_include_pad": not counted}),
            2,
        )
    pool = getattr(F, f"max_pool{n}d")
    yield Mutation(
        "maximum", "wrong function", "the maximum of a window stands for its mean", lambda c: _as(c, site, pool), 4
    )


def _adaptive(site: Site, n: int, greatest: Any) -> Iterator[Mutation]:
    x = site.tensor(site.slots[0])
    sizes, counts = tuple(x.shape[-n:]), tuple(site.output.shape[-n:])
    if all(size % count == 0 for size, count in zip(sizes, counts, strict=True)):
        return
    for says, ends in (
        ("both ends of a window are rounded down", lambda i, m, k: (i * m // k, (i + 1) * m // k)),
        ("both ends of a window are rounded up", lambda i, m, k: (-(-i * m // k), -(-(i + 1) * m // k))),
        (
            "all windows have one size and one stride",
            lambda i, m, k: (i * (m // k), i * (m // k) + m - (k - 1) * (m // k)),
        ),
    ):
        edges = [[ends(i, m, k) for i in range(k)] for m, k in zip(sizes, counts, strict=True)]
        yield Mutation(
            says,
            "other windows",
            f"{says} in {site.name}",
            holding(_between, edges, greatest, n),
            3,
            "window i runs from floor(i n / m) to before ceil((i + 1) n / m)",
        )


def _between(call: Call, edges: list[list[tuple[int, int]]], greatest: Any, n: int) -> Tensor:
    """Means or maxima of windows between given ends."""
    x = call.args[0] if call.args else call.kwargs["input"]
    for axis, windows in enumerate(edges, -n):
        parts = [x.narrow(axis, first, end - first) for first, end in windows]
        x = torch.stack([part.amax(axis) if greatest else part.mean(axis) for part in parts], axis)
    found: Tensor = x
    return found


# -- overlaps ----------------------------------------------------------------------------------------------------------


def _put_over(replace: Any) -> Mutation:
    return Mutation(
        "overlaps",
        "overwritten instead of added",
        "where windows overlap the last one is kept, not their sum",
        replace,
        2,
        "windows that overlap add up",
    )


def laid_over(columns: Tensor, frame: Frame, sizes: tuple[int, ...]) -> Tensor:
    """Columns ``(..., *counts, *kernel)`` put into an image one after the other, each over those before it."""
    n = len(sizes)
    wide = tuple(size + 2 * p for size, p in zip(sizes, frame.padding, strict=True))
    flat = torch.zeros(1, dtype=torch.long)
    for grid, width in zip(frame.grids(sizes), wide, strict=True):
        flat = flat * width + grid
    writers = last_writers(flat.expand(columns.shape[-2 * n :]), math.prod(wide))
    values = columns.reshape(*columns.shape[: -2 * n], -1)[..., writers.clamp(min=0)]
    image = (values * (writers >= 0)).reshape(*columns.shape[: -2 * n], *wide)
    inside = tuple(slice(p, p + size) for p, size in zip(frame.padding, sizes, strict=True))
    index: Any = (..., *inside)
    return image[index]


def _fold_assigned(given: dict[str, Any]) -> Tensor:
    frame = frame_of({"stride": 1, **given}, 2, given["kernel_size"])
    sizes = each(given["output_size"], 2)
    x = given["input"]
    apart = x.reshape(*x.shape[:-2], -1, *frame.kernel, *frame.counts(sizes))
    lead = apart.ndim - 4
    return laid_over(apart.permute(*range(lead), lead + 2, lead + 3, lead, lead + 1), frame, sizes)


def _transposed_assigned(given: dict[str, Any], n: int) -> Tensor:
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    if int(given.get("groups", 1)) > 1 or x.ndim != n + 2 or any(each(given.get("output_padding", 0), n)):
        raise NotImplementedError
    frame = frame_of({"stride": 1, **given}, n, tuple(weight.shape[2:]))
    sizes = tuple(
        (count - 1) * s - 2 * p + d * (k - 1) + 1 for count, k, s, p, d in zip(x.shape[2:], *frame, strict=True)
    )
    columns = torch.tensordot(x.movedim(1, -1), weight, 1).movedim(n + 1, 1)
    image = laid_over(columns, frame, sizes)
    return image if bias is None else image + bias.reshape(-1, *(1,) * n)


# -- borders -----------------------------------------------------------------------------------------------------------


def _borders(site: Site, given: dict[str, Any]) -> Iterator[Mutation]:
    mode, pad = given.get("mode", "constant"), tuple(given["pad"])
    if min(pad) < 0:
        return
    words = {
        "reflect": "mirrored without its edge",
        "symmetric": "mirrored with its edge repeated",
        "replicate": "continued by its edge",
        "circular": "continued at its other end",
        "constant": "continued by zeros",
    }
    for other, says in words.items():
        if other != mode:
            yield Mutation(
                other,
                "wrong function",
                f"the image is {says}, where it should be {words.get(mode, mode)}",
                holding(_continued, pad, other),
                3,
            )
    turned = tuple(end for before, after in zip(pad[::2], pad[1::2], strict=True) for end in (after, before))
    if turned != pad:
        yield Mutation(
            "ends exchanged",
            "permuted",
            "the padding before and behind an axis is exchanged",
            lambda call: call.func(**{**_given(site, call), "pad": turned}),
            3,
        )


def _continued(call: Call, pad: tuple[int, ...], mode: str) -> Tensor:
    x: Tensor = call.args[0] if call.args else call.kwargs["input"]
    if mode == "constant":
        return F.pad(x, pad)
    for axis in range(len(pad) // 2):
        places = mirrored(x.shape[-1 - axis], pad[2 * axis], pad[2 * axis + 1], mode)
        x = x.index_select(x.ndim - 1 - axis, places)
    return x
