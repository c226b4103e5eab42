"""What PyTorch's pooling refuses is refused with the same kind of error and, where torch says what is wrong, in its words."""

import re

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from manual import nn
from manual.nn import functional

from ..oracle import random

ROW, PLANE, VOLUME = random(2, 3, 11), random(2, 3, 7, 9), random(2, 1, 5, 7, 6)
one = np.zeros((1, 1, 3), np.int64)
REFUSED = {
    "a vector": ("max_pool1d", ROW[0, 0], (2,), {}),
    "a stack of planes of volumes": ("adaptive_avg_pool3d", ROW, (2,), {}),
    "a plane without channels": ("adaptive_avg_pool2d", PLANE[0, 0], (2,), {}),
    "a row of averages": ("avg_pool3d", ROW, (2,), {}),
    "no channels": ("max_pool1d", ROW[:, :0], (2,), {}),
    "no elements": ("max_pool1d", ROW[..., :0], (2,), {}),
    "no elements of a plane": ("avg_pool2d", PLANE[..., :0], (2,), {}),
    "no elements to adapt to": ("adaptive_avg_pool2d", PLANE[:, :, :0], (2,), {}),
    "no elements to choose from": ("adaptive_max_pool2d", PLANE[:, :, :0], (2,), {}),
    "lengths too many": ("max_pool2d", PLANE, ((2, 2, 2),), {}),
    "strides too many": ("max_pool2d", PLANE, (2, (1, 2, 3)), {}),
    "paddings too many": ("avg_pool2d", PLANE, (2, 2, (1, 2, 3)), {}),
    "lengths too few": ("max_pool3d", VOLUME, ((2, 2),), {}),
    "two lengths of a row": ("avg_pool1d", ROW, ((2, 2),), {}),
    "no integer": ("max_pool2d", PLANE, (2.0,), {}),
    "padding beyond half": ("max_pool2d", PLANE, (2, 2, 2), {}),
    "padding beyond half of a mean": ("avg_pool3d", VOLUME, (2, 2, 2), {}),
    "negative padding": ("avg_pool2d", PLANE, (2, 2, -1), {}),
    "no stride": ("max_pool2d", PLANE, (2, -1), {}),
    "no kernel": ("max_pool2d", PLANE, (0, 2), {}),
    "no dilation": ("max_pool2d", PLANE, (2, 2, 0, 0), {}),
    "a kernel that is too large": ("max_pool2d", PLANE, (8,), {}),
    "a kernel that is too large for a mean": ("avg_pool2d", PLANE, ((2, 10),), {}),
    "a kernel that has room with the padding": ("avg_pool3d", VOLUME, (6, 1, 3), {}),
    "nothing to divide by": ("avg_pool2d", PLANE, (2,), {"divisor_override": 0}),
    "negative counts": ("adaptive_avg_pool2d", PLANE, (-1,), {}),
    "counts too many": ("adaptive_avg_pool2d", PLANE, ((2, 2, 2),), {}),
    "no count": ("adaptive_avg_pool1d", ROW, (None,), {}),
    "no integer count": ("adaptive_max_pool1d", ROW, (2.5,), {}),
    "integers in a row": ("max_pool1d", ROW.astype(np.int64), (2,), {}),
    "booleans": ("max_pool2d", PLANE > 0, (2,), {}),
    "small integers": ("avg_pool2d", PLANE.astype(np.int32), (2,), {}),
    "integers to adapt to": ("adaptive_avg_pool2d", PLANE.astype(np.int64), (2,), {}),
    "an order of zero": ("lp_pool1d", ROW, (0.0, 2), {}),
    "neither size nor ratio": ("fractional_max_pool2d", PLANE, (2,), {}),
    "windows too large": ("fractional_max_pool2d", PLANE, (3, 6), {}),
    "volumes too large": ("fractional_max_pool3d", VOLUME, (2, (2, 6, 2)), {}),
    "samples for one": ("fractional_max_pool2d", PLANE, (2, 2), {"_random_samples": random(1, 3, 2)}),
    "samples for two channels": ("fractional_max_pool2d", PLANE, (2, 2), {"_random_samples": random(2, 2, 2)}),
    "samples for three axes": ("fractional_max_pool2d", PLANE, (2, 2), {"_random_samples": random(2, 3, 3)}),
    "samples of two axes": ("fractional_max_pool3d", VOLUME, (2, 2), {"_random_samples": random(2, 1)}),
    "samples of another dtype": ("fractional_max_pool2d", PLANE, (2, 2), {"_random_samples": random(2, 3, 2).astype(np.float32)}),
    "an index beyond": ("max_unpool1d", ROW[:1, :1, :3], (one + 6, 2), {}),
    "a negative index": ("max_unpool2d", PLANE[:1, :1, :1, :3], (one[None] - 1, 2), {}),
    "an index beyond a volume": ("max_unpool3d", VOLUME[:1, :, :1, :1, :3], (one[None, None] + 24, 2), {}),
    "indices of another shape": ("max_unpool2d", PLANE[:1, :1, :1, :3], (one[None, ..., :2], 2), {}),
    "indices of another dtype": ("max_unpool2d", PLANE[:1, :1, :1, :3], (one[None].astype(np.int32), 2), {}),
    "a size that no pooling has": ("max_unpool1d", ROW[:1, :1, :3], (one, 2), {"output_size": (9,)}),
    "a size of two axes": ("max_unpool1d", ROW[:1, :1, :3], (one, 2), {"output_size": (1, 7)}),
    "a plane without channels to unpool": ("max_unpool2d", PLANE[0, 0, :1, :3], (one[0], 2), {}),
    "integers to unpool": ("max_unpool2d", np.ones((1, 1, 1, 3), np.int64), (one[None], 2), {}),
}  # fmt: skip
SAID_OTHERWISE = {
    # torch names the kernel in C++, one of its dtypes, or its shape in two dimensions
    "integers in a row", "booleans", "small integers", "indices of another dtype", "counts too many", "negative counts",
    "an index beyond", "no elements to choose from", "a row of averages", "no integer", "no integer count",
    "volumes too large", "integers to adapt to", "integers to unpool",
}  # fmt: skip


def as_torch(value):
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("what", REFUSED)
def test_what_torch_refuses_is_refused_in_the_same_words(what):
    name, x, arguments, options = REFUSED[what]
    given = {key: as_torch(value) for key, value in options.items()}
    with pytest.raises(Exception, match=r".") as expected:
        getattr(F, name)(torch.tensor(x), *map(as_torch, arguments), **given)
    with pytest.raises(expected.type) as found:
        getattr(functional, name)(x, *arguments, **options)
    if what in SAID_OTHERWISE:
        assert len(str(found.value)) > 20
    else:
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("FractionalMaxPool2d", {}),
        ("FractionalMaxPool3d", {"output_size": 2, "output_ratio": 0.5}),
        ("FractionalMaxPool2d", {"output_ratio": 1.5}),
        ("FractionalMaxPool3d", {"output_ratio": (0.5, 0.0, 0.2)}),
    ],
    ids=str,
)
def test_fractional_modules_refuse_what_torchs_do(name, options):
    with pytest.raises(ValueError, match=r".") as expected:
        getattr(torch.nn, name)(2, **options)
    with pytest.raises(ValueError, match=re.escape(str(expected.value))):
        getattr(nn, name)(2, **options)


def test_a_window_of_nothing_but_padding_is_refused():
    """torch hands out minus infinity, and adds its gradient to memory that is not the input's."""
    x = random(1, 1, 1)
    with pytest.raises(RuntimeError, match="only padding"):
        functional.max_pool1d(x, 2, 1, 1, 2)
