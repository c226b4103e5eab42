"""Lazy modules: what they show before and after they have seen an input, and how state goes into them and out."""

import copy
import inspect
import warnings

import numpy as np
import pytest
import torch

import manual
from manual import nn
from manual.nn.lazy import LazyModuleMixin, UninitializedBuffer, UninitializedParameter

from ..oracle import assert_close, check, random

KINDS = [
    ("LazyLinear", (5,), {}, (2, 3, 4)), ("LazyLinear", (5,), {"bias": False}, (4,)),
    ("LazyConv1d", (6, 3), {"stride": 2}, (2, 4, 9)), ("LazyConv1d", (6, 3), {}, (4, 9)),
    ("LazyConv2d", (6, (3, 2)), {"groups": 2, "padding": "same", "bias": False}, (2, 4, 5, 6)),
    ("LazyConv2d", (6, 3), {"padding": 2, "padding_mode": "reflect", "dilation": 2}, (4, 5, 6)),
    ("LazyConv3d", (6, 2), {"stride": (1, 2, 1)}, (1, 2, 3, 4, 5)),
    ("LazyConvTranspose1d", (6, 3), {"stride": 2, "output_padding": 1, "groups": 2}, (2, 4, 5)),
    ("LazyConvTranspose2d", (6, (3, 2)), {"dilation": 2, "bias": False}, (4, 3, 4)),
    ("LazyConvTranspose3d", (4, 2), {"padding": 1}, (1, 2, 3, 4, 5)),
]  # fmt: skip


def both(name, args, options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)


def values_of(module):
    return {key: value.detach().numpy() for key, value in module.state_dict().items()}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel")
        yield


@pytest.mark.parametrize(("name", "args", "options", "shape"), KINDS, ids=str)
def test_the_first_call_makes_an_ordinary_module(name, args, options, shape):
    mine, theirs = both(name, args, options)
    assert repr(mine) == repr(theirs)
    assert mine.has_uninitialized_params()
    assert list(mine.state_dict()) == list(theirs.state_dict())
    x = random(*shape).astype(np.float32)
    with torch.no_grad():
        theirs(torch.tensor(x))
    with manual.no_grad():
        mine(x)
    assert type(mine) is getattr(nn, name.removeprefix("Lazy"))
    assert repr(mine) == repr(theirs)
    assert {key: value.shape for key, value in mine.state_dict().items()} == {
        key: tuple(value.shape) for key, value in theirs.state_dict().items()
    }
    assert all(type(parameter) is nn.Parameter for parameter in mine.parameters())
    mine.load_state_dict(values_of(theirs))
    check(mine, theirs, [x], "float32", factor=4)
    for (key, a), b in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        assert_close(a.grad, b.grad.numpy(), 8e-5, key)


@pytest.mark.parametrize(("name", "args", "options", "shape"), KINDS, ids=str)
def test_initial_values_come_from_the_shapes_that_were_learnt(name, args, options, shape):
    mine, _ = both(name, args, options)
    mine(random(*shape).astype(np.float32))
    bound = 1 / np.sqrt(np.prod(mine.weight.shape[1:]))
    assert 0.5 * bound < np.abs(mine.weight.data).max() <= bound * (1 + 1e-6)
    if mine.bias is not None:
        assert 0.2 * bound < np.abs(mine.bias.data).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize(("name", "args", "options", "shape"), KINDS, ids=str)
def test_a_state_brings_the_shapes(name, args, options, shape):
    mine, theirs = both(name, args, options)
    theirs(torch.tensor(random(*shape).astype(np.float32)))
    keys = mine.load_state_dict(values_of(theirs))
    assert keys == ([], [])
    assert not mine.has_uninitialized_params()
    assert type(mine) is getattr(nn, name)
    check(mine, theirs, [random(*shape)], "float32", factor=4)
    assert type(mine) is getattr(nn, name.removeprefix("Lazy"))
    assert repr(mine) == repr(theirs)
    for key, value in values_of(theirs).items():
        np.testing.assert_array_equal(mine.state_dict()[key], value)


def network(wing):
    return wing.nn.Sequential(wing.nn.LazyConv2d(3, 2), wing.nn.ReLU(), wing.nn.Flatten(), wing.nn.LazyLinear(2))


def test_a_state_reaches_lazy_modules_inside_others():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine, theirs = network(manual), network(torch)
    assert repr(mine) == repr(theirs)
    theirs(torch.zeros(1, 2, 4, 5))
    mine.load_state_dict(values_of(theirs))
    check(mine, theirs, [random(3, 2, 4, 5)], "float32", factor=8)
    assert repr(mine) == repr(theirs)


def test_a_state_without_shapes_leaves_things_open():
    mine, other = nn.LazyLinear(4), nn.LazyLinear(4)
    assert mine.load_state_dict(other.state_dict()) == ([], [])
    assert mine.has_uninitialized_params()
    assert mine(np.ones((2, 3), np.float32)).shape == (2, 4)
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        mine.load_state_dict(other.state_dict())


def test_a_state_that_does_not_fit_the_first_input_is_refused_as_in_torch():
    for wing in (nn, torch.nn):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lazy, ordinary = wing.LazyLinear(4), wing.Linear(3, 4)
        lazy.load_state_dict(ordinary.state_dict())
        with pytest.raises(
            AssertionError, match=r"inferred from input: 5 is not equal to in_features from self.weight: 3"
        ):
            lazy(torch.zeros(2, 5) if wing is torch.nn else np.zeros((2, 5), np.float32))


def test_dtypes_and_freezing_survive():
    mine = nn.LazyConv1d(4, 2).double()
    assert {parameter.dtype for parameter in mine.parameters()} == {np.dtype(np.float64)}
    assert all(type(parameter) is UninitializedParameter for parameter in mine.parameters())
    mine.requires_grad_(False)
    mine(random(1, 3, 5))
    assert mine.weight.dtype == np.float64
    assert not mine.weight.requires_grad
    assert nn.LazyLinear(4, dtype=np.float16).weight.dtype == np.float16


def test_an_optimizer_made_before_the_first_call_sees_what_came_of_it():
    mine = nn.LazyLinear(4)
    optimizer = manual.optim.SGD(mine.parameters(), lr=0.5)
    x = np.ones((2, 3), np.float32)
    mine(x).backward(np.ones((2, 4), np.float32))
    before = mine.bias.data.copy()
    optimizer.step()
    np.testing.assert_allclose(mine.bias.data, before - 1.0, rtol=1e-6)


def test_a_copy_learns_on_its_own():
    mine = nn.LazyLinear(4)
    twin = copy.deepcopy(mine)
    twin(np.ones((2, 3), np.float32))
    assert type(twin) is nn.Linear
    assert type(mine) is nn.LazyLinear
    assert mine.has_uninitialized_params()
    mine(np.ones((2, 5), np.float32))
    assert (twin.weight.shape, mine.weight.shape) == ((4, 3), (4, 5))


def test_hooks_stay():
    mine, seen = nn.LazyLinear(4), []
    mine.register_forward_pre_hook(lambda module, args: seen.append(module.in_features))
    mine(np.ones((2, 3), np.float32))
    mine(np.ones((2, 3), np.float32))
    assert seen == [3, 3]


REFUSED = [
    ("LazyConv2d", (6, 3), {}, (5, 5), RuntimeError, r"Expected 3D \(unbatched\) or 4D \(batched\) input to LazyConv2d"),
    ("LazyConvTranspose1d", (6, 3), {}, (2, 3, 5, 5), RuntimeError, r"Expected 2D .* input to LazyConvTranspose1d"),
    ("LazyConv1d", (6, 3), {"groups": 3}, (2, 4, 5), ValueError, "in_channels must be divisible by groups"),
    ("LazyConv1d", (7, 3), {"groups": 3}, (2, 3, 5), RuntimeError, "expected weight to be divisible by 3"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "options", "shape", "error", "message"), REFUSED, ids=lambda v: str(v)[:30])
def test_wrong_inputs_are_refused_as_in_torch(name, args, options, shape, error, message):
    mine, theirs = both(name, args, options)
    with pytest.raises(error, match=message):
        theirs(torch.zeros(shape))
    with pytest.raises(error, match=message):
        mine(np.zeros(shape, np.float32))


@pytest.mark.parametrize("options", [{"groups": 0}, {"padding": "full"}, {"padding_mode": "mirror"}], ids=str)
def test_wrong_arguments_are_refused_at_once(options):
    for wing in (torch.nn, nn):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match=r"groups must be|Invalid padding string|padding_mode must be one of"):
                wing.LazyConv2d(6, 3, **options)


# -- the protocol ------------------------------------------------------------------------------------------------------


class Scale(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(np.ones(features))
        self.register_buffer("seen", np.zeros(features))

    def forward(self, input, twice=False):
        return input * self.weight * (2 if twice else 1)


class LazyScale(LazyModuleMixin, Scale):
    cls_to_become = Scale

    def __init__(self, dtype=None):
        super().__init__(0)
        self.weight = UninitializedParameter(dtype=dtype)
        self.register_buffer("seen", UninitializedBuffer(dtype=dtype))

    def initialize_parameters(self, input, twice=False):
        if self.has_uninitialized_params():
            self.weight.materialize(input.shape[-1:])
            self.seen = self.seen.materialize(input.shape[-1:])
            self.weight.data[...] = 3.0
            self.seen[...] = 5.0


def test_parameters_and_buffers_by_the_protocol():
    mine = LazyScale(dtype=np.float64)
    assert list(mine.state_dict()) == ["weight", "seen"]
    value = mine(np.ones((2, 3)), twice=True)
    np.testing.assert_array_equal(value.data, np.full((2, 3), 6.0))
    assert type(mine) is Scale
    assert type(mine.seen) is np.ndarray
    assert mine.seen.dtype == np.float64
    np.testing.assert_array_equal(mine.state_dict()["seen"], [5.0, 5.0, 5.0])


def test_a_state_brings_the_shapes_of_buffers_too():
    mine = LazyScale(dtype=np.float64)
    mine.load_state_dict({"weight": np.array([1.0, 2.0]), "seen": np.array([7.0, 8.0])})
    np.testing.assert_array_equal(mine(np.ones(2)).data, [1.0, 2.0])
    np.testing.assert_array_equal(mine.seen, [7.0, 8.0])


def test_a_lazy_class_without_another_to_become_learns_once():
    class Staying(LazyScale):
        cls_to_become = None
        learnt = 0

        def initialize_parameters(self, input):
            super().initialize_parameters(input)
            type(self).learnt += 1

    mine = Staying()
    x = np.ones((2, 3), np.float32)
    mine(x)
    mine(x)
    assert type(mine) is Staying
    assert Staying.learnt == 1


def test_what_is_left_open_is_refused_as_in_torch():
    class Forgetting(LazyScale):
        def initialize_parameters(self, input):
            self.weight.materialize((3,))

    with pytest.raises(RuntimeError, match="module Forgetting has not been fully initialized"):
        Forgetting()(np.ones(3))

    class Silent(LazyModuleMixin, Scale):
        pass

    with pytest.raises(NotImplementedError, match="initialize_parameters is not implemented for Silent"):
        Silent(3)(np.ones(3))


def test_what_is_uninitialized_says_so():
    parameter, buffer = nn.UninitializedParameter(), nn.UninitializedBuffer()
    assert repr(parameter) == repr(torch.nn.UninitializedParameter())
    assert repr(buffer) == repr(torch.nn.UninitializedBuffer())
    for one in (parameter, torch.nn.UninitializedParameter()):
        with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter or buffer"):
            one.shape  # noqa: B018
    for one in (parameter, torch.nn.UninitializedParameter()):
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            one + 1
    with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter in multiply"):
        buffer * np.ones(3)
    parameter.materialize((2, 3))
    assert type(parameter) is nn.Parameter
    assert parameter.shape == (2, 3)
    assert parameter.requires_grad
    assert not nn.UninitializedParameter(requires_grad=False).requires_grad


@pytest.mark.parametrize("name", ["UninitializedParameter", "UninitializedBuffer"])
def test_uninitialized_values_take_torchs_arguments(name):
    mine, theirs = (inspect.signature(getattr(wing, name)).parameters for wing in (nn, torch.nn))
    assert {key: one.default for key, one in mine.items()} == {key: one.default for key, one in theirs.items()}
