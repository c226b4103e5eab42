"""Every command and example in the README does what it says (the two set-up commands are what CI runs)."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from compare.checking.starting import starting_file

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.startswith("gradlock")]
EXAMPLES = [text for kind, text in BLOCKS if kind == "python"]


def test_there_is_something_to_run():
    assert len(COMMANDS) >= 5
    assert len(EXAMPLES) == 7
    for call in ("gradients", "module", "optimizer", "training"):
        assert any(f"compare.{call}(" in example for example in EXAMPLES)
    assert any("equivalence.gradients(" in example for example in EXAMPLES)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command, tmp_path):
    arguments = shlex.split(command, comments=True)[1:]
    code = "from compare.cli import main; main()"
    if "mine.py" in arguments:
        (tmp_path / "mine.py").write_text(starting_file("mine.py"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == (1 if "--fault" in arguments else 0), done.stderr
    assert done.stdout
    for name in re.findall(r"\S+\.md", command):
        assert (tmp_path / name).read_text(encoding="utf-8").startswith("# gradlock: equivalent")


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples(example, tmp_path):
    names = {"__name__": "readme"}
    exec(compile(example, "README.md", "exec"), names)
    if any(name.startswith("test_") for name in names):
        written = tmp_path / "test_example.py"
        written.write_text(example, encoding="utf-8")
        options = ["-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *options, str(written)],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert "2 passed" in done.stdout
