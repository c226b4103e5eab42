"""The update rules of torch's optimizers with a place for every mistake that is made in them.

Each rule is the printed algorithm for one parameter, with its conventions as keyword arguments whose defaults are
torch's: called without them it is the right rule, and with one of them changed it is a rule that somebody wrote. A
rule returns the change of the parameter, ``-lr u``, without decay (:mod:`compare.diagnosis.updates.decay`), and keeps
its slots under torch's names. All is computed in float64, but for what torch rounds further in every run.
"""

from __future__ import annotations

from collections.abc import Callable

from compare.diagnosis.updates.rules.core import Array, Rule, Turn, power
from compare.diagnosis.updates.rules.descent import asgd, rprop, sgd
from compare.diagnosis.updates.rules.matrices import adafactor, muon
from compare.diagnosis.updates.rules.moments import adam, adamax, nadam, radam, sparse_adam
from compare.diagnosis.updates.rules.squares import adadelta, adagrad, rmsprop

__all__ = ["RULES", "WHOLE", "Rule", "Turn", "power"]

RULES: dict[str, Callable[..., Array]] = {
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
"""By the name of torch's class."""

WHOLE = frozenset({"Adafactor", "Muon", "SparseAdam"})
"""The rules in which an element's step depends on others than itself."""
