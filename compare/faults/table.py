"""The published table of faults and controls, read without importing what runs them."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["table"]


@cache
def table() -> dict[str, Any]:
    """What ``faults.json`` holds: ``faults`` and ``controls``, lists of records with a ``name`` each."""
    found: dict[str, Any] = json.loads(files("compare.faults").joinpath("faults.json").read_text(encoding="utf-8"))
    return found
