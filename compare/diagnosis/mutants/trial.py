"""One candidate held against the evidence: at the divergence, at all that it reaches, in every micro-batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from compare.checkpoint import Checkpoint
from compare.culprit import owner_of
from compare.diagnosis.evidence import Evidence, Hypothesis, closeness
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.derivatives import FORMULA_OF
from compare.diagnosis.mutants.edges import Edge
from compare.diagnosis.mutants.mutation import Mutation, forward_only
from compare.diagnosis.mutants.names import factors_of
from compare.diagnosis.mutants.penalty import Penalties
from compare.diagnosis.mutants.replay import LOSS, Bench, Found
from compare.diagnosis.mutants.sites import Replacement, Site, SiteKey

__all__ = ["Candidate", "Trial"]

_ENOUGH = 4
"""Elements that let one tensor speak for itself where others show further mistakes."""

_SURE = (0.0, -1.0, 2.0)
"""Factors that are the same whatever the size of a micro-batch."""


@dataclass(frozen=True)
class Candidate:
    """A mutation at one site, or the same one at several."""

    mutation: Mutation
    sites: tuple[Site, ...]
    replacements: dict[SiteKey, Replacement]

    @property
    def rank(self) -> int:
        return self.mutation.rank


class Trial:
    """Tries candidates, and keeps what explains."""

    def __init__(self, evidence: Evidence, bench: Bench, around: Around, penalties: Penalties):
        self.evidence = evidence
        self.bench = bench
        self.around = around
        self.penalties = penalties
        self.found: list[Hypothesis] = []

    # -- trying --------------------------------------------------------------------------------------------------------

    def forward(self, candidate: Candidate) -> None:
        """Try a mistake of the forward pass.

        Autograd follows it; or the backward pass is that of the right formula; or something else is wrong there too.
        """
        shown = self.bench.run(candidate.replacements)
        if shown is None or not self._near(shown) or self.whole(candidate, shown):
            return
        kept = {path: forward_only(other) for path, other in candidate.replacements.items()}
        if self.whole(candidate, self.bench.run(kept), "; its backward pass is that of the right formula", 1):
            return
        for phases in (("forward", "loss"), ("forward",)):
            if self.evidence.phase in phases:
                only = {key: value for key, value in shown.items() if key.phase in phases}
                if self.whole(candidate, only, "; its backward pass is not the derivative of that", 1, confirm=False):
                    return
        self.alone(candidate, shown)

    def backward(self, candidate: Candidate, wrong: set[Checkpoint]) -> None:
        """Try a mistake of the backward pass; or one on the way to the gradients that differ, and to no other."""
        shown = self.bench.run(candidate.replacements)
        if shown is None or not self._near(shown) or self.whole(candidate, shown):
            return
        names = ", ".join(sorted({key.name for key in wrong}))
        only = {key: shown[key] if key in wrong and key in shown else value for key, value in self.bench.plain.items()}
        if not self.whole(candidate, only, f", on the way to {names} alone", 1, confirm=False):
            self.alone(candidate, shown)

    def edge(self, edge: Edge, wrong: set[Checkpoint]) -> None:
        """Try the factors that an edge may have."""
        for factor, shown in factors_of(self.bench, self.around, edge, wrong):
            cause, formula = (
                self.penalties.renamed(edge.site, factor.cause, factor.value),
                FORMULA_OF.get(edge.site.name, ""),
            )
            mutation = Mutation("", cause, factor.says, lambda call: call.plain(), factor.rank, formula)
            sure = not factor.freedom and factor.value in _SURE
            candidate = Candidate(mutation, tuple(site for site, _ in edge.places), edge.scaled(factor.value))
            self.whole(candidate, shown, freedom=factor.freedom, confirm=sure)

    # -- judging -------------------------------------------------------------------------------------------------------

    def whole(
        self,
        candidate: Candidate,
        shown: Found | None,
        more: str = "",
        worse: int = 0,
        *,
        freedom: int = 0,
        confirm: bool = True,
    ) -> bool:
        """Keep a candidate that explains all that it shows, in all micro-batches of the step."""
        if shown is None or not self._near(shown):
            return False
        predicted: Found | None = self._spoken(self.bench.prediction(shown))
        if not predicted or not self.evidence.fit(predicted).explained:
            return False
        if confirm:
            predicted = self._confirmed(candidate, predicted)
        if predicted is None:
            return False
        self.keep(candidate, predicted, more, worse, freedom)
        return True

    def alone(self, candidate: Candidate, shown: Found | None) -> None:
        """Keep a candidate that explains the divergence and disturbs nothing that agreed."""
        here, pairs = self.evidence.checkpoint, self.evidence.pairs
        if shown is None or self.evidence.phase == "accumulated" or self.evidence.pair.expected.size < _ENOUGH:
            return
        if not self._near(shown):
            return
        predicted = self._spoken(self.bench.prediction(shown))
        predicted = {key: v for key, v in predicted.items() if key == here or (key in pairs and pairs[key].agrees)}
        if predicted and self.evidence.fit(predicted).explained:
            self.keep(candidate, predicted, "; what differs elsewhere has another cause", 2)

    def keep(self, candidate: Candidate, predicted: Found, more: str = "", worse: int = 0, freedom: int = 0) -> None:
        """Note what explains."""
        mutation, sites = candidate.mutation, candidate.sites
        self.found.append(
            Hypothesis(
                self.penalties.renamed(sites[0], mutation.cause, None),
                predicted,
                f"{mutation.says}{_where(sites)}{more}",
                _look_at(candidate),
                min(9, mutation.rank + worse),
                freedom,
            )
        )

    def _near(self, shown: Found) -> bool:
        key = self.evidence.checkpoint
        predicted = self.bench.prediction({key: shown[key]} if key in shown else {})
        return key in predicted and closeness(self.evidence.pair, predicted[key])[1]

    def _confirmed(self, candidate: Candidate, predicted: Found) -> Found | None:
        """The prediction with the other micro-batches of the step; ``None`` where they contradict it."""
        others = self.bench.others()
        if not others:
            return predicted
        whole: Found = {}
        for number in sorted([*others, self.bench.micro_batch]):
            shown = self.bench.run(candidate.replacements, number)
            if shown is None:
                return predicted
            whole = self.bench.prediction(shown, number, whole)
        whole = self._spoken(whole)
        return whole if self.evidence.fit(whole).explained else None

    # -- what it speaks about ------------------------------------------------------------------------------------------

    def speaks(self, key: Checkpoint) -> bool:
        """Whether a hypothesis speaks about a checkpoint: in a walk by module only about the culprit's."""
        if self.evidence.sync != "module":
            return True
        culprit = self.evidence.culprit
        if key.phase in ("deposit", "accumulated"):
            return owner_of(key.name) == culprit
        if key.phase == "loss":
            return culprit in ("loss", "penalty")
        return (key.name or "(model)") == culprit

    def _spoken(self, predicted: Found) -> Found:
        return {key: value for key, value in predicted.items() if self.speaks(key)}

    def best(self) -> list[Hypothesis]:
        """One hypothesis for each cause; others of the best one's rank are put behind it."""
        ordered = sorted(self.found, key=lambda hypothesis: (hypothesis.rank, hypothesis.freedom))
        kept: dict[str, Hypothesis] = {}
        for hypothesis in ordered:
            if hypothesis.cause not in kept:
                rank = hypothesis.rank + (1 if kept and hypothesis.rank <= next(iter(kept.values())).rank else 0)
                kept[hypothesis.cause] = replace(hypothesis, rank=min(9, rank))
        return list(kept.values())


def _where(sites: tuple[Site, ...]) -> str:
    """Where the sites are, as the end of a sentence."""
    site = sites[0]
    place = f" in {site.outer.name}" if site.outer is not None else ""
    if site.step:
        place += f" ({site.step})"
    if site.owner == LOSS:
        place += ", in the loss"
    elif site.owner:
        place += f", module {site.owner}"
    return place + (f", at all {len(sites)} such places" if len(sites) > 1 else "")


def _look_at(candidate: Candidate) -> str:
    site = candidate.sites[0]
    formula = candidate.mutation.formula or FORMULA_OF.get(site.name, "")
    return "; ".join(part for part in (formula, site.line) if part)
