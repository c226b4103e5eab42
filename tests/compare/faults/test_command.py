"""``gradlock faults`` and ``gradlock run --fault``: the table, the record, the exit codes, and what is refused."""

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from compare import cli
from compare.batches import InputError
from compare.diagnosis.evidence import Cause
from compare.experiment import Setting
from compare.experiments import CATALOGUE
from compare.faults import command, scenes
from compare.faults.catalogue import FAULTS
from compare.faults.fault import Control, ControlResult, Fault, FaultResult, run_control, run_fault
from compare.report.faults import faults_record, faults_text
from compare.verdict import Outcome


def invoke(*arguments):
    result = CliRunner().invoke(cli.cli, arguments, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout


def refused(*arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


SCENE = scenes.network()
HALVED = FAULTS["mean-of-means"]


def fault(name="planted", phase="deposit", step=1, cause="mean of means", plant=HALVED.plant, **more):
    return Fault(name, f"what {name} is", cause, phase, step, SCENE, plant, **more)


def nothing(plant):
    pass


def named(result, *causes):
    """The same result with other causes named."""
    verdict = SimpleNamespace(
        outcome=result.verdict.outcome,
        reason=result.verdict.reason,
        error=None,
        first_divergence=result.verdict.first_divergence,
        causes=tuple(Cause(cause, 0.0, f"why {cause}", "a formula") for cause in causes),
    )
    return FaultResult(result.fault, verdict)


FOUND = run_fault(fault(), diagnose=False)
MISSED = run_fault(fault("missed", plant=nothing), diagnose=False)
MISPLACED = run_fault(fault("misplaced", phase="update", step=2), diagnose=False)
SILENT = run_control(Control("silent", "nothing is rewritten", SCENE, nothing))
LOUD = run_control(Control("loud", "something is spoiled", SCENE, HALVED.plant), diagnose=False)


@pytest.mark.parametrize(
    ("faults", "controls", "code", "totals"),
    [
        ([named(FOUND, "mean of means")], [SILENT], 0, {"placed": 1, "named": 1, "unknown": 0, "silent": 1}),
        ([named(FOUND, "mean of means", "sign")], [], 0, {"named": 1, "wrongly_named": 0}),
        ([named(FOUND, "sign", "mean of means")], [], 1, {"named": 0, "wrongly_named": 1}),
        ([named(FOUND, "unknown")], [], 1, {"unknown": 1, "wrongly_named": 0}),
        ([named(FOUND)], [], 1, {"unknown": 1}),
        ([named(FOUND, "mean of means")] * 19 + [named(FOUND, "unknown")], [], 0, {"named": 19, "unknown": 1}),
        ([named(FOUND, "mean of means")] * 18 + [named(FOUND, "unknown")] * 2, [], 1, {"named": 18, "unknown": 2}),
        ([named(MISSED)], [], 1, {"detected": 0, "placed": 0, "unknown": 0, "wrongly_named": 0}),
        ([named(MISPLACED, "mean of means")], [], 1, {"detected": 1, "placed": 0, "named": 1}),
        ([], [LOUD], 1, {"controls": 1, "silent": 0}),
        ([], [SILENT], 0, {"faults": 0}),
    ],
    ids=[
        *("right", "runner-up wrong", "wrong name", "unknown", "no name", "95 percent", "90 percent"),
        *("missed", "misplaced", "loud control", "controls alone"),
    ],
)
def test_the_exit_code_and_the_totals(faults, controls, code, totals):
    record = faults_record(faults, controls, threads=1)
    assert record["exit_code"] == code
    assert {key: record["totals"][key] for key in totals} == totals
    json.dumps(record, allow_nan=False)


def test_another_name_for_the_same_numbers_is_as_right():
    result = FaultResult(fault(also=("sum of micro-batches",)), named(FOUND, "sum of micro-batches").verdict)
    assert result.cause_right
    assert not result.confidently_wrong
    assert faults_record([result], [], threads=1)["exit_code"] == 0


def test_a_side_that_raises_is_not_detected():
    def raising(plant):
        plant.replace(type(SCENE.make_actual()), "accumulate", lambda right, *arguments: 1 / 0)

    result = run_fault(fault("raising", plant=raising))
    assert result.verdict.outcome is Outcome.ERROR
    assert not result.detected
    assert result.as_it_must is False


def test_the_table_says_what_was_found():
    results = [named(FOUND, "mean of means"), named(FOUND, "sign"), named(FOUND), named(MISSED), named(MISPLACED)]
    text = faults_text(faults_record(results, [SILENT, LOUD], threads=1))
    rows = [line.split("  ") for line in text.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows if len(row) > 1]
    assert cells[0] == ["fault", "seen", "place", "cause", "noise multiple"]
    assert ["planted", "yes", "step 1 deposit", "mean of means"] in [row[:4] for row in cells]
    assert ["planted", "yes", "step 1 deposit", "sign, must be mean of means"] in [row[:4] for row in cells]
    assert ["planted", "yes", "step 1 deposit", "unknown (it is mean of means)"] in [row[:4] for row in cells]
    assert ["missed", "NO: equivalent", "(must be step 1 deposit)", "(must be mean of means)"] in cells
    assert ["misplaced", "yes", "step 1 deposit, must be step 2 update"] in [row[:3] for row in cells]
    assert ["silent", "silent"] in cells
    assert any(row[0] == "loud" and row[1].startswith("DIVERGED: the sides part at step 1") for row in cells)
    assert (
        "5 faults: 4 seen, 3 at the right step and phase, 1 named rightly, 2 unknown, 1 named wrongly.\n"
        "2 controls: 1 silent.\n"
        "At least 95% must be named rightly.\n"
        "Exit code 1.\n"
    ) in text


def test_quiet_shows_only_what_is_not_as_it_must_be():
    record = faults_record([named(FOUND, "mean of means"), named(MISSED)], [SILENT], threads=1)
    text = faults_text(record, quiet=True)
    assert "missed" in text
    assert "planted" not in text
    assert "silent." in text
    assert "must be silent" not in text


# -- the command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """A catalogue of one right fault, whose cause is whatever is named, and one control."""
    right = fault("right-one", also=("unknown",))
    monkeypatch.setattr(command, "FAULTS", {"right-one": right, "missed": fault("missed", plant=nothing)})
    monkeypatch.setattr(command, "CONTROLS", {"silent": SILENT.control})


def test_the_command_prints_the_table_and_ends_with_its_code(small):
    code, out = invoke("faults")
    assert code == 1
    assert "2 faults: 1 seen, 1 at the right step and phase" in out
    assert "1 controls: 1 silent." in out


def test_a_match_chooses_faults_and_controls(small):
    code, out = invoke("faults", "--match", "s*")
    assert code == 0
    assert out.splitlines()[2:] == ["silent     silent", "", "1 controls: 1 silent.", "Exit code 0."]


def test_quiet_says_nothing_if_all_is_as_it_must_be(small):
    assert invoke("faults", "--match", "s*", "--quiet") == (0, "")
    code, out = invoke("faults", "--match", "missed", "--quiet")
    assert code == 1
    assert "NO: equivalent" in out


def test_the_record_is_written(small, tmp_path):
    invoke("faults", "--json", str(tmp_path / "found.json"), "--quiet")
    record = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in record["faults"]] == ["right-one", "missed"]
    assert record["faults"][0]["found"]["where"].startswith("step 1, micro-batch 1, deposit")
    assert record["exit_code"] == 1
    code, out = invoke("faults", "--match", "s*", "--json", "-")
    assert (code, json.loads(out)["totals"]["silent"]) == (0, 1)


def test_progress_names_each(small):
    names, totals = [], []
    command.run(on_start=names.append, on_total=totals.append, diagnose=False)
    assert names == ["right-one", "missed", "silent"]
    assert totals == [3]


def test_several_processes_find_what_one_finds(tmp_path):
    for jobs in ("1", "2"):
        code, _ = invoke("faults", "--match", "gelu-*", "--jobs", jobs, "--json", str(tmp_path / jobs), "--quiet")
        assert code == 0
    one, two = (json.loads((tmp_path / jobs).read_text(encoding="utf-8")) for jobs in ("1", "2"))
    assert one == two
    assert one["totals"]["faults"] >= 1


def test_nothing_that_matches_is_refused_by_several_processes_too(capsys):
    assert "no fault and no control matches 'zzz*'" in refused(
        "faults", "--match", "zzz*", "--jobs", "2", capsys=capsys
    )


def test_nothing_that_matches_is_refused(small, capsys):
    said = refused("faults", "--match", "zzz*", capsys=capsys)
    assert said == "gradlock: no fault and no control matches 'zzz*'; `gradlock list faults` shows them\n"


@pytest.mark.parametrize(("kind", "name"), [("faults", "mean-of-means"), ("causes", "mean of means")])
def test_faults_and_causes_are_listed(kind, name):
    code, out = invoke("list", kind)
    assert code in (0, None)
    assert out.splitlines()[0].split() == [kind, "what", "it", "is"]
    assert any(line.startswith(f"{name}  ") for line in out.splitlines())


# -- run --fault -----------------------------------------------------------------------------------------------------------


def test_a_fault_is_planted_into_an_experiment():
    code, out = invoke("run", "mlp-digits", "--fault", "relu-slope-left-out", "--steps", "2")
    assert code == 1
    assert "scenario relu, relu-slope-left-out planted: diverged" in out
    assert "first divergence: step 1, micro-batch 1, backward, layers.1 (input)" in out


@pytest.mark.parametrize(
    ("experiment", "name", "said"),
    [
        (
            "mlp-digits",
            "adam-betas-swapped",
            "mlp-digits: the fault adam-betas-swapped cannot be planted: what it spoils makes no difference here, or is "
            "not used; its own scene is: digits, 9-5-10, Tanh, Adam, eps 0.01",
        ),
        ("linear-regression", "clipped-per-tensor", "makes no difference here"),
        ("mlp-digits", "weighted-mean-over-rows", "what it spoils is made otherwise here (TypeError: "),
    ],
)
def test_a_fault_that_does_not_fit_is_refused_in_one_line(experiment, name, said, capsys):
    found = refused("run", experiment, "--fault", name, "--steps", "2", capsys=capsys)
    assert said in found


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mean-of-meens", "did you mean 'mean-of-means'?"), ("xyz", "`gradlock list faults` shows them")],
)
def test_an_unknown_fault_is_refused(name, hint, capsys):
    said = refused("run", "mlp-digits", "--fault", name, capsys=capsys)
    assert said == f"gradlock: no fault is called {name!r}; {hint}\n"


def test_only_scenarios_that_a_fault_changes_are_kept():
    study = CATALOGUE["mlp-digits-adamw"].build(Setting(steps=1))
    planted = command.with_fault(study, "gelu-by-tanh")
    assert [scenario.name for scenario in planted.scenarios] == ["defaults, gelu-by-tanh planted"]
    assert planted.contrasts == ()
    assert planted.lesson is None
    with pytest.raises(InputError, match="the fault dropout-not-scaled cannot be planted"):
        command.with_fault(study, "dropout-not-scaled")


def test_results_know_what_they_must():
    assert isinstance(SILENT, ControlResult)
    assert SILENT.silent
    assert not LOUD.silent
    assert FOUND.as_it_must
    assert FOUND.noise_multiple is None or FOUND.noise_multiple > 1e3
    assert not MISPLACED.as_it_must
