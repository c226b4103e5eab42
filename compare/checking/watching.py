"""Running again when a file is saved: its sources are looked at a few times a second."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from compare.checking.sources import sources

__all__ = ["in_a_fresh_process", "watch"]

INTERVAL = 0.2
_ROOT = str(Path(__file__).parents[2])
_START = """
import sys

root = sys.argv.pop(1)
if root not in sys.path:
    sys.path.insert(0, root)
from compare.cli import main

main()
"""

State = dict[Path, tuple[int, int] | None]


def watch(
    path: Path, run: Callable[[], int], tell: Callable[[str], None], *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Call ``run`` now and after every change of a file's sources; ends with a ``KeyboardInterrupt`` only.

    Parameters
    ----------
    path : the file
    run : runs it once and returns the exit code
    tell : gets a line about what is going on
    sleep : waits for so many seconds
    """
    while True:
        state = _state(sources(path))
        code = run()
        others = sum(found is not None for found in state.values()) - (state.get(path.resolve()) is not None)
        modules = f" and {others} of its modules" if others else ""
        tell(f"gradlock: exit code {code}; watching {path}{modules}, Ctrl-C ends")
        while _state(state) == state:
            sleep(INTERVAL)
        _settle(path, sleep)


def _settle(path: Path, sleep: Callable[[float], None]) -> None:
    """Wait until the file is there and all its sources have rested: an editor writes in several goes."""
    while True:
        before = _state(sources(path))
        sleep(INTERVAL / 2)
        if before[path.resolve()] is not None and _state(sources(path)) == before:
            return


def _state(files: set[Path] | State) -> State:
    """When each file was written and how long it is; ``None`` where there is none."""
    found: State = {}
    for file in files:
        try:
            status = file.stat()
        except OSError:
            found[file] = None
        else:
            found[file] = (status.st_mtime_ns, status.st_size)
    return found


def in_a_fresh_process(arguments: Sequence[str]) -> int:
    """Run the program in a process of its own, so that nothing is remembered of an earlier run.

    The process is out of the terminal's reach: Ctrl-C comes to this one, which ends the other and says so once.
    """
    command = [sys.executable, "-c", _START, _ROOT, *arguments]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            return process.wait()
        except BaseException:
            process.kill()
            raise
