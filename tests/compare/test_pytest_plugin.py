"""The fixture ``equivalence``, used well and badly, in test runs of its own."""

import importlib.metadata
from fnmatch import fnmatch

import compare
from compare.pytest_plugin import Equivalence

pytest_plugins = ["pytester"]

HEADER = """
import numpy as np
import pytest
import torch
import torch_ref

X = np.random.default_rng(0).standard_normal((6, 3))

def right(x):
    return (x**2).sum(), {"x": 2 * x}

def wrong(x):
    return (x**2).sum(), {"x": 3 * x}

def square(x):
    return (x**2).sum()

def sgd(parameter, gradient, slots, step):
    parameter -= 0.1 * gradient

def tanh(inputs, parameters):
    y = np.tanh(inputs[0])
    return y, lambda g: (g * (1 - y * y), {})

NET = torch.nn.Linear(3, 1).double()

class Mine:
    def __init__(self, factor=1.0):
        self.factor = factor
        self.parameters = {name: p.detach().numpy().copy() for name, p in NET.named_parameters()}
        self.gradients = {}
    def zero_grad(self):
        self.gradients = {}
    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        slope = self.factor * 2 * weight * (x @ self.parameters["weight"].T + self.parameters["bias"] - y) / len(y)
        self.gradients = {
            "weight": self.gradients.get("weight", 0) + slope.T @ x, "bias": self.gradients.get("bias", 0) + slope.sum(0)
        }
    def step(self):
        for name, gradient in self.gradients.items():
            self.parameters[name] -= 0.1 * gradient

def reference():
    return torch_ref.Side(NET, torch.optim.SGD(NET.parameters(), lr=0.1), torch.nn.MSELoss())

BATCHES = [(X, X[:, :1] + 1)] * 3
"""


def test_the_plugin_is_an_entry_point():
    (found,) = importlib.metadata.entry_points(group="pytest11", name="gradlock")
    assert found.value == "compare.pytest_plugin"


def run(pytester, source, *options):
    """Run tests in a process of their own: what an inner run imports first is forgotten, and torch comes but once."""
    pytester.makepyfile(test_inner=HEADER + source)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)


def test_it_passes_what_is_right_with_parameters_classes_and_fixtures_of_any_scope(pytester):
    source = """
def test_gradients(equivalence):
    assert equivalence.gradients(right, square, {"x": X}).outcome == "equivalent"

def test_module(equivalence):
    equivalence.module(tanh, torch.nn.Tanh(), X)

def test_optimizer(equivalence):
    equivalence.optimizer(sgd, torch.optim.SGD, options={"lr": 0.1})

def test_training(equivalence):
    equivalence.training(Mine(), reference(), BATCHES, micro_batches=2)

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", [right, wrong])
def test_parameters(equivalence, function, dtype):
    equivalence.gradients(function, square, {"x": X.astype(dtype)})

@pytest.fixture(scope="module")
def once(equivalence):
    return equivalence.gradients(right, square, {"x": X})

class TestClass:
    def test_method(self, equivalence, once):
        assert once.outcome == equivalence.gradients(right, square, {"x": X}).outcome

    @pytest.mark.xfail(strict=True)
    def test_known(self, equivalence):
        equivalence.gradients(wrong, square, {"x": X})
"""
    run(pytester, source).assert_outcomes(passed=7, failed=2, xfailed=1)


FAILING = {
    "wrong gradients": ("gradients(wrong, square, {'x': X})", "gradients of wrong against square: diverged"),
    "a wrong module": ("module(tanh, torch.nn.Sigmoid(), X)", "tanh against torch.nn.Sigmoid: diverged"),
    "a wrong optimizer": ("optimizer(sgd, torch.optim.SGD, options={'lr': 0.2})", "sgd against torch.optim.SGD: diverged"),
    "wrong training": ("training(Mine(1.5), reference(), BATCHES)", "training of Mine against Linear: diverged"),
    "an abstention": ("gradients(lambda x: (square(x), {}), square, {'x': X})", "  <lambda> returned no gradient, so none was compared"),
    "an error": ("gradients(lambda x: 1 / 0, square, {'x': X})", "  the actual side raised in accumulate (step 1): ZeroDivisionError*"),
    "no dict": ("gradients(right, square, [X])", "equivalence.gradients: inputs is a list of 1; it must be a dict of name to NumPy array"),
    "a loose tolerance": ("module(tanh, torch.nn.Tanh(), X, tolerance='loose')", "equivalence.module: tolerance is 'loose'; it must be*"),
    "half a side": ("training(object(), reference(), BATCHES)", "equivalence.training: the side (an object) lacks parameters*"),
    "a name for a class": ("optimizer(sgd, 'SGD')", "equivalence.optimizer: the reference is a str; it must be a class of torch.optim"),
    "no arguments": ("optimizer()", "*TypeError: optimizer() missing 2 required positional arguments*"),
    "an unknown call": ("traces()", "*AttributeError: 'Equivalence' object has no attribute 'traces'*"),
}  # fmt: skip


def test_whatever_fails_says_why_in_its_message_also_in_a_process_of_xdist(pytester):
    source = "".join(
        f"def test_{number}(equivalence):\n    equivalence.{call}\n\n"
        for number, (call, _) in enumerate(FAILING.values())
    )
    result = run(pytester, source, "-n", "1")
    result.assert_outcomes(failed=len(FAILING))
    sections = result.stdout.str().split("= FAILURES =")[1].split("short test summary")[0].split("\n____")[1:]
    assert len(sections) == len(FAILING)
    for section, (name, (_, message)) in zip(sections, FAILING.items(), strict=True):
        lines = section.split("\n")
        assert any(fnmatch(line, message) for line in lines), (name, section)
        if "wrong" in name:
            assert any(line.startswith("  the sides part at step 1") for line in lines)
            assert any(line.startswith("first divergence: step 1") for line in lines)
        if not message.startswith("*"):
            assert not any("Traceback" in line or line.startswith(">") for line in lines), (name, section)


def test_the_calls_are_those_of_compare():
    calls = {name for name in compare.__all__ if name[0].islower()}
    assert {name for name in vars(Equivalence) if not name.startswith("_")} == calls
    assert all(vars(Equivalence)[name].__doc__ for name in calls)
