"""``compare.self_check``: the self-check of a report, and of a built-in experiment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.batches import InputError, cut
from compare.selfcheck.checking import rows_of
from compare.selfcheck.result import SelfCheck
from compare.shrinking.setup import Batch, Setup, UnreadableError, read, read_side

if TYPE_CHECKING:
    from compare.experiment import Scenario, Setting
    from compare.report.report import Report

__all__ = ["check_scenario", "self_check"]

Progress = Callable[[int, int], None]


def self_check(report: Report, *, on_fault: Progress | None = None) -> SelfCheck:
    """Say which mistakes a comparison would not have caught, and what to change.

    Takes no arrays: the report knows what it was made of.

    Parameters
    ----------
    report : Report
        Of ``compare.training``. Its reference is read: a chain of layers of ``torch.nn``, a loss and an optimizer.
    on_fault : callable, optional
        Told how many mistakes have been tried, and how many there are.

    Returns
    -------
    SelfCheck
        One row for each mistake that can be made here: whether it is caught, and what to change if it is not.

    Raises
    ------
    InputError
        If the report is of another call, or the reference cannot be read.

    Examples
    --------
    >>> import compare, numpy as np
    >>> report = compare.gradients(lambda w: (w @ w, {"w": 2 * w}), lambda w: w @ w, {"w": np.array([1.0, 2.0])})
    >>> try:
    ...     self_check(report)
    ... except InputError as error:
    ...     print(str(error).partition(": ")[2])
    a self-check needs a report of compare.training, which has steps to look at
    """
    call = report.call
    if call is None or call.kind != "training":
        raise InputError(f"{report.title}: a self-check needs a report of compare.training, which has steps to look at")
    from compare.threads import threads

    arguments = call.arguments
    reference = arguments["reference"]
    try:
        setup = _setup(reference, arguments)
    except UnreadableError as error:
        raise InputError(f"{report.title}: no twin of the reference can be made: {error}") from error
    with threads():
        return SelfCheck(report.title, rows_of(setup, on_fault))


def _setup(reference: Any, arguments: Any) -> Setup:
    from torch_ref.copying import copy_side

    side = copy_side(reference) if hasattr(reference, "accumulate") else reference()
    steps: dict[int, tuple[Batch, ...]] = {}
    batches = arguments["batches"]
    for x, y in batches:
        if not isinstance(x, np.ndarray):
            raise UnreadableError("its model takes several inputs")
        steps[id(y)] = tuple(Batch(*batch) for batch, _ in cut(x, y, arguments["micro_batches"]))
    return read_side(side, [steps[id(y)] for _, y in batches], arguments["sync"])


def check_scenario(scenario: Scenario, setting: Setting, title: str, on_fault: Progress | None = None) -> SelfCheck:
    """The self-check of one scenario of a built-in experiment.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        setup = read(scenario.expected, scenario.steps, setting.sync or scenario.sync)
    except UnreadableError as error:
        raise InputError(f"{title}: no twin of the reference can be made: {error}") from error
    return SelfCheck(title, rows_of(setup, on_fault))
