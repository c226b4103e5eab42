"""The two sides of a case, and its data: everything is drawn from the case's seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

import manual
import manual.classic
import manual.nn.utils
import manual.optim
import manual.training
import torch_ref.classic
import torch_ref.training
from compare.batches import InputError, MicroBatch, cut
from compare.experiment import Setting
from compare.experiments.pairs import Recipe, classic_pair
from compare.fuzz.case import Call, Case, call_of

__all__ = ["CLASS_LOSSES", "pair"]

CLASS_LOSSES = frozenset({"CrossEntropyLoss", "NLLLoss", "MultiMarginLoss"})
"""Losses whose targets are class indices."""

Array = np.ndarray
Factory = Callable[[], Any]


def pair(case: Case) -> tuple[Factory, Factory, list[list[MicroBatch]]]:
    """Make the factories of the manual side and of PyTorch's, and the steps that both walk.

    Raises
    ------
    InputError
        If the case names something that a wing does not have.
    """
    return _network(case) if case.model == "MLP" else _classic(case)


# -- networks ----------------------------------------------------------------------------------------------------------


def _network(case: Case) -> tuple[Factory, Factory, list[list[MicroBatch]]]:
    dtype = np.dtype(case.dtype)
    twin = _seeded(case, lambda: _module(torch, case).to(getattr(torch, case.dtype)))
    initial = _initial(case, twin)
    options = _loss_options(case)
    weigh = None
    if case.loss.split(":")[0] in ("CrossEntropyLoss", "NLLLoss") and case.targets == "random":
        weigh = partial(_counted, _loss(manual, case, options), np.empty((case.rows, case.outputs), dtype))
    steps = _steps(case, _answer(case, twin, initial), weigh)

    def make(wing: Any, side: Any) -> Any:
        module = _seeded(case, lambda: _module(wing, case))
        module = module.to(dtype if wing is manual else getattr(torch, case.dtype))
        named = dict(module.named_parameters())
        for name, parameter in named.items():
            if wing is manual:
                parameter.data[...] = initial[name]
            else:
                parameter.data.copy_(torch.from_numpy(initial[name]))
            if _is_frozen(case, name):
                parameter.requires_grad = False
        optimizer = _optimizer(wing, case, named)
        return side(
            module,
            optimizer,
            _loss(wing, case, options),
            _scheduler(wing, case, optimizer),
            _clip(wing, case),
            penalty=_penalty(case),
        )

    return (
        lambda: make(manual, manual.training.Side),
        lambda: make(torch, torch_ref.training.Side),
        steps,
    )


def _counted(loss: Any, answers: Array, y: Array) -> float:
    """What the loss divides by: the rows that count, or the sum of their weights."""
    return float(loss.denominator(answers[: len(y)], y))


def _seeded(case: Case, make: Callable[[], Any]) -> Any:
    torch.manual_seed(case.seed)
    return make()


def _known(wing: Any, name: str, kind: str) -> Any:
    found = getattr(wing, name, None)
    if found is None or not isinstance(found, type):
        raise InputError(f"this is no case: no {kind} is called {name!r} on both sides")
    return found


def _made(nn: Any, text: str, width: int) -> Any:
    """A module from its call; the word ``width`` stands for the number of channels."""
    name, positional, options = call_of(text)
    return _known(nn, name, "module")(*(width if value == "width" else value for value in positional), **options)


def _module(wing: Any, case: Case) -> Any:
    """The network in one of the wings: linear layers, an activation and perhaps dropout after each but the last."""
    nn = wing.nn
    layers: list[Any] = []
    shared: dict[tuple[int, int], Any] = {}
    width = case.inputs

    def linear(wide: int) -> Any:
        earlier = shared.get((width, wide))
        if earlier is not None and case.tied == "module":
            return earlier
        made = nn.Linear(width, wide, bias=case.bias)
        if earlier is not None and case.tied == "weight":
            made.weight = earlier.weight
        shared[width, wide] = made
        return made

    for size, activation in zip(case.hidden, case.activations, strict=True):
        layers += [linear(2 * size if activation.startswith("GLU") else size), _made(nn, activation, size)]
        if case.dropout:
            layers.append(nn.Dropout(case.dropout))
        width = size
    layers.append(nn.Linear(width, case.outputs, bias=case.bias))
    if case.output:
        layers.append(_made(nn, case.output, case.outputs))
    return nn.Sequential(*layers)


def _initial(case: Case, module: torch.nn.Module) -> dict[str, Array]:
    values = {name: p.detach().numpy().copy() for name, p in module.named_parameters()}
    for value in values.values():
        if case.special == "grid" and np.ptp(value):
            value[...] = np.round(2 * value / np.abs(value).max()) / 2
        value *= case.gain
    return values


def _is_frozen(case: Case, name: str) -> bool:
    return (case.frozen == "biases" and name.endswith("bias")) or (case.frozen == "first" and name.startswith("0."))


def _loss_options(case: Case) -> Call:
    """The loss with its random weights drawn."""
    generator = np.random.default_rng([case.seed, 3])
    name, positional, options = call_of(case.loss)
    return Call(
        name,
        positional,
        {
            option: generator.uniform(0.2, 2.0, case.outputs).astype(case.dtype) if value == "random" else value
            for option, value in options.items()
        },
    )


def _loss(wing: Any, case: Case, call: Call) -> Any:
    options = {
        name: torch.from_numpy(value) if wing is torch and isinstance(value, Array) else value
        for name, value in call.options.items()
    }
    return _known(wing.nn, call.name, "loss")(*call.positional, **options)


def _optimizer(wing: Any, case: Case, named: Mapping[str, Any]) -> Any:
    name, _, options = call_of(case.optimizer)
    parameters: Any = list(named.values())
    if case.groups and case.bias:
        biases = [p for n, p in named.items() if n.endswith("bias")]
        others = [p for n, p in named.items() if not n.endswith("bias")]
        rate = options["lr"] / 2
        parameters = [{"params": others}, {"params": biases, "lr": rate, "weight_decay": 0.0}]
    return _known(wing.optim, name, "optimizer")(parameters, **options)


def _schedule(case: Case) -> tuple[str, dict[str, Any]] | None:
    if not case.schedule:
        return None
    name, positional, options = call_of(case.schedule)
    if name == "LambdaLR":
        return name, {"lr_lambda": partial(pow, positional[0])}
    return name, options


def _scheduler(wing: Any, case: Case, optimizer: Any) -> Any:
    schedule = _schedule(case)
    if schedule is None:
        return None
    return _known(wing.optim.lr_scheduler, schedule[0], "scheduler")(optimizer, **schedule[1])


def _clip(wing: Any, case: Case) -> Any:
    if not case.clip:
        return None
    kind, (bound, *norm), _ = call_of(case.clip)
    utils = wing.nn.utils
    if kind == "value":
        return partial(utils.clip_grad_value_, clip_value=bound)
    return partial(utils.clip_grad_norm_, max_norm=bound, norm_type=norm[0] if norm else 2.0)


def _penalty(case: Case) -> Any:
    if not case.penalty:
        return None
    kind, (strength, *_), _ = call_of(case.penalty)

    def penalty(named: Mapping[str, Any]) -> Any:
        total: Any = 0.0
        for name, parameter in named.items():
            if name.endswith("weight"):
                total = total + (parameter.abs().sum() if kind == "l1" else 0.5 * (parameter * parameter).sum())
        return strength * total

    return penalty


def _answer(case: Case, module: torch.nn.Module, initial: Mapping[str, Array]) -> Callable[[Array], Array] | None:
    """What the network answers before the first step, where the targets are to lie near it."""
    if case.targets != "near":
        return None

    def answer(x: Array) -> Array:
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(torch.from_numpy(initial[name]))
            found: Array = module.eval()(torch.from_numpy(x.astype(case.dtype))).numpy()
        return found

    return answer


# -- course models -----------------------------------------------------------------------------------------------------


def _classic(case: Case) -> tuple[Factory, Factory, list[list[MicroBatch]]]:
    name, _, options = call_of(case.model)
    sizes = [case.inputs]
    if name == "SigmoidNetwork":
        sizes += [options.pop("hidden", 2), case.outputs]
    elif name in ("OneVsAll", "SoftmaxRegression"):
        sizes.append(case.outputs)
    actual_class, expected_class = (_known(wing, name, "model") for wing in (manual.classic, torch_ref.classic))
    options["rows"] = case.rows
    make_torch = partial(expected_class, *sizes, dtype=getattr(torch, case.dtype), **options)
    initial = _initial(case, _seeded(case, make_torch))
    bound = call_of(case.clip).positional[0] if case.clip else None
    optimizer = call_of(case.optimizer)
    subtracted = None
    if name == "LinearRegression":
        subtracted = _magnitudes
    elif name == "LinearSVM":
        subtracted = _margins
    actual, expected = classic_pair(
        partial(actual_class, *sizes, dtype=np.dtype(case.dtype), **options),
        make_torch,
        Recipe((optimizer.name, optimizer.options), _schedule(case), bound),
        Setting(case.dtype, seed=case.seed),
        subtracted=subtracted,
        of_logits=name in ("LogisticRegression", "OneVsAll", "SoftmaxRegression"),
        initial=initial,
    )
    return actual, expected, _steps(case, None, None)


def _magnitudes(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return 2 * (output.abs() + target.reshape(output.shape).abs())


def _margins(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return 1 + output.abs()


# -- data --------------------------------------------------------------------------------------------------------------


def _steps(
    case: Case, answer: Callable[[Array], Array] | None, weigh: Callable[[Any], float] | None
) -> list[list[MicroBatch]]:
    generators = tuple(np.random.default_rng([case.seed, number]) for number in (0, 1, 2))
    made: list[list[MicroBatch]] = []
    for _ in range(case.steps if case.fresh else 1):
        x = _inputs(case, *generators[:2])
        y = _targets(case, generators[2], None if answer is None else answer(x))
        made.append(cut(x.astype(case.dtype), y, case.parts, *([weigh] if weigh else [])))
    return made if case.fresh else made * case.steps


def _inputs(case: Case, generator: np.random.Generator, layout: np.random.Generator) -> Array:
    shape = (case.rows, case.time, case.inputs) if case.time else (case.rows, case.inputs)
    x = generator.standard_normal(shape)
    special = case.special
    if special == "grid":
        x = np.round(2 * x) / 2
    elif special == "integers":
        x = np.round(3 * x)
    elif special == "zeros":
        x[layout.random(shape) < 0.6] = 0.0
    elif special == "zero-rows":
        x[layout.random(case.rows) < 0.5] = 0.0
    elif special == "duplicates":
        x = x[layout.integers(0, (case.rows + 1) // 2, case.rows)]
    elif special == "constant":
        x[..., layout.random(case.inputs) < 0.5] = 1.0
    if case.columns:
        exponents = layout.permutation(np.linspace(-0.5, 0.5, case.inputs)) if case.inputs > 1 else np.zeros(1)
        x = x * 10.0 ** (case.columns * exponents)
    return case.scale * (x + case.offset)


def _targets(case: Case, generator: np.random.Generator, answer: Array | None) -> Array:
    name, _, options = call_of(case.loss if case.model == "MLP" else case.model)
    dtype = np.dtype(case.dtype)
    rows, outputs = case.rows, case.outputs
    shape: tuple[int, ...] = (rows, case.time, outputs) if case.time else (rows, outputs)
    if answer is not None:
        return _near(name, generator, answer.astype(np.float64)).astype(dtype)
    if name in CLASS_LOSSES and case.targets == "random":
        return _with_ignored(case, generator.integers(0, outputs, rows), generator, options.get("ignore_index"))
    if name in ("OneVsAll", "SoftmaxRegression") or (name == "SigmoidNetwork" and outputs > 1):
        return generator.integers(0, outputs, rows)
    if name in ("KLDivLoss", "CrossEntropyLoss"):
        weights = generator.exponential(size=shape)
        if not options.get("log_target"):
            weights[generator.random(shape) < 0.2] = 0.0
            weights[..., 0] += 1e-3
        probabilities = weights / weights.sum(-1, keepdims=True)
        return (np.log(probabilities) if options.get("log_target") else probabilities).astype(dtype)
    if name in ("BCELoss", "BCEWithLogitsLoss", "LogisticRegression", "LinearSVM", "SigmoidNetwork"):
        if case.model != "MLP":
            shape = (rows, outputs) if name == "SigmoidNetwork" else (rows,)
        found = generator.random(shape)
        return (found if case.targets == "soft" else np.round(found)).astype(dtype)
    if name == "SoftMarginLoss":
        return np.where(generator.random(shape) < 0.5, -1.0, 1.0).astype(dtype)
    if name == "LinearRegression":
        shape = (rows,)
    found = case.scale * generator.standard_normal(shape)
    return (np.round(2 * found) / 2 if case.special == "grid" else found).astype(dtype)


def _with_ignored(case: Case, y: Array, generator: np.random.Generator, ignored: int | None) -> Array:
    """Targets of which three in ten are ignored, but none of the first of each micro-batch: its mean is over nothing
    else."""
    if ignored is None:
        return y
    firsts = np.cumsum([0, *case.parts[:-1]])
    counted = y[firsts]
    y[generator.random(case.rows) < 0.3] = ignored
    y[firsts] = np.where(counted == ignored, (counted + 1) % case.outputs, counted)
    return y


def _near(name: str, generator: np.random.Generator, answer: Array) -> Array:
    """Targets that the model has nearly learned: its gradients are small differences of large sums."""
    wiggle = 1 + 1e-4 * generator.standard_normal(answer.shape)
    if name == "BCEWithLogitsLoss":
        with np.errstate(over="ignore"):
            return np.clip(wiggle / (1 + np.exp(-answer)), 0.0, 1.0)
    if name == "BCELoss":
        return np.clip(wiggle * answer, 0.0, 1.0)
    if name in ("KLDivLoss", "CrossEntropyLoss"):
        shifted = np.exp(answer - answer.max(-1, keepdims=True)) * wiggle
        return shifted / shifted.sum(-1, keepdims=True)
    return answer * wiggle
