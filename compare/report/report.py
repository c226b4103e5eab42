"""The report of one call: what it found, as an object, as text, and on a notebook's page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from compare.report.json import to_json
from compare.report.records import SCHEMA_VERSION, environment, verdict_record
from compare.report.terminal import coverage_lines, divergence_lines, phase_table

if TYPE_CHECKING:
    from compare.diagnosis.evidence import Cause
    from compare.verdict import Coverage, Divergence, Outcome, Verdict

__all__ = ["Report"]

_COLOURS = {"equivalent": "green", "diverged": "crimson", "abstained": "darkgoldenrod", "error": "darkmagenta"}


class Report:
    """What a comparison of a user's own code found.

    Takes no arrays: a call makes it. Raises nothing of its own; ``assert_equivalent`` raises an ``AssertionError``.

    Parameters
    ----------
    verdict : Verdict
    title : str
        What was compared, in a few words.

    Attributes
    ----------
    verdict : Verdict
        Everything, as data.

    Examples
    --------
    >>> import compare, numpy as np
    >>> report = compare.gradients(
    ...     lambda w: ((w**2).sum(), {"w": w}), lambda w: (w**2).sum(), {"w": np.array([1.0, -2.0])}
    ... )
    >>> type(report) is compare.Report, report.outcome == "diverged", report.causes[0].cause
    (True, True, 'constant factor')
    """

    def __init__(self, verdict: Verdict, title: str):
        self.verdict = verdict
        self.title = title

    @property
    def outcome(self) -> Outcome:
        """``equivalent``, ``diverged``, ``abstained`` or ``error``; compares equal to the word."""
        return self.verdict.outcome

    @property
    def reason(self) -> str:
        """Why it is not ``equivalent``, in one sentence; empty if it is."""
        return self.verdict.reason

    @property
    def first_divergence(self) -> Divergence | None:
        """The earliest checkpoint whose inputs agree and whose value does not."""
        return self.verdict.first_divergence

    @property
    def coverage(self) -> Coverage:
        """What was compared, what was on one side only, and which mistakes could not have shown."""
        return self.verdict.coverage

    @property
    def causes(self) -> list[Cause]:
        """Why the first divergence is there, best first."""
        return list(self.verdict.causes)

    def assert_equivalent(self) -> None:
        """Raise unless the two are equivalent; what could not be judged is not.

        Raises
        ------
        AssertionError
            Its message is the report.
        """
        __tracebackhide__ = True
        if self.outcome != "equivalent":
            raise AssertionError(str(self))

    def record(self) -> dict[str, Any]:
        """The report as dictionaries, lists, strings and numbers."""
        return {
            "schema_version": SCHEMA_VERSION,
            "environment": environment(),
            "name": self.title,
            **verdict_record(self.verdict),
        }

    def to_json(self) -> str:
        """The record as strict JSON."""
        return to_json(self.record())

    def to_markdown(self) -> str:
        """A heading with the outcome, and the text as a block."""
        return f"# {self.title}: {self.outcome}\n\n```text\n{self}\n```\n"

    def __str__(self) -> str:
        record = verdict_record(self.verdict)
        parts = [f"{self.title}: {self.outcome}" + (f"\n  {self.reason}" if self.reason else "")]
        parts += ["\n".join(divergence_lines(record, False))] if record["first_divergence"] else []
        parts += [phase_table(record["coverage"])] if record["coverage"]["phases"] else []
        parts += ["\n".join(coverage_lines(record["coverage"]))]
        return "\n\n".join(part for part in parts if part)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same for a notebook: heading, first divergence, phases, notes; no style sheet, no script."""
        record = verdict_record(self.verdict)
        colour = _COLOURS[record["outcome"]]
        parts = [f'<p>{escape(self.title)}: <b style="color:{colour}">{escape(record["outcome"])}</b></p>']
        if self.reason:
            parts.append(f"<p>{escape(self.reason)}</p>")
        lines = divergence_lines(record, False)
        if lines:
            parts.append(f"<pre>{escape(chr(10).join(lines))}</pre>")
        columns = ("compared", "informative", "elements", "worst", "digits", "diverged")
        rows = [
            f"<tr><td>{phase}</td>"
            + "".join(f"<td>{'' if found[key] is None else escape(str(found[key]))}</td>" for key in columns)
            + "</tr>"
            for phase, found in record["coverage"]["phases"].items()
        ]
        if rows:
            head = "".join(f"<th>{name}</th>" for name in ("phase", *columns))
            parts.append(f"<table><tr>{head}</tr>{''.join(rows)}</table>")
        notes = coverage_lines(record["coverage"])
        if notes:
            parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")
        return "\n".join(parts)
