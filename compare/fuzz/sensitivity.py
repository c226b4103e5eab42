"""How small an error is seen: one element of one gradient is made wrong by a known fraction of itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.batches import MicroBatch
from compare.lockstep import lockstep
from compare.verdict import Divergence, Outcome, Verdict

__all__ = ["SIZES", "Plant", "Planted", "Trial", "gradients_at", "plants", "threshold"]

SIZES = {"largest": 1.0, "ordinary": 0.5, "small": 0.1}
"""Which element of a gradient is made wrong, as a quantile of the magnitudes that are not zero."""


@dataclass(frozen=True)
class Plant:
    """Where an error is planted.

    Attributes
    ----------
    step : from 1
    name : the parameter
    index : the element of its gradient
    size : a word of ``SIZES``
    value : the element's right value
    """

    step: int
    name: str
    index: tuple[int, ...]
    size: str
    value: float


class Planted:
    """A side one element of whose gradient is wrong in one step, by the same fraction in every micro-batch.

    Parameters
    ----------
    side : Side
        With ``deposits`` and ``load_state``; everything but the error is left to it.
    plant : Plant
    error : the fraction
    """

    def __init__(self, side: Any, plant: Plant, error: float):
        self._side = side
        self._plant = plant
        self._factor = 1.0 + error
        self._number = 1

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._side, attribute)

    def accumulate(self, micro_batch: Any, weight: float) -> Any:
        """Accumulate rightly, then make the deposit and the gradient wrong."""
        side, name, index = self._side, self._plant.name, self._plant.index
        before = side.gradients[name]
        held = 0.0 if before is None else before[index].copy()
        terms = side.accumulate(micro_batch, weight)
        if self._number == self._plant.step:
            deposit, total = np.array(side.deposits[name]), np.array(side.gradients[name])
            deposit[index] = float(deposit[index]) * self._factor
            total[index] = held + deposit[index]
            side.deposits[name] = deposit
            side.load_state({"gradients": {name: total}})
        return terms

    def step(self) -> None:
        self._side.step()
        self._number += 1


@dataclass(frozen=True)
class Trial:
    """A pair of sides and the steps up to the one in which errors are planted."""

    make_actual: Callable[[], Any]
    make_expected: Callable[[], Any]
    steps: Sequence[Sequence[MicroBatch]]
    sync: str = "free"

    def verdict(self, plant: Plant | None = None, error: float = 0.0) -> Verdict:
        """Walk up to the step of the plant, or to the end without one, under the default tolerance."""

        def planted() -> Any:
            side = self.make_actual()
            return side if plant is None else Planted(side, plant, error)

        steps = self.steps if plant is None else self.steps[: plant.step]
        return lockstep(planted, self.make_expected, steps, sync=self.sync, diagnose=False)

    def seen(self, plant: Plant, error: float) -> Divergence | None:
        """The divergence by which an error is seen: the first, if it is where the error is."""
        verdict = self.verdict(plant, error)
        first = verdict.first_divergence
        if verdict.outcome is not Outcome.DIVERGED or first is None:
            return None
        at = first.checkpoint
        right = at.step == plant.step and at.phase in ("deposit", "accumulated") and at.name == plant.name
        return first if right else None

    def excess(self, plant: Plant, error: float) -> float:
        """How many times what is allowed an error comes to; 0 where it is not seen."""
        found = self.seen(plant, error)
        if found is None:
            return 0.0
        judgement = found.judgement
        return judgement.error / judgement.allowed if judgement.allowed else math.inf


def gradients_at(
    make: Callable[[], Any], steps: Sequence[Sequence[MicroBatch]], step: int, replay: Any = None
) -> dict[str, np.ndarray]:
    """The accumulated gradients of a side in one of its steps; frozen parameters are left out.

    Parameters
    ----------
    make : factory of the side
    steps : the micro-batches of every step
    step : which, from 1
    replay : a side that runs alongside and whose dropout masks are taken
    """
    side = make()
    for number, micro_batches in enumerate(steps[:step], 1):
        for one in (side, replay):
            if one is not None:
                one.zero_grad()
        for micro_batch, weight in micro_batches:
            if replay is not None:
                replay.accumulate(micro_batch, weight)
                if replay.draws:
                    side.replay(replay.draws)
            side.accumulate(micro_batch, weight)
        if number < step:
            for one in (side, replay):
                if one is not None:
                    one.step()
    return {name: np.array(value) for name, value in side.gradients.items() if value is not None}


def plants(gradients: dict[str, np.ndarray], step: int, sizes: Sequence[str] = tuple(SIZES)) -> list[Plant]:
    """One place of each size in each gradient that is not zero; equal places once."""
    found: dict[tuple[str, tuple[int, ...]], Plant] = {}
    for name, gradient in gradients.items():
        flat = np.abs(gradient).reshape(-1)
        places = np.flatnonzero(flat)
        order = places[np.argsort(flat[places], kind="stable")]
        for size in sizes if len(order) else ():
            place = order[math.ceil(SIZES[size] * (len(order) - 1))]
            index = tuple(int(i) for i in np.unravel_index(place, gradient.shape))
            found.setdefault((name, index), Plant(step, name, index, size, float(gradient[index])))
    return list(found.values())


def threshold(excess: Callable[[float], float], low: float, high: float = 1.0, *, within: float = 1.25) -> float:
    """The smallest error that is seen, to a factor ``within``; infinite if not even ``high`` is.

    Parameters
    ----------
    excess : maps an error to how many times too large it is found (infinite if that is not known), 0 if it is not seen
    low : an error that cannot be seen
    high : the largest error to try
    """
    over = excess(high)
    if not over:
        return math.inf
    margin = math.sqrt(within)
    for probe in (high / over * margin, high / over / margin):  # where it should be, if all is in proportion
        if low < probe < high:
            low, high = (low, probe) if excess(probe) else (probe, high)
    while high / low > within * (1 + 1e-9):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if excess(middle) else (middle, high)
    return high
