"""The table of faults and controls: sound, complete, and up to date where it is published."""

import re
from collections import Counter

import numpy as np
import pytest

from compare.checkpoint import PHASES
from compare.diagnosis.catalogue import CAUSES, UNKNOWN
from compare.faults import catalogue, controls, data, layer_controls, publish, step_controls
from compare.faults.catalogue import CONTROLS, FAULTS
from compare.faults.table import table

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def test_there_are_enough_of_many_kinds():
    assert len(FAULTS) >= 80
    assert len(CONTROLS) >= 20
    phases = Counter(fault.phase for fault in FAULTS.values())
    everywhere = ("forward", "loss", "backward", "deposit", "accumulated", "clip", "slots", "update", "schedule")
    assert all(phases[phase] >= 5 for phase in everywhere)
    assert phases["buffer"] >= 3
    assert len({fault.cause for fault in FAULTS.values()}) >= 80
    assert sum(bool(fault.source) for fault in FAULTS.values()) >= 50
    assert sum("float32" in control.scene.name for control in CONTROLS.values()) >= 5


ELSEWHERE = {"another dtype", "another shape"}
"""Causes that no numbers show: planted in ``tests/compare/diagnosis/test_mismatch.py``."""


def test_every_cause_of_the_catalogue_is_planted():
    assert {fault.cause for fault in FAULTS.values()} | ELSEWHERE | {UNKNOWN} == set(CAUSES)


def test_no_name_is_given_twice():
    names = [one.name for place in catalogue._PLACES for one in place.FAULTS] + [
        one.name for one in (*controls.CONTROLS, *layer_controls.CONTROLS, *step_controls.CONTROLS)
    ]
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_well_said(name):
    fault = FAULTS[name]
    assert NAME.fullmatch(name)
    assert fault.phase in PHASES
    assert 0 <= fault.step <= len(fault.scene.steps)
    assert set(fault.names) <= set(CAUSES) - {UNKNOWN}
    assert len(set(fault.names)) == len(fault.names)
    assert fault.mistake
    assert not fault.mistake.endswith(".")
    assert "  " not in fault.mistake


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_is_well_said(name):
    assert NAME.fullmatch(name)
    assert CONTROLS[name].rewrite
    assert not CONTROLS[name].rewrite.endswith(".")


def test_scenes_have_names_of_their_own():
    scenes = {id(one.scene): one.scene for one in (*FAULTS.values(), *CONTROLS.values())}
    names = Counter(scene.name for scene in scenes.values())
    assert [name for name, count in names.items() if count > 1] == []


def test_what_a_mistake_confuses_is_never_equal():
    rows, micro_batches = sum(data.SIZES), len(data.SIZES)
    numbers = [rows, *data.SIZES, micro_batches, data.CLASSES, 9, 5]
    assert rows == data.ROWS
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("read", [data.pixels, data.patients, data.tumours, data.tokens, data.columns])
def test_every_step_has_rows_of_its_own(read):
    x, y = read()
    assert len(x) == len(y) >= data.ROWS * data.STEPS
    steps = data.steps_of(x, y)
    assert len(steps) == data.STEPS
    assert [len(target) for (_, target), _ in steps[0]] == list(data.SIZES)
    assert all(np.isclose(sum(weight for _, weight in step), 1) for step in steps)
    assert not np.array_equal(steps[0][0][0][0], steps[1][0][0][0])


def test_the_published_table_is_up_to_date():
    assert publish.DATA.read_text(encoding="utf-8") == publish.as_json(), "run python -m compare.faults.publish"
    assert publish.PAGE.read_text(encoding="utf-8") == publish.as_markdown(), "run python -m compare.faults.publish"


def test_the_table_can_be_read_without_running_anything():
    assert [fault["name"] for fault in table()["faults"]] == list(FAULTS)
    assert [control["name"] for control in table()["controls"]] == list(CONTROLS)


def test_the_page_says_how_many_there_are_and_names_each():
    page = publish.as_markdown()
    assert f"\n{len(FAULTS)} mistakes that people make in training code, and {len(CONTROLS)} honest rewrites" in page
    for name in (*FAULTS, *CONTROLS):
        assert f"| `{name}` |" in page
    assert "[huggingface/transformers#34191](https://github.com/huggingface/transformers/issues/34191)" in page


def test_the_example_on_the_page_runs():
    (example,) = re.findall(r"```python\n(.*?)```", publish.as_markdown(), re.DOTALL)
    found = {}
    exec(compile(example, "docs/faults.md", "exec"), found)
    gaps = [
        np.abs(value - found["expected"].parameters[name]).max() for name, value in found["actual"].parameters.items()
    ]
    assert max(gaps) > 1e-6
