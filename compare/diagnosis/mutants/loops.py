"""Gradients that a loop over rows or places assigns, where it has to add: only one round of the loop is kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.derivatives import FORMULA_OF
from compare.diagnosis.mutants.mutation import Mutation, with_pullback
from compare.diagnosis.mutants.sites import Site, Slot

__all__ = ["assigned"]

_MOST_PLACES = 400
Inputs = Mapping[Slot, Tensor]


def assigned(site: Site, around: Around) -> Iterator[Mutation]:
    """Only the first or last row or place counts in the gradient of a weight; overlapping windows are overwritten."""
    if site.name not in ("linear", "matmul", "conv1d", "conv2d", "mul") or not isinstance(site.output, Tensor):
        return
    given = bound(site.name, site.args, site.kwargs)
    for slot in site.slots:
        tensor = site.tensor(slot)
        if not tensor.requires_grad or tensor is given.get("bias"):
            continue
        if site.name.startswith("conv") and tensor is given.get("input"):
            yield from _windows(site, slot, given)
        elif around.parameter(tensor) is not None or around.is_view_of_parameter(tensor):
            yield from _one_round(site, around, slot)


def _one_round(site: Site, around: Around, slot: Slot) -> Iterator[Mutation]:
    """The gradient of a weight from one row, one place, or one place of one row."""
    output = site.output
    features = 1 if site.name.startswith("conv") else output.ndim - 1
    axes = [axis for axis in range(output.ndim) if axis != features and output.shape[axis] > 1]
    mine = around.source(site, slot)
    for some in [part for k in range(1, len(axes) + 1) for part in itertools.combinations(axes, k)]:
        for word, place in (("last", -1), ("first", 0)):

            def pullback(
                g: Tensor, i: Inputs, y: Tensor, d: Inputs, some: tuple[int, ...] = some, place: int = place
            ) -> dict[Slot, Tensor]:
                kept = torch.zeros_like(g)
                where: list[Any] = [slice(None)] * g.ndim
                for axis in some:
                    where[axis] = place
                kept[tuple(where)] = g[tuple(where)]
                with torch.enable_grad():
                    leaf = i[slot].detach().requires_grad_(True)
                    (found,) = torch.autograd.grad(site.call.having({**i, slot: leaf}), leaf, kept)
                return {slot: found}

            along = f"axis {some[0]}" if len(some) == 1 else f"axes {', '.join(map(str, some))}"
            yield Mutation(
                f"{word} {some} {slot}",
                "overwritten instead of added",
                f"the gradient of {mine} is that of the {word} place along {along}: a loop assigns it",
                with_pullback(pullback),
                3,
                FORMULA_OF.get(site.name, ""),
            )


def _windows(site: Site, slot: Slot, given: dict[str, Any]) -> Iterator[Mutation]:
    """Windows that overlap: each overwrites what the one before has left."""
    x, weight = given["input"], given["weight"]
    rank = weight.ndim - 2
    stride, padding, dilation = (_each(given.get(key, fallback), rank) for key, fallback in _OPTIONS)
    if given.get("groups", 1) != 1 or padding is None or stride is None or dilation is None:
        return
    sizes = site.output.shape[2:]
    count = 1
    for size in sizes:
        count *= size
    if count > _MOST_PLACES:
        return
    kernel = weight.shape[2:]

    def empty(g: Tensor) -> Tensor:
        return g.new_zeros(*x.shape[:2], *(n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)))

    def trimmed(padded: Tensor) -> Tensor:
        for axis, (n, p) in enumerate(zip(x.shape[2:], padding, strict=True), 2):
            padded = padded.narrow(axis, p, n)
        return padded

    def by_place(g: Tensor, i: Inputs, y: Tensor, d: Inputs) -> dict[Slot, Tensor]:
        made = empty(g)
        for place in itertools.product(*map(range, sizes)):
            window: list[Any] = [
                slice(at * s, at * s + dil * (k - 1) + 1, dil)
                for at, s, k, dil in zip(place, stride, kernel, dilation, strict=True)
            ]
            at_place: Any = (slice(None), slice(None), *place)
            made[(slice(None), slice(None), *window)] = torch.tensordot(g[at_place], weight.detach(), 1)
        return {slot: trimmed(made)}

    def by_offset(g: Tensor, i: Inputs, y: Tensor, d: Inputs) -> dict[Slot, Tensor]:
        made = empty(g)
        for offset in itertools.product(*map(range, kernel)):
            window: list[Any] = [
                slice(dil * at, dil * at + s * (n - 1) + 1, s)
                for at, s, n, dil in zip(offset, stride, sizes, dilation, strict=True)
            ]
            at_offset: Any = (slice(None), slice(None), *offset)
            share = torch.einsum("no...,oc->nc...", g, weight.detach()[at_offset])
            made[(slice(None), slice(None), *window)] = share
        return {slot: trimmed(made)}

    loops: dict[str, Callable[..., dict[Slot, Tensor]]] = {"the windows": by_place, "the kernel": by_offset}
    for words, pullback in loops.items():
        yield Mutation(
            words,
            "overwritten instead of added",
            f"in a loop over {words} the gradient of the input is assigned, not added, where windows overlap",
            with_pullback(pullback),
            2,
            FORMULA_OF.get(site.name, ""),
        )


_OPTIONS = (("stride", 1), ("padding", 0), ("dilation", 1))


def _each(value: Any, rank: int) -> tuple[int, ...] | None:
    if isinstance(value, int):
        return (value,) * rank
    if isinstance(value, (tuple, list)):
        return tuple(value) * (rank if len(value) == 1 else 1)
    return None  # "same" and "valid"
