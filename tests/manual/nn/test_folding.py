"""Fold, Unfold and the shuffles, and what ties them to each other and to convolution."""

import numpy as np
import pytest
import torch

from manual import nn
from manual.nn import functional

from ..oracle import check, check_central, random

MODULES = [
    ("Unfold", {"kernel_size": 2}, (2, 3, 4, 5)), ("Unfold", {"kernel_size": (3, 2), "stride": (1, 2)}, (3, 4, 5)),
    ("Unfold", {"kernel_size": [2, 3], "dilation": (2, 1), "padding": (1, 2), "stride": (2, 1)}, (2, 2, 6, 5)),
    ("Unfold", {"kernel_size": 3, "padding": 1, "stride": 5}, (1, 2, 9, 7)),
    ("Fold", {"output_size": (4, 5), "kernel_size": 2}, (2, 12, 12)), ("Fold", {"output_size": 4, "kernel_size": 2}, (4, 9)),
    ("Fold", {"output_size": [6, 5], "kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 2), "stride": (2, 1)}, (2, 12, 21)),
    ("PixelShuffle", {"upscale_factor": 3}, (2, 9, 2, 4)), ("PixelShuffle", {"upscale_factor": 2}, (8, 2, 3)),
    ("PixelUnshuffle", {"downscale_factor": 3}, (2, 2, 6, 3)), ("PixelUnshuffle", {"downscale_factor": 2}, (1, 4, 6)),
    ("ChannelShuffle", {"groups": 2}, (2, 6, 3, 4)), ("ChannelShuffle", {"groups": 3}, (2, 6, 5)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options", "shape"), MODULES, ids=str)
def test_modules(name, options, shape, dtype):
    mine, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    assert repr(mine) == repr(theirs)
    assert not mine.state_dict()
    x = random(*shape)
    gradients, seeds = check(mine, theirs, [x], dtype)
    if dtype == "float64":
        check_central(mine, [x], gradients, seeds)
    for training in (mine.train(), mine.eval()):
        assert training(x).shape == tuple(theirs(torch.tensor(x)).shape)


def test_attributes_are_live():
    mine, theirs = nn.Unfold(2), torch.nn.Unfold(2)
    for module in (mine, theirs):
        module.kernel_size, module.stride = (3, 1), 2
    check(mine, theirs, [random(2, 3, 5, 4)])
    assert repr(mine) == repr(theirs)


def test_arguments_go_by_position_as_in_torch():
    x = random(2, 2, 6, 5)
    columns = functional.unfold(x, (2, 3), (2, 1), (1, 2), (2, 1)).data
    reference = torch.nn.functional.unfold(torch.tensor(x), (2, 3), (2, 1), (1, 2), (2, 1)).numpy()
    np.testing.assert_array_equal(columns, reference)
    images = functional.fold(columns, (6, 5), (2, 3), (2, 1), (1, 2), (2, 1)).data
    back = torch.nn.functional.fold(torch.tensor(reference), (6, 5), (2, 3), (2, 1), (1, 2), (2, 1)).numpy()
    np.testing.assert_allclose(images, back, rtol=1e-15)


def test_a_convolution_is_windows_times_a_matrix():
    x, w = random(2, 3, 6, 7), random(4, 3, 2, 3)
    columns = functional.unfold(x, (2, 3), stride=(2, 1)).data
    by_hand = (w.reshape(4, -1) @ columns).reshape(2, 4, 3, 5)
    np.testing.assert_allclose(functional.conv2d(x, w, stride=(2, 1)).data, by_hand, rtol=1e-12)


def test_folding_counts_how_often_an_element_was_seen():
    ones = np.ones((1, 1, 4, 4))
    seen = functional.fold(functional.unfold(ones, 3), (4, 4), 3).data
    np.testing.assert_array_equal(seen[0, 0], np.outer([1, 2, 2, 1], [1, 2, 2, 1]))


def test_a_shuffle_is_undone():
    x = random(2, 8, 3, 5)
    np.testing.assert_array_equal(functional.pixel_unshuffle(functional.pixel_shuffle(x, 2), 2).data, x)
    np.testing.assert_array_equal(functional.channel_shuffle(functional.channel_shuffle(x, 2), 4).data, x)


def test_a_shuffle_of_no_channels():
    x, expected = np.zeros((2, 0, 3)), torch.zeros(2, 0, 3, dtype=torch.float64, requires_grad=True)
    assert functional.channel_shuffle(x, 2).shape == tuple(torch.nn.functional.channel_shuffle(expected, 2).shape)
