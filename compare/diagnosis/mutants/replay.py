"""The reference run again and again on one micro-batch, each time with another op in the place of one of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, closeness
from compare.diagnosis.mutants.arguments import bound
from compare.diagnosis.mutants.laying import alpha_map
from compare.diagnosis.mutants.pins import Pins
from compare.diagnosis.mutants.sites import Call, Replacement, Site, SiteKey, Sites, Watch
from compare.side import observed

__all__ = ["LOSS", "Bench", "Found"]

LOSS = "loss"
"""The owner of what runs after the model."""

Found = dict[Checkpoint, np.ndarray]
_PHASES = ("forward", "loss", "backward", "deposit")
_MOST_CONFIRMED = 4  # micro-batches of a step on which an explanation is tried


class Bench:
    """One reference side, used for every replay.

    Parameters
    ----------
    evidence : Evidence

    Attributes
    ----------
    micro_batch : int
        That of the divergence, or the last.
    plain : dict of Checkpoint to array
        What the reference shows of it.
    sites : Sites
    names : dict of int to str
        The reference's parameters by their address in memory.
    """

    def __init__(self, evidence: Evidence):
        self.evidence = evidence
        self.step = evidence.step
        self.micro_batch = evidence.checkpoint.micro_batch or len(self.step.micro_batches)
        self.side: Any = evidence.prepared()
        module = getattr(self.side, "module", None)
        self.module = module if isinstance(module, torch.nn.Module) else None
        self._running: list[tuple[str, int]] = []
        self._calls: dict[str, int] = {}
        self._after = False
        self._present = self.micro_batch
        self._pins: dict[int, Pins] = {}  # by micro-batch, in a walk by module
        self._plains: dict[int, Found] = {}
        self.sites = Sites()
        self.names: dict[int, str] = {}
        for name, value in self.side.parameters.items():
            if np.size(value):
                self.names[np.asarray(value).__array_interface__["data"][0]] = name
        self.replays = 0

    # -- running -------------------------------------------------------------------------------------------------------

    @property
    def isolated(self) -> bool:
        """Whether every module runs on the reference's inputs."""
        return bool(self._pins)

    @property
    def weight(self) -> float:
        """The share of the micro-batch in the batch."""
        return self.step.weights[self.micro_batch - 1]

    @property
    def plain(self) -> Found:
        return self.plain_of(self.micro_batch)

    def plain_of(self, micro_batch: int) -> Found:
        """What the reference shows of a micro-batch as it is."""
        if micro_batch not in self._plains:
            if self.evidence.sync == "module" and self.module is not None:
                self._run(micro_batch, {})
                self._pins[micro_batch] = Pins(self.side, self.module)
            self._plains[micro_batch] = self._run(micro_batch, {})
        return self._plains[micro_batch]

    def own_gradient(self, name: str, weighted: bool) -> np.ndarray:
        """What the micro-batch that is being replayed gives to a parameter's gradient as it is."""
        found = self.plain_of(self._present)[Checkpoint(self.step.number, self._present, "accumulated", name)]
        return found if weighted else found / self.step.weights[self._present - 1]

    def input_gradient_of(self, site: Site) -> Checkpoint:
        """Where the gradient is shown that the module which owns a site hands on."""
        return Checkpoint(self.step.number, self.micro_batch, "backward", site.owner or "", 0, "input")

    def list_sites(self) -> Sites:
        """Run once with every call listed."""
        self.sites = Sites()
        self._run(self.micro_batch, {}, self.sites)
        return self.sites

    def run(self, replacements: Mapping[SiteKey, Replacement], micro_batch: int | None = None) -> Found | None:
        """What the reference shows with some calls replaced; ``None`` where that is not possible."""
        number = micro_batch or self.micro_batch
        self.plain_of(number)
        self.replays += 1
        try:
            return self._run(number, replacements)
        except Exception:  # another op in its place may fail in every way there is
            return None

    def passes(self, site: Site, replacements: Mapping[SiteKey, Replacement]) -> bool:
        """Whether any gradient arrives at a site's result."""
        arrived: list[bool] = []

        def watched(call: Call) -> Any:
            result = replacements[site.path](call) if site.path in replacements else call.plain()
            if result.requires_grad:
                result.register_hook(lambda g: arrived.append(bool(torch.any(g != 0))))
            return result

        self.run({**replacements, site.path: watched})
        return any(arrived)

    def _run(
        self, micro_batch: int, replacements: Mapping[SiteKey, Replacement], listing: Sites | None = None
    ) -> Found:
        side, self._present, pins = self.side, micro_batch, self._pins.get(micro_batch)
        if self.step.state.get("buffers") or self.step.state.get("random") is not None:
            keys = ("buffers", "random")
            side.load_state({key: self.step.state[key] for key in keys if key in self.step.state})
        side.zero_grad()
        batch, weight = self.step.micro_batches[micro_batch - 1]
        self._running.clear()
        self._calls.clear()
        self._after = False
        watch = Watch(
            listing=listing,
            replacements=replacements,
            owner=self._owner,
            dropout=lambda call, name: self._dropped(call, name, micro_batch),
        )
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            stack.enter_context(self._following())
            if pins is not None:
                stack.enter_context(pins)
            stack.enter_context(watch)
            terms = side.accumulate(batch, weight)
        if len(watch.met) != len(replacements):
            raise RuntimeError("the replay met other calls than the listed run")
        found: Found = {}
        for phase in _PHASES:
            for key, value in (observed(side, phase, terms) or {}).items():
                if value is not None:
                    found[Checkpoint(self.step.number, micro_batch, phase, *key)] = np.array(value)
        if pins is not None:
            for phase, shown in (("forward", pins.handed_down), ("backward", pins.handed_up)):
                found |= {Checkpoint(self.step.number, micro_batch, phase, *key): v for key, v in shown.items()}
        for name, value in side.gradients.items():
            if value is not None:
                found[Checkpoint(self.step.number, micro_batch, "accumulated", name)] = np.array(value)
        return found

    # -- which module is running ---------------------------------------------------------------------------------------

    def _owner(self) -> str | None:
        if self.module is None:
            return None
        return self._running[-1][0] if self._running else LOSS if self._after else ""

    @contextmanager
    def _following(self) -> Iterator[None]:
        """Follow which module is running, by hooks."""
        handles: list[Any] = []
        if self.module is not None:
            for name, child in self.module.named_modules():
                handles.append(child.register_forward_pre_hook(self._enter(name), prepend=True))
                handles.append(child.register_forward_hook(self._leave(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Callable[..., None]:
        def enter(module: Any, args: Any) -> None:
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            self._running.append((name, call))

        return enter

    def _leave(self, name: str) -> Callable[..., None]:
        def leave(module: Any, args: Any, output: Any) -> None:
            self._running.pop()
            self._after |= not name

        return leave

    def _dropped(self, call: Call, name: str, micro_batch: int) -> Callable[[Tensor], Tensor] | None:
        """What a dropout did in the compared run: where nothing passed, its module's output shows the least it can."""
        if not self._running:
            return None
        module, number = self._running[-1]
        pair = self.evidence.pairs.get(Checkpoint(self.step.number, micro_batch, "forward", module, number, "output"))
        given = bound(name, call.args, call.kwargs)
        x, p, training = given["input"], given.get("p", 0.5), given.get("training", True)
        if pair is None or not training or not 0 < p < 1 or pair.expected.shape != tuple(x.shape):
            return None
        stretch, shift, low = alpha_map(p) if "alpha" in name else (1 / (1 - p), 0.0, 0.0)
        floor = stretch * low + shift
        shown = torch.from_numpy(pair.expected).to(x.dtype)
        kept = (shown != 0 if not floor else ~torch.isclose(shown, torch.full_like(shown, floor))).to(x.dtype)
        if not floor:
            scale = kept * stretch
            return lambda value: value * scale
        return lambda value: stretch * (value * kept + low * (1 - kept)) + shift

    def shown_by(self, module: str) -> np.ndarray | None:
        """What the actual side's module made of the micro-batch that is being replayed."""
        key = Checkpoint(self.step.number, self._present, "forward", module, 0, "output")
        pair = self.evidence.pairs.get(key)
        return None if pair is None else pair.actual

    # -- predicting ----------------------------------------------------------------------------------------------------

    @property
    def faithful(self) -> bool:
        """Whether a plain replay shows what the reference showed in the walk."""
        for key, value in self.plain.items():
            pair = self.evidence.pairs.get(key)
            if pair is None or key.phase == "accumulated":
                continue
            if (
                pair.expected.shape != value.shape
                or not closeness(pair._replace(actual=pair.expected, agrees=True), value)[1]
            ):
                return False
        return True

    def prediction(self, found: Found, micro_batch: int | None = None, before: Found | None = None) -> Found:
        """What the actual side would show if the reference under a mutation is what it computes.

        A cumulative gradient is the reference's, with the changes of this micro-batch and of those ``before`` added.
        """
        number = micro_batch or self.micro_batch
        plain = self.plain_of(number)
        made: Found = dict(before or {})
        for key, value in found.items():
            if key.phase == "loss" and self.isolated and key.name == "total":
                continue
            if key.phase != "accumulated":
                made[key] = value
                continue
            pair = self.evidence.pairs.get(key)
            if pair is None or self.isolated or key not in plain or pair.expected.shape != value.shape:
                continue
            earlier = 0.0
            if before:
                previous = key._replace(micro_batch=number - 1)
                was = self.evidence.pairs.get(previous)
                if was is not None and previous in before:
                    earlier = before[previous] - was.expected
            made[key] = pair.expected + earlier + (value - plain[key])
        return made

    def others(self) -> list[int]:
        """The micro-batches of the step on which an explanation must hold too."""
        count = len(self.step.micro_batches)
        return [n for n in range(1, count + 1) if n != self.micro_batch] if count <= _MOST_CONFIRMED else []
