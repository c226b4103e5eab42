"""compare.training on a side written by hand, as an object and as a factory, right and wrong."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import compare
import manual.nn
import manual.optim
import manual.training
from torch_ref.copying import copy_side

from .regression import (
    BATCHES,
    INITIAL,
    NET,
    Mine,
    WithAHandle,
    classification,
    fresh_reference,
    in_a_namespace,
    reference,
)

# -- agreement ---------------------------------------------------------------------------------------------------------

SIDES = {
    "objects": (lambda: Mine(), lambda: reference()),
    "a class": (lambda: Mine, lambda: reference()),
    "factories": (lambda: lambda: Mine(), lambda: fresh_reference),
    "lambdas": (in_a_namespace, lambda: reference()),
    "a handle": (WithAHandle, lambda: reference()),
    "PyTorch twice": (lambda: reference(), lambda: reference()),
}


@pytest.mark.parametrize("micro_batches", [1, 3, [5, 4, 2]], ids=str)
@pytest.mark.parametrize(("side", "expected"), SIDES.values(), ids=SIDES)
def test_right_training_is_equivalent_and_leaves_what_it_is_given(side, expected, micro_batches):
    report = compare.training(side(), expected(), BATCHES, micro_batches)
    assert report.outcome == "equivalent", report
    assert report.verdict.steps == 4
    assert {"init", "loss", "accumulated", "update", "parameter"} <= set(report.coverage.phases)
    assert all(np.array_equal(value.detach().numpy(), INITIAL[name]) for name, value in NET.named_parameters())


def test_an_object_can_be_compared_again():
    side = Mine()
    for _ in range(2):
        assert compare.training(side, reference(), BATCHES).outcome == "equivalent"
    assert np.array_equal(side.parameters["weight"], INITIAL["weight"])


@pytest.mark.parametrize("sync", ["free", "step", "module"])
def test_the_manual_wing_as_a_users_side(sync):
    def make():
        module = manual.nn.Linear(4, 2).double()
        module.load_state_dict(INITIAL)
        optimizer = manual.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        return manual.training.Side(module, optimizer, manual.nn.MSELoss())

    report = compare.training(make, reference(), BATCHES, 3, sync=sync)
    assert report.outcome == "equivalent", report
    assert report.coverage.phases["deposit"].informative


def test_micro_batches_have_a_short_tail():
    rows = []

    class Counting(Mine):
        def accumulate(self, micro_batch, weight):
            rows.append((len(micro_batch[0]), weight))
            return super().accumulate(micro_batch, weight)

    assert compare.training(Counting(), reference(), BATCHES[:1], 3).outcome == "equivalent"
    assert rows[:3] == [(5, 5 / 11), (4, 4 / 11), (2, 2 / 11)]


LOSSES = {
    "a NumPy number": lambda loss, residual: loss,
    "a tensor": lambda loss, residual: torch.tensor(loss),
    "nothing": lambda loss, residual: None,
    "terms": lambda loss, residual: {"data": loss, "denominator": residual.size, "penalty": 0.0, "total": loss},
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_what_accumulate_may_return(loss):
    side = Mine()
    side.loss = loss
    report = compare.training(side, reference(), BATCHES, 2)
    assert report.outcome == "equivalent"
    assert ("loss" in report.coverage.phases) == (loss is not LOSSES["nothing"])


def test_a_bare_loss_includes_the_penalty():
    class Ridge(Mine):
        def accumulate(self, micro_batch, weight):
            loss = super().accumulate(micro_batch, weight)
            self.gradients["weight"] = self.gradients["weight"] + weight * 0.2 * self.parameters["weight"]
            return loss + 0.1 * np.sum(self.parameters["weight"] ** 2)

    def penalty(named):
        return 0.1 * named["weight"].pow(2).sum()

    report = compare.training(Ridge(), reference(penalty=penalty), BATCHES, 3)
    assert report.outcome == "equivalent", report
    assert report.coverage.phases["loss"].names == {"total"}


def test_optional_members_are_compared_also_by_path_alone():
    class Showing(Mine):
        def accumulate(self, micro_batch, weight):
            output = micro_batch[0] @ self.parameters["weight"].T + self.parameters["bias"]
            self.activations = {"": output}
            self.activation_gradients = {("", "output"): 2 * (output - micro_batch[1]) / output.size}
            return super().accumulate(micro_batch, weight)

        @property
        def slots(self):
            return {name: {"momentum_buffer": value} for name, value in self.velocity.items() if np.ndim(value)}

        learning_rate = 0.1

    report = compare.training(Showing(), reference(), BATCHES, 2)
    assert report.outcome == "equivalent", report
    assert {"forward", "backward", "slots", "schedule"} <= set(report.coverage.phases)


def test_a_weighted_loss_weighs_its_micro_batches_by_its_own_denominator():
    report = compare.training(*classification(), 3)
    assert report.outcome == "equivalent", report


class Prefixed:
    """A side under the names that it has inside a larger module."""

    def __init__(self, inner, prefix):
        self.inner, self.prefix = inner, prefix
        self.zero_grad, self.step = inner.zero_grad, inner.step

    @property
    def parameters(self):
        return {self.prefix + name: value for name, value in self.inner.parameters.items()}

    @property
    def gradients(self):
        return {self.prefix + name: value for name, value in self.inner.gradients.items()}

    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        return self.inner.accumulate((np.maximum(x, 0), y), weight)


def test_a_reference_that_works_in_place_spoils_nothing():
    module = nn.Sequential(nn.ReLU(inplace=True), copy.deepcopy(NET))
    report = compare.training(Prefixed(Mine(), "1."), reference(module=module), BATCHES, 2)
    assert report.outcome == "equivalent", report
    assert not report.coverage.notes


def test_a_denominator_of_ones_own_weighs_the_micro_batches():
    seen = []

    class Spy(Mine):
        def accumulate(self, micro_batch, weight):
            seen.append(weight)
            return super().accumulate(micro_batch, weight)

    compare.training(Spy(), reference(denominator=lambda output, target: float(len(target)) ** 2), BATCHES[:1], [8, 3])
    assert seen[:2] == [64 / 73, 9 / 73]


def test_a_loss_that_is_none_of_torchs_is_weighed_by_rows_with_a_note():
    report = compare.training(Mine(), reference(lambda output, target: ((output - target) ** 2).mean()), BATCHES, 2)
    assert report.outcome == "equivalent"
    assert any("weighed by their rows" in note for note in report.coverage.notes)


# -- divergence --------------------------------------------------------------------------------------------------------

FAULTS = {
    # step, micro-batch, phase, name
    "zero_grad left out": (2, 1, "accumulated", "weight"),
    "mean of means": (1, 1, "accumulated", "weight"),
    "only the last micro-batch": (1, 2, "accumulated", "weight"),
    "the bias stays": (1, None, "update", "bias"),
}


@pytest.mark.parametrize(("fault", "place"), FAULTS.items(), ids=FAULTS)
def test_a_fault_is_seen_in_its_place(fault, place):
    report = compare.training(Mine(fault), reference(), BATCHES[:3], 3)
    first = report.first_divergence.checkpoint
    assert report.outcome == "diverged"
    assert (first.step, first.micro_batch, first.phase, first.name) == place


@pytest.mark.parametrize("make", [in_a_namespace, WithAHandle], ids=["lambdas", "a handle"])
@pytest.mark.parametrize("sync", ["free", "step"])
def test_a_side_that_is_run_once_is_looked_into_all_the_same(make, sync):
    """Its one run is shown again: to the check for chance, and to the diagnosis."""
    side = make("only the last micro-batch")
    if sync == "step":
        side.load_state = lambda state: held(side).update({n: v.copy() for n, v in state["parameters"].items()})
    report = compare.training(side, reference(), BATCHES[:3], 3, sync=sync)
    first = report.first_divergence.checkpoint
    assert (first.step, first.micro_batch, first.phase) == (1, 2, "accumulated")
    assert report.causes
    assert not any("diagnosis" in note for note in report.coverage.notes)


def held(side):
    return side.parameters() if callable(side.parameters) else side.parameters


@pytest.mark.parametrize(
    "expected", [lambda: fresh_reference(True), lambda: partial(fresh_reference, True)], ids=["object", "factory"]
)
def test_a_schedule_that_the_side_lacks_shows_when_the_rate_moves(expected):
    first = compare.training(Mine(), expected(), BATCHES).first_divergence
    assert (first.checkpoint.step, first.checkpoint.phase) == (3, "update")


def test_a_side_that_could_not_be_copied_says_so():
    report = compare.training(in_a_namespace(), reference(), BATCHES)
    assert any(
        note.startswith("the side could not be copied (its <lambda> reaches values from outside), so it was run once")
        for note in report.coverage.notes
    )
    report = compare.training(WithAHandle(), reference(), BATCHES)
    assert any("(TypeError: cannot copy a handle)" in note for note in report.coverage.notes)


def test_chance_in_a_factory_is_named():
    class Chance(Mine):
        def accumulate(self, micro_batch, weight):
            loss = super().accumulate(micro_batch, weight)
            self.gradients["bias"] += np.random.default_rng().standard_normal(2)
            return loss

    report = compare.training(Chance, reference(), BATCHES)
    assert report.outcome == "abstained"
    assert report.reason.startswith("nondeterminism: two runs of the actual side differ from each other at step 1")


def test_factories_draw_the_same_initial_values_from_the_global_generators():
    def make_reference():
        return reference(module=nn.Linear(4, 2).double())

    def make():
        side = Mine()
        side.parameters = {name: p.detach().numpy().copy() for name, p in nn.Linear(4, 2).double().named_parameters()}
        return side

    assert compare.training(make, make_reference, BATCHES).outcome == "equivalent"


def test_another_dtype_or_shape_at_the_start_is_a_divergence_of_its_own_kind():
    class Narrow(Mine):
        def __init__(self):
            super().__init__()
            self.parameters = {name: value.astype(np.float32) for name, value in INITIAL.items()}

    first = compare.training(Narrow, reference(), BATCHES).first_divergence
    assert (first.checkpoint.phase, first.difference.kind) == ("init", "dtype")

    class Turned(Mine):
        def __init__(self):
            super().__init__()
            self.parameters["weight"] = INITIAL["weight"].T.copy()

    report = compare.training(Turned, reference(), BATCHES)
    assert report.outcome == "error"
    assert report.reason.endswith(
        "; the side's parameter 'weight' has shape (4, 2), PyTorch's (2, 4); if that is another order of axes, "
        "say names={'weight': ('weight', (1, 0))}"
    )
    assert report.first_divergence.difference.kind == "shape"


def test_names_that_do_not_match_are_said():
    class Renamed(Mine):
        def __init__(self):
            super().__init__()
            self.parameters["weights"] = self.parameters.pop("weight")

        def accumulate(self, micro_batch, weight):
            return 0.0

    report = compare.training(Renamed, reference(), BATCHES)
    said = "nearest: {!r}; if they are the same, names={{'weights': 'weight'}}"
    assert f"init: weight ({said.format('weights')})" in report.coverage.only_expected
    assert f"init: weights ({said.format('weight')})" in report.coverage.only_actual


# -- copies of a side of PyTorch -----------------------------------------------------------------------------------------


def test_a_copy_goes_on_by_itself_and_takes_its_schedule_along():
    original = fresh_reference(schedule=True)
    twin = copy_side(original)
    for side in (twin, original):
        for x, y in BATCHES[:3]:
            side.zero_grad()
            side.accumulate((x, y), 1.0)
            side.step()
        assert side.learning_rate == pytest.approx([0.01])
        assert side.activations["", 0, "output"].shape == (11, 2)
        assert set(side.deposits) == {"weight", "bias"}
    assert np.array_equal(twin.parameters["weight"], original.parameters["weight"])
    assert not np.shares_memory(twin.parameters["weight"], original.parameters["weight"])
    again = copy_side(original)
    assert np.array_equal(again.slots["weight"]["momentum_buffer"], original.slots["weight"]["momentum_buffer"])
