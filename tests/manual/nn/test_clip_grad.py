"""Clipping, part by part: the norm alone, scaling by a given norm, values, and what is refused."""

import inspect
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import manual
from manual.nn import utils

from ..oracle import random

ORDERS = [2, 2.0, 1, 0.5, 3.0, 0, -1, -2.5, math.inf, -math.inf, "inf"]


def pairs(*gradients):
    """Parameters of both wings with these gradients; ``None`` for one without."""
    mine, theirs = [], []
    for gradient in gradients:
        like = np.zeros(2) if gradient is None else gradient
        mine.append(manual.Tensor(np.zeros_like(like), requires_grad=True))
        theirs.append(torch.zeros(like.shape, dtype=getattr(torch, like.dtype.name), requires_grad=True))
        if gradient is not None:
            mine[-1].grad, theirs[-1].grad = gradient.copy(), torch.tensor(gradient)
    return mine, theirs


def assert_within(actual, expected, ulps, computed_in=None):
    expected = expected.numpy()
    assert actual.dtype == expected.dtype
    room = ulps * np.finfo(computed_in or expected.dtype).eps * np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=room)


@pytest.mark.parametrize("order", ORDERS, ids=repr)
@pytest.mark.parametrize("dtypes", ["float64", "float32", "float16", "float16 float32", "float32 float64"])
def test_total_norm(dtypes, order):
    """Each array's norm is taken in its own dtype (of float16, in float32) and rounded before the norm of the norms."""
    names = dtypes.split()
    arrays = [
        random(*shape, seed=k).astype(names[k % len(names)]) for k, shape in enumerate([(3, 4), (7,), (), (2, 1, 5)])
    ]
    total = utils.get_total_norm(arrays, order)
    expected = torch.nn.utils.get_total_norm([torch.tensor(array) for array in arrays], order)
    assert total.shape == ()
    assert_within(total, expected, 8, np.float32 if "float32" in names else None)


def test_total_norm_of_one_array_and_of_tensors():
    array = random(3, 4)
    expected = torch.nn.utils.get_total_norm(torch.tensor(array))
    for given in (array, manual.tensor(array), [manual.tensor(array)], iter([array])):
        assert_within(utils.get_total_norm(given), expected, 4)
    assert utils.get_total_norm([]).dtype == np.float32


@pytest.mark.parametrize("order", [0.0, 1, 2.0, "inf", -1])
def test_a_norm_that_is_not_finite_can_be_an_error(order):
    values = (
        [np.array([3.0, math.nan]), np.array([1.0])] if order == "inf" else [np.array([3.0, math.inf]), np.array([1.0])]
    )
    mine, theirs = pairs(*values)
    arrays = [parameter.grad for parameter in mine], [parameter.grad for parameter in theirs]
    for package, parameters, given in ((utils, mine, arrays[0]), (torch.nn.utils, theirs, arrays[1])):
        if order in (0.0, -1):  # a count, and a minimum of a kind
            assert math.isfinite(package.get_total_norm(given, order, error_if_nonfinite=True))
            continue
        message = f"The total norm of order {float(order)} for gradients from `parameters` is non-finite, so it cannot be clipped"
        for call in (
            lambda: package.get_total_norm(given, order, error_if_nonfinite=True),  # noqa: B023
            lambda: package.clip_grad_norm_(parameters, 1.0, order, error_if_nonfinite=True),  # noqa: B023
        ):
            with pytest.raises(RuntimeError) as caught:
                call()
            assert message in str(caught.value)
            assert "set `error_if_nonfinite=False`" in str(caught.value)
    for parameter, value in zip(mine, values, strict=True):  # nothing was scaled
        np.testing.assert_array_equal(parameter.grad, value)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("norm_dtype", ["float32", "float64"])
@pytest.mark.parametrize("max_norm", [0.5, "1.5", 0, -1.0, math.inf, math.nan, 1e9], ids=repr)
def test_scaling_by_a_given_norm(max_norm, norm_dtype, dtype):
    gradients = [random(3, 4).astype(dtype), None, random(5, seed=1).astype(dtype)]
    mine, theirs = pairs(*gradients)
    assert utils.clip_grads_with_norm_(mine, max_norm, np.array(3.7, norm_dtype)) is None
    torch.nn.utils.clip_grads_with_norm_(theirs, max_norm, torch.tensor(3.7, dtype=getattr(torch, norm_dtype)))
    for m, t in zip(mine, theirs, strict=True):
        if t.grad is None:
            assert m.grad is None
        else:
            np.testing.assert_array_equal(m.grad, t.grad.numpy())


def test_a_norm_may_be_a_number_or_a_tensor():
    for norm in (3.7, manual.tensor(3.7, dtype=np.float64)):
        mine, theirs = pairs(random(3))
        utils.clip_grads_with_norm_(mine, 0.5, norm)
        torch.nn.utils.clip_grads_with_norm_(theirs, 0.5, torch.tensor(3.7, dtype=torch.float64))
        np.testing.assert_array_equal(mine[0].grad, theirs[0].grad.numpy())


def test_a_parameter_that_is_listed_twice_counts_and_is_scaled_twice():
    mine, theirs = pairs(random(3), random(4, seed=1))
    total = utils.clip_grad_norm_([mine[0], mine[1], mine[0]], 0.3)
    expected = torch.nn.utils.clip_grad_norm_([theirs[0], theirs[1], theirs[0]], 0.3)
    assert_within(total, expected, 4)
    for m, t in zip(mine, theirs, strict=True):
        assert_within(m.grad, t.grad, 8)


@pytest.mark.parametrize("limit", [1.0, "0.5", 0, -1.0, math.inf, math.nan], ids=repr)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_values(limit, dtype):
    mine, theirs = pairs(
        np.array([0.3, -0.3, math.nan, math.inf, -math.inf, 5.0, -5.0, -0.0], dtype), None, random(2, 3).astype(dtype)
    )
    assert utils.clip_grad_value_(mine, limit) is None
    torch.nn.utils.clip_grad_value_(theirs, limit)
    for m, t in zip(mine, theirs, strict=True):
        if t.grad is not None:
            np.testing.assert_array_equal(m.grad, t.grad.numpy())
    single = pairs(random(4))
    utils.clip_grad_value_(single[0][0], 0.1)
    torch.nn.utils.clip_grad_value_(single[1][0], 0.1)
    np.testing.assert_array_equal(single[0][0].grad, single[1][0].grad.numpy())


@pytest.mark.parametrize("order", [math.inf, -math.inf, -1.0])
def test_empty_arrays_have_no_greatest_element(order):
    for norm, empty in ((utils.get_total_norm, np.zeros(0)), (torch.nn.utils.get_total_norm, torch.zeros(0))):
        with pytest.raises(
            RuntimeError, match="norm on an empty tensor because the operation does not have an identity"
        ):
            norm([empty], order)


def test_sparse_gradients_are_refused():
    mine, theirs = pairs(random(4, 3))
    mine[0].grad, theirs[0].grad = SimpleNamespace(is_sparse=True), theirs[0].grad.to_sparse(1)
    for package, parameters in ((utils, mine), (torch.nn.utils, theirs)):
        for clip in (package.clip_grad_norm_, package.clip_grad_value_):
            with pytest.raises(NotImplementedError):
                clip(parameters, 1.0)
        with pytest.raises(NotImplementedError):
            package.get_total_norm([parameters[0].grad])


def test_integers_have_no_norm():
    for norm, integers in (
        (utils.get_total_norm, np.array([3, 4])),
        (torch.nn.utils.get_total_norm, torch.tensor([3, 4])),
    ):
        with pytest.raises(RuntimeError, match="Expected a floating point"):
            norm([integers])


@pytest.mark.parametrize("name", ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"])
def test_arguments_are_torchs(name):
    mine, theirs = (inspect.signature(getattr(package, name)).parameters for package in (utils, torch.nn.utils))
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in theirs.values()]
