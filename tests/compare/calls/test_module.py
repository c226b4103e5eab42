"""compare.module on layers written as functions, as autograd functions and as modules."""

import numpy as np
import pytest
import torch
from torch import nn

import compare
import manual.nn
from compare.batches import InputError
from compare.calls.module import hostile

generator = np.random.default_rng(5)
X = generator.standard_normal((5, 3))


def seeded(make):
    torch.manual_seed(2)
    return make().double()


LINEAR = seeded(lambda: nn.Linear(3, 2))


def linear(inputs, parameters):
    (x,) = inputs
    weight = parameters["weight"]
    return x @ weight.T + parameters["bias"], lambda g: (g @ weight, {"weight": g.T @ x, "bias": g.sum(0)})


def tanh(inputs, parameters):
    y = np.tanh(inputs[0])
    return y, lambda g: (g * (1 - y * y), {})


def relu(inputs, parameters):
    return np.maximum(inputs[0], 0), lambda g: (g * (inputs[0] > 0), {})


def embedding(inputs, parameters):
    def backward(g):
        slope = np.zeros_like(parameters["weight"])
        np.add.at(slope, inputs[0], g)
        return None, {"weight": slope}

    return parameters["weight"][inputs[0]], backward


def bilinear(inputs, parameters):
    a, b = inputs
    weight = parameters["weight"]

    def backward(g):
        return (
            (np.einsum("no,oij,nj->ni", g, weight, b), np.einsum("no,oij,ni->nj", g, weight, a)),
            {"weight": np.einsum("no,ni,nj->oij", g, a, b), "bias": g.sum(0)},
        )

    return np.einsum("ni,oij,nj->no", a, weight, b) + parameters["bias"], backward


def batch_norm(inputs, parameters):
    (x,) = inputs
    std = np.sqrt(x.var(0) + 1e-5)
    h = (x - x.mean(0)) / std

    def backward(g):
        dh = g * parameters["weight"]
        return (dh - dh.mean(0) - h * (dh * h).mean(0)) / std, {"weight": (g * h).sum(0), "bias": g.sum(0)}

    return h * parameters["weight"] + parameters["bias"], backward


def frozen_batch_norm(inputs, parameters):
    std = np.sqrt(parameters["running_var"] + 1e-5)
    h = (inputs[0] - parameters["running_mean"]) / std
    return h * parameters["weight"] + parameters["bias"], lambda g: (
        g * parameters["weight"] / std,
        {"weight": (g * h).sum(0), "bias": g.sum(0)},
    )


def evaluated_norm():
    norm = nn.BatchNorm1d(3).double()
    norm(torch.tensor(X))
    return norm.eval()


def pair_of_maxima(inputs, parameters):
    rows = inputs[0].reshape(1, 3, 2)
    largest = rows == rows.max(2, keepdims=True)
    return (rows.max(2), rows.argmax(2) + np.array([0, 2, 4])), lambda g: (
        (g[0][..., None] * largest).reshape(1, 6),
        {},
    )


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm(inputs, parameters):
    x, (hidden, cell) = inputs
    w, u = parameters["weight_ih_l0"], parameters["weight_hh_l0"]
    size, h, c = u.shape[1], hidden[0], cell[0]
    kept, outputs = [], []
    for row in x:
        z = w @ row + u @ h + parameters["bias_ih_l0"] + parameters["bias_hh_l0"]
        i, f, o = sigmoid(z[:size]), sigmoid(z[size : 2 * size]), sigmoid(z[3 * size :])
        g = np.tanh(z[2 * size : 3 * size])
        kept.append((row, h, c, i, f, g, o))
        c = f * c + i * g
        h = o * np.tanh(c)
        outputs.append(h)

    def backward(incoming):
        of_outputs, (of_hidden, of_cell) = incoming
        dh, dc, dx = of_hidden[0].copy(), of_cell[0].copy(), np.zeros_like(x)
        slopes = {name: np.zeros_like(value) for name, value in parameters.items()}
        for t in reversed(range(len(x))):
            row, before, held, i, f, g, o = kept[t]
            now = np.tanh(f * held + i * g)
            dh = dh + of_outputs[t]
            dc = dc + dh * o * (1 - now**2)
            dz = np.concatenate(
                [dc * g * i * (1 - i), dc * held * f * (1 - f), dc * i * (1 - g**2), dh * now * o * (1 - o)]
            )
            slopes["weight_ih_l0"] += np.outer(dz, row)
            slopes["weight_hh_l0"] += np.outer(dz, before)
            slopes["bias_ih_l0"] += dz
            slopes["bias_hh_l0"] += dz
            dx[t], dh, dc = w.T @ dz, u.T @ dz, dc * f
        return (dx, (dh[None], dc[None])), slopes

    return (np.array(outputs), (h[None], c[None])), backward


class LinearFunction(torch.autograd.Function):
    factor = 1

    @classmethod
    def forward(cls, ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return x @ weight.T + bias

    @classmethod
    def backward(cls, ctx, incoming):
        x, weight = ctx.saved_tensors
        return incoming @ weight, cls.factor * incoming.T @ x, incoming.sum(0)


class WrongLinearFunction(LinearFunction):
    factor = 2


HONEST = {
    "a function": (linear, LINEAR, [X]),
    "a function in float32": (linear, nn.Linear(3, 2), [np.float32(X)]),
    "without parameters, float32": (tanh, nn.Tanh(), [np.float32(X)]),
    "in place": (relu, nn.ReLU(inplace=True), [X]),
    "negative strides": (linear, LINEAR, [X[::-1]]),
    "a 0-d input": (tanh, nn.Tanh(), [np.array(0.3)]),
    "indices": (embedding, seeded(lambda: nn.Embedding(7, 3)), [generator.integers(0, 7, (4, 2))]),
    "two inputs": (bilinear, seeded(lambda: nn.Bilinear(3, 4, 2)), [X, generator.standard_normal((5, 4))]),
    "statistics of the batch": (batch_norm, seeded(lambda: nn.BatchNorm1d(3)), [X]),
    "statistics in buffers": (frozen_batch_norm, evaluated_norm(), [X]),
    "an output of indices": (pair_of_maxima, nn.MaxPool1d(2, return_indices=True), [generator.standard_normal((1, 6))]),
    "nested inputs and outputs": (lstm, seeded(lambda: nn.LSTM(3, 2)), [X, (X[:1, :2], X[1:2, :2])]),
    "an autograd function": (LinearFunction, LINEAR, [X]),
    "a manual module": (manual.nn.Linear(3, 2), LINEAR, [X]),
    "a manual module in float32": (manual.nn.PReLU(), nn.PReLU(), [np.float32(X)]),
    "a module of PyTorch": (nn.Linear(3, 2).double(), LINEAR, [X]),
    "dropout off": (lambda inputs, parameters: (inputs[0], lambda g: (g, {})), nn.Dropout().eval(), [X]),
}  # fmt: skip


@pytest.mark.parametrize(("layer", "reference", "inputs"), HONEST.values(), ids=HONEST)
def test_right_layers_are_equivalent(layer, reference, inputs):
    report = compare.module(layer, reference, *inputs)
    assert report.outcome == "equivalent", report
    phases = report.coverage.phases
    assert phases["forward"].informative
    assert ("backward" in phases) == (inputs[0].dtype.kind == "f")
    trained = {name for name, parameter in reference.named_parameters() if parameter.requires_grad}
    assert (phases["accumulated"].informative_names if trained else set()) == trained


def test_a_tree_of_modules_is_compared_inside_with_the_same_dropout():
    layers = [("Linear", 3, 6), ("ReLU",), ("Dropout", 0.5), ("Linear", 6, 2)]
    ours, theirs = (
        wing.Sequential(*(getattr(wing, name)(*args) for name, *args in layers)) for wing in (manual.nn, nn)
    )
    report = compare.module(ours, theirs.double(), X)
    assert report.outcome == "equivalent", report
    assert report.coverage.phases["forward"].names == {"(model)", "0", "1", "2", "3"}
    ours[1] = manual.nn.Tanh()
    report = compare.module(ours, theirs, X)
    assert report.first_divergence.where == "step 1, micro-batch 1, forward, 1"
    assert report.first_divergence.culprit == "1"


def test_the_module_is_left_as_it_is():
    norm = nn.BatchNorm1d(3).double()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    compare.module(batch_norm, norm, X)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    assert norm.weight.grad is None


def test_frozen_parameters_are_left_out():
    layer = seeded(lambda: nn.Linear(3, 2))
    layer.bias.requires_grad_(False)
    report = compare.module(linear, layer, X)
    assert report.outcome == "equivalent"
    assert report.coverage.phases["accumulated"].names == {"weight"}


@pytest.mark.parametrize("shape", [(), (1,), (2,), (4, 3), (0, 3)])
def test_the_incoming_gradient_is_hostile(shape):
    drawn = hostile(shape, np.float32, np.random.default_rng(0))
    assert (drawn.shape, drawn.dtype) == (shape, np.float32)
    if drawn.size > 4:
        assert drawn.min() < 0 < drawn.max()
        assert np.abs(drawn).max() > 10 * np.abs(drawn).min()


def test_another_seed_draws_another_incoming_gradient():
    seen = []

    def spy(inputs, parameters):
        output, backward = linear(inputs, parameters)
        return output, lambda g: (seen.append(g.copy()), backward(g))[1]

    for seed in (0, 0, 1):
        compare.module(spy, LINEAR, X, seed=seed)
    runs = len(seen) // 3
    assert np.array_equal(seen[0], seen[runs])
    assert not np.array_equal(seen[0], seen[-1])


# -- divergence --------------------------------------------------------------------------------------------------------


def changed(output=lambda y: y, inputs=lambda g: g, weight=lambda g: g, bias=lambda g: g):
    """The right linear layer with some of its results changed."""

    def layer(given, parameters):
        y, backward = linear(given, parameters)

        def changed_backward(incoming):
            dx, slopes = backward(incoming)
            made = {"weight": weight(slopes["weight"]), "bias": bias(slopes["bias"])}
            return inputs(dx), {name: value for name, value in made.items() if value is not ...}

        return output(y), changed_backward

    return layer


def to_none(value):
    return None


WRONG = {
    "the output": (changed(output=lambda y: y + 1e-6), "forward", "", None),
    "the output's dtype": (changed(output=np.float32), "forward", "", "dtype"),
    "the output's shape": (changed(output=np.transpose), "forward", "", "shape"),
    "the input gradient": (changed(inputs=lambda g: 2 * g), "backward", "", None),
    "no input gradient": (changed(inputs=to_none), "backward", "", None),
    "the weight's gradient": (changed(weight=lambda g: -g), "accumulated", "weight", None),
    "the weight's gradient, transposed": (changed(weight=np.transpose), "accumulated", "weight", "shape"),
    "no gradient of the bias": (changed(bias=to_none), "accumulated", "bias", None),
    "an autograd function": (WrongLinearFunction, "accumulated", "weight", None),
}


@pytest.mark.parametrize(("layer", "phase", "name", "kind"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_seen_in_its_place(layer, phase, name, kind):
    report = compare.module(layer, LINEAR, X)
    first = report.first_divergence
    assert report.outcome == "diverged"
    assert (first.checkpoint.phase, first.checkpoint.name, first.difference.kind) == (phase, name, kind)
    assert first.culprit in ("layer", "WrongLinearFunction")


def test_a_wrong_rule_that_ones_would_let_pass_is_seen():
    def softmax(inputs, parameters):
        e = np.exp(inputs[0])
        s = e / e.sum(1, keepdims=True)
        return s, lambda g: (s * (g - g.mean(1, keepdims=True)), {})  # zero for a uniform g, as it should be

    assert compare.module(softmax, nn.Softmax(1), X).first_divergence.checkpoint.phase == "backward"


# -- nothing passes that was not compared --------------------------------------------------------------------------------


def test_a_missing_parameter_gradient_is_no_agreement():
    report = compare.module(changed(bias=lambda g: ...), LINEAR, X)
    assert (report.outcome, report.reason) == ("abstained", "the backward of layer returned no gradient for 'bias'")


def test_a_layer_that_draws_masks_cannot_be_judged_by_a_function():
    report = compare.module(lambda inputs, parameters: (inputs[0], lambda g: (g, {})), nn.Dropout(), X)
    assert report.outcome == "abstained"
    assert report.reason.startswith("nondeterminism: two runs of the expected side differ")


# -- functions that break the contract -----------------------------------------------------------------------------------


def backward_returning(value):
    return lambda inputs, parameters: (linear(inputs, parameters)[0], lambda g: value(g, inputs[0], parameters))


def spoiling(inputs, parameters):
    output, backward = linear(inputs, parameters)

    def spoiling_backward(g):
        found = backward(g)
        g *= 0
        return found

    return output, spoiling_backward


MUST = "the backward of <lambda> must return (input gradients, {name: gradient}); it returned "
MISUSE = {
    "None": (lambda i, p: None, "<lambda> must return (output, backward); it returned None"),
    "an output alone": (lambda i, p: linear(i, p)[0], "<lambda> must return (output, backward); it returned an array of shape (5, 2)"),
    "a tuple for one output": (lambda i, p: ((linear(i, p)[0],), linear(i, p)[1]), "<lambda> returned a tuple of 1 as its output; PyTorch's module returns one tensor"),
    "no output": (lambda i, p: (None, linear(i, p)[1]), "<lambda> returned None as its output; PyTorch's module returns one tensor"),
    "backward returns nothing": (backward_returning(lambda g, x, p: None), MUST + "None"),
    "backward returns an array": (backward_returning(lambda g, x, p: g @ p["weight"]), MUST + "an array of shape (5, 3)"),
    "backward returns a flat tuple": (
        backward_returning(lambda g, x, p: (g @ p["weight"], g.T @ x, g.sum(0))),
        MUST + "(an array of shape (5, 3), an array of shape (2, 3), an array of shape (2,))",
    ),
    "gradients for more inputs": (backward_returning(lambda g, x, p: ((x, None), {})), "the backward of <lambda> returned 2 input gradients for 1 inputs; use None for none"),
    "a parameter's name misspelt": (
        backward_returning(lambda g, x, p: (x, {"wieght": g.T @ x})),
        "the backward of <lambda> returned a gradient for 'wieght', which is no parameter; nearest: 'weight'; if they are the same, names={'wieght': 'weight'}",
    ),
    "a changed incoming gradient": (spoiling, "spoiling changes the incoming gradient in place; work on a copy"),
}  # fmt: skip


@pytest.mark.parametrize(("layer", "reason"), MISUSE.values(), ids=MISUSE)
def test_a_broken_contract_is_said_in_one_line(layer, reason):
    report = compare.module(layer, LINEAR, X)
    assert (report.outcome, report.reason) == ("error", reason)


def test_a_gradient_for_indices_or_buffers_is_an_error():
    def with_input(inputs, parameters):
        output, backward = embedding(inputs, parameters)
        return output, lambda g: (g, backward(g)[1])

    report = compare.module(with_input, nn.Embedding(7, 3).double(), np.array([1, 2]))
    assert (
        report.reason
        == "the backward of with_input returned a gradient for input, an input of dtype int64, which has none"
    )
    report = compare.module(
        lambda i, p: (batch_norm(i, p)[0], lambda g: (g, {"running_mean": g.sum(0)})), nn.BatchNorm1d(3).double(), X
    )
    assert (
        report.reason
        == "the backward of <lambda> returned a gradient for 'running_mean', which is a buffer and has none"
    )


def test_the_structure_of_several_outputs_is_said():
    report = compare.module(lambda i, p: (i[0], lambda g: (g, {})), nn.LSTM(3, 2).double(), X)
    assert report.reason == (
        "<lambda> returned an array of shape (5, 3) as its output; "
        "PyTorch's module returns tuples with 'output.0', 'output.1.0', 'output.1.1'"
    )


@pytest.mark.parametrize(("when", "layer"), [
    ("forward", lambda i, p: 1 / 0),
    ("backward", backward_returning(lambda g, x, p: 1 / 0)),
])  # fmt: skip
def test_what_a_layer_raises_is_an_outcome(when, layer):
    report = compare.module(layer, LINEAR, X)
    assert report.outcome == "error"
    assert report.reason.startswith(
        "the actual side raised in accumulate (step 1): ZeroDivisionError: division by zero"
    )


def test_a_mixture_of_dtypes_says_whose_are_which():
    report = compare.module(linear, nn.Linear(3, 2), X)
    assert report.outcome == "error"
    assert report.reason.startswith("the expected side raised in accumulate (step 1): RuntimeError")
    assert report.reason.endswith(
        "; the inputs are float64, the parameters float32: cast the inputs with .astype(), or the module with "
        ".double() or .float()"
    )


REFUSED = {
    "no inputs": ((linear, LINEAR), "no inputs: give the arrays that the module is called with after the module"),
    "a class as the reference": ((linear, nn.Linear, X), "torch_module is the class Linear; it must be an instance of torch.nn.Module"),
    "a function as the reference": ((linear, linear, X), "torch_module is a function; it must be an instance of torch.nn.Module"),
    "a class": ((manual.nn.Linear, LINEAR, X), "manual_fn is the class Linear; hand in an instance, or a function"),
    "a number": ((3, LINEAR, X), "manual_fn is an int; it must be a function or a module"),
    "a tensor": ((linear, LINEAR, torch.tensor(X)), "inputs[0] is a Tensor, not a NumPy array; hand in its .detach().numpy()"),
    "a list": ((linear, LINEAR, X.tolist()), "inputs[0] is a list of 5, not a NumPy array; hand in a NumPy array"),
    "other parameters": (
        (manual.nn.Linear(3, 2, bias=False), LINEAR, X),
        'Linear cannot take the parameters of Linear: Error(s) in loading state_dict for Linear: Unexpected key(s) in state_dict: "bias"',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_arguments_that_cannot_be_used_are_refused(arguments, message):
    with pytest.raises(InputError) as caught:
        compare.module(*arguments)
    assert str(caught.value) == message
