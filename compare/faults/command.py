"""What ``gradlock faults`` and ``gradlock run --fault`` do."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import torch

from compare.batches import InputError
from compare.experiment import Scenario, Study
from compare.faults.catalogue import CONTROLS, FAULTS
from compare.faults.fault import ControlResult, FaultResult, Scene, run_control, run_fault
from compare.faults.planting import planted
from compare.lockstep import walk
from compare.threads import threads
from compare.verdict import Outcome, Verdict

__all__ = ["run", "run_with_progress", "with_fault"]

_MANY = 40
"""For so many faults another process pays: it takes seconds to start."""


def run(
    match: str | None = None,
    *,
    on_start: Callable[[str], None] | None = None,
    on_total: Callable[[int], None] | None = None,
    **options: Any,
) -> tuple[list[FaultResult], list[ControlResult]]:
    """Walk every fault and every control whose name matches.

    Parameters
    ----------
    match : a pattern with ``*`` and ``?``; all by default
    on_total, on_start : progress: how many there are, then the name of each
    options : those of ``lockstep``

    Raises
    ------
    InputError
        If nothing matches.
    """
    faults = [fault for name, fault in FAULTS.items() if match is None or fnmatchcase(name, match)]
    controls = [control for name, control in CONTROLS.items() if match is None or fnmatchcase(name, match)]
    if not faults and not controls:
        raise InputError(f"no fault and no control matches {match!r}; `gradlock list faults` shows them")
    if on_total:
        on_total(len(faults) + len(controls))

    def started(name: str) -> None:
        if on_start:
            on_start(name)

    found: list[FaultResult] = []
    for fault in faults:
        started(fault.name)
        found.append(run_fault(fault, **options))
    heard: list[ControlResult] = []
    for control in controls:
        started(control.name)
        heard.append(run_control(control, **options))
    return found, heard


def run_with_progress(
    match: str | None = None, *, jobs: int | None = None, **options: Any
) -> tuple[list[FaultResult], list[ControlResult]]:
    """The same with a progress bar on a terminal, in several processes where there is much to do.

    ``jobs`` is how many; by default one for each core, and for few faults one.
    """
    from tqdm import tqdm

    with tqdm(total=0, unit="fault", leave=False, disable=not sys.stderr.isatty()) as bar:

        def on_total(count: int) -> None:
            bar.total = count
            bar.refresh()

        def on_start(name: str) -> None:
            bar.set_description(name)
            bar.update()

        some = sum(match is None or fnmatchcase(name, match) for name in (*FAULTS, *CONTROLS))
        jobs = jobs or (min(os.cpu_count() or 1, some // _MANY) or 1)
        if jobs > 1 and some:
            return _in_processes(match, jobs, on_start, on_total, options)
        return run(match, on_start=on_start, on_total=on_total, **options)


def _in_processes(
    match: str | None, jobs: int, on_start: Callable[[str], None], on_total: Callable[[int], None], options: Any
) -> tuple[list[FaultResult], list[ControlResult]]:
    """Walk what shares a scene in one process, so that the scene is calibrated once."""
    groups: dict[Scene, list[tuple[str, str]]] = {}
    for table, named in (("FAULTS", FAULTS), ("CONTROLS", CONTROLS)):
        for name, one in named.items():
            if match is None or fnmatchcase(name, match):
                groups.setdefault(one.scene, []).append((table, name))
    on_total(sum(map(len, groups.values())))
    results: dict[tuple[str, str], Any] = {}
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads of BLAS may hang
    with ProcessPoolExecutor(jobs, spawn) as pool:
        largest_first = sorted(groups.values(), key=len, reverse=True)
        futures = [pool.submit(_walked, group, torch.get_num_threads(), options) for group in largest_first]
        for future in as_completed(futures):
            for key, result in future.result():
                results[key] = result
                on_start(key[1])
    found = [results["FAULTS", name] for name in FAULTS if ("FAULTS", name) in results]
    heard = [results["CONTROLS", name] for name in CONTROLS if ("CONTROLS", name) in results]
    return found, heard


def _walked(group: list[tuple[str, str]], count: int, options: Any) -> list[tuple[tuple[str, str], Any]]:
    found: list[tuple[tuple[str, str], Any]] = []
    with threads(count):
        for table, name in group:
            fault = table == "FAULTS"
            result: Any = run_fault(FAULTS[name], **options) if fault else run_control(CONTROLS[name], **options)
            sides_left_out = replace(result.verdict, sides=None)  # they stay in the process in which they ran
            found.append(((table, name), replace(result, verdict=sides_left_out)))
    return found


def with_fault(study: Study, name: str) -> Study:
    """The scenarios of an experiment that a fault changes, with the fault planted into their actual sides.

    Contrasts and claims are left out: they speak of an honest side.

    Raises
    ------
    InputError
        If the fault changes nothing in any scenario, or the code that it spoils does not fit.
    """
    plant = FAULTS[name].plant
    spoiled: list[Scenario] = []
    refused: Verdict | None = None
    for scenario in study.scenarios:
        make = planted(scenario.actual, plant, scenario.steps)
        verdict = walk(make(), scenario.actual(), scenario.steps, fail_fast=True)
        if verdict.outcome is Outcome.DIVERGED:
            spoiled.append(replace(scenario, name=f"{scenario.name}, {name} planted", actual=make))
        elif verdict.outcome is Outcome.ERROR:
            refused = verdict
    if spoiled:
        return Study(spoiled)
    if refused is not None:
        why = f"what it spoils is made otherwise here ({type(refused.error).__name__}: {refused.error})"
    else:
        why = "what it spoils makes no difference here, or is not used"
    raise InputError(f"the fault {name} cannot be planted: {why}; its own scene is: {FAULTS[name].scene.name}")
