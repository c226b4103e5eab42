"""What a mistake in one place reaches: which checkpoints a factor on a loss or gradient multiplies.

A gradient that comes from a micro-batch is ``weight * (data part + penalty's share)``. A factor on the loss multiplies
the data part alone; ``accumulated`` adds the micro-batches up, each with its own factor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.context import penalty_shares
from compare.diagnosis.evidence import Evidence, Pair

__all__ = [
    "GRADIENTS",
    "Reach",
    "comparable",
    "factor_of",
    "has_penalty",
    "part_of",
    "parts",
    "reaches",
    "run_eps",
    "scaled",
]

GRADIENTS = ("backward", "deposit", "accumulated")


class Reach(NamedTuple):
    """Which checkpoints a mistake is said to hit, and which it is said to leave alone.

    Attributes
    ----------
    keys, spared : checkpoints
    what : the beginning of a sentence about ``keys``
    narrow : how much weaker than the widest reach it is: added to a rank
    whole : whether all gradients (or the loss) are among ``keys``
    """

    keys: Sequence[Checkpoint]
    spared: Sequence[Checkpoint]
    what: str
    narrow: int
    whole: bool


def reaches(evidence: Evidence) -> Iterator[Reach]:
    """The reaches of a mistake at the divergence, the widest first; all that is predicted must have come true."""
    here = evidence.checkpoint
    if here.phase == "loss":
        yield from _of_a_loss(evidence)
        return
    alike = _alike(evidence)
    # what differs in several micro-batches of a step differs for one reason: they have parameters and code in common
    same = [key for key in alike if key[2:] == here[2:]]
    often = ", in every micro-batch," if len(same) > 1 else ""
    whole = False
    if here.phase in GRADIENTS:
        wrong = same if evidence.sync == "module" else alike
        shown = {key.name for key in _from_here(evidence, here.phase) if key.name != "penalty"}
        whole = shown <= {key.name for key in wrong if key.phase == here.phase}
        if len(wrong) > len(same):
            what = "every gradient is" if whole else f"{here.label} and every other gradient that differs are"
            if {key.name for key in wrong} == {here.name}:
                what = f"the gradient of {here.label} is"
            yield Reach(wrong, [], what, 0, whole or (here.phase == "backward" and here.name == "loss"))
    elif len(alike) > len(same):
        yield Reach(alike, [], f"every tensor of {here.phase} that differs is", 0, False)
    yield Reach(same, [], f"{here.label} is{often}", 1, whole)


def _of_a_loss(evidence: Evidence) -> Iterator[Reach]:
    here = evidence.checkpoint
    if here.name != "penalty":
        losses = [key for key in _from_here(evidence, "loss") if key.name in (here.name, "total")]
        gradients = [
            key
            for phase in (("backward",) if evidence.sync == "module" else GRADIENTS)
            for key in _from_here(evidence, phase)
            if key.name != "penalty" and (evidence.sync != "module" or key.name == "loss")
        ]
        if gradients:
            yield Reach([*losses, *gradients], [], "the loss and all gradients are", 0, True)
        what = "the loss is, and its gradients are not," if gradients else "the loss is"
        yield Reach(losses, gradients, what, 0, True)
    yield Reach([here], [], f"the {here.name} term is", 2, False)


def _from_here(evidence: Evidence, phase: str) -> list[Checkpoint]:
    """A phase's checkpoints in the diverging step, from the diverging micro-batch on."""
    here = evidence.checkpoint
    return [
        key
        for key in evidence.pairs
        if key.phase == phase and key.step == here.step and (key.micro_batch or 0) >= (here.micro_batch or 0)
    ]


def _alike(evidence: Evidence) -> list[Checkpoint]:
    """What one mistake may have hit along with the divergence: what differs in the same step and the like phases."""
    here = evidence.checkpoint
    found = []
    for phase in GRADIENTS if here.phase in GRADIENTS else (here.phase,):
        for key in _from_here(evidence, phase):
            if key.name in ("penalty", "total_norm") or (phase not in GRADIENTS and key.output != here.output):
                continue
            if here.phase == "forward" and key[2:] != here[2:]:
                continue  # what follows an activation is no multiple of it
            if not evidence.pairs[key].agrees and comparable(evidence.pairs[key]):
                found.append(key)
    return found if here in found else [here]


# -- arithmetic --------------------------------------------------------------------------------------------------------


def comparable(pair: Pair) -> bool:
    """Whether both tensors are floating, finite, and of one shape that is not empty."""
    return (
        pair.actual.shape == pair.expected.shape
        and pair.actual.dtype.kind == pair.expected.dtype.kind == "f"
        and pair.expected.size > 0
        and bool(np.isfinite(pair.actual).all() and np.isfinite(pair.expected).all())
    )


def has_penalty(evidence: Evidence, reach: Reach) -> bool:
    """Whether a penalty has a share in what is reached."""
    return any(
        key.phase in ("deposit", "accumulated") and key.name in penalty_shares(evidence, key.micro_batch or 1)
        for key in reach.keys
    )


def part_of(evidence: Evidence, key: Checkpoint, whole: bool) -> np.ndarray:
    """What a factor multiplies: of a gradient what the micro-batch adds, without the penalty unless ``whole``."""
    if key.phase not in ("deposit", "accumulated"):
        return evidence.pairs[key].expected
    index = key.micro_batch or 1
    deposit = evidence.pairs.get(key._replace(phase="deposit"))
    if deposit is not None:
        part = deposit.expected
    else:
        part = evidence.pairs[key].expected
        before = evidence.pairs.get(key._replace(micro_batch=index - 1))
        part = part if before is None else part - before.expected
    share = None if whole else penalty_shares(evidence, index).get(key.name)
    return part if share is None else part - evidence.step.weights[index - 1] * share


def parts(evidence: Evidence, key: Checkpoint) -> list[tuple[Any, np.ndarray]]:
    """What a mistake in a formula may have spoiled, each with what is added to it untouched.

    The whole tensor; and, where a penalty or earlier micro-batches have a share in it, what is left without them.
    """
    expected = evidence.pairs[key].expected
    found: list[tuple[Any, np.ndarray]] = [(0.0, expected)]
    if key.phase in ("deposit", "accumulated"):
        part = part_of(evidence, key, False)
        if not np.array_equal(part, expected):
            found.append((expected - part, part))
    return found


def factor_of(evidence: Evidence, key: Checkpoint, known: Mapping[int, float], whole: bool) -> float | None:
    """The factor on what :func:`part_of` gives that fits a pair best; ``None`` where that part is zero.

    ``known`` are the factors of the micro-batches before, which ``accumulated`` carries along.
    """
    pair = evidence.pairs[key]
    gap = np.asarray(pair.actual, np.float64) - pair.expected
    if key.phase == "accumulated":
        for earlier, factor in known.items():
            if earlier < (key.micro_batch or 1):
                gap = gap - (factor - 1) * part_of(evidence, key._replace(micro_batch=earlier), whole)
    part = np.asarray(part_of(evidence, key, whole), np.float64)
    largest = float(np.max(np.abs(part)))
    if not largest:
        return None
    part = part / largest
    return 1 + float(np.vdot(gap, part) / np.vdot(part, part)) / largest


def scaled(
    evidence: Evidence, reach: Reach, factors: Mapping[int, float], whole: bool
) -> dict[Checkpoint, np.ndarray] | None:
    """The reference's values with the factors put in; ``None`` where a micro-batch's factor is not known.

    Parameters
    ----------
    factors : by micro-batch; under 0 for what has none
    whole : whether the penalty's share is multiplied too
    """
    here = evidence.checkpoint
    found = {key: evidence.pairs[key].expected for key in reach.spared}
    for key in reach.keys:
        index = key.micro_batch or 0
        if index not in factors:
            return None
        expected = evidence.pairs[key].expected
        if key.phase == "loss" and key.name != here.name:  # the total of data and penalty
            value = expected + (factors[index] - 1) * evidence.pairs[key._replace(name=here.name)].expected
        elif key.phase == "accumulated":
            value = expected
            for earlier in sorted(factors):
                if earlier <= index:
                    part = part_of(evidence, key._replace(micro_batch=earlier), whole)
                    value = value + (factors[earlier] - 1) * part
        else:
            value = expected + (factors[index] - 1) * part_of(evidence, key, whole)
        found[key] = np.asarray(value, expected.dtype)
    return found


def run_eps(evidence: Evidence) -> float:
    """The unit in the last place of 1 in the run's dtype; numbers such as the loss are handed over as float64."""
    kinds = [np.asarray(value).dtype for value in evidence.step.state["parameters"].values()]
    kinds = [kind for kind in kinds if kind.kind == "f"] or [np.dtype(np.float64)]
    return float(np.finfo(min(kinds, key=lambda kind: kind.itemsize)).eps)
