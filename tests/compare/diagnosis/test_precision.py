"""A narrower dtype somewhere: exactly as it rounds, by what its elements can be, and in the same places; never by size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import compare
from compare.diagnosis.narrowing import rounded

from .written import asked, evidence, only, walked

NARROW = {"float32": np.float32, "float16": np.float16}


def through(name):
    """A function that rounds an array to a narrower dtype and hands it back in its own."""
    if name == "bfloat16":
        return lambda v: rounded(v, "bfloat16")
    return lambda v: v.astype(NARROW[name]).astype(v.dtype)


PLANTED = {
    # mistake: spoiled line by dtype name, what the side shows, explanation
    "an activation": (lambda r: {"a": lambda v, s: r(v)}, ("forward",), "act is the reference's rounded to {}"),
    "a gradient": (lambda r: {"dw": lambda v, s: r(v)}, (), "is the reference's rounded to {}"),
    "a hidden activation": (
        lambda r: {"a": lambda v, s: r(v)},
        (),
        "the result of tanh in the forward pass is rounded to {}",
    ),
    "the output's gradient": (lambda r: {"g": lambda v, s: r(v)}, (), "in the backward pass is rounded to {}"),
}


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("mistake", PLANTED)
def test_one_rounding_is_predicted_exactly(mistake, name):
    lines, shown, text = PLANTED[mistake]
    if mistake == "a gradient":  # one micro-batch: the weight would not be rounded
        found = evidence(lines(through(name)), shown=shown, sizes=(10,))
    else:
        found = evidence(lines(through(name)), shown=shown)
    best = asked(found, "precision")
    assert best.cause == "lower precision"
    assert text.format(name) in best.explanation
    assert best.residual < 1e-5


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_a_float32_run_can_be_too_narrow_as_well(name):
    found = evidence({"a": lambda v, s: through(name)(v)}, dtype=np.float32)
    assert asked(found, "precision").cause == "lower precision"


# -- whole stretches ---------------------------------------------------------------------------------------------------


def network(x, w, v, y, wrong=None):
    stretch, dtype = wrong or ("", x.dtype)
    narrow = {key: value.astype(dtype) for key, value in {"x": x, "w": w, "v": v, "y": y}.items()}
    if stretch == "all":
        x, w, v, y = narrow.values()
    a = np.tanh(x @ w)
    if stretch == "forward":
        a = np.tanh(narrow["x"] @ narrow["w"]).astype(x.dtype)
    r = a @ v - y
    g = 2 * r / r.size
    dv = a.T @ g
    ga = g @ v.T
    if stretch == "product":
        dv = (a.astype(dtype).T @ g.astype(dtype)).astype(x.dtype)
    gz = ga * (1 - a**2)
    if stretch == "derivative":
        gz = (ga.astype(dtype) * (1 - a.astype(dtype) ** 2)).astype(x.dtype)
    dw = x.T @ gz
    return np.mean(r**2), {"w": dw, "v": dv}


def network_torch(x, w, v, y):
    return F.mse_loss(torch.tanh(x @ w) @ v, y)


def inputs(dtype=np.float64, size=24):
    generator = np.random.default_rng(8)
    shapes = {"x": (30, 8), "w": (8, size), "v": (size, 4), "y": (30, 4)}
    return {name: generator.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def judged(function, given, reference=network_torch, wrt=("w", "v")):
    with only("precision"):
        return compare.gradients(function, reference, given, wrt=list(wrt))


STRETCHES = {
    "a product": ("product", np.float32, "every element of v is one that float32 can hold|mm in the backward pass"),
    "a product in half": (
        "product",
        np.float16,
        "every element of v is one that float16 can hold|mm in the backward pass",
    ),
    "a derivative": ("derivative", np.float32, "tanh_backward in the backward pass"),
    "a derivative in half": ("derivative", np.float16, "tanh_backward in the backward pass"),
    "the first layer in half": ("forward", np.float16, "in the forward pass"),
}


@pytest.mark.parametrize("stretch", STRETCHES)
def test_a_stretch_in_a_narrower_dtype_errs_in_the_same_places(stretch):
    where, dtype, text = STRETCHES[stretch]
    report = judged(lambda **values: network(**values, wrong=(where, dtype)), inputs())
    best = report.causes[0]
    assert best.cause == "lower precision"
    assert any(part in best.explanation for part in text.split("|")), best.explanation
    assert np.dtype(dtype).name in best.explanation


def test_everything_in_float32_handed_back_as_float64():
    def narrow(**values):
        loss, gradients = network(**values, wrong=("all", np.float32))
        return np.float64(loss), {name: value.astype(np.float64) for name, value in gradients.items()}

    best = judged(narrow, inputs()).causes[0]
    assert best.cause == "lower precision"
    assert "float32" in best.explanation


def test_a_product_in_float32_beside_a_bias_in_float64():
    def layer(v, s):
        product = s["x"].astype(np.float32) @ s["hidden.weight"].astype(np.float32).T
        return product.astype(v.dtype) + s["hidden.bias"]

    best = asked(evidence({"z": layer}), "precision")
    assert best.cause == "lower precision"
    assert best.explanation.startswith("the product of addmm in the forward pass is computed in float32")


def test_parameters_in_bfloat16_lose_updates_below_their_spacing():
    best = asked(
        evidence({"update": lambda v, s: s["parameter"] - rounded(s["parameter"] - v, "bfloat16")}), "precision"
    )
    assert (best.cause, best.look_at) == ("lower precision", "the dtype that parameters are kept in")
    assert best.explanation.startswith("the parameters are rounded to bfloat16 after the update: ")
    small = {"update": lambda v, s: s["parameter"] - rounded(s["parameter"] - 1e-2 * v, "bfloat16")}
    assert asked(evidence(small), "precision").cause == "unknown"  # two mistakes: the step is too small as well


# -- noise is not rounding ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-9, 1e-8, 6e-8, 5e-7, 1e-5, 5e-4, 4e-3, 3e-2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_of_the_right_size_is_no_rounding(size, seed):
    def noisy(**values):
        generator = np.random.default_rng(seed)
        loss, gradients = network(**values)
        return loss, {name: v * (1 + size * generator.standard_normal(v.shape)) for name, v in gradients.items()}

    assert judged(noisy, inputs()).causes[0].cause == "unknown"


@pytest.mark.parametrize("size", [6e-8, 5e-4, 4e-3])
@pytest.mark.parametrize("rows", [1, 30], ids=["one row", "30 rows"])
def test_noise_in_an_activation_is_no_rounding(size, rows):
    def noisy(x, w, v, y):
        generator = np.random.default_rng(4)
        z = x @ w
        a = np.tanh(z + size * generator.standard_normal(z.shape))
        r = a @ v - y
        g = 2 * r / r.size
        return np.mean(r**2), {"w": x.T @ (g @ v.T * (1 - a**2)), "v": a.T @ g}

    given = inputs()
    given["x"], given["y"] = given["x"][:rows], given["y"][:rows]
    assert judged(noisy, given).causes[0].cause == "unknown"


NEAR_MISSES = {
    "one digit lost by hand": lambda v: np.round(v, 6),
    "cut off, not rounded": lambda v: (v.view(np.int64) & ~np.int64(2**29 - 1)).view(np.float64) * (1 + 2.0**-20),
    "rounded, and one element wrong": lambda v: (
        rounded(v, "float32") * np.where(np.arange(v.size).reshape(v.shape) == 3, 1.01, 1)
    ),
}


@pytest.mark.parametrize("mistake", NEAR_MISSES)
def test_other_coarse_numbers_are_no_narrower_dtype(mistake):
    def coarse(**values):
        loss, gradients = network(**values)
        return loss, {**gradients, "w": NEAR_MISSES[mistake](gradients["w"])}

    assert judged(coarse, inputs()).causes[0].cause == "unknown"


def test_another_cause_that_explains_exactly_comes_first():
    causes = walked({"gz": lambda v, s: v * (1 + 2.0**-24)}, shown=()).causes
    assert causes[0].cause == "constant factor"
