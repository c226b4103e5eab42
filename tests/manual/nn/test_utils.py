"""Clipping where it is not ordinary, and initial values draw by draw."""

import inspect
import math

import numpy as np
import pytest
import torch

import manual
from manual import nn
from manual.nn import init, utils

from ..oracle import assert_close, random


def pairs(*gradients):
    mine, theirs = [], []
    for gradient in gradients:
        gradient = np.asarray(gradient)
        m = manual.Tensor(np.zeros_like(gradient), requires_grad=True)
        t = torch.zeros(gradient.shape, dtype=getattr(torch, str(gradient.dtype)), requires_grad=True)
        m.grad, t.grad = gradient.copy(), torch.tensor(gradient)
        mine.append(m)
        theirs.append(t)
    return mine, theirs


def f32(*values):
    return np.array(values, np.float32)


NORMS = {
    "nan": [f32(np.nan, 1.0)],
    "inf": [f32(np.inf, 1.0), f32(2.0)],
    "minus inf": [f32(-np.inf, 1.0)],
    "overflow": [f32(1e30, 1.0)],
    "zero": [f32(0.0, 0.0)],
    "empty": [np.zeros((0, 3), np.float32), f32(3.0)],
    "mixed dtypes": [f32(3.0, 4.0), np.array([1.0, 2.0])],
    "half": [np.full(5, 300, np.float16)],
    "layouts": [random(3, 4).T, random(6, 4)[::2]],
    "exactly at the limit": [np.array([0.6, 0.8])],
    "just below it": [np.array([0.6, 0.8]) * (1 - 1e-7)],
}


@pytest.mark.parametrize("norm_type", [0.5, 1, 2, 3.0, math.inf, "inf", -math.inf, 0, -1, -2.5])
@pytest.mark.parametrize("name", NORMS)
def test_clipping_extraordinary_gradients(name, norm_type):
    mine, theirs = pairs(*NORMS[name])
    if name == "empty" and (math.isinf(float(norm_type)) or float(norm_type) < 0):  # nothing has no greatest element
        for clip, parameters in ((utils.clip_grad_norm_, mine), (torch.nn.utils.clip_grad_norm_, theirs)):
            with pytest.raises(RuntimeError, match="norm on an empty tensor because the operation does not have an id"):
                clip(parameters, 1.0, norm_type)
        return
    half = name == "half"
    total = utils.clip_grad_norm_(mine, 1.0, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 1.0, norm_type)
    assert str(total.dtype) == str(expected.dtype).removeprefix("torch.")
    assert_close(total, expected.numpy(), 1e-3 if half else 1e-6, "norm")
    for m, t in zip(mine, theirs, strict=True):
        assert_close(m.grad, t.grad.numpy(), 1e-3 if half else 1e-6, "gradient")


def test_gradients_are_clipped_in_place():
    mine, _ = pairs([3.0, 4.0])
    array = mine[0].grad
    utils.clip_grad_norm_(mine[0], 1.0)
    assert mine[0].grad is array
    np.testing.assert_array_equal(array, np.array([3.0, 4.0]) * (1.0 / (5.0 + 1e-6)))
    utils.clip_grad_value_(iter(mine), 0.7)
    np.testing.assert_allclose(array, [0.6, 0.7], atol=1e-6)


def test_a_long_float32_norm_is_exact_to_the_last_digits():
    for gradient in (np.full(3_000_000, 0.1, np.float32), random(3_000_000).astype(np.float32)):
        exact = math.sqrt(np.square(gradient, dtype=np.float64).sum())
        assert float(utils.get_total_norm([gradient])) == pytest.approx(exact, rel=3e-6)


def test_an_empty_generator_is_warned_of_and_an_empty_list_is_not():
    with pytest.warns(UserWarning, match="empty generator"):
        utils.clip_grad_norm_((p for p in []), 1.0)
    assert float(utils.clip_grad_norm_([], 1.0)) == 0.0
    assert float(utils.clip_grad_norm_([manual.tensor([1.0], requires_grad=True)], 1.0)) == 0.0


@pytest.mark.parametrize("name", ["clip_grad_norm_", "clip_grad_value_", "get_total_norm", "parameters_to_vector"])
def test_arguments_are_torchs(name):
    mine, theirs = (inspect.signature(getattr(w.nn.utils, name)).parameters for w in (manual, torch))
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in theirs.values()]


def test_a_vector_of_parameters_carries_gradients_back():
    mine = [manual.tensor(random(2, 3), requires_grad=True), manual.tensor(random(4), requires_grad=True)]
    seed = random(10, seed=5)
    utils.parameters_to_vector(mine).backward(seed)
    np.testing.assert_array_equal(mine[0].grad, seed[:6].reshape(2, 3))
    np.testing.assert_array_equal(mine[1].grad, seed[6:])


# -- initial values ---------------------------------------------------------------------------------------------------------


class Witness:
    """Stands in for a generator and notes what it is asked for."""

    def uniform(self, low, high, shape):
        self.asked = (low, high)
        return np.zeros(shape)

    def normal(self, mean, std, shape):
        self.asked = (mean, std)
        return np.zeros(shape)


FORMULAS = [
    ("uniform_", {"a": -2.0, "b": 3.0}), ("normal_", {"mean": 1.0, "std": 0.1}), ("xavier_uniform_", {}),
    ("xavier_uniform_", {"gain": 2.5}), ("xavier_normal_", {}), ("xavier_normal_", {"gain": 0.3}), ("kaiming_uniform_", {}),
    ("kaiming_uniform_", {"a": math.sqrt(5)}), ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_uniform_", {"nonlinearity": "tanh"}), ("kaiming_normal_", {}), ("kaiming_normal_", {"mode": "fan_out", "a": 0.2}),
    ("kaiming_normal_", {"nonlinearity": "selu"}),
]  # fmt: skip


@pytest.mark.parametrize("shape", [(7, 3), (4, 6, 5), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize(("name", "options"), FORMULAS, ids=str)
def test_bounds_and_deviations_are_torchs_to_the_last_digit(name, options, shape, monkeypatch):
    asked = []
    for draw in ("uniform_", "normal_"):
        monkeypatch.setattr(
            torch.Tensor, draw, lambda tensor, first, second, generator=None: asked.append((first, second)) or tensor
        )
    getattr(torch.nn.init, name)(torch.empty(shape), **options)
    witness = Witness()
    tensor = manual.tensor(np.ones(shape))
    assert getattr(init, name)(tensor, generator=witness, **options) is tensor
    assert witness.asked == pytest.approx(asked[0], rel=1e-15)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_starts_within_torchs_bounds(bias, monkeypatch):
    asked = []
    monkeypatch.setattr(
        torch.Tensor, "uniform_", lambda tensor, a, b, generator=None: asked.append((tuple(tensor.shape), b)) or tensor
    )
    torch.nn.Linear(50, 400, bias=bias)
    layer = nn.Linear(50, 400, bias=bias)
    for (_, parameter), (shape, bound) in zip(layer.named_parameters(), asked, strict=True):
        assert parameter.shape == shape
        assert np.abs(parameter.data).max() <= np.float32(bound)
        assert np.abs(parameter.data).max() == pytest.approx(bound, rel=0.03)
        assert parameter.data.std() == pytest.approx(bound / math.sqrt(3), rel=0.08)


@pytest.mark.parametrize("name", [n for n in init.__all__ if n.endswith("_")])
def test_arguments_of_the_initial_values_are_torchs(name):
    mine, theirs = (inspect.signature(getattr(w.nn.init, name)).parameters for w in (manual, torch))
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in theirs.values()]


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0.0, 1.0, -2.0, 2.0),
        (1.0, 0.5, 0.9, 5.0),
        (0.0, 1.0, 3.0, 3.5),
        (0.0, 1.0, 4.0, math.inf),
        (0.0, 1.0, -9.0, -6.0),
    ],
)
def test_a_truncated_normal_has_the_moments_of_one(mean, std, a, b):
    values = init.trunc_normal_(manual.tensor(np.zeros((100, 300))), mean, std, a, b, np.random.default_rng(4)).data
    assert values.min() >= a
    assert values.max() <= b
    low, high = (max((a - mean) / std, -40.0), min((b - mean) / std, 40.0))
    grid = np.linspace(low, high, 400_001)
    density = np.exp(-(grid**2 - min(low**2, high**2)) / 2 if low * high > 0 else -(grid**2) / 2)
    expected = (grid * density).sum() / density.sum()
    spread = math.sqrt(((grid - expected) ** 2 * density).sum() / density.sum())
    assert (values.mean() - mean) / std == pytest.approx(expected, abs=5 * spread / math.sqrt(values.size))
    assert values.std() / std == pytest.approx(spread, rel=0.03)


def test_impossible_initial_values_are_refused():
    tensor = manual.tensor(np.zeros((3, 2)))
    for call, message in [
        (lambda: init.trunc_normal_(tensor, a=1.0, b=-1.0), "exceeds the upper bound"),
        (lambda: init.kaiming_normal_(tensor, mode="fan_mid"), "Mode fan_mid not supported"),
        (lambda: init.calculate_gain("swish"), "Unsupported nonlinearity swish"),
        (lambda: init.eye_(manual.tensor(np.zeros(3))), "Only tensors with 2 dimensions"),
        (lambda: init.orthogonal_(manual.tensor(np.zeros(3))), "Only tensors with 2 or more"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_initial_values_keep_dtype_and_array():
    for name in (n for n in init.__all__ if n.endswith("_")):
        tensor = manual.tensor(np.zeros((4, 4), np.float32))
        array = tensor.data
        getattr(init, name)(tensor, **({"val": 0.3} if name == "constant_" else {}))
        assert tensor.data is array
        assert array.dtype == np.float32


def test_a_seed_repeats_a_draw():
    manual.manual_seed(5)
    first = nn.Linear(3, 4).weight.data
    manual.manual_seed(5)
    np.testing.assert_array_equal(nn.Linear(3, 4).weight.data, first)
    assert not np.array_equal(nn.Linear(3, 4).weight.data, first)
