"""Mistakes in the forward pass of ops that work element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound, scalar_of
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.mutation import Mutation, holding
from compare.diagnosis.mutants.sites import Call, Site

__all__ = ["ACTIVATIONS", "EPS", "arithmetic", "unary"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": F.gelu,
    "gelu (tanh)": lambda x: F.gelu(x, approximate="tanh"),
    "gelu (sigmoid)": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
    "softplus": F.softplus,
    "elu": F.elu,
    "leaky_relu": F.leaky_relu,
    "selu": F.selu,
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "softsign": F.softsign,
    "mish": F.mish,
    "logsigmoid": F.logsigmoid,
    "exp": torch.exp,
}
"""Activations that are taken for one another."""

_APPROXIMATE = {"gelu", "gelu (tanh)", "gelu (sigmoid)"}
_OTHERS: dict[str, dict[str, Callable[[Tensor], Tensor]]] = {
    "log": {"log2": torch.log2, "log10": torch.log10, "log1p": torch.log1p},
    "log1p": {"log": torch.log},
    "logsigmoid": {
        "log2 of the sigmoid": lambda x: F.logsigmoid(x) / math.log(2),
        "log10 of the sigmoid": lambda x: F.logsigmoid(x) / math.log(10),
    },
    "sigmoid": {"sigmoid of x + 1": lambda x: torch.sigmoid(x + 1)},
    "exp": {"exp2": torch.exp2, "expm1": torch.expm1},
    "sqrt": {"rsqrt": torch.rsqrt},
    "rsqrt": {"sqrt": torch.sqrt, "reciprocal": torch.reciprocal},
    "reciprocal": {"rsqrt": torch.rsqrt},
    "square": {"abs": torch.abs, "the cube": lambda x: x**3},
    "abs": {"square": torch.square, "relu": torch.relu},
    "sin": {"cos": torch.cos},
    "cos": {"sin": torch.sin},
    "erf": {"tanh": torch.tanh},
    "neg": {},
}
_SLOPES = (0.01, 0.1, 0.2, 0.3, 0.05, 0.02, 0.25, 0.5)
EPS = (1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""Values that are given to eps."""

_ROOTS: dict[str, Callable[[Tensor], Tensor]] = {"sqrt": lambda y: y, "rsqrt": torch.reciprocal}


def _x(call: Call) -> Tensor:
    found: Tensor = call.args[0] if call.args else call.kwargs["input"]
    return found


def unary(site: Site, around: Around) -> Iterator[Mutation]:
    """Another function, the function twice, or none."""
    name = site.name
    if name in ACTIVATIONS:
        here = "gelu (tanh)" if bound(name, site.args, site.kwargs).get("approximate") == "tanh" else name
        for other, function in ACTIVATIONS.items():
            if other != here:
                near = {other, here} <= _APPROXIMATE
                yield Mutation(
                    f"{name} -> {other}",
                    "approximation" if near else "wrong function",
                    f"{other} stands for {here}",
                    holding(lambda call, function: function(_x(call)), function),
                    3 if near else 4,
                )
    if name in ("leaky_relu", "elu"):
        given = bound(name, site.args, site.kwargs)
        now = given.get("negative_slope", 0.01) if name == "leaky_relu" else given.get("alpha", 1.0)
        for slope in _SLOPES if name == "leaky_relu" else (0.1, 0.5, 1.0, 2.0):
            if slope != now:
                function = F.leaky_relu if name == "leaky_relu" else F.elu
                yield Mutation(
                    f"{name} {slope}",
                    "wrong function",
                    f"{name} has {slope} where {now:g} belongs",
                    holding(lambda call, slope, function: function(_x(call), slope), slope, function),
                    4,
                )
    for other, function in _OTHERS.get(name, {}).items():
        yield Mutation(
            f"{name} -> {other}",
            "wrong function",
            f"{other} stands for {name}",
            holding(lambda call, function: function(_x(call)), function),
            4,
        )
    if name in ACTIVATIONS or name in _OTHERS:
        if name == "neg":
            yield Mutation("sign", "sign", "the minus sign is left out", _x, 3)
            return
        yield Mutation(f"no {name}", "left out", f"{name} is left out", _x, 3)
        yield Mutation(
            f"{name} twice",
            "applied twice",
            f"{name} is applied to what it has already been applied to",
            lambda call: call.func(call.plain(), *call.args[1:], **call.kwargs),
            3,
        )
    if name in ("log", "logsigmoid", "sqrt", "rsqrt", "reciprocal"):
        yield from _with_eps(site, around)


def _with_eps(site: Site, around: Around) -> Iterator[Mutation]:
    """An eps added to the argument; one that is there already, added to the root in place of under it."""
    name = site.name
    for eps in EPS:
        yield Mutation(
            f"eps {eps}",
            "other eps",
            f"an eps of {eps:g} is added to the argument of {'log' if name == 'logsigmoid' else name}",
            holding(_log_with_eps, eps)
            if name == "logsigmoid"
            else holding(lambda call, eps: call.func(_x(call) + eps, *call.args[1:], **call.kwargs), eps),
            5,
        )
    if name == "logsigmoid":
        return
    maker = around.sites.maker(site.args[0]) if site.args else None
    if name in _ROOTS and maker is not None and maker.name == "add":
        constant = scalar_of(maker.args)
        if constant is not None and 0 < constant <= 0.1:
            yield _outside(site, maker, constant)


def _log_with_eps(call: Call, eps: float) -> Tensor:
    return torch.log(torch.sigmoid(_x(call)) + eps)


def _outside(site: Site, maker: Site, eps: float) -> Mutation:
    turned = _ROOTS[site.name]
    return Mutation(
        "eps outside",
        "eps outside the root",
        f"eps = {eps:g} is added to the root, not under it",
        lambda call: turned(torch.sqrt(_x(call)) + eps),
        2,
        "sqrt(v + eps), eps under the root",
        also={maker.path: lambda call: call.args[0] if isinstance(call.args[0], Tensor) else call.args[1]},
    )


# -- arithmetic --------------------------------------------------------------------------------------------------------


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
    maker = around.sites.maker(site.tensor(site.slots[0])) if site.slots else None
    squared = maker is not None and maker.name in ("square", "pow", "sum", "mean")
    plain = size in (0.5, 2.0, 0.25, 4.0) and (squared or not site.output.ndim)
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
