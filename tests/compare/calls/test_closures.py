"""Optimizers that evaluate the model themselves within a step: LBFGS in a training step of either wing, and a user's."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import compare
import manual.training
import torch_ref
from compare.lockstep import lockstep
from compare.measured import Measured

from .regression import BATCHES, INITIAL, NET, Mine

OPTIONS = {"lr": 0.5, "max_iter": 4, "history_size": 3}


def torch_lbfgs(module=NET, **options):
    module = copy.deepcopy(module)
    return torch_ref.Side(module, torch.optim.LBFGS(module.parameters(), **OPTIONS), nn.MSELoss(), **options)


def manual_lbfgs(**options):
    module = manual.nn.Linear(4, 2).to(np.float64)
    module.load_state_dict({name: value.copy() for name, value in INITIAL.items()})
    return manual.training.Side(
        module, manual.optim.LBFGS(module.parameters(), **OPTIONS), manual.nn.MSELoss(), **options
    )


class Descent(Mine):
    """Five steps of steepest descent, each from an evaluation of its own: ``step`` takes a closure."""

    times = 5

    def step(self, closure):
        self.losses = [closure()]
        for _ in range(self.times):
            for name, parameter in self.parameters.items():
                parameter -= 0.05 * self.gradients[name]
            self.losses.append(closure())


class Descending(torch.optim.SGD):
    """The same in PyTorch."""

    def step(self, closure):
        with torch.enable_grad():
            closure()
            for _ in range(5):
                super().step()
                closure()


def torch_descent():
    module = copy.deepcopy(NET)
    return torch_ref.Side(module, Descending(module.parameters(), lr=0.05), nn.MSELoss())


@pytest.mark.parametrize("sync", ["free", "step"])
def test_lbfgs_of_both_wings(sync):
    report = compare.training(manual_lbfgs, torch_lbfgs, BATCHES, 3, sync=sync)
    assert report.outcome == "equivalent", report
    assert report.verdict.steps == len(BATCHES)
    assert {"forward", "backward", "deposit", "accumulated", "slots", "update"} <= report.coverage.phases.keys()
    assert "weight (d)" in report.coverage.phases["slots"].informative_names


def test_the_walk_by_module_abstains_with_the_reason():
    report = compare.training(manual_lbfgs, torch_lbfgs, BATCHES, 3, sync="module")
    assert report.outcome == "abstained"
    assert report.reason == (
        "the walk by module gives the optimizer the reference's gradients, and this one evaluates the model itself "
        "within a step (its step requires a closure); walk free or by step"
    )


@pytest.mark.parametrize("make", [torch_lbfgs, manual_lbfgs])
def test_what_was_recorded_stays_that_of_the_first_evaluation(make):
    side = make(clip=None)
    side.zero_grad()
    x, y = BATCHES[0]
    shares = [(slice(0, 7), 7 / 11), (slice(7, 11), 4 / 11)]
    for rows, share in shares:
        side.accumulate((x[rows], y[rows]), share)

    def shown():
        kept = (side.inputs, side.activations, side.activation_gradients, side.deposits)
        return [{key: np.array(value) for key, value in one.items()} for one in kept] + [side.mean_loss]

    before, first = shown(), {name: value.copy() for name, value in side.gradients.items()}
    start = side.mean_loss
    side.step()
    for mine, theirs in zip(before, shown(), strict=True):
        if isinstance(mine, float):
            assert mine == theirs
            continue
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[key], theirs[key]) for key in mine)
    assert side.evaluated() < start  # the whole batch, where the parameters are now
    side.load_state({"parameters": INITIAL})
    assert side.evaluated() == pytest.approx(start, rel=1e-14)
    assert all(np.allclose(side.gradients[name], first[name], rtol=1e-13) for name in first)


@pytest.mark.parametrize("make", [torch_lbfgs, manual_lbfgs])
def test_nothing_to_evaluate_is_said(make):
    side = make()
    side.zero_grad()
    with pytest.raises(RuntimeError, match="nothing was accumulated since zero_grad"):
        side.step()


@pytest.mark.parametrize(
    ("make", "clip"),
    [(torch_lbfgs, nn.utils.clip_grad_norm_), (manual_lbfgs, manual.nn.utils.clip_grad_norm_)],
    ids=["torch", "manual"],
)
def test_a_clip_before_a_step_that_evaluates_anew_is_without_effect(make, clip):
    sides = make(clip=partial(clip, max_norm=0.01)), make()
    for side in sides:
        side.zero_grad()
        side.accumulate(BATCHES[0], 1.0)
        side.step()
    assert sides[0].total_norm > 0.1
    for name, value in sides[0].parameters.items():
        assert np.array_equal(value, sides[1].parameters[name])


def test_dropout_drops_the_same_in_every_evaluation():
    """A line search then sees one function, on both sides the same."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 2)).double()

    def actual():
        module = manual.nn.Sequential(manual.nn.Linear(4, 6), manual.nn.Dropout(0.5), manual.nn.Linear(6, 2))
        module = module.to(np.float64)
        module.load_state_dict({name: value.numpy() for name, value in net.state_dict().items()})
        optimizer = manual.optim.LBFGS(module.parameters(), **OPTIONS)
        return manual.training.Side(module, optimizer, manual.nn.MSELoss())

    def expected():
        torch.manual_seed(4)
        return torch_lbfgs(net)

    steps = [[((x, y), 1.0)] for x, y in BATCHES[:3]]
    found = lockstep(actual, expected, steps)
    assert found.outcome == "equivalent", found.reason


# -- a user's own --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [Descent, Descent()], ids=["a factory", "an object"])
def test_a_step_that_takes_a_closure(side):
    report = compare.training(side, torch_descent, BATCHES, 3)
    assert report.outcome == "equivalent", report
    assert not hasattr(Descent, "losses")


def test_the_closure_returns_the_loss_of_the_whole_batch():
    seen = []

    class Watched(Descent):
        def step(self, closure):
            super().step(closure)
            seen.append(self.losses)

    compare.training(Watched, torch_descent, BATCHES[:1], 3)
    x, y = BATCHES[0]
    assert seen[0][0] == pytest.approx(np.mean((x @ INITIAL["weight"].T + INITIAL["bias"] - y) ** 2), rel=1e-13)
    assert seen[0] == sorted(seen[0], reverse=True)


def test_one_evaluation_too_few_is_seen_in_the_update():
    class Short(Descent):
        times = 4

    report = compare.training(Short, torch_descent, BATCHES, 3)
    assert (report.outcome, report.first_divergence.checkpoint.phase) == ("diverged", "update")


def test_a_closure_without_a_loss_is_told():
    class Silent(Descent):
        def accumulate(self, micro_batch, weight):
            super().accumulate(micro_batch, weight)

    report = compare.training(Silent, torch_descent, BATCHES)
    said = "accumulate returned no loss, which the closure that step takes has to return"
    assert (report.outcome, report.reason) == ("error", said)


# -- the appeal ----------------------------------------------------------------------------------------------------------


def test_gradients_alone_make_no_step_of_it():
    measured = Measured(torch_lbfgs, [[(BATCHES[0], 1.0)]], "float64")
    assert measured.tail(None, {name: np.zeros_like(value) for name, value in INITIAL.items()}) == {}


def test_a_type_error_of_a_step_is_not_taken_for_a_missing_closure():
    def make():
        module = copy.deepcopy(NET)
        return torch_ref.Side(
            module, torch.optim.SGD(module.parameters()), nn.MSELoss(), clip=lambda parameters: len(0)
        )

    with pytest.raises(TypeError, match="has no len"):
        Measured(make, [[(BATCHES[0], 1.0)]], "float64").tail(None, INITIAL)


def test_a_norm_without_its_root_is_named_before_a_step_that_evaluates_anew():
    def squared(parameters):
        return manual.nn.utils.clip_grad_norm_(parameters, max_norm=0.01) ** 2

    def reference():
        return torch_lbfgs(clip=partial(nn.utils.clip_grad_norm_, max_norm=0.01))

    report = compare.training(lambda: manual_lbfgs(clip=squared), reference, BATCHES, 3)
    assert report.first_divergence.checkpoint.where == "step 1, clip, total_norm"
    assert report.causes[0].cause == "squared norm"
    assert "raised" not in str(report)
