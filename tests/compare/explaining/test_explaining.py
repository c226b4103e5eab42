"""Every name has a page; names are found under the spellings that people use; and the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import compare.explaining as explaining
from compare.batches import InputError
from compare.diagnosis.catalogue import CAUSES
from compare.explaining.finding import Topic, find, topics
from compare.explaining.mistakes import example_for, faults_of
from compare.explaining.predictions import PREDICTS
from compare.listing import KINDS, _modules, _named
from compare.names import NAMES


def listed() -> list[tuple[str, str]]:
    """Every name that `gradlock list` knows, with its kind here."""
    named = {"optimizers": "optimizer", "schedulers": "schedule", "faults": "fault", "causes": "cause"}
    found = [(kind, name) for shown, kind in named.items() for name, _ in _named(shown)]
    found += [("layer", name) for name in _modules("layers")] + [("loss", name) for name in _modules("losses")]
    return [*found, *(("experiment", name) for name in NAMES)]


def test_every_kind_of_the_listing_is_known() -> None:
    assert set(KINDS) == {"experiments", "layers", "losses", "optimizers", "schedulers", "faults", "causes"}
    missing = [pair for pair in listed() if Topic(*pair) not in topics()]
    assert not missing


@pytest.mark.parametrize("kind", explaining.KINDS)
def test_every_name_has_a_page(kind: str) -> None:
    assert explaining.names(kind)
    for name in explaining.names(kind):
        page = explaining.page(name, kind=kind, numbers=False)
        assert page.startswith(f"# {name}\n"), name
        assert len(page) > len(name) + 40, name
        assert ":func:" not in page, name
        assert ":class:" not in page, name
        assert "::" not in page, name


@pytest.mark.parametrize("kind", ["rule", "layer", "loss"])
def test_every_rule_and_layer_has_a_formula_and_its_derivation(kind: str) -> None:
    integers = {"argmax", "argmin", "argsort"}
    # made of other layers, whose pages have the formulas
    made = {"Transformer", "TransformerDecoder", "TransformerEncoder"}
    plain = {
        "Identity",
        "ModuleDict",
        "ModuleList",
        "ParameterDict",
        "ParameterList",
        "RNNBase",
        "RNNCellBase",
        "Sequential",
    }
    for name in explaining.names(kind):
        if name in plain | integers | made:
            continue
        page = explaining.page(name, kind=kind, numbers=False)
        assert "# Formula" in page, name
        assert "# Derivation" in page, name


def test_every_cause_predicts_something() -> None:
    assert set(PREDICTS) == set(CAUSES)


@pytest.mark.parametrize(
    "cause", ["mean of means", "sign", "transposed", "bias correction missing", "schedule off by one"]
)
def test_a_cause_shows_wrong_numbers_beside_right_ones(cause: str) -> None:
    page = explaining.page(cause)
    assert "wrong (planted)" in page
    assert f"The mistake `{example_for(cause)['name']}`" in page
    assert PREDICTS[cause] in page


def test_the_factor_of_a_mean_of_means_is_shown() -> None:
    text = explaining.terminal("mean of means")
    assert "0.708333" in text  # 24 rows in micro-batches of 10, 10 and 4 ... each weighs 1/3


@pytest.mark.parametrize("cause", ["another dtype", "another shape", "unknown"])
def test_a_cause_without_a_fault_says_so(cause: str) -> None:
    assert not faults_of(cause)
    assert "No fault is planted for it" in explaining.terminal(cause)


def test_a_fault_has_its_thread_its_place_and_its_cause() -> None:
    text = explaining.terminal("updated-in-turn")
    assert "kaleko/CourseraML#12 (https://github.com/kaleko/CourseraML/issues/12)" in text
    assert "phase update, step 1" in text
    assert "updated in turn" in text
    assert "gradlock faults --match updated-in-turn" in text


@pytest.mark.campaign
@pytest.mark.parametrize("name", explaining.names("fault"))
def test_every_fault_shows_its_numbers(name: str) -> None:
    assert "wrong (planted)" in explaining.page(name)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_says_what_is_compared_and_how_to_run_it(name: str) -> None:
    text = explaining.terminal(name, kind="experiment")
    assert f"gradlock run {name}" in text
    assert "micro-batches" in text


SPELLINGS = [
    ("Linear", [("layer", "Linear")]),
    ("torch.nn.Linear", [("layer", "Linear")]),
    ("nn.Linear", [("layer", "Linear")]),
    ("nn.Linear()", [("layer", "Linear")]),
    ("manual.nn.Linear", [("layer", "Linear")]),
    ("linear", [("rule", "linear"), ("function", "linear")]),
    ("F.relu", [("function", "relu")]),
    ("torch.nn.functional.relu", [("function", "relu")]),
    ("relu", [("rule", "relu"), ("function", "relu")]),
    ("torch.relu", [("rule", "relu")]),
    ("ReLU", [("layer", "ReLU")]),
    ("optim.Adam", [("optimizer", "Adam")]),
    ("torch.optim.lr_scheduler.StepLR", [("schedule", "StepLR")]),
    ("adam", [("optimizer", "Adam")]),
    ("crossentropyloss", [("loss", "CrossEntropyLoss")]),
    ("steplr", [("schedule", "StepLR")]),
    ("mean-of-means", [("fault", "mean-of-means")]),
    ("Mean of Means", [("cause", "mean of means"), ("fault", "mean-of-means")]),
    ("one-vs-all", [("lesson", "one-vs-all"), ("experiment", "one-vs-all")]),
    ("backward", [("phase", "backward")]),
]


@pytest.mark.parametrize(("name", "expected"), SPELLINGS, ids=[name for name, _ in SPELLINGS])
def test_spellings(name: str, expected: list[tuple[str, str]]) -> None:
    assert [(topic.kind, topic.name) for topic in find(name)] == expected


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Liner", "'Linear'"),
        ("softmaks", "'softmax'"),
        ("torch.nn.Lienar", "'Linear'"),
        ("mean of mean", "'mean of means'"),
    ],
)
def test_an_unknown_name_is_refused_with_near_ones(name: str, near: str) -> None:
    with pytest.raises(InputError) as raised:
        find(name)
    assert str(raised.value).startswith(f"nothing to explain is called {name!r}; did you mean ")
    assert near in str(raised.value)


@pytest.mark.parametrize("name", ["", " ", "qqqqqqqq"])
def test_a_name_like_nothing_is_refused_with_where_to_look(name: str) -> None:
    with pytest.raises(InputError, match="`gradlock explain` lists the kinds"):
        find(name)


def test_a_name_that_is_several_things_shows_all() -> None:
    text = explaining.terminal("relu")
    assert "relu is 2 things: a rule and a function." in text
    assert "As a rule\n---------" in text
    assert "As a function" in text


def test_a_function_alone_shows_the_formula_and_numbers_of_its_rule() -> None:
    text = explaining.terminal("F.glu")
    assert "Worked example" in text
    assert "Derivation\n----------" in text


def test_a_kind_that_a_name_is_not() -> None:
    with pytest.raises(InputError, match=r"^'Adam' is no layer; it is an optimizer$"):
        explaining.page("Adam", kind="layer")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "compare", "explain", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=120,
    )


def test_the_command_prints_a_page_without_colour_in_a_pipe() -> None:
    done = run("ulp")
    assert done.returncode == 0
    assert done.stdout.startswith("ulp\n===\n")
    assert "\033" not in done.stdout


def test_a_name_of_several_words_needs_no_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    from compare.cli import main

    with pytest.raises(SystemExit) as left:
        main(["explain", "noise", "floor"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("noise floor\n===")


def test_the_command_refuses_in_one_line() -> None:
    done = run("Liner")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("gradlock: nothing to explain is called 'Liner'; did you mean 'Linear'")
    assert done.stderr.count("\n") == 1


def test_the_command_without_a_name_lists_the_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    text = explaining.overview()
    for kind in explaining.KINDS:
        assert f"\n{kind} " in f"\n{text}"
        assert str(len(explaining.names(kind))) in text


def test_markdown_goes_to_a_file(tmp_path: Path) -> None:
    from compare.cli import main

    target = tmp_path / "page.md"
    with pytest.raises(SystemExit) as left:
        main(["explain", "deposit", "--markdown", str(target)])
    assert left.value.code == 0
    assert target.read_text(encoding="utf-8").startswith("# deposit\n\nWhat the backward pass")


def test_markdown_without_a_name_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from compare.cli import main

    with pytest.raises(SystemExit) as left:
        main(["explain", "--markdown", str(tmp_path / "page.md")])
    assert left.value.code == 2
    assert "--markdown writes one page; name it" in capsys.readouterr().err
