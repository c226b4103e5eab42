"""The edges of the graph, and what each contributes to the gradients that are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.mutation import Mutation, through
from compare.diagnosis.mutants.replay import Bench, Found
from compare.diagnosis.mutants.sites import Replacement, Site, SiteKey, Slot

__all__ = ["Edge", "Item", "edges_of", "gathered_edges", "measured", "outermost"]

Item = TypeVar("Item", tuple[Site, Mutation], tuple[Site, Slot])
_GRADIENTS = frozenset({"backward", "deposit", "accumulated"})
_STATISTICS = frozenset({"mean", "var", "std", "sum", "norm"})


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
