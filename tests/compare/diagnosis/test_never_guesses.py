"""What nothing in the catalogue explains is ``unknown``: noise, distortions, single elements, two mistakes in one place.

The whole diagnosis is asked, every family of it. A wrong name is worse than none.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import compare
from compare.faults import scenes
from compare.faults.planting import planted
from compare.lockstep import lockstep
from manual import rules

from .written import walked

DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])

# -- corruptions of an array -------------------------------------------------------------------------------------------


def noise(size, seed=0):
    return lambda v: v * (1 + size * np.random.default_rng(seed).standard_normal(v.shape))


def absolute_noise(size, seed=0):
    return lambda v: v + size * np.abs(v).max() * np.random.default_rng(seed).standard_normal(v.shape)


def one_element(factor, place=0.4):
    def change(v):
        flat = v.ravel().copy()
        at = int(np.argsort(np.abs(flat))[int(place * (flat.size - 1))])
        flat[at] *= factor
        return flat.reshape(v.shape)

    return change


def turned(v):
    """The rows mixed by a random rotation."""
    q, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((len(v), len(v))))
    return np.tensordot(q, v, 1)


def low_rank(v):
    generator = np.random.default_rng(6)
    return v + 0.1 * np.outer(generator.standard_normal(len(v)), generator.standard_normal(v[0].size)).reshape(v.shape)


NOISE = {
    **{f"relative noise of {size:g}": noise(size) for size in (0.3, 1e-2, 1e-3, 1e-4)},
    **{f"absolute noise of {size:g}": absolute_noise(size) for size in (1e-1, 1e-2, 1e-3, 1e-4)},
}
FINE = {
    **{f"relative noise of {size:g}": noise(size) for size in (1e-5, 5e-7, 6e-8, 1e-8, 1e-9)},
    **{f"absolute noise of {size:g}": absolute_noise(size) for size in (1e-6, 3e-8, 1e-9)},
    "one element in a billion": one_element(1 + 1e-9, 1.0),
}
"""What only a float64 run tells from rounding."""

DISTORTIONS = {
    "one element 37 % too large": one_element(1.37),
    "the largest element doubled": one_element(2.0, 1.0),
    "one element negated": one_element(-1.0, 0.8),
    "a cube added": lambda v: v + 0.1 * v**3 / np.abs(v).max() ** 2,
    "squashed": lambda v: np.abs(v).max() * np.tanh(v / np.abs(v).max()),
    "a power": lambda v: np.sign(v) * np.abs(v) ** 1.07,
    "a sine": lambda v: np.sin(v / np.abs(v).max()) * np.abs(v).max(),
    "an offset": lambda v: v + 0.0137 * np.abs(v).max(),
    "a slope along the rows": lambda v: v * np.linspace(1, 1.371, len(v)).reshape(-1, *[1] * (v.ndim - 1)),
    "random numbers": lambda v: np.random.default_rng(3).standard_normal(v.shape),
    "rows mixed": turned,
    "a plane added": low_rank,
}
TWICE = {
    "rows reversed, and noise": lambda v: noise(1e-3)(v[::-1]),
    "rows reversed and scaled": lambda v: 1.37 * v[::-1],
    "negated, and one element": lambda v: one_element(1.37)(-v),
    "doubled, and an offset": lambda v: 2 * v + 0.0137 * np.abs(v).max(),
    "rows permuted, and two of them scaled": lambda v: np.roll(v, 2, 0) * np.where(np.arange(len(v)) < 2, 1.37, 1).reshape(-1, *[1] * (v.ndim - 1)),
    "rounded coarsely and scaled": lambda v: 1.37 * np.round(v, 2),
    "half of it scaled, half negated": lambda v: v * np.where(np.arange(v.size).reshape(v.shape) % 2, 1.37, -1),
    "a mean and a sum": lambda v: v / 7 + v.mean(0),
}  # fmt: skip


# -- gradients of a function -------------------------------------------------------------------------------------------


def classifier(x, w, b, v, y):
    z = x @ w + b
    a = np.tanh(z)
    scores = a @ v
    e = np.exp(scores - scores.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    rows = np.arange(len(y))
    loss = -np.mean(np.log(p[rows, y]))
    p[rows, y] -= 1
    g = p / p.dtype.type(len(y))
    gz = g @ v.T * (1 - a**2)
    return loss, {"w": x.T @ gz, "b": gz.sum(0), "v": a.T @ g}


def classifier_torch(x, w, b, v, y):
    return F.cross_entropy(torch.tanh(x @ w + b) @ v, y)


def drawn(dtype, seed=1, rows=11, features=5, hidden=7, classes=4):
    generator = np.random.default_rng(seed)
    shapes = {"x": (rows, features), "w": (features, hidden), "b": (hidden,), "v": (hidden, classes)}
    found = {name: generator.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
    return {**found, "y": generator.integers(0, classes, rows)}


def spoiled(changes, dtype, **sizes):
    """The causes of a classifier whose gradients (or loss) are changed."""

    def wrong(**given):
        loss, gradients = classifier(**given)
        if "loss" in changes:
            loss = loss.dtype.type(changes["loss"](loss))
        return loss, {
            name: np.ascontiguousarray(changes[name](value) if name in changes else value, value.dtype)
            for name, value in gradients.items()
        }

    return compare.gradients(wrong, classifier_torch, drawn(dtype, **sizes), wrt=["w", "b", "v"])


def nothing_is_named(report):
    assert report.outcome == "diverged"
    assert report.causes[0].cause == "unknown", report.causes[0]
    assert not [note for note in report.coverage.notes if note.startswith("the diagnosis of")]


@DTYPES
def test_the_right_function_is_right(dtype):
    assert spoiled({}, dtype).outcome == "equivalent"


@DTYPES
@pytest.mark.parametrize("corruption", {**NOISE, **DISTORTIONS, **TWICE})
def test_a_gradient_that_nothing_explains(corruption, dtype):
    nothing_is_named(spoiled({"w": {**NOISE, **DISTORTIONS, **TWICE}[corruption]}, dtype))


@pytest.mark.parametrize("corruption", {**DISTORTIONS, **TWICE})
def test_a_bias_gradient_that_nothing_explains(corruption):
    nothing_is_named(spoiled({"b": {**DISTORTIONS, **TWICE}[corruption]}, np.float64))


@pytest.mark.parametrize("corruption", FINE)
def test_a_gradient_that_is_wrong_in_its_last_digits(corruption):
    nothing_is_named(spoiled({"w": FINE[corruption]}, np.float64))


@DTYPES
@pytest.mark.parametrize("corruption", ["relative noise of 0.01", "absolute noise of 0.001", "a cube added"])
def test_every_gradient_is_wrong(corruption, dtype):
    change = {**NOISE, **DISTORTIONS}[corruption]
    nothing_is_named(spoiled(dict.fromkeys("wbv", change), dtype))


@DTYPES
@pytest.mark.parametrize("factor", [1.2345, 0.77, 1 + 1e-3, -1.731])
def test_a_loss_alone_fits_any_factor(factor, dtype):
    nothing_is_named(spoiled({"loss": lambda loss: loss * factor}, dtype))


@pytest.mark.parametrize("seed", range(12))
def test_the_gradient_of_a_single_number_fits_any_factor(seed):
    generator = np.random.default_rng(seed)
    dtype, rows = [np.float64, np.float32][seed % 2], int(generator.integers(2, 30))
    names = ["loss", "w", "b"]
    factor = {name: dtype(1) for name in names}
    factor[names[seed % 3]] = dtype(np.exp(generator.normal()) * generator.choice([-1, 1]))

    def line(x, w, b, y):
        r = x * w + b - y
        gradients = {"w": 2 * np.mean(r * x) * factor["w"], "b": 2 * np.mean(r) * factor["b"]}
        return np.mean(r**2) * factor["loss"], {name: value.reshape(1) for name, value in gradients.items()}

    given = {
        name: generator.standard_normal(size).astype(dtype)
        for name, size in {"x": rows, "w": 1, "b": 1, "y": rows}.items()
    }
    nothing_is_named(compare.gradients(line, lambda x, w, b, y: ((x * w + b - y) ** 2).mean(), given, wrt=["w", "b"]))


TWO_LINES = {
    # two mistakes of which either alone has a name
    "transposed and doubled": {"w": lambda v: 1.37 * np.roll(v.T.reshape(v.shape), 1, 0)},
    "another row, another factor": {"v": lambda v: np.where(np.arange(len(v))[:, None] == 2, 1.37, 0.61) * v},
    "a sign and a shift": {"b": lambda v: -np.roll(v, 1) * np.linspace(1, 1.2, len(v))},
    "a sum, and a term": {"w": lambda v: 11 * v + 0.1 * np.sign(v) * np.abs(v).max()},
}


@DTYPES
@pytest.mark.parametrize("mistakes", TWO_LINES)
def test_two_mistakes_in_one_tensor(mistakes, dtype):
    nothing_is_named(spoiled(TWO_LINES[mistakes], dtype))


# -- steps of a network ------------------------------------------------------------------------------------------------

LINES = {
    "an activation": "z",
    "another activation": "a",
    "the loss's gradient": "g",
    "a gradient on its way": "gz",
    "a weight's gradient": "dw",
    "the update": "update",
}
SOME = ["relative noise of 0.01", "absolute noise of 0.0001", "one element 37 % too large", "a cube added"]


@pytest.mark.parametrize(
    ("dtype", "shown", "corruption"),
    [
        *((np.float64, ("forward", "backward", "deposit"), corruption) for corruption in SOME),
        (np.float64, (), SOME[0]),
        (np.float32, (), SOME[3]),
        (np.float32, ("forward", "backward", "deposit"), SOME[2]),
    ],
)
@pytest.mark.parametrize("line", LINES)
def test_a_line_of_a_step_that_nothing_explains(line, corruption, shown, dtype):
    change = {**NOISE, **DISTORTIONS}[corruption]
    verdict = walked({LINES[line]: lambda v, s: np.asarray(change(v), v.dtype)}, dtype=dtype, shown=shown)
    nothing_is_named(verdict)


@pytest.mark.parametrize("corruption", ["relative noise of 6e-08", "relative noise of 1e-09"])
@pytest.mark.parametrize("line", ["z", "g", "gz"])
def test_a_line_that_is_wrong_in_its_last_digits(line, corruption):
    change = FINE[corruption]
    nothing_is_named(walked({line: lambda v, s: change(v)}, shown=()))


# -- in the manual wing, by every way to walk --------------------------------------------------------------------------


def forward(change):
    def wrong(right, *args, **options):
        value, pullback = right(*args, **options)
        return np.asarray(change(value), value.dtype), pullback

    return wrong


def backward(change):
    def wrong(right, *args, **options):
        value, pullback = right(*args, **options)

        def spoiled(*incoming):
            found = pullback(*incoming)
            several = isinstance(found, tuple)
            shares = [None if g is None else np.asarray(change(g), g.dtype) for g in (found if several else (found,))]
            return tuple(shares) if several else shares[0]

        return value, spoiled

    return wrong


PLANTED = {
    "a layer's output": (scenes.network, rules.linear, forward),
    "a layer's gradients": (scenes.network, rules.linear, backward),
    "an activation's gradient": (scenes.network, rules.tanh, backward),
    "attention's weights": (scenes.attention, rules.softmax, forward),
    "attention's gradients": (scenes.attention, rules.softmax, backward),
    "the loss's gradient": (scenes.network, rules.losses.cross_entropy, backward),
}


@pytest.mark.parametrize("sync", ["free", "step", "module"])
@pytest.mark.parametrize("place", PLANTED)
def test_a_rule_of_the_manual_wing_that_nothing_explains(place, sync):
    scene, rule, where = PLANTED[place]
    made = scene()
    factory = planted(made.make_actual, lambda plant: plant.rule(rule, where(noise(1e-2))), made.steps)
    verdict = lockstep(factory, made.make_expected, made.steps, sync=sync)
    nothing_is_named(verdict)
    assert {found.causes[0].cause for found in verdict.faults} == {"unknown"}


# -- optimizers --------------------------------------------------------------------------------------------------------


def adam(change):
    def update(parameter, gradient, slots, step):
        m, v = (slots.setdefault(name, np.zeros_like(parameter)) for name in ("exp_avg", "exp_avg_sq"))
        m += (gradient - m) * m.dtype.type(0.1)
        v += (gradient**2 - v) * v.dtype.type(0.001)
        move = 1e-2 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        parameter -= np.asarray(change(move), parameter.dtype)

    return update


UPDATES = {
    "relative noise": noise(1e-3),
    "a power": lambda v: np.sign(v) * np.abs(v) ** 1.07,
    "one element": lambda v: one_element(1.37, 0.6)(v) if v.size > 1 else v,
    "squashed": lambda v: 0.01 * np.tanh(v / 0.01 + 0.05),
}


@pytest.mark.parametrize("corruption", UPDATES)
def test_an_update_that_nothing_explains(corruption):
    report = compare.optimizer(adam(UPDATES[corruption]), torch.optim.Adam, options={"lr": 1e-2}, steps=4)
    nothing_is_named(report)


# -- at random ---------------------------------------------------------------------------------------------------------


def at_random(seed):
    """A random corruption of a random tensor of a random classifier."""
    generator = np.random.default_rng(seed)
    dtype = [np.float64, np.float32][int(generator.integers(2))]
    sizes = {
        "rows": int(generator.integers(1, 40)),
        "features": int(generator.integers(2, 9)),
        "hidden": int(generator.integers(3, 17)),
        "classes": int(generator.integers(3, 7)),
    }
    size = 10.0 ** generator.uniform(-9 if dtype is np.float64 else -3.5, -0.5)
    kinds = [
        noise(size, seed),
        absolute_noise(size, seed),
        one_element(1 + size * generator.choice([-1, 1]), 0.9),
        low_rank,
    ]
    kinds += [
        list(DISTORTIONS.values())[int(generator.integers(3, len(DISTORTIONS)))],
        list(TWICE.values())[int(generator.integers(len(TWICE)))],
    ]
    name = "wbv"[int(generator.integers(3))]
    change = kinds[int(generator.integers(len(kinds)))]
    return spoiled(
        {name: (lambda v: v + (change(v[:, None])[:, 0] - v)) if name == "b" else change}, dtype, seed=seed, **sizes
    )


@pytest.mark.parametrize("seed", range(30))
def test_a_random_corruption(seed):
    report = at_random(seed)
    assert report.outcome == "equivalent" or report.causes[0].cause == "unknown", report.causes[0]


@pytest.mark.campaign
@pytest.mark.parametrize("first", range(1000, 2000, 50))
def test_a_thousand_random_corruptions(first):
    named = {}
    for seed in range(first, first + 50):
        report = at_random(seed)
        if report.outcome != "equivalent" and report.causes[0].cause != "unknown":
            named[seed] = report.causes[0]
    assert not named
