"""Mistakes in what was made of Adam: Adamax, NAdam and RAdam."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Planting
from compare.faults.printed import ADAM, printed_adamax, printed_nadam, printed_radam
from manual.optim import NAdam

__all__ = ["FAULTS"]

FAULTS = Faults()

# -- Adamax ------------------------------------------------------------------------------------------------------------

_LARGEST = scenes.network("Adamax", eps=1e-2, betas=(0.8, 0.6))

FAULTS.add(
    "adamax-eps-beside-the-maximum",
    "eps is added where the step is divided by the maximum, as in the paper's code, not to |g|",
    cause="eps in another place",
    phase="slots",
    step=1,
    scene=_LARGEST,
)(printed_adamax(u=lambda n: np.maximum(n.beta2 * n.u, np.abs(n.g)), change=lambda n: n.m_hat / (n.u + n.eps)))

FAULTS.add(
    "adamax-averages-magnitudes",
    "the second moment averages |g| where the larger of the two is kept",
    cause="maximum left out",
    phase="slots",
    step=1,
    scene=_LARGEST,
)(printed_adamax(u=lambda n: n.beta2 * n.u + (1 - n.beta2) * (np.abs(n.g) + n.eps)))

FAULTS.add(
    "adamax-maximum-never-decays",
    "the maximum is that of all steps: beta2 is forgotten",
    cause="moment without its average",
    phase="slots",
    step=2,
    scene=_LARGEST,
)(printed_adamax(u=lambda n: np.maximum(n.u, np.abs(n.g) + n.eps)))

FAULTS.add(
    "adamax-gradient-weighed",
    "the gradient enters the maximum multiplied by 1 - beta2, as it enters an average",
    cause="moment without its average",
    phase="slots",
    step=1,
    scene=_LARGEST,
)(printed_adamax(u=lambda n: np.maximum(n.beta2 * n.u, (1 - n.beta2) * np.abs(n.g) + n.eps)))

FAULTS.add(
    "adamax-maximum-corrected",
    "the maximum is divided by 1 - beta2^t, as Adam's second moment is",
    cause="bias correction added",
    phase="update",
    step=1,
    scene=_LARGEST,
)(printed_adamax(change=lambda n: n.m_hat / (n.u / (1 - n.beta2**n.t))))

FAULTS.add(
    "adamax-correction-missing",
    "the first moment is used as it is",
    cause="bias correction missing",
    phase="update",
    step=1,
    scene=_LARGEST,
)(printed_adamax(m_hat=lambda n: n.m))

# -- NAdam -------------------------------------------------------------------------------------------------------------

_AHEAD = scenes.network("NAdam", eps=1e-2, momentum_decay=0.3)


@FAULTS.add(
    "nadam-product-forgotten",
    "the correction has the momentum of this step, not the product of all",
    cause="bias correction without exponent",
    phase="slots",
    step=2,
    scene=_AHEAD,
)
def product_forgotten(plant: Planting) -> None:
    def advance(right: Any, optimizer: Any, slots: Any, group: Any) -> None:
        slots["mu_product"][...] = 1
        right(optimizer, slots, group)

    plant.replace(NAdam, "advance", advance)


FAULTS.add(
    "nadam-corrected-by-this-step",
    "the first moment is corrected by the product up to this step, not up to the next",
    cause="step count off by one",
    phase="update",
    step=1,
    scene=_AHEAD,
)(printed_nadam(m_hat=lambda n: (n.mu_next * n.m + (1 - n.mu) * n.g) / (1 - n.product)))

FAULTS.add(
    "nadam-momentum-of-this-step",
    "the first moment is multiplied by the momentum of this step: nothing looks ahead",
    cause="nesterov",
    phase="update",
    step=1,
    scene=_AHEAD,
)(printed_nadam(mu_next=lambda n: n.mu, m_hat=lambda n: (n.mu * n.m + (1 - n.mu) * n.g) / (1 - n.product)))

FAULTS.add(
    "nadam-gradient-left-out",
    "the step goes by the first moment alone",
    cause="nesterov",
    phase="update",
    step=1,
    scene=_AHEAD,
)(printed_nadam(m_hat=lambda n: n.mu_next * n.m / (1 - n.product * n.mu_next)))

FAULTS.add(
    "nadam-eps-inside-the-root",
    "eps is added to the second moment, under the root",
    cause="eps inside the root",
    phase="update",
    step=1,
    scene=_AHEAD,
)(printed_nadam(change=lambda n: n.m_hat / np.sqrt(n.u_hat + n.eps)))


@FAULTS.add(
    "nadam-momentum-constant",
    "momentum_decay is accepted and ignored: the momentum is beta1 at every step",
    cause="other option",
    phase="slots",
    step=1,
    scene=_AHEAD,
)
def momentum_constant(plant: Planting) -> None:
    def advance(right: Any, optimizer: Any, slots: Any, group: Any) -> None:
        product = slots["mu_product"] * np.float32(group["betas"][0])
        right(optimizer, slots, group)
        slots["mu_product"][...] = product

    plant.replace(NAdam, "advance", advance)
    printed_nadam(mu=lambda n: n.beta1, mu_next=lambda n: n.beta1)(plant)


# -- RAdam -------------------------------------------------------------------------------------------------------------

_RECTIFIED = scenes.network("RAdam", eps=1e-2, betas=(0.8, 0.98), steps=8)

FAULTS.add(
    "radam-threshold-of-the-paper",
    "the adaptive step begins at rho > 4, as in the paper, not at rho > 5",
    cause="other threshold",
    phase="update",
    step=5,
    scene=_RECTIFIED,
)(printed_radam(threshold=lambda n: 4.0))

FAULTS.add(
    "radam-rectification-left-out",
    "the adaptive step is taken in full once it begins",
    cause="scale left out",
    phase="update",
    step=6,
    scene=_RECTIFIED,
)(printed_radam(r=lambda n: 1.0))

FAULTS.add(
    "radam-rectification-without-its-root",
    "the ratio of variances multiplies the step, without its root",
    cause="root left out",
    phase="update",
    step=6,
    scene=_RECTIFIED,
)(
    printed_radam(
        r=lambda n: (n.length - 4) * (n.length - 2) * n.longest / ((n.longest - 4) * (n.longest - 2) * n.length)
    )
)

FAULTS.add(
    "radam-eps-after-the-correction",
    "eps is added to the corrected root, as in Adam",
    cause="eps in another place",
    phase="update",
    step=6,
    scene=_RECTIFIED,
)(printed_radam(scale=lambda n: 1 / (np.sqrt(n.v / (1 - n.beta2**n.t)) + n.eps)))

FAULTS.add(
    "radam-adaptive-from-the-start",
    "the first steps are Adam's, where they are to be momentum's",
    cause="other threshold",
    phase="update",
    step=1,
    scene=_RECTIFIED,
)(printed_radam(early=lambda n: n.m_hat * n.scale))

FAULTS.add(
    "radam-early-steps-uncorrected",
    "the first steps use the first moment without its correction",
    cause="bias correction missing",
    phase="update",
    step=1,
    scene=_RECTIFIED,
)(printed_radam(early=lambda n: n.m))

FAULTS.add(
    "radam-second-moment-of-magnitudes",
    "the second moment averages |g| in place of g squared",
    cause="square left out",
    phase="slots",
    step=1,
    scene=_RECTIFIED,
)(printed_radam(v=lambda n: n.beta2 * n.v + (1 - n.beta2) * np.abs(n.g), m=ADAM["m"]))
