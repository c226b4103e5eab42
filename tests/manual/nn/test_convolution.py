"""Convolutions against torch: every option, shapes that are not square, unbatched inputs, names and refusals."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch

import manual
from manual import nn
from manual.nn import functional

from ..oracle import assert_close, check, check_central, random

SIZES = {1: (9,), 2: (7, 9), 3: (5, 6, 4)}
KERNELS = {1: (3,), 2: (3, 2), 3: (2, 3, 1)}


def twins(name, *args, dtype="float64", **options):
    """The manual wing's module and torch's, of one state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(torch.nn, name)(*args, **options).to(getattr(torch, dtype))
    mine = getattr(nn, name)(*args, **options).to(dtype)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    mine.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return mine, theirs


def held(mine, theirs, shape, dtype="float64", **calls):
    """Forward and backward, inputs and parameters; returns the gradients and the incoming ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = check(
            lambda x: mine(x, **calls), lambda x: theirs(x, **calls), [random(*shape, seed=5)], dtype, factor=4
        )
    for (name, a), (other, b) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other
        assert_close(a.grad, b.grad.numpy(), 8e-12 if dtype == "float64" else 8e-5, name)
    return found


OPTIONS = [
    {"stride": 2}, {"padding": 2}, {"dilation": 2}, {"groups": 2}, {"bias": False}, {"padding": "same"}, {"padding": "valid"},
    {"padding": "same", "dilation": 3}, {"stride": 3, "padding": 1, "dilation": 2, "groups": 2, "bias": False},
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_convolutions(n, options, dtype):
    mine, theirs = twins(f"Conv{n}d", 4, 6, KERNELS[n], dtype=dtype, **options)
    assert repr(mine) == repr(theirs)
    held(mine, theirs, (2, 4, *SIZES[n]), dtype)
    held(*twins(f"Conv{n}d", 4, 6, KERNELS[n], dtype=dtype, **options), (4, *SIZES[n]), dtype)


BORDERS = [
    *({"padding": padding, "padding_mode": mode} for padding in (2, "same", "valid", 0) for mode in ("reflect", "replicate", "circular")),
    {"padding": "same", "padding_mode": "reflect", "dilation": 3}, {"padding": 2, "padding_mode": "circular", "stride": 2, "groups": 2},
    {"padding": "same", "padding_mode": "replicate", "dilation": 3, "bias": False},
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", BORDERS, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_borders(n, options, dtype):
    kernel = {1: (4,), 2: (3, 2), 3: (2, 2, 1)}[n]
    sizes = {1: (10,), 2: (7, 5), 3: (5, 4, 6)}[n]
    for shape in ((2, 4, *sizes), (4, *sizes)):
        mine, theirs = twins(f"Conv{n}d", 4, 6, kernel, dtype=dtype, **options)
        held(mine, theirs, shape, dtype)
    assert repr(mine) == repr(theirs)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_borders_of_different_widths(mode):
    held(*twins("Conv2d", 2, 3, 2, padding=(0, 3), padding_mode=mode), (2, 2, 3, 4))
    held(*twins("Conv2d", 2, 3, (1, 5), padding=(1, 2), padding_mode=mode), (2, 2, 2, 3))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_borders_against_central_differences(mode):
    mine, theirs = twins("Conv2d", 2, 3, (3, 4), padding="same", padding_mode=mode)
    x = random(2, 2, 4, 5, seed=5)
    gradients, seeds = held(mine, theirs, x.shape)
    check_central(mine, [x], gradients, seeds)


@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_a_border_wider_than_the_input_is_refused_as_in_torch(mode):
    mine, theirs = twins("Conv1d", 2, 3, 3, padding=6, padding_mode=mode)
    with pytest.raises(RuntimeError):
        theirs(torch.zeros(1, 2, 5, dtype=torch.float64))
    with pytest.raises(RuntimeError, match=r"should be less than|more than once"):
        mine(np.zeros((1, 2, 5)))


TURNED = [
    {}, {"stride": 2}, {"padding": 1}, {"dilation": 2}, {"groups": 2}, {"bias": False}, {"stride": 3, "output_padding": 2},
    {"dilation": 3, "output_padding": 1}, {"stride": 3, "padding": 2, "output_padding": 1, "groups": 2, "bias": False, "dilation": 2},
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", TURNED, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_transposed_convolutions(n, options, dtype):
    sizes = {1: (5,), 2: (4, 3), 3: (3, 2, 4)}[n]
    for shape in ((2, 4, *sizes), (4, *sizes)):
        mine, theirs = twins(f"ConvTranspose{n}d", 4, 6, KERNELS[n], dtype=dtype, **options)
        held(mine, theirs, shape, dtype)
    assert repr(mine) == repr(theirs)


@pytest.mark.parametrize("size", [(11, 15), [12, 17], (2, 3, 11, 17), (12, 15)], ids=str)
def test_the_output_size_of_a_transposed_convolution(size):
    mine, theirs = twins("ConvTranspose2d", 4, 3, 3, stride=(2, 3))
    held(mine, theirs, (2, 4, 5, 5), output_size=size)
    unbatched = size[1:] if len(size) == 4 else size
    held(*twins("ConvTranspose2d", 4, 3, 3, stride=(2, 3)), (4, 5, 5), output_size=unbatched)


@pytest.mark.parametrize("size", [(10, 16), (11, 19), (11,), (3, 11, 16)], ids=str)
def test_an_output_size_that_cannot_be_is_refused(size):
    mine, theirs = twins("ConvTranspose2d", 4, 3, 3, stride=(2, 3))
    with pytest.raises(ValueError, match="output") as refusal:
        theirs(torch.zeros(1, 4, 5, 5, dtype=torch.float64), output_size=size)
    with pytest.raises(ValueError, match="output") as mine_too:
        mine(np.zeros((1, 4, 5, 5)), output_size=size)
    assert str(mine_too.value) == str(refusal.value).replace("torch.Size([5, 5])", "(5, 5)")


def test_a_transposed_convolution_undoes_the_shape_of_a_convolution():
    for stride, padding, dilation, size in itertools.product((1, 2, 3), (0, 1), (1, 2), range(6, 12)):
        options = {"stride": stride, "padding": padding, "dilation": dilation}
        down, up = nn.Conv1d(1, 1, 3, **options), nn.ConvTranspose1d(1, 1, 3, **options)
        x = np.zeros((1, 1, size), np.float32)
        assert up(down(x), output_size=(size,)).shape == x.shape


def test_transposed_means_transposed():
    """The inner product of ``conv(x)`` with ``y`` is that of ``x`` with ``conv_transpose(y)``."""
    w, x = random(6, 2, 3, 2, seed=1), random(3, 4, 8, 9, seed=2)
    options = {"stride": (2, 3), "padding": (1, 2), "dilation": (2, 1), "groups": 2}
    value = functional.conv2d(x, w, **options).data
    y = random(*value.shape, seed=3)
    back = functional.conv_transpose2d(y, w, output_padding=(1, 2), **options).data
    assert back.shape == x.shape
    np.testing.assert_allclose(np.sum(value * y), np.sum(x * back), rtol=1e-13)


@pytest.mark.parametrize("transposed", [False, True])
def test_attributes_are_live(transposed):
    name = "ConvTranspose2d" if transposed else "Conv2d"
    mine, theirs = twins(name, 4, 6, 3)
    for module in (mine, theirs):
        module.stride, module.padding, module.dilation = (2, 3), (1, 0), (1, 2)
    held(mine, theirs, (2, 4, 7, 8))
    assert repr(mine) == repr(theirs)
    for attribute in (
        "in_channels",
        "out_channels",
        "kernel_size",
        "transposed",
        "output_padding",
        "groups",
        "padding_mode",
    ):
        assert getattr(mine, attribute) == getattr(theirs, attribute)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_initial_values_have_torchs_bounds(n, transposed):
    name = f"ConvTranspose{n}d" if transposed else f"Conv{n}d"
    manual.manual_seed(3)
    torch.manual_seed(3)
    arguments = (30, 40, (5,) * n) if n < 3 else (10, 30, (3,) * n)
    mine, theirs = getattr(nn, name)(*arguments, groups=2), getattr(torch.nn, name)(*arguments, groups=2)
    bound = 1 / math.sqrt(math.prod(mine.weight.shape[1:]))
    for module in (mine.weight.data, theirs.weight.detach().numpy()):
        assert 0.99 * bound < np.abs(module).max() <= bound * (1 + 1e-6)
        assert module.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    for module in (mine.bias.data, theirs.bias.detach().numpy()):
        assert 0.8 * bound < np.abs(module).max() <= bound * (1 + 1e-6)


REFUSED = [
    ({"groups": 3}, "in_channels must be divisible by groups"), ({"groups": 4}, "out_channels must be divisible by groups"),
    ({"groups": 0}, "groups must be a positive integer"), ({"padding": "full"}, "Invalid padding string 'full'"),
    ({"padding": "same", "stride": 2}, "padding='same' is not supported for strided convolutions"),
    ({"padding": "same", "stride": (1, 2)}, "padding='same' is not supported for strided convolutions"),
    ({"padding_mode": "mirror"}, "padding_mode must be one of"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=str)
def test_wrong_arguments_are_refused_as_in_torch(options, message):
    for wing in (torch.nn, nn):
        with pytest.raises(ValueError, match=message):
            wing.Conv2d(4, 6, 3, **options)


def test_a_transposed_convolution_has_zeros_only():
    for wing in (torch.nn, nn):
        with pytest.raises(ValueError, match='Only "zeros" padding mode is supported for ConvTranspose2d'):
            wing.ConvTranspose2d(4, 6, 3, padding_mode="reflect")


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv3d"])
def test_functions(name):
    n = int(name[4])
    x, w, b = random(2, 4, *SIZES[n]), random(6, 2, *KERNELS[n]), random(6)
    for reference, options in ((name, {"stride": 2, "padding": 1, "dilation": 2}), (name, {"padding": "valid"})):
        check(
            getattr(functional, name),
            getattr(torch.nn.functional, reference),
            [x, w, b],
            options={**options, "groups": 2},
        )
    check(
        lambda x, w, b: getattr(functional, name)(x, w, b, 2, 1, 2, 2),
        lambda x, w, b: getattr(torch.nn.functional, name)(x, w, b, 2, 1, 2, 2),
        [x, w, b],
    )
    with pytest.raises(RuntimeError, match=f"{n + 2}-dimensional"):
        getattr(functional, name)(x, w[..., None], b)


@pytest.mark.parametrize("name", ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"])
def test_transposed_functions(name):
    n = int(name[-2])
    x, w, b = random(2, 4, *SIZES[n]), random(4, 3, *KERNELS[n]), random(6)
    check(
        lambda x, w, b: getattr(functional, name)(x, w, b, 3, 1, 2, 2, 2),
        lambda x, w, b: getattr(torch.nn.functional, name)(x, w, b, 3, 1, 2, 2, 2),
        [x, w, b],
    )
    with pytest.raises(RuntimeError, match=f"{n + 2}-dimensional"):
        getattr(functional, name)(x, w[..., None], b)


def test_inputs_and_weights_of_different_dtypes_are_refused():
    with pytest.raises(RuntimeError, match="same dtype"):
        nn.Conv1d(2, 3, 2)(random(1, 2, 5))


def test_a_convolution_of_four_axes_follows_from_the_rule():
    """One implementation for any number of axes: a kernel of one tap on the fourth is a convolution of three."""
    x, w = random(2, 3, 4, 5, 4, 2), random(2, 3, 2, 3, 2)
    value, _ = manual.rules.conv_nd(x, w[..., None], stride=(1, 2, 1, 1))
    for last in range(2):
        expected = torch.nn.functional.conv3d(torch.tensor(x[..., last]), torch.tensor(w), stride=(1, 2, 1)).numpy()
        assert_close(value[..., last], expected, 1e-13, f"slice {last}")


def test_a_network_of_convolutions_trains_as_in_torch():
    def network(wing):
        return wing.nn.Sequential(
            wing.nn.Conv2d(1, 4, 3, padding="same"), wing.nn.ReLU(), wing.nn.Conv2d(4, 8, 3, stride=2, groups=2),
            wing.nn.Tanh(), wing.nn.ConvTranspose2d(8, 2, 3, stride=2), wing.nn.Flatten(), wing.nn.Linear(2 * 49, 3),
        )  # fmt: skip

    mine, theirs = network(manual).double(), network(torch).double()
    mine.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x, labels = random(5, 1, 7, 7), np.array([0, 2, 1, 1, 0])
    ours = manual.optim.SGD(mine.parameters(), lr=0.1, momentum=0.9)
    reference = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for _ in range(5):
        ours.zero_grad()
        reference.zero_grad()
        loss = functional.cross_entropy(mine(manual.tensor(x)), labels)
        expected = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(labels))
        loss.backward()
        expected.backward()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
        ours.step()
        reference.step()
    for (name, a), b in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        assert_close(a.data, b.detach().numpy(), 1e-12, name)
