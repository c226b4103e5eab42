"""What the measured tolerance and its appeal share: where a value is kept, and how a rerun is made and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.floors import Floor, Spread
from compare.side import observed
from compare.tolerance import Judgement

HEADROOM = 5.0
"""How many floors honest computations may lie apart: over 1,700 tensors of random networks it was at most 2.9."""

BY_ROWS = frozenset({"forward", "backward"})
"""Phases whose tensors have the rows of the micro-batch along their first axis."""

Place = tuple[int | None, str, str, int, str]
"""A checkpoint without its step."""

Branch = tuple[str, dict[Place, np.ndarray]]
"""Which kink, and the values of the run that took the other branch."""

ORDERS = ("forwards", "backwards", "pairwise")
"""The orders in which sums are added up for trial."""

DRIFT = 2.0
"""How much more than the drift that was found honest may follow before it is looked at again."""


def shown_after(side: Any, before: Mapping[str, np.ndarray]) -> dict[Place, np.ndarray]:
    """What a side shows once its step is done, as copies."""
    found: dict[Place, np.ndarray] = {}
    for phase in ("clip", "slots", "parameter", "buffer"):
        for key, value in (observed(side, phase) or {}).items():
            if value is not None:
                found[(None, phase, *key)] = np.array(value)
    for name, value in side.parameters.items():
        found[None, "update", name, 0, ""] = np.asarray(value) - before[name]
    return found


def kink_text(found: Sequence[tuple[str, int, int]], where: str, count: int) -> str:
    """Say at which kink, and at how many elements: ``3 elements at the kink of relu (the first at 7)``."""
    name, _, first = found[0]
    return f"{count} element{'s' * (count > 1)} {where} the kink of {name} (the first at {first})"


def place_of(checkpoint: Checkpoint, known: Mapping[Place, Any]) -> Place:
    """Where a checkpoint's value is kept: what is accumulated after the first micro-batch is its deposit."""
    place: Place = (checkpoint.micro_batch, *checkpoint[2:])
    if checkpoint.phase == "accumulated" and place not in known and checkpoint.micro_batch == 1:
        return (1, "deposit", *checkpoint[3:])
    return place


def judgement_of(multiple: float, gap: float, scale: float, floor: Floor, *, here: bool) -> Judgement:
    allowed = HEADROOM * gap / multiple if multiple and np.isfinite(multiple) else HEADROOM * floor.largest
    grown = 1.0 if here or not floor.scale else max(1.0, scale / floor.scale)
    room = HEADROOM * floor.largest * grown
    return Judgement(
        multiple <= HEADROOM, share_of(gap, scale), share_of(allowed, scale), scale, multiple, max(room, 0.0)
    )


def share_of(gap: float, scale: float) -> float:
    return 0.0 if not gap else gap / scale if scale else float("inf")


def gap_of(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference; infinite where one is not finite and the other is not the same."""
    with np.errstate(all="ignore"):
        gaps = np.asarray(np.abs(np.subtract(a, b, dtype=np.float64)))
    odd = ~np.isfinite(gaps)
    if odd.any():
        gaps[odd] = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.inf)[odd]
    return float(gaps.max(initial=0.0))


def take_in(spreads: Mapping[Place, Spread], rerun: Mapping[Place, np.ndarray]) -> None:
    for place, value in rerun.items():
        spread = spreads.get(place)
        if spread is not None and spread.plain.shape == value.shape:
            spread.add(value)


def perturbing(seed: int, amplitude: float = 1.0, decisions: Any = None, faint: bool = False, **how: bool) -> Any:
    from compare.noise import Perturbing

    return Perturbing(seed, amplitude, decisions, faint=faint, **how)


def is_faint(values: Mapping[Place, np.ndarray]) -> bool:
    """Whether any value is so small that what it was computed from may have underflown."""
    for value in values.values():
        if value.dtype.kind == "f" and value.size:
            sizes = np.abs(value)
            if bool(((sizes > 0) & (sizes < 2.0**24 * np.finfo(value.dtype).tiny)).any()):
                return True
    return False


def deciding() -> Any:
    from compare.kinks import Deciding

    return Deciding()


def imposing(decisions: Any) -> Any:
    from compare.kinks import Imposing

    return Imposing(decisions)


@contextmanager
def adding(order: str, decisions: Any) -> Iterator[None]:
    """A run in which sums are added up in some order, and which decides as another has."""
    from compare.ordering import Adding

    with imposing(decisions), Adding(order):
        yield


def single_tensor(side: Any) -> None:
    """Let the optimizer take its plain path: the grouped kernels hide what they change from a dispatch mode."""
    for group in getattr(getattr(side, "optimizer", None), "param_groups", ()):
        for choice in ("foreach", "fused"):
            if choice in group:
                group[choice] = False
