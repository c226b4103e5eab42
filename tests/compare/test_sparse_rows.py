"""Row-sparse gradients on the walk: both sides show them as the arrays they stand for."""

import numpy as np
import pytest
import torch

import compare
import manual
import manual.nn
import manual.training
import torch_ref
from compare.batches import cut
from compare.lockstep import lockstep
from manual.sparse_rows import SparseRows

generator = np.random.default_rng(0)
X, Y = generator.integers(0, 12, (10, 3)), generator.integers(0, 15, 10)
STEPS = [cut(X, Y, [4, 4, 2])] * 3

# torch's own Adagrad makes a sparse tensor without saying whether to check it, and then warns of that
pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled:UserWarning")


class Ours(manual.nn.Sequential):
    def __init__(self):
        super().__init__(manual.nn.Embedding(12, 5, padding_idx=3, sparse=True), manual.nn.Flatten(), manual.nn.Tanh())


def theirs():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Embedding(12, 5, padding_idx=3, sparse=True), torch.nn.Flatten(), torch.nn.Tanh()
    )


def sides(name, options, cls=None):
    def actual():
        module = Ours()
        module.load_state_dict({key: value.numpy() for key, value in theirs().state_dict().items()})
        optimizer = (cls or getattr(manual.optim, name))(module.parameters(), **options)
        return manual.training.Side(module, optimizer, manual.nn.CrossEntropyLoss())

    def expected():
        module = theirs()
        optimizer = getattr(torch.optim, name)(module.parameters(), **options)
        return torch_ref.Side(module, optimizer, torch.nn.CrossEntropyLoss())

    return actual, expected


OPTIMIZERS = [
    ("SparseAdam", {"lr": 0.1}),
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("Adagrad", {"lr": 0.1}),
]


@pytest.mark.parametrize("sync", ["free", "step", "module"])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=[f"{n}-{o}" for n, o in OPTIMIZERS])
def test_an_embedding_trains_alike(name, options, sync):
    verdict = lockstep(*sides(name, options), STEPS, sync=sync)
    assert verdict.outcome == "equivalent", verdict.first_divergence
    shown = dict(verdict.coverage.in_order())
    assert all(shown[phase].informative for phase in ("deposit", "accumulated", "update", "parameter"))


@pytest.mark.parametrize("sync", ["free", "step", "module"])
def test_the_measured_tolerance_knows_them(sync):
    report = compare.training(*sides("SparseAdam", {"lr": 0.1}), [(X, Y)] * 3, micro_batches=2, sync=sync)
    assert report.outcome == "equivalent", report


def test_what_is_shown_is_dense_and_what_is_held_is_not():
    for make in sides("SparseAdam", {}):
        side = make()
        side.zero_grad()
        for micro_batch, weight in STEPS[0]:
            side.accumulate(micro_batch, weight)
        (parameter,) = side._named.values()
        assert parameter.grad.is_sparse
        assert {type(value) for value in (*side.gradients.values(), *side.deposits.values())} == {np.ndarray}
        before = {name: value.copy() for name, value in side.gradients.items()}
        side.load_state({"gradients": before})
        assert parameter.grad.is_sparse
        assert np.array_equal(side.gradients["0.weight"], before["0.weight"])
        side.load_state({"gradients": {"0.weight": None}})
        assert parameter.grad is None


class OverwritingRows(manual.optim.SparseAdam):
    """Of the entries of one row the last one counts."""

    def update_rows(self, parameter, gradient, slots, group):
        last = {row: place for place, row in enumerate(gradient.indices.tolist())}
        kept = sorted(last.values())
        rows = SparseRows(gradient.indices[kept], gradient.values[kept], gradient.shape)
        super().update_rows(parameter, rows, slots, group)


def test_rows_that_are_not_added_up_are_found_in_the_optimizer():
    verdict = lockstep(*sides("SparseAdam", {"lr": 0.1}, OverwritingRows), STEPS)
    assert verdict.outcome == "diverged"
    assert verdict.first_divergence.checkpoint.phase == "slots"


def test_an_optimizer_that_wants_rows_says_so():
    actual, expected = sides("SparseAdam", {})

    def dense():
        side = actual()
        side.module[0].sparse = False
        return side

    verdict = lockstep(dense, expected, STEPS)
    assert verdict.outcome == "error"
    assert "SparseAdam does not support dense gradients, please consider Adam instead" in verdict.reason
