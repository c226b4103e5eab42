"""The benchmarks run: a round of each pair, none of its figures judged."""

import subprocess
import sys
from pathlib import Path

from benchmarks.modules import CASES
from benchmarks.optimizers import optimizer_names

ROOT = Path(__file__).parent.parent


def test_one_quick_round_of_everything():
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    for case in ("XNOR 2-2-1", "logistic regression 569x30", "MLP 784-512-512-10", "One lockstep step"):
        assert case in done.stdout
    for case in CASES:
        assert case.name in done.stdout or case.module in done.stdout.partition("left out")[2]
    for name in optimizer_names():
        assert f"\n{name} " in done.stdout or name in done.stdout.partition("manual.optim has them not")[2]


def test_one_part_alone_is_run_alone():
    command = [sys.executable, "-m", "benchmarks", "--part", "calibration", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Measuring the noise floors" in done.stdout
    assert "One training step" not in done.stdout
