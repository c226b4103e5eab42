"""Mistakes in the forward pass of sums, differences, products, quotients and powers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import scalar_of
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.functions import EPS
from compare.diagnosis.mutants.mutation import Mutation, holding
from compare.diagnosis.mutants.sites import Call, Site

__all__ = ["arithmetic"]


def arithmetic(site: Site, around: Around) -> Iterator[Mutation]:
    """Mistakes in sums, differences, products, quotients and powers."""
    if site.name not in ("add", "sub", "rsub", "mul", "div", "rdiv", "pow") or len(site.args) < 2:
        return
    constant = scalar_of(site.args)
    if constant is None:
        yield from _of_two(site, around)
    elif site.name == "pow":
        yield from _powers(site, constant)
    elif site.name in ("mul", "div"):
        yield from _scales(site, around, constant)
    else:
        yield from _shifts(site, around, constant)


def _tensor_of(call: Call) -> Tensor:
    a, b = call.args[:2]
    found: Tensor = a if isinstance(a, Tensor) and (a.ndim or not isinstance(b, Tensor)) else b
    return found


def _x(call: Call) -> Tensor:
    found: Tensor = call.args[0] if call.args else call.kwargs["input"]
    return found


def _powers(site: Site, exponent: float) -> Iterator[Mutation]:
    yield Mutation("no power", "left out", f"the power {exponent:g} is left out", _x, 3)
    if exponent == 2:
        says = "the absolute value stands for the square"
        yield Mutation("abs", "wrong function", says, lambda call: _x(call).abs(), 4)
    for other in (2.0, 3.0, 0.5, -0.5, -1.0, -exponent, exponent + 1, exponent - 1, exponent / 2, 2 * exponent):
        if other not in (exponent, 1.0, 0.0):
            yield Mutation(
                f"power {other}",
                "wrong function",
                f"the power is {other:g} where {exponent:g} belongs",
                holding(lambda call, other: _x(call) ** other, other),
                4,
            )


def _scales(site: Site, around: Around, constant: float) -> Iterator[Mutation]:
    divides = site.name == "div"
    factor = 1 / constant if divides and constant else constant
    if divides and not isinstance(site.args[0], Tensor):
        return
    if not factor or factor == 1:
        return
    written = f"{'/' if divides else '*'} {constant:.6g}"
    if factor < 0:
        yield Mutation("sign", "sign", f"the sign of {written} is wrong", lambda call: -call.plain(), 3)
    divisor = around.divisor_of(site)
    if divisor is not None:
        yield from _divisors(site, around, *divisor)
        return
    size = abs(factor)
    plain = around.is_half(site, size)
    sign = 1 if factor > 0 else -1
    yield Mutation(
        "no scale",
        "constant factor" if plain else "scale left out",
        f"the scale {written} is left out",
        lambda call: sign * _tensor_of(call),
        4 if plain else 3,
    )
    for name, size_of in around.scales().items():
        other = sign * size_of
        if abs(other - factor) > 1e-9 * size:
            yield Mutation(
                f"scale {name}",
                "scale left out",
                f"the scale is {name} = {size_of:.6g} where {size:.6g} belongs",
                holding(lambda call, other: _tensor_of(call) * other, other),
                5,
            )
    for text, other in (
        ("is squared", factor * size),
        ("is replaced by its root", sign * size**0.5),
        ("is turned over", 1 / factor),
        ("is used twice over", 2 * factor),
        ("is halved", factor / 2),
    ):
        yield Mutation(
            f"scale {text}",
            "scale left out",
            f"the scale {written} {text}",
            holding(lambda call, other: _tensor_of(call) * other, other),
            5,
        )


def _divisors(site: Site, around: Around, count: float, half: float) -> Iterator[Mutation]:
    """A constant that makes a mean of a sum, or half a mean."""
    name = around.counts.get(int(count), "one less")
    variance = around.is_variance(site)
    yield Mutation(
        "not divided",
        "sum instead of mean",
        f"the division by {count:g} ({name}) is left out",
        lambda call: call.plain() * count,
        3,
    )
    yield Mutation(
        "divided twice",
        "divided twice",
        f"it is divided by {count:g} ({name}) twice",
        lambda call: call.plain() / count,
        3,
    )
    if half != 1:
        says = "the half that belongs to the mean of squares is left out"
        yield Mutation("no half", "constant factor", says, lambda call: call.plain() * half, 3)
    others = {other: name for other, name in around.counts.items() if other > 1}
    for other, words in (others | {count - 1: "one less", count + 1: "one more"}).items():
        if other in (0, count):
            continue
        near = variance and abs(other - count) == 1
        yield Mutation(
            f"by {other}",
            "biased or unbiased variance" if near else "wrong denominator",
            f"it is divided by {other:g} ({words}) where {count:g} belongs",
            holding(lambda call, other: call.plain() * (count / other), other),
            4,
        )


def _shifts(site: Site, around: Around, constant: float) -> Iterator[Mutation]:
    if 0 < constant <= 0.1 and site.name == "add":
        yield Mutation("no eps", "other eps", f"eps = {constant:g} is left out", _tensor_of, 3)
        for eps in EPS:
            if eps != constant:
                yield Mutation(
                    f"eps {eps}",
                    "other eps",
                    f"eps is {eps:g} where {constant:g} belongs",
                    holding(lambda call, eps: _tensor_of(call) + eps, eps),
                    4,
                )
        maker = around.sites.maker(site.args[0])
        if maker is not None and maker.name == "sqrt":
            yield Mutation(
                "eps inside",
                "eps inside the root",
                f"eps = {constant:g} is added under the root, not to it",
                lambda call: torch.sqrt(_tensor_of(call) ** 2 + constant),
                2,
                "sqrt(v) + eps, eps outside the root",
            )
        return
    if site.name == "rdiv":
        yield Mutation(
            "not turned over",
            "wrong function",
            f"{constant:g} is multiplied by the value, not divided",
            lambda call: constant * _tensor_of(call),
            4,
        )
        return
    shift = -constant if site.name == "sub" else constant
    slope = -1 if site.name == "rsub" else 1
    for key, cause, says, other_slope, other_shift in (
        ("no constant", "missing term", f"the constant {constant:g} is left out", slope, 0.0),
        ("sign of constant", "sign", f"the constant {constant:g} has the other sign", slope, -shift),
        ("sign of value", "sign", f"what stands beside the constant {constant:g} has the other sign", -slope, shift),
    ):
        yield Mutation(
            key,
            cause,
            says,
            holding(lambda call, m, c: m * _tensor_of(call) + c, other_slope, other_shift),
            4,
        )


def _of_two(site: Site, around: Around) -> Iterator[Mutation]:
    if len(site.slots) != 2 or site.slots[0][:2] != ("args", 0) or site.slots[1][:2] != ("args", 1):
        return
    first, second = (around.source(site, slot) for slot in site.slots)
    name = site.name
    a: Callable[[Call], Tensor] = lambda call: _spread(call.args[0], call.args[1])  # noqa: E731
    b: Callable[[Call], Tensor] = lambda call: _spread(call.args[1], call.args[0])  # noqa: E731
    if name == "pow":
        return
    if name in ("add", "sub"):
        sign = 1 if name == "add" else -1
        verb = "added" if name == "add" else "subtracted"
        maker = around.sites.maker(site.args[1])
        centred = name == "sub" and maker is not None and maker.name in ("mean", "sum")
        yield Mutation("no second", "left out" if centred else "missing term", f"{second} is not {verb}", a, 3)
        yield Mutation("no first", "missing term", f"{first} is left out of a sum", lambda call: sign * b(call), 3)
        turned = "subtracted" if name == "add" else "added"
        yield Mutation(
            "sign of second", "sign", f"{second} is {turned}, not {verb}", lambda c: c.args[0] - sign * c.args[1], 3
        )
        yield Mutation("sign", "sign", f"a {name} has the other sign", lambda call: -call.plain(), 4)
        yield Mutation(
            "second twice", "doubled term", f"{second} is {verb} twice", lambda c: c.plain() + sign * c.args[1], 3
        )
        yield Mutation("first twice", "doubled term", f"{first} is added twice", lambda c: c.plain() + c.args[0], 4)
        if name == "sub" and _both_vectors(site):
            yield Mutation(
                "spread",
                "wrong function",
                f"{first} and {second} are spread against each other: every difference of two elements",
                lambda call: call.args[0].reshape(-1, 1) - call.args[1].reshape(1, -1),
                2,
                "a column minus a row is a matrix; both must have one shape",
            )
        yield Mutation("product", "wrong function", f"a product stands for {name}", lambda c: c.args[0] * c.args[1], 5)
        return
    if name == "mul" and around.is_mask(site.args[1]):
        yield Mutation("no second", "mask ignored", "the mask is left out", a, 2)
    if name == "mul" and around.is_mask(site.args[0]):
        yield Mutation("no first", "mask ignored", "the mask is left out", b, 2)
    if name == "mul":
        yield Mutation("no second", "left out", f"the factor {second} is left out", a, 3)
        yield Mutation("no first", "left out", f"the factor {first} is left out", b, 3)
        yield Mutation(
            "second twice", "applied twice", f"the factor {second} is used twice", lambda c: c.plain() * c.args[1], 4
        )
        yield Mutation(
            "first twice", "applied twice", f"the factor {first} is used twice", lambda c: c.plain() * c.args[0], 4
        )
        yield Mutation(
            "divided",
            "wrong function",
            f"divided by {second} in place of multiplied",
            lambda c: c.args[0] / c.args[1],
            4,
        )
        yield Mutation(
            "sum", "wrong function", f"{second} is added in place of multiplied", lambda c: c.args[0] + c.args[1], 4
        )
        yield Mutation(
            "1 + second", "wrong function", f"the factor is 1 + {second}", lambda c: c.args[0] * (1 + c.args[1]), 4
        )
        return
    if name in ("div", "rdiv"):
        yield Mutation("not divided", "left out", f"the division by {second} is left out", a, 3)
        yield Mutation(
            "multiplied",
            "wrong function",
            f"multiplied by {second} in place of divided",
            lambda c: c.args[0] * c.args[1],
            4,
        )
        yield Mutation(
            "divided twice", "applied twice", f"divided by {second} twice", lambda c: c.plain() / c.args[1], 4
        )
        yield Mutation(
            "root", "wrong function", f"divided by the root of {second}", lambda c: c.args[0] / c.args[1].sqrt(), 5
        )
        yield Mutation(
            "turned over",
            "wrong function",
            f"{first} and {second} are exchanged in a quotient",
            lambda c: c.args[1] / c.args[0],
            5,
        )


def _both_vectors(site: Site) -> bool:
    """Whether both operands are one vector or column each."""
    shapes = {tuple(size for size in tensor.shape if size != 1) for tensor in site.tensors}
    return len(shapes) == 1 and len(next(iter(shapes))) == 1


def _spread(value: Tensor, other: Tensor) -> Tensor:
    return torch.broadcast_to(value, torch.broadcast_shapes(value.shape, other.shape))
