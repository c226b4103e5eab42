"""What a report says: as an object, on a terminal, on a notebook's page, and as data."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import compare
import torch_ref
from compare.diagnosis.evidence import Cause
from compare.report.json import schema
from compare.report.report import Report
from compare.verdict import Coverage, Outcome, Verdict

X = np.random.default_rng(0).standard_normal((4, 3))


def report(factor=2.0):
    def double(x):
        return (x**2).sum(), {"x": factor * x}

    return compare.gradients(double, lambda x: (x**2).sum(), {"x": X})


@pytest.fixture(scope="module")
def diverged():
    found = report(3.0)
    first = found.verdict.divergences[0]
    causes = (
        Cause("constant factor", 2e-16, "x is 1.5 times <too> large", "the <last> line"),
        Cause("sign", 0.5, "no"),
    )
    found.verdict.divergences[0] = type(first)(
        first.checkpoint, first.culprit, first.own, first.difference, first.judgement, causes
    )
    return found


def test_it_hands_out_what_the_verdict_knows(diverged):
    assert diverged.outcome == "diverged"
    assert diverged.outcome is diverged.verdict.outcome
    assert diverged.reason == "the sides part at step 1, micro-batch 1, accumulated, x; culprit double"
    assert diverged.first_divergence is diverged.verdict.first_divergence
    assert diverged.coverage is diverged.verdict.coverage
    assert [cause.cause for cause in diverged.causes] == ["constant factor", "sign"]


def test_the_text_has_both_values_the_place_the_errors_and_the_causes(diverged):
    text = str(diverged)
    first = diverged.first_divergence.difference
    for said in (
        "gradients of double against <lambda>: diverged",
        "first divergence: step 1, micro-batch 1, accumulated, x",
        f"actual     {first.actual_at:.17g} at {list(first.max_abs_index)}",
        f"expected   {first.expected_at:.17g}",
        "absolute, 5.0e-01 relative",
        " ulp; ",
        "times the noise floor",
        "cause      constant factor: x is 1.5 times <too> large (leaves 2.0e-16 of the difference)",
        "look at    the <last> line",
        "runner-up  sign: no (leaves 5.0e-01 of the difference)",
        "could not have shown here: one set of inputs",
    ):
        assert said in text
    assert repr(diverged) == text
    assert "\x1b" not in text


def test_an_equivalent_report_is_short():
    text = str(report())
    assert text.startswith("gradients of double against <lambda>: equivalent\n\nphase ")
    assert "divergence:" not in text


def test_the_page_is_escaped_and_complete(diverged):
    page = diverged._repr_html_()
    assert "&lt;lambda&gt;" in page
    assert "&lt;too&gt;" in page
    assert not re.search(r"<(?!/?(p|b|pre|table|tr|th|td|ul|li)\b)", page)
    assert "diverged</b>" in page
    assert "<td>accumulated</td>" in page


def test_the_data_follow_the_schema_of_a_scenario(diverged):
    jsonschema = pytest.importorskip("jsonschema")
    for one in (report(), diverged):
        record = json.loads(one.to_json())
        assert record.pop("schema_version") == 1
        assert set(record.pop("environment")) == {"gradlock", "python", "numpy", "torch", "platform"}
        whole = schema()
        jsonschema.validate(record, {**whole["$defs"]["scenario"], "$defs": whole["$defs"]})
    assert record["causes"][0]["look_at"] == "the <last> line"


def test_markdown_holds_the_text(diverged):
    assert diverged.to_markdown() == f"# gradients of double against <lambda>: diverged\n\n```text\n{diverged}\n```\n"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_equivalence_passes(outcome):
    one = Report(Verdict(outcome, "" if outcome == "equivalent" else "a good reason", Coverage()), "this against that")
    if outcome == "equivalent":
        one.assert_equivalent()
        return
    with pytest.raises(AssertionError) as caught:
        one.assert_equivalent()
    assert str(caught.value) == f"this against that: {outcome}\n  a good reason"


# -- the public names --------------------------------------------------------------------------------------------------


def test_the_public_names_are_there_and_no_others():
    assert set(compare.__all__) == {"Report", "__version__", "gradients", "module", "optimizer", "training"}
    assert all(hasattr(compare, name) and name in dir(compare) for name in compare.__all__)
    with pytest.raises(AttributeError, match="module 'compare' has no attribute 'gradient'"):
        _ = compare.gradient


@pytest.mark.parametrize("module", ["compare", "compare.pytest_plugin"])
def test_importing_brings_neither_numpy_nor_torch(module):
    code = f"import sys, {module}; print(*({{'torch', 'numpy', 'manual', 'torch_ref'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_torch_ref_hands_out_its_side():
    assert torch_ref.Side is torch_ref.training.Side
    assert torch_ref.__all__ == ["Side"]
