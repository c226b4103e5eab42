"""LBFGS against torch's on small problems, every entry of its state after every step."""

import copy

import numpy as np
import pytest
import torch

from manual import nn, optim
from manual.engine import is_grad_enabled, no_grad
from manual.optim import lbfgs, line_search
from manual.optim.lbfgs import LBFGS
from manual.tensor import Tensor

STEPS = 4
COPIES = 6
FACTOR = 10
"""How far, in spreads of torch's own runs, ours may lie away.

A quasi-Newton step divides small differences of gradients by each other, so rounding grows on the way to the minimum,
and no fixed tolerance fits. Torch is run ``COPIES`` times more with losses and gradients changed at their last bit.
Where these runs make another number of iterations or evaluations, rounding decides, and the comparison ends.
"""


# -- problems: the starting parameters, and a loss of tensors ----------------------------------------------------------


def quadratic():
    random = np.random.default_rng(0)
    root = random.normal(size=(9, 9)) * np.geomspace(1, 0.1, 9)
    matrix, target = torch.tensor(root @ root.T + 0.01 * np.eye(9)), torch.tensor(random.normal(size=9))

    def loss(first, second, third):
        x = torch.cat([first.reshape(-1), second.reshape(-1), third.reshape(-1)])
        return 0.5 * x @ matrix.to(x.dtype) @ x - target.to(x.dtype) @ x

    return [random.normal(size=shape) for shape in [(2, 3), (), (2,)]], loss


def rosenbrock():
    def loss(x, y):
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2

    return [np.array(-1.2), np.array(1.0)], loss


def logistic_regression():
    random = np.random.default_rng(2)
    inputs, labels = torch.tensor(random.normal(size=(40, 5))), torch.tensor(random.integers(0, 2, 40))

    def loss(weight, bias):
        logits = inputs.to(weight.dtype) @ weight + bias
        data = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.to(weight.dtype))
        return data + 0.05 * (weight**2).sum()

    return [np.zeros(5), np.zeros(())], loss


PROBLEMS = [quadratic, rosenbrock, logistic_regression]
WOLFE = {"line_search_fn": "strong_wolfe"}
OPTIONS = [
    {"lr": 0.1, "history_size": 5},
    {"lr": 0.1, "max_iter": 1},
    {"lr": 0.1, "max_iter": 7, "history_size": 2},
    {"lr": 0.1, "max_iter": 8, "max_eval": 3},
    {"lr": 0.1, "max_iter": 5, "tolerance_grad": 0.5},
    {"lr": 0.1, "max_iter": 5, "tolerance_change": 1e-2},
    {"max_iter": 3} | WOLFE,
    {"max_iter": 4, "history_size": 2} | WOLFE,
    {"max_iter": 5, "max_eval": 4} | WOLFE,
    {"max_iter": 5, "max_eval": 1} | WOLFE,
    {"lr": 30.0, "max_iter": 2} | WOLFE,
    {"lr": 1e-4, "max_iter": 2} | WOLFE,
    {"max_iter": 3, "tolerance_change": 1e-2} | WOLFE,
    {"max_iter": 2, "history_size": 1, "lr": 0.3} | WOLFE,
]


class Reference:
    """Torch on one problem; with a seed, losses and gradients are changed at their last bit."""

    def __init__(self, problem, dtype, options, seed=None):
        start, self.loss = problem()
        self.parameters = [torch.tensor(array.astype(dtype), requires_grad=True) for array in start]
        self.optimizer = torch.optim.LBFGS(self.parameters, **options)
        self.random = None if seed is None else np.random.default_rng(seed)
        self.eps = float(np.finfo(dtype).eps)

    def closure(self):
        self.optimizer.zero_grad()
        loss = self.loss(*self.parameters)
        loss.backward()
        if self.random is not None:
            for value in [loss.data, *(tensor.grad for tensor in self.parameters)]:
                value *= torch.as_tensor(1 + self.eps * self.random.uniform(-1, 1, value.shape), dtype=value.dtype)
        return loss

    def entries(self):
        """Every parameter and every entry of the state, nested lists taken apart, by name."""
        values = {f"parameter {i}": tensor.detach().clone() for i, tensor in enumerate(self.parameters)}
        return values | flat(self.optimizer.state[self.parameters[0]])


def flat(state):
    values = {}
    for name, value in state.items():
        values |= {f"{name}.{i}": item for i, item in enumerate(value)} if isinstance(value, list) else {name: value}
    return values


class Pair:
    """One problem on both sides. Loss and gradient are torch's on both, so that only the optimizers differ."""

    def __init__(self, problem, dtype, options, cls=LBFGS):
        self.reference = Reference(problem, dtype, options)
        self.copies = [Reference(problem, dtype, options, seed) for seed in range(COPIES)]
        self.actual = [Tensor(tensor.detach().numpy().copy(), True) for tensor in self.reference.parameters]
        self.ours = cls(self.actual, **options)
        self.eps = self.reference.eps
        self.judged = 0

    def closure(self):
        tensors = [torch.tensor(tensor.data, requires_grad=True) for tensor in self.actual]
        loss = self.reference.loss(*tensors)
        for tensor, gradient in zip(self.actual, torch.autograd.grad(loss, tensors), strict=True):
            tensor.grad = gradient.numpy()
        return loss.item()

    def run(self, steps=STEPS):
        for step in range(1, steps + 1):
            runs = [self.reference, *self.copies]
            if step == 3:
                for optimizer in [self.ours, *(run.optimizer for run in runs)]:
                    optimizer.param_groups[0]["lr"] *= 0.5
            ours, theirs = self.ours.step(self.closure), [run.optimizer.step(run.closure).item() for run in runs]
            entries = [run.entries() | {"loss": loss} for run, loss in zip(runs, theirs, strict=True)]
            if any(same_counts(entries[0], other) is False for other in entries[1:]):
                return
            self.assert_agree(step, ours, entries[0], entries[1:])
            self.judged += 1

    def assert_agree(self, step, loss, expected, copies):
        state = self.ours.state[self.actual[0]]
        assert list(self.ours.state) == [self.actual[0]]
        actual = {f"parameter {i}": tensor.data for i, tensor in enumerate(self.actual)} | flat(state) | {"loss": loss}
        assert actual.keys() == expected.keys(), f"step {step}"
        spreads = dict.fromkeys((name.partition(".")[0] for name in expected), 0.0)  # one for all entries of a list
        for name, value in expected.items():
            family = name.partition(".")[0]
            spreads[family] = max(spreads[family], *(distance(other[name], value) for other in copies))
        for name, value in expected.items():
            where, ours = f"step {step}, {name}", actual[name]
            if isinstance(value, torch.Tensor):
                assert type(ours) is np.ndarray, where
                assert str(ours.dtype) == str(value.dtype).removeprefix("torch."), where
                assert ours.shape == value.shape, where
            else:
                assert not isinstance(ours, (np.ndarray, np.generic)), where
            if isinstance(value, (int, type(None))):
                assert ours == value, where
                continue
            spread = spreads[name.partition(".")[0]]
            gap, scale = distance(ours, value), distance(value, 0)
            allowed = FACTOR * spread + 4 * self.eps * scale
            assert gap <= allowed, f"{where}: gap {gap} at scale {scale}, allowed are {allowed}"


def distance(first, second):
    return 0.0 if first is None else float(np.abs(np.asarray(first) - np.asarray(second)).max())


def same_counts(first, second):
    counted = [{name: value for name, value in entries.items() if type(value) is int} for entries in (first, second)]
    return counted[0] == counted[1] and first.keys() == second.keys()


def case_id(value):
    return "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value.__name__


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", OPTIONS, ids=case_id)
@pytest.mark.parametrize("problem", PROBLEMS, ids=case_id)
def test_agrees_with_torch(problem, options, dtype):
    pair = Pair(problem, dtype, options)
    pair.run()
    assert pair.judged >= 1


def test_most_steps_are_judged():
    """Rounding may decide the last steps of a run, not the comparison as a whole."""
    pairs = [Pair(problem, "float64", options) for problem in PROBLEMS for options in OPTIONS[1:8:2]]
    for pair in pairs:
        pair.run()
    assert [pair.judged for pair in pairs] == [STEPS] * len(pairs)


# -- through the engine ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_a_training_loop_is_torchs(line_search):
    """Logistic regression with modules on both sides, gradients by both engines."""
    random = np.random.default_rng(3)
    inputs, labels = random.normal(size=(30, 4)), random.integers(0, 3, 30)
    module, reference = nn.Linear(4, 3), torch.nn.Linear(4, 3, dtype=torch.float64)
    module.load_state_dict({name: value.numpy() for name, value in reference.state_dict().items()})
    module.to(np.float64)
    for name, value in reference.state_dict().items():
        dict(module.named_parameters())[name].data[...] = value.numpy()
    options = {"max_iter": 3, "lr": 0.5, "line_search_fn": line_search}
    ours, theirs = LBFGS(module.parameters(), **options), torch.optim.LBFGS(reference.parameters(), **options)
    losses, calls = [], []

    def closure():
        calls.append(is_grad_enabled())
        ours.zero_grad()
        loss = nn.functional.cross_entropy(module(Tensor(inputs)), labels)
        loss.backward()
        return loss

    def their_closure():
        theirs.zero_grad()
        loss = torch.nn.functional.cross_entropy(reference(torch.tensor(inputs)), torch.tensor(labels))
        loss.backward()
        return loss

    for _ in range(4):
        with no_grad():
            losses.append(ours.step(closure).item())
        expected = theirs.step(their_closure).item()
        assert losses[-1] == pytest.approx(expected, rel=1e-9)
    assert calls == [True] * ours.state[next(iter(ours.state))]["func_evals"]
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(parameter.data, reference.get_parameter(name).detach(), rtol=1e-7)
    assert losses == sorted(losses, reverse=True)


def test_parameters_without_gradient_stay_where_they_are():
    used, unused = Tensor(np.ones(2), requires_grad=True), Tensor(np.ones(3), requires_grad=True)
    optimizer = LBFGS([used, unused], line_search_fn="strong_wolfe")

    def closure():
        used.grad = 2 * used.data
        return float(used.data @ used.data)

    optimizer.step(closure)
    assert np.abs(used.data).max() < 1e-6
    assert np.array_equal(unused.data, np.ones(3))


# -- options and state -------------------------------------------------------------------------------------------------


def test_the_closure_is_required():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'closure'"):
        LBFGS([Tensor(np.ones(2), True)]).step()


def refused(module, make):
    tensor = make()
    closure = quadratic_closure(tensor, module)
    return [
        lambda: module.LBFGS([tensor], lr=-1),
        lambda: module.LBFGS([{"params": [tensor]}, {"params": [make()]}]),
        lambda: module.LBFGS([tensor], line_search_fn="armijo").step(closure),
    ]


def quadratic_closure(tensor, module):
    def closure():
        tensor.grad = tensor.detach().clone() if module is torch.optim else tensor.data.copy()
        return 1.0

    return closure


def test_refuses_what_torch_refuses():
    messages = ["Invalid learning rate: -1", "LBFGS doesn't support per-parameter options", "only 'strong_wolfe' is"]
    ours = refused(optim, lambda: Tensor(np.ones(2), True))
    theirs = refused(torch.optim, lambda: torch.ones(2, requires_grad=True))
    for our_call, their_call, message in zip(ours, theirs, messages, strict=True):
        with pytest.raises((ValueError, RuntimeError)) as expected:
            their_call()
        with pytest.raises(expected.type) as actual:
            our_call()
        assert str(actual.value) == str(expected.value)
        assert str(actual.value).startswith(message)


def test_defaults_are_torchs():
    for options in ({}, {"max_iter": 7}, {"max_iter": 7, "max_eval": 3}):
        ours, theirs = LBFGS([Tensor(np.ones(2), True)], **options), torch.optim.LBFGS([torch.ones(2)], **options)
        assert ours.defaults == theirs.defaults


@pytest.mark.parametrize("options", [OPTIONS[2], OPTIONS[7]], ids=case_id)
def test_a_loaded_state_goes_on_alike_and_apart(options):
    first = Pair(rosenbrock, "float64", options)
    for _ in range(2):
        first.ours.step(first.closure)
    second = Pair(rosenbrock, "float64", options)
    for mine, original in zip(second.actual, first.actual, strict=True):
        mine.data[...] = original.data
    saved = copy.deepcopy(first.ours.state_dict())
    second.ours.load_state_dict(first.ours.state_dict())
    second.ours.step(second.closure)
    for name, value in flat(first.ours.state_dict()["state"][0]).items():
        assert np.array_equal(value, flat(saved["state"][0])[name]), name
    first.ours.step(first.closure)
    for mine, original in zip(second.actual, first.actual, strict=True):
        assert np.array_equal(mine.data, original.data)


# -- the comparison sees mistakes: each fault, the first step and the place where it must show -------------------------


class WithoutScaling(LBFGS):
    """The two loops start from the identity."""

    def _remember(self, state, g, history_size):
        super()._remember(state, g, history_size)
        state["H_diag"] = np.ones((), g.dtype)


class LongFirstStep(LBFGS):
    """The first step is not shortened by the gradient's norm."""

    def step(self, closure):
        original = lbfgs._first_length
        lbfgs._first_length = lambda g: 1.0
        try:
            return super().step(closure)
        finally:
            lbfgs._first_length = original


class OnePairLess(LBFGS):
    def _remember(self, state, g, history_size):
        super()._remember(state, g, history_size - 1)


class StaleGradient(LBFGS):
    """The gradient's change is taken since the start of the step."""

    def step(self, closure):
        self.at_start = None
        return super().step(closure)

    def _remember(self, state, g, history_size):
        if self.at_start is None:
            self.at_start = state["prev_flat_grad"]
        super()._remember({**state, "prev_flat_grad": self.at_start}, g, history_size)


FAULTS = [
    (WithoutScaling, OPTIONS[2], "step 1, "),
    (LongFirstStep, OPTIONS[2], "step 1, "),
    (OnePairLess, OPTIONS[2], "step 1"),
    (StaleGradient, OPTIONS[2], "step 1, "),
    (WithoutScaling, OPTIONS[6], "step 1, "),
]


@pytest.mark.parametrize(
    ("fault", "options", "message"), FAULTS, ids=[f"{f.__name__}-{i}" for i, (f, *_) in enumerate(FAULTS)]
)
def test_planted_faults_are_noticed(fault, options, message):
    with pytest.raises(AssertionError, match=message):
        Pair(quadratic, "float64", options, cls=fault).run()


@pytest.mark.parametrize("constant", ["ARMIJO", "CURVATURE"])
def test_wrong_constants_of_the_line_search_are_noticed(constant, monkeypatch):
    monkeypatch.setattr(line_search, constant, {"ARMIJO": 0.6, "CURVATURE": 0.1}[constant])
    with pytest.raises(AssertionError, match=r"step [1-3]"):
        Pair(rosenbrock, "float64", OPTIONS[8]).run()
