"""The surfaces: value and gradient of every input against autograd of the formula alone."""

import numpy as np
import pytest
import torch

import manual
import manual.models
import torch_ref.models

SURFACES = ["Quadratic", "Rosenbrock", "Saddle"]


def pair(name, seed):
    generator = np.random.default_rng(seed)
    point, coefficients, incoming = (generator.standard_normal(shape) for shape in [2, 2, ()])
    mine = getattr(manual.models, name)(tuple(point)).to(np.float64)
    theirs = getattr(torch_ref.models, name)(tuple(point)).double()
    return mine, theirs, coefficients, np.asarray(incoming)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", SURFACES)
def test_height_and_both_gradients_are_torchs(name, seed):
    mine, theirs, coefficients, incoming = pair(name, seed)
    ours, reference = manual.tensor(coefficients, requires_grad=True), torch.tensor(coefficients, requires_grad=True)
    height, expected = mine(ours), theirs(reference)
    height.backward(incoming)
    expected.backward(torch.from_numpy(incoming))
    np.testing.assert_allclose(height.data, expected.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(mine.point.grad, theirs.point.grad.numpy(), rtol=1e-13)
    np.testing.assert_allclose(ours.grad, reference.grad.numpy(), rtol=1e-13)


@pytest.mark.parametrize("name", SURFACES)
def test_what_nobody_needs_is_not_computed(name):
    mine, _, coefficients, incoming = pair(name, 0)
    _, pullback = mine._rule(mine.point.data, coefficients)
    assert [gradient is None for gradient in pullback(incoming, (True, False))] == [False, True]
    assert [gradient is None for gradient in pullback(incoming, (False, True))] == [True, False]


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize("wing", [manual.models, torch_ref.models], ids=["manual", "torch"])
def test_a_point_is_a_matrix_of_one_row_in_float32(wing, name):
    module = getattr(wing, name)((1.5, -2.0))
    (point,) = module.parameters()
    assert tuple(point.shape) == (1, 2)
    assert "float32" in str(point.dtype)
    assert point.tolist() == [[1.5, -2.0]]


@pytest.mark.parametrize(
    ("name", "lowest"),
    [("Quadratic", (0.0, 0.0)), ("Rosenbrock", (2.0, 4.0)), ("Saddle", (0.0, 1.0)), ("Saddle", (0.0, -1.0))],
)
def test_at_its_minimum_a_surface_is_flat_and_zero(name, lowest):
    module = getattr(manual.models, name)(lowest)
    height = module(manual.tensor(np.array([2.0, 3.0], np.float32)))
    height.backward()
    assert height.item() == 0
    assert not module.point.grad.any()
