"""Mistakes in Adam and AdamW."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Planting
from compare.faults.printed import ADAM, bare, decayed, penalised, printed_adam
from manual.optim import Adam, AdamW
from manual.rules.core import Array

__all__ = ["FAULTS"]

FAULTS = Faults()
_PLAIN = scenes.network("Adam", eps=1e-2)
_PENALISED = scenes.network("Adam", eps=1e-2, weight_decay=0.5)
_DECOUPLED = scenes.network("AdamW", eps=1e-2, weight_decay=0.5)
_LARGEST = scenes.network("Adam", lr=0.2, eps=1e-2, amsgrad=True, betas=(0.8, 0.6))

FAULTS.add(
    "adam-eps-before-the-correction",
    "eps is added to the root of the uncorrected second moment",
    cause="eps before the bias correction",
    phase="update",
    step=1,
    scene=_PLAIN,
    source="tensorflow/tensorflow#35102",
)(printed_adam(change=lambda n: n.m_hat / ((np.sqrt(n.u) + n.eps) / np.sqrt(1 - n.beta2**n.t))))

FAULTS.add(
    "adam-multiplied-by-the-correction",
    "the moments are multiplied by 1 - beta^t, which divides them",
    cause="bias correction multiplied",
    phase="update",
    step=1,
    scene=_PLAIN,
    source="karpathy/convnetjs#70",
)(printed_adam(m_hat=lambda n: n.m * (1 - n.beta1**n.t), u_hat=lambda n: n.u * (1 - n.beta2**n.t)))

FAULTS.add(
    "adam-correction-without-exponent",
    "the correction is 1 - beta at every step",
    cause="bias correction without exponent",
    phase="update",
    step=2,
    scene=_PLAIN,
)(printed_adam(m_hat=lambda n: n.m / (1 - n.beta1), u_hat=lambda n: n.u / (1 - n.beta2)))

FAULTS.add(
    "adam-correction-missing",
    "the moments are used as they are",
    cause="bias correction missing",
    phase="update",
    step=1,
    scene=_PLAIN,
)(printed_adam(m_hat=lambda n: n.m, u_hat=lambda n: n.u))

FAULTS.add(
    "adam-second-correction-missing",
    "only the first moment is corrected",
    cause="bias correction missing",
    phase="update",
    step=1,
    scene=_PLAIN,
)(printed_adam(u_hat=lambda n: n.u))

FAULTS.add(
    "adam-step-ahead",
    "the step is counted before and after the update: the correction is that of t + 1",
    cause="step count off by one",
    phase="update",
    step=1,
    scene=_PLAIN,
)(printed_adam(m_hat=lambda n: n.m / (1 - n.beta1 ** (n.t + 1)), u_hat=lambda n: n.u / (1 - n.beta2 ** (n.t + 1))))


@FAULTS.add(
    "adam-step-counted-from-zero",
    "the step is counted after the update: the first correction is 1 - beta^0, and everything NaN",
    cause="step count off by one",
    phase="update",
    step=1,
    scene=_PLAIN,
    source="tracel-ai/burn#630",
)
def counted_from_zero(plant: Planting) -> None:
    with_zero = printed_adam(
        m_hat=lambda n: n.m / (1 - n.beta1 ** (n.t - 1)), u_hat=lambda n: n.u / (1 - n.beta2 ** (n.t - 1))
    )
    with_zero(plant)

    def step(right: Any, optimizer: Any, closure: Any = None) -> Any:
        with np.errstate(invalid="ignore", divide="ignore"):
            return right(optimizer, closure)

    plant.replace(Adam, "step", step)


@FAULTS.add(
    "adam-step-starts-at-one",
    "the step count starts at one and is counted up before its first use",
    cause="step count off by one",
    phase="slots",
    step=1,
    scene=_PLAIN,
)
def starts_counting_at_one(plant: Planting) -> None:
    def new_slots(right: Any, optimizer: Any, parameter: Array, group: Any) -> Any:
        slots = right(optimizer, parameter, group)
        slots["step"] += 1
        return slots

    plant.replace(Adam, "new_slots", new_slots)


FAULTS.add(
    "adam-decays-the-gradient",
    "weight decay adds lambda times the gradient to the gradient",
    cause="wrong variable decayed",
    phase="slots",
    step=1,
    scene=_PENALISED,
    source="mlverse/torch#821",
)(printed_adam(g=lambda n: n.gradient + n.decay * n.gradient))

FAULTS.add(
    "adam-penalty-missing",
    "weight decay is accepted and ignored",
    cause="missing penalty",
    phase="slots",
    step=1,
    scene=_PENALISED,
)(printed_adam(g=bare))

FAULTS.add(
    "adam-decoupled",
    "Adam decays the parameter in place of adding a penalty to the gradient",
    cause="decoupled decay instead of L2",
    phase="slots",
    step=1,
    scene=_PENALISED,
)(printed_adam(g=bare, theta=decayed))

FAULTS.add(
    "adamw-as-adam",
    "the decay goes into the gradient and through both moments",
    cause="L2 instead of decoupled decay",
    phase="slots",
    step=1,
    scene=_DECOUPLED,
    source="keras-team/keras#19051",
)(printed_adam(AdamW, g=penalised, theta=ADAM["theta"]))

FAULTS.add(
    "adamw-decay-after-the-update",
    "the parameter decays after it has moved",
    cause="decay order",
    phase="update",
    step=1,
    scene=_DECOUPLED,
    source="bitsandbytes-foundation/bitsandbytes#2010",
)(printed_adam(AdamW, theta=lambda n: (n.theta - n.lr * n.change) * (1 - n.lr * n.decay)))

FAULTS.add(
    "adamw-decay-without-the-rate",
    "the parameter is multiplied by 1 - lambda, not 1 - lr lambda",
    cause="decay without the learning rate",
    phase="update",
    step=1,
    scene=_DECOUPLED,
)(printed_adam(AdamW, theta=lambda n: n.theta - n.decay * n.theta - n.lr * n.change))

FAULTS.add(
    "adamw-decay-missing",
    "the decay is accepted and ignored",
    cause="missing penalty",
    phase="update",
    step=1,
    scene=_DECOUPLED,
)(printed_adam(AdamW, theta=ADAM["theta"]))

FAULTS.add(
    "amsgrad-maximum-of-the-corrected-moment",
    "the maximum is taken of corrected second moments",
    cause="maximum of the corrected moment",
    phase="slots",
    step=1,
    scene=_LARGEST,
)(printed_adam(largest=lambda n: n.v / (1 - n.beta2**n.t), u_hat=lambda n: n.u))

FAULTS.add(
    "amsgrad-maximum-unused",
    "the maximum is kept, and the update divides by the root of the present moment",
    cause="maximum left out",
    phase="update",
    step=2,
    scene=_LARGEST,
)(printed_adam(u_hat=lambda n: n.v / (1 - n.beta2**n.t)))

FAULTS.add(
    "amsgrad-maximum-forgotten",
    "the slot of the maximum is overwritten by the present moment",
    cause="maximum left out",
    phase="slots",
    step=2,
    scene=_LARGEST,
)(printed_adam(u=lambda n: n.v))

FAULTS.add(
    "adam-betas-swapped",
    "the two betas are handed over in the wrong order",
    cause="moments swapped",
    phase="slots",
    step=1,
    scene=_PLAIN,
)(
    printed_adam(
        m=lambda n: n.beta2 * n.m + (1 - n.beta2) * n.g,
        v=lambda n: n.beta1 * n.v + (1 - n.beta1) * n.g**2,
        m_hat=lambda n: n.m / (1 - n.beta2**n.t),
        u_hat=lambda n: n.u / (1 - n.beta1**n.t),
    )
)

FAULTS.add(
    "adam-second-moment-of-magnitudes",
    "the second moment averages |g| in place of g squared",
    cause="square left out",
    phase="slots",
    step=1,
    scene=_PLAIN,
)(printed_adam(v=lambda n: n.beta2 * n.v + (1 - n.beta2) * np.abs(n.g)))

FAULTS.add(
    "adam-root-left-out",
    "the first moment is divided by the second, without its root",
    cause="root left out",
    phase="update",
    step=1,
    scene=_PLAIN,
)(printed_adam(change=lambda n: n.m_hat / (n.u_hat + n.eps)))

FAULTS.add(
    "adam-eps-inside-the-root",
    "eps is added to the second moment, under the root",
    cause="eps inside the root",
    phase="update",
    step=1,
    scene=_PLAIN,
)(printed_adam(change=lambda n: n.m_hat / np.sqrt(n.u_hat + n.eps)))

FAULTS.add(
    "adam-eps-of-keras",
    "eps is 1e-7, keras's default, where torch's 1e-8 is meant",
    cause="other eps",
    phase="update",
    step=1,
    scene=scenes.network("Adam"),
)(printed_adam(change=lambda n: n.m_hat / (np.sqrt(n.u_hat) + 1e-7)))

FAULTS.add(
    "adam-first-moment-is-a-sum",
    "the first moment adds g, not (1 - beta) g",
    cause="moment without its average",
    phase="slots",
    step=1,
    scene=_PLAIN,
)(printed_adam(m=lambda n: n.beta1 * n.m + n.g))

FAULTS.add(
    "adam-moments-in-float32",
    "the moments of a float64 run are stored in float32",
    cause="lower precision",
    phase="slots",
    step=1,
    scene=_PLAIN,
)(
    printed_adam(
        m=lambda n: ADAM["m"](n).astype(np.float32).astype(np.float64),
        v=lambda n: ADAM["v"](n).astype(np.float32).astype(np.float64),
    )
)


@FAULTS.add(
    "adam-moves-by-the-old-moment",
    "the parameter moves before the gradient enters the first moment",
    cause="moment of the old step",
    phase="update",
    step=1,
    scene=_PLAIN,
)
def moves_by_the_old_moment(plant: Planting) -> None:
    before: dict[str, Array] = {}

    def m(n: Any) -> Any:
        before["m"] = n.m.copy()
        return ADAM["m"](n)

    printed_adam(m=m, m_hat=lambda n: before["m"] / (1 - n.beta1**n.t))(plant)
