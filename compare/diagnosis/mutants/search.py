"""Looking for the mutation that explains a divergence: candidates in order of likelihood, one replay each."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis
from compare.diagnosis.mutants.arithmetic import arithmetic
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.channels import by_channel, by_channel_back
from compare.diagnosis.mutants.confusion import confused, reordered
from compare.diagnosis.mutants.derivatives import local
from compare.diagnosis.mutants.edges import Edge, Item, edges_of, gathered_edges, measured, outermost
from compare.diagnosis.mutants.functions import unary
from compare.diagnosis.mutants.gathering import gathered, spread, unsummed
from compare.diagnosis.mutants.kinks import kinks
from compare.diagnosis.mutants.layout import arranged, products
from compare.diagnosis.mutants.loops import assigned
from compare.diagnosis.mutants.losses import losses
from compare.diagnosis.mutants.masks import masked
from compare.diagnosis.mutants.mutation import Mutation, backward_only
from compare.diagnosis.mutants.operands import bilinear
from compare.diagnosis.mutants.options import options
from compare.diagnosis.mutants.penalty import Penalties
from compare.diagnosis.mutants.reductions import over_axes
from compare.diagnosis.mutants.replay import LOSS, Bench
from compare.diagnosis.mutants.rounding import gradients_rounded, narrower, values_rounded
from compare.diagnosis.mutants.sites import Replacement, Site, SiteKey, Slot
from compare.diagnosis.mutants.statistics import statistics
from compare.diagnosis.mutants.trial import Candidate, Trial
from compare.diagnosis.mutants.windows import windowed
from compare.diagnosis.mutants.windows_back import windowed_back
from compare.threads import threads

__all__ = ["BUDGET", "search"]

BUDGET = 5.0
"""Seconds of this thread's own time after which no further candidate is tried."""

_GRADIENTS = frozenset({"backward", "deposit", "accumulated"})
_LOOP = 2  # a call that a loop makes more often than this is changed in all its rounds at once only

Generator = Callable[[Site, Around], Iterable[Mutation]]
_FORWARD: tuple[Generator, ...] = (
    *(
        losses,
        options,
        unary,
        arithmetic,
        over_axes,
        products,
        masked,
        arranged,
        windowed,
        by_channel,
        confused,
        reordered,
    ),
)
_BACKWARD: tuple[Generator, ...] = (
    *(kinks, gathered, statistics, local, bilinear, spread, assigned, windowed_back, by_channel_back),
)

_IN_BACKWARD = {
    "wrong function": "wrong derivative",
    "left out": "derivative left out",
    "applied twice": "wrong derivative",
}
"""What a mistake of the forward pass is called where the backward pass alone makes it."""

_OPTIONS = frozenset({"no smoothing"})
"""Options of a loss: left out in the backward pass, it belongs to another loss, and no derivative is left out."""


def search(evidence: Evidence) -> list[Hypothesis]:
    """Everything that explains the divergence, the best first."""
    with threads(1):
        bench = Bench(evidence)
        if not bench.faithful:
            return []
        bench.list_sites()
        looking = _Search(evidence, bench)
        if evidence.phase in ("forward", "loss"):
            looking.forward()
        else:
            looking.backward()
        return looking.trial.best()


class _Search:
    """One search for one divergence."""

    def __init__(self, evidence: Evidence, bench: Bench):
        self._until = time.thread_time() + BUDGET
        self.evidence = evidence
        self.bench = bench
        self.around = Around(bench)
        self.penalties = Penalties(self.around)
        self.trial = Trial(evidence, bench, self.around, self.penalties)

    @property
    def _time_left(self) -> bool:
        return time.thread_time() < self._until

    def forward(self) -> None:
        """Try mistakes of the forward pass: where the culprit is, and everywhere alike."""
        sites = list(self.around.sites)
        scope = self._of_the_culprit() or sites
        names = {site.name for site in scope}
        dtypes = narrower(self.evidence.pair)
        made: list[tuple[Site, Mutation]] = []
        for site in [*scope, *(site for site in _without(sites, scope) if site.name in names)]:
            made += [(site, m) for m in self._of(site, _FORWARD)]
            made += [(site, m) for m in self.penalties.mutations(site)]
            made += [(site, m) for m in values_rounded(site, self.around, dtypes)]
        for candidate in self._in_turn(made, scope):
            self.trial.forward(candidate)

    def backward(self) -> None:
        """Try factors on edges, then mistakes of pullbacks where an edge reaches all that differs."""
        scope = self._of_the_culprit() if self.evidence.sync == "module" else []
        scope = scope or [*self._of_the_culprit(), *_without(list(self.around.sites), self._of_the_culprit())]
        for site in scope:
            self._unsummed(site)
        wrong = self._wrong()
        edges: list[Edge] = []
        for edge in edges_of(self.bench, scope):
            edges.append(edge)
            if not self._time_left:
                break
        reached: dict[SiteKey, set[Checkpoint]] = {}
        together: dict[str, set[Checkpoint]] = {}
        for edge in edges:
            reached.setdefault(edge.site.path, set()).update(edge.contribution)
            together.setdefault(edge.site.name, set()).update(edge.contribution)
        for edge in [*edges, *self._groups(edges, reached, wrong)]:
            self.trial.edge(edge, wrong)
        viable = [site for site in scope if wrong <= reached.get(site.path, set())]
        names = {name for name, found in together.items() if wrong <= found}
        dtypes = narrower(self.evidence.pair)
        made: list[tuple[Site, Mutation]] = []
        for site in [*viable, *(site for site in _without(scope, viable) if site.name in names)]:
            made += [(site, m) for m in self._of(site, _BACKWARD)]
            made += [(site, _behind(m)) for m in self._of(site, _FORWARD)]
            made += [(site, m) for m in gradients_rounded(site, self.around, dtypes)]
        penalised = [(site, _behind(m)) for site in scope for m in self.penalties.mutations(site)]
        exact = {edge.site.path for edge in edges if set(edge.contribution) <= wrong}
        for candidate in self._in_turn(made + penalised, [*viable, *(site for site, _ in penalised)], exact):
            self.trial.backward(candidate, wrong)

    def _groups(
        self, edges: list[Edge], reached: dict[SiteKey, set[Checkpoint]], wrong: set[Checkpoint]
    ) -> Iterator[Edge]:
        """Edges that a mistake made alike in several places has a factor on, each measured."""
        alike = [Edge(list(places)) for places in _alike([(e.site, e.slot) for e in edges], lambda item: item[1])]
        alike += [Edge(places) for group in alike if 1 < len(places := self._carried(group)) < len(group.places)]
        for group in [*alike, *gathered_edges(self.around, edges)]:
            shown: set[Checkpoint] = set()
            for site, _ in group.places:
                shown |= reached.get(site.path, set())
            if wrong <= shown and self._time_left and measured(self.bench, group):
                yield group

    def _carried(self, group: Edge) -> list[tuple[Site, Slot]]:
        """Of the rounds of a loop those that were handed something by the round before."""
        return [(site, slot) for site, slot in group.places if self.around.sites.maker(site.tensor(slot)) is not None]

    def _unsummed(self, site: Site) -> None:
        """A gradient in the shape of what its parameter was spread over."""
        here, pair = self.evidence.checkpoint, self.evidence.pair
        if here.phase not in ("deposit", "accumulated") or pair.actual.shape == pair.expected.shape:
            return
        for name, gradient in unsummed(site, self.around):
            if name == here.name:
                says = f"the gradient of {name} is not summed over the rows over which {name} was spread"
                mutation = Mutation("", "broadcasting not summed", says, lambda call: call.plain(), 1)
                shown = {here: gradient.numpy() * self.evidence.step.weights[self.bench.micro_batch - 1]}
                if self.evidence.fit(shown).explained:
                    self.trial.keep(Candidate(mutation, (site,), {}), shown)

    # -- where to look -------------------------------------------------------------------------------------------------

    def _of_the_culprit(self) -> list[Site]:
        """The culprit's own sites, then the glue of the modules around it, which shows in it first."""
        sites, culprit = list(self.around.sites), self.evidence.culprit
        if culprit in ("loss", "penalty"):
            seen = self.evidence.at("forward")  # only then the model is known to be right
            return [site for site in sites if site.owner == LOSS] if seen else []
        path = "" if culprit == "(model)" else culprit
        owned = [site for site in sites if site.owner == path]
        if not owned:
            owned = [site for site in sites if site.owner is not None and site.owner.startswith(f"{path}.")]
        if self.evidence.sync == "module" or not path:
            return owned
        around = [
            site
            for site in sites
            if site.owner is not None and site.owner != path and (not site.owner or path.startswith(f"{site.owner}."))
        ]
        return owned + around

    def _wrong(self) -> set[Checkpoint]:
        """The gradients of this micro-batch that differ and that the reference shows too."""
        here, number = self.evidence.checkpoint, self.bench.micro_batch
        shown = self.bench.plain
        return {
            key
            for key, pair in self.evidence.pairs.items()
            if key.phase in _GRADIENTS
            and (key.step, key.micro_batch) == (here.step, number)
            and not pair.agrees
            and key in shown
            and self.trial.speaks(key)
        }

    def _of(self, site: Site, generators: tuple[Generator, ...]) -> list[Mutation]:
        """The mutations of a site; none of a kind that does not know this use of the op."""
        found: list[Mutation] = []
        for generator in generators:
            with suppress(TypeError, ValueError, IndexError, KeyError, RuntimeError):
                found += generator(site, self.around)
        return found

    # -- candidates ----------------------------------------------------------------------------------------------------

    def _in_turn(
        self, made: list[tuple[Site, Mutation]], alone: list[Site], exact: Collection[SiteKey] = ()
    ) -> Iterator[Candidate]:
        """Candidates at sites that can explain alone and at several alike, none worse than what was found.

        They come by rank; later where no edge of their sites reaches only what differs.
        """
        often: dict[tuple[str, str, str | None], int] = {}
        for site in {id(site): site for site, _ in made}.values():
            often[_round(site)] = often.get(_round(site), 0) + 1
        single = {id(site) for site in alone}
        candidates = [
            Candidate(mutation, (site,), mutation.replacements(site))
            for site, mutation in made
            if id(site) in single and often[_round(site)] <= _LOOP
        ]
        for places in _alike(made, lambda item: item[1].key):
            if any(id(site) in single for site, _ in places) or not alone or self.evidence.phase in _GRADIENTS:
                together: dict[SiteKey, Replacement] = {}
                for site, mutation in places:
                    together |= mutation.replacements(site)
                candidates.append(Candidate(places[0][1], tuple(site for site, _ in places), together))
        candidates.sort(
            key=lambda candidate: (
                candidate.rank + (0 if not exact or any(site.path in exact for site in candidate.sites) else 2),
                len(candidate.sites) == 1,
            )
        )
        for candidate in candidates:
            best = min((hypothesis.rank for hypothesis in self.trial.found if not hypothesis.freedom), default=9)
            if not self._time_left:
                return
            if candidate.rank <= best:
                yield candidate


def _round(site: Site) -> tuple[str, str, str | None]:
    """What the rounds of a loop have in common."""
    return site.name, site.place, site.owner


def _behind(mutation: Mutation) -> Mutation:
    """The mistake of a forward pass, made by the backward pass alone."""
    says, rank, key = f"the backward pass goes as if {mutation.says}", mutation.rank + 1, f"backward: {mutation.key}"
    if mutation.behind is not None:
        (_, first), *rest = mutation.behind.items()
        return replace(mutation, key=key, says=says, replace=first, rank=rank, also=dict(rest))
    return replace(
        mutation,
        key=key,
        cause=(
            "forward and backward disagree"
            if mutation.key in _OPTIONS
            else _IN_BACKWARD.get(mutation.cause, mutation.cause)
        ),
        says=says,
        replace=backward_only(mutation.replace),
        rank=rank,
        also={path: backward_only(other) for path, other in (mutation.also or {}).items()},
    )


def _without(sites: list[Site], some: list[Site]) -> list[Site]:
    known = {id(site) for site in some}
    return [site for site in sites if id(site) not in known]


def _alike(made: list[Item], key: Callable[[Item], object]) -> list[list[Item]]:
    """What is done to several sites alike: on one line (a loop, repeated layers), and everywhere."""
    lists: dict[object, list[Item]] = {}
    for item in made:
        site = item[0]
        for where in (site.place, None):
            lists.setdefault((site.name, where, key(item)), []).append(item)
        if isinstance(item[1], Mutation) and item[1].cause == "wrong axis":  # one idea of the axes for all statistics
            lists.setdefault((None, None, key(item)), []).append(item)
    found: dict[tuple[object, ...], list[Item]] = {}
    for items in lists.values():
        items = outermost(items)
        ids: list[object] = [id(item[0]) for item in items]
        if len(set(ids)) > 1:
            found.setdefault((key(items[0]), *ids), items)
    return list(found.values())
