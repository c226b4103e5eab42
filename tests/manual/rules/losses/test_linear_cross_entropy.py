"""Linear cross entropy, in one piece and in chunks, against PyTorch and against central differences."""

import sys
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual import nn
from manual.nn import functional
from manual.rules import losses

from ...oracle import assert_close, check, random
from .differences import assert_derivatives

REDUCTIONS = ["none", "mean", "sum"]
ROWS, FEATURES, CLASSES = 7, 5, 4
x, w, b = random(ROWS, FEATURES, seed=1), random(CLASSES, FEATURES, seed=2), random(CLASSES, seed=3)
wide_w, wide_b = random(CLASSES, 2, 3, FEATURES, seed=4), random(CLASSES, 2, 3, seed=5)
labels, some_ignored = np.array([0, 3, 1, 1, 2, 0, 3]), np.array([-100, 3, 1, -100, 2, 0, -100])
maps = np.random.default_rng(6).integers(0, CLASSES, (ROWS, 2, 3))
class_weights = random(CLASSES, low=0.2, high=2.0, seed=7)


def distribution(*shape, seed):
    values = np.exp(random(*shape, seed=seed))
    return values / values.sum(1, keepdims=True)


soft, wide_soft = distribution(ROWS, CLASSES, seed=8), distribution(ROWS, CLASSES, 2, 3, seed=9)

CASES = {  # weight of the map, its bias, target, options
    "classes": (w, None, labels, {}),
    "bias": (w, b, labels, {}),
    "weight": (w, b, labels, {"weight": class_weights}),
    "ignored": (w, b, some_ignored, {}),
    "ignored and weighted": (w, None, some_ignored, {"weight": class_weights}),
    "ignored class": (w, b, labels, {"ignore_index": 1}),
    "smooth": (w, b, labels, {"label_smoothing": 0.2}),
    "smooth, ignored and weighted": (w, b, some_ignored, {"label_smoothing": 0.2, "weight": class_weights}),
    "probabilities": (w, b, soft, {}),
    "weighted and smooth probabilities": (w, None, soft, {"weight": class_weights, "label_smoothing": 0.1}),
    "places": (wide_w, None, maps, {}),
    "places with bias": (wide_w, wide_b, maps, {"weight": class_weights, "ignore_index": 2}),
    "places, smooth": (wide_w, wide_b, maps, {"label_smoothing": 0.3}),
    "probabilities at places": (wide_w, wide_b, wide_soft, {"weight": class_weights}),
}
CHUNKS = {"whole": {}, "two rows": {"batch_chunk_size": 2}, "aspect": {"chunking_method": "aspect_ratio:2"}}


def run_torch(input, weight, target, bias, options, chunks):
    options = {k: torch.tensor(v, dtype=input.dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    cut = torch.nn.LinearCrossEntropyOptions(allow_retain_graph=True, **chunks) if chunks else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that chunks are ignored
        return F.linear_cross_entropy(input, weight, target, linear_bias=bias, options=cut, **options)


def against_torch(kind, chunks, dtype="float64", rows=slice(None), **more):
    weight, bias, target, options = CASES[kind]
    target, input = target[rows], x[rows]
    options = {**options, **more}
    cast = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    cut = nn.LinearCrossEntropyOptions(**chunks) if chunks else None
    floating = target.dtype.kind == "f"
    inputs = [input, weight, *([target] if floating else []), *([] if bias is None else [bias])]

    def unpacked(function):
        def call(input, weight, *rest):
            rest = list(rest)
            of_target = rest.pop(0) if floating else None
            return function(input, weight, of_target, rest[0] if bias is not None else None)

        return call

    return check(
        unpacked(lambda i, m, t, c: functional.linear_cross_entropy(i, m, target if t is None else t, linear_bias=c, options=cut, **cast)),
        unpacked(lambda i, m, t, c: run_torch(i, m, torch.tensor(target) if t is None else t, c, options, chunks)),
        inputs, dtype, factor=2,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("kind", CASES)
def test_in_one_piece_and_in_chunks(kind, chunks, reduction, dtype):
    against_torch(kind, CHUNKS[chunks], dtype, reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("kind", [kind for kind in CASES if "place" not in kind])
def test_one_row_without_a_batch(kind, chunks, reduction):
    against_torch(kind, CHUNKS[chunks], rows=1, reduction=reduction)


def test_one_row_takes_its_class_as_an_array_of_one():
    expected = functional.linear_cross_entropy(x[0], w, labels[0], reduction="none")
    assert expected.shape == ()
    assert functional.linear_cross_entropy(x[0], w, labels[:1], reduction="none").item() == expected.item()
    assert F.linear_cross_entropy(*map(torch.tensor, (x[0], w, labels[:1]))).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("size", [None, 1, 3, 7])
@pytest.mark.parametrize("kind", CASES)
def test_gradients_are_the_derivatives(kind, size, reduction):
    weight, bias, target, options = CASES[kind]
    arrays = [None if array is None else array.astype(np.longdouble) for array in (x, weight, None, bias)]
    arrays[2] = target.astype(np.longdouble) if target.dtype.kind == "f" else target
    cast = {k: v.astype(np.longdouble) if isinstance(v, np.ndarray) else v for k, v in options.items()}

    def loss(*arrays):
        return losses.linear_cross_entropy(*arrays, batch_chunk_size=size, reduction=reduction, **cast)

    value, pullback = loss(*arrays)
    seed = np.asarray(random(*np.shape(value), seed=10)).astype(np.longdouble)
    gradients = pullback(seed, (True, True, target.dtype.kind == "f", bias is not None))
    assert [gradient is None for gradient in gradients] == [False, False, target.dtype.kind != "f", bias is None]
    assert_derivatives(lambda *moved: loss(*moved)[0], arrays, gradients, seed)


# -- chunks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "expected"), [(None, [7]), (3, [3, 3, 1]), (7, [7]), (100, [7]), (1, [1] * 7)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_no_more_logits_exist_at_once_than_those_of_a_chunk(reduction, size, expected, monkeypatch):
    seen = []
    module = sys.modules[losses.linear_cross_entropy.__module__]
    inner = module.linear
    monkeypatch.setattr(module, "linear", lambda rows, *rest: seen.append(len(rows)) or inner(rows, *rest))
    value, pullback = losses.linear_cross_entropy(x, w, labels, batch_chunk_size=size, reduction=reduction)
    assert seen == expected
    pullback(np.ones(np.shape(value)), (True, True, False))
    assert seen == (expected if len(expected) == 1 else expected + expected)


@pytest.mark.parametrize("kind", CASES)
def test_chunks_change_nothing_but_the_order_of_summation(kind):
    weight, bias, target, options = CASES[kind]
    found = []
    for size in (None, 3):
        value, pullback = losses.linear_cross_entropy(x, weight, target, bias, batch_chunk_size=size, **options)
        found.append((value, *pullback(np.float64(0.7), (True, True, target.dtype.kind == "f", bias is not None))))
    for whole, cut in zip(*found, strict=True):
        if whole is not None:
            np.testing.assert_allclose(cut, whole, rtol=1e-12, atol=1e-15)


def test_a_graph_that_is_kept_can_be_walked_again():
    inputs = [manual.tensor(array, requires_grad=True) for array in (x, w)]
    cut = nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    loss = functional.linear_cross_entropy(*inputs, labels, options=cut)
    loss.backward(retain_graph=True)
    once = [tensor.grad.copy() for tensor in inputs]
    loss.backward()
    for tensor, gradient in zip(inputs, once, strict=True):
        np.testing.assert_allclose(tensor.grad, 2 * gradient, rtol=1e-15)


@pytest.mark.parametrize("size", [None, 3])
def test_where_no_row_counts_the_gradient_is_zero_with_and_without_chunks(size):
    nothing = np.full(ROWS, -100)
    value, pullback = losses.linear_cross_entropy(x, w, nothing, batch_chunk_size=size)
    assert np.isnan(value)
    assert not any(gradient.any() for gradient in pullback(np.float64(1), (True, True, False)) if gradient is not None)
    theirs = torch.tensor(x, requires_grad=True)
    chunks = {"batch_chunk_size": size} if size else {}
    run_torch(theirs, torch.tensor(w), torch.tensor(nothing), None, {}, chunks).backward()
    assert theirs.grad.isnan().all().item() == bool(size)
    assert theirs.grad.any().item() == bool(size)


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_an_empty_batch(reduction, size):
    value, pullback = losses.linear_cross_entropy(x[:0], w, labels[:0], b, reduction=reduction, batch_chunk_size=size)
    expected = F.linear_cross_entropy(*map(torch.tensor, (x[:0], w, labels[:0])), reduction=reduction)
    assert_close(value, expected.numpy(), 0, "value")
    to_input, to_weight, _, to_bias = pullback(np.ones_like(value), (True, True, False, True))
    assert (to_input.shape, to_weight.any(), to_bias.any()) == ((0, FEATURES), False, False)


def test_float16_is_accumulated_in_float32():
    generator = np.random.default_rng(11)
    big = generator.standard_normal((300, 40)).astype(np.float16)
    matrix = (0.3 * generator.standard_normal((50, 40))).astype(np.float16)
    target = generator.integers(0, 50, 300)
    exact = losses.linear_cross_entropy(big.astype(float), matrix.astype(float), target)
    gradients = exact[1](np.float64(1), (True, True, False))
    gaps = []
    for options in (nn.LinearCrossEntropyOptions(), nn.LinearCrossEntropyOptions(acc_policy="compact")):
        inputs = [manual.tensor(array, requires_grad=True) for array in (big, matrix)]
        loss = functional.linear_cross_entropy(*inputs, target, options=options)
        loss.backward()
        assert {loss.dtype, *(tensor.grad.dtype for tensor in inputs)} == {np.dtype(np.float16)}
        gap = np.abs(inputs[1].grad.astype(float) - gradients[1]).max() / np.abs(gradients[1]).max()
        gaps.append(gap)
    assert gaps[0] < 2**-11 < gaps[1]  # as close as float16 can be


# -- options -------------------------------------------------------------------------------------------------------------

GIVEN = [{}, {"batch_chunk_size": 3}, {"batch_chunk_size": 5000}, {"chunking_method": None}, {"chunking_method": "aspect_ratio"},
         {"chunking_method": "aspect_ratio:4"}, {"batch_chunk_size": 2, "chunking_method": None}]  # fmt: skip


@pytest.mark.parametrize("given", GIVEN, ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_chunks_have_the_size_that_torch_chooses(given, dtype):
    mine, theirs = nn.LinearCrossEntropyOptions(**given), torch.nn.LinearCrossEntropyOptions(**given)
    sizes = set()
    for rows in (1, 8, 100, 4096):
        for features in (1, 5, 768):
            for classes in (2, 50, 32000):
                adjusted = theirs._adjust(rows, features, classes, getattr(torch, dtype), torch.device("cpu"))
                size = mine.chunk_rows(rows, features, classes, np.dtype(dtype))
                assert size == adjusted.batch_chunk_size
                assert mine.working_dtype(np.dtype(dtype)) == np.dtype(str(adjusted.acc_dtype).removeprefix("torch."))
                sizes.add(size)
    assert len(sizes) > 1


@pytest.mark.parametrize("given", [*GIVEN, {"allow_retain_graph": True, "acc_policy": "accurate"}], ids=str)
def test_options_are_torchs_fields_and_cannot_be_changed(given):
    mine = nn.LinearCrossEntropyOptions(**given)
    assert repr(mine) == repr(torch.nn.LinearCrossEntropyOptions(**given))
    assert mine == nn.LinearCrossEntropyOptions(**given)
    with pytest.raises(AttributeError, match="cannot assign to field 'acc_policy'"):
        mine.acc_policy = "compact"


WRONG = [{"acc_policy": "x"}, {"chunking_method": "x"}, {"chunking_method": "aspect_ratio:0"}, {"chunking_method": "aspect_ratio:"},
         {"chunking_method": "aspect_ratio:x"}, {"batch_chunk_size": 0}, {"batch_chunk_size": -1}, {"batch_chunk_size": 2.0}]  # fmt: skip


@pytest.mark.parametrize("given", WRONG, ids=str)
def test_wrong_options_are_refused_in_torchs_words(given):
    with pytest.raises(ValueError) as expected:  # noqa: PT011
        torch.nn.LinearCrossEntropyOptions(**given)
    with pytest.raises(ValueError) as found:  # noqa: PT011
        nn.LinearCrossEntropyOptions(**given)
    assert str(found.value) == str(expected.value)


def test_dtypes_that_cannot_be_accumulated_in_are_refused():
    with pytest.raises(ValueError, match="acc_dtype must be None, float16, float32, float64 or longdouble"):
        nn.LinearCrossEntropyOptions(acc_dtype=np.int64)
    with pytest.raises(RuntimeError, match="supports float32 acc_dtype with float16 inputs, but got float32 acc_dtype"):
        functional.linear_cross_entropy(x, w, labels, options=nn.LinearCrossEntropyOptions(acc_dtype=np.float32))
    given = nn.LinearCrossEntropyOptions(acc_dtype=np.float64)
    assert functional.linear_cross_entropy(x, w, labels, options=given).dtype == np.float64


def test_a_size_and_a_method_that_disagree_are_refused():
    given = {"batch_chunk_size": 3, "chunking_method": "aspect_ratio"}
    with pytest.raises(ValueError, match="give different chunk sizes") as expected:
        F.linear_cross_entropy(*map(torch.tensor, (x, w, labels)), options=torch.nn.LinearCrossEntropyOptions(**given))
    with pytest.raises(ValueError, match="give different chunk sizes") as found:
        functional.linear_cross_entropy(x, w, labels, options=nn.LinearCrossEntropyOptions(**given))
    assert str(found.value) == str(expected.value)


# -- the contract --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("kind", ["bias", "probabilities", "places with bias"])
def test_nothing_is_written_to_and_nothing_is_computed_that_nobody_needs(kind, size):
    weight, bias, target, options = CASES[kind]
    arrays = [array.copy() for array in (x, weight, target, bias)]
    for array in arrays:
        array.flags.writeable = False
    value, pullback = losses.linear_cross_entropy(*arrays, batch_chunk_size=size, reduction="none", **options)
    assert pullback.__name__ == "linear_cross_entropy_pullback"
    incoming = random(*value.shape, seed=3)
    incoming.flags.writeable = False
    able = (True, True, target.dtype.kind == "f", True)
    first = pullback(incoming, able)
    for array, gradient in zip(arrays, first, strict=True):
        if gradient is not None:
            assert (gradient.shape, gradient.dtype) == (array.shape, array.dtype)
            assert not any(np.shares_memory(gradient, other) for other in [*arrays, value, incoming])
    for place in range(4):
        if able[place]:
            alone = pullback(incoming, tuple(other == place for other in range(4)))
            assert [gradient is not None for gradient in alone] == [other == place for other in range(4)]
            np.testing.assert_array_equal(alone[place], first[place])
            alone[place][...] = 77
    for one, again in zip(first, pullback(incoming, able), strict=True):
        if one is not None:
            np.testing.assert_array_equal(one, again)


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_dtypes_are_kept(dtype, reduction, size):
    inputs = [manual.tensor(array.astype(dtype), requires_grad=True) for array in (x, w)]
    loss = functional.linear_cross_entropy(
        *inputs,
        labels,
        weight=class_weights.astype(dtype),
        reduction=reduction,
        options=nn.LinearCrossEntropyOptions(batch_chunk_size=size) if size else None,
    )
    assert loss.dtype == dtype
    loss.backward(np.full(loss.shape, 0.3, dtype))
    value, pullback = losses.linear_cross_entropy(x, w, labels, weight=class_weights, reduction=reduction)
    expected = pullback(np.full(np.shape(value), 0.3), (True, True, False))
    for tensor, gradient in zip(inputs, expected[:2], strict=True):
        assert tensor.grad.dtype == dtype
        np.testing.assert_allclose(np.asarray(tensor.grad, float), gradient, rtol=2e-2, atol=4e-3)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_probabilities_of_another_dtype(reduction):
    arrays = x.astype(np.float32), w.astype(np.float32), soft
    mine = [manual.tensor(array, requires_grad=True) for array in arrays]
    theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    loss = functional.linear_cross_entropy(*mine, reduction=reduction)
    expected = F.linear_cross_entropy(*theirs, reduction=reduction)
    assert_close(loss.data, expected.detach().numpy(), 1e-6, "value")
    seed = np.asarray(random(*loss.shape, seed=3))
    loss.backward(seed)
    expected.backward(torch.tensor(seed))
    for tensor, other in zip(mine, theirs, strict=True):
        assert_close(tensor.grad, other.grad.numpy(), 1e-6, "gradient")


# -- errors --------------------------------------------------------------------------------------------------------------

REFUSED = {
    "input rank": ((x[None], w, labels), {}),
    "matrix rank": ((x, w[0], labels), {}),
    "features": ((x, w[:, :3], labels), {}),
    "bias": ((x, w, labels), {"linear_bias": np.ones(3)}),
    "no batch": ((x[0], w[:, None], labels[:1]), {}),
    "ignored probabilities": ((x, w, soft), {"ignore_index": -100}),
    "class": ((x, w, labels + 1), {}),
    "batch": ((x, w, labels[:4]), {}),
    "one class for a batch": ((x, w, labels[0]), {}),
    "two classes for one row": ((x[0], w, labels[:2]), {}),
    "places": ((x, wide_w[:, 0], maps[:, 0, :2]), {}),
    "weight": ((x, w, labels), {"weight": np.ones(3)}),
    "reduction": ((x, w, labels), {"reduction": "avg"}),
    "smoothing": ((x, w, labels), {"label_smoothing": 1.5}),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_torch_refuses_is_refused_in_its_words(wrong):
    arguments, options = REFUSED[wrong]
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    with pytest.raises(Exception) as expected:  # noqa: PT011
        F.linear_cross_entropy(*map(torch.tensor, arguments), **theirs)
    with pytest.raises(type(expected.value)) as found:
        functional.linear_cross_entropy(*arguments, **options)
    assert type(found.value) is type(expected.value)
    assert str(found.value) == str(expected.value)


def test_mixed_dtypes_are_refused():
    for arguments in ((x.astype(np.float32), w, labels), (x, w, labels, b.astype(np.float32))):
        with pytest.raises(RuntimeError, match="expected m1 and m2 to have the same dtype"):
            losses.linear_cross_entropy(*arguments)
