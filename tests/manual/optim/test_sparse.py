"""Optimizers that take row-sparse gradients, and those that refuse them, against torch's."""

import numpy as np
import pytest
import torch

from manual import optim
from manual.sparse_rows import SparseRows
from manual.tensor import Tensor

from ..test_sparse_rows import SHAPE, as_torch, rows_of
from .every import OPTIMIZERS

STEPS = 10
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}

# torch's own Adagrad makes a sparse tensor without saying whether to check it, and then warns of that
pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled:UserWarning")


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
