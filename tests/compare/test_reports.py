"""The formats that CI reads: JUnit, job summaries and annotations; made from records, and read back."""

import copy
import json
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest

import compare
from compare.checking.defaults import Defaults
from compare.checking.record import gathered, named
from compare.checking.source import Source
from compare.report.annotations import to_github
from compare.report.json import schema, to_json
from compare.report.junit import to_junit
from compare.report.markdown import LIMIT, to_markdown

X = np.random.default_rng(0).standard_normal((4, 3))


def square(x):
    return (x**2).sum()


def right(x):
    return square(x), {"x": 2 * x}


def wrong(x):
    return square(x), {"x": 3 * x}


def silent(x):
    return square(x), {}


def raising(x):
    raise ValueError("50% of <x>, \x00\x1b[31m: \ud800\nno & more")


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    found = {}
    for line, function in enumerate((right, wrong, silent, raising), 1):
        report = compare.gradients(function, square, {"x": X})
        source = Source(str(folder / "a,b" / "pairs.py"), line)
        found[function.__name__] = named(report, function.__name__, source, folder)
    return found


def record(*experiments):
    return gathered(experiments, threads=1, defaults=Defaults())


def many(one, count):
    return [{**one, "name": f"{one['name']}-{number}"} for number in range(count)]


def test_a_record_with_places_follows_the_schema(experiments):
    found = record(*experiments.values())
    jsonschema.validate(json.loads(to_json(found)), schema(), cls=jsonschema.Draft202012Validator)
    assert (found["outcome"], found["exit_code"]) == ("error", 4)
    assert found["experiments"][1]["source"] == {"file": "a,b/pairs.py", "line": 2}


# -- JUnit -------------------------------------------------------------------------------------------------------------

SHAPE = {
    "testsuites": ({"name", "tests", "failures", "errors", "skipped"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped"}, {"properties", "testcase"}),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"classname", "name", "file", "line"}, {"failure", "error", "skipped"}),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
}  # fmt: skip


def test_junit_has_the_shape_that_servers_read(experiments):
    root = ElementTree.fromstring(to_junit(record(*experiments.values())).encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = SHAPE[element.tag]
        assert set(element.attrib) == attributes
        assert {child.tag for child in element} <= children
    (suite,) = root
    for one in (root, suite):
        assert [one.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "2", "1", "0"]
    assert {one.get("name"): one.get("value") for one in suite.iter("property")}["torch"].startswith("2.")


def test_junit_says_what_failed_and_why(experiments):
    root = ElementTree.fromstring(to_junit(record(*experiments.values())).encode())
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert list(cases) == ["right", "wrong", "silent", "raising"]
    assert len(cases["right"]) == 0
    (failure,) = cases["wrong"]
    assert (failure.tag, failure.get("type")) == ("failure", "diverged")
    assert failure.get("message") == "the sides part at step 1, micro-batch 1, accumulated, x; culprit wrong"
    assert "first divergence: step 1, micro-batch 1, accumulated, x\n  culprit    wrong" in failure.text
    assert "  cause      constant factor" in failure.text
    (failure,) = cases["silent"]
    assert (failure.tag, failure.get("type")) == ("failure", "abstained")
    assert failure.get("message") == "silent returned no gradient, so none was compared"
    (error,) = cases["raising"]
    assert (error.tag, error.get("type")) == ("error", "error")
    assert "ValueError: 50% of <x>, [31m: \nno & more (in raising, test_reports.py line" in error.get("message")


# -- Markdown ----------------------------------------------------------------------------------------------------------


def test_a_summary_begins_with_what_is_wrong_and_why(experiments):
    text = to_markdown(record(*experiments.values()))
    assert text.startswith("# gradlock: error\n\n## First divergences\n\n| experiment ")
    row = next(line for line in text.splitlines() if line.startswith("| wrong "))
    assert "| constant factor: " in row
    assert "- **silent**: silent returned no gradient, so none was compared" in text
    assert "## Planted" not in text


def test_a_summary_that_fits_is_whole(experiments):
    text = to_markdown(record(*many(experiments["right"], 50)))
    assert text.count("| right-") == 50
    assert "Left out" not in text


@pytest.mark.parametrize("limit", [3_000, 20_000, 60_000])
def test_a_long_summary_is_cut_by_bytes_and_says_so(experiments, limit):
    ok = {**experiments["right"], "name": "ünï-right"}
    found = record(*many(ok, 300), *many(experiments["wrong"], 2), *many(ok, 300))
    text = to_markdown(found, limit=limit)
    assert limit * 0.6 < len(text.encode()) <= limit
    assert text.startswith("# gradlock: diverged\n")
    assert text.index("## First divergences") < text.index("| wrong-0 |") < text.index("| wrong-1 |")
    shown = text.count("| ünï-right-")
    assert f"Left out, so that GitHub shows this at all: {600 - shown:,} rows of the table of experiments." in text
    assert text.endswith("Exit code 1.\n")


def test_the_default_is_the_limit_of_github(experiments):
    found = record(*many(experiments["right"], 9_000), *many(experiments["wrong"], 1_000))
    text = to_markdown(found)
    assert LIMIT * 0.9 < len(text.encode()) <= LIMIT == 2**20
    first, _, rest = text.partition("| checkpoints |")
    assert first.count("\n| wrong-") == 1_000
    assert rest.count("\n| wrong-") == 1_000
    assert 0 < rest.count("\n| right-") < 9_000


def test_divergences_are_the_last_to_go_and_never_unsaid(experiments):
    text = to_markdown(record(*many(experiments["wrong"], 100)), limit=10_000)
    shown = text.count("\n| wrong-")
    assert 0 < shown < 100
    assert f"{100 - shown} first divergences, " in text
    assert len(text.encode()) <= 10_000


def test_a_reason_as_long_as_a_book_is_clipped(experiments):
    loud = {**experiments["raising"], "reason": "a|b " * 10_000}
    text = to_markdown(record(loud))
    assert len(text) < 3_000
    assert "…\n" in text


def test_planted_mistakes_are_cut_too(experiments):
    one = copy.deepcopy(experiments["right"])
    planted = {"mistake": "m", "first_divergence": None, "outcome": "equivalent", "as_it_must": False}
    one["contrasts"] = [planted] * 1000
    text = to_markdown(record(one), limit=5_000)
    assert "## Planted mistakes" in text
    assert " planted mistakes. The JSON report has everything." in text
    assert len(text.encode()) <= 5_000


# -- annotations -------------------------------------------------------------------------------------------------------


def test_annotations_are_one_escaped_line_each(experiments, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    lines = to_github(record(*experiments.values())).split("\n")
    assert len(lines) == 4
    assert lines[3] == ""
    diverged, abstained, raised = lines[:3]
    assert diverged.startswith(
        "::error file=a%2Cb/pairs.py,line=2,title=gradlock%3A wrong diverged::the sides part at step 1, micro-batch 1, "
        "accumulated, x; culprit wrong%0Aactual "
    )
    assert "%0Acause: constant factor: " in diverged
    assert abstained == (
        "::error file=a%2Cb/pairs.py,line=3,title=gradlock%3A silent abstained::silent returned no gradient, so none "
        "was compared"
    )
    assert "ValueError: 50%25 of <x>" in raised
    assert "\r" not in raised


def test_a_place_is_named_from_the_root_of_the_repository(experiments, tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.chdir(tmp_path / "sub")
    assert "::error file=sub/a%2Cb/pairs.py,line=2," in to_github(record(experiments["wrong"]))
    monkeypatch.delenv("GITHUB_WORKSPACE")
    assert "::error file=a%2Cb/pairs.py,line=2," in to_github(record(experiments["wrong"]))


def test_nothing_is_annotated_where_nothing_is_wrong(experiments):
    assert to_github(record(experiments["right"])) == ""


def test_an_annotation_without_a_place(experiments):
    one = {name: value for name, value in experiments["wrong"].items() if name != "source"}
    one["first_divergence"] = {**one["first_divergence"], "text": "shape (2,), expected (3,)"}
    line = to_github(record({**one, "name": "a\r\nb: c"}))
    assert line.startswith("::error title=gradlock%3A a%0D%0Ab%3A c diverged::")
    assert "%0Ashape (2,), expected (3,)%0A" in line
