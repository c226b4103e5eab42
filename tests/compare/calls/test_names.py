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


# -- gradients -----------------------------------------------------------------------------------------------------------

draw = np.random.default_rng(5).standard_normal
INPUTS = {"x": draw((6, 4)), "weight": draw((3, 4)), "bias": draw(3)}


def torch_square(x, weight, bias):
    return ((x @ weight.T + bias) ** 2).sum()


def course(x, weight, bias):
    """The gradients under the names of a course."""
    z = x @ weight.T + bias
    return (z**2).sum(), {"dweight": 2 * z.T @ x, "dbias": 2 * z.sum(0)}


def flax(x, kernel, b, factor=2):
    """Arguments of other names, and the kernel in another layout."""
    z = x @ kernel + b
    return (z**2).sum(), {"kernel": factor * x.T @ z, "b": 2 * z.sum(0)}


FUNCTIONS = {
    "exact": (course, {"dweight": "weight", "dbias": "bias"}),
    "a pattern": (course, {"d*": "*"}),
    "a function": (course, lambda name: name.removeprefix("d")),
    "arguments and a layout": (flax, {"kernel": ("weight", (1, 0)), "b": "bias"}),
    "an argument and a gradient": (
        lambda x, w, bias: (course(x, w, bias)[0], {"dw": course(x, w, bias)[1]["dweight"]}), {"w": "weight", "dw": "weight"},
    ),
    "a layout under the same name": (
        lambda x, weight, bias: (flax(x, weight, bias)[0], {"weight": flax(x, weight, bias)[1]["kernel"]}), {"weight": ("weight", (1, 0))},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("function", "names"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_gradients_and_arguments_of_other_names(function, names):
    report = compare.gradients(function, torch_square, INPUTS, names=names)
    assert report.outcome == "equivalent", report
    assert "weight" in report.coverage.phases["accumulated"].informative_names
    assert report.repeat().outcome == "equivalent"


def test_a_wrong_gradient_in_another_layout_is_placed_in_pytorchs():
    def wrong(x, kernel, b):
        loss, found = flax(x, kernel, b)
        found["kernel"][2, 1] += 1
        return loss, found

    names = {"kernel": ("weight", (1, 0)), "b": "bias"}
    first = compare.gradients(wrong, torch_square, INPUTS, names=names).first_divergence
    assert (first.checkpoint.name, first.difference.max_abs_index) == ("weight", (1, 2))


NAMELESS = {
    "another name": (
        lambda x, weight, bias: (course(x, weight, bias)[0], {"dweight": course(x, weight, bias)[1]["dweight"]}), None,
        "<lambda> returned a gradient for 'dweight', which is no input; nearest: 'weight'; if they are the same, names={'dweight': 'weight'}",
    ),
    "another name and layout": (
        lambda x, weight, bias: (torch_square(x, weight, bias), {"grad": 2 * x.T @ (x @ weight.T + bias)}), None,
        "<lambda> returned a gradient for 'grad', which is no input; nearest: 'weight'; shape (3, 4) is (4, 3) with the axes in another order, "
        "names={'grad': ('weight', (1, 0))}",
    ),
    "two for one": (
        lambda x, weight, bias: (torch_square(x, weight, bias), {"a1": weight, "a2": weight}), lambda name: "weight" if name[0] == "a" else None,
        "<lambda> returned two gradients for 'weight', one of them as 'a2'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("function", "names", "reason"), NAMELESS.values(), ids=NAMELESS)
def test_a_gradient_that_fits_no_input_is_told_its_nearest(function, names, reason):
    report = compare.gradients(function, torch_square, INPUTS, names=names)
    assert (report.outcome, report.reason) == ("error", reason)


def test_a_transposed_gradient_is_told_how_to_say_so():
    report = compare.gradients(
        lambda x, weight, bias: (torch_square(x, weight, bias), {"weight": 2 * x.T @ (x @ weight.T + bias)}),
        torch_square,
        INPUTS,
    )
    assert report.first_divergence.difference.kind == "shape"
    said = "the gradient for 'weight' has shape (4, 3), the input (3, 4): transpose it; or, if that is your layout of both, say "
    assert said + "names={'weight': ('weight', (1, 0))}" in report.coverage.notes


def test_maps_of_gradients_that_cannot_be_right():
    with pytest.raises(
        InputError, match=r"names maps 'dW' to 'W', which the expected side does not have; nearest: 'weight'"
    ):
        compare.gradients(course, torch_square, INPUTS, names={"dW": "W"})
    with pytest.raises(InputError, match=r"names maps both 'v' and 'w', arguments of one function, to 'weight'"):
        compare.gradients(lambda x, v, w, bias: None, torch_square, INPUTS, names={"v": "weight", "w": "weight"})
    report = compare.gradients(course, torch_square, INPUTS, names={"d*": "*", "db": "bias"})
    assert "names maps 'db' to 'bias', but the actual side shows no 'db'" in report.coverage.notes


# -- modules -------------------------------------------------------------------------------------------------------------

X = draw((6, 4))
LINEAR = nn.Linear(4, 3).double()


def keras_linear(inputs, parameters):
    (x,), kernel, bias = inputs, parameters["kernel"], parameters["b"]
    assert kernel.shape == (4, 3)
    return x @ kernel + bias, lambda g: (g @ kernel.T, {"kernel": x.T @ g, "b": g.sum(0)})


class Two(manual.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = manual.nn.Linear(4, 3), manual.nn.Linear(3, 2)

    def forward(self, x):
        return self.second(self.first(x))


LAYERS = {
    "a function": (keras_linear, LINEAR, {"kernel": ("weight", (1, 0)), "b": "bias"}),
    "gradients by a function of the name": (
        lambda inputs, p: (inputs[0] @ p["weight"].T + p["bias"], lambda g: (g @ p["weight"], {"dweight": g.T @ inputs[0], "dbias": g.sum(0)})),
        LINEAR, lambda name: name.removeprefix("d"),
    ),
    "a module of the manual wing": (
        Two(), nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).double(), {"first*": "0*", "second*": "1*"},
    ),
    "a module of torch": (Net(), nn.Sequential(nn.Linear(4, 2)).double(), {"linear.*": "0.*", "linear": "0"}),
}  # fmt: skip


@pytest.mark.parametrize(("layer", "expected", "names"), LAYERS.values(), ids=LAYERS)
def test_layers_with_names_of_their_own(layer, expected, names):
    report = compare.module(layer, expected, X, names=names)
    assert report.outcome == "equivalent", report
    assert report.coverage.phases["accumulated"].informative_names == set(expected.state_dict())
    assert report.repeat().outcome == "equivalent"


def test_layers_whose_names_do_not_match():
    def misnamed(inputs, parameters):
        (x,), weight = inputs, parameters["weight"]
        return x @ weight.T + parameters["bias"], lambda g: (g @ weight, {"W": x.T @ g})

    report = compare.module(misnamed, LINEAR, X)
    assert report.outcome == "error"
    assert report.reason == (
        "the backward of misnamed returned a gradient for 'W', which is no parameter; nearest: 'weight'; "
        "shape (3, 4) is (4, 3) with the axes in another order, names={'W': ('weight', (1, 0))}"
    )
    with pytest.raises(
        InputError, match=r"cannot take .*; 'linear.weight': nearest: '0.weight'; if they are the same, "
    ):
        compare.module(Net(), nn.Sequential(nn.Linear(4, 2)).double(), X)
    with pytest.raises(
        InputError, match=r"names means nothing for Double: an autograd\.Function is applied to the parameters"
    ):
        compare.module(type("Double", (torch.autograd.Function,), {}), nn.Tanh(), X, names={})


# -- optimizers ----------------------------------------------------------------------------------------------------------


def adam(parameter, gradient, slots, step, *, lr, betas, eps):
    m = slots["m"] = betas[0] * slots.get("m", 0) + (1 - betas[0]) * gradient
    v = slots["v"] = betas[1] * slots.get("v", 0) + (1 - betas[1]) * gradient**2
    parameter -= lr * (m / (1 - betas[0] ** step)) / (np.sqrt(v / (1 - betas[1] ** step)) + eps)


def test_slots_of_other_names_are_compared():
    names = {"m": "exp_avg", "v": "exp_avg_sq"}
    report = compare.optimizer(adam, torch.optim.Adam, steps=3, names=names)
    assert report.outcome == "equivalent", report
    assert "matrix (exp_avg)" in report.coverage.phases["slots"].informative_names
    swapped = compare.optimizer(adam, torch.optim.Adam, steps=3, names={"v": "exp_avg", "m": "exp_avg_sq"})
    assert swapped.first_divergence.checkpoint.phase == "slots"
    with pytest.raises(
        InputError, match="names maps 'm' to 'exp_average', which the expected side does not have; nearest: 'exp_avg'"
    ):
        compare.optimizer(adam, torch.optim.Adam, names={"m": "exp_average"})
    unused = compare.optimizer(adam, torch.optim.Adam, steps=2, names={**names, "t": "step"})
    assert "names maps 't' to 'step', but the actual side shows no 't'" in unused.coverage.notes
