"""Two traces against each other: where they part, where one ends, other names, other micro-batches, other dtypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import compare
from compare.batches import InputError
from compare.experiment import Setting
from compare.experiments import CATALOGUE
from compare.faults.catalogue import FAULTS
from compare.faults.planting import planted
from compare.tracing.reader import Reader
from compare.tracing.recording import record_side
from tests.compare.tracing.written import write


def small(folder, values, *, name="layer.weight", dtype=None, weights=(), steps=1):
    """A trace of accumulated gradients alone, one for each micro-batch."""
    with compare.TraceWriter(folder, dtype="float32") as trace:
        for step in range(1, steps + 1):
            for index, weight in enumerate(weights, 1):
                trace.weight(step, index, weight)
            for index, value in enumerate(values, 1):
                trace.add(step, index, "loss", "data", np.float32(index))
                trace.add(step, index, "accumulated", name, value, dtype=dtype)
    return folder


def test_the_first_divergence_is_placed_in_data_flow_order(tmp_path):
    report = compare.traces(write(tmp_path / "a", wrong=0.5), write(tmp_path / "e"))
    first = report.first_divergence
    assert (report.outcome, first.where, first.culprit) == (
        "diverged",
        "step 2, micro-batch 1, deposit, layer.weight",
        "layer",
    )
    assert first.difference.max_abs_index == (1, 2)
    inherited = [found.checkpoint.phase for found in report.verdict.divergences if not found.own]
    assert {"accumulated", "slots", "update", "parameter"} <= set(inherited)


@pytest.mark.parametrize(
    ("cut", "outcome", "said"),
    [
        (None, "equivalent", ""),
        (
            1,
            "abstained",
            "all agrees as far as both go, and no further: actual ends after step 1, schedule; expected ends after step 3, schedule",
        ),
    ],
)
def test_a_shorter_run(cut, outcome, said, tmp_path):
    report = compare.traces(write(tmp_path / "a", steps=cut or 3), write(tmp_path / "e"))
    assert (report.outcome, report.reason) == (outcome, said)


def unfinished(folder, until):
    """A trace whose writer stops in step 2 after so many values."""
    count = 0

    def stop():
        nonlocal count
        count += 1
        if count == until:
            raise StopIteration

    with pytest.raises(StopIteration):
        write(folder, wait=stop)
    return folder


def test_a_prefix_says_where_it_ends(tmp_path):
    whole = write(tmp_path / "e")
    report = compare.traces(unfinished(tmp_path / "a", 3), whole)
    assert report.outcome == "abstained"
    assert report.reason == (
        "all agrees as far as both go, and no further: actual is not finished: it ends after step 2, micro-batch 1, "
        "accumulated; expected ends after step 3, schedule"
    )
    assert report.coverage.only_expected == ["steps: 3"]
    other_way = compare.traces(whole, tmp_path / "a")
    assert other_way.outcome == "abstained"
    assert "expected is not finished" in other_way.reason


def test_two_prefixes_of_one_length_agree_with_a_note(tmp_path):
    report = compare.traces(unfinished(tmp_path / "a", 3), unfinished(tmp_path / "e", 3))
    assert report.outcome == "equivalent"
    assert any(
        "actual is not finished" in note and "expected is not finished" in note for note in report.coverage.notes
    )


def test_a_difference_before_the_end_of_a_prefix_is_found(tmp_path):
    report = compare.traces(unfinished(tmp_path / "a", 4), write(tmp_path / "e", wrong=1.0))
    assert report.first_divergence.where == "step 2, micro-batch 1, deposit, layer.weight"


def test_other_micro_batches_are_matched_where_that_has_a_meaning(tmp_path):
    one, two, both = np.float32([1, 2, 3]), np.float32([4, 6, 8]), np.float32([5, 8, 11])
    small(tmp_path / "a", [both], weights=[1.0], steps=3)
    small(tmp_path / "e", [one, both], weights=[0.25, 0.75], steps=3)
    report = compare.traces(tmp_path / "a", tmp_path / "e")
    assert report.outcome == "equivalent", report
    assert set(report.coverage.phases) == {"accumulated"}
    said = "step 1-3: 1 micro-batches of the actual side and 2 of the expected one; compared from the accumulated gradients of the last one on"
    assert said in report.coverage.notes
    small(tmp_path / "w", [two], weights=[1.0], steps=3)
    wrong = compare.traces(tmp_path / "w", tmp_path / "e")
    assert wrong.first_divergence.where == "step 1, micro-batch 2, accumulated, layer.weight"


def test_names_and_layouts(tmp_path):
    value = np.arange(6, dtype=np.float32).reshape(2, 3) + 1
    small(tmp_path / "a", [value.T], name="W")
    small(tmp_path / "e", [value])
    assert compare.traces(tmp_path / "a", tmp_path / "e", names={"W": ("layer.weight", (1, 0))}).outcome == "equivalent"
    report = compare.traces(tmp_path / "a", tmp_path / "e")
    assert report.outcome == "abstained"
    assert any("names={'W': ('layer.weight', (1, 0))}" in note for note in report.coverage.notes), report.coverage.notes
    with pytest.raises(InputError, match="names maps 'W' to 'nothing'"):
        compare.traces(tmp_path / "a", tmp_path / "e", names={"W": "nothing"})


@pytest.mark.parametrize(
    ("actual", "expected", "outcome"),
    [
        (1.0, 1.0, "equivalent"),
        (1.0 + 2**-7, 1.0, "equivalent"),
        (1.5, 1.0, "diverged"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(actual, expected, outcome, dtype, tmp_path):
    for folder, value in (("a", actual), ("e", expected)):
        small(tmp_path / folder, [torch.tensor([value, 2.0, -4.0]).to(dtype)])
    assert compare.traces(tmp_path / "a", tmp_path / "e").outcome == outcome


def test_half_precision_against_a_wider_one_is_said(tmp_path):
    small(tmp_path / "a", [torch.tensor([1.0, 2.0, -4.0]).bfloat16()])
    small(tmp_path / "e", [np.float32([1.001, 2.0, -4.0])])
    report = compare.traces(tmp_path / "a", tmp_path / "e")
    assert report.outcome == "equivalent"
    assert "accumulated: what one side holds as BF16 and the other as F32 is judged as BF16" in report.coverage.notes


def test_another_dtype_is_a_divergence_of_its_own(tmp_path):
    small(tmp_path / "a", [np.float64([1, 2, 3])])
    small(tmp_path / "e", [np.float32([1, 2, 3])])
    assert (
        compare.traces(tmp_path / "a", tmp_path / "e").first_divergence.difference.text
        == "dtype float64, expected float32"
    )


@pytest.mark.parametrize(
    ("argument", "said"), [({"tolerance": "loose"}, "tolerance is 'loose'"), ({"reference": 3}, "reference must be")]
)
def test_arguments_that_cannot_be_used(argument, said, tmp_path):
    small(tmp_path / "a", [np.float32([1, 2])])
    with pytest.raises(InputError, match=said):
        compare.traces(tmp_path / "a", tmp_path / "a", **argument)


@pytest.mark.parametrize("phase", ["update", "parameter", "slots", "clip", "buffer", "schedule"])
def test_a_single_phase_is_enough(phase, tmp_path):
    for folder, value in (("a", 1.5), ("e", 1.0)):
        with compare.TraceWriter(tmp_path / folder, dtype="float64") as trace:
            trace.add(1, None, phase, "layer.weight", np.array([value, 2.0]))
    report = compare.traces(tmp_path / "a", tmp_path / "e")
    assert report.first_divergence.where.startswith(f"step 1, {phase}, layer.weight")
    assert compare.traces(tmp_path / "a", tmp_path / "a").outcome == "equivalent"


def test_without_checksums_a_note_says_so(tmp_path):
    for side in "ae":
        trace = write(tmp_path / side)
        manifest = (trace / "manifest.json").read_text().replace("crc32", "none")
        (trace / "manifest.json").write_text(manifest)
        lines = (trace / "index.txt").read_text().splitlines()
        lines[0] = f"0 {len(manifest)} manifest.json"
        (trace / "index.txt").write_text("".join(f"- {line.split(' ', 1)[1]}\n" for line in lines))
    report = compare.traces(tmp_path / "a", tmp_path / "e")
    assert report.outcome == "equivalent"
    assert "the actual trace is not checksummed: a damaged number in it would not be noticed" in report.coverage.notes


def test_what_is_not_finite_agrees_with_its_like(tmp_path):
    small(tmp_path / "a", [np.float32([np.nan, np.inf, 1, 2])])
    small(tmp_path / "e", [np.float32([np.nan, np.inf, 1, 2])])
    small(tmp_path / "w", [np.float32([np.nan, -np.inf, 1, 2])])
    assert compare.traces(tmp_path / "a", tmp_path / "e").outcome == "equivalent"
    assert compare.traces(tmp_path / "w", tmp_path / "e").outcome == "diverged"


# -- recorded experiments ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The digits network: the scenario, the trace of PyTorch with its noise, and where it says that it is from."""
    setting = {"dtype": "float64", "steps": 3, "micro_batches": None, "optimizer": None, "seed": 0}
    scenario = CATALOGUE["mlp-digits"].build(Setting(**setting)).scenarios[0]
    source = {"experiment": "mlp-digits", "scenario": scenario.name, "side": "torch", "setting": setting}
    folder = tmp_path_factory.mktemp("recorded") / "e"
    record_side(scenario.expected, scenario.steps, folder, noise=True, source=source)
    return scenario, folder


def test_an_honest_run_is_equivalent_by_recorded_noise(recorded, tmp_path):
    scenario, expected = recorded
    record_side(scenario.actual, scenario.steps, tmp_path / "a")
    report = compare.traces(tmp_path / "a", expected)
    assert report.outcome == "equivalent", report
    assert report.verdict.tolerance == "measured"
    assert 0 < report.verdict.worst_error < 3.0  # 5 are allowed
    assert report.coverage.digits["deposit"] > 10


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("fault", ["zero-grad-left-out", "mean-of-means"])
def test_a_planted_mistake_is_placed_and_named(fault, live, recorded, tmp_path, monkeypatch):
    scenario, expected = recorded
    record_side(planted(scenario.actual, FAULTS[fault].plant, scenario.steps), scenario.steps, tmp_path / "a")
    if not live:
        monkeypatch.setattr("compare.tracing.traces._rebuilt", lambda *_: None)
    report = compare.traces(tmp_path / "a", expected)
    assert report.outcome == "diverged"
    assert report.first_divergence.culprit == "accumulation"
    assert report.causes[0].cause == FAULTS[fault].cause
    assert any("running the experiment mlp-digits" in note for note in report.coverage.notes) == live


def test_a_reference_that_is_another_one_is_not_used(recorded, tmp_path, monkeypatch):
    scenario, expected = recorded
    record_side(planted(scenario.actual, FAULTS["mean-of-means"].plant, scenario.steps), scenario.steps, tmp_path / "a")
    other = CATALOGUE["mlp-digits"].build(Setting(steps=3, seed=1)).scenarios[0]
    monkeypatch.setattr("compare.tracing.traces._rebuilt", lambda *_: ("mlp-digits", other.expected, other.steps))
    report = compare.traces(tmp_path / "a", expected)
    assert report.first_divergence.culprit == "accumulation"
    assert any("run again here, is not what the expected trace holds" in note for note in report.coverage.notes)


def test_noise_is_written_beside_what_it_is_of(recorded):
    _, expected = recorded
    step = list(Reader(expected).steps())[1]
    entry = step.moments[1, "deposit"]["layers.0.weight", 0, ""]
    assert entry.noise.shape == (sum(entry.value.shape),)
    assert step.moments[None, "schedule"]["group 0", 0, ""].noise is None


def test_a_mistake_is_named_under_other_names(recorded, tmp_path):
    scenario, expected = recorded
    record_side(planted(scenario.actual, FAULTS["mean-of-means"].plant, scenario.steps), scenario.steps, tmp_path / "a")
    with compare.TraceWriter(tmp_path / "b", dtype="float64") as trace:
        for step in Reader(tmp_path / "a").steps():
            for index, weight in step.weights.items():
                trace.weight(step.number, index, weight)
            for (index, phase), entries in step.moments.items():
                for (name, call, output), entry in entries.items():
                    value, other = entry.array(), name.replace("layers.", "dense").replace(".weight", "_w")
                    value = value.T if name.endswith(".weight") else value
                    trace.add(step.number, index, phase, other, value, call=call, output=output)
    names = {"dense*_w": ("layers.*.weight", (1, 0)), "dense*.bias": "layers.*.bias", "dense*": "layers.*"}
    names = {
        **names,
        **{f"dense{i}_w": (f"layers.{i}.weight", (1, 0)) for i in (0, 2)},
        **{f"dense{i}.bias": f"layers.{i}.bias" for i in (0, 2)},
    }
    del names["dense*_w"], names["dense*.bias"]
    report = compare.traces(tmp_path / "b", expected, names=names)
    assert report.first_divergence.culprit == "accumulation", report
    assert report.causes[0].cause == "mean of means"
