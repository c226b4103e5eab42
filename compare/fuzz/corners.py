"""What a campaign must have met: every kind of layer, loss, optimizer, size and datum that the generator can draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from compare.fuzz.case import Case, call_of
from compare.fuzz.generate import ACTIVATIONS, CLASSIC, LOSSES, SPECIALS

__all__ = ["CORNERS", "count"]

OUTPUTS = ("LogSoftmax", "Sigmoid", "Tanh", "ReLU", "Softsign", "Hardtanh")


def _equals(field: str, value: object, case: Case) -> bool:
    return bool(getattr(case, field) == value)


def _named(field: str, name: str, case: Case) -> bool:
    return str(getattr(case, field)).split(":")[0] == name


def _option(field: str, option: str, values: tuple[object, ...], case: Case) -> bool:
    options = call_of(getattr(case, field)).options
    return option in options and (not values or options[option] in values)


def _has_activation(activation: str, case: Case) -> bool:
    return activation in case.activations


def _depth(depth: int, case: Case) -> bool:
    return _network(case) and len(case.hidden) == depth


def _loss(name: str, case: Case) -> bool:
    return _network(case) and _named("loss", name, case)


def _network(case: Case) -> bool:
    return case.model == "MLP"


CORNERS: dict[str, Callable[[Case], bool]] = {
    **{f"dtype {word}": partial(_equals, "dtype", word) for word in ("float64", "float32")},
    **{f"sync {word}": partial(_equals, "sync", word) for word in ("free", "step", "module")},
    **{f"depth {depth}": partial(_depth, depth) for depth in range(5)},
    "a layer of width 1": lambda case: 1 in case.hidden,
    "a layer of width 200 or more": lambda case: max(case.hidden, default=0) >= 200,
    "one input": lambda case: case.inputs == 1,
    "200 to 1000 inputs": lambda case: 200 <= case.inputs < 1000,
    "1000 inputs or more": lambda case: case.inputs >= 1000,
    "one output": lambda case: case.outputs == 1,
    **{f"activation {name}": partial(_has_activation, name) for name in ACTIVATIONS},
    "several activations": lambda case: len(set(case.activations)) > 1,
    **{f"output {name}": partial(_named, "output", name) for name in OUTPUTS},
    "no bias": lambda case: not case.bias,
    "dropout": lambda case: case.dropout > 0,
    "shared module": lambda case: case.tied == "module",
    "tied weight": lambda case: case.tied == "weight",
    "first layer frozen": lambda case: case.frozen == "first",
    "biases frozen": lambda case: case.frozen == "biases",
    **{f"loss {name}": partial(_loss, name) for name in LOSSES},
    "class or element weights": lambda case: _option("loss", "weight", (), case),
    "pos_weight": lambda case: _option("loss", "pos_weight", (), case),
    "ignore_index, a class": lambda case: _option("loss", "ignore_index", tuple(range(12)), case),
    "ignore_index, no class": lambda case: _option("loss", "ignore_index", (-100,), case),
    "label smoothing": lambda case: _option("loss", "label_smoothing", (), case),
    "label smoothing of 1": lambda case: _option("loss", "label_smoothing", (1.0,), case),
    "margin, squared": lambda case: _option("loss", "p", (2,), case),
    "beta 0": lambda case: _option("loss", "beta", (0.0,), case),
    "log targets": lambda case: _option("loss", "log_target", (True,), case),
    "class probabilities": lambda case: case.targets == "probabilities",
    "soft binary targets": lambda case: case.targets == "soft",
    "near convergence": lambda case: case.targets == "near",
    "L1 penalty": partial(_named, "penalty", "l1"),
    "L2 penalty": partial(_named, "penalty", "l2"),
    **{f"classic {name}": partial(_named, "model", name) for name in CLASSIC},
    "classic penalty": lambda case: _option("model", "lambda_", (), case),
    "squared hinge": lambda case: _option("model", "loss", ("squared_hinge",), case),
    "half squares": lambda case: _option("model", "cost", ("half_squares",), case),
    "classic frozen biases": lambda case: _option("model", "freeze_biases", (True,), case),
    "one row": lambda case: case.rows == 1,
    "150 rows or more": lambda case: case.rows >= 150,
    "a micro-batch of one row": lambda case: len(case.parts) > 1 and 1 in case.parts,
    "every micro-batch of one row": lambda case: len(case.parts) > 1 and set(case.parts) == {1},
    "a ragged tail": lambda case: len(case.parts) > 2 and case.parts[-1] < case.parts[0],
    "one step": lambda case: case.steps == 1,
    "six steps": lambda case: case.steps == 6,
    "new rows at every step": lambda case: case.fresh and case.steps > 1,
    "an axis between rows and features": lambda case: case.time > 0,
    **{f"scale {scale:g}": partial(_equals, "scale", scale) for scale in (1e-4, 1e-3, 1e-2, 0.1, 10.0, 1e2, 1e3, 1e4)},
    "columns of different scales": lambda case: case.columns > 0 and case.inputs > 1,
    "columns over eight decades": lambda case: case.columns == 8 and case.inputs > 1,
    "means far from zero": lambda case: abs(case.offset) >= 10,
    **{f"data with {special}": partial(_equals, "special", special) for special in SPECIALS},
    **{f"initial values x {gain:g}": partial(_equals, "gain", gain) for gain in (0.01, 0.1, 3.0, 10.0)},
    **{
        f"optimizer {name}": partial(_named, "optimizer", name)
        for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad")
    },
    **{
        f"option {option}": partial(_option, "optimizer", option, ())
        for option in (
            *("momentum", "nesterov", "dampening", "weight_decay", "maximize", "amsgrad", "betas", "eps", "alpha"),
            *("centered", "lr_decay", "initial_accumulator_value"),
        )
    },
    "eps 1e-2": partial(_option, "optimizer", "eps", (1e-2,)),
    "eps 1e-10": partial(_option, "optimizer", "eps", (1e-10,)),
    "two parameter groups": lambda case: case.groups,
    **{
        f"schedule {name}": partial(_named, "schedule", name)
        for name in ("StepLR", "MultiStepLR", "ExponentialLR", "LinearLR", "CosineAnnealingLR", "LambdaLR")
    },
    "clipping by norm": partial(_named, "clip", "norm"),
    "clipping by value": partial(_named, "clip", "value"),
    "clipping by another norm": lambda case: len(call_of(case.clip).positional) > 1,
}
"""Predicates of a case, by what they are called."""


def count(cases: Iterable[Case]) -> dict[str, int]:
    """How many of the cases meet each corner, in the order of the table."""
    met: Counter[str] = Counter()
    for case in cases:
        met.update(name for name, meets in CORNERS.items() if meets(case))
    return {name: met[name] for name in CORNERS}
