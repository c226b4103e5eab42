"""Padding modules and ``functional.pad`` against PyTorch's: numbers, names, and what is refused in which words."""

import re

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import manual
from manual import nn
from manual.nn import functional

from ..oracle import check, random

SHAPES = {1: (2, 3, 7), 2: (2, 3, 6, 7), 3: (2, 1, 5, 6, 7)}
PADDINGS = {1: [2, (1, 3), [0, 2]], 2: [2, (1, 3, 2, 0), [0, 2, 1, 1]], 3: [2, (1, 3, 2, 0, 1, 2), [0, 2, 1, 1, 3, 0]]}
KINDS = ("ReflectionPad", "ReplicationPad", "ZeroPad", "ConstantPad", "CircularPad")
MODULES = [
    (f"{kind}{dimensions}d", (padding, -1.5) if kind == "ConstantPad" else (padding,), SHAPES[dimensions])
    for kind in KINDS
    for dimensions in SHAPES
    for padding in PADDINGS[dimensions]
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "arguments", "shape"), MODULES, ids=str)
def test_a_module_agrees_with_torchs(name, arguments, shape, dtype):
    mine, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
    for x in (random(*shape), random(*shape[1:])):
        check(mine, theirs, [x], dtype)
    assert repr(mine) == repr(theirs)
    assert mine.padding == theirs.padding
    assert list(mine.state_dict()) == list(theirs.state_dict()) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_negative_padding(kind, dimensions):
    padding = (-1, 2, 1, -2, -1, -1)[: 2 * dimensions]
    arguments = (padding, 2.5) if kind == "ConstantPad" else (padding,)
    name = f"{kind}{dimensions}d"
    check(getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments), [random(*SHAPES[dimensions])])


def test_what_is_set_later_takes_effect():
    mine, theirs = nn.ConstantPad1d(1, 0.5), torch.nn.ConstantPad1d(1, 0.5)
    for module in (mine, theirs):
        module.padding, module.value = (3, 0), 7.0
    check(mine, theirs, [random(2, 3, 7)])
    assert repr(mine) == repr(theirs)


@pytest.mark.parametrize("value", [None, 0.0, 2.5, np.inf, np.nan])
def test_a_constant_of_any_kind_on_any_number_of_axes(value):
    for pad in ((), (1, 2), (0, 1, 2, 0), (0, 0, 1, -1, 0, 2, 1, 0)):
        check(functional.pad, F.pad, [random(2, 3, 4, 5)], options={"pad": pad, "value": value})


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_integers_are_padded_too(mode):
    x = np.arange(12).reshape(1, 2, 6)
    value = 1.7 if mode == "constant" else None
    expected = F.pad(torch.from_numpy(x), (2, 1), mode, value)
    found = functional.pad(x, (2, 1), mode, value)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found.data, expected.numpy())


x, plane, volume = random(2, 3, 6), random(2, 3, 5, 6), random(2, 3, 4, 5, 6)
REFUSED = {
    "an odd number": (x, (1, 2, 3), "constant", None),
    "too many axes": (x, (1, 1, 1, 1, 1, 1, 1, 1), "constant", None),
    "an unknown mode": (x, (1, 1), "mirror", None),
    "a number": (x, 1, "constant", None),
    "a fraction": (x, (1.0, 1), "constant", None),
    "a value to reflect": (x, (1, 1), "reflect", 1.0),
    "a value to repeat": (x, (1, 1), "replicate", 1.0),
    "a value to wrap": (x, (1, 1), "circular", 2),
    "a row of a plane": (plane, (1, 1), "reflect", None),
    "a plane of a row": (x[0], (1, 1, 1, 1), "replicate", None),
    "a plane of a volume": (volume, (1, 1, 1, 1), "circular", None),
    "nothing to reflect": (x, (), "reflect", None),
    "a reflection of a row that is too long": (x, (6, 0), "reflect", None),
    "a reflection of a plane that is too long": (plane, (1, 1, 5, 1), "reflect", None),
    "a reflection of a volume that is too long": (volume, (1, 1, 1, 1, 0, 4), "reflect", None),
    "a row wrapped twice": (x, (1, 7), "circular", None),
    "no row left to reflect": (x, (-3, -3), "reflect", None),
    "no row left to repeat": (x, (-4, -3), "replicate", None),
    "no row left to wrap": (x, (-4, -3), "circular", None),
    "no row left": (x, (-4, -3), "constant", None),
    "no channels to reflect": (x[:, :0], (1, 1), "reflect", None),
    "no elements to repeat": (x[..., :0], (1, 1), "replicate", None),
    "no elements to wrap": (x[..., :0], (1, 1), "circular", None),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_torch_refuses_is_refused_in_the_same_words(what):
    array, *arguments = REFUSED[what]
    with pytest.raises(Exception, match=r".") as expected:
        F.pad(torch.tensor(array), *arguments)
    with pytest.raises(expected.type, match=re.escape(str(expected.value).splitlines()[0])):
        functional.pad(array, *arguments)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_booleans_are_refused_where_torch_has_no_kernel_for_them(mode):
    mask = np.ones((1, 2, 3), bool)
    with pytest.raises(NotImplementedError):
        F.pad(torch.from_numpy(mask), (1, 1), mode)
    with pytest.raises(NotImplementedError, match="not implemented for bool"):
        functional.pad(mask, (1, 1), mode)


def test_wrapping_what_is_taken_away_at_the_same_time_is_refused():
    """torch fails with an overlap of memory, or hands out uninitialised numbers."""
    with pytest.raises(RuntimeError, match="wrapping around more than once"):
        functional.pad(x, (-4, 3), "circular")


@pytest.mark.parametrize("name", ["CircularPad1d", "CircularPad2d", "CircularPad3d"])
@pytest.mark.parametrize("axes", [1, 2, 3, 4, 5, 6])
def test_circular_padding_asks_for_a_number_of_axes(name, axes):
    array = random(*(1, 1, 1, 3, 4, 5)[-axes:])
    mine, theirs = getattr(nn, name)(1), getattr(torch.nn, name)(1)
    try:
        expected = theirs(torch.tensor(array))
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            mine(manual.tensor(array))
    except RuntimeError:  # a short axis
        with pytest.raises(RuntimeError):
            mine(manual.tensor(array))
    else:
        np.testing.assert_array_equal(mine(manual.tensor(array)).data, expected.numpy())
