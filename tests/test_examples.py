"""The examples of all docstrings, run as doctests.

The docstring of ``manual`` and that of ``torch_ref`` have the imports that their examples take for granted. An example
sees these names and no others, so it is true for a reader too. An example within ``compare`` sees its own module.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("manual", "torch_ref", "compare")
FLAGS = doctest.NORMALIZE_WHITESPACE


def modules() -> Iterator[str]:
    """The modules that have an example; told by the text, so that collecting imports none of them."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            if (">>> " in text and _in_a_docstring(text)) or "pooling_examples import EXAMPLES" in text:
                path = file.relative_to(ROOT).with_suffix("")
                yield ".".join(path.parts[:-1] if path.name == "__init__" else path.parts)


def _in_a_docstring(text: str) -> bool:
    """Whether a docstring has an example, and not only some other string."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    return any(doctest.DocTestParser().get_examples(ast.get_docstring(node) or "") for node in nodes)


def granted(package: str) -> dict[str, Any]:
    """The names that the examples of a package take for granted."""
    names: dict[str, Any] = {"__name__": "__main__"}
    text = inspect.getdoc(importlib.import_module(package)) or ""
    for example in doctest.DocTestParser().get_examples(text):
        exec(example.source, names)
    return names


def failures(tests: list[doctest.DocTest]) -> tuple[int, str]:
    """How many examples ran, and the report of those that failed."""
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    report: list[str] = []
    for test in tests:
        runner.run(test, out=report.append)
    return runner.tries, "".join(report)


@pytest.mark.parametrize("path", list(modules()))
def test_examples(path: str) -> None:
    module = importlib.import_module(path)
    with np.printoptions():
        names = dict(vars(module)) if path.startswith("compare.") else granted(path.split(".")[0])
        finder = doctest.DocTestFinder(exclude_empty=True)
        tests = [test for test in finder.find(module, path, globs=names) if test.examples]
        tried, report = failures(tests)
    assert tried, f"{path} has an example that no docstring holds"
    assert not report, report


@pytest.mark.parametrize(
    ("docstring", "tried", "says"),
    [
        pytest.param(">>> np.arange(2) * 2\narray([0, 2])", 1, "", id="right"),
        pytest.param(">>> np.arange(2) * 2\narray([0, 3])", 1, "array([0, 3])", id="wrong value"),
        pytest.param(">>> nowhere", 1, "NameError", id="a name that is not granted"),
        pytest.param(
            ">>> 1 / 0\nTraceback (most recent call last):\nZeroDivisionError: division by zero", 1, "", id="raises"
        ),
    ],
)
def test_a_wrong_example_fails(docstring: str, tried: int, says: str) -> None:
    test = doctest.DocTestParser().get_doctest(docstring, {"np": np}, "planted", None, 0)
    counted, report = failures([test])
    assert counted == tried
    assert says in report if says else not report
