"""The benchmarks run: a round of each pair, none of its figures judged."""

import subprocess
import sys
from pathlib import Path

from benchmarks.modules import CASES

ROOT = Path(__file__).parent.parent


def test_one_quick_round_of_everything():
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    for case in ("XNOR 2-2-1", "logistic regression 569x30", "MLP 784-512-512-10", "One lockstep step"):
        assert case in done.stdout
    for case in CASES:
        assert case.name in done.stdout or case.module in done.stdout.partition("left out")[2]
