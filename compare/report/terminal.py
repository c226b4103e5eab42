"""The report on a terminal: a summary table of all experiments, or a few of them in detail."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from compare.diagnosis.catalogue import UNKNOWN

__all__ = ["coverage_lines", "details", "divergence_lines", "last_line", "phase_table", "say", "summary"]

SIGNS = {"equivalent": "green", "diverged": "red", "abstained": "yellow", "error": "magenta"}
_CODES = {"green": "32", "red": "31", "yellow": "33", "magenta": "35", "bold": "1"}


UNITS = {
    "measured": "in multiples of the measured noise floor (honest computations stay below 5)",
    "fixed": "as a fraction of the magnitudes it was computed from",
}


def extent(worst: dict[str, Any] | None) -> str:
    """The largest disagreement in the tolerance's own unit."""
    if not worst:
        return ""
    error = worst["error"]
    return f"{error:.2g}" if worst["unit"] == "noise floors" and not isinstance(error, str) else short(error)


def say(text: str, colour: str | None, coloured: bool) -> str:
    """The text in a colour, where colours are wanted."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if coloured and colour else text


def short(value: Any) -> str:
    """An error with two digits."""
    return value if isinstance(value, str) else "0" if not value else f"{value:.1e}"


def where(address: dict[str, Any] | None) -> str:
    """A checkpoint's address in a few words."""
    if address is None:
        return ""
    batch = f".{address['micro_batch']}" if address["micro_batch"] is not None else ""
    label = f" {address['output']}" if address["output"] not in ("", "output") else ""
    return f"step {address['step']}{batch} {address['phase']} {address['name'] or '(model)'}{label}"


def summary(record: dict[str, Any], *, coloured: bool = False) -> str:
    """One row an experiment, then the planted mistakes, then what is wrong."""
    rows = []
    for one in record["experiments"]:
        contrasts, claims = one["contrasts"], one["claims"]
        rows.append(
            [
                one["name"],
                say(one["outcome"], SIGNS[one["outcome"]], coloured),
                sum(scenario["steps"] for scenario in one["scenarios"]),
                one["checkpoints"],
                len(one["coverage"]["phases"]),
                extent(one["worst"]),
                where(one["worst"]["at"]) if one["worst"] else "",
                f"{sum(c['as_it_must'] for c in contrasts)}/{len(contrasts)}" if contrasts else "",
                f"{sum(c['holds'] for c in claims)}/{len(claims)}" if claims else "",
            ]
        )
    headers = ["experiment", "outcome", "steps", "checkpoints", "phases", "worst", "at", "contrasts", "claims"]
    parts = [tabulate(rows, headers, disable_numparse=True, colalign=_ALIGN if rows else None)]
    parts.append(
        f"worst: the largest disagreement, {UNITS[record['setting']['tolerance']]}. "
        "contrasts: planted mistakes that part where they must."
    )
    contrasts = [(one["name"], contrast) for one in record["experiments"] for contrast in one["contrasts"]]
    if contrasts:
        parts.append("Planted mistakes\n" + "\n".join(f"  {name}: {_contrast(c, coloured)}" for name, c in contrasts))
    wrong = [one for one in record["experiments"] if one["outcome"] != "equivalent"]
    parts += [_trouble(one, coloured) for one in wrong]
    parts.append(last_line(record, coloured))
    return "\n\n".join(parts) + "\n"


_ALIGN = ("left", "left", "right", "right", "right", "right", "left", "right", "right")


def details(record: dict[str, Any], *, coloured: bool = False) -> str:
    """Each experiment in full."""
    parts = []
    for one in record["experiments"]:
        title = f"{one['name']} ({one['dtype']}): {say(one['outcome'], SIGNS[one['outcome']], coloured)}"
        parts.append(title + (f"\n  {one['reason']}" if one["reason"] else ""))
        parts += [_scenario(scenario, coloured) for scenario in one["scenarios"]]
        parts += [f"contrast {_contrast(contrast, coloured)}" for contrast in one["contrasts"]]
        if one["claims"]:
            rows = [
                ["holds" if c["holds"] else say("FAILS", "red", coloured), c["statement"], full(c["actual"]),
                 c["relation"], full(c["expected"]), short(c["bound"])]
                for c in one["claims"]
            ]  # fmt: skip
            parts.append(tabulate(rows, ["claim", "", "found", "", "expected", "within"], disable_numparse=True))
        for table in one["tables"]:
            cells = [[full(cell) for cell in row] for row in table["rows"]]
            align = ["left", *["right"] * (len(table["headers"]) - 1)] if cells else None
            text = tabulate(cells, table["headers"], disable_numparse=True, colalign=align)
            parts.append(f"{table['title']}\n{text}")
    parts.append(last_line(record, coloured))
    return "\n\n".join(parts) + "\n"


def _scenario(scenario: dict[str, Any], coloured: bool) -> str:
    outcome = say(scenario["outcome"], SIGNS[scenario["outcome"]], coloured)
    head = f"scenario {scenario['name']}: {outcome}; {scenario['steps']} steps, walked {scenario['sync']}"
    lines = [head, phase_table(scenario["coverage"])]
    lines += divergence_lines(scenario, coloured)
    return "\n".join(lines + coverage_lines(scenario["coverage"]))


def phase_table(coverage: dict[str, Any]) -> str:
    """What was compared in each phase."""
    rows = [
        [
            phase,
            found["compared"],
            found["informative"],
            found["elements"],
            short(found["worst"]),
            full(found["digits"]),
            found["diverged"] or "",
        ]
        for phase, found in coverage["phases"].items()
    ]
    headers = ["phase", "compared", "informative", "elements", "worst", "digits", "diverged"]
    align = ("left", *["right"] * 6)
    return str(tabulate(rows, headers, disable_numparse=True, colalign=align if rows else None))


def coverage_lines(coverage: dict[str, Any]) -> list[str]:
    """What was not compared, what could not have shown, and what else a reader should know."""
    return [
        f"{label}: " + "; ".join(texts)
        for label, texts in (
            ("only the actual side shows", coverage["only_actual"]),
            ("only the expected side shows", coverage["only_expected"]),
            ("could not have shown here", coverage["blind_spots"]),
            ("note", coverage["notes"]),
        )
        if texts
    ]


def divergence_lines(verdict: dict[str, Any], coloured: bool) -> list[str]:
    """The first divergence with its numbers, and why it is there; nothing where there is none."""
    first = verdict["first_divergence"]
    if first is None:
        return []
    lines = [say(f"first divergence: {first['where']}", "red", coloured), f"  culprit    {first['culprit']}"]
    if first["kind"]:
        return [*lines, f"  {first['text']}", *_causes(verdict["causes"], coloured)]
    index = "" if not first["index"] else f" at {first['index']}"
    lines += [f"  actual     {full(first['actual'], 17)}{index}", f"  expected   {full(first['expected'], 17)}"]
    if first["nonfinite"]:
        lines.append(f"  not finite and not the same on both sides: {first['nonfinite']} elements, this is the first")
    else:
        multiple = first["noise_multiple"]
        noise = "" if multiple is None else f"; {short(multiple)} times the noise floor"
        lines += [
            f"  difference {full(first['max_abs'])} absolute, {short(first['max_rel'])} relative, "
            f"{first['max_ulp']} ulp{noise}",
            f"  error      {short(first['error'])} of the scale {full(first['scale'])}; "
            f"allowed {short(first['allowed'])}",
        ]
        if first["digits"] is not None:
            near = f"; the {first['nearer']} side is nearer to the value in float64" if first["nearer"] else ""
            lines.append(f"  honest     computations of this agree on {full(first['digits'])} digits{near}")
    lines += _causes(verdict["causes"], coloured)
    others = [fault for fault in verdict["faults"] if fault["where"] != first["where"]]
    for fault in others:
        lines.append(say(f"another: {fault['where']} (culprit {fault['culprit']})", "red", coloured))
        lines += _causes(fault["causes"], coloured)
    lines += [
        f"  divergences in all: {verdict['diverged']}; inherited among those kept: {verdict['inherited']}",
    ]
    return lines


def _causes(causes: list[dict[str, Any]], coloured: bool) -> list[str]:
    """The best explanation with what to look at, and the runner-up."""
    lines = []
    for rank, cause in zip(("cause", "runner-up"), causes, strict=False):
        name = say(cause["cause"], "bold" if rank == "cause" else None, coloured)
        left = "" if cause["cause"] == UNKNOWN else f" (leaves {short(cause['residual'])} of the difference)"
        lines.append(f"  {rank:<11}{name}: {cause['explanation']}{left}")
        if cause["look_at"]:
            lines.append(f"  {'look at':<11}{cause['look_at']}")
    return lines


def _contrast(contrast: dict[str, Any], coloured: bool) -> str:
    first = contrast["first_divergence"]
    verdict = say("as it must", "green", coloured) if contrast["as_it_must"] else say("NOT AS IT MUST", "red", coloured)
    place = f"parts at {first['where']} (culprit {first['culprit']})" if first else contrast["outcome"]
    named = f"; named {contrast['causes'][0]['cause']!r}" if contrast["causes"] else ""
    tail = f"; {contrast['unmet']}" if contrast["unmet"] else ""
    return f"{contrast['name']} - {contrast['mistake']}: {place}, {verdict}{named}{tail}"


def _trouble(one: dict[str, Any], coloured: bool) -> str:
    head = f"{one['name']}: {say(one['outcome'], SIGNS[one['outcome']], coloured)}. {one['reason']}"
    found = next((s for s in one["scenarios"] if s["first_divergence"]), None)
    return "\n".join([head, *(divergence_lines(found, coloured) if found else [])])


def last_line(record: dict[str, Any], coloured: bool) -> str:
    """How many of each outcome, and the exit code."""
    counts: dict[str, int] = {}
    for one in record["experiments"]:
        counts[one["outcome"]] = counts.get(one["outcome"], 0) + 1
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    return say(f"{said or 'nothing'}. Exit code {record['exit_code']}.", "bold", coloured)


def full(value: Any, digits: int = 9) -> str:
    """A value with enough digits to tell it from another."""
    if value is None:
        return ""
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
