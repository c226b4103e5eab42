"""What a self-check found: one row for each mistake that can be made here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = ["Row", "SelfCheck"]

UNTRIED = "none of the changes that were tried shows it here"


@dataclass(frozen=True)
class Row:
    """One mistake.

    Attributes
    ----------
    fault : its name in ``gradlock list faults``
    mistake : what is done wrongly, in one sentence
    cause : what a diagnosis would call it
    caught : whether this configuration shows it
    change : what shows it, tried out; empty where it is caught or no change that was tried shows it
    """

    fault: str
    mistake: str
    cause: str
    caught: bool
    change: str = ""


@dataclass(frozen=True, repr=False)
class SelfCheck:
    """Which mistakes a configuration shows.

    Attributes
    ----------
    title : what was checked
    rows : every mistake whose wrong code runs in this configuration
    """

    title: str
    rows: tuple[Row, ...]

    @property
    def missed(self) -> list[Row]:
        """Mistakes that are not caught here and would be after a change; each says which."""
        return [row for row in self.rows if not row.caught and row.change]

    @property
    def changes(self) -> Mapping[str, list[Row]]:
        """The missed mistakes by what shows them, the change that shows most first."""
        found: dict[str, list[Row]] = {}
        for row in self.missed:
            found.setdefault(row.change, []).append(row)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    @property
    def unshown(self) -> list[Row]:
        """Mistakes that are neither caught here nor by any change that was tried."""
        return [row for row in self.rows if not row.caught and not row.change]

    def record(self) -> dict[str, Any]:
        """The result as dictionaries, lists and strings."""
        rows = [{**vars(row), "change": row.change or ("" if row.caught else UNTRIED)} for row in self.rows]
        caught = sum(row.caught for row in self.rows)
        return {"title": self.title, "mistakes": len(rows), "caught": caught, "missed": len(self.missed), "rows": rows}

    def to_json(self) -> str:
        """The record as JSON."""
        return json.dumps(self.record(), indent=2) + "\n"

    def __str__(self) -> str:
        caught = sum(row.caught for row in self.rows)
        lines = [f"{self.title}: {caught} of {len(self.rows)} mistakes that can be made here would have been seen"]
        for change, rows in self.changes.items():
            lines.append(f"to see {'this one' if len(rows) == 1 else f'these {len(rows)}'}, {change}:")
            lines += [f"  {row.fault}: {row.mistake}" for row in rows]
        if self.unshown:
            lines.append(f"not seen, and {UNTRIED}: {', '.join(row.fault for row in self.unshown)}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        body = "".join(
            f"<tr><td>{escape(row.mistake)}</td><td>{'yes' if row.caught else 'no'}</td>"
            f"<td>{escape(row.change or ('' if row.caught else UNTRIED))}</td></tr>"
            for row in sorted(self.rows, key=lambda row: row.caught)
        )
        head = "<tr><th>mistake</th><th>caught</th><th>what to change</th></tr>"
        return f"<p>{escape(str(self).splitlines()[0])}</p><table>{head}{body}</table>"
