"""Sums in the order of a plain loop, and pairwise."""

import numpy as np
import pytest
import torch

import compare
from compare.ordering import Adding
from compare.rerun import ORDERS

X = np.random.default_rng(0).standard_normal((300, 4, 5))


def looped(x, axes, backwards):
    total = 0
    for term in x[::-1] if backwards else x:
        total = total + term
    return total


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sum_is_that_of_a_loop(dtype, backwards):
    x = X.astype(dtype)
    with Adding("backwards" if backwards else "forwards"):
        found = torch.from_numpy(x).sum(0), torch.from_numpy(x).mean(0, keepdim=True)
    wanted = looped(x, 0, backwards)
    assert np.array_equal(found[0].numpy(), wanted)
    assert found[1].shape == (1, 4, 5)
    assert np.allclose(found[1].numpy()[0] * 300, wanted, rtol=1e-6)
    assert not np.array_equal(found[0].numpy(), x.sum(0, dtype=np.longdouble).astype(dtype))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("function", [
    lambda x: x.sum(), lambda x: x.sum((0, 2)), lambda x: x.sum((-1, 1), keepdim=True), lambda x: x.mean((0, 1)), lambda x: x.norm(),
    lambda x: torch.linalg.vector_norm(x, 1), lambda x: torch.linalg.vector_norm(x, 2, (0, 1)), lambda x: torch.linalg.vector_norm(x, 3),
    lambda x: torch.linalg.vector_norm(x, float("inf")), lambda x: x[:0].sum(0), lambda x: x[0, 0, 0].sum(), lambda x: x.long().sum(),
    lambda x: x.sum(0, dtype=torch.float32),
])  # fmt: skip
def test_it_is_the_same_but_for_rounding(function, order):
    x = torch.from_numpy(X)
    with Adding(order):
        found = function(x)
    wanted = function(x)
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    assert torch.allclose(found.double(), wanted.double(), rtol=1e-5 if wanted.dtype == torch.float32 else 1e-12)


A, B = (
    torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)) for seed, shape in ((1, (5, 40)), (2, (40, 7)))
)
PRODUCTS = {
    "matrices": lambda: A @ B,
    "a vector": lambda: A @ B[:, 0],
    "two vectors": lambda: torch.dot(A[0], B[:, 1]),
    "a layer": lambda: torch.nn.functional.linear(A, B.T, B[0]),
    "a layer and one row": lambda: torch.nn.functional.linear(A[0], B.T, B[0]),
    "a layer and steps in time": lambda: torch.nn.functional.linear(A.reshape(5, 2, 20), B[:20].T, B[0]),
    "a batch": lambda: torch.bmm(A.reshape(5, 4, 10), A.reshape(5, 10, 4)),
    "a batch and what is added": lambda: torch.baddbmm(B[0, :4], A.reshape(5, 4, 10), A.reshape(5, 10, 4)),
    "scaled": lambda: torch.addmm(A[:, :7], A, B, beta=0.5, alpha=2.0),
    "a vector and what is added": lambda: torch.addmv(A[:, 0], A, B[:, 0]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_the_same_but_for_rounding(name, order, dtype, monkeypatch):
    monkeypatch.setitem(globals(), "A", A.to(dtype))
    monkeypatch.setitem(globals(), "B", B.to(dtype))
    wanted = PRODUCTS[name]()
    with Adding(order):
        found = PRODUCTS[name]()
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    torch.testing.assert_close(found, wanted, rtol=60 * torch.finfo(dtype).eps, atol=60 * torch.finfo(dtype).eps)


def test_a_product_is_that_of_a_loop_and_an_empty_or_large_one_is_left_alone():
    x = np.random.default_rng(3).uniform(1, 2, (2, 300)).astype(np.float32)
    wanted = np.float32(0)
    for one, other in zip(*x, strict=True):
        wanted = wanted + one * other
    with Adding("forwards"):
        found = torch.dot(*torch.from_numpy(x))
        empty = torch.zeros(3, 0) @ torch.zeros(0, 2)
        large = torch.ones(1 << 14, 1 << 13) @ torch.ones(1 << 13)
    assert float(found) == wanted
    assert torch.equal(empty, torch.zeros(3, 2))
    assert float(large[0]) == 1 << 13
    truth = float(x[0].astype(np.float64) @ x[1])
    with Adding("pairwise"):
        assert abs(float(torch.dot(*torch.from_numpy(x))) - truth) < abs(wanted - truth)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_norms_of_a_list_are_norms_of_each(order):
    parts = [torch.from_numpy(X[:7]), torch.from_numpy(X)]
    with Adding("forwards"):
        found = torch._foreach_norm(parts, order)
        wanted = [torch.linalg.vector_norm(part, order) for part in parts]
    assert [float(norm) for norm in found] == [float(norm) for norm in wanted]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pairwise_sum_loses_next_to_nothing(dtype):
    """Where the reference is a loop, that shows how far the reference is off."""
    x = torch.from_numpy(np.full((3, 40_000), 0.1, dtype)).T
    truth = 40_000 * float(dtype(0.1))
    gaps = []
    for order in ORDERS:
        with Adding(order):
            gaps.append(float((x.sum(0).double() - truth).abs().max()) / truth / float(np.finfo(dtype).eps))
    assert gaps[0] > 100
    assert gaps[1] > 100
    assert gaps[2] < 2


def test_another_order_is_refused():
    with pytest.raises(ValueError, match="must be one of forwards, backwards, pairwise, got 'sideways'"):
        Adding("sideways")


def test_a_loop_over_many_terms_that_are_alike_is_honest_and_a_small_mistake_is_not():
    """Every partial sum is rounded the same way: it loses twenty times what noise on the terms would."""
    x, w = np.full(20_000, 0.1) * np.repeat(np.linspace(1, 1.0001, 100), 200), np.array([3.0])

    def ours(factor):
        def mean(x, w):
            total = np.add.accumulate(x)[-1]
            return total * w[0], {"w": np.array([total * factor])}

        return mean

    def theirs(x, w):
        return (x * w).sum()

    for factor, outcome in ((1.0, "equivalent"), (1 + 1e-11, "diverged")):
        report = compare.gradients(ours(factor), theirs, {"x": x, "w": w}, wrt=["w"])
        assert report.outcome == outcome, str(report)
