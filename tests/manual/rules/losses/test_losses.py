"""The corners of the loss rules: layouts, empty and single inputs, ignored and weightless rows, saturation, errors.

The ordinary cases, in every reduction, are in ``tests/manual/test_nn.py``.
"""

import inspect
import itertools
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual.nn import functional
from manual.rules import losses

from ...oracle import assert_close, check, random

REDUCTIONS = ["none", "mean", "sum"]
scores, labels = random(6, 3, seed=1), np.array([2, 0, 1, 1, 2, 0])
some_ignored, all_ignored = np.array([2, -100, 1, -100, 2, 0]), np.full(6, -100)
class_weights = random(3, low=0.2, high=2.0, seed=2)
distributions = np.exp(random(6, 3, seed=3))
distributions /= distributions.sum(1, keepdims=True)
inside = random(6, 3, low=0.05, high=0.95, seed=4)
signs = np.where(random(6, 3, seed=5) > 0, 1.0, -1.0)


def torch_loss(name):
    def call(*args, **options):
        dtype = next(a.dtype for a in args if a.is_floating_point())
        options = {k: torch.tensor(v, dtype=dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return getattr(F, name)(*args, **options)

    return call


def against_torch(name, inputs, constants=(), dtype="float64", factor=2.0, **options):
    cast = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return check(getattr(functional, name), torch_loss(name), inputs, dtype, constants, cast, factor)


# -- rows that do not count ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [None, class_weights, np.zeros(3)], ids=["unweighted", "weighted", "weightless"])
@pytest.mark.parametrize("target", [labels, some_ignored, all_ignored], ids=["all", "some", "none"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "smoothing"), [("nll_loss", None), ("cross_entropy", 0.0), ("cross_entropy", 0.2)])
def test_rows_that_count_for_nothing(name, smoothing, reduction, target, weight):
    options = {} if smoothing is None else {"label_smoothing": smoothing}
    against_torch(name, [scores], [target], reduction=reduction, weight=weight, **options)


def test_an_ignored_row_may_hold_anything():
    poisoned = scores.copy()
    poisoned[1] = -np.inf, 3.0, np.inf
    for reduction in REDUCTIONS:
        against_torch("nll_loss", [poisoned], [some_ignored], reduction=reduction)


def test_an_ignored_class_inside_the_range_is_ignored_too():
    for name in ("nll_loss", "cross_entropy"):
        against_torch(name, [scores], [labels], ignore_index=2)
        against_torch(name, [scores], [labels], ignore_index=2, weight=class_weights, reduction="none")


# -- shapes and layouts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("extra", [(), (2,), (2, 3), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("classes", [2, 64, 65, 130])
def test_class_losses_of_every_rank_and_width(classes, extra, reduction):
    x = random(4, classes, *extra, seed=7)
    target = np.random.default_rng(8).integers(0, classes, (4, *extra))
    weight = random(classes, low=0.1, high=2.0, seed=9)
    against_torch("nll_loss", [x], [target], reduction=reduction, weight=weight)
    against_torch("cross_entropy", [x], [target], reduction=reduction)
    against_torch("cross_entropy", [x], [target], reduction=reduction, weight=weight, label_smoothing=0.1)
    y = np.exp(random(4, classes, *extra, seed=10))
    against_torch("cross_entropy", [x, y / y.sum(1, keepdims=True)], reduction=reduction, weight=weight)
    against_torch("cross_entropy", [x, y], reduction=reduction, label_smoothing=0.3)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_one_row_without_a_batch(reduction):
    x, target = random(4, seed=3), np.array(2)
    against_torch("nll_loss", [x], [target], reduction=reduction, weight=np.array([1.0, 2.0, 3.0, 4.0]))
    against_torch("cross_entropy", [x], [target], reduction=reduction, label_smoothing=0.1)
    against_torch("cross_entropy", [x, np.array([0.1, 0.2, 0.3, 0.4])], reduction=reduction)
    against_torch("multi_margin_loss", [x], [target], reduction=reduction)
    against_torch("multi_margin_loss", [x], [target[None]], reduction=reduction)


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_the_class_of_one_row_may_be_an_array_of_one(name):
    """torch computes this loss too, and then fails in its backward pass."""
    x = manual.tensor(random(4, seed=3), requires_grad=True)
    y = manual.tensor(x.data, requires_grad=True)
    getattr(functional, name)(x, np.array([2])).backward()
    loss = getattr(functional, name)(y, np.array(2))
    loss.backward()
    assert loss.item() == pytest.approx(getattr(F, name)(torch.tensor(x.data), torch.tensor([2])).item(), rel=1e-14)
    np.testing.assert_array_equal(x.grad, y.grad)


@pytest.mark.parametrize("target", [[2, 0, 1, 1, 2, 0], labels.astype(np.int32), labels.astype(np.uint8)], ids=type)
def test_classes_may_come_in_any_integer_dtype(target):
    x = manual.tensor(scores, requires_grad=True)
    functional.cross_entropy(x, target).backward(np.array(0.7))
    y = torch.tensor(scores, requires_grad=True)
    (F.cross_entropy(y, torch.tensor(labels)) * 0.7).backward()
    assert_close(x.grad, y.grad.numpy(), 1e-14, "gradient")
    assert functional.cross_entropy(scores[0], 2).item() == pytest.approx(
        F.cross_entropy(torch.tensor(scores[0]), torch.tensor(2)).item(), rel=1e-14
    )


ELEMENTWISE = ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss", "binary_cross_entropy",
               "binary_cross_entropy_with_logits", "kl_div"]  # fmt: skip


def pair_for(name, shape):
    x = random(*shape, low=0.1, high=0.9, seed=11)
    y = random(*shape, low=0.1, high=0.9, seed=12)
    return x, y


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_losses_of_elements_take_every_shape(name, shape, reduction):
    x, y = pair_for(name, shape)
    against_torch(name, [x], [y], reduction=reduction)
    if name != "soft_margin_loss":  # torch has no gradient for its target
        against_torch(name, [x, y], reduction=reduction)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_layout_changes_nothing(name):
    x, y = pair_for(name, (6, 4))
    for view in (lambda a: a.T, lambda a: a[::-1, ::2], np.asfortranarray):
        mine = [manual.Tensor(view(x), requires_grad=True), manual.Tensor(view(y))]
        theirs = [torch.tensor(view(x).copy(), requires_grad=True), torch.tensor(view(y).copy())]
        seed = random(*view(x).shape, seed=5)
        getattr(functional, name)(*mine, reduction="none").backward(seed)
        torch_loss(name)(*theirs, reduction="none").backward(torch.tensor(seed))
        assert_close(mine[0].grad, theirs[0].grad.numpy(), 1e-12, name)


@pytest.mark.parametrize("view", [np.asfortranarray, lambda a: a[:, ::-1], lambda a: np.repeat(a, 2, 1)[:, ::2]])
def test_cross_entropy_takes_every_layout(view):
    for options in ({}, {"label_smoothing": 0.2}):
        mine = manual.Tensor(view(scores), requires_grad=True)
        theirs = torch.tensor(view(scores).copy(), requires_grad=True)
        functional.cross_entropy(mine, labels, **options).backward(np.array(-1.3))
        F.cross_entropy(theirs, torch.tensor(labels), **options).backward(torch.tensor(-1.3, dtype=torch.float64))
        assert_close(mine.grad, theirs.grad.numpy(), 1e-13, "gradient")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
@pytest.mark.parametrize("shapes", [((5, 1), (5,)), ((3,), (2, 3)), ((2, 1, 3), (4, 1)), ((), (2,))], ids=str)
def test_a_broadcast_is_warned_of_and_undone(name, shapes, reduction):
    inputs = [random(*shape, seed=i) for i, shape in enumerate(shapes)]
    against_torch(name, inputs, reduction=reduction)
    with pytest.warns(UserWarning, match="different to the input size") as caught:
        getattr(functional, name)(*inputs, reduction=reduction)
    assert len(caught) == 1


@pytest.mark.parametrize("shapes", [((5, 4), (4,)), ((4,), (5, 4)), ((5, 1), (5, 4))], ids=str)
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_kl_div_broadcasts(shapes, reduction):
    x, y = random(*shapes[0], seed=1), random(*shapes[1], low=0.1, high=0.9, seed=2)
    against_torch("kl_div", [x, y], reduction=reduction)
    against_torch("kl_div", [x, np.log(y)], reduction=reduction, log_target=True)


# -- kinks, ends and saturation ------------------------------------------------------------------------------------------

edges = np.array([-2.0, -0.5, -0.25, 0.0, 0.25, 0.5, 2.0])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("name", "options"), [("l1_loss", {}), ("smooth_l1_loss", {"beta": 0.5}), ("huber_loss", {"delta": 0.25})]
)
def test_kinks_and_edges_of_the_regression_losses(name, options, reduction):
    against_torch(name, [edges, np.zeros(7)], reduction=reduction, **options)
    against_torch(name, [edges + 1e-9, np.zeros(7)], reduction=reduction, **options)


def test_the_hinge_is_flat_at_its_kink():
    s = manual.tensor(np.array([1.0, -1.0, 1.0 - 1e-12, -1.0 - 1e-12]), requires_grad=True)
    y = np.array([1.0, -1.0, 1.0, -1.0])
    functional.hinge_loss(s, y, reduction="none").backward(np.array([3.0, 5.0, 7.0, 11.0]))
    np.testing.assert_array_equal(s.grad, [0.0, 0.0, -7.0, 0.0])
    t = torch.tensor([1.0], requires_grad=True)
    torch.clamp(1 - t, min=0).backward()
    assert t.grad.item() == -1.0  # the other choice, which the docstring names


@pytest.mark.parametrize("name", ["hinge_loss", "squared_hinge_loss"])
def test_hinge_losses_give_their_target_a_gradient(name):
    def reference(s, t):
        value = torch.relu(1 - t * s)
        return value if name == "hinge_loss" else value * value

    check(lambda s, t: getattr(functional, name)(s, t, reduction="none"), reference, [scores, signs])


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_multi_margin_ties_at_the_margin(p, reduction):
    x = np.array([[1.0, 0.5, 0.0], [2.0, 2.0, 2.5], [0.0, 5.0, 1.0]])
    against_torch("multi_margin_loss", [x], [np.array([0, 2, 1])], p=p, margin=0.5, reduction=reduction)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_certain_probabilities(reduction, dtype):
    x = np.array([0.0, 1.0, 0.0, 1.0, 1e-30, 1 - 1e-7, 0.5])
    y = np.array([1.0, 0.0, 0.0, 1.0, 0.3, 1.0, 0.5])
    against_torch("binary_cross_entropy", [x], [y], dtype=dtype, reduction=reduction)
    against_torch("binary_cross_entropy", [x, y], dtype=dtype, reduction=reduction)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_saturated_logits(reduction, dtype):
    x = np.array([[-800.0, 800.0, -800.0, 800.0], [40.0, -40.0, 0.0, -0.0], [-90.0, 90.0, -1e-3, 1e-3]])
    y = np.array([[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.5, 0.25], [1.0, 1.0, 0.0, 1.0]])
    weight, pos_weight = random(4, low=0.5, high=2, seed=1), random(3, 1, low=0.5, high=3, seed=2)
    for options in ({}, {"weight": weight}, {"pos_weight": pos_weight}, {"weight": weight, "pos_weight": pos_weight}):
        against_torch("binary_cross_entropy_with_logits", [x, y], dtype=dtype, reduction=reduction, **options)
    against_torch("cross_entropy", [x], [np.array([0, 1, 3])], dtype=dtype, reduction=reduction)


def test_each_saturated_term_is_right_on_its_own_scale():
    x = np.array([-40.0, -30.0, 30.0, 40.0, 700.0])
    for y in (np.zeros(5), np.ones(5)):
        found = functional.binary_cross_entropy_with_logits(x, y, reduction="none").data
        expected = F.binary_cross_entropy_with_logits(torch.tensor(x), torch.tensor(y), reduction="none").numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    found = functional.binary_cross_entropy(
        np.array([1e-20, 1e-9, 1 - 1e-9]), np.array([0.0, 0.0, 1.0]), reduction="none"
    )
    np.testing.assert_allclose(found.data, [1e-20, 1e-9, 1e-9], rtol=1e-6)


def test_a_logit_of_minus_infinity_is_a_class_that_cannot_be():
    x = np.array([[0.0, -np.inf, 1.0], [-np.inf, 2.0, -np.inf]])
    for reduction in REDUCTIONS:
        against_torch("cross_entropy", [x], [np.array([2, 1])], reduction=reduction)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_soft_margin_stays_finite_where_torch_overflows(dtype):
    s = manual.tensor(np.array([-800.0, 800.0, -60.0], dtype), requires_grad=True)
    loss = functional.soft_margin_loss(s, np.ones(3, dtype), reduction="none")
    loss.backward(np.array([2.0, 3.0, 5.0], dtype))
    np.testing.assert_array_equal(loss.data, np.array([800.0, 0.0, 60.0], dtype))
    np.testing.assert_allclose(s.grad, np.array([-2.0, 0.0, -5.0], dtype), rtol=1e-6)
    assert torch.isinf(F.soft_margin_loss(torch.tensor([-800.0]), torch.ones(1)))


def test_impossible_outcomes_in_kl_div():
    x, t = np.array([-1.0, -2.0, -0.5]), np.array([0.0, 0.3, 1.0])
    against_torch("kl_div", [x, t], reduction="sum")
    against_torch("kl_div", [x], [t], reduction="none")


def test_a_target_below_zero_is_silently_not_a_number_in_kl_div():
    x, t = np.array([-1.0, -2.0, -0.5]), np.array([-0.1, 0.3, 1.0])
    for reduction in ("none", "sum"):
        against_torch("kl_div", [x], [t], reduction=reduction)
    assert np.isnan(functional.kl_div(x, t, reduction="none").data).tolist() == [True, False, False]


def test_kl_div_warns_that_its_mean_is_not_the_mean_over_rows():
    with pytest.warns(UserWarning, match="batchmean"):
        functional.kl_div(scores, distributions)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        functional.kl_div(scores, distributions, reduction="batchmean")


# -- dtypes --------------------------------------------------------------------------------------------------------------

TARGETS = {"nll_loss": labels, "cross_entropy": labels, "multi_margin_loss": labels, "binary_cross_entropy": inside}
ELSEWHERE = {"likelihood", "multilabel", "pairs"}  # families with a test file of their own
RULES = [  # of an input and a target alone; the others have tests of their own
    name
    for name in losses.__all__
    if [p.name for p in inspect.signature(getattr(losses, name)).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    == ["input", "target"]
    and name != "class_denominator"
    and getattr(losses, name).__module__.rpartition(".")[2] not in ELSEWHERE
]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.filterwarnings("ignore:reduction 'mean':UserWarning")
@pytest.mark.parametrize("name", RULES)
def test_dtypes_are_kept(name, dtype, reduction):
    x = manual.tensor(inside.astype(dtype), requires_grad=True)
    target = TARGETS.get(name, distributions)
    target = target if target.dtype.kind == "i" else target.astype(dtype)
    options = (
        {"weight": class_weights.astype(dtype)}
        if "weight" in inspect.signature(getattr(losses, name)).parameters
        else {}
    )
    loss = getattr(functional, name)(x, target, reduction=reduction, **options)
    assert loss.dtype == dtype
    loss.backward(np.full(loss.shape, 0.3, dtype))
    assert x.grad.dtype == dtype
    reference = manual.tensor(inside, requires_grad=True)
    options = dict.fromkeys(options, class_weights)
    wide = getattr(functional, name)(reference, target.astype(float) if target.dtype.kind == "f" else target,
                                     reduction=reduction, **options)  # fmt: skip
    wide.backward(np.full(loss.shape, 0.3))
    np.testing.assert_allclose(np.asarray(x.grad, float), reference.grad, rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize(
    "name", ["mse_loss", "l1_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits", "kl_div"]
)
def test_mixed_dtypes_promote_and_gradients_go_back(name):
    x = manual.tensor(inside.astype(np.float32), requires_grad=True)
    y = manual.tensor(inside[::-1].copy(), requires_grad=True)
    loss = getattr(functional, name)(x, y, reduction="sum")
    theirs = torch.tensor(x.data.copy(), requires_grad=True), torch.tensor(y.data.copy(), requires_grad=True)
    expected = getattr(F, name)(*theirs, reduction="sum")
    assert loss.dtype == np.float64
    assert expected.dtype == torch.float64
    loss.backward()
    expected.backward()
    for mine, other in zip((x, y), theirs, strict=True):
        assert_close(mine.grad, other.grad.numpy(), 1e-6, name)


def test_cross_entropy_with_probabilities_of_another_dtype():
    x = manual.tensor(scores.astype(np.float32), requires_grad=True)
    y = manual.tensor(distributions, requires_grad=True)
    loss = functional.cross_entropy(x, y)
    theirs = torch.tensor(x.data.copy(), requires_grad=True), torch.tensor(distributions, requires_grad=True)
    expected = F.cross_entropy(*theirs)
    assert loss.dtype == np.float64
    loss.backward()
    expected.backward()
    for mine, other in zip((x, y), theirs, strict=True):
        assert_close(mine.grad, other.grad.numpy(), 1e-6, "gradient")


# -- the contract of a rule ----------------------------------------------------------------------------------------------


def arguments(name):
    target = TARGETS.get(name, signs if "hinge" in name or "margin" in name else distributions)
    return inside.copy(), target.copy()


@pytest.mark.filterwarnings("ignore:reduction 'mean':UserWarning")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", RULES)
def test_a_pullback_saves_what_it_needs_and_writes_to_nothing(name, reduction):
    x, y = arguments(name)
    kept = x.copy(), y.copy()
    value, pullback = getattr(losses, name)(x, y, reduction=reduction)
    assert pullback.__name__ == f"{name}_pullback"
    incoming = random(*np.shape(value), seed=6)
    before = incoming.copy()
    floating_target = y.dtype.kind == "f"
    first = pullback(incoming, (True, floating_target))
    again = pullback(incoming, (True, floating_target))
    for one, other, source in zip(first, again, (x, y), strict=True):
        if one is not None:
            np.testing.assert_array_equal(one, other)
            assert (one.shape, one.dtype) == (source.shape, source.dtype)
            assert not any(np.shares_memory(one, array) for array in (x, y, other, value))
    if floating_target:
        assert not np.shares_memory(*first)
        for needs in ((True, False), (False, True)):
            given = pullback(incoming, needs)
            assert [gradient is not None for gradient in given] == list(needs)
            np.testing.assert_array_equal(given[needs.index(True)], first[needs.index(True)])
    np.testing.assert_array_equal(incoming, before)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(y, kept[1])


# -- errors: the kinds are torch's ---------------------------------------------------------------------------------------

long = np.zeros(6, np.int64)
REFUSED = {
    "nll batch": ("nll_loss", [scores, labels[:4]], {}),
    "nll float classes": ("nll_loss", [scores, labels * 1.0], {}),
    "nll class": ("nll_loss", [scores, labels + 1], {}),
    "nll negative class": ("nll_loss", [scores, labels - 1], {}),
    "nll places": ("nll_loss", [random(2, 3, 4), np.zeros((2, 5), np.int64)], {}),
    "nll no places": ("nll_loss", [random(2, 3, 4), np.zeros(2, np.int64)], {}),
    "nll no batch": ("nll_loss", [scores, labels[0]], {}),
    "nll one row": ("nll_loss", [scores[0], labels[:2]], {}),
    "nll multi-target of one row": ("nll_loss", [scores[0], labels[:1, None]], {}),
    "nll scalar": ("nll_loss", [np.array(1.0), np.array(0)], {}),
    "nll reduction": ("nll_loss", [scores, labels], {"reduction": "avg"}),
    "nll weight": ("nll_loss", [scores, labels], {"weight": np.ones(4)}),
    "ce batch": ("cross_entropy", [scores, labels[:4]], {}),
    "ce multi-target": ("cross_entropy", [scores, np.zeros((6, 2), np.int64)], {}),
    "ce class": ("cross_entropy", [scores, np.array([0, 1, 2, 9, 0, 1])], {}),
    "ce class in a map": ("cross_entropy", [random(2, 3, 4), np.full((2, 4), 3)], {}),
    "ce integer probabilities": ("cross_entropy", [scores, np.ones((6, 3), np.int64)], {}),
    "ce ignored probability": ("cross_entropy", [scores, distributions], {"ignore_index": 1}),
    "ce smoothing": ("cross_entropy", [scores, labels], {"label_smoothing": 1.5}),
    "ce weight": ("cross_entropy", [scores, labels], {"weight": np.ones(2)}),
    "ce reduction": ("cross_entropy", [scores, labels], {"reduction": "avg"}),
    "ce smoothed reduction": ("cross_entropy", [scores, labels], {"reduction": "avg", "label_smoothing": 0.1}),
    "ce probability reduction": ("cross_entropy", [scores, distributions], {"reduction": "avg"}),
    "ce one row": ("cross_entropy", [scores[0], labels[:2]], {}),
    "mse shapes": ("mse_loss", [scores, scores[:, :2]], {}),
    "l1 reduction": ("l1_loss", [scores, scores], {"reduction": "avg"}),
    "huber delta": ("huber_loss", [scores, scores], {"delta": 0.0}),
    "smooth beta": ("smooth_l1_loss", [scores, scores], {"beta": -1.0}),
    "bce shapes": ("binary_cross_entropy", [inside, inside[0]], {}),
    "bce input": ("binary_cross_entropy", [inside + 1, inside], {}),
    "bce negative input": ("binary_cross_entropy", [inside - 1, inside], {}),
    "bce nan": ("binary_cross_entropy", [inside * np.nan, inside], {}),
    "bce target": ("binary_cross_entropy", [inside, inside * 9], {}),
    "bce dtype": ("binary_cross_entropy", [inside, labels[:, None] * np.ones((1, 3), np.int64)], {}),
    "bce weight": ("binary_cross_entropy", [inside, inside], {"weight": np.ones(5)}),
    "bce large weight": ("binary_cross_entropy", [inside, inside], {"weight": np.ones((2, 6, 3))}),
    "bce reduction": ("binary_cross_entropy", [inside, inside], {"reduction": "avg"}),
    "bce logits shapes": ("binary_cross_entropy_with_logits", [scores, inside[0]], {}),
    "bce logits pos_weight": ("binary_cross_entropy_with_logits", [scores, inside], {"pos_weight": np.ones(5)}),
    "bce logits reduction": ("binary_cross_entropy_with_logits", [scores, inside], {"reduction": "avg"}),
    "kl reduction": ("kl_div", [scores, inside], {"reduction": "avg"}),
    "soft margin reduction": ("soft_margin_loss", [scores, signs], {"reduction": "avg"}),
    "margin p": ("multi_margin_loss", [scores, labels], {"p": 3}),
    "margin class": ("multi_margin_loss", [scores, labels + 1], {}),
    "margin batch": ("multi_margin_loss", [scores, labels[:4]], {}),
    "margin rank": ("multi_margin_loss", [random(2, 3, 4), long[:2]], {}),
    "margin weight": ("multi_margin_loss", [scores, labels], {"weight": np.ones(4)}),
    "margin dtype": ("multi_margin_loss", [scores, labels * 1.0], {}),
    "margin reduction": ("multi_margin_loss", [scores, labels], {"reduction": "avg"}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("wrong", REFUSED)
def test_what_torch_refuses_is_refused_with_the_same_kind_of_error(wrong):
    name, inputs, options = REFUSED[wrong]
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    with pytest.raises(Exception) as expected:  # noqa: PT011
        getattr(F, name)(*map(torch.tensor, inputs), **theirs)
    with pytest.raises(type(expected.value)) as found:
        getattr(functional, name)(*map(manual.tensor, inputs), **options)
    assert type(found.value) is type(expected.value)
    assert str(found.value)


def test_negative_smoothing_is_refused_though_torch_takes_it_for_none():
    with pytest.raises(RuntimeError, match=r"label_smoothing must be between 0.0 and 1.0. Got: -0.1"):
        functional.cross_entropy(scores, labels, label_smoothing=-0.1)
    x, y = torch.tensor(scores), torch.tensor(labels)
    assert F.cross_entropy(x, y, label_smoothing=-0.1) == F.cross_entropy(x, y)


@pytest.mark.parametrize("name", ["hinge_loss", "squared_hinge_loss"])
def test_hinge_losses_refuse_what_they_would_have_to_broadcast(name):
    with pytest.raises(ValueError, match=r"Target size \(6,\) must be the same as input size \(6, 1\)"):
        getattr(functional, name)(scores[:, :1], signs[:, 0])
    with pytest.raises(ValueError, match="avg is not a valid value for reduction"):
        getattr(functional, name)(scores, signs, reduction="avg")


# -- what the mean divides by --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "weight", "ignore"),
    list(itertools.product([labels, some_ignored, distributions], [None, class_weights], [-100])),
    ids=lambda value: "",
)
def test_micro_batches_weighted_by_their_denominators_make_the_batch(target, weight, ignore):
    loss = manual.nn.CrossEntropyLoss(weight=weight, ignore_index=ignore, label_smoothing=0.1)
    whole = loss(manual.tensor(scores), target).item()
    parts = [slice(0, 4), slice(4, 6)]
    shares = [loss.denominator(scores[part], target[part]) for part in parts]
    values = [loss(manual.tensor(scores[part]), target[part]).item() for part in parts]
    assert math.fsum(s * v for s, v in zip(shares, values, strict=True)) / sum(shares) == pytest.approx(
        whole, rel=1e-13
    )
    assert sum(shares) == pytest.approx(loss.denominator(scores, target), rel=1e-14)
