"""Muon against torch's: momentum to rounding, the orthogonalised step to what bfloat16 leaves undecided."""

import math

import numpy as np
import pytest
import torch
from torch.optim._muon import _zeropower_via_newtonschulz as torch_orthogonalized

from manual import optim
from manual.optim import newton_schulz
from manual.optim.newton_schulz import orthogonalized, to_bfloat16
from manual.tensor import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
UNIT = 2.0**-8
"""How far rounding to bfloat16 moves a number at most, relative to it: half of the last of eight bits."""

SIGMAS = 3


def undecided(matrix, coefficients=COEFFICIENTS, steps=5):
    """The Frobenius distance to expect between two computations that round independently, to first order.

    *What rounding adds.* Rounding all of ``V`` to bfloat16 adds errors that are independent, centred, and of variance
    at most ``UNIT² v² / 3``; on two sides twice that. So a rounded ``V`` puts ``2/3 UNIT² ‖V‖²`` between them. The
    scaled matrix is rounded three times (itself, its norm, the quotient). A step rounds ``A = X Xᵀ``,
    ``B = b A + c A A`` and ``Y = a X + B X``: with ``λ`` the eigenvalues of ``A``, an error of ``A`` reaches ``B``
    times ``b + c (λᵢ + λⱼ)``, one of ``B`` reaches ``Y`` times a singular value of ``X``, ``√λᵢ``.

    *How it grows.* What remains of the iteration is an odd function ``f`` of the singular values ``s``. In the basis of
    the singular vectors its derivative multiplies the symmetric part of an error's element ``(i, j)`` by
    ``(f(sᵢ) − f(sⱼ))/(sᵢ − sⱼ)``, the antisymmetric part by ``(f(sᵢ) + f(sⱼ))/(sᵢ + sⱼ)``, and what lies outside of
    the smaller side by ``f(sᵢ)/sᵢ``. An error without a direction of its own grows by the root mean square of these.
    """
    a, b, c = coefficients
    x = np.asarray(matrix, float)
    x = (x.T if x.shape[0] > x.shape[1] else x) / np.linalg.norm(x)
    rows, columns = x.shape
    rounded = 2 / 3 * UNIT**2
    iterates, added = [x], [3 * rounded]
    for _ in range(steps):
        gram = x @ x.T
        factor = b * gram + c * gram @ gram
        values = np.linalg.eigvalsh(gram)
        to_factor = ((b + c * (values[:, np.newaxis] + values)) ** 2).mean()
        between_factors = rounded * (np.sum(factor**2) + to_factor * np.sum(gram**2))
        x = a * x + factor @ x
        iterates.append(x)
        added.append(rounded * np.sum(x**2) + between_factors * values.mean())
    total = 0.0
    for number, (iterate, variance) in enumerate(zip(iterates, added, strict=True)):
        s = np.linalg.svd(iterate, compute_uv=False)
        f, slope = s.copy(), np.ones_like(s)
        for _ in range(steps - number):
            slope *= a + 3 * b * f**2 + 5 * c * f**4
            f = a * f + b * f**3 + c * f**5
        gap, pair = s[:, np.newaxis] - s, s[:, np.newaxis] + s
        near = np.abs(gap) < 1e-7
        symmetric = np.where(near, slope[:, np.newaxis], (f[:, np.newaxis] - f) / np.where(near, 1, gap))
        antisymmetric = (f[:, np.newaxis] + f) / pair
        growth = (symmetric**2 + antisymmetric**2).sum() / 2 + (columns - rows) * ((f / s) ** 2).sum()
        total += variance * growth / (rows * columns)
    return math.sqrt(total)


def torchs(matrix, coefficients=COEFFICIENTS, steps=5, eps=1e-7):
    return torch_orthogonalized(torch.tensor(matrix), coefficients, steps, eps).float().numpy()


def matrices(rows, columns, count=20):
    random = np.random.default_rng([rows, columns])
    return [random.normal(size=(rows, columns)).astype(np.float32) for _ in range(count)]


# -- Newton-Schulz -----------------------------------------------------------------------------------------------------


def test_rounding_is_torchs():
    random = np.random.default_rng(0)
    values = np.concatenate(
        [
            random.normal(size=10000) * np.exp(random.normal(size=10000) * 20),
            1 + np.arange(2048) * 2.0**-11,  # every tie between 1 and 2
            [0.0, -0.0, np.inf, -np.inf, np.nan, 3.4e38, 3.3961e38, 1e-45, 1e-40, 1e300],
        ]
    )
    with np.errstate(over="ignore"):
        for dtype in (np.float32, np.float64):
            ours, theirs = to_bfloat16(values.astype(dtype)), torch.tensor(values.astype(dtype)).bfloat16().float()
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(ours, theirs.numpy())
            np.testing.assert_array_equal(np.signbit(ours[values == 0]), np.signbit(theirs.numpy()[values == 0]))


@pytest.mark.parametrize("shape", [(4, 3), (5, 8), (8, 8), (1, 6)], ids=str)
def test_small_matrices_are_equal_to_the_bit(shape):
    """But for single ones, where two orders of a float32 sum fall on both sides of a tie."""
    same = [np.array_equal(orthogonalized(m, COEFFICIENTS, 5, 1e-7), torchs(m)) for m in matrices(*shape, 50)]
    assert sum(same) >= 45


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("shape", [(16, 16), (16, 40), (64, 32), (64, 66)], ids=str)
def test_larger_matrices_differ_by_what_rounding_leaves_undecided(shape, steps):
    for matrix in matrices(*shape, 4):
        gap = np.linalg.norm(orthogonalized(matrix, COEFFICIENTS, steps, 1e-7) - torchs(matrix, steps=steps))
        assert gap <= SIGMAS * undecided(matrix, steps=steps)


def test_what_is_undecided_is_a_few_percent():
    """The bound is no blank cheque."""
    for shape in [(16, 16), (64, 32), (64, 66)]:
        for matrix in matrices(*shape, 3):
            assert undecided(matrix) < 0.05 * np.linalg.norm(torchs(matrix))


def test_what_is_undecided_is_what_random_rounding_makes_of_it():
    """Two runs that round up or down by chance lie as far apart as derived, within half of it."""
    random = np.random.default_rng(1)

    def by_chance(values):
        last = 2.0 ** (np.floor(np.log2(np.abs(values) + 1e-300)) - 7)
        return np.floor(values / last + random.random(values.shape)) * last

    def iterated(x, a, b, c):
        x = by_chance(x.astype(float))
        x = by_chance(x / by_chance(np.linalg.norm(x)))
        for _ in range(5):
            gram = by_chance(x @ x.T)
            x = by_chance(a * x + by_chance(b * gram + c * gram @ gram) @ x)
        return x

    for shape in [(16, 16), (32, 64)]:
        for matrix in matrices(*shape, 3):
            gaps = [np.linalg.norm(iterated(matrix, *COEFFICIENTS) - iterated(matrix, *COEFFICIENTS)) for _ in range(8)]
            assert 0.5 < np.mean(gaps) / undecided(matrix) < 1.5


def test_zeros_and_what_is_not_finite():
    zeros = np.zeros((3, 4), np.float32)
    assert np.array_equal(orthogonalized(zeros, COEFFICIENTS, 5, 1e-7), zeros)
    for bad in (np.nan, np.inf):
        matrix = np.full((3, 4), bad, np.float32)
        np.testing.assert_array_equal(orthogonalized(matrix, COEFFICIENTS, 2, 1e-7), torchs(matrix, steps=2))


def test_a_tiny_matrix_is_divided_by_eps():
    matrix = matrices(4, 6, 1)[0] * np.float32(1e-4)
    assert np.array_equal(orthogonalized(matrix, COEFFICIENTS, 1, 0.5), torchs(matrix, steps=1, eps=0.5))


# -- steps -------------------------------------------------------------------------------------------------------------

SHAPES = [(5, 8), (9, 4), (16, 16), (1, 7), (24, 12)]
CASES = [
    {},
    {"lr": 0.1, "weight_decay": 0.0},
    {"lr": 0.1, "weight_decay": 0.5, "momentum": 0.5},
    {"lr": 0.1, "nesterov": False},
    {"lr": 0.1, "momentum": 0.0},
    {"lr": 0.1, "adjust_lr_fn": "original", "ns_steps": 2},
    {"lr": 0.1, "adjust_lr_fn": "match_rms_adamw"},
    {"lr": 0.1, "ns_coefficients": (2.0, -1.5, 0.5), "ns_steps": 8},
    {"lr": 0.1, "eps": 10.0},
    {"lr": 0.1, "ns_steps": 0},
]


def case_id(value):
    return "-".join(f"{k}={v}" for k, v in value.items()) or "defaults"


class Pair:
    """The same matrices on both sides, and the distance that rounding explains so far."""

    def __init__(self, dtype, options, cls=None):
        self.random = np.random.default_rng(0)
        self.dtype, self.eps = dtype, float(np.finfo(dtype).eps)
        start = [self.random.normal(size=shape).astype(dtype) for shape in SHAPES]
        self.actual = [Tensor(array.copy(), requires_grad=True) for array in start]
        self.expected = [torch.tensor(array, requires_grad=True) for array in start]
        self.ours = (cls or optim.Muon)(self.actual, **options)
        self.theirs = torch.optim.Muon(self.expected, **options)
        self.allowed = [0.0] * len(SHAPES)

    def run(self, steps=7):
        for step in range(1, steps + 1):
            if step == 6:
                for group in [*self.ours.param_groups, *self.theirs.param_groups]:
                    group["lr"] *= 0.3
            for ours, theirs in zip(self.actual, self.expected, strict=True):
                gradient = self.random.normal(size=ours.shape).astype(self.dtype)
                ours.grad, theirs.grad = gradient, torch.tensor(gradient)
            self.ours.step()
            self.theirs.step()
            self.assert_agree(step)

    def assert_agree(self, step):
        group = self.theirs.param_groups[0]
        for index, (ours, theirs) in enumerate(zip(self.actual, self.expected, strict=True)):
            where = f"step {step}, parameter {index}"
            slots, reference = self.ours.state[ours], self.theirs.state[theirs]
            assert slots.keys() == reference.keys() == {"momentum_buffer"}
            buffer = reference["momentum_buffer"].numpy()
            assert slots["momentum_buffer"].dtype == buffer.dtype
            gap = np.abs(slots["momentum_buffer"] - buffer).max()
            assert gap <= 8 * self.eps * np.abs(buffer).max(), f"{where}, momentum_buffer: gap {gap}"

            self.allowed[index] += self.step_allowed(group, buffer, theirs)
            allowed = self.allowed[index] + 8 * step * self.eps * np.linalg.norm(theirs.detach())
            gap = np.linalg.norm(ours.data - theirs.detach().numpy())
            assert ours.data.dtype == self.dtype
            assert gap <= allowed, f"{where}: gap {gap}, allowed are {allowed}"

    def step_allowed(self, group, buffer, theirs):
        rows, columns = buffer.shape
        momentum = group["momentum"]
        matrix = momentum * buffer + (1 - momentum) * theirs.grad.numpy() if group["nesterov"] else buffer
        rate = group["lr"] * {"match_rms_adamw": 0.2 * math.sqrt(max(rows, columns))}.get(
            group["adjust_lr_fn"], math.sqrt(max(1, rows / columns))
        )
        return SIGMAS * rate * undecided(matrix, group["ns_coefficients"], group["ns_steps"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", CASES, ids=case_id)
def test_agrees_with_torch(options, dtype):
    Pair(dtype, options).run()


def test_other_layouts():
    """Parameters and gradients that are views: transposed, strided, turned around."""
    random = np.random.default_rng(0)
    base, gradient = random.normal(size=(12, 10)), random.normal(size=(12, 10))
    views = [lambda a: a.T, lambda a: a[::2, ::-1], lambda a: a]
    for view in views:
        for other in views:
            if view(base).shape != other(base).shape:
                continue
            ours = Tensor(view(base.copy()), requires_grad=True)
            theirs = torch.tensor(view(base).copy(), requires_grad=True)
            ours.grad, theirs.grad = other(gradient), torch.tensor(other(gradient).copy())
            optim.Muon([ours], lr=0.1).step()
            torch.optim.Muon([theirs], lr=0.1).step()
            allowed = SIGMAS * 0.1 * math.sqrt(max(1, ours.shape[0] / ours.shape[1])) * undecided(ours.grad)
            assert np.linalg.norm(ours.data - theirs.detach().numpy()) <= allowed


# -- options -----------------------------------------------------------------------------------------------------------

REFUSED = [
    ({"lr": -1}, "Learning rate should be >= 0 but is: -1"),
    ({"momentum": -0.5}, "momentum should be >= 0 but is: -0.5"),
    ({"weight_decay": -1}, "weight decay should be >= 0 but is: -1"),
    ({"adjust_lr_fn": "mine"}, "Adjust learning rate function mine is not supported"),
    ({"ns_steps": 100}, "Number of steps must be less than 100 for computational efficiency"),
    ({"ns_coefficients": (1.0, 2.0)}, "Coefficients must be a tuple of exactly 3 values"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[case_id(options) for options, _ in REFUSED])
def test_refuses_what_torch_refuses(options, message):
    ours, theirs = Tensor(np.ones((2, 2)), True), torch.ones(2, 2, requires_grad=True)
    ours.grad, theirs.grad = np.eye(2), torch.eye(2)
    with pytest.raises(ValueError, match=message):
        optim.Muon([ours], **options).step()
    with pytest.raises(ValueError, match=message):
        torch.optim.Muon([theirs], **options).step()


def test_refuses_what_is_no_matrix():
    message = "Muon only supports 2D parameters whereas we found a parameter with size"
    with pytest.raises(ValueError, match=message):
        optim.Muon([Tensor(np.ones(2), True)])
    with pytest.raises(ValueError, match=message):
        torch.optim.Muon([torch.ones(2)])


def test_defaults_are_torchs():
    assert optim.Muon([Tensor(np.ones((2, 2)), True)]).defaults == torch.optim.Muon([torch.ones(2, 2)]).defaults


# -- the comparison sees mistakes --------------------------------------------------------------------------------------


class SummedMomentum(optim.Muon):
    """The buffer of Jordan's text: a sum."""

    def update(self, parameter, gradient, slots, group):
        super().update(parameter, gradient / (1 - group["momentum"]), slots, group)


class LookingBack(optim.Muon):
    """Without Nesterov's look-ahead."""

    def update(self, parameter, gradient, slots, group):
        super().update(parameter, gradient, slots, {**group, "nesterov": False})


class UnadjustedRate(optim.Muon):
    def update(self, parameter, gradient, slots, group):
        rate = group["lr"] / math.sqrt(max(1, parameter.shape[0] / parameter.shape[1]))
        decay = group["weight_decay"] * group["lr"] / rate
        super().update(parameter, gradient, slots, {**group, "lr": rate, "weight_decay": decay})


class DecayedByAdjustedRate(optim.Muon):
    def update(self, parameter, gradient, slots, group):
        factor = math.sqrt(max(1, parameter.shape[0] / parameter.shape[1]))
        super().update(parameter, gradient, slots, {**group, "weight_decay": group["weight_decay"] * factor})


class OneStepLess(optim.Muon):
    def update(self, parameter, gradient, slots, group):
        super().update(parameter, gradient, slots, {**group, "ns_steps": group["ns_steps"] - 1})


FAULTS = [
    (SummedMomentum, r"step 1, parameter 0, momentum_buffer: gap"),
    (LookingBack, r"step 2, parameter 0: gap"),
    (UnadjustedRate, r"step 1, parameter 1: gap"),
    (DecayedByAdjustedRate, r"step 1, parameter 1: gap"),
    (OneStepLess, r"step 1, parameter 0: gap"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_planted_faults_are_noticed(fault, message):
    with pytest.raises(AssertionError, match=message):
        Pair("float64", {"lr": 0.1, "weight_decay": 0.5}, fault).run()


def test_a_missing_rounding_is_noticed(monkeypatch):
    """In float32 throughout: still within what bfloat16 leaves undecided, but no small matrix is equal to the bit."""
    monkeypatch.setattr(newton_schulz, "to_bfloat16", lambda values: np.asarray(values, np.float32))
    assert not any(np.array_equal(orthogonalized(m, COEFFICIENTS, 5, 1e-7), torchs(m)) for m in matrices(5, 8))
