"""Every scheduler against torch's, to the last bit: alone, resumed, chained, and with a rate changed by hand."""

import copy

import numpy as np
import pytest
import torch

from manual import optim
from manual.optim import lr_scheduler
from manual.tensor import Tensor

EPOCHS = 30
RATES = (0.1, 0.07)


class Warmup:
    """A callable object, whose attributes are part of the state."""

    def __init__(self, epochs):
        self.epochs = epochs

    def __call__(self, epoch):
        return min(1.0, (epoch + 1) / self.epochs)


CASES = [
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.95**epoch}),
    ("LambdaLR", {"lr_lambda": [lambda epoch: 1 / (1 + epoch), lambda epoch: 0.9 ** (epoch // 3)]}),
    ("LambdaLR", {"lr_lambda": (Warmup(7), lambda epoch: 0.5**epoch)}),
    ("StepLR", {"step_size": 4}),
    ("StepLR", {"step_size": 1, "gamma": 0.7}),
    ("MultiStepLR", {"milestones": [3, 7, 7, 21]}),
    ("MultiStepLR", {"milestones": range(2, 30, 5), "gamma": 0.3}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 7}),
    ("CosineAnnealingLR", {"T_max": 10, "eta_min": 0.01}),
    ("CosineAnnealingLR", {"T_max": 1}),
    ("CosineAnnealingLR", {"T_max": 100, "eta_min": 0.2}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.7, "total_iters": 11}),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 20}),
]
IDS = [f"{name}-{'-'.join(options) or 'defaults'}-{index}" for index, (name, options) in enumerate(CASES)]
each_case = pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)


def ours():
    return optim.SGD(
        [{"params": [Tensor(np.zeros(2), requires_grad=True)], "lr": rate} for rate in RATES], lr=1.0, momentum=0.9
    )


def theirs():
    return torch.optim.SGD(
        [{"params": [torch.zeros(2, requires_grad=True)], "lr": rate} for rate in RATES], lr=1.0, momentum=0.9
    )


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


class Side:
    def __init__(self, package, optimizer, cases):
        self.optimizer = optimizer
        self.schedulers = [getattr(package, name)(optimizer, **copy.deepcopy(options)) for name, options in cases]

    def epoch(self):
        self.optimizer.step()
        for scheduler in self.schedulers:
            scheduler.step()


def pair(*cases):
    return Side(lr_scheduler, ours(), cases), Side(torch.optim.lr_scheduler, theirs(), cases)


def assert_agree(first, second, epoch):
    assert rates(first.optimizer) == rates(second.optimizer), f"epoch {epoch}"
    for mine, reference in zip(first.schedulers, second.schedulers, strict=True):
        assert mine.get_last_lr() == reference.get_last_lr(), f"epoch {epoch}"
        assert mine.state_dict() == reference.state_dict(), f"epoch {epoch}"


@each_case
def test_agrees_with_torch(name, options):
    first, second = pair((name, options))
    assert_agree(first, second, 0)
    for epoch in range(1, EPOCHS + 1):
        first.epoch()
        second.epoch()
        assert_agree(first, second, epoch)
    assert first.schedulers[0].last_epoch == EPOCHS


@each_case
def test_rates_changed_by_hand(name, options):
    """The chainable forms go on from what they find."""
    first, second = pair((name, options))
    for epoch in range(1, EPOCHS + 1):
        if epoch == 12:
            for side in (first, second):
                for group in side.optimizer.param_groups:
                    group["lr"] *= 0.3
        first.epoch()
        second.epoch()
        assert_agree(first, second, epoch)
    untouched = Side(lr_scheduler, ours(), [(name, options)])
    for _ in range(EPOCHS):
        untouched.epoch()
    if name == "LambdaLR":
        assert rates(first.optimizer) == rates(untouched.optimizer)
    elif name in ("StepLR", "MultiStepLR", "ExponentialLR"):
        assert rates(first.optimizer) == pytest.approx([0.3 * rate for rate in rates(untouched.optimizer)])


@pytest.mark.parametrize("other", [("ExponentialLR", {"gamma": 0.97}), ("LinearLR", {"total_iters": 8})])
@each_case
def test_chained(name, options, other):
    first, second = pair((name, options), other)
    for epoch in range(EPOCHS + 1):
        assert_agree(first, second, epoch)
        first.epoch()
        second.epoch()


@each_case
def test_resumed_in_the_middle(name, options):
    """From our state and from torch's: the rates come with the optimizer's state, the rest with the scheduler's."""
    whole, reference = pair((name, options))
    for _ in range(EPOCHS // 2):
        whole.epoch()
        reference.epoch()
    from_ours, from_torch = (Side(lr_scheduler, ours(), [(name, options)]) for _ in range(2))
    for resumed, origin in ((from_ours, whole), (from_torch, reference)):
        resumed.schedulers[0].load_state_dict(copy.deepcopy(origin.schedulers[0].state_dict()))
        resumed.optimizer.load_state_dict(origin.optimizer.state_dict())
    for epoch in range(EPOCHS // 2, EPOCHS):
        for side in (reference, from_ours, from_torch):
            side.epoch()
        assert_agree(from_ours, reference, epoch)
        assert_agree(from_torch, reference, epoch)


@each_case
def test_resumed_by_last_epoch(name, options):
    """``last_epoch=9`` makes the step to epoch 10 in the constructor, from the rates and initial rates it finds."""
    sides = []
    for package, optimizer in ((lr_scheduler, ours()), (torch.optim.lr_scheduler, theirs())):
        for group in optimizer.param_groups:
            group["initial_lr"] = 2 * group["lr"]
        sides.append(Side(package, optimizer, [(name, {**options, "last_epoch": 9})]))
    for epoch in range(10, 25):
        assert_agree(*sides, epoch)
        for side in sides:
            side.epoch()


@each_case
def test_closed_forms(name, options):
    """The formulas of the docstrings, which the chainable forms must reproduce up to rounding."""
    side = Side(lr_scheduler, ours(), [(name, options)])
    reference = Side(torch.optim.lr_scheduler, theirs(), [(name, options)]).schedulers[0]
    for epoch in range(1, EPOCHS + 1):
        side.epoch()
        if name != "LambdaLR":
            reference.last_epoch = epoch
            assert rates(side.optimizer) == pytest.approx(reference._get_closed_form_lr(), rel=1e-9, abs=1e-12)


@each_case
def test_initial_rates_are_kept_in_the_groups(name, options):
    optimizer = ours()
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    assert [group["initial_lr"] for group in optimizer.param_groups] == list(RATES) == scheduler.base_lrs
    assert optimizer.state_dict()["param_groups"][0]["initial_lr"] == RATES[0]
    second = lr_scheduler.ExponentialLR(optimizer, 0.5)
    assert second.base_lrs == list(RATES)


def test_lambda_state_leaves_functions_out_and_objects_in():
    scheduler = lr_scheduler.LambdaLR(ours(), [Warmup(7), lambda epoch: 1.0])
    state = scheduler.state_dict()
    assert state["lr_lambdas"] == [{"epochs": 7}, None]
    other = lr_scheduler.LambdaLR(ours(), [Warmup(99), lambda epoch: 2.0])
    other.load_state_dict(state)
    assert other.lr_lambdas[0].epochs == 7
    assert other.lr_lambdas[1](3) == 2.0
    assert state["lr_lambdas"] == [{"epochs": 7}, None]


# -- warnings and errors ---------------------------------------------------------------------------------------------

packages = pytest.mark.parametrize(
    ("package", "make"), [(lr_scheduler, ours), (torch.optim.lr_scheduler, theirs)], ids=["manual", "torch"]
)


@packages
def test_stepping_before_the_optimizer_is_warned_of_once(package, make, recwarn):
    scheduler = package.StepLR(make(), 3)
    with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
    scheduler.step()
    assert not recwarn.list


@packages
def test_stepping_after_the_optimizer_is_not_warned_of(package, make, recwarn):
    optimizer = make()
    scheduler = package.StepLR(optimizer, 3)
    optimizer.step()
    scheduler.step()
    assert not recwarn.list


@packages
def test_get_lr_outside_a_step_is_warned_of(package, make):
    scheduler = package.ExponentialLR(make(), 0.5)
    with pytest.warns(UserWarning, match=r"please use `get_last_lr\(\)`"):
        scheduler.get_lr()


@packages
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda package, make: package.StepLR([], 3), TypeError, "list is not an Optimizer"),
        (
            lambda package, make: package.StepLR(make(), 3, last_epoch=4),
            KeyError,
            "param 'initial_lr' is not specified",
        ),
        (
            lambda package, make: package.LambdaLR(make(), [float]),
            ValueError,
            "Expected 2 lr_lambdas, but got 1",
        ),
        (
            lambda package, make: package.LinearLR(make(), start_factor=0.0),
            ValueError,
            "Starting multiplicative factor expected to be greater than 0 and less or equal to 1",
        ),
        (
            lambda package, make: package.LinearLR(make(), end_factor=1.5),
            ValueError,
            "Ending multiplicative factor expected to be between 0 and 1",
        ),
    ],
    ids=["optimizer", "initial_lr", "lambdas", "start", "end"],
)
def test_errors(package, make, call, error, message):
    with pytest.raises(error, match=message):
        call(package, make)


@pytest.mark.parametrize("fault", [lambda rate: rate * (1 + 2**-52), lambda rate: rate + 1e-19])
def test_one_bit_is_noticed(fault):
    class Off(lr_scheduler.ExponentialLR):
        def get_lr(self):
            return [fault(rate) if self.last_epoch == 5 else rate for rate in super().get_lr()]

    first, second = Side(lr_scheduler, ours(), []), Side(torch.optim.lr_scheduler, theirs(), [])
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


def test_public_names():
    assert all(hasattr(torch.optim.lr_scheduler, name) for name in lr_scheduler.__all__)
    assert all(hasattr(lr_scheduler, name) for name in lr_scheduler.__all__)
