"""CTC against PyTorch, against the sum over all paths, and against central differences."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual import rules
from manual.nn import functional
from manual.rules import losses

from ...oracle import check, random
from .differences import assert_derivatives, derivative

REDUCTIONS = ["none", "mean", "sum"]
TIMES, BATCH, CLASSES = 9, 4, 5


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


logits = random(TIMES, BATCH, CLASSES, seed=1)
log_probs = log_softmax(logits)
padded = np.array([[1, 2, 2, 4], [3, 3, 3, 1], [2, 4, 1, 3], [4, 4, 4, 4]])
target_lengths = np.array([3, 4, 1, 2])
joined = np.concatenate([row[:length] for row, length in zip(padded, target_lengths, strict=True)])
full, shorter = np.full(BATCH, TIMES), np.array([9, 8, 5, 6])


def against_torch(x, targets, inputs, lengths, dtype="float64", factor=2.0, **options):
    def theirs(log_probs):
        as_tensors = [torch.tensor(value) for value in (targets, inputs, lengths)]
        return F.ctc_loss(log_probs, *as_tensors, **options)

    return check(lambda y: functional.ctc_loss(y, targets, inputs, lengths, **options), theirs, [x], dtype, (), None, factor)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("inputs", [full, shorter], ids=["full", "shorter"])
@pytest.mark.parametrize("targets", [padded, joined], ids=["padded", "joined"])
def test_padded_and_joined_targets(targets, inputs, reduction, dtype):
    against_torch(log_probs, targets, inputs, target_lengths, dtype, reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_what_is_no_log_probability_gets_the_gradient_that_torch_gives_it(reduction):
    against_torch(logits - 1.0, padded, shorter, target_lengths, reduction=reduction)


@pytest.mark.parametrize("blank", [0, 2, 4])
def test_any_class_may_be_the_blank(blank):
    against_torch(log_probs, (padded + blank) % CLASSES, full, target_lengths, blank=blank, reduction="none")


def test_a_blank_among_the_labels_is_one_more_place_for_a_blank():
    against_torch(
        log_probs, np.array([[0, 1, 2], [3, 0, 1], [0, 0, 4], [1, 0, 2]]), full, np.full(4, 3), reduction="none"
    )


def test_a_blank_as_the_last_label_keeps_the_posterior_whole_where_torch_loses_some_of_it():
    targets, length = np.array([[1, 0]]), np.array([2])
    mine, theirs = (
        manual.tensor(log_probs[:, :1], requires_grad=True),
        torch.tensor(log_probs[:, :1], requires_grad=True),
    )
    value = functional.ctc_loss(mine, targets, full[:1], length, reduction="sum")
    expected = F.ctc_loss(theirs, *map(torch.tensor, (targets, full[:1], length)), reduction="sum")
    value.backward()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(mine.grad[:-1], theirs.grad.numpy()[:-1], rtol=1e-11)
    np.testing.assert_allclose(mine.grad[-1].sum(), 0, atol=1e-14)
    assert theirs.grad[-1].sum() > 0.01


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("targets", [padded[0, :3], padded[:1]], ids=["1d", "2d"])
def test_one_sequence_without_a_batch(targets, reduction):
    against_torch(log_probs[:, 0], targets, np.array(8), np.array(3), reduction=reduction)
    against_torch(log_probs[:, 0], targets, np.array([8]), np.array([3]), reduction=reduction)


def test_a_batch_of_one_keeps_its_axis():
    against_torch(log_probs[:, :1], padded[:1], full[:1], target_lengths[:1], reduction="none")


@pytest.mark.parametrize("kind", [list, tuple, np.array, manual.tensor], ids=lambda kind: kind.__name__)
def test_lengths_of_every_kind(kind):
    expected = losses.ctc_loss(log_probs, padded, shorter, target_lengths)[0]
    assert (
        functional.ctc_loss(log_probs, padded, kind(shorter.tolist()), kind(target_lengths.tolist())).item() == expected
    )


@pytest.mark.parametrize("dtype", [np.int32, np.int16, np.uint8, np.float64])
def test_targets_of_every_kind(dtype):
    expected = losses.ctc_loss(log_probs, padded, shorter, target_lengths)[0]
    assert losses.ctc_loss(log_probs, padded.astype(dtype), shorter, target_lengths)[0] == expected


def test_padding_may_hold_anything():
    rubbish = padded.copy()
    rubbish[0, 3], rubbish[2, 1:], rubbish[3, 2:] = -1, 99, -100
    for reduction in REDUCTIONS:
        expected = losses.ctc_loss(log_probs, padded, full, target_lengths, reduction=reduction)[0]
        found = losses.ctc_loss(log_probs, rubbish, full, target_lengths, reduction=reduction)[0]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rubbish", [math.nan, -math.inf, math.inf, 7.0])
def test_what_comes_after_the_end_of_an_input_does_not_count(rubbish):
    spoiled = log_probs.copy()
    for sequence, length in enumerate(shorter):
        spoiled[length:, sequence] = rubbish
    (gradient,), _ = against_torch(spoiled, padded, shorter, target_lengths, reduction="none")
    assert not gradient[8:, 1].any()
    assert gradient[:8, 1].all()


# -- independent of torch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [(), (1,), (1, 2), (2, 2), (1, 2, 1), (1, 1, 1), (2, 1, 1, 2)], ids=str)
@pytest.mark.parametrize("times", [1, 3, 4])
def test_the_likelihood_is_that_of_all_paths_that_spell_the_target(times, target):
    x = log_softmax(random(times, 1, 3, seed=4))
    total = 0.0
    for path in itertools.product(range(3), repeat=times):
        merged = [label for label, _ in itertools.groupby(path)]
        if tuple(label for label in merged if label) == target:
            total += math.exp(sum(x[time, 0, label] for time, label in enumerate(path)))
    value = losses.ctc_loss(x, np.array([target], int), [times], [len(target)], reduction="sum")[0]
    assert math.exp(-value) == pytest.approx(total, rel=1e-13)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("targets", "inputs"), [(padded, full), (joined, shorter)], ids=["padded", "joined"])
def test_the_gradient_of_the_logits_is_the_derivative(targets, inputs, reduction):
    x = logits.astype(np.longdouble)

    def loss(logits):
        return losses.ctc_loss(log_softmax(logits), targets, inputs, target_lengths, reduction=reduction)[0]

    y, log_softmax_pullback = rules.log_softmax(x, dim=2)
    value, pullback = losses.ctc_loss(y, targets, inputs, target_lengths, reduction=reduction)
    seed = random(*np.shape(value), seed=5).astype(np.longdouble)
    gradient, *_ = pullback(seed, (True, False, False, False))
    assert_derivatives(loss, [x], log_softmax_pullback(gradient, (True,)), seed)


def test_the_gradient_of_log_probabilities_has_the_probabilities_added_as_in_torch():
    x = (logits - 1.0).astype(np.longdouble)
    value, pullback = losses.ctc_loss(x, padded, full, target_lengths, reduction="none")
    seed = random(*value.shape, seed=6).astype(np.longdouble)
    gradient, *_ = pullback(seed, (True, False, False, False))
    direction = random(*x.shape, seed=8).astype(np.longdouble)

    def loss(x):
        return losses.ctc_loss(x, padded, full, target_lengths, reduction="none")[0]

    measured = derivative(loss, [x], 0, direction, seed)
    added = np.exp(x) * seed[:, None]
    assert np.sum((gradient - added) * direction) == pytest.approx(measured, rel=1e-9)
    assert np.sum(gradient * direction) != pytest.approx(measured, rel=1e-2)


def test_a_posterior_sums_to_one():
    _, pullback = losses.ctc_loss(log_probs, padded, shorter, target_lengths, reduction="none")
    gradient, *_ = pullback(np.ones(BATCH), (True, False, False, False))
    posterior = np.exp(log_probs) - gradient
    for sequence, length in enumerate(shorter):
        np.testing.assert_allclose(posterior[:length, sequence].sum(-1), 1, rtol=1e-13)


def test_a_wrong_skip_would_be_seen():
    """Two equal labels need a blank between them: without that rule, three steps would do for (1, 1, 1)."""
    value = losses.ctc_loss(log_probs[:4, :1], np.array([[1, 1, 1]]), [4], [3], reduction="none")[0]
    assert np.isinf(value)
    assert np.isfinite(losses.ctc_loss(log_probs[:4, :1], np.array([[1, 2, 1]]), [4], [3], reduction="none")[0])


# -- the ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_target_too_long_for_its_input(reduction, zero_infinity):
    inputs = np.array([2, 9, 9, 1])
    options = {"reduction": reduction, "zero_infinity": zero_infinity}
    (gradient,), _ = against_torch(log_probs, padded, inputs, target_lengths, **options)
    assert np.isnan(gradient[:2, 0]).all() != zero_infinity
    assert np.isfinite(gradient[2:, 0]).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("inputs", "lengths"),
    [([9, 9, 9, 9], [0, 4, 0, 2]), ([9, 9, 9, 9], [0, 0, 0, 0]), ([9, 0, 0, 9], [3, 0, 1, 2]), ([0, 0, 0, 0], [0, 0, 0, 0])],
)  # fmt: skip
def test_empty_targets_and_inputs(inputs, lengths, reduction):
    against_torch(log_probs, padded, np.array(inputs), np.array(lengths), reduction=reduction)


def test_a_class_of_probability_zero_gets_no_gradient_where_torch_answers_nan():
    x = log_probs.copy()
    x[3, 0, 4] = -np.inf
    mine, theirs = manual.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    arguments = padded, full, target_lengths
    functional.ctc_loss(mine, *arguments, reduction="sum").backward()
    F.ctc_loss(theirs, *map(torch.tensor, arguments), reduction="sum").backward()
    expected = theirs.grad.numpy()
    assert np.isnan(expected[3, 0, 4])
    assert mine.grad[3, 0, 4] == 0
    expected[3, 0, 4] = 0
    np.testing.assert_allclose(mine.grad, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_probabilities_far_below_the_smallest_number(dtype):
    times = 400
    x = log_softmax(8 * random(times, 2, 6, seed=9))
    targets = np.random.default_rng(3).integers(1, 6, (2, 60))
    (gradient,), _ = against_torch(
        x, targets, np.array([400, 350]), np.array([60, 45]), dtype, factor=30, reduction="none"
    )
    assert np.isfinite(gradient).all()
    assert losses.ctc_loss(x, targets, [400, 350], [60, 45], reduction="none")[0].min() > 800  # exp(-800) is 0


# -- the contract --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_dtypes_are_kept(reduction, dtype):
    x = manual.tensor(log_probs.astype(dtype), requires_grad=True)
    for inputs in (shorter, np.array([0, 9, 9, 9])):
        x.grad = None
        loss = functional.ctc_loss(x, padded, inputs, np.array([0, 4, 1, 2]), reduction=reduction)
        assert loss.dtype == dtype
        loss.backward(np.full(loss.shape, 0.3, dtype))
        assert x.grad.dtype == dtype
        wide = manual.tensor(log_probs, requires_grad=True)
        functional.ctc_loss(wide, padded, inputs, np.array([0, 4, 1, 2]), reduction=reduction).backward(
            np.full(loss.shape, 0.3)
        )
        np.testing.assert_allclose(np.asarray(x.grad, float), wide.grad, atol=6e-3 if dtype == np.float16 else 1e-5)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, lambda a: a[::-1][::-1], lambda a: np.repeat(a, 2, 2)[..., ::2]])  # fmt: skip
def test_nothing_is_written_to_and_the_layout_does_not_matter(layout, reduction):
    arrays = [layout(log_probs), padded.copy(), shorter.copy(), target_lengths.copy()]
    for array in arrays:
        array.flags.writeable = False
    value, pullback = losses.ctc_loss(*arrays, reduction=reduction)
    assert pullback.__name__ == "ctc_loss_pullback"
    incoming = np.asarray(random(*np.shape(value), seed=3))
    incoming.flags.writeable = False
    first, *rest = pullback(incoming, (True, False, False, False))
    assert rest == [None, None, None]
    kept = first.copy()
    first[...] = 77
    again, *_ = pullback(incoming, (True, False, False, False))
    np.testing.assert_array_equal(again, kept)
    plain, plain_pullback = losses.ctc_loss(log_probs, padded, shorter, target_lengths, reduction=reduction)
    np.testing.assert_array_equal(plain, value)
    np.testing.assert_allclose(plain_pullback(incoming, (True,) + 3 * (False,))[0], kept, rtol=1e-13, atol=1e-15)


# -- errors --------------------------------------------------------------------------------------------------------------

REFUSED = {
    "input too long": ((log_probs, padded, full + 1, target_lengths), {}, "Expected input_lengths to have value at most 9, but got value 10"),
    "negative input": ((log_probs, padded, full - 10, target_lengths), {}, "Expected input_lengths to have value at least 0, but got value -1"),
    "negative target": ((log_probs, padded, full, target_lengths - 2), {}, "Expected target_lengths to have value at least 0, but got value -1"),
    "target too long": ((log_probs, padded, full, target_lengths + 1), {}, "Expected tensor to have size at least 5 at dimension 1, but got size 4 for argument #2 'targets'"),
    "joined too short": ((log_probs, joined[1:], full, target_lengths), {}, "Expected tensor to have size 10 at dimension 0, but got size 9 for argument #2 'targets'"),
    "target rows": ((log_probs, padded[1:], full, target_lengths), {}, "Expected tensor to have size 4 at dimension 0, but got size 3 for argument #2 'targets'"),
    "target rank": ((log_probs, padded[None], full, target_lengths), {}, "Expected 1 to 2 dimensions, but got 3-dimensional tensor for argument #2 'targets'"),
    "inputs": ((log_probs, padded, full[1:], target_lengths), {}, "input_lengths must be of size batch_size"),
    "lengths": ((log_probs, padded, full, target_lengths[1:]), {}, "target_lengths must be of size batch_size"),
    "float inputs": ((log_probs, padded, full * 1.0, target_lengths), {}, "input_lengths must be integral"),
    "float lengths": ((log_probs, padded, full, target_lengths * 1.0), {}, "target_lengths must be integral"),
    "blank": ((log_probs, padded, full, target_lengths), {"blank": 5}, "blank must be in label range"),
    "negative blank": ((log_probs, padded, full, target_lengths), {"blank": -1}, "blank must be in label range"),
    "empty": ((log_probs[:, :0], padded[:0], full[:0], target_lengths[:0]), {}, "log_probs tensor must not be empty"),
    "reduction": ((log_probs, padded, full, target_lengths), {"reduction": "avg"}, "avg is not a valid value for reduction"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_torch_refuses_is_refused_in_its_words(wrong):
    arguments, options, message = REFUSED[wrong]
    with pytest.raises(Exception) as expected:  # noqa: PT011
        F.ctc_loss(*map(torch.tensor, arguments), **options)
    with pytest.raises(type(expected.value)) as found:
        functional.ctc_loss(*arguments, **options)
    assert type(found.value) is type(expected.value)
    assert str(found.value) == message
    assert str(expected.value).startswith(message)


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 5)], ids=str)
def test_scores_of_another_rank_are_refused(shape):
    message = f"Expected 3-dimensional tensor, but got {len(shape)}-dimensional tensor for argument #1 'log_probs'"
    with pytest.raises(RuntimeError, match=message):
        functional.ctc_loss(np.zeros(shape), padded, full, target_lengths)
    with pytest.raises(RuntimeError, match="Expected 3-dimensional tensor"):
        F.ctc_loss(torch.zeros(shape), *map(torch.tensor, (padded, full, target_lengths)))


@pytest.mark.parametrize("label", [5, -1])
def test_a_label_that_is_no_class_is_refused_though_torch_reads_past_its_array(label):
    wrong = padded.copy()
    wrong[1, 0] = label
    with pytest.raises(RuntimeError, match=f"Expected targets to lie between 0 and 4, but got {label}"):
        functional.ctc_loss(log_probs, wrong, full, target_lengths)
