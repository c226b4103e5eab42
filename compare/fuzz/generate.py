"""Draw a case from a seed and a number: ordinary ones mostly, and every corner often enough to be met.

Only ``random.Random.random`` is used, whose numbers Python promises to keep, so that a case is the same everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from compare.fuzz.case import Case, text_of_call

__all__ = ["case"]

T = TypeVar("T")

ACTIVATIONS = {
    "ReLU": 12.0,
    "Tanh": 8.0,
    "Sigmoid": 5.0,
    "GELU": 4.0,
    "SiLU": 3.0,
    "LeakyReLU": 3.0,
    "PReLU": 2.0,
    "PReLU:width": 2.0,
    "GLU": 2.0,
    "LeakyReLU:0.3": 1.0,
    "GELU:tanh": 1.0,
    **dict.fromkeys(
        (
            *("CELU", "CELU:0.5", "ELU", "ELU:2.0", "SELU", "Hardshrink", "Hardshrink:0.1", "Hardsigmoid", "Hardswish"),
            *("Hardtanh", "Hardtanh:-0.5:0.25", "LogSigmoid", "LogSoftmax:-1", "Mish", "ReLU6", "Softmax:-1"),
            *("Softmin:-1", "Softplus", "Softplus:2.0:1.0", "Softshrink", "Softshrink:0.1", "Softsign", "Tanhshrink"),
            *("Threshold:0.1:0.5", "Threshold:-0.2:0.0"),
        ),
        1.0,
    ),
}
LOSSES = {
    "MSELoss": 8.0,
    "CrossEntropyLoss": 8.0,
    "BCEWithLogitsLoss": 4.0,
    "L1Loss": 2.0,
    "SmoothL1Loss": 2.0,
    "HuberLoss": 2.0,
    "NLLLoss": 2.0,
    "BCELoss": 2.0,
    "KLDivLoss": 2.0,
    "SoftMarginLoss": 2.0,
    "MultiMarginLoss": 2.0,
}
NEAR = ("MSELoss", "BCEWithLogitsLoss", "BCELoss", "KLDivLoss", "SmoothL1Loss", "HuberLoss", "CrossEntropyLoss")
CLASSIC = {
    "LinearRegression": 3.0,
    "LogisticRegression": 3.0,
    "LinearSVM": 3.0,
    "SoftmaxRegression": 3.0,
    "SigmoidNetwork": 3.0,
    "OneVsAll": 2.0,
}
SPECIALS = ("zeros", "zero-rows", "duplicates", "constant", "integers", "grid")


class Draw:
    """Random choices made of uniform numbers alone."""

    def __init__(self, seed: int, number: int):
        self._uniform = random.Random(f"{seed}/{number}").random

    def chance(self, probability: float) -> bool:
        return self._uniform() < probability

    def pick(self, choices: Mapping[T, float] | Sequence[T]) -> T:
        """One of the choices, by their weights where they have any."""
        weights = choices if isinstance(choices, Mapping) else dict.fromkeys(choices, 1.0)
        left = self._uniform() * sum(weights.values())
        for choice, weight in weights.items():
            left -= weight
            if left < 0:
                return choice
        return list(weights)[-1]  # rounding has left a remainder

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included, small ones more often than large ones."""
        return min(high, low + int((high - low + 1) * self._uniform() ** 2))

    def between(self, low: float, high: float) -> float:
        """A number of three digits, uniform in its logarithm."""
        return float(f"{low * (high / low) ** self._uniform():.3g}")

    def seed(self) -> int:
        return int(self._uniform() * 2**31)


def case(seed: int, number: int) -> Case:
    """Draw the case of this number, the same for the same two numbers always.

    Parameters
    ----------
    seed : the campaign's
    number : which of its cases, from 0
    """
    draw = Draw(seed, number)
    fields: dict[str, Any] = {"seed": draw.seed(), "dtype": draw.pick(("float64", "float32"))}
    fields |= _classic(draw) if draw.chance(0.15) else _network(draw)
    fields |= _data(draw)
    fields |= _rows(draw, fields)
    fields |= _training(draw, fields)
    return Case(**(fields | _within_torch(fields)))


def _within_torch(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What must be otherwise because PyTorch is wrong: in float64 too, ``hardsigmoid``'s backward multiplies by 1/6
    rounded to float32."""
    return {"dtype": "float32"} if "Hardsigmoid" in fields.get("activations", ()) else {}


# -- the model ---------------------------------------------------------------------------------------------------------


def _network(draw: Draw) -> dict[str, Any]:
    depth = draw.pick({0: 1.0, 1: 4.0, 2: 3.0, 3: 1.0, 4: 1.0})
    fields: dict[str, Any] = {"inputs": _inputs(draw), "sync": draw.pick({"free": 6.0, "step": 2.0, "module": 2.0})}
    hidden = [draw.whole(1, 64) for _ in range(depth)]
    if depth and draw.chance(0.02):
        hidden[0] = draw.whole(200, 300)
    one = draw.pick(ACTIVATIONS)  # one activation for all layers, or one for each
    activations = [one] * depth if draw.chance(0.5) else [draw.pick(ACTIVATIONS) for _ in range(depth)]
    if depth >= 2 and draw.chance(0.15):
        hidden[1:] = [hidden[0]] * (depth - 1)
        fields["tied"] = draw.pick(("module", "weight"))
        if depth == 2:
            fields["inputs"] = hidden[0]
    fields |= {"hidden": tuple(hidden), "activations": tuple(activations)}
    if depth and draw.chance(0.1):
        fields["dropout"] = draw.pick((0.1, 0.3, 0.5, 0.9))
    fields["bias"] = draw.chance(0.9)
    if draw.chance(0.05):
        fields["frozen"] = "first" if depth and draw.chance(0.5) else "biases"
    fields |= _loss(draw)
    if draw.chance(0.1):
        fields["penalty"] = text_of_call(draw.pick(("l1", "l2")), draw.between(1e-3, 1.0))
    return fields


def _inputs(draw: Draw) -> int:
    low, high = draw.pick({(1, 20): 80.0, (20, 100): 15.0, (200, 600): 2.0, (1000, 2000): 2.0})
    return draw.whole(low, high)


def _loss(draw: Draw) -> dict[str, Any]:
    name = draw.pick(LOSSES)
    options: dict[str, Any] = {}
    fields: dict[str, Any] = {"outputs": draw.whole(1, 12)}
    if name in ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss"):
        fields["outputs"] = draw.whole(2, 12)
        if draw.chance(0.25):
            options["weight"] = "random"
        if name == "CrossEntropyLoss" and draw.chance(0.2):
            options["label_smoothing"] = draw.pick((0.1, 0.3, 1.0))
        if name == "CrossEntropyLoss" and draw.chance(0.2):
            fields["targets"] = "probabilities"
        elif name != "MultiMarginLoss" and draw.chance(0.25):
            options["ignore_index"] = draw.pick((-100, 0, fields["outputs"] - 1))
        if name == "MultiMarginLoss":
            options |= {"p": draw.pick((1, 2)), "margin": draw.pick((1.0, 0.5, 3.0))}
    elif name in ("BCELoss", "BCEWithLogitsLoss"):
        if draw.chance(0.3):
            fields["targets"] = "soft"
        if draw.chance(0.2):
            options["weight"] = "random"
        if name == "BCEWithLogitsLoss" and draw.chance(0.2):
            options["pos_weight"] = "random"
    elif name == "SmoothL1Loss":
        options["beta"] = draw.pick((1.0, 0.1, 0.0))
    elif name == "HuberLoss":
        options["delta"] = draw.pick((1.0, 0.1, 5.0))
    elif name == "KLDivLoss":
        options["log_target"] = draw.chance(0.3)
        fields["outputs"] = draw.whole(2, 12)
    if name in ("NLLLoss", "KLDivLoss"):
        fields["output"] = "LogSoftmax:-1"
    elif name == "BCELoss":
        fields["output"] = "Sigmoid"
    elif name == "SoftMarginLoss":  # PyTorch's is log(1 + exp(-y s)) as it stands, and overflows where ours does not
        fields["output"] = draw.pick(("Tanh", "Softsign", "Hardtanh:-3.0:3.0"))
    elif name in ("MSELoss", "L1Loss") and draw.chance(0.15):
        fields["output"] = draw.pick(("Sigmoid", "Tanh", "ReLU"))
    if name in NEAR and draw.chance(0.15):
        fields["targets"] = "near"
        options.pop("ignore_index", None)
    fields["loss"] = text_of_call(name, **options)
    return fields


def _classic(draw: Draw) -> dict[str, Any]:
    name = draw.pick(CLASSIC)
    options: dict[str, Any] = {}
    outputs = 1
    if name == "LinearSVM":
        options["C"] = draw.between(1e-2, 1e2)
        options["loss"] = draw.pick(("hinge", "squared_hinge"))
        options["convention"] = draw.pick(("course", "mean"))
    elif draw.chance(0.5):
        options["lambda_"] = draw.between(1e-2, 1e2)
    if name == "LinearRegression":
        options["convention"] = draw.pick(("course", "torch"))
    elif name == "SigmoidNetwork":
        outputs = draw.whole(1, 6)
        options |= {"hidden": draw.whole(1, 16), "cost": draw.pick(("cross_entropy", "half_squares"))}
        if draw.chance(0.1):
            options["freeze_biases"] = True
    elif name in ("OneVsAll", "SoftmaxRegression"):
        outputs = draw.whole(2, 10)
    return {
        "model": text_of_call(name, **options),
        "inputs": _inputs(draw),
        "outputs": outputs,
        "sync": draw.pick({"free": 3.0, "step": 1.0}),
    }


# -- the data ----------------------------------------------------------------------------------------------------------


def _data(draw: Draw) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if draw.chance(0.35):
        fields["scale"] = draw.pick(
            {1e-4: 2.0, 1e-3: 1.0, 1e-2: 1.0, 0.1: 1.0, 10.0: 1.0, 1e2: 1.0, 1e3: 1.0, 1e4: 2.0}
        )
    if draw.chance(0.1):
        fields["columns"] = draw.pick((1.0, 2.0, 4.0, 8.0))
    if draw.chance(0.1):
        fields["offset"] = draw.pick((1.0, 10.0, 100.0, -3.0))
    if draw.chance(0.25):
        fields["special"] = draw.pick(SPECIALS)
    if draw.chance(0.15):
        fields["gain"] = draw.pick((0.01, 0.1, 3.0, 10.0))
    return fields


def _rows(draw: Draw, fields: Mapping[str, Any]) -> dict[str, Any]:
    most = 32 if max((fields["inputs"], *fields.get("hidden", ()))) >= 200 else 64
    low, high = draw.pick({(1, 1): 3.0, (2, 8): 20.0, (8, most): 70.0, (most, 200 if most == 64 else 64): 7.0})
    rows = draw.whole(low, high)
    steps = draw.pick({1: 1.0, 2: 2.0, 3: 5.0, 4: 1.0, 5: 1.0, 6: 1.0})
    made: dict[str, Any] = {"parts": _parts(draw, rows), "steps": steps, "fresh": draw.chance(0.3)}
    plain = "loss" in fields and fields["loss"].split(":")[0] not in ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss")
    if plain and "PReLU:width" not in fields["activations"] and draw.chance(0.1):
        made["time"] = draw.whole(1, 5)
    return made


def _parts(draw: Draw, rows: int) -> tuple[int, ...]:
    kind = draw.pick({"whole": 3.0, "tail": 4.0, "two": 1.0, "lone": 1.0, "ones": 1.0})
    if rows == 1 or kind == "whole":
        return (rows,)
    if kind == "ones" and rows <= 6:
        return (1,) * rows
    if kind == "lone":
        return (rows - 1, 1) if draw.chance(0.5) else (1, rows - 1)
    if kind == "two":
        return ((rows + 1) // 2, rows // 2)
    each = max(1, rows * 2 // (2 * draw.whole(2, 4) - 1))
    full, tail = divmod(rows, each)
    return (each,) * full + ((tail,) if tail else ())


# -- training ----------------------------------------------------------------------------------------------------------


def _training(draw: Draw, fields: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"optimizer": _optimizer(draw, fields)}
    network = "model" not in fields
    if network and draw.chance(0.1):
        made["groups"] = True
    if draw.chance(0.4):
        made["schedule"] = _schedule(draw)
    if draw.chance(0.3):
        bound = draw.between(1e-3, 1e3)
        kinds = {"norm": 4.0, "value": 1.0, "inf": 0.5, "one": 0.5} if network else {"norm": 1.0}
        kind = draw.pick(kinds)
        norm = {"inf": ("inf",), "one": (1.0,)}.get(kind, ())
        made["clip"] = text_of_call("value" if kind == "value" else "norm", bound, *norm)
    return made


def _optimizer(draw: Draw, fields: Mapping[str, Any]) -> str:
    name = draw.pick({"SGD": 5.0, "Adam": 4.0, "AdamW": 3.0, "RMSprop": 2.0, "Adagrad": 2.0})
    options: dict[str, Any] = {}
    if name == "SGD":
        options["lr"] = _descent_rate(draw, fields)
        if draw.chance(0.6):
            options["momentum"] = draw.pick((0.9, 0.5, 0.99))
            if draw.chance(0.3):
                options["nesterov"] = True
            elif draw.chance(0.3):
                options["dampening"] = draw.pick((0.1, 0.9))
    else:
        options["lr"] = draw.between(1e-4, 0.3)
        if draw.chance(0.4):
            options["eps"] = draw.pick((1e-2, 1e-3, 1e-5, 1e-10))
    if name in ("Adam", "AdamW"):
        if draw.chance(0.3):
            options["betas"] = draw.pick(((0.8, 0.95), (0.5, 0.9), (0.0, 0.99), (0.95, 0.9999)))
        if draw.chance(0.25):
            options["amsgrad"] = True
    elif name == "RMSprop":
        options |= {"alpha": draw.pick((0.99, 0.9, 0.5))} if draw.chance(0.4) else {}
        options |= {"centered": True} if draw.chance(0.4) else {}
        options |= {"momentum": draw.pick((0.9, 0.5))} if draw.chance(0.4) else {}
    elif name == "Adagrad":
        options |= {"lr_decay": draw.pick((0.01, 0.5))} if draw.chance(0.3) else {}
        options |= {"initial_accumulator_value": draw.pick((0.1, 1.0))} if draw.chance(0.3) else {}
    if draw.chance(0.3):
        options["weight_decay"] = draw.pick((1e-4, 1e-2, 0.5))
    if draw.chance(0.03):
        options["maximize"] = True
    return text_of_call(name, **options)


def _descent_rate(draw: Draw, fields: Mapping[str, Any]) -> float:
    """A rate that plain descent survives: small where inputs and weights are large, but for one case in twenty."""
    rate = draw.between(1e-3, 0.5)
    size = fields.get("scale", 1.0) * (1 + abs(fields.get("offset", 0.0))) * 10 ** (fields.get("columns", 0.0) / 2)
    size = max(1.0, size) * max(1.0, fields.get("gain", 1.0)) ** len(fields.get("hidden", ()))
    name = fields.get("loss", fields.get("model", "")).split(":")[0]
    bounded = name not in ("MSELoss", "MultiMarginLoss", "LinearRegression", "LinearSVM")  # the slope of the loss is
    power = 1 if bounded else 2
    return rate if draw.chance(0.05) else float(f"{rate / size**power:.3g}")


def _schedule(draw: Draw) -> str:
    name = draw.pick(("StepLR", "MultiStepLR", "ExponentialLR", "LinearLR", "CosineAnnealingLR", "LambdaLR"))
    if name == "StepLR":
        return text_of_call(name, step_size=draw.whole(1, 3), gamma=draw.pick((0.1, 0.5)))
    if name == "MultiStepLR":
        return text_of_call(name, milestones=draw.pick(((1,), (1, 3), (2, 2, 4))), gamma=draw.pick((0.1, 0.5)))
    if name == "ExponentialLR":
        return text_of_call(name, gamma=draw.pick((0.9, 0.5)))
    if name == "LinearLR":
        return text_of_call(name, start_factor=draw.pick((0.1, 0.5)), total_iters=draw.whole(1, 5))
    if name == "CosineAnnealingLR":
        return text_of_call(name, T_max=draw.whole(1, 6), eta_min=draw.pick((0.0, 1e-3)))
    return text_of_call(name, draw.pick((0.9, 0.5)))
