"""A factor on one edge of the graph: a term left out, doubled, with the wrong sign, or not averaged as the others are.

A gradient is linear in a constant factor on one edge. One replay with nothing passing there gives what the edge
contributes, ``C = E - E0``; the factor then follows from ``A - E = (factor - 1) C`` by least squares over all that it
reaches, and must explain all of it down to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from compare.checkpoint import Checkpoint
from compare.diagnosis.context import numbers_of
from compare.diagnosis.mutants.arguments import scalar_of
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.edges import Edge
from compare.diagnosis.mutants.losses import LOSSES
from compare.diagnosis.mutants.replay import Bench, Found
from compare.diagnosis.mutants.sites import Site
from compare.diagnosis.numbers import recognise

__all__ = ["Factor", "factors_of"]

_EXACT, _UNITS, _COARSE = 1e-7, 2e3, 1e-2
"""How near a factor must be to a number before it is tried as that number: at least, in units of rounding, at most."""

_SUMMING = frozenset({"linear", "matmul", "add", "sub", "conv1d", "conv2d", "embedding"})
"""Ops whose pullback adds a parameter's gradient up over the rows."""

_DEPTH = 6
"""Ops behind an edge that are looked at for what it cuts off."""

_TELLS = 3
"""Numbers that must speak for a factor that has no name."""


@dataclass(frozen=True)
class Factor:
    """A factor on an edge, with its name."""

    value: float
    cause: str
    says: str
    rank: int
    freedom: int = 0


def factors_of(bench: Bench, around: Around, edge: Edge, wrong: set[Checkpoint]) -> Iterator[tuple[Factor, Found]]:
    """The factors on an edge that may explain what differs, each with what it would show."""
    if not wrong <= set(edge.contribution):
        return
    value = _least_squares(bench, edge, wrong)
    if value is None:
        return
    for factor in _Names(bench, around, edge, value).all():
        if len(edge.places) > 1 and factor.value:  # on several edges in a row a factor acts more than once
            found = bench.run(edge.scaled(factor.value))
        else:
            change = {key: (factor.value - 1) * lost for key, lost in edge.contribution.items()}
            found = {key: value + change[key] if key in change else value for key, value in bench.plain.items()}
        if found is not None:
            yield factor, found


def _least_squares(bench: Bench, edge: Edge, wrong: set[Checkpoint]) -> float | None:
    """The factor that fits best, where it fits at all; each tensor counts by its own scale."""
    top = bottom = 0.0
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for key in wrong:
        pair, lost = bench.evidence.pairs[key], edge.contribution[key]
        if pair.actual.shape != lost.shape or pair.expected.shape != lost.shape:
            return None
        scale = float(np.max(np.abs(lost)))
        gap = (pair.actual.astype(np.float64) - pair.expected) / scale
        share = lost.astype(np.float64) / scale
        if not np.isfinite(gap).all():
            return None
        top += float(np.sum(gap * share))
        bottom += float(np.sum(share * share))
        parts.append((gap, share))
    ratio = top / bottom
    for gap, share in parts:  # a quick no
        largest = float(np.max(np.abs(gap)))
        if float(np.max(np.abs(gap - ratio * share))) > 0.02 * largest:
            return None
    return 1 + ratio


class _Names:
    """What a factor on an edge may mean, the likeliest first."""

    def __init__(self, bench: Bench, around: Around, edge: Edge, value: float):
        self._bench = bench
        self._around = around
        self._edge = edge
        self._value = value
        eps = max(float(np.finfo(lost.dtype).eps) for lost in edge.contribution.values())
        self._exact = min(max(_EXACT, _UNITS * eps), _COARSE)
        self._part = f"the gradient that {around.source(edge.site, edge.slot)} receives from {edge.site.name}"

    def all(self) -> Iterator[Factor]:
        part = self._part
        if abs(self._value) < self._exact:
            yield self._nothing()
        elif self._is(-1.0):
            yield Factor(-1.0, "sign", f"{part} has the wrong sign", 3)
        else:
            yield from self._of_a_square()
            if self._is(2.0) and not self._whole():
                yield Factor(2.0, "doubled term", f"{part} is counted twice", 4)
            yield from self._by_site()
            yield from self._by_number()

    def _is(self, value: float) -> bool:
        return abs(self._value - value) < self._exact * abs(value)

    # -- nothing passes ------------------------------------------------------------------------------------------------

    def _nothing(self) -> Factor:
        around, edge, part = self._around, self._edge, self._part
        if edge.overwritten:
            names = sorted({around.called(site.tensor(slot)) for site, slot in edge.places})
            says = f"only the {edge.overwritten} of several contributions to the gradient of {', '.join(names)} is kept"
            return Factor(0.0, "overwritten instead of added", says, 2)
        plain = self._bench.plain
        lost = [key for key, share in edge.contribution.items() if np.array_equal(share, plain[key])]
        gone = sorted({key.name for key in lost if key.phase in ("deposit", "accumulated") and np.any(plain[key])})
        if gone:
            return Factor(0.0, "detached", f"{part} does not pass: no gradient reaches {', '.join(gone)}", 2)
        if self._cuts_off():
            return Factor(0.0, "detached", f"{part} does not pass, nor anything beyond it", 2)
        name = around.parameter(edge.site.tensor(edge.slot))
        if name is not None and self._uses() == 2:
            says = f"{name} is used twice, and its gradient holds only one of the contributions"
            return Factor(0.0, "overwritten instead of added", says, 2)
        return Factor(0.0, "missing term", f"{part} is left out", 2)

    def _cuts_off(self) -> bool:
        """Whether some use of a parameter gets all its gradient through this edge."""
        around, edge = self._around, self._edge
        waiting = [site.tensor(slot) for site, slot in edge.places]
        for _ in range(_DEPTH):
            if not waiting:
                return False
            maker = around.sites.maker(waiting.pop(0))
            if maker is None or not isinstance(maker.output, torch.Tensor):
                continue
            if self._bench.passes(maker, edge.scaled(0.0)):
                continue
            for value in maker.tensors:
                if around.parameter(value) is not None:
                    return True
                waiting.append(value)
        return False

    def _uses(self) -> int:
        """How often the same op uses the same tensor."""
        tensor, name = self._edge.site.tensor(self._edge.slot), self._edge.site.name
        users = [site for site in self._around.uses(tensor) if site.outer is None and site.name == name]
        return sum(value is tensor for site in users for value in site.tensors)

    # -- a number passes -----------------------------------------------------------------------------------------------

    def _whole(self) -> bool:
        """Whether all of every gradient that passes here passes here."""
        plain = self._bench.plain
        return all(
            np.allclose(share, plain[key], rtol=self._exact, atol=0) for key, share in self._edge.contribution.items()
        )

    def _of_a_square(self) -> Iterator[Factor]:
        """The 2 of a square's derivative, or the half of a root's."""
        name = self._edge.site.name
        if name in ("square", "pow", "mse_loss", "var") and self._is(0.5):
            yield Factor(0.5, "constant factor", f"{self._part} lacks the 2 of the derivative of the square", 3)
        if name in ("sqrt", "pow", "std", "norm", "rsqrt") and self._is(2.0):
            cause = "constant factor" if self._whole() else "doubled term"
            says = f"{self._part} lacks the 1/2 of the derivative of the root, and so counts twice"
            yield Factor(2.0, cause, says, 3)

    def _by_site(self) -> Iterator[Factor]:
        """A factor that is what this very site divides, adds up or multiplies by."""
        around, site, part = self._around, self._edge.site, self._part
        kind, count = _divisor(around, site)
        if kind == "mean":
            if self._is(count):
                yield Factor(count, "sum instead of mean", f"{part} is not divided by {count:g}", 3)
            elif self._is(1 / count):
                yield Factor(1 / count, "divided twice", f"{part} is divided by {count:g} twice", 3)
            others = {other: name for other, name in around.counts.items() if other != count}
            for other, name in (others | {count - 1: "one less", count + 1: "one more"}).items():
                if other > 1 and self._is(count / other):
                    squares = abs(other - count) == 1 and around.is_variance(site)
                    cause = "biased or unbiased variance" if squares else "wrong denominator"
                    says = f"{part} is divided by {other:g} ({name}), not by {count:g}"
                    yield Factor(count / other, cause, says, 3 if squares else 4)
        elif kind == "sum" and self._is(1 / count):
            yield Factor(1 / count, "mean instead of sum", f"{part} is divided by its {count:g} terms", 3)
        elif kind == "scale":
            cause = "constant factor" if around.is_half(site, count) else "scale left out"
            if self._is(count):
                yield Factor(count, cause, f"{part} lacks the scale {1 / count:.6g}", 3)
            elif self._is(1 / count):
                yield Factor(1 / count, cause, f"{part} is scaled by {1 / count:.6g} twice", 4)

    def _by_number(self) -> Iterator[Factor]:
        """A factor that some number of the run explains, or none."""
        around, value = self._around, self._value
        counts = {name: float(count) for count, name in around.counts.items() if count > 1}
        readings = recognise(value, numbers_of(self._bench.evidence) | counts, self._exact)
        if readings:
            says = f"{self._part} is {value:.6g} times what it should be: {readings[0]}"
            yield Factor(value, self._meaning(), says, 5)
        elif self._telling() > _TELLS:
            says = f"{self._part} is {value:.9g} times what it should be"
            yield Factor(value, "constant factor", says, 8, 1)

    def _telling(self) -> int:
        """How many numbers speak for the factor."""
        own = sum(share.size for key, share in self._edge.contribution.items() if key.phase != "accumulated")
        return own or sum(share.size for share in self._edge.contribution.values())

    def _meaning(self) -> str:
        """What a factor means that is made of counts."""
        around, edge, size = self._around, self._edge, abs(self._value)
        near = lambda value: abs(size - value) < self._exact * value  # noqa: E731
        counts = [count for count in around.counts if count > 2]
        divisors = {count for kind, count in (_divisor(around, site) for site in around.sites) if kind == "mean"}
        by_rows = around.parameter(edge.site.tensor(edge.slot)) is not None and edge.site.name in _SUMMING
        means = [] if by_rows else [count for count in divisors if count > 2]
        if any(near(count) for count in means):
            return "sum instead of mean"
        if any(near(1 / count) for count in means):
            return "divided twice"
        if any(near(1 / count) for count in counts):
            return "mean instead of sum"
        if any(near(count / other) for count in means for other in (*counts, count - 1, count + 1) if other != count):
            return "wrong denominator"
        return "constant factor"


def _divisor(around: Around, site: Site) -> tuple[str, float]:
    """What a site divides by: ``("mean", n)``, what it adds up: ``("sum", n)``, or a scale's inverse; ``("", 1)``."""
    if not site.slots or not isinstance(site.output, torch.Tensor):
        return "", 1.0
    if site.name in ("mean", "sum"):
        count = site.tensor(site.slots[0]).numel() / max(1, site.output.numel())
        return (site.name, count) if count > 1 else ("", 1.0)
    if site.name in LOSSES and site.output.ndim == 0:
        return "mean", float(site.tensor(site.slots[0]).shape[0])
    if site.name in ("mul", "div"):
        divisor = around.divisor_of(site)
        if divisor is not None:
            return "mean", divisor[0]
        constant = scalar_of(site.args)
        if constant:
            return "scale", abs(constant if site.name == "div" else 1 / constant)
    return "", 1.0
