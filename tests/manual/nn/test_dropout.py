"""Every module that draws in its forward pass, against torch: its draws recorded and replayed."""

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from compare.conformance.draws import Drawing
from manual import nn
from manual.nn import functional

from ..oracle import assert_close, random

# module, its options, the shape of its input, whether torch draws at all
DRAWING = [
    ("Dropout", {}, (3, 4), True), ("Dropout", {"p": 0.2}, (), True), ("Dropout", {"p": 0.0}, (3, 4), False),
    ("Dropout", {"p": 1.0}, (3, 4), False), ("Dropout", {}, (0, 4), False),
    ("Dropout1d", {}, (3, 4, 5), True), ("Dropout1d", {"p": 0.3}, (4, 5), True), ("Dropout1d", {"p": 0.0}, (4, 5), False),
    ("Dropout2d", {}, (3, 4, 5, 2), True), ("Dropout2d", {"p": 1.0}, (3, 4, 5, 2), False), ("Dropout2d", {"p": 0.7}, (1, 9, 1, 1), True),
    ("Dropout3d", {}, (3, 4, 5, 2, 2), True), ("Dropout3d", {"p": 0.3}, (4, 5, 2, 2), True), ("Dropout3d", {"p": 0.0}, (4, 5, 2, 2), False),
    ("AlphaDropout", {}, (3, 4), True), ("AlphaDropout", {"p": 0.1}, (2, 3, 4), True), ("AlphaDropout", {"p": 0.0}, (3, 4), False),
    ("AlphaDropout", {"p": 1.0}, (3, 4), False), ("FeatureAlphaDropout", {}, (3, 4), True), ("FeatureAlphaDropout", {"p": 0.2}, (3, 4, 5), True),
    ("FeatureAlphaDropout", {"p": 0.2}, (3, 4, 5, 2, 2), True), ("FeatureAlphaDropout", {"p": 1.0}, (3, 4, 5), False),
    ("RReLU", {}, (30, 4), True), ("RReLU", {"lower": -0.5, "upper": 0.5}, (3, 4, 5), True), ("RReLU", {"lower": 0.2, "upper": 0.2}, (7,), True),
    ("RReLU", {"inplace": True}, (), True),
]  # fmt: skip
WARNING = [("Dropout2d", shape) for shape in ((4, 5), (3, 4, 5), (3, 4, 5, 2, 2))] + [
    ("Dropout3d", shape) for shape in ((5,), (4, 5), (3, 4, 5), (2, 3, 2, 2, 2, 2))
]


def run_both(mine, theirs, shape, dtype):
    """Forward and backward on both wings, with torch's draws replayed; returns the draws."""
    x, seed = (random(*shape, seed=s).astype(dtype) for s in (3, 4))
    a, b = manual.tensor(x.copy(), requires_grad=True), torch.tensor(x, requires_grad=True)
    with Drawing() as drawing:
        expected = theirs(b.clone())
    with manual.random.replaying(drawing.made):
        actual = mine(a)
    actual.backward(seed)
    expected.backward(torch.tensor(seed))
    bound = 1e-14 if dtype == "float64" else 1e-6
    assert_close(actual.data, expected.detach().numpy(), bound, "value")
    assert_close(a.grad, b.grad.numpy(), bound, "gradient")
    np.testing.assert_array_equal(a.data, x)
    return drawing.made


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options", "shape", "draws"), DRAWING, ids=str)
def test_torchs_draws_are_replayed_and_nothing_is_drawn_in_evaluation(name, options, shape, draws, dtype):
    mine, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    for seed in range(3):
        torch.manual_seed(seed)
        assert len(run_both(mine, theirs, shape, dtype)) == draws
    assert run_both(mine.eval(), theirs.eval(), shape, dtype) == []


@pytest.mark.parametrize(("name", "shape"), WARNING, ids=str)
def test_inputs_of_other_axes_are_read_as_in_torch_with_a_warning(name, shape):
    mine, theirs = getattr(nn, name)(0.3), getattr(torch.nn, name)(0.3)
    torch.manual_seed(1)
    with pytest.warns(UserWarning, match=f"{name.lower()}: Received a {len(shape)}-?D input") as given:
        assert len(run_both(mine, theirs, shape, "float64")) == 1
    assert len(given) == 2  # one of each wing
    module, kept = getattr(functional, name.lower()), manual.tensor(random(*shape))
    with pytest.warns(UserWarning, match=f"{name.lower()}: Received"):
        assert module(kept, training=False) is kept


@pytest.mark.parametrize(
    "name", ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "rrelu"]
)
def test_functions_take_torchs_arguments_and_draw_what_torch_draws(name):
    mine, theirs = getattr(functional, name), getattr(F, name)
    known = [(p.name, p.default) for p in inspect.signature(mine).parameters.values() if p.name != "mask"]
    assert known == [(p.name, p.default) for p in inspect.signature(theirs).parameters.values()]
    shape = {"dropout2d": (3, 4, 2, 2), "dropout3d": (3, 4, 2, 2, 2)}.get(name, (3, 4, 5))
    torch.manual_seed(1)
    assert run_both(lambda x: mine(x, training=True), lambda x: theirs(x, training=True), shape, "float64")
    assert not run_both(lambda x: mine(x, training=False), lambda x: theirs(x, training=False), shape, "float64")
    if "mask" in inspect.signature(mine).parameters:
        given = np.ones((3, 4) + (1,) * (len(shape) - 2)) if name != "dropout" else np.ones(shape)
        x = manual.tensor(random(*shape))
        unchanged = mine(x, 0.0, True, mask=given)
        np.testing.assert_allclose(unchanged.data, x.data, rtol=1e-15)


@pytest.mark.parametrize(
    "name", ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]
)
def test_a_queued_mask_is_used_and_the_last_one_shown(name):
    shape = {"Dropout2d": (3, 4, 5, 2), "Dropout3d": (3, 4, 5, 2, 2)}.get(name, (3, 4, 5))
    layer = getattr(nn, name)(0.5)
    x = manual.tensor(random(*shape))
    manual.manual_seed(2)
    drawn = layer(x).data
    mask = layer.last_mask
    assert mask.shape == (shape if name in ("Dropout", "AlphaDropout") else (*shape[:2], *[1] * (len(shape) - 2)))
    assert 0 < mask.sum() < mask.size
    layer.replay(mask)
    np.testing.assert_array_equal(layer(x).data, drawn)
    layer.replay(mask[:1])
    with pytest.raises(ValueError, match="the mask to replay has shape"):
        layer(x)


@pytest.mark.parametrize("p", [0.1, 0.6])
@pytest.mark.parametrize("name", ["Dropout", "Dropout1d", "AlphaDropout", "FeatureAlphaDropout"])
def test_what_is_drawn_here_drops_as_often_as_it_says_and_keeps_the_moments(name, p):
    manual.manual_seed(5)
    layer = getattr(nn, name)(p)
    x = manual.tensor(random(200, 100, 3))
    value = layer(x).data
    assert layer.last_mask.mean() == pytest.approx(1 - p, abs=0.02)
    assert value.mean() == pytest.approx(0, abs=0.03)
    if "Alpha" in name:
        assert value.var() == pytest.approx(1, abs=0.05)
    if name in ("Dropout1d", "FeatureAlphaDropout"):
        dropped = layer.last_mask[..., 0] == 0
        np.testing.assert_array_equal(np.ptp(value, axis=2)[dropped], 0)
        assert np.ptp(value, axis=2)[~dropped].all()


def test_slopes_that_are_drawn_here_lie_between_the_bounds():
    manual.manual_seed(5)
    x = manual.tensor(-np.ones(5000))
    slopes = -nn.RReLU(0.2, 0.6)(x).data
    assert slopes.min() >= 0.2
    assert slopes.max() <= 0.6
    assert slopes.mean() == pytest.approx(0.4, abs=0.01)
    np.testing.assert_allclose(nn.RReLU(0.2, 0.6).eval()(x).data, -0.4)


SHOWN = [("Dropout1d", {}), ("Dropout2d", {"p": 0.3}), ("Dropout3d", {"inplace": True}), ("AlphaDropout", {"p": 0.1, "inplace": True}),
         ("FeatureAlphaDropout", {}), ("RReLU", {}), ("RReLU", {"lower": 0.1, "inplace": True})]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), SHOWN, ids=str)
def test_repr_is_torchs(name, options):
    assert repr(getattr(nn, name)(**options)) == repr(getattr(torch.nn, name)(**options))


x = np.zeros((2, 3), np.float32)
REFUSED = {
    **{f"{name}: p": (lambda wing, x, name=name: getattr(wing.nn, name)(1.5), x)
       for name in ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")},
    **{f"{name}: p in evaluation": (lambda wing, x, name=name: getattr(wing.nn.functional, name)(x, -0.1, False), np.zeros((2, 3, 4, 5)))
       for name in ("dropout", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")},
    "features of one axis": (lambda wing, x: wing.nn.FeatureAlphaDropout()(x), x[0]),
    "the bounds of slopes": (lambda wing, x: wing.nn.RReLU(0.5, 0.2)(x), x),
    "the bounds of slopes in evaluation": (lambda wing, x: wing.nn.RReLU(0.5, 0.2).eval()(x), x),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses_is_refused_with_its_message(name):
    call, x = REFUSED[name]
    with pytest.raises((ValueError, RuntimeError)) as theirs:
        call(torch, torch.tensor(x))
    with pytest.raises(type(theirs.value)) as mine:
        call(manual, manual.tensor(x))
    assert str(mine.value) == str(theirs.value)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_dropout1d_refuses_other_axes(shape, training):
    start = f"dropout1d: Expected 2D or 3D input, but received a {len(shape)}D input"
    with pytest.raises(RuntimeError, match=start):
        torch.nn.Dropout1d().train(training)(torch.zeros(shape))
    with pytest.raises(RuntimeError, match=start):
        nn.Dropout1d().train(training)(manual.tensor(np.zeros(shape)))


def test_a_recording_keeps_no_noise_of_an_evaluation():
    """Torch leaves RReLU's noise as it found it there; before, a replay was left over."""
    layer = torch.nn.RReLU()
    with Drawing() as drawing:
        layer(torch.zeros(3))
        layer.eval()(torch.zeros(3))
        F.rrelu_(torch.zeros(3), training=True)
    assert [values.shape for values in drawing.made] == [(3,), (3,)]
