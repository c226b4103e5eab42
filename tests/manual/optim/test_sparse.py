"""Row-sparse gradients: the class, the tables that make them, the engine that adds them up, the optimizers."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch

import manual
from manual import nn, optim
from manual.sparse_rows import SparseRows
from manual.tensor import Tensor

SHAPE = (7, 3)
STEPS = 10
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}

# torch's own Adagrad makes a sparse tensor without saying whether to check it, and then warns of that
pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled:UserWarning")


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


# -- optimizers --------------------------------------------------------------------------------------------------------

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.3, "eps": 1e-2}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.7, "maximize": True}),
    ("SparseAdam", {}),
    ("SparseAdam", {"lr": 0.1, "eps": 1e-2}),
    ("SparseAdam", {"lr": 0.1, "betas": (0.5, 0.75)}),
    ("SparseAdam", {"lr": 0.1, "betas": (0.0, 0.0)}),
    ("SparseAdam", {"lr": 0.1, "maximize": True}),
]


def case_id(value):
    return "-".join(f"{k}={v}" for k, v in value.items()) or "defaults" if isinstance(value, dict) else str(value)


class Pair:
    """Two tables on both sides, and optimizers that get the same rows. The first is transposed in memory."""

    shapes = (SHAPE, (300, 4))

    def __init__(self, name, options, dtype="float64", cls=None):
        self.random, self.dtype = np.random.default_rng(0), dtype
        arrays = [self.random.normal(size=shape).astype(dtype) for shape in self.shapes]
        self.actual = [Tensor(np.asfortranarray(arrays[0]), True), Tensor(arrays[1].copy(), True)]
        self.expected = [torch.tensor(array, requires_grad=True) for array in arrays]
        self.ours = (cls or getattr(optim, name))(self.actual, **options)
        self.theirs = getattr(torch.optim, name)(self.expected, **options)

    def run(self, steps=STEPS):
        for step in range(1, steps + 1):
            if step == 6:
                for group in [*self.ours.param_groups, *self.theirs.param_groups]:
                    group["lr"] *= 0.3
            counts = [0 if step == 3 else 6, 40]
            for ours, theirs, count in zip(self.actual, self.expected, counts, strict=True):
                rows = rows_of(self.random, count, ours.shape, self.dtype)
                if step == 4 and count:
                    rows.values[0] = 0  # listed all the same
                ours.grad, theirs.grad = rows, as_torch(rows)
            self.ours.step()
            self.theirs.step()
            self.assert_agree(step)

    def assert_agree(self, step):
        for index, (ours, theirs) in enumerate(zip(self.actual, self.expected, strict=True)):
            where = f"step {step}, parameter {index}"
            self.assert_close(where, ours.data, theirs)
            slots, reference = self.ours.state.get(ours, {}), self.theirs.state.get(theirs, {})
            assert slots.keys() == reference.keys(), where
            for name, value in reference.items():
                if isinstance(value, torch.Tensor):
                    self.assert_close(f"{where}, {name}", slots[name], value)
                else:
                    assert type(slots[name]) is type(value), where
                    assert slots[name] == value, where

    def assert_close(self, where, actual, expected):
        expected = expected.detach().to_dense().numpy() if expected.is_sparse else expected.detach().numpy()
        assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype), where
        gap, scale = np.abs(actual - expected).max(), np.abs(expected).max()
        assert gap <= TOLERANCE[self.dtype] * scale, f"{where}: gap {gap} at scale {scale}"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_agrees_with_torch(name, options, dtype):
    Pair(name, options, dtype).run()


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_rows_and_arrays_in_one_group(name):
    """And in turn for one parameter; with momentum torch would refuse that."""
    random = np.random.default_rng(0)
    arrays = [random.normal(size=SHAPE) for _ in range(4)]
    actual = [Tensor(array.copy(), True) for array in arrays]
    expected = [torch.tensor(array, requires_grad=True) for array in arrays]
    ours, theirs = getattr(optim, name)(actual, lr=0.1), getattr(torch.optim, name)(expected, lr=0.1, foreach=False)
    for step in range(6):
        for index, (mine, other) in enumerate(zip(actual, expected, strict=True)):
            rows = rows_of(random, 5)
            dense = (step + index) % 3
            mine.grad = rows.to_dense() if dense else rows
            other.grad = torch.tensor(rows.to_dense()) if dense else as_torch(rows)
        ours.step()
        theirs.step()
    for mine, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(mine.data, other.detach(), rtol=1e-12)


OPTIMIZERS = [
    name
    for name in optim.__all__
    if inspect.isclass(getattr(optim, name))
    and name != "Optimizer"
    and issubclass(getattr(optim, name), optim.Optimizer)
]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["rows", "array"])
def test_each_takes_or_refuses_what_torchs_does(name, kind):
    """In the same words, and before anything moves."""
    outcomes = []
    for module in (optim, torch.optim):
        make = (
            (lambda: Tensor(np.ones(SHAPE), True)) if module is optim else (lambda: torch.ones(SHAPE).requires_grad_())
        )
        parameter = make()
        rows = SparseRows(
            [1, 2], np.ones((2, 3), parameter.data.numpy().dtype if module is torch.optim else float), SHAPE
        )
        if kind == "rows":
            parameter.grad = rows if module is optim else as_torch(rows)
        else:
            parameter.grad = rows.to_dense() if module is optim else torch.tensor(rows.to_dense())
        optimizer = getattr(module, name)([parameter])
        try:
            optimizer.step(lambda: 1.0)
        except RuntimeError as raised:
            outcomes.append(str(raised))
            assert np.array_equal(np.asarray(parameter.data), np.ones(SHAPE))
        else:
            outcomes.append("taken")
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_weight_decay_is_refused_in_torchs_words(name):
    pair = Pair(name, {"weight_decay": 0.1})
    rows = rows_of(pair.random, 3)
    pair.actual[0].grad, pair.expected[0].grad = rows, as_torch(rows)
    with pytest.raises(RuntimeError) as ours:
        pair.ours.step()
    with pytest.raises(RuntimeError) as theirs:
        pair.theirs.step()
    assert str(ours.value) == str(theirs.value)


REFUSED = [
    ({"lr": 0}, "Invalid learning rate: 0"),
    ({"lr": -1}, "Invalid learning rate: -1"),
    ({"eps": 0}, "Invalid epsilon value: 0"),
    ({"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
    ({"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[case_id(options) for options, _ in REFUSED])
def test_sparse_adam_refuses_what_torch_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        optim.SparseAdam([Tensor(np.ones(SHAPE), True)], **options)
    with pytest.raises(ValueError, match=message):
        torch.optim.SparseAdam([torch.ones(SHAPE)], **options)


def test_defaults_are_torchs():
    ours = optim.SparseAdam([Tensor(np.ones(SHAPE), True)]).defaults
    assert ours == torch.optim.SparseAdam([torch.ones(SHAPE)]).defaults


def test_a_gradient_of_another_shape_or_dtype_is_refused():
    parameter = Tensor(np.ones(SHAPE), True)
    for rows in (rows_of(np.random.default_rng(0), 2, (8, 3)), rows_of(np.random.default_rng(0), 2, dtype="float32")):
        parameter.grad = rows
        with pytest.raises(RuntimeError, match="a gradient has shape"):
            optim.SGD([parameter]).step()


# -- the comparison sees mistakes --------------------------------------------------------------------------------------


class WithoutCoalescing(optim.SparseAdam):
    """Entries of one row overwrite each other."""

    def update_rows(self, parameter, gradient, slots, group):
        rows = gradient.indices
        last = {row: place for place, row in enumerate(rows.tolist())}
        kept = sorted(last.values())
        super().update_rows(parameter, SparseRows(rows[kept], gradient.values[kept], gradient.shape), slots, group)


class MovingAllRows(optim.SparseAdam):
    def update_rows(self, parameter, gradient, slots, group):
        everything = SparseRows(np.arange(len(parameter)), gradient.to_dense(), gradient.shape)
        super().update_rows(parameter, everything, slots, group)


class WithoutZeroRows(optim.SparseAdam):
    """A row that is listed with zeros is taken for one that is not listed."""

    def update_rows(self, parameter, gradient, slots, group):
        kept = np.flatnonzero(gradient.values.any(axis=1))
        rows = SparseRows(gradient.indices[kept], gradient.values[kept], gradient.shape)
        super().update_rows(parameter, rows, slots, group)


class CorrectedEps(optim.SparseAdam):
    """eps is added after the bias correction, as in Adam."""

    def update_rows(self, parameter, gradient, slots, group):
        eps = group["eps"] * np.sqrt(1 - group["betas"][1] ** slots["step"])
        super().update_rows(parameter, gradient, slots, {**group, "eps": eps})


FAULTS = [
    (WithoutCoalescing, r"step 1, parameter 0"),
    (MovingAllRows, r"step 2, parameter 0"),
    (WithoutZeroRows, r"step 4, parameter \d"),
    (CorrectedEps, r"step 1, parameter 0"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_planted_faults_are_noticed(fault, message):
    with pytest.raises(AssertionError, match=message):
        Pair("SparseAdam", {"lr": 0.1, "eps": 1e-2}, cls=fault).run()
