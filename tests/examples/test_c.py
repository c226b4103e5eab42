"""The training loop in C: built by the system's compiler, run, and judged beside PyTorch."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import compare

FOLDER = Path(__file__).parents[2] / "examples" / "c"
COMPILER = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc, gcc or clang) is on this machine")


@pytest.fixture(scope="module")
def judge():
    spec = importlib.util.spec_from_file_location("compare_with_torch", FOLDER / "compare_with_torch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.judge


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    built = tmp_path_factory.mktemp("c") / "train"
    sources = [FOLDER / "train.c", FOLDER / "trace.c"]
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    command = [COMPILER, "-std=c99", *warnings, "-O2", "-ffp-contract=off", "-o", built, *sources, "-lm"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return built


@pytest.fixture(scope="module")
def traces(program, tmp_path_factory):
    found = {}
    for name, flags in (("right", []), ("wrong", ["--bug"])):
        found[name] = tmp_path_factory.mktemp(name)
        subprocess.run([program, found[name], *flags], check=True)
    return found


def test_it_agrees_with_torch(traces, judge):
    report = judge(traces["right"])
    assert report.outcome == "equivalent", report
    assert {"forward", "loss", "backward", "deposit", "accumulated", "slots", "update"} <= set(report.coverage.phases)


def test_its_bug_is_placed_and_named(traces, judge):
    report = judge(traces["wrong"])
    first = report.first_divergence
    assert (first.checkpoint.step, first.checkpoint.phase, first.culprit) == (2, "update", "optimizer")
    assert report.causes[0].cause == "bias correction without exponent"


def test_its_bug_is_placed_and_named_between_two_traces(traces):
    report = compare.traces(traces["wrong"], traces["right"])
    first = report.first_divergence
    assert (first.checkpoint.step, first.checkpoint.phase, first.culprit) == (2, "update", "optimizer")


def test_its_bug_is_named_by_a_reference_that_is_handed_in(traces, judge):
    import importlib

    spec = importlib.util.spec_from_file_location("compare_with_torch", FOLDER / "compare_with_torch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    live = module.reference(compare.TraceSide(traces["right"]).parameters)
    report = compare.traces(
        traces["wrong"], traces["right"], reference=(live, [module.data()] * module.STEPS, module.SIZES)
    )
    assert report.causes[0].cause == "bias correction without exponent"


def test_another_number_of_micro_batches_is_told(traces):
    side = compare.TraceSide(traces["right"])
    side.zero_grad()
    with pytest.raises(
        compare.batches.InputError, match=r"gives micro-batch 1 of step 1 the weight 0\.666667, and the walk 1"
    ):
        side.accumulate((None, None), 1.0)
