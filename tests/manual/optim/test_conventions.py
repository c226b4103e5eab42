"""The conventions, at their exact point."""

import math

import numpy as np
import pytest
import torch

from manual import optim
from manual.tensor import Tensor

from .pair import one_step


def test_the_first_momentum_step_has_no_dampening():
    assert one_step("SGD", 3.0, lr=1.0, momentum=0.9, dampening=0.5) == pytest.approx(2 - 3)
    assert one_step("SGD", 3.0, steps=2, lr=1.0, momentum=0.9, dampening=0.5) == pytest.approx(2 - 3 - (2.7 + 1.5))


def test_without_memory_adams_first_moment_is_the_gradient_itself():
    """``m + (g − m)`` would lose a small gradient after a large one."""
    tensor = Tensor(np.zeros(2, np.float32), requires_grad=True)
    optimizer = optim.Adam([tensor], betas=(0.0, 0.9))
    for size in (1e6, 1.1):
        tensor.grad = np.full(2, size, np.float32)
        optimizer.step()
    assert np.array_equal(optimizer.state[tensor]["exp_avg"], tensor.grad)


def test_adam_adds_eps_after_bias_correction_and_outside_the_root():
    assert one_step("Adam", 3.0, lr=1.0, eps=1.0) == pytest.approx(2 - 3 / (3 + 1))


def test_rmsprop_adds_eps_outside_the_root():
    assert one_step("RMSprop", 3.0, lr=1.0, alpha=0.75, eps=1.0) == pytest.approx(2 - 3 / (1.5 + 1))


def test_adagrad_adds_eps_outside_the_root_and_the_rate_decays_from_the_second_step():
    assert one_step("Adagrad", 3.0, lr=1.0, eps=1.0, lr_decay=1.0) == pytest.approx(2 - 3 / 4)
    second = 0.5 * 3 / (math.sqrt(18) + 1)
    assert one_step("Adagrad", 3.0, steps=2, lr=1.0, eps=1.0, lr_decay=1.0) == pytest.approx(2 - 3 / 4 - second)


def test_adamw_decays_by_the_rate_times_the_decay():
    assert one_step("AdamW", 0.0, lr=0.5, weight_decay=0.5) == 2 * (1 - 0.25)


def test_weight_decay_shrinks_also_when_maximising():
    assert one_step("SGD", 0.0, lr=0.5, weight_decay=0.5, maximize=True) == 2 * (1 - 0.25)


def test_a_centered_root_of_a_rounded_negative_is_nan_as_in_torch():
    """alpha 0: v = g² and a = g, so v − a² is exactly 0; a hair below it the root is not a number."""
    assert one_step("RMSprop", 3.0, lr=1.0, alpha=0.0, eps=1.0, centered=True) == -1.0
    ours, theirs = Tensor(np.array([2.0]), requires_grad=True), torch.tensor([2.0], dtype=torch.float64)
    ours_optimizer = optim.RMSprop([ours], alpha=1.0, centered=True)
    theirs_optimizer = torch.optim.RMSprop([theirs], alpha=1.0, centered=True)
    for _ in range(2):
        ours.grad, theirs.grad = np.array([3.0]), torch.tensor([3.0], dtype=torch.float64)
        with np.errstate(invalid="ignore"):
            ours_optimizer.step()
        theirs_optimizer.step()
        ours_optimizer.state[ours]["grad_avg"][...] = 1e-3
        theirs_optimizer.state[theirs]["grad_avg"].fill_(1e-3)
    assert np.isnan(ours.data).all()
    assert torch.isnan(theirs).all()
