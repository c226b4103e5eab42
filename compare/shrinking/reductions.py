"""Simpler setups than a given one, the boldest first. Each is nearer to the simplest, so that shrinking ends."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
import torch

from compare.shrinking.search import sizes_below
from compare.shrinking.setup import Batch, Layer, Made, Setup, in_torch, with_layers

__all__ = ["PASSES", "described", "key_of"]

Array = np.ndarray
_WIDE = ("out_features", "out_channels", "embedding_dim")
"""Options that say how wide a layer's output is."""


def _fewer_steps(setup: Setup) -> Iterator[Setup]:
    for count in sizes_below(len(setup.steps)):
        yield replace(setup, steps=setup.steps[:count])
    if any(step is not setup.steps[0] for step in setup.steps):
        yield replace(setup, steps=setup.steps[:1] * len(setup.steps))


def _fewer_micro_batches(setup: Setup) -> Iterator[Setup]:
    many = max(map(len, setup.steps))
    if many < 2:
        return
    for kept in (slice(0, 1), slice(-1, None), slice(0, many // 2), slice(0, many - 1), slice(1, None)):
        steps = _each_step(setup, itemgetter(kept))
        if all(steps):
            yield replace(setup, steps=steps)


def _fewer_rows(setup: Setup) -> Iterator[Setup]:
    """The first rows of each micro-batch; of all at once, with one more in the first, or of one of them."""
    sizes = [len(batch.y) for batch in setup.steps[0]]
    if len({tuple(len(batch.y) for batch in step) for step in setup.steps}) > 1:
        return
    targets: list[list[int]] = []
    for least in (1, 2, 3):
        even = [min(size, least) for size in sizes]
        targets.append(even)
        if len(sizes) > 1:
            targets.append([min(sizes[0], least + 1), *even[1:]])
    targets.append([(size + 1) // 2 for size in sizes])
    targets += [[*sizes[:i], size - 1, *sizes[i + 1 :]] for i, size in enumerate(sizes) if size > 1]
    for wanted in targets:
        if sum(wanted) < sum(sizes):

            def cut(step: tuple[Batch, ...], wanted: list[int] = wanted) -> tuple[Batch, ...]:
                return tuple(Batch(b.x[:n], b.y[:n]) for b, n in zip(step, wanted, strict=True))

            yield replace(setup, steps=_each_step(setup, cut))


def _other_rows(setup: Setup) -> Iterator[Setup]:
    """All but the first row of a micro-batch: what shows may be in another one."""
    for index, batch in enumerate(setup.steps[0]):
        if len(batch.y) > 1 and all(len(step) > index and len(step[index].y) > 1 for step in setup.steps):

            def cut(step: tuple[Batch, ...], index: int = index) -> tuple[Batch, ...]:
                return tuple(Batch(b.x[1:], b.y[1:]) if i == index else b for i, b in enumerate(step))

            yield replace(setup, steps=_each_step(setup, cut))


def _each_step(setup: Setup, change: Callable[[tuple[Batch, ...]], tuple[Batch, ...]]) -> tuple[tuple[Batch, ...], ...]:
    """Every step changed; steps that are one object stay one."""
    found: dict[int, tuple[Batch, ...]] = {}
    for step in setup.steps:
        if id(step) not in found:
            found[id(step)] = change(step)
    return tuple(found[id(step)] for step in setup.steps)


# -- the model ---------------------------------------------------------------------------------------------------------


def _fewer_layers(setup: Setup) -> Iterator[Setup]:
    layers = setup.layers
    many = len(layers)
    for length in sorted({many - 1, many // 2, 2, 1} & set(range(1, many)), reverse=True):
        for start in range(many - length + 1):
            left_out = layers[:start] + layers[start + length :]
            if left_out and (found := _refitted(setup, left_out)) is not None:
                yield found


def _narrower(setup: Setup) -> Iterator[Setup]:
    """Fewer inputs, narrower layers, fewer outputs: all at once first."""
    if setup.classic:
        yield from _narrower_course_model(setup)
        return
    for width in (2, 3, 4):
        narrow: Setup | None = setup
        for axis, size in enumerate(setup.steps[0][0].x.shape[1:], 1):
            if narrow is not None and size > width:
                narrow = _with_inputs(narrow, axis, width)
        for index in range(len(setup.layers)):
            option = _width_option(setup.layers[index])
            if narrow is not None and option and setup.layers[index].made.options[option] > width:
                narrow = _with_width(narrow, index, width)
        if narrow is not None and narrow is not setup:
            yield narrow
    for axis, size in enumerate(setup.steps[0][0].x.shape[1:], 1):
        for smaller in sizes_below(size):
            if (found := _with_inputs(setup, axis, smaller)) is not None:
                yield found
    for index, layer in enumerate(setup.layers):
        option = _width_option(layer)
        for smaller in sizes_below(layer.made.options[option]) if option else ():
            if (found := _with_width(setup, index, smaller)) is not None:
                yield found


def _width_option(layer: Layer) -> str | None:
    return next((option for option in _WIDE if option in layer.made.options), None)


def _with_option(layer: Layer, option: str, value: Any) -> Layer:
    return replace(layer, made=Made(layer.made.name, {**layer.made.options, option: value}))


def _with_inputs(setup: Setup, axis: int, size: int) -> Setup | None:
    steps = _each_batch(setup, lambda b: Batch(np.take(b.x, range(size), axis=axis), b.y))
    return _refitted(replace(setup, steps=steps), setup.layers)


def _with_width(setup: Setup, index: int, size: int) -> Setup | None:
    option = _width_option(setup.layers[index])
    assert option is not None
    layers = (*setup.layers[:index], _with_option(setup.layers[index], option, size), *setup.layers[index + 1 :])
    return _refitted(setup, layers)


def _refitted(setup: Setup, layers: tuple[Layer, ...]) -> Setup | None:
    """The setup with these layers, and the targets fitted to what now comes out."""
    fitted = with_layers(setup, layers)
    if fitted is None or not any(layer.values for layer in fitted.layers):
        return None
    shape = _output_shape(fitted)
    return None if shape is None else _with_targets(fitted, shape)


def _output_shape(setup: Setup) -> tuple[int, ...] | None:
    """The shape of a row that comes out of the network."""
    try:
        module = torch.nn.Sequential(*(in_torch(layer.made) for layer in setup.layers)).eval()
        x = torch.from_numpy(np.concatenate([setup.steps[0][0].x[:1]] * 2))
        with torch.no_grad():
            return tuple(module(x.float() if x.is_floating_point() else x).shape[1:])
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None


def _with_targets(setup: Setup, shape: tuple[int, ...]) -> Setup | None:
    """Classes beyond the last are counted on from the first; other targets keep what is left of them."""
    y = setup.steps[0][0].y
    if y.dtype.kind in "iu":
        if not shape or y.ndim != len(shape):
            return None
        classes = shape[0]
        ignored = (setup.loss.options if setup.loss else {}).get("ignore_index", -100)

        def change(batch: Batch) -> Batch:
            return Batch(batch.x, np.where(batch.y == ignored, batch.y, batch.y % classes))
    else:
        if y.ndim != len(shape) + 1:
            return None
        if any(size > given for size, given in zip(shape, y.shape[1:], strict=True)):
            return None

        def change(batch: Batch) -> Batch:
            return Batch(batch.x, batch.y[(slice(None), *(slice(size) for size in shape))])

    if y.dtype.kind in "iu" and all(int(b.y.max(initial=0)) < shape[0] for step in setup.steps for b in step):
        return setup
    if y.dtype.kind not in "iu" and y.shape[1:] == shape:
        return setup
    return replace(setup, steps=_each_batch(setup, change), loss=_narrow_loss(setup.loss, shape[0] if shape else 0))


def _narrow_loss(loss: Made | None, classes: int) -> Made | None:
    """The loss with the weights of the classes that are left."""
    if loss is None or not isinstance(loss.options.get("weight"), Array):
        return loss
    return Made(loss.name, {**loss.options, "weight": loss.options["weight"][:classes]})


def _each_batch(setup: Setup, change: Callable[[Batch], Batch]) -> tuple[tuple[Batch, ...], ...]:
    return _each_step(setup, lambda step: tuple(change(batch) for batch in step))


_SIZES_OF_COURSE_MODELS = ("features", "hidden", "classes", "outputs")


def _narrower_course_model(setup: Setup) -> Iterator[Setup]:
    (layer,) = setup.layers
    sizes = [name for name in _SIZES_OF_COURSE_MODELS if name in layer.made.options]
    for width in (1, 2, 3, 4):
        narrow = setup
        for name in sizes:
            if layer.made.options[name] > width:
                narrow = _course_model_with(narrow, name, max(width, 2) if name == "classes" else width)
        if narrow is not setup:
            yield narrow
    for name in sizes:
        for smaller in sizes_below(layer.made.options[name], 2 if name == "classes" else 1):
            yield _course_model_with(setup, name, smaller)


def _course_model_with(setup: Setup, name: str, size: int) -> Setup:
    (layer,) = setup.layers
    old = layer.made.options[name]
    axes = {  # which axes of which parameters have this size
        "features": {"linear.weight": (1,), "hidden.weight": (1,)},
        "hidden": {"hidden.weight": (0,), "hidden.bias": (0,), "output.weight": (1,)},
        "classes": {"linear.weight": (0,), "linear.bias": (0,)},
        "outputs": {"output.weight": (0,), "output.bias": (0,)},
    }[name]
    values = dict(layer.values)
    for parameter, places in axes.items():
        for axis in places if parameter in values else ():
            values[parameter] = np.take(values[parameter], range(size), axis=axis)
    steps = setup.steps
    if name == "features":
        steps = _each_batch(setup, lambda b: Batch(b.x[:, :size], b.y))
    elif name in ("classes", "outputs"):
        y = setup.steps[0][0].y
        if y.dtype.kind in "iu":
            steps = _each_batch(setup, lambda b: Batch(b.x, b.y % size))
        elif y.ndim == 2 and y.shape[1] == old:
            steps = _each_batch(setup, lambda b: Batch(b.x, b.y[:, :size]))
    return replace(setup, layers=(replace(_with_option(layer, name, size), values=values),), steps=steps)


# -- options -----------------------------------------------------------------------------------------------------------


def _fewer_options(setup: Setup) -> Iterator[Setup]:
    """Without schedule, clip, groups; with optimizer, loss and layers at their defaults."""
    if setup.schedule is not None:
        yield replace(setup, schedule=None)
    if setup.max_norm is not None:
        yield replace(setup, max_norm=None)
    if setup.vectors is not None:
        yield replace(setup, vectors=None, kind="Recipe")
    if setup.sync != "free":
        yield replace(setup, sync="free")
    if setup.optimizer != Made("SGD", {"lr": 0.1}):
        yield replace(setup, optimizer=Made("SGD", {"lr": 0.1}))
    for optimizer in _with_less(setup.optimizer):
        yield replace(setup, optimizer=optimizer)
    if setup.schedule is not None:
        for schedule in _with_less(setup.schedule):
            yield replace(setup, schedule=schedule)
    if setup.loss is not None:
        for loss in _with_less(setup.loss):
            yield replace(setup, loss=loss)
    for index, layer in enumerate(setup.layers):
        for made in _with_less(layer.made):
            layers = (*setup.layers[:index], replace(layer, made=made), *setup.layers[index + 1 :])
            found = _refitted(setup, layers) if not setup.classic else replace(setup, layers=layers)
            if found is not None:
                yield found
        if not setup.classic and "bias" in layer.values and "bias" not in layer.made.options:
            found = _refitted(
                setup, (*setup.layers[:index], _with_option(layer, "bias", False), *setup.layers[index + 1 :])
            )
            if found is not None:
                yield found


_NEEDED = frozenset({"lr", "rows", *_WIDE, *_SIZES_OF_COURSE_MODELS, "bias"})


def _with_less(made: Made) -> Iterator[Made]:
    """With one option left out that has a default; the arguments that have none raise, and are no attempts."""
    for name in made.options:
        if name not in _NEEDED and not _required(made.name, name):
            yield Made(made.name, {key: value for key, value in made.options.items() if key != name})


def _required(kind: str, option: str) -> bool:
    for home in (torch.nn, torch.optim, torch.optim.lr_scheduler):
        found = getattr(home, kind, None)
        if found is not None:
            parameter = inspect.signature(found).parameters.get(option)
            return parameter is not None and parameter.default is parameter.empty
    return False


# -- numbers -----------------------------------------------------------------------------------------------------------


def _rounder(setup: Setup) -> Iterator[Setup]:
    """Inputs, targets and initial values of fewer digits, which are easier to read."""
    for digits in (1, 2):
        inputs = _each_batch(setup, partial(_rounded_batch, digits=digits, y=False))
        targets = _each_batch(setup, partial(_rounded_batch, digits=digits, x=False))
        layers = tuple(
            replace(layer, values={n: _rounded(v, digits) for n, v in layer.values.items()}) for layer in setup.layers
        )
        yield replace(setup, steps=_each_batch(setup, partial(_rounded_batch, digits=digits)), layers=layers)
        yield replace(setup, steps=inputs)
        yield replace(setup, steps=targets)
        yield replace(setup, layers=layers)


def _rounded_batch(batch: Batch, *, digits: int, x: bool = True, y: bool = True) -> Batch:
    return Batch(_rounded(batch.x, digits) if x else batch.x, _rounded(batch.y, digits) if y else batch.y)


def _rounded(value: Array, digits: int) -> Array:
    if value.dtype.kind != "f" or np.array_equal(np.round(value, digits), value, equal_nan=True):
        return value
    return np.asarray(np.round(value, digits) + 0.0)


PASSES = (
    *(_fewer_steps, _fewer_micro_batches, _fewer_rows, _fewer_layers, _narrower),
    *(_fewer_options, _other_rows, _rounder),
)
"""In the order in which they help most."""


# -- what a setup is ---------------------------------------------------------------------------------------------------


def key_of(setup: Setup) -> Any:
    """What makes two setups the same: all that they hold."""
    distinct = {id(step): step for step in setup.distinct}
    return (
        tuple((layer.made.name, _frozen(layer.made.options), _frozen(layer.values)) for layer in setup.layers),
        None if setup.loss is None else (setup.loss.name, _frozen(setup.loss.options)),
        (setup.optimizer.name, _frozen(setup.optimizer.options)),
        None if setup.schedule is None else (setup.schedule.name, _frozen(setup.schedule.options)),
        (setup.max_norm, _frozen(setup.vectors), setup.kind, setup.dtype, setup.sync),
        tuple(list(distinct).index(id(step)) for step in setup.steps),
        tuple(tuple(_frozen(array) for batch in step for array in batch) for step in distinct.values()),
    )


def _frozen(value: Any) -> Any:
    if isinstance(value, Array):
        return value.shape, value.dtype.str, value.tobytes()
    if hasattr(value, "items"):
        return tuple((name, _frozen(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    return value if value is None or isinstance(value, (bool, int, float, str)) else id(value)


def described(setup: Setup) -> dict[str, Any]:
    """The sizes of a setup by readable names, the same ones for every setup."""
    widths = [size for step in setup.steps[:1] for size in step[0].x.shape[1:]]
    for layer in setup.layers:
        names = (*_WIDE, *_SIZES_OF_COURSE_MODELS)
        widths += [size for name, size in layer.made.options.items() if name in names]
    options = [setup.optimizer, *([setup.schedule] if setup.schedule else []), *([setup.loss] if setup.loss else [])]
    return {
        "steps": len(setup.steps),
        "micro-batches": max(map(len, setup.steps)),
        "rows": max(sum(len(batch.y) for batch in step) for step in setup.steps),
        "layers": len(setup.layers),
        "widest": max(widths, default=1),
        "parameters": sum(value.size for layer in setup.layers for value in layer.values.values()),
        "options": sum(len(made.options) for made in options)
        + (setup.max_norm is not None)
        + (setup.schedule is not None),
    }
