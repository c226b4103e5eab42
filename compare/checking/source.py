"""Where a user's code stands: file and line, for annotations and for reports that link to it."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Source", "source_of"]

_PACKAGES = [Path(__file__).parents[2] / name for name in ("compare", "manual", "torch_ref")]


class Source(NamedTuple):
    """A file and a line in it, counted from 1."""

    file: str
    line: int

    def record(self, folder: Path) -> dict[str, Any]:
        """As plain data, the file relative to a folder where it lies in it."""
        path, folder = Path(self.file), folder.resolve()
        return {
            "file": (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix(),
            "line": self.line,
        }


def source_of(value: Any) -> Source | None:
    """Where a function or a class is written, or the class of an object.

    Returns
    -------
    Source or None
        ``None`` where there is no file, or it is not the user's own: an installed package, or gradlock itself.
    """
    while isinstance(value, functools.partial):
        value = value.func
    if callable(value):
        value = inspect.unwrap(value)
    code = getattr(value, "__code__", None)
    if code is not None:
        file, line = code.co_filename, code.co_firstlineno
    else:
        kind = value if isinstance(value, type) else type(value)
        try:
            file, line = inspect.getsourcefile(kind), inspect.getsourcelines(kind)[1]
        except (TypeError, OSError):
            return None
    path = Path(file or "")
    own = path.is_file() and not ({"site-packages", "dist-packages"} & set(path.parts))
    if not own or any(path.is_relative_to(package) for package in _PACKAGES):
        return None
    return Source(str(path.resolve()), line)
