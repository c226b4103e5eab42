"""``gradlock shrink`` and ``gradlock selfcheck`` end to end: exit codes and messages."""

import json

import pytest
from click.testing import CliRunner

from compare import cli


def invoke(*arguments):
    return CliRunner().invoke(cli.cli, list(arguments))


REFUSED = {
    ("shrink",): "what fails? Give an experiment, a --fault to plant, or both",
    ("shrink", "mlp-digit"): "no experiment is called 'mlp-digit'; did you mean 'mlp-digits'?",
    ("shrink", "--fault", "mean-of-mean"): "no fault is called 'mean-of-mean'; did you mean 'mean-of-means'?",
    ("shrink", "--fault", "mean-of-means", "--steps", "2"): "options of a run need the name of an experiment",
    ("shrink", "logic-gates"): "logic-gates: it is equivalent; only what diverges can be made small",
    ("shrink", "mlp-digits", "--optimizer", "Adm"): "no optimizer is called 'Adm'; did you mean 'Adam'?",
    ("selfcheck", "logic-gate"): "no experiment is called 'logic-gate'; did you mean 'logic-gates'?",
    ("selfcheck", "logic-gates", "--scenario", "ANT"): "no scenario is called 'ANT'; did you mean 'AND'?",
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.items(), ids=[" ".join(words) for words in REFUSED])
def test_wrong_usage_is_one_line(arguments, message):
    found = invoke(*arguments)
    assert found.exit_code == 2
    assert message in found.output


def test_shrink_writes_a_test_and_a_record(tmp_path):
    test, record = tmp_path / "test_it.py", tmp_path / "it.json"
    options = ("--fault", "gradient-ascent", "--out", str(test), "--json", str(record), "--seconds", "600")
    found = invoke("shrink", *options)
    assert found.exception is None
    assert f"run it with: python -m pytest {test}" in found.output
    assert "Written by: gradlock shrink --fault gradient-ascent" in test.read_text()
    held = json.loads(record.read_text())
    assert held["test"] == test.read_text()
    assert held["after"]["rows"] <= 4
