"""Mistakes in the forward pass of products, lookups, masks, dropout and whatever moves elements about."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.mutation import Mutation, holding, instead
from compare.diagnosis.mutants.sites import Call, Replacement, Site, Slot

__all__ = ["arranged", "masked", "products"]

SMALL = (
    *(0.0, 1e-12, -1e-12, 1e-10, -1e-10, 1e-9, -1e-9, 1e-8, -1e-8, 1e-6, -1e-6, 1e-5, -1e-5, 1e-4, -1e-4),
    *(-0.1, -1.0, -2.0, -3.0, -5.0, -10.0, -20.0, -30.0, -50.0, -100.0, -1e3, -1e4, -1e9),
)
"""Values that have been given to masked scores."""


# -- products ----------------------------------------------------------------------------------------------------------


def products(site: Site, around: Around) -> Iterator[Mutation]:
    """Operands the other way round or of another time, biases mishandled, kernels flipped."""
    name = site.name
    for slot in site.slots:
        for cause, words, given in around.other_weights(site.tensor(slot)) if site.outer is None else ():
            if cause == "stale weights":
                yield Mutation(
                    f"{slot} {words}",
                    cause,
                    f"{name} uses {around.source(site, slot)} {words}",
                    holding(
                        lambda call, slot, given: call.having({slot: instead(call.at(slot), given())}), slot, given
                    ),
                    1,
                )
        if around.parameter(site.tensor(slot)) is not None and name in ("add", "sub", "mul", "matmul", "linear"):
            for axis in range(site.tensor(slot).ndim):
                yield Mutation(
                    f"{slot} flipped {axis}",
                    "reversed",
                    f"{around.source(site, slot)} is read backwards along axis {axis}",
                    holding(lambda call, slot, axis: call.having({slot: call.at(slot).flip(axis)}), slot, axis),
                    4,
                )
    if name == "linear":
        yield from _transposed(site, around, ((1, "weight"),))
        yield from _biased(site, (1,))
    elif name == "matmul" and len(site.args) > 1:
        yield from _transposed(site, around, ((0, "first"), (1, "second")))
        if site.args[0].shape == site.args[1].shape and site.args[0].ndim > 1:
            yield Mutation(
                "exchanged",
                "transposed",
                "the factors of a product stand in the other order",
                lambda c: c.args[1] @ c.args[0],
                3,
            )
        if _square(site.output):
            yield Mutation(
                "product transposed",
                "transposed",
                "a product is the other way round: its factors are exchanged",
                lambda call: call.plain().mT,
                3,
            )
        if site.args[0].shape == site.args[1].shape:
            yield Mutation(
                "elementwise",
                "wrong function",
                "an elementwise product stands for a matrix product",
                lambda c: c.args[0] * c.args[1],
                4,
            )
    elif name in ("conv1d", "conv2d", "conv3d"):
        yield from _kernels(site, around)
        yield from _biased(site, tuple(1 for _ in site.args[1].shape[1:]))


def _square(tensor: Tensor) -> bool:
    return tensor.ndim > 1 and tensor.shape[-1] == tensor.shape[-2] > 1


def _transposed(site: Site, around: Around, places: tuple[tuple[int, str], ...]) -> Iterator[Mutation]:
    for place, what in places:
        if place < len(site.args) and _square(site.args[place]):
            called = around.called(site.args[place])
            yield Mutation(
                f"{what} transposed",
                "transposed",
                f"{called} is used the other way round in {site.name}",
                holding(lambda call, place: call.having({("args", place): call.args[place].mT}), place),
                3,
            )


def _biased(site: Site, extra: tuple[int, ...]) -> Iterator[Mutation]:
    bias = bound(site.name, site.args, site.kwargs).get("bias")
    if bias is None:
        return

    def plus(factor: float) -> Replacement:
        def replace(call: Call) -> Tensor:
            now = bound(call.func.__name__, call.args, call.kwargs)["bias"]
            spread = now if site.name == "linear" else now.reshape(-1, *extra[1:])
            value: Tensor = call.plain() + factor * spread
            return value

        return replace

    yield Mutation("no bias", "missing term", "the bias is left out", plus(-1.0), 3)
    yield Mutation("bias twice", "doubled term", "the bias is added twice", plus(1.0), 3)
    yield Mutation("bias subtracted", "sign", "the bias is subtracted", plus(-2.0), 3)


def _kernels(site: Site, around: Around) -> Iterator[Mutation]:
    weight = site.args[1]
    axes = tuple(range(2, weight.ndim))
    for some in [axes, *((axis,) for axis in axes if len(axes) > 1)]:
        yield Mutation(
            f"flipped {some}",
            "reversed",
            f"the kernel is flipped along {'all its axes' if some == axes else f'axis {some[0]}'}: a convolution as "
            "signal processing has it, where torch's is a correlation",
            holding(lambda call, some: call.having({("args", 1): call.args[1].flip(some)}), some),
            2,
        )
    order = (0, weight.ndim - 1, *range(1, weight.ndim - 1))
    for key, says, change in (
        ("channels last", "the kernel's numbers are read with the channels as the last axis", _read_channels_last),
        (
            "channels moved",
            "the kernel is laid out with the channels last, and read with them first",
            _laid_channels_last,
        ),
    ):
        yield Mutation(
            key,
            "permuted",
            says,
            holding(lambda call, change: call.having({("args", 1): change(call.args[1], order)}), change),
            4,
        )
    padding = bound(site.name, site.args, site.kwargs).get("padding", 0)
    widths = (padding,) * len(axes) if isinstance(padding, int) else padding
    if isinstance(widths, (tuple, list)) and any(widths):
        for mode in ("replicate", "reflect", "circular"):
            yield Mutation(
                mode,
                "wrong function",
                f"the input is padded by {mode} values, not by zeros",
                holding(_padded_by, mode, [width for width in reversed(widths) for _ in range(2)]),
                4,
            )
    if weight.shape[0] == weight.shape[1]:
        yield Mutation(
            "channels exchanged",
            "transposed",
            "the kernel's input and output channels are exchanged",
            lambda call: call.having({("args", 1): call.args[1].transpose(0, 1)}),
            3,
        )
    if weight.ndim == 4 and weight.shape[2] == weight.shape[3]:
        yield Mutation(
            "kernel transposed",
            "transposed",
            "the kernel's height and width are exchanged",
            lambda call: call.having({("args", 1): call.args[1].mT}),
            3,
        )


def _read_channels_last(weight: Tensor, order: tuple[int, ...]) -> Tensor:
    """The same memory as if it held rows, columns, channels."""
    shape = (weight.shape[0], *weight.shape[2:], weight.shape[1])
    return weight.reshape(shape).permute(order)


def _laid_channels_last(weight: Tensor, order: tuple[int, ...]) -> Tensor:
    """Rows, columns, channels in memory, read as channels, rows, columns."""
    inverse = (0, *range(2, weight.ndim), 1)
    return weight.permute(inverse).reshape(weight.shape)


def _padded_by(call: Call, mode: str, widths: list[int]) -> Any:
    given = bound(call.func.__name__, call.args, call.kwargs)
    padded = torch.nn.functional.pad(given["input"], widths, mode)
    return call.func(**{**given, "input": padded, "padding": 0})


# -- masks, lookups, dropout -------------------------------------------------------------------------------------------


def masked(site: Site, around: Around) -> Iterator[Mutation]:
    """Masks left out, inverted, off by one, or with a value that does not hide; dropout's scale; clamps left out."""
    name = site.name
    yield from _whole_masks(site, around)
    if name == "masked_fill":
        yield from _fills(site, lambda call: (call.args[0], call.args[1]))
        yield from _after_softmax(site, around)
    elif name == "where" and len(site.args) == 3:
        yield from _branches(site)
    elif name == "add" and _hides(site):
        place = 1 if not site.args[1].requires_grad else 0
        yield from _fills(site, lambda call: (call.args[1 - place], call.args[place] < -1e3))
    elif name in ("triu", "tril"):
        given = bound(name, site.args, site.kwargs)
        diagonal = int(given.get("diagonal", 0))
        for other in (diagonal + 1, diagonal - 1):
            yield Mutation(
                f"diagonal {other}",
                "mask ignored",
                f"the mask's {name} starts at diagonal {other} in place of {diagonal}",
                holding(lambda call, other: getattr(torch, name)(call.args[0], other), other),
                3,
            )
    elif name == "dropout":
        yield from _dropped(site)
    elif name == "clamp":
        yield Mutation("no clamp", "left out", "the clamp is left out", lambda call: call.args[0], 3)


def _whole_masks(site: Site, around: Around) -> Iterator[Mutation]:
    """A mask of ones and zeros that is taken to be all ones, wherever it is used."""
    for slot in site.slots:
        mask = site.tensor(slot)
        if not around.is_mask(mask) or around.sites.maker(mask) is not None:
            continue
        users = [(user, s) for user in around.uses(mask) for s in user.slots if user.tensor(s) is mask]
        if users[0][0] is site and len(users) > 1:
            replaced = {user.path: holding(_all_ones, s) for user, s in users}
            yield Mutation(
                "whole mask",
                "mask ignored",
                "the mask is left out wherever it is used: all places are counted",
                replaced.pop(site.path),
                2,
                also=replaced,
            )


def _all_ones(call: Call, slot: Slot) -> Any:
    return call.having({slot: torch.ones_like(call.at(slot))})


def _hides(site: Site) -> bool:
    return len(site.args) > 1 and any(
        isinstance(value, Tensor) and not value.requires_grad and value.numel() and float(value.min()) < -1e3
        for value in site.args[:2]
    )


def _fills(site: Site, parts: Any) -> Iterator[Mutation]:
    yield Mutation("no mask", "mask ignored", "the mask is left out", lambda call: parts(call)[0].clone(), 2)
    for value in SMALL:
        if not value:
            continue
        yield Mutation(
            f"fill {value}",
            "mask with a small value",
            f"masked scores are set to {value:g}, which does not hide them",
            holding(lambda call, value: parts(call)[0].masked_fill(parts(call)[1], value), value),
            3,
        )
        yield Mutation(
            f"add {value}",
            "mask with a small value",
            f"{value:g} is added to masked scores, which does not hide them",
            holding(lambda call, value: parts(call)[0] + parts(call)[1] * value, value),
            4,
        )
    yield Mutation(
        "fill 0",
        "mask with a small value",
        "masked scores are set to 0, which does not hide them from a softmax",
        lambda call: parts(call)[0].masked_fill(parts(call)[1], 0.0),
        3,
    )
    yield from _other_masks(site, parts)
    if isinstance(site.args[1], Tensor) and site.name == "masked_fill":
        yield Mutation(
            "inverted",
            "wrong function",
            "the mask is inverted",
            lambda call: call.args[0].masked_fill(~call.args[1], call.args[2]),
            4,
        )


def _other_masks(site: Site, parts: Any) -> Iterator[Mutation]:
    """The mask of another triangle: turned round, or one place off."""
    mask = parts(site.call)[1]
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or not _square(mask):
        return
    flat = mask.reshape(-1, *mask.shape[-2:])
    low = float("-inf")
    if not torch.equal(mask, mask.mT):
        yield Mutation(
            "mask turned",
            "transposed",
            "the mask is the other way round",
            lambda call: parts(call)[0].masked_fill(parts(call)[1].mT, low),
            3,
        )
    ones = torch.ones_like(flat)
    for diagonal in (-1, 0, 1, 2):
        for name in ("triu", "tril"):
            if torch.equal(flat, getattr(ones, name)(diagonal)):
                for other in (diagonal - 1, diagonal + 1):
                    shifted = getattr(torch.ones_like(mask), name)(other)
                    much = "more" if shifted.sum() > mask.sum() else "less"
                    yield Mutation(
                        f"{name} {other - diagonal:+d}",
                        "mask ignored",
                        f"the mask hides {much} by one diagonal than it should",
                        holding(lambda call, shifted: parts(call)[0].masked_fill(shifted, low), shifted),
                        3,
                    )


def _after_softmax(site: Site, around: Around) -> Iterator[Mutation]:
    """The mask applied to the probabilities, which then no longer add up to one."""
    for user in around.consumers(site):
        if user.name == "softmax" and (user.outer is site.outer):
            yield Mutation(
                "after softmax",
                "mask ignored",
                "the mask is applied after the softmax: hidden places take part in its sum",
                lambda call: call.args[0].clone(),
                2,
                also={user.path: lambda call: call.plain().masked_fill(site.args[1], 0.0)},
            )


def _branches(site: Site) -> Iterator[Mutation]:
    a, b = site.args[1:]
    for place, (value, other) in enumerate(((a, b), (b, a))):
        if isinstance(value, Tensor) and tuple(value.shape) == tuple(site.output.shape):
            hidden = isinstance(other, (int, float)) or (isinstance(other, Tensor) and other.numel() == 1)
            yield Mutation(
                f"only {place}",
                "mask ignored" if hidden else "left out",
                "the mask is left out" if hidden else "one branch of where() is always taken",
                holding(lambda call, place: call.args[1 + place].clone(), place),
                3,
            )
            if hidden and float(other) < -1e3:
                yield from _fills(
                    site, holding(lambda c, place: (c.args[1 + place], c.args[0] if place else ~c.args[0]), place)
                )
    yield Mutation(
        "branches exchanged",
        "wrong function",
        "the two branches of where() are exchanged",
        lambda call: torch.where(call.args[0], call.args[2], call.args[1]),
        4,
    )


def _dropped(site: Site) -> Iterator[Mutation]:
    p = float(bound("dropout", site.args, site.kwargs).get("p", 0.5))
    if not 0 < p < 1:
        return
    formula = "dropout in training: x * mask / (1 - p)"
    for key, says, factor in (
        ("no scale", f"kept values are not divided by 1 - p = {1 - p:g}", 1 - p),
        ("by p", f"kept values are divided by p = {p:g} in place of 1 - p", (1 - p) / p),
        ("multiplied", f"kept values are multiplied by 1 - p = {1 - p:g} in place of divided", (1 - p) ** 2),
        ("twice", f"kept values are divided by 1 - p = {1 - p:g} twice", 1 / (1 - p)),
    ):
        yield Mutation(
            key, "dropout scale", says, holding(lambda call, factor: call.plain() * factor, factor), 1, formula
        )
    yield Mutation("no dropout", "left out", "dropout is left out", lambda call: call.args[0].clone(), 3)


# -- arrangement -------------------------------------------------------------------------------------------------------


def arranged(site: Site, around: Around) -> Iterator[Mutation]:
    """Elements, parts or axes in another order."""
    name = site.name
    if name in ("chunk", "split", "unbind") and isinstance(site.output, (tuple, list)):
        yield from _parts(site)
    elif name in ("cat", "stack"):
        yield from _joined(site)
    elif name == "transpose" and isinstance(site.output, Tensor) and _square(site.output):
        yield Mutation(
            "not transposed", "transposed", "a matrix is not transposed", lambda call: call.args[0].clone(), 4
        )
    elif name == "reshape" and site.args and site.args[0].ndim > 1:
        yield from _reshaped(site)
    elif name == "flip":
        yield Mutation("not flipped", "reversed", "an axis is not turned round", lambda call: call.args[0].clone(), 3)
    elif name == "getitem":
        yield from _siblings(site, around)
    elif name in ("maximum", "minimum"):
        other = torch.minimum if name == "maximum" else torch.maximum
        yield Mutation(
            "other end", "wrong function", f"{other.__name__} stands for {name}", lambda c: other(*c.args[:2]), 4
        )


def _parts(site: Site) -> Iterator[Mutation]:
    parts = [part for part in site.output if isinstance(part, Tensor)]
    if not 2 <= len(parts) <= 4 or len({tuple(part.shape) for part in parts}) != 1:
        return
    for order in itertools.permutations(range(len(parts))):
        if order != tuple(range(len(parts))):
            yield Mutation(
                f"order {order}",
                "permuted",
                f"the {len(parts)} parts (gates) are taken in the order {', '.join(map(str, order))}",
                holding(lambda call, order: tuple(call.plain()[place] for place in order), order),
                3 if sum(a != b for a, b in enumerate(order)) == 2 else 4,
            )


def _joined(site: Site) -> Iterator[Mutation]:
    tensors = list(site.args[0])
    if not 2 <= len(tensors) <= 4:
        if len({tuple(item.shape) for item in tensors}) == 1:
            yield Mutation(
                "reversed",
                "reversed",
                "parts are joined from the last to the first",
                lambda c: _rejoin(c, c.args[0][::-1]),
                4,
            )
        return
    for order in itertools.permutations(range(len(tensors))):
        if order != tuple(range(len(tensors))):
            yield Mutation(
                f"order {order}",
                "permuted",
                f"parts are joined in the order {', '.join(map(str, order))}",
                holding(lambda call, order: _rejoin(call, [call.args[0][place] for place in order]), order),
                4,
            )


def _rejoin(call: Call, tensors: Any) -> Any:
    return call.func(tensors, *call.args[1:], **call.kwargs)


def _reshaped(site: Site) -> Iterator[Mutation]:
    x, output = site.args[0], site.output
    if not isinstance(output, Tensor) or x.numel() != output.numel() or _trivial(x.shape, output.shape):
        return

    def by_columns(call: Call) -> Tensor:
        value = call.args[0]
        columns = value.permute(*reversed(range(value.ndim))).reshape(tuple(reversed(output.shape)))
        return columns.permute(*reversed(range(output.ndim)))

    yield Mutation(
        "by columns", "permuted", "a reshape runs through the first axis first (column order)", by_columns, 4
    )
    for a, b in itertools.combinations(range(x.ndim), 2):
        if 1 in (x.shape[a], x.shape[b]):
            continue
        yield Mutation(
            f"axes {a} {b}",
            "permuted",
            f"axes {a} and {b} are exchanged before a reshape",
            holding(lambda call, a, b: call.args[0].transpose(a, b).reshape(output.shape), a, b),
            4,
        )


def _trivial(before: Any, after: Any) -> bool:
    """Whether a reshape only adds or drops axes of one element."""
    return [size for size in before if size != 1] == [size for size in after if size != 1]


def _siblings(site: Site, around: Around) -> Iterator[Mutation]:
    """Two slices of one tensor exchanged: gates, heads, halves."""
    later = [
        other
        for other in around.sites
        if other.name == "getitem"
        and other.path > site.path
        and other.args[0] is site.args[0]
        and isinstance(other.output, Tensor)
        and isinstance(site.output, Tensor)
        and other.output.shape == site.output.shape
    ]
    for other in later[:7]:
        here, there = site.args[1], other.args[1]
        if repr(here) == repr(there):
            continue
        yield Mutation(
            f"exchanged with {other.path}",
            "permuted",
            f"two slices of one tensor ({_index(here)} and {_index(there)}) are exchanged",
            holding(lambda call, there: call.args[0][there], there),
            3,
            also={other.path: holding(lambda call, here: call.args[0][here], here)},
        )


def _index(index: Any) -> str:
    if isinstance(index, tuple):
        return "[" + ", ".join(_index(item).strip("[]") for item in index) + "]"
    if isinstance(index, slice):
        start, stop = ("" if end is None else str(end) for end in (index.start, index.stop))
        return f"[{start}:{stop}]"
    return "[...]" if isinstance(index, Tensor) or index is Ellipsis else f"[{index}]"
