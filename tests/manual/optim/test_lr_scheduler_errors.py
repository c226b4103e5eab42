"""What schedulers warn of and refuse, in both packages with the same words."""

import warnings

import pytest
import torch

import manual
from manual.optim import lr_scheduler, swa_utils

from .schedules import ours, theirs


class Package:
    """All schedulers of one wing, and its optimizers."""

    def __init__(self, modules, make, optimizers):
        self.modules, self.make, self.optimizers = modules, make, optimizers

    def __getattr__(self, name):
        return next(getattr(module, name) for module in self.modules if hasattr(module, name))


MANUAL = Package((lr_scheduler, swa_utils), ours, manual.optim)
TORCH = Package((torch.optim.lr_scheduler, torch.optim.swa_utils), theirs, torch.optim)
packages = pytest.mark.parametrize("p", [MANUAL, TORCH], ids=["manual", "torch"])


@packages
def test_stepping_before_the_optimizer_is_warned_of_once(p, recwarn):
    scheduler = p.StepLR(p.make(), 3)
    with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
    scheduler.step()
    assert not recwarn.list


@packages
def test_stepping_after_the_optimizer_is_not_warned_of(p, recwarn):
    optimizer = p.make()
    scheduler = p.StepLR(optimizer, 3)
    optimizer.step()
    scheduler.step()
    assert not recwarn.list


@packages
def test_a_step_that_was_replaced_is_warned_of(p):
    optimizer = p.make()
    scheduler = p.StepLR(optimizer, 3)
    optimizer.step = lambda: None
    optimizer.step()
    with pytest.warns(UserWarning, match=r"Seems like `optimizer.step\(\)` has been overridden after learning rate"):
        scheduler.step()


@packages
def test_warnings_point_at_the_caller(p):
    optimizer = p.make()
    scheduler = p.StepLR(optimizer, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scheduler.step()
        scheduler.step(4)
        scheduler.get_lr()
    mine = [warning.filename == __file__ for warning in caught]
    assert mine == [True, True, p is MANUAL]  # torch's last one points at itself


@packages
@pytest.mark.parametrize("name", ["ExponentialLR", "SWALR"])
def test_get_lr_outside_a_step_is_warned_of(p, name):
    scheduler = getattr(p, name)(p.make(), 0.5)
    with pytest.warns(UserWarning, match=r"please use `get_last_lr\(\)`"):
        scheduler.get_lr()


@packages
def test_an_epoch_is_warned_of(p):
    for scheduler, arguments in ((p.ExponentialLR(p.make(), 0.5), ()), (p.ReduceLROnPlateau(p.make()), (1.0,))):
        scheduler.optimizer.step()
        with pytest.warns(UserWarning, match=r"The epoch parameter in `scheduler.step\(\)` was not necessary"):
            scheduler.step(*arguments, epoch=3)


def plain(p):
    """An optimizer without momentum."""
    parameter = manual.tensor([1.0], requires_grad=True) if p is MANUAL else torch.ones(1, requires_grad=True)
    return p.optimizers.Adagrad([parameter])


def other(p):
    return p.StepLR(p.make(), 3)


def several(p, cls, make_schedulers, **options):
    optimizer = p.make()
    return getattr(p, cls)(optimizer, make_schedulers(optimizer), **options)


def stepped_too_often(p):
    optimizer = p.make()
    scheduler = p.OneCycleLR(optimizer, 0.1, total_steps=3)
    for _ in range(4):
        optimizer.step()
        scheduler.step()


def grown(p):
    """A group is added to an optimizer whose least rates are listed."""
    optimizer = p.make()
    scheduler = p.ReduceLROnPlateau(optimizer, min_lr=[0.1, 0.1], patience=0)
    parameter = manual.tensor([1.0], requires_grad=True) if p is MANUAL else torch.ones(1, requires_grad=True)
    optimizer.add_param_group({"params": [parameter]})
    scheduler.step(1.0)
    scheduler.step(2.0)


def one_cycle(**options):
    return lambda p: p.OneCycleLR(p.make(), 0.1, **options)


def cyclic(**options):
    return lambda p: p.CyclicLR(p.make(), **{"base_lr": 0.1, "max_lr": 1.0, **options})


def restarts(**options):
    return lambda p: p.CosineAnnealingWarmRestarts(p.make(), **options)


def plateau(**options):
    return lambda p: p.ReduceLROnPlateau(p.make(), **options)


PER_GROUP = "{0} must have the same length as optimizer.param_groups. {0} has {1} values, param_groups has 2"
MOMENTUM = "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
ERRORS = [
    (lambda p: p.StepLR([], 3), TypeError, "list is not an Optimizer"),
    (lambda p: p.CyclicLR("x", 1, 2), TypeError, "str is not an Optimizer"),
    (lambda p: p.OneCycleLR("x", 1), TypeError, "str is not an Optimizer"),
    (lambda p: p.ReduceLROnPlateau("x"), TypeError, "str is not an Optimizer"),
    (lambda p: p.StepLR(p.make(), 3, last_epoch=4), KeyError, "param 'initial_lr' is not specified"),
    (lambda p: p.LambdaLR(p.make(), [float]), ValueError, "Expected 2 lr_lambdas, but got 1"),
    (lambda p: p.MultiplicativeLR(p.make(), (float,) * 3), ValueError, "Expected 2 lr_lambdas, but got 3"),
    (lambda p: p.MultiplicativeLR(p.make(), 0.5), TypeError, "lr_lambda should be a function, but got float"),
    (lambda p: p.ConstantLR(p.make(), 1.5), ValueError, "Constant multiplicative factor expected to be between 0 and 1"),
    (lambda p: p.ConstantLR(p.make(), -0.1), ValueError, "Constant multiplicative factor expected to be between 0 and 1"),
    (lambda p: p.LinearLR(p.make(), 0.0), ValueError, "Starting multiplicative factor expected to be greater than 0 and less or equal to 1"),
    (lambda p: p.LinearLR(p.make(), end_factor=1.5), ValueError, "Ending multiplicative factor expected to be between 0 and 1"),
    (restarts(T_0=0), ValueError, "Expected positive integer T_0, but got 0"),
    (restarts(T_0=2.5), ValueError, "Expected positive integer T_0, but got 2.5"),
    (restarts(T_0=2, T_mult=0), ValueError, "Expected integer T_mult >= 1, but got 0"),
    (restarts(T_0=2, eta_min="a"), ValueError, "Expected float or int eta_min, but got a of type <class 'str'>"),
    (lambda p: p.CosineAnnealingWarmRestarts(p.make(), 3).step(-1), ValueError, "Expected non-negative epoch, but got -1"),
    (cyclic(mode="square"), ValueError, "mode is invalid and scale_fn is None"),
    (cyclic(base_lr=[0.1]), ValueError, PER_GROUP.format("base_lr", 1)),
    (cyclic(max_lr=[0.1] * 3), ValueError, PER_GROUP.format("max_lr", 3)),
    (cyclic(base_momentum=[0.1]), ValueError, PER_GROUP.format("base_momentum", 1)),
    (cyclic(max_momentum=[0.1]), ValueError, PER_GROUP.format("max_momentum", 1)),
    (lambda p: p.CyclicLR(plain(p), 0.1, 1.0), ValueError, MOMENTUM),
    (lambda p: p.OneCycleLR(plain(p), 0.1, 9), ValueError, MOMENTUM),
    (one_cycle(), ValueError, r"You must define either total_steps OR (epochs AND steps_per_epoch)"),
    (one_cycle(total_steps=0), ValueError, "Expected positive integer total_steps, but got 0"),
    (one_cycle(total_steps=1.5), ValueError, "Expected positive integer total_steps, but got 1.5"),
    (one_cycle(epochs=-1, steps_per_epoch=3), ValueError, "Expected positive integer epochs, but got -1"),
    (one_cycle(epochs=1, steps_per_epoch=3.0), ValueError, "Expected positive integer steps_per_epoch, but got 3.0"),
    (one_cycle(total_steps=9, pct_start=1), ValueError, "Expected float between 0 and 1 pct_start, but got 1"),
    (one_cycle(total_steps=9, pct_start=1.5), ValueError, "Expected float between 0 and 1 pct_start, but got 1.5"),
    (one_cycle(total_steps=9, anneal_strategy="x"), ValueError, "anneal_strategy must be one of 'cos' or 'linear', instead got x"),
    (lambda p: p.OneCycleLR(p.make(), [0.1], 9), ValueError, PER_GROUP.format("max_lr", 1)),
    (stepped_too_often, ValueError, "Tried to step 4 times. The specified number of total steps is 3"),
    (plateau(factor=1.0), ValueError, "Factor should be < 1.0"),
    (plateau(mode="best"), ValueError, "mode best is unknown!"),
    (plateau(threshold_mode="some"), ValueError, "threshold mode some is unknown!"),
    (plateau(min_lr=[0.1]), ValueError, "expected 2 min_lrs, got 1"),
    (grown, RuntimeError, "The number of param groups in the `optimizer` (3) differs from when `ReduceLROnPlateau` was initialized (2)"),
    (lambda p: several(p, "SequentialLR", lambda o: [], milestones=[]), ValueError, "SequentialLR expects at least one scheduler, but got no scheduler"),
    (lambda p: several(p, "SequentialLR", lambda o: [3], milestones=[]), TypeError, "SequentialLR at index 0 should have `optimizer` as its attribute"),
    (lambda p: several(p, "SequentialLR", lambda o: [p.StepLR(o, 2), p.ReduceLROnPlateau(o)], milestones=[2]), ValueError, "SequentialLR does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs to be specified when calling `step`, but got one at index 1"),
    (lambda p: several(p, "SequentialLR", lambda o: [other(p)], milestones=[]), ValueError, "SequentialLR expects all schedulers to belong to the same optimizer, but got scheduler StepLR at index 0 has SGD"),
    (lambda p: several(p, "SequentialLR", lambda o: [p.StepLR(o, 2)], milestones=[2]), ValueError, "number of schedulers provided to be one more than the number of milestone points, but got number of schedulers 1 and the number of milestones to be equal to 1"),
    (lambda p: p.ChainedScheduler([]), ValueError, "ChainedScheduler expects at least one scheduler to be chained, but got no scheduler"),
    (lambda p: p.ChainedScheduler([other(p), 3]), TypeError, "ChainedScheduler at index 1 should have `optimizer` as its attribute"),
    (lambda p: p.ChainedScheduler([other(p), other(p)]), ValueError, "ChainedScheduler expects all schedulers to belong to the same optimizer, but got scheduler StepLR at index 1 has SGD"),
    (lambda p: p.ChainedScheduler([p.ReduceLROnPlateau(p.make())]), ValueError, "ChainedScheduler does not support `ReduceLROnPlateau`"),
    (lambda p: p.SWALR(p.make(), [0.1]), ValueError, PER_GROUP.format("swa_lr", 1)),
    (lambda p: p.SWALR(p.make(), 0.1, anneal_strategy="x"), ValueError, "anneal_strategy must be one of 'cos' or 'linear', instead got x"),
    (lambda p: p.SWALR(p.make(), 0.1, anneal_epochs=-1), ValueError, "anneal_epochs must be equal or greater than 0, got -1"),
    (lambda p: p.SWALR(p.make(), 0.1, anneal_epochs=1.0), ValueError, "anneal_epochs must be equal or greater than 0, got 1.0"),
]  # fmt: skip


@packages
@pytest.mark.parametrize(("call", "error", "message"), ERRORS, ids=[message[:40] for _, _, message in ERRORS])
def test_errors(p, call, error, message):
    with pytest.raises(error) as caught:
        call(p)
    assert message in str(caught.value)


@packages
def test_a_factor_of_zero_cannot_be_taken_back(p):
    optimizer = p.make()
    scheduler = p.ConstantLR(optimizer, 0.0, total_iters=1)
    optimizer.step()
    with pytest.raises(ZeroDivisionError):
        scheduler.step()


@packages
def test_a_chain_cannot_take_over_in_a_sequence(p):
    optimizer = p.make()
    chain = p.ChainedScheduler([p.StepLR(optimizer, 3)])
    sequence = p.SequentialLR(optimizer, [p.StepLR(optimizer, 2), chain], milestones=[1])
    optimizer.step()
    with pytest.raises(NotImplementedError):
        sequence.step()
