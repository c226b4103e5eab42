"""What shrinking found: the smallest case that fails in the same way, what went, and the test that it is written as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare.shrinking.signature import Signature

if TYPE_CHECKING:
    from compare.report.report import Report

__all__ = ["Minimal"]


@dataclass(frozen=True, repr=False)
class Minimal:
    """A minimal case.

    Attributes
    ----------
    report : the report of the smallest case that fails in the same way
    signature : in which way: phase, kind of culprit, cause
    before, after : the sizes, by readable names, of what was handed in and of what is left
    tried : how many smaller cases were judged
    seconds : how long it took
    out_of_time : whether the time ended the search, so that more might go
    notes : what else a reader should know
    """

    report: Report
    signature: Signature
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    tried: int
    seconds: float
    out_of_time: bool
    notes: tuple[str, ...]
    _text: Callable[[], str]

    @property
    def reduced(self) -> list[str]:
        """What became smaller, such as ``rows 64 -> 2``."""
        before = self.before
        return [f"{name} {before[name]} -> {size}" for name, size in self.after.items() if size != before[name]]

    def text(self) -> str:
        """The stand-alone pytest file; its test fails until the mistake is mended.

        Raises
        ------
        InputError
            If some function of yours can be neither imported nor copied from its source.
        """
        return self._text()

    def write(self, path: str | Path) -> Path:
        """Write the stand-alone pytest file, and say where it is.

        Raises
        ------
        InputError
            As :meth:`text`; nothing is written then.
        """
        text = self.text()
        place = Path(path)
        place.write_text(text, encoding="utf-8")
        return place

    def record(self) -> dict[str, Any]:
        """The minimal case as dictionaries, lists, strings and numbers."""
        return {
            "signature": {
                "phase": self.signature.phase,
                "culprit": self.signature.culprit,
                "own": self.signature.own,
                "cause": self.signature.cause,
            },
            "before": dict(self.before),
            "after": dict(self.after),
            "reduced": self.reduced,
            "tried": self.tried,
            "seconds": round(self.seconds, 3),
            "out_of_time": self.out_of_time,
            "notes": list(self.notes),
            "report": self.report.record(),
        }

    def __str__(self) -> str:
        lines = [f"the same first divergence and cause ({self.signature}) in a smaller case:"]
        lines += [f"  {line}" for line in self.reduced] or ["  nothing could go"]
        judged = f"{self.tried} smaller cases judged in {self.seconds:.1f} s"
        lines.append(judged + ("; the time was up, and more might go" if self.out_of_time else ""))
        lines += self.notes
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>{self.report._repr_html_()}"
