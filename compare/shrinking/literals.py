"""Values as the Python text that makes them again, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["UnwritableError", "literal", "value_text"]

_WIDTH = 100


class UnwritableError(ValueError):
    """A value that no line of Python can make again; the message says which."""


def literal(value: Any) -> str:
    """An array, or a dict, list or tuple of arrays, as text; every number is read back as it was.

    Examples
    --------
    >>> literal(np.array([[1.5, 2.0]], np.float32))
    'np.array([[1.5, 2.0]], dtype=np.float32)'
    >>> print(literal({"w": np.array([1, 2])}))
    {"w": np.array([1, 2])}
    """
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, Mapping):
        return _joined([f"{_quoted(key)}: {literal(item)}" for key, item in value.items()], "{", "}")
    if isinstance(value, list):
        return _joined([literal(item) for item in value], "[", "]")
    if isinstance(value, tuple):
        return _joined([literal(item) for item in value], "(", ",)" if len(value) == 1 else ")")
    return value_text(value)


def value_text(value: Any) -> str:
    """An option as text: a number, a string, a function by its name, or a container of those.

    Raises
    ------
    UnwritableError
        If it is anything else.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        return value_text(value.item()) if np.ndim(value) == 0 else literal(value)
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, (bool, int)):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if np.isfinite(value) else f'float("{value}")'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(key)}: {value_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        inside = ", ".join(map(value_text, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    if callable(value) and hasattr(value, "__name__") and value.__name__.isidentifier():
        return str(value.__name__)
    raise UnwritableError(f"{value!r} cannot be written as Python text")


def _quoted(key: Any) -> str:
    text = repr(key)
    return f'"{text[1:-1]}"' if isinstance(key, str) and not set(text[1:-1]) & {'"', "\\", "'"} else text


def _array(value: np.ndarray) -> str:
    if value.dtype.kind not in "fiub":
        raise UnwritableError(f"an array of dtype {value.dtype} cannot be written as Python text")
    if not value.size:
        return f"np.zeros({value.shape}, dtype=np.{value.dtype})"
    usual = value.dtype in (np.float64, np.int64, np.bool_)
    more = "" if usual else f", dtype=np.{value.dtype}"
    return f"np.array({_numbers(value)}{more})"


def _numbers(value: np.ndarray) -> str:
    if not value.ndim:
        return _number(value[()])
    return _joined([_numbers(item) for item in value], "[", "]")


def _number(value: Any) -> str:
    if value.dtype.kind == "f" and not np.isfinite(value):
        return {"nan": "np.nan", "inf": "np.inf", "-inf": "-np.inf"}[str(value)]
    return str(value)


def _joined(parts: list[str], opening: str, closing: str) -> str:
    """On one line if it is short, else one part to a line."""
    line = opening + ", ".join(parts) + closing
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    if all(len(part) < 28 and "\n" not in part for part in parts):  # numbers, as many to a line as there is room for
        lines, row = [], ""
        for part in parts:
            if row and len(row) + len(part) > _WIDTH - 4:
                lines.append(row.rstrip())
                row = ""
            row += f"{part}, "
        inside = "\n".join([*lines, row.rstrip()])
    else:
        inside = "".join(f"{part},\n" for part in parts).rstrip("\n")
    return opening + "\n" + _indented(inside) + "\n" + closing.lstrip(",")


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.split("\n"))
