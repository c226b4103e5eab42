"""A built-in experiment read as plain data, so that it can be made smaller and written down.

What is read is a chain of ``torch.nn`` layers, or a course model, with its loss, its recipe and its batches. Nothing is
taken on trust: a network counts as a chain only if the chain that was read computes the same output, bit by bit.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import manual.nn
from compare.batches import MicroBatch, cut
from compare.experiments.pairs import Recipe, Reference

__all__ = [
    "Batch",
    "Layer",
    "Made",
    "Setup",
    "UnreadableError",
    "counted",
    "in_torch",
    "joined",
    "layer_of",
    "read",
    "read_made",
    "read_side",
    "recipe_of",
    "refitted_layer",
    "with_layers",
]

Array = np.ndarray
_MISSING = object()
_COUNTING = ("CrossEntropyLoss", "NLLLoss")


class UnreadableError(Exception):
    """The experiment is made of something that cannot be read as plain data; the message says of what."""


class Batch(NamedTuple):
    """The inputs and targets of one micro-batch; rows are axis 0."""

    x: Array
    y: Array


@dataclass(frozen=True)
class Made:
    """A class by name, and the options that it is made with."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """A module of ``torch.nn`` and ``manual.nn``, or a course model, and the values that it starts from.

    Attributes
    ----------
    made : class and options; sizes among them
    values : what ``state_dict`` holds, by the names of the module itself
    evaluating : whether it is kept in evaluation mode
    """

    made: Made
    values: Mapping[str, Array] = field(default_factory=dict)
    evaluating: bool = False


@dataclass(frozen=True)
class Setup:
    """What both sides are made of, and the steps that they walk.

    Attributes
    ----------
    layers : the chain, or one course model
    loss : ``None`` for a course model, which has its own
    optimizer, schedule, max_norm : as of a ``Recipe``
    vectors : options of a group of its own for what is no matrix, or ``None``
    kind : the class of the recipe
    steps : the micro-batches of every step
    dtype, sync : as in lockstep
    """

    layers: tuple[Layer, ...]
    loss: Made | None
    optimizer: Made
    schedule: Made | None
    max_norm: float | None
    steps: tuple[tuple[Batch, ...], ...]
    vectors: Mapping[str, Any] | None = None
    kind: str = "Recipe"
    dtype: str = "float64"
    sync: str = "free"

    @property
    def classic(self) -> bool:
        """Whether this is a course model."""
        return self.loss is None

    @property
    def initial(self) -> dict[str, Array]:
        """The values that the model starts from, by the names of the whole model."""
        if self.classic:
            return dict(self.layers[0].values)
        return {f"{i}.{name}": v for i, layer in enumerate(self.layers) for name, v in layer.values.items()}

    @property
    def weighed(self) -> list[list[MicroBatch]]:
        """The steps as lockstep takes them, each micro-batch with its share of the loss's denominator."""
        weigh = counted(self.loss) or len
        cuts = {id(step): cut(*joined(step), [len(batch.y) for batch in step], weigh) for step in self.distinct}
        return [cuts[id(step)] for step in self.steps]

    @property
    def distinct(self) -> list[tuple[Batch, ...]]:
        """Every step once; steps that are one object have the same rows."""
        return list({id(step): step for step in self.steps}.values())


def joined(step: Sequence[Batch]) -> Batch:
    """The rows of all micro-batches of a step."""
    return Batch(np.concatenate([batch.x for batch in step]), np.concatenate([batch.y for batch in step]))


def counted(loss: Made | None) -> Callable[[Array], float] | None:
    """What a loss divides by where that is not the number of rows: rows that count, or the weights of their classes."""
    if loss is None or loss.name not in _COUNTING or not {"weight", "ignore_index"} & set(loss.options):
        return None
    ignored, weight = loss.options.get("ignore_index", -100), loss.options.get("weight")

    def of(y: Array) -> float:
        kept = y[y != ignored]
        return float(kept.size if weight is None else np.asarray(weight)[kept].sum())

    return of


# -- reading -----------------------------------------------------------------------------------------------------------


def read(expected: Callable[[], Any], steps: Sequence[Sequence[MicroBatch]], sync: str = "free") -> Setup:
    """Read what a scenario is made of.

    Parameters
    ----------
    expected : the factory of its reference
    steps, sync : as lockstep takes them

    Raises
    ------
    UnreadableError
        If it is no chain of layers that both wings have and no course model, or the loss or the weights of the
        micro-batches are of a kind of their own.
    """
    if not isinstance(expected, Reference):
        raise UnreadableError("its sides are made by code of their own")
    shared = {id(step): tuple(Batch(x, y) for (x, y), _ in step) for step in steps}
    setup = read_side(
        expected(), [shared[id(step)] for step in steps], sync, recipe=expected.recipe, model=expected.model
    )
    weights = [weight for step in steps for _, weight in step]
    if not np.allclose([weight for step in setup.weighed for _, weight in step], weights):
        raise UnreadableError("its micro-batches are weighed by code of its own")
    return setup


def read_side(
    side: Any,
    steps: Sequence[tuple[Batch, ...]],
    sync: str = "free",
    *,
    recipe: Recipe | None = None,
    model: Callable[[], Any] | None = None,
) -> Setup:
    """Read a fresh side of PyTorch.

    Parameters
    ----------
    side : torch_ref.training.Side
    steps : the micro-batches of every step
    sync : as lockstep takes it
    recipe : optimizer, schedule and clip; by default they are read from the side, too
    model : makes the manual wing's twin of a course model

    Raises
    ------
    UnreadableError
        As :func:`read`.
    """
    x = steps[0][0].x
    if not isinstance(x, np.ndarray) or not isinstance(steps[0][0].y, np.ndarray):
        raise UnreadableError("its model takes several inputs")
    recipe = recipe or recipe_of(side)
    name, options = recipe.optimizer
    classic = not isinstance(getattr(side, "loss", None), nn.Module)
    if classic and model is None:
        raise UnreadableError("its loss is no module of torch.nn")
    layers: tuple[Layer, ...] = (_course_model(model, side),) if classic else _chain(side, x)
    kind = type(recipe).__name__
    nested = recipe.schedule is not None and "schedulers" in recipe.schedule[1]
    return Setup(
        layers,
        None if classic else _loss(side),
        Made(name, dict(options)),
        None if recipe.schedule is None else Made(recipe.schedule[0], dict(recipe.schedule[1])),
        recipe.max_norm,
        tuple(steps),
        vectors=getattr(recipe, "vectors", None),
        kind="Recipe" if kind == "Composed" and not nested else kind,
        dtype=str(next(iter(side.parameters.values())).dtype),
        sync=sync,
    )


def recipe_of(side: Any) -> Recipe:
    """Optimizer, schedule and clip of a fresh side, read from the objects.

    Raises
    ------
    UnreadableError
        If there are several groups, a penalty, or anything that does not say what it was made with.
    """
    if getattr(side, "penalty", None) is not None:
        raise UnreadableError("its penalty is code of its own")
    optimizer, scheduler, clip = side.optimizer, side.scheduler, side.clip
    if len(optimizer.param_groups) > 1 or getattr(torch.optim, type(optimizer).__name__, None) is not type(optimizer):
        raise UnreadableError("its optimizer has several groups, or is none of torch.optim")
    group = optimizer.param_groups[0]
    known = inspect.signature(type(optimizer)).parameters
    options = {key: group[key] for key in known if key in group and key != "params"}
    options = {key: value for key, value in options.items() if not _equal(value, known[key].default)}
    options["lr"] = group.get("initial_lr", group["lr"])
    schedule = None
    if scheduler is not None:
        found = {}
        for key, parameter in inspect.signature(type(scheduler)).parameters.items():
            if key in ("optimizer", "last_epoch"):
                continue
            value = getattr(scheduler, key, _MISSING)
            if value is _MISSING:
                raise UnreadableError(f"{type(scheduler).__name__} does not say what it was made with")
            value = sorted(value.elements()) if isinstance(value, Counter) else value
            if not _equal(value, parameter.default):
                found[key] = value
        schedule = type(scheduler).__name__, found
    max_norm = None
    if clip is not None:
        function, keywords = getattr(clip, "func", None), dict(getattr(clip, "keywords", {}))
        if getattr(function, "__name__", "") != "clip_grad_norm_" or set(keywords) != {"max_norm"}:
            raise UnreadableError("its clip is not partial(clip_grad_norm_, max_norm=...)")
        max_norm = keywords["max_norm"]
    return Recipe((type(optimizer).__name__, options), schedule, max_norm)


def _course_model(make: Any, side: Any) -> Layer:
    if not isinstance(make, partial):
        raise UnreadableError("its model is made by code of its own")
    kind: Any = make.func
    bound = inspect.signature(kind).bind(*make.args, **make.keywords)
    options = {name: value for name, value in bound.arguments.items() if name != "dtype"}
    return Layer(Made(kind.__name__, options), {name: value.copy() for name, value in side.parameters.items()})


def _chain(side: Any, x: Array) -> tuple[Layer, ...]:
    module = side.module
    leaves = [child for child in module.modules() if not list(child.children())]
    layers = tuple(layer_of(leaf) for leaf in leaves)
    made = nn.Sequential(*(in_torch(layer.made) for layer in layers)).to(next(module.parameters()).dtype)
    try:
        made.load_state_dict(dict(zip(made.state_dict(), module.state_dict().values(), strict=True)))
        with torch.no_grad():
            given = torch.from_numpy(x)
            same = torch.equal(made.eval()(given), module.eval()(given))
    except (RuntimeError, ValueError, TypeError) as error:
        raise UnreadableError(f"its model {type(module).__name__} is no chain of layers") from error
    if not same:
        raise UnreadableError(f"its model {type(module).__name__} is no chain of layers")
    return layers


def layer_of(module: nn.Module) -> Layer:
    values = {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}
    return Layer(read_made(module), values, evaluating=not module.training)


def read_made(module: nn.Module) -> Made:
    """The constructor's call, read from the attributes of the same names, as PyTorch keeps them."""
    kind = type(module)
    if getattr(nn, kind.__name__, None) is not kind or not hasattr(manual.nn, kind.__name__):
        raise UnreadableError(f"{kind.__name__} is no layer of both wings")
    options = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        value = getattr(module, name, _MISSING)
        if name in ("device", "dtype") or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if value is _MISSING and parameter.default is not parameter.empty:
            continue
        if value is _MISSING:
            raise UnreadableError(f"{kind.__name__} does not say what it was made with")
        if isinstance(parameter.default, bool) and not isinstance(value, bool):
            value = value is not None  # a bias that is there
        if isinstance(value, torch.Tensor):
            value = value.detach().numpy().copy()
        if parameter.default is parameter.empty or not _equal(value, parameter.default):
            options[name] = value
    return Made(kind.__name__, options)


def _equal(value: Any, default: Any) -> bool:
    if isinstance(value, Array):
        return False
    if isinstance(value, tuple) and not isinstance(default, tuple):
        return all(item == default for item in value)
    return bool(value == default)


def _loss(side: Any) -> Made:
    if side.denominator is not None:
        raise UnreadableError("its loss divides by a number of its own")
    return read_made(side.loss)


def in_torch(made: Made) -> nn.Module:
    """The module in PyTorch."""
    options = {n: torch.from_numpy(v) if isinstance(v, Array) else v for n, v in made.options.items()}
    module: nn.Module = getattr(nn, made.name)(**options)
    return module


# -- refitting ---------------------------------------------------------------------------------------------------------


def with_layers(setup: Setup, layers: tuple[Layer, ...]) -> Setup | None:
    """The setup with other layers, each fitted to what reaches it; ``None`` where they do not fit together."""
    if setup.classic:
        return replace(setup, layers=layers)
    given = torch.from_numpy(np.concatenate([setup.steps[0][0].x[:1]] * 2))
    if given.is_floating_point():
        given = torch.ones_like(given, dtype=torch.float32)
    fitted = []
    for layer in layers:
        made = _fitted(layer.made, tuple(given.shape[1:]))
        if made is None:
            return None
        try:
            module = in_torch(made)
            with torch.no_grad():
                given = module.eval()(given)
        except (RuntimeError, ValueError, TypeError, IndexError):
            return None
        shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
        if set(shapes) - set(layer.values):
            return None
        fitted.append(Layer(made, {name: _part(layer.values[name], shapes[name]) for name in shapes}, layer.evaluating))
    return replace(setup, layers=tuple(fitted))


def _part(value: Array, shape: tuple[int, ...]) -> Array:
    """The first elements of a value along every axis; where there are too few, they are taken again."""
    for axis, size in enumerate(shape):
        if value.shape[axis] != size:
            value = np.take(value, range(size), axis=axis, mode="wrap")
    return value


def _fitted(made: Made, shape: tuple[int, ...]) -> Made | None:
    """A layer for rows of this shape."""
    name, options = made.name, dict(made.options)
    if name == "Linear":
        options["in_features"] = shape[-1]
    elif name.startswith("Conv"):
        options["in_channels"] = shape[0]
        groups = options.get("groups", 1)
        if shape[0] % groups or options["out_channels"] % groups:
            return None
    elif name.startswith(("BatchNorm", "InstanceNorm")):
        options["num_features"] = shape[0]
    elif name in ("LayerNorm", "RMSNorm"):
        normalized = options["normalized_shape"]
        many = 1 if isinstance(normalized, int) else len(normalized)
        options["normalized_shape"] = tuple(shape[-many:])
    elif name == "GroupNorm":
        options["num_channels"] = shape[0]
        if shape[0] % options["num_groups"]:
            return None
    elif name == "PReLU" and options.get("num_parameters", 1) > 1:
        options["num_parameters"] = shape[0]
    return Made(name, options)


def refitted_layer(layer: Layer, x: Array, changed: Mapping[str, Any]) -> nn.Module | None:
    """A layer alone, fitted to these inputs and with changed options; ``None`` where it does not fit."""
    made = _fitted(Made(layer.made.name, {**layer.made.options, **changed}), x.shape[1:])
    if made is None:
        return None
    try:
        module = in_torch(made)
        shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
        values = {name: torch.from_numpy(_part(layer.values[name], shape).copy()) for name, shape in shapes.items()}
        dtype = next((value.dtype for value in values.values() if value.is_floating_point()), torch.float32)
        module.to(dtype).load_state_dict(values)
        module.train(not layer.evaluating)
        with torch.no_grad():
            in_torch(made).to(dtype).eval()(torch.from_numpy(x))
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError):
        return None
    return module
