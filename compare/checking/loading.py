"""A user's file: run once, and its ``check_*`` functions found in the order in which they are defined."""

from __future__ import annotations

import importlib.util
import inspect
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

from compare.batches import InputError
from compare.checking.source import Source, source_of

__all__ = ["PREFIX", "Check", "checks_in", "load", "matching", "read", "start_generators"]

PREFIX = "check_"
_EXAMPLE = "def check_ridge(): return compare.gradients(ridge, ridge_torch, inputs)"
_OURS = ("compare", "manual", "torch_ref")


@dataclass(frozen=True)
class Check:
    """One function ``check_*`` of a file."""

    name: str
    function: Callable[[], Any]
    source: Source | None


def read(path: Path) -> Any:
    """A file's compiled source; needs neither NumPy nor PyTorch.

    Raises
    ------
    InputError
        If there is no such file, or it is no Python. The message is one line.
    """
    try:
        folder, there = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:  # a name too long, or with a NUL in it
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if folder:
        raise InputError(f"{path} is a folder; name a file of Python in it")
    if not there:
        raise InputError(f"there is no file {path}{_near(path)}")
    if path.suffix == ".ipynb":
        raise InputError(f"{path} is a notebook, no file of Python; save it as one (jupyter nbconvert --to script)")
    if path.suffix != ".py":
        raise InputError(f"{path} is no file of Python: its name does not end in .py")
    try:
        return compile(path.read_bytes(), str(path.resolve()), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise InputError(_syntax(path, error)) from error
    except ValueError as error:
        raise InputError(f"{path} is no file of Python: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def load(path: Path, seed: int = 0) -> ModuleType:
    """Run a file as a module; its folder comes first where it imports from, and the generators start from the seed.

    Raises
    ------
    InputError
        If it cannot be read, or raises. The message is one line that says where.
    """
    code = read(path)
    for name in ("torch", "manual", "torch_ref"):  # before a file of such a name in the user's folder can hide them
        importlib.import_module(name)
    start_generators(seed)
    path = path.resolve()
    name = path.stem if path.stem not in sys.modules else f"{path.stem} (checked)"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    sys.modules[name] = module  # where dataclasses and their like look it up
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(_raised(path, error)) from error
    return module


def start_generators(seed: int) -> None:
    """Start Python's, NumPy's and PyTorch's generators from a seed, so that a check finds the same in every run."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the one that a user's code may draw from
    torch.manual_seed(seed)


def checks_in(module: ModuleType, path: Path) -> list[Check]:
    """The checks that a file defines.

    Raises
    ------
    InputError
        If there is none, or one cannot be called without arguments.
    """
    found = []
    for name, value in vars(module).items():
        if not name.startswith(PREFIX) or str(getattr(value, "__module__", "")).partition(".")[0] in _OURS:
            if name.startswith(PREFIX) and type(value).__name__ == "Report":
                raise InputError(f"{path}: {name} is a report; make it a function: def {name}(): return ...")
            continue
        if not callable(value):
            continue
        needed = _needed(value)
        if needed:
            raise InputError(
                f"{path}: {name} takes arguments ({', '.join(needed)}), and a check takes none; give them defaults, or "
                f"let its name not begin with {PREFIX}"
            )
        found.append(Check(name, value, source_of(value)))
    if not found:
        raise InputError(f"{path} defines no check: a function whose name begins with {PREFIX}{_meant(module)}")
    return found


def matching(checks: Sequence[Check], pattern: str) -> list[Check]:
    """The checks whose name fits a pattern, with or without ``check_``.

    Raises
    ------
    InputError
        If none does.
    """
    chosen = [
        one for one in checks if fnmatchcase(one.name, pattern) or fnmatchcase(one.name.removeprefix(PREFIX), pattern)
    ]
    if not chosen:
        raise InputError(f"no check matches {pattern!r}; there are {', '.join(one.name for one in checks)}")
    return chosen


# -- what is said when it cannot be read -------------------------------------------------------------------------------


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f": the folder {path.parent} does not exist"
    names = [one.name for one in path.parent.glob("*.py")]
    close = get_close_matches(path.name, names, 1, 0.6) or get_close_matches(f"{path.name}.py", names, 1, 0.6)
    if close:
        return f"; did you mean {path.with_name(close[0])}?"
    return f"; `gradlock new {path.stem}` writes one to start from" if path.stem.isidentifier() else ""


def _syntax(path: Path, error: SyntaxError) -> str:
    other = error.filename and Path(error.filename).name != path.name
    where = f"{Path(error.filename or '').name if other else path}" + (f" line {error.lineno}" if error.lineno else "")
    text = f": {error.text.strip()}" if error.text and error.text.strip() else ""
    return f"{where}: {type(error).__name__}: {error.msg}{text}"


def _raised(path: Path, error: BaseException) -> str:
    """What a file raised while it was run, with the line of its own that led there."""
    if isinstance(error, SyntaxError):  # of a module that it imports
        return f"{path.name} cannot be imported: {_syntax(path, error)}"
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    where = path.name + (f" line {lines[-1]}" if lines else "")
    if isinstance(error, SystemExit):
        return f"{where}: the file ends the program when it is imported; put that under if __name__ == '__main__':"
    said = " ".join(str(error).split())
    tip = ""
    if isinstance(error, ImportError):
        tip = _import_tip(path, error)
    return f"{where}: {type(error).__name__}: {said}{tip}"


def _import_tip(path: Path, error: ImportError) -> str:
    top = (error.name or "").partition(".")[0]
    if top in _OURS and (path.with_name(f"{top}.py").exists() or path.with_name(top).is_dir()):
        return f"; {top} is a package of gradlock's own: give your {top} another name"
    if isinstance(error, ModuleNotFoundError) and top:
        return f"; install it beside gradlock ({sys.executable} -m pip install ...), or put {top}.py into {path.parent}"
    return ""


def _needed(function: Any) -> list[str]:
    """The arguments that a function cannot do without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in kinds]


def _meant(module: ModuleType) -> str:
    """Which function may have been meant, or what one looks like."""
    functions = [name for name, value in vars(module).items() if inspect.isfunction(value)]
    near = [name for name in functions if name.lower().lstrip("_").startswith(("check", "test_"))]
    if near:
        tail = near[0].lower().lstrip("_").removeprefix("check").removeprefix("test_").lstrip("_")
        return f"; call {near[0]} {PREFIX}{tail or 'it'} instead"
    return f", such as {_EXAMPLE}"
