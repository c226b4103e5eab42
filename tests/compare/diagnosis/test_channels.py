"""Masks of dropouts and statistics of norms: what the two sides drew, and what they normalise by."""

import numpy as np
import pytest

from compare.diagnosis.catalogue import UNKNOWN
from compare.faults.image_scenes import layer
from compare.faults.planting import planted
from compare.lockstep import lockstep
from manual import rules
from manual.nn import Dropout2d

MASKED = layer("Dropout2d", 0.4, shape=(7, 2, 3))
ALPHA = layer("AlphaDropout", 0.4)
NORMED = layer("BatchNorm2d", 4, eps=1e-2, momentum=0.3, whole=True)
FROZEN = layer("BatchNorm2d", 4, eps=1e-2, frozen=True, whole=True)
LOW = -1.7580993408473766


def named(scene, plant):
    verdict = lockstep(planted(scene.make_actual, plant, scene.steps), scene.make_expected, scene.steps)
    assert verdict.outcome == "diverged", verdict.reason
    return verdict.first_divergence.checkpoint.phase, verdict.causes[0].cause


def through(change, *, rule=rules.dropout):
    """A dropout whose value is ``change(value, x, mask)``, with the gradient of the right one."""

    def wrong(right, x, mask, *, p):
        value, pullback = right(x, mask, p=p)
        return change(value, x, mask), pullback

    return lambda plant: plant.rule(rule, wrong)


def shared_mask(right, x, mask, *, p):
    """One mask of channels for all samples, that of the first."""
    return right(x, np.broadcast_to(mask[:1], mask.shape), p=p)


def test_another_mask_is_called_so():
    assert named(MASKED, lambda plant: plant.rule(rules.dropout, shared_mask)) == ("forward", "another mask")


def test_a_mask_that_is_drawn_anew_is_called_so():
    def plant(planting):
        rng = np.random.default_rng(8)

        def forward(right, module, input):
            module.replay(rng.random((*input.shape[:2], 1, 1)) < 0.6)
            return right(module, input)

        planting.replace(Dropout2d, "forward", forward)

    assert named(MASKED, plant) == ("forward", "another mask")


@pytest.mark.parametrize(
    "change",
    [
        lambda value, x, mask: np.where(x > 0.3, value, 0.9 * value),
        lambda value, x, mask: value * (1 + 1e-3 * np.sin(x)),
        lambda value, x, mask: np.where(mask, value, 0.01 * x),
        lambda value, x, mask: np.where(np.arange(x.shape[-1]) % 2, value, 1.07 * x),
    ],
    ids=["some kept ones smaller", "a little more", "dropped ones leak", "a column of others"],
)
def test_values_that_no_mask_makes_are_not_called_so(change):
    assert named(MASKED, through(change)) == ("forward", UNKNOWN)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda value, x, mask: x * mask / 0.6, "wrong function"),
        (lambda value, x, mask: np.where(mask, x, LOW), "dropout scale"),
        (lambda value, x, mask: np.where(mask, x, -1.0), UNKNOWN),
        (lambda value, x, mask: value + 0.1 * np.cos(x), UNKNOWN),
    ],
    ids=["a plain dropout", "no affine map", "another floor", "a wave"],
)
def test_an_alpha_dropout(change, cause):
    assert named(ALPHA, through(change, rule=rules.alpha_dropout)) == ("forward", cause)


def by(statistics):
    """A batch norm that normalises by ``statistics(x, running_mean, running_var)``, and keeps its own as it should."""

    def wrong(right, x, weight, bias, *, running_mean, running_var, eps, **options):
        mean, var = statistics(x, running_mean.copy(), running_var.copy())
        _, pullback = right(x, weight, bias, running_mean=running_mean, running_var=running_var, eps=eps, **options)
        scale = (weight / np.sqrt(var + eps))[:, None, None]
        return (x - mean[:, None, None]) * scale + bias[:, None, None], pullback

    return lambda plant: plant.rule(rules.batch_norm, wrong)


def running(x, mean, var):
    return mean, var


def of_the_batch(x, mean, var):
    return x.mean((0, 2, 3)), x.var((0, 2, 3))


def halfway(x, mean, var):
    return (mean + x.mean((0, 2, 3))) / 2, (var + x.var((0, 2, 3))) / 2


def mean_alone(x, mean, var):
    return mean, x.var((0, 2, 3))


@pytest.mark.parametrize(
    ("scene", "statistics", "cause"),
    [
        (NORMED, running, "other statistics"),
        (FROZEN, of_the_batch, "other statistics"),
        (NORMED, halfway, UNKNOWN),
        (NORMED, mean_alone, UNKNOWN),
        (FROZEN, halfway, UNKNOWN),
    ],
    ids=["running in training", "batch when frozen", "halfway", "the mean alone", "halfway when frozen"],
)
def test_what_normalises(scene, statistics, cause):
    assert named(scene, by(statistics)) == ("forward", cause)


@pytest.mark.parametrize("name", ["Dropout2d", "AlphaDropout", "FeatureAlphaDropout", "Dropout1d", "Dropout3d"])
def test_every_dropout_is_replayed(name):
    shape = {"Dropout1d": (4, 6), "Dropout3d": (4, 2, 3, 5)}.get(name, (4, 5, 6))
    scene = layer(name, 0.4, shape=shape)
    verdict = lockstep(scene.make_actual, scene.make_expected, scene.steps)
    assert verdict.outcome == "equivalent", verdict.reason
    expected, actual = scene.make_expected(), scene.make_actual()
    (micro_batch, weight), *_ = scene.steps[0]
    expected.accumulate(micro_batch, weight)
    ((key, mask),) = expected.draws.items()
    assert 0 < mask.mean() < 1
    space = shape[1:] if name == "AlphaDropout" else (1,) * (len(shape) - 1)
    assert mask.shape == (len(micro_batch[0]), shape[0], *space)
    actual.replay(expected.draws)
    actual.accumulate(micro_batch, weight)
    np.testing.assert_array_equal(actual.draws[key], mask)
