"""Run what a page of the documentation shows, and hold what it prints against what it says.

On a page, in order:

- a ``python`` block with a ``title`` is written to a file of that name; one without a title is run at once;
- a ``diff`` block changes the file that its title names: lines with ``-`` become those with ``+``;
- each line of a ``sh`` block is run; one that ends in ``# exit code N`` must end with that code, any other with 0. What
  is neither gradlock, python nor pytest must stand in the README, whose set-up commands CI runs to the letter;
- a ``text`` block is what the block before it printed, but for figures that are rounding (:func:`settled`) and for
  ``...``, which stands for anything.

``python tests/documents.py PAGE...`` writes into ``text`` blocks without ``...`` what is really printed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import linecache
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Block", "Session", "blocks", "same", "settled"]

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXACT = "init|schedule"  # phases in which nothing is rounded: the table has no digits of theirs
ROUNDED = "forward|loss|backward|deposit|accumulated|clip|slots|update|parameter|buffer"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its title, its text, and where the text lies in the page."""

    kind: str
    title: str
    text: str
    span: tuple[int, int] = (0, 0)


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page in order."""
    return [
        Block(kind, found[1] if (found := re.search(r'title="([^"]+)"', options)) else "", text, match.span(3))
        for match in FENCE.finditer(page)
        for kind, options, text in [match.groups()]
    ]


class Session:
    """Runs the blocks of one page, one after the other, in a folder of its own; that folder is made the current one."""

    def __init__(self, folder: Path):
        self.folder = folder
        os.chdir(folder)

    def run(self, block: Block) -> str:
        """What the block prints.

        Raises
        ------
        AssertionError
            If a command ends otherwise than the page says.
        """
        if block.kind == "sh":
            return "".join(self._command(line) for line in block.text.splitlines() if line.strip())
        if block.kind == "diff":
            return self._change(block)
        if block.kind != "python":
            raise AssertionError(f"nobody knows how to run a block of {block.kind}")
        if block.title:
            (self.folder / block.title).write_text(block.text, encoding="utf-8")
            return ""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block.text, "page", "exec"), {"__name__": "page"})
        return printed.getvalue()

    def _change(self, block: Block) -> str:
        file = self.folder / block.title
        lines = block.text.splitlines()
        old, new = ("\n".join(line[1:] for line in lines if line[0] == sign) for sign in "-+")
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{block.title} does not have, or has more than once:\n{old}"
        file.write_text(text.replace(old, new), encoding="utf-8")
        return ""

    def _command(self, line: str) -> str:
        wanted = int(found[1]) if (found := re.search(r"# exit code (\d+)$", line)) else 0
        program, *arguments = shlex.split(line, comments=True)
        if program not in ("gradlock", "python", "pytest"):
            assert line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines(), f"README does not say: {line}"
            return ""
        if program == "pytest":
            code, printed = _pytest(arguments, self.folder)
        else:
            with _importing_from(self.folder):
                code, printed = _in_process(program, arguments)
        assert code == wanted, f"{line!r} ends with {code}, not with {wanted}:\n{printed}"
        return printed


@contextlib.contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let scripts import the page's files, and forget those afterwards: the page may change them."""
    path, writes = list(sys.path), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, writes
        for file in folder.glob("*.py"):
            sys.modules.pop(file.stem, None)
        linecache.clearcache()


def _in_process(program: str, arguments: list[str]) -> tuple[int, str]:
    """Run gradlock or a script here, where PyTorch is loaded already; the exit code and all that is printed."""
    from compare.cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            if program == "python":
                runpy.run_path(arguments[0], run_name="__main__")
            else:
                main(arguments)
        except SystemExit as end:
            return int(end.code or 0), printed.getvalue()
    return 0, printed.getvalue()


def _pytest(arguments: list[str], folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip
    return done.returncode, done.stdout


def same(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed, but for rounding and for what it leaves out as ``...``."""
    pieces = [re.escape(piece) for piece in re.split(r" ?\.\.\.(?: |$)", settled(shown), flags=re.MULTILINE)]
    return re.fullmatch(r"\s*" + ".*?".join(pieces) + r"\s*", settled(printed), re.DOTALL) is not None


def settled(text: str) -> str:
    """A text without what may differ between two honest machines.

    That is: sizes of rounding and their multiples (two digits and an exponent, such as ``1.3e-17``), counts of ulp,
    the columns *worst* and *digits*, and digits beyond the eighth; times; and the widths of columns.
    """
    text = re.sub(r"\b\d+ ulp\b", "# ulp", text)
    text = re.sub(r"agree on [\d.]+ digits", "agree on # digits", text)
    text = re.sub(rf"(?m)^((?:{EXACT})(?: +\d+){{3}}) +\S+", r"\1 #", text)
    text = re.sub(rf"(?m)^((?:{ROUNDED})(?: +\d+){{3}}) +\S+ +1?\d(?:\.\d)?(?!\S)", r"\1 # #", text)
    text = re.sub(r"\bin \d+\.\d+s\b", "in # s", text)
    text = re.sub(r"-?\b\d+\.\d{6,}(?:e[+-]\d+)?\b", lambda found: f"{float(found[0]):.8g}", text)
    text = re.sub(r"\b(?:\d\.\de[+-]\d+|0(?= of the difference))", "#", text)
    text = re.sub(r"-{3,}|={3,}", "---", text)
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines() if line.strip())


def rewrite(path: Path, folder: Path) -> str:
    """The page with what is really printed; a block with ``...`` is left, and named if it is wrong."""
    page = path.read_text(encoding="utf-8")
    session, printed, new = Session(folder), "", page
    for block in blocks(page):
        if block.kind != "text":
            printed = session.run(block)
        elif not same(block.text, printed):
            if "..." in block.text:
                print(f"{path}: set right by hand:\n{block.text}\n--- is really\n{printed}", file=sys.stderr)
            else:
                new = new.replace(block.text, printed.strip("\n") + "\n", 1)
    return new


if __name__ == "__main__":
    import tempfile

    for argument in sys.argv[1:]:
        target = Path(argument).resolve()
        with tempfile.TemporaryDirectory() as scratch:
            target.write_text(rewrite(target, Path(scratch)), encoding="utf-8")
            os.chdir(ROOT)
