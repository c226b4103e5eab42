"""The report of one call: what it found, as an object, as text, and on a notebook's page."""

from __future__ import annotations

from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

from compare.batches import InputError
from compare.output import FORMATS
from compare.report.records import calls_record, verdict_record
from compare.report.terminal import coverage_lines, divergence_lines, phase_table
from compare.threads import thread_count

if TYPE_CHECKING:
    from compare.calls.call import Call
    from compare.diagnosis.evidence import Cause
    from compare.verdict import Coverage, Divergence, Outcome, Verdict

__all__ = ["Report"]

_COLOURS = {"equivalent": "green", "diverged": "crimson", "abstained": "darkgoldenrod", "error": "darkmagenta"}


class Report:
    """What a comparison of a user's own code found.

    Parameters
    ----------
    verdict : Verdict
    title : str
        What was compared, in a few words.
    call : Call, optional
        How it was made.

    Attributes
    ----------
    verdict : Verdict
        Everything, as data.

    Examples
    --------
    >>> import compare, numpy as np
    >>> square = lambda x: (np.sum(x * x), {"x": -2 * x})
    >>> report = compare.gradients(square, lambda x: (x * x).sum(), {"x": np.arange(3.0)})
    >>> report.outcome == "diverged", report.first_divergence.checkpoint.name, report.causes[0].cause
    (True, 'x', 'sign')
    """

    def __init__(self, verdict: Verdict, title: str, call: Call | None = None):
        self.verdict = verdict
        self.title = title
        self.call = call

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

    # -- made again ------------------------------------------------------------------------------------------------

    def repeat(self, **changes: Any) -> Report:
        """Make the call again, with some of its arguments replaced: ``report.repeat(seed=1)``.

        Raises
        ------
        InputError
            If it cannot be made again, or has no such argument.
        """
        if self.call is None:
            raise InputError(f"{self.title}: how this report was made is not known, so it cannot be repeated")
        return self.call.repeat(**changes)

    def shrink(self, *args: Any, **options: Any) -> Any:
        """Make the case small while the same divergence remains: see :func:`compare.shrinking.shrink_report`."""
        return import_module("compare.shrinking").shrink_report(self, *args, **options)

    # -- as data and as text -----------------------------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """The report as dictionaries, lists, strings and numbers: the record of a run with this one comparison."""
        seed = self.call.arguments.get("seed", 0) if self.call else 0
        return calls_record([self], threads=thread_count(), seed=seed)

    def to_json(self) -> str:
        """The record as strict JSON, as ``gradlock`` writes it with ``--json``."""
        return self._formatted("json")

    def to_markdown(self) -> str:
        """The record as Markdown with tables, as ``gradlock`` writes it with ``--markdown``."""
        return self._formatted("markdown")

    def to_html(self) -> str:
        """The record as a page of its own, as ``gradlock`` writes it with ``--html``."""
        return self._formatted("html")

    def _formatted(self, form: str) -> str:
        module, function, _ = FORMATS[form]
        text: str = getattr(import_module(module), function)(self.record())
        return text

    def __str__(self) -> str:
        record = verdict_record(self.verdict)
        parts = [f"{self.title}: {self.outcome}" + (f"\n  {self.reason}" if self.reason else "")]
        parts += ["\n".join(divergence_lines(record, False))] if record["first_divergence"] else []
        parts += [phase_table(record["coverage"])] if record["coverage"]["phases"] else []
        parts += ["\n".join(coverage_lines(record["coverage"]))]
        return "\n\n".join(part for part in parts if part)

    def __repr__(self) -> str:
        """One line: outcome, what was compared, the first divergence and its cause, or the reason."""
        first = self.first_divergence
        parts = [f"{self.outcome}: {self.title}"]
        if first is not None:
            parts.append(f"first divergence at {first.where} (culprit {first.culprit})")
            parts += [f"cause {cause.cause}" for cause in self.causes[:1]]
        elif self.reason:
            parts.append(" ".join(self.reason.split()))
        return f"<Report {'; '.join(parts)}>"

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
