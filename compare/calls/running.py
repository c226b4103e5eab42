"""One way for every call to walk its two sides and make a report of the verdict."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compare.batches import InputError, MicroBatch
from compare.calls.arrays import ContractError, listed
from compare.culprit import MODEL
from compare.lockstep import SYNCS, lockstep, walk
from compare.measured import Measured
from compare.threads import threads
from compare.tolerance import Fixed
from compare.verdict import Coverage, Outcome, Verdict

__all__ = ["checked_seed", "checked_sync", "checked_tolerance", "dtype_hint", "verdict_of"]

_ONE_POINT = "one set of inputs: a mistake that shows at other values or shapes only is not seen"

_HERE = Path(__file__).parent.parent.parent


def checked_tolerance(tolerance: Any) -> Any:
    """What a user may ask for: ``None`` and ``"measured"`` for the measured one, ``"fixed"``, or a judge.

    Raises
    ------
    InputError
        If it is none of them.
    """
    known = tolerance is None or (isinstance(tolerance, str) and tolerance in ("measured", "fixed"))
    if not known and (isinstance(tolerance, type) or not hasattr(tolerance, "judge")):
        raise InputError(
            f"tolerance is {tolerance!r}; it must be 'measured', 'fixed' or an object with judge() (compare.tolerance)"
        )
    return tolerance


def checked_seed(seed: Any) -> int:
    """A seed that every generator takes, or one line that says what is wrong with it."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed is {seed!r}; it must be a whole number of at least 0")
    return int(seed)


def checked_sync(sync: Any) -> str:
    """A way to walk, or one line that says which there are."""
    if sync not in SYNCS:
        raise InputError(f"sync is {sync!r}; it must be one of {', '.join(SYNCS)}")
    return str(sync)


def verdict_of(
    make_actual: Callable[[], Any],
    make_expected: Callable[[], Any],
    steps: Sequence[Sequence[MicroBatch]],
    *,
    tolerance: Any,
    dtype: np.dtype[Any],
    seed: int,
    told: dict[str, None],
    name: str,
    sync: str = "free",
    promises: Iterable[str] | None = None,
    only: Iterable[str] | None = None,
    irrelevant: tuple[str, ...] = (),
    one_point: bool = False,
) -> Verdict:
    """Walk two sides, and put the verdict into the words of the call.

    Parameters
    ----------
    make_actual, make_expected, steps, sync, promises : see :func:`compare.lockstep.lockstep`
    tolerance : as :func:`checked_tolerance` let it through
    dtype : the least precise floating dtype of what is compared
    seed : seeds the noise of the measured tolerance
    told : what the sides noticed about the user's code: a run that is otherwise equivalent is an error then
    name : what the user calls the code under test; it stands where a walk would blame the whole model
    only : phases that mean something in this call, all by default
    irrelevant : beginnings of blind spots that mean nothing in this call
    one_point : whether there is one set of inputs, so that a gradient that says nothing here is not known at all
    """
    notes: list[str] = []
    if dtype.itemsize < 8:
        make_expected = _widening(make_expected, steps, notes)
    judge = tolerance
    if tolerance is None or tolerance == "measured":
        judge = Measured(make_expected, steps, dtype, seed=seed)
    elif tolerance == "fixed":
        judge = Fixed(dtype)
    try:
        with threads():
            verdict = _unfit(make_expected, steps, sync) or lockstep(
                make_actual, make_expected, steps, sync=sync, tolerance=judge, promises=promises, history=True
            )
    except ContractError as error:  # a member that the walk reads, not calls
        verdict = Verdict(Outcome.ERROR, str(error), Coverage(), sync=sync, error=error)
    coverage = verdict.coverage
    if only is not None:
        kept = set(only)
        coverage.phases = {phase: found for phase, found in coverage.phases.items() if phase in kept}
        coverage.only_actual = [text for text in coverage.only_actual if text.partition(":")[0] in kept]
        coverage.only_expected = [text for text in coverage.only_expected if text.partition(":")[0] in kept]
        worst = max(coverage.phases.values(), key=lambda phase: phase.worst, default=None)
        verdict.worst_error, verdict.worst_at = (worst.worst, worst.worst_at) if worst else (0.0, None)
    spots = [spot for spot in coverage.blind_spots if not spot.startswith(irrelevant or ("\0",))]
    spots += [_ONE_POINT] if one_point else []
    # of a run that broke off it is no news
    coverage.blind_spots = [] if verdict.outcome is Outcome.ERROR else spots
    verdict.divergences = [
        replace(found, culprit=name) if found.culprit == MODEL else found for found in verdict.divergences
    ]
    first = verdict.first_divergence
    if verdict.outcome is Outcome.DIVERGED and first is not None:
        verdict.reason = f"the sides part at {first.where}; culprit {first.culprit}"
    if isinstance(verdict.error, ContractError):
        verdict.reason = str(verdict.error)
    elif verdict.error is not None:
        verdict.reason += raised_at(verdict.error)
    verdict.reason = verdict.reason.replace(f" (culprit {MODEL})", "")
    coverage.notes += notes
    if one_point and verdict.outcome is Outcome.ABSTAINED:
        _silent(verdict)
    if told:
        coverage.notes += list(told)
        if verdict.outcome is Outcome.EQUIVALENT:
            verdict.outcome, verdict.reason = Outcome.ERROR, "; ".join(told)
    return verdict


def _unfit(make_expected: Callable[[], Any], steps: Sequence[Sequence[MicroBatch]], sync: str) -> Verdict | None:
    """The verdict on a reference that raises or does not agree with itself: no tolerance can be measured by it.

    Random numbers that a user's function draws would pass for a noise floor as wide as they are.
    """
    try:
        verdict = walk(make_expected(), make_expected(), steps[:1], fail_fast=True)
    except Exception:
        return None  # in its construction: the walk reports it
    first = verdict.first_divergence
    verdict.sync = sync
    if verdict.outcome is Outcome.ERROR:
        return verdict
    if verdict.outcome is Outcome.DIVERGED and first is not None:
        reason = f"nondeterminism: two runs of the expected side differ from each other at {first.where}"
        return Verdict(Outcome.ABSTAINED, reason, Coverage(), sync=sync)
    return None


class _Narrow:
    """A reference that does not offer to run in float64."""

    def __init__(self, side: Any):
        self._side = side

    def __getattr__(self, name: str) -> Any:
        if name in ("widen", "_side"):
            raise AttributeError(name)
        return getattr(self._side, name)


def _widening(
    make_expected: Callable[[], Any], steps: Sequence[Sequence[MicroBatch]], notes: list[str]
) -> Callable[[], Any]:
    """The factory, if its sides run in float64, or one of sides that do not claim to.

    A user's function may hold float32 constants, or a module that is not handed in.
    """
    try:
        narrow = make_expected()
        narrow.zero_grad()
        narrow.accumulate(*steps[0][0])
    except Exception:
        return make_expected  # it does not run at all, which the walk reports
    try:
        wide = make_expected()
        if not hasattr(wide, "widen"):
            return make_expected
        wide.widen()
        wide.zero_grad()
        wide.accumulate(*steps[0][0])
    except Exception as error:
        notes.append(f"the reference does not run in float64, which would have told more ({type(error).__name__})")
        return lambda: _Narrow(make_expected())
    return make_expected


def _silent(verdict: Verdict) -> None:
    """Say which gradients an abstention is about."""
    accumulated = verdict.coverage.phases.get("accumulated")
    names = accumulated.uninformative_names if accumulated else []
    if names and "informative" in verdict.reason:
        verdict.reason = (
            f"the gradient of {listed(names)} is empty, zero, one number, not finite or nothing but rounding here, so "
            "nothing is known about it"
        )


def raised_at(error: BaseException) -> str:
    """Where an exception was raised: the innermost line outside of installed packages."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename
        and not any(
            Path(frame.filename).is_relative_to(_HERE / package) for package in ("compare", "torch_ref", "manual")
        )
    ]
    return f" (in {own[-1].name}, {Path(own[-1].filename).name} line {own[-1].lineno})" if own else ""


def dtype_hint(verdict: Verdict, inputs: Iterable[Any], parameters: Iterable[Any]) -> None:
    """Add to PyTorch's complaint about dtypes which are whose, and what to do."""
    given, held = ({a.dtype for a in arrays if a.dtype.kind == "f"} for arrays in (inputs, parameters))
    if isinstance(verdict.error, RuntimeError) and "dtype" in str(verdict.error) and given and held and given != held:
        given_names, held_names = (" and ".join(sorted(map(str, kinds))) for kinds in (given, held))
        verdict.reason += (
            f"; the inputs are {given_names}, the parameters {held_names}: cast the inputs with .astype(), or the "
            "module with .double() or .float()"
        )
