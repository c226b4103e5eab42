"""Mistakes in the optimizers that find their own step length: Adadelta, ASGD and Rprop."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Planting
from compare.faults.printed import printed_adadelta, printed_asgd, printed_rprop
from manual.optim import ASGD, Rprop
from manual.rules.core import Array

__all__ = ["FAULTS"]

FAULTS = Faults()

# -- Adadelta ----------------------------------------------------------------------------------------------------------

_DELTA = scenes.network("Adadelta", lr=0.7, rho=0.8, eps=1e-2)

FAULTS.add(
    "adadelta-eps-outside-the-roots",
    "eps is added to both roots, not under them",
    cause="eps outside the root",
    phase="slots",
    step=1,
    scene=_DELTA,
)(printed_adadelta(change=lambda n: (np.sqrt(n.a) + n.eps) / (np.sqrt(n.v) + n.eps) * n.g))

FAULTS.add(
    "adadelta-rho-the-other-way",
    "the new square weighs rho, the old average 1 - rho",
    cause="moment without its average",
    phase="slots",
    step=1,
    scene=_DELTA,
)(printed_adadelta(v=lambda n: (1 - n.rho) * n.v + n.rho * n.g**2, a=lambda n: (1 - n.rho) * n.a + n.rho * n.change**2))

FAULTS.add(
    "adadelta-rate-in-the-average",
    "the average of the steps takes them in with their rate: another path once the rate moves",
    cause="learning rate inside the momentum buffer",
    phase="slots",
    step=1,
    scene=_DELTA,
)(printed_adadelta(a=lambda n: n.rho * n.a + (1 - n.rho) * (n.lr * n.change) ** 2))

FAULTS.add(
    "adadelta-averages-gradients-twice",
    "the average of the steps takes in the gradient",
    cause="wrong operand",
    phase="slots",
    step=1,
    scene=_DELTA,
)(printed_adadelta(a=lambda n: n.rho * n.a + (1 - n.rho) * n.g**2))

FAULTS.add(
    "adadelta-without-past-steps",
    "the gradient is divided by the root of its squares alone, as in RMSprop",
    cause="missing term",
    phase="slots",
    step=1,
    scene=_DELTA,
)(printed_adadelta(change=lambda n: n.g / np.sqrt(n.v + n.eps)))

# -- ASGD --------------------------------------------------------------------------------------------------------------

_AVERAGED = scenes.network("ASGD", lr=0.3, lambd=0.2, alpha=0.6, t0=2)


@FAULTS.add(
    "asgd-rate-counted-ahead",
    "the rate has fallen once more: it is that of step t + 1",
    cause="schedule off by one",
    phase="slots",
    step=1,
    scene=_AVERAGED,
)
def counted_ahead(plant: Planting) -> None:
    def conclude(right: Any, optimizer: Any, slots: Any, group: Any) -> None:
        right(optimizer, slots, group)
        t = slots["step"].flat[0].item() + 1
        slots["eta"][...] = np.float32(group["lr"] / (1 + group["lambd"] * group["lr"] * t) ** group["alpha"])

    plant.replace(ASGD, "conclude", conclude)


@FAULTS.add(
    "asgd-rate-without-its-power",
    "the rate falls as 1 / (1 + lambda lr t): alpha is ignored",
    cause="other option",
    phase="slots",
    step=1,
    scene=_AVERAGED,
)
def without_its_power(plant: Planting) -> None:
    def conclude(right: Any, optimizer: Any, slots: Any, group: Any) -> None:
        right(optimizer, slots, {**group, "alpha": 1.0})

    plant.replace(ASGD, "conclude", conclude)


@FAULTS.add(
    "asgd-average-starts-early",
    "the average begins one step before t0",
    cause="weights averaged otherwise",
    phase="slots",
    step=3,
    scene=_AVERAGED,
)
def starts_early(plant: Planting) -> None:
    def conclude(right: Any, optimizer: Any, slots: Any, group: Any) -> None:
        right(optimizer, slots, {**group, "t0": group["t0"] - 1})

    plant.replace(ASGD, "conclude", conclude)


FAULTS.add(
    "asgd-average-the-other-way",
    "the new parameter weighs 1 - mu, the old average mu",
    cause="weights averaged otherwise",
    phase="slots",
    step=1,
    scene=_AVERAGED,
)(printed_asgd(a=lambda n: n.mu * n.a + (1 - n.mu) * n.theta))

FAULTS.add(
    "asgd-decay-after-the-step",
    "the parameter shrinks after it has moved",
    cause="decay order",
    phase="slots",
    step=1,
    scene=_AVERAGED,
)(printed_asgd(theta=lambda n: (1 - n.lambd * n.eta) * (n.theta - n.eta * n.g)))

FAULTS.add(
    "asgd-decay-missing",
    "lambda only makes the rate fall, and does not shrink the parameter",
    cause="missing penalty",
    phase="slots",
    step=1,
    scene=_AVERAGED,
)(printed_asgd(shrunk=lambda n: n.theta))

# -- Rprop -------------------------------------------------------------------------------------------------------------

_RESILIENT = scenes.network("Rprop", lr=0.02)
_BOUNDED = scenes.network("Rprop", lr=0.02, step_sizes=(0.015, 0.023))

FAULTS.add(
    "rprop-factors-swapped",
    "steps grow where the gradient changes its sign and shrink where it does not",
    cause="factors swapped",
    phase="slots",
    step=2,
    scene=_RESILIENT,
)(printed_rprop(factor=lambda n: np.where(n.sign > 0, n.etas[0], np.where(n.sign < 0, n.etas[1], 1.0))))

FAULTS.add(
    "rprop-sign-change-remembered",
    "where the sign has changed the gradient is kept, so that the next step counts a change again",
    cause="sign change",
    phase="slots",
    step=2,
    scene=_RESILIENT,
)(printed_rprop(previous=lambda n: n.g))

FAULTS.add(
    "rprop-moves-where-the-sign-changes",
    "the parameter moves although the gradient has changed its sign",
    cause="sign change",
    phase="update",
    step=2,
    scene=_RESILIENT,
)(printed_rprop(theta=lambda n: n.theta - np.sign(n.g) * n.size))

FAULTS.add(
    "rprop-gradient-not-its-sign",
    "the step is multiplied by the gradient",
    cause="wrong operand",
    phase="update",
    step=1,
    scene=_RESILIENT,
)(printed_rprop(theta=lambda n: n.theta - n.used * n.size))

FAULTS.add(
    "rprop-sizes-without-bounds",
    "the step sizes are not held between their bounds",
    cause="other threshold",
    phase="slots",
    step=2,
    scene=_BOUNDED,
)(printed_rprop(size=lambda n: n.size * n.factor))


@FAULTS.add(
    "rprop-sizes-start-at-a-tenth",
    "the step sizes start at 0.1, the paper's default, not at the learning rate",
    cause="slot starts elsewhere",
    phase="slots",
    step=1,
    scene=_RESILIENT,
)
def start_at_a_tenth(plant: Planting) -> None:
    def new_slots(right: Any, optimizer: Any, parameter: Array, group: Any) -> Any:
        slots = right(optimizer, parameter, group)
        slots["step_size"][...] = 0.1
        return slots

    plant.replace(Rprop, "new_slots", new_slots)
