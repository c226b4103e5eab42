"""A factor on one edge of the graph: a term left out, doubled, with the wrong sign, or not averaged as the others are.

A gradient is linear in a constant factor on one edge. One replay with nothing passing there gives what the edge
contributes, ``C = E - E0``; the factor then follows from ``A - E = (factor - 1) C`` by least squares over all that it
reaches, and must explain all of it down to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from compare.checkpoint import Checkpoint
from compare.diagnosis.context import numbers_of
from compare.diagnosis.mutants.arguments import scalar_of
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.losses import LOSSES
from compare.diagnosis.mutants.mutation import Mutation, through
from compare.diagnosis.mutants.replay import Bench, Found
from compare.diagnosis.mutants.sites import Replacement, Site, SiteKey, Slot
from compare.diagnosis.numbers import recognise

__all__ = ["Edge", "Factor", "edges_of", "factors_of", "gathered_edges", "measured", "outermost"]

Item = TypeVar("Item", tuple[Site, Mutation], tuple[Site, Slot])
_GRADIENTS = frozenset({"backward", "deposit", "accumulated"})
_EXACT = 1e-7
"""How near a factor must be to a number of the run before it is tried as that number."""

_STATISTICS = frozenset({"mean", "var", "std", "sum", "norm"})
_SUMMING = frozenset({"linear", "matmul", "add", "sub", "conv1d", "conv2d", "embedding"})
"""Ops whose pullback adds a parameter's gradient up over the rows."""

_DEPTH = 6
"""Ops behind an edge that are looked at for what it cuts off."""

_TELLS = 3
"""Numbers that must speak for a factor that has no name."""


@dataclass
class Edge:
    """Where gradients pass: one input of one site, or of several that do the same.

    Attributes
    ----------
    places : list of (Site, Slot)
    contribution : dict of Checkpoint to array
        What each gradient loses where nothing passes; only gradients that lose something.
    overwritten : str
        For all uses of parameters but one: which use is kept, in the order of the backward pass.
    """

    places: list[tuple[Site, Slot]]
    contribution: Found = field(default_factory=dict)
    overwritten: str = ""

    @property
    def site(self) -> Site:
        return self.places[0][0]

    @property
    def slot(self) -> Slot:
        return self.places[0][1]

    def scaled(self, factor: float) -> dict[SiteKey, Replacement]:
        """The replacements that put a factor on the edge."""
        slots: dict[SiteKey, list[Slot]] = {}
        for site, slot in self.places:
            slots.setdefault(site.path, []).append(slot)
        change = torch.zeros_like if not factor else (lambda g: g * factor)
        return {path: through(some, change) for path, some in slots.items()}


@dataclass(frozen=True)
class Factor:
    """A factor on an edge, with its name."""

    edge: Edge
    value: float
    cause: str
    says: str
    rank: int
    freedom: int = 0


def edges_of(bench: Bench, sites: Iterable[Site]) -> Iterator[Edge]:
    """The edges into these sites, with what each contributes."""
    for site in sites:
        for slot in site.slots:
            if site.tensor(slot).requires_grad:
                edge = measured(bench, Edge([(site, slot)]))
                if edge is not None:
                    yield edge


def measured(bench: Bench, edge: Edge) -> Edge | None:
    """The edge with its contribution; ``None`` where it contributes nothing that is shown."""
    found = bench.run(edge.scaled(0.0))
    if found is None:
        return None
    for key, value in bench.plain.items():
        pair = bench.evidence.pairs.get(key)
        if key.phase not in _GRADIENTS or pair is None:
            continue
        without = found.get(key, np.zeros_like(value))
        if without.shape == value.shape:
            lost = value - without
            least = max(float(np.max(pair.allowed)), 1e-14 * float(np.max(np.abs(value), initial=0.0)))
            if float(np.max(np.abs(lost), initial=0.0)) > least:
                edge.contribution[key] = lost
    return edge if edge.contribution else None


def gathered_edges(around: Around, edges: list[Edge]) -> Iterator[Edge]:
    """Edges that one omission covers: all statistics of one value, all uses of parameters but one."""
    if around.bench.isolated:  # what arrives at a module that nothing else hands on
        sites = {id(edge.site): edge.site for edge in edges}
        for site in sites.values():
            places = [(site, slot) for slot in site.slots if site.tensor(slot).requires_grad]
            if len(places) > 1:
                yield Edge(places)
    by_value: dict[int, list[Edge]] = {}
    for edge in edges:
        if edge.site.name in _STATISTICS or (edge.site.name == "sub" and edge.slot == edge.site.slots[-1]):
            for value in _beneath(around, edge):
                by_value.setdefault(value, []).append(edge)
    for several in by_value.values():
        if len(several) > 1:
            yield Edge(outermost([place for edge in several for place in edge.places]))
    uses: dict[str, list[tuple[Site, Slot]]] = {}
    for site in around.sites:
        for slot in site.slots if site.outer is None else ():
            name = around.parameter(site.tensor(slot))
            if name is not None and site.tensor(slot).requires_grad:
                uses.setdefault(name, []).append((site, slot))
    often = [found for found in uses.values() if len(found) > 1]
    for kept in (0, -1):
        for some in [*([found] for found in often), *([often] if len(often) > 1 else [])]:
            places = [place for found in some for place in found if place is not found[kept]]
            yield Edge(places, overwritten="first" if kept else "last")


def outermost(items: list[Item]) -> list[Item]:
    """Without what lies inside a fused op that is there as well."""
    paths = {item[0].path for item in items}
    return [item for item in items if not any(item[0].path[:depth] in paths for depth in range(1, len(item[0].path)))]


def _beneath(around: Around, edge: Edge) -> set[int]:
    """The value whose statistic this is, also through the square of what was centred."""
    tensor = edge.site.tensor(edge.slot)
    found = {id(tensor)}
    for _ in range(3):
        maker = around.sites.maker(tensor)
        if maker is None or maker.name not in ("square", "pow", "sub", "mul") or not maker.tensors:
            break
        tensor = maker.tensors[0]
        found.add(id(tensor))
    return found


def factors_of(bench: Bench, around: Around, edge: Edge, wrong: set[Checkpoint]) -> Iterator[tuple[Factor, Found]]:
    """The factors on an edge that may explain what differs, each with what it would show."""
    if not wrong <= set(edge.contribution):
        return
    value = _least_squares(bench, edge, wrong)
    if value is None:
        return
    several = len(edge.places) > 1
    for factor in _named(bench, around, edge, value):
        if several and factor.value:  # on several edges in a row a factor acts more than once
            found = bench.run(edge.scaled(factor.value))
            if found is None:
                continue
        else:
            found = _shown(bench, edge, factor.value)
        yield factor, found


def _shown(bench: Bench, edge: Edge, factor: float) -> Found:
    found = dict(bench.plain)
    for key, lost in edge.contribution.items():
        found[key] = found[key] + (factor - 1) * lost
    return found


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


# -- names -------------------------------------------------------------------------------------------------------------


def _named(bench: Bench, around: Around, edge: Edge, value: float) -> Iterator[Factor]:
    if abs(value) < _EXACT:
        yield _nothing(bench, around, edge)
        return
    part = _part(around, edge)
    if abs(value + 1) < _EXACT:
        yield Factor(edge, -1.0, "sign", f"{part} has the wrong sign", 3)
        return
    yield from _of_a_square(bench, around, edge, value, part)
    if abs(value - 2) < _EXACT and not _whole(bench, edge):
        yield Factor(edge, 2.0, "doubled term", f"{part} is counted twice", 4)
    yield from _by_site(around, edge, value, part)
    yield from _by_number(bench, around, edge, value, part)


def _nothing(bench: Bench, around: Around, edge: Edge) -> Factor:
    if edge.overwritten:
        names = sorted({around.called(site.tensor(slot)) for site, slot in edge.places})
        says = f"only the {edge.overwritten} of several contributions to the gradient of {', '.join(names)} is kept"
        return Factor(edge, 0.0, "overwritten instead of added", says, 2)
    part = _part(around, edge)
    lost = [key for key, share in edge.contribution.items() if np.array_equal(share, bench.plain[key])]
    gone = [key for key in lost if key.phase in ("deposit", "accumulated") and np.any(bench.plain[key])]
    if gone:
        names = sorted({key.name for key in gone})
        return Factor(edge, 0.0, "detached", f"{part} does not pass: no gradient reaches {', '.join(names)}", 2)
    if _cuts_off(bench, around, edge):
        return Factor(edge, 0.0, "detached", f"{part} does not pass, nor anything beyond it", 2)
    name = around.parameter(edge.site.tensor(edge.slot))
    if name is not None and _uses(around, edge) > 1:
        says = f"{name} is used several times, and its gradient holds only some of the contributions"
        return Factor(edge, 0.0, "overwritten instead of added", says, 2)
    return Factor(edge, 0.0, "missing term", f"{part} is left out", 2)


def _cuts_off(bench: Bench, around: Around, edge: Edge) -> bool:
    """Whether some use of a parameter gets all its gradient through this edge."""
    waiting = [site.tensor(slot) for site, slot in edge.places]
    for _ in range(_DEPTH):
        if not waiting:
            return False
        maker = around.sites.maker(waiting.pop(0))
        if maker is None or not isinstance(maker.output, torch.Tensor) or bench.passes(maker, edge.scaled(0.0)):
            continue
        for value in maker.tensors:
            if around.parameter(value) is not None:
                return True
            waiting.append(value)
    return False


def _uses(around: Around, edge: Edge) -> int:
    tensor = edge.site.tensor(edge.slot)
    return sum(
        1
        for site in around.sites
        if site.outer is None
        for slot in site.slots
        if site.tensor(slot) is tensor and site.name == edge.site.name
    )


def _whole(bench: Bench, edge: Edge) -> bool:
    """Whether all of every gradient that passes here passes here."""
    return all(np.allclose(share, bench.plain[key], rtol=1e-9, atol=0) for key, share in edge.contribution.items())


def _part(around: Around, edge: Edge) -> str:
    """What passes along an edge, in words."""
    called = around.source(edge.site, edge.slot)
    return f"the gradient that {called} receives from {edge.site.name}"


def _counts(around: Around, site: Site) -> dict[str, float]:
    """What a mean divides by at this site: ``{"mean": n}``, ``{"sum": n}``, ``{"scale": c}``."""
    if site.name in ("mean", "sum") and site.slots and isinstance(site.output, torch.Tensor):
        count = site.tensor(site.slots[0]).numel() / max(1, site.output.numel())
        return {site.name: count} if count > 1 else {}
    if site.name in LOSSES and site.slots and isinstance(site.output, torch.Tensor) and site.output.ndim == 0:
        return {"mean": float(site.tensor(site.slots[0]).shape[0])}
    if site.name in ("mul", "div"):
        divisor = around.divisor_of(site)
        if divisor is not None:
            return {"mean": divisor[0]}
        constant = scalar_of(site.args)
        if constant:
            factor = 1 / constant if site.name == "div" else constant
            return {"scale": 1 / abs(factor)} if factor != 1 else {}
    return {}


def _of_a_square(bench: Bench, around: Around, edge: Edge, value: float, part: str) -> Iterator[Factor]:
    """The 2 of a square's derivative, or the half of a root's."""
    name = edge.site.name
    if name in ("square", "pow", "mse_loss", "var") and abs(value - 0.5) < _EXACT:
        yield Factor(edge, 0.5, "constant factor", f"{part} lacks the 2 of the derivative of the square", 3)
    if name in ("sqrt", "pow", "std", "norm", "rsqrt") and abs(value - 2) < _EXACT:
        cause = "constant factor" if _whole(bench, edge) else "doubled term"
        says = f"{part} lacks the 1/2 of the derivative of the root, and so counts twice"
        yield Factor(edge, 2.0, cause, says, 3)


def _by_site(around: Around, edge: Edge, value: float, part: str) -> Iterator[Factor]:
    """A factor that is what this very site divides, adds up or multiplies by."""
    known = _counts(around, edge.site)
    for kind, count in known.items():
        near = lambda other: abs(value - other) < _EXACT * abs(other)  # noqa: E731
        if kind == "mean":
            if near(count):
                yield Factor(edge, count, "sum instead of mean", f"{part} is not divided by {count:g}", 3)
            elif near(1 / count):
                yield Factor(edge, 1 / count, "divided twice", f"{part} is divided by {count:g} twice", 3)
            else:
                others = {other: name for other, name in around.counts.items() if other != count}
                for other, name in (others | {count - 1: "one less", count + 1: "one more"}).items():
                    if other > 0 and near(count / other):
                        says = f"{part} is divided by {other:g} ({name}), not by {count:g}"
                        squares = abs(other - count) == 1 and around.is_variance(edge.site)
                        cause = "biased or unbiased variance" if squares else "wrong denominator"
                        yield Factor(edge, count / other, cause, says, 3 if squares else 4)
        elif kind == "sum" and near(1 / count):
            yield Factor(edge, 1 / count, "mean instead of sum", f"{part} is divided by its {count:g} terms", 3)
        elif kind == "scale":
            plain = count in (0.5, 2.0, 0.25, 4.0) and not edge.site.output.ndim
            cause = "constant factor" if plain else "scale left out"
            if near(count):
                yield Factor(edge, count, cause, f"{part} lacks the scale {1 / count:.6g}", 3)
            elif near(1 / count):
                yield Factor(edge, 1 / count, cause, f"{part} is scaled by {1 / count:.6g} twice", 4)


def _by_number(bench: Bench, around: Around, edge: Edge, value: float, part: str) -> Iterator[Factor]:
    """A factor that some number of the run explains, or none."""
    means = {count for site in around.sites for kind, count in _counts(around, site).items() if kind == "mean"}
    numbers = numbers_of(bench.evidence) | {name: float(count) for count, name in around.counts.items() if count > 1}
    readings = recognise(value, numbers, _EXACT)
    if readings:
        rows = around.parameter(edge.site.tensor(edge.slot)) is not None and edge.site.name in _SUMMING
        cause = _meaning(abs(value), [] if rows else means, around)
        yield Factor(edge, value, cause, f"{part} is {value:.6g} times what it should be: {readings[0]}", 5)
        return
    told = sum(share.size for key, share in edge.contribution.items() if key.phase != "accumulated") or sum(
        share.size for share in edge.contribution.values()
    )
    if told > _TELLS:
        says = f"{part} is {value:.9g} times what it should be"
        yield Factor(edge, value, "constant factor", says, 8, 1)


def _meaning(size: float, means: Iterable[float], around: Around) -> str:
    counts = [count for count in around.counts if count > 2]
    means = [count for count in means if count > 2]
    for count in means:
        if abs(size - count) < _EXACT * count:
            return "sum instead of mean"
        if abs(size * count - 1) < _EXACT:
            return "divided twice"
    for count in counts:
        if abs(size * count - 1) < _EXACT:
            return "mean instead of sum"
    for count in means:
        for other in (*counts, count - 1, count + 1):
            if other != count and abs(size * other - count) < _EXACT * count:
                return "wrong denominator"
    return "constant factor"
