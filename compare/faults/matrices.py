"""Mistakes in the optimizers that see rows and columns: Adafactor, Muon and SparseAdam."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Plant
from compare.faults.printed import printed_adafactor
from manual.optim import Muon, SparseAdam, muon
from manual.rules.core import Array

__all__ = ["FAULTS"]

FAULTS = Faults()

# -- Adafactor ---------------------------------------------------------------------------------------------------------

_FACTORED = scenes.network("Adafactor", lr=0.6, eps=(2e-2, 1e-3))

FAULTS.add(
    "adafactor-moment-not-factored",
    "the mean of the columns is left out: all of a row is divided by the same number",
    cause="missing term",
    phase="update",
    step=1,
    scene=_FACTORED,
)(printed_adafactor(v=lambda n: n.rows * np.ones(n.columns.shape)))

FAULTS.add(
    "adafactor-product-not-divided",
    "the product of rows and columns is not divided by the mean of the rows",
    cause="missing term",
    phase="update",
    step=1,
    scene=_FACTORED,
)(printed_adafactor(v=lambda n: n.rows * n.columns))

FAULTS.add(
    "adafactor-squares-added-up",
    "the squares of a row and of a column are added up, not averaged",
    cause="sum instead of mean",
    phase="slots",
    step=1,
    scene=_FACTORED,
)(
    printed_adafactor(
        square_of_rows=lambda n: np.sum(n.g**2, -1, keepdims=True),
        square_of_columns=lambda n: np.sum(n.g**2, -2, keepdims=True),
    )
)

FAULTS.add(
    "adafactor-not-clipped",
    "a long step is not shortened to d",
    cause="other threshold",
    phase="update",
    step=1,
    scene=_FACTORED,
)(printed_adafactor(clipped=lambda n: n.step))

FAULTS.add(
    "adafactor-absolute-step",
    "the rate is not multiplied by the size of the parameter",
    cause="scale left out",
    phase="update",
    step=1,
    scene=_FACTORED,
)(printed_adafactor(length=lambda n: min(n.lr, 1 / np.sqrt(n.t))))

FAULTS.add(
    "adafactor-share-the-other-way",
    "the old moment weighs t^-0.8, where the new square does",
    cause="moment without its average",
    phase="slots",
    step=1,
    scene=_FACTORED,
)(printed_adafactor(share=lambda n: 1 - n.t**n.beta2_decay))

FAULTS.add(
    "adafactor-eps-added",
    "eps is added under the root, where it is a lower bound",
    cause="eps in another place",
    phase="update",
    step=1,
    scene=_FACTORED,
)(printed_adafactor(root=lambda n: np.sqrt(n.v + n.eps[0] ** 2)))

# -- Muon --------------------------------------------------------------------------------------------------------------

_ORTHOGONAL = scenes.matrices("Muon", 0.05, ns_steps=1)
"""Each iteration in bfloat16 makes the noise floor two to three times as wide; after five it hides the step."""


def _orthogonalized(wrong: Any) -> Plant:
    """Another way to make a step orthogonal, ``wrong(right, step, coefficients, steps, eps)``."""
    return lambda plant: plant.replace(muon, "orthogonalized", wrong)


FAULTS.add(
    "muon-cubic-coefficients",
    "the iteration has the coefficients 3/2, -1/2, 0 of Newton's cubic",
    cause="other option",
    phase="update",
    step=1,
    scene=_ORTHOGONAL,
)(_orthogonalized(lambda right, g, coefficients, steps, eps: right(g, (1.5, -0.5, 0.0), steps, eps)))

FAULTS.add(
    "muon-not-orthogonal",
    "the step is divided by its norm and goes along the momentum",
    cause="left out",
    phase="update",
    step=1,
    scene=_ORTHOGONAL,
)(_orthogonalized(lambda right, g, coefficients, steps, eps: g / np.linalg.norm(g)))

FAULTS.add(
    "muon-rate-of-the-transpose",
    "the factor of the rate has rows and columns in each other's place",
    cause="transposed",
    also=("scale left out",),
    phase="update",
    step=1,
    scene=_ORTHOGONAL,
)(lambda plant: plant.replace(muon, "_adjustment", lambda right, name, shape: right(name, tuple(reversed(shape)))))


def _muon(update: Any) -> Plant:
    """Another update, ``update(right, parameter, gradient, buffer, group)`` with ``right(gradient, group)``."""

    def wrong(right: Any, self: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        def step(g: Array, o: Any) -> None:
            right(self, parameter, g, slots, o)

        update(step, parameter, gradient, slots["momentum_buffer"], group)

    return lambda plant: plant.replace(Muon, "update", wrong)


def _adds_up(right: Any, theta: Array, g: Array, b: Array, o: Any) -> None:
    mu = o["momentum"]
    b[...] = mu * b + g
    ahead = (1 - mu) * g + mu * b
    theta *= 1 - o["lr"] * o["weight_decay"]
    factor = muon._adjustment(o["adjust_lr_fn"], theta.shape)
    theta -= o["lr"] * factor * muon.orthogonalized(ahead, o["ns_coefficients"], o["ns_steps"], o["eps"])


FAULTS.add(
    "muon-momentum-adds-up",
    "the momentum adds g in full, where torch averages",
    cause="moment without its average",
    phase="slots",
    step=1,
    scene=_ORTHOGONAL,
)(_muon(_adds_up))


def _without_rate(right: Any, theta: Array, g: Array, b: Array, o: Any) -> None:
    theta *= 1 - o["weight_decay"]
    right(g, {**o, "weight_decay": 0})


FAULTS.add(
    "muon-decay-without-the-rate",
    "the parameter is multiplied by 1 - lambda, not 1 - lr lambda",
    cause="decay without the learning rate",
    phase="update",
    step=1,
    scene=scenes.matrices("Muon", 0.05, ns_steps=1, weight_decay=0.4),
)(_muon(_without_rate))

# -- SparseAdam --------------------------------------------------------------------------------------------------------

_TABLE = scenes.looked_up("SparseAdam", 0.05, eps=1e-2)


def _rows(update: Any) -> Plant:
    """Another update of the whole table, ``update(theta, g, given, m, v, t, group)``, with dense ``g``."""

    def update_rows(right: Any, self: Any, parameter: Array, gradient: Any, slots: Any, group: Any) -> None:
        g = np.asarray(gradient)
        given = np.isin(np.arange(len(parameter)), np.asarray(gradient.indices))[:, None]
        update(parameter, g, given, slots["exp_avg"], slots["exp_avg_sq"], int(slots["step"]), group)

    return lambda plant: plant.replace(SparseAdam, "update_rows", update_rows)


def _all_rows(theta: Array, g: Array, given: Array, m: Array, v: Array, t: int, o: Any, moved: bool = True) -> None:
    beta1, beta2 = o["betas"]
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * g**2
    change = o["lr"] * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + o["eps"])
    theta -= change if moved else np.where(given, change, 0)


def _decaying(theta: Array, g: Array, given: Array, m: Array, v: Array, t: int, o: Any) -> None:
    _all_rows(theta, g, given, m, v, t, o, moved=False)


FAULTS.add(
    "sparse-adam-touches-every-row",
    "rows that were not looked up are updated as if their gradient were zero",
    cause="None taken as zero",
    phase="slots",
    step=2,
    scene=_TABLE,
    source="pytorch/pytorch#83769",
)(_rows(_all_rows))

FAULTS.add(
    "sparse-adam-decays-every-row",
    "the moments of rows that were not looked up decay, though the rows stay",
    cause="None taken as zero",
    phase="slots",
    step=2,
    scene=_TABLE,
)(_rows(_decaying))


def _eps_last(theta: Array, g: Array, given: Array, m: Array, v: Array, t: int, o: Any) -> None:
    beta1, beta2 = o["betas"]
    m[...] = np.where(given, beta1 * m + (1 - beta1) * g, m)
    v[...] = np.where(given, beta2 * v + (1 - beta2) * g**2, v)
    change = o["lr"] * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + o["eps"])
    theta -= np.where(given, change, 0)


FAULTS.add(
    "sparse-adam-eps-after-the-correction",
    "eps is added to the corrected root, as in Adam",
    cause="eps in another place",
    phase="update",
    step=1,
    scene=_TABLE,
)(_rows(_eps_last))
