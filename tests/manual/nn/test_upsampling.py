"""Images of another size and images read at a grid's positions, over all options, against torch and differences."""

import inspect
import itertools
import re
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual import nn, rules
from manual.nn import functional

from ..oracle import check, check_central, random

x3, x4, x5 = random(2, 3, 5, seed=1), random(2, 3, 5, 4, seed=2), random(1, 2, 3, 5, 4, seed=3)

# -- modules -----------------------------------------------------------------------------------------------------------

MODULES = [
    ("Upsample", {"size": 7}, x3), ("Upsample", {"scale_factor": 2}, x4), ("Upsample", {"size": (3, 6, 2)}, x5),
    ("Upsample", {"scale_factor": (2, 1.5), "mode": "bilinear"}, x4), ("Upsample", {"scale_factor": 1.7, "mode": "linear"}, x3),
    ("Upsample", {"scale_factor": 0.6, "mode": "bicubic", "align_corners": True}, x4), ("Upsample", {"size": (2, 9), "mode": "area"}, x4),
    ("Upsample", {"scale_factor": 1.7, "mode": "trilinear", "align_corners": True}, x5), ("Upsample", {"scale_factor": 1.3, "mode": "nearest-exact"}, x5),
    ("Upsample", {"scale_factor": 1.7, "mode": "bilinear", "recompute_scale_factor": True}, x4), ("UpsamplingNearest2d", {"scale_factor": 2}, x4),
    ("UpsamplingNearest2d", {"size": (3, 7)}, x4), ("UpsamplingBilinear2d", {"scale_factor": (1.5, 3.0)}, x4), ("UpsamplingBilinear2d", {"size": 9}, x4),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options", "x"), MODULES, ids=str)
def test_modules(name, options, x, dtype):
    mine, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    assert repr(mine) == repr(theirs)
    assert not mine.state_dict()
    for attribute in ("name", "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor"):
        assert getattr(mine, attribute) == getattr(theirs, attribute)
    check(mine.train(), theirs, [x], dtype)
    check(mine.eval(), theirs, [x], dtype)


@pytest.mark.parametrize("name", ["Upsample", "UpsamplingNearest2d", "UpsamplingBilinear2d"])
def test_constructors_are_torchs(name):
    mine, theirs = (inspect.signature(getattr(wing.nn, name)).parameters.values() for wing in (manual, torch))
    assert [(p.name, p.default) for p in mine] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize(
    ("attribute", "value"), [("size", (3, 3)), ("mode", "bilinear"), ("align_corners", True), ("scale_factor", 1.5)]
)
def test_an_attribute_that_is_changed_takes_effect(attribute, value):
    modules = nn.Upsample(6, mode="bicubic"), torch.nn.Upsample(6, mode="bicubic")
    for module in modules:
        if attribute == "scale_factor":
            module.size = None
        setattr(module, attribute, value)
    check(*modules, [x4])


# -- interpolate -------------------------------------------------------------------------------------------------------

LENGTHS = [(a, b) for a in (1, 2, 3, 5, 8) for b in (1, 2, 3, 4, 7, 10)]
MODES = [
    ("nearest", {}, 1), ("nearest-exact", {}, 1), ("area", {}, 1), ("linear", {"align_corners": False}, 1), ("linear", {"align_corners": True}, 1),
    ("linear", {}, 1), ("nearest", {}, 2), ("nearest-exact", {}, 2), ("area", {}, 2), ("nearest", {}, 3), ("nearest-exact", {}, 3), ("area", {}, 3),
    ("bicubic", {}, 2), ("lanczos", {"antialias": True}, 2),
    *(("trilinear", {"align_corners": a}, 3) for a in (False, True)),
    *((mode, {"align_corners": a, "antialias": s}, 2) for mode in ("bilinear", "bicubic") for a in (False, True) for s in (False, True)),
]  # fmt: skip


def mode_id(value):
    return "-".join(map(str, value)) if isinstance(value, tuple) else None


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("mode", MODES, ids=mode_id)
def test_every_mode_at_every_size(mode, dtype):
    name, options, spatial = mode
    for length, out in LENGTHS:
        shape, size = (length, 3, 2)[:spatial], (out, 2, 5)[:spatial]
        x = random(1, 2, *shape, seed=out)
        check(functional.interpolate, F.interpolate, [x], dtype, options={"size": size, "mode": name, **options})


def torch_disagrees_with_itself(name, options, shape, factor, recompute):
    """Where torch's backward pass is not that of its forward pass: a factor that keeps (or doubles) a length."""
    if recompute or factor in (1, 2) or not (name in ("nearest", "bicubic") or options.get("antialias")):
        return False
    return any(int(length * factor) in (length, 2 * length) for length in shape)


@pytest.mark.parametrize("recompute", [None, False, True])
@pytest.mark.parametrize("mode", MODES, ids=mode_id)
def test_every_mode_at_every_factor(mode, recompute):
    name, options, spatial = mode
    for factor, length in itertools.product((0.4, 0.55, 0.7, 1, 1.3, 1.5, 1.7, 2, 2.5, 3.3), (3, 5, 7)):
        shape = (length, 6, 4)[:spatial]
        if torch_disagrees_with_itself(name, options, shape, factor, recompute):
            continue
        x = random(1, 2, *shape, seed=length)
        options = {**options, "mode": name, "scale_factor": factor, "recompute_scale_factor": recompute}
        gradients, seeds = check(functional.interpolate, F.interpolate, [x], options=options)
        if factor in (0.55, 1.7):
            check_central(functional.interpolate, [x], gradients, seeds, options=options)


INCONSISTENT = [
    ("nearest", {}, 1.3), ("nearest", {}, 2.1), ("bicubic", {}, 1.3), ("bilinear", {"antialias": True}, 1.3), ("bicubic", {"antialias": True}, 1.3)
]  # fmt: skip


@pytest.mark.parametrize(("mode", "options", "factor"), INCONSISTENT, ids=str)
def test_an_axis_that_keeps_its_length_under_a_factor_has_the_gradient_of_its_values(mode, options, factor):
    """torch's values, and the derivative of these values, which torch's backward pass not always is."""
    options = {"scale_factor": factor, "mode": mode, **options}
    x = random(1, 2, 3, 3)
    tensor = manual.tensor(x, requires_grad=True)
    value = functional.interpolate(tensor, **options)
    np.testing.assert_allclose(value.data, F.interpolate(torch.tensor(x), **options).numpy(), rtol=1e-12)
    seed = random(*value.shape, seed=5)
    value.backward(seed)
    check_central(functional.interpolate, [x], [tensor.grad], [seed], options=options)


@pytest.mark.parametrize("factor", [1.04, 1.09, 2.04, 2.09])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_a_factor_that_keeps_or_doubles_a_length_has_torchs_gradient(mode, factor):
    x = random(1, 2, 10)
    options = {"scale_factor": factor, "mode": mode}
    value, pullback = rules.interpolate(x, **options)
    tensor = torch.tensor(x, requires_grad=True)
    seed = random(*value.shape, seed=2)
    F.interpolate(tensor, **options).backward(torch.tensor(seed))
    np.testing.assert_allclose(pullback(seed, (True,))[0], tensor.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_one_antialiased_column_is_one_antialiased_row_turned(mode):
    """torch's value of one column of several rows is no function that its own gradcheck accepts: turned, it is."""
    column = functional.interpolate(x4, size=(3, 1), mode=mode, antialias=True).data
    row = F.interpolate(torch.tensor(x4).mT.contiguous(), size=(1, 3), mode=mode, antialias=True).mT
    np.testing.assert_allclose(column, row.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear"])
def test_an_infinity_reaches_only_its_neighbours(mode):
    x = np.array([[[1.0, np.inf, 2.0, 3.0, 4.0, 5.0]]])
    with np.errstate(invalid="ignore"):
        value, pullback = rules.interpolate(x, size=11, mode=mode)
        (gradient,) = pullback(value, (True,))
    np.testing.assert_array_equal(value, F.interpolate(torch.tensor(x), size=11, mode=mode).numpy())
    assert np.isfinite(value[..., 5:]).all()
    assert np.isfinite(gradient[..., 3:]).all()


def test_cubic_weights_are_keys_with_a_of_three_quarters():
    value, _ = rules.interpolate(np.eye(6).reshape(1, 6, 6, 1), size=(12, 1), mode="bicubic")
    np.testing.assert_allclose(value[0, :, 6, 0], np.array([0, -0.03515625, 0.26171875, 0.87890625, -0.10546875, 0]))


def test_worked_number_of_the_docstring():
    _, pullback = rules.interpolate(np.zeros((1, 1, 2)), size=3, mode="linear", align_corners=True)
    np.testing.assert_array_equal(pullback(np.array([[[1.0, 2.0, 4.0]]]), (True,))[0], [[[2.0, 5.0]]])


def test_bytes_and_half_precision():
    pixels = np.arange(20, dtype=np.uint8).reshape(1, 1, 4, 5)
    np.testing.assert_array_equal(
        functional.interpolate(pixels, size=(7, 3)).data, F.interpolate(torch.tensor(pixels), size=(7, 3)).numpy()
    )
    half = x4.astype(np.float16)
    for mode in ("nearest", "bilinear", "bicubic"):
        mine = functional.interpolate(half, size=(7, 3), mode=mode).data
        theirs = F.interpolate(torch.tensor(half), size=(7, 3), mode=mode).numpy()
        assert mine.dtype == np.float16
        np.testing.assert_allclose(mine.astype(float), theirs.astype(float), atol=2e-3)


ANYTHING = (RuntimeError, ValueError, TypeError)  # NotImplementedError is a RuntimeError
REFUSED = {
    "both": (x4, {"size": 3, "scale_factor": 2.0}), "neither": (x4, {}), "three sizes": (x4, {"size": (1, 2, 3)}),
    "three factors": (x4, {"scale_factor": (1.0, 2.0, 3.0)}), "a fraction": (x4, {"size": (2.0, 3)}),
    "corners of nearest": (x4, {"size": 3, "align_corners": True}), "corners of area": (x4, {"size": 3, "mode": "area", "align_corners": False}),
    "linear of images": (x4, {"size": 3, "mode": "linear"}), "bilinear of rows": (x3, {"size": 3, "mode": "bilinear"}),
    "trilinear of rows": (x3, {"size": 3, "mode": "trilinear"}), "bilinear of volumes": (x5, {"size": 3, "mode": "bilinear"}),
    "bicubic of rows": (x3, {"size": 3, "mode": "bicubic"}), "no mode": (x4, {"size": 3, "mode": "cubic"}), "a matrix": (x3[0], {"size": 3}),
    "no rows": (x4, {"size": 0}), "less than none": (x4, {"size": -1, "mode": "bilinear"}), "a factor too small": (x3, {"scale_factor": 0.1}),
    "a negative factor": (x5, {"scale_factor": -1.0}), "no columns": (x4[..., :0], {"size": 3}), "no channels": (x4[:, :0], {"size": 3}),
    "antialiased nearest": (x4, {"size": 3, "antialias": True}), "antialiased area": (x4, {"size": 3, "mode": "area", "antialias": True}),
    "antialiased rows": (x3, {"size": 3, "mode": "linear", "antialias": True}), "lanczos alone": (x4, {"size": 3, "mode": "lanczos"}),
    "corners of lanczos": (x4, {"size": 3, "mode": "lanczos", "antialias": True, "align_corners": True}),
    "recomputed size": (x4, {"size": 3, "recompute_scale_factor": True}), "area of nothing": (x4[:, :, :0], {"size": 2, "mode": "area"}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses_is_refused_in_its_words(name):
    x, options = REFUSED[name]
    with pytest.raises(ANYTHING) as refusal:
        F.interpolate(torch.tensor(x), **options)
    with pytest.raises(refusal.type) as ours:
        functional.interpolate(x, **options)
    assert str(ours.value) == str(refusal.value)


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (x4, {"size": "3"}, TypeError, "expected size"),
        (x4, {"size": True}, TypeError, "expected size"),
        (x4, {"scale_factor": "2"}, TypeError, "expected scale_factor"),
        (x4, {"size": -1, "mode": "area"}, RuntimeError, "greater than or equal to 0"),
        (x4.astype(int), {"size": 3}, NotImplementedError, "not implemented for int64"),
        (x4.astype(int), {"size": 3, "mode": "bilinear"}, NotImplementedError, "not implemented for int64"),
    ],
)
def test_other_wrong_arguments(x, options, error, message):
    with pytest.raises((error, TypeError, RuntimeError, NotImplementedError)):
        F.interpolate(torch.tensor(x), **options)
    with pytest.raises(error, match=message):
        functional.interpolate(x, **options)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("upsample", (7,)), ("upsample", (None, 1.5, "bilinear", True)), ("upsample_nearest", (7,)), ("upsample_bilinear", (None, 2))],
)  # fmt: skip
def test_old_names_warn_and_work(name, arguments):
    with pytest.warns(UserWarning, match="is deprecated. Use `nn.functional.interpolate` instead") as caught:
        check(lambda x: getattr(functional, name)(x, *arguments), lambda x: getattr(F, name)(x, *arguments), [x4])
    assert {str(warning.message) for warning in caught} == {str(caught[0].message)}
    assert all(warning.filename == __file__ for warning in caught)


# -- grids -------------------------------------------------------------------------------------------------------------

GRIDS = list(itertools.product(["bilinear", "nearest", "bicubic"], ["zeros", "border", "reflection"], [False, True]))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("mode", "padding_mode", "align_corners"), GRIDS, ids=str)
def test_grid_sample(mode, padding_mode, align_corners, dtype):
    options = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    for height, width in [(1, 3), (2, 5), (4, 3), (7, 1), (6, 6)]:
        inputs = [random(2, 3, height, width, seed=1), random(2, 3, 4, 2, low=-2.6, high=2.6, seed=height)]
        gradients, seeds = check(functional.grid_sample, F.grid_sample, inputs, dtype, options=options)
        if dtype == "float64" and mode != "nearest":
            check_central(functional.grid_sample, inputs, gradients, seeds, options=options)
        if mode != "bicubic":
            inputs = [random(2, 3, 2, height, width), random(2, 3, 1, 4, 3, low=-2.6, high=2.6, seed=width)]
            check(functional.grid_sample, F.grid_sample, inputs, dtype, options=options)


@pytest.mark.parametrize(("mode", "padding_mode", "align_corners"), GRIDS, ids=str)
def test_grid_sample_at_kinks_takes_torchs_side(mode, padding_mode, align_corners):
    options = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    places = np.array([-3, -2, -1.5, -1, -0.75, -0.5, 0, 0.25, 0.5, 1, 1.25, 2, 3])
    grid = np.stack(np.meshgrid(places, places), axis=-1)[None]
    for shape in [(1, 2, 4, 5), (1, 2, 3, 2)]:
        check(functional.grid_sample, F.grid_sample, [random(*shape), grid], options=options)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 3, 4, 5)], ids=str)
def test_the_identity_map_reads_the_image_itself(shape, align_corners):
    spatial = len(shape) - 2
    theta = np.tile(np.eye(spatial, spatial + 1), (2, 1, 1))
    grid = functional.affine_grid(theta, shape, align_corners=align_corners)
    x = random(*shape)
    np.testing.assert_allclose(functional.grid_sample(x, grid, align_corners=align_corners).data, x, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 1, 2, 7), (2, 3, 2, 3, 5)], ids=str)
def test_affine_grid(size, align_corners, dtype):
    options = {"size": list(size), "align_corners": align_corners}
    theta = random(2, len(size) - 2, len(size) - 1)
    gradients, seeds = check(functional.affine_grid, F.affine_grid, [theta], dtype, options=options)
    if dtype == "float64":
        check_central(functional.affine_grid, [theta], gradients, seeds, options=options)


def test_a_transformer_learns_through_grid_and_image():
    def turned(wing):
        def run(x, theta):
            grid = wing.affine_grid(theta, (2, 3, 4, 6), align_corners=False)
            return wing.grid_sample(x, grid, padding_mode="border", align_corners=False)

        return run

    inputs = [x4, random(2, 2, 3, low=-0.9, high=0.9)]
    gradients, seeds = check(turned(functional), turned(F), inputs)
    check_central(turned(functional), inputs, gradients, seeds)


def test_an_axis_of_one_warns_under_aligned_corners():
    theta = random(1, 2, 3)
    with pytest.warns(UserWarning, match="unit-size grids"):
        found = functional.affine_grid(theta, (1, 1, 1, 4), align_corners=True)
    with pytest.warns(UserWarning, match="unit-size grids"):
        expected = F.affine_grid(torch.tensor(theta), (1, 1, 1, 4), align_corners=True)
    np.testing.assert_allclose(found.data, expected.numpy(), rtol=1e-12)


def test_corners_left_open_warn():
    for wing, as_input in ((functional, manual.tensor), (F, torch.tensor)):
        theta, x, places = as_input(random(2, 2, 3)), as_input(x4), as_input(g4)
        with pytest.warns(UserWarning, match=r"align_corners=False since 1.3.0") as caught:
            wing.affine_grid(theta, (2, 3, 4, 4))
        assert [warning.filename for warning in caught] == [__file__]
        with pytest.warns(UserWarning, match=r"align_corners=False since 1.3.0") as caught:
            wing.grid_sample(x, places)
        assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(functional.grid_sample, F.grid_sample, [x4, random(2, 3, 2, 2)])


def test_positions_that_are_no_numbers_and_far_ones():
    grid = np.array([[[[np.nan, 0.0], [np.inf, 0.0], [-1e300, 0.0], [1e18, 0.0]]]])
    x = random(1, 2, 3, 4)
    for mode, padding_mode in itertools.product(("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")):
        value, pullback = rules.grid_sample(x, grid, mode=mode, padding_mode=padding_mode)
        like, _ = rules.grid_sample(x, np.array([[[[-1.0, 0.0]]]]), mode=mode, padding_mode=padding_mode)
        np.testing.assert_array_equal(value[..., :1], like)
        assert np.isfinite(value).all()
        assert all(np.isfinite(gradient).all() for gradient in pullback(value, (True, True)))
        if padding_mode == "zeros":
            assert not value[..., 1:].any()
        if padding_mode == "border" and mode != "bicubic":
            np.testing.assert_allclose(value[0, :, 0, 1:], x[0, :, 1][:, [3, 0, 3]], rtol=1e-12)


t3, g4, g5 = random(2, 2, 3), random(2, 3, 2, 2, seed=7), random(1, 3, 2, 2, 3, seed=8)
SAMPLING_REFUSED = {
    "mode": ("grid_sample", (x4, g4), {"mode": "linear"}), "padding": ("grid_sample", (x4, g4), {"padding_mode": "circular"}),
    "batches": ("grid_sample", (x4, g4[:1]), {}), "places of volumes": ("grid_sample", (x4, np.concatenate([g4, g4[..., :1]], -1)), {}),
    "bicubic volumes": ("grid_sample", (x5, g5), {"mode": "bicubic"}), "no pixels": ("grid_sample", (x4[:, :, :0], g4), {}),
    "volumes of images": ("affine_grid", (t3, (2, 3, 4, 5, 6)), {}),
    "images of volumes": ("affine_grid", (random(2, 3, 4), (2, 3, 4, 5)), {}), "three sizes": ("affine_grid", (t3, (2, 3, 4)), {}),
    "no size": ("affine_grid", (t3, (2, 3, 0, 5)), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLING_REFUSED)
def test_what_torch_refuses_of_grids_is_refused_in_its_words(name):
    function, inputs, options = SAMPLING_REFUSED[name]
    with pytest.raises(ANYTHING) as refusal:
        getattr(F, function)(
            *(torch.tensor(x) if isinstance(x, np.ndarray) else x for x in inputs), align_corners=False, **options
        )
    with pytest.raises(refusal.type) as ours:
        getattr(functional, function)(*inputs, align_corners=False, **options)
    assert str(ours.value) == re.sub(r"torch.Size\(\[(.*)\]\)", r"(\1)", str(refusal.value))


def test_other_wrong_grids():
    for function, inputs, error, message in [
        ("grid_sample", (x4, g4.astype(np.float32)), RuntimeError, "same dtype"),
        ("grid_sample", (x4[0], g4), RuntimeError, "4D or 5D"),
        ("grid_sample", (x4, g4[0]), RuntimeError, "same number of dimensions"),
        ("grid_sample", (x4.astype(int), g4.astype(int)), NotImplementedError, "not implemented for int64"),
        ("affine_grid", (t3.astype(int), (2, 3, 4, 5)), ValueError, "floating point type, but got int64"),
        ("affine_grid", (t3, (3, 3, 4, 5)), RuntimeError, "Expected 3 affine matrices"),
    ]:
        tensors = [torch.tensor(x) if isinstance(x, np.ndarray) else x for x in inputs]
        with pytest.raises(error):
            getattr(F, function)(*tensors, align_corners=False)
        with pytest.raises(error, match=message):
            getattr(functional, function)(*inputs, align_corners=False)


def test_half_precision_is_computed_in_single():
    x, grid = x4.astype(np.float16), np.clip(g4, -1, 1).astype(np.float16)
    for mode in ("bilinear", "bicubic"):
        value, pullback = rules.grid_sample(x, grid, mode=mode)
        exact, exact_pullback = rules.grid_sample(x.astype(float), grid.astype(float), mode=mode)
        np.testing.assert_allclose(value.astype(float), exact, atol=2e-3)
        for half, full in zip(pullback(value, (True, True)), exact_pullback(exact, (True, True)), strict=True):
            assert half.dtype == np.float16
            np.testing.assert_allclose(half.astype(float), full, rtol=5e-3, atol=2e-2)
