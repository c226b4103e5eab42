"""Mistakes inside formulas, written in plain NumPy as a user would, are named; each explanation points at the line."""

from functools import cache, partial

import numpy as np
import pytest

import compare
from compare.diagnosis.catalogue import UNKNOWN

from . import mutants_layers, mutants_networks

TOPICS = {name: rest for name, *rest in (*mutants_networks.TOPICS, *mutants_layers.TOPICS)}
MISTAKES = [(topic, wrong, cause) for topic, (*_, cases) in TOPICS.items() for wrong, cause in cases]


@cache
def report_on(topic, wrong=""):
    function, reference, inputs, _ = TOPICS[topic]
    return compare.gradients(partial(function, wrong=wrong), reference, inputs)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_right_function_is_equivalent(topic):
    report = report_on(topic)
    assert report.outcome == "equivalent", str(report)


@pytest.mark.parametrize(
    ("topic", "wrong", "cause"), MISTAKES, ids=[f"{topic}: {wrong}" for topic, wrong, _ in MISTAKES]
)
def test_a_mistake_is_named(topic, wrong, cause):
    report = report_on(topic, wrong)
    assert report.outcome == "diverged"
    assert report.causes[0].cause in cause.split(" | "), report.causes
    assert report.causes[0].residual < 0.02


TEXTS = [
    # topic, mistake, what the explanation says, what to look at
    ("softmax", "axis 0", "log_softmax runs over axis 0 in place of axis 1", "exp(x_i) / sum_j exp(x_j)"),
    ("network", "1-h", "the pullback of tanh multiplies by 1 - y; the square is left out", "g * (1 - y^2), y = tanh(x)"),
    ("network", "sigmoid of p", "takes the derivative at the output (or applies sigmoid twice)", "g * y * (1 - y)"),
    ("network", "hidden turned", "goes through w2 the other way round", "dA = g B^T, dB = A^T g"),
    ("network", "hidden w1", "is multiplied by w1 in place of w2", "mutants_networks.py"),
    ("network", "relu", "relu stands for tanh", "hidden = torch.tanh(x @ w1 + b1)"),
    ("layer norm", "std + eps", "eps = 0.01 is added to the root, not under it", "sqrt(v + eps)"),
    ("layer norm", "unbiased", "divided by 6 (one less) where it has 7", "mutants_layers.py"),
    ("layer norm written out", "no mean term", "receives from mean is left out", "centred = x - x.mean(1, keepdim=True)"),
    ("attention", "diagonal", "g * y * (1 - y): only the diagonal of its Jacobian", "y * (g - sum(g * y))"),
    ("attention", "by d", "the scale is 1/5 = 0.2 where 0.447214 belongs", "query @ key.transpose(-2, -1) * scale"),
    ("convolution", "flipped", "the kernel is flipped along all its axes", "F.conv2d(x, w, b, padding=1)"),
    ("embedding", "overwritten", "looked up several times keeps only its last gradient", "added up over every place"),
    ("LSTM cell", "order ifog", "in the order 0, 1, 3, 2 in lstm_cell (i, f, g, o = gates.chunk(4, -1))", "lstm_cell"),
    ("LSTM", "forget new c", "the result that this is a part of", "new_c = torch.sigmoid(f) * c"),
    ("through time", "slope left out", "hands the incoming gradient on without the derivative, at all 4 such places", "tanh"),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "wrong", "says", "look_at"), TEXTS, ids=[f"{t}: {w}" for t, w, *_ in TEXTS])
def test_what_is_said(topic, wrong, says, look_at):
    best = report_on(topic, wrong).causes[0]
    assert says in best.explanation
    assert look_at in best.look_at + best.explanation


@pytest.mark.parametrize("topic", ["network", "layer norm", "LSTM cell"])
def test_in_float32(topic):
    function, reference, inputs, cases = TOPICS[topic]
    narrow = {name: value.astype(np.float32) for name, value in inputs.items()}
    named = {}
    for wrong, cause in cases:
        report = compare.gradients(partial(function, wrong=wrong), reference, narrow)
        if report.causes[0].cause not in cause.split(" | "):
            named[wrong] = report.causes[0].cause
    assert not named


# -- near misses -------------------------------------------------------------------------------------------------------


def spoiled(topic, change):
    """The report on a right function whose results go through ``change(loss, gradients, inputs)``."""
    function, reference, inputs, _ = TOPICS[topic]

    def near(**given):
        loss, gradients = function(**given)
        return change(loss, dict(gradients), given)

    return compare.gradients(near, reference, inputs)


def _noise(gradient):
    return gradient + 1e-3 * np.random.default_rng(0).normal(size=np.shape(gradient))


def _one(gradient):
    changed = np.array(gradient, np.float64)
    changed.flat[np.argmax(np.abs(gradient))] *= 1.01
    return changed


NEAR = {
    # no formula: nothing must be named
    "noise": _noise,
    "one element": _one,
    "cubed": lambda g: g**3,
    "saturated": np.tanh,
    "shifted": lambda g: g + 0.05,
    "smeared": lambda g: 0.9 * g + 0.1 * np.roll(g, 1),
}


@pytest.mark.parametrize("change", NEAR.values(), ids=NEAR)
@pytest.mark.parametrize(
    ("topic", "name"),
    [("network", "w1"), ("softmax", "w"), ("layer norm", "x"), ("attention", "q"), ("LSTM cell", "wh"), ("convolution", "w")],
)  # fmt: skip
def test_what_is_no_formula_has_no_name(topic, name, change):
    report = spoiled(topic, lambda loss, g, given: (loss, {**g, name: change(g[name])}))
    assert report.outcome == "diverged"
    assert report.causes[0].cause == UNKNOWN, report.causes[0]


MISSES = [
    # topic, what is done, how it must not be called
    ("ridge", lambda loss, g, i: (loss, {k: 8.9 * v for k, v in g.items()}), "sum instead of mean"),
    ("network", lambda loss, g, i: (loss, {**g, "w1": g["w1"][::-1].copy()}), "transposed"),
    ("network", lambda loss, g, i: (loss, {**g, "b1": g["b1"] * np.array([1, 0, 1, 1])}), "detached"),
    ("network", lambda loss, g, i: (loss, {**g, "w2": g["w2"] * np.where(g["w2"] > 0, 1, 0.2)}), "wrong operand"),
    ("layer norm", lambda loss, g, i: (loss, {**g, "x": g["x"] - 0.5 * g["x"].mean(0)}), "missing term"),
    ("attention", lambda loss, g, i: (loss, {**g, "k": g["k"] @ np.diag([1, 1, 1, 1, 2.0])}), "scale left out"),
    ("embedding", lambda loss, g, i: (loss, {**g, "table": np.roll(g["table"], 1, 0)}), "overwritten instead of added"),
    ("convolution", lambda loss, g, i: (loss, {**g, "w": g["w"][:, :, ::-1]}), "transposed"),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "change", "name"), MISSES, ids=[f"{t}: not {n}" for t, _, n in MISSES])
def test_a_near_miss_is_not_given_that_name(topic, change, name):
    report = spoiled(topic, change)
    assert report.outcome == "diverged"
    assert report.causes[0].cause != name, report.causes[0]


def test_two_mistakes_at_once_are_not_taken_for_one():
    function, reference, inputs, _ = TOPICS["network"]

    def twice(**given):
        loss, gradients = function(**given, wrong="1-h")
        return loss, {**gradients, "w2": function(**given, wrong="pre-activation")[1]["w2"]}

    report = compare.gradients(twice, reference, inputs)
    assert report.causes[0].cause in (UNKNOWN, "wrong operand", "wrong derivative")
