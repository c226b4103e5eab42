"""PyTorch's own samples pass on the manual wing, and a mistake in it does not.

The private database changes warning filters and setters of ``torch.backends``; each run has a process of its own.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]
COUNTS = {"train": 1813, "eval": 1805}
"""The samples of torch 2.13."""


def gradlock(*arguments, script=None):
    start = ["-c", script] if script else ["-m", "compare"]
    command = [sys.executable, *start, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("mode", COUNTS)
def test_every_sample_of_the_database_passes(mode, dtype):
    done = gradlock("conformance", "modules", "--mode", mode, "--dtype", dtype, "--no-timing", "--quiet", "--json", "-")
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    failures = [failure["sample"] for one in found["modules"] for failure in one["failures"]]
    assert not failures
    assert found["passed"] == found["samples"] > 1000
    if torch.__version__.startswith("2.13."):
        assert found["samples"] == COUNTS[mode]


PLANT = """
import numpy as np
from manual import rules
from compare.cli import main
right = rules.{rule}
def wrong(*inputs, **options):
    value, pullback = right(*inputs, **options)
    def wrong_pullback(incoming, needs):
        gradients = pullback(incoming, needs)
        return (*gradients[:-1], {gradient})
    return {value}, wrong_pullback
rules.{rule} = wrong
main(["conformance", "modules", "--match", "{module}", "--no-timing", "--dtype", "float64", "--mode", "train"])
"""


@pytest.mark.parametrize(
    ("value", "gradient", "told"),
    [
        ("value * (1 + 1e-13)", "gradients[-1]", "output: off by"),
        ("value", "None if gradients[-1] is None else gradients[-1] * (1 + 1e-13)", "bias gradient: off by"),
        ("value", "None", "bias gradient: manual has none"),
        ("value", "None if gradients[-1] is None else gradients[-1][::-1].copy()", "bias gradient: off by"),
    ],
)
def test_a_mistake_in_a_rule_is_seen(value, gradient, told):
    script = PLANT.format(rule="linear", module="Linear", value=value, gradient=gradient)
    done = gradlock(script=script)
    assert done.returncode == 1, done.stderr
    assert told in done.stdout
    assert "6 of 6" not in done.stdout


def test_a_missing_module_fails_with_its_name():
    script = "import manual.nn; del manual.nn.Linear\nfrom compare.cli import main\n"
    done = gradlock(
        script=script + "main(['conformance', 'modules', '--match', 'Linear', '--no-timing', '--mode', 'train'])"
    )
    assert done.returncode == 1
    assert "manual.nn has no Linear" in done.stdout
    assert "0 of 6 samples pass" in done.stdout


def test_the_table_has_counts_floors_and_times(tmp_path):
    path = tmp_path / "found.json"
    done = gradlock("conformance", "modules", "--match", "Tanh", "--json", str(path))
    assert done.returncode == 0, done.stderr
    for word in (
        "Tanh",
        "train",
        "eval",
        "float64",
        "float32",
        "3 of 3",
        "12 of 12 samples pass",
        "noise floors",
        "time / torch",
    ):
        assert word in done.stdout
    found = json.loads(path.read_text())
    assert found["exit_code"] == 0
    assert [one["samples"] for one in found["modules"]] == [3, 3, 3, 3]
    assert 0 < found["median_ratio"] <= found["worst_ratio"]
    assert all(one["noise_multiple"] <= 5 for one in found["modules"])


def test_a_pattern_that_matches_nothing_is_refused():
    done = gradlock("conformance", "modules", "--match", "Convolution*")
    assert done.returncode == 2
    assert "no module of the database matches 'Convolution*'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_package_is_named():
    script = "import sys; sys.modules['expecttest'] = None\nfrom compare.cli import main\nmain(['conformance'])"
    done = gradlock(script=script)
    assert done.returncode == 2
    assert "needs the package expecttest: install gradlock[conformance]" in done.stderr


def test_a_database_of_another_form_is_refused():
    script = (
        "import sys, types; other = types.ModuleType('torch.testing._internal.common_modules')\n"
        "sys.modules['torch.testing._internal.common_modules'] = other\n"
        "from compare.cli import main\nmain(['conformance'])"
    )
    done = gradlock(script=script)
    assert done.returncode == 2
    assert "has no test database of the form that gradlock knows" in done.stderr
    assert "Traceback" not in done.stderr
