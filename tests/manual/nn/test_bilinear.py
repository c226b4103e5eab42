"""Bilinear against torch."""

import math

import numpy as np
import pytest
import torch

import manual
from manual import nn

from ..oracle import assert_close, check, check_central, random


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(7,), (2, 3), (), (0,)], ids=str)
def test_bilinear(lead, bias, dtype):
    mine, theirs = (
        nn.Bilinear(4, 3, 5, bias=bias).to(dtype),
        torch.nn.Bilinear(4, 3, 5, bias=bias).to(getattr(torch, dtype)),
    )
    assert repr(mine) == repr(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    mine.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    inputs = [random(*lead, 4, seed=1), random(*lead, 3, seed=2)]
    gradients, seeds = check(mine, theirs, inputs, dtype, factor=4)
    for (name, a), b in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        assert_close(a.grad, b.grad.numpy(), 8e-12 if dtype == "float64" else 8e-5, name)
    if dtype == "float64":
        check_central(mine, inputs, gradients, seeds)


def test_initial_values_have_torchs_bounds():
    manual.manual_seed(0)
    mine, theirs = nn.Bilinear(16, 30, 40), torch.nn.Bilinear(16, 30, 40)
    for weight, bias in (
        (mine.weight.data, mine.bias.data),
        (theirs.weight.detach().numpy(), theirs.bias.detach().numpy()),
    ):
        assert 0.249 < np.abs(weight).max() <= 0.25
        assert weight.std() == pytest.approx(0.25 / math.sqrt(3), rel=0.03)
        assert 0.2 < np.abs(bias).max() <= 0.25


def test_no_features_are_refused_as_in_torch():
    for wing in (torch.nn, nn):
        with pytest.raises(ValueError, match=r"in1_features must be > 0, but got \(in1_features=0\)"):
            wing.Bilinear(0, 3, 4)
