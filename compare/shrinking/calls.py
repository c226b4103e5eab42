"""Shrinking a report of a user's own code: fewer and simpler numbers in the arguments of the call that made it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.batches import InputError
from compare.shrinking.minimal import Minimal
from compare.shrinking.search import Search, sizes_below
from compare.shrinking.signature import signature_of

if TYPE_CHECKING:
    from compare.report.report import Report

__all__ = ["shrink_report"]

Array = np.ndarray
Arguments = Mapping[str, Any]


def shrink_report(
    report: Report, *, seconds: float = 60.0, on_try: Callable[[int, bool], None] | None = None
) -> Minimal:
    """Make the case of a report small while it fails in the same way.

    Parameters
    ----------
    report : Report
        Of ``compare.gradients``, ``module``, ``optimizer`` or ``training``, and diverged.
    seconds : float
        Begin no attempt after so long.
    on_try : callable, optional
        Told of each attempt: how many there have been, and whether it was kept.

    Returns
    -------
    Minimal
        The minimal report, what was reduced, and ``write(path)`` for the stand-alone pytest file.

    Raises
    ------
    InputError
        If the report is not of a divergence, or cannot be made again.

    Examples
    --------
    >>> import compare, numpy as np
    >>> def wrong(x, w):
    ...     return float((x @ w).sum()), {"w": -x.sum(0)}
    >>> inputs = {"x": np.arange(40.0).reshape(8, 5), "w": np.ones(5)}
    >>> report = compare.gradients(wrong, lambda x, w: (x @ w).sum(), inputs, wrt=["w"])
    >>> shrink_report(report).after
    {'rows': 1, 'widest': 2, 'numbers': 4}
    """
    start = time.monotonic()
    call = report.call
    signature = signature_of(report.verdict)
    if signature is None:
        why = f" ({report.reason})" if report.reason else ""
        raise InputError(f"{report.title}: it is {report.outcome}{why}; only what diverges can be made small")
    if call is None or call.kind not in _PASSES:
        known = ", ".join(f"compare.{kind}" for kind in _PASSES)
        raise InputError(f"{report.title}: it is no report of {known}, so it cannot be made again smaller")
    call.repeat()  # says why if it cannot be repeated

    reports: dict[Any, Report] = {}

    def keeps(arguments: Arguments) -> bool:
        try:
            found = call.repeat(**_changed(call.arguments, arguments))
        except Exception:  # an attempt that cannot be made is none
            return False
        if signature_of(found.verdict) != signature:
            return False
        reports[_frozen(arguments)] = found
        return True

    search = Search(keeps, _frozen, seconds - (time.monotonic() - start), on_try)
    given = dict(call.arguments)
    smallest = search.smallest(given, _PASSES[call.kind])
    notes: tuple[str, ...] = ()
    if call.kind == "training":
        notes = ("the model and the optimizer stay as they are: only batches, rows and micro-batches were reduced",)

    def text() -> str:
        from compare.shrinking.writing import test_of_call

        return test_of_call(call.kind, smallest, signature)

    return Minimal(
        reports.get(_frozen(smallest), report),
        signature,
        _described(call.kind, given),
        _described(call.kind, smallest),
        search.tried,
        time.monotonic() - start,
        search.out_of_time,
        notes,
        text,
    )


def _changed(before: Arguments, after: Arguments) -> dict[str, Any]:
    return {name: value for name, value in after.items() if before.get(name) is not value}


def _frozen(value: Any) -> Any:
    if isinstance(value, Array):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, Mapping):
        return tuple((name, _frozen(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    return value if value is None or isinstance(value, (bool, int, float, str)) else id(value)


# -- arrays that belong together ---------------------------------------------------------------------------------------


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Every leaf of dicts, lists and tuples changed."""
    if isinstance(value, Mapping):
        return {name: _mapped(item, change) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(item, change) for item in value)
    return change(value)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _arrays(value: Any) -> list[Array]:
    return [leaf for leaf in _leaves(value) if isinstance(leaf, Array)]


def _resized(value: Any, sizes: Mapping[int, int]) -> Any:
    """Every axis of these sizes cut to others; numbers that count or index such an axis follow."""

    def change(leaf: Any) -> Any:
        if type(leaf) is int and leaf in sizes:
            return sizes[leaf]
        if not isinstance(leaf, Array):
            return leaf
        cut = leaf[tuple(slice(sizes.get(size, size)) for size in leaf.shape)]
        if leaf.dtype.kind in "iu" and leaf.size:
            above = min((size for size in sizes if size > int(leaf.max())), default=0)
            if above and sizes[above] <= int(leaf.max()):
                cut = cut % sizes[above]  # indices into an axis that became shorter
        return np.array(cut, order="C")

    return _mapped(value, change)


def _smaller_arrays(value: Any) -> Iterator[Any]:
    """All long axes at once, then those of one size, then one axis of one array."""
    sizes = sorted({size for array in _arrays(value) for size in array.shape if size > 1}, reverse=True)
    for width in (1, 2, 3, 4):
        yield _resized(value, {size: width for size in sizes if size > width})
    for width in (1, 2, 3):  # sizes that differ stay different
        yield _resized(value, {size: min(size, width + place) for place, size in enumerate(reversed(sizes))})
    for size in sizes:
        for smaller in sizes_below(size):
            yield _resized(value, {size: smaller})
    for index, array in enumerate(_arrays(value)):
        for axis, size in enumerate(array.shape):
            for smaller in sizes_below(size):
                yield _one_cut(value, index, axis, smaller)


def _one_cut(value: Any, index: int, axis: int, size: int) -> Any:
    places = iter(range(len(_arrays(value))))

    def change(leaf: Any) -> Any:
        if isinstance(leaf, Array) and next(places) == index:
            return np.take(leaf, range(size), axis=axis)
        return leaf

    return _mapped(value, change)


def _rounder_arrays(value: Any) -> Iterator[Any]:
    for digits in (0, 1, 2):

        def rounded(leaf: Any, digits: int = digits) -> Any:
            floating = isinstance(leaf, Array) and leaf.dtype.kind == "f"
            return np.asarray(np.round(leaf, digits) + 0.0) if floating else leaf

        yield _mapped(value, rounded)


def _with(name: str, pass_: Callable[[Any], Iterator[Any]]) -> Callable[[Arguments], Iterator[Arguments]]:
    """A pass over one argument."""

    def over(arguments: Arguments) -> Iterator[Arguments]:
        for value in pass_(arguments[name]):
            yield {**arguments, name: value}

    return over


# -- compare.module ----------------------------------------------------------------------------------------------------


def _smaller_module(arguments: Arguments) -> Iterator[Arguments]:
    """A narrower layer, fitted to narrower inputs, where the constructor of PyTorch's layer says how."""
    from compare.shrinking.setup import UnreadableError, layer_of, refitted_layer

    try:
        layer = layer_of(arguments["torch_module"])
    except UnreadableError:
        return
    inputs = arguments["inputs"]
    if len(inputs) != 1 or not isinstance(inputs[0], Array) or not layer.values:
        return
    (x,) = inputs
    outs = [name for name in ("out_features", "out_channels") if name in layer.made.options]
    for axis in range(1, x.ndim):
        for width in sizes_below(x.shape[axis]):
            cut = np.take(x, range(width), axis=axis)
            if (module := refitted_layer(layer, cut, {})) is not None:
                yield {**arguments, "inputs": (cut,), "torch_module": module}
    for name in outs:
        for width in sizes_below(layer.made.options[name]):
            if (module := refitted_layer(layer, x, {name: width})) is not None:
                yield {**arguments, "torch_module": module}


# -- compare.optimizer -------------------------------------------------------------------------------------------------


def _less_of_an_optimizer(arguments: Arguments) -> Iterator[Arguments]:
    """Fewer steps and parameters, smaller ones, options left out, a constant rate."""
    for steps in sizes_below(arguments["steps"]):
        yield {**arguments, "steps": steps}
    shapes = arguments["shapes"]
    if len(shapes) > 1:
        for name, shape in sorted(shapes.items(), key=lambda item: int(np.prod(item[1]))):
            yield {**arguments, "shapes": {name: shape}}
    for name, shape in shapes.items():
        for axis, size in enumerate(shape):
            for smaller in sizes_below(size):
                yield {**arguments, "shapes": {**shapes, name: (*shape[:axis], smaller, *shape[axis + 1 :])}}
    options = arguments.get("options") or {}
    for option in options:
        yield {**arguments, "options": {name: value for name, value in options.items() if name != option}}
    if arguments.get("rate_factor", 1) != 1:
        yield {**arguments, "rate_factor": 1.0}


# -- compare.training --------------------------------------------------------------------------------------------------


def _fewer_batches(arguments: Arguments) -> Iterator[Arguments]:
    batches = arguments["batches"]
    for count in sizes_below(len(batches)):
        yield {**arguments, "batches": batches[:count]}
    if len(batches) > 1:
        yield {**arguments, "batches": batches[1:]}


def _fewer_rows(arguments: Arguments) -> Iterator[Arguments]:
    """The first rows of each batch, with fewer micro-batches or with rows for each of them."""
    batches, parts = arguments["batches"], arguments["micro_batches"]
    rows = min(len(y) for _, y in batches)
    whole = isinstance(parts, (int, np.integer))
    many = int(parts) if whole else len(parts)
    for fewer in sizes_below(many):
        yield {**arguments, "micro_batches": fewer if whole else _sizes(rows, fewer)}
    for least in (1, 2, 3, 4, (rows + 1) // 2, rows - 1):
        if many <= least < max(len(y) for _, y in batches):
            cut = _mapped(batches, itemgetter(slice(least)))
            yield {**arguments, "batches": cut, "micro_batches": int(parts) if whole else _sizes(least, many)}


def _sizes(rows: int, many: int) -> list[int]:
    from compare.batches import sizes_of

    return sizes_of(rows, many)


def _walked_free(arguments: Arguments) -> Iterator[Arguments]:
    if arguments.get("sync", "free") != "free":
        yield {**arguments, "sync": "free"}


_PASSES: Mapping[str, Sequence[Callable[[Arguments], Iterator[Arguments]]]] = {
    "gradients": (_with("inputs", _smaller_arrays), _with("inputs", _rounder_arrays)),
    "module": (_with("inputs", _smaller_arrays), _smaller_module, _with("inputs", _rounder_arrays)),
    "optimizer": (_less_of_an_optimizer,),
    "training": (_fewer_batches, _fewer_rows, _walked_free, _with("batches", _rounder_arrays)),
}


def _described(kind: str, arguments: Arguments) -> dict[str, Any]:
    """The sizes by readable names."""
    if kind == "optimizer":
        shapes = arguments["shapes"]
        return {
            "steps": arguments["steps"],
            "parameters": len(shapes),
            "widest": max((size for shape in shapes.values() for size in shape), default=1),
            "elements": sum(int(np.prod(shape)) for shape in shapes.values()),
            "options": len(arguments.get("options") or {}),
        }
    if kind == "training":
        batches, parts = arguments["batches"], arguments["micro_batches"]
        return {
            "batches": len(batches),
            "rows": max(len(y) for _, y in batches),
            "micro-batches": int(parts) if isinstance(parts, (int, np.integer)) else len(parts),
        }
    arrays = _arrays(arguments["inputs"])
    held = list(getattr(arguments.get("torch_module"), "parameters", tuple)())
    shapes_of = [tuple(array.shape) for array in arrays]
    widths = [size for shape in [*(s[1:] for s in shapes_of), *(tuple(p.shape) for p in held)] for size in shape]
    widths += [shape[0] for shape in shapes_of if len(shape) == 1]
    matrices = [shape[0] for shape in shapes_of if len(shape) > 1] or [shape[0] for shape in shapes_of if shape]
    return {
        "rows": max(matrices, default=1),
        "widest": max(widths, default=1),
        "numbers": sum(array.size for array in arrays) + sum(parameter.numel() for parameter in held),
    }
