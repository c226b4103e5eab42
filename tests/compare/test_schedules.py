"""Schedules in lockstep: handed over without their settings, told of the loss, and with the momentum that they move."""

import copy

import numpy as np
import pytest
import torch

import manual
import manual.training
import torch_ref.training
from compare.batches import cut
from compare.diagnosis.diagnose import diagnose
from compare.lockstep import lockstep, walk
from compare.threads import threads
from compare.tolerance import Fixed

from ..manual.optim.schedules import CASES, SWA, Case, named
from ..manual.optim.schedules import Side as Schedules

ALL = [*CASES, *SWA]
FIRST = list({case.name: case for case in reversed(ALL)}.values())  # one of each class
GENERATOR = np.random.default_rng(6)
X, Y = GENERATOR.standard_normal((24, 6)), GENERATOR.integers(0, 3, 24)
STEPS = [cut(X, Y, [15, 9])] * 9


def make(torchs, case, spoil=None):
    """A side with two parameter groups under one schedule."""
    wing, training = (torch, torch_ref.training) if torchs else (manual, manual.training)
    generator = np.random.default_rng(1)
    module = wing.nn.Sequential(wing.nn.Linear(6, 4), wing.nn.Tanh(), wing.nn.Linear(4, 3))
    module = module.double() if torchs else module.to(np.float64)
    start = {name: generator.normal(size=tuple(value.shape)) for name, value in module.state_dict().items()}
    module.load_state_dict({name: torch.from_numpy(value) for name, value in start.items()} if torchs else start)
    options = {"momentum": 0.9} if case.optimizer == "SGD" else {"betas": (0.7, 0.97)}
    groups = [{"params": module[0].parameters(), "lr": 0.1}, {"params": module[2].parameters(), "lr": 0.07}]
    optimizer = getattr(wing.optim, case.optimizer)(groups, lr=1.0, **options)
    optimizer._opt_called = True  # a chain that a sequence begins with makes two first steps
    scheduler = Schedules(torchs, case, optimizer=optimizer).schedulers[0]
    if spoil:
        spoil(scheduler)
    return training.Side(module, optimizer, wing.nn.CrossEntropyLoss(), scheduler)


def walked(case, sync, spoil=None, steps=STEPS):
    return walk(make(False, case, spoil), make(True, case), steps, sync=sync, tolerance=Fixed("float64"))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threads(1):
        yield


@named(ALL)
def test_every_schedule_walks_by_step(case):
    found = walked(case, "step")
    assert found.outcome == "equivalent", found.reason
    moves = case.optimizer == "Adam" or case.name in ("CyclicLR", "OneCycleLR")
    moves = moves and case.options.get("cycle_momentum", True)
    nested = [inner for inner in case.options.get("schedulers", ()) if inner.name in ("CyclicLR", "OneCycleLR")]
    names = {"group 0", "group 1"} | ({"group 0 momentum", "group 1 momentum"} if moves or nested else set())
    assert found.coverage.phases["schedule"].names == names
    assert found.coverage.only_actual == found.coverage.only_expected == []


@named(FIRST)
@pytest.mark.parametrize("sync", ["free", "module"])
def test_every_class_walks(case, sync):
    found = walked(case, sync)
    assert found.outcome == "equivalent", found.reason


@named(ALL)
@pytest.mark.parametrize(("source", "target"), [(False, True), (True, False)])
def test_a_fresh_side_goes_on_from_a_state(case, source, target):
    """What the state holds is enough: every later rate, momentum and progress is that of the run it was taken from."""
    whole, fresh = make(source, case), make(target, case)
    training = manual.training.training_step
    for step in range(9):
        if step == 4:
            fresh.load_state(copy.deepcopy(whole.state()))
        for side in (whole, fresh) if step >= 4 else (whole,):
            training(side, [(batch, weight) for batch, weight in STEPS[step]])
        if step >= 4:
            assert fresh.learning_rate == whole.learning_rate
            assert fresh.scheduled_momentum == whole.scheduled_momentum
            for name, value in fresh.parameters.items():
                np.testing.assert_allclose(value, whole.parameters[name], rtol=1e-10, atol=1e-12)


def spoiled(key, value, inner=None):
    def spoil(scheduler):
        target = scheduler if inner is None else scheduler._schedulers[inner]
        assert getattr(target, key) != value
        setattr(target, key, value)

    return spoil


WRONG = [
    ("LambdaLR", "base_lrs", [0.1, 0.08], None),
    ("MultiplicativeLR", "lr_lambdas", [lambda epoch: 0.9] * 2, None),
    ("StepLR", "gamma", 0.2, None),
    ("StepLR", "step_size", 3, None),
    ("MultiStepLR", "gamma", 0.2, None),
    ("ConstantLR", "total_iters", 4, None),
    ("LinearLR", "end_factor", 0.9, None),
    ("ExponentialLR", "gamma", 0.91, None),
    ("PolynomialLR", "power", 1.1, None),
    ("CosineAnnealingLR", "T_max", 8, None),
    ("CosineAnnealingWarmRestarts", "eta_min", 0.001, None),
    ("CosineAnnealingWarmRestarts", "T_mult", 3, None),
    ("CyclicLR", "max_lrs", [0.1, 0.2], None),
    ("CyclicLR", "max_momentums", [0.9, 0.95], None),
    ("OneCycleLR", "total_steps", 5, None),
    ("ReduceLROnPlateau", "factor", 0.2, None),
    ("ReduceLROnPlateau", "patience", 1, None),
    ("ReduceLROnPlateau", "threshold", 0.9, None),
    ("SequentialLR", "gamma", 0.8, 1),
    ("SequentialLR", "_milestones", [3], None),
    ("ChainedScheduler", "gamma", 0.8, 1),
    ("SWALR", "anneal_epochs", 8, None),
]
SHORT = {
    "ReduceLROnPlateau": Case("ReduceLROnPlateau", {"patience": 0, "threshold": 0.05}),
    "CosineAnnealingWarmRestarts": Case("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 2}),
}


@pytest.mark.parametrize("sync", ["free", "step"])
@pytest.mark.parametrize(("name", "key", "value", "inner"), WRONG, ids=[f"{row[0]}-{row[1]}" for row in WRONG])
def test_a_wrong_setting_shows(name, key, value, inner, sync):
    """Settings are never handed over: in the walk by step, too, the fault is the schedule's."""
    case = SHORT.get(name) or next(case for case in ALL if case.name == name)
    if key == "total_steps":  # stepped too often
        found = walked(case, sync, spoiled(key, value, inner))
        assert found.outcome == "error"
        assert "Tried to step 6 times" in str(found.reason)
        return
    found = walked(case, sync, spoiled(key, value, inner))
    first = found.first_divergence
    assert first is not None
    assert (first.checkpoint.phase, first.culprit) == ("schedule", "scheduler")


# -- the plateau ----------------------------------------------------------------------------------------------------------


def test_a_plateau_is_told_the_mean_loss_of_the_step():
    """Micro-batches of different sizes, each by its weight: the loss of the whole batch."""
    case = SHORT["ReduceLROnPlateau"]
    for torchs in (False, True):
        told = []
        side = make(torchs, case)
        right = side.scheduler.step
        side.scheduler.step = lambda loss, told=told, right=right: (told.append(loss), right(loss))
        whole = make(torchs, case)
        for step in STEPS[:3]:
            expected = manual.training.training_step(whole, [((X, Y), 1.0)])[0]["total"]
            manual.training.training_step(side, step)
            assert told[-1] == pytest.approx(expected, rel=1e-12)
        assert len(set(told)) == 3


def test_a_plateau_is_not_blind_to_the_loss():
    """A side whose loss is scaled lowers its rate at another step, and in the walk by module that is not the schedule's."""
    case = Case("ReduceLROnPlateau", {"patience": 0, "threshold": 0.3, "threshold_mode": "abs"})

    def scaled():
        side = make(False, case)
        right = side.loss.forward
        side.loss.forward = lambda output, target: right(output, target) * 3.0
        return side

    rates = []
    for side in (scaled(), make(False, case)):
        for step in STEPS[:4]:
            manual.training.training_step(side, step)
            rates.append(side.learning_rate)
    assert rates[:4] != rates[4:]
    found = walk(scaled(), make(True, case), STEPS[:4], sync="module", tolerance=Fixed("float64"))
    culprits = {divergence.culprit for divergence in found.divergences if divergence.own}
    assert culprits == {"loss"}


# -- the momentum ---------------------------------------------------------------------------------------------------------

CYCLE = Case("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4})


def frozen(scheduler):
    """The momentum stays at its start."""
    right = scheduler.get_lr

    def get_lr():
        groups = scheduler.optimizer.param_groups
        held = [group["momentum"] for group in groups]
        rates = right()
        for group, momentum in zip(groups, held, strict=True):
            group["momentum"] = momentum
        return rates

    scheduler.get_lr = get_lr


def ahead(scheduler):
    """Rates and momenta are those of the next step."""
    right = scheduler.get_lr

    def get_lr():
        scheduler.last_epoch += 1
        try:
            return right()
        finally:
            scheduler.last_epoch -= 1

    scheduler.get_lr = get_lr


def test_the_momentum_is_named_where_it_parts():
    found = walked(CYCLE, "free", frozen)
    first = found.first_divergence
    assert (first.checkpoint.phase, first.checkpoint.name, first.checkpoint.step) == ("schedule", "group 0 momentum", 1)


@pytest.mark.parametrize("sync", ["free", "step"])
@pytest.mark.parametrize(
    ("spoil", "cause", "says"),
    [
        (spoiled("max_momentums", [0.81, 0.81]), "other scheduled momentum", "the momentum is"),
        (ahead, "schedule off by one", "one step ahead"),
    ],
    ids=["other", "ahead"],
)
def test_a_wrong_momentum_has_a_cause(spoil, cause, says, sync):
    def actual():
        return make(False, CYCLE, spoil)

    def expected():
        return make(True, CYCLE)

    steps = [cut(X, Y, [10, 9, 5])] * 5
    found = walk(actual(), expected(), steps, sync=sync, tolerance=Fixed("float64"))
    diagnose(found, actual, expected, steps, tolerance=Fixed("float64"))
    causes = found.first_divergence.causes
    assert causes[0].cause == cause
    assert says in causes[0].explanation


def test_a_wrong_update_is_explained_at_the_momentum_in_force():
    """The diagnosis of an update knows that the momentum is not the one that the optimizer was made with."""

    def actual():
        side = make(False, CYCLE)
        right = side.optimizer.update

        def update(parameter, gradient, slots, group):
            right(parameter, gradient, slots, {**group, "lr": 1.5 * group["lr"]})

        side.optimizer.update = update
        return side

    def expected():
        return make(True, CYCLE)

    found = lockstep(actual, expected, STEPS[:5])
    diagnose(found, actual, expected, STEPS[:5])
    first = found.first_divergence
    assert first.checkpoint.phase == "update"
    assert first.causes[0].cause == "other learning rate"
    assert "1.5 times" in first.causes[0].explanation
