"""The pages of the API: which names they show, and where each is defined. mkdocstrings writes what they say."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any

from markup import as_markdown

__all__ = ["PAGES", "api_page", "public_names"]

PAGES = {
    "compare": ["compare.side", "compare.tolerance", "compare.measured"],
    "manual": ["manual.autograd"],
    "manual.nn": [],
    "manual.nn.functional": [],
    "manual.nn.init": [],
    "manual.nn.utils": ["manual.nn.utils.rnn"],
    "manual.optim": [],
    "manual.optim.lr_scheduler": [],
    "manual.optim.swa_utils": [],
    "manual.rules": [],
    "manual.rules.losses": [],
    "manual.training": [],
    "manual.classic": ["manual.classic." + name for name in (
        "model", "linear_regression", "logistic_regression", "one_vs_all", "softmax_regression", "linear_svm",
        "sigmoid_network", "gates", "gradient_descent", "conversions", "functions",
    )],
    "manual.models": [],
    "manual.amp": [],
    "torch_ref": ["torch_ref.training", "torch_ref.recording"],
    "torch_ref.classic": ["torch_ref.classic." + name for name in (
        "model", "linear_regression", "logistic_regression", "one_vs_all", "softmax_regression", "linear_svm",
        "sigmoid_network",
    )],
    "torch_ref.models": [],
}  # fmt: skip
"""Per page the package, and the modules whose public names are shown on it as well."""

SHOWN_WHOLE = {"compare.side.Side"}
"""Classes whose members say all by their names and types."""

_WITH_MEMBERS = "\n    options:\n      show_if_no_docstring: true"


def api_page(package: str) -> str:
    """The Markdown of one page: what the package is, then every public name of it."""
    parts = [f"# {package}", _introduction(import_module(package))]
    shown: set[str] = set()
    for name in (package, *PAGES[package]):
        module = import_module(name)
        names = public_names(module)
        defined = {one: _home(module, one) for one in names}
        here = {one: home for one, home in defined.items() if home and _belongs(home, package) and home not in shown}
        elsewhere = {one: home for one, home in defined.items() if home and not _belongs(home, package)}
        if name != package and here:
            parts += [f"## {name}", _introduction(module)]
        shown.update(here.values())
        parts += [f"::: {home}{_WITH_MEMBERS * (home in SHOWN_WHOLE)}" for home in dict.fromkeys(here.values())]
        if elsewhere:
            parts += ["## The ops", "Each is a rule, lifted from arrays to tensors.", _table(module, elsewhere)]
        others = {one: home for one, home in defined.items() if home in shown and one != home.rpartition(".")[2]}
        parts += [
            f"`{one}` is [`{home.rpartition('.')[2]}`][{home}] under another name." for one, home in others.items()
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def public_names(module: ModuleType) -> list[str]:
    """What ``__all__`` lists; where there is none, the functions and classes that were defined below the module."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return [name for name in listed if not inspect.ismodule(getattr(module, name))]
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__.startswith(module.__name__ + ".")
    ]


def _home(module: ModuleType, name: str) -> str:
    """Where a name is defined: the path under which it is documented, or nothing where it cannot be said."""
    value: Any = getattr(module, name)
    if inspect.isfunction(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    return f"{module.__name__}.{name}" if not name.startswith("__") else ""


def _belongs(home: str, package: str) -> bool:
    """Whether a definition is shown on this page: a rule is shown on the page of the rules only."""
    return home.startswith("manual.rules.") == package.startswith("manual.rules")


def _introduction(module: ModuleType) -> str:
    return as_markdown(inspect.getdoc(module) or "")


def _table(module: ModuleType, homes: dict[str, str]) -> str:
    rows = []
    for name, home in sorted(homes.items()):
        summary = (inspect.getdoc(getattr(module, name)) or "").partition("\n")[0].replace("|", "\\|")
        rows.append(f"| [`{name}`][{home}] | {summary} |")
    return "\n".join(["| op | what it is |", "| --- | --- |", *rows])
