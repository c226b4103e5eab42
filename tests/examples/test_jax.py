"""The training loop in JAX: run, and judged beside PyTorch under other names and layouts."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("jax", reason="jax is not installed (pip install 'gradlock[jax]')")

FOLDER = Path(__file__).parents[2] / "examples" / "jax"


@pytest.mark.parametrize("bug", [False, True])
def test_it_is_judged(bug, tmp_path):
    runpy.run_path(str(FOLDER / "train.py"))["train"](tmp_path / "run", bug=bug)
    report = runpy.run_path(str(FOLDER / "compare_with_torch.py"))["judge"](tmp_path / "run")
    if not bug:
        assert report.outcome == "equivalent", report
        return
    first = report.first_divergence
    assert (first.checkpoint.step, first.checkpoint.phase, first.culprit) == (1, "slots", "optimizer")
    assert report.causes[0].cause == "learning rate inside the momentum buffer"
