"""Make a failing case small: leave out what it fails without."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from compare.batches import InputError
from compare.fuzz.campaign import Finding, judged
from compare.fuzz.case import Case, call_of, text_of_call

__all__ = ["shrink"]

_DEFAULTS = {field.name: field.default for field in fields(Case)}
_PLAIN = (
    *("schedule", "clip", "penalty", "groups", "dropout", "tied", "frozen", "time", "special", "columns", "offset"),
    *("gain", "scale", "fresh", "bias", "sync", "dtype"),
)


def shrink(
    case: Case,
    finding: Finding,
    *,
    seconds: float = 30.0,
    run: Callable[[Case], Finding] = judged,
) -> Case:
    """Find a smaller case that fails in the same way.

    Parameters
    ----------
    case, finding : what failed, and how
    seconds : begin no attempt after so long
    run : judges an attempt

    Returns
    -------
    Case
        Smaller by every change that was tried, if the time sufficed; the case itself if nothing could go.
    """
    end = time.monotonic() + seconds
    smaller = True
    while smaller:
        smaller = False
        for attempt in _attempts(case):
            if time.monotonic() > end:
                return case
            if run(attempt).signature == finding.signature:
                case, smaller = attempt, True
                break
    return case


def _attempts(case: Case) -> Iterator[Case]:
    """Simpler cases, the boldest first. Each is nearer to the simplest case, so that shrinking ends."""
    for changes in _changes(case):
        try:
            attempt = replace(case, **changes)
        except InputError:
            continue
        if attempt != case:
            yield attempt


def _changes(case: Case) -> Iterator[dict[str, Any]]:
    if case.steps > 1:
        yield {"steps": 1}
        yield {"steps": case.steps - 1}
    if len(case.parts) > 1:
        yield {"parts": case.parts[:1]}
        yield {"parts": case.parts[-1:]}
        yield {"parts": case.parts[:-1]}
    if max(case.parts) > 1:
        yield {"parts": tuple((rows + 1) // 2 for rows in case.parts)}
    for index, rows in enumerate(case.parts):
        if rows > 1:
            yield {"parts": (*case.parts[:index], rows - 1, *case.parts[index + 1 :])}
    for index in range(len(case.hidden)):
        yield {
            "hidden": case.hidden[:index] + case.hidden[index + 1 :],
            "activations": case.activations[:index] + case.activations[index + 1 :],
        }
    for name in _PLAIN:
        yield {name: _DEFAULTS[name]}
    if case.model == "MLP":
        yield {"loss": "MSELoss", "output": "", "targets": "random"}
        if case.output != "Sigmoid" or not case.loss.startswith("BCELoss"):
            yield {"output": "", "targets": "random"}
    for width in _smaller(case.inputs):
        yield {"inputs": width}
    for width in _smaller(case.outputs):
        yield {"outputs": width}
    for index, width in enumerate(case.hidden):
        for narrow in _smaller(width):
            yield {"hidden": (*case.hidden[:index], narrow, *case.hidden[index + 1 :])}
    yield {"optimizer": _DEFAULTS["optimizer"]}
    for name in ("optimizer", "loss", "model"):
        for text in _with_less(getattr(case, name)):
            yield {name: text}
    for index, activation in enumerate(case.activations):
        for text in _with_less(activation):
            yield {"activations": (*case.activations[:index], text, *case.activations[index + 1 :])}


def _smaller(width: int) -> list[int]:
    """Widths to try in place of this one."""
    return sorted({1, 2, width // 2, width - 1} & set(range(1, width)))


def _with_less(text: str) -> Iterator[str]:
    """A call with one of its options left out, or with its last positional argument left out."""
    name, positional, options = call_of(text)
    for left_out in options:
        if left_out != "lr":
            yield text_of_call(name, *positional, **{key: value for key, value in options.items() if key != left_out})
    if positional:
        yield text_of_call(name, *positional[:-1], **options)
