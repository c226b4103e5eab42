"""The mistakes that are made in the formulas of the optimizers, each as a change of one convention of a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from compare.diagnosis.updates.variants.descent import asgd, rprop, sgd
from compare.diagnosis.updates.variants.kin import adamax, nadam, radam
from compare.diagnosis.updates.variants.matrices import adafactor, muon
from compare.diagnosis.updates.variants.moments import adam, sparse_adam
from compare.diagnosis.updates.variants.shared import Variant
from compare.diagnosis.updates.variants.squares import adadelta, adagrad, rmsprop

__all__ = ["VARIANTS", "Variant"]

VARIANTS: dict[str, Callable[[Mapping[str, Any]], Iterator[Variant]]] = {
    "ASGD": asgd,
    "Adadelta": adadelta,
    "Adafactor": adafactor,
    "Adagrad": adagrad,
    "Adam": adam,
    "AdamW": adam,
    "Adamax": adamax,
    "Muon": muon,
    "NAdam": nadam,
    "RAdam": radam,
    "RMSprop": rmsprop,
    "Rprop": rprop,
    "SGD": sgd,
    "SparseAdam": sparse_adam,
}
"""By the name of torch's class, from the options of the parameter's group."""
