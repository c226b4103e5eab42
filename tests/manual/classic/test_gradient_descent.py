"""Simultaneous steps are PyTorch's; steps in turn, and Mazur's second round, are not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import torch_ref.classic
from manual import classic


def regression(dtype=np.float64):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(20, 3)).astype(dtype), generator.normal(size=20).astype(dtype) + 2
    model = classic.LinearRegression(3, lambda_=1.0, rows=20, dtype=dtype)
    model.load_parameters({"linear.weight": generator.normal(size=(1, 3)), "linear.bias": generator.normal(size=1)})
    return model, x + 0.5, y


def mazur():
    """Matt Mazur's network: inputs 0.05 and 0.10, targets 0.01 and 0.99, the weights as he numbers them."""
    network = classic.SigmoidNetwork(2, 2, 2, cost="half_squares", freeze_biases=True)
    network.load_parameters(
        {
            "hidden.weight": [[0.15, 0.20], [0.25, 0.30]],
            "hidden.bias": [0.35, 0.35],
            "output.weight": [[0.40, 0.45], [0.50, 0.55]],
            "output.bias": [0.60, 0.60],
        }
    )
    return network, np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_simultaneous_steps_are_sgd(dtype):
    model, x, y = regression(dtype)
    twin = torch_ref.classic.LinearRegression(3, lambda_=1.0, rows=20, dtype=torch.tensor(x).dtype)
    twin.load_state_dict({name: torch.tensor(value) for name, value in model.parameters.items()})
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        cost = twin.loss(twin(torch.tensor(x)), torch.tensor(y)) + twin.penalty()
        cost.backward()
        optimizer.step()
        evaluation = classic.update_simultaneously(model, x, y, 0.1)
        assert evaluation.loss["total"] == pytest.approx(cost.item(), rel=1e-5 if dtype == np.float32 else 1e-13)
    for name, value in twin.state_dict().items():
        assert model.parameters[name].dtype == dtype
        np.testing.assert_allclose(
            model.parameters[name], value.numpy(), rtol=1e-5 if dtype == np.float32 else 1e-13, err_msg=name
        )


@pytest.mark.parametrize(
    ("order", "first", "second"),
    [
        (None, "linear.weight", "linear.bias"),
        (("linear.bias", "linear.weight"), "linear.bias", "linear.weight"),
    ],
)
def test_steps_in_turn_part_at_the_second_parameter(order, first, second):
    right, x, y = regression()
    wrong, _, _ = regression()
    fair = classic.update_simultaneously(right, x, y, 0.1)
    used = classic.update_in_turn(wrong, x, y, 0.1, order=order)
    assert used.loss == fair.loss, "the evaluation is that of the old parameters"
    assert list(used.gradients) == [first, second]
    np.testing.assert_array_equal(wrong.parameters[first], right.parameters[first])
    assert np.abs(wrong.parameters[second] - right.parameters[second]).min() > 1e-3
    middle, _, _ = regression()
    middle.parameters[first][...] = right.parameters[first]
    np.testing.assert_array_equal(used.gradients[second], middle.evaluate(x, y).gradients[second])


def test_steps_in_turn_leave_frozen_parameters_alone():
    network, x, y = mazur()
    used = classic.update_in_turn(network, x, y, 0.5)
    assert list(used.gradients) == ["hidden.weight", "output.weight"]
    np.testing.assert_array_equal(network.parameters["hidden.bias"], [0.35, 0.35])


def test_the_order_has_to_name_every_parameter_once():
    model, x, y = regression()
    with pytest.raises(ValueError, match=r"order is \['linear.bias'\]; it has to name each of \['linear.weight', 'lin"):
        classic.update_in_turn(model, x, y, 0.1, order=["linear.bias"])


def test_mazurs_first_round_is_the_simultaneous_one():
    network, x, y = mazur()
    before = classic.update_simultaneously(network, x, y, 0.5)
    assert round(float(before.loss["total"]), 9) == 0.298371109
    printed = {
        "output.weight": [[0.35891648, 0.408666186], [0.511301270, 0.561370121]],
        "hidden.weight": [[0.149780716, 0.19956143], [0.24975114, 0.29950229]],
    }
    for name, values in printed.items():
        np.testing.assert_allclose(network.parameters[name], values, rtol=0, atol=6e-9)
    np.testing.assert_array_equal(network.parameters["output.bias"], [0.60, 0.60])


def test_mazurs_second_error_is_that_of_updating_the_output_first():
    errors = {}
    for update in (classic.update_simultaneously, classic.update_output_first, classic.update_in_turn):
        network, x, y = mazur()
        order = {"order": ["output.weight", "hidden.weight", "hidden.bias", "output.bias"]}
        update(network, x, y, 0.5, **(order if update is classic.update_in_turn else {}))
        errors[update.__name__] = round(float(network.cost(x, y)), 9)
    assert errors == {
        "update_simultaneously": 0.291027774,
        "update_output_first": 0.291027924,  # as printed
        "update_in_turn": 0.2910279,  # the forward pass repeated too: not what was printed
    }


def test_gradient_descent_reaches_the_normal_equations():
    model, x, y = regression()
    costs = classic.gradient_descent(model, x, y, 0.3, 400)
    assert len(costs) == 401
    assert all(after <= before * (1 + 1e-14) for before, after in pairwise(costs))
    for name, value in classic.normal_equations(x, y, 1.0).items():
        np.testing.assert_allclose(model.parameters[name], value, rtol=1e-9)
    in_turn, _, _ = regression()
    slow = classic.gradient_descent(in_turn, x, y, 0.3, 400, update=classic.update_in_turn)
    assert slow[-1] == pytest.approx(costs[-1]), "the mistake still goes downhill, which is why nobody notices"
    assert slow[1] != pytest.approx(costs[1], rel=1e-3)


@pytest.mark.parametrize("lambda_", [0.0, 5.0])
@pytest.mark.parametrize("convention", ["course", "torch"])
def test_normal_equations_are_the_stationary_point(lambda_, convention):
    _, x, y = regression()
    model = classic.LinearRegression(3, lambda_=lambda_, rows=20, convention=convention)
    model.load_parameters(classic.normal_equations(x, y, lambda_))
    for name, gradient in model.evaluate(x, y).gradients.items():
        np.testing.assert_allclose(gradient, 0, atol=1e-14, err_msg=name)
    if not lambda_:
        expected = np.linalg.lstsq(np.c_[np.ones(20), x], y, rcond=None)[0]
        np.testing.assert_allclose(model.parameters["linear.bias"], expected[:1])
        np.testing.assert_allclose(model.parameters["linear.weight"][0], expected[1:])


def test_normal_equations_leave_the_intercept_out():
    """Shifting the targets shifts the intercept by as much and no weight, however strong the penalty is."""
    _, x, y = regression()
    near, far = (classic.normal_equations(x, y + shift, 1e6) for shift in (0, 1000))
    np.testing.assert_allclose(far["linear.bias"] - near["linear.bias"], 1000)
    np.testing.assert_allclose(far["linear.weight"], near["linear.weight"], atol=1e-9)


def test_singular_normal_equations():
    _, x, y = regression()
    repeated = np.c_[x, x[:, 0]]
    with pytest.raises(ValueError, match=r"singular: rank 3 of 4 columns; drop columns .* or take lambda_ > 0"):
        classic.normal_equations(repeated, y)
    weight = classic.normal_equations(repeated, y, 1e-3)["linear.weight"][0]
    assert weight[0] == pytest.approx(weight[3])
    assert classic.normal_equations(x.astype(np.float32), y)["linear.weight"].dtype == np.float32
    assert classic.normal_equations(np.array([[0], [1], [3]]), np.array([1, 3, 7]))["linear.weight"] == pytest.approx(2)
