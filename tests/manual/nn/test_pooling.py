"""Pooling modules and functions against PyTorch's: numbers, names, draws, and what is refused in which words."""

import inspect
import re

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import manual
from manual import nn
from manual.nn import functional

from ..oracle import assert_close, check, random

SHAPES = {1: (2, 3, 11), 2: (2, 3, 7, 9), 3: (2, 1, 5, 7, 6)}
ROW, PLANE, VOLUME = (random(*SHAPES[dimensions]) for dimensions in SHAPES)
INPUTS = {1: ROW, 2: PLANE, 3: VOLUME}

MODULES = [
    ("MaxPool1d", (3,), {}),
    ("MaxPool1d", (3, 2, 1, 2), {"ceil_mode": True, "return_indices": True}),
    ("MaxPool1d", ((4,), (3,), (2,), (1,)), {}),
    ("MaxPool2d", (2,), {}),
    ("MaxPool2d", ((3, 2), (2, 1), (1, 0), (1, 2)), {"return_indices": True}),
    ("MaxPool2d", (3, 2, 1, 2, True, True), {}),
    ("MaxPool2d", ((3,), (2,), (1,)), {}),
    ("MaxPool2d", (5, 1, 2), {"return_indices": True}),
    ("MaxPool3d", (2,), {}),
    ("MaxPool3d", ((3, 2, 1), (1, 2, 3), (1, 1, 0), (1, 2, 1)), {"ceil_mode": True, "return_indices": True}),
    ("MaxPool3d", (4, 1, 2), {}),
    ("AvgPool1d", (3,), {}),
    ("AvgPool1d", (4, 3, 2, True, False), {}),
    ("AvgPool1d", ((2,), (3,), (1,)), {}),
    ("AvgPool2d", (3,), {"divisor_override": 4}),
    ("AvgPool2d", ((3, 2), (2, 3), (1, 0)), {"ceil_mode": True, "count_include_pad": False}),
    ("AvgPool3d", (2, 1), {}),
    ("AvgPool3d", ((2, 3, 4), (2, 1, 3), (1, 1, 2), True, False, 7), {}),
    ("LPPool1d", (2, 3), {}),
    ("LPPool1d", (4, 2, 3, True), {}),
    ("LPPool2d", (2, (2, 3), (2, 1)), {}),
    ("LPPool2d", (float("inf"), 2), {"ceil_mode": True}),
    ("LPPool3d", (2, (2, 3, 2), 2, True), {}),
    ("AdaptiveAvgPool1d", (4,), {}),
    ("AdaptiveAvgPool1d", ((13,),), {}),
    ("AdaptiveAvgPool2d", (3,), {}),
    ("AdaptiveAvgPool2d", ((None, 4),), {}),
    ("AdaptiveAvgPool2d", ((10, 2),), {}),
    ("AdaptiveAvgPool3d", ((2, None, 7),), {}),
    ("AdaptiveMaxPool1d", (4, True), {}),
    ("AdaptiveMaxPool2d", ((None, 4),), {"return_indices": True}),
    ("AdaptiveMaxPool2d", ((10, 2), False), {}),
    ("AdaptiveMaxPool3d", ((2, None, 7), True), {}),
    ("AdaptiveMaxPool3d", (1,), {"return_indices": True}),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "arguments", "options"), MODULES, ids=str)
def test_a_module_agrees_with_torchs(name, arguments, options, dtype):
    mine, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
    batch = INPUTS[int(name[-2])]
    for array in (batch, batch[0]):
        check(mine, theirs, [array], dtype, factor=4 if name.startswith("LP") else 1)
    assert repr(mine) == repr(theirs)
    shown = {key: value for key, value in vars(theirs).items() if not key.startswith("_") and key != "training"}
    assert {key: getattr(mine, key) for key in shown} == shown
    assert list(mine.state_dict()) == list(theirs.state_dict()) == []


@pytest.mark.parametrize("name", [name for name in functional.pooling.__all__ if "unpool" not in name])
def test_functions_take_torchs_arguments_in_torchs_order(name):
    mine = list(inspect.signature(getattr(functional, name)).parameters)
    kind, dimensions = re.match(r"(.*?)(\d)d", name).groups()
    if "with_indices" in name or kind == "lp_pool" or name in ("adaptive_avg_pool2d", "adaptive_avg_pool3d"):
        reference = getattr(F, name)
    elif kind in ("avg_pool", "adaptive_avg_pool"):  # builtin: its docstring names the arguments
        told = re.search(rf"{name}\((.*?)\) -> Tensor", getattr(F, name).__doc__).group(1)
        assert mine == [argument.split("=")[0] for argument in told.split(", ")]
        return
    else:
        reference = getattr(F, f"{name}_with_indices")
    assert mine == list(inspect.signature(reference).parameters)
    assert dimensions in "123"


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_indices_can_be_had_in_two_ways(dimensions):
    x = INPUTS[dimensions]
    for name, arguments in ((f"max_pool{dimensions}d", (2,)), (f"adaptive_max_pool{dimensions}d", (3,))):
        value, indices = getattr(functional, f"{name}_with_indices")(x, *arguments)
        again, other = getattr(functional, name)(x, *arguments, return_indices=True)
        expected = getattr(F, name)(torch.tensor(x), *arguments, return_indices=True)
        assert indices.dtype == np.int64
        for found in (indices, other):
            np.testing.assert_array_equal(found.data, expected[1].numpy())
        for found in (value, again):
            np.testing.assert_array_equal(found.data, expected[0].numpy())


def test_indices_of_a_maximum_pick_it_out():
    value, indices = functional.max_pool2d(PLANE, (3, 2), (2, 1), (1, 1), return_indices=True)
    rows = PLANE.reshape(2, 3, -1)
    np.testing.assert_array_equal(
        np.take_along_axis(rows, indices.data.reshape(2, 3, -1), 2), value.data.reshape(2, 3, -1)
    )


def test_the_gradient_of_an_average_of_equal_windows_is_spread_evenly():
    x = manual.tensor(np.arange(6.0).reshape(1, 6), requires_grad=True)
    functional.avg_pool1d(x, 3).backward(np.array([[3.0, -6.0]]))
    np.testing.assert_array_equal(x.grad, [[1, 1, 1, -2, -2, -2]])


def test_what_is_set_later_takes_effect():
    for name, arguments, after in (
        ("MaxPool2d", (2,), {"kernel_size": (3, 2), "stride": 1, "padding": 1, "dilation": 2, "ceil_mode": True}),
        ("AvgPool2d", (2,), {"padding": 1, "count_include_pad": False, "divisor_override": 3}),
        ("LPPool2d", (2, 2), {"norm_type": 4, "stride": 1}),
        ("AdaptiveAvgPool2d", (2,), {"output_size": (3, None)}),
    ):
        mine, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
        for module in (mine, theirs):
            for key, value in after.items():
                setattr(module, key, value)
        check(mine, theirs, [PLANE], factor=4)
        assert repr(mine) == repr(theirs)


def test_integers_are_pooled_where_torch_does():
    x = random(2, 3, 6, 6, seed=3)
    whole = np.round(x * 10).astype(np.int64)
    for mine, theirs, arguments in (
        (functional.max_pool2d, F.max_pool2d, (3, 2, 1)),
        (functional.avg_pool2d, F.avg_pool2d, (3, 2, 1)),
        (functional.max_pool3d, F.max_pool3d, (2,)),
        (functional.avg_pool3d, F.avg_pool3d, (2, 1, 0, False, True, -3)),
    ):
        found = mine(whole, *arguments)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found.data, theirs(torch.from_numpy(whole), *arguments).numpy())


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_no_windows_at_all(kind, dimensions):
    name, x = f"adaptive_{kind}_pool{dimensions}d", INPUTS[dimensions]
    tensor = manual.tensor(x, requires_grad=True)
    found = getattr(functional, name)(tensor, 0)
    assert found.shape == tuple(getattr(F, name)(torch.tensor(x), 0).shape)
    found.backward(np.zeros(found.shape))
    np.testing.assert_array_equal(tensor.grad, np.zeros_like(x))


# -- windows at random -------------------------------------------------------------------------------------------------

FRACTIONAL = [
    ("FractionalMaxPool2d", (2,), {"output_size": 4}),
    ("FractionalMaxPool2d", ((2, 3),), {"output_size": (3, 5), "return_indices": True}),
    ("FractionalMaxPool2d", (2,), {"output_ratio": 0.6, "return_indices": True}),
    ("FractionalMaxPool2d", (3,), {"output_ratio": (0.6, 0.3)}),
    ("FractionalMaxPool3d", (2,), {"output_size": 3}),
    ("FractionalMaxPool3d", ((1, 3, 2),), {"output_size": (3, 4, 1), "return_indices": True}),
    ("FractionalMaxPool3d", (2,), {"output_ratio": (0.6, 0.4, 0.5), "return_indices": True}),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "arguments", "options"), FRACTIONAL, ids=str)
def test_fractional_pooling_with_given_samples(name, arguments, options, dtype):
    dimensions = int(name[-2])
    for seed in range(5):
        x = random(*SHAPES[dimensions], seed=seed)
        samples = random(*x.shape[:2], dimensions, seed=seed, low=0, high=1).astype(dtype)
        mine = getattr(nn, name)(*arguments, **options, _random_samples=samples)
        theirs = getattr(torch.nn, name)(*arguments, **options, _random_samples=torch.tensor(samples))
        for array in (x, x[0]):
            check(mine, theirs, [array], dtype)
        assert repr(mine) == repr(theirs)
        assert list(mine.state_dict()) == list(theirs.state_dict()) == ["_random_samples"]
        shown = {key: value for key, value in vars(theirs).items() if not key.startswith("_") and key != "training"}
        assert {key: getattr(mine, key) for key in shown} == shown


@pytest.mark.parametrize(("name", "arguments", "options"), FRACTIONAL, ids=str)
def test_fractional_pooling_draws_what_torch_draws(name, arguments, options):
    dimensions = int(name[-2])
    mine, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
    assert list(mine.state_dict()) == list(theirs.state_dict()) == []
    for x in (INPUTS[dimensions], INPUTS[dimensions][0]):
        torch.manual_seed(3)
        expected = theirs(torch.tensor(x))
        torch.manual_seed(3)
        draws = torch.rand(
            x.shape[0] if x.ndim == dimensions + 2 else 1, x.shape[-dimensions - 1], dimensions, dtype=torch.float64
        )
        with manual.random.replaying([draws.numpy()]):
            found = mine(manual.tensor(x))
        if mine.return_indices:
            np.testing.assert_array_equal(found[1].data, expected[1].numpy())
            found, expected = found[0], expected[0]
        np.testing.assert_array_equal(found.data, expected.numpy())
    manual.manual_seed(0)
    drawn = [mine(manual.tensor(INPUTS[dimensions])) for _ in range(12)]
    values = [(one[0] if mine.return_indices else one).data for one in drawn]
    assert any(not np.array_equal(values[0], value) for value in values)


def test_fractional_windows_are_laid_in_the_precision_of_the_input():
    """A sample for which float32 and float64 round to different windows: both wings follow the dtype."""
    x = np.arange(400.0).reshape(1, 1, 20, 20)
    differ = 0
    for seed in range(60):
        sample = np.floor(random(1, 1, 2, seed=seed, low=0, high=9)) / 9
        found = {}
        for dtype in ("float64", "float32"):
            found[dtype] = functional.fractional_max_pool2d(
                x.astype(dtype), 2, 11, return_indices=True, _random_samples=sample.astype(dtype)
            )[1].data
            expected = F.fractional_max_pool2d(
                torch.tensor(x.astype(dtype)),
                2,
                11,
                return_indices=True,
                _random_samples=torch.tensor(sample.astype(dtype)),
            )[1]
            np.testing.assert_array_equal(found[dtype], expected.numpy())
        differ += not np.array_equal(found["float64"], found["float32"])
    assert differ


# -- unpooling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize(("kernel_size", "stride", "padding"), [(2, None, 0), (3, 2, 1), (2, 3, 0)])
def test_unpooling_undoes_pooling(dimensions, kernel_size, stride, padding):
    x, name = INPUTS[dimensions], f"MaxUnpool{dimensions}d"
    pool = getattr(torch.nn, f"MaxPool{dimensions}d")(kernel_size, stride, padding, return_indices=True)
    mine, theirs = (
        getattr(nn, name)(kernel_size, stride, padding),
        getattr(torch.nn, name)(kernel_size, stride, padding),
    )
    assert repr(mine) == repr(theirs)
    assert vars(mine)["stride"] == theirs.stride
    for array in (x, x[0]):
        value, indices = (part.numpy() for part in pool(torch.tensor(array)))
        spatial = array.shape[-dimensions:]
        for output_size in (spatial, [1, 1, *spatial]):
            options = {"output_size": output_size}
            check(mine, theirs, [value], constants=[indices], options=options)
        functions = getattr(functional, f"max_unpool{dimensions}d"), getattr(F, f"max_unpool{dimensions}d")
        options = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "output_size": spatial}
        check(*functions, [value], "float32", constants=[indices], options=options)
    whole = np.arange(value.size).reshape(value.shape) % value[0].size
    check(getattr(nn, name)(2), getattr(torch.nn, name)(2), [value], constants=[whole])


# -- alike whatever the way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(25))
def test_random_lengths(seed):
    """Every way to go over windows (all axes at once, one by one, laid out) yields what torch yields."""
    generator = np.random.default_rng(seed)
    for dimensions, longest in ((1, 90), (2, 26), (3, 9)):
        lengths = generator.integers(1, longest, dimensions)
        x = generator.standard_normal((2, 2, *lengths))
        x = np.round(2 * x) if seed % 2 else x
        kernel_size = tuple(int(generator.integers(1, length + 1)) for length in lengths)
        stride = tuple(int(generator.integers(1, length + 2)) for length in kernel_size)
        padding = tuple(int(generator.integers(0, length // 2 + 1)) for length in kernel_size)
        options = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "ceil_mode": bool(seed % 3)}
        check(
            getattr(functional, f"max_pool{dimensions}d"),
            getattr(F, f"max_pool{dimensions}d"),
            [x],
            options={**options, "return_indices": True},
        )
        options["count_include_pad"] = bool(seed % 2)
        check(getattr(functional, f"avg_pool{dimensions}d"), getattr(F, f"avg_pool{dimensions}d"), [x], options=options)
        counts = tuple(int(generator.integers(1, length + 4)) for length in lengths)
        for name, more in (
            (f"adaptive_avg_pool{dimensions}d", {}),
            (f"adaptive_max_pool{dimensions}d", {"return_indices": True}),
        ):
            check(getattr(functional, name), getattr(F, name), [x], options={"output_size": counts, **more})


SAMPLES = np.round(random(2, 3, 2, low=0, high=1) * 16) / 16
DTYPES = {
    "max_pool2d": (3, 2, 1),
    "avg_pool2d": (3, 2, 1, True, False),
    "lp_pool2d": (2, 3, 2, True),
    "adaptive_avg_pool2d": ((3, 5),),
    "adaptive_max_pool2d": ((3, 5),),
    "fractional_max_pool2d": (2, 4),
    "pad": ((1, 2, 0, 3), "replicate"),
}


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize(("dtype", "bound"), [(np.float16, 4e-3), (np.longdouble, 1e-14)])
def test_half_precision_and_long_double(name, dtype, bound):
    found = {}
    for kind in (dtype, np.float64):
        x = manual.tensor(PLANE.astype(np.float16).astype(kind), requires_grad=True)
        options = {"_random_samples": SAMPLES.astype(kind)} if name.startswith("fractional") else {}
        value = getattr(functional, name)(x, *DTYPES[name], **options)
        value.backward(random(*value.shape, seed=5).astype(np.float16).astype(kind))
        assert value.dtype == x.grad.dtype == kind
        found[kind] = [part.astype(np.float64) for part in (value.data, x.grad)]
    for actual, expected in zip(found[dtype], found[np.float64], strict=True):
        assert_close(actual, expected, bound, name)
