"""Running cases: what each comes to, several processes, the end of the time, a worker that dies."""

import os

import pytest

import manual.nn
import manual.optim
from compare.batches import InputError
from compare.fuzz import campaign as campaigns
from compare.fuzz.campaign import Finding, campaign, examined, judged
from compare.fuzz.case import Case

from .planted import HONEST, TANH, raising, wrong_slope


def timeless(finding):
    return {key: value for key, value in finding.as_dict().items() if key != "seconds"}


def collected(*args, **options):
    found = []
    campaign(*args, **options, on_finding=found.append)
    return found


def test_an_honest_case_is_equivalent():
    finding = judged(Case.parse(HONEST), 12)
    assert (finding.number, finding.outcome, finding.reason) == (12, "equivalent", "")
    assert (finding.failed, finding.is_alarm, finding.nonfinite, finding.raised, finding.phase) == (
        *(False, False, False),
        *("", ""),
    )
    assert 0 < finding.seconds < 60
    assert 0 < finding.noise < 10


def test_a_mistake_in_the_manual_wing_is_an_alarm(monkeypatch):
    monkeypatch.setattr(manual.nn.Tanh, "_rule", staticmethod(wrong_slope))
    finding, verdict = examined(Case.parse(TANH))
    assert finding.is_alarm
    assert finding.failed
    assert (finding.phase, finding.culprit, finding.raised) == ("backward", "3", "")
    assert finding.where == "step 1, micro-batch 1, backward, 3 (input)"
    assert finding.signature == ("diverged", "backward")
    assert verdict.first_divergence.where == finding.where
    assert judged(Case.parse(HONEST)).outcome == "equivalent"


def test_a_side_that_raises_is_an_error(monkeypatch):
    monkeypatch.setattr(manual.nn.Tanh, "_rule", staticmethod(raising))
    finding = judged(Case.parse(TANH))
    assert finding.failed
    assert not finding.is_alarm
    assert finding.signature == ("error", "ZeroDivisionError: no tangent of  values")
    assert "the actual side raised in accumulate (step 1): ZeroDivisionError: no tangent of 9 values" in finding.reason


def test_a_case_that_cannot_be_made_is_an_error():
    finding, verdict = examined(Case(model="NoModel"))
    assert verdict is None
    assert finding.outcome == "error"
    assert "InputError: this is no case: no model is called 'NoModel' on both sides" in finding.reason


def test_overflow_on_both_sides_agrees_and_is_said():
    finding = judged(Case.parse("dtype=float32,scale=1e30,inputs=4,optimizer=SGD:lr=1.0,steps=2"))
    assert finding.nonfinite
    assert not finding.failed


def test_cases_are_run_in_order_and_a_finding_is_handed_over_at_once():
    assert [finding.number for finding in collected(3, [5, 2, 9])] == [5, 2, 9]


def test_two_processes_find_what_one_finds():
    alone = collected(0, range(20))
    together = sorted(collected(0, range(20), jobs=2), key=lambda finding: finding.number)
    assert list(map(timeless, together)) == list(map(timeless, alone))


def test_no_case_is_begun_after_the_time_but_always_the_first(monkeypatch):
    monkeypatch.setattr(campaigns, "judged", lambda case, number: Finding(number, "equivalent", "", 0.0))
    assert [finding.number for finding in collected(0, range(5), minutes=1e-12)] == [0]
    assert len(collected(0, range(5), minutes=10)) == 5


def test_processes_stop_handing_out_when_the_time_is_over():
    found = collected(0, range(100_000), jobs=2, minutes=1e-3)
    numbers = sorted(finding.number for finding in found)
    assert numbers == list(range(len(numbers)))
    assert 8 <= len(numbers) <= 32


def test_a_worker_that_dies_is_said_with_what_it_was_running(monkeypatch):
    monkeypatch.setattr(campaigns, "_limit_threads", os.abort)
    with pytest.raises(InputError, match=r"a worker process died in one of the cases 3, 4; run them with --jobs 1"):
        collected(0, [3, 4], jobs=2)


ROUNDING_ALONE = (
    "seed=57320251,dtype=float32,sync=step,inputs=16,hidden=44,activations=Softplus,bias=False,output=LogSoftmax:-1,"
    "loss=KLDivLoss:log_target=False,targets=near,optimizer=Adagrad:lr=0.0058:lr_decay=0.01,"
    "schedule=LinearLR:start_factor=0.5:total_iters=2,parts=9"
)
"""Gradients that are rounding alone, and an optimizer that divides them by their own magnitudes."""


def test_what_a_step_magnifies_is_judged_from_the_gradients_that_were_allowed():
    assert judged(Case.parse(ROUNDING_ALONE)).outcome == "equivalent"


def test_a_wrong_step_from_such_gradients_is_seen(monkeypatch):
    right = manual.optim.Adagrad.update

    def wrong(self, parameter, gradient, slots, group):
        right(self, parameter, gradient, slots, {**group, "lr": 10 * group["lr"]})

    monkeypatch.setattr(manual.optim.Adagrad, "update", wrong)
    finding = judged(Case.parse(ROUNDING_ALONE))
    assert (finding.outcome, finding.phase) == ("diverged", "update")
