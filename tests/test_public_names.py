"""Every public name says what it takes, what it raises, and shows it.

A public name is a class or a function that a public module exports: what is in its ``__all__``, or without one what
does not begin with an underscore. Each has a docstring of its own with

- shapes: of each array; a name that takes none says so, or gives the units of its numbers,
- errors: a ``Raises`` section, or a sentence with "raises" or "refuses"; one that cannot fail says "raises nothing",
- an example: a doctest that uses the name and shows a result. ``tests/test_examples.py`` runs them all.

A class's docstring speaks for its constructor and for calling it (``forward``). Its other public methods have a docstring each, one
inherited with the method, or an op of the same name. A constant, which has no docstring, is described by its module.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import types
from collections.abc import Iterator
from typing import Any

import pytest
from tabulate import tabulate

MODULES = [
    "manual",
    "manual.nn",
    "manual.nn.functional",
    "manual.nn.init",
    "manual.nn.utils",
    "manual.nn.utils.clip_grad",
    "manual.nn.utils.convert",
    "manual.nn.utils.rnn",
    "manual.optim",
    "manual.optim.lr_scheduler",
    "manual.optim.swa_utils",
    "manual.amp",
    "manual.autograd",
    "manual.classic",
    "manual.models",
    "manual.training",
    "manual.rules",
    "manual.rules.losses",
    "torch_ref",
    "torch_ref.classic",
    "torch_ref.models",
    "torch_ref.training",
    "torch_ref.recording",
    "torch_ref.copying",
    "torch_ref.scheduling",
    "compare",
]

METHODS = (types.FunctionType, property, classmethod, staticmethod)
SHAPES = re.compile(r"\bshapes?\b|\bscalars?\b|\b[Tt]akes no arrays?\b|^Units:", re.IGNORECASE | re.MULTILINE)
ERRORS = re.compile(r"^Raises\n-+$|\b[Rr]aises\b|\b[Rr]efuse[sd]?\b", re.MULTILINE)


def public_names(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """The classes and functions that a module exports."""
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            yield name, value


def violations(name: str, thing: Any) -> list[str]:
    """What a public name's docstring lacks."""
    own = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    if not own or not own.strip():
        return ["docstring"]
    text = inspect.cleandoc(own)
    prose = re.sub(r"^\s*>>>.*?(?:\n\s*\n|\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
    lacks = []
    if not SHAPES.search(prose):
        lacks.append("shapes")
    if not ERRORS.search(prose):
        lacks.append("errors")
    examples = doctest.DocTestParser().get_examples(text)
    called = {name, getattr(thing, "__name__", name), getattr(getattr(thing, "__wrapped__", thing), "__name__", name)}
    if not any(example.want for example in examples):
        lacks.append("example")
    elif not any(re.search(rf"\b({'|'.join(called)})\b", example.source) for example in examples):
        lacks.append("example of itself")
    return lacks


def undocumented_methods(thing: type, ops: Any) -> list[str]:
    """The public methods that nothing documents."""
    missing = []
    for name, value in vars(thing).items():
        if name == "forward" or name.startswith("_") or not isinstance(value, METHODS):
            continue
        versions = [vars(parent).get(name) for parent in thing.__mro__] + [getattr(ops, name, None)]
        if not any(getattr(version, "__doc__", None) for version in versions):
            missing.append(name)
    return missing


@pytest.mark.parametrize("path", MODULES)
def test_every_public_name_has_shapes_errors_and_an_example(path: str) -> None:
    module = importlib.import_module(path)
    named = list(public_names(module))
    rows = [(f"{path}.{name}", ", ".join(lacks)) for name, thing in named if (lacks := violations(name, thing))]
    assert named, f"{path} exports nothing"
    assert not rows, f"{len(rows)} of {len(named)} names lack something:\n" + tabulate(rows, ["name", "lacks"])


@pytest.mark.parametrize("path", MODULES)
def test_every_public_method_is_documented(path: str) -> None:
    ops = importlib.import_module("manual.ops")
    rows = [
        (f"{path}.{name}", ", ".join(missing))
        for name, thing in public_names(importlib.import_module(path))
        if inspect.isclass(thing) and (missing := undocumented_methods(thing, ops))
    ]
    assert not rows, "methods without a docstring:\n" + tabulate(rows, ["class", "methods"])


GOOD = """Double ``x``.

    Shapes: ``x`` and the value alike.

    Raises
    ------
    TypeError
        If ``x`` is a string.

    Examples
    --------
    >>> double(2)
    4
    """


@pytest.mark.parametrize(
    ("docstring", "lacks"),
    [
        pytest.param(GOOD, [], id="good"),
        pytest.param(None, ["docstring"], id="none"),
        pytest.param("  ", ["docstring"], id="blank"),
        pytest.param(GOOD.replace("Shapes:", "Sizes:"), ["shapes"], id="no shapes"),
        pytest.param(GOOD.replace("Shapes: ``x`` and the value alike.", "Takes no arrays."), [], id="takes no arrays"),
        pytest.param(GOOD.replace("Raises\n    ------", "Notes\n    -----"), ["errors"], id="no errors"),
        pytest.param(GOOD.replace("Shapes:", "Raises nothing. Shapes:"), [], id="errors in a sentence"),
        pytest.param(GOOD.split("    Examples")[0], ["example"], id="no example"),
        pytest.param(GOOD.replace("    4\n", ""), ["example"], id="an example that shows nothing"),
        pytest.param(GOOD.replace("double(2)", "2 + 2"), ["example of itself"], id="an example of something else"),
        pytest.param(
            "Double.\n\n    >>> double(2)  # shape, raises\n    4\n", ["shapes", "errors"], id="words in code"
        ),
    ],
)
def test_the_check_objects_to_a_bad_docstring(docstring: str | None, lacks: list[str]) -> None:
    def double(x: Any) -> Any:
        return 2 * x

    double.__doc__ = docstring
    assert violations("double", double) == lacks


def test_a_class_does_not_pass_with_its_parents_docstring() -> None:
    class Parent:
        __doc__ = GOOD.replace("double(2)", "Child(2)")

        def call(self) -> None:
            """Said once."""

    class Child(Parent):
        def call(self) -> None: ...

        def said_by_nobody(self) -> None: ...

        def exp(self) -> None: ...

    assert violations("Child", Child) == ["docstring"]
    assert undocumented_methods(Child, importlib.import_module("manual.ops")) == ["said_by_nobody"]
