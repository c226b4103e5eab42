"""Mistakes in the forward pass of losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.formulas import counted_and_weights
from compare.diagnosis.mutants.mutation import Mutation, holding
from compare.diagnosis.mutants.sites import Call, Replacement, Site

__all__ = ["LOSSES", "losses"]

LOSSES = frozenset(
    [
        "cross_entropy",
        "nll_loss",
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "kl_div",
    ]
)
_REGRESSION = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def losses(site: Site, around: Around) -> Iterator[Mutation]:
    """Another reduction, another loss, an activation too many, weights and ignored targets mishandled."""
    if site.name not in LOSSES:
        return
    yield from _reduction(site)
    given = bound(site.name, site.args, site.kwargs)
    if site.name not in ("cross_entropy", "nll_loss"):
        yield from _pairs(given)
    if site.name in _REGRESSION:
        yield from _of_regression(site)
    elif site.name in ("cross_entropy", "nll_loss"):
        yield from _of_classes(site, given)
    elif site.name == "binary_cross_entropy_with_logits":
        yield from _of_logits(given)
    elif site.name == "binary_cross_entropy":
        yield _other(
            "sigmoid first",
            "applied twice",
            "sigmoid is applied before the loss",
            F.binary_cross_entropy,
            torch.sigmoid,
        )
    elif site.name == "kl_div":
        yield from _of_divergence(given)


def _with(**changes: Any) -> Replacement:
    """The same call with some of its arguments by name changed."""

    def replace(call: Call) -> Any:
        given = bound(call.func.__name__, call.args, call.kwargs)
        given = {key: value for key, value in given.items() if key not in ("size_average", "reduce")}
        return call.func(**{**given, **changes})

    return replace


def _other(key: str, cause: str, says: str, function: Any, first: Any = None, rank: int = 2) -> Mutation:
    """Another function of the same arguments, or the same one after ``first`` was applied to the input."""

    def replace(call: Call) -> Any:
        given = bound(call.func.__name__, call.args, call.kwargs)
        value = given["input"] if first is None else first(given["input"])
        return function(value, given["target"], reduction=given.get("reduction", "mean"))

    return Mutation(key, cause, says, replace, rank)


def _reduction(site: Site) -> Iterator[Mutation]:
    given = bound(site.name, site.args, site.kwargs)
    reduction = given.get("reduction", "mean")
    x = given["input"]
    if reduction in ("mean", "batchmean"):
        count = _divisor(site, given)
        if count == 1:
            return
        yield Mutation(
            "sum", "sum instead of mean", f"the sum is not divided by {count:g}", lambda c: c.plain() * count
        )
        yield Mutation("twice", "divided twice", f"the mean is divided by {count:g} twice", lambda c: c.plain() / count)
        others = {"the rows": x.shape[0], "the elements of the input": x.numel()}
        others |= {f"the size of axis {axis}": size for axis, size in enumerate(x.shape) if axis}
        others |= {"the targets": given["target"].numel(), "one less": count - 1, "one more": count + 1}
        tried = {count}
        for name, other in others.items():
            if other > 0 and other not in tried:
                tried.add(other)
                yield Mutation(
                    f"by {name}",
                    "wrong denominator",
                    f"it is divided by {other:g} ({name}) where {count:g} belongs",
                    holding(lambda call, other: call.plain() * (count / other), other),
                    4,
                )
    elif reduction == "sum":
        for name, size in {"the elements": x.numel(), "the rows": x.shape[0]}.items():
            yield Mutation(
                f"by {name}",
                "mean instead of sum",
                f"the sum is divided by {size} ({name})",
                holding(lambda c, n: c.plain() / n, size),
            )


def _divisor(site: Site, given: dict[str, Any]) -> float:
    x, target = given["input"], given["target"]
    if given.get("reduction") == "batchmean":
        return float(x.shape[0])
    if site.name not in ("cross_entropy", "nll_loss"):
        return float(x.numel())
    if target.is_floating_point():
        return float(x.numel() / x.shape[1 if x.ndim > 1 else 0])
    _, _, weights = counted_and_weights(target, given.get("weight"), given.get("ignore_index", -100), x)
    return float(weights.sum())


def _of_regression(site: Site) -> Iterator[Mutation]:
    for name in _REGRESSION:
        if name != site.name:
            yield _other(name, "wrong function", f"{name} stands for {site.name}", getattr(F, name), None, 4)
    if site.name in ("smooth_l1_loss", "huber_loss"):
        key = "beta" if site.name == "smooth_l1_loss" else "delta"
        for value in (0.1, 0.5, 1.0, 1.5, 2.0):
            yield Mutation(f"{key} {value}", "wrong function", f"{key} is {value:g}", _with(**{key: value}), 4)
        yield Mutation(
            "half", "constant factor", "the half of the square is left out", lambda call: 2 * call.plain(), 4
        )


def _pairs(given: dict[str, Any]) -> Iterator[Mutation]:
    x, target = given["input"], given["target"]
    if x.numel() == max(x.shape, default=1) == target.numel() > 1:
        yield Mutation(
            "spread",
            "wrong function",
            "predictions and targets are spread against each other: every pair of them is compared",
            _spread,
            2,
            "a column beside a row is spread to a matrix; both must have one shape",
        )


def _spread(call: Call) -> Any:
    given = bound(call.func.__name__, call.args, call.kwargs)
    given = {key: value for key, value in given.items() if key not in ("size_average", "reduce")}
    x, t = torch.broadcast_tensors(given["input"].reshape(-1, 1), given["target"].reshape(1, -1))
    return call.func(**{**given, "input": x, "target": t})


def _of_classes(site: Site, given: dict[str, Any]) -> Iterator[Mutation]:
    x, target, weight = given["input"], given["target"], given.get("weight")
    axis = 1 if x.ndim > 1 else 0
    if site.name == "cross_entropy":
        yield Mutation(
            "softmax first",
            "applied twice",
            "softmax is applied before cross entropy, which applies it again",
            lambda call: call.func(torch.softmax(call.args[0], axis), *call.args[1:], **call.kwargs),
            2,
            "cross entropy takes logits: -x_y + log sum_j exp(x_j)",
        )
        smoothing = given.get("label_smoothing", 0.0)
        if smoothing:
            yield Mutation("no smoothing", "left out", "label smoothing is left out", _with(label_smoothing=0.0), 2)
            classes = x.shape[axis]
            yield Mutation(
                "smoothing over the others",
                "wrong denominator",
                f"label smoothing spreads {smoothing:g} over the {classes - 1} other classes, not over all {classes}",
                _with(label_smoothing=smoothing * classes / (classes - 1)),
                3,
            )
    if weight is not None:
        yield Mutation("no weights", "class weights", "the class weights are left out", _with(weight=None), 2)
        if given.get("reduction", "mean") == "mean" and not target.is_floating_point():
            counted, _, weights = counted_and_weights(target, weight, given.get("ignore_index", -100), x)
            for key, size in (("counted", float(counted.sum())), ("all", float(target.numel()))):
                yield Mutation(
                    f"weights {key}",
                    "class weights",
                    f"the weighted sum is divided by {size:g} targets, not by the sum of their weights",
                    holding(lambda call, size: call.plain() * (float(weights.sum()) / size), size),
                    2,
                )
    if not target.is_floating_point():
        for shift in (1, -1):
            yield Mutation(
                f"target {shift:+d}",
                "permuted",
                f"class indices are off by one ({shift:+d})",
                _with(target=(target + shift) % x.shape[axis]),
                4,
            )
        if x.ndim > 2:
            yield Mutation(
                "flattened",
                "permuted",
                "the scores are flattened to rows of classes as they lie, without moving the classes last",
                lambda call: call.func(
                    call.args[0].reshape(-1, call.args[0].shape[1]),
                    call.args[1].reshape(-1),
                    *call.args[2:],
                    **call.kwargs,
                ),
                3,
            )
    ignored = given.get("ignore_index", -100)
    if not target.is_floating_point() and bool((target == ignored).any()):
        yield from _ignored(given, ignored, axis)


def _ignored(given: dict[str, Any], ignored: int, axis: int) -> Iterator[Mutation]:
    target, x = given["target"], given["input"]
    counted, _, weights = counted_and_weights(target, given.get("weight"), ignored, x)
    classes = x.shape[axis]
    # a negative index counts from the end in many languages
    seen = torch.where(counted, target, torch.full_like(target, ignored % classes))
    yield Mutation(
        "ignored counted", "mask ignored", "ignored targets are counted", _with(target=seen, ignore_index=-100), 2
    )
    if given.get("reduction", "mean") == "mean":
        yield Mutation(
            "ignored in the denominator",
            "wrong denominator",
            f"it is divided by all {target.numel()} targets, not by the {int(counted.sum())} that count",
            lambda call: call.plain() * (float(weights.sum()) / target.numel()),
            2,
        )
    smoothing = given.get("label_smoothing", 0.0)
    if smoothing:

        def replace(call: Call) -> Tensor:
            now = bound("cross_entropy", call.args, call.kwargs)
            logp = torch.log_softmax(now["input"], axis)
            weight = now.get("weight")
            every = logp if weight is None else logp * weight.reshape(-1, *(1,) * (logp.ndim - 1 - axis))
            extra = -(every.mean(axis) * ~counted).sum() * smoothing
            value: Tensor = call.plain() + extra / weights.sum()
            return value

        yield Mutation("smoothing", "mask ignored", "label smoothing counts ignored targets too", replace, 2)


def _of_logits(given: dict[str, Any]) -> Iterator[Mutation]:
    yield Mutation(
        "sigmoid first",
        "applied twice",
        "sigmoid is applied before a loss that applies it again",
        lambda call: call.func(torch.sigmoid(call.args[0]), *call.args[1:], **call.kwargs),
        2,
    )
    yield _other("squares", "wrong function", "squares of p - t stand for cross entropy", F.mse_loss, torch.sigmoid, 4)
    if given.get("pos_weight") is not None:
        yield Mutation("no pos_weight", "class weights", "pos_weight is left out", _with(pos_weight=None), 2)
    if given.get("weight") is not None:
        yield Mutation("no weight", "class weights", "the weights are left out", _with(weight=None), 2)


def _of_divergence(given: dict[str, Any]) -> Iterator[Mutation]:
    log_target = bool(given.get("log_target"))
    target = given["target"]
    entropy = (target.exp() * target) if log_target else torch.xlogy(target, target)
    reduction = given.get("reduction", "mean")
    count = {"mean": target.numel(), "batchmean": target.shape[0], "sum": 1}.get(reduction)
    if count:
        yield Mutation(
            "no entropy",
            "missing term",
            "the target's own entropy is left out: a cross entropy stands for a divergence",
            lambda call: call.plain() - entropy.sum() / count,
            3,
        )
    if not log_target:

        def exchanged(call: Call) -> Any:
            given = bound("kl_div", call.args, call.kwargs)
            return F.kl_div(given["target"].log(), given["input"].exp(), reduction=reduction)

        yield Mutation("exchanged", "wrong function", "input and target are exchanged in the divergence", exchanged, 4)
