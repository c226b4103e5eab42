"""JSON: the records as they are, held to a schema that ships with the package."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from compare.report.histories import HISTORY

__all__ = ["schema", "to_json"]


def to_json(record: dict[str, Any]) -> str:
    """Strict JSON, two spaces deep, ending in a newline; without the histories, which only a page shows."""
    return json.dumps(_without_histories(record), indent=2, allow_nan=False) + "\n"


def _without_histories(record: dict[str, Any]) -> dict[str, Any]:
    if "experiments" not in record:
        return record
    kept = []
    for one in record["experiments"]:
        walks = {
            kind: [{key: value for key, value in walk.items() if key != HISTORY} for walk in one[kind]]
            for kind in ("scenarios", "contrasts")
        }
        kept.append({**one, **walks})
    return {**record, "experiments": kept}


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a report."""
    found: dict[str, Any] = json.loads(files("compare.report").joinpath("schema.json").read_text(encoding="utf-8"))
    return found
