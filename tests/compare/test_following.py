"""The branch that another side took is read off its forward pass: element by element, also where a value is close."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from compare.following import Following

FUNCTIONS = {
    "relu": (torch.relu, [0.0]),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.25), [0.0]),
    "elu": (lambda x: F.elu(x, 0.5), [0.0]),
    "selu": (F.selu, [0.0]),
    "hardtanh": (lambda x: F.hardtanh(x, -0.5, 0.25), [-0.5, 0.25]),
    "hardshrink": (lambda x: F.hardshrink(x, 0.1), [-0.1, 0.1]),
    "softshrink": (lambda x: F.softshrink(x, 0.1), [-0.1, 0.1]),
    "hardsigmoid": (F.hardsigmoid, [-3.0]),  # at 3 its output is 1 on either side
    "threshold": (lambda x: F.threshold(x, 0.5, -1.0), [0.5]),
}
INCOMING = torch.from_numpy(np.random.default_rng(1).standard_normal(60))


def near(kinks, seed, dtype):
    """Values of which every other lies within rounding of a kink, or on it."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(-4, 4, 60)
    ulps = generator.integers(-3, 4, 30) * np.finfo(dtype).eps
    x[::2] = generator.choice(kinks, 30) + ulps
    return torch.from_numpy(x.astype(dtype))


def run(function, x, mode=None):
    x = x.clone().requires_grad_()
    if mode is None:
        y = function(x)
        y.backward(INCOMING.to(x.dtype))
    else:
        with mode:
            y = function(x * 1.0)
            y.backward(INCOMING.to(x.dtype))
    return y.detach(), x.grad


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_element_is_decided_as_the_other_side_has_it(name, dtype):
    function, kinks = FUNCTIONS[name]
    mine, theirs = near(kinks, 2, dtype), near(kinks, 2, dtype)
    theirs[::2] = near(kinks, 3, dtype)[::2]
    theirs[::2] = torch.where((theirs[::2] - mine[::2]).abs() < 1e-3, theirs[::2], mine[::2])
    output, gradient = run(function, theirs)
    plain = run(function, mine)[1]
    _, followed = run(function, mine, Following([[output.numpy()]]))
    torch.testing.assert_close(followed, gradient, rtol=1e-4, atol=0)
    assert not torch.equal(plain, gradient), "the two sides must differ, or nothing is shown"


def test_a_side_that_is_not_alike_is_not_followed():
    x = near([0.0], 2, "float64")
    shown = torch.relu(x) + 1.0
    mode = Following([[shown.numpy()]])
    assert torch.equal(run(torch.relu, x, mode)[1], run(torch.relu, x)[1])
    assert mode.found == []


def test_what_is_far_from_a_kink_is_left_alone():
    x = torch.linspace(0.5, 4, 60, dtype=torch.float64)
    mode = Following([[torch.relu(x + 1e-3).numpy()]])
    output, gradient = run(torch.relu, x, mode)
    assert torch.equal(output, x)
    assert torch.equal(gradient, INCOMING)
    assert mode.found == []


def test_a_loss_decides_by_the_other_sides_prediction():
    target = torch.from_numpy(np.random.default_rng(4).uniform(1, 2, 60))
    signs = torch.from_numpy(np.random.default_rng(5).choice([-1.0, 1.0], (2, 60)))
    mine, theirs = target + signs * 3e-16
    assert not torch.equal((mine - target).sign(), (theirs - target).sign())

    def loss(x):
        return F.smooth_l1_loss(x, target, beta=0.0, reduction="none")

    followed = run(loss, mine, Following([[theirs.numpy()]]))[1]
    assert torch.equal(followed, run(loss, theirs)[1])


def test_a_prediction_of_several_steps_in_time_is_found_in_what_a_layer_computes():
    """A linear layer multiplies matrices, and only then gives its output the shape that is shown."""
    generator = np.random.default_rng(6)
    x, weight = (torch.from_numpy(generator.standard_normal(shape)) for shape in ((4, 5, 3), (2, 3)))
    target = F.linear(x, weight)
    theirs = target + torch.from_numpy(generator.choice([-1.0, 1.0], (4, 5, 2))) * 3e-16

    def signs(mode=None):
        z = x.clone().requires_grad_()
        with mode or nullcontext():
            F.l1_loss(F.linear(z, weight), target, reduction="sum").backward()
        return z.grad

    expected = torch.sign(theirs - target) @ weight
    torch.testing.assert_close(signs(Following([[theirs.numpy()]])), expected)
    assert not torch.allclose(signs(), expected)


def test_values_that_are_all_rounding_are_followed_as_far_as_is_allowed():
    """What is left of a difference of large numbers may change its sign far from the last bit of what it is."""
    generator = np.random.default_rng(7)
    x, weight = torch.from_numpy(generator.standard_normal(12)), torch.from_numpy(generator.standard_normal((5, 12)))
    incoming = torch.tensor([0.3, -1.1, 0.7, 0.9, -0.4]).double()
    own = (weight @ x) * 1e-9
    theirs = own * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])
    expected = 1e-9 * (weight.T @ (incoming * (theirs > 0)))

    def gradient(*shown):
        z, mode = x.clone().requires_grad_(), Following(*shown)
        with mode:
            F.relu((weight @ z) * 1e-9).backward(incoming)
        return z.grad, mode.found

    def allowing(room):
        return [[theirs.numpy(), F.relu(theirs).numpy()]], [[np.full(5, room)] * 2]

    followed, found = gradient(*allowing(1e-7))
    torch.testing.assert_close(followed, expected)
    assert found == [("relu", 2, 1)]
    for shown in ((), *[allowing(1e-12)]):
        left, found = gradient(*(shown or ([],)))
        assert not torch.allclose(left, expected, atol=0)
        assert found == []
