"""What became of planted mistakes and of honest rewrites: records, and a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from compare import __version__
from compare.diagnosis.catalogue import UNKNOWN
from compare.faults.fault import ControlResult, FaultResult
from compare.report.records import number
from compare.report.terminal import say, short

__all__ = ["NAMED", "faults_record", "faults_text"]

NAMED = 0.95
"""The share of faults that must be named rightly."""

SCHEMA_VERSION = 1


def faults_record(faults: Sequence[FaultResult], controls: Sequence[ControlResult], *, threads: int) -> dict[str, Any]:
    """The whole run as plain data, with totals and the exit code."""
    found, heard = [_fault(result) for result in faults], [_control(result) for result in controls]
    named = sum(one["cause_right"] for one in found)
    totals = {
        "faults": len(found),
        "detected": sum(one["detected"] for one in found),
        "placed": sum(one["place_right"] for one in found),
        "named": named,
        "unknown": sum(one["detected"] and one["found"]["cause"] == UNKNOWN for one in found),
        "wrongly_named": sum(one["confidently_wrong"] for one in found),
        "controls": len(heard),
        "silent": sum(one["silent"] for one in heard),
    }
    wrong = not all(result.as_it_must for result in faults) or totals["silent"] < totals["controls"]
    return {
        "schema_version": SCHEMA_VERSION,
        "environment": {"gradlock": __version__, "threads": threads},
        "totals": totals,
        "exit_code": int(wrong or named < NAMED * len(found)),
        "faults": found,
        "controls": heard,
    }


def _fault(result: FaultResult) -> dict[str, Any]:
    fault, first = result.fault, result.first
    causes = getattr(result.verdict, "causes", None) or ()
    return {
        "name": fault.name,
        "mistake": fault.mistake,
        "phase": fault.phase,
        "step": fault.step,
        "cause": fault.cause,
        "also": list(fault.also),
        "detected": result.detected,
        "place_right": result.place_right,
        "cause_right": result.cause_right,
        "confidently_wrong": result.confidently_wrong,
        "noise_multiple": number(result.noise_multiple),
        "found": {
            "outcome": str(result.verdict.outcome),
            "reason": result.verdict.reason,
            "phase": result.phase,
            "step": result.step,
            "where": None if first is None else first.where,
            "culprit": None if first is None else first.culprit,
            "cause": result.cause,
            "explanation": causes[0].explanation if causes else "",
            "residual": number(causes[0].residual) if causes else None,
        },
    }


def _control(result: ControlResult) -> dict[str, Any]:
    verdict = result.verdict
    return {
        "name": result.control.name,
        "rewrite": result.control.rewrite,
        "silent": result.silent,
        "outcome": str(verdict.outcome),
        "reason": verdict.reason,
    }


def faults_text(record: dict[str, Any], *, coloured: bool = False, quiet: bool = False) -> str:
    """The faults, the controls, the totals; with ``quiet`` only what is not as it must be."""
    faults = [one for one in record["faults"] if not quiet or not (one["place_right"] and one["cause_right"])]
    controls = [one for one in record["controls"] if not quiet or not one["silent"]]
    parts = []
    if faults:
        headers = ["fault", "seen", "place", "cause", "noise multiple"]
        rows = [_row(one, coloured) for one in faults]
        align = ("left", "left", "left", "left", "right")
        parts.append(tabulate(rows, headers, disable_numparse=True, colalign=align))
    if controls:
        rows = [
            [one["name"], say("silent", "green", coloured) if one["silent"] else say(_outcry(one), "red", coloured)]
            for one in controls
        ]
        parts.append(tabulate(rows, ["control", "must be silent"], disable_numparse=True))
    parts.append(_totals(record, coloured))
    return "\n\n".join(parts) + "\n"


def _row(one: dict[str, Any], coloured: bool) -> list[Any]:
    found = one["found"]
    right = f"step {one['step']} {one['phase']}"
    if not one["detected"]:
        missed = say(f"NO: {found['outcome']}", "red", coloured)
        return [one["name"], missed, f"(must be {right})", f"(must be {one['cause']})", ""]
    place = right
    if not one["place_right"]:
        place = say(f"step {found['step']} {found['phase']}, must be {right}", "red", coloured)
    cause = say(found["cause"], "green", coloured)
    if one["confidently_wrong"]:
        cause = say(f"{found['cause']}, must be {one['cause']}", "red", coloured)
    elif not one["cause_right"]:
        cause = say(f"unknown (it is {one['cause']})", "yellow", coloured)
    multiple = one["noise_multiple"]
    return [one["name"], "yes", place, cause, "" if multiple is None else short(multiple)]


def _outcry(control: dict[str, Any]) -> str:
    return f"{control['outcome'].upper()}: {control['reason']}"


def _totals(record: dict[str, Any], coloured: bool) -> str:
    t = record["totals"]
    lines = []
    if t["faults"]:
        lines.append(
            f"{t['faults']} faults: {t['detected']} seen, {t['placed']} at the right step and phase, "
            f"{t['named']} named rightly, {t['unknown']} unknown, {t['wrongly_named']} named wrongly."
        )
    if t["controls"]:
        lines.append(f"{t['controls']} controls: {t['silent']} silent.")
    if t["named"] < NAMED * t["faults"]:
        lines.append(f"At least {NAMED:.0%} must be named rightly.")
    lines.append(f"Exit code {record['exit_code']}.")
    return say("\n".join(lines), "bold", coloured)
