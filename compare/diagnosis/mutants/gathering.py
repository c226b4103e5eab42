"""Mistakes in pullbacks that add gradients up: over places read several times, over axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.channels import DROPOUTS
from compare.diagnosis.mutants.derivatives import FORMULA_OF
from compare.diagnosis.mutants.laying import last_writers
from compare.diagnosis.mutants.mutation import Mutation, holding, with_pullback
from compare.diagnosis.mutants.sites import Replacement, Site, Slot

__all__ = ["gathered", "spread", "unsummed"]


# -- lookups -----------------------------------------------------------------------------------------------------------


def gathered(site: Site, around: Around) -> Iterator[Mutation]:
    """Lookups whose gradient is written over, averaged, or given to the padding row; a dropout's gradient."""
    name = site.name
    if name in DROPOUTS:
        yield from _dropped(site, around)
    if name == "getitem" and isinstance(site.args[1], tuple):
        yield from _read_often(site)
    if name not in ("embedding", "getitem", "index_select"):
        return
    found = _index(site)
    if found is None:
        return
    slot, index, padding = found
    table = site.tensor(slot)
    rows = index.reshape(-1)
    formula = FORMULA_OF["embedding"]

    def per_place(g: Tensor) -> Tensor:
        flat = g.reshape(-1, *table.shape[1:])
        if padding is not None:
            flat = flat * (rows != padding).reshape(-1, *(1,) * (flat.ndim - 1))
        return flat

    def written_over(order: Tensor) -> Replacement:
        def pullback(g: Tensor, i: Any, y: Tensor, d: Any) -> dict[Slot, Tensor]:
            gradient, flat = torch.zeros_like(table), per_place(g)
            for place in order.tolist():
                gradient[rows[place]] = flat[place]
            return {slot: gradient}

        return with_pullback(pullback)

    if rows.unique().numel() < rows.numel() <= 4096:
        forth = torch.arange(rows.numel())
        for key, order in (("last", forth), ("first", forth.flip(0))):
            yield Mutation(
                f"only the {key}",
                "overwritten instead of added",
                f"a row that is looked up several times keeps only its {key} gradient",
                written_over(order),
                1,
                formula,
            )

        by_frequency = bool(bound(name, site.args, site.kwargs).get("scale_grad_by_freq")) and name == "embedding"

        def otherwise(g: Tensor, i: Any, y: Tensor, d: Any) -> dict[Slot, Tensor]:
            counts = torch.bincount(rows, minlength=table.shape[0]).clamp(min=1).to(table.dtype)
            factor = (counts if by_frequency else 1 / counts).reshape(-1, *(1,) * (table.ndim - 1))
            return {slot: d[slot] * factor}

        yield Mutation(
            "averaged",
            "sum instead of mean" if by_frequency else "mean instead of sum",
            f"a row's gradient is {'not ' if by_frequency else ''}divided by how often the row was looked up",
            with_pullback(otherwise),
            2,
            formula,
        )
    if padding is not None and bool((rows == padding).any()):

        def padded(g: Tensor, i: Any, y: Tensor, d: Any) -> dict[Slot, Tensor]:
            flat = g.reshape(-1, *table.shape[1:])
            return {slot: torch.zeros_like(table).index_add(0, rows, flat)}

        masked = {
            user.path: with_pullback(holding(_unmasked, user.slots))
            for user in around.consumers(site)
            if user.name == "mul" and any(around.is_mask(tensor) for tensor in user.tensors)
        }
        for key, also in (("padding", {}), ("padding and mask", masked)):
            if also or key == "padding":
                yield Mutation(
                    key,
                    "padding index ignored",
                    f"the row of the padding index {padding} receives a gradient",
                    with_pullback(padded),
                    1,
                    formula,
                    also=also,
                )


def _read_often(site: Site) -> Iterator[Mutation]:
    """Elements that are read at several places, by windows that overlap or a border that repeats them."""
    x, index = site.args[:2]
    if not any(isinstance(item, Tensor) for item in index) or not x.requires_grad:
        return
    slot: Slot = ("args", 0)
    places = torch.arange(x.numel()).reshape(x.shape)[index].reshape(-1)
    if places.unique().numel() == places.numel():
        return
    for key, turned in (("last", False), ("first", True)):
        order = torch.arange(places.numel()).flip(0) if turned else torch.arange(places.numel())
        writers = last_writers(places[order].numpy(), x.numel())

        def written(g: Tensor, i: Any, y: Tensor, d: Any, order: Tensor = order, writers: Tensor = writers) -> Any:
            value = g.reshape(-1)[order][writers.clamp(min=0)] * (writers >= 0)
            return {slot: value.reshape(x.shape)}

        yield Mutation(
            f"only the {key} place",
            "overwritten instead of added",
            f"an element that is read at several places keeps the gradient of the {key} place, not the sum",
            with_pullback(written),
            2,
            FORMULA_OF["getitem"],
        )


def _unmasked(g: Tensor, i: Any, y: Tensor, d: Any, slots: list[Slot]) -> dict[Slot, Tensor]:
    return {slot: g for slot in slots if slot in d and d[slot].shape == g.shape}


def _index(site: Site) -> tuple[Slot, Tensor, int | None] | None:
    """The slot of the table, the rows that are read, and the padding row."""
    if site.name == "embedding":
        given = bound("embedding", site.args, site.kwargs)
        index, table, padding = given["input"], given["weight"], given.get("padding_idx")
        if padding is not None and padding < 0:
            padding += table.shape[0]
    else:
        table = site.args[0]
        index = site.args[-1] if len(site.args) > 1 else None
        if site.name == "index_select" and site.args[1] != 0:
            return None
        padding = None
    if not isinstance(index, Tensor) or index.dtype not in (torch.int64, torch.int32):
        return None
    slot = next((s for s in site.slots if site.tensor(s) is table), None)
    return None if slot is None or not table.requires_grad else (slot, index, padding)


def _dropped(site: Site, around: Around) -> Iterator[Mutation]:
    slot = site.slots[0]
    p = float(bound(site.name, site.args, site.kwargs).get("p", 0.5))
    if not site.tensor(slot).requires_grad or not 0 < p < 1:
        return
    seen = around.bench.evidence.pairs.get(around.bench.input_gradient_of(site))
    if seen is not None and seen.actual.shape == tuple(site.tensor(slot).shape):
        passed = torch.from_numpy(seen.actual != 0)
        yield Mutation(
            "another mask",
            "another mask",
            "the gradient of dropout passes through another mask than the values did",
            with_pullback(lambda g, i, y, d: {slot: g * passed.to(g.dtype) / (1 - p)}),
            3,
            FORMULA_OF["dropout"],
        )
    yield Mutation(
        "no mask",
        "derivative left out",
        "the gradient of dropout passes dropped places too",
        with_pullback(lambda g, i, y, d: {slot: g}),
        2,
        FORMULA_OF["dropout"],
    )
    yield Mutation(
        "no mask, scaled",
        "mask ignored",
        "the gradient of dropout passes dropped places too, divided by 1 - p",
        with_pullback(lambda g, i, y, d: {slot: g / (1 - p)}),
        2,
        FORMULA_OF["dropout"],
    )


# -- sums over axes ----------------------------------------------------------------------------------------------------


def spread(site: Site, around: Around) -> Iterator[Mutation]:
    """The gradient of a value that was spread over rows: not added up, or over the wrong ones."""
    if site.name not in ("add", "sub", "mul", "linear", "addmm", "conv1d", "conv2d") or not isinstance(
        site.output, Tensor
    ):
        return
    given = bound(site.name, site.args, site.kwargs)
    for slot in site.slots:
        tensor = site.tensor(slot)
        bias = site.name in ("linear", "conv1d", "conv2d")
        if not tensor.requires_grad or (bias and tensor is not given.get("bias")):
            continue
        axes = _spread_over(tensor, site.output, channels_first=site.name.startswith("conv"))
        if not axes:
            continue
        other = next((site.tensor(s) for s in site.slots if s != slot), None) if site.name == "mul" else None
        sign = -1.0 if site.name == "sub" and slot == site.slots[1] else 1.0
        yield from _not_summed(site, around, slot, axes, other, sign)


def unsummed(site: Site, around: Around) -> Iterator[tuple[str, Tensor]]:
    """The gradients of parameters that were spread over rows, by name, as they are before they are summed."""
    given = bound(site.name, site.args, site.kwargs)
    for slot in site.slots:
        name = around.parameter(site.tensor(slot))
        if name is None or site.gradient is None or not _spread_over(site.tensor(slot), site.output, False):
            continue
        if site.name == "linear" and site.tensor(slot) is given.get("bias"):
            yield name, site.gradient
        elif site.name in ("add", "sub"):
            yield name, -site.gradient if site.name == "sub" and slot == site.slots[1] else site.gradient
        elif site.name == "mul" and len(site.slots) == 2:
            other = next(site.tensor(s) for s in site.slots if s != slot)
            yield name, site.gradient * other.detach()


def _spread_over(tensor: Tensor, output: Tensor, channels_first: bool) -> tuple[int, ...]:
    """The axes of the output over which a value was spread."""
    if channels_first:
        return tuple(axis for axis in range(output.ndim) if axis != 1)
    shape = (1,) * (output.ndim - tensor.ndim) + tuple(tensor.shape)
    return tuple(axis for axis in range(output.ndim) if shape[axis] == 1 and output.shape[axis] > 1)


def _not_summed(
    site: Site, around: Around, slot: Slot, axes: tuple[int, ...], other: Tensor | None, sign: float
) -> Iterator[Mutation]:
    shape = site.tensor(slot).shape
    mine = around.source(site, slot)
    formula = "a value that is spread over an axis gets the sum of the gradients over that axis"

    def each(g: Tensor, i: Any) -> Tensor:
        return sign * (g if other is None else g * next(value for s, value in i.items() if s != slot))

    for key, place in (("first", 0), ("last", -1)):

        def one(g: Tensor, i: Any, y: Tensor, d: Any, place: int = place) -> dict[Slot, Tensor]:
            kept = each(g, i)
            for axis in axes:
                kept = kept.select(axis, place).unsqueeze(axis)
            return {slot: kept.reshape(shape)}

        yield Mutation(
            f"{key} {slot}",
            "broadcasting not summed",
            f"the gradient of {mine} is that of the {key} row alone, not the sum over all",
            with_pullback(one),
            3,
            formula,
        )
    count = 1
    for axis in axes:
        count *= site.output.shape[axis]
    yield Mutation(
        f"mean {slot}",
        "mean instead of sum",
        f"the gradient of {mine} is the mean over its {count} uses, not their sum",
        with_pullback(lambda g, i, y, d: {slot: d[slot] / count}),
        3,
        formula,
    )
    if len(axes) > 1:
        for axis in axes:

            def some(g: Tensor, i: Any, y: Tensor, d: Any, axis: int = axis) -> dict[Slot, Tensor]:
                kept = each(g, i)
                for extra in axes:
                    kept = kept.select(extra, 0).unsqueeze(extra) if extra == axis else kept.sum(extra, keepdim=True)
                return {slot: kept.reshape(shape)}

            yield Mutation(
                f"not axis {axis} {slot}",
                "broadcasting not summed",
                f"the gradient of {mine} is not summed over axis {axis}: only its first place counts",
                with_pullback(some),
                3,
                formula,
            )
        for some_axes in (part for k in range(1, len(axes)) for part in itertools.combinations(axes, k)):
            size = math.prod(site.output.shape[axis] for axis in some_axes)
            words = "axis" if len(some_axes) == 1 else "axes"
            yield Mutation(
                f"mean over {some_axes} {slot}",
                "mean instead of sum",
                f"the gradient of {mine} is a mean over the {size} places of {words} {', '.join(map(str, some_axes))}",
                with_pullback(holding(lambda g, i, y, d, size: {slot: d[slot] / size}, size)),
                3,
                formula,
            )
    if site.output.ndim == 2 and axes == (0,) and site.output.shape[0] == site.output.shape[1]:
        yield Mutation(
            f"other axis {slot}",
            "wrong axis",
            f"the gradient of {mine} is summed over axis 1, not over axis 0",
            with_pullback(lambda g, i, y, d: {slot: each(g, i).sum(1).reshape(shape)}),
            3,
            formula,
        )
