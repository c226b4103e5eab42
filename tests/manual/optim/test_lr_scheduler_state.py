"""Schedules handed over in the middle: by state, here, to torch and back, and by ``last_epoch``."""

import copy

import pytest

from manual.optim import lr_scheduler, swa_utils

from .schedules import CASES, EPOCHS, SWA, Side, Warmup, assert_agree, momenta, named, ours, pair, rates

ALL = [*CASES, *SWA]


def handed_over(origin, case, to_torch):
    """A fresh side that goes on where another one is."""
    side = Side(to_torch, case)
    side.schedulers[0].load_state_dict(copy.deepcopy(origin.schedulers[0].state_dict()))
    side.optimizer.load_state_dict(origin.optimizer.state_dict())
    side.epochs = origin.epochs
    side.optimizer._opt_called = True  # a run that goes on in another process has made its steps
    return side


@named(ALL)
@pytest.mark.parametrize("middle", [1, 7, EPOCHS // 2])
def test_handed_over_in_the_middle(case, middle):
    """From our state and from torch's: the rates come with the optimizer's state, the rest with the scheduler's."""
    whole, reference = pair(case)
    for _ in range(middle):
        whole.epoch()
        reference.epoch()
    from_ours, from_torch = handed_over(whole, case, False), handed_over(reference, case, False)
    into_torch = handed_over(whole, case, True)
    for epoch in range(middle, EPOCHS):
        for side in (reference, from_ours, from_torch, into_torch):
            side.epoch()
        assert_agree(from_ours, reference, epoch)
        assert_agree(from_torch, reference, epoch)
        assert_agree(into_torch, reference, epoch)


@named(ALL)
def test_to_torch_and_back_at_every_epoch(case):
    whole, reference = pair(case)
    there, back = whole, whole
    for epoch in range(EPOCHS):
        there = handed_over(back, case, True)
        assert_agree(whole, there, epoch)
        back = handed_over(there, case, False)
        assert_agree(back, reference, epoch)
        for side in (whole, reference, back):
            side.epoch()


def test_every_class_has_a_case():
    missing = {*lr_scheduler.__all__, "SWALR"} - {case.name for case in ALL} - {"LRScheduler"}
    assert not missing


@named(ALL)
def test_loading_leaves_the_state_as_it_was(case):
    side, _ = pair(case)
    side.epoch()
    state = side.schedulers[0].state_dict()
    before = copy.deepcopy(state)
    Side(False, case).schedulers[0].load_state_dict(state)
    assert state == before


@named([case for case in ALL if not case.composite and case.name != "ReduceLROnPlateau"])
def test_resumed_by_last_epoch(case):
    """``last_epoch=9`` makes the step to epoch 10 in the constructor, from the rates and initial rates it finds."""
    sides = []
    for torchs in (False, True):
        prepared = Side(torchs, case)
        for group in prepared.optimizer.param_groups:
            group["initial_lr"] = 2 * group["lr"]
        sides.append(Side(torchs, case, optimizer=prepared.optimizer, last_epoch=9))
    for epoch in range(10, 25):
        assert_agree(*sides, epoch)
        for side in sides:
            side.epoch()


@named([case for case in ALL if case.name == "SequentialLR"])
def test_a_sequence_counts_from_last_epoch(case):
    sides = [Side(torchs, case, last_epoch=4) for torchs in (False, True)]
    for epoch in range(4, EPOCHS - 4):
        assert_agree(*sides, epoch)
        for side in sides:
            side.epoch()


@pytest.mark.parametrize(
    ("name", "key", "wrong"),
    [
        ("StepLR", "gamma", 0.2),
        ("StepLR", "last_epoch", 8),
        ("CyclicLR", "max_momentums", [0.8, 0.9]),
        ("CyclicLR", "last_epoch", 8),
        ("CosineAnnealingWarmRestarts", "T_cur", 2),
        ("CosineAnnealingWarmRestarts", "T_i", 9),
        ("ReduceLROnPlateau", "best", 0.1),
        ("ReduceLROnPlateau", "num_bad_epochs", 1),
    ],
)
def test_what_is_handed_over_wrongly_shows(name, key, wrong):
    """Each of these is needed: the rates or momenta themselves go astray without it."""
    case = next(case for case in CASES if case.name == name)
    whole, _ = pair(case)
    for _ in range(7):
        whole.epoch()
    side = handed_over(whole, case, True)
    assert getattr(side.schedulers[0], key) != wrong
    setattr(side.schedulers[0], key, wrong)
    moved = []
    for _ in range(8):
        for one in (whole, side):
            one.epoch()
        moved.append(
            rates(whole.optimizer) != rates(side.optimizer) or momenta(whole.optimizer) != momenta(side.optimizer)
        )
    assert any(moved)


def test_lambda_state_leaves_functions_out_and_objects_in():
    scheduler = lr_scheduler.LambdaLR(ours(), [Warmup(7), lambda epoch: 1.0])
    state = scheduler.state_dict()
    assert state["lr_lambdas"] == [{"epochs": 7}, None]
    other = lr_scheduler.LambdaLR(ours(), [Warmup(99), lambda epoch: 2.0])
    other.load_state_dict(state)
    assert other.lr_lambdas[0].epochs == 7
    assert other.lr_lambdas[1](3) == 2.0
    assert state["lr_lambdas"] == [{"epochs": 7}, None]


def test_settings_come_with_the_state():
    """A state carries its settings too, as in torch: the loading schedule becomes the saved one."""
    for mine, saved in [
        (lr_scheduler.StepLR(ours(), 3, 0.5), lr_scheduler.StepLR(ours(), 4, 0.9)),
        (swa_utils.SWALR(ours(), 0.5), swa_utils.SWALR(ours(), 0.5, 3, "linear")),
        (lr_scheduler.ReduceLROnPlateau(ours()), lr_scheduler.ReduceLROnPlateau(ours(), "max", 0.5)),
    ]:
        mine.load_state_dict(saved.state_dict())
        assert mine.state_dict() == saved.state_dict()
