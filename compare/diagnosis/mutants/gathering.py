"""Mistakes in pullbacks that add gradients up: over places read several times, over axes, over terms of a softmax."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import axes_of, bound
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.derivatives import FORMULA_OF
from compare.diagnosis.mutants.mutation import Mutation, Pullback, holding, with_pullback
from compare.diagnosis.mutants.sites import Replacement, Site, Slot

__all__ = ["gathered", "spread", "statistics", "unsummed"]


# -- lookups -----------------------------------------------------------------------------------------------------------


def gathered(site: Site, around: Around) -> Iterator[Mutation]:
    """Lookups whose gradient is written over, averaged, or given to the padding row; a dropout's gradient."""
    name = site.name
    if name == "dropout":
        yield from _dropped(site, around)
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

        def averaged(g: Tensor, i: Any, y: Tensor, d: Any) -> dict[Slot, Tensor]:
            counts = torch.bincount(rows, minlength=table.shape[0]).clamp(min=1)
            return {slot: d[slot] / counts.reshape(-1, *(1,) * (table.ndim - 1)).to(table.dtype)}

        yield Mutation(
            "averaged",
            "mean instead of sum",
            "a row's gradient is divided by how often the row was looked up",
            with_pullback(averaged),
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
    p = float(bound("dropout", site.args, site.kwargs).get("p", 0.5))
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


# -- statistics --------------------------------------------------------------------------------------------------------


def statistics(site: Site, around: Around) -> Iterator[Mutation]:
    """The pullbacks of softmax, variance, norm and of losses of logits, each with a part of it missing."""
    if not site.slots:
        return
    slot = site.slots[0]
    name = site.name
    x = site.tensor(slot)
    if not x.requires_grad or not isinstance(site.output, Tensor):
        return
    formula = FORMULA_OF.get(name, "")
    for key, cause, words, pullback in _statistics(site, slot, x):
        yield Mutation(key, cause, f"the pullback of {name} {words}", with_pullback(pullback), 2, formula)


def _statistics(site: Site, slot: Slot, x: Tensor) -> Iterator[tuple[str, str, str, Pullback]]:
    name = site.name
    if name in ("softmax", "sigmoid"):
        yield from _shortcuts(site, slot)
    if name == "softmax":
        axes = axes_of(name, site.args, site.kwargs)
        yield (
            "diagonal",
            "missing term",
            "is g * y * (1 - y): only the diagonal of its Jacobian",
            lambda g, i, y, d: {slot: g * y * (1 - y)},
        )
        yield (
            "no sum",
            "missing term",
            "is g * y: the term y * sum(g * y) is left out",
            lambda g, i, y, d: {slot: g * y},
        )
        yield "one", "derivative left out", "hands the incoming gradient on", lambda g, i, y, d: {slot: g}
        yield (
            "sum of g",
            "wrong derivative",
            "subtracts sum(g), not sum(g * y)",
            lambda g, i, y, d: {slot: y * (g - g.sum(axes, keepdim=True))},
        )
        yield (
            "mean",
            "mean instead of sum",
            "subtracts the mean of g * y, not its sum",
            lambda g, i, y, d: {slot: y * (g - (g * y).mean(axes, keepdim=True))},
        )
        yield (
            "outside",
            "wrong derivative",
            "is g * y - sum(g * y): the sum is not multiplied by y",
            lambda g, i, y, d: {slot: g * y - (g * y).sum(axes, keepdim=True)},
        )
        yield (
            "plus",
            "sign",
            "adds sum(g * y) where it is to be subtracted",
            lambda g, i, y, d: {slot: y * (g + (g * y).sum(axes, keepdim=True))},
        )
        for axis in range(x.ndim):
            if (axis,) != axes:
                yield (
                    f"axis {axis}",
                    "wrong axis",
                    f"sums g * y over axis {axis}",
                    holding(lambda g, i, y, d, axis: {slot: y * (g - (g * y).sum(axis, keepdim=True))}, axis),
                )
        if x.ndim > 1:
            yield (
                "all axes",
                "wrong axis",
                "sums g * y over all axes",
                lambda g, i, y, d: {slot: y * (g - (g * y).sum())},
            )
    elif name == "log_softmax":
        axes = axes_of(name, site.args, site.kwargs)
        yield "one", "missing term", "is g: the term softmax(x) * sum(g) is left out", lambda g, i, y, d: {slot: g}
        yield (
            "no sum",
            "wrong derivative",
            "is g - softmax(x) * g: g is not summed",
            lambda g, i, y, d: {slot: g - y.exp() * g},
        )
        for axis in range(x.ndim):
            if (axis,) != axes:
                yield (
                    f"axis {axis}",
                    "wrong axis",
                    f"uses probabilities that add up to one along axis {axis}",
                    holding(
                        lambda g, i, y, d, axis: {slot: g - torch.softmax(i[slot], axis) * g.sum(axes, keepdim=True)},
                        axis,
                    ),
                )
        yield (
            "log",
            "wrong derivative",
            "uses the log of the probabilities in place of the probabilities",
            lambda g, i, y, d: {slot: g - y * g.sum(axes, keepdim=True)},
        )
    elif name in ("var", "std"):
        yield (
            "not centred",
            "missing term",
            "does not subtract the mean: x in place of x - mean(x)",
            lambda g, i, y, d: {slot: _not_centred(site, i[slot], g, y)},
        )
    elif name == "norm":
        yield (
            "no root",
            "derivative left out",
            "is g * x: the division by the norm is left out",
            lambda g, i, y, d: {slot: d[slot] * _kept(site, y)},
        )
        yield (
            "squared",
            "wrong derivative",
            "divides by the squared norm",
            lambda g, i, y, d: {slot: d[slot] / _kept(site, y)},
        )
    elif name in ("layer_norm", "batch_norm", "rms_norm", "group_norm"):
        yield (
            "variance",
            "root left out",
            "divides by the variance, not by its root",
            lambda g, i, y, d: {slot: d[slot] / _deviation(site, i[slot])},
        )
        yield (
            "not divided",
            "derivative left out",
            "does not divide by the standard deviation",
            lambda g, i, y, d: {slot: d[slot] * _deviation(site, i[slot])},
        )
    elif name in ("cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "binary_cross_entropy"):
        yield from _of_losses(site, slot, x)


def _shortcuts(site: Site, slot: Slot) -> Iterator[tuple[str, str, str, Pullback]]:
    """A slope that is written ``p - t`` behind the loss, with something else in the place of ``p``."""
    output = site.output
    rows = output.numel() if site.name == "sigmoid" else output.shape[0]
    wrong = {
        "the argument": ("derivative left out", lambda x, y: x),
        "the rounded prediction": ("wrong derivative", lambda x, y: (y > 0.5).to(y.dtype)),
    }
    for words, (cause, value) in wrong.items():
        for count in dict.fromkeys((rows, 1)):
            yield (
                f"{words} / {count}",
                cause,
                f"and the loss together are p - t, with {words} in the place of p",
                holding(
                    lambda g, i, y, d, value, count: {slot: d[slot] + (value(i[slot], y) - y) / count}, value, count
                ),
            )


def _kept(site: Site, y: Tensor) -> Tensor:
    """A reduction's result with the axes that it lost."""
    given = bound(site.name, site.args, site.kwargs)
    if given.get("keepdim"):
        return y
    for axis in axes_of(site.name, site.args, site.kwargs):
        y = y.unsqueeze(axis)
    return y


def _deviation(site: Site, x: Tensor) -> Tensor:
    """By what a normalisation divides, spread over its input."""
    given = bound(site.name, site.args, site.kwargs)
    eps = given.get("eps", 1e-5)
    if site.name == "group_norm":
        grouped = x.reshape(x.shape[0], given["num_groups"], -1)
        return (grouped.var(2, correction=0, keepdim=True) + eps).sqrt().expand_as(grouped).reshape(x.shape)
    if site.name == "batch_norm":
        if not given.get("training"):
            shape = (1, -1, *(1,) * (x.ndim - 2))
            return (given["running_var"].reshape(shape) + eps).sqrt().expand_as(x)
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    else:
        axes = tuple(range(x.ndim - len(given["normalized_shape"]), x.ndim))
    if site.name == "rms_norm":
        eps = torch.finfo(x.dtype).eps if given.get("eps") is None else eps
        return (x.square().mean(axes, keepdim=True) + eps).sqrt().expand_as(x)
    return (x.var(axes, correction=0, keepdim=True) + eps).sqrt().expand_as(x)


def _not_centred(site: Site, x: Tensor, g: Tensor, y: Tensor) -> Tensor:
    given = bound(site.name, site.args, site.kwargs)
    correction = given.get("correction", 1 if given.get("unbiased", True) else 0)
    count = x.numel() // y.numel() - correction
    gradient = _kept(site, g) * 2 * x / count
    return gradient if site.name == "var" else gradient / (2 * _kept(site, y))


def _of_losses(site: Site, slot: Slot, x: Tensor) -> Iterator[tuple[str, str, str, Pullback]]:
    """Slopes ``p - t`` with a derivative too many, or of another loss."""
    name = site.name
    if name == "cross_entropy":
        axis = 1 if x.ndim > 1 else 0
        target = bound(name, site.args, site.kwargs)["target"]
        if not target.is_floating_point() and bool((target >= 0).all()):
            picked = torch.nn.functional.one_hot(target, x.shape[axis]).movedim(-1, axis).to(x.dtype)
            yield (
                "of p",
                "derivative left out",
                "is -t / p, with respect to p, not to the logits: the derivative of the softmax is left out",
                lambda g, i, y, d: {slot: -picked / torch.softmax(i[slot], axis) * _share(g, i[slot], axis)},
            )
        yield (
            "x - t",
            "derivative left out",
            "is x - t: the softmax is left out, logits stand for probabilities",
            lambda g, i, y, d: {slot: d[slot] + (i[slot] - torch.softmax(i[slot], axis)) * _share(g, i[slot], axis)},
        )
        yield (
            "p(1-p)",
            "wrong derivative",
            "is (p - t) * p * (1 - p): the derivative of the softmax is already part of p - t",
            lambda g, i, y, d: {slot: d[slot] * _diagonal(torch.softmax(i[slot], axis))},
        )
        yield (
            "jacobian",
            "wrong derivative",
            "multiplies p - t by the Jacobian of the softmax, which is already part of it",
            lambda g, i, y, d: {slot: _jacobian(torch.softmax(i[slot], axis), d[slot], axis)},
        )
    elif name == "binary_cross_entropy_with_logits":
        yield (
            "x - t",
            "derivative left out",
            "is x - t: the sigmoid is left out, logits stand for probabilities",
            lambda g, i, y, d: {slot: d[slot] + (i[slot] - torch.sigmoid(i[slot])) * _share(g, i[slot], None)},
        )
        yield (
            "of p",
            "derivative left out",
            "is that with respect to p, not to the logits: the derivative of the sigmoid is left out",
            lambda g, i, y, d: {slot: d[slot] / _diagonal(torch.sigmoid(i[slot]))},
        )
        yield (
            "hard",
            "wrong derivative",
            "is 0 or 1 minus t: the prediction is rounded",
            lambda g, i, y, d: {
                slot: d[slot] + ((i[slot] > 0).to(g.dtype) - torch.sigmoid(i[slot])) * _share(g, i[slot], None)
            },
        )
        yield (
            "p(1-p)",
            "wrong derivative",
            "is (p - t) * p * (1 - p): the derivative of the sigmoid is already part of p - t",
            lambda g, i, y, d: {slot: d[slot] * _diagonal(torch.sigmoid(i[slot]))},
        )
    elif name == "binary_cross_entropy":
        yield (
            "p-t",
            "wrong derivative",
            "is p - t, which is the slope in the logits: the division by p (1 - p) is left out",
            lambda g, i, y, d: {slot: d[slot] * _diagonal(i[slot])},
        )
    else:
        yield (
            "sign",
            "wrong derivative",
            "is that of the absolute difference",
            lambda g, i, y, d: {slot: d[slot].sign() * (g / (1 if g.ndim else x.numel()))},
        )


def _share(g: Tensor, x: Tensor, axis: int | None) -> Tensor:
    """What each loss counts for: the incoming gradient, divided by the number of losses where it is a mean's."""
    if g.ndim:
        return g if axis is None else g.unsqueeze(axis)
    return g / (x.numel() if axis is None else x.numel() // x.shape[axis])


def _diagonal(p: Tensor) -> Tensor:
    return p * (1 - p)


def _jacobian(p: Tensor, slope: Tensor, axis: int) -> Tensor:
    return p * (slope - (p * slope).sum(axis, keepdim=True))
