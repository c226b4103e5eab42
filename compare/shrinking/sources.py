"""A user's function or class as the lines of Python that make it available in a file of its own."""

from __future__ import annotations

import ast
import builtins
import dis
import importlib.util
import inspect
import sys
import textwrap
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from compare.batches import InputError
from compare.shrinking.literals import UnwritableError, literal, value_text
from compare.shrinking.setup import UnreadableError, read_made

__all__ = ["Sources"]


class Sources:
    """Gathers imports and definitions for a file.

    Attributes
    ----------
    imports : list of lines
    definitions : list of the sources that the file defines itself, what is needed by others first
    """

    def __init__(self) -> None:
        self.imports: list[str] = []
        self.definitions: list[str] = []
        self._defined: dict[str, Any] = {}

    def expression(self, value: Any, name: str) -> str:
        """Python that stands for a value: a function or class by import or copied, a module rebuilt, data literally.

        Parameters
        ----------
        value : what the argument called ``name`` was

        Raises
        ------
        InputError
            If it cannot be written.
        """
        if isinstance(value, nn.Module):
            return self._module(value, name)
        if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            return self._code(value, name)
        try:
            return literal(value)
        except UnwritableError:
            raise InputError(
                f"{name} is an object of {type(value).__name__}, which no line of Python makes again; to have the case "
                "written hand in a function or a class that makes it"
            ) from None

    def _import(self, line: str) -> None:
        if line not in self.imports:
            self.imports.append(line)

    def _module(self, module: nn.Module, name: str) -> str:
        """A layer of PyTorch with its values."""
        try:
            made = read_made(module)
        except UnreadableError as error:
            raise InputError(f"{name} cannot be written: {error}") from error
        values = {key: value.detach().numpy() for key, value in module.state_dict().items()}
        options = ", ".join(f"{key}={_option(value)}" for key, value in made.options.items())
        dtype = next((v.dtype for v in values.values() if v.dtype.kind == "f"), np.dtype(np.float32))
        self._import("import torch")
        lines = [f"{name} = torch.nn.{made.name}({options})" + (f".to(torch.{dtype})" if dtype != "float32" else "")]
        if values:
            self._import("import numpy as np")
            lines.append(f"VALUES = {literal(values)}")
            lines.append(f"{name}.load_state_dict({{key: torch.tensor(value) for key, value in VALUES.items()}})")
        self.definitions.append("\n".join(lines))
        return name

    def _code(self, value: Any, name: str) -> str:
        called = getattr(value, "__name__", "")
        for home, path in (
            (torch.optim, "torch.optim"),
            (nn, "torch.nn"),
            (torch.nn.functional, "torch.nn.functional"),
        ):
            if getattr(home, called, None) is value:
                self._import("import torch")
                return f"{path}.{called}"
        module = getattr(value, "__module__", "") or ""
        if module.split(".")[0] == "manual" and getattr(__import__("manual.optim").optim, called, None) is value:
            self._import("import manual.optim")
            return f"manual.optim.{called}"
        if _importable(module, called, value):
            self._import(f"from {module} import {called}")
            return str(called)
        return self._copied(value, name)

    def _copied(self, value: Any, name: str) -> str:
        """The source of a function or class, with what it uses."""
        called = getattr(value, "__name__", name)
        if called in self._defined and self._defined[called] is value:
            return str(called)
        free = getattr(getattr(value, "__code__", None), "co_freevars", ())
        if free:
            raise InputError(
                f"{called} holds {', '.join(free)} of the function around it, so it can be neither imported nor "
                "copied; define it at the top of a module"
            )
        try:
            source = textwrap.dedent(inspect.getsource(value))
            tree = _tree_of(source, called)
        except (OSError, TypeError, SyntaxError) as error:
            raise InputError(f"the source of {name} ({called}) is not to be had; define it in a module") from error
        if called == "<lambda>":
            called = name
            source = f"{name} = {ast.unparse(tree)}"
        self._defined[called] = value
        names = set(_globals_of(compile(source, called, "exec")))
        scope = getattr(value, "__globals__", None) or vars(sys.modules.get(value.__module__, builtins))
        for used in sorted(name for name in names & set(scope) - {called} if not name.startswith("__")):
            self._needed(used, scope[used], called)
        self.definitions.append(source.rstrip())
        return str(called)

    def _needed(self, used: str, value: Any, by: str) -> None:
        """What a copied function finds in its module."""
        if isinstance(value, types.ModuleType):
            path = value.__name__
            self._import(f"import {path}" if path == used else f"import {path} as {used}")
            return
        if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            text = self._code(value, used)
            if text != used:
                self.definitions.append(f"{used} = {text}")
            return
        try:
            text = literal(value)
        except UnwritableError:
            raise InputError(
                f"{by} uses {used}, an object of {type(value).__name__}, so it cannot be copied; define {by} in a "
                "module"
            ) from None
        if "np." in text:
            self._import("import numpy as np")
        self.definitions.append(f"{used} = {text}")


def _option(value: Any) -> str:
    text = literal(value) if isinstance(value, np.ndarray) else value_text(value)
    return f"torch.tensor({text})" if isinstance(value, np.ndarray) else text


def _importable(module: str, called: str, value: Any) -> bool:
    """Whether another process finds the same thing under that name."""
    if not module or module == "__main__" or getattr(sys.modules.get(module), called, None) is not value:
        return False
    try:
        return importlib.util.find_spec(module) is not None
    except (ValueError, ImportError):
        return False


def _globals_of(code: types.CodeType) -> Iterator[str]:
    """The names that code looks for outside of its functions; what is local to one of them is not among them."""
    attributes = ("LOAD_GLOBAL", "LOAD_NAME")
    yield from (str(found.argval) for found in dis.get_instructions(code) if found.opname in attributes)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_of(constant)


def _tree_of(source: str, called: str) -> ast.AST:
    """The syntax of a function; of a lambda the expression, if the statement holds just one.

    Raises
    ------
    SyntaxError
        If a lambda stands beside others, or in the middle of a statement.
    """
    if called != "<lambda>":
        return ast.parse(source)
    try:
        tree = ast.parse(source)
    except SyntaxError:
        tree = ast.parse(f"({source.strip().rstrip(',')})")
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    if len(found) != 1:
        raise SyntaxError("more than one lambda")
    return found[0]
