"""Every mistake parts at its phase and step, every honest rewrite is silent, and what is planted really runs."""

import pytest

from compare.diagnosis.catalogue import UNKNOWN
from compare.diagnosis.mutants import search
from compare.faults.catalogue import CONTROLS, FAULTS
from compare.faults.fault import run_control, run_fault
from compare.lockstep import walk
from compare.threads import threads


@pytest.fixture(autouse=True)
def _one_thread():
    with threads(1):
        yield


UNNAMED = {"backward-visits-consumers-twice"}
"""What no single change of the reference explains."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_mistake_is_seen_placed_and_named(name, monkeypatch):
    monkeypatch.setattr(search, "BUDGET", 60.0)  # what is found must not hang on what else the machine does
    fault = FAULTS[name]
    result = run_fault(fault)
    assert result.detected, f"{result.verdict.outcome}: {result.verdict.reason}"
    assert (result.phase, result.step) == (fault.phase, fault.step), result.first.where
    assert result.place_right
    assert result.cause in ({UNKNOWN} if name in UNNAMED else fault.names), result.verdict.causes


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.step > 1])
def test_fewer_steps_do_not_show_it(name):
    fault = FAULTS[name]
    steps = fault.scene.steps[: fault.step - 1]
    assert walk(fault.make_actual(), fault.scene.make_expected(), steps).outcome == "equivalent"


@pytest.mark.parametrize("name", CONTROLS)
def test_an_honest_rewrite_is_silent(name):
    result = run_control(CONTROLS[name])
    assert result.silent, result.verdict.reason


@pytest.mark.parametrize("name", CONTROLS)
def test_a_rewrite_really_runs(name):
    control = CONTROLS[name]
    side = control.make_actual()
    for micro_batches in control.scene.steps[:2]:
        side.zero_grad()
        for micro_batch, weight in micro_batches:
            side.accumulate(micro_batch, weight)
        side.step()
    assert side.planting.reached


@pytest.mark.parametrize(
    "scene", list({one.scene.name: one.scene for one in FAULTS.values()}.values()), ids=lambda s: s.name
)
def test_a_scene_is_honest_without_its_mistake(scene):
    verdict = walk(scene.make_actual(), scene.make_expected(), scene.steps)
    assert verdict.outcome == "equivalent", verdict.reason
