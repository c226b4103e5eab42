"""What the actual side was given at each stage of a step, by the way in which it was walked.

In a ``free`` walk a stage gets what the actual side itself had made; in a walk by ``step`` a step starts from the
reference's state; in a walk by ``module`` the clip gets the reference's accumulated gradients and the optimizer the
reference's clipped ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.context import numbers_of
from compare.diagnosis.evidence import Evidence

__all__ = ["accumulated", "before", "counts_of", "deposits", "fed", "parameter_names", "rates_in_force", "walked"]

Arrays = dict[str, np.ndarray]


def walked(evidence: Evidence) -> range:
    """The longest run of recorded steps around the divergence (a long walk does not keep all of its steps)."""
    kept = {key.step for key in evidence.pairs if key.phase in ("accumulated", "update")}
    first = last = evidence.step.number
    while first - 1 in kept:
        first -= 1
    while last + 1 in kept:
        last += 1
    return range(first, last + 1)


def deposits(evidence: Evidence, step: int) -> list[Arrays]:
    """What the reference deposits in each micro-batch, before it is added; empty where it was not recorded.

    A side without deposits leaves none to compare; then they are the differences of the cumulative gradients.
    """
    found: list[Arrays] = []
    so_far: Arrays = {}
    for index in range(1, len(evidence.steps[step - 1].micro_batches) + 1):
        shown = {name: pair.expected for name, pair in evidence.by_name("deposit", step, index).items()}
        cumulative = {name: pair.expected for name, pair in evidence.by_name("accumulated", step, index).items()}
        if not shown and not cumulative:
            return []
        found.append({name: value - so_far.get(name, 0) for name, value in cumulative.items()} | shown)
        so_far = cumulative
    return found


def accumulated(evidence: Evidence, step: int) -> Arrays:
    """The gradients that the actual side's clip got; a parameter without gradient is missing."""
    last = len(evidence.steps[step - 1].micro_batches)
    if evidence.sync == "module":
        sums: Arrays = {}
        for each in deposits(evidence, step):
            for name, value in each.items():
                sums[name] = sums[name] + value if name in sums else value
        return sums
    return {name: pair.actual for name, pair in evidence.by_name("accumulated", step, last).items()}


def fed(evidence: Evidence, step: int) -> Arrays:
    """The gradients that the actual side's optimizer got; a parameter without gradient is missing."""
    clipped = {
        name: pair.expected if evidence.sync == "module" else pair.actual
        for name, pair in evidence.by_name("clip", step).items()
        if name != "total_norm"
    }
    return clipped or accumulated(evidence, step)


def before(evidence: Evidence, step: int) -> Mapping[str, np.ndarray]:
    """The parameters that the actual side had before a step."""
    if evidence.sync != "free":
        return evidence.steps[step - 1].state["parameters"]
    if step == 1:
        return {key.name: pair.actual for key, pair in evidence.pairs.items() if key.phase == "init"}
    return {name: pair.actual for name, pair in evidence.by_name("parameter", step - 1).items()}


def rates_in_force(evidence: Evidence, step: int) -> list[float]:
    """The learning rates that the actual side had in a step, as far as it shows them; else the reference's."""
    rates = list(evidence.steps[step - 1].rates)
    if evidence.sync == "free" and step > 1:
        for group in range(len(rates)):
            pair = evidence.pairs.get(Checkpoint(step - 1, None, "schedule", f"group {group}"))
            if pair is not None:
                rates[group] = float(pair.actual)
    return rates


def counts_of(evidence: Evidence) -> dict[str, float]:
    """The run's numbers, but pi and e, and the sizes of the diverging tensor, which say nothing about a whole step."""
    tensor = ("size of axis", "elements", "pi", "e", "log(2)")
    return {
        name: n for name, n in numbers_of(evidence).items() if not name.startswith(tensor[:2]) and name not in tensor
    }


def parameter_names(reference: Any) -> dict[int, str]:
    """The names of a reference's tensors by their address in memory, of which its ``parameters`` are views."""
    return {
        np.asarray(value).__array_interface__["data"][0]: name
        for name, value in reference.parameters.items()
        if np.size(value)
    }
