"""What mkdocstrings reads of the code, set right for the site.

Docstrings become Markdown. Functions that are made by other functions (the poolings) are looked at as they are at run
time: reading the source alone shows an assignment.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import griffe
from markup import as_markdown

__all__ = ["Docstrings"]


class Docstrings(griffe.Extension):
    """Turns every docstring that is read into Markdown, before its sections are taken apart."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_module(self, *, mod: griffe.Module, **_: Any) -> None:
        """Put functions where the source has an assignment that makes one."""
        if not mod.path.startswith("manual."):
            return
        module = import_module(mod.path)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            made_here = inspect.isfunction(value) and value.__module__ == module.__name__
            if made_here and (name not in mod.members or mod.members[name].is_attribute):
                mod.set_member(name, _made(name, value, mod))


def _made(name: str, value: Any, parent: griffe.Module) -> griffe.Function:
    """A function as run time shows it."""
    parameters = griffe.Parameters(
        *(
            griffe.Parameter(
                one.name,
                kind=griffe.ParameterKind[one.kind.name.lower()],
                annotation=None if one.annotation is one.empty else str(one.annotation),
                default=None if one.default is one.empty else repr(one.default),
            )
            for one in inspect.signature(value).parameters.values()
        )
    )
    returns = inspect.signature(value).return_annotation
    made = griffe.Function(
        name, parameters=parameters, returns=None if returns is inspect.Signature.empty else str(returns)
    )
    made.parent = parent
    made.docstring = griffe.Docstring(as_markdown(inspect.getdoc(value) or ""), parent=made)
    return made
