"""Activations as functions."""

from __future__ import annotations

from manual import rules
from manual.tensor import lift

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]

relu = lift(rules.relu)
relu6 = lift(rules.relu6)
leaky_relu = lift(rules.leaky_relu)
elu = lift(rules.elu)
selu = lift(rules.selu)
celu = lift(rules.celu)
gelu = lift(rules.gelu)
sigmoid = lift(rules.sigmoid)
logsigmoid = lift(rules.logsigmoid)
tanh = lift(rules.tanh)
hardtanh = lift(rules.hardtanh)
softplus = lift(rules.softplus)
softsign = lift(rules.softsign)
silu = lift(rules.silu)
mish = lift(rules.mish)
tanhshrink = lift(rules.tanhshrink)
hardshrink = lift(rules.hardshrink)
softshrink = lift(rules.softshrink)
threshold = lift(rules.threshold)
hardsigmoid = lift(rules.hardsigmoid)
hardswish = lift(rules.hardswish)
prelu = lift(rules.prelu)
glu = lift(rules.glu)
softmax = lift(rules.softmax)
log_softmax = lift(rules.log_softmax)
softmin = lift(rules.softmin)
