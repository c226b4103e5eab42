"""Ops that order, scan, scatter and lay out elements: their spellings as functions and methods, and what is refused.

The numbers are held in ``tests/manual/rules``.
"""

import inspect
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import manual
from manual import rules
from manual.arranging import ArrangingMethods

from .oracle import check, check_central, random

x, y = random(3, 4), random(3, 4, seed=1)
index = np.array([[0, 2, 1, 1], [1, 1, 0, 2]])
mask = random(3, 4, seed=5) > 0

CALLS = {  # each is written once, and runs on either wing
    "cumsum": lambda t, i, m, s: t.cumsum(1),
    "cumsum dtype": lambda t, i, m, s: t.cumsum(-1, dtype=s.double),
    "cumprod": lambda t, i, m, s: t.cumprod(dim=0),
    "cummax": lambda t, i, m, s: t.cummax(1).values,
    "cummin": lambda t, i, m, s: t.cummin(dim=0)[0],
    "logcumsumexp": lambda t, i, m, s: t.logcumsumexp(1),
    "diff": lambda t, i, m, s: t.diff(2, 1, append=t[:, :2]),
    "diff between": lambda t, i, m, s: s.diff(t, prepend=t[:, :1] * 2.0, append=t[:, 1:]),
    "sort": lambda t, i, m, s: t.sort(dim=0, descending=True).values,
    "sort by key": lambda t, i, m, s: t.gather(1, t.argsort(dim=1)) * t.cumsum(1),
    "topk": lambda t, i, m, s: t.topk(2, dim=1, largest=False)[0],
    "kthvalue": lambda t, i, m, s: t.kthvalue(2, 1, keepdim=True).values,
    "median": lambda t, i, m, s: t.median(),
    "median of lines": lambda t, i, m, s: s.median(t, 1).values,
    "scatter": lambda t, i, m, s: t.scatter(0, i[:1], t[1:2]),
    "scatter value": lambda t, i, m, s: t.scatter(0, i, value=1.5),
    "scatter_add": lambda t, i, m, s: s.scatter_add(t, 0, i, t[:2] * 2.0),
    "scatter_reduce": lambda t, i, m, s: s.scatter_reduce(t, 0, i, t[1:], "prod", include_self=False),
    "index_add": lambda t, i, m, s: s.index_add(t, 0, i[0, :2], t[1:], alpha=-2.0),
    "index_put": lambda t, i, m, s: s.index_put(t, (i[0], i[1]), t[0] * 3.0, accumulate=True),
    "masked_scatter": lambda t, i, m, s: t.masked_scatter(m, t * t),
    "take_along_dim": lambda t, i, m, s: t.take_along_dim(i, 0),
    "repeat_interleave": lambda t, i, m, s: t.repeat_interleave(i[1], dim=1),
    "repeat_interleave flat": lambda t, i, m, s: s.repeat_interleave(t, 2),
    "unfold": lambda t, i, m, s: t.unfold(1, 2, 1),
    "diagonal": lambda t, i, m, s: t.diagonal(1),
    "diag": lambda t, i, m, s: s.diag(t[0], -1) + t.diag().diag().sum(),
    "diag_embed": lambda t, i, m, s: s.diag_embed(t, dim1=0, dim2=2),
    "trace": lambda t, i, m, s: s.trace(t @ t.t()),
    "kron": lambda t, i, m, s: t.kron(t[:2, :1]),
    "tensordot": lambda t, i, m, s: s.tensordot(t, t, dims=([0], [0])),
    "einsum": lambda t, i, m, s: s.einsum("ij,kj->ik", t, t),
    "einsum list": lambda t, i, m, s: s.einsum("ij,jk", [t, t.t()]),
    "einsum axes": lambda t, i, m, s: s.einsum(t, [0, 30], t, [1, 30], [1, 0]),
    "einsum axes implicit": lambda t, i, m, s: s.einsum(t, [..., 1], t, [..., 0]),
    "cdist": lambda t, i, m, s: s.cdist(t, t[:2] * 2.0, p=3.0),
    "pdist": lambda t, i, m, s: s.pdist(t),
    "cosine_similarity": lambda t, i, m, s: s.cosine_similarity(t, t[:1], dim=0),
    "pairwise_distance": lambda t, i, m, s: s.pairwise_distance(t, t * t, keepdim=True),
    "running": lambda t, i, m, s: s.cumsum(input=t, dim=1) + s.cummax(t, 0)[0] + s.cumprod(t, 1) + s.cummin(t, 1)[0],
    "chosen": lambda t, i, m, s: s.sort(t)[0][:, :2] + s.topk(t, 2)[0] + s.kthvalue(t, 3)[0][:, None],
    "ordered": lambda t, i, m, s: s.gather(s.logcumsumexp(t, 1), 1, s.argsort(t, dim=1)) + s.kron(t[:, :1], t[:1, :1]),
    "laid out": lambda t, i, m, s: s.diagonal(t, 1) + s.diag(t)[:1] * s.index_add(t, 1, i[0, :2], t[:, :2])[:1, 0],
    "placed": lambda t, i, m, s: s.scatter(t, 0, i, t[1:]) + s.masked_scatter(t, m, t) + s.scatter(t, 0, i, value=2.0),
}  # fmt: skip


OPS = {word for word in re.findall(r"\bs\.(\w+)\(", Path(__file__).read_text()) if word in manual.ops.__all__}
"""The ops that are called above as functions."""


class _Torch:
    """torch, with the names of a NumPy dtype and of a function that lives elsewhere."""

    double = torch.float64
    pdist = staticmethod(torch.nn.functional.pdist)

    def __getattr__(self, name):
        return getattr(torch, name)


class _Manual:
    double = np.float64

    def __getattr__(self, name):
        return getattr(manual, name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CALLS)
def test_one_spelling_runs_on_both_wings(name, dtype):
    call = CALLS[name]

    def ours(t):
        return call(t, manual.tensor(index), manual.tensor(mask), _Manual())

    def theirs(t):
        return call(t, torch.tensor(index), torch.tensor(mask), _Torch())

    if name == "einsum axes implicit":
        x_ = random(3, 3)
    elif name == "placed":
        x_ = x * np.array([[1.0], [2.0], [3.0]])
    else:
        x_ = x
    gradients, seeds = check(ours, theirs, [x_], dtype, factor=20)
    if dtype == "float64" and name != "placed":  # there elements overwrite each other
        check_central(ours, [x_], gradients, seeds)


def test_every_method_is_called_above():
    written = {n for n, f in vars(ArrangingMethods).items() if inspect.isfunction(f) and not n.startswith("_")}
    text = inspect.getsource(inspect.getmodule(test_every_method_is_called_above))
    assert {name for name in written if f".{name}(" not in text} == set()


def test_values_and_indices_have_names():
    t = manual.tensor(ties := np.array([3.0, 1.0, 3.0, 2.0]))
    for found, wanted in (
        (t.sort(), torch.tensor(ties).sort(stable=True)),
        (t.cummax(0), torch.tensor(ties).cummax(0)),
        (t.kthvalue(1), torch.tensor(ties).kthvalue(1)),
        (t.median(0), torch.tensor(ties).median(0)),
    ):
        np.testing.assert_array_equal(found.values.data, wanted.values.numpy())
        np.testing.assert_array_equal(found.indices.data, wanted.indices.numpy())
        assert found.indices.dtype == np.int64


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool"])
def test_integers_and_truth_values_add_up_as_int64(dtype):
    values = np.array([[1, 0, 1], [1, 1, 1]]).astype(dtype)
    for name in ("cumsum", "cumprod"):
        found, wanted = getattr(manual, name)(values, 1), getattr(torch, name)(torch.tensor(values), 1)
        np.testing.assert_array_equal(found.data, wanted.numpy())
        assert found.dtype == np.int64
    for name in ("sort", "argsort", "cummax", "trace"):
        arguments = (0,) if name == "cummax" else ()
        found, wanted = (
            getattr(manual, name)(values, *arguments),
            getattr(torch, name)(torch.tensor(values.astype(np.int64)), *arguments),
        )
        for one, other in zip(
            found if isinstance(found, tuple) else [found],
            wanted if isinstance(wanted, tuple) else [wanted],
            strict=True,
        ):
            np.testing.assert_array_equal(one.data, other.numpy())


# -- where this wing parts from torch, which the docstrings name -----------------------------------------------------------


def test_an_excluded_tensor_takes_no_part_in_a_tie_where_torch_lets_it():
    start, given, at = np.array([3.0, 2.0]), np.array([3.0, 1.0]), np.array([0, 1])
    mine, other = manual.tensor(given, requires_grad=True), torch.tensor(given, requires_grad=True)
    manual.scatter_reduce(start, 0, at, mine, "amax", include_self=False).backward(np.array([2.0, 5.0]))
    found = torch.scatter_reduce(torch.tensor(start), 0, torch.tensor(at), other, "amax", include_self=False)
    found.backward(torch.tensor([2.0, 5.0], dtype=torch.float64))
    np.testing.assert_array_equal(mine.grad, [2.0, 5.0])  # differences say so too: the value is given[0]
    np.testing.assert_array_equal(other.grad.numpy(), [1.0, 5.0])


def test_what_an_index_does_not_reach_gets_no_gradient_where_torch_fails():
    t = manual.tensor(np.ones(4), requires_grad=True)
    manual.scatter(np.zeros(3), 0, np.array([0, 2]), t).backward(np.array([2.0, 3.0, 5.0]))
    np.testing.assert_array_equal(t.grad, [2.0, 5.0, 0.0, 0.0])


def test_running_logarithms_of_nothing_have_gradient_zero_where_torch_answers_nan():
    values = np.array([-np.inf, -np.inf, 1.0, 2.0])
    mine, other = manual.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    seed = np.array([1.0, 2.0, 3.0, 4.0])
    found = mine.logcumsumexp(0)
    expected = torch.logcumsumexp(other, 0)
    np.testing.assert_array_equal(found.data, expected.detach().numpy())
    found.backward(seed)
    expected.backward(torch.tensor(seed))
    np.testing.assert_array_equal(mine.grad[:2], 0)
    np.testing.assert_allclose(mine.grad[2:], other.grad[2:].numpy(), rtol=1e-14)
    assert other.grad[:2].isnan().all()


def test_distances_of_many_near_vectors_do_not_cancel():
    """torch expands the square where there are more than 25 vectors; this wing subtracts first."""
    near = 1e4 + random(40, 3)
    exact = torch.cdist(
        torch.tensor(near), torch.tensor(near[:30]), compute_mode="donot_use_mm_for_euclid_dist"
    ).numpy()
    np.testing.assert_allclose(manual.cdist(near, near[:30]).data, exact, rtol=1e-15)
    expanded = torch.cdist(torch.tensor(near), torch.tensor(near[:30])).numpy()
    assert np.abs(expanded - exact).max() > 1e-8


def test_blocks_of_rows_change_nothing(monkeypatch):
    u, v = random(2, 9, 3), random(7, 3, seed=2)
    whole, whole_pullback = rules.cdist(u, v, p=3.0)
    incoming = random(2, 9, 7, seed=4)
    wanted = whole_pullback(incoming, (True, True))
    monkeypatch.setattr("manual.rules.distance.BLOCK", 100)
    found, pullback = rules.cdist(u, v, p=3.0)
    np.testing.assert_array_equal(found, whole)
    for one, other in zip(pullback(incoming, (True, True)), wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)


# -- errors ----------------------------------------------------------------------------------------------------------------

T = torch.tensor
far, below = np.array([[3, 0, 0, 0]]), np.array([[-1, 0, 0, 0]])
REFUSED = {
    "cumsum": (lambda w, t: w.cumsum(t, 2), "Dimension out of range"),
    "diff of a scalar": (lambda w, t: w.diff(t[0, 0]), "at least one-dimensional"),
    "diff order": (lambda w, t: w.diff(t, -1), "order must be non-negative but got -1"),
    "topk": (lambda w, t: w.topk(t, 5), "selected index k out of range"),
    "topk negative": (lambda w, t: w.topk(t, -1), "selected index k out of range"),
    "kthvalue": (lambda w, t: w.kthvalue(t, 5), "selected number k out of range for dimension 1"),
    "kthvalue zero": (lambda w, t: w.kthvalue(t, 0), "selected number k out of range"),
    "median of nothing": (lambda w, t: w.median(t[:0], 0), "Expected reduction dim 0 to have non-zero size"),
    "diag": (lambda w, t: w.diag(t[None]), "Supports 1D or 2D tensors. Got 3D"),
    "diagonal": (lambda w, t: w.diagonal(t, 0, 1, 1), "diagonal dimensions cannot be identical 1, 1"),
    "diagonal axis": (lambda w, t: w.diagonal(t, 0, 0, 2), "Dimension out of range"),
    "diag_embed": (lambda w, t: w.diag_embed(t, 0, 1, 1), "diagonal dimensions cannot be identical 1, 1"),
    "diag_embed of a scalar": (lambda w, t: w.diag_embed(t[0, 0]), "Dimension out of range"),
    "trace": (lambda w, t: w.trace(t[None]), "expected a matrix, but got tensor with dim 3"),
    "unfold size": (lambda w, t: t.unfold(1, 5, 1), "maximum size for tensor at dimension 1 is 4 but size is 5"),
    "unfold negative": (lambda w, t: t.unfold(1, -1, 1), "size is -1 but must be >= 0"),
    "unfold step": (lambda w, t: t.unfold(1, 1, 0), "step is 0 but must be > 0"),
    "repeat negative": (lambda w, t: w.repeat_interleave(t, -1), "Repeats must be non-negative"),
    "repeat size": (lambda w, t: w.repeat_interleave(t, 2, dim=1, output_size=7), "Invalid output_size, expected 8"),
    "tensordot": (lambda w, t: w.tensordot(t, t, 1), "contracted dimensions need to match, but first has size 4"),
    "tensordot negative": (lambda w, t: w.tensordot(t, t, -1), "expects dims >= 0, but got dims=-1"),
    "tensordot lists": (lambda w, t: w.tensordot(t, t, ([0], [0, 1])), "both dimension lists should have same length"),
    "tensordot twice": (lambda w, t: w.tensordot(t, t, ([0, 0], [0, 1])), "twice|multiple times"),
    "cdist axes": (lambda w, t: w.cdist(t[0], t), "cdist only supports at least 2D tensors, X1 got: 1D"),
    "cdist columns": (lambda w, t: w.cdist(t, t[:, :2]), "must have the same number of columns. X1: 4 X2: 2"),
    "cdist p": (lambda w, t: w.cdist(t, t, -1.0), "non-negative p values"),
    "cdist mode": (lambda w, t: w.cdist(t, t, compute_mode="fast"), "fast is not a valid value for compute_mode"),
    "pdist axes": (lambda w, t: w.pdist(t[0]), "pdist only supports 2D tensors, got: 1D"),
    "pdist p": (lambda w, t: w.pdist(t, -1.0), "non-negative p values"),
    "cosine eps": (lambda w, t: w.cosine_similarity(t, t, eps=-1.0), "eps must be non-negative, got: -1"),
    "cosine shapes": (lambda w, t: w.cosine_similarity(t, t[:2]), "must match"),
    "cosine axis": (lambda w, t: w.cosine_similarity(t[0], t[0]), "Dimension out of range"),
    "distance shapes": (lambda w, t: w.pairwise_distance(t, t[:2]), "must match"),
    "index_put": (lambda w, t: t.index_put((w.argsort(t[0]) * 0,), t), "shape mismatch: value tensor of shape"),
    "einsum operands": (lambda w, t: w.einsum("i,i", t[0]), "fewer operands were provided"),
    "einsum more operands": (lambda w, t: w.einsum("ij", t, t), "more operands were provided"),
    "einsum nothing": (lambda w, t: w.einsum("i"), "must specify the equation string"),
    "einsum output twice": (lambda w, t: w.einsum("i->ii", t[0]), "output subscript i appears more than once"),
    "einsum output": (lambda w, t: w.einsum("ij->k", t), "output subscript k does not appear in the equation"),
    "einsum axes": (lambda w, t: w.einsum("ij", t[0]), r"the number of dimensions \(1\) for operand 0"),
    "einsum few letters": (lambda w, t: w.einsum("i", t), r"does not match the number of dimensions \(2\)"),
    "einsum with dots": (lambda w, t: w.einsum("ij...", t[0]), "is more than the number of dimensions"),
    "einsum sizes": (lambda w, t: w.einsum("ij,jk", t, t), "subscript j has size 3 for operand 1 which does not broadcast"),
    "einsum diagonal": (lambda w, t: w.einsum("ii", t), "subscript i is repeated for operand 0 but the sizes don't match"),
    "einsum dot": (lambda w, t: w.einsum("i.j", t), "found '.' for operand 0 that is not part of any ellipsis"),
    "einsum dots twice": (lambda w, t: w.einsum("i...j...", t), "found '.' for operand 0"),
    "einsum digit": (lambda w, t: w.einsum("i1", t), "invalid subscript"),
    "einsum arrow": (lambda w, t: w.einsum("ij->i->j", t), "invalid subscript"),
    "einsum number": (lambda w, t: w.einsum(t, [0, 60]), "valid range"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses_is_refused(name):
    call, message = REFUSED[name]
    with pytest.raises((RuntimeError, IndexError, ValueError)) as expected:
        call(_Torch(), torch.tensor(x))
    with pytest.raises(expected.type, match=message):
        call(_Manual(), manual.tensor(x))


INDEXED = {
    "scatter range": (lambda w, t, i: w.scatter(t, 0, i, t), far, "index 3 is out of bounds for dimension 0 with size 3"),
    "scatter negative": (lambda w, t, i: w.scatter(t, 0, i, t), below, "index -1 is out of bounds"),
    "scatter axes": (lambda w, t, i: w.scatter(t, 0, i, t), far[0], "same number of dimensions as self"),
    "scatter source axes": (lambda w, t, i: w.scatter(t, 0, i, t[None]), far * 0, "same number of dimensions as src"),
    "scatter source": (lambda w, t, i: w.scatter_add(t, 0, i, t[:, :2]), far * 0, r"Expected index \[1, 4\] to be no larger"),
    "scatter columns": (lambda w, t, i: w.scatter(t[:, :2], 0, i, t), far * 0, r"Expected index \[1, 4\] to be no larger"),
    "scatter_reduce": (lambda w, t, i: w.scatter_reduce(t, 0, i, t, "median"), far * 0, "must be either sum, prod, mean, amax or amin"),
    "index_add range": (lambda w, t, i: w.index_add(t, 0, i, t[:2]), np.array([3, 0]), "index 3 is out of bounds"),
    "index_add count": (lambda w, t, i: w.index_add(t, 0, i, t), np.array([1, 0]), r"Number of indices \(2\) should be equal"),
    "index_add shape": (lambda w, t, i: w.index_add(t, 0, i, t[:2, :3]), np.array([1, 0]), "source tensor shape must match"),
    "masked_scatter few": (lambda w, t, i: w.masked_scatter(t, i, t[0, :2]), mask, "Number of elements of source <"),
    "masked_scatter mask": (lambda w, t, i: w.masked_scatter(t, i, t), far * 0, "only supports boolean masks"),
    "repeat": (lambda w, t, i: w.repeat_interleave(t, i, dim=1), np.array([1, 2]), r"repeats.size\(0\) = 2 and input.size\(1\) = 4"),
}  # fmt: skip


@pytest.mark.parametrize("name", INDEXED)
def test_indices_that_torch_refuses_are_refused(name):
    call, at, message = INDEXED[name]
    with pytest.raises((RuntimeError, IndexError, ValueError)) as expected:
        call(torch, torch.tensor(x), torch.tensor(at))
    with pytest.raises(expected.type, match=message):
        call(manual, manual.tensor(x), manual.tensor(at))


@pytest.mark.parametrize(
    "call",
    [
        lambda w, t, u: w.einsum("ij,ij", t, u),
        lambda w, t, u: w.tensordot(t, u),
        lambda w, t, u: w.cdist(t, u),
        lambda w, t, u: w.masked_scatter(t, t > 0, u),
        lambda w, t, u: t.index_put((t[:, 0].argsort(),), u),
    ],
)
def test_mixed_dtypes_are_refused_where_torch_does(call):
    with pytest.raises(RuntimeError):
        call(torch, T(x.astype(np.float32)), T(y))
    with pytest.raises(RuntimeError, match="same dtype"):
        call(manual, manual.tensor(x.astype(np.float32)), manual.tensor(y))


# -- time ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda w, t: w.einsum("bhqd,bhkd->bhqk", t, t),
        lambda w, t: w.einsum("bhqd,bhqd->bhq", t, t),
        lambda w, t: w.cumprod(t, 2),
        lambda w, t: w.sort(t, 3)[0],
        lambda w, t: w.logcumsumexp(t, 3),
        lambda w, t: w.cdist(t, t),
        lambda w, t: t.unfold(2, 8, 2),
    ],
)
def test_no_op_takes_fifty_times_torchs_time(call):
    values = random(4, 4, 48, 32).astype(np.float32)

    def least(wing):
        times = []
        for _ in range(5):
            t = wing.tensor(values, requires_grad=True)
            start = time.perf_counter()
            found = call(wing, t)
            found.backward(wing.tensor(np.ones(tuple(found.shape), np.float32)))
            times.append(time.perf_counter() - start)
        return min(times)

    assert least(manual) < 50 * least(torch)
