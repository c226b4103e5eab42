"""Mistakes in the forward pass of functions of one variable: another one, twice, or none; an eps in the wrong place."""

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

__all__ = ["ACTIVATIONS", "EPS", "unary"]

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
