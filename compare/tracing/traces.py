"""``compare.traces``: two recorded runs against each other, in one pass, and looked into where they part."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compare.batches import InputError, MicroBatch
from compare.calls.call import Call
from compare.calls.renamed import Renamed
from compare.naming import Names, name_map
from compare.report.report import Report
from compare.tracing.judging import Recorded
from compare.tracing.reader import Reader
from compare.tracing.side import TraceSide
from compare.tracing.walk import compare_traces, end_of
from compare.verdict import Outcome, Verdict

__all__ = ["traces"]

_BEYOND = 2  # steps after the divergence that tell mistakes apart
_HELD = 256 << 20  # a larger step is not looked into without its program: the diagnosis holds it in memory

Live = tuple[str, Callable[[], Any], Sequence[Sequence[MicroBatch]]]
"""What a reference is called, its factory, and its steps."""


def traces(
    actual: str | os.PathLike[str],
    expected: str | os.PathLike[str],
    *,
    names: Names = None,
    tolerance: str | None = None,
    reference: tuple[Any, ...] | None = None,
) -> Report:
    """Compare two recorded runs, checkpoint by checkpoint; memory stays at a few megabytes however long they are.

    The arrays of both must have the same shapes, but for the order of axes that ``names`` gives.

    Parameters
    ----------
    actual, expected : str or Path
        Folders, as ``docs/trace-format.md`` describes them.
    names : dict or callable, optional
        The actual trace's names in terms of the expected one's: ``{"W1": "hidden.weight"}``, patterns with one ``*``,
        or a function; a value may be ``(name, axes)``, the order of axes that turns the actual array into the other.
    tolerance : "measured" (the default) or "fixed"
        ``measured`` judges by the noise floors that the expected trace carries, and what has none by the fixed table;
        ``fixed`` judges everything by that table.
    reference : tuple, optional
        ``(side, batches)`` or ``(side, batches, micro_batches)``, as :func:`compare.training` takes them: the live
        reference that the expected trace is of. Where the traces part, the actual one is walked against it, which
        measures the noise there and names the cause. A trace that ``gradlock record`` wrote needs none.

    Returns
    -------
    Report
        ``abstained`` where one trace ends before the other and all agrees up to there.

    Raises
    ------
    InputError
        If a trace cannot be read, is damaged, or the arguments cannot be used.

    Examples
    --------
    >>> import tempfile, numpy as np, compare
    >>> folders = [tempfile.mkdtemp() for _ in range(2)]
    >>> for folder, gradient in zip(folders, (0.5, 0.25)):
    ...     with compare.TraceWriter(folder, dtype="float64") as trace:
    ...         trace.add(1, 1, "loss", "data", 0.25)
    ...         trace.add(1, 1, "accumulated", "weight", np.array([gradient, 1.0]))
    >>> report = compare.traces(*folders)
    >>> report.outcome == "diverged", report.first_divergence.where
    (True, 'step 1, micro-batch 1, accumulated, weight')
    """
    if tolerance not in (None, "measured", "fixed"):
        raise InputError(f"tolerance is {tolerance!r}; it must be 'measured' or 'fixed'")
    if reference is not None and (not isinstance(reference, tuple) or len(reference) not in (2, 3)):
        raise InputError("reference must be (side, batches) or (side, batches, micro_batches)")
    mine, theirs = Reader(actual), Reader(expected)
    verdict = compare_traces(mine, theirs, Recorded(noise=tolerance != "fixed"), names)
    first = verdict.first_divergence
    if verdict.outcome is Outcome.DIVERGED and first is not None and tolerance != "fixed" and first.checkpoint.step:
        steps = min(_whole(mine), _whole(theirs))
        found = None
        if reference is not None:
            found = _against(reference, verdict, actual, names, steps)
        else:
            live = _rebuilt(theirs, verdict)
            found = None if live is None else _walked(live, verdict, actual, expected, names, steps)
        if found is not None:
            verdict = _with_ends(found, verdict, mine, theirs)
        elif not verdict.causes:
            _look_into(verdict, actual, expected, names, steps)
    call = Call(
        "traces",
        {"actual": actual, "expected": expected, "names": names, "tolerance": tolerance, "reference": reference},
    )
    return Report(verdict, f"trace {os.fspath(actual)} against {os.fspath(expected)}", call)


def _whole(trace: Reader) -> int:
    """How many steps a trace has to their end."""
    return 0 if trace.end is None else trace.end[0] - (not trace.finished)


def _with_ends(found: Verdict, before: Verdict, mine: Reader, theirs: Reader) -> Verdict:
    """The verdict of a walk with what the traces themselves have shown."""
    ends, together = end_of(mine, theirs)
    found.coverage.notes += [note for note in before.coverage.notes if note not in found.coverage.notes]
    if ends and not together and found.outcome is Outcome.EQUIVALENT:
        found.outcome, found.reason = Outcome.ABSTAINED, f"all agrees as far as both go, and no further: {ends}"
    return found


# -- against a live reference ------------------------------------------------------------------------------------------


def _against(reference: tuple[Any, ...], verdict: Verdict, actual: Any, names: Names, steps: int) -> Verdict | None:
    """The recorded run walked against the reference that was handed in."""
    from compare.calls.training import training

    side, batches, *micro_batches = reference
    for until in _lengths(verdict, min(steps, len(batches))):
        try:
            report = training(TraceSide(actual), side, batches[:until], *micro_batches, names=names)
        except InputError as error:
            verdict.coverage.notes.append(f"the reference was not walked: {error}")
            return None
        if not _usable(report.verdict, verdict, "the reference"):
            return None
        if report.outcome == "diverged":
            break
    report.verdict.coverage.notes.append("judged and looked into by running the reference beside the actual trace")
    return report.verdict


def _lengths(verdict: Verdict, steps: int) -> list[int]:
    """How many steps are walked: a few beyond the divergence, and all only if that shows none."""
    first = verdict.first_divergence
    assert first is not None
    if first.checkpoint.step > steps:
        return []
    near = min(first.checkpoint.step + _BEYOND, steps)
    return [near] if near == steps else [near, steps]


def _usable(found: Verdict, verdict: Verdict, what: str) -> bool:
    if found.outcome in (Outcome.DIVERGED, Outcome.EQUIVALENT):
        return True
    verdict.coverage.notes.append(f"{what} was run again and gave no verdict: {found.reason}")
    return False


def _rebuilt(trace: Reader, verdict: Verdict) -> Live | None:
    """The built-in experiment that a trace says it is of."""
    source = trace.source
    if "experiment" not in source:
        return None
    from compare.experiment import Setting
    from compare.names import NAMES

    name, wanted, setting = source.get("experiment"), source.get("scenario"), source.get("setting")
    numbers = ("steps", "micro_batches", "seed")
    if (
        not isinstance(name, str)
        or name not in NAMES
        or not isinstance(setting, dict)
        or set(setting) != {"dtype", "optimizer", *numbers}
        or setting["dtype"] not in ("float64", "float32")
        or not all(setting[key] is None or (type(setting[key]) is int and setting[key] >= 0) for key in numbers)
        or not isinstance(setting["optimizer"], (str, type(None)))
    ):
        verdict.coverage.notes.append("the expected trace names an experiment that is none of the built-in ones")
        return None
    from compare.experiments import CATALOGUE

    try:
        study = CATALOGUE[name].build(Setting(**setting))
    except Exception as error:
        verdict.coverage.notes.append(f"the experiment {name} cannot be made again ({type(error).__name__}: {error})")
        return None
    for scenario in study.scenarios:
        if scenario.name == wanted:
            return name, scenario.expected, scenario.steps
    verdict.coverage.notes.append(f"the experiment {name} has no scenario {str(wanted)[:40]!r}")
    return None


def _walked(live: Live, verdict: Verdict, actual: Any, expected: Any, names: Names, steps: int) -> Verdict | None:
    """The recorded run walked against a built-in reference, if that is still what the expected trace is of."""
    from compare.lockstep import lockstep, walk
    from compare.threads import threads

    name, make, every = live
    found: Verdict | None = None
    try:
        side = TraceSide(actual)
        mapping = None
        if names is not None:
            theirs = TraceSide(expected)
            held = [{**one.parameters, **(one.buffers or {})} for one in (side, theirs)]
            later = {key[0] for key in _shown_names(expected)} - set(held[1])
            mapping = name_map(names, *held, later=sorted(later))

        def again() -> Any:
            replayed = TraceSide(actual)
            return replayed if mapping is None else Renamed(replayed, mapping)

        with threads():
            for until in _lengths(verdict, min(steps, len(every))):
                same = walk(TraceSide(expected), make(), every[:until], fail_fast=True)
                if same.outcome is not Outcome.EQUIVALENT:
                    verdict.coverage.notes.append(
                        f"the experiment {name}, run again here, is not what the expected trace holds: {same.reason}"
                    )
                    return None
                found = lockstep(again, make, every[:until])
                if not _usable(found, verdict, f"the experiment {name}"):
                    return None
                if found.outcome is Outcome.DIVERGED:
                    break
    except InputError as error:
        verdict.coverage.notes.append(f"the experiment {name} was not run again: {error}")
        return None
    if found is not None:
        found.coverage.notes.append(f"judged and looked into by running the experiment {name} beside the actual trace")
    return found


def _shown_names(path: Any) -> set[tuple[str, ...]]:
    for step in Reader(path).steps():
        if step.number:
            names = {(name,) for entries in step.moments.values() for name, _, _ in entries}
            slots = {(slot,) for _, _, slot in step.moments.get((None, "slots"), {})}
            return names | slots
    return set()


# -- without one -------------------------------------------------------------------------------------------------------


def _look_into(verdict: Verdict, actual: Any, expected: Any, names: Names, steps: int) -> None:
    """Look for a cause in what was recorded alone: what needs the reference's own program is left out."""
    from compare.diagnosis.diagnose import diagnose
    from compare.tolerance import Fixed

    first = verdict.first_divergence
    assert first is not None
    if not 0 < first.checkpoint.step <= steps or names is not None:
        return
    walked: list[list[Any]] = []
    for step in Reader(expected).steps():
        size = sum(entry.nbytes for entries in step.moments.values() for entry in entries.values())
        if size > _HELD or step.number > first.checkpoint.step + _BEYOND:
            break
        if step.number:
            each = range(1, step.micro_batches + 1)
            walked.append([((None, None), step.weights.get(index, np.nan)) for index in each])
    if len(walked) < first.checkpoint.step:
        return
    notes = list(verdict.coverage.notes)
    try:
        kind = "float64" if verdict.dtype == "float64" else "float32"
        diagnose(verdict, lambda: TraceSide(actual), lambda: TraceSide(expected), walked, tolerance=Fixed(kind))
    except InputError:  # a trace that cannot be walked as a side
        pass
    verdict.coverage.notes = notes
