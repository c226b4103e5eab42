"""Record a side: walk it through its steps, and write all that it shows, with the noise floors of what it shows.

*Noise floors of a whole run.* A trace is compared without its program, so what honest rounding may add up to has to be
in it. A few more sides are made and run beside the one that is recorded, each in stochastic arithmetic
(:mod:`compare.noise`), and one in float64 where the run is narrower. Every one goes its own way, so that the spread at
a later step holds what rounding has added up to by then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from compare.batches import InputError, MicroBatch
from compare.checkpoint import Checkpoint
from compare.floors import Floor, Spread
from compare.rerun import BY_ROWS, deciding, is_faint, perturbing, single_tensor
from compare.side import Key, missing_members, observed
from compare.tracing.writer import TraceWriter

__all__ = ["record_side"]

RUNS = 3
_PER_MICRO_BATCH = ("forward", "loss", "backward", "deposit", "accumulated")
_EXACT = frozenset({"init", "schedule"})


def record_side(
    make_side: Callable[[], Any],
    steps: Sequence[Sequence[MicroBatch]],
    path: str | os.PathLike[str],
    *,
    noise: bool = False,
    seed: int = 0,
    source: Mapping[str, Any] | None = None,
    draws_of: Callable[[], Any] | None = None,
    on_step: Callable[[], None] | None = None,
) -> None:
    """Walk a side through its steps, and write every phase that it shows.

    Parameters
    ----------
    make_side : factory of a side (:mod:`compare.side`)
    steps : for each step its micro-batches ``((x, y), weight)``
    path : str or Path
        A folder, made here.
    noise : bool
        Whether to measure noise floors, too. That needs a side of PyTorch, and takes about twenty times as long.
    seed : int
        Seeds the noise.
    source : dict, optional
        Where the run comes from, in plain JSON.
    draws_of : factory of a side, optional
        A reference that is run beside it, whose dropout masks the side replays.
    on_step : called after each step

    Raises
    ------
    InputError
        If the trace cannot be written, or what ``make_side`` makes is no side.

    Examples
    --------
    >>> import tempfile
    >>> import torch, torch_ref
    >>> from compare.batches import cut
    >>> def make():
    ...     module = torch.nn.Linear(2, 1)
    ...     return torch_ref.Side(module, torch.optim.SGD(module.parameters(), lr=0.1), torch.nn.MSELoss())
    >>> x, y = np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32)
    >>> folder = tempfile.mkdtemp()
    >>> record_side(make, [cut(x, y, 2)] * 3, folder)
    >>> from compare.tracing.reader import Reader
    >>> [step.number for step in Reader(folder).steps()]
    [0, 1, 2, 3]
    """
    side = make_side()
    missing = missing_members(side)
    if missing:
        raise InputError(f"the side lacks {', '.join(missing)}; compare.side says what a side must have")
    kinds = [np.asarray(value).dtype for value in side.parameters.values()]
    dtype = np.result_type(*kinds) if kinds else np.dtype(np.float64)
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise InputError(f"the side's parameters have dtype {dtype}; a trace is of float64, float32 or float16")
    beside = _Beside(make_side, seed, dtype) if noise else None
    giver = draws_of() if draws_of is not None and hasattr(side, "replay") else None
    with TraceWriter(path, dtype=str(dtype), source=source) as trace:
        for phase in ("parameter", "buffer"):
            _write(trace, 0, None, "init", observed(side, phase), None)
        for number, micro_batches in enumerate(steps, 1):
            giver = _record_step(trace, number, side, micro_batches, beside, giver)
            if on_step:
                on_step()


def _record_step(
    trace: TraceWriter, number: int, side: Any, micro_batches: Sequence[MicroBatch], beside: _Beside | None, giver: Any
) -> Any:
    """One step; returns the side that gives dropout masks, or ``None`` once it is known to draw none."""
    before = _copies(side.parameters)
    side.zero_grad()
    if beside:
        beside.begin_step()
    if giver is not None:
        giver.zero_grad()
    for index, (micro_batch, weight) in enumerate(micro_batches, 1):
        if giver is not None:
            giver.accumulate(micro_batch, weight)
            giver = giver if giver.draws else None
        if giver is not None:
            side.replay(giver.draws)
        with beside.plainly() if beside else nullcontext():
            terms = side.accumulate(micro_batch, weight)
        trace.weight(number, index, weight)
        if beside:
            beside.accumulate(micro_batch, weight)
        for phase in _PER_MICRO_BATCH:
            shown = observed(side, phase, terms)
            _write(trace, number, index, phase, shown, beside.spread(phase, shown) if beside else None)
    with beside.plainly() if beside else nullcontext():
        side.step()
    if giver is not None:
        giver.step()
    if beside:
        beside.step()
    changes = {(name, 0, ""): np.asarray(value) - before[name] for name, value in side.parameters.items()}
    phases = ("clip",) if getattr(side, "total_norm", None) is not None or getattr(side, "clip", None) else ()
    for phase in (*phases, "slots", "update", "parameter", "buffer", "schedule"):
        shown = changes if phase == "update" else observed(side, phase)
        _write(trace, number, None, phase, shown, beside.spread(phase, shown) if beside else None)
    return giver


def _write(
    trace: TraceWriter,
    step: int,
    micro_batch: int | None,
    phase: str,
    shown: Mapping[Key, Any] | None,
    floors: Mapping[Key, Floor] | None,
) -> None:
    for (name, call, output), value in (shown or {}).items():
        if value is None:
            continue
        trace.add(step, micro_batch, phase, name, value, call=call, output=output)
        if floors and phase not in _EXACT:
            floor = floors[name, call, output]
            measured = np.concatenate([floors_of_axis for floors_of_axis, _ in floor.axes])
            trace.add_noise(Checkpoint(step, micro_batch, phase, name, call, output), measured)


class _Beside:
    """The runs beside the one that is recorded."""

    def __init__(self, make_side: Callable[[], Any], seed: int, dtype: np.dtype):
        self._sides = [make_side() for _ in range(RUNS)]
        self._wide = make_side() if dtype.itemsize < 8 else None
        if self._wide is not None:
            try:
                self._wide.widen()
            except Exception:  # it has no such run; the others will do
                self._wide = None
        for side in self._all():
            single_tensor(side)
        self._seed = seed
        self._turn = self._index = 0
        self._terms: list[Any] = []
        self._before: list[dict[str, np.ndarray]] = []
        self._deciding: Any = None
        self._so_far: dict[tuple[int | None, str, Key], Floor] = {}
        self._updates: dict[Key, Floor] = {}
        self._faint = False

    def _all(self) -> list[Any]:
        return self._sides + ([] if self._wide is None else [self._wide])

    def begin_step(self) -> None:
        self._index = 0
        self._before = [_copies(side.parameters) for side in self._all()]
        for side in self._all():
            side.zero_grad()

    def plainly(self) -> AbstractContextManager[Any]:
        """The context of the plain run: what it decides at kinks, the others decide, too."""
        self._deciding = deciding()
        found: AbstractContextManager[Any] = self._deciding
        return found

    def _noisily(self) -> Iterator[tuple[Any, AbstractContextManager[Any]]]:
        self._turn += 1
        for index, side in enumerate(self._sides):
            seed = (self._seed * 1009 + index) * 100_003 + self._turn
            yield side, perturbing(seed, decisions=self._deciding.made, faint=self._faint)
        if self._wide is not None:
            from compare.rerun import imposing

            yield self._wide, imposing(self._deciding.made)

    def accumulate(self, micro_batch: Any, weight: float) -> None:
        self._index += 1
        self._terms = []
        for side, context in self._noisily():
            with context:
                self._terms.append(side.accumulate(micro_batch, weight))

    def step(self) -> None:
        for side, context in self._noisily():
            with context:
                side.step()

    def spread(self, phase: str, shown: Mapping[Key, Any] | None) -> dict[Key, Floor]:
        """The noise floors of what the recorded side shows."""
        values = {key: np.asarray(value) for key, value in (shown or {}).items() if value is not None}
        self._faint = self._faint or is_faint(values)  # type: ignore[arg-type]
        spreads = {key: Spread(value) for key, value in values.items()}
        for index, side in enumerate(self._all()):
            terms = self._terms[index] if phase == "loss" else None
            others = _changes(side, self._before[index]) if phase == "update" else observed(side, phase, terms)
            for key, value in (others or {}).items():
                if value is not None and key in spreads and np.shape(value) == spreads[key].plain.shape:
                    spreads[key].add(np.asarray(value))
        floors = {key: self._no_lower(phase, key, spread.floor()) for key, spread in spreads.items()}
        if phase == "update":
            self._updates = floors
        if phase == "parameter":  # no lower than that of its own update
            floors = {
                key: floor.at_least(self._updates[key]) if key in self._updates else floor
                for key, floor in floors.items()
            }
        return floors

    def _no_lower(self, phase: str, key: Key, floor: Floor) -> Floor:
        """A floor that is no lower than at earlier steps: a value that shrinks is a smaller difference of large terms.

        The rows of another step are other rows, so what bounds them is the largest of any.
        """
        place = (self._index if phase in _PER_MICRO_BATCH else None, phase, key)
        before = self._so_far.get(place)
        if before is not None and before.eps == floor.eps and len(before.axes) == len(floor.axes):
            axes = []
            for axis, ((now, scales), (then, _)) in enumerate(zip(floor.axes, before.axes, strict=True)):
                others = now.shape != then.shape or (axis == 0 and phase in BY_ROWS)
                axes.append((np.maximum(now, then.max(initial=0) if others else then), scales))
            floor = Floor(floor.eps, floor.scale, tuple(axes), floor.relative)
        self._so_far[place] = floor
        return floor


def _copies(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in values.items()}


def _changes(side: Any, before: Mapping[str, np.ndarray]) -> dict[Key, np.ndarray]:
    return {(name, 0, ""): np.asarray(value) - before[name] for name, value in side.parameters.items()}
