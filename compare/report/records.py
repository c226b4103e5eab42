"""What a run found as plain data: dictionaries, lists, strings and numbers. Every format is made from these."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import __version__
from compare.checkpoint import PHASES, Checkpoint
from compare.diagnosis.evidence import Cause
from compare.experiment import Claim, ContrastResult, ExperimentResult, Setting, Table
from compare.neighbourhood import Neighbourhood
from compare.report.histories import HISTORY, history_record
from compare.threads import thread_count
from compare.verdict import Coverage, Divergence, PhaseCoverage, Verdict, exit_code

if TYPE_CHECKING:
    from compare.report.report import Report

__all__ = ["SCHEMA_VERSION", "calls_record", "environment", "experiment_record", "run_record", "verdict_record"]

SCHEMA_VERSION = 1

_WORDS = {0: "equivalent", 1: "diverged", 3: "abstained", 4: "error"}


def run_record(
    results: Sequence[ExperimentResult],
    *,
    setting: Setting,
    threads: int,
    fail_fast: bool,
    tolerance: str = "measured",
) -> dict[str, Any]:
    """The whole run: environment, setting, outcome, exit code and one record per experiment."""
    outcomes = [result.outcome for result in results]
    code = exit_code(outcomes)
    return {
        "schema_version": SCHEMA_VERSION,
        "environment": {**environment(), "threads": threads, "seed": setting.seed},
        "setting": {
            "dtype": setting.dtype,
            "steps": setting.steps,
            "micro_batches": setting.micro_batches,
            "optimizer": setting.optimizer,
            "sync": setting.sync,
            "fail_fast": fail_fast,
            "tolerance": tolerance,
        },
        "outcome": _WORDS[code],
        "exit_code": code,
        "experiments": [experiment_record(result) for result in results],
    }


def calls_record(reports: Sequence[Report], *, threads: int | None = None, seed: int = 0) -> dict[str, Any]:
    """The reports of calls on a user's own code as the record of one run, so that every format can show them.

    Parameters
    ----------
    reports : what the calls returned
    threads : how many each side had; by default what :func:`compare.threads.thread_count` says
    seed : of the measured tolerance
    """
    verdicts = [report.verdict for report in reports]
    code = exit_code([verdict.outcome for verdict in verdicts])
    count = thread_count() if threads is None else threads
    return {
        "schema_version": SCHEMA_VERSION,
        "environment": {**environment(), "threads": count, "seed": seed},
        "setting": {
            "dtype": min((verdict.dtype for verdict in verdicts), default="float64"),
            "steps": None,
            "micro_batches": None,
            "optimizer": None,
            "sync": None,
            "fail_fast": False,
            "tolerance": "fixed" if any(verdict.tolerance == "fixed" for verdict in verdicts) else "measured",
        },
        "outcome": _WORDS[code],
        "exit_code": code,
        "experiments": [_call_record(report) for report in reports],
    }


def _call_record(report: Report) -> dict[str, Any]:
    found = verdict_record(report.verdict)
    kept = ("dtype", "outcome", "reason", "coverage", "checkpoints", "worst", "first_divergence", "causes")
    return {
        "name": report.title,
        **{key: found[key] for key in kept},
        "scenarios": [{"name": report.title, **found, **_history(report.verdict)}],
        "contrasts": [],
        "claims": [],
        "tables": [],
    }


def environment() -> dict[str, str]:
    """The versions that a run used."""
    return {
        "gradlock": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": version("torch"),
        "platform": f"{sys.platform}-{platform.machine()}",
    }


def experiment_record(result: ExperimentResult) -> dict[str, Any]:
    """One experiment: the worst of its scenarios on top, then each of them, contrasts, claims and tables."""
    diverging = result.diverging
    first = None if diverging is None else diverging.first_divergence
    worst = result.worst
    return {
        "name": result.experiment.name,
        "dtype": result.setting.dtype,
        "outcome": str(result.outcome),
        "reason": result.reason,
        "coverage": _coverage([verdict.coverage for verdict in result.verdicts.values()]),
        "checkpoints": result.checkpoints,
        "worst": None if worst is None else _worst(worst),
        "first_divergence": None if first is None else _divergence(first),
        "causes": [] if diverging is None else [_cause(cause) for cause in diverging.causes],
        "scenarios": [
            {"name": name, **verdict_record(verdict), **_history(verdict)} for name, verdict in result.verdicts.items()
        ],
        "contrasts": [_contrast(contrast) for contrast in result.contrasts],
        "claims": [_claim(claim) for claim in result.claims],
        "tables": [_table(table) for table in result.tables],
    }


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """One walk: outcome, coverage, the first divergence and its causes."""
    first = verdict.first_divergence
    return {
        "dtype": verdict.dtype,
        "outcome": str(verdict.outcome),
        "reason": verdict.reason,
        "sync": verdict.sync,
        "tolerance": verdict.tolerance,
        "steps": verdict.steps,
        "coverage": _coverage([verdict.coverage]),
        "checkpoints": verdict.coverage.checkpoints,
        "worst": _worst(verdict),
        "diverged": verdict.diverged,
        "inherited": sum(not found.own for found in verdict.divergences),
        "first_divergence": None if first is None else _divergence(first),
        "causes": [_cause(cause) for cause in verdict.causes],
        "faults": [
            {**_divergence(found), "causes": [_cause(cause) for cause in found.causes]} for found in verdict.faults
        ],
    }


def _contrast(result: ContrastResult) -> dict[str, Any]:
    must = result.contrast.must
    return {
        "name": result.name,
        "mistake": result.contrast.mistake,
        "must": {key: value for key, value in must.__dict__.items() if value is not None},
        "as_it_must": result.as_it_must,
        "unmet": result.unmet,
        **verdict_record(result.verdict),
        **_history(result.verdict),
    }


def _history(verdict: Verdict) -> dict[str, Any]:
    """What only a page shows, where the walk was asked to keep it: JSON leaves it out."""
    history = verdict.history
    if history is None:
        return {}
    return {
        HISTORY: {
            **history_record(history, only=set(verdict.coverage.phases)),
            "divergences": [
                {**_divergence(found), "around": None if found.around is None else _around(found.around)}
                for found in verdict.divergences
            ],
        }
    }


def _around(found: Neighbourhood) -> dict[str, Any]:
    return {
        "index": list(found.index),
        "corner": list(found.corner),
        "shape": list(found.shape),
        "actual": [[number(value) for value in row] for row in found.actual],
        "expected": [[number(value) for value in row] for row in found.expected],
    }


def _coverage(coverages: Sequence[Coverage]) -> dict[str, Any]:
    phases: dict[str, list[PhaseCoverage]] = {}
    for coverage in coverages:
        for phase, found in coverage.in_order():
            phases.setdefault(phase, []).append(found)

    digits: dict[str, list[float]] = {}
    for coverage in coverages:
        for phase, count in coverage.digits.items():
            digits.setdefault(phase, []).append(round(count, 1))

    def merged(attribute: str) -> list[str]:
        return list(dict.fromkeys(text for coverage in coverages for text in getattr(coverage, attribute)))

    return {
        "phases": {
            phase: {
                "names": sorted(set().union(*(one.names for one in found))),
                "uninformative": sorted(
                    set().union(*(one.names for one in found)) - set().union(*(one.informative_names for one in found))
                ),
                "compared": sum(one.compared for one in found),
                "elements": sum(one.elements for one in found),
                "informative": sum(one.informative for one in found),
                "diverged": sum(one.diverged for one in found),
                "worst": number(max(one.worst for one in found)),
                "digits": number(min(digits[phase])) if phase in digits else None,
            }
            for phase, found in sorted(phases.items(), key=lambda item: PHASES.index(item[0]))
        },
        "only_actual": merged("only_actual"),
        "only_expected": merged("only_expected"),
        "blind_spots": merged("blind_spots") if len(coverages) == 1 else _shared_blind_spots(coverages),
        "notes": merged("notes"),
    }


def _shared_blind_spots(coverages: Sequence[Coverage]) -> list[str]:
    """What no scenario could have shown."""
    spots = [set(coverage.blind_spots) for coverage in coverages]
    return sorted(set.intersection(*spots)) if spots else []


def _worst(verdict: Verdict) -> dict[str, Any]:
    return {
        "error": number(verdict.worst_error),
        "unit": "noise floors" if verdict.tolerance == "measured" else "of the scale",
        "at": None if verdict.worst_at is None else _address(verdict.worst_at),
    }


def _address(checkpoint: Checkpoint) -> dict[str, Any]:
    return dict(checkpoint._asdict())


def _divergence(found: Divergence) -> dict[str, Any]:
    difference = found.difference
    return {
        **_address(found.checkpoint),
        "where": found.where,
        "culprit": found.culprit,
        "own_or_inherited": found.own_or_inherited,
        "kind": difference.kind,
        "text": difference.text if difference.kind else "",
        "index": None if difference.max_abs_index is None else list(difference.max_abs_index),
        "actual": number(difference.actual_at),
        "expected": number(difference.expected_at),
        "max_abs": number(difference.max_abs),
        "max_rel": number(difference.max_rel),
        "max_ulp": None if difference.max_ulp is None else number(difference.max_ulp),
        "nonfinite": difference.nonfinite_disagreeing,
        "error": number(found.judgement.error),
        "allowed": number(found.judgement.allowed),
        "scale": number(found.judgement.scale),
        "noise_multiple": number(found.judgement.noise_multiple),
        "nearer": found.nearer,
        "digits": number(None if found.digits is None else round(found.digits, 1)),
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "cause": cause.cause,
        "residual": number(cause.residual),
        "explanation": cause.explanation,
        "look_at": cause.look_at,
    }


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "statement": claim.statement,
        "holds": claim.holds,
        "actual": number(claim.actual),
        "relation": claim.relation,
        "expected": number(claim.expected),
        "bound": number(claim.bound),
    }


def _table(table: Table) -> dict[str, Any]:
    rows = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in table.rows]
    return {"title": table.title, "headers": list(table.headers), "rows": rows}


def number(value: Any) -> Any:
    """A plain number; what JSON cannot say is a word: "inf", "-inf", "nan"."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return value if value is None else bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    value = float(value)
    return value if math.isfinite(value) else str(value)
