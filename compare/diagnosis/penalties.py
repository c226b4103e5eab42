"""The penalty in the loss and in its gradient: left out, on the bias too, of another strength, of the wrong variable.

Weight decay, the optimizer's form of a penalty, is told apart in :mod:`compare.diagnosis.updates.decays`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis
from compare.diagnosis.feeds import counts_of, deposits
from compare.diagnosis.numbers import recognise
from compare.diagnosis.parts import listed, whole_or_part
from compare.diagnosis.shares import FORMS, SIZES, Penalty, penalty_of
from compare.diagnosis.updates.decay import decays_apart
from compare.diagnosis.updates.run import Run

__all__ = ["hypotheses"]

STRENGTH = "the factor of the penalty, and what the formula divides it by: lambda, lambda/2, lambda/n, C"
PARAMETERS = "which parameters the penalty adds up; biases are left alone"
DERIVATIVE = "the derivative of the penalty: of lambda/2 * theta^2 it is lambda * theta"

Predicted = dict[Checkpoint, np.ndarray]
Shares = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Wrong:
    """A penalty as somebody wrote it.

    Attributes
    ----------
    cause, says, look_at, rank, freedom : see :class:`Hypothesis`
    shares : by parameter, what it adds to the gradient before a micro-batch's weight; nothing where missing. One
        mapping, or one for each micro-batch
    value : the penalty itself, ``None`` where it is not known
    enters : with which weight it enters a micro-batch of a given weight
    """

    cause: str
    says: str
    look_at: str
    shares: Shares | Sequence[Shares]
    value: float | None
    rank: int = 3
    freedom: int = 0
    enters: Callable[[float], float] = lambda weight: weight

    def at(self, index: int) -> Shares:
        """The shares in a micro-batch, counted from 1."""
        return self.shares if isinstance(self.shares, Mapping) else self.shares[index - 1]


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Yield what the loss and the gradients would be with each wrong penalty."""
    here = evidence.checkpoint
    if here.phase not in ("loss", "backward", "deposit", "accumulated") or here.name == "denominator":
        return
    if here.phase == "backward" and here.name != "penalty":
        return
    if evidence.pair.actual.shape != evidence.pair.expected.shape:
        return
    penalty = penalty_of(evidence)
    if penalty is None:
        for found in _decay_in_the_gradient(evidence):
            yield from whole_or_part(evidence, found)
        return
    value = _value(evidence, penalty)
    for wrong in _wrong(evidence, penalty, value):
        gradients = _gradients(evidence, penalty, wrong)
        found = Hypothesis(wrong.cause, gradients, wrong.says, wrong.look_at, wrong.rank, wrong.freedom)
        if here.phase != "loss":
            yield from whole_or_part(evidence, found)
        elif value is not None and wrong.value is not None:
            loss = _losses(evidence, wrong.value - value)
            yield replace(found, predicted=loss | gradients)
            says = f"{wrong.says}; so it is in the loss, not in the gradients"
            yield replace(found, predicted=loss, explanation=says, rank=wrong.rank + 1)


def _decay_in_the_gradient(evidence: Evidence) -> Iterator[Hypothesis]:
    """The decay that the optimizer is to make apart from the gradient, added to the gradient: whole, or by weight."""
    run = Run.of(evidence) if evidence.phase in ("deposit", "accumulated") else None
    if run is None or not run.groups or not decays_apart(run.kind, next(iter(run.groups.values()))):
        return
    parameters = evidence.step.state["parameters"]
    decayed = {name: float(options.get("weight_decay", 0.0)) for name, options in run.groups.items()}
    shares = {name: strength * np.asarray(parameters[name]) for name, strength in decayed.items() if strength}
    nothing = Penalty({}, "", {})
    says = "the weight decay is added to the gradient, and so passes through the moments"
    for enters in (lambda weight: weight, lambda weight: 1.0):
        wrong = _Wrong("L2 instead of decoupled decay", says, DERIVATIVE, shares, None, 2, enters=enters)
        predicted = _gradients(evidence, nothing, wrong)
        yield Hypothesis(wrong.cause, predicted, says, "θ ← θ − γ λ θ, apart from the gradient", wrong.rank)


# -- what was written ------------------------------------------------------------------------------------------------


def _wrong(evidence: Evidence, penalty: Penalty, value: float | None) -> Iterator[_Wrong]:
    names, parameters = listed(list(penalty.shares)), evidence.step.state["parameters"]
    says = f"the penalty on {names} is left out"
    yield _Wrong("missing penalty", says, "the penalty, in the loss and in its gradient", {}, 0.0, 2)
    for out in penalty.strength if len(penalty.strength) > 1 else ():
        left = penalty.without(out)
        rest = None if value is None else value - penalty.value(parameters) + left.value(parameters)
        yield _Wrong("missing penalty", f"the penalty on {out} is left out", PARAMETERS, left.shares, rest, 3)
    yield from _scaled(evidence, penalty, value)
    if len(evidence.step.micro_batches) > 1:
        says = "the penalty enters whole with every micro-batch; with their weights it would enter once"
        yield _Wrong("penalty per micro-batch", says, STRENGTH, penalty.shares, value, 2, enters=lambda weight: 1.0)
    if penalty.form:
        sizes = {name: np.size(share) for name, share in penalty.shares.items()}
        shares = {name: share / sizes[name] for name, share in penalty.shares.items()}
        averaged = Penalty(shares, penalty.form, {name: s / sizes[name] for name, s in penalty.strength.items()})
        says = "the penalty averages the squares of each parameter, and does not add them up"
        yield _Wrong("penalty scaled", says, STRENGTH, shares, averaged.value(parameters), 3)
        yield from _on_others(evidence, penalty, value)
        yield from _of_other_variables(evidence, penalty)


def _scaled(evidence: Evidence, penalty: Penalty, value: float | None) -> Iterator[_Wrong]:
    """The penalty with another strength, as the loss or the gradients say."""
    numbers = counts_of(evidence)
    near = max(1e-8, 1e3 * float(np.finfo(evidence.pair.expected.dtype).eps))
    for factor, sure in _factors(evidence, penalty, value):
        if not np.isfinite(factor) or abs(factor - 1) < near or abs(factor) < near:
            continue
        readings = recognise(factor, numbers, near)
        if not readings and not sure:
            continue
        shares = {name: factor * share for name, share in penalty.shares.items()}
        scaled = None if value is None else factor * value
        if abs(factor + 1) < near:
            says = "the penalty is subtracted: minus one times what it should be"
            yield _Wrong("penalty scaled", says, "the sign of the penalty", shares, scaled, 2)
            continue
        text = f"{factor:.6g}" + (f" = {readings[0]}" if readings else "")
        says = f"the penalty is {text} times what it should be"
        yield _Wrong("penalty scaled", says, STRENGTH, shares, scaled, 3 if readings else 5, 0 if readings else 1)


def _factors(evidence: Evidence, penalty: Penalty, value: float | None) -> Iterator[tuple[float, bool]]:
    """Factors of the strength, each with whether enough numbers agree on it for it to need no name."""
    here = evidence.checkpoint
    if here.phase == "loss" and value:
        gap = float(evidence.pair.actual) - float(evidence.pair.expected)
        yield 1 + gap / value, False
    found = []
    for key, pair in evidence.pairs.items():
        name = key.output.removeprefix("input.") if key.phase == "backward" else key.name
        share = penalty.shares.get(name)
        index = key.micro_batch or 1
        wanted = "accumulated" if here.phase == "loss" else here.phase
        if share is None or key.phase != wanted or key.step != here.step or index != (here.micro_batch or 1):
            continue
        weights = evidence.step.weights
        weight = {"backward": 1.0, "deposit": weights[index - 1]}.get(key.phase, sum(weights[:index]))
        found.append((weight * share, pair.actual - pair.expected))
    for some in ([found] if len(found) > 1 else []) + [[each] for each in found]:
        size = sum(float(np.vdot(share, share)) for share, _ in some)
        if size:
            count = sum(share.size for share, _ in some)
            yield 1 + sum(float(np.vdot(share, gap)) for share, gap in some) / size, count > 2


def _on_others(evidence: Evidence, penalty: Penalty, value: float | None) -> Iterator[_Wrong]:
    """The penalty also on parameters that the reference leaves alone."""
    parameters = evidence.step.state["parameters"]
    trained = set(deposits(evidence, evidence.step.number)[0]) if evidence.step.micro_batches else set()
    others = [name for name in parameters if name not in penalty.shares and name in trained]
    strengths = set(penalty.strength.values())
    if not others or max(strengths) - min(strengths) > 1e-9 * max(map(abs, strengths)):
        return
    alpha = max(strengths)
    of, size = FORMS[penalty.form], SIZES[penalty.form]
    extra = {name: alpha * of(np.asarray(parameters[name])) for name in others}
    sizes = {name: alpha * size(np.asarray(parameters[name], np.float64)) for name in others}
    for some in ([others] if len(others) > 1 else []) + [[name] for name in others]:
        shares = {**penalty.shares, **{name: extra[name] for name in some}}
        more = None if value is None else value + sum(sizes[name] for name in some)
        yield _Wrong("penalty on the bias", f"the penalty also acts on {listed(some)}", PARAMETERS, shares, more, 1)


def _of_other_variables(evidence: Evidence, penalty: Penalty) -> Iterator[_Wrong]:
    """The gradient of the penalty with another variable in the parameter's place."""
    parameters = {name: np.asarray(evidence.step.state["parameters"][name]) for name in penalty.shares}
    for text, (of, size) in _VARIABLES.items():
        if text == penalty.form:
            continue
        for factor in (1.0, 0.5, 2.0):
            strengths = {name: factor * strength for name, strength in penalty.strength.items()}
            shares = {name: strengths[name] * of(theta) for name, theta in parameters.items()}
            value = None
            if size is not None:
                value = sum(strengths[name] * size(theta) for name, theta in parameters.items())
            says = f"the penalty's gradient is of {text}, not of {penalty.form}"
            says += "" if factor == 1 else f", times {factor:g}"
            cause = "wrong variable decayed" if text == _CONSTANT else "wrong derivative"
            if evidence.phase == "loss":
                cause = "wrong function"
            yield _Wrong(cause, says, DERIVATIVE, shares, value, 3 if factor == 1 else 4)
    each = []
    for weight, deposit in zip(evidence.step.weights, deposits(evidence, evidence.step.number), strict=False):
        data = {n: deposit[n] / weight - share for n, share in penalty.shares.items() if n in deposit and weight}
        each.append({name: penalty.strength[name] * value for name, value in data.items()})
    if evidence.phase != "loss" and len(each) == len(evidence.step.weights):
        says = "the gradient is added in the parameter's place, times the strength of the penalty"
        yield _Wrong("wrong variable decayed", says, DERIVATIVE, each, None, 3)


def _direction(theta: np.ndarray) -> np.ndarray:
    norm = float(np.linalg.norm(theta))
    return theta / norm if norm else theta


_CONSTANT = "one"
_VARIABLES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], float] | None]] = {
    **{form: (of, SIZES[form]) for form, of in FORMS.items()},
    "the parameter's magnitude": (np.abs, None),
    "the parameter's square": (lambda theta: theta * theta, None),
    "the parameter's norm (a norm without its square)": (_direction, lambda theta: float(np.linalg.norm(theta))),
    _CONSTANT: (np.ones_like, None),
}
"""What has been seen in the parameter's place, and the penalty of which it is the gradient, where it is one's."""


# -- what it leads to ------------------------------------------------------------------------------------------------


def _value(evidence: Evidence, penalty: Penalty) -> float | None:
    """The reference's penalty as a number."""
    shown = evidence.by_name("loss").get("penalty")
    if shown is not None:
        return float(shown.expected)
    return penalty.value(evidence.step.state["parameters"]) if penalty.form else None


def _losses(evidence: Evidence, more: float) -> Predicted:
    """The loss terms of the diverging step's micro-batches with so much more penalty."""
    here = evidence.checkpoint
    shown = {key: pair for key, pair in evidence.pairs.items() if key.phase == "loss" and key.step == here.step}
    terms = {key.name for key in shown}
    changed = {"penalty", "total"} & terms or {"data"}
    found = {key: pair.expected + (more if key.name in changed else 0.0) for key, pair in shown.items()}
    if evidence.sync == "module":
        found = {key: value for key, value in found.items() if key.name in changed}
    return found


def _gradients(evidence: Evidence, penalty: Penalty, wrong: _Wrong) -> Predicted:
    """Every gradient of the diverging step under a wrong penalty."""
    here, facts = evidence.checkpoint, evidence.step
    predicted: Predicted = {}
    if here.phase in ("loss", "backward"):
        predicted |= _taps(evidence, penalty, wrong)
        if evidence.sync == "module":
            return predicted if here.phase == "backward" else {}
    held: dict[str, np.ndarray] = {}
    for index, deposit in enumerate(deposits(evidence, facts.number), 1):
        weight = facts.weights[index - 1]
        for name, value in deposit.items():
            right, put = penalty.shares.get(name), wrong.at(index).get(name)
            value = (
                value - (0 if right is None else weight * right) + (0 if put is None else wrong.enters(weight) * put)
            )
            held[name] = held[name] + value if name in held else value
            predicted[Checkpoint(facts.number, index, "deposit", name)] = value
            if evidence.sync != "module":
                predicted[Checkpoint(facts.number, index, "accumulated", name)] = held[name]
    return predicted


def _taps(evidence: Evidence, penalty: Penalty, wrong: _Wrong) -> Predicted:
    """What the backward pass shows of the penalty itself."""
    return {
        key: wrong.at(key.micro_batch or 1).get(key.output.removeprefix("input."), np.zeros_like(pair.expected))
        for key, pair in evidence.pairs.items()
        if key.phase == "backward" and key.name == "penalty" and key.step == evidence.step.number
    }
