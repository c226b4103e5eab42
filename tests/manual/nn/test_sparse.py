"""Tables of vectors against torch, over their options."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual import nn
from manual.nn import functional

from ..oracle import assert_close, random
from .paired import agree, pair

table = 2 * random(6, 4, seed=1)
words = np.array([[1, 3, 1, 0], [5, 1, 3, 3]])
entries = np.array([3, 0, 4, 0, 1, 0, 2, 5])
starts = np.array([0, 3, 3, 5])
shares = random(8, seed=2)

# -- the table -------------------------------------------------------------------------------------------------------------

LOOKUPS = [
    {}, {"padding_idx": 3}, {"padding_idx": -1}, {"max_norm": 0.8}, {"max_norm": 0.8, "norm_type": 1.0},
    {"max_norm": 0.5, "norm_type": float("inf")}, {"max_norm": 1.0, "norm_type": 3.0, "padding_idx": 1}, {"max_norm": 2.5, "norm_type": 0.0},
    {"scale_grad_by_freq": True}, {"scale_grad_by_freq": True, "padding_idx": 1, "max_norm": 0.8},
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", LOOKUPS, ids=str)
def test_every_lookup(options, dtype):
    mine, theirs = pair("Embedding", 6, 4, dtype=dtype, **options)
    before = mine.weight.data.copy()
    agree(mine, theirs, words, dtype=dtype)
    assert_close(mine.weight.data, theirs.weight.detach().numpy(), 1e-6 if dtype == "float32" else 1e-14, "table")
    assert np.array_equal(before, mine.weight.data) == ("max_norm" not in options)
    np.testing.assert_array_equal(mine.weight.data[[2, 4]], before[[2, 4]])  # nobody looked those rows up
    assert repr(mine) == repr(theirs)


@pytest.mark.parametrize(
    "indices", [np.array(4), np.zeros((0, 3), dtype=int), words.astype(np.int32), words.T], ids=lambda i: str(i.shape)
)
def test_every_shape_of_indices(indices):
    mine, theirs = pair("Embedding", 6, 4)
    agree(mine, theirs, indices)


def test_an_array_is_as_good_as_a_tensor():
    layer = nn.Embedding(6, 4)
    np.testing.assert_array_equal(layer(words).data, layer.weight.data[words])
    np.testing.assert_array_equal(functional.embedding(words, layer.weight.data).data, layer.weight.data[words])


def test_the_gradient_is_dense_where_torchs_is_sparse():
    mine, theirs = pair("Embedding", 6, 4, sparse=True)
    seed = random(2, 4, 4)
    mine(manual.tensor(words)).backward(seed)
    theirs(torch.tensor(words)).backward(torch.tensor(seed))
    assert theirs.weight.grad.is_sparse
    assert_close(mine.weight.grad, theirs.weight.grad.to_dense().numpy(), 1e-14, "gradient")
    assert repr(mine) == repr(theirs)


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_initial_values(name):
    manual.manual_seed(0)
    weight = getattr(nn, name)(500, 40, padding_idx=7).weight.data
    assert not weight[7].any()
    assert weight.std() == pytest.approx(1, abs=0.02)
    assert weight.mean() == pytest.approx(0, abs=0.02)
    assert weight.dtype == np.float32
    assert getattr(nn, name)(5, 4, dtype=np.float64).weight.dtype == np.float64


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_a_table_that_is_given_is_kept(name):
    kind, reference = getattr(nn, name), getattr(torch.nn, name)
    rows = table.copy()
    frozen = kind.from_pretrained(rows, padding_idx=2)
    assert frozen.weight.data is rows
    assert frozen.weight.data[2].any()
    assert not frozen.weight.requires_grad
    trained = kind.from_pretrained(
        manual.tensor(rows), freeze=False, max_norm=3.0, norm_type=1.0, scale_grad_by_freq=True
    )
    assert trained.weight.requires_grad
    for mine, theirs in ((frozen, reference.from_pretrained(torch.tensor(rows), padding_idx=2)),
                         (trained, reference.from_pretrained(torch.tensor(rows), False, max_norm=3.0, norm_type=1.0, scale_grad_by_freq=True))):  # fmt: skip
        assert repr(mine) == repr(theirs)
        assert mine.weight.requires_grad == theirs.weight.requires_grad
    assert kind(6, 4, _weight=rows).weight.data is rows


def test_a_table_may_be_frozen_from_the_start():
    assert not nn.Embedding(6, 4, _freeze=True).weight.requires_grad


# -- bags ------------------------------------------------------------------------------------------------------------------

BAGS = [
    {},
    {"padding_idx": 0},
    {"padding_idx": -5},
    {"max_norm": 0.8},
    {"max_norm": 0.9, "norm_type": 1.0, "padding_idx": 0},
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("options", BAGS, ids=str)
def test_every_bag(options, mode, dtype):
    mine, theirs = pair("EmbeddingBag", 6, 4, mode=mode, dtype=dtype, **options)
    agree(mine, theirs, entries, starts, dtype=dtype)
    agree(mine, theirs, words, dtype=dtype)
    agree(mine, theirs, entries.astype(np.int32), starts.astype(np.int32), dtype=dtype)
    assert_close(mine.weight.data, theirs.weight.detach().numpy(), 1e-6 if dtype == "float32" else 1e-14, "table")
    assert repr(mine) == repr(theirs)
    mine, theirs = pair("EmbeddingBag", 6, 4, mode=mode, include_last_offset=True, dtype=dtype, **options)
    agree(mine, theirs, entries, np.array([0, 2, 2, 8]), dtype=dtype)
    agree(mine, theirs, words, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", [*BAGS, {"include_last_offset": True}], ids=str)
def test_weighted_bags(options, dtype):
    mine, theirs = pair("EmbeddingBag", 6, 4, mode="sum", dtype=dtype, **options)
    offsets = np.append(starts, 8) if "include_last_offset" in options else starts
    agree(mine, theirs, entries, offsets, shares, dtype=dtype)
    agree(mine, theirs, words, per_sample_weights=random(2, 4, seed=3), dtype=dtype)


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("padding_idx", [None, 0, 3])
def test_frequencies_divide_as_in_torch_while_only_the_largest_row_repeats(mode, padding_idx):
    mine, theirs = pair("EmbeddingBag", 6, 4, mode=mode, scale_grad_by_freq=True, padding_idx=padding_idx)
    agree(mine, theirs, np.array([3, 0, 1, 3, 3]), np.array([0, 2]))


def test_frequencies_divide_by_a_rows_own_where_torch_takes_anothers():
    weight = manual.tensor(table, requires_grad=True)
    reference = torch.tensor(table, requires_grad=True)
    bags = np.array([0, 1, 1, 2]), np.array([0])
    seed = random(1, 4, seed=4)
    functional.embedding_bag(bags[0], weight, bags[1], mode="sum", scale_grad_by_freq=True).backward(seed)
    F.embedding_bag(
        torch.tensor(bags[0]), reference, torch.tensor(bags[1]), mode="sum", scale_grad_by_freq=True
    ).backward(torch.tensor(seed))
    assert_close(
        weight.grad[:3], np.repeat(seed, 3, axis=0), 1e-15, "each row got its gradient once, over its own frequency"
    )
    assert_close(
        reference.grad.numpy()[2],
        seed[0] / 2,
        1e-15,
        "torch 2.13 divides row 2, seen once, by how often row 1 was seen",
    )


def test_an_argument_that_is_changed_takes_effect():
    mine, theirs = pair("EmbeddingBag", 6, 4)
    for module in (mine, theirs):
        module.mode, module.padding_idx = "max", 3
    agree(mine, theirs, words)
    mine, theirs = pair("Embedding", 6, 4)
    for module in (mine, theirs):
        module.padding_idx, module.scale_grad_by_freq = 3, True
    agree(mine, theirs, words)


# -- one-hot ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "classes", [np.array(2), np.array([0, 2, 2]), words, np.zeros((2, 0), dtype=int)], ids=lambda c: str(c.shape)
)
@pytest.mark.parametrize("count", [-1, 6, 9])
def test_one_hot(classes, count):
    if not classes.size and count == -1:
        count = 3
    actual, expected = functional.one_hot(manual.tensor(classes), count), F.one_hot(torch.tensor(classes), count)
    assert actual.dtype == np.int64
    np.testing.assert_array_equal(actual.data, expected.numpy())
    assert functional.one_hot(classes, count).shape == tuple(expected.shape)


# -- refusals --------------------------------------------------------------------------------------------------------------

CALLS = {
    "padding": lambda n, t: n.Embedding(6, 4, padding_idx=6), "negative padding": lambda n, t: n.Embedding(6, 4, padding_idx=-7),
    "given shape": lambda n, t: n.Embedding(6, 4, _weight=t(table[:3])), "given vector": lambda n, t: n.Embedding.from_pretrained(t(table[0])),
    "bag padding": lambda n, t: n.EmbeddingBag(6, 4, padding_idx=6), "bag shape": lambda n, t: n.EmbeddingBag(6, 4, _weight=t(table[:3])),
    "bag vector": lambda n, t: n.EmbeddingBag.from_pretrained(t(table[0])),
}  # fmt: skip
FUNCTIONS = {
    "padding": lambda f, t: f.embedding(t(words), t(table), padding_idx=6),
    "negative padding": lambda f, t: f.embedding(t(words), t(table), padding_idx=-7),
    "too large": lambda f, t: f.embedding(t(words + 1), t(table)), "negative": lambda f, t: f.embedding(t(words - 1), t(table)),
    "no table": lambda f, t: f.embedding(t(words), t(table[0])),
    "no offsets": lambda f, t: f.embedding_bag(t(entries), t(table)),
    "offsets of a matrix": lambda f, t: f.embedding_bag(t(entries), t(table), t(starts[None])),
    "three axes": lambda f, t: f.embedding_bag(t(words[None]), t(table)), "no axis": lambda f, t: f.embedding_bag(t(words[0, 0]), t(table)),
    "too far": lambda f, t: f.embedding_bag(t(entries), t(table), t(starts * 3)),
    "no last": lambda f, t: f.embedding_bag(t(entries), t(table), t(starts[:0]), include_last_offset=True),
    "mode": lambda f, t: f.embedding_bag(t(words), t(table), mode="prod"),
    "maximum by frequency": lambda f, t: f.embedding_bag(t(words), t(table), mode="max", scale_grad_by_freq=True),
    "sparse maximum": lambda f, t: f.embedding_bag(t(words), t(table), mode="max", sparse=True),
    "shares of another shape": lambda f, t: f.embedding_bag(t(entries), t(table), t(starts), mode="sum", per_sample_weights=t(shares[:4])),
    "bag padding": lambda f, t: f.embedding_bag(t(words), t(table), padding_idx=6),
    "bag negative padding": lambda f, t: f.embedding_bag(t(words), t(table), padding_idx=-7),
    "unknown classes": lambda f, t: f.one_hot(t(words[:0])), "few classes": lambda f, t: f.one_hot(t(words), 5),
    "no classes": lambda f, t: f.one_hot(t(words), 0), "negative class": lambda f, t: f.one_hot(t(words - 1)),
    "floating class": lambda f, t: f.one_hot(t(words * 1.0)), "narrow class": lambda f, t: f.one_hot(t(words.astype(np.int32))),
}  # fmt: skip
BEGINNINGS = {
    "floating": (lambda f, t: f.embedding(t(words * 1.0), t(table)), "Expected tensor for argument #1 'indices' to have one of"),
    "narrow": (lambda f, t: f.embedding(t(words.astype(np.int8)), t(table)), "Expected tensor for argument #1 'indices' to have one of"),
    "offsets of a matrix": (lambda f, t: f.embedding_bag(t(words), t(table), t(starts)), "if input is 2D, then offsets has to be None"),
    "late start": (lambda f, t: f.embedding_bag(t(entries), t(table), t(starts[1:])), "offsets[0] has to be 0, i.e., the first"),
    "weighted mean": (lambda f, t: f.embedding_bag(t(entries), t(table), t(starts), per_sample_weights=t(shares)), "embedding_bag: per_sample_weights"),
    "dtypes": (lambda f, t: f.embedding_bag(t(entries), t(table), t(starts), mode="sum", per_sample_weights=t(shares.astype(np.float32))), "Expected"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "ours", "theirs"), [*((c, nn, torch.nn) for c in CALLS.values()), *((c, functional, F) for c in FUNCTIONS.values())],
                         ids=[*("module, " + name for name in CALLS), *FUNCTIONS])  # fmt: skip
def test_what_torch_refuses_is_refused_alike(call, ours, theirs):
    with pytest.raises((AssertionError, ValueError, RuntimeError, IndexError, NotImplementedError)) as refused:
        call(theirs, torch.tensor)
    with pytest.raises(refused.type) as own:
        call(ours, manual.tensor)
    assert str(own.value) == re.sub(r"torch\.Size\(\[(\d+)\]\)", r"(\1,)", str(refused.value))


@pytest.mark.parametrize(("call", "beginning"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_what_torch_refuses_is_refused_with_the_same_beginning(call, beginning):
    with pytest.raises((ValueError, RuntimeError, NotImplementedError)) as refused:
        call(F, torch.tensor)
    with pytest.raises(refused.type) as own:
        call(functional, manual.tensor)
    assert str(refused.value).startswith(beginning)
    assert str(own.value).startswith(beginning)


@pytest.mark.parametrize("shift", [-1, 1])
def test_rows_that_a_bag_cannot_have_are_refused(shift):
    """What torch says of them, and of which it says it, depends on the kernel that the machine's processor gets."""
    rows = table.astype(np.float32)
    with pytest.raises(RuntimeError):
        F.embedding_bag(torch.tensor(entries + shift), torch.tensor(rows), torch.tensor(starts))
    first = next(i for i, entry in enumerate(entries + shift) if not 0 <= entry < len(rows))
    with pytest.raises(
        RuntimeError, match=rf"Index {first} of input takes value {entries[first] + shift} which is not"
    ):
        functional.embedding_bag(entries + shift, rows, starts)


def test_rows_out_of_bounds_are_refused_before_a_row_is_shortened():
    rows = table.copy()
    with pytest.raises(IndexError, match="index out of range in self"):
        functional.embedding(words + 1, rows, max_norm=0.1)
    np.testing.assert_array_equal(rows, table)
    with pytest.raises(RuntimeError, match="'weight' must be 2-D"):
        functional.embedding_bag(words, table[0])


def test_bags_that_end_before_they_start_are_refused_where_torch_answers_anything():
    with pytest.raises(RuntimeError, match="offsets must not decrease"):
        functional.embedding_bag(entries, table, np.array([0, 4, 2]))


def test_bags_may_end_early_and_a_mean_counts_what_is_in_them():
    offsets = np.array([0, 2, 4])
    for mode, pool in (("sum", np.sum), ("mean", np.mean), ("max", np.max)):
        value = functional.embedding_bag(entries, table, offsets, mode=mode, include_last_offset=True).data
        assert_close(value, np.stack([pool(table[entries[a:b]], axis=0) for a, b in ((0, 2), (2, 4))]), 1e-14, mode)
