"""The elements are right and stand in the wrong places: transposed, permuted, reversed, shifted, half of a matrix.

Every prediction here is an exact rearrangement of the reference's own elements, so nothing is fitted: it explains down
to the rounding or not at all. Of a gradient it is also what one micro-batch adds that is rearranged, without the
penalty's share and what was there before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis, Pair, closeness
from compare.diagnosis.reach import GRADIENTS, parts

__all__ = ["hypotheses"]

_BLOCKS = range(2, 9)  # equal blocks along an axis: gates, heads, halves
_AXES = 5  # tensors of more axes are not turned
_SAMPLES = 64  # elements that are looked at before a whole tensor is rearranged


class _Guess(NamedTuple):
    """A rearrangement: its name, the values, the end of a sentence, what to look at, a rank."""

    cause: str
    value: np.ndarray
    says: str
    look_at: str
    rank: int


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Predict every rearrangement of the diverging tensor that it could be."""
    here, (actual, expected, *_) = evidence.checkpoint, evidence.pair
    if here.phase == "schedule" or expected.size < 2 or actual.size != expected.size:
        return
    if actual.dtype.kind != "f" or expected.dtype.kind != "f" or not np.isfinite(actual).all():
        return
    for base, part in parts(evidence, here) if actual.shape == expected.shape else [(0.0, expected)]:
        pair = evidence.pair._replace(actual=actual - base, expected=part)
        for guess in _guesses(pair, here.phase in GRADIENTS):
            says = f"{here.label} {guess.says}"
            yield Hypothesis(guess.cause, {here: base + guess.value}, says, guess.look_at, rank=guess.rank)
    if actual.shape == expected.shape:
        yield from _counted(evidence)
        yield from _exchanged(evidence)


def _guesses(pair: Pair, gradient: bool) -> Iterator[_Guess]:
    yield from _turned(pair)
    if pair.actual.shape == pair.expected.shape:
        yield from _shifted(pair)
        yield from _reordered(pair)
        yield from _halves(pair, "wrong derivative" if gradient else "wrong function")
        yield from _any_order(pair)


def _looks_like(pair: Pair, predicted: np.ndarray) -> bool:
    """Whether a few elements agree, before all are asked for."""
    actual = pair.actual
    if actual.size <= _SAMPLES:
        return closeness(pair, predicted)[1]
    chosen = tuple(np.unravel_index(np.linspace(0, actual.size - 1, _SAMPLES).astype(int), actual.shape))
    scale = max(float(np.max(np.abs(actual))), float(np.max(np.abs(pair.expected))))
    return bool(np.max(np.abs(predicted[chosen] - actual[chosen])) <= 1e-3 * scale)


# -- axes --------------------------------------------------------------------------------------------------------------


def _turned(pair: Pair) -> Iterator[_Guess]:
    """Axes in another order, axes that run backwards, and both; and the right elements read into the wrong shape."""
    actual, expected = pair.actual, pair.expected
    if not 1 <= expected.ndim <= _AXES:
        return
    axes = tuple(range(expected.ndim))
    for order in permutations(axes):
        turned = expected.transpose(order)
        if turned.shape == actual.shape:
            for flips in (flips for count in range(len(axes) + 1) for flips in combinations(axes, count)):
                if (not flips and order == axes) or any(turned.shape[axis] < 2 for axis in flips):
                    continue
                predicted = np.flip(turned, flips)
                if _looks_like(pair, predicted):
                    yield _turn(order, flips, predicted)
        if order != axes:
            predicted = turned.reshape(actual.shape)
            if _looks_like(pair, predicted):
                says = f"is the reference's read with its axes in the order {order}, reshaped to {actual.shape}"
                yield _Guess("permuted", predicted, says, "a reshape that stands for a transposition", 3)


def _turn(order: Sequence[int], flips: Sequence[int], predicted: np.ndarray) -> _Guess:
    axes = tuple(range(len(order)))
    backwards = f"axis {flips[0]}" if len(flips) == 1 else f"axes {', '.join(map(str, flips))}"
    if not flips:
        if sum(place != axis for place, axis in enumerate(order)) == 2:
            says = "is the reference's transposed" + (
                f": its axes in the order {tuple(order)}" if len(axes) > 2 else ""
            )
            look_at = "the transposition, or the order of the factors of the product"
            return _Guess("transposed", predicted, says, look_at, 1)
        return _Guess("permuted", predicted, f"has its axes in the order {tuple(order)}", "the axes", 2)
    if tuple(order) != axes:
        says = f"has its axes in the order {tuple(order)} and {backwards} running backwards"
        return _Guess("permuted", predicted, says, "the axes", 3)
    spatial = len(axes) > 2 and min(flips) >= 2
    if all(predicted.shape[axis] == 2 for axis in flips) and not spatial:
        says = f"is the reference's with the two entries along {backwards} exchanged"
        return _Guess("permuted", predicted, says, "the order of the two", 2)
    says = f"is the reference's with {backwards} running backwards"
    return _Guess("reversed", predicted, says, "the direction of a kernel, a loop or a slice", 2)


# -- one axis ----------------------------------------------------------------------------------------------------------


def _shifted(pair: Pair) -> Iterator[_Guess]:
    """Rolled by one along an axis, or moved by one with zeros or the end repeated where something is missing."""
    expected = pair.expected
    for axis, size in enumerate(expected.shape):
        if size < 3:
            continue
        for by, where in ((1, "later"), (-1, "earlier")):
            rolled = np.roll(expected, by, axis)
            edge = np.take(expected, [0 if by > 0 else -1], axis)
            gap = [slice(None)] * expected.ndim
            gap[axis] = slice(0, 1) if by > 0 else slice(-1, None)
            fillings = (
                (None, "wrapped around"),
                (np.zeros_like(edge), "filled with zeros"),
                (edge, "its end repeated"),
            )
            for filling, how in fillings:
                predicted = rolled.copy()
                if filling is not None:
                    predicted[tuple(gap)] = filling
                if _looks_like(pair, predicted):
                    says = f"stands one place {where} along axis {axis}, {how}"
                    yield _Guess("permuted", predicted, says, "an index that is off by one", 3)


def _reordered(pair: Pair) -> Iterator[_Guess]:
    """Pairs interleaved, equal blocks in another order (gates, heads, halves), single entries in another order."""
    actual, expected = pair.actual, pair.expected
    for axis, size in enumerate(expected.shape):
        mine, theirs = np.moveaxis(actual, axis, 0), np.moveaxis(expected, axis, 0)
        if size % 2 == 0 and size > 2:
            halves = np.arange(size).reshape(2, -1).T.reshape(-1)
            for order, says in (
                (halves, "has its pairs interleaved, where the reference has two halves"),
                (np.argsort(halves), "has two halves, where the reference has its pairs interleaved"),
            ):
                predicted = np.moveaxis(theirs[order], 0, axis)
                if _looks_like(pair, predicted):
                    yield _Guess("permuted", predicted, f"{says} (axis {axis})", "how pairs are told apart", 3)
        for count in [*(n for n in _BLOCKS if size % n == 0 and n < size), size]:
            found = _matched(mine.reshape(count, -1), theirs.reshape(count, -1)) if count > 1 else None
            if found is None:
                continue
            blocks = theirs.reshape(count, size // count, *theirs.shape[1:])[found]
            predicted = np.moveaxis(blocks.reshape(theirs.shape), 0, axis)
            if _looks_like(pair, predicted):
                each = "entries" if count == size else f"{count} blocks of {size // count}"
                listed = ", ".join(map(str, found[:8])) + (", ..." if count > 8 else "")
                says = f"has its {each} along axis {axis} in the order {listed}"
                yield _Guess("permuted", predicted, says, "the order of gates, heads or entries", 3)
                break


def _matched(actual: np.ndarray, expected: np.ndarray) -> np.ndarray | None:
    """Which row of ``expected`` each row of ``actual`` is, if they are the same rows in another order."""
    weights = np.random.default_rng(0).standard_normal(actual.shape[1])
    mine, theirs = actual.astype(np.float64) @ weights, expected.astype(np.float64) @ weights
    found = np.empty(len(actual), int)
    found[np.argsort(mine, kind="stable")] = np.argsort(theirs, kind="stable")
    return None if np.array_equal(found, np.arange(len(found))) else found


def _any_order(pair: Pair) -> Iterator[_Guess]:
    """Every element is there, in an order that no simpler sentence describes."""
    if pair.expected.ndim < 2 or pair.expected.size < 4:  # along one axis single entries have been matched
        return
    predicted = np.empty_like(pair.expected)
    predicted.reshape(-1)[np.argsort(pair.actual, axis=None)] = np.sort(pair.expected, axis=None)
    if closeness(pair, predicted)[1]:
        yield _Guess(
            "permuted", predicted, "has all the reference's elements, in another order", "reshapes, indices", 6
        )


# -- halves of a matrix, other tensors ---------------------------------------------------------------------------------


def _halves(pair: Pair, cause: str) -> Iterator[_Guess]:
    """Of a square matrix: one triangle, and the symmetric part."""
    expected = pair.expected
    if expected.ndim < 2 or expected.shape[-1] != expected.shape[-2] or expected.shape[-1] < 2:
        return
    other = np.swapaxes(expected, -1, -2)
    for name, predicted, says in (
        (cause, (expected + other) / 2, "is the symmetric part of the reference's, the mean of it and its transpose"),
        (cause, expected + other, "is the sum of the reference's and its transpose"),
        (cause, (expected - other) / 2, "is the antisymmetric part of the reference's"),
        ("missing term", np.triu(expected), "has the upper triangle of the reference's and zeros below"),
        ("missing term", np.tril(expected), "has the lower triangle of the reference's and zeros above"),
        ("missing term", np.triu(expected, 1), "has the reference's above the diagonal and zeros elsewhere"),
        ("missing term", np.tril(expected, -1), "has the reference's below the diagonal and zeros elsewhere"),
    ):
        if not np.array_equal(predicted, expected) and _looks_like(pair, predicted):
            yield _Guess(name, predicted, says, "the triangle that is read or written", 4)


def _counted(evidence: Evidence) -> Iterator[Hypothesis]:
    """A triangle that the reference leaves out is counted: there it is zero, and nothing else differs."""
    here, (actual, expected, *_) = evidence.checkpoint, evidence.pair
    if expected.ndim < 2 or expected.shape[-1] != expected.shape[-2] or expected.shape[-1] < 3:
        return
    for triangle, name, beside in ((np.triu, "above", 1), (np.tril, "below", -1)):
        for diagonal in (0, beside):
            places = np.broadcast_to(triangle(np.ones(expected.shape[-2:], bool), diagonal), expected.shape)
            if not np.any(expected[places]) and np.all(actual[places]) and np.all(expected[~places]):
                says = f"{here.label} is right but for the triangle {name} the diagonal, where the reference is zero"
                predicted = np.where(places, actual, expected)
                yield Hypothesis("mask ignored", {here: predicted}, says, "the causal mask", rank=5, freedom=1)
                break


def _exchanged(evidence: Evidence) -> Iterator[Hypothesis]:
    """Two tensors of one shape stand under each other's names."""
    here, pair = evidence.checkpoint, evidence.pair
    if here.phase not in ("deposit", "accumulated", "clip", "slots", "update", "buffer"):
        return
    for other, its in evidence.at(here.phase, here.step, here.micro_batch).items():
        if other == here or its.agrees or its.expected.shape != pair.expected.shape:
            continue
        if _looks_like(pair, its.expected):
            predicted: dict[Checkpoint, np.ndarray] = {here: its.expected, other: pair.expected}
            says = f"{here.label} has what belongs to {other.label}, and the other way round"
            yield Hypothesis("permuted", predicted, says, "the names, or the order, of what is returned", rank=2)
