"""Mistakes in the forward pass of sums, means, variances, norms, softmax and whatever else runs over an axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import axes_of, bound
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.functions import EPS
from compare.diagnosis.mutants.mutation import Mutation, behind_another_shape, holding
from compare.diagnosis.mutants.sites import Call, Site

__all__ = ["over_axes"]

Axes = tuple[int, ...]
_HIDDEN = -1e9
"""Stands for minus infinity where a whole row may be hidden."""

_REDUCTIONS: dict[str, Callable[[Tensor, Axes, bool], Tensor]] = {
    "sum": lambda x, axes, keep: x.sum(axes, keepdim=keep),
    "mean": lambda x, axes, keep: x.mean(axes, keepdim=keep),
    "logsumexp": lambda x, axes, keep: x.logsumexp(axes, keepdim=keep),
    "amax": lambda x, axes, keep: x.amax(axes, keepdim=keep),
    "amin": lambda x, axes, keep: x.amin(axes, keepdim=keep),
}


def over_axes(site: Site, around: Around) -> Iterator[Mutation]:
    """Another axis, another count, another statistic."""
    name = site.name
    if not site.slots or not isinstance(site.output, Tensor):
        return
    x = site.tensor(site.slots[0])
    if name in ("sum", "mean"):
        yield from _counts(site, around, x)
    if name in ("sum", "mean", "logsumexp"):
        yield from _axes(site, around, x, _REDUCTIONS[name])
    elif name in ("var", "std"):
        yield from _spreads(site, around, x)
    elif name == "norm":
        yield from _norms(site, around, x)
    elif name in ("softmax", "log_softmax"):
        yield from _softmaxes(site, x)
    elif name == "cumsum":
        yield Mutation(
            "reversed",
            "reversed",
            "the running sum starts at the other end",
            lambda call: _flipped(_x(call), call, site),
            4,
        )


def _x(call: Call) -> Tensor:
    found: Tensor = call.args[0] if call.args else call.kwargs["input"]
    return found


def _flipped(x: Tensor, call: Call, site: Site) -> Tensor:
    (axis,) = axes_of("cumsum", site.args, site.kwargs)
    return x.flip(axis).cumsum(axis).flip(axis)


def _other_axes(axes: Axes, rank: int) -> Iterator[Axes]:
    """Every other choice of as many axes, then all of them, then each alone."""
    choices = list(itertools.combinations(range(rank), len(axes))) if len(axes) > 0 else []
    choices.append(tuple(range(rank)))
    choices += [(axis,) for axis in range(rank)]
    choices += [tuple(sorted((*axes, axis))) for axis in range(rank) if axis not in axes]
    for choice in dict.fromkeys(choices):
        if choice != axes and choice:
            yield choice


def _in_words(axes: Axes, rank: int) -> str:
    if len(axes) == rank > 1:
        return "all axes"
    return f"axis {axes[0]}" if len(axes) == 1 else "axes " + " and ".join(map(str, axes))


def _axes(
    site: Site, around: Around, x: Tensor, function: Callable[[Tensor, Axes, bool], Tensor]
) -> Iterator[Mutation]:
    axes = axes_of(site.name, site.args, site.kwargs)
    keep = bool(bound(site.name, site.args, site.kwargs).get("keepdim"))
    if x.ndim < 2 or not axes or len(axes) == x.ndim:
        return
    consumers = around.consumers(site) if keep else []
    for other in _other_axes(axes, x.ndim):
        replace = holding(lambda call, other: _as_wide(function(_x(call), other, True), _x(call), axes, keep), other)
        yield Mutation(
            f"axes {other}",
            "wrong axis",
            f"{site.name} runs over {_in_words(other, x.ndim)} in place of {_in_words(axes, x.ndim)}",
            replace,
            behind=behind_another_shape(site, consumers, replace) if keep else None,
        )


def _as_wide(kept: Tensor, x: Tensor, axes: Axes, keep: bool) -> Tensor:
    """A reduction over other axes, kept, where the right one would stand; squeezed as the right one is."""
    if keep:
        return kept
    shape = [size for axis, size in enumerate(x.shape) if axis not in axes]
    squeezed = kept.squeeze()
    return squeezed.expand(shape) if squeezed.ndim == 0 else squeezed.reshape(shape)


def _counts(site: Site, around: Around, x: Tensor) -> Iterator[Mutation]:
    axes = axes_of(site.name, site.args, site.kwargs)
    count = x.numel() // max(1, site.output.numel())
    if count < 2:
        return
    if site.name == "sum" and around.is_mask(x):
        says = f"all {count} places are counted, not only those that the mask leaves"
        yield Mutation("all", "wrong denominator", says, lambda call: torch.full_like(call.plain(), count), 3)
    span = f"{count} ({_in_words(axes, x.ndim)})"
    if site.name == "mean":
        yield Mutation(
            "sum", "sum instead of mean", f"the sum is not divided by its {span} terms", lambda c: c.plain() * count
        )
        yield Mutation(
            "twice", "divided twice", f"the mean is divided by its {span} terms twice", lambda c: c.plain() / count
        )
        others = around.counts_for(x, count)
        cause, what = "wrong denominator", f"where it has {span} terms"
    else:
        yield Mutation(
            "mean", "mean instead of sum", f"the sum is divided by its {span} terms", lambda call: call.plain() / count
        )
        others = {} if around.is_divided(site) else around.counts_for(x, count)
        cause, what = "mean instead of sum", f"where its {span} terms are to be added up"
    for name, other in others.items():
        near = abs(other - count) == 1 and around.is_variance(site)
        yield Mutation(
            f"by {name}",
            "biased or unbiased variance" if near else cause,
            f"a {site.name} is divided by {other:g} ({name}) {what}",
            holding(lambda call, other: call.plain() * ((count if site.name == "mean" else 1) / other), other),
            4,
        )


def _spreads(site: Site, around: Around, x: Tensor) -> Iterator[Mutation]:
    given, axes = bound(site.name, site.args, site.kwargs), axes_of(site.name, site.args, site.kwargs)
    keep = bool(given.get("keepdim"))
    correction = given.get("correction", 1 if given.get("unbiased", True) else 0)
    function = getattr(torch, site.name)
    other = 0 if correction else 1
    words = {0: "n", 1: "n - 1"}
    yield Mutation(
        "correction",
        "biased or unbiased variance",
        f"{site.name} divides by {words[other]} where {words.get(correction, f'n - {correction}')} belongs",
        lambda call: function(_x(call), axes, correction=other, keepdim=keep),
        2,
    )
    yield from _axes(
        site, around, x, lambda value, dims, kept: function(value, dims, correction=correction, keepdim=kept)
    )
    exponent, turned = (0.5, "std") if site.name == "var" else (2.0, "var")
    yield Mutation(
        turned, "wrong function", f"{turned} stands for {site.name}", lambda call: call.plain() ** exponent, 4
    )


def _norms(site: Site, around: Around, x: Tensor) -> Iterator[Mutation]:
    given, axes = bound(site.name, site.args, site.kwargs), axes_of(site.name, site.args, site.kwargs)
    keep = bool(given.get("keepdim"))
    power = given.get("p", given.get("ord", 2))
    power = 2.0 if power in ("fro", None) else float(power)

    def norm(value: Tensor, dims: Any, kept: bool, p: float = power) -> Tensor:
        found: Tensor = torch.linalg.vector_norm(value, p, dims, keepdim=kept)
        return found

    yield Mutation("squared", "left out", "the norm is used without its root", lambda call: call.plain() ** power, 3)
    for other in (1.0, 2.0, float("inf")):
        if other != power:
            yield Mutation(
                f"p = {other}",
                "wrong function",
                f"the norm has p = {other:g} where {power:g} belongs",
                holding(lambda call, other: norm(_x(call), axes, keep, other), other),
                4,
            )
    yield from _axes(site, around, x, norm)


def _softmaxes(site: Site, x: Tensor) -> Iterator[Mutation]:
    axes = axes_of(site.name, site.args, site.kwargs)
    rank = x.ndim
    log = site.name == "log_softmax"
    function = torch.log_softmax if log else torch.softmax
    formula = "softmax: exp(x_i) / sum_j exp(x_j) along the one axis of the classes"

    def over(value: Tensor, dims: Axes) -> Tensor:
        value = value.clamp(min=_HIDDEN)
        if len(dims) == 1:
            return function(value, dims[0])
        return function(value.reshape(-1), 0).reshape(value.shape)

    for axis in [*((axis,) for axis in range(rank)), tuple(range(rank))]:
        if axis != axes and rank > 1:
            yield Mutation(
                f"axis {axis}",
                "wrong axis",
                f"{site.name} runs over {_in_words(axis, rank)} in place of {_in_words(axes, rank)}",
                holding(lambda call, axis: over(_x(call), axis), axis),
                2,
                formula,
            )
    if log:
        for base in (2, 10):
            yield Mutation(
                f"log{base}",
                "wrong function",
                f"log{base} stands for the natural logarithm",
                holding(lambda call, base: call.plain() / math.log(base), base),
                4,
            )
        for eps in EPS:
            yield Mutation(
                f"eps {eps}",
                "other eps",
                f"an eps of {eps:g} is added to the probabilities before their log is taken",
                holding(lambda call, eps: torch.log(torch.softmax(_x(call), axes[0]) + eps), eps),
                5,
            )
    yield Mutation(f"no {site.name}", "left out", f"{site.name} is left out", _x, 3)
    if log:
        yield Mutation(
            "no log", "left out", "the log of the softmax is left out", lambda c: torch.softmax(_x(c), axes[0]), 3
        )
        yield Mutation(
            "softmax before",
            "applied twice",
            "softmax is applied before log_softmax, which applies it again",
            lambda call: torch.log_softmax(torch.softmax(_x(call), axes[0]), axes[0]),
            2,
        )
    else:
        yield Mutation(
            "twice", "applied twice", "softmax is applied twice", lambda call: torch.softmax(call.plain(), axes[0]), 2
        )
        yield Mutation(
            "log", "wrong function", "log_softmax stands for softmax", lambda c: torch.log_softmax(_x(c), axes[0]), 4
        )
        yield Mutation(
            "sigmoid", "wrong function", "sigmoid stands for softmax", lambda call: torch.sigmoid(_x(call)), 4
        )
    yield Mutation(
        "negative", "sign", f"{site.name} is taken of the negative", lambda call: function(-_x(call), axes[0]), 4
    )
