"""The measured tolerance: honest computations in other orders agree, and what is wrong does not."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import compare
import torch_ref
from compare.batches import cut
from compare.checkpoint import Checkpoint
from compare.lockstep import lockstep
from compare.measured import HEADROOM, Measured

DTYPES = ["float64", "float32"]


class Chunked:
    """A reference side whose gradients of contractions are added up in another order: an honest other side.

    The rows of each micro-batch are turned round and cut into pieces, each of which is run on its own; what they hand
    over is added up one after the other, in the run's own dtype.
    """

    def __init__(self, side, piece=1):
        self._side = side
        self._piece = piece

    def __getattr__(self, name):
        if name in ("activations", "activation_gradients", "inputs", "deposits", "magnitude"):
            raise AttributeError(name)
        return getattr(self._side, name)

    def accumulate(self, micro_batch, weight):
        (x, y), rows = micro_batch, len(micro_batch[1])
        total = 0.0
        for start in reversed(range(0, rows, self._piece)):
            part = slice(start, start + self._piece)
            share = len(y[part]) / rows
            total += share * self._side.accumulate((x[part][::-1].copy(), y[part][::-1].copy()), weight * share)["data"]
        return {"data": total}


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.head = nn.Linear(3 * 4 * 4, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.conv(x)).flatten(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.head(F.scaled_dot_product_attention(q, k, v).mean(1))


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 7)
        self.norm = nn.LayerNorm(7)
        self.head = nn.Linear(7, 2)

    def forward(self, x):
        return self.head(self.norm(torch.tanh(self.first(x))))


def linear(inputs):
    return nn.Linear(inputs, 2)


CASES = {
    # model, shape of one row, rows, scale of the data, target
    "a sum over 20,000 terms": (partial(linear, 3), (3,), 20_000, 1.0),
    "10,000 inputs": (partial(linear, 10_000), (10_000,), 6, 1.0),
    "convolution weight gradients": (ConvNet, (2, 6, 6), 64, 1.0),
    "LSTM": (Recurrent, (9, 4), 24, 1.0),
    "attention": (Attention, (11, 8), 24, 1.0),
    "layer norm": (Normed, (5,), 40, 1.0),
    "a tiny scale": (partial(linear, 5), (5,), 40, 1e-4),
    "a huge scale": (partial(linear, 5), (5,), 40, 1e4),
    "columns of all scales": (partial(linear, 5), (5,), 40, np.array([1e-4, 1e-2, 1.0, 1e2, 1e4])),
}


def pair(case, dtype, actual=Chunked, steps=3, **options):
    model, shape, rows, scale = CASES[case]
    generator = np.random.default_rng(0)
    x = (generator.standard_normal((rows, *shape)) * scale + 0.3 * scale).astype(dtype)
    y = generator.standard_normal((rows, 2)).astype(dtype)

    def expected():
        torch.manual_seed(0)
        module = model().to(getattr(torch, dtype))
        rate = 1e-3 / (1 + float(np.max(scale)) ** 2)
        return torch_ref.Side(module, torch.optim.SGD(module.parameters(), lr=rate, momentum=0.9), nn.MSELoss())

    piece = max(1, rows // 50)
    return lockstep(lambda: actual(expected(), piece), expected, [cut(x, y, 2)] * steps, **options)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_an_honest_computation_in_another_order_agrees(case, dtype):
    found = pair(case, dtype)
    assert found.outcome == "equivalent", found.reason
    assert 0 < found.worst_error <= HEADROOM
    assert found.tolerance == "measured"


class OneElement(Chunked):
    """One element of one gradient is off by a relative error."""

    name, index, error = "", 0, 0.0

    @property
    def gradients(self):
        found = {key: None if value is None else value.copy() for key, value in self._side.gradients.items()}
        if found[self.name] is not None:
            place = np.abs(found[self.name]).argmax() if self.index is None else self.index
            found[self.name].flat[place] *= 1 + self.error
        return found


def spoiled(name, index, error):
    return type("Spoiled", (OneElement,), {"name": name, "index": index, "error": error})


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize(
    ("case", "name"), [("layer norm", "norm.weight"), ("layer norm", "head.bias"), ("attention", "head.weight")]
)
def test_a_small_error_in_one_element_is_seen(case, name, dtype, error):
    found = pair(case, dtype, spoiled(name, None, error), diagnose=False)
    assert found.outcome == "diverged"
    assert found.first_divergence.checkpoint == Checkpoint(1, 1, "accumulated", name)
    assert found.first_divergence.judgement.noise_multiple > HEADROOM


def test_a_small_column_beside_a_large_one_is_not_masked():
    found = pair("columns of all scales", "float64", spoiled("weight", 0, 1e-11), diagnose=False)
    assert found.outcome == "diverged"
    assert found.first_divergence.checkpoint.name == "weight"
    difference = found.first_divergence.difference
    assert difference.max_abs_index == (0, 0)
    assert abs(difference.expected_at) < difference.scale / 1e6


# -- the judge itself ----------------------------------------------------------------------------------------------------


def regression(dtype="float64", rows=30, noise=1.0, rate=0.1, steps=3, **options):
    """A linear model on data that it explains but for some noise, and its reference's factory."""
    generator = np.random.default_rng(5)
    x = generator.standard_normal((rows, 4)).astype(dtype)
    y = (x @ np.array([[1.0], [2.0], [-1.0], [0.5]]) + noise * generator.standard_normal((rows, 1))).astype(dtype)

    def expected():
        torch.manual_seed(0)
        module = nn.Linear(4, 1, dtype=getattr(torch, dtype))
        return torch_ref.Side(module, torch.optim.SGD(module.parameters(), lr=rate, **options), nn.MSELoss())

    return expected, [cut(x, y, 1)] * steps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("noise", [1.0, 0.0])
def test_near_convergence_the_difference_of_large_sums_is_no_fault(dtype, noise):
    """After 150 steps the gradient is what is left of sums that cancel; with exact data it is rounding alone."""
    expected, steps = regression(dtype, noise=noise, steps=150, rate=0.2)
    found = lockstep(
        lambda: Chunked(expected(), 7), expected, steps, promises=["init", "loss", "accumulated", "update"]
    )
    assert found.outcome == "equivalent", found.reason


def test_the_same_seed_gives_the_same_floors():
    expected, steps = regression()
    judges = [Measured(expected, steps, "float64", seed=seed) for seed in (0, 0, 1)]
    for judge in judges:
        judge.calibrate()
    places = [Checkpoint(1, 1, "deposit", name) for name in ("weight", "bias")] + [Checkpoint(1, 1, "loss", "total")]
    first, second, other = ([judge.digits(place) for place in places] for judge in judges)
    assert first == second != other
    assert all(13 < digits < 16.5 for digits in first)


def test_float32_has_fewer_digits():
    judge = Measured(*regression("float32"), "float32")
    judge.calibrate()
    assert 5 < judge.digits(Checkpoint(1, 1, "deposit", "weight")) < 8


def test_measured_once_and_reused():
    expected, steps = regression(steps=40, momentum=0.9)
    judge = Measured(expected, steps, "float64")
    found = lockstep(expected, expected, steps, tolerance=judge)
    assert found.outcome == "equivalent"
    assert judge.bare_steps == 4  # one plain, three perturbed


def test_float64_is_asked_where_the_run_is_narrower():
    expected, steps = regression("float32")
    judge = Measured(expected, steps, "float32")
    lockstep(expected, expected, steps, tolerance=judge)
    assert judge.bare_steps == 5


def test_measuring_changes_nothing_that_is_measured():
    expected, steps = regression(momentum=0.9)
    plain = lockstep(expected, expected, steps, tolerance="fixed").sides[1].parameters["weight"]
    measured = lockstep(expected, expected, steps).sides[1].parameters["weight"]
    assert np.array_equal(plain, measured)


def test_a_word_that_is_no_tolerance_is_refused():
    expected, steps = regression()
    with pytest.raises(ValueError, match="tolerance must be 'measured' or 'fixed', got 'loose'"):
        lockstep(expected, expected, steps, tolerance="loose")
    with pytest.raises(ValueError, match="kinks must be 'either' or 'reference', got 'none'"):
        Measured(expected, steps, "float64", kinks="none")


def test_a_reference_that_cannot_be_run_again_is_judged_by_the_table_and_says_so():
    expected, steps = regression()
    made = []

    def once():
        made.append(expected())
        if len(made) > 1:
            made[-1].step = lambda: 1 / 0
        return made[-1]

    found = lockstep(expected, once, steps)
    assert found.outcome == "equivalent"
    assert found.coverage.notes == [
        "no noise floor: the reference raised when it was run again (ZeroDivisionError: division by zero); "
        "judged by the fixed tolerance"
    ]


def test_a_reference_that_draws_anew_is_not_trusted_with_its_own_spread():
    expected, steps = regression()

    def drawing():
        side = expected()
        side.module.register_forward_hook(lambda module, args, output: output + 0.01 * torch.randn_like(output))
        return side

    torch.manual_seed(0)
    found = lockstep(drawing, drawing, steps)
    assert found.outcome == "abstained"
    assert found.reason.startswith("nondeterminism: two runs of the")
    assert "step 1" in found.reason


def test_a_reference_that_cannot_be_widened_says_so():
    expected, steps = regression("float32")

    def narrow():
        side = expected()
        half = torch.full((1,), 0.5)
        side.loss = lambda output, target: F.linear(output - target, half[None]).square().mean()
        return side

    found = lockstep(narrow, narrow, steps)
    assert found.outcome == "equivalent"
    assert found.coverage.notes[0].startswith("the reference cannot be run in float64 (RuntimeError: ")


def test_which_side_is_nearer_to_the_truth():
    expected, steps = regression("float32")
    found = lockstep(lambda: spoiled("weight", 2, 1e-3)(expected(), 30), expected, steps, diagnose=False)
    assert found.outcome == "diverged"
    assert found.first_divergence.nearer == "expected"


def test_in_float64_there_is_no_wider_run_to_ask():
    expected, steps = regression()
    found = lockstep(lambda: spoiled("weight", 2, 1e-3)(expected(), 30), expected, steps, diagnose=False)
    assert found.first_divergence.nearer == ""


# -- before a fault is claimed -----------------------------------------------------------------------------------------------


def test_drift_of_two_paths_is_told_from_a_fault():
    """A rate far above what is stable: rounding doubles at every step, and neither side is wrong."""
    expected, steps = regression(rows=12, rate=0.9, steps=12)
    found = lockstep(lambda: Chunked(expected(), 5), expected, steps)
    assert found.outcome == "equivalent", found.reason
    assert any("added-up rounding" in note for note in found.coverage.notes)


def test_a_fault_on_a_drifting_path_is_still_seen():
    class Late(Chunked):
        steps = 0

        def step(self):
            self.steps += 1
            if self.steps == 9:
                self._side.module.weight.grad *= 1 + 1e-6
            self._side.step()

    expected, steps = regression(rows=12, rate=0.9, steps=12)
    found = lockstep(lambda: Late(expected(), 5), expected, steps, diagnose=False)
    assert found.outcome == "diverged"
    assert (found.first_divergence.checkpoint.step, found.first_divergence.checkpoint.phase) == (9, "update")


class Rectified:
    """A ReLU network of one hidden layer written out, whose choice at zero is an argument."""

    def __init__(self, side, at_zero):
        self._side = side
        self.at_zero = at_zero
        self.parameters = {name: value.copy() for name, value in side.parameters.items()}
        self.gradients = dict.fromkeys(self.parameters)

    def zero_grad(self):
        self.gradients = dict.fromkeys(self.parameters)

    def accumulate(self, micro_batch, weight):
        (x, y), p = micro_batch, self.parameters
        z = x @ p["0.weight"].T + p["0.bias"]
        a = np.maximum(z, 0)
        residual = a @ p["2.weight"].T + p["2.bias"] - y
        g = weight * 2 * residual / residual.size
        slope = np.where(z == 0, self.at_zero, z > 0)
        back = g @ p["2.weight"] * slope
        self.gradients = {
            "0.weight": back.T @ x,
            "0.bias": back.sum(0),
            "2.weight": g.T @ a,
            "2.bias": g.sum(0),
        }
        return float(np.mean(residual**2))

    def step(self):
        for name, gradient in self.gradients.items():
            self.parameters[name] -= 0.1 * gradient


def rectified(at_zero, kinks="either"):
    generator = np.random.default_rng(2)
    x = generator.standard_normal((6, 3))
    x[2] = 0.0  # with a bias of zero this row lies on the kink of every unit
    y = generator.standard_normal((6, 2))
    steps = [cut(x, y, 1)]

    def expected():
        torch.manual_seed(1)
        module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
        nn.init.zeros_(module[0].bias)
        return torch_ref.Side(module, torch.optim.SGD(module.parameters(), lr=0.1), nn.MSELoss())

    judge = Measured(expected, steps, "float64", kinks=kinks)
    return lockstep(lambda: Rectified(expected(), at_zero), expected, steps, tolerance=judge, diagnose=False)


@pytest.mark.parametrize("at_zero", [1.0, 0.5])
def test_at_a_kink_either_branch_and_what_lies_between_is_right_and_is_annotated(at_zero):
    found = rectified(at_zero)
    assert found.outcome == "equivalent", found.reason
    assert found.coverage.notes == ["step 1: 4 elements at the kink of relu (the first at 8); both branches are right"]


def test_the_choice_of_the_reference_needs_no_annotation():
    found = rectified(0.0)
    assert found.outcome == "equivalent"
    assert found.coverage.notes == []


@pytest.mark.parametrize("at_zero", [-1.0, 2.0, 1.01])
def test_what_is_no_subgradient_is_a_fault(at_zero):
    found = rectified(at_zero)
    assert found.outcome == "diverged"
    assert found.first_divergence.checkpoint.name in ("0.weight", "0.bias")


def test_a_branch_that_is_not_finite_is_no_branch():
    """All of several tied maxima get the whole gradient: no subgradient, whatever another branch comes to."""
    x, w = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]), np.array([0.7, -1.3])

    def all_of_them(x):
        return float(x.max(1) @ w), {"x": (x == x.max(1, keepdims=True)) * w[:, None]}

    report = compare.gradients(all_of_them, lambda x: x.amax(1) @ torch.from_numpy(w), {"x": x})
    assert report.outcome == "diverged"


def test_the_reference_alone_may_be_declared_right():
    assert rectified(1.0, kinks="reference").outcome == "diverged"
    assert rectified(0.0, kinks="reference").outcome == "equivalent"


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_honest_change_of_sign_at_a_kink_is_no_alarm(dtype):
    """A pre-activation that is zero but for rounding: the terms cancel, and their order decides on which side it is."""
    generator = np.random.default_rng(4)
    x = generator.standard_normal((8, 6)).astype(dtype)
    y = generator.standard_normal((8, 2)).astype(dtype)
    order = np.array([3, 0, 5, 1, 4, 2])

    def expected(permutation=None):
        torch.manual_seed(3)
        module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)).to(getattr(torch, dtype))
        with torch.no_grad():
            for unit in range(4):  # the bias takes away what the row's terms add up to
                module[0].bias[unit] = -(module[0].weight[unit].double() @ torch.from_numpy(x[unit]).double())
            if permutation is not None:
                module[0].weight.copy_(module[0].weight[:, permutation])
        return torch_ref.Side(module, torch.optim.SGD(module.parameters(), lr=0.1), nn.MSELoss())

    class Reordered:
        """Columns in another order, inside: the same sums, added up in another order."""

        def __init__(self):
            self._side = expected(order)
            self.back = np.argsort(order)

        def __getattr__(self, name):
            if name in ("activations", "activation_gradients", "inputs", "deposits", "magnitude", "state", "slots"):
                raise AttributeError(name)
            return getattr(self._side, name)

        def accumulate(self, micro_batch, weight):
            (x, y) = micro_batch
            return {"data": self._side.accumulate((np.ascontiguousarray(x[:, order]), y), weight)["data"]}

        def _unpermuted(self, values):
            return {k: v[:, self.back] if k == "0.weight" and v is not None else v for k, v in values.items()}

        @property
        def parameters(self):
            return self._unpermuted(self._side.parameters)

        @property
        def gradients(self):
            return self._unpermuted(self._side.gradients)

    found = lockstep(Reordered, expected, [cut(x, y, 1)] * 2)
    assert found.outcome == "equivalent", found.reason


def test_a_reference_that_overflows_is_no_yardstick():
    """log(1 + exp(x)) without care overflows in float32; its run in float64 does not, and the stable formula agrees."""
    x = np.float32([[200.0], [-3.0], [1.0]])
    y = np.zeros((3, 1), np.float32)
    steps = [cut(x, y, 1)]

    class Stable:
        def __init__(self):
            self.parameters = {"weight": np.float32([[1.0]])}
            self.gradients = {"weight": None}

        def zero_grad(self):
            self.gradients = {"weight": None}

        def accumulate(self, micro_batch, weight):
            (x, _), w = micro_batch, self.parameters["weight"]
            z = x @ w
            self.gradients = {"weight": (x.T @ (1 / (1 + np.exp(-z))) / np.float32(len(x))).astype(np.float32)}
            return {"data": float(np.mean(np.logaddexp(0, z)))}

        def step(self):
            self.parameters["weight"] -= np.float32(1e-3) * self.gradients["weight"]

    def expected():
        module = nn.Linear(1, 1, bias=False)
        nn.init.ones_(module.weight)
        loss = lambda output, target: torch.log(1 + torch.exp(output)).mean() + 0 * target.sum()  # noqa: E731
        return torch_ref.Side(module, torch.optim.SGD(module.parameters(), lr=1e-3), loss)

    with np.errstate(over="ignore"):
        found = lockstep(Stable, expected, steps, promises=["init", "loss"], diagnose=False)
    assert found.outcome in ("equivalent", "abstained"), found.reason
    assert any("the reference is not finite at loss, data" in note for note in found.coverage.notes)
