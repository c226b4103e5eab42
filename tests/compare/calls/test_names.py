"""``names=`` in every call: other names and layouts are compared, and what is wrong among them is found all the same."""

import numpy as np
import pytest
import torch
from torch import nn

import compare
import manual.training
import torch_ref
from compare.batches import InputError

from .regression import BATCHES, INITIAL, Mine, reference

# -- training ------------------------------------------------------------------------------------------------------------


class Keras(Mine):
    """The regression with its kernel the other way round, under names of its own."""

    def __init__(self, fault=""):
        super().__init__(fault)
        self.parameters = {"dense/kernel": INITIAL["weight"].T.copy(), "dense/bias": INITIAL["bias"].copy()}
        self.velocity = dict.fromkeys(self.parameters, 0)
        self.zero_grad()

    def zero_grad(self):
        self.gradients = dict.fromkeys(self.parameters)

    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        residual = x @ self.parameters["dense/kernel"] + self.parameters["dense/bias"] - y
        slope = 2 * residual / residual.size * weight
        self.activations = {"dense": residual + y}
        for name, gradient in {"dense/kernel": x.T @ slope, "dense/bias": slope.sum(0)}.items():
            self.gradients[name] = gradient if self.gradients[name] is None else self.gradients[name] + gradient
        return np.mean(residual**2)

    @property
    def slots(self):
        return {name: {"velocity": v} for name, v in self.velocity.items() if np.ndim(v)}

    def load_state(self, state):
        for name, value in state["parameters"].items():
            self.parameters[name][...] = value
        for name, slots in state["slots"].items():
            self.velocity[name] = slots["velocity"]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2).double()

    def forward(self, x):
        return self.linear(x)


def nested():
    """The reference, its layer one level down."""
    module = Net()
    module.linear.load_state_dict({name: torch.from_numpy(value) for name, value in INITIAL.items()})
    return reference(module=module)


EXACT = {
    "dense/kernel": ("linear.weight", (1, 0)),
    "dense/bias": "linear.bias",
    "dense": "linear",
    "velocity": "momentum_buffer",
}
NAMES = {"exact": EXACT, "a pattern": {**EXACT, "dense/b*": "linear.b*"}, "a function": EXACT.get}
del NAMES["a pattern"]["dense/bias"]


@pytest.mark.parametrize("sync", ["free", "step"])
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_other_names_and_layouts_are_compared(names, sync):
    report = compare.training(Keras, nested(), BATCHES, 2, sync=sync, names=names)
    assert report.outcome == "equivalent", report
    phases = report.coverage.phases
    assert phases["accumulated"].names == phases["update"].names == {"linear.weight", "linear.bias"}
    assert phases["slots"].names == {"linear.weight (momentum_buffer)", "linear.bias (momentum_buffer)"}
    assert phases["forward"].names == {"linear"}
    assert report.coverage.only_actual == []
    assert report.repeat().outcome == "equivalent"


@pytest.mark.parametrize("sync", ["free", "step"])
def test_a_fault_under_another_name_is_seen_in_its_place(sync):
    class Wrong(Keras):
        def step(self):
            self.gradients["dense/kernel"] = 2 * self.gradients["dense/kernel"]
            super().step()

    first = compare.training(Wrong, nested(), BATCHES, 2, sync=sync, names=EXACT).first_divergence
    assert (first.checkpoint.phase, first.checkpoint.name) == ("slots", "linear.weight")
    assert first.difference.max_abs_index is not None


def test_names_left_out_are_in_the_coverage_with_their_nearest():
    names = {"dense/kernel": ("linear.weight", (1, 0))}
    report = compare.training(Keras, nested(), BATCHES, names=names)
    said = "nearest: {!r}; if they are the same, names={{'dense/bias': 'linear.bias'}}"
    assert f"init: dense/bias ({said.format('linear.bias')})" in report.coverage.only_actual
    assert f"init: linear.bias ({said.format('dense/bias')})" in report.coverage.only_expected
    assert report.outcome == "abstained"
    assert report.reason == "parameter linear.bias has no informative gradient or update: nothing is known about it"


def test_a_transposed_layout_is_told_with_the_map_to_write():
    report = compare.training(Keras, nested(), BATCHES)
    turned = "shape {} is {} with the axes in another order, names={{'dense/kernel': ('linear.weight', (1, 0))}}"
    mine = f"init: dense/kernel (nearest: 'linear.weight'; {turned.format((2, 4), (4, 2))})"
    assert mine in report.coverage.only_actual
    theirs = f"init: linear.weight (nearest: 'dense/kernel'; {turned.format((4, 2), (2, 4))})"
    assert theirs in report.coverage.only_expected


def test_an_entry_that_the_side_never_shows_is_told():
    class Bare(Keras):
        activations = None

        def accumulate(self, micro_batch, weight):
            found = super().accumulate(micro_batch, weight)
            del self.activations
            return found

    report = compare.training(Bare, nested(), BATCHES, names=EXACT)
    assert report.outcome == "equivalent"
    assert "names maps 'dense' to 'linear', but the actual side shows no 'dense'" in report.coverage.notes


@pytest.mark.parametrize("sync", ["free", "step", "module"])
def test_the_manual_wing_under_names_of_its_own(sync):
    """The walk by module translates what a module is given, and what comes out of it."""

    class Own(manual.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.act, self.second = manual.nn.Linear(4, 3), manual.nn.Tanh(), manual.nn.Linear(3, 2)

        def forward(self, x):
            return self.second(self.act(self.first(x)))

    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()

    def penalty(named):
        return 0.1 * sum((value * value).sum() for value in named.values())

    def side():
        mine = Own().to(np.float64)
        values = {name: value.numpy() for name, value in module.state_dict().items()}
        mine.load_state_dict({EXCHANGED[name]: value for name, value in values.items()})
        optimizer = manual.optim.Adam(mine.parameters(), lr=1e-2)
        return manual.training.Side(mine, optimizer, manual.nn.MSELoss(), penalty=penalty)

    expected = torch_ref.Side(module, torch.optim.Adam(module.parameters(), lr=1e-2), nn.MSELoss(), penalty=penalty)
    names = {"first*": "0*", "second*": "2*", "first": "0", "act": "1", "second": "2"}
    report = compare.training(side, expected, BATCHES, 2, sync=sync, names=names)
    assert report.outcome == "equivalent", report
    assert {"0", "1", "2"} <= report.coverage.phases["forward"].names
    assert report.coverage.phases["deposit"].names == set(EXCHANGED)


EXCHANGED = {"0.weight": "first.weight", "0.bias": "first.bias", "2.weight": "second.weight", "2.bias": "second.bias"}

REFUSED = {
    "a target that is not there": (
        {"dense/kernel": "linear.weigth"},
        "names maps 'dense/kernel' to 'linear.weigth', which the expected side does not have; nearest: 'linear.weight', 'linear.bias', 'linear'",
    ),
    "a name that is not there": (
        {"dens/kernel": "linear.weight"},
        "names maps 'dens/kernel' to 'linear.weight', but the actual side has no 'dens/kernel'; nearest: 'dense/kernel'",
    ),
    "two for one": (
        {"dense/kernel": "linear.weight", "dense/bias": "linear.weight"},
        "names maps both 'dense/kernel' and 'dense/bias' to 'linear.weight'; each needs a name of its own",
    ),
    "a word": ("linear", "names is str 'linear'; it must be a dict of actual name to expected name, or a function of the actual name"),
}  # fmt: skip


@pytest.mark.parametrize(("names", "message"), REFUSED.values(), ids=REFUSED)
def test_a_map_that_cannot_be_right_is_refused(names, message):
    with pytest.raises(InputError) as caught:
        compare.training(Keras, nested(), BATCHES, names=names)
    assert str(caught.value) == message
