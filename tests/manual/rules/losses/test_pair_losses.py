"""Losses of pairs, triplets, several labels and likelihoods: against torch, central differences, and the contract."""

import inspect
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual.nn import functional
from manual.rules import losses

from ...oracle import assert_close, check, check_central, random

inf = math.inf
REDUCTIONS = ["none", "mean", "sum"]
a, b, c = (random(5, 3, seed=seed) for seed in (1, 2, 3))
one, two, three = (random(4, seed=seed) for seed in (4, 5, 6))
block = random(2, 3, 4, seed=7)
signs = np.array([1.0, -1.0, -1.0, 1.0, -1.0])
counts = np.array([[0.0, 3.0, 1.0], [7.0, 2.0, 0.5], [1.0, 1.5, 12.0], [0.0, 2.0, 4.0], [5.0, 0.0, 1.0]])
several = np.array([[2, 0, -1], [1, -1, -1], [-1, -1, -1], [0, 1, 2], [1, 1, -1]])
shares = random(5, 3, low=0.0, high=1.0, seed=8)
variances = random(5, 3, low=0.3, high=2.0, seed=9)
rates = random(5, 3, low=0.2, high=4.0, seed=10)
weights = random(3, low=0.3, high=2.0, seed=11)

SMOOTH = [  # name, inputs, constants, options: away from every kink
    ("margin_ranking_loss", [a, b], [signs[:, None]], {}),
    ("margin_ranking_loss", [a, b, c], [], {"margin": 0.7}),
    ("margin_ranking_loss", [a, b[:1], c[:, :1]], [], {"margin": -0.2}),
    ("margin_ranking_loss", [np.array(0.3), np.array(0.8), np.array(1.0)], [], {"margin": 0.1}),
    ("hinge_embedding_loss", [a], [np.where(b > 0, 1.0, -1.0)], {}),
    ("hinge_embedding_loss", [a], [np.where(b > 0, 1, -1)], {"margin": 0.4}),
    ("hinge_embedding_loss", [a], [signs[:, None]], {"margin": 2.0}),
    ("hinge_embedding_loss", [one], [np.array([[1.0, -1.0, -1.0, 1.0], [-1.0, 1.0, -1.0, 0.0]])], {}),
    ("hinge_embedding_loss", [np.array(0.4)], [np.array(-1.0)], {}),
    ("cosine_embedding_loss", [a, b], [signs], {}),
    ("cosine_embedding_loss", [a, b], [signs.astype(int)], {"margin": -0.6}),
    ("cosine_embedding_loss", [a, b], [np.array([1.0, 0.0, -1.0, 2.0, 1.0])], {"margin": 0.1}),
    ("cosine_embedding_loss", [one, two], [np.array(-1.0)], {"margin": -0.99}),
    ("cosine_embedding_loss", [one, two], [np.array(1)], {}),
    ("cosine_embedding_loss", [a, b[:1]], [signs], {"margin": -0.9}),
    ("cosine_embedding_loss", [a * 1e-6, b * 1e-6], [np.ones(5)], {}),
    ("cosine_embedding_loss", [a[:1], b[:1]], [signs], {"margin": -1.0}),
    ("triplet_margin_loss", [a, b, c], [], {}),
    ("triplet_margin_loss", [a, b, c], [], {"p": 1.0, "margin": 3.0}),
    ("triplet_margin_loss", [a, b, c], [], {"p": 3.0, "eps": 0.2, "swap": True}),
    ("triplet_margin_loss", [a, b, c], [], {"swap": True, "margin": 2.5}),
    ("triplet_margin_loss", [a, b[:1], c], [], {"swap": True}),
    ("triplet_margin_loss", [one, two, three], [], {"swap": True, "p": inf}),
    ("triplet_margin_loss", [block, random(2, 3, 4, seed=13), random(2, 3, 4, seed=14)], [], {}),
    ("triplet_margin_with_distance_loss", [a, b, c], [], {"swap": True}),
    ("multilabel_margin_loss", [a], [several], {}),
    ("multilabel_margin_loss", [one], [np.array([3, 1, -1, 0])], {}),
    ("multilabel_margin_loss", [np.array(0.3)], [np.array(0)], {}),
    ("multilabel_soft_margin_loss", [a, shares], [], {}),
    ("multilabel_soft_margin_loss", [a, shares], [], {"weight": weights}),
    ("multilabel_soft_margin_loss", [a], [np.round(shares)], {"weight": random(5, 1, low=0.3, high=2, seed=12)}),
    ("multilabel_soft_margin_loss", [block], [np.round(random(2, 3, 4, low=0, high=1))], {}),
    ("multilabel_soft_margin_loss", [one, random(4, low=0, high=1)], [], {}),
    ("multilabel_soft_margin_loss", [a, shares[:1]], [], {}),
    ("gaussian_nll_loss", [a, b, variances], [], {}),
    ("gaussian_nll_loss", [a, b, variances[:, 0]], [], {"full": True}),
    ("gaussian_nll_loss", [a, b, variances[:, :1]], [], {"full": True}),
    ("gaussian_nll_loss", [a, b, variances[:1]], [], {}),
    ("gaussian_nll_loss", [a, b[0], variances], [], {}),
    ("gaussian_nll_loss", [a[0], b, variances[0]], [], {}),
    ("gaussian_nll_loss", [one, two, np.array(0.7)], [], {}),
    ("gaussian_nll_loss", [a, b], [1.7], {"full": True}),
    ("gaussian_nll_loss", [a, b], [variances], {"eps": 1e-3}),
    ("poisson_nll_loss", [a], [counts], {}),
    ("poisson_nll_loss", [a], [counts], {"full": True}),
    ("poisson_nll_loss", [rates], [counts], {"log_input": False}),
    ("poisson_nll_loss", [rates], [counts], {"log_input": False, "full": True, "eps": 0.3}),
    ("poisson_nll_loss", [a, rates + 0.013], [], {"full": True}),
    ("poisson_nll_loss", [rates, rates[::-1] + 0.013], [], {"full": True, "log_input": False}),
    ("poisson_nll_loss", [a[0], counts + 1.1], [], {"full": True}),
    ("poisson_nll_loss", [a, counts[0] + 1.1], [], {}),
]  # fmt: skip

KINKED = [
    ("margin_ranking_loss", [np.array([1.0, 2.0, 0.0]), np.array([1.0, 1.0, 0.5])], [np.array([1.0, -1.0, -1.0])], {}),
    ("margin_ranking_loss", [np.array([1.0, 2.0]), np.array([0.5, 2.5])], [np.array([1.0, -1.0])], {"margin": 0.5}),
    ("hinge_embedding_loss", [np.array([1.0, 0.5, 2.0, 1.0, 0.3, 3.0, 1.0])], [np.array([1.0, -1, -1, -1, 0, 0, 0])], {}),
    ("cosine_embedding_loss", [np.eye(2), np.eye(2)[::-1].copy()], [np.array([-1.0, 1.0])], {}),
    ("cosine_embedding_loss", [np.zeros((2, 3)), np.ones((2, 3))], [np.array([-1.0, 1.0])], {"margin": -0.5}),
    ("multilabel_margin_loss", [np.array([[1.0, 0.0, 2.0, 0.5]])], [np.array([[0, 2, 0, -1]])], {}),
    ("triplet_margin_loss", [np.zeros((1, 2)), np.array([[3.0, 4.0]]), np.array([[6.0, 0.0]])], [], {"eps": 0.0}),
    ("triplet_margin_loss", [np.zeros((1, 2)), np.array([[0.0, 4.0]]), np.array([[4.0, 0.0]])], [], {"eps": 0.0, "swap": True}),
    ("triplet_margin_loss", [np.zeros((1, 2)), np.array([[8.0, 0.0]]), np.array([[4.0, 3.0]])], [], {"eps": 0.0, "swap": True}),
    ("triplet_margin_loss", [np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3))], [], {"eps": 0.0}),
    ("gaussian_nll_loss", [np.array([1.0, 2.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.5, 1e-9])], [], {}),
    ("gaussian_nll_loss", [np.array([1.0, 2.0]), np.array([0.0, 1.5]), np.array([0.2, 0.5])], [], {"eps": 0.3}),
    ("poisson_nll_loss", [np.array([0.5, 0.0, 2.0])], [np.array([0.0, 1.0, 2.0])], {"log_input": False}),
    ("poisson_nll_loss", [np.array([0.5, 0.0, 2.0, 1.0]), np.array([0.5, 1.0, 2.0, 1.0001])], [], {"full": True}),
]  # fmt: skip


def sample_id(sample):
    name, inputs, constants, options = sample
    shapes = ["x".join(map(str, np.shape(x))) or "scalar" for x in (*inputs, *constants)]
    return "-".join([name, *shapes, *map(str, options)])


def theirs(name):
    def call(*args, **options):
        options = {
            k: torch.tensor(v, dtype=args[0].dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()
        }
        return getattr(F, name)(*args, **options)

    return call


def against_torch(sample, reduction, dtype):
    name, inputs, constants, options = sample
    options = {"reduction": reduction, **options}
    cast = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    return check(getattr(functional, name), theirs(name), inputs, dtype, constants, cast, factor=2)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("sample", SMOOTH, ids=sample_id)
def test_against_torch_and_central_differences(sample, reduction, dtype):
    gradients, seeds = against_torch(sample, reduction, dtype)
    if dtype == "float64":
        name, inputs, constants, options = sample
        step = 1e-11 if np.abs(inputs[0]).max() < 1e-4 else 1e-6
        check_central(
            getattr(functional, name), inputs, gradients, seeds, constants, {"reduction": reduction, **options}, step
        )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("sample", KINKED, ids=sample_id)
def test_kinks_ties_and_ends(sample, reduction, dtype):
    against_torch(sample, reduction, dtype)


# -- where this wing parts from torch, which the docstrings name -----------------------------------------------------------


def test_stirlings_terms_have_no_slope_in_a_target_of_zero_where_torch_answers_nan():
    x, t = np.array([0.5, -1.0]), np.array([0.0, 0.0])
    mine, other = manual.tensor(t, requires_grad=True), torch.tensor(t, requires_grad=True)
    functional.poisson_nll_loss(x, mine, full=True, reduction="none").backward(np.array([2.0, 3.0]))
    F.poisson_nll_loss(torch.tensor(x), other, full=True, reduction="none").backward(torch.tensor([2.0, 3.0]).double())
    np.testing.assert_array_equal(mine.grad, -x * [2.0, 3.0])
    assert other.grad.isnan().all()


def test_the_mean_over_no_rows_is_nan():
    """torch 2.13 answers whatever its memory holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(functional.multilabel_margin_loss(np.zeros((0, 3)), np.zeros((0, 3), np.int64)).item())
        assert math.isnan(functional.margin_ranking_loss(np.zeros(0), np.zeros(0), np.zeros(0)).item())
        assert math.isnan(functional.gaussian_nll_loss(np.zeros((0, 3)), np.zeros((0, 3)), np.ones((0, 3))).item())


def test_what_follows_the_end_of_a_rows_classes_is_not_read():
    x = random(1, 4)
    ended, more = np.array([[2, -1, 0, 3]]), np.array([[2, -1, 1, 1]])
    np.testing.assert_array_equal(
        functional.multilabel_margin_loss(x, ended).data, functional.multilabel_margin_loss(x, more).data
    )


def test_saturated_labels_cost_what_they_cost_on_their_own_scale():
    x = np.array([[-40.0, 40.0, -800.0, 800.0]])
    for y in (np.zeros((1, 4)), np.ones((1, 4))):
        found = functional.multilabel_soft_margin_loss(x, y, reduction="none").data
        expected = F.multilabel_soft_margin_loss(torch.tensor(x), torch.tensor(y), reduction="none").numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-14)


# -- dtypes and the contract -----------------------------------------------------------------------------------------------

ARGUMENTS = {
    "margin_ranking_loss": ([a, b, c], {}),
    "hinge_embedding_loss": ([a, np.where(b > 0, 1, -1)], {}),
    "cosine_embedding_loss": ([a, b], {"target": signs}),
    "triplet_margin_loss": ([a, b, c], {"swap": True}),
    "multilabel_margin_loss": ([a, several], {}),
    "multilabel_soft_margin_loss": ([a, shares], {"weight": weights}),
    "gaussian_nll_loss": ([a, b, variances], {}),
    "poisson_nll_loss": ([a, counts + 1.1], {"full": True}),
}


def test_every_rule_of_these_families_has_arguments_here():
    families = {"likelihood", "multilabel", "pairs"}
    assert set(ARGUMENTS) == {n for n in losses.__all__ if getattr(losses, n).__module__.rpartition(".")[2] in families}


def cast(values, dtype):
    return [value.astype(dtype) if value.dtype.kind == "f" else value for value in values]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_dtypes_are_kept(name, dtype, reduction):
    arrays, options = ARGUMENTS[name]
    value, pullback = getattr(losses, name)(*cast(arrays, dtype), reduction=reduction, **options)
    _, wide_pullback = getattr(losses, name)(*cast(arrays, np.longdouble), reduction=reduction, **options)
    assert np.asarray(value).dtype == dtype
    needs = tuple(array.dtype.kind == "f" for array in arrays)
    incoming = np.asarray(random(*np.shape(value), seed=5))
    tolerance = 2e-2 if dtype == np.float16 else 1e-4
    for mine, other in zip(
        pullback(incoming.astype(dtype), needs), wide_pullback(incoming.astype(np.longdouble), needs), strict=True
    ):
        if mine is not None:
            assert mine.dtype == dtype
            np.testing.assert_allclose(mine.astype(float), other.astype(float), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_pullback_saves_what_it_needs_and_writes_to_nothing(name, reduction):
    arrays, options = ARGUMENTS[name]
    arrays = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    value, pullback = getattr(losses, name)(*arrays, reduction=reduction, **options)
    assert pullback.__name__ == f"{name}_pullback"
    incoming = np.asarray(random(*np.shape(value), seed=6))
    incoming.flags.writeable = False
    wanted = tuple(array.dtype.kind == "f" for array in arrays)
    first, again = pullback(incoming, wanted), pullback(incoming, wanted)
    given = [gradient for gradient in first if gradient is not None]
    assert len(given) == sum(wanted)
    for place, gradient in enumerate(given):
        assert not any(np.shares_memory(gradient, other) for other in (*arrays, value, *given[:place]))
    for place, (mine, other, array) in enumerate(zip(first, again, arrays, strict=True)):
        if mine is None:
            continue
        np.testing.assert_array_equal(mine, other)
        assert (mine.shape, mine.dtype) == (array.shape, array.dtype)
        alone = pullback(incoming, tuple(index == place for index in range(len(arrays))))
        assert [gradient is not None for gradient in alone] == [index == place for index in range(len(arrays))]
        np.testing.assert_array_equal(alone[place], mine)


@pytest.mark.parametrize("name", ["margin_ranking_loss", "multilabel_soft_margin_loss", "poisson_nll_loss"])
def test_mixed_dtypes_promote_and_gradients_go_back(name):
    arrays = [array for array in ARGUMENTS[name][0] if array.dtype.kind == "f"]
    arrays = [array.astype(np.float32 if place else np.float64) for place, array in enumerate(arrays)]
    mine = [manual.tensor(array, requires_grad=True) for array in arrays]
    other = [torch.tensor(array, requires_grad=True) for array in arrays]
    found, expected = getattr(functional, name)(*mine), getattr(F, name)(*other)
    assert found.dtype == np.float64
    assert expected.dtype == torch.float64
    found.backward()
    expected.backward()
    for one, two in zip(mine, other, strict=True):
        assert_close(one.grad, two.grad.numpy(), 1e-6, name)


def test_a_target_in_double_precision_does_not_make_the_loss_so():
    x, y = a.astype(np.float32), b.astype(np.float32)
    for loss, reference in (
        (functional.cosine_embedding_loss(x, y, signs), F.cosine_embedding_loss(*map(torch.tensor, (x, y, signs)))),
        (
            functional.hinge_embedding_loss(x, signs[:, None]),
            F.hinge_embedding_loss(torch.tensor(x), torch.tensor(signs[:, None])),
        ),
    ):
        assert loss.dtype == np.float32
        assert reference.dtype == torch.float32


# -- errors ----------------------------------------------------------------------------------------------------------------

long = np.zeros((5, 3), np.int64)
REFUSED = {
    "ranking axes": ("margin_ranking_loss", [one, two, three[:, None]], {}, "same dimension but got sizes"),
    "ranking shapes": ("margin_ranking_loss", [a, b[:2], c], {}, "sizes must match"),
    "ranking reduction": ("margin_ranking_loss", [a, b, c], {"reduction": "avg"}, "avg is not a valid value"),
    "hinge shapes": ("hinge_embedding_loss", [a, b[:2]], {}, "sizes must match"),
    "hinge reduction": ("hinge_embedding_loss", [a, b], {"reduction": "avg"}, "avg is not a valid value"),
    "cosine targets": ("cosine_embedding_loss", [a, b, c], {}, "multi-target not supported"),
    "cosine target": ("cosine_embedding_loss", [a, b, np.array(1.0)], {}, "0D target tensor expects 1D"),
    "cosine vectors": ("cosine_embedding_loss", [one, two, signs], {}, "1D target tensor expects 2D"),
    "cosine rows": ("cosine_embedding_loss", [a, b, signs[:2]], {}, "sizes must match"),
    "cosine columns": ("cosine_embedding_loss", [a, b[:, :2], signs], {}, "sizes must match"),
    "cosine reduction": ("cosine_embedding_loss", [a, b, signs], {"reduction": "avg"}, "avg is not a valid value"),
    "triplet axes": ("triplet_margin_loss", [a, b[0], c], {}, "anchor 2D, positive 1D, and negative 2D inputs"),
    "triplet columns": ("triplet_margin_loss", [a, b[:, :2], c], {}, "sizes must match"),
    "triplet margin": ("triplet_margin_loss", [a, b, c], {"margin": 0}, "margin must be greater than 0, got 0"),
    "triplet reduction": ("triplet_margin_loss", [a, b, c], {"reduction": "avg"}, "avg is not a valid value"),
    "distance axes": ("triplet_margin_with_distance_loss", [a, b[0], c], {}, "anchor 2D, positive 1D"),
    "distance margin": ("triplet_margin_with_distance_loss", [a, b, c], {"margin": -1.0}, "got -1.0"),
    "distance reduction": ("triplet_margin_with_distance_loss", [a, b, c], {"reduction": "avg"}, "avg is not a valid"),
    "labels shape": ("multilabel_margin_loss", [a, long[:, :2]], {}, "inconsistent target size: .5, 2. for input of"),
    "labels rows": ("multilabel_margin_loss", [one, np.zeros((1, 4), np.int64)], {}, "inconsistent target size"),
    "labels axes": ("multilabel_margin_loss", [block, np.zeros((2, 3, 4), np.int64)], {}, "non-empty vector or matrix"),
    "labels none": ("multilabel_margin_loss", [a[:, :0], long[:, :0]], {}, "non-empty vector or matrix"),
    "labels range": ("multilabel_margin_loss", [a, long + 3], {}, "'target' is out of range"),
    "labels behind": ("multilabel_margin_loss", [one, np.array([1, -1, 9, 9])], {}, "'target' is out of range"),
    "labels negative": ("multilabel_margin_loss", [a, long - 2], {}, "'target' is out of range"),
    "labels dtype": ("multilabel_margin_loss", [a, long.astype(np.int32)], {}, "expected scalar type Long"),
    "labels float": ("multilabel_margin_loss", [a, long.astype(float)], {}, "expected scalar type Long"),
    "labels reduction": ("multilabel_margin_loss", [a, long], {"reduction": "avg"}, "avg is not a valid value"),
    "soft shapes": ("multilabel_soft_margin_loss", [a, b[:2]], {}, "sizes must match"),
    "soft weight": ("multilabel_soft_margin_loss", [a, b], {"weight": np.ones(5)}, "does not broadcast"),
    "soft scalar": ("multilabel_soft_margin_loss", [np.array(1.0), np.array(1.0)], {}, "no dimensions"),
    "soft reduction": ("multilabel_soft_margin_loss", [a, b], {"reduction": "avg"}, "avg is not"),
    "gaussian var": ("gaussian_nll_loss", [a, b, variances[0]], {}, "var is of incorrect size"),
    "gaussian short var": ("gaussian_nll_loss", [a, b, variances[:1, :1]], {}, "var is of incorrect size"),
    "gaussian scalar var": ("gaussian_nll_loss", [a, b, np.array(1.0)], {}, "var is of incorrect size"),
    "gaussian negative": ("gaussian_nll_loss", [a, b, -variances], {}, "var has negative"),
    "gaussian number": ("gaussian_nll_loss", [a, b, -1.0], {}, "var has negative"),
    "gaussian shapes": ("gaussian_nll_loss", [a, b[:2], variances], {}, "sizes must match"),
    "gaussian reduction": ("gaussian_nll_loss", [a, b, variances], {"reduction": "avg"}, "avg is not"),
    "poisson shapes": ("poisson_nll_loss", [a, counts[:2]], {}, "sizes must match"),
    "poisson reduction": ("poisson_nll_loss", [a, counts], {"reduction": "avg"}, "avg is not a valid value"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_torch_refuses_is_refused_with_the_same_kind_of_error(wrong):
    name, inputs, options, message = REFUSED[wrong]
    other = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    with pytest.raises((ValueError, RuntimeError, IndexError)) as expected:
        getattr(F, name)(*[torch.tensor(x) if isinstance(x, np.ndarray) else x for x in inputs], **other)
    mine = [manual.tensor(x) if isinstance(x, np.ndarray) else x for x in inputs]
    with pytest.raises(expected.type, match=message):
        getattr(functional, name)(*mine, **options)


@pytest.mark.parametrize("name", [*ARGUMENTS, "triplet_margin_with_distance_loss"])
def test_functions_take_torchs_arguments_in_torchs_order(name):
    mine = inspect.signature(getattr(functional, name)).parameters.values()
    deprecated = ("size_average", "reduce")
    torchs = [p for p in inspect.signature(getattr(F, name)).parameters.values() if p.name not in deprecated]
    assert [(p.name, p.default, p.kind) for p in mine] == [(p.name, p.default, p.kind) for p in torchs]
