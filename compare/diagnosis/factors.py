"""A tensor that is right but for a factor: the whole of it, or whole rows and columns.

One factor is held against everything that it must have hit. A loss that is twelve times too large makes all gradients
twelve times too large, in every micro-batch by that micro-batch's own number of rows; the penalty's share is not
scaled with it. A factor on one tensor alone is a hypothesis of its own, and a weaker one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.context import LOGARITHMS, numbers_of, reduction_of
from compare.diagnosis.evidence import Evidence, Hypothesis
from compare.diagnosis.numbers import recognise
from compare.diagnosis.reach import (
    GRADIENTS,
    Reach,
    comparable,
    factor_of,
    has_penalty,
    part_of,
    reaches,
    run_eps,
    scaled,
)
from compare.diagnosis.slices import factors_by_slice

__all__ = ["hypotheses"]

_TELLS = 50.0  # an element tells something about a factor that moves it by so many times what is allowed
_NOTHING = 1e-9  # what is zero is no multiple
_FEW = 3  # numbers that a factor is held against where a single element has to speak for all,
_COARSE = 1e-6  # or where it is not known better than this: a thousand products and quotients are near anything


class _Name(NamedTuple):
    """What a factor means: its value in each micro-batch (under 0 for what has none), and how sure the name is."""

    cause: str
    rank: int
    text: str
    factors: Mapping[int, float]
    freedom: int = 0


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Predict every factor that has a name, and any other that several elements agree on."""
    here = evidence.checkpoint
    if here.phase == "schedule" or here.name == "denominator" or not comparable(evidence.pair):
        return
    for reach in reaches(evidence):
        penalised = has_penalty(evidence, reach)
        for whole in (False, True) if penalised else (True,):
            factor = factor_of(evidence, here, {}, whole)
            if factor is None or abs(factor) < _NOTHING:
                continue
            told = sum(_telling(evidence, key, factor, whole) for key in reach.keys if _speaks(here, key))
            for name in _names(evidence, factor, reach, whole):
                if told <= name.freedom * (1 if run_eps(evidence) < 1e-12 else 2):
                    continue
                predicted = scaled(evidence, reach, name.factors, whole)
                if predicted is not None:
                    apart = "; the penalty's share is right" if penalised and not whole else ""
                    yield Hypothesis(
                        name.cause,
                        predicted,
                        f"{reach.what} {factor:.6g} times the reference's{name.text}{apart}",
                        _LOOK_AT.get(name.cause, ""),
                        rank=name.rank + reach.narrow,
                        freedom=name.freedom,
                    )
    yield from factors_by_slice(evidence)


_LOOK_AT = {
    "sign": "the sign of the difference, prediction minus target, or of the step against the gradient",
    "sum instead of mean": "the loss's division, and the same division in the first line of its gradient",
    "mean instead of sum": "a mean, or a division, where the formula adds up",
    "divided twice": "a division that has already been made: in the loss, its gradient, or the accumulation",
    "wrong denominator": "what the mean divides by",
}


def _names(evidence: Evidence, factor: float, reach: Reach, whole: bool) -> Iterator[_Name]:
    """The readings of a factor, the semantic ones first."""
    here = evidence.checkpoint
    own = here.micro_batch or 0
    indices = sorted({key.micro_batch or 0 for key in reach.keys})
    tolerance = _tolerance(evidence, here, factor, whole)
    if abs(factor + 1) <= tolerance:
        yield _Name("sign", 3, "", dict.fromkeys(indices, -1.0))
        return
    if here.phase in ("loss", *GRADIENTS):
        for name in _meanings(evidence, reach, indices):
            if abs(factor - name.factors[own]) <= tolerance * abs(name.factors[own]):
                yield name
    for chance in _chances(evidence):
        for value, text in ((1 - chance, "not divided by"), (1 / (1 - chance), "divided once more by"), (chance, "")):
            if abs(factor - value) <= tolerance * value:
                says = (
                    f": it is {text} the probability of being kept, {1 - chance:g}"
                    if text
                    else f", which is {chance:g}"
                )
                yield _Name("dropout scale", 3, says, dict.fromkeys(indices, value))
    if here.phase == "slots":
        return  # a moment that is twice as large in one step tells of a coefficient, not of a factor
    readings, factors = _read(evidence, factor, indices, whole)
    if readings:
        plain = readings[0] == f"{factor:.6g}"
        yield _Name("constant factor", 6, "" if plain else f", which is {readings[0]}", factors)
    elif here.phase != "update":  # any other step size is a factor on the first step
        text = ", which is no number of this run that is known"
        yield _Name("constant factor", 8, text, dict.fromkeys(indices, factor), 1)


def _meanings(evidence: Evidence, reach: Reach, indices: Sequence[int]) -> Iterator[_Name]:
    """What a factor on a loss or on its gradients would be for each mistake about a mean, by micro-batch."""
    reduction = reduction_of(evidence)
    counts: dict[str, dict[int, float]] = {}
    for index in indices:
        found = reduction_of(evidence, index or None)
        for name, value in {**found.divisors, **found.counts}.items():
            counts.setdefault(name, {})[index] = value
    features = counts.pop("elements per row", None)
    counts = {name: values for name, values in counts.items() if len(values) == len(indices)}
    divisor = next(iter(reduction.divisors), "")
    right = counts.get(divisor)
    for name, values in counts.items():
        if reduction.kind != "sum":
            yield _Name("sum instead of mean", 3, f": it is not divided by the {_short(name)}", values)
        inverse = {index: 1 / value for index, value in values.items()}
        if reduction.kind == "sum" or not (reach.whole or len({key.name for key in reach.keys}) > 1):
            yield _Name("mean instead of sum", 3, f": it is divided by the {_short(name)}", inverse)
        else:
            yield _Name("divided twice", 3, f": it is divided by the {_short(name)} once more", inverse)
    if right is None:
        return
    others = {f"the {_short(name)}": values for name, values in counts.items() if values != right}
    for name, values in counts.items():
        for text, more in (("- 1", -1), ("+ 1", 1)):
            others[f"the {_short(name)} {text}"] = {index: value + more for index, value in values.items()}
    if features and len(features) == len(indices):
        others["the elements per row"] = features
    weights = evidence.step.weights
    if len(weights) > 1 and all(indices):
        others["the whole batch's denominator"] = {index: right[index] / weights[index - 1] for index in indices}
    for text, values in others.items():
        if all(values.values()):
            factors = {index: right[index] / value for index, value in values.items()}
            yield _Name("wrong denominator", 4, f": it is divided by {text}, not by the {_short(divisor)}", factors)


def _chances(evidence: Evidence) -> list[float]:
    """The probability with which the culprit drops a value, if it is a dropout module."""
    named = dict(getattr(getattr(evidence.reference, "module", None), "named_modules", dict)())
    culprit = named.get(evidence.culprit) if evidence.phase in ("forward", "backward") else None
    chance = getattr(culprit, "p", None) if "Dropout" in type(culprit).__name__ else None
    return [chance] if isinstance(chance, float) and 0 < chance < 1 else []


def _short(name: str) -> str:
    return "loss's denominator" if name.startswith("what") else name


def _read(evidence: Evidence, factor: float, indices: Sequence[int], whole: bool) -> tuple[list[str], dict[int, float]]:
    """The readings that hold in every micro-batch, each with its own numbers; and the factors as they were measured."""
    here = evidence.checkpoint
    own = here.micro_batch or 0
    factors: dict[int, float] = {}
    readings: list[str] = []
    for index in dict.fromkeys([own, *indices]):
        key = here._replace(micro_batch=index or None)
        pair = evidence.pairs.get(key)
        if pair is None or not comparable(pair):
            continue
        found = factor if key == here else factor_of(evidence, key, factors, whole)
        if not found:
            continue
        factors[index] = found
        numbers = numbers_of(evidence, index or None)
        tolerance = _tolerance(evidence, key, found, whole)
        if _telling(evidence, key, found, whole) < 2 or tolerance > _COARSE:
            numbers = {**dict(list(numbers.items())[:_FEW]), **LOGARITHMS}
        read = recognise(found, numbers, tolerance)
        readings = read if key == here else [reading for reading in readings if reading in read]
    return readings, factors


def _speaks(here: Checkpoint, key: Checkpoint) -> bool:
    """Whether a checkpoint tells something of its own: a total only repeats its data term."""
    return key.phase != "loss" or key.name == here.name


def _telling(evidence: Evidence, key: Checkpoint, factor: float, whole: bool) -> int:
    """How many elements the factor moves clearly."""
    moved = np.abs(part_of(evidence, key, whole)) * abs(factor - 1)
    return int(np.count_nonzero(moved > _TELLS * max(evidence.pairs[key].allowed, np.finfo(moved.dtype).tiny)))


def _tolerance(evidence: Evidence, key: Checkpoint, factor: float, whole: bool) -> float:
    """How exactly a factor is known, relative."""
    pair = evidence.pairs[key]
    eps = run_eps(evidence)
    largest = float(np.max(np.abs(part_of(evidence, key, whole)))) * abs(factor)
    known = 4 * pair.allowed / largest if largest else 1.0
    return min(max(known, 32 * eps), 256 * eps if pair.expected.size == 1 else 1e-4)
