"""Terms of a loss that depend on parameters alone: what a factor on one of their edges means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.mutation import Mutation
from compare.diagnosis.mutants.sites import Call, Site

__all__ = ["Penalties"]

_SINGLE = frozenset(
    [
        "square",
        "pow",
        "abs",
        "sum",
        "mean",
        "norm",
        "sqrt",
        "mul",
        "div",
        "add",
        "stack",
        "matmul",
        "reshape",
        "getitem",
        "exp",
        "log",
        "neg",
        "clamp",
    ]
)
"""Ops of which a penalty is made."""


class Penalties:
    """The penalties of a run: scalar terms of a sum, each of one parameter at a time, beside one of the data."""

    def __init__(self, around: Around):
        self._around = around
        self._inside: set[int] = set()
        self._terms: list[Tensor] = []
        for site in around.sites:
            if site.name == "add" and len(site.args) > 1 and all(isinstance(v, Tensor) for v in site.args[:2]):
                kinds = [self._is_penalty(value) for value in site.args[:2]]
                if kinds[0] is not kinds[1]:
                    place = 1 if kinds[1] else 0
                    self._terms.append(site.args[place])
                    self._collect(site.args[place])

    def _is_penalty(self, value: Tensor) -> bool:
        return value.ndim == 0 and value.requires_grad and bool(self._leaves(value))

    def _leaves(self, tensor: Tensor) -> set[str]:
        """The parameters behind a value, each by itself; nothing where two meet in a product, or anything else does."""
        name = self._around.parameter(tensor)
        if name is not None:
            return {name}
        site = self._around.sites.maker(tensor)
        if (
            site is None
            or site.name not in _SINGLE
            or (site.outer is not None and site.outer.name in ("mse_loss", "l1_loss"))
        ):
            return set()
        found: set[str] = set()
        for value in site.tensors:
            if not value.requires_grad:
                if value.numel() > 1:
                    return set()
                continue
            behind = self._leaves(value)
            if not behind:
                return set()
            if found and behind != found and site.name not in ("add", "stack"):
                return set()
            found |= behind
        return found

    def _collect(self, tensor: Tensor) -> None:
        site = self._around.sites.maker(tensor)
        while site is not None and id(site) not in self._inside:
            self._inside.add(id(site))
            if site.outer is not None:
                self._inside.add(id(site.outer))
            for value in site.tensors[1:]:
                self._collect(value)
            site = self._around.sites.maker(site.tensors[0]) if site.tensors else None

    def renamed(self, site: Site, cause: str, factor: float | None) -> str:
        """The name of a cause where it concerns a penalty."""
        if id(site) not in self._inside:
            return cause
        if cause == "missing term" or (factor == 0.0 and cause == "detached"):
            return "missing penalty"
        weight = self._around.bench.weight
        if factor is not None and weight < 1 and abs(factor * weight - 1) < 1e-7:
            return "penalty per micro-batch"
        scaled = ("constant factor", "scale left out", "sum instead of mean", "mean instead of sum", "divided twice")
        if cause in (*scaled, "wrong denominator", "doubled term"):
            return "penalty scaled"
        return cause

    def mutations(self, site: Site) -> Iterator[Mutation]:
        """The penalty left out, or taken of a further parameter."""
        for value in self._terms:
            if self._around.sites.maker(value) is site:
                yield Mutation(
                    "no penalty",
                    "missing penalty",
                    "the penalty is left out",
                    lambda call: torch.zeros_like(call.plain()),
                    2,
                )
                yield from self._other_norms(value)
                yield from self._further(value)

    def _other_norms(self, penalty: Tensor) -> Iterator[Mutation]:
        """Absolute values, or the norm itself, where squares are penalised."""
        tensors = [tensor for name, tensor in self._parameters().items() if name in self._leaves(penalty)]
        squares = sum(float(tensor.detach().square().sum()) for tensor in tensors)
        if not squares:
            return
        for words, function, power in (
            ("the sum of absolute weights stands for that of squares", torch.abs, 1.0),
            ("the norm of the weights stands for its square", torch.square, 0.5),
        ):
            for factor in (1.0, 2.0):

                def replace(
                    call: Call, function: Any = function, power: float = power, factor: float = factor
                ) -> Tensor:
                    half = float(call.plain().detach()) / squares
                    total: Tensor = torch.stack([function(tensor).sum() for tensor in tensors]).sum()
                    return factor * half * total**power

                yield Mutation(f"{words} {factor}", "wrong function", words, replace, 3)

    def _further(self, penalty: Tensor) -> Iterator[Mutation]:
        """A squared penalty on parameters that it should leave alone."""
        tensors = self._parameters()
        mine = self._leaves(penalty)
        squares = sum(float(tensors[name].detach().square().sum()) for name in mine)
        if not squares:
            return
        for name, tensor in tensors.items():
            if name not in mine:

                def replace(call: Call, tensor: Tensor = tensor) -> Tensor:
                    plain: Tensor = call.plain()
                    return plain + float(plain.detach()) / squares * tensor.square().sum()

                yield Mutation(f"also {name}", "penalty on the bias", f"the penalty also acts on {name}", replace, 3)
        others = [tensor for name, tensor in tensors.items() if name not in mine]
        if len(others) > 1:

            def replace_all(call: Call) -> Tensor:
                plain: Tensor = call.plain()
                return plain + float(plain.detach()) / squares * torch.stack([t.square().sum() for t in others]).sum()

            says = f"the penalty also acts on {', '.join(sorted(set(tensors) - mine))}"
            yield Mutation("also all", "penalty on the bias", says, replace_all, 3)

    def _parameters(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for site in self._around.sites:
            for tensor in site.tensors:
                name = self._around.parameter(tensor)
                if name is not None and tensor.requires_grad:
                    found.setdefault(name, tensor)
        return found
