"""What a report says: as an object, on a terminal, on a notebook's page, and as data."""

import inspect
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import compare
import torch_ref
from compare.batches import InputError
from compare.diagnosis.evidence import Cause
from compare.report.json import schema
from compare.report.report import Report
from compare.verdict import Coverage, Outcome, Verdict

from . import regression
from .regression import Mine
from .test_optimizer import momentum

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


def test_the_data_follow_the_schema_of_a_run(diverged):
    jsonschema = pytest.importorskip("jsonschema")
    for one in (report(), diverged):
        record = json.loads(one.to_json())
        jsonschema.validate(record, schema())
    (only,) = record["experiments"]
    assert (record["outcome"], record["exit_code"], only["name"]) == ("diverged", 1, diverged.title)
    assert only["causes"][0]["look_at"] == "the <last> line"


def test_markdown_has_a_table_and_the_reason(diverged):
    text = diverged.to_markdown()
    assert text.startswith("# gradlock: diverged\n\n## First divergences\n\n| experiment ")
    assert "| constant factor: " in text
    assert "the sides part at step 1, micro-batch 1, accumulated, x; culprit double" in text


LINES = {
    "equivalent": (lambda: report(), "<Report equivalent: gradients of double against <lambda>>"),
    "diverged": (
        lambda: report(3.0),
        "<Report diverged: gradients of double against <lambda>; first divergence at step 1, micro-batch 1, accumulated, "
        "x (culprit double); cause constant factor>",
    ),
    "abstained": (
        lambda: compare.gradients(lambda x: (x.sum(), {}), lambda x: x.sum(), {"x": X}),
        "<Report abstained: gradients of <lambda> against <lambda>; <lambda> returned no gradient, so none was compared>",
    ),
    "error": (
        lambda: compare.gradients(lambda x: x, lambda x: x.sum(), {"x": X}),
        "<Report error: gradients of <lambda> against <lambda>; <lambda> must return (loss, {name: gradient}); it returned "
        "an array of shape (4, 3)>",
    ),
}


@pytest.mark.parametrize(("make", "line"), LINES.values(), ids=LINES)
def test_the_repr_is_one_line(make, line):
    assert repr(make()) == line


# -- made again ----------------------------------------------------------------------------------------------------------

CALLS = {
    "gradients": lambda: compare.gradients(
        lambda x, power: ((x**power).sum(), {"x": power * x}), lambda x, power: (x**power).sum(), {"x": X, "power": 2}
    ),
    "module": lambda: compare.module(
        lambda inputs, parameters: (np.tanh(inputs[0]), lambda g: (g / np.cosh(inputs[0]) ** 2, {})), nn.Tanh(), X
    ),
    "optimizer": lambda: compare.optimizer(momentum, torch.optim.SGD, options={"lr": 0.1, "momentum": 0.9}, steps=3),
    "training": lambda: compare.training(Mine, regression.reference(), regression.BATCHES, [4, 7]),
}


@pytest.mark.parametrize("kind", CALLS)
def test_a_report_knows_how_it_was_made_and_makes_it_again(kind):
    one = CALLS[kind]()
    again = one.repeat()
    assert (one.call.kind, str(one.outcome)) == (kind, "equivalent")
    assert str(again) == str(one)
    assert again.call.arguments.keys() == one.call.arguments.keys()
    function = inspect.signature(getattr(compare, kind))
    assert list(one.call.arguments) == list(function.parameters)


def test_a_call_is_repeated_with_other_arguments():
    one = CALLS["gradients"]()
    assert one.repeat(inputs={"x": X, "power": 3}).outcome == "diverged"
    assert CALLS["optimizer"]().repeat(steps=1).verdict.steps == 1
    assert CALLS["training"]().repeat(batches=regression.BATCHES[:1]).verdict.steps == 1
    with pytest.raises(
        InputError, match=r"compare.gradients has no argument 'steps'; it has manual_fn, torch_fn, inputs"
    ):
        one.repeat(steps=1)


def test_what_is_asked_for_later_is_that_of_the_call():
    x = X.copy()
    one = compare.gradients(lambda x: ((x**2).sum(), {"x": 2 * x}), lambda x: (x**2).sum(), {"x": x})
    x[...] = 0
    assert one.repeat().outcome == "equivalent"


def test_a_side_that_was_used_up_cannot_be_repeated():
    one = compare.training(regression.in_a_namespace(), regression.reference(), regression.BATCHES)
    message = "compare.training cannot be repeated: the side could not be copied and has been trained; hand in a factory of it"
    with pytest.raises(InputError) as caught:
        one.repeat()
    assert str(caught.value) == message
    assert one.repeat(side=Mine).outcome == "equivalent"
    with pytest.raises(InputError, match="this against that: how this report was made is not known"):
        Report(Verdict(Outcome.ABSTAINED, "", Coverage()), "this against that").repeat()


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
    assert set(compare.__all__) == {
        "Report",
        "TraceSide",
        "TraceWriter",
        "__version__",
        "gradients",
        "module",
        "optimizer",
        "self_check",
        "traces",
        "training",
    }
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
