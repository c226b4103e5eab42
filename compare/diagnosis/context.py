"""The numbers of a run that a factor could equal, and what the reference's loss divides by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence
from compare.diagnosis.ops import Op, replayed

__all__ = ["LOGARITHMS", "Reduction", "numbers_of", "penalty_shares", "reduction_of"]

_HYPER = {
    "momentum": "momentum",
    "dampening": "dampening",
    "weight_decay": "weight decay",
    "eps": "eps",
    "alpha": "alpha",
    "lr_decay": "lr decay",
}
"""Options of ``torch.optim`` by the names that explanations use; the betas have names of their own."""


LOGARITHMS = {"log(2)": math.log(2), "log(10)": math.log(10)}
"""What stands between one base of a logarithm and another."""


class Reduction(NamedTuple):
    """How the reference's loss becomes one number.

    Attributes
    ----------
    kind : ``"mean"`` where it divides by something, ``"sum"`` where it only adds up, ``""`` where nothing is known
    divisors : what it divides by, by a readable name, the likeliest first
    counts : other numbers that a mean could divide by
    """

    kind: str
    divisors: dict[str, float]
    counts: dict[str, float]


def numbers_of(evidence: Evidence, micro_batch: int | None = None) -> dict[str, float]:
    """Every number of this run that a factor could equal, by a readable name, the likeliest first.

    Parameters
    ----------
    evidence : Evidence
    micro_batch : by default that of the divergence, or the last

    Returns
    -------
    Counts (rows, elements, features, what the loss divides by, micro-batches), this micro-batch's weight, sizes of the
    diverging tensor, the optimizer's settings, the clip's bound, the penalty's strength, probabilities of dropout, the
    step's number and pi. Values of one name may differ between micro-batches.
    """
    index = _index(evidence, micro_batch)
    key = ("numbers", index)
    if key not in evidence.memory:
        evidence.memory[key] = dict(_numbers(evidence, index))
    return dict(evidence.memory[key])


def reduction_of(evidence: Evidence, micro_batch: int | None = None) -> Reduction:
    """What the reference's loss divides by, read from its ops and from its terms."""
    index = _index(evidence, micro_batch)
    key = ("reduction", index)
    if key not in evidence.memory:
        evidence.memory[key] = _reduction(evidence, index)
    found: Reduction = evidence.memory[key]
    return found


def penalty_shares(evidence: Evidence, micro_batch: int) -> dict[str, np.ndarray]:
    """What the penalty adds to each parameter's gradient, before the micro-batch's weight; empty without a penalty."""
    return {
        key.output.removeprefix("input."): value
        for key, value in replayed(evidence, micro_batch).found.items()
        if key.phase == "backward" and key.name == "penalty" and np.any(value)
    }


_DIVISOR = "what the loss divides by"


def _index(evidence: Evidence, micro_batch: int | None) -> int:
    return micro_batch or evidence.checkpoint.micro_batch or len(evidence.step.micro_batches)


def _numbers(evidence: Evidence, index: int) -> Iterator[tuple[str, float]]:
    facts = evidence.step
    reduction = reduction_of(evidence, index)
    yield from reduction.divisors.items()
    yield from reduction.counts.items()
    yield "micro-batches", len(facts.micro_batches)
    yield "rows of the batch", sum(facts.rows)
    if len(facts.weights) > 1:
        yield "weight of the micro-batch", facts.weights[index - 1]
    pair = evidence.pairs.get(evidence.checkpoint)
    if pair is not None and pair.expected.ndim:
        yield "elements of this tensor", pair.expected.size
        for axis, size in enumerate(pair.expected.shape):
            yield f"size of axis {axis}", size
    for group, rate in enumerate(facts.rates):
        yield "learning rate" if len(facts.rates) == 1 else f"learning rate of group {group}", rate
    yield from _settings(evidence.reference)
    yield from _penalty(evidence, index)
    yield "steps taken", facts.number
    yield "pi", math.pi
    yield "e", math.e
    yield from LOGARITHMS.items()


def _settings(side: Any) -> Iterator[tuple[str, float]]:
    groups = getattr(getattr(side, "optimizer", None), "param_groups", ())
    for group in groups[:1]:
        for option, name in _HYPER.items():
            if isinstance(group.get(option), (int, float)) and group[option]:
                yield name, float(group[option])
        for number, beta in enumerate(group.get("betas", ()), 1):
            yield f"beta{number}", float(beta)
    bound = getattr(getattr(side, "clip", None), "keywords", {}).get("max_norm")
    if isinstance(bound, (int, float)):
        yield "max_norm", float(bound)
    for child in getattr(getattr(side, "module", None), "modules", tuple)():
        chance = getattr(child, "p", None)
        if isinstance(chance, float) and 0 < chance < 1:
            yield "dropout's p", chance
            break
    smoothing = getattr(getattr(side, "loss", None), "label_smoothing", 0.0)
    if isinstance(smoothing, float) and smoothing:
        yield "label smoothing", smoothing


def _penalty(evidence: Evidence, index: int) -> Iterator[tuple[str, float]]:
    """The strength of a penalty whose gradient is in proportion to the parameter."""
    parameters = evidence.step.state["parameters"]
    for name, share in penalty_shares(evidence, index).items():
        value = np.asarray(parameters[name], np.float64)
        size = float(np.vdot(value, value))
        if not size:
            continue
        strength = float(np.vdot(value, share)) / size
        if np.allclose(share, strength * value, rtol=1e-5, atol=0):
            yield "strength of the penalty", strength
            return


# -- what the loss divides by ------------------------------------------------------------------------------------------

_LOSSES = {
    # op: position of its ``reduction`` among the operands, which is 1 for the mean and 2 for the sum
    "mse_loss": 2,
    "binary_cross_entropy": 3,
    "binary_cross_entropy_with_logits": 4,
    "smooth_l1_loss": 2,
    "huber_loss": 2,
    "soft_margin_loss": 2,
    "nll_loss_forward": 3,
    "nll_loss2d_forward": 3,
    "multi_margin_loss": 5,
    "multilabel_margin_loss_forward": 2,
}


def _reduction(evidence: Evidence, index: int) -> Reduction:
    trace = replayed(evidence, index)
    forward = [op for op in trace.ops if not op.backward]
    reduced = [found for found in map(_reduced, forward) if found is not None]
    divided = [number for op in forward for number in _divided(op)]
    averaged = [found for found in reduced if found[1]]
    terms = {key.name: value for key, value in trace.found.items() if key.phase == "loss"}
    divisor = averaged[-1][1] if averaged else max(divided, default=0.0)
    if divisor or not reduced:
        divisor = float(terms.get("denominator", divisor))
    counts: dict[str, float] = {}
    # a penalty adds up too, but the number of weights divides nothing
    likely = averaged or [found for found in reduced if {found[0][0], math.prod(found[0])} & {*divided}] or reduced[:1]
    if likely:
        shape = likely[-1][0]
        counts["rows"] = shape[0]
        counts["elements of the output"] = math.prod(shape)
    rows = evidence.step.rows
    if index <= len(rows) and (not counts or "denominator" in terms):
        counts["rows"] = rows[index - 1]
    output = trace.found.get(Checkpoint(evidence.step.number, index, "forward", "", 0, "output"))
    if output is not None and output.ndim:
        counts["elements of the output"] = output.size
    counts = {name: float(value) for name, value in counts.items() if value > 1}
    if "rows" in counts and counts.get("elements of the output", 0) > counts["rows"]:
        counts["elements per row"] = counts["elements of the output"] / counts["rows"]
    name = next((name for name in ("rows", "elements of the output") if counts.get(name) == divisor), _DIVISOR)
    counts.pop(name, None)
    divisors = {name: divisor} if divisor > 1 else {}
    return Reduction("mean" if divisors else "sum" if reduced else "", divisors, counts)


def _reduced(op: Op) -> tuple[tuple[int, ...], float] | None:
    """For an op that leaves one number: the shape that it reduced, and what it divided by, or zero."""
    shape = tuple(getattr(op.args[0], "shape", ())) if op.args else ()
    size = math.prod(shape)
    if not shape:
        return None
    if op.name in _LOSSES:
        place = _LOSSES[op.name]
        reduction = op.args[place] if len(op.args) > place else op.kwargs.get("reduction", 1)
        if reduction != 1:
            return (shape, 0.0) if reduction == 2 else None
        if op.name.startswith("nll"):
            return shape, float(op.outs[1])
        return shape, float(shape[0] if op.name == "multi_margin_loss" else size)
    if op.name in ("mean", "sum") and size > 1 and op.outs[0].numel() == 1:
        return shape, float(size) if op.name == "mean" else 0.0
    return None


def _divided(op: Op) -> list[float]:
    """The whole number by which an op divides a number, as a list of none or one."""
    if op.name not in ("div", "mul") or len(op.args) < 2 or getattr(op.args[0], "numel", lambda: 0)() != 1:
        return []
    if getattr(op.args[1], "numel", lambda: 1)() != 1:
        return []
    value = float(op.args[1])
    value = value if op.name == "div" else 1 / value if value else 0.0
    return [value] if value >= 2 and math.isclose(value, round(value), rel_tol=1e-6) else []
