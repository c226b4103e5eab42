"""Honest rewrites of the training step around the gradient, of optimizers and of schedules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.clipping import clipped_by
from compare.faults.collecting import Controls, every_side
from compare.faults.planting import Planting
from compare.faults.printed import (
    printed_adadelta,
    printed_adafactor,
    printed_adam,
    printed_adamax,
    printed_asgd,
    printed_momentum,
    printed_nadam,
    printed_radam,
    printed_rmsprop,
    printed_rprop,
)
from manual.optim import SGD, Adagrad, AdamW
from manual.optim.lr_scheduler import CosineAnnealingLR, StepLR
from manual.rules.core import Array

__all__ = ["CONTROLS"]

CONTROLS = Controls()
_NETWORK = scenes.network()
_CONSTANT = ("StepLR", (("step_size", 99),))


# -- the step ----------------------------------------------------------------------------------------------------------


@CONTROLS.add(
    "share-multiplied-and-divided",
    "a micro-batch's gradient is multiplied by its rows and divided by all, not multiplied by their quotient",
    _NETWORK,
)
def multiplied_and_divided(plant: Planting) -> None:
    rows = [0]
    total = sum(len(target) for (_, target), _ in plant.steps[0])

    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        rows[0] = len(micro_batch[1])
        kept = side.gradients
        for parameter in side._named.values():
            parameter.grad = None
        terms = right(side, micro_batch, 1.0)
        for name, parameter in side._named.items():
            side.deposits[name] = side.deposits[name] * rows[0] / total
            before = kept[name]
            parameter.grad = side.deposits[name] + (0 if before is None else before)
        return terms

    every_side(plant, "accumulate", accumulate)


@CONTROLS.add(
    "gradients-zeroed-in-place",
    "gradients are overwritten by zeros, not dropped",
    scenes.network("Adam", eps=1e-2),
)
def zeroed_in_place(plant: Planting) -> None:
    every_side(plant, "zero_grad", lambda right, side: side.optimizer.zero_grad(set_to_none=False))


def _long_vector(parameters: list[Any], bound: float) -> Any:
    norm = np.linalg.norm(np.concatenate([parameter.grad.ravel() for parameter in parameters]))
    if norm > bound:
        for parameter in parameters:
            parameter.grad = parameter.grad / ((norm + 1e-6) / bound)
    return norm


CONTROLS.add(
    "norm-of-one-long-vector",
    "the norm is that of all gradients laid end to end; they are divided, and only where it is too large",
    scenes.network(max_norm=0.11),
    scenes.network(max_norm=0.11, dtype="float32"),
)(clipped_by(_long_vector))

# -- optimizers --------------------------------------------------------------------------------------------------------

CONTROLS.add(
    "adam-as-printed",
    "corrected moments are formed, and the parameter is made anew; the wing folds the corrections into the rate",
    scenes.network("Adam", eps=1e-2, weight_decay=0.5),
    scenes.network("Adam", eps=1e-2, dtype="float32"),
)(printed_adam())

CONTROLS.add(
    "adam-with-running-powers",
    "beta^t is multiplied up from step to step",
    scenes.network("Adam", eps=1e-2),
)(
    printed_adam(
        m_hat=lambda n: n.m / (1 - math.prod([n.beta1] * int(n.t))),
        u_hat=lambda n: n.u / (1 - math.prod([n.beta2] * int(n.t))),
    )
)

CONTROLS.add(
    "adamw-decay-by-subtraction",
    "theta loses lr lambda theta, and is not multiplied by 1 - lr lambda",
    scenes.network("AdamW", eps=1e-2, weight_decay=0.5),
)(printed_adam(AdamW))

CONTROLS.add(
    "momentum-as-printed",
    "gradient, buffer and parameter are made anew, not changed in place",
    scenes.network(momentum=0.8, dampening=0.15, weight_decay=0.5),
)(printed_momentum())


@CONTROLS.add(
    "rate-inside-the-buffer-at-a-constant-rate",
    "the momentum buffer, which the side does not show, holds steps; while the rate stays, that is the same path",
    scenes.network(momentum=0.8, schedule=_CONSTANT),
)
def rate_inside(plant: Planting) -> None:
    printed_momentum(
        buffer=lambda b, g, o: o["momentum"] * b + o["lr"] * g, first=lambda g, o: o["lr"] * g, step=lambda b, g, o: b
    )(plant)
    plant.hide("slots")


CONTROLS.add(
    "rmsprop-as-printed",
    "every line of centred RMSprop makes a new array",
    scenes.network("RMSprop", eps=1e-2, centered=True, momentum=0.6, alpha=0.8),
)(printed_rmsprop())


@CONTROLS.add(
    "adagrad-by-a-reciprocal",
    "the gradient is multiplied by one over its scale",
    scenes.network("Adagrad", eps=1e-2),
)
def by_a_reciprocal(plant: Planting) -> None:
    def update(right: Any, self: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        slots["sum"] += gradient * gradient
        parameter -= gradient * (group["lr"] * (1 / (np.sqrt(slots["sum"]) + group["eps"])))

    plant.replace(Adagrad, "update", update)


@CONTROLS.add(
    "descent-out-of-place",
    "the parameter is made anew as theta (1 - lr lambda) - lr g",
    scenes.network(weight_decay=0.5),
)
def out_of_place(plant: Planting) -> None:
    def update(right: Any, self: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        parameter[...] = parameter * (1 - group["lr"] * group["weight_decay"]) - gradient * group["lr"]

    plant.replace(SGD, "update", update)


@CONTROLS.add(
    "cosine-in-closed-form",
    "the rate is computed from the initial one, not from the last",
    scenes.network(schedule=("CosineAnnealingLR", (("T_max", 7), ("eta_min", 0.05)))),
)
def cosine_in_closed_form(plant: Planting) -> None:
    def get_lr(right: Any, s: Any) -> list[float]:
        fallen = (1 + math.cos(math.pi * s.last_epoch / s.T_max)) / 2
        return [s.eta_min + (rate - s.eta_min) * fallen for rate in s.base_lrs]

    plant.replace(CosineAnnealingLR, "get_lr", get_lr)


@CONTROLS.add(
    "steps-in-closed-form",
    "the rate is the initial one times a power, not the last one times a factor",
    scenes.network(schedule=("StepLR", (("step_size", 1), ("gamma", 0.45)))),
)
def steps_in_closed_form(plant: Planting) -> None:
    def get_lr(right: Any, s: Any) -> list[float]:
        return [rate * s.gamma ** (s.last_epoch // s.step_size) for rate in s.base_lrs]

    plant.replace(StepLR, "get_lr", get_lr)


# -- the other optimizers ----------------------------------------------------------------------------------------------

CONTROLS.add(
    "adamax-with-the-rate-corrected",
    "the correction comes last, and the larger of two is half their sum and half their distance",
    scenes.network("Adamax", eps=1e-2, betas=(0.8, 0.6)),
)(
    printed_adamax(
        m_hat=lambda n: n.m,
        change=lambda n: n.m / n.u / (1 - n.beta1**n.t),
        u=lambda n: (n.beta2 * n.u + np.abs(n.g) + n.eps + np.abs(n.beta2 * n.u - np.abs(n.g) - n.eps)) / 2,
    )
)

CONTROLS.add(
    "nadam-as-adam-plus-a-look-ahead",
    "both parts of the numerator are brought over one denominator",
    scenes.network("NAdam", eps=1e-2, momentum_decay=0.3),
)(
    printed_nadam(
        m_hat=lambda n: (
            (n.mu_next * n.m * (1 - n.product) + (1 - n.mu) * n.g * (1 - n.product * n.mu_next))
            / ((1 - n.product) * (1 - n.product * n.mu_next))
        )
    )
)

CONTROLS.add(
    "radam-with-sums-written-out",
    "the rectification is a quotient of products of roots, and the length is put over one denominator",
    scenes.network("RAdam", eps=1e-2, betas=(0.8, 0.98), steps=8),
)(
    printed_radam(
        length=lambda n: (n.longest - (n.longest + 2 * n.t) * n.beta2**n.t) / (1 - n.beta2**n.t),
        r=lambda n: (
            np.sqrt(n.length - 4)
            * np.sqrt(n.length - 2)
            * np.sqrt(n.longest)
            / (np.sqrt(n.longest - 4) * np.sqrt(n.longest - 2) * np.sqrt(n.length))
        ),
    )
)

CONTROLS.add(
    "adadelta-with-one-root",
    "one root of a quotient stands for the quotient of two roots",
    scenes.network("Adadelta", lr=0.7, rho=0.8, eps=1e-2),
)(printed_adadelta(change=lambda n: np.sqrt((n.a + n.eps) / (n.v + n.eps)) * n.g))

CONTROLS.add(
    "asgd-average-as-a-blend",
    "the average is (1 - mu) times the old one plus mu times the new parameter; both pulls are added up first",
    scenes.network("ASGD", lr=0.3, lambd=0.2, alpha=0.6, t0=2),
)(
    printed_asgd(
        a=lambda n: (1 - n.mu) * n.a + n.mu * n.theta, theta=lambda n: n.theta - n.eta * (n.lambd * n.theta + n.g)
    )
)

CONTROLS.add(
    "rprop-with-signs-multiplied",
    "the signs are multiplied, not the numbers",
    scenes.network("Rprop", lr=0.02),
)(printed_rprop(sign=lambda n: np.sign(n.g) * np.sign(n.previous)))

CONTROLS.add(
    "adafactor-with-rows-over-their-mean",
    "the rows are divided by their mean before they are multiplied by the columns",
    scenes.network("Adafactor", lr=0.6, eps=(2e-2, 1e-3)),
)(
    printed_adafactor(
        v=lambda n: n.rows / np.maximum(n.rows.sum(-2, keepdims=True) / n.rows.shape[-2], n.eps[0]) @ n.columns
    )
)
