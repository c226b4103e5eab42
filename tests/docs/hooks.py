"""The code that makes pages of the site, as modules: it lies beside the pages, where mkdocs finds it."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from ..documents import ROOT

__all__ = ["HOOKS", "hook"]

HOOKS = ROOT / "docs" / "hooks"


def hook(name: str) -> ModuleType:
    """One of the files in ``docs/hooks``; they import each other by their plain names."""
    path = list(sys.path)
    sys.path.insert(0, str(HOOKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = path
