"""The fixture ``equivalence``, used well and badly, in test runs of its own."""

import importlib.metadata
import json
import sys
from fnmatch import fnmatch
from xml.etree import ElementTree

import jsonschema
import pytest

import compare
from compare.pytest_plugin import Equivalence
from compare.report.json import schema

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


@pytest.fixture(autouse=True)
def remembered(monkeypatch):
    """What a run in this process imports stays imported: parts of PyTorch cannot be imported twice."""
    monkeypatch.setattr("_pytest.pytester.SysModulesSnapshot.restore", lambda self: sys.modules.pop("test_inner", None))


def run(pytester, source, *options):
    """Run tests in this process, where PyTorch is imported already; with xdist in processes of their own."""
    pytester.makepyfile(test_inner=HEADER + source)
    runner = pytester.runpytest_subprocess if "-n" in options else pytester.runpytest_inprocess
    return runner("-p", "no:cacheprovider", *options)


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
    "a mistyped call": ("gradient(right, square, {'x': X})", "*AttributeError: the fixture equivalence has no call 'gradient'; did you mean 'gradients'?"),
    "an unknown call": ("prove()", "*AttributeError: the fixture equivalence has no call 'prove'; it has gradients, module, optimizer, training, traces"),
    "no call": ("__call__(right, square)", "*Failed: equivalence is no call itself; write equivalence.gradients(...), or another of its calls"),
}  # fmt: skip


def test_whatever_fails_says_why_in_its_message(pytester):
    source = "".join(
        f"def test_{number}(equivalence):\n    equivalence.{call}\n\n"
        for number, (call, _) in enumerate(FAILING.values())
    )
    result = run(pytester, source)
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
    calls = {name for name in compare.__all__ if name[0].islower()} - {"self_check"}  # which looks at a report
    assert {name for name in vars(Equivalence) if not name.startswith("_")} == calls
    assert all(vars(Equivalence)[name].__doc__ for name in calls)


# -- options and reports -----------------------------------------------------------------------------------------------

REPORTED = """
@pytest.fixture(scope="module")
def once(equivalence):
    return equivalence.gradients(right, square, {"x": X})

class TestClass:
    def test_several(self, equivalence, once):
        equivalence.optimizer(sgd, torch.optim.SGD, options={"lr": 0.1})
        equivalence.optimizer(sgd, torch.optim.SGD, options={"lr": 0.1}, steps=2, dtype="float32", seed=1)

@pytest.mark.parametrize("count", [1, 2, 10])
def test_count(equivalence, count):
    equivalence.gradients(wrong if count == 2 else right, square, {"x": X[:count]})

def test_also_once(once):
    assert once.outcome == "equivalent"

def test_no_comparison():
    pass

def test_refused(equivalence):
    equivalence.gradients(right, square, [X])

def test_silent(equivalence):
    equivalence.gradients(lambda x: (square(x), {}), square, {"x": X})
"""
OPTIONS = ("--gradlock-steps=3", "--gradlock-tolerance=fixed", "--gradlock-json=r.json")


@pytest.fixture(scope="module")
def known():
    """What one run found, for another to find again."""
    return {}


@pytest.mark.parametrize("distribution", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_one_report_in_order_of_the_ids_with_the_options_of_the_run(pytester, known, distribution):
    pytester.makeini("[pytest]\ngradlock_dtype = float32\ngradlock_seed = 5\ngradlock_steps = 7")
    more = ("--gradlock-junit=r.xml", "--gradlock-markdown=r.md", "--gradlock-annotations=github")
    result = run(pytester, REPORTED, *OPTIONS, *more, *distribution)
    result.assert_outcomes(passed=5, failed=3)
    record = json.loads((pytester.path / "r.json").read_text())
    jsonschema.validate(record, schema(), cls=jsonschema.Draft202012Validator)
    # a fixture of a module belongs to the test that needed it first: under xdist one in each process
    found = [one for one in record["experiments"] if "once" not in one["name"]]
    names = [one["name"].replace("TestClass::test_several (3)", "TestClass::test_several (2)") for one in found]
    assert [name for name in names if "TestClass" not in name] == [
        f"test_inner.py::{name}"
        for name in ("test_count[1]", "test_count[2]", "test_count[10]", "test_refused", "test_silent")
    ]
    assert names == sorted(names, key=lambda name: ("Class" not in name, name.replace("[10]", "[3]")))
    assert (record["outcome"], record["exit_code"], record["environment"]["seed"]) == ("error", 4, 5)
    assert (record["setting"]["steps"], record["setting"]["tolerance"]) == (3, "fixed")
    several = [one["scenarios"][0] for one in record["experiments"] if "TestClass" in one["name"]][-2:]
    assert [(one["steps"], one["dtype"], one["tolerance"]) for one in several] == [
        (3, "float32", "fixed"),
        (2, "float32", "fixed"),
    ]
    assert "--gradlock-steps 3 does not reach this call, which gives its own steps" in several[1]["coverage"]["notes"]
    by_name = {
        one["name"]: {**one, "coverage": None, "scenarios": None} for one in found if "TestClass" not in one["name"]
    }
    assert by_name == known.setdefault("found", by_name)
    lines = (HEADER + REPORTED).strip().splitlines()
    assert by_name["test_inner.py::test_count[2]"]["source"] == {
        "file": "test_inner.py",
        "line": lines.index("def wrong(x):") + 1,
    }
    assert by_name["test_inner.py::test_refused"]["source"]["line"] == lines.index("def test_refused(equivalence):") + 1
    text = result.stdout.str()
    assert "1 abstained" in text
    assert "\nfirst divergence: step 1, micro-batch 1, accumulated, x\n" in text
    assert f"; wrote {pytester.path / 'r.json'}, " in text
    assert "no effect" not in text
    assert text.count("\n::error file=test_inner.py,line=") == 3
    root = ElementTree.parse(pytester.path / "r.xml").getroot()
    assert (root.get("errors"), root.get("failures")) == ("1", "2")
    assert (pytester.path / "r.md").read_text().startswith("# gradlock: error\n\n## First divergences\n")


def test_an_option_that_reaches_no_call_is_said_to_have_had_no_effect(pytester):
    source = "def test_it(equivalence):\n    equivalence.gradients(right, square, {'x': X}, seed=1)\n"
    result = run(pytester, source, "--gradlock-seed=3", "--gradlock-steps=3", "--gradlock-dtype=float64")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            f"gradlock: --gradlock-{name} had no effect: no call of equivalence that ran leaves its {name} open"
            for name in ("seed", "steps")
        ]
    )
    assert "--gradlock-dtype had" not in result.stdout.str()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gradlock-tolerance=loose"], "*argument --gradlock-tolerance: invalid choice: 'loose' (choose from *measured*fixed*"),
        (["--gradlock-dtype=float16"], "*argument --gradlock-dtype: invalid choice: 'float16' *"),
        (["--gradlock-steps=0"], "*argument --gradlock-steps: '0' is no whole number of at least 1"),
        (["--gradlock-seed=x"], "*argument --gradlock-seed: 'x' is no whole number of at least 0"),
        (["--gradlock-json=no/such/r.json"], "ERROR: cannot write *no/such/r.json: the folder *no/such does not exist; make it first"),
        (["--gradlock-junit=."], "ERROR: cannot write *: it is a folder; name a file"),
        (["--gradlock-json=-"], "ERROR: --gradlock-json: pytest writes to standard output itself; name a file"),
        (["--gradlock-json=r", "--gradlock-markdown=./r"], "ERROR: --gradlock-json and --gradlock-markdown both go to *r; give each its own place"),
        (["-o", "gradlock_tolerance=loose"], "ERROR: gradlock_tolerance in the ini file: 'loose' is none of measured, fixed"),
        (["-o", "gradlock_steps=many"], "ERROR: gradlock_steps in the ini file: 'many' is no whole number of at least 1"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused_before_a_test_runs(pytester, options, message):
    pytester.makepyfile("def test_it():\n    raise SystemExit('ran')\n")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert "Traceback" not in result.stderr.str()
    assert [path.suffix for path in pytester.path.iterdir()] == [".py"]


def test_a_place_that_is_lost_during_the_run_fails_it_in_one_line(pytester):
    pytester.makepyfile("import os\ndef test_it():\n    os.rmdir('reports')\n")
    pytester.mkdir("reports")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--gradlock-json=reports/r.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["gradlock: cannot write *r.json: No such file or directory; try another place"])


def test_a_run_that_compares_nothing_writes_an_abstention(pytester):
    pytester.makepyfile("def test_it():\n    pass\n")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--gradlock-json=r.json")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["gradlock: 0 comparisons; wrote *r.json"])
    assert json.loads((pytester.path / "r.json").read_text())["outcome"] == "abstained"


def test_a_mere_collection_writes_nothing(pytester):
    pytester.makepyfile("def test_it():\n    pass\n")
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "--collect-only", "--gradlock-json=r.json")
    assert not (pytester.path / "r.json").exists()


def test_help_and_fixtures_describe_it(pytester):
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--help")
    result.stdout.fnmatch_lines(
        ["gradlock: the fixture equivalence:", "*--gradlock-json=PATH*", "*gradlock_tolerance (string):*"]
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--fixtures")
    result.stdout.fnmatch_lines(["equivalence [[]session scope[]] *", "    The calls gradients, module, optimizer, *"])
