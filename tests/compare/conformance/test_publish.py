"""The table of counts: written from a run of the whole database, and its names up to date."""

import json
import subprocess
import sys

import pytest

from compare.batches import InputError
from compare.conformance import publish

NAMES = ["Linear", "ReLU"]


def report(names=NAMES, modes=("train", "eval"), dtypes=("float64", "float32")):
    runs = [(name, mode, dtype) for mode in modes for dtype in dtypes for name in names]
    return {
        "torch": "2.13.0+cpu",
        "modules": [
            {"name": name, "mode": mode, "dtype": dtype, "passed": number, "samples": 7}
            for number, (name, mode, dtype) in enumerate(runs)
        ],
    }


def test_samples_are_added_up_over_modes_and_dtypes():
    counts = publish.counted(report(), NAMES)
    assert counts == {
        "torch": "2.13.0",
        "modules": {
            "Linear": {"passed": 0 + 2 + 4 + 6, "samples": 28},
            "ReLU": {"passed": 1 + 3 + 5 + 7, "samples": 28},
        },
    }
    assert json.loads(publish.as_json(counts)) == counts


@pytest.mark.parametrize(
    ("options", "lacking"),
    [
        ({"names": ["Linear"]}, "lacks 4 of 8 runs, ReLU train float64"),
        ({"modes": ["train"]}, "lacks 4 of 8 runs, Linear eval float64"),
        ({"dtypes": ["float64"]}, "lacks 4 of 8 runs, Linear train float32"),
    ],
)
def test_a_run_of_a_part_is_refused(options, lacking):
    with pytest.raises(InputError, match=lacking):
        publish.counted(report(**options), NAMES)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def test_the_checked_in_table_has_the_databases_names_and_its_own_form():
    text = publish.DATA.read_text(encoding="utf-8")
    counts = json.loads(text)
    assert publish.as_json(counts) == text
    found = run("-c", "from compare.conformance import database; print(*database.names())")
    assert list(counts["modules"]) == found.stdout.split(), found.stderr
    for name, count in counts["modules"].items():
        assert sorted(count) == ["passed", "samples"], name
        assert 0 <= count["passed"] <= count["samples"], name
        assert count["samples"] > 0, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "b"], "usage: python -m compare.conformance.publish"),
        (["no-such-file.json"], "cannot write the counts"),
    ],
)
def test_wrong_usage_writes_nothing(arguments, message):
    before = publish.DATA.read_text(encoding="utf-8")
    done = run("-m", "compare.conformance.publish", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert publish.DATA.read_text(encoding="utf-8") == before


def test_a_report_of_a_part_writes_nothing(tmp_path):
    before = publish.DATA.read_text(encoding="utf-8")
    part = tmp_path / "part.json"
    part.write_text(json.dumps(report()), encoding="utf-8")
    done = run("-m", "compare.conformance.publish", str(part))
    assert done.returncode == 2
    assert "cannot write the counts: the report lacks" in done.stderr
    assert publish.DATA.read_text(encoding="utf-8") == before
