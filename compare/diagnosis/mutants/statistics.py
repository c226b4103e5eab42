"""Mistakes in the pullbacks of softmax, norms and losses: a part missing, another axis, a derivative too many."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import axes_of, bound
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.derivatives import FORMULA_OF
from compare.diagnosis.mutants.mutation import Mutation, Pullback, holding, with_pullback
from compare.diagnosis.mutants.sites import Site, Slot

__all__ = ["statistics"]


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
