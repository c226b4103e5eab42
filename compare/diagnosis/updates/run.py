"""A run of the optimizer as the actual side went through it, and what a rule would have made of it.

The slots of a hand-written rule are often hidden, and many mistakes need several steps to show. So a rule is run from
the first step on, on the gradients and the parameters that the actual side itself had, and everything it leads to is
predicted: slots, updates and parameters of every recorded step. A rule that is wrong at any of them explains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, closeness
from compare.diagnosis.feeds import before, fed, parameter_names, rates_in_force, walked
from compare.diagnosis.updates.decay import coupled, decays_apart, decoupled, with_decay
from compare.diagnosis.updates.foreign import rule_of
from compare.diagnosis.updates.rules import RULES, Rule, Turn

__all__ = ["Found", "Run"]

Array = Any
Predicted = dict[Checkpoint, Array]
Feed = Callable[[int, str], "Array | None"]


@dataclass(frozen=True)
class Found:
    """A rule that explains: what it predicts, and the parameters for which it is needed (empty for all)."""

    predicted: Predicted
    explains: bool
    only: tuple[str, ...] = ()


@dataclass
class Run:
    """What the actual side's optimizer was given, step by step.

    Attributes
    ----------
    evidence : Evidence
    kind : the name of torch's optimizer class
    name : the parameter at which the sides parted
    groups : the reference's options by parameter
    steps : the recorded steps around the divergence
    """

    evidence: Evidence
    kind: str
    name: str
    groups: Mapping[str, Mapping[str, Any]]
    group_numbers: Mapping[str, int]
    steps: range
    gradients: dict[int, dict[str, Array]]
    parameters: dict[int, Mapping[str, Array]]
    rates: dict[int, list[float]]
    _right: dict[str, Predicted] = field(default_factory=dict)

    @classmethod
    def of(cls, evidence: Evidence) -> Run | None:
        """The run of a divergence; ``None`` where the reference has no optimizer that could be asked."""
        optimizer = getattr(evidence.reference, "optimizer", None)
        if optimizer is None:
            return None
        names = parameter_names(evidence.reference)
        groups, numbers = {}, {}
        for number, group in enumerate(optimizer.param_groups):
            for tensor in group["params"]:
                name = names.get(tensor.data_ptr())
                if name is not None:
                    groups[name] = {key: value for key, value in group.items() if key != "params"}
                    numbers[name] = number
        steps = walked(evidence)
        return cls(
            evidence,
            type(optimizer).__name__,
            evidence.checkpoint.name,
            groups,
            numbers,
            steps,
            {step: fed(evidence, step) for step in steps},
            {step: before(evidence, step) for step in steps},
            {step: rates_in_force(evidence, step) for step in steps},
        )

    def at(self, places: Sequence[int] | Array) -> Run:
        """The run of some elements of the diverging parameter, flat, as if there were no others: all rules work so."""
        name, evidence = self.name, copy(self.evidence)

        def some(value: Any) -> Array:
            value = np.asarray(value)
            return value.reshape(-1)[places] if value.size > 1 else value.reshape(-1)[:1] if value.ndim else value

        def of(values: Mapping[str, Any]) -> dict[str, Array]:
            return {name: some(values[name])} if name in values else {}

        evidence.pairs = {
            key: pair._replace(actual=some(pair.actual), expected=some(pair.expected))
            for key, pair in evidence.pairs.items()
            if key.name == name and key.phase in ("slots", "update", "parameter")
        }
        evidence.steps = [
            replace(facts, state={"slots": {name: {k: some(v) for k, v in facts.state["slots"].get(name, {}).items()}}})
            if "slots" in facts.state
            else facts
            for facts in evidence.steps
        ]
        return replace(
            self,
            evidence=evidence,
            gradients={step: of(values) for step, values in self.gradients.items()},
            parameters={step: of(values) for step, values in self.parameters.items()},
            _right={},
        )

    # -- rules -------------------------------------------------------------------------------------------------------

    def rule(self, **changed: Any) -> Rule:
        """The reference's rule, with some of its conventions changed where it has been written out."""
        if self.kind not in RULES:
            return rule_of(type(self.evidence.reference.optimizer))
        return with_decay(self.core(**changed), decoupled if self.decays_apart else coupled)

    def core(self, **changed: Any) -> Rule:
        """The same without decay, for a rule that has been written out."""
        return partial(RULES[self.kind], **changed)

    @property
    def written_out(self) -> bool:
        """Whether there are formulas for this optimizer, and not only torch's own code."""
        return self.kind in RULES

    @property
    def decays_apart(self) -> bool:
        """Whether the reference decouples its weight decay."""
        return decays_apart(self.kind, self.groups.get(self.name, {}))

    # -- one parameter -----------------------------------------------------------------------------------------------

    def gradient(self, step: int, name: str) -> Array | None:
        """What was fed for a parameter, ``None`` where it had no gradient."""
        value = self.gradients[step].get(name)
        return None if value is None else np.asarray(value, np.float64)

    def options(self, step: int, name: str) -> dict[str, Any]:
        """A parameter's options in a step, with the rate that was in force, and the momentum where it is scheduled."""
        options = dict(self.groups[name])
        if self.group_numbers[name] < len(self.rates[step]):
            options["lr"] = self.rates[step][self.group_numbers[name]]
        options |= self.momenta(step, name)
        if isinstance(options.get("eps"), tuple):  # Adafactor's first is that of the dtype unless it is given
            first, *others = options["eps"]
            of_dtype = np.finfo(np.asarray(self.parameters[step][name]).dtype).eps if first is None else first
            options["eps"] = (float(of_dtype), *others)
        return options

    def momenta(self, step: int, name: str) -> dict[str, Any]:
        """The option that a schedule of the momentum had set in a step; empty where none moves it."""
        steps = self.evidence.steps
        found = steps[min(max(step, 1), len(steps)) - 1].state.get("momentum")
        if not found:
            return {}
        momentum, options = found[self.group_numbers[name]], self.groups[name]
        return {"betas": (momentum, *options["betas"][1:])} if "betas" in options else {"momentum": momentum}

    def start(self, step: int, name: str, slots: dict[str, Array], turns: int) -> tuple[dict[str, Array], int]:
        """The slots before a step: the rule's own, or the reference's where the side was given them."""
        own = self.evidence.sync == "free" and step > self.steps.start
        if own or step == 1:
            return slots, turns
        held = self.evidence.steps[step - 1].state.get("slots", {}).get(name, {})
        slots = {slot: np.array(value, np.float64) for slot, value in held.items()}
        return slots, int(slots["step"]) if "step" in slots else step - 1

    def trajectory(
        self,
        name: str,
        rule: Rule,
        *,
        feed: Feed | None = None,
        options: Callable[[dict[str, Any], int, str], dict[str, Any]] | None = None,
    ) -> Iterator[tuple[Checkpoint, Array]]:
        """What a rule leads to for one parameter, checkpoint by checkpoint.

        Parameters
        ----------
        name : the parameter
        rule : makes its change
        feed : the gradient by step and name, in place of the one that was fed
        options : changes a step's options
        """
        slots: dict[str, Array] = {}
        turns = 0
        for step in self.steps:
            theta = self.parameters[step].get(name)
            if theta is None or name not in self.groups:
                return
            slots, turns = self.start(step, name, slots, turns)
            g = feed(step, name) if feed else self.gradient(step, name)
            change: Array = np.zeros(np.shape(theta))
            if g is not None:
                turns += 1
                own = self.options(step, name)
                turn = Turn(
                    np.asarray(theta, np.float64), g, slots, turns, options(own, step, name) if options else own
                )
                change = rule(turn)
            yield from self.shown(step, name, slots, change)

    def shown(
        self, step: int, name: str, slots: Mapping[str, Array], change: Array
    ) -> Iterator[tuple[Checkpoint, Any]]:
        """What a side shows of one update: the slots, the change as the weight can hold it, the new value."""
        for slot, value in slots.items():
            yield Checkpoint(step, None, "slots", name, 0, slot), value
        theta = self.parameters[step][name]
        with np.errstate(all="ignore"):
            after = (np.asarray(theta, np.float64) + change).astype(theta.dtype)
            yield Checkpoint(step, None, "update", name), after - theta
        yield Checkpoint(step, None, "parameter", name), after

    # -- all parameters ----------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The parameters, that of the divergence first."""
        return [self.name, *(name for name in self.groups if name != self.name)]

    def right(self, name: str) -> Predicted:
        """What the right rule makes of what the actual side had."""
        if name not in self._right:
            self._right[name] = dict(self.trajectory(name, self.rule()))
        return self._right[name]

    def judged(self, wrong: Callable[[str], Iterator[tuple[Checkpoint, Array]]]) -> Found:
        """Hold a prediction for every parameter against what was seen; stop where the first one already fails.

        A parameter that the mistake does not explain and the right rule does was updated rightly: then the mistake
        was made for the others only.
        """
        predicted: Predicted = {}
        only: list[str] = []
        part = False
        for name in self.names:
            mine = self.checked(wrong(name))
            if mine is not None and mine[1]:
                predicted |= mine[0]
                only.append(name)
            elif name == self.name:
                return Found(mine[0] if mine else {}, False)
            elif self.checked(iter(self.right(name).items()))[1]:
                predicted |= self.right(name)
                part = True
            else:
                return Found(predicted | (mine[0] if mine else {}), False)
        return Found(predicted, self.evidence.fit(predicted).explained, tuple(only) if part else ())

    def checked(self, prediction: Iterator[tuple[Checkpoint, Array]]) -> tuple[Predicted, bool]:
        """The prediction up to and including the first value that contradicts what was seen."""
        predicted: Predicted = {}
        agrees = True
        for key, value in prediction:
            predicted[key] = value
            pair = self.evidence.pairs.get(key)
            agrees = agrees and (pair is None or closeness(pair, value)[1])
            reached = key.name != self.name or self.evidence.checkpoint in predicted
            if not agrees and reached:  # before it the residual at the divergence is not known yet
                break
        return predicted, agrees
