"""``gradlock gallery``: the table, the record, the exit codes, and what is refused before anything is walked."""

import json
import sys
from functools import partial

import pytest
from click.testing import CliRunner

from compare import cli
from compare.gallery import command
from compare.gallery.recipes import LEFT_OUT


@pytest.fixture
def quick(monkeypatch):
    """The walks without the search for causes."""
    monkeypatch.setattr(command, "portrait", partial(command.portrait, tolerance="fixed", diagnose=False))
    monkeypatch.setattr(command, "halves", partial(command.halves, tolerance="fixed", diagnose=False))


@pytest.fixture
def no_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def invoke(*arguments):
    result = CliRunner().invoke(cli.cli, ["gallery", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["gallery", *arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.usefixtures("quick", "no_matplotlib")
def test_the_table_needs_no_matplotlib(tmp_path):
    code, said = invoke("--match", "sgd", "--json", str(tmp_path / "found.json"))
    assert code == 0
    rows = [line.split() for line in said.splitlines() if line.startswith("SGD ")]
    assert [row[1:4] for row in rows] == [
        ["Quadratic", "equivalent", "60"],
        ["Rosenbrock", "equivalent", "120"],
        ["Saddle", "equivalent", "60"],
    ]
    assert "SGD: the learning rate enters the momentum buffer" in said
    record = json.loads((tmp_path / "found.json").read_text())
    assert (record["exit_code"], record["files"], record["halves"]) == (0, [], None)
    for surface in record["optimizers"][0]["surfaces"]:
        assert surface["mistake"]["parts"]["phase"] == "slots"
        assert surface["mistake"]["leaves"] == surface["steps"] // 4 + 1  # the first step at another rate


@pytest.mark.usefixtures("quick")
def test_quiet_says_nothing_where_all_is_as_it_must_be():
    assert invoke("--match", "halves", "--quiet") == (0, "")


@pytest.mark.usefixtures("quick")
def test_what_is_left_out_is_said_with_the_reason(monkeypatch):
    monkeypatch.setitem(LEFT_OUT, "SGD", "today it rests")
    code, said = invoke("--match", "SGD")
    assert (code, said) == (0, "SGD is left out: today it rests\n")


def test_json_on_standard_output_is_alone_there(quick):
    code, said = invoke("--match", "halves", "--json", "-")
    record = json.loads(said)
    assert (code, record["optimizers"], len(record["halves"]["micro_batches"])) == (0, [], 3)


def test_an_unknown_name_is_refused(capsys):
    said = refused(capsys, "--match", "Lion")
    assert said.startswith("gradlock: no optimizer matches 'Lion'; known: ")
    assert said.endswith(", halves\n")


def test_without_matplotlib_pictures_are_refused_in_one_line(capsys, no_matplotlib, tmp_path):
    said = refused(capsys, "--out", str(tmp_path / "new"))
    assert said == (
        "gradlock: pictures need matplotlib: pip install 'gradlock[gallery]'; without --out it is not needed\n"
    )
    assert not (tmp_path / "new").exists()


def test_a_file_is_no_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("compare.gallery.drawing.check_installed", lambda: None)
    (tmp_path / "taken").write_text("kept")
    assert refused(capsys, "--out", str(tmp_path / "taken")) == (
        f"gradlock: cannot write to {tmp_path / 'taken'}: it is a file; name a folder\n"
    )
    assert (tmp_path / "taken").read_text() == "kept"
    assert "cannot write to" in refused(capsys, "--out", str(tmp_path / "taken" / "below"))


def test_a_report_that_cannot_be_written_is_refused_first(capsys, tmp_path):
    assert "does not exist; make it first" in refused(capsys, "--json", str(tmp_path / "no" / "file.json"))


def test_help_says_what_pictures_need():
    said = CliRunner().invoke(cli.cli, ["gallery", "--help"]).stdout
    assert "gradlock[gallery]" in said
    assert "Exit codes: 0" in said
