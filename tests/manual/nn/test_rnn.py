"""Packed and padded sequences against ``torch.nn.utils.rnn``, forward and backward."""

import inspect

import numpy as np
import pytest
import torch
from torch.nn.utils import rnn as expected_rnn

import manual
from manual.nn.utils import rnn

from ..oracle import check, random

PADDED = random(5, 4, 3, seed=1)
SEQUENCES = [random(length, 2, seed=length) for length in (2, 4, 1, 4)]

PACKED = [
    ([5, 5, 3, 1], {}), ([5, 5, 3, 1], {"enforce_sorted": False}), ([1, 5, 3, 5], {"enforce_sorted": False}), ([3, 3, 2, 1], {}),
    ([2, 2, 2, 2], {"enforce_sorted": False}), ([1, 1, 1, 1], {}), ([4, 2, 1, 1, 1], {"batch_first": True}), ([1, 4, 1, 2, 3], {"batch_first": True, "enforce_sorted": False}),
]  # fmt: skip


def same(actual, expected):
    """Whether integers are the same, ``None`` included."""
    assert (actual is None) == (expected is None)
    if expected is not None:
        assert actual.dtype == np.int64
        np.testing.assert_array_equal(actual.data, expected.numpy())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("lengths", "options"), PACKED, ids=str)
def test_packing_and_padding_again(lengths, options, dtype):
    found = []

    def packed(library):
        def run(x):
            one = library.pack_padded_sequence(x, lengths, **options)
            padded, again = library.pad_packed_sequence(one, options.get("batch_first", False), -7.0, total_length=6)
            found.append((one, again))
            return one.data, padded, *library.unpack_sequence(one)

        return run

    check(packed(rnn), packed(expected_rnn), [PADDED], dtype)
    (mine, again), (theirs, expected) = found
    for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        same(getattr(mine, name), getattr(theirs, name))
    same(again, expected)
    assert again.tolist() == lengths


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"padding_value": 5.0}, {"padding_side": "left", "padding_value": -1.0}], ids=str
)
def test_padding_a_list(options, batch_first):
    def padded(library):
        return lambda *sequences: library.pad_sequence(list(sequences), batch_first, **options)

    check(padded(rnn), padded(expected_rnn), SEQUENCES)
    check(padded(rnn), padded(expected_rnn), [sequence[:, 0] for sequence in SEQUENCES])


@pytest.mark.parametrize("batch_first", [False, True])
def test_cutting_padding_off(batch_first):
    lengths = np.array([2, 4, 1, 3, 3] if batch_first else [2, 4, 1, 3])
    check(
        lambda x: rnn.unpad_sequence(x, manual.tensor(lengths), batch_first),
        lambda x: expected_rnn.unpad_sequence(x.clone(), torch.tensor(lengths), batch_first),
        [PADDED],
    )


@pytest.mark.parametrize("order", [[1, 3, 0, 2], [0, 1, 2, 3]], ids=["sorted", "unsorted"])
def test_packing_a_list(order):
    found = []

    def packed(library):
        def run(*sequences):
            one = library.pack_sequence(sequences, enforce_sorted=order[0] == 1)
            found.append(one)
            return one.data, *library.unpack_sequence(one)

        return run

    check(packed(rnn), packed(expected_rnn), [SEQUENCES[place] for place in order])
    for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        same(getattr(found[0], name), getattr(found[1], name))


def test_whole_numbers_are_padded_too():
    tokens = [np.array([3, 1, 2]), np.array([5])]
    padded = rnn.pad_sequence(tokens, batch_first=True, padding_value=9)
    assert padded.dtype == np.int64
    assert padded.tolist() == [[3, 1, 2], [5, 9, 9]]


def test_permutations_are_inverted():
    assert rnn.invert_permutation(None) is None
    for order in ([2, 0, 1], [0], [3, 1, 0, 2]):
        same(rnn.invert_permutation(np.array(order)), expected_rnn.invert_permutation(torch.tensor(order)))


def test_a_packed_sequence_is_a_tuple_of_four():
    data, sizes, order = random(7, 2), np.array([3, 2, 1, 1]), np.array([2, 0, 1])
    mine = rnn.PackedSequence(data, sizes, order)
    theirs = expected_rnn.PackedSequence(torch.tensor(data), torch.tensor(sizes), torch.tensor(order))
    assert mine._fields == theirs._fields
    assert len(mine) == 4
    same(mine.unsorted_indices, theirs.unsorted_indices)
    again = rnn.PackedSequence((data, sizes))
    assert again.data.data is data
    assert again.sorted_indices is again.unsorted_indices is None
    single = mine.float()
    assert (type(single), single.data.dtype, single.sorted_indices) == (
        rnn.PackedSequence,
        np.float32,
        mine.sorted_indices,
    )
    assert (single.double().data.dtype, single.half().data.dtype) == (np.float64, np.float16)
    assert mine.to(np.float32).data.dtype == np.float32


@pytest.mark.parametrize("name", [name for name in rnn.__all__ if name != "PackedSequence"])
def test_arguments_are_torchs(name):
    mine, theirs = (inspect.signature(getattr(library, name)).parameters for library in (rnn, expected_rnn))
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in theirs.values()]


def test_all_names_are_torchs():
    assert sorted(rnn.__all__) == sorted(expected_rnn.__all__)


REFUSED = [
    lambda rnn, z: rnn.pack_padded_sequence(z(4, 3, 2), [1, 4, 2]), lambda rnn, z: rnn.pack_padded_sequence(z(4, 3, 2), [3, 2, 0]),
    lambda rnn, z: rnn.pack_padded_sequence(z(4, 3, 2), [3, -1, 2], enforce_sorted=False), lambda rnn, z: rnn.pack_padded_sequence(z(4, 3, 2), [3, 2]),
    lambda rnn, z: rnn.pack_padded_sequence(z(4, 3, 2), [[3, 2, 1]]), lambda rnn, z: rnn.pack_padded_sequence(z(0, 3, 2), [3, 2, 1]), lambda rnn, z: rnn.pad_sequence([]), lambda rnn, z: rnn.pack_sequence([]),
    lambda rnn, z: rnn.pad_sequence([z(2, 3)], padding_side="up"), lambda rnn, z: rnn.pack_sequence([z(1, 3), z(2, 3)]),
    lambda rnn, z: rnn.pad_packed_sequence(rnn.pack_padded_sequence(z(4, 3, 2), [4, 2, 1]), total_length=3), lambda rnn, z: rnn.PackedSequence(z(4, 3, 2)),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_torch_refuses_is_refused_in_its_words(number):
    with pytest.raises((AssertionError, RuntimeError, ValueError)) as expected:
        REFUSED[number](expected_rnn, torch.zeros)
    with pytest.raises(type(expected.value)) as actual:
        REFUSED[number](rnn, lambda *shape: manual.tensor(np.zeros(shape, np.float32)))
    assert str(actual.value) == str(expected.value)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rnn.pack_padded_sequence(PADDED, [6, 5, 1, 1]), RuntimeError, "no length above the 5 steps of the input, but got 6"),
        (lambda: rnn.pad_sequence([random(2, 3), random(2, 4)]), RuntimeError, "Sizes of tensors must match"),
    ],
)  # fmt: skip
def test_what_else_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
