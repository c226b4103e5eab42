"""Every known mistake planted into a configuration's manual twin, and the changes that show those it hides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from compare.faults import clipping
from compare.faults.catalogue import FAULTS
from compare.faults.fault import Fault
from compare.faults.planting import planted
from compare.lockstep import lockstep, walk
from compare.measured import Measured
from compare.selfcheck.changes import CHANGES
from compare.selfcheck.result import Row
from compare.shrinking.program import sides_of
from compare.shrinking.setup import Setup
from compare.tolerance import Fixed
from compare.verdict import Outcome

__all__ = ["Configuration", "rows_of"]

_FEW = 6  # steps in which a mistake is looked for first


class Configuration:
    """A setup with its two sides, and its tolerance measured once."""

    def __init__(self, setup: Setup):
        self.setup = setup
        self.actual, self.expected, self.steps = sides_of(setup)
        dtype = next(iter(self.expected().parameters.values())).dtype
        self._fixed = Fixed(dtype)
        self._measured = Measured(self.expected, self.steps, dtype)
        self.honest = self._walk(self.actual, self.steps, self._fixed) is Outcome.EQUIVALENT

    def _walk(self, make: Callable[[], Any], steps: Sequence[Any], judge: Any) -> Outcome:
        verdict = walk(
            make(), self.expected(), steps, sync=self.setup.sync, tolerance=judge, fail_fast=True, promises=()
        )
        return verdict.outcome

    def shows(self, fault: Fault, *, clearly: bool = False) -> bool | None:
        """Whether the walk parts with this mistake planted; ``None`` where its wrong code never runs, or fails.

        ``clearly`` asks the fixed tolerance alone, which takes a tenth of the time.
        """
        reached = False

        def make() -> Any:
            side = planted(self.actual, fault.plant, self.steps)()
            made.append(side)
            return side

        made: list[Any] = []
        outcome: Outcome | None = None
        for steps in (self.steps[:_FEW], *([self.steps] if len(self.steps) > _FEW else [])):
            if self.honest:
                try:
                    outcome = self._walk(make, steps, self._fixed)
                except Exception:
                    return None
                reached |= any(side.planting.reached for side in made)
                if outcome is Outcome.DIVERGED:
                    return True
                if outcome is Outcome.ERROR or not reached:
                    return None
        if clearly:
            return False
        verdict = lockstep(
            make, self.expected, self.steps, sync=self.setup.sync, tolerance=self._measured, fail_fast=True,
            diagnose=False, promises=(),
        )  # fmt: skip
        reached |= any(side.planting.reached for side in made)
        if verdict.outcome is Outcome.ERROR or not reached:
            return None
        return verdict.outcome is Outcome.DIVERGED


def rows_of(setup: Setup, on_fault: Callable[[int, int], None] | None = None) -> tuple[Row, ...]:
    """Whether each mistake shows, and what shows those that do not.

    Parameters
    ----------
    setup : Setup
    on_fault : told how many mistakes have been tried, and how many there are
    """
    here = Configuration(setup)
    others: dict[str, Configuration | None] = {}
    rows = []
    unused = set() if setup.max_norm is not None else {fault.name for fault in clipping.FAULTS}
    for number, fault in enumerate(FAULTS.values(), 1):
        shown = None if fault.name in unused else here.shows(fault)
        if shown is not None:
            change = "" if shown else _shown_by(fault, setup, others)
            rows.append(Row(fault.name, fault.mistake, fault.cause, shown, change))
        if on_fault:
            on_fault(number, len(FAULTS))
    return tuple(rows)


def _shown_by(fault: Fault, setup: Setup, others: dict[str, Configuration | None]) -> str:
    """The first change that shows a mistake, and leaves an honest run equivalent."""
    for name, change in CHANGES:
        if name not in others:
            others[name] = _configuration(change(setup))
        other = others[name]
        if other is not None and other.shows(fault, clearly=True):
            return name
    return ""


def _configuration(setup: Setup | None) -> Configuration | None:
    if setup is None:
        return None
    try:
        found = Configuration(setup)
    except Exception:  # the change does not fit this configuration
        return None
    return found if found.honest else None
