"""Mistakes in RMSprop, Adagrad and gradient descent with momentum."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Plant, Planting
from compare.faults.printed import printed_momentum, printed_rmsprop
from manual.optim import SGD, Adagrad, RMSprop
from manual.rules.core import Array

__all__ = ["FAULTS"]

FAULTS = Faults()

# -- RMSprop and Adagrad -----------------------------------------------------------------------------------------------

_CENTRED = scenes.network("RMSprop", eps=1e-2, centered=True, momentum=0.6, alpha=0.8)
_ACCUMULATING = scenes.network("Adagrad", eps=1e-2)

FAULTS.add(
    "rmsprop-eps-inside-the-root",
    "eps is added under the root",
    cause="eps inside the root",
    phase="slots",
    step=1,
    scene=_CENTRED,
    source="pytorch/pytorch#23796",
)(printed_rmsprop(change=lambda n: n.g / np.sqrt(n.u + n.eps)))


@FAULTS.add(
    "rmsprop-plain-eps-inside-the-root",
    "eps is added under the root, without momentum: only the update shows it",
    cause="eps inside the root",
    phase="update",
    step=1,
    scene=scenes.network("RMSprop", eps=1e-2),
    source="jax-ml/jax#1427",
)
def plain_eps_inside(plant: Planting) -> None:
    def update(right: Any, self: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        v = slots["square_avg"]
        v[...] = group["alpha"] * v + (1 - group["alpha"]) * gradient**2
        parameter -= group["lr"] * gradient / np.sqrt(v + group["eps"])

    plant.replace(RMSprop, "update", update)


FAULTS.add(
    "rmsprop-centring-left-out",
    "the mean is kept, but not subtracted from the second moment",
    cause="centring",
    phase="slots",
    step=1,
    scene=_CENTRED,
)(printed_rmsprop(u=lambda n: n.v))

FAULTS.add(
    "rmsprop-rate-inside-the-buffer",
    "the momentum buffer takes up steps, with their rate, in place of scaled gradients",
    cause="learning rate inside the momentum buffer",
    phase="slots",
    step=1,
    scene=_CENTRED,
)(printed_rmsprop(b=lambda n: n.momentum * n.b + n.lr * n.change, theta=lambda n: n.theta - n.b))


@FAULTS.add(
    "rmsprop-square-starts-at-one",
    "the running square starts at one, as in TensorFlow",
    cause="slot starts elsewhere",
    phase="slots",
    step=1,
    scene=_CENTRED,
)
def starts_at_one(plant: Planting) -> None:
    def new_slots(right: Any, optimizer: Any, parameter: Array, group: Any) -> Any:
        slots = right(optimizer, parameter, group)
        slots["square_avg"][...] = 1.0
        return slots

    plant.replace(RMSprop, "new_slots", new_slots)


def _adagrad(square: Any, scale: Any) -> Plant:
    def update(right: Any, self: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        s = slots["sum"]
        s[...] = square(s, gradient)
        parameter -= group["lr"] * gradient / scale(s, group["eps"])

    return lambda plant: plant.replace(Adagrad, "update", update)


@FAULTS.add(
    "adagrad-starts-at-a-tenth",
    "the sum of squares starts at 0.1, TensorFlow's default",
    cause="slot starts elsewhere",
    phase="slots",
    step=1,
    scene=_ACCUMULATING,
    source="pytorch/pytorch#6616",
)
def adagrad_start(plant: Planting) -> None:
    def new_slots(right: Any, optimizer: Any, parameter: Array, group: Any) -> Any:
        slots = right(optimizer, parameter, group)
        slots["sum"] += 0.1
        return slots

    plant.replace(Adagrad, "new_slots", new_slots)


FAULTS.add(
    "adagrad-other-eps",
    "eps is 1e-8 where torch's 1e-10 is meant",
    cause="other eps",
    phase="update",
    step=1,
    scene=scenes.network("Adagrad"),
    source="facebookresearch/dlrm#337",
)(_adagrad(lambda s, g: s + g**2, lambda s, eps: np.sqrt(s) + 1e-8))

FAULTS.add(
    "adagrad-eps-inside-the-root",
    "eps is added under the root",
    cause="eps inside the root",
    phase="update",
    step=1,
    scene=_ACCUMULATING,
)(_adagrad(lambda s, g: s + g**2, lambda s, eps: np.sqrt(s + eps)))

FAULTS.add(
    "adagrad-root-left-out",
    "the gradient is divided by the sum of squares, without its root",
    cause="root left out",
    phase="update",
    step=1,
    scene=_ACCUMULATING,
)(_adagrad(lambda s, g: s + g**2, lambda s, eps: s + eps))


# -- SGD ---------------------------------------------------------------------------------------------------------------

_MOMENTUM = scenes.network(momentum=0.8)
_DAMPENED = scenes.network(momentum=0.8, dampening=0.15)
_DESCENT_PENALISED = scenes.network(momentum=0.8, weight_decay=0.5)
_NESTEROV = scenes.network(momentum=0.8, nesterov=True)


_RATE_INSIDE = printed_momentum(
    buffer=lambda b, g, o: o["momentum"] * b + o["lr"] * g, first=lambda g, o: o["lr"] * g, step=lambda b, g, o: b
)

FAULTS.add(
    "momentum-buffer-holds-steps",
    "the learning rate enters the momentum buffer",
    cause="learning rate inside the momentum buffer",
    phase="slots",
    step=1,
    scene=_MOMENTUM,
    source="pytorch/pytorch#1099",
)(_RATE_INSIDE)


@FAULTS.add(
    "momentum-buffer-holds-steps-unseen",
    "the learning rate enters a momentum buffer that the side does not show: only a moving rate gives it away",
    cause="learning rate inside the momentum buffer",
    phase="update",
    step=3,
    scene=_MOMENTUM,
    source="pytorch/pytorch#1099",
)
def holds_steps_unseen(plant: Planting) -> None:
    _RATE_INSIDE(plant)
    plant.hide("slots")


FAULTS.add(
    "momentum-dampened-at-first",
    "dampening is applied to the first gradient too",
    cause="dampening on the first step",
    phase="slots",
    step=1,
    scene=_DAMPENED,
    source="ml-explore/mlx#473",
)(printed_momentum(first=lambda g, o: (1 - o["dampening"]) * g))

FAULTS.add(
    "dampening-left-out",
    "dampening is accepted and ignored",
    cause="dampening",
    phase="slots",
    step=2,
    scene=_DAMPENED,
)(printed_momentum(buffer=lambda b, g, o: o["momentum"] * b + g))

FAULTS.add(
    "momentum-as-an-average",
    "the buffer takes up (1 - mu) g",
    cause="moment without its average",
    also=("dampening",),
    phase="slots",
    step=1,
    scene=_MOMENTUM,
)(
    printed_momentum(
        buffer=lambda b, g, o: o["momentum"] * b + (1 - o["momentum"]) * g, first=lambda g, o: (1 - o["momentum"]) * g
    )
)

FAULTS.add(
    "momentum-buffer-made-anew",
    "the buffer is made anew at every step, and so never remembers",
    cause="momentum left out",
    phase="slots",
    step=2,
    scene=_MOMENTUM,
)(printed_momentum(buffer=lambda b, g, o: g))

FAULTS.add(
    "nesterov-left-out",
    "Nesterov's look-ahead is accepted and ignored",
    cause="nesterov",
    phase="update",
    step=1,
    scene=_NESTEROV,
)(printed_momentum())


@FAULTS.add(
    "nesterov-with-the-old-buffer",
    "the look-ahead goes by the buffer as it was before this step's gradient",
    cause="nesterov",
    phase="update",
    step=1,
    scene=_NESTEROV,
)
def nesterov_with_the_old_buffer(plant: Planting) -> None:
    old: dict[str, Any] = {}

    def buffer(b: Array, g: Array, o: Any) -> Any:
        old["b"] = b.copy()
        return o["momentum"] * b + g

    def first(g: Array, o: Any) -> Any:
        old["b"] = np.zeros_like(g)
        return g.copy()

    printed_momentum(buffer, first, lambda b, g, o: o["lr"] * (g + o["momentum"] * old["b"]))(plant)


FAULTS.add(
    "sgd-penalty-missing",
    "weight decay is accepted and ignored",
    cause="missing penalty",
    phase="slots",
    step=1,
    scene=_DESCENT_PENALISED,
)(printed_momentum(gradient=lambda g, theta, o: g))

FAULTS.add(
    "sgd-penalty-subtracted",
    "the penalty's gradient has the wrong sign, and weights grow",
    cause="penalty scaled",
    also=("sign",),
    phase="slots",
    step=1,
    scene=_DESCENT_PENALISED,
)(printed_momentum(gradient=lambda g, theta, o: g - o["weight_decay"] * theta))


@FAULTS.add(
    "sgd-penalty-past-the-momentum",
    "weight decay shrinks the parameter beside the momentum buffer, not through it",
    cause="decoupled decay instead of L2",
    phase="slots",
    step=1,
    scene=_DESCENT_PENALISED,
)
def past_the_momentum(plant: Planting) -> None:
    def update(right: Any, self: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        pull = group["lr"] * group["weight_decay"] * parameter
        right(self, parameter, gradient, slots, {**group, "weight_decay": 0})
        parameter -= pull

    plant.replace(SGD, "update", update)
