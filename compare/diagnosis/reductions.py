"""A gradient that is not added up as it should be: not summed, averaged, assigned in place of added, or absent.

Where a gradient is a sum, the reference's own ops say over what: the axes of a sum, the contracted axis of a product,
the rows of a convolution, the indices of an embedding, or several paths that meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis, Pair
from compare.diagnosis.ops import Maker, Op, as_array, makers, replayed
from compare.diagnosis.reach import GRADIENTS, parts

__all__ = ["hypotheses"]

_PATHS = 64  # the most contributions that are told apart


class _Variant(NamedTuple):
    """Another value of a gradient: the mistake, its kind (so that several tensors can share it), and a sentence."""

    kind: str
    value: np.ndarray
    says: str


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Predict gradients that are zero, not summed, averaged, or only the last of what should be added."""
    if evidence.phase not in GRADIENTS or evidence.pair.actual.dtype.kind != "f":
        return
    yield from _absent(evidence)
    yield from _unsummed(evidence)
    if evidence.pair.actual.shape == evidence.pair.expected.shape:
        yield from _partly_added(evidence)


# -- nothing arrives ---------------------------------------------------------------------------------------------------


def _absent(evidence: Evidence) -> Iterator[Hypothesis]:
    here, pair = evidence.checkpoint, evidence.pair
    if np.any(pair.actual) or not np.any(pair.expected):
        return
    zeros = {
        key: np.zeros_like(other.expected)
        for key, other in evidence.pairs.items()
        if key[:3] == here[:3] and not other.agrees and not np.any(other.actual)
    }
    names = ", ".join(key.label for key in list(zeros)[:4]) + (", ..." if len(zeros) > 4 else "")
    yield Hypothesis(
        "detached",
        zeros,
        f"no gradient arrives at {names}: zero (or None) where the reference has up to "
        f"{float(np.max(np.abs(pair.expected))):.3g}",
        "the path from the loss to it: a detach, a copy, an op outside the graph, requires_grad",
        rank=3,
    )


# -- shapes ------------------------------------------------------------------------------------------------------------


def _unsummed(evidence: Evidence) -> Iterator[Hypothesis]:
    """The gradient has the shape of what the value was spread to, and summed over those axes it is right."""
    here, (actual, expected, *_) = evidence.checkpoint, evidence.pair
    if actual.shape == expected.shape or actual.size <= expected.size or not expected.size:
        return
    for axes in _spread(actual.shape, expected.shape):
        summed = actual.sum(axes).reshape(expected.shape)
        back = np.expand_dims((expected - summed).reshape(np.delete(actual.shape, axes)), axes)
        yield Hypothesis(
            "broadcasting not summed",
            {here: actual + back},
            f"{here.label} has shape {actual.shape}; summed over {_axes(axes)} it is the reference's of shape "
            f"{expected.shape}",
            "the sum over the axes over which the value was spread",
            rank=1,
            freedom=1,
        )


def _spread(wide: tuple[int, ...], narrow: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Which axes of the wide shape are to be summed to reach the narrow one."""
    kept = [size for size in narrow if size != 1]
    for count in range(1, len(wide) + 1):
        for axes in combinations(range(len(wide)), count):
            left = [size for axis, size in enumerate(wide) if axis not in axes and size != 1]
            if left == kept:
                yield axes


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"


# -- sums --------------------------------------------------------------------------------------------------------------


def _partly_added(evidence: Evidence) -> Iterator[Hypothesis]:
    here = evidence.checkpoint
    own = list(_variants(evidence, here))
    others = [
        key
        for key, pair in evidence.pairs.items()
        if key[:3] == here[:3] and key != here and not pair.agrees and pair.actual.shape == pair.expected.shape
    ]
    of_others = {key: list(_variants(evidence, key)) for key in others} if own else {}
    for variant in own:
        cause, look_at, rank = _MEANING[variant.kind]
        alone = rank + bool(others)
        yield Hypothesis(cause, {here: variant.value}, f"{here.label} {variant.says}", look_at, rank=alone)
        together = {here: variant.value}
        for key, candidates in of_others.items():
            like = next((v.value for v in candidates if _alike(v, variant) and _near(evidence.pairs[key], v)), None)
            if like is not None:
                together[key] = like
        if len(together) > 1:
            cause, look_at, rank = _MEANING.get(f"{variant.kind} term", (cause, look_at, rank))
            names = ", ".join(key.label for key in list(together)[:4]) + (", ..." if len(together) > 4 else "")
            yield Hypothesis(
                cause, together, f"each of {names} {variant.says}", look_at, rank=rank + (len(together) <= len(others))
            )


_ASSIGNED = "an assignment in a loop, where += belongs"
_MEANING = {
    "last": ("broadcasting not summed", "the sum over the axis over which the value was spread", 4),
    "first": ("broadcasting not summed", "the sum over the axis over which the value was spread", 4),
    "last term": ("overwritten instead of added", _ASSIGNED, 4),
    "first term": ("overwritten instead of added", "what is added to the first contribution", 4),
    "mean": ("mean instead of sum", "a mean over an axis that the formula sums over", 3),
    "sum": ("sum instead of mean", "a sum over an axis that the formula averages over", 3),
    "axis": ("wrong axis", "the axis of the sum", 3),
    "path": ("overwritten instead of added", "where several uses of one value meet: += belongs there", 6),
    "twice": ("doubled term", "where several uses of one value meet: each is added once", 6),
    "without": ("missing term", "where several uses of one value meet: each is added once", 6),
    "padding": ("padding index ignored", "the row of the padding index, which is to stay as it is", 2),
    "index": (
        "overwritten instead of added",
        "rows with the same index: np.add.at, not an indexed assignment or +=",
        3,
    ),
}


def _alike(one: _Variant, other: _Variant) -> bool:
    return one.kind.removesuffix(" term") == other.kind.removesuffix(" term")


def _near(pair: Pair, variant: _Variant) -> bool:
    gap = float(np.max(np.abs(pair.actual - pair.expected)))
    return bool(np.max(np.abs(pair.actual - variant.value)) <= 0.02 * gap)


def _variants(evidence: Evidence, key: Checkpoint) -> Iterator[_Variant]:
    """Every other way in which a gradient that is a sum could have been added up."""
    for base, part in parts(evidence, key):
        for maker in makers(evidence, key, part):
            for variant in _of_an_op(evidence, key, maker):
                yield variant._replace(value=base + variant.value)


def _of_an_op(evidence: Evidence, key: Checkpoint, maker: Maker) -> Iterator[_Variant]:
    name = maker.op.name.rstrip("_")
    if name in ("sum", "mean"):
        yield from _of_a_sum(maker, name)
    elif name in ("mm", "bmm", "addmm"):
        yield from _of_a_product(maker)
    elif name == "convolution_backward":
        yield from _of_a_convolution(maker)
    elif name == "add" and maker.op.backward:
        yield from _of_paths(evidence, key, maker)
    else:
        yield from _of_indices(maker, name)


def _of_a_sum(maker: Maker, name: str) -> Iterator[_Variant]:
    operand, out = as_array(maker.op.args[0]), maker.out
    assert operand is not None
    given = maker.op.args[1] if len(maker.op.args) > 1 else None
    axes = tuple(axis % operand.ndim for axis in given) if given else tuple(range(operand.ndim))
    count = operand.size / max(1, out.size)
    if count <= 1:
        return
    if name == "sum":
        yield _Variant("mean", maker.shaped(out / count), f"is the mean over {_axes(axes)}, not the sum")
    else:
        yield _Variant("sum", maker.shaped(out * count), f"is the sum over {_axes(axes)}, not the mean")
    for axis in axes:
        rest = tuple(other - (other > axis) for other in axes if other != axis)
        for place, which in ((-1, "last"), (0, "first")):
            value = np.take(operand, place, axis)
            value = getattr(value, name)(rest) if rest else value
            yield _Variant(
                which, maker.shaped(value), f"holds only the {which} entry along axis {axis} of what is summed"
            )
    for other in combinations(range(operand.ndim), len(axes)):
        value = getattr(operand, name)(other)
        if other != axes and value.size == out.size and value.shape == np.squeeze(out).shape:
            says = f"is summed over {_axes(other)}, not over {_axes(axes)}"
            yield _Variant("axis", maker.shaped(value), says)


def _of_a_product(maker: Maker) -> Iterator[_Variant]:
    """The contracted axis is usually the rows of the batch: a loop over them that assigns keeps the last."""
    left, right = (as_array(value) for value in maker.op.args[-2:])
    if left is None or right is None or left.shape[-1] < 2:
        return
    count = left.shape[-1]
    for place, which in ((count - 1, "last"), (0, "first")):
        value = left[..., place : place + 1] @ right[..., place : place + 1, :]
        yield _Variant(f"{which} term", maker.shaped(value), f"holds only the {which} of the {count} terms that add up")


def _of_a_convolution(maker: Maker) -> Iterator[_Variant]:
    gradient, images, *rest = maker.op.args
    count = gradient.shape[0]
    for place, which in ((count - 1, "last"), (0, "first")) if count > 1 else ():
        part = slice(place, place + 1)
        value = as_array(maker.op.function(gradient[part], images[part], *rest, **maker.op.kwargs)[maker.place])
        if value is not None and value.shape == maker.out.shape:  # the images' own gradient has a row for each
            yield _Variant(f"{which} term", maker.shaped(value), f"holds only the {which} of the {count} rows")
    incoming = as_array(gradient)
    if maker.place == 2 and incoming is not None:
        for axis in range(2, incoming.ndim):
            for place, which in ((-1, "last"), (0, "first")):
                value = np.moveaxis(np.take(incoming, place, axis), 1, 0).reshape(len(maker.out), -1).sum(1)
                says = f"holds only the {which} position along axis {axis} of what is summed"
                yield _Variant(which, maker.shaped(value), says)


def _of_paths(evidence: Evidence, key: Checkpoint, maker: Maker) -> Iterator[_Variant]:
    """Several uses of one value meet in a chain of additions; each contribution alone."""
    sums = {
        _digest(out): op
        for op in replayed(evidence, key.micro_batch).ops
        if op.backward and op.name in ("add", "add_") and _plain_sum(op)
        for out in op.outs
    }
    terms: list[np.ndarray] = []
    waiting: list[Op] = [maker.op]
    if not _plain_sum(maker.op):
        return
    while waiting and len(terms) <= _PATHS:
        op = waiting.pop()
        for operand in op.args[:2]:
            inner = sums.pop(_digest(operand), None)
            value = as_array(operand)
            if inner is not None and inner is not op:
                waiting.append(inner)
            elif value is not None:
                terms.append(value)
    for value in terms:
        yield _Variant("path", maker.shaped(value), f"holds only one of the {len(terms)} contributions that meet in it")
        twice = maker.shaped(maker.out + value)
        yield _Variant("twice", twice, f"holds one of the {len(terms)} contributions that meet in it twice")
        if len(terms) > 2:
            without = maker.shaped(maker.out - value)
            yield _Variant("without", without, f"lacks one of the {len(terms)} contributions that meet in it")


def _plain_sum(op: Op) -> bool:
    shapes = [getattr(operand, "shape", None) for operand in op.args[:2]]
    return len(shapes) == 2 and shapes[0] == shapes[1] is not None and op.kwargs.get("alpha", 1) == 1


def _digest(tensor: Any) -> bytes:
    value = as_array(tensor)
    return b"" if value is None else np.ascontiguousarray(value).tobytes()


def _of_indices(maker: Maker, name: str) -> Iterator[_Variant]:
    """Rows that are added where an index repeats: an assignment, and NumPy's indexed ``+=``, keep the last of them."""
    if name == "embedding_dense_backward" and maker.op.args[3] >= 0:
        op, padding = maker.op, maker.op.args[3]
        counted = as_array(op.function(*op.args[:3], -1, *op.args[4:], **op.kwargs))
        if counted is not None:
            yield _Variant("padding", maker.shaped(counted), f"has a gradient for the padding index {padding} too")
    found = _added_rows(maker.op, name)
    if found is None:
        return
    start, indices, rows = found
    indices, rows = indices.reshape(-1), rows.reshape(indices.size, -1)
    last = start.reshape(len(start), -1).copy()
    for index, row in zip(indices, rows, strict=True):
        last[index] = start.reshape(len(start), -1)[index] + row
    says = "holds only the last of the rows that share an index"
    yield _Variant("index", maker.shaped(last.reshape(start.shape)), says)


def _added_rows(op: Op, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """What is added to, the index of each row that is added, the rows."""
    if name == "embedding_dense_backward":
        rows, indices, number, padding = op.args[:4]
        value, places = as_array(rows), indices.numpy()
        assert value is not None
        kept = places.reshape(-1) != padding
        value = value.reshape(places.size, -1)[kept]
        return np.zeros((number, value.shape[1]), value.dtype), places.reshape(-1)[kept], value
    if name in ("index_put", "_index_put_impl") and len(op.args) > 3 and op.args[3] and len(op.args[1]) == 1:
        start, (indices,), rows = op.args[:3]
    elif name == "index_add" and op.args[1] == 0:
        start, _, indices, rows = op.args[:4]
    else:
        return None
    begin, value = as_array(start), as_array(rows)
    if begin is None or value is None or indices.is_floating_point() or value.size % max(1, indices.numel()):
        return None
    return begin, indices.numpy(), value
