"""Each configuration hides what it must hide, and a good one hides none of that."""

import json

import numpy as np
import pytest
import torch

import compare
from compare.batches import InputError
from compare.faults.catalogue import FAULTS
from compare.selfcheck import checking
from compare.selfcheck.result import Row, SelfCheck
from torch_ref.training import Side

STUDIED = (
    *("momentum-buffer-holds-steps-unseen", "mean-of-means", "zero-grad-left-out", "adam-correction-without-exponent"),
    "adam-correction-missing",
)


@pytest.fixture(autouse=True)
def _few_faults(monkeypatch):
    monkeypatch.setattr(checking, "FAULTS", {name: FAULTS[name] for name in STUDIED})


def checked(optimizer, options, steps=4, parts=(5, 2), moving=True):
    def reference():
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
        made = optimizer(module.parameters(), **options)
        schedule = torch.optim.lr_scheduler.StepLR(made, 2, 0.5) if moving else None
        return Side(module, made, torch.nn.MSELoss(), schedule)

    rng = np.random.default_rng(0)
    rows = sum(parts)
    batches = [(rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))) for _ in range(steps)]
    return compare.self_check(compare.training(reference, reference, batches, list(parts)))


SGD = torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}
ADAM = torch.optim.Adam, {"lr": 0.05}
HIDDEN = {
    "a constant rate": (SGD, {"moving": False}, {"momentum-buffer-holds-steps-unseen": "learning rate move"}),
    "equal micro-batches": (SGD, {"parts": (4, 4)}, {"mean-of-means": "unequal micro-batches"}),
    "one step": (
        ADAM,
        {"steps": 1},
        {"zero-grad-left-out": "take 4 steps", "adam-correction-without-exponent": "take 4 steps"},
    ),
}


@pytest.mark.parametrize(("optimizer", "given", "hidden"), HIDDEN.values(), ids=HIDDEN)
def test_what_a_configuration_hides_is_told_with_what_shows_it(optimizer, given, hidden):
    found = checked(*optimizer, **given)
    assert {row.fault for row in found.missed} == set(hidden)
    for row in found.missed:
        assert hidden[row.fault] in row.change


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["SGD", "Adam"])
def test_a_good_configuration_hides_none_of_them(optimizer):
    found = checked(*optimizer)
    assert len(found.rows) >= 3
    assert all(row.caught for row in found.rows), found


def test_a_mistake_whose_code_does_not_run_here_is_no_row():
    assert not [row for row in checked(*SGD).rows if row.fault.startswith("adam")]


def test_text_json_and_page():
    found = SelfCheck("it", (Row("a", "A.", "sign", True), Row("b", "<B>.", "sign", False, "take 4 steps")))
    assert str(found) == (
        "it: 1 of 2 mistakes that can be made here would have been seen\nto see this one, take 4 steps:\n  b: <B>."
    )
    assert json.loads(found.to_json())["rows"][1]["change"] == "take 4 steps"
    assert "<td>&lt;B&gt;.</td><td>no</td><td>take 4 steps</td>" in found._repr_html_()
    unshown = SelfCheck("it", (Row("c", "C.", "sign", False),))
    assert "not seen, and none of the changes that were tried shows it here: c" in str(unshown)


def test_a_report_without_steps_is_refused():
    report = compare.optimizer(torch.optim.SGD, torch.optim.SGD, options={"lr": 0.1}, steps=1)
    with pytest.raises(InputError, match=r"needs a report of compare.training, which has steps to look at"):
        compare.self_check(report)
