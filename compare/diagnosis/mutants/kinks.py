"""Another choice of derivative where there are several: at zero, at the ends of a clamp, among equal values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import axes_of
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.mutation import Mutation, Pullback, with_pullback
from compare.diagnosis.mutants.sites import Site, Slot

__all__ = ["kinks"]

_AT_ZERO = ("relu", "leaky_relu", "abs", "elu", "hardtanh", "relu6")
_FORMULA = "torch: relu, abs and sign have derivative 0 at 0; clamp has 1 at its ends"
Inputs = Mapping[Slot, Tensor]
Share = Callable[[Tensor, Tensor], Tensor]
"""How much of the gradient each element gets, from which are tied and along which axes they are counted."""


def kinks(site: Site, around: Around) -> Iterator[Mutation]:
    """Derivatives that are chosen otherwise than torch chooses them, where the run meets such a place."""
    if not site.slots:
        return
    name, slot = site.name, site.slots[0]
    x = site.tensor(slot)
    if name in _AT_ZERO and bool((x == 0).any()):
        for value in (1.0, 0.5, -1.0, 0.0):
            says = f"the derivative of {name} at 0 is {value:g}, where torch takes another"
            yield Mutation(f"at 0: {value}", "tie policy", says, with_pullback(_at(slot, 0.0, value)), 1, _FORMULA)
    elif name == "clamp":
        for end in (*site.args[1:], *site.kwargs.values()):
            if isinstance(end, (int, float)) and bool((x == end).any()):
                says = f"the derivative of clamp at its end {end:g} is 0, where torch takes 1"
                yield Mutation(f"at {end}", "tie policy", says, with_pullback(_at(slot, float(end), 0.0)), 1, _FORMULA)
    elif name in ("maximum", "minimum"):
        yield from _of_two(site)
    elif name in ("max", "min", "amax", "amin"):
        yield from _of_many(site, slot, x)


def _at(slot: Slot, place: float, value: float) -> Pullback:
    return lambda g, i, y, d: {slot: torch.where(i[slot] == place, value * g, d[slot])}


def _of_two(site: Site) -> Iterator[Mutation]:
    if len(site.slots) != 2:
        return
    slot, other = site.slots
    if not bool((site.tensor(slot) == site.tensor(other)).any()):
        return
    for key, first, second in (("the first", 1.0, 0.0), ("the second", 0.0, 1.0), ("each", 1.0, 1.0)):

        def pullback(
            g: Tensor, i: Inputs, y: Tensor, d: Inputs, first: float = first, second: float = second
        ) -> dict[Slot, Tensor]:
            tied = i[slot] == i[other]
            return {slot: torch.where(tied, first * g, d[slot]), other: torch.where(tied, second * g, d[other])}

        says = f"where both are equal, {key} gets the whole gradient of {site.name}"
        yield Mutation(key, "tie policy", says, with_pullback(pullback), 1, "torch: two equal values share it")


def _of_many(site: Site, slot: Slot, x: Tensor) -> Iterator[Mutation]:
    axes = axes_of(site.name, site.args, site.kwargs)
    output = site.output if isinstance(site.output, Tensor) else site.output[0]
    if not axes or int((x == _kept(output, x, axes)).sum()) <= output.numel():
        return
    shares: dict[str, Share] = {
        "each of them gets the whole gradient": lambda tied, count: tied.to(count.dtype),
        "they share the gradient": lambda tied, count: tied / count,
        "the first of them gets all": lambda tied, count: _first(tied, axes).to(count.dtype),
        "the last of them gets all": lambda tied, count: _first(tied.flip(axes), axes).flip(axes).to(count.dtype),
    }
    for words, share in shares.items():

        def pullback(g: Tensor, i: Inputs, y: Tensor, d: Inputs, share: Share = share) -> dict[Slot, Tensor]:
            tied = i[slot] == _kept(y, i[slot], axes)
            count = tied.sum(axes, keepdim=True).to(g.dtype)
            return {slot: share(tied, count) * _kept(g, i[slot], axes)}

        says = f"where several values are the {site.name}, {words}, which torch does otherwise"
        yield Mutation(words, "tie policy", says, with_pullback(pullback), 1, "torch: max(axis) takes one, amax shares")


def _kept(y: Tensor, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """A result with the axes that it lost."""
    return y.reshape([1 if axis in axes else size for axis, size in enumerate(x.shape)])


def _first(tied: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The first of the tied elements along the axes."""
    rest = [axis for axis in range(tied.ndim) if axis not in axes]
    order = (*rest, *axes)
    flat: Any = tied.permute(order).reshape(*(tied.shape[axis] for axis in rest), -1)
    first = flat & (flat.cumsum(-1) == 1)
    shape = [tied.shape[axis] for axis in order]
    result: Tensor = first.reshape(shape).permute([order.index(axis) for axis in range(tied.ndim)])
    return result
