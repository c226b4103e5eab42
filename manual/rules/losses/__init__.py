"""Losses: each a fused rule, its derivation written out."""

from manual.rules.losses.binary import binary_cross_entropy, binary_cross_entropy_with_logits
from manual.rules.losses.classification import class_denominator, cross_entropy, nll_loss
from manual.rules.losses.ctc import ctc_loss
from manual.rules.losses.divergence import kl_div
from manual.rules.losses.likelihood import gaussian_nll_loss, poisson_nll_loss
from manual.rules.losses.linear_cross_entropy import linear_cross_entropy
from manual.rules.losses.margin import hinge_loss, multi_margin_loss, soft_margin_loss, squared_hinge_loss
from manual.rules.losses.multilabel import multilabel_margin_loss, multilabel_soft_margin_loss
from manual.rules.losses.pairs import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    triplet_margin_loss,
)
from manual.rules.losses.regression import huber_loss, l1_loss, mse_loss, smooth_l1_loss

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "class_denominator",
    "cosine_embedding_loss",
    "cross_entropy",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "ctc_loss",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "linear_cross_entropy",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "squared_hinge_loss",
    "triplet_margin_loss",
]
