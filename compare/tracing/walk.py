"""Compare two traces in one pass: a step of each at a time, and of that a few megabytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from compare.checkpoint import PER_MICRO_BATCH, PHASES
from compare.culprit import owner_of
from compare.naming import NameMap, name_map
from compare.side import Key
from compare.tracing.judging import EPS, Recorded
from compare.tracing.reader import Entry, Moment, Reader, Step, place_text
from compare.verdict import Outcome, Verdict
from compare.walker import Walker

__all__ = ["compare_traces", "end_of"]

_BYTES = 16 << 20  # of each side that are looked at together
_ONCE = tuple(phase for phase in PHASES if phase not in PER_MICRO_BATCH and phase != "init")
_EACH = tuple(phase for phase in PHASES if phase in PER_MICRO_BATCH)
_HINTS = 5


class _Scales(dict[str, np.ndarray]):
    """The largest magnitude of each parameter; of one that has not been shown nothing is known."""

    def __missing__(self, name: str) -> np.ndarray:
        return np.zeros(())


class _Shown:
    """What the walker and its data flow ask a side for: names in their order, and of a value no more than is needed."""

    def __init__(self) -> None:
        self.activations: dict[Key, None] = {}
        self.activation_gradients: dict[Key, np.ndarray] = {}
        self.parameters: dict[str, np.ndarray] = _Scales()
        self.gradients: dict[str, Any] = {}
        self.learning_rate: list[float] | None = None

    def begin_micro_batch(self) -> None:
        self.activations, self.activation_gradients = {}, {}

    def note(self, phase: str, values: Mapping[Key, np.ndarray]) -> None:
        for key, value in values.items():
            if phase == "backward":
                self.activation_gradients[key] = _in_brief(value)
            elif phase in ("init", "parameter"):
                self.parameters[key[0]] = np.max(np.abs(value), initial=0) if value.dtype.kind == "f" else value[:0]
            elif phase == "schedule":
                self.learning_rate = [*(self.learning_rate or []), float(value.reshape(-1)[0]) if value.size else 0.0]


def _in_brief(value: np.ndarray) -> np.ndarray:
    """An array that is uniform if this one is, and no longer than two."""
    flat = value.reshape(-1)
    if flat.size < 3:
        return np.array(flat)
    other = next((block[block != flat[0]][0] for block in np.array_split(flat, 1 + flat.size // 65536)
                  if (block != flat[0]).any()), flat[0])  # fmt: skip
    return np.array([flat[0], other])


class _TraceWalker(Walker):
    """A walk whose values come from two traces."""

    actual: _Shown
    expected: _Shown
    tolerance: Recorded

    def __init__(self, tolerance: Any, names: NameMap):
        super().__init__(_Shown(), _Shown(), tolerance, "free")
        self.names = names
        self.steps: list[list[Any]] = []
        self.uneven: dict[tuple[int, int], list[int]] = {}  # steps by how many micro-batches each side has
        self._rates = set()

    def pair(self, actual: Step, expected: Step) -> None:
        """Compare one step of each."""
        number = expected.number
        if not number:
            self.moment(0, (None, "init"), actual, expected)
            return
        self.flow.begin_step(keep=True)
        counts = actual.micro_batches, expected.micro_batches
        cut = actual.cut or expected.cut
        apart = counts[0] != counts[1] and not cut
        apart = apart or (cut and (bool(self.uneven) or _weights_differ(actual, expected)))
        for index in range(1, counts[1] + 1):
            self.flow.begin_micro_batch()
            self.expected.begin_micro_batch()
            if apart:
                continue
            self._share = expected.weights.get(index, 1.0)
            for phase in _EACH:
                self.moment(number, (index, phase), actual, expected)
        if apart and not cut:
            self.uneven.setdefault(counts, []).append(number)
            last = Step(number)
            last.moments[counts[1], "accumulated"] = actual.moments.get((counts[0], "accumulated"), {})
            self.moment(number, (counts[1], "accumulated"), last, expected)
        elif not apart and not cut and _weights_differ(actual, expected):
            self._note("the micro-batches of the two traces have other weights: deposits may differ by that alone")
        for name, scale in self._gradient_scale.items():
            self._remember(("accumulated", name, 0, ""), scale)
        for phase in _ONCE:
            self.moment(number, (None, phase), actual, expected)
        self._rates.add(tuple(self.expected.learning_rate or ()))
        each = [(None, expected.weights.get(index, np.nan)) for index in range(1, counts[1] + 1)]
        self.steps.append(
            each or [(None, np.nan)] * 2
        )  # a trace that shows none says nothing about how many there were

    def moment(self, number: int, moment: Moment, actual: Step, expected: Step) -> None:
        """Compare one phase, so many bytes at a time."""
        mine, theirs = self._at(actual, moment, expected), self._at(expected, moment, actual)
        index, phase = moment
        if mine is None or theirs is None:
            return
        mine = self._renamed(mine, phase) if mine else {}
        if actual.cut and moment == actual.last:  # it may not be whole
            theirs = {key: entry for key, entry in theirs.items() if key in mine}
        if expected.cut and moment == expected.last:
            mine = {key: entry for key, entry in mine.items() if key in theirs}
        if phase == "forward":
            self.expected.activations = dict.fromkeys(theirs)
        elif phase in ("deposit", "accumulated"):  # what has a gradient must be compared for a verdict
            self.expected.gradients.update(dict.fromkeys((name for name, _, _ in theirs), True))
        if not mine or not theirs:
            self.compare(number, index, phase, mine or None, theirs or None)
            return
        if phase == "schedule":
            self.expected.learning_rate = None
        before, count, parts = len(self.divergences), 0, 0
        for keys in _portions(theirs, mine):
            pairs = {key: self._values(mine[key], theirs[key], phase, key) for key in keys if key in mine}
            self.expected.note(phase, {key: pair[1] for key, pair in pairs.items()})
            self.tolerance.about({key: (theirs[key], self._dtype(mine[key], theirs[key])) for key in pairs})
            self.compare(
                number,
                index,
                phase,
                {k: pair[0] for k, pair in pairs.items()},
                {k: pair[1] for k, pair in pairs.items()},
            )
            count, parts = count + len(pairs), parts + 1
            del pairs
        alone = dict.fromkeys(key for key in theirs if key not in mine)
        self.compare(number, index, phase, {k: None for k in mine if k not in theirs}, alone)
        if phase == "deposit" and parts > 1:
            self._blame_deposits(before, count)

    def _blame_deposits(self, before: int, count: int) -> None:
        """Whether all deposits of a micro-batch are wrong is known only once all portions have been looked at."""
        wrong = self.divergences[before:]
        every = len(wrong) == count > 1 and all(found.own for found in wrong)
        self.divergences[before:] = [
            replace(found, culprit="accumulation" if every else owner_of(found.checkpoint.name)) for found in wrong
        ]

    @staticmethod
    def _at(step: Step, moment: Moment, other: Step) -> dict[Key, Entry] | None:
        """What a step has of a moment; ``None`` where the other one ended before it."""
        if other.cut and _when(moment) > _when(other.last):
            return None
        if step.cut and _when(moment) > _when(step.last):
            return None
        return step.moments.get(moment, {})

    def _renamed(self, mine: dict[Key, Entry], phase: str) -> dict[Key, Entry]:
        named = self.names.renamed({name: name for name, _, _ in mine})
        back = {old: new for new, old in named.items()}
        slots = phase == "slots"
        return {(back[n], c, self.names.expected_name(o) if slots and o else o): e for (n, c, o), e in mine.items()}

    def _values(self, mine: Entry, theirs: Entry, phase: str, key: Key) -> tuple[np.ndarray, np.ndarray]:
        actual, expected = mine.array(), theirs.array()
        name = self.names.actual_name(key[0])
        actual = self.names.to_expected(name, actual) if phase not in ("forward", "backward", "loss") else actual
        codes = {mine.value.dtype, theirs.value.dtype}
        if len(codes) == 2 and codes & {"F16", "BF16"} and codes <= set(EPS):
            half = min(codes & {"F16", "BF16"}, key=lambda code: -EPS[code])
            self._note(
                f"{phase}: what one side holds as {' and the other as '.join(sorted(codes))} is judged as {half}"
            )
            kind = np.float64 if "F64" in codes else np.float32
            actual, expected = actual.astype(kind), expected.astype(kind)
        return actual, expected

    @staticmethod
    def _dtype(mine: Entry, theirs: Entry) -> str:
        return max(theirs.value.dtype, mine.value.dtype, key=lambda code: EPS.get(code, 0.0))


def _when(moment: Moment) -> tuple[float, int]:
    index, phase = moment
    return (float("inf") if index is None else index), PHASES.index(phase)


def _weights_differ(actual: Step, expected: Step) -> bool:
    both = actual.weights.keys() & expected.weights.keys()
    return any(abs(actual.weights[index] - expected.weights[index]) > 1e-6 for index in both)


def _portions(theirs: Mapping[Key, Entry], mine: Mapping[Key, Entry]) -> Iterator[list[Key]]:
    """The keys of both sides, so many bytes at a time."""
    portion: list[Key] = []
    size = 0
    for key, entry in theirs.items():
        if key not in mine:
            continue
        if portion and (size + entry.nbytes > _BYTES or len(portion) >= 4096):
            yield portion
            portion, size = [], 0
        portion.append(key)
        size += entry.nbytes
    if portion:
        yield portion


# -- two traces --------------------------------------------------------------------------------------------------------


def compare_traces(actual: Reader, expected: Reader, tolerance: Any, names: Any = None) -> Verdict:
    """Compare what two traces have of the same steps.

    Parameters
    ----------
    actual, expected : Reader
        Both are read to their end.
    tolerance : Recorded
    names : see :func:`compare.naming.name_map`

    Returns
    -------
    Verdict
        ``abstained`` where the two agree, but one goes on after the other has ended.
    """
    walker = _TraceWalker(tolerance, _names_of(actual, expected, names))
    alone: dict[str, list[int]] = {"actual": [], "expected": []}
    walked = 0
    for mine, theirs in _matched(actual.steps(), expected.steps()):
        if mine is not None and theirs is not None:
            walker.pair(mine, theirs)
            walked += bool(theirs.number)
        else:
            side, step = ("actual", mine) if theirs is None else ("expected", theirs)
            assert step is not None
            alone[side].append(step.number)
    _note_uneven(walker)
    verdict = walker.verdict(walked, walker.steps, None, None, expected.dtype)
    verdict.sides = None  # nothing that could be looked at
    coverage = verdict.coverage
    for side, numbers in alone.items():
        if numbers:
            getattr(coverage, f"only_{side}").append(f"steps: {_ranges(numbers)}")
    for side, trace in (("actual", actual), ("expected", expected)):
        if not trace.checked:
            coverage.notes.append(f"the {side} trace is not checksummed: a damaged number in it would not be noticed")
    coverage.notes += _hints(walker.names)
    if actual.dtype != expected.dtype:
        coverage.notes.append(f"the actual run is {actual.dtype}, the expected one {expected.dtype}")
    _end(verdict, actual, expected)
    return verdict


def end_of(actual: Reader, expected: Reader) -> tuple[str, bool]:
    """Where the traces end, in words where that is worth a word, and whether they end at the same place."""
    sides = {"actual": actual, "expected": expected}
    texts = {}
    for side, trace in sides.items():
        verb = "ends" if trace.finished else "is not finished: it ends"
        texts[side] = f"{side} {verb} after {place_text(*trace.end)}" if trace.end else f"{side} is empty"
    if actual.finished and expected.finished:
        together = (actual.end or (0,))[0] == (expected.end or (0,))[0]
        return "" if together else "; ".join(texts.values()), together
    together = actual.end == expected.end and actual.length == expected.length
    shown = [text for side, text in texts.items() if not (together and sides[side].finished)]
    return "; ".join(shown), together


def _end(verdict: Verdict, actual: Reader, expected: Reader) -> None:
    """Say where a trace ends before the other one does; what was not compared is not equivalent."""
    ends, together = end_of(actual, expected)
    if ends:
        verdict.coverage.notes.append(ends)
    if not together and verdict.outcome is Outcome.EQUIVALENT:
        verdict.outcome = Outcome.ABSTAINED
        verdict.reason = f"all agrees as far as both go, and no further: {ends}"


def _matched(mine: Iterator[Step], theirs: Iterator[Step]) -> Iterator[tuple[Step | None, Step | None]]:
    """Steps of the same number together, in order; a step that one side lacks beside ``None``."""
    one, other = next(mine, None), next(theirs, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.number < other.number):
            yield one, None
            one = next(mine, None)
        elif one is None or other.number < one.number:
            yield None, other
            other = next(theirs, None)
        else:
            yield one, other
            one, other = next(mine, None), next(theirs, None)


def _names_of(actual: Reader, expected: Reader, names: Any) -> NameMap:
    """The names of both sides, matched by what they show up to the end of their first step."""
    mine, theirs = _first_names(actual), _first_names(expected)
    shapes = [{name: shape for name, shape in found.items() if shape is not None} for found in (mine, theirs)]
    others = [name for name, shape in theirs.items() if shape is None]
    return name_map(names, *shapes, later=[*others, *(["*"] if not shapes[1] else [])])


def _first_names(trace: Reader) -> dict[str, tuple[int, ...] | None]:
    """Parameters and buffers with their shapes, and modules and slots with none."""
    found: dict[str, tuple[int, ...] | None] = {}
    for step in trace.steps():
        for (_, phase), entries in step.moments.items():
            for (name, _, output), entry in entries.items():
                held = phase in ("init", "deposit", "accumulated", "update", "parameter", "buffer")
                if held or found.get(name) is None:
                    found[name] = entry.value.shape if held else None
                if phase == "slots":
                    found.setdefault(output, None)
        if step.number:
            break
    return found


def _hints(names: NameMap) -> list[str]:
    found = []
    for side, left in (("actual", names.only_actual), ("expected", names.only_expected)):
        for name in left[:_HINTS]:
            hint = names.hint(side, name)
            found.append(f"{name!r} is on the {side} side only{f'; {hint}' if hint else ''}")
    layouts = [f"{name!r}: {tip}" for name in names.renames if (tip := names.another_layout(name))]
    return found + layouts[:_HINTS] + names.unused()[:_HINTS]


def _note_uneven(walker: _TraceWalker) -> None:
    for (mine, theirs), numbers in walker.uneven.items():
        walker.coverage.notes.append(
            f"step {_ranges(numbers)}: {mine} micro-batches of the actual side and {theirs} of the expected one; "
            "compared from the accumulated gradients of the last one on"
        )


def _ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in order as ranges: ``1-3, 7``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    texts = [str(a) if a == b else f"{a}-{b}" for a, b in parts]
    return ", ".join(texts if len(texts) <= 8 else [*texts[:7], f"... and {len(texts) - 7} more"])
