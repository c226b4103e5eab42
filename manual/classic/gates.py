"""Logic by sigmoid units: AND, OR and NOR in one unit each, XNOR in two layers."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import DTypeLike

from manual.classic.logistic_regression import LogisticRegression
from manual.classic.model import choose
from manual.classic.sigmoid_network import SigmoidNetwork
from manual.rules.core import Array

__all__ = ["GATES", "gate", "truth_table", "xnor_network"]

GATES = MappingProxyType({"AND": (-30.0, 20.0, 20.0), "OR": (-10.0, 20.0, 20.0), "NOR": (10.0, -20.0, -20.0)})
"""``(b, w1, w2)`` of each unit, as the lecture writes them: the bias first."""

_ANSWERS = {"AND": (0, 0, 0, 1), "OR": (0, 1, 1, 1), "NOR": (1, 0, 0, 0), "XNOR": (1, 0, 0, 1)}


def truth_table(name: str, dtype: DTypeLike = np.float64) -> tuple[Array, Array]:
    """The four inputs (4, 2), and the answers (4,) of AND, OR, NOR or XNOR.

    Shapes: as said.

    Raises
    ------
    ValueError
        If the gate is unknown.

    Examples
    --------
    >>> inputs, answers = classic.truth_table("XNOR")
    >>> inputs.tolist(), answers.tolist()
    ([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [1.0, 0.0, 0.0, 1.0])
    """
    choose("gate", name, tuple(_ANSWERS))
    return np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype), np.array(_ANSWERS[name], dtype)


def gate(name: str, dtype: DTypeLike = np.float64) -> LogisticRegression:
    """One sigmoid unit that computes AND, OR or NOR.

    ``z = b + w1 x1 + w2 x2`` takes the values -30, -10, -10, 10 for AND; -10, 10, 10, 30 for OR; 10, -10, -10, -30 for
    NOR. Ten is far enough out: ``sigmoid(10) = 0.99995``, so each unit is right within 5e-5. One unit draws one
    straight line (``z = 0``), and no line has (0, 0) and (1, 1) on one side and (0, 1) and (1, 0) on the other: the sum
    of z over either pair is ``2b + w1 + w2``, and it cannot be positive for one and negative for the other. So XNOR
    needs a second layer.

    Shapes: the unit takes inputs ``(m, 2)`` and answers ``(m,)``.

    Raises
    ------
    ValueError
        If the gate is unknown.

    Examples
    --------
    >>> inputs, answers = classic.truth_table("AND")
    >>> classic.gate("AND").predict(inputs), answers
    (array([0, 0, 0, 1]), array([0., 0., 0., 1.]))
    """
    bias, first, second = GATES[choose("gate", name, tuple(GATES))]
    unit = LogisticRegression(2, dtype=dtype)
    unit.load_parameters({"linear.weight": np.array([[first, second]]), "linear.bias": np.array([bias])})
    return unit


def xnor_network(dtype: DTypeLike = np.float64) -> SigmoidNetwork:
    """XNOR as the lecture composes it: ``(x1 AND x2) OR (x1 NOR x2)``, a 2-2-1 network of those three units.

    Shapes: the network takes inputs ``(m, 2)`` and answers ``(m, 1)``. Raises nothing.

    Examples
    --------
    >>> inputs, answers = classic.truth_table("XNOR")
    >>> classic.xnor_network().predict(inputs).ravel(), answers
    (array([1, 0, 0, 1]), array([1., 0., 0., 1.]))
    """
    units = np.array([GATES["AND"], GATES["NOR"]])
    top = np.array([GATES["OR"]])
    network = SigmoidNetwork(2, 2, 1, dtype=dtype)
    network.load_parameters(
        {
            "hidden.weight": units[:, 1:],
            "hidden.bias": units[:, 0],
            "output.weight": top[:, 1:],
            "output.bias": top[:, 0],
        }
    )
    return network
