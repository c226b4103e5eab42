"""``gradlock check --watch``: what belongs to a file, when it runs again, and how it ends."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from compare.checking import watching
from compare.checking.sources import sources

ROOT = Path(__file__).parents[3]


def write(folder, **files):
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def names(folder, found):
    return sorted(path.relative_to(folder).as_posix() for path in found)


def test_a_file_consists_of_what_it_imports_from_its_own_folder(tmp_path):
    write(
        tmp_path,
        pairs="import numpy as np, os.path\nimport one\nfrom two import x\nfrom pack import inner\ndef f():\n    import three\n",
        one="import four as f\nimport pairs\n",
        two="x = 1",
        three="",
        four="",
        five="",
    )
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from . import other\n")
    (tmp_path / "pack" / "inner.py").write_text("from .deep import y\nfrom .. import nothing\n")
    for name in ("other", "deep", "unused"):
        (tmp_path / "pack" / f"{name}.py").write_text("")
    found = [path for path in sources(tmp_path / "pairs.py") if path.exists()]
    assert names(tmp_path, found) == [
        "four.py", "one.py", "pack/__init__.py", "pack/deep.py", "pack/inner.py", "pack/other.py", "pairs.py", "three.py", "two.py",
    ]  # fmt: skip


def test_a_module_that_is_not_there_yet_belongs_to_it_and_a_mistake_is_no_obstacle(tmp_path):
    write(tmp_path, pairs="import soon\nimport broken\n", broken="def f(:\n")
    assert names(tmp_path, sources(tmp_path / "pairs.py")) == ["broken.py", "pairs.py", "soon.py"]
    write(tmp_path, pairs="def f(:\n")
    assert names(tmp_path, sources(tmp_path / "pairs.py")) == ["pairs.py"]


class Clock:
    """Sleeps by doing what comes next instead; then Ctrl-C."""

    def __init__(self, *events):
        self.events = list(events)

    def __call__(self, seconds):
        event = self.events.pop(0) if self.events else ending
        if event is not None:
            event()


def ending():
    raise KeyboardInterrupt


def watched(path, *events):
    """Watch while events happen; returns the number of runs and what was told."""
    runs, told = [], []
    with pytest.raises(KeyboardInterrupt):
        watching.watch(path, lambda: runs.append(1) or len(runs), told.append, sleep=Clock(*events))
    return len(runs), told


def test_it_runs_again_when_the_file_or_a_module_is_saved(tmp_path):
    path = tmp_path / "pairs.py"
    write(tmp_path, pairs="import one\n", one="")
    runs, told = watched(
        path, None, lambda: write(tmp_path, one="x = 1\n"), None, lambda: write(tmp_path, pairs="y = 22\n"), None
    )
    assert runs == 3
    assert told == [
        f"gradlock: exit code 1; watching {path} and 1 of its modules, Ctrl-C ends",
        f"gradlock: exit code 2; watching {path} and 1 of its modules, Ctrl-C ends",
        f"gradlock: exit code 3; watching {path}, Ctrl-C ends",
    ]


def test_it_waits_for_a_file_that_is_written_in_several_goes_or_is_gone_for_a_moment(tmp_path):
    path = tmp_path / "pairs.py"
    write(tmp_path, pairs="x = 1\n")
    goes = [lambda: write(tmp_path, pairs="x"), lambda: write(tmp_path, pairs="x = 2 + 2\n"), None]
    assert watched(path, *goes)[0] == 2
    assert watched(path, path.unlink, None, None, lambda: write(tmp_path, pairs="x = 3\n"), None, None)[0] == 2


def test_nothing_happens_while_nothing_is_saved(tmp_path):
    write(tmp_path, pairs="x = 1\n", other="")
    assert watched(tmp_path / "pairs.py", None, lambda: write(tmp_path, other="y"), None, None)[0] == 1


def test_a_change_during_a_run_is_not_missed(tmp_path):
    path = tmp_path / "pairs.py"
    write(tmp_path, pairs="x = 1\n")
    runs = []

    def run():
        runs.append(1)
        if len(runs) == 1:
            write(tmp_path, pairs="changed = 1\n")
        return 0

    with pytest.raises(KeyboardInterrupt):
        watching.watch(path, run, lambda text: None, sleep=Clock(None))
    assert len(runs) == 2


@pytest.mark.skipif(os.name == "nt", reason="a signal of POSIX stands for Ctrl-C")
def test_from_the_command_line_each_run_is_a_process_of_its_own_and_ctrl_c_ends_it(tmp_path):
    write(tmp_path, pairs="first(\n")  # a mistake in the syntax is found before PyTorch is imported
    code = "from compare.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "check", "--watch", "--quiet", "--seed", "3", "pairs.py"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    guard = threading.Timer(60, process.kill)
    guard.start()
    try:
        lines = [process.stderr.readline() for _ in range(2)]
        write(tmp_path, pairs="second[\n")
        lines += [process.stderr.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
    finally:
        guard.cancel()
        process.kill()
        process.stderr.close()
        process.wait()
    told = "gradlock: exit code 2; watching pairs.py, Ctrl-C ends\n"
    assert lines == [
        "gradlock: pairs.py line 1: SyntaxError: '(' was never closed: first(\n", told,
        "gradlock: pairs.py line 1: SyntaxError: '[' was never closed: second[\n", told,
    ]  # fmt: skip
    assert rest.strip() == "gradlock: interrupted"
