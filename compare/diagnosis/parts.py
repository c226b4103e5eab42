"""A mistake that was made for some parameters only: a prediction cut down to where it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis, closeness

__all__ = ["listed", "whole_or_part"]


def whole_or_part(evidence: Evidence, hypothesis: Hypothesis) -> Iterator[Hypothesis]:
    """A hypothesis about all parameters, or about those for which it comes true while the others agree as they are.

    Parameters
    ----------
    hypothesis : its ``predicted`` is complete; checkpoints are taken apart by their parameter

    Yields
    ------
    The hypothesis itself, or, where it fails as a whole and a part of it does not, that part: a weaker one.
    """
    yield hypothesis
    if evidence.fit(hypothesis.predicted).explained:
        return
    fitting = {_parameter(key): True for key in hypothesis.predicted}
    for key, value in hypothesis.predicted.items():
        pair = evidence.pairs.get(key)
        if pair is not None and not closeness(pair, value)[1]:
            fitting[_parameter(key)] = False
    if not fitting.get(_parameter(evidence.checkpoint)) or all(fitting.values()):
        return
    predicted: dict[Checkpoint, Any] = dict(hypothesis.predicted)
    for key in hypothesis.predicted:
        if not fitting[_parameter(key)]:
            pair = evidence.pairs[key]
            if not pair.agrees:
                return  # something else is wrong there
            predicted[key] = pair.expected
    needed = [name for name, fits in fitting.items() if fits and _moved(evidence, hypothesis.predicted, name)]
    yield replace(
        hypothesis,
        predicted=predicted,
        explanation=f"{hypothesis.explanation}; so it is for {listed(needed)}, not for all",
        freedom=hypothesis.freedom + 1,
    )


def listed(names: list[str] | tuple[str, ...]) -> str:
    """The first few of several names."""
    return ", ".join(names[:4]) + (" and more" if len(names) > 4 else "")


def _moved(evidence: Evidence, predicted: Mapping[Checkpoint, Any], name: str) -> bool:
    """Whether a prediction for a parameter is anything but what the reference has."""
    return any(
        key in evidence.pairs and not closeness(evidence.pairs[key]._replace(actual=evidence.pairs[key].expected), v)[1]
        for key, v in predicted.items()
        if _parameter(key) == name
    )


def _parameter(key: Checkpoint) -> str:
    """The parameter that a checkpoint is about; a penalty's gradients bear theirs in their label."""
    return key.output.removeprefix("input.") if key.name == "penalty" and key.output else key.name
