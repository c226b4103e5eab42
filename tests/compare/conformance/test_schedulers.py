"""Every scheduler of PyTorch passes on the manual wing, and a mistake in one does not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import manual
from compare.conformance.schedulers import MIDDLE, _noisy, conform
from compare.conformance.schedules import EPOCHS, TABLE, Schedule, Scheduler

ROOT = Path(__file__).parents[3]
DATABASE = 29
"""The lists of schedulers in the database of torch 2.13."""

lr_scheduler = manual.optim.lr_scheduler


def gradlock(*arguments, script=None):
    start = ["-c", script] if script else ["-m", "compare"]
    command = [sys.executable, *start, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800)


def test_every_schedule_passes():
    done = gradlock("conformance", "schedulers", "--quiet", "--json", "-")
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    failures = [failure for one in found["schedulers"] for failure in one["failures"]]
    assert not failures
    assert found["passed"] == found["samples"] >= DATABASE + len(TABLE)
    if torch.__version__.startswith("2.13."):
        assert found["samples"] == DATABASE + len(TABLE)


def test_the_table_has_every_class():
    base = {"LRScheduler"}
    names = {name for one in TABLE for name in one.names}
    assert names == {*torch.optim.lr_scheduler.__all__, "SWALR"} - base
    assert EPOCHS >= 30
    assert 10 < MIDDLE < EPOCHS - 10


def one(name, **options):
    return Schedule((Scheduler(name, (), options),), options={"lr": 0.4, "momentum": 0.9})


HONEST = {
    "StepLR": one("StepLR", step_size=5, gamma=0.3),
    "CosineAnnealingLR": one("CosineAnnealingLR", T_max=10),
    "StepLR + LinearLR": Schedule((Scheduler("StepLR", (4,)), Scheduler("LinearLR")), "RMSprop"),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_scheduler_passes(name):
    found = conform(HONEST[name])
    assert found.passed, (found.problem, found.gaps)
    assert found.compared > 500


def a_step_late(right):
    def get_lr(self):
        self.last_epoch -= 1
        try:
            return right(self)
        finally:
            self.last_epoch += 1

    return get_lr


def a_last_digit(right):
    return lambda self: [rate * (1 + 1e-14) for rate in right(self)]


def the_first_rate_for_all(right):
    return lambda self: right(self)[:1] * len(self.base_lrs)


RATES = {
    "a step late": ("StepLR", "get_lr", a_step_late, "epoch 5, lr"),
    "a last digit": ("CosineAnnealingLR", "get_lr", a_last_digit, "epoch 0, lr"),
    "the first group's rate for all": ("StepLR", "get_lr", the_first_rate_for_all, "epoch 0, lr"),
}


@pytest.mark.parametrize("name", RATES)
def test_a_mistake_in_a_rate_is_seen_where_it_first_shows(name, monkeypatch):
    kind, method, make, where = RATES[name]
    planted = getattr(lr_scheduler, kind)
    monkeypatch.setattr(planted, method, make(getattr(planted, method)))
    found = conform(HONEST[kind])
    assert not found.passed
    assert found.gaps[0].name == where
    assert found.gaps[0].multiple > 5


def test_a_state_that_lacks_something_is_seen(monkeypatch):
    right = lr_scheduler.LRScheduler.state_dict

    def state_dict(self):
        return {key: value for key, value in right(self).items() if key != "base_lrs"}

    monkeypatch.setattr(lr_scheduler.LRScheduler, "state_dict", state_dict)
    found = conform(HONEST["StepLR"])
    assert not found.passed
    assert (found.gaps[0].name, found.gaps[0].text) == ("epoch 0, StepLR base_lrs 0", "manual has none")


def test_a_state_that_is_not_loaded_is_seen_when_it_is_resumed(monkeypatch):
    monkeypatch.setattr(lr_scheduler.LRScheduler, "load_state_dict", lambda self, state_dict: None)
    found = conform(HONEST["CosineAnnealingLR"])
    assert not found.passed
    assert found.gaps[0].name == f"manual, resumed from manual: epoch {MIDDLE + 1}, lr"
    assert any(gap.name.startswith("manual, resumed from torch: ") for gap in found.gaps)
    assert not any(gap.name.startswith("torch, ") for gap in found.gaps)


def test_a_state_that_torch_cannot_go_on_from_is_seen(monkeypatch):
    right = lr_scheduler.LRScheduler.state_dict
    monkeypatch.setattr(lr_scheduler.StepLR, "state_dict", lambda self: {**right(self), "gamma": 0.9})
    found = conform(HONEST["StepLR"])
    assert any(gap.name == "torch, resumed from manual: epoch 20, lr" for gap in found.gaps)


def test_a_missing_scheduler_and_a_missing_optimizer_fail_with_their_names(monkeypatch):
    monkeypatch.delattr(lr_scheduler, "StepLR")
    assert conform(HONEST["StepLR"]).problem == "manual.optim.lr_scheduler has no StepLR"
    monkeypatch.delattr(manual.optim, "SGD")
    assert conform(HONEST["CosineAnnealingLR"]).problem == "manual.optim has no SGD"


def test_options_that_torch_refuses_are_said():
    found = conform(one("LinearLR", start_factor=0))
    assert found.problem.startswith("torch raised ValueError: Starting multiplicative factor")


def test_noisy_numbers_move_by_their_last_bit_and_stay_numbers():
    kind = _noisy(0)
    for value in (kind(0.3) * 3, 3 * kind(0.3), kind(1.8) / 2, 2 - kind(1.1), kind(0.9) ** 1, 0.4 + kind(0.5)):
        assert type(value) is kind
        assert value == pytest.approx(0.9, rel=1e-15)
    assert len({float(kind(0.3) * 3) for _ in range(50)}) > 1


def test_the_table_of_results_has_counts(tmp_path):
    path = tmp_path / "found.json"
    done = gradlock("conformance", "schedulers", "--match", "MultiStep*", "--json", str(path))
    for word in ("scheduler", "MultiStepLR", "2 of 2", "noise floors", "numbers"):
        assert word in done.stdout
    found = json.loads(path.read_text())
    assert next(row for row in found["schedulers"] if row["name"] == "MultiStepLR")["passed"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--match", "Cosin"], "no scheduler matches 'Cosin', such as StepLR or 'Cosine*'"),
        (["--dtype", "float32"], "--dtype is for modules and optimizers; schedulers have none"),
        (["--mode", "eval"], "--mode is for modules; schedulers have none"),
    ],
)
def test_wrong_usage_gets_one_line(arguments, message):
    done = gradlock("conformance", "schedulers", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
