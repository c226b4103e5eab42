"""The command line end to end: exit codes, messages, reports; with small experiments, spoiled by name."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

import compare.experiments
from compare import cli, output
from compare.batches import InputError, cut
from compare.checkpoint import PHASES
from compare.experiment import Claim, Contrast, Experiment, Must, Scenario, Study, Table
from compare.experiments.datasets import DataError
from compare.names import NAMES
from compare.report.json import schema

from .toy import ToySide

generator = np.random.default_rng(1)
X, Y = generator.standard_normal((12, 4)), generator.standard_normal((12, 2))


class Raising(ToySide):
    def step(self):
        raise ZeroDivisionError("no step | today")


class Silent(ToySide):
    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        return super().accumulate((x * 0, y * 0), weight)

    def __init__(self):
        super().__init__()
        self.decay = 0.0
        for value in self.parameters.values():
            value[...] = 0


class Spoiling(ToySide):
    """Shows one activation spoiled, without going on with it."""

    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil

    def accumulate(self, micro_batch, weight):
        terms = super().accumulate(micro_batch, weight)
        key = ("act", 0, "output")
        self.activations[key] = self.spoil(self.activations[key].copy())
        return terms


class Unclipped(ToySide):
    """Shows no norm, so that there is no clip phase."""

    def step(self):
        super().step()
        self.total_norm = None


def with_value(value):
    def spoil(activation):
        activation[1, 2] = value
        return activation

    return spoil


def study(setting, actual=ToySide, expected=ToySide, contrast=True, claim=0.0):
    count = setting.steps or 3
    steps = [cut(X, Y, setting.micro_batches or [7, 5])] * count
    planted = Contrast(
        Scenario("spoiled", lambda: ToySide("act backward"), ToySide, steps),
        Must("backward", 1, micro_batch=1, name="act", culprit="act" if contrast else "hidden"),
        "the slope of tanh is wrong",
    )

    def lesson(verdicts):
        return [Claim("nothing is nothing", claim, 0.0)], [
            Table("Numbers", ["a", "b"], [["x", 1.5], ["y", float("inf")]])
        ]

    return Study([Scenario("plain", actual, expected, steps)], [planted], lesson)


def raises(error):
    def build(setting):
        raise error

    return build


BUILDS = {
    "equal": study,
    "spoiled": lambda s: study(s, lambda: ToySide("hidden forward", 2)),
    "abstaining": lambda s: study(s, Silent, Silent),
    "raising": lambda s: study(s, Raising),
    "unseen": lambda s: study(s, contrast=False),
    "untrue": lambda s: study(s, claim=1.0),
    "bad-data": raises(DataError("iris.csv.gz: line 3, column 2: 'x' is no number; restore the file")),
    "bad-input": raises(InputError("micro-batches: 500 asked for, but the batch has only 12 rows; ask for at most 12")),
    "broken": raises(KeyError("oops")),
    "unteachable": lambda s: replace(study(s), lesson=raises(KeyError("lesson"))),
    "not-nan": lambda s: study(s, lambda: Spoiling(with_value(float("nan")))),
    "not-inf": lambda s: study(s, lambda: Spoiling(with_value(float("inf")))),
    "mixed": lambda s: Study([*study(s, Unclipped, Unclipped).scenarios, replace(study(s).scenarios[0], name="more")]),
    "misshapen": lambda s: study(s, lambda: Spoiling(lambda a: a[:, :2])),
}


@pytest.fixture(autouse=True)
def catalogue(monkeypatch):
    made = {name: Experiment(name, f"what {name} shows", build) for name, build in BUILDS.items()}
    monkeypatch.setattr(compare.experiments, "CATALOGUE", made)
    monkeypatch.setattr(cli, "NAMES", {name: one.shows for name, one in made.items()})


def gradlock(*arguments):
    """Run the program; returns exit code, standard output, standard error."""
    runner = CliRunner()
    with runner.isolation() as (out, err, _):
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        return ended.value.code or 0, out.getvalue().decode(), err.getvalue().decode()


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("equal", 0, "1 equivalent. Exit code 0."),
        ("spoiled", 1, "first divergence: step 2, micro-batch 1, forward, hidden"),
        ("abstaining", 3, "abstained"),
        ("raising", 4, "the actual side raised in step (step 1): ZeroDivisionError: no step | today"),
        ("unseen", 1, "it diverges in the wrong place: culprit is 'act' instead of 'hidden'"),
        ("untrue", 1, "claim fails: nothing is nothing (1 == 0 is false)"),
    ],
)
def test_exit_codes_and_what_is_said(name, code, text):
    got, out, err = gradlock("run", name)
    assert got == code
    assert text in out
    assert err == ""
    assert "Traceback" not in out


def test_the_worst_outcome_is_the_exit_code():
    assert gradlock("run", "equal", "abstaining")[0] == 3
    assert gradlock("run", "equal", "spoiled", "abstaining")[0] == 1
    assert gradlock("run", "spoiled", "raising", "abstaining", "equal")[0] == 4


def test_the_details_of_a_divergence():
    _, out, _ = gradlock("run", "spoiled")
    assert "  culprit    hidden" in out
    assert "  actual     " in out
    assert "ulp" in out
    assert "times the noise floor" in out
    assert "  honest     computations of this agree on 16 digits" in out
    assert "allowed 1.0e-12" in gradlock("run", "spoiled", "--tolerance", "fixed")[1]
    assert "contrast spoiled - the slope of tanh is wrong: parts at step 1, micro-batch 1, backward, act (input)" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "equl"], "gradlock: no experiment is called 'equl'; did you mean 'equal'?"),
        (["run", "zzz"], "gradlock: no experiment is called 'zzz'; known: equal, spoiled"),
        (["run", "equal", "--optimizer", "adamw"], "gradlock: no optimizer is called 'adamw'; did you mean 'AdamW'?"),
        (["run"], "gradlock: which experiments? Give names or --all; `gradlock list experiments` shows them"),
        (["run", "equal", "--all"], "gradlock: give names or --all, not both"),
        (["run", "equal", "--steps", "0"], "gradlock: Invalid value for '--steps': 0 is not in the range 1<="),
        (["run", "equal", "--seed", str(2**63)], "gradlock: Invalid value for '--seed': 9223372036854775808 is not in"),
        (["equal"], "gradlock: 'equal' is an experiment, no command; try `gradlock run equal`"),
        (["lst"], "gradlock: no command is called 'lst'; did you mean 'list'?"),
        (
            ["run", "equal", "--json", "-", "--markdown", "-"],
            "--json and --markdown both go to standard output",
        ),
        (["run", "equal", "--json", "x.md", "--markdown", "./x.md"], "--json and --markdown both go to x.md"),
        (["run", "equal", "--json", "x" * 300], "File name too long; try another place"),
        (["run", "spoiled", "bad-input"], "gradlock: bad-input: micro-batches: 500 asked"),
        (
            ["run", "equal", "--micro-batches", "-1"],
            "Invalid value for '--micro-batches': -1 is not in the range x>=1.",
        ),
        (["run", "equal", "--dtype", "float16"], "Invalid value for '--dtype': 'float16' is not one of"),
        (["run", "equal", "--sync", "loose"], "Invalid value for '--sync': 'loose' is not one of"),
        (["run", "equal", "--nonsense"], "No such option '--nonsense'"),
        (
            ["--steps", "2", "run", "equal"],
            "gradlock: options of a run go after the command: gradlock run ... --option",
        ),
        (["list", "layer"], "gradlock: no kind is called 'layer'; did you mean 'layers'?"),
        (["run", "bad-data"], "gradlock: bad-data: iris.csv.gz: line 3, column 2: 'x' is no number; restore the file"),
        (
            ["run", "bad-input"],
            "gradlock: bad-input: micro-batches: 500 asked for, but the batch has only 12 rows; ask for at most 12",
        ),
        (["run", "equal", "--micro-batches", "13"], "13 asked for, but the batch has only 12 rows; ask for at most 12"),
        (
            ["run", "equal", "--json", "no/such/folder/f.json"],
            "gradlock: cannot write no/such/folder/f.json: the folder",
        ),
        (["run", "equal", "--markdown", "."], "gradlock: cannot write .: it is a folder; name a file"),
    ],
)
def test_wrong_use_is_one_clear_line_and_exit_code_2(arguments, message):
    code, out, err = gradlock(*arguments)
    assert code == 2
    assert message in err
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("gradlock: ")


def test_input_that_cannot_be_used_is_refused_before_any_walk(monkeypatch):
    monkeypatch.setattr("compare.experiment.run", lambda *a, **k: pytest.fail("walked"))
    assert gradlock("run", "equal", "bad-input")[0] == 2


def test_a_read_only_place_is_found_before_the_run(tmp_path, monkeypatch):
    target = tmp_path / "report.json"
    monkeypatch.setattr(
        "pathlib.Path.open", lambda *a, **k: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    code, _, err = gradlock("run", "broken", "--json", str(target))
    assert code == 2
    assert f"cannot write {target}: Permission denied; try another place" in err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", "the experiment's own code raised KeyError: 'oops' (--debug shows where)"),
        ("unteachable", "its lesson raised KeyError: 'lesson' (--debug shows where)"),
    ],
)
def test_an_experiment_whose_own_code_raises_fails_alone(name, said):
    code, out, err = gradlock("run", "equal", name, "spoiled", "--json", "-")
    record = json.loads(out)
    jsonschema.validate(record, schema(), cls=jsonschema.Draft202012Validator)
    assert code == 4
    assert err == ""
    assert [one["outcome"] for one in record["experiments"]] == ["equivalent", "error", "diverged"]
    assert record["experiments"][1]["reason"] == said
    code, out, err = gradlock("run", name)
    assert (code, err) == (4, "")
    assert said in out
    code, _, err = gradlock("run", name, "--debug")
    assert code == 4
    assert "Traceback" in err


def test_what_a_failed_lesson_leaves():
    _, out, _ = gradlock("run", "unteachable", "--json", "-")
    assert json.loads(out)["experiments"][0]["scenarios"][0]["outcome"] == "equivalent"


def test_a_bug_of_the_program_is_one_line_unless_debug_asks(monkeypatch):
    monkeypatch.setattr("compare.report.records.run_record", lambda *a, **k: {}["gone"])
    assert gradlock("run", "equal")[::2] == (4, "gradlock: KeyError: 'gone' (--debug shows where)\n")
    with pytest.raises(KeyError):
        cli.main(["run", "equal", "--debug"])


def test_an_interrupt_is_no_verdict(monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("compare.experiment.run", interrupt)
    code, out, err = gradlock("run", "equal")
    assert (code, out) == (130, "")
    assert err.strip() == "gradlock: interrupted"


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_number_that_is_not_finite_is_shown_with_its_place(value):
    name = f"not-{value}"
    _, out, _ = gradlock("run", name)
    assert f"  actual     {value} at [1, 2]" in out
    assert "  not finite and not the same on both sides: 1 elements, this is the first" in out
    _, out, _ = gradlock("run", name, "--json", "-")
    first = json.loads(out, parse_constant=pytest.fail)["experiments"][0]["first_divergence"]
    assert (first["actual"], first["index"], first["nonfinite"]) == (value, [1, 2], 1)
    assert isinstance(first["expected"], float)
    _, out, _ = gradlock("run", name, "--markdown", "-")
    assert f"| {value} " in out


def test_another_shape_is_said_in_words():
    for arguments in ((), ("--markdown", "-")):
        assert "shape (7, 2), expected (7, 3)" in gradlock("run", "misshapen", *arguments)[1]


def test_phases_stand_in_order_of_execution_whichever_scenario_has_them():
    one = json.loads(gradlock("run", "mixed", "--json", "-")[1])["experiments"][0]
    assert "clip" not in one["scenarios"][0]["coverage"]["phases"]
    assert list(one["coverage"]["phases"]) == list(PHASES)


def test_a_pipe_is_not_opened_before_there_is_a_report(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    output.check_writable(str(pipe), None)


def test_no_report_is_left_behind_by_the_check(tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text("old", encoding="utf-8")
    output.check_writable(str(kept), str(tmp_path / "new.md"))
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
    assert kept.read_text(encoding="utf-8") == "old"


def test_no_command_runs_all_and_prints_a_row_each(monkeypatch):
    monkeypatch.setattr(cli, "NAMES", {"equal": "", "spoiled": ""})
    code, out, _ = gradlock()
    assert code == 1
    assert "experiment" in out.splitlines()[0]
    assert [line.split()[:2] for line in out.splitlines()[2:4]] == [["equal", "equivalent"], ["spoiled", "diverged"]]
    assert "Planted mistakes" in out
    assert "spoiled: diverged. the sides part at step 2, micro-batch 1, forward, hidden; culprit hidden" in out
    assert gradlock("run", "--all")[1] == out


def test_quiet_says_nothing_when_all_is_well():
    assert gradlock("run", "equal", "--quiet") == (0, "", "")
    code, out, _ = gradlock("run", "equal", "spoiled", "--quiet")
    assert code == 1
    assert "equal (float64)" not in out
    assert "spoiled (float64): diverged" in out


def test_json_follows_its_schema(tmp_path):
    target = tmp_path / "report.json"
    names = ["equal", "spoiled", "abstaining", "raising", "unseen", "untrue"]
    code, _, _ = gradlock("run", *names, "--json", str(target), "--dtype", "float64", "--seed", "3")
    record = json.loads(target.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(record, schema(), cls=jsonschema.Draft202012Validator)
    assert code == record["exit_code"] == 4
    assert [one["outcome"] for one in record["experiments"]] == [
        *("equivalent", "diverged", "abstained", "error", "diverged", "diverged")
    ]
    assert record["environment"]["seed"] == 3
    first = record["experiments"][1]["first_divergence"]
    assert (first["step"], first["micro_batch"], first["phase"], first["name"]) == (2, 1, "forward", "hidden")
    assert (first["culprit"], first["own_or_inherited"], len(first["index"])) == ("hidden", "own", 2)
    assert first["max_abs"] == pytest.approx(1e-3)
    assert first["actual"] - first["expected"] == pytest.approx(1e-3)
    contrast = record["experiments"][0]["contrasts"][0]
    assert contrast["must"] == {"phase": "backward", "step": 1, "micro_batch": 1, "name": "act", "culprit": "act"}
    assert contrast["first_divergence"]["culprit"] == "act"
    assert record["experiments"][0]["tables"][0]["rows"] == [["x", 1.5], ["y", "inf"]]


@pytest.mark.parametrize("spoil", [lambda r: r.pop("outcome"), lambda r: r.update(extra=1)], ids=["missing", "extra"])
def test_the_schema_objects(spoil):
    _, out, _ = gradlock("run", "equal", "--json", "-")
    record = json.loads(out)
    spoil(record)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, schema(), cls=jsonschema.Draft202012Validator)


def test_markdown_is_tables_that_hold_together(tmp_path):
    target = tmp_path / "report.md"
    gradlock("run", "equal", "spoiled", "raising", "--markdown", str(target))
    text = target.read_text(encoding="utf-8")
    assert text.startswith("# gradlock: error\n")
    assert "no step \\| today" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for lines in tables:
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_options_reach_the_experiment():
    _, out, _ = gradlock("run", "equal", "--steps", "1", "--micro-batches", "1", "--sync", "step", "--json", "-")
    scenario = json.loads(out)["experiments"][0]["scenarios"][0]
    assert (scenario["steps"], scenario["sync"]) == (1, "step")
    assert "one micro-batch: wrong accumulation does not show" in scenario["coverage"]["blind_spots"]
    setting = json.loads(out)["setting"]
    assert (setting["steps"], setting["micro_batches"], setting["sync"], setting["optimizer"]) == (1, 1, "step", None)


def test_fail_fast_stops_after_the_first_divergence():
    _, out, _ = gradlock("run", "spoiled", "--fail-fast", "--json", "-")
    assert json.loads(out)["experiments"][0]["scenarios"][0]["steps"] == 2


@pytest.mark.parametrize("kind", ["experiments", "layers", "losses", "optimizers", "schedulers"])
def test_list_names_what_there_is(kind):
    expected = {
        "experiments": "spoiled",
        "layers": "Linear",
        "losses": "CrossEntropyLoss",
        "optimizers": "AdamW",
        "schedulers": "CosineAnnealingLR",
    }
    code, out, _ = gradlock("list", kind)
    assert code == 0
    rows = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert expected[kind] in rows
    assert not {"Optimizer", "LRScheduler", "Module", "Parameter"} & set(rows)
    assert expected[kind] in gradlock("list")[1]


# -- the real program --------------------------------------------------------------------------------------------------


def process(*arguments, code="import sys; from compare.cli import main; main(sys.argv[1:])"):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["list", "experiments"], ["run", "nonsense"]])
def test_help_and_refusals_import_neither_torch_nor_numpy(arguments):
    code = (
        "import sys, atexit; from compare.cli import main\n"
        "atexit.register(lambda: print(sorted({'torch', 'numpy', 'manual'} & set(sys.modules)), file=sys.stderr))\n"
        "main(sys.argv[1:])"
    )
    assert process(*arguments, code=code).stderr.splitlines()[-1] == "[]"


def test_the_catalogue_has_the_names_that_are_listed():
    code = "from compare.experiments import CATALOGUE; print(*CATALOGUE)"
    assert process(code=code).stdout.split() == list(NAMES)


@pytest.mark.parametrize(
    ("arguments", "code"), [("list layers", 0), ("run backprop-by-hand --steps 1 --json {}", 0), ("list nonsense", 2)]
)
def test_a_closed_pipe_changes_neither_exit_code_nor_reports(tmp_path, arguments, code):
    target = tmp_path / "report.json"
    command = f"{sys.executable} -m compare {arguments.format(target)} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code
    assert "Broken" not in done.stderr
    assert target.exists() == ("--json" in arguments)


def test_colour_only_on_a_terminal_and_never_with_no_color(monkeypatch):
    from compare.report.terminal import say

    assert say("x", "red", True) == "\x1b[31mx\x1b[0m"
    assert say("x", "red", False) == "x"
    assert "\x1b" not in gradlock("run", "spoiled")[1]
    monkeypatch.setattr("compare.cli.sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in gradlock("run", "spoiled")[1]


@pytest.mark.parametrize("value", ["0", "two", "-1", "", "²", "1025"])
def test_a_wrong_number_of_threads_is_refused(monkeypatch, value):
    monkeypatch.setenv("GRADLOCK_THREADS", value)
    code, _, err = gradlock("run", "equal")
    assert code == 2
    assert f"GRADLOCK_THREADS is '{value}'; it must be a whole number of at least 1" in err


def test_junit_and_annotations_of_a_run():
    code, out, _ = gradlock("run", "equal", "unseen", "broken", "abstaining", "--junit", "-")
    root = ElementTree.fromstring(out.encode())
    assert code == 4
    assert [case.get("name") for case in root.iter("testcase")] == ["equal", "unseen", "broken", "abstaining"]
    assert [child.tag for case in root.iter("testcase") for child in case] == ["failure", "error", "failure"]
    assert "contrast spoiled: it diverges in the wrong place: culprit is 'act' instead of 'hidden'" in out.replace(
        "&apos;", "'"
    )
    code, out, _ = gradlock("run", "equal", "spoiled", "--annotations", "github")
    assert code == 1
    assert out.splitlines()[-1].startswith("::error title=gradlock%3A spoiled diverged::the sides part at step 2, ")
    code, _, err = gradlock("run", "equal", "--annotations", "github", "--json", "-")
    assert (code, err) == (
        2,
        "gradlock: --annotations print on standard output, and so does --json -; give the report a file\n",
    )
