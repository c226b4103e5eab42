"""The small honest experiments into which mistakes are planted.

Real data cut to 17 rows a step, in three micro-batches with a short tail; narrow networks; other rows at every step; a
rate that moves. The numbers are chosen so that what a mistake confuses is never equal: rows, widths, classes,
micro-batches, factors. A large ``eps`` and a strong decay stand where small ones would hide a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import torch

import manual.classic
import manual.models
import torch_ref.classic
import torch_ref.models
from compare.experiment import Setting
from compare.experiments.pairs import Recipe, classic_pair, module_pair
from compare.faults import models_manual, models_torch
from compare.faults.data import (
    CLASSES,
    ROWS,
    SIZES,
    STEPS,
    brightnesses,
    columns,
    patients,
    pixels,
    steps_of,
    tokens,
    tumours,
)
from compare.faults.fault import Scene
from manual.rules.core import Array

__all__ = [
    "Composed",
    "Grouped",
    "SingleIteration",
    "attention",
    "batch_norm",
    "binary",
    "cross_entropy",
    "distillation",
    "logistic",
    "looked_up",
    "matrices",
    "network",
    "overflow",
    "pooled",
    "quasi_newton",
    "regression",
    "residual",
    "ridge",
    "rooted",
    "saturated",
    "sigmoid_network",
    "spare",
    "tagger",
    "with_layer_norm",
    "with_weight_norm",
]

Options = tuple[str, Mapping[str, Any]]
Pairs = tuple[tuple[str, Any], ...]
FALLING: Options = ("StepLR", {"step_size": 2, "gamma": 0.45})
SGD: Options = ("SGD", {"lr": 0.3})


class Grouped(Recipe):
    """Matrices in one group; vectors (biases, and the scales of norms) in another with options of its own."""

    def __init__(self, optimizer: Options, schedule: Options | None, vectors: Mapping[str, Any]):
        super().__init__(optimizer, schedule)
        self.vectors = vectors

    def make_optimizer(self, wing: Any, parameters: Iterable[Any]) -> Any:
        listed = list(parameters)
        matrices = {"params": [parameter for parameter in listed if parameter.ndim > 1]}
        vectors = {"params": [parameter for parameter in listed if parameter.ndim <= 1], **self.vectors}
        return super().make_optimizer(wing, [matrices, vectors])


class Composed(Recipe):
    """A schedule that may be made of others: ``schedulers`` are then names and options, too."""

    def make_scheduler(self, wing: Any, optimizer: Any) -> Any:
        assert self.schedule is not None
        name, options = self.schedule
        made = dict(options)
        if "schedulers" in made:
            made["schedulers"] = [
                getattr(wing.optim.lr_scheduler, kind)(optimizer, **dict(of)) for kind, of in made["schedulers"]
            ]
        kind = getattr(wing.optim.lr_scheduler, name)
        return kind(**made) if name == "ChainedScheduler" else kind(optimizer, **made)


class SingleIteration(Recipe):
    """L-BFGS with one iteration in each step: it needs no loss but the one that has been computed."""

    def make_optimizer(self, wing: Any, parameters: Iterable[Any]) -> Any:
        def step(optimizer: Any, closure: Callable[[], Any] | None = None) -> Any:
            return wing.optim.LBFGS.step(optimizer, closure or (lambda: 0.0))

        kind: Any = type("LBFGS", (wing.optim.LBFGS,), {"step": step})
        return kind(parameters, max_iter=1, **self.optimizer[1])


# -- experiments -------------------------------------------------------------------------------------------------------


def _pair(
    make_manual: Callable[[], Any],
    make_torch: Callable[[], Any],
    recipe: Recipe,
    dtype: str = "float64",
    loss: Callable[[Any], Any] = lambda wing: wing.nn.CrossEntropyLoss(),
) -> Any:
    return module_pair(
        make_manual, make_torch, partial(loss, manual), partial(loss, torch), recipe, Setting(dtype, seed=5)
    )


def _activation(wing: Any, name: str) -> Any:
    return getattr(wing.nn, name)


@cache
def network(
    optimizer: str = "SGD",
    *,
    lr: float | None = None,
    schedule: tuple[str, Pairs] | None = None,
    max_norm: float | None = None,
    sizes: tuple[int, ...] = (9, 5, CLASSES),
    activation: str = "Tanh",
    dropout: float = 0.0,
    dtype: str = "float64",
    fortran: bool = False,
    vectors: Pairs | None = None,
    rounded: bool = False,
    steps: int = STEPS,
    **options: Any,
) -> Scene:
    """A perceptron on nine pixels.

    ``fortran`` stores the manual side's matrices column by column; ``vectors`` are the options of a group of biases;
    ``rounded`` starts at values that bfloat16 can hold; all else goes to the optimizer.
    """
    usual = {"SGD": 0.3, "Adagrad": 0.1, "RMSprop": 0.03}.get(optimizer, 0.05)
    chosen: Options = (optimizer, {"lr": usual if lr is None else lr, **options})
    falling: Options = FALLING if schedule is None else (schedule[0], dict(schedule[1]))
    recipe = Composed(chosen, falling, max_norm) if vectors is None else Grouped(chosen, falling, dict(vectors))

    def build() -> Any:
        def make_torch() -> torch.nn.Module:
            made = torch_ref.models.MLP(sizes, _activation(torch, activation), dropout=dropout)
            return made.to(torch.bfloat16) if rounded else made

        make_manual = partial(manual.models.MLP, sizes, _activation(manual, activation), dropout=dropout)
        actual, expected = _pair(make_manual, make_torch, recipe, dtype)
        return (_in_columns(actual) if fortran else actual, expected), steps_of(*pixels(), dtype, steps=steps)

    said = ["digits, " + "-".join(map(str, sizes)), *([dtype] if dtype != "float64" else []), activation, optimizer]
    said += [f"{key} {value}" for key, value in options.items()]
    said += [f"dropout {dropout}"] * bool(dropout) + [f"clipped to {max_norm}"] * (max_norm is not None)
    said += ["stored by columns"] * fortran + ["starting at bfloat16"] * rounded
    said += [f"{steps} steps"] * (steps != STEPS)
    said += [f"{key} {value} for vectors" for key, value in vectors or ()]
    if schedule is not None:
        shown = [getattr(value, "__name__", value) for name, value in schedule[1] if name != "schedulers"]
        shown = [*(kind for kind, _ in dict(schedule[1]).get("schedulers", ())), *shown]
        said.append(f"{schedule[0]}({', '.join(map(str, shown))})")
    return Scene(", ".join(said), build)


def _in_columns(make: Callable[[], Any]) -> Callable[[], Any]:
    """The same side with its matrices stored column by column, as code from Fortran or MATLAB keeps them."""

    def made() -> Any:
        side = make()
        for parameter in side.module.parameters():
            parameter.data = np.asfortranarray(parameter.data)
        return side

    return made


@cache
def regression(loss: str = "MSELoss", **options: Any) -> Scene:
    """A perceptron that tells four measurements from seven."""

    def build() -> Any:
        x, y = patients()
        pair = _pair(
            partial(manual.models.MLP, (7, 5, 4), manual.nn.Tanh),
            partial(torch_ref.models.MLP, (7, 5, 4), torch.nn.Tanh),
            Recipe(SGD, FALLING),
            loss=lambda wing: getattr(wing.nn, loss)(**options),
        )
        return pair, steps_of(x, y)

    return Scene(f"diabetes, 7-5-4 Tanh, {loss}", build)


@cache
def cross_entropy(*, weighted: bool = False, ignoring: bool = False, smoothing: float = 0.0) -> Scene:
    """A perceptron on nine pixels whose cross entropy has weights of classes, an ignored class, smoothing."""
    weights = np.linspace(0.3, 2.4, CLASSES) if weighted else None

    def build() -> Any:
        x, y = pixels()
        ignored = 3 if ignoring else -100

        def loss(wing: Any) -> Any:
            tensor = weights if wing is manual or weights is None else torch.from_numpy(weights)
            return wing.nn.CrossEntropyLoss(weight=tensor, ignore_index=ignored, label_smoothing=smoothing)

        def weigh(target: Array) -> float:
            counted = target[target != ignored]
            return float(len(counted) if weights is None else weights[counted].sum())

        pair = _pair(
            partial(manual.models.MLP, (9, 5, CLASSES), manual.nn.Tanh),
            partial(torch_ref.models.MLP, (9, 5, CLASSES), torch.nn.Tanh),
            Recipe(SGD, FALLING),
            loss=loss,
        )
        return pair, steps_of(x, y, weigh=weigh)

    said = ["weighted"] * weighted + ["ignoring a class"] * ignoring + ["smoothed"] * bool(smoothing)
    return Scene(f"digits, 9-5-10 Tanh, cross entropy {' and '.join(said)}", build)


@cache
def distillation() -> Scene:
    """A perceptron that learns the probabilities of a teacher."""

    def build() -> Any:
        x, y = pixels()
        teacher = 0.8 * np.eye(CLASSES)[y] + 0.2 * np.linspace(0.5, 1.5, CLASSES) / CLASSES

        def model(wing: Any, models: Any) -> Callable[[], Any]:
            log_softmax = partial(wing.nn.LogSoftmax, dim=1)
            return partial(models.MLP, (9, 5, CLASSES), wing.nn.Tanh, output=log_softmax)

        pair = _pair(
            model(manual, manual.models),
            model(torch, torch_ref.models),
            Recipe(SGD, FALLING),
            loss=lambda wing: wing.nn.KLDivLoss(reduction="batchmean"),
        )
        return pair, steps_of(x, teacher)

    return Scene("digits, 9-5-10 Tanh, KL divergence from a teacher", build)


@cache
def binary(*, of_logits: bool = True, scale: float = 1.0, lr: float = 0.3, dtype: str = "float64") -> Scene:
    """A single unit, or a small network, that tells benign from malignant."""

    def build() -> Any:
        x, y = tumours()
        sizes = (6, 1) if scale != 1 else (6, 5, 1)

        def model(wing: Any, models: Any) -> Callable[[], Any]:
            return partial(models.MLP, sizes, wing.nn.Tanh, output=None if of_logits else wing.nn.Sigmoid)

        pair = _pair(
            model(manual, manual.models),
            model(torch, torch_ref.models),
            Recipe(("SGD", {"lr": lr}), FALLING),
            dtype,
            lambda wing: wing.nn.BCEWithLogitsLoss() if of_logits else wing.nn.BCELoss(),
        )
        return pair, steps_of(scale * x, y[:, None], dtype)

    return Scene(f"breast cancer, {'logits' if of_logits else 'probabilities'}, {dtype}", build)


def saturated() -> Scene:
    """A unit that is very sure, in float32: where an unstable formula loses its digits."""
    return binary(scale=10.0, lr=1e-3, dtype="float32")


@cache
def overflow() -> Scene:
    """One layer on unscaled numbers: logits whose exponentials overflow."""

    def build() -> Any:
        x, y = pixels()
        pair = _pair(
            partial(manual.models.MLP, (9, CLASSES)),
            partial(torch_ref.models.MLP, (9, CLASSES)),
            Recipe(("SGD", {"lr": 1e-3}), FALLING),
        )
        return pair, steps_of(2000 * x, y)

    return Scene("digits unscaled, 9-10, cross entropy", build)


@cache
def ridge(lambda_: float = 3.5) -> Scene:
    """Linear regression with a penalty, its gradient derived on paper."""

    def build() -> Any:
        x, y = patients()
        options: dict[str, Any] = {"lambda_": lambda_, "rows": ROWS * STEPS}
        pair = classic_pair(
            partial(manual.classic.LinearRegression, 7, **options),
            partial(torch_ref.classic.LinearRegression, 7, dtype=torch.float64, **options),
            Recipe(("SGD", {"lr": 0.2, "momentum": 0.7}), FALLING),
            Setting(seed=5),
            subtracted=lambda output, target: output.abs() + target.reshape(output.shape).abs(),
        )
        return pair, steps_of(x + 0.5, y[:, 0])

    return Scene("diabetes, " + ("ridge" if lambda_ else "linear") + " regression", build)


@cache
def logistic(lambda_: float = 3.5) -> Scene:
    """Logistic regression with a penalty, its gradient derived on paper."""

    def build() -> Any:
        x, y = tumours()
        options: dict[str, Any] = {"lambda_": lambda_, "rows": ROWS * STEPS}
        pair = classic_pair(
            partial(manual.classic.LogisticRegression, 6, **options),
            partial(torch_ref.classic.LogisticRegression, 6, dtype=torch.float64, **options),
            Recipe(("SGD", {"lr": 0.2}), FALLING),
            Setting(seed=5),
            of_logits=True,
        )
        return pair, steps_of(x + 0.5, y)

    return Scene("breast cancer, logistic regression" + (" with a penalty" if lambda_ else ""), build)


@cache
def sigmoid_network(cost: str = "half_squares", hidden: int = 5) -> Scene:
    """The course's network of two layers, its gradients derived on paper."""

    def build() -> Any:
        x, y = pixels()
        options: dict[str, Any] = {"cost": cost, "lambda_": 0.0}
        pair = classic_pair(
            partial(manual.classic.SigmoidNetwork, 9, hidden, CLASSES, **options),
            partial(torch_ref.classic.SigmoidNetwork, 9, hidden, CLASSES, dtype=torch.float64, **options),
            Recipe(("SGD", {"lr": 0.7}), FALLING),
            Setting(seed=5),
            subtracted=lambda output, target: torch.ones_like(output),
        )
        return pair, steps_of(x, np.eye(CLASSES)[y])

    return Scene(f"digits, 9-{hidden}-10 sigmoid network, {cost}", build)


def _twins(name: str, said: str, arguments: tuple[Any, ...], steps: Callable[[], Any], **more: Any) -> Scene:
    recipe = more.pop("recipe", Recipe(SGD, FALLING))
    loss = more.pop("loss", lambda wing: wing.nn.CrossEntropyLoss())

    def build() -> Any:
        make_manual, make_torch = (partial(getattr(m, name), *arguments, **more) for m in (models_manual, models_torch))
        return _pair(make_manual, make_torch, recipe, loss=loss), steps()

    return Scene(said, build)


@cache
def tagger(tied: bool = False) -> Scene:
    """The next brightness from the last ones; blank pixels are padding and do not count."""
    return _twins(
        "Tagger",
        f"digits as tokens, {'tied ' if tied else ''}embedding",
        (9, 5, 6),
        lambda: steps_of(*tokens(), weigh=lambda target: float(np.count_nonzero(target))),
        tied=tied,
        loss=lambda wing: wing.nn.CrossEntropyLoss(ignore_index=0),
    )


@cache
def with_layer_norm() -> Scene:
    """A perceptron with layer normalisation, and no decay on vectors."""
    recipe = Grouped(("AdamW", {"lr": 0.05, "eps": 1e-2, "weight_decay": 0.5}), FALLING, {"weight_decay": 0.0})
    return _twins("Normed", "digits, layer norm, AdamW", (9, 5, CLASSES), lambda: steps_of(*pixels()), recipe=recipe)


@cache
def batch_norm(frozen: bool = False) -> Scene:
    """A perceptron with batch normalisation."""
    said = f"digits, {'frozen ' if frozen else ''}batch norm"
    sizes = (ROWS,) if frozen else SIZES  # in a second micro-batch the statistics of the first would show before
    return _twins("BatchNormed", said, (9, 5, CLASSES), lambda: steps_of(*pixels(), sizes=sizes), frozen=frozen)


@cache
def with_weight_norm() -> Scene:
    """A perceptron whose weights are lengths times directions."""
    return _twins("WeightNormed", "digits, weight norm", (9, 5, CLASSES), lambda: steps_of(*pixels()))


@cache
def attention() -> Scene:
    """Attention over the columns of a digit, blank ones masked."""
    return _twins("Attention", "columns of digits, masked attention", (6, CLASSES), lambda: steps_of(*columns()))


@cache
def pooled() -> Scene:
    """The maximum over the columns of a digit, of which blank ones tie."""
    return _twins("Pooled", "columns of digits, maximum", (6, 5, CLASSES), lambda: steps_of(*columns()))


@cache
def rooted() -> Scene:
    """A root where there is one."""
    return _twins("Rooted", "digits, root of what is positive", (9, 5, CLASSES), lambda: steps_of(*pixels()))


@cache
def residual() -> Scene:
    """A layer that is used twice, once beside a shortcut."""
    return _twins("Residual", "digits, shared layer and shortcut", (9, CLASSES), lambda: steps_of(*pixels()))


@cache
def spare(optimizer: str, **options: Any) -> Scene:
    """A network of which one layer takes no part."""
    recipe = Recipe((optimizer, {"lr": 0.05, **options}), FALLING)
    said = ", ".join(["digits, an unused layer", optimizer, *(f"{key} {value}" for key, value in options.items())])
    return _twins("Spare", said, (9, 5, CLASSES), lambda: steps_of(*pixels()), recipe=recipe)


@cache
def matrices(optimizer: str, lr: float, **options: Any) -> Scene:
    """One matrix without a bias, all that Muon takes: four numbers told from two of little correlation.

    Its gradient has singular values of one size; those of a network's have not, and bfloat16 then decides the step.
    """

    def build() -> Any:
        x, y = patients()
        pair = _pair(
            partial(manual.nn.Linear, 2, 4, bias=False),
            partial(torch.nn.Linear, 2, 4, bias=False),
            Recipe((optimizer, {"lr": lr, **options}), FALLING),
            loss=lambda wing: wing.nn.MSELoss(),
        )
        return pair, steps_of(np.ascontiguousarray(x[:, (0, 3)]), y)

    said = ["diabetes, a matrix 4 x 2", optimizer, *(f"{key} {value}" for key, value in options.items())]
    return Scene(", ".join(said), build)


@cache
def looked_up(optimizer: str, lr: float, **options: Any) -> Scene:
    """A table of which a step looks up some rows, with row-sparse gradients: a digit from one of its pixels."""

    def model(wing: Any) -> Callable[[], Any]:
        return lambda: wing.nn.Sequential(wing.nn.Embedding(19, CLASSES, sparse=True))

    def build() -> Any:
        x, y = brightnesses()
        return _pair(model(manual), model(torch), Recipe((optimizer, {"lr": lr, **options}), FALLING)), steps_of(x, y)

    said = ["digits, a table of brightnesses", optimizer, *(f"{key} {value}" for key, value in options.items())]
    return Scene(", ".join(said), build)


@cache
def quasi_newton(lr: float = 0.6, steps: int = 6, **options: Any) -> Scene:
    """A perceptron that L-BFGS trains, an iteration a step; other rows at every step make some curvatures negative."""

    def build() -> Any:
        pair = _pair(
            partial(manual.models.MLP, (9, 5, CLASSES), manual.nn.Tanh),
            partial(torch_ref.models.MLP, (9, 5, CLASSES), torch.nn.Tanh),
            SingleIteration(("LBFGS", {"lr": lr, **options}), FALLING),
        )
        return pair, steps_of(*pixels(), steps=steps)

    said = ["digits, 9-5-10 Tanh, LBFGS", f"lr {lr}", *(f"{key} {value}" for key, value in options.items())]
    return Scene(", ".join(said), build)
