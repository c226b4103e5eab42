"""Logic gates with the lecture's weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import torch_ref.classic
from manual import classic

TABLES = {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "NOR": [1, 0, 0, 0], "XNOR": [1, 0, 0, 1]}


@pytest.mark.parametrize(("name", "answers"), TABLES.items())
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_truth_tables(name, answers, dtype):
    x, y = classic.truth_table(name, dtype)
    assert x.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert y.tolist() == answers
    assert x.dtype == y.dtype == dtype
    unit = classic.xnor_network(dtype) if name == "XNOR" else classic.gate(name, dtype)
    assert unit.predict(x).tolist() == answers
    assert unit.accuracy(x, y) == 1
    np.testing.assert_allclose(unit.predict_probability(x).ravel(), answers, atol=5e-5)


@pytest.mark.parametrize(("name", "weights"), [("AND", (-30, 20, 20)), ("OR", (-10, 20, 20)), ("NOR", (10, -20, -20))])
def test_the_lectures_weights(name, weights):
    unit = classic.gate(name)
    assert (*unit.parameters["linear.bias"], *unit.parameters["linear.weight"][0]) == weights


def test_xnor_is_composed_of_the_units():
    x, _ = classic.truth_table("XNOR")
    hidden = classic.xnor_network().evaluate(x, np.zeros(4)).activations["hidden_sigmoid"]
    for column, name in enumerate(("AND", "NOR")):
        np.testing.assert_array_equal(hidden[:, column], classic.gate(name).predict_probability(x))


def test_xnor_twin():
    network = classic.xnor_network()
    twin = torch_ref.classic.SigmoidNetwork(2, 2, 1, dtype=torch.float64)
    twin.load_state_dict({name: torch.tensor(value) for name, value in network.parameters.items()})
    x, y = classic.truth_table("XNOR")
    assert twin.accuracy(torch.tensor(x), torch.tensor(y)) == 1


def test_no_line_separates_xnor():
    """The best single unit says 1/2 to everything: its cost is convex, and there its gradient is zero."""
    x, y = classic.truth_table("XNOR")
    unit = classic.LogisticRegression(2)
    unit.load_parameters({"linear.weight": [[1.0, -2.0]], "linear.bias": [0.5]})
    classic.gradient_descent(unit, x, y, 1.0, 3000)
    np.testing.assert_allclose(unit.predict_probability(x), 0.5, atol=1e-9)
    at_zero = classic.LogisticRegression(2).evaluate(x, y)
    assert at_zero.loss["total"] == pytest.approx(np.log(2))
    for gradient in at_zero.gradients.values():
        np.testing.assert_array_equal(gradient, 0)


def test_a_2_2_1_network_learns_xnor():
    x, y = classic.truth_table("XNOR")
    network = classic.SigmoidNetwork(2, 2, 1)
    costs = classic.gradient_descent(network, x, y, 1.0, 3000)
    assert costs[-1] < 0.01 < costs[0]
    assert network.predict(x).tolist() == y.tolist()


def test_a_2_2_1_network_can_get_stuck():
    """From some weights it ends near log(2)/2, two rows given 1/2 each: the cost of a network is not convex."""
    x, y = classic.truth_table("XNOR")
    network = classic.SigmoidNetwork(2, 2, 1, seed=1)
    costs = classic.gradient_descent(network, x, y, 1.0, 4000)
    assert costs[-1] == pytest.approx(np.log(2) / 2, rel=0.01)


def test_unknown_gate():
    with pytest.raises(ValueError, match="gate is 'NAND'; it is one of 'AND', 'OR', 'NOR', 'XNOR'"):
        classic.truth_table("NAND")
