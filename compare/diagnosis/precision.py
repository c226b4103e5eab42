"""Part of it is computed in a narrower dtype: float32, bfloat16 or float16.

Three kinds of evidence, the strongest first. Rounding *once* is as predictable as any other mistake: what is handed
over, the parameters after the update, or the operands or the result of one op are rounded, and all that follows is
predicted down to the floor. A tensor whose every element a narrower dtype could hold has been through it, though how
its last bits came about cannot be predicted. And where a whole stretch is computed in a narrower dtype, the reference,
replayed in it, errs by the same amount and mostly in the same places. An error that merely has the right size is noise,
and is not explained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis, closeness
from compare.diagnosis.narrowing import PRODUCTS, Ops, eps_of, replay_narrow, rounded
from compare.diagnosis.ops import VIEWS, replayed
from compare.diagnosis.reach import comparable

__all__ = ["hypotheses"]

_NARROWER = ("bfloat16", "float16", "float32")
_PER_MICRO_BATCH = ("forward", "loss", "backward", "deposit", "accumulated")
_WORK = 2e7  # elements that replays may compute, all in all
_REPLAYS = (12, 240)  # the least and the most replays
_SIZES = (1 / 64, 8.0)  # of the error, in errors of a reference that is wholly narrow
_LIKE = 0.5  # the least correlation of the errors with those of a replay,
_SURE = 4.5  # and in multiples of what it is by chance: hundreds of replays are tried
_CHANCES = 12  # replays that tell what it is by chance
_LIKELIEST = 3  # stretches of which that is asked
_AS_MUCH = 4.0  # and the most that their sizes may differ

LOOK_AT = "casts, and constants and buffers that are made without a dtype"


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Predict roundings to every dtype narrower than the run's."""
    pair = evidence.pair
    if evidence.phase in ("init", "schedule") or not comparable(pair) or pair.actual.dtype != pair.expected.dtype:
        return
    dtypes = [name for name in _NARROWER if eps_of(name) > np.finfo(pair.expected.dtype).eps]
    for name in dtypes:
        yield from _handed_over(evidence, name)
        if evidence.phase == "update":
            yield from _stored(evidence, name)
    if evidence.phase in _PER_MICRO_BATCH and not _exact_so_far(evidence):
        yield from _replays(evidence, dtypes)


def _exact_so_far(evidence: Evidence) -> bool:
    """Whether a single rounding of what is handed over already explains the divergence."""
    return any(
        closeness(evidence.pair, rounded(evidence.pair.expected, name))[1]
        for name in _NARROWER
        if eps_of(name) > np.finfo(evidence.pair.expected.dtype).eps
    )


# -- one rounding at the end -------------------------------------------------------------------------------------------


def _handed_over(evidence: Evidence, name: str) -> Iterator[Hypothesis]:
    here, (actual, expected, *_) = evidence.checkpoint, evidence.pair
    if np.max(np.abs(actual - expected)) > eps_of(name) * np.max(np.abs(expected)):
        return
    predicted = {key: rounded(evidence.pairs[key].expected, name) for key in _diverged(evidence, here.phase)}
    for reach, narrow in ((predicted, 0), ({here: rounded(evidence.pair.expected, name)}, 1)):
        what = here.label if len(reach) == 1 else f"every tensor of {here.phase} that differs"
        says = f"{what} is the reference's rounded to {name}"
        yield Hypothesis("lower precision", reach, says, LOOK_AT, rank=6 + narrow)


def _stored(evidence: Evidence, name: str) -> Iterator[Hypothesis]:
    """Parameters are kept in a narrower dtype: an update smaller than their spacing is lost."""
    predicted: dict[Checkpoint, np.ndarray] = {}
    lost = moved = 0
    for key in _diverged(evidence, "update"):
        after = evidence.pairs.get(key._replace(phase="parameter"))
        if after is None:
            return
        pair = evidence.pairs[key]
        if np.max(np.abs(pair.actual - pair.expected)) > 2 * eps_of(name) * np.max(np.abs(after.expected)):
            return
        before = after.actual - pair.actual
        predicted[key] = rounded(before + pair.expected, name) - before
        lost += int(np.count_nonzero((predicted[key] == 0) & (pair.expected != 0)))
        moved += pair.expected.size
    says = f"the parameters are rounded to {name} after the update: {lost} of {moved} elements do not move at all"
    yield Hypothesis("lower precision", predicted, says, "the dtype that parameters are kept in", rank=6)


# -- replays -----------------------------------------------------------------------------------------------------------


class _Try(NamedTuple):
    """A stretch of ops that may be narrow, in words, and how strong a name it would be."""

    name: str
    ops: Ops
    says: str
    rank: int


def _replays(evidence: Evidence, dtypes: list[str]) -> Iterator[Hypothesis]:
    tries: list[_Try] = []
    likely = []
    for name in dtypes:
        whole = replay_narrow(evidence, name, Ops())
        found = _errors(evidence, whole)
        if found is not None and _SIZES[0] <= _rms(found[0]) / _rms(found[1]) <= _SIZES[1]:
            likely.append(name)
            yield from _representable(evidence, name, whole)
            tries.append(_Try(name, Ops(), f"all of it is computed in {name}", 7))
            tries.append(_Try(name, Ops(backward=False), f"the forward pass is computed in {name}", 7))
            tries.append(_Try(name, Ops(backward=True), f"the backward pass is computed in {name}", 7))
    yield from _in_narrow(
        evidence, [*tries, *(attempt for name in likely for attempt in _of_ops(evidence, name, len(likely)))]
    )


def _of_ops(evidence: Evidence, name: str, dtypes: int) -> Iterator[_Try]:
    """Each op alone, and all ops up to each, as far as the work allows."""
    trace = replayed(evidence).ops
    work = sum(out.numel() for op in trace for out in op.outs if hasattr(out, "numel"))
    replays = int(np.clip(_WORK / max(work, 1), *_REPLAYS))
    places = [place for place, op in enumerate(trace) if op.name not in VIEWS]
    often = Counter(trace[place].name for place in places)
    for called in (called for called, times in often.items() if times > 1):
        yield _Try(name, Ops(called=called), f"every {called} is computed in {name}", 7)
        if called in PRODUCTS:
            yield _Try(
                name, Ops(called=called, part="product"), f"the product of every {called} is computed in {name}", 7
            )
    for place in places[: replays // (4 * dtypes)]:
        here, op = range(place, place + 1), trace[place]
        where = f"{op.name} in the {'backward' if op.backward else 'forward'} pass"
        yield _Try(name, Ops(here, part="operands"), f"the operands of {where} are rounded to {name}", 6)
        yield _Try(name, Ops(here, part="result"), f"the result of {where} is rounded to {name}", 6)
        yield _Try(name, Ops(here), f"{where} is computed in {name}", 7)
        if op.name in PRODUCTS:
            yield _Try(name, Ops(here, part="product"), f"the product of {where} is computed in {name}", 7)
        yield _Try(name, Ops(range(place + 1)), f"all up to {where} is computed in {name}", 8)


def _in_narrow(evidence: Evidence, tries: Iterable[_Try]) -> Iterator[Hypothesis]:
    """What each replay shows, to the floor; and those that err most alike, in the same places and by as much."""
    here = evidence.checkpoint
    alike: list[tuple[float, _Try, dict[Checkpoint, np.ndarray]]] = []
    for attempt in tries:
        replay = replay_narrow(evidence, attempt.name, attempt.ops)
        if here not in replay:
            continue
        if closeness(evidence.pair, replay[here])[1]:
            spoken_of = {here: replay[here]} if evidence.sync == "module" else replay
            yield Hypothesis("lower precision", spoken_of, attempt.says, LOOK_AT, rank=attempt.rank)
            says = f"{attempt.says}, and what follows shows more than that" if len(spoken_of) > 1 else attempt.says
            yield Hypothesis("lower precision", {here: replay[here]}, says, LOOK_AT, rank=attempt.rank + 1)
            if evidence.fit(spoken_of).explained:
                return
            continue
        errors = _errors(evidence, replay)
        if errors is not None and 1 / _AS_MUCH <= _rms(errors[0]) / _rms(errors[1]) <= _AS_MUCH:
            alike.append((_likeness(*errors), attempt, replay))
            alike = sorted(alike, key=lambda found: -found[0])[:_LIKELIEST]
    for likeness, attempt, replay in alike:
        if likeness < _LIKE or likeness < _SURE * _by_chance(evidence, attempt, replay):
            continue
        keys = _in_this_micro_batch(evidence, replay)
        noise = {key: _SIZES[1] * float(np.max(np.abs(replay[key] - evidence.pairs[key].expected))) for key in keys}
        says = f"{attempt.says}: it errs in the same places and by as much (their correlation is {likeness:.2f})"
        yield Hypothesis("lower precision", {key: replay[key] for key in keys}, says, LOOK_AT, rank=9, noise=noise)


def _likeness(mine: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.mean(mine * theirs)) / (_rms(mine) * _rms(theirs))


def _by_chance(evidence: Evidence, attempt: _Try, replay: Mapping[Checkpoint, np.ndarray]) -> float:
    """How alike other errors of the same ops would be: they share what they pass through on their way."""
    _, theirs = _errors(evidence, replay) or (None, np.empty(0))
    found = []
    for seed in range(_CHANCES):
        other = replay_narrow(evidence, attempt.name, attempt.ops._replace(part="noise", seed=seed))
        errors = _errors(evidence, other)
        if errors is None or errors[1].shape != theirs.shape:
            return np.inf
        found.append(_likeness(errors[1], theirs))
    return max(_rms(np.array(found)), 1 / float(np.sqrt(theirs.size)))


def _errors(evidence: Evidence, replay: Mapping[Checkpoint, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """The actual side's errors and a replay's, in the replay's own size, of all that differs, end to end.

    ``None`` where the replay does not err in all of it.
    """
    mine, theirs = [], []
    for key in _in_this_micro_batch(evidence, replay):
        pair = evidence.pairs[key]
        if replay[key].shape != pair.expected.shape:
            return None
        error = replay[key] - pair.expected
        size = _rms(error)
        if not size or not np.isfinite(size):
            return None
        mine.append(((pair.actual - pair.expected) / size).ravel())
        theirs.append((error / size).ravel())
    return (np.concatenate(mine), np.concatenate(theirs)) if mine else None


def _in_this_micro_batch(evidence: Evidence, replay: Mapping[Checkpoint, np.ndarray]) -> list[Checkpoint]:
    here = evidence.checkpoint
    if evidence.sync == "module":
        return [here] if here in replay else []
    return [
        key
        for key in replay
        if key in evidence.pairs and not evidence.pairs[key].agrees and comparable(evidence.pairs[key])
    ]


def _representable(evidence: Evidence, name: str, whole: Mapping[Checkpoint, np.ndarray]) -> Iterator[Hypothesis]:
    """Every element is one that the narrow dtype holds, which is no accident."""
    here, (actual, expected, *_) = evidence.checkpoint, evidence.pair
    told = int(np.count_nonzero(rounded(expected, name) != expected))
    if here not in whole or told < (1 if name == "float32" else 2) or not np.array_equal(rounded(actual, name), actual):
        return
    error = float(np.max(np.abs(whole[here] - expected)))
    room = max(_SIZES[1] * error, 2 * eps_of(name) * float(np.max(np.abs(expected))))
    says = f"every element of {here.label} is one that {name} can hold, and it errs by as much as {name} does"
    yield Hypothesis("lower precision", {here: rounded(expected, name)}, says, LOOK_AT, rank=9, noise={here: room})


def _diverged(evidence: Evidence, phase: str) -> list[Checkpoint]:
    here = evidence.checkpoint
    found = [
        key
        for key, pair in evidence.pairs.items()
        if key.phase == phase and key.step == here.step and not pair.agrees and comparable(pair)
        if evidence.sync != "module" or key[2:] == here[2:]
        if phase != "forward" or key == here  # what follows is no rounding of its own reference
    ]
    return found if here in found else [here]


def _rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) if array.size else 0.0
