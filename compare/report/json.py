"""JSON: the records as they are, held to a schema that ships with the package."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

__all__ = ["schema", "to_json"]


def to_json(record: dict[str, Any]) -> str:
    """Strict JSON, two spaces deep, ending in a newline."""
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a report."""
    found: dict[str, Any] = json.loads(files("compare.report").joinpath("schema.json").read_text(encoding="utf-8"))
    return found
