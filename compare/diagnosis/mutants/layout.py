"""Mistakes in the forward pass of products and of whatever moves elements about."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound, is_square
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.mutation import Mutation, holding, instead
from compare.diagnosis.mutants.sites import Call, Replacement, Site

__all__ = ["arranged", "products"]


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
        if is_square(site.output):
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
    elif name.startswith("conv"):
        yield from _kernels(site, around)
        yield from _biased(site, tuple(1 for _ in site.args[1].shape[1:]))


def _transposed(site: Site, around: Around, places: tuple[tuple[int, str], ...]) -> Iterator[Mutation]:
    for place, what in places:
        if place < len(site.args) and is_square(site.args[place]):
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
    if isinstance(widths, (tuple, list)) and any(widths) and "transpose" not in site.name:
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


# -- arrangement -------------------------------------------------------------------------------------------------------


def arranged(site: Site, around: Around) -> Iterator[Mutation]:
    """Elements, parts or axes in another order."""
    name = site.name
    if name in ("chunk", "split", "unbind") and isinstance(site.output, (tuple, list)):
        yield from _parts(site)
    elif name in ("cat", "stack"):
        yield from _joined(site)
    elif name == "transpose" and is_square(site.output):
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
