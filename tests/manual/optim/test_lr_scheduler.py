"""Every scheduler against torch's, to the last bit: alone, chained, jumping, and with a rate changed by hand."""

import inspect
import warnings

import numpy as np
import pytest
import torch

from manual import optim
from manual.optim import lr_scheduler
from manual.tensor import Tensor

from .schedules import CASES, EPOCHS, Case, Side, assert_agree, named, ours, pair, rates, theirs

CHAINABLE = [case for case in CASES if not case.composite and not case.plateau]


@named(CASES)
def test_agrees_with_torch(case):
    first, second = pair(case)
    assert_agree(first, second, 0)
    moved = {tuple(rates(first.optimizer))}
    for epoch in range(1, EPOCHS + 1):
        first.epoch()
        second.epoch()
        assert_agree(first, second, epoch)
        moved.add(tuple(rates(first.optimizer)))
    assert len(moved) > 1
    assert getattr(first.schedulers[0], "last_epoch", EPOCHS) == EPOCHS


@named(CASES)
def test_rates_changed_by_hand(case):
    """The chainable forms go on from what they find."""
    first, second = pair(case)
    for epoch in range(1, EPOCHS + 1):
        if epoch == 12:
            for side in (first, second):
                for group in side.optimizer.param_groups:
                    group["lr"] *= 0.3
        first.epoch()
        second.epoch()
        assert_agree(first, second, epoch)
    untouched = Side(False, case)
    for _ in range(EPOCHS):
        untouched.epoch()
    if case.name in ("LambdaLR", "CyclicLR", "OneCycleLR", "CosineAnnealingWarmRestarts"):
        assert rates(first.optimizer) == rates(untouched.optimizer)
    elif case.name in ("StepLR", "MultiStepLR", "ExponentialLR", "MultiplicativeLR", "PolynomialLR", "ConstantLR"):
        assert rates(first.optimizer) == pytest.approx([0.3 * rate for rate in rates(untouched.optimizer)])


@pytest.mark.parametrize(
    "other", [Case("ExponentialLR", {"gamma": 0.97}), Case("LinearLR", {"total_iters": 8})], ids=lambda case: case.name
)
@named(CASES)
def test_two_at_once(case, other):
    first, second = pair(case, other)
    for epoch in range(EPOCHS + 1):
        assert_agree(first, second, epoch)
        first.epoch()
        second.epoch()


@named(CHAINABLE)
def test_jumps_to_an_epoch(case):
    """``step(epoch)`` takes the closed form where there is one."""
    first, second = pair(case)
    for epoch in (3, 4, 0, 17, 17, 1, 29, 9):
        for side in (first, second):
            side.optimizer.step()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The epoch parameter in `scheduler.step", UserWarning)
                side.schedulers[0].step(epoch)
        assert_agree(first, second, epoch)
    first.epoch()
    second.epoch()
    assert_agree(first, second, 10)


@named([case for case in CASES if case.name == "CosineAnnealingWarmRestarts"])
def test_warm_restarts_take_fractions_of_an_epoch(case):
    first, second = pair(case)
    for epoch in (0.25, 1.5, 2.999, 3.0, 7.3, 8.999999, 9, 12.7, 21.0, 20.5):
        for side in (first, second):
            side.schedulers[0].step(epoch)
        assert_agree(first, second, epoch)


@named(CHAINABLE)
def test_closed_forms(case):
    """The formulas of the docstrings, which the chainable forms must reproduce up to rounding."""
    side, reference = pair(case)
    for epoch in range(1, EPOCHS + 1):
        side.epoch()
        scheduler = reference.schedulers[0]
        if hasattr(scheduler, "_get_closed_form_lr"):
            scheduler.last_epoch = epoch
            assert rates(side.optimizer) == pytest.approx(scheduler._get_closed_form_lr(), rel=1e-9, abs=1e-12)


@named([case for case in CASES if not case.composite])
def test_rates_that_are_arrays_are_overwritten(case):
    """With float32 tensors as rates torch computes in float32, and so does NumPy with 0-d arrays."""
    first, second = (
        Side(torchs, case, optimizer=make(case.optimizer, "float32"))
        for torchs, make in ((False, ours), (True, theirs))
    )
    arrays = [group["lr"] for group in first.optimizer.param_groups]
    for epoch in range(1, EPOCHS + 1):
        first.epoch()
        second.epoch()
        assert rates(first.optimizer) == rates(second.optimizer), f"epoch {epoch}"
    for array, group, rate in zip(arrays, first.optimizer.param_groups, first.schedulers[0].get_last_lr(), strict=True):
        assert group["lr"] is array
        assert rate is not array
        assert array.dtype == np.float32


@named([case for case in CHAINABLE if case.name not in ("CyclicLR", "OneCycleLR")])
def test_initial_rates_are_kept_in_the_groups(case):
    side = Side(False, case)
    start = [group["initial_lr"] for group in side.optimizer.param_groups]
    assert start == rates(ours()) == side.schedulers[0].base_lrs
    assert side.optimizer.state_dict()["param_groups"][0]["initial_lr"] == start[0]
    assert lr_scheduler.ExponentialLR(side.optimizer, 0.5).base_lrs == start


@pytest.mark.parametrize("fault", [lambda rate: rate * (1 + 2**-52), lambda rate: rate + 1e-19])
def test_one_bit_is_noticed(fault):
    class Off(lr_scheduler.ExponentialLR):
        def get_lr(self):
            return [fault(rate) if self.last_epoch == 5 else rate for rate in super().get_lr()]

    first, second = Side(False), Side(True)
    first.schedulers = [Off(first.optimizer, gamma=0.05)]
    second.schedulers = [torch.optim.lr_scheduler.ExponentialLR(second.optimizer, gamma=0.05)]
    for epoch in range(1, 5):
        first.epoch()
        second.epoch()
        assert_agree(first, second, epoch)
    first.epoch()
    second.epoch()
    with pytest.raises(AssertionError, match="epoch 5"):
        assert_agree(first, second, 5)


def test_momentum_that_moves_changes_the_update():
    """The momentum that a step uses is that of the schedule, not the one the optimizer was made with."""
    mine, reference = Tensor(np.array([1.0, -2.0]), requires_grad=True), torch.tensor([1.0, -2.0], dtype=torch.float64)
    sides = []
    for package, parameter in ((optim, mine), (torch.optim, reference.requires_grad_())):
        optimizer = package.SGD([parameter], lr=1.0, momentum=0.5)
        sides.append((optimizer, package.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=12)))
    for step in range(10):
        gradient = np.random.default_rng(step).normal(size=2)
        mine.grad, reference.grad = gradient.copy(), torch.tensor(gradient)
        for optimizer, scheduler in sides:
            optimizer.step()
            scheduler.step()
    np.testing.assert_allclose(mine.data, reference.detach().numpy(), rtol=1e-14)


def test_public_names_are_torchs():
    assert set(lr_scheduler.__all__) == set(torch.optim.lr_scheduler.__all__)


@pytest.mark.parametrize("name", lr_scheduler.__all__)
def test_arguments_are_torchs(name):
    mine, reference = (
        inspect.signature(getattr(package, name)).parameters for package in (lr_scheduler, torch.optim.lr_scheduler)
    )
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in reference.values()]
