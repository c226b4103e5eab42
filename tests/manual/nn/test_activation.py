"""Activations as functions, with torch's arguments, and the modules that need more than one line."""

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual import nn
from manual.nn import functional

from ..oracle import check, random

x = random(4, 6, seed=1) * 3

CALLS = [
    ("relu", {}), ("relu6", {}), ("leaky_relu", {"negative_slope": 0.3}), ("elu", {"alpha": 0.5}), ("selu", {}), ("celu", {"alpha": 2.0}),
    ("hardtanh", {"min_val": -0.5, "max_val": 2.0}), ("silu", {}), ("mish", {}), ("threshold", {"threshold": 0.2, "value": 3.0}), ("hardswish", {}),
]  # fmt: skip
ALONG = ["softmax", "log_softmax", "softmin"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize(("name", "options"), CALLS, ids=str)
def test_functions_by_position_and_by_name(name, options, inplace, dtype):
    mine, theirs = getattr(functional, name), getattr(F, name)

    def copied(x, *rest, **named):
        return theirs(x.clone(), *rest, **named)

    check(
        lambda x: mine(x, *options.values(), inplace),
        lambda x: copied(x, *options.values(), inplace),
        [x],
        dtype,
        factor=4,
    )
    check(
        lambda x: mine(x, **options, inplace=inplace),
        lambda x: copied(x, **options, inplace=inplace),
        [x],
        dtype,
        factor=4,
    )


@pytest.mark.parametrize("name", [name for name, _ in CALLS] + ["rrelu", "hardsigmoid", *ALONG])
def test_functions_have_torchs_signature(name):
    def shown(function):
        return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]

    assert shown(getattr(functional, name)) == shown(getattr(F, name))


@pytest.mark.parametrize("name", ALONG)
def test_the_dtype_in_which_a_softmax_is_taken(name):
    check(
        lambda x: getattr(functional, name)(x, 1, dtype=np.float64),
        lambda x: getattr(F, name)(x, 1, dtype=torch.float64),
        [x],
        "float32",
    )
    with pytest.raises(ValueError, match=f"{name}: name the axis"):
        getattr(functional, name)(x)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5)], ids=str)
def test_softmax2d_is_over_the_channels(shape, dtype):
    check(nn.Softmax2d(), torch.nn.Softmax2d(), [random(*shape)], dtype, factor=4)
    total = nn.Softmax2d()(manual.tensor(random(*shape))).data.sum(-3)
    np.testing.assert_allclose(total, np.ones(total.shape), rtol=1e-12)


@pytest.mark.parametrize("ndim", [1, 2, 5])
def test_softmax2d_refuses_other_axes(ndim):
    with pytest.raises(ValueError, match="Softmax2d") as theirs:
        torch.nn.Softmax2d()(torch.zeros([2] * ndim))
    with pytest.raises(ValueError, match="Softmax2d") as mine:
        nn.Softmax2d()(manual.tensor(np.zeros([2] * ndim)))
    assert str(mine.value) == str(theirs.value)


@pytest.mark.parametrize("far", [0.0, 3.0, 9.0, 40.0, 80.0, 700.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_gradient_of_mish_loses_nothing_to_cancellation(far, dtype):
    """``1 - tanh²`` of the formula as printed has no correct digit where the tanh is nearly 1."""
    points = np.array([far, -far], dtype)

    def slope(values):
        a = manual.tensor(values, requires_grad=True)
        functional.mish(a).backward(np.ones(2))
        return a.grad

    exact = slope(points.astype(np.longdouble))
    assert np.isfinite(exact).all()
    np.testing.assert_allclose(slope(points), exact, rtol=4 * np.finfo(dtype).eps, atol=float(np.finfo(dtype).tiny))


def test_prelu_can_be_reset():
    layer = nn.PReLU(3, init=0.7, dtype=np.float64)
    layer.weight.data[...] = 9
    layer.reset_parameters()
    np.testing.assert_array_equal(layer.weight.data, [0.7] * 3)
