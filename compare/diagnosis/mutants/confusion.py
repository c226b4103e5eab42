"""One thing taken for another of its kind, and operations that come in another order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from compare.diagnosis.mutants.arguments import scalar_of
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.mutation import Mutation, holding
from compare.diagnosis.mutants.sites import Call, Site, Slot

__all__ = ["confused", "reordered"]

_MOST_ALIKE = 6
"""Parameters of one shape among which one may be taken for another."""


def confused(site: Site, around: Around) -> Iterator[Mutation]:
    """Another parameter of the same shape; the shares of a mixture exchanged; axes reshaped that are to be moved."""
    for slot in site.slots:
        tensor = site.tensor(slot)
        name = around.parameter(tensor)
        if name is None:
            continue
        others = [(what, value) for what, value in around.values_like(site, tensor) if around.parameter(value)]
        for what, value in others[:_MOST_ALIKE]:
            yield Mutation(
                f"{slot} {what}",
                "wrong operand",
                f"{site.name} uses {what} in place of {name}",
                holding(lambda call, slot, value: call.having({slot: value}), slot, value),
                4,
            )
    if site.name == "add":
        yield from _shares(site, around)
    elif site.name == "permute":
        yield from _reshaped(site)


def _shares(site: Site, around: Around) -> Iterator[Mutation]:
    """``(1 - z) a + z b`` with the two shares exchanged."""
    makers = [around.sites.maker(tensor) for tensor in site.tensors]
    if len(makers) != 2 or any(maker is None or maker.name != "mul" or len(maker.slots) != 2 for maker in makers):
        return
    first, second = makers
    assert first is not None
    assert second is not None
    for one, other in ((first, second), (second, first)):
        for slot, twin in itertools.product(one.slots, other.slots):
            maker = around.sites.maker(one.tensor(slot))
            if maker is None or maker.name != "rsub" or scalar_of(maker.args) != 1:
                continue
            if maker.tensors[0] is other.tensor(twin):
                turned = {
                    place.path: holding(lambda call, slot: call.having({slot: 1 - call.at(slot)}), at)
                    for place, at in ((one, slot), (other, twin))
                }
                yield Mutation(
                    "shares",
                    "permuted",
                    "the two shares of a mixture, z and 1 - z, are exchanged",
                    lambda call: call.plain(),
                    3,
                    also=turned,
                )


def _reshaped(site: Site) -> Iterator[Mutation]:
    """Two axes that are to be moved past each other are only counted anew."""
    x, output = site.tensor(site.slots[0]), site.output
    order = _order(site, x.ndim)
    if order is None or not isinstance(output, Tensor):
        return
    for a, b in itertools.combinations(range(x.ndim), 2):
        if x.shape[a] == 1 or x.shape[b] == 1:
            continue
        swapped = {a: b, b: a}
        shape = [x.shape[swapped.get(axis, axis)] for axis in range(x.ndim)]
        turned = [swapped.get(axis, axis) for axis in order]

        def replace(call: Call, shape: list[int], turned: list[int]) -> Any:
            return call.args[0].reshape(shape).permute(turned)

        yield Mutation(
            f"reshaped {a} {b}",
            "permuted",
            f"axes {a} and {b} are reshaped into each other's place, not moved there",
            holding(replace, shape, turned),
            3,
        )


def _order(site: Site, rank: int) -> list[int] | None:
    given = site.args[1] if len(site.args) == 2 else site.args[1:] or site.kwargs.get("dims")
    if not isinstance(given, (tuple, list)) or len(given) != rank:
        return None
    return [int(axis) % rank for axis in given]


# -- order -------------------------------------------------------------------------------------------------------------


def reordered(site: Site, around: Around) -> Iterator[Mutation]:
    """A gate that multiplies before a linear map and not after it; a norm before a sum and not after it."""
    if site.name == "mul" and len(site.slots) == 2:
        for slot, gate in (site.slots, site.slots[::-1]):
            yield from _gate_first(site, around, slot, gate)
    elif site.name == "add" and len(site.slots) == 2:
        yield from _norm_first(site, around)
        yield from _from_the_normed(site, around)


def _gate_first(site: Site, around: Around, slot: Slot, gate: Slot) -> Iterator[Mutation]:
    """``r (W h + b)`` becomes ``W (r h) + b``."""
    part, number = around.sites.maker(site.tensor(slot)), None
    if part is not None and part.name in ("chunk", "split", "unbind"):
        number = next(place for place, value in enumerate(part.output) if value is site.tensor(slot))
        product = around.sites.maker(part.tensor(part.slots[0]))
    else:
        product = part
    if (
        part is None
        or product is None
        or product.name != "linear"
        or product.tensors[0].shape != site.tensor(gate).shape
    ):
        return
    kept: dict[str, Call] = {}
    first, whole = product.slots[0], part.slots[0]

    def keep(call: Call) -> Any:
        kept["product"] = call
        return call.plain()

    def replace(call: Call) -> Any:
        made = kept["product"].having({first: call.at(gate) * kept["product"].at(first)})
        return made if number is None else part.call.having({whole: made})[number]

    yield Mutation(
        f"gate first {slot}",
        "other order",
        "a factor multiplies what goes into a linear map, not what comes out of it",
        replace,
        3,
        also={product.path: keep},
    )


def _norm_first(total: Site, around: Around) -> Iterator[Mutation]:
    """``norm(x + f(x))`` becomes ``x + f(norm(x))``."""
    norm = next((user for user in around.consumers(total) if user.name in _NORMS), None)
    if norm is None:
        return
    slot = norm.slots[0]
    for given in total.slots:
        x = around.sites.itself(total.tensor(given))
        users = [user for user in around.uses(x) if user.outer is None and user.path < total.path]
        if not users:
            continue

        def normed(call: Call, places: list[Slot]) -> Any:
            return call.having({place: norm.call.having({slot: call.at(place)}) for place in places})

        inside = {
            user.path: holding(normed, [at for at in user.slots if around.sites.itself(user.tensor(at)) is x])
            for user in users
        }
        yield Mutation(
            f"norm first {given}",
            "other order",
            "what goes into a branch is normalised, where the sum behind it is to be",
            lambda call: call.plain(),
            3,
            also={**inside, norm.path: lambda call: call.at(slot).clone()},
        )


def _from_the_normed(total: Site, around: Around) -> Iterator[Mutation]:
    """``x + f(norm(x))`` becomes ``norm(x) + f(norm(x))``."""
    for given in total.slots:
        x = total.tensor(given)
        for norm in around.uses(x):
            if norm.name not in _NORMS or norm.path > total.path:
                continue
            kept: dict[str, Any] = {}

            def keep(call: Call, kept: dict[str, Any]) -> Any:
                kept["normed"] = call.plain()
                return kept["normed"]

            def replace(call: Call, given: Slot, kept: dict[str, Any]) -> Any:
                return call.having({given: kept["normed"]})

            yield Mutation(
                f"from the normed {given}",
                "wrong operand",
                "what is added to a branch is what went into it behind the norm, not before",
                holding(replace, given, kept),
                3,
                also={norm.path: holding(keep, kept)},
            )


_NORMS = frozenset({"layer_norm", "rms_norm"})
