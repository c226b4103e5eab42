"""The linear cross entropy, CTC, NLLLoss2d and the adaptive log-softmax as modules."""

import inspect
import math
import warnings

import numpy as np
import pytest
import torch

import manual
from manual import nn

from ..oracle import assert_close, check, check_central, random

labels = np.array([0, 3, 1, 1, 2, 0, 3])
maps = np.random.default_rng(6).integers(0, 4, (7, 2, 3))
weights = random(4, low=0.2, high=2.0, seed=7)
x = random(7, 5, seed=1)


def twins(name, *arguments, dtype="float64", **options):
    """The module on both wings, with torch's initial values moved off zero, in one dtype."""
    theirs = getattr(torch.nn, name)(
        *arguments, **{k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    ).to(getattr(torch, dtype))
    mine = getattr(nn, name)(*arguments, **options).to(np.dtype(dtype))
    assert list(mine.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert mine.state_dict()[key].shape == tuple(value.shape)
    mine.load_state_dict({key: value.numpy().copy() for key, value in theirs.state_dict().items()})
    return mine, theirs


def assert_parameters_agree(mine, theirs, bound=1e-12):
    compared = 0
    for (key, a), (other, b) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        assert key == other
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            assert_close(a.grad, b.grad.numpy(), bound, key)
            compared += 1
    assert compared


# -- linear cross entropy ------------------------------------------------------------------------------------------------

LINEAR = {
    "plain": ({}, labels), "bias": ({"bias": True}, labels), "weight": ({"weight": weights, "reduction": "sum"}, labels),
    "places": ({"out_features": (2, 3), "bias": True, "reduction": "none"}, maps), "ignored class": ({"ignore_index": 3}, labels),
    "smooth": ({"ignore_index": 1, "label_smoothing": 0.2}, labels), "weighted places": ({"out_features": (2, 3), "weight": weights}, maps),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cut", [None, {}, {"batch_chunk_size": 2}], ids=["whole", "auto", "two rows"])
@pytest.mark.parametrize("kind", LINEAR)
def test_linear_cross_entropy(kind, cut, dtype):
    options, target = LINEAR[kind]
    mine, theirs = twins("LinearCrossEntropyLoss", 5, 4, dtype=dtype, **options)
    if cut is not None:
        mine.options, theirs.options = (wing.LinearCrossEntropyOptions(**cut) for wing in (nn, torch.nn))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check(mine, theirs, [x], dtype, [target], factor=4)
    assert_parameters_agree(mine, theirs, 1e-12 if dtype == "float64" else 1e-5)
    assert repr(mine) == repr(theirs)


def test_linear_cross_entropy_takes_torchs_keywords():
    mine, theirs = (inspect.signature(wing.LinearCrossEntropyLoss.__init__).parameters for wing in (nn, torch.nn))
    assert [(p.name, p.kind, p.default) for p in mine.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]


@pytest.mark.parametrize(
    "options", [{"weight": np.ones(3)}, {"label_smoothing": 1.2}, {"label_smoothing": -0.1}], ids=str
)
def test_linear_cross_entropy_refuses_what_torch_refuses(options):
    with pytest.raises(RuntimeError) as expected:
        torch.nn.LinearCrossEntropyLoss(
            5, 4, **{k: torch.tensor(v) if k == "weight" else v for k, v in options.items()}
        )
    with pytest.raises(RuntimeError) as found:
        nn.LinearCrossEntropyLoss(5, 4, **options)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    ("options", "target", "expected"),
    [({}, labels, 7), ({"ignore_index": 1}, labels, 5), ({"weight": weights}, labels, weights[labels].sum()),
     ({"out_features": (2, 3)}, maps, 42), ({"out_features": (2, 3), "ignore_index": 1}, maps, (maps != 1).sum()),
     ({}, np.full((7, 4), 0.25), 7), ({"out_features": (2, 3)}, np.full((7, 4, 2, 3), 0.25), 42)],
    ids=["rows", "counted", "weights", "places", "counted places", "probabilities", "probabilities at places"],
)  # fmt: skip
def test_linear_cross_entropy_knows_what_its_mean_divides_by(options, target, expected):
    loss = nn.LinearCrossEntropyLoss(5, 4, dtype=np.float64, **options)
    assert loss.denominator(x, target) == pytest.approx(expected, rel=1e-14)
    mean = loss(manual.tensor(x), target).item()
    loss.reduction = "sum"
    assert mean == pytest.approx(loss(manual.tensor(x), target).item() / expected, rel=1e-13)


def test_linear_cross_entropy_starts_as_a_linear_layer():
    manual.manual_seed(3)
    loss = nn.LinearCrossEntropyLoss(100, 50, out_features=(4,), bias=True)
    assert loss.linear.weight.shape == (200, 100)
    for parameter in loss.parameters():
        assert parameter.dtype == np.float32
        assert np.abs(parameter.data).max() == pytest.approx(0.1, rel=0.02)


# -- CTC -----------------------------------------------------------------------------------------------------------------

log_probs = np.log(random(9, 3, 5, low=0.1, high=1.0, seed=2))
log_probs -= np.log(np.exp(log_probs).sum(-1, keepdims=True))
sequences, inputs, lengths = np.array([[1, 2, 2], [3, 4, 1], [4, 4, 0]]), np.array([9, 2, 7]), np.array([3, 3, 2])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"blank": 0, "reduction": "sum"}, {"zero_infinity": True}, {"reduction": "none"}], ids=str
)
def test_ctc(options, training, dtype):
    mine, theirs = nn.CTCLoss(**options), torch.nn.CTCLoss(**options)
    mine.train(training)
    theirs.train(training)
    check(mine, theirs, [log_probs], dtype, [sequences, inputs, lengths], factor=4)
    mine.reduction = theirs.reduction = "none"
    mine.blank = theirs.blank = 1
    mine.zero_infinity = theirs.zero_infinity = True
    check(mine, theirs, [log_probs], dtype, [sequences, inputs, lengths], factor=4)
    assert repr(mine) == repr(theirs) == "CTCLoss()"


def test_ctc_averages_over_sequences():
    loss = nn.CTCLoss()
    parts = [slice(0, 2), slice(2, 3)]
    long = np.full(3, 9)
    values = [loss(manual.tensor(log_probs[:, p]), sequences[p], long[p], lengths[p]).item() for p in parts]
    shares = [loss.denominator(log_probs[:, p], sequences[p]) for p in parts]
    assert shares == [2.0, 1.0]
    assert loss.denominator(log_probs[:, 0], sequences[0]) == 1.0
    whole = loss(manual.tensor(log_probs), sequences, long, lengths).item()
    assert math.fsum(s * v for s, v in zip(shares, values, strict=True)) / 3 == pytest.approx(whole, rel=1e-14)


# -- NLLLoss2d -----------------------------------------------------------------------------------------------------------


def test_nllloss2d_is_nllloss_under_an_old_name():
    with pytest.warns(FutureWarning, match="`NLLLoss2d` has been deprecated. Please use `NLLLoss` instead"):
        mine = nn.NLLLoss2d(weights, ignore_index=2, reduction="none")
    with pytest.warns(FutureWarning, match="`NLLLoss2d` has been deprecated. Please use `NLLLoss` instead"):
        theirs = torch.nn.NLLLoss2d(torch.tensor(weights), ignore_index=2, reduction="none")
    check(mine, theirs, [random(7, 4, 2, 3, seed=5)], "float64", [maps])
    assert isinstance(mine, nn.NLLLoss)
    assert repr(mine) == repr(theirs)
    assert mine.denominator(np.zeros((7, 4, 2, 3)), maps) == pytest.approx(weights[maps[maps != 2]].sum())


# -- adaptive log-softmax ------------------------------------------------------------------------------------------------

ADAPTIVE = [
    ((8, 20, [4, 9, 15]), {}), ((8, 20, [4, 9, 15]), {"div_value": 2.0, "head_bias": True}), ((8, 20, (19,)), {"div_value": 1.0}),
    ((8, 20, [1]), {"head_bias": True}), ((6, 12, [2, 3, 5]), {"div_value": 1.5}),
]  # fmt: skip
TARGETS = {"all clusters": np.array([0, 5, 11, 3, 2, 9, 4]), "shortlist": np.zeros(7, int), "last": np.full(7, 11)}


def unpacked(module):
    def call(input, target):
        found = module(input, target)
        assert type(found).__name__ == "_ASMoutput"
        assert found._fields == ("output", "loss")
        return found.output, found.loss

    return call


@pytest.mark.filterwarnings("ignore:Initializing zero-element:UserWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("arguments", "options"), ADAPTIVE, ids=str)
def test_adaptive_log_softmax(arguments, options, target, dtype):
    mine, theirs = twins("AdaptiveLogSoftmaxWithLoss", *arguments, dtype=dtype, **options)
    rows = random(7, arguments[0], seed=3)
    gradients, seeds = check(unpacked(mine), unpacked(theirs), [rows], dtype, [TARGETS[target]], factor=4)
    assert_parameters_agree(mine, theirs, 1e-11 if dtype == "float64" else 1e-5)
    assert repr(mine) == repr(theirs)
    if dtype == "float64":
        check_central(unpacked(mine), [rows], gradients, seeds, [TARGETS[target]])


@pytest.mark.filterwarnings("ignore:Initializing zero-element:UserWarning")
@pytest.mark.parametrize(("arguments", "options"), ADAPTIVE, ids=str)
def test_adaptive_log_probabilities_and_predictions(arguments, options):
    mine, theirs = twins("AdaptiveLogSoftmaxWithLoss", *arguments, **options)
    rows = 6 * random(40, arguments[0], seed=4)
    check(mine.log_prob, theirs.log_prob, [rows], factor=4)
    assert_parameters_agree(mine, theirs, 1e-11)
    found, expected = mine.predict(manual.tensor(rows)), theirs.predict(torch.tensor(rows))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found.data, expected.numpy())
    np.testing.assert_array_equal(found.data, mine.log_prob(manual.tensor(rows)).data.argmax(1))
    np.testing.assert_allclose(np.exp(mine.log_prob(manual.tensor(rows)).data).sum(1), 1, rtol=1e-12)


def test_adaptive_predictions_are_asked_of_tails_only_where_the_head_says_so():
    module = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 9], div_value=2.0, head_bias=True).double()
    asked = []
    for tail in module.tail:
        tail.register_forward_hook(lambda module, args, output: asked.append(len(args[0].data)))
    rows = manual.tensor(random(50, 8, seed=6))
    module.head.bias.data[4:] = 1.0
    best = module.predict(rows).data
    assert 0 < (best >= 4).sum() <= asked[0] < 50
    asked.clear()
    module.head.bias.data[:4] = 50.0
    assert (module.predict(rows).data < 4).all()
    assert not asked


def test_adaptive_rows_reach_their_own_tail_only():
    module = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 9], div_value=2.0)
    module(manual.tensor(random(3, 8, seed=1).astype(np.float32)), np.array([0, 5, 6])).loss.backward()
    assert module.tail[0][0].weight.grad.any()
    assert module.tail[1][0].weight.grad is None


@pytest.mark.parametrize("target", [2, 7, 19])
def test_adaptive_log_softmax_of_one_row(target):
    mine, theirs = twins("AdaptiveLogSoftmaxWithLoss", 8, 20, [4, 9], div_value=2.0)
    check(unpacked(mine), unpacked(theirs), [random(8, seed=2)], "float64", [np.array(target)], factor=4)
    assert_parameters_agree(mine, theirs)


def test_adaptive_log_softmax_of_no_row():
    mine, theirs = twins("AdaptiveLogSoftmaxWithLoss", 8, 20, [4, 9], div_value=2.0)
    found, expected = (wing(make(np.zeros((0, 8))), make(np.zeros(0, int))) for wing, make in ((mine, manual.tensor), (theirs, torch.tensor)))  # fmt: skip
    assert found.output.shape == tuple(expected.output.shape) == (0,)
    assert math.isnan(found.loss.item()) == math.isnan(expected.loss.item()) is True
    assert mine.predict(manual.tensor(np.zeros((0, 8)))).shape == (0,)


def test_adaptive_log_softmax_divides_by_rows():
    module = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 9], div_value=2.0).double()
    rows, target = random(7, 8, seed=2), TARGETS["all clusters"]
    assert module.denominator(rows, target) == 7.0
    found = module(manual.tensor(rows), target)
    assert found.loss.item() == pytest.approx(-found.output.data.sum() / 7, rel=1e-14)


def test_adaptive_parameters_start_as_linear_layers_and_start_again():
    manual.manual_seed(1)
    module = nn.AdaptiveLogSoftmaxWithLoss(64, 500, [50, 200], head_bias=True)
    bounds = {
        "head.weight": 64,
        "head.bias": 64,
        "tail.0.0.weight": 64,
        "tail.0.1.weight": 16,
        "tail.1.0.weight": 64,
        "tail.1.1.weight": 4,
    }
    for round_ in range(2):
        for name, parameter in module.named_parameters():
            assert np.abs(parameter.data).max() == pytest.approx(
                bounds[name] ** -0.5, rel=0.1 if "bias" in name else 0.03
            )
        if not round_:
            for parameter in module.parameters():
                parameter.data[...] = 9.0
            module.reset_parameters()


@pytest.mark.parametrize("cutoffs", [[], [0, 2], [2, 2], [3, 2], [20], [2, 9.5], [-1, 3]], ids=str)
def test_cutoffs_that_are_no_cutoffs_are_refused_in_torchs_words(cutoffs):
    with pytest.raises(ValueError) as expected:  # noqa: PT011
        torch.nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs)
    with pytest.raises(ValueError) as found:  # noqa: PT011
        nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    ("rows", "target"),
    [((3, 8), [0, 3, 20]), ((3, 8), [0, -1, 2]), ((3, 8), [0, 3]), ((3, 8), [[0], [1], [2]]), ((1, 3, 8), [0]), ((3, 8), 1),
     ((8,), [3])],
    ids=str,
)  # fmt: skip
def test_adaptive_targets_that_do_not_fit_are_refused_in_torchs_words(rows, target):
    mine, theirs = twins("AdaptiveLogSoftmaxWithLoss", 8, 20, [4, 9], div_value=2.0)
    with pytest.raises(RuntimeError) as expected:
        theirs(torch.zeros(rows, dtype=torch.float64), torch.tensor(target))
    with pytest.raises(RuntimeError) as found:
        mine(manual.tensor(np.zeros(rows)), np.array(target))
    assert str(found.value).replace("(1, 3, 8)", "torch.Size([1, 3, 8])").replace("(3, 8)", "torch.Size([3, 8])") == str(expected.value)  # fmt: skip


def test_adaptive_classes_that_are_no_integers_are_refused():
    with pytest.raises(RuntimeError, match="expected target dtype to be an integer dtype, but got float64"):
        nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4])(manual.tensor(np.zeros((2, 8), np.float32)), np.zeros(2))
