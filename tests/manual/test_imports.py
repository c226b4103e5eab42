"""The import law, and what an import may cost."""

import subprocess
import sys

import pytest

LAW = {
    "manual": {"torch", "torch_ref", "compare", "scipy", "sklearn", "click"},
    "compare": {"torch", "numpy", "manual", "torch_ref"},
    "torch_ref.training": {"manual", "compare"},
}


@pytest.mark.parametrize("package", LAW)
def test_an_import_brings_nothing_that_it_must_not(package):
    code = f"import sys, {package}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not LAW[package] & set(done.stdout.split())
