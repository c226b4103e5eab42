"""Row-sparse gradients: the class, the tables that make them, the engine that adds them up."""

import copy
import pickle

import numpy as np
import pytest
import torch

import manual
from manual import nn, optim
from manual.sparse_rows import SparseRows
from manual.tensor import Tensor

SHAPE = (7, 3)


def rows_of(random, count, shape=SHAPE, dtype="float64"):
    """Random rows, some listed several times."""
    indices = random.integers(0, shape[0], count)
    return SparseRows(indices, random.normal(size=(count, *shape[1:])).astype(dtype), shape)


def as_torch(rows):
    return torch.sparse_coo_tensor(rows.indices[None], rows.values, rows.shape, check_invariants=True)


# -- the class ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 3), (5,), (4, 2, 3), (6, 40), (3, 0)], ids=str)
@pytest.mark.parametrize("count", [0, 1, 12])
def test_it_is_what_torchs_is(shape, count):
    random = np.random.default_rng(count)
    rows, other = rows_of(random, count, shape), rows_of(random, 5, shape)
    theirs, dense = as_torch(rows), random.normal(size=shape)
    np.testing.assert_allclose(rows.to_dense(), theirs.to_dense(), atol=1e-14)
    coalesced, expected = rows.coalesce(), theirs.coalesce()
    assert np.array_equal(coalesced.indices, expected.indices()[0])
    np.testing.assert_allclose(coalesced.values, expected.values(), atol=1e-14)
    assert coalesced.coalesce() is coalesced
    np.testing.assert_allclose((rows + other).to_dense(), (theirs + as_torch(other)).to_dense(), atol=1e-14)
    np.testing.assert_allclose(rows + dense, torch.tensor(dense) + theirs, atol=1e-14)
    np.testing.assert_allclose(dense + rows, torch.tensor(dense) + theirs, atol=1e-14)
    np.testing.assert_allclose((rows * 0.3).to_dense(), (theirs * 0.3).to_dense(), atol=1e-14)
    np.testing.assert_allclose((-rows).to_dense(), (-theirs).to_dense(), atol=1e-14)
    assert np.array_equal(np.asarray(rows), rows.to_dense())
    assert (rows.shape, rows.ndim, rows.dtype) == (tuple(theirs.shape), theirs.ndim, np.float64)


def test_sums_stay_rows_or_become_arrays():
    random = np.random.default_rng(0)
    rows, dense = rows_of(random, 4), random.normal(size=SHAPE)
    before, held = dense.copy(), dense
    assert type(rows + rows) is SparseRows
    assert type(dense + rows) is type(rows + dense) is np.ndarray
    assert np.array_equal(dense, before)
    dense += rows
    assert dense is held
    assert np.array_equal(dense, before + rows)
    for factor in (2, 2.0, np.float64(2), np.array(2.0)):
        single = SparseRows(rows.indices, rows.values.astype(np.float32), SHAPE)
        for product in (single * factor, factor * single):
            assert type(product) is SparseRows
            assert product.dtype == np.float32
            assert np.array_equal(product.values, 2 * single.values)


def test_what_makes_no_sense_is_refused():
    rows = rows_of(np.random.default_rng(0), 4)
    with pytest.raises(RuntimeError, match="size is inconsistent with indices: for dim 0, size is 7 but found index 7"):
        SparseRows([1, 7], np.zeros((2, 3)), SHAPE)
    with pytest.raises(
        RuntimeError, match="size is inconsistent with indices: for dim 0, size is 7 but found index -1"
    ):
        SparseRows([1, -1], np.zeros((2, 3)), SHAPE)
    with pytest.raises(RuntimeError, match=r"indices of shape \(2,\) and values of shape \(2, 4\) are no rows"):
        SparseRows([1, 2], np.zeros((2, 4)), SHAPE)
    with pytest.raises(RuntimeError, match="do not add up"):
        rows + rows_of(np.random.default_rng(0), 4, (8, 3))
    with pytest.raises(ValueError, match="rows can be filled with 0 only, not with 1"):
        rows.fill(1)
    for nonsense in (lambda: rows + 1, lambda: np.sqrt(rows), lambda: rows * np.ones(3), lambda: np.ones(3) + rows):
        with pytest.raises(TypeError):
            nonsense()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r)), SparseRows.copy])
def test_copies_stand_alone(duplicate):
    rows = rows_of(np.random.default_rng(0), 4)
    other = duplicate(rows)
    other.values[...] = other.indices[...] = 0
    assert rows.values.all()
    assert rows.indices.any()
    assert repr(rows).startswith("SparseRows(indices=array([")


# -- tables ------------------------------------------------------------------------------------------------------------

WORDS = np.array([[1, 3, 1, 0], [5, 1, 3, 3]])
TABLES = [
    ("Embedding", {}, (WORDS,)),
    ("Embedding", {"padding_idx": 3}, (WORDS,)),
    ("Embedding", {"padding_idx": -2, "max_norm": 0.5}, (WORDS,)),
    ("Embedding", {}, (np.array(4),)),
    ("Embedding", {}, (np.zeros((0, 2), np.int64),)),
    ("EmbeddingBag", {}, (WORDS,)),
    ("EmbeddingBag", {"mode": "sum"}, (WORDS,)),
    ("EmbeddingBag", {"mode": "sum", "padding_idx": 3}, (WORDS,)),
    ("EmbeddingBag", {"padding_idx": 1}, (WORDS.reshape(-1), np.array([0, 3, 3, 6]))),
    ("EmbeddingBag", {"mode": "sum"}, (WORDS.reshape(-1), np.array([0, 2, 5]), np.linspace(0.5, 2, 8))),
    ("EmbeddingBag", {"include_last_offset": True, "mode": "sum"}, (WORDS.reshape(-1), np.array([0, 3, 8]))),
]


def tables(name, options):
    """The same table on both sides."""
    reference = getattr(torch.nn, name)(*SHAPE, **options, sparse=True, dtype=torch.float64)
    table = getattr(nn, name)(*SHAPE, **options, sparse=True, dtype=np.float64)
    table.weight.data[...] = reference.weight.detach().numpy()
    return table, reference


def backwards(table, reference, inputs, seed=0):
    """A backward pass on both sides with one random incoming gradient."""
    output, expected = table(*inputs), reference(*[torch.tensor(value) for value in inputs])
    incoming = np.random.default_rng(seed).normal(size=output.shape)
    output.backward(incoming)
    expected.backward(torch.tensor(incoming))


@pytest.mark.parametrize(("name", "options", "inputs"), TABLES, ids=[f"{n}-{o}" for n, o, _ in TABLES])
def test_a_table_hands_over_the_rows_that_torch_hands_over(name, options, inputs):
    table, reference = tables(name, options)
    for seed in range(2):
        backwards(table, reference, inputs, seed)
        ours, theirs = table.weight.grad, reference.weight.grad
        assert type(ours) is SparseRows
        assert theirs.is_sparse
        rows, expected = ours.coalesce(), theirs.coalesce()
        assert np.array_equal(rows.indices, expected.indices()[0])
        np.testing.assert_allclose(rows.values, expected.values(), rtol=1e-13)


def test_a_dense_table_is_as_it_was():
    table = nn.Embedding(*SHAPE)
    table(WORDS).sum().backward()
    assert type(table.weight.grad) is np.ndarray


def test_the_gradient_is_nobody_elses():
    table, words = nn.Embedding(*SHAPE, sparse=True, dtype=np.float64), np.array([1, 2, 1])
    incoming = np.ones((3, 3))
    table(words).backward(incoming)
    words[...] = 0
    incoming[...] = 7
    table.weight.grad.values[0] = 5
    assert table.weight.grad.indices.tolist() == [1, 2, 1]
    assert table.weight.grad.values.tolist() == [[5] * 3, [1] * 3, [1] * 3]


def test_scaling_by_frequency_is_refused_in_torchs_words():
    for name in ("Embedding", "EmbeddingBag"):
        table, reference = tables(name, {"scale_grad_by_freq": True})
        message = "embedding_backward: scale_grad_by_freq not supported with sparse gradients"
        with pytest.raises(RuntimeError, match=message):
            table(WORDS).sum().backward()
        with pytest.raises(RuntimeError, match=message):
            reference(torch.tensor(WORDS)).sum().backward()


def test_a_table_that_is_no_leaf_gets_a_dense_gradient_of_the_same_values():
    weight = np.random.default_rng(0).normal(size=SHAPE)
    ours, theirs = Tensor(weight, True), torch.tensor(weight, requires_grad=True)
    incoming = np.random.default_rng(1).normal(size=(2, 4, 3))
    nn.functional.embedding(WORDS, ours * 2.0, sparse=True).backward(incoming)
    torch.nn.functional.embedding(torch.tensor(WORDS), theirs * 2.0, sparse=True).backward(torch.tensor(incoming))
    np.testing.assert_allclose(ours.grad, theirs.grad.to_dense(), rtol=1e-13)


# -- adding up ---------------------------------------------------------------------------------------------------------


def use(module, functional, weight, kind, words, incoming):
    """A scalar that uses the weight in one way: its rows, or all of it."""
    if kind == "rows":
        return (functional.embedding(words, weight, sparse=True) * incoming).sum()
    return (weight * module.tensor(np.arange(21.0).reshape(SHAPE) / 10)).sum()


@pytest.mark.parametrize("together", [False, True], ids=["micro-batches", "one backward"])
@pytest.mark.parametrize(
    "kinds", [("rows", "rows"), ("rows", "all"), ("all", "rows"), ("rows", "all", "rows")], ids=str
)
def test_several_uses_add_up_as_in_torch(kinds, together):
    """Rows and rows stay rows; an array in the sum makes it one. A hook sees the sum of one backward, once."""
    random = np.random.default_rng(0)
    start, incoming = random.normal(size=SHAPE), [random.normal(size=(2, 4, 3)) for _ in kinds]
    results = []
    for module, functional in ((manual, nn.functional), (torch, torch.nn.functional)):
        weight = Tensor(start.copy(), True) if module is manual else torch.tensor(start, requires_grad=True)
        seen = []
        weight.register_hook(lambda g, seen=seen: seen.append((bool(getattr(g, "is_sparse", False)), dense_of(g))))
        losses = [
            use(module, functional, weight, kind, module.tensor(WORDS), module.tensor(part))
            for kind, part in zip(kinds, incoming, strict=True)
        ]
        for loss in [sum(losses[1:], losses[0])] if together else losses:
            loss.backward()
        results.append((seen, bool(getattr(weight.grad, "is_sparse", False)), dense_of(weight.grad)))
    (ours, our_kind, our_sum), (theirs, their_kind, their_sum) = results
    assert our_kind is their_kind
    np.testing.assert_allclose(our_sum, their_sum, rtol=1e-12)
    assert [kind for kind, _ in ours] == [kind for kind, _ in theirs]
    for (_, mine), (_, other) in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


def dense_of(gradient):
    return np.asarray(gradient) if not isinstance(gradient, torch.Tensor) else gradient.to_dense().detach().numpy()


def test_a_hook_may_replace_the_rows():
    table = nn.Embedding(*SHAPE, sparse=True)
    table.weight.register_hook(lambda gradient: gradient * 0.5)
    table(WORDS).sum().backward()
    assert type(table.weight.grad) is SparseRows
    assert np.array_equal(table.weight.grad.values, np.full((8, 3), 0.5, np.float32))


@pytest.mark.parametrize("clear", [lambda t, o: o.zero_grad(False), lambda t, o: t.zero_grad(False)], ids=["o", "m"])
def test_zero_grad_leaves_no_rows(clear):
    """So a step of ``SparseAdam`` after it moves nothing, as in torch."""
    table, reference = tables("Embedding", {})
    ours, theirs = optim.SparseAdam(table.parameters()), torch.optim.SparseAdam(reference.parameters())
    for _ in range(2):
        backwards(table, reference, (WORDS,))
        ours.step()
        theirs.step()
        clear(table, ours)
        clear(reference, theirs)
        assert len(table.weight.grad.indices) == reference.weight.grad._nnz() == 0
        ours.step()
        theirs.step()
    assert ours.state[table.weight]["step"] == theirs.state[reference.weight]["step"] == 4
    np.testing.assert_allclose(table.weight.data, reference.weight.detach(), rtol=1e-13)
    ours.zero_grad()
    assert table.weight.grad is None
