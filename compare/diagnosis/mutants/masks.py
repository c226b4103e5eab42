"""Mistakes in the forward pass of masks, branches, clamps and dropout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound, is_square
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.channels import DROPOUTS
from compare.diagnosis.mutants.mutation import Mutation, holding
from compare.diagnosis.mutants.sites import Call, Site, Slot

__all__ = ["masked"]

SMALL = (
    *(0.0, 1e-12, -1e-12, 1e-10, -1e-10, 1e-9, -1e-9, 1e-8, -1e-8, 1e-6, -1e-6, 1e-5, -1e-5, 1e-4, -1e-4),
    *(-0.1, -1.0, -2.0, -3.0, -5.0, -10.0, -20.0, -30.0, -50.0, -100.0, -1e3, -1e4, -1e9),
)
"""Values that have been given to masked scores."""


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
    elif name in DROPOUTS:
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
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or not is_square(mask):
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
    p = float(bound(site.name, site.args, site.kwargs).get("p", 0.5))
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
