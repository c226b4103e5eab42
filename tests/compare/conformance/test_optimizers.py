"""PyTorch's own configurations pass on the manual optimizers, and a mistake in one does not.

The private database changes warning filters and setters of ``torch.backends``; what reads it has a process of its own.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import manual
from compare.conformance import optim_command
from compare.conformance.database import Configuration
from compare.conformance.optimizers import conform
from compare.conformance.problems import SHAPES, STEPS, problem
from compare.conformance.walks import TorchWalk
from compare.threads import threads

ROOT = Path(__file__).parents[3]
OPTIMIZERS = [
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "Adamax",
    "AdamW",
    "ASGD",
    "LBFGS",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "SparseAdam",
]
CONFIGURATIONS = 91
"""Those of torch 2.13."""


def gradlock(*arguments, script=None):
    start = ["-c", script] if script else ["-m", "compare"]
    command = [sys.executable, *start, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800)


# -- the whole database --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_configuration_of_the_database_passes(dtype):
    done = gradlock("conformance", "optimizers", "--dtype", dtype, "--quiet", "--json", "-")
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    failures = [failure for one in found["optimizers"] for failure in one["failures"]]
    assert not failures
    assert all(one["noise_multiple"] <= 5 for one in found["optimizers"])
    assert found["passed"] == found["samples"] >= CONFIGURATIONS
    assert [one["name"] for one in found["optimizers"]] == OPTIMIZERS
    if torch.__version__.startswith("2.13."):
        assert found["samples"] == CONFIGURATIONS


@pytest.fixture(autouse=True)
def _one_thread():
    with threads(1):
        yield


# -- planted mistakes ----------------------------------------------------------------------------------------------------


def sgd(**options):
    return Configuration("SGD", 0, "", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, **options})


def adagrad(**options):
    return Configuration("Adagrad", 0, "", {"lr": 0.1, "lr_decay": 0.5, **options})


@pytest.mark.parametrize("configuration", [sgd(), adagrad()], ids=["SGD", "Adagrad"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_honest_optimizer_passes(configuration, dtype):
    found = conform(configuration, dtype)
    assert found.passed, (found.problem, found.gaps)
    assert found.multiple <= 5
    assert found.compared > 100_000


def planted(monkeypatch, kind, method, make):
    monkeypatch.setattr(kind, method, make(getattr(kind, method)))


def a_last_digit(right):
    def update(self, parameter, gradient, slots, group):
        before = parameter.copy()
        right(self, parameter, gradient, slots, group)
        parameter += (parameter - before) * 1e-11

    return update


def a_wrong_slot(right):
    def update(self, parameter, gradient, slots, group):
        right(self, parameter, gradient, slots, group)
        slots["sum"] *= 1 + 1e-12

    return update


def the_first_rate_for_all(right):
    def update(self, parameter, gradient, slots, group):
        right(self, parameter, gradient, slots, {**group, "lr": self.param_groups[0]["lr"]})

    return update


def a_rate_that_never_changes(right):
    def update(self, parameter, gradient, slots, group):
        right(self, parameter, gradient, slots, {**group, "lr": group.setdefault("first lr", group["lr"])})

    return update


def a_skipped_zero_gradient(right):
    def update(self, parameter, gradient, slots, group):
        if gradient.any():
            right(self, parameter, gradient, slots, group)

    return update


UPDATES = {
    "a last digit": (manual.optim.SGD, a_last_digit, sgd(), "step 1, number"),
    "a wrong slot": (manual.optim.Adagrad, a_wrong_slot, adagrad(), "step 1, number sum"),
    "the first group's rate for all": (manual.optim.SGD, the_first_rate_for_all, sgd(), "step 1, transposed"),
    "a rate that never changes": (manual.optim.Adagrad, a_rate_that_never_changes, adagrad(), "step 6, number"),
    "a gradient of zeros that is skipped": (manual.optim.SGD, a_skipped_zero_gradient, sgd(), "step 1, single"),
}


@pytest.mark.parametrize("name", UPDATES)
def test_a_mistake_in_an_update_is_seen_where_it_first_shows(name, monkeypatch):
    kind, make, configuration, where = UPDATES[name]
    monkeypatch.setattr(kind, "bundled", lambda self, group: False)  # so that a mistake of one parameter stays there
    planted(monkeypatch, kind, "update", make)
    found = conform(configuration, "float64")
    assert not found.passed
    assert found.gaps[0].name == where
    assert found.gaps[0].multiple > 5


def test_a_lost_gradient_of_none_is_seen(monkeypatch):
    right = manual.optim.SGD.step

    def step(self, closure=None):
        for group in self.param_groups:
            for tensor in group["params"]:
                tensor.grad = np.zeros_like(tensor.data) if tensor.grad is None else tensor.grad
        return right(self, closure)

    monkeypatch.setattr(manual.optim.SGD, "step", step)
    found = conform(sgd(), "float64")
    assert not found.passed
    assert any(gap.name == "step 1, idle momentum_buffer" and gap.text == "torch has none" for gap in found.gaps)


def without_state(right):
    def load_state_dict(self, state_dict):
        right(self, {**state_dict, "state": {}})

    return load_state_dict


def zeroed(right):
    def state_dict(self):
        found = right(self)
        state = {
            number: {name: np.zeros_like(value) for name, value in slots.items()}
            for number, slots in found["state"].items()
        }
        return {**found, "state": state}

    return state_dict


def renamed(right):
    def state_dict(self):
        found = right(self)
        return {**found, "param_groups": [{**group, "damping": 0} for group in found["param_groups"]]}

    return state_dict


STATES = {
    "a state that is not loaded": ("load_state_dict", without_state, "handed over to manual: step 8, number"),
    "a state of zeros": ("state_dict", zeroed, "handed over to torch: step 8, number"),
    "another option": ("state_dict", renamed, "state_dict, group 0"),
}


@pytest.mark.parametrize("name", STATES)
def test_a_mistake_in_a_state_is_seen_at_the_handover(name, monkeypatch):
    method, make, where = STATES[name]
    planted(monkeypatch, manual.optim.Optimizer, method, make)
    found = conform(sgd(), "float64")
    assert not found.passed
    assert found.gaps[0].name == where


def test_a_side_that_raises_is_said(monkeypatch):
    def step(self, closure=None):
        raise RuntimeError("no way")

    monkeypatch.setattr(manual.optim.SGD, "step", step)
    found = conform(sgd(), "float64")
    assert (found.passed, found.problem) == (False, "manual raised RuntimeError: no way")


def test_options_that_torch_refuses_are_said():
    found = conform(sgd(nesterov=True, dampening=0.5), "float64")
    assert not found.passed
    assert found.problem.startswith("torch raised ValueError: Nesterov momentum requires")


def test_a_missing_optimizer_fails_with_its_name():
    script = "import manual.optim; del manual.optim.Adagrad\nfrom compare.cli import main\n"
    done = gradlock(script=script + "main(['conformance', 'optimizers', '--match', 'Adagrad', '--dtype', 'float64'])")
    assert done.returncode == 1, done.stderr
    assert "manual.optim has no Adagrad" in done.stdout
    assert "0 of 7 configurations pass" in done.stdout


# -- what it is run on ---------------------------------------------------------------------------------------------------


def test_the_problem_reaches_every_way_of_an_update():
    found = problem(sgd(), "float32")
    assert STEPS >= 10
    assert {value.ndim for value in found.values.values()} == {0, 1, 2, 3}
    assert max(value.size for value in found.values.values()) > manual.optim.bundles.BLOCK
    assert not found.values["transposed"].flags.c_contiguous
    drawn = [gradient for step in found.gradients for gradient in step.values()]
    assert any(gradient is None for gradient in drawn)
    assert any(gradient is not None and gradient.size and not gradient.any() for gradient in drawn)
    assert any(gradient is not None and not gradient.flags.c_contiguous for gradient in drawn)
    assert all(gradient is None or gradient.dtype == np.float32 for gradient in drawn)
    assert list(found.values) == list(SHAPES)


def test_the_same_seed_draws_the_same_problem_and_another_another():
    one, same, other = (problem(sgd(), "float64", seed=seed).values["matrix"] for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_sparse_problem_has_rows_in_no_order_some_of_them_twice():
    found = problem(Configuration("SparseAdam", 0, "", {}, sparse=True), "float64")
    rows = [gradient for step in found.gradients for gradient in step.values() if gradient is not None]
    assert any(len(set(one.indices)) < len(one.indices) for one in rows)
    assert any(list(one.indices) != sorted(one.indices) for one in rows)
    assert any(not len(one.indices) for one in rows)


def test_the_gradient_of_the_smooth_loss_is_what_autograd_finds():
    configuration = Configuration("LBFGS", 0, "", {}, closure=True, groups=False)
    found = problem(configuration, "float64")
    x = np.concatenate([value.reshape(-1) for name, value in found.values.items() if name != "idle"])
    value, gradient = found.losses[0].value_and_gradient(x)
    walk = TorchWalk(configuration, found)
    expected = walk._closure(found.losses[0])()
    theirs = torch.cat([p.grad.reshape(-1) for name, p in walk.parameters.items() if name != "idle"])
    np.testing.assert_allclose(value, expected.item(), rtol=1e-13)
    np.testing.assert_allclose(gradient, theirs.numpy(), rtol=1e-10, atol=1e-13)


# -- what is shown -------------------------------------------------------------------------------------------------------


def test_the_table_has_counts_floors_and_the_distance_of_torchs_other_kernels(tmp_path):
    path = tmp_path / "found.json"
    done = gradlock("conformance", "optimizers", "--match", "SGD", "--dtype", "float64", "--json", str(path))
    assert done.returncode == 0, done.stderr
    for word in (
        "SGD",
        "float64",
        "9 of 9",
        "9 of 9 configurations pass",
        "noise floors",
        "torch foreach",
        "torch fused",
    ):
        assert word in done.stdout
    (row,) = json.loads(path.read_text())["optimizers"]
    assert row["noise_multiple"] <= 5
    assert row["implementations"]["foreach"]["noise_multiple"] <= 5
    assert row["implementations"]["fused"] == {
        "noise_multiple": pytest.approx(row["implementations"]["fused"]["noise_multiple"]),
        "raises": 0,
    }
    assert row["implementations"]["fused"]["noise_multiple"] <= 5
    if torch.__version__.startswith("2.13."):  # the fused kernels go through memory, not by index
        assert row["implementations"]["fused, other strides"]["noise_multiple"] > 1e6


def test_the_text_names_what_fails_and_cuts_what_is_long():
    rows = [optim_command.Row("SGD", "float64", [conform(sgd(dampening=2.0), "float64")])]
    rows[0].samples[0].passed, rows[0].samples[0].problem = False, "manual raised ValueError: no"
    found = optim_command.record("optimizers", rows)
    assert found["exit_code"] == 1
    shown = optim_command.text(found)
    assert "SGD[0]: manual raised ValueError: no" in shown
    assert "0 of 1 configurations pass." in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--match", "Adams*"], "no optimizer of the database matches 'Adams*', such as SGD or 'Ada*'"),
        (["--mode", "train"], "--mode is for modules; optimizers have none"),
        (["--no-timing"], "--no-timing is for modules; optimizers have none"),
        (["--dtype", "float16"], "Invalid value for '--dtype'"),
    ],
)
def test_wrong_usage_gets_one_line(arguments, message):
    done = gradlock("conformance", "optimizers", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_package_is_named():
    script = "import sys; sys.modules['expecttest'] = None\nfrom compare.cli import main\nmain(['conformance', 'optimizers'])"
    done = gradlock(script=script)
    assert done.returncode == 2
    assert "needs the package expecttest: install gradlock[conformance]" in done.stderr


def test_a_database_of_another_form_is_refused():
    script = (
        "import sys, types; other = types.ModuleType('torch.testing._internal.common_optimizers')\n"
        "sys.modules['torch.testing._internal.common_optimizers'] = other\n"
        "from compare.cli import main\nmain(['conformance', 'optimizers'])"
    )
    done = gradlock(script=script)
    assert done.returncode == 2
    assert "has no test database of the form that gradlock knows" in done.stderr
    assert "Traceback" not in done.stderr
