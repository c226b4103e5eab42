"""Options of a loss or of bags that are not heeded, or have another value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.mutation import Mutation, with_pullback
from compare.diagnosis.mutants.objectives import OBJECTIVES, bags_of
from compare.diagnosis.mutants.sites import Call, Replacement, Site

__all__ = ["options"]

_MARGINS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
_SWITCHES = {"full": "Stirling's or the constant term", "log_input": "a logarithm for the input", "swap": "the swap"}


def options(site: Site, around: Around) -> Iterator[Mutation]:
    """Another value of an option; a reduction by another count; lengths and padding that are not heeded."""
    if site.name == "ctc_loss":
        yield from _spelling(site)
    elif site.name == "embedding_bag":
        yield from _bags(site)
    elif site.name in OBJECTIVES:
        yield from _loss(site)


def _with(**changes: Any) -> Replacement:
    """The same call with some of its arguments by name changed."""
    return lambda call: _again(call, **changes)


def _again(call: Call, **changes: Any) -> Any:
    given = bound(call.func.__name__, call.args, call.kwargs)
    given = {key: value for key, value in given.items() if key not in ("size_average", "reduce")}
    return call.func(**{**given, **changes})


def _other(key: str, says: str, replace: Replacement, rank: int = 3) -> Mutation:
    return Mutation(key, "other option", says, replace, rank)


# -- losses ------------------------------------------------------------------------------------------------------------


def _loss(site: Site) -> Iterator[Mutation]:
    given = bound(site.name, site.args, site.kwargs)
    if site.name in _MARGIN_OF:
        now = given.get("margin", _MARGIN_OF[site.name])
        for margin in _MARGINS:
            if margin != now:
                yield _other(f"margin {margin}", f"the margin is {margin:g}, not {now:g}", _with(margin=margin))
    for switch, default in _SWITCHES_OF.get(site.name, {}).items():
        now = bool(given.get(switch, default))
        says = f"{_SWITCHES[switch]} is {'left out' if now else 'taken'} ({switch}={not now})"
        yield _other(switch, says, _with(**{switch: not now}))
    if "p" in given or site.name in ("multi_margin_loss", "triplet_margin_loss"):
        now = given.get("p", 1 if site.name == "multi_margin_loss" else 2)
        other = {1: 2, 2: 1}.get(int(now), 2)
        yield _other("p", f"the power p is {other}, not {now:g}", _with(p=other))
    if site.name == "gaussian_nll_loss" and isinstance(given.get("var"), Tensor):
        for key, says, change in (
            ("deviation", "the variance is taken for a deviation, and squared", torch.square),
            ("root", "the root of the variance stands for it", torch.sqrt),
            ("logarithm", "the variance is taken for its logarithm", torch.exp),
        ):
            yield Mutation(key, "wrong function", says, _of_variance(change), 3)
    yield from _reduced(site, lambda call: _again(call, reduction="none"), given.get("reduction", "mean"))


def _of_variance(change: Callable[[Tensor], Tensor]) -> Replacement:
    def replace(call: Call) -> Any:
        given = bound(call.func.__name__, call.args, call.kwargs)
        return _again(call, var=change(given["var"]))

    return replace


_MARGIN_OF = {
    "cosine_embedding_loss": 0.0,
    "hinge_embedding_loss": 1.0,
    "margin_ranking_loss": 0.0,
    "multi_margin_loss": 1.0,
    "triplet_margin_loss": 1.0,
}
_SWITCHES_OF = {
    "gaussian_nll_loss": {"full": False},
    "poisson_nll_loss": {"full": False, "log_input": True},
    "triplet_margin_loss": {"swap": False},
}


def _reduced(site: Site, terms: Callable[[Call], Tensor], reduction: str) -> Iterator[Mutation]:
    """The mean by another count, or a sum."""
    count = terms(site.call).numel()
    if reduction == "mean" and count > 1:
        for key, cause, says, factor in (
            ("sum", "sum instead of mean", f"the sum is not divided by {count}", count),
            ("twice", "divided twice", f"the mean is divided by {count} twice", 1 / count),
        ):
            yield Mutation(key, cause, says, _times(factor), 3)
        sizes = {size for tensor in site.tensors for size in (*tensor.shape, tensor.numel())}
        for size in sorted(sizes - {1, count}):
            says = f"it is divided by {size} where {count} belongs"
            yield Mutation(f"by {size}", "wrong denominator", says, _times(count / size), 4)
    elif reduction == "sum" and count > 1:
        yield Mutation("mean", "mean instead of sum", f"the sum is divided by {count}", _times(1 / count), 3)


def _times(factor: float) -> Replacement:
    return lambda call: factor * call.plain()


# -- spellings ---------------------------------------------------------------------------------------------------------


def _spelling(site: Site) -> Iterator[Mutation]:
    given = bound(site.name, site.args, site.kwargs)
    log_probs, blank = given["log_probs"], given.get("blank", 0)
    for other in sorted({0, log_probs.shape[-1] - 1} - {blank}):
        yield _other(f"blank {other}", f"the blank is class {other}, not {blank}", _with(blank=other))
    lengths = torch.as_tensor(given["input_lengths"])
    if lengths.ndim and bool((lengths < len(log_probs)).any()):
        whole = torch.full_like(lengths, len(log_probs))
        says = f"the lengths of the inputs are not heeded: every one counts with all {len(log_probs)} times"
        yield Mutation("whole inputs", "mask ignored", says, _with(input_lengths=whole), 2)
    targets, spelt = given["targets"], torch.as_tensor(given["target_lengths"])
    if targets.ndim == 2 and spelt.ndim and bool((spelt < targets.shape[1]).any()):
        whole = torch.full_like(spelt, targets.shape[1])
        says = f"the lengths of the targets are not heeded: every one counts with all {targets.shape[1]} labels"
        yield Mutation("whole targets", "mask ignored", says, _with(target_lengths=whole), 2)
    yield _other("infinity", "losses that are infinite count as zero", _with(zero_infinity=True), 4)
    if given.get("reduction", "mean") == "mean":
        divisors = spelt.clamp(min=1).to(log_probs.dtype)
        for key, cause, says, reduce in (
            ("rows", "wrong denominator", "no row's loss is divided by the length of its target", torch.mean),
            ("sum", "sum instead of mean", "the losses of the rows are added up", torch.sum),
            ("labels", "wrong denominator", "the sum is divided by all labels", lambda x: x.sum() / divisors.sum()),
            (
                "once",
                "sum instead of mean",
                "the rows' means are added up",
                lambda x: (x / divisors).sum(),
            ),
            (
                "times",
                "wrong denominator",
                "a row is divided by the length of its input",
                lambda x: (x / lengths).mean(),
            ),
        ):
            yield Mutation(key, cause, says, _terms(reduce), 3)


def _terms(reduce: Callable[[Tensor], Tensor]) -> Replacement:
    return lambda call: reduce(_again(call, reduction="none"))


# -- bags --------------------------------------------------------------------------------------------------------------


def _bags(site: Site) -> Iterator[Mutation]:
    given = bound(site.name, site.args, site.kwargs)
    mode, padding = given.get("mode", "mean"), given.get("padding_idx")
    weight = given["weight"]
    entries, bag, count = bags_of(given)
    everything = torch.bincount(bag, minlength=count).clamp(min=1).to(weight.dtype)
    kept = torch.ones_like(entries, dtype=torch.bool) if padding is None else entries != padding
    counted = torch.bincount(bag[kept], minlength=count).clamp(min=1).to(weight.dtype)
    if padding is not None and bool((entries == padding).any()):
        says = f"entries of the padding index {padding} are pooled too"
        yield Mutation("padding", "mask ignored", says, _with(padding_idx=None), 2)
        if mode == "mean":
            share = (counted / everything).unsqueeze(1)
            says = "a bag is divided by all its entries, those of the padding index among them"
            yield Mutation("padded sizes", "wrong denominator", says, lambda call: call.plain() * share, 2)
    if mode == "mean":
        sizes = counted.unsqueeze(1)
        yield Mutation(
            "sum", "sum instead of mean", "a bag is not divided by its size", lambda call: call.plain() * sizes, 2
        )
        longest = counted.max()
        says = f"every bag is divided by the size of the longest, {int(longest)}"
        yield Mutation("longest", "wrong denominator", says, lambda call: call.plain() * sizes / longest, 3)
    elif mode == "sum":
        says = "a bag is divided by its size"
        sizes = counted.unsqueeze(1)
        yield Mutation("mean", "mean instead of sum", says, lambda call: call.plain() / sizes, 2)
    elif mode == "max":
        yield _ties(site, entries, bag, kept, everything_gets=True)
        yield _ties(site, entries, bag, kept, everything_gets=False)
    for other in {"sum", "mean", "max"} - {mode}:
        if "max" in (mode, other):
            yield Mutation(f"mode {other}", "wrong function", f"{other} stands for {mode}", _with(mode=other), 4)


def _ties(site: Site, entries: Tensor, bag: Tensor, kept: Tensor, *, everything_gets: bool) -> Mutation:
    """The gradient of a maximum among entries that are equal: to each of them all of it, or its share."""
    (slot,) = [slot for slot in site.slots if site.tensor(slot).ndim == 2]

    def pullback(g: Tensor, i: Any, y: Tensor, d: Any) -> Any:
        table = i[slot]
        largest = ((table[entries] == y[bag]) & kept.unsqueeze(1)).to(table.dtype)
        if not everything_gets:
            ties = torch.zeros_like(y).index_add(0, bag, largest).clamp(min=1)
            largest = largest / ties[bag]
        return {slot: torch.zeros_like(table).index_add(0, entries, largest * g[bag])}

    says = "every entry that equals the maximum of its bag gets " + (
        "the whole gradient" if everything_gets else "an equal share of the gradient"
    )
    return Mutation(f"ties {everything_gets}", "tie policy", says, with_pullback(pullback), 2)
