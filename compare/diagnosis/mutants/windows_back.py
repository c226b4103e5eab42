"""Mistakes in the pullbacks of convolutions, poolings and paddings: overlaps, borders, ties."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.laying import frame_of, last_writers, seen
from compare.diagnosis.mutants.mutation import Mutation, holding, with_pullback
from compare.diagnosis.mutants.sites import Site, Slot
from compare.diagnosis.mutants.windows import SPACE, laid_over

__all__ = ["windowed_back"]


def windowed_back(site: Site, around: Around) -> Iterator[Mutation]:
    """What the pullback of an op over windows may get wrong."""
    kind, n = SPACE.get(site.name, (site.name, 0))
    if not site.slots or not site.tensor(site.slots[0]).requires_grad or not isinstance(site.output, Tensor):
        return
    slot, given = site.slots[0], bound(site.name, site.args, site.kwargs)
    if kind == "max_pool":
        yield from _winners(site, slot, given, n)
    elif kind == "conv" and int(given.get("groups", 1)) == 1 and site.tensor(slot) is given["input"]:
        yield from _columns(site, slot, given, n)
    elif kind == "pad":
        pad = tuple(given["pad"])
        x, pairs = site.tensor(slot), list(zip(pad[::2], pad[1::2], strict=True))[::-1]
        ends = zip(x.shape[-len(pairs) :], pairs, strict=True)
        middle: Any = (..., *(slice(before, before + size) for size, (before, _) in ends))
        yield Mutation(
            "middle",
            "missing term",
            "the gradient of a padded image is cut out of the middle: what arrives at the border is lost",
            with_pullback(lambda g, i, y, d: {slot: g[middle]}),
            2,
            "an element that was copied to the border gets the gradients of its copies too",
        )


def _columns(site: Site, slot: Slot, given: dict[str, Any], n: int) -> Iterator[Mutation]:
    """The columns of a convolution's input gradient, put back over each other."""
    x, weight = given["input"], given["weight"]
    frame, sizes = frame_of({"stride": 1, **given}, n, tuple(weight.shape[2:])), tuple(x.shape[-n:])
    if x.ndim != n + 2 or all(s >= d * (k - 1) + 1 for k, s, _, d in zip(*frame, strict=True)):
        return

    def assigned(g: Tensor, i: Any, y: Tensor, d: Any) -> dict[Slot, Tensor]:
        columns = torch.tensordot(g.movedim(1, -1), weight.detach(), 1).movedim(n + 1, 1)
        return {slot: laid_over(columns, frame, sizes)}

    yield Mutation(
        "columns assigned",
        "overwritten instead of added",
        "an element that several windows see keeps the gradient of the last window, not the sum",
        with_pullback(assigned),
        2,
        "dx: what every window gives to an element is added up",
    )


def _winners(site: Site, slot: Slot, given: dict[str, Any], n: int) -> Iterator[Mutation]:
    """The choice among equal maxima, and what an element gets that wins several windows."""
    frame = frame_of(given, n, given["kernel_size"])
    x = site.tensor(slot)
    sizes, low = tuple(x.shape[-n:]), -math.inf
    axes = tuple(range(-n, 0))
    wide = tuple(size + 2 * p for size, p in zip(sizes, frame.padding, strict=True))
    inside: Any = (..., *(slice(p, p + size) for p, size in zip(frame.padding, sizes, strict=True)))
    each_tap: Any = (..., *(None,) * n)

    def winning(value: Tensor, y: Tensor) -> Tensor:
        return seen(value, frame, low) == y[each_tap]

    def spread(shares: Tensor) -> Tensor:
        image = torch.zeros(*shares.shape[: -2 * n], *wide, dtype=shares.dtype)
        return image.index_put((*_whole(image, n), *frame.grids(sizes)), shares, accumulate=True)[inside]

    tied = winning(x.detach(), site.output.detach())
    if bool((tied.sum(axes) > 1).any()):

        def of(value: Tensor, y: Tensor, g: Tensor, way: str) -> Tensor:
            won = winning(value, y)
            flat = won.reshape(*won.shape[:-n], -1)
            if way == "last":
                flat = (flat.flip(-1) & (flat.flip(-1).cumsum(-1) == 1)).flip(-1)
            shares = flat.to(g.dtype)
            if way == "shared":
                shares = shares / flat.sum(-1, keepdim=True)
            return spread(shares.reshape(won.shape) * g[each_tap])

        for way, words in (
            ("all", "each of them gets the whole gradient"),
            ("shared", "they share the gradient"),
            ("last", "the last of them gets all"),
        ):
            yield Mutation(
                way,
                "tie policy",
                f"where several values are the maximum of a window, {words}; in torch the first gets all",
                with_pullback(holding(lambda g, i, y, d, way: {slot: of(i[slot], y, g, way)}, way)),
                1,
                "torch: the first maximum of a window gets its gradient",
            )

    def assigned(g: Tensor, i: Any, y: Tensor, d: Any) -> dict[Slot, Tensor]:
        pool = getattr(F, f"max_pool{n}d")
        _, index = pool(i[slot], *frame[:4], return_indices=True)
        planes = math.prod(x.shape[:-n])
        places = index.reshape(planes, -1) + torch.arange(planes)[:, None] * math.prod(sizes)
        writers = last_writers(places.numpy(), x.numel())
        value = g.reshape(-1)[writers.clamp(min=0)] * (writers >= 0)
        return {slot: value.reshape(x.shape)}

    if any(s < d * (k - 1) + 1 for k, s, _, d in zip(*frame, strict=True)):
        yield Mutation(
            "assigned",
            "overwritten instead of added",
            "an element that is the maximum of several windows keeps the gradient of the last",
            with_pullback(assigned),
            2,
            "an element that wins several windows gets the sum of their gradients",
        )


def _whole(image: Tensor, n: int) -> tuple[Tensor, ...]:
    """Indices of all leading axes, spread over the windows."""
    lead = image.ndim - n
    return tuple(torch.arange(image.shape[axis]).reshape(-1, *(1,) * (lead - axis - 1 + 2 * n)) for axis in range(lead))
