"""Which files a Python file consists of: itself, and what it imports from its own folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

__all__ = ["sources"]


def sources(path: Path) -> set[Path]:
    """A file and the modules that it imports from its own folder, and those that they import from there.

    Read from the text, so that a file with a mistake in it is no obstacle, and an import inside a function counts. A
    module that is not there yet, and not installed, counts too: as soon as it is written it belongs to them.
    """
    folder = path.resolve().parent
    found: set[Path] = set()
    waiting = [path.resolve()]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        waiting += [one for name in _imported(file, folder) for one in _homes(folder, name)]
    return found


def _imported(file: Path, folder: Path) -> Iterator[str]:
    """The dotted names that a file imports; nothing where it cannot be read."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    package = file.parent.relative_to(folder).parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" if module else alias.name for alias in node.names)


def _homes(folder: Path, name: str) -> Iterator[Path]:
    """The files of a dotted name and of the packages around it, in this folder."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:length])
        package = place / "__init__.py"
        if package.is_file():
            yield package
        elif place.with_suffix(".py").is_file():
            yield place.with_suffix(".py")
        elif length == 1 and not place.is_dir():
            yield place.with_suffix(".py")
            return
