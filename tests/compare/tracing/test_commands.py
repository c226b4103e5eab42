"""``gradlock record`` and ``gradlock diff``: exit codes, messages, reports."""

import json

import jsonschema
import pytest

from compare import cli
from compare.report.json import schema
from tests.compare.tracing.written import write

SMALL = ("backprop-by-hand", "--dtype", "float32")


def gradlock(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    return left.value.code, shown.out, shown.err


def test_record_and_diff(tmp_path, capsys):
    for side in ("manual", "torch"):
        code, out, _ = gradlock(capsys, "record", *SMALL, "--side", side, "--out", tmp_path / side)
        assert code == 0
        assert "1 step of backprop-by-hand" in out
    code, out, _ = gradlock(capsys, "diff", tmp_path / "manual", tmp_path / "torch", "--json", tmp_path / "j.json")
    assert code == 0, out
    record = json.loads((tmp_path / "j.json").read_text())
    jsonschema.validate(record, schema())
    assert record["experiments"][0]["outcome"] == "equivalent"
    assert gradlock(capsys, "diff", tmp_path / "manual", tmp_path / "torch", "--quiet")[:2] == (0, "")


def test_a_difference_has_its_exit_code_and_place(tmp_path, capsys):
    code, out, _ = gradlock(capsys, "diff", write(tmp_path / "a", wrong=1.0), write(tmp_path / "e"), "--markdown", "-")
    assert code == 1
    assert "step 2, micro-batch 1, deposit, layer.weight" in out


def test_a_prefix_has_its_exit_code(tmp_path, capsys):
    code, out, _ = gradlock(capsys, "diff", write(tmp_path / "a", steps=1), write(tmp_path / "e"))
    assert code == 3
    assert "actual ends after step 1, schedule; expected ends after step 3, schedule" in out


def test_names_from_a_file(tmp_path, capsys):
    for side in "ae":
        write(tmp_path / side)
    names = tmp_path / "names.json"
    names.write_text('{"layer.weight": ["layer.weight", [0, 1]]}')
    assert gradlock(capsys, "diff", tmp_path / "a", tmp_path / "e", "--names", names)[0] == 0
    for text, said in (
        ("[1", "is no JSON"),
        ('{"W": "layer.weight"}', "names maps 'W' to 'layer.weight'"),
        ('{"a": 3}', "it must be a name"),
    ):
        names.write_text(text)
        code, _, error = gradlock(capsys, "diff", tmp_path / "a", tmp_path / "e", "--names", names)
        assert (code, said in error, error.count("\n")) == (2, True, 1), error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("record", "mlp-digit", "--side", "torch", "--out", "x"), "did you mean 'mlp-digits'?"),
        (("record", "mlp-digits", "--out", "x"), "Missing option '--side'"),
        (("record", "mlp-digits", "--side", "torch", "--out", "x", "--scenario", "rel"), "did you mean 'relu'?"),
        (
            ("record", "mlp-digits", "--side", "torch", "--out", "x", "--fault", "mean-of-means"),
            "a mistake is planted in the manual side",
        ),
        (("record", *SMALL, "--side", "torch", "--out", "."), "is not empty; name a new folder"),
        (("diff", "nowhere", "."), "nowhere does not exist; a trace is a folder"),
        (("diff", ".", "nowhere"), "manifest.json is missing"),
    ],
)
def test_wrong_usage(arguments, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").touch()
    code, out, error = gradlock(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in error
    assert error.count("\n") == 1
