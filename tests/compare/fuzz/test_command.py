"""``gradlock fuzz`` end to end: what it prints, its reports and its exit codes."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

import manual.nn
from compare import cli
from compare.fuzz import campaign as campaigns
from compare.fuzz import command
from compare.fuzz.campaign import Finding
from compare.fuzz.case import Case
from compare.fuzz.generate import case

from .planted import HONEST, TANH, raising, wrong_slope

HONEST_CASE = Case.parse(HONEST)


@pytest.fixture
def gradlock():
    def call(*arguments):
        with CliRunner().isolation() as streams:
            with pytest.raises(SystemExit) as exit:
                cli.main(["fuzz", *map(str, arguments)])
            return exit.value.code, streams[0].getvalue().decode(), streams[1].getvalue().decode()

    return call


@pytest.fixture
def told(monkeypatch):
    """Lets a campaign run on what it is told of each number."""

    def tell(outcomes, **fields):
        monkeypatch.setattr(campaigns, "judged", judge(outcomes, **fields))
        monkeypatch.setattr(command, "shrink", lambda case, finding, seconds: replace(case, steps=1))

    return tell


def judge(outcomes, **fields):
    """A judge of cases that was told what to say of each number."""

    def judged(case, number=-1):
        outcome = outcomes.get(number, "equivalent")
        reason = {"abstained": f"parameter {number}.bias has no informative gradient", "equivalent": ""}.get(
            outcome, "?"
        )
        return Finding(number, outcome, reason, 0.0, **fields)

    return judged


@pytest.mark.parametrize(
    ("outcomes", "code", "last"),
    [
        ({}, 0, "no false alarms in 4 honest experiments. Exit code 0."),
        ({1: "abstained"}, 0, "no false alarms in 4 honest experiments. Exit code 0."),
        ({1: "diverged"}, 1, "1 false alarm in 4 honest experiments. Exit code 1."),
        ({1: "diverged", 2: "error"}, 4, "1 false alarm in 4 honest experiments, 1 error. Exit code 4."),
        ({2: "error", 3: "error"}, 4, "no false alarms in 4 honest experiments, 2 errors. Exit code 4."),
        (dict.fromkeys(range(4), "abstained"), 3, "no false alarms in 4 honest experiments. Exit code 3."),
    ],
)
def test_exit_codes(gradlock, told, outcomes, code, last):
    told(outcomes)
    found, out, err = gradlock("--cases", 4, "--seed", 9)
    assert (found, err) == (code, "")
    assert out.splitlines()[-1] == last
    assert out.startswith("fuzz: seed 9, 4 of 4 cases in ")


def test_what_is_printed_of_a_campaign(gradlock, told):
    told({1: "abstained", 3: "abstained", 12: "diverged"}, noise=2.5)
    code, out, _ = gradlock("--cases", 40, "--seed", 2)
    assert code == 1
    for line in (
        "equivalent       37   92.5 %",
        "diverged          1    2.5 %",
        "abstained         2    5.0 %",
        "largest disagreement: 2.5 noise floors, in case 0",
        "parameter #.bias has no informative gradient        2",
        "case 12: diverged. ?",
        "  reproduce  gradlock fuzz --seed 2 --case 12",
    ):
        assert line in out
    assert "corners met: " in out
    assert "  smaller    gradlock fuzz --replay 'seed=" in out


def test_of_many_failures_the_first_ten_are_shown(gradlock, told):
    told(dict.fromkeys(range(13), "error"))
    code, out, _ = gradlock("--cases", 14)
    assert code == 4
    assert out.count("  reproduce  ") == 10
    assert "3 more failed, cases 10, 11, 12: gradlock fuzz --seed 0 --case NUMBER" in out


def test_an_honest_campaign_and_its_json(gradlock, tmp_path):
    path = tmp_path / "report.json"
    code, out, err = gradlock("--cases", 12, "--seed", 1, "--json", path)
    assert (code, err) == (0, "")
    record = json.loads(path.read_text())
    assert (record["schema_version"], record["seed"], record["cases"], record["asked"]) == (1, 1, 12, 12)
    assert sum(record["outcomes"].values()) == 12
    assert (record["exit_code"], record["failures"], record["jobs"], record["resumed"]) == (0, [], 1, 0)
    assert sum(record["corners"][f"dtype {dtype}"] for dtype in ("float32", "float64")) == 12
    assert record["environment"].keys() == {"gradlock", "python", "numpy", "torch"}
    assert "12 of 12 cases in" in out


def test_a_failure_in_the_json_has_its_lines(gradlock, told):
    told({1: "diverged"})
    code, out, _ = gradlock("--cases", 2, "--json", "-")
    (failure,) = json.loads(out)["failures"]
    assert code == 1
    assert failure["number"] == 1
    assert Case.parse(failure["case"]) == case(0, 1)
    assert Case.parse(failure["shrunk"])


def test_quiet_says_nothing_but_of_failures(gradlock, told):
    told({})
    assert gradlock("--cases", 3, "--quiet") == (0, "", "")
    told({1: "diverged"})
    assert "case 1: diverged" in gradlock("--cases", 3, "--quiet")[1]


def test_a_campaign_is_resumed(gradlock, monkeypatch, tmp_path):
    run = []

    def judged(case, number=-1):
        run.append(number)
        if number == 3 and len(run) < 5:
            raise KeyboardInterrupt
        return Finding(number, "equivalent", "", 0.0)

    monkeypatch.setattr(campaigns, "judged", judged)
    state = tmp_path / "state"
    code, _, err = gradlock("--cases", 6, "--resume", state)
    assert (code, err) == (130, "\ngradlock: interrupted\n")
    code, out, _ = gradlock("--cases", 6, "--resume", state)
    assert code == 0
    assert run == [0, 1, 2, 3, 3, 4, 5]
    assert "6 of 6 cases (3 of them earlier)" in out
    code, out, _ = gradlock("--cases", 4, "--resume", state)
    assert "4 of 4 cases (4 of them earlier)" in out
    assert len(run) == 7


def test_a_single_case(gradlock):
    code, out, err = gradlock("--replay", HONEST)
    assert (code, err) == (0, "")
    assert out == f"equivalent\n  reproduce  {HONEST_CASE.command}\nExit code 0.\n"
    code, out, _ = gradlock("--seed", 4, "--case", 0, "--json", "-")
    record = json.loads(out)
    assert Case.from_dict(record["case"]) == Case.parse(record["text"]) == case(4, 0)
    assert record["exit_code"] == code


def test_a_single_case_that_fails_is_shown_with_its_numbers(gradlock, monkeypatch):
    monkeypatch.setattr(manual.nn.Tanh, "_rule", staticmethod(wrong_slope))
    code, out, _ = gradlock("--replay", TANH)
    assert code == 1
    assert out.startswith("diverged. the sides part at step 1, micro-batch 1, backward, 3 (input); culprit 3\n")
    for word in ("\n  actual     ", "\n  expected   ", "\n  error      ", "\n  reproduce  gradlock fuzz --replay '"):
        assert word in out
    assert out.endswith("Exit code 1.\n")
    monkeypatch.setattr(manual.nn.Tanh, "_rule", staticmethod(raising))
    code, out, _ = gradlock("--replay", TANH)
    assert code == 4
    assert out.startswith("error. the actual side raised in accumulate (step 1): ZeroDivisionError")


def test_a_shrunk_line_fails_again(gradlock, monkeypatch):
    monkeypatch.setattr(manual.nn.Tanh, "_rule", staticmethod(wrong_slope))
    number = next(n for n in range(100) if case(6, n).activations[:1] == ("Tanh",) and case(6, n).rows > 1)
    monkeypatch.setattr(command, "campaign", only(number))
    code, out, _ = gradlock("--cases", number + 1, "--seed", 6)
    assert code == 1
    line = out.split("smaller    gradlock fuzz --replay '")[1].split("'")[0]
    assert Case.parse(line).rows <= 2
    assert gradlock("--replay", line)[0] == 1


def only(number):
    def campaign(seed, numbers, *, on_finding, **options):
        on_finding(campaigns.judged(case(seed, number), number))

    return campaign


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--case", 1, "--replay", "seed=1"], "give --case or --replay, not both"),
        (["--case", 1, "--cases", 4], "--cases is for a campaign; --case runs one case"),
        (["--case", 1, "--resume", "x"], "--resume is for a campaign; --case runs one case"),
        (["--replay", "", "--jobs", 2], "--jobs is for a campaign; --replay runs one case"),
        (["--replay", "", "--seed", 2], "--seed is for a campaign; --replay runs one case"),
        (["--replay", "sed=1"], "'sed=1' is no field=value of a case; fields are seed, model"),
        (["--replay", "parts=0"], "this is no case: inputs, outputs, steps, parts and hidden must be at least 1"),
        (["--cases", 0], "Invalid value for '--cases': 0 is not in the range 1<=x<=10000000"),
        (["--minutes", 0], "Invalid value for '--minutes': 0.0 is not in the range x>0"),
        (["--resume", "."], "cannot use . to resume from: Is a directory; try another place"),
        (["--json", "nowhere/at/all"], "cannot write nowhere/at/all: the folder nowhere/at does not exist"),
    ],
)
def test_refusals_are_one_line(gradlock, arguments, message):
    code, out, err = gradlock(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
