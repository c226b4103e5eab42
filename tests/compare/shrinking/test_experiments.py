"""Failing experiments made small: four rows, three steps and widths of four at the most, for the same cause."""

import pytest

from compare.batches import InputError
from compare.experiment import Setting
from compare.faults.catalogue import FAULTS
from compare.lockstep import lockstep
from compare.shrinking.experiments import Failing, failing_experiment, shrink_failing
from compare.shrinking.program import data_text, program_text, sides_of
from compare.shrinking.setup import read
from compare.shrinking.signature import Signature, signature_of


def in_its_scene(name):
    fault = FAULTS[name]
    source = f'scene = FAULTS["{name}"].scene\nactual, expected = scene.make_actual, scene.make_expected'
    scene = fault.scene
    return Failing(name, scene.make_actual, scene.make_expected, scene.steps, fault=name, source=source)


CASES = {
    "an optimizer": lambda: failing_experiment(
        "mlp-digits", Setting(optimizer="Adam"), "adam-eps-inside-the-root", None
    ),
    "a convolution": lambda: in_its_scene("conv-kernel-flipped"),
    "accumulation": lambda: in_its_scene("mean-of-means"),
    "a clip": lambda: in_its_scene("norms-added-up"),
    "a schedule": lambda: in_its_scene("scheduler-before-optimizer"),
}


def verdict_of_file(text):
    """What the walk in a written file finds."""
    namespace: dict = {}
    exec(compile(text, "minimal", "exec"), namespace)
    with pytest.raises(AssertionError) as caught:
        namespace["test_the_two_sides_are_equivalent"]()
    return str(caught.value)


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_a_failing_experiment_is_made_small_and_written(make):
    minimal = shrink_failing(make(), seconds=600)
    assert minimal.after["rows"] <= 4
    assert minimal.after["steps"] <= 3
    assert minimal.after["widest"] <= 4
    assert signature_of(minimal.report.verdict) == minimal.signature
    assert minimal.report.causes[0].cause == minimal.signature.cause != "unknown"
    report = verdict_of_file(minimal.text())
    assert f"cause      {minimal.signature.cause}: " in report


def test_what_is_read_of_a_scene_computes_the_same():
    scene = FAULTS["mean-of-means"].scene
    actual, expected, steps = sides_of(read(scene.make_expected, scene.steps))
    assert lockstep(actual, expected, steps).outcome == "equivalent"
    assert lockstep(scene.make_actual, expected, steps).outcome != "error"
    assert [[weight for _, weight in step] for step in steps] == [
        [weight for _, weight in step] for step in scene.steps
    ]


def test_sides_of_their_own_kind_lose_steps_and_rows_only():
    minimal = shrink_failing(_tagger(), seconds=600)
    assert minimal.after["rows"] <= 4
    assert minimal.notes[0].startswith("only steps and rows were reduced: Positions is no layer of both wings")
    assert "cause" in verdict_of_file(minimal.text())


def _tagger():
    from compare.faults.scenes import tagger

    return in_its_scene(next(fault.name for fault in FAULTS.values() if fault.scene is tagger()))


def test_rows_that_count_are_written_where_a_loss_ignores_some():
    fault = next(fault for fault in FAULTS.values() if "ignoring" in fault.scene.name)
    setup = read(fault.scene.make_expected, fault.scene.steps)
    namespace = {}
    imports, program = program_text(setup)
    head = "import numpy as np\nfrom compare.batches import cut\n" + "\n".join(imports)
    exec(compile(f"{head}\n{data_text(setup)}\n{program}", "setup", "exec"), namespace)
    weights = [[weight for _, weight in step] for step in namespace["STEPS"]]
    assert weights == [[weight for _, weight in step] for step in fault.scene.steps]


def test_what_does_not_diverge_is_refused():
    with pytest.raises(InputError) as caught:
        failing_experiment("logic-gates", Setting(), None, None)
    assert str(caught.value) == (
        "logic-gates: it is equivalent; only what diverges can be made small; plant a mistake with --fault"
    )
    with pytest.raises(InputError, match="logic-gates has no scenario 'OT'; it has 'AND'"):
        failing_experiment("logic-gates", Setting(), None, "OT")


def test_a_signature_is_read_as_a_sentence():
    assert str(Signature("update", "optimizer", True, "sign")) == "update, culprit optimizer, cause sign"
