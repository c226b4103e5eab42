"""Kinks and ties: what values decide is noted and imposed, and either branch can be had."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from compare.kinks import Deciding, Nudging, Undecided
from compare.noise import Perturbing

X = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 5)))


def slope(function, x, mode):
    x = x.clone().requires_grad_()
    with mode:
        function(x).sum().backward()
    return x.grad


AT_ZERO = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)


@pytest.mark.parametrize(("direction", "wanted"), [(1, [0, 1, 1]), (-1, [0, 0, 1])])
def test_a_value_on_the_kink_is_moved_to_either_side(direction, wanted):
    mode = Nudging(direction)
    assert slope(torch.relu, AT_ZERO, mode).tolist() == wanted
    assert mode.found == [("relu", 1, 1)]


def test_without_a_kink_nothing_is_found():
    mode = Nudging(1)
    slope(torch.relu, AT_ZERO + 0.5, mode)
    assert mode.found == []


def test_near_is_counted_in_the_last_place_of_the_largest():
    x = torch.tensor([1.0, 1e-15, -2.0], dtype=torch.float64)
    for near, found in ((0.0, []), (16.0, [("relu", 1, 1)])):
        mode = Nudging(-1, near)
        slope(torch.relu, x, mode)
        assert mode.found == found


def test_of_tied_values_another_is_chosen():
    x = torch.tensor([[1.0, 3.0, 3.0]], dtype=torch.float64)
    chosen = {tuple(slope(lambda t: t.max(1).values, x, Nudging(way)).tolist()[0]) for way in (1, -1)}
    assert chosen == {(0.0, 1.0, 0.0), (0.0, 0.0, 1.0)}


ON_A_KINK = {
    # a function, a point, and its two one-sided gradients there
    "relu": (torch.relu, [0.0], [0], [1]),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.25), [0.0], [0.25], [1]),
    "prelu": (lambda x: F.prelu(x, torch.tensor([0.25], dtype=torch.float64)), [0.0], [0.25], [1]),
    "elu": (lambda x: F.elu(x, 0.5), [0.0], [0.5], [1]),
    "hardtanh": (F.hardtanh, [1.0], [1], [0]),
    "relu6": (F.relu6, [6.0], [1], [0]),
    "hardswish": (F.hardswish, [-3.0], [0], [-0.5]),
    "softshrink": (lambda x: F.softshrink(x, 0.5), [0.5], [0], [1]),
    "an absolute value": (torch.abs, [0.0], [-1], [1]),
    "a clip": (lambda x: x.clamp(-1, 2), [2.0], [1], [0]),
    "a choice": (lambda x: torch.where(x > 1, 3 * x, x), [1.0], [1], [3]),
    "max": (lambda x: x.max(0).values, [2.0, 2.0, 1.0], [1, 0, 0], [0, 1, 0]),
    "amax": (lambda x: x.amax(0), [2.0, 2.0, 1.0], [1, 0, 0], [0, 1, 0]),
    "amin": (lambda x: x.amin(0), [2.0, 1.0, 1.0], [0, 1, 0], [0, 0, 1]),
    "the greater of two": (lambda x: torch.maximum(x, torch.ones_like(x)), [1.0], [0], [1]),
    "L1": (lambda x: F.l1_loss(x, torch.ones_like(x)), [1.0], [-1], [1]),
    "a hinge": (lambda x: (1 - x).clamp(min=0), [1.0], [-1], [0]),
}


@pytest.mark.parametrize("case", ON_A_KINK)
def test_both_branches_of_a_kink_can_be_had(case):
    function, point, *branches = ON_A_KINK[case]
    found = []
    for direction in (1, -1):
        mode = Nudging(direction)
        found.append([round(v, 9) for v in slope(function, torch.tensor(point, dtype=torch.float64), mode).tolist()])
        assert mode.found
    assert sorted(found) == sorted([[float(v) for v in branch] for branch in branches])


# -- decisions -----------------------------------------------------------------------------------------------------------

TIED = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], dtype=torch.float64)
DECIDED = {
    # what decides by values that are equal, or on a kink, but for rounding
    "relu": lambda x: torch.relu(x - x.mean() - (x[0, 0] - x.mean())),
    "leaky relu": lambda x: F.leaky_relu(x * 3 - x[0, 0] * 3),
    "a maximum along an axis": lambda x: (x * 1.1).max(1).values,
    "the largest": lambda x: (x * 1.1).amax(1),
    "sorted": lambda x: (x * 1.1).sort(1).values * torch.tensor([1.0, 2.0, 3.0]),
    "the greater of two": lambda x: torch.maximum(x * 1.1, x.flip(1) * 1.1),
    "a choice": lambda x: torch.where(x * 1.1 > 3.3, x, x * x),
    "hardshrink": lambda x: F.hardshrink(x * 0.1, 0.3),
    "threshold": lambda x: F.threshold(x * 0.1, 0.3, 0.0),
    "an absolute value": lambda x: (x * 3 - x[0, 1] * 3).abs(),
    "a pooled maximum": lambda x: F.max_pool2d(x[None, None] * 1.1, (1, 3)),
}


@pytest.mark.parametrize("case", DECIDED)
def test_noise_does_not_change_what_was_decided(case):
    def gradient(mode):
        x = TIED.clone().requires_grad_()
        with mode:
            (DECIDED[case](x) * 7).sum().backward()
        return x.grad

    deciding = Deciding()
    plain = gradient(deciding)
    assert deciding.made
    for seed in range(5):
        decided = gradient(Perturbing(seed, decisions=deciding.made))
        assert (decided - plain).abs().max() < 1e-13


def test_what_is_decided_by_a_value_near_its_kink_keeps_that_values_noise():
    """The gradient of PReLU's weight is the value itself: near zero, noise is a large part of it."""

    def gradient(mode):
        weight = torch.tensor([0.25], dtype=torch.float64, requires_grad=True)
        with mode:
            (F.prelu(TIED * 3 - TIED[0, 1] * 3 - 1e-13, weight) * 7).sum().backward()
        return weight.grad

    deciding = Deciding()
    plain = gradient(deciding)
    gaps = [float((gradient(Perturbing(seed, decisions=deciding.made)) - plain).abs()) for seed in range(5)]
    assert max(gaps) > 1e-15


@pytest.mark.parametrize(("value", "wanted"), [(None, [7, 7, 0]), (0.0, [7, 0, 0]), (np.nan, [7, np.nan, 0])])
def test_where_a_kink_is_asked_about_nan_the_gradient_passes_or_is_stopped_or_is_nan(value, wanted):
    mode = Undecided(value)
    x = torch.tensor([2.0, np.nan, 0.1], dtype=torch.float64)
    assert np.array_equal(slope(lambda t: F.softshrink(t, 0.5) * 7, x, mode), wanted, equal_nan=True)
    assert mode.found == [("softshrink", 1, 1)]


def test_without_the_decisions_the_noise_breaks_ties():
    def gradient(mode):
        x = TIED.clone().requires_grad_()
        with mode:
            (x * 1.1).max(1).values.sum().backward()
        return x.grad

    found = {tuple(gradient(Perturbing(seed)).flatten().tolist()) for seed in range(8)}
    assert len({tuple(round(v) for v in one) for one in found}) > 1


@pytest.mark.parametrize("op", [lambda x: F.threshold(x, -0.2, 0.0), lambda x: F.hardshrink(x, 0.3)])
def test_what_passes_keeps_its_noise(op):
    deciding = Deciding()
    with deciding:
        plain = op(X * 1.1)
    with Perturbing(0, decisions=deciding.made):
        noisy = op(X * 1.1)
    assert ((plain != 0) == (noisy != 0)).all()
    assert 0 < (noisy - plain).abs().max() < 1e-14


def test_a_run_of_other_ops_is_decided_anew():
    deciding = Deciding()
    with deciding:
        torch.sort(X)
    with Perturbing(0, decisions=deciding.made):
        found = (X * 2).max(1).values
    assert torch.allclose(found, 2 * X.max(1).values)


def test_what_a_fractional_pooling_chose_is_chosen_again():
    """Neighbours that part in the last bit: noise alone would often choose the other."""
    samples = torch.full((1, 1, 2), 0.3, dtype=torch.float64)
    x = torch.ones(1, 1, 8, 8, dtype=torch.float64) * (1 + torch.arange(64).reshape(8, 8) % 2 * 2.0**-52)

    def pooled(t):
        return F.fractional_max_pool2d(torch.exp(t), 2, 4, _random_samples=samples)

    plain = slope(pooled, x, deciding := Deciding())
    assert [decision.name for decision in deciding.made] == ["fractional_max_pool2d"]
    for seed in range(5):
        assert torch.equal(slope(pooled, x, Perturbing(seed, 1.0, deciding.made)) > 0, plain > 0)
        assert not torch.equal(slope(pooled, x, Perturbing(seed)) > 0, plain > 0)
