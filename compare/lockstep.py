"""Walk two sides checkpoint by checkpoint, and say where they first part.

Three ways to walk. ``free``: both sides run on their own. ``step``: before each step the actual side is given the
reference's state, so that one step's fault does not colour the next. ``module``: as ``step``, and every module, the
loss, the clip and the update are judged on the reference's inputs (:mod:`compare.isolation`), so that each fault shows
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from compare.batches import MicroBatch
from compare.history import History, wanted
from compare.side import missing_members, needs_closure, observed
from compare.tolerance import Fixed, Tolerance
from compare.verdict import Coverage, Outcome, Verdict
from compare.walker import SideError, Walker

__all__ = ["SYNCS", "lockstep", "walk"]

SYNCS = ("free", "step", "module")
_NEEDED = {
    "free": (),
    "step": ("load_state",),
    "module": ("load_state", "run_module", "clip_gradients", "update", "advance_schedule"),
}


def lockstep(
    make_actual: Callable[[], Any],
    make_expected: Callable[[], Any],
    steps: Sequence[Sequence[MicroBatch]],
    *,
    sync: str = "free",
    tolerance: Tolerance | str | None = None,
    promises: Iterable[str] | None = None,
    fail_fast: bool = False,
    on_step: Callable[[], None] | None = None,
    diagnose: bool = True,
    observer: Any = None,
    history: bool | None = None,
) -> Verdict:
    """Make both sides and walk them; where they part, make sure that each agrees with itself, and say why they part.

    Parameters
    ----------
    make_actual, make_expected : factories, so that a run can be repeated
    steps : for each step its micro-batches with their weights
    sync, promises, fail_fast, on_step, observer : see :func:`walk`
    tolerance : ``"measured"`` (the default: :class:`compare.measured.Measured`), ``"fixed"``, or a judge
    diagnose : False leaves out the search for a cause
    history : whether the verdict keeps every checkpoint's error; by default where
        :func:`compare.history.record_histories` asks for it

    Returns
    -------
    Verdict
        ``abstained`` with the culprit if one side's second run differs from its first beyond the tolerance.
    """
    try:
        expected = make_expected()
    except Exception as error:
        return _failed("expected", "its construction", error, sync)
    judge = _tolerance(tolerance, make_expected, steps, _dtype(expected))
    options: dict[str, Any] = {"tolerance": judge, "promises": promises}
    try:
        actual = make_actual()
    except Exception as error:
        return _failed("actual", "its construction", error, sync)
    if wanted() if history is None else history:
        options["history"] = History(judge.name)
    verdict = walk(
        actual, expected, steps, sync=sync, fail_fast=fail_fast, on_step=on_step, observer=observer, **options
    )
    first = verdict.first_divergence
    if verdict.outcome is Outcome.DIVERGED and first is not None:
        until = steps[: max(1, first.checkpoint.step)]
        for side, make in (("actual", make_actual), ("expected", make_expected)):
            again = walk(make(), make(), until, sync="free", fail_fast=True)
            if again.outcome is Outcome.DIVERGED and again.first_divergence is not None:
                verdict.outcome = Outcome.ABSTAINED
                verdict.reason = (
                    f"nondeterminism: two runs of the {side} side differ from each other at "
                    f"{again.first_divergence.where} (culprit {again.first_divergence.culprit})"
                )
                return verdict
        if diagnose:
            from compare.diagnosis.diagnose import diagnose as look_into

            look_into(verdict, make_actual, make_expected, steps, tolerance=judge)
    return verdict


def walk(
    actual: Any,
    expected: Any,
    steps: Sequence[Sequence[MicroBatch]],
    *,
    sync: str = "free",
    tolerance: Tolerance | None = None,
    promises: Iterable[str] | None = None,
    fail_fast: bool = False,
    on_step: Callable[[], None] | None = None,
    observer: Any = None,
    history: History | None = None,
) -> Verdict:
    """Walk two sides through the same steps and compare every checkpoint that both show.

    Parameters
    ----------
    actual, expected : sides (:mod:`compare.side`), fresh: a walk trains them
    steps : for each step its micro-batches with their weights
    sync : ``"free"``, ``"step"`` or ``"module"``
    tolerance : the judge; the fixed table for the run's dtype by default
    promises : phases that must have an informative checkpoint for a verdict; by default every phase that both sides
    show fail_fast : stop after the step of the first divergence
    on_step : called after each step
    observer : told of every step and every pair (:class:`compare.diagnosis.evidence.Recording`)
    history : takes in every checkpoint's error and both losses (:class:`compare.history.History`)

    Returns
    -------
    Verdict
    """
    if sync not in SYNCS:
        raise ValueError(f"sync must be one of {', '.join(SYNCS)}, got {sync!r}")
    for what, side in (("actual", actual), ("expected", expected)):
        missing = missing_members(side)
        if missing:
            raise TypeError(f"the {what} side lacks {', '.join(missing)}: see compare.side for what a side must have")
    lacking = missing_members(actual, _NEEDED[sync]) + (missing_members(expected, ("state",)) if sync != "free" else [])
    dtype = _dtype(expected)
    walker = Walker(actual, expected, tolerance or Fixed(dtype), sync, observer, history)
    if lacking:
        reason = f"the walk by {sync} needs {', '.join(lacking)}, which the side does not have"
        return Verdict(Outcome.ABSTAINED, reason, walker.coverage, sync=sync, dtype=str(dtype))
    if sync == "module" and (needs_closure(actual) or needs_closure(expected)):
        reason = (
            "the walk by module gives the optimizer the reference's gradients, and this one evaluates the model itself "
            "within a step (its step requires a closure); walk free or by step"
        )
        return Verdict(Outcome.ABSTAINED, reason, walker.coverage, sync=sync, dtype=str(dtype))
    walked = 0
    failure: SideError | None = None
    try:
        walker.compare(0, None, "init", observed(actual, "init"), observed(expected, "init"))
        walker.compare(0, None, "init", observed(actual, "buffer"), observed(expected, "buffer"))
        for number, micro_batches in enumerate(steps, 1):
            walker.step(number, micro_batches)
            walked = number
            if on_step:
                on_step()
            if fail_fast and walker.diverged:
                break
    except SideError as error:
        failure = error
    return walker.verdict(walked, steps, promises, failure, str(dtype))


def _dtype(side: Any) -> np.dtype:
    kinds = [np.asarray(value).dtype for value in side.parameters.values()]
    return np.result_type(*kinds) if kinds else np.dtype(np.float64)


def _tolerance(
    tolerance: Tolerance | str | None,
    make_expected: Callable[[], Any],
    steps: Sequence[Sequence[MicroBatch]],
    dtype: np.dtype,
) -> Tolerance:
    if tolerance == "fixed":
        return Fixed(dtype)
    if tolerance is None or tolerance == "measured":
        from compare.measured import Measured

        return Measured(make_expected, steps, dtype)
    if isinstance(tolerance, str):
        raise ValueError(f"tolerance must be 'measured' or 'fixed', got {tolerance!r}")
    return tolerance


def _failed(side: str, moment: str, error: Exception, sync: str) -> Verdict:
    failure = SideError(side, moment)
    reason = f"{failure}: {type(error).__name__}: {error}"
    return Verdict(Outcome.ERROR, reason, Coverage(), sync=sync, error=error)
