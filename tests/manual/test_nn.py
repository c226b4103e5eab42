"""Losses, modules, clipping and initial values against torch: one line a case."""

import inspect
import math
import typing
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual import nn
from manual.nn import functional, init, utils

from .oracle import assert_close, check, check_central, random

rows, classes = 5, 4
z = random(rows, classes, seed=1)
y = random(rows, classes, seed=2)
p = random(rows, classes, low=0.05, high=0.95, seed=3)
q = random(rows, classes, low=0.05, high=0.95, seed=4)
labels = np.array([0, 3, 1, 1, 2])
ignoring = np.array([0, -100, 1, -100, 2])
weights = random(classes, low=0.2, high=2, seed=5)
probabilities = q / q.sum(1, keepdims=True)
signs = np.where(y > 0, 1.0, -1.0)
pixels, maps = random(2, classes, 3, 2, seed=6), np.array([[[0, 1], [3, 2], [1, 1]], [[2, 2], [0, -100], [3, 1]]])
far = np.array([[-800.0, 800.0, 30.0, -30.0]])
edge = np.array([[1.0, -1.0, 0.0, 0.5], [2.0, -0.5, 3.0, 1.5]])
log_p = np.log(p / p.sum(1, keepdims=True))

LOSSES = [  # name, inputs, constants, options
    ("mse_loss", [z, y], [], {}), ("l1_loss", [z, y], [], {}), ("l1_loss", [edge, edge * 1.0], [], {}),
    ("smooth_l1_loss", [z, y], [], {"beta": 0.7}), ("smooth_l1_loss", [edge, edge * 0], [], {}),
    ("smooth_l1_loss", [z, y], [], {"beta": 0.0}), ("huber_loss", [z, y], [], {"delta": 0.6}),
    ("huber_loss", [edge, edge * 0], [], {}), ("soft_margin_loss", [z], [signs], {}),
    ("binary_cross_entropy", [p], [q], {}), ("binary_cross_entropy", [p], [q], {"weight": weights}),
    ("binary_cross_entropy", [np.array([[0.0, 1.0, 1.0, 0.0]])], [np.array([[1.0, 0.0, 1.0, 0.0]])], {}),
    ("binary_cross_entropy_with_logits", [z], [q], {}), ("binary_cross_entropy_with_logits", [z], [q], {"weight": weights}),
    ("binary_cross_entropy_with_logits", [z], [q], {"pos_weight": weights}),
    ("binary_cross_entropy_with_logits", [z, q], [], {}),
    ("binary_cross_entropy_with_logits", [far], [np.array([[1.0, 0.0, 1.0, 1.0]])], {}),
    ("nll_loss", [log_p], [labels], {}), ("nll_loss", [log_p], [labels], {"weight": weights}),
    ("nll_loss", [log_p], [ignoring], {"weight": weights}), ("nll_loss", [log_p], [labels], {"ignore_index": 1}),
    ("nll_loss", [pixels], [maps], {"weight": weights}),
    ("cross_entropy", [z], [labels], {}), ("cross_entropy", [z], [labels], {"weight": weights}),
    ("cross_entropy", [z], [ignoring], {"weight": weights}), ("cross_entropy", [z], [ignoring], {"label_smoothing": 0.2}),
    ("cross_entropy", [z], [labels], {"weight": weights, "label_smoothing": 0.3}),
    ("cross_entropy", [z], [labels], {"ignore_index": 1}), ("cross_entropy", [pixels], [maps], {"label_smoothing": 0.1}),
    ("cross_entropy", [pixels], [maps], {"weight": weights}), ("cross_entropy", [far], [np.array([0])], {}),
    ("cross_entropy", [z], [probabilities], {}), ("cross_entropy", [z], [probabilities], {"weight": weights}),
    ("cross_entropy", [z], [probabilities], {"weight": weights, "label_smoothing": 0.2}),
    ("cross_entropy", [z, probabilities], [], {}), ("cross_entropy", [z[0]], [np.array(2)], {}),
    ("cross_entropy", [z[:1]], [labels[:1]], {}), ("kl_div", [log_p], [probabilities], {}),
    ("kl_div", [log_p], [log_p - 0.1], {"log_target": True}), ("kl_div", [log_p], [probabilities], {"reduction": "batchmean"}),
    ("kl_div", [log_p], [np.eye(5, 4)], {}), ("multi_margin_loss", [z], [labels], {}),
    ("multi_margin_loss", [z], [labels], {"p": 2, "margin": 0.5, "weight": weights}),
]  # fmt: skip
KINKED = {"l1_loss", "multi_margin_loss"}


def loss_id(case):
    name, inputs, _, options = case
    return "-".join([name, "x".join(map(str, inputs[0].shape)), *map(str, options)])


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # of a KL divergence's mean, on both sides
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("case", LOSSES, ids=loss_id)
def test_losses(case, reduction, dtype):
    name, inputs, constants, options = case
    if "reduction" in options and reduction != "mean":
        pytest.skip("this case has a reduction of its own")
    options = {"reduction": reduction, **options}

    def ours(*args, **rest):
        return getattr(functional, name)(*args, **rest)

    def theirs(*args, **rest):
        dtyped = {k: torch.tensor(v, dtype=args[0].dtype) if isinstance(v, np.ndarray) else v for k, v in rest.items()}
        return getattr(F, name)(*args, **dtyped)

    cast = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    # torch keeps the denominator of BCE's gradient at 1e-12 as a float32 constant, in float64 too
    factor = 1e4 if name == "binary_cross_entropy" and inputs[0].min() == 0 else 2
    gradients, seeds = check(ours, theirs, inputs, dtype, constants, cast, factor=factor)
    smooth = name not in KINKED and inputs[0].shape == z.shape and options.get("beta") != 0.0
    if dtype == "float64" and smooth:
        check_central(ours, inputs, gradients, seeds, constants, options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("name", "power"), [("hinge_loss", 1), ("squared_hinge_loss", 2)])
def test_hinge_losses_are_the_relu_of_the_margin(name, power, reduction, dtype):
    scores = np.concatenate([z, edge])
    targets = np.concatenate([signs, np.sign(edge) + (edge == 0)])

    def theirs(s, t):
        value = torch.relu(1 - t * s) ** power
        return value if reduction == "none" else getattr(value, reduction)()

    check(lambda s, t: getattr(functional, name)(s, t, reduction=reduction), theirs, [scores], dtype, [targets])


@pytest.mark.parametrize("power", [1, 2])
def test_a_margin_that_is_not_a_number_counts_for_nothing_as_in_torch(power):
    scores, labels = np.array([[np.nan, 1.0, 2.0], [0.5, np.nan, 0.2], [0.1, 0.4, -1.0]]), np.array([0, 2, 1])
    check(functional.multi_margin_loss, F.multi_margin_loss, [scores], constants=[labels], options={"p": power})


def test_an_all_ignored_mean_is_nan_as_in_torch():
    ignored = np.full(rows, -100)
    found = functional.cross_entropy(manual.tensor(z), ignored)
    assert math.isnan(found.item())
    assert math.isnan(F.cross_entropy(torch.tensor(z), torch.tensor(ignored)).item())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: functional.cross_entropy(z, np.array([0, 7, 1, 1, 2])), IndexError, "Target 7 is out of bounds"),
        (lambda: functional.mse_loss(z, y, reduction="avg"), ValueError, "avg is not a valid value for reduction"),
        (lambda: functional.binary_cross_entropy(p, q[:2]), ValueError, "Target size"),
        (lambda: functional.binary_cross_entropy(p + 1, q), RuntimeError, "between 0 and 1"),
        (lambda: nn.Dropout(1.5), ValueError, "dropout probability has to be between 0 and 1, but got 1.5"),
        (lambda: nn.Softmax(), ValueError, "name the axis"),
        (lambda: functional.dropout(z, -0.1), ValueError, "dropout probability"),
    ],
)
def test_wrong_arguments_are_refused_as_in_torch(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_target_that_broadcasts_is_warned_of():
    with pytest.warns(UserWarning, match=r"target size \(5,\)"):
        functional.mse_loss(manual.tensor(z[:, :1]), y[:, 0])


DENOMINATORS = [
    (nn.MSELoss(), z, y, 20.0), (nn.BCEWithLogitsLoss(), z, q, 20.0), (nn.CrossEntropyLoss(), z, labels, 5.0),
    (nn.CrossEntropyLoss(), z, ignoring, 3.0), (nn.CrossEntropyLoss(weight=weights), z, labels, weights[labels].sum()),
    (nn.CrossEntropyLoss(), z, probabilities, 5.0), (nn.NLLLoss(ignore_index=1), log_p, labels, 3.0),
    (nn.CrossEntropyLoss(), pixels, maps, 11.0), (nn.KLDivLoss("batchmean"), log_p, probabilities, 5.0),
    (nn.KLDivLoss(), log_p, probabilities, 20.0), (nn.MultiMarginLoss(), z, labels, 5.0), (nn.HingeLoss(), z, signs, 20.0),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize(("loss", "input", "target", "expected"), DENOMINATORS, ids=lambda v: type(v).__name__)
def test_a_loss_knows_what_its_mean_divides_by(loss, input, target, expected):
    assert loss.denominator(input, target) == pytest.approx(expected, rel=1e-14)
    total = type(loss)(**({"weight": weights} if getattr(loss, "weight", None) is not None else {}), reduction="sum")
    if hasattr(loss, "ignore_index"):
        total.ignore_index = loss.ignore_index
    value = loss(manual.tensor(input), target).item()
    assert value == pytest.approx(total(manual.tensor(input), target).item() / expected, rel=1e-12)


# -- modules -----------------------------------------------------------------------------------------------------------

MODULES = [
    ("ReLU", {}), ("ReLU6", {}), ("LeakyReLU", {"negative_slope": 0.2}), ("ELU", {"alpha": 0.5}), ("SELU", {}),
    ("CELU", {"alpha": 2.0}), ("GELU", {"approximate": "tanh"}), ("Sigmoid", {}), ("LogSigmoid", {}), ("Tanh", {}),
    ("Hardtanh", {"min_val": -0.5, "max_val": 2.0}), ("Softplus", {"beta": 2.0}), ("Softsign", {}), ("SiLU", {}),
    ("Mish", {}), ("Tanhshrink", {}), ("Hardshrink", {"lambd": 0.3}), ("Softshrink", {"lambd": 0.3}),
    ("Threshold", {"threshold": 0.1, "value": 7.0}), ("Hardswish", {}), ("GLU", {"dim": 1}), ("Softmax", {"dim": 0}),
    ("LogSoftmax", {"dim": 1}), ("Softmin", {"dim": 1}), ("PReLU", {"num_parameters": 4}), ("Identity", {}),
    ("Flatten", {}), ("Unflatten", {"dim": 1, "unflattened_size": (2, 2)}),
    ("Linear", {"in_features": 4, "out_features": 3}), ("Linear", {"in_features": 4, "out_features": 3, "bias": False}),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), MODULES, ids=str)
def test_modules(name, options, dtype):
    mine, theirs = getattr(nn, name)(**options).to(dtype), getattr(torch.nn, name)(**options).to(getattr(torch, dtype))
    assert list(mine.state_dict()) == list(theirs.state_dict())
    mine.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    check(mine, theirs, [z], dtype, factor=4)
    for (key, a), (other, b) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        assert key == other
        assert_close(a.grad, b.grad.numpy(), 1e-12 if dtype == "float64" else 1e-5, key)


@pytest.mark.parametrize("name", ["Linear", "ReLU", "Dropout", "Softplus", "GELU", "Flatten", "Hardtanh"])
def test_repr_names_the_arguments_as_torch_does(name):
    options = {"in_features": 2, "out_features": 3} if name == "Linear" else {}
    assert repr(getattr(nn, name)(**options)) == repr(getattr(torch.nn, name)(**options))


# what torch builds with __new__, or hides behind *args, is held in tests/manual/nn/test_namespace.py and test_lazy.py
OURS_ALONE = {
    "Buffer",
    "HingeLoss",
    "SquaredHingeLoss",
    "Module",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
}


@pytest.mark.parametrize("name", [n for n in nn.__all__ if n[0].isupper() and n not in OURS_ALONE])
def test_constructors_take_torchs_arguments_in_torchs_order(name):
    deprecated = {
        "self",
        "size_average",
        "reduce",
        "device",
        "dtype",
        "args",
        "kwargs",
        "options",
        "min_value",
        "max_value",
    }
    mine = [q for q in inspect.signature(getattr(nn, name).__init__).parameters.values() if q.name not in deprecated]
    construct = getattr(torch.nn, name).__init__
    construct = next(iter(typing.get_overloads(construct)), construct)  # RNN, GRU and LSTM say there what they take
    theirs = [q for q in inspect.signature(construct).parameters.values() if q.name not in deprecated]
    assert [q.name for q in mine] == [q.name for q in theirs if q.name != "_stacklevel"] or name in (
        "ModuleList",
        "ModuleDict",
        "ParameterList",
    )
    for a, b in zip(mine, theirs, strict=False):
        if name not in ("ModuleList", "ModuleDict", "ParameterList"):
            assert a.default == b.default or (a.default is inspect.Parameter.empty) == (
                b.default is inspect.Parameter.empty
            )


def test_all_is_true():
    for module in (nn, functional, init, utils, manual):
        assert len(set(module.__all__)) == len(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)


def network(wing):
    return wing.nn.Sequential(
        OrderedDict(
            first=wing.nn.Linear(4, 3),
            act=wing.nn.Tanh(),
            rest=wing.nn.Sequential(wing.nn.Linear(3, 3), wing.nn.Linear(3, 2)),
        )
    )


def test_a_tree_has_torchs_names():
    mine, theirs = network(manual), network(torch)
    assert [n for n, _ in mine.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert repr(mine) == repr(theirs)
    assert isinstance(mine.get_submodule("rest.1"), nn.Linear)
    assert len(mine[1:]) == 2
    assert [type(m).__name__ for m in mine.children()] == ["Linear", "Tanh", "Sequential"]


def test_a_tied_parameter_is_listed_once_and_gets_the_sum():
    tied = nn.Linear(3, 3, bias=False).double()
    model = nn.Sequential(tied, nn.Tanh(), tied)
    assert [name for name, _ in model.named_parameters()] == ["0.weight"]
    other = torch.nn.Linear(3, 3, bias=False).double()
    other.weight.data = torch.tensor(tied.weight.data)
    reference = torch.nn.Sequential(other, torch.nn.Tanh(), other)
    check(model, reference, [random(2, 3)])
    assert_close(tied.weight.grad, other.weight.grad.numpy(), 1e-12, "tied")


def test_load_state_dict_names_what_does_not_fit_and_changes_nothing():
    model = network(manual)
    before = {name: value.copy() for name, value in model.state_dict().items()}
    state = {**model.state_dict(), "extra": np.zeros(2), "first.weight": np.zeros((9, 9))}
    del state["rest.0.bias"]
    with pytest.raises(RuntimeError) as refused:
        model.load_state_dict(state)
    for part in (
        'Unexpected key(s) in state_dict: "extra"',
        'Missing key(s) in state_dict: "rest.0.bias"',
        "size mismatch for first.weight",
    ):
        assert part in str(refused.value)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert model.load_state_dict({"extra": np.zeros(2)}, strict=False)[1] == ["extra"]


def test_hooks_see_and_replace_inputs_and_outputs():
    layer = nn.Tanh()
    seen = []
    remove = layer.register_forward_pre_hook(lambda module, args: (args[0] * 2.0,))
    layer.register_forward_hook(lambda module, args, output: seen.append((args[0].data, output.data)))
    x = manual.tensor(z)
    np.testing.assert_allclose(layer(x).data, np.tanh(2 * z))
    np.testing.assert_allclose(seen[0][0], 2 * z)
    remove()
    np.testing.assert_allclose(layer(x).data, np.tanh(z))


def test_dropout_replays_draws_and_rests_in_evaluation():
    layer = nn.Dropout(0.25)
    ones = manual.tensor(np.ones((200, 50)))
    manual.manual_seed(0)
    value = layer(ones).data
    np.testing.assert_array_equal(value, layer.last_mask / 0.75)
    assert 0.2 < (value == 0).mean() < 0.3
    manual.manual_seed(0)
    np.testing.assert_array_equal(layer(ones).data, value)
    mask = random(200, 50) > 0
    layer.replay(mask)
    np.testing.assert_allclose(layer(ones).data, mask / 0.75)
    layer.replay(mask[:2])
    with pytest.raises(ValueError, match="the mask to replay has shape"):
        layer(ones)
    assert layer.eval()(ones) is ones


def test_buffers_and_attributes():
    module = nn.Module()
    module.register_buffer("seen", np.zeros(2))
    module.register_buffer("scratch", np.zeros(2), persistent=False)
    module.weight = nn.Parameter(np.ones(3))
    assert list(module.state_dict()) == ["weight", "seen"]
    module.seen = np.ones(2)
    np.testing.assert_array_equal(module.state_dict()["seen"], [1, 1])
    with pytest.raises(TypeError, match="cannot assign ndarray as parameter 'weight'"):
        module.weight = np.ones(3)
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        module.missing  # noqa: B018
    module.requires_grad_(False)
    assert not module.weight.requires_grad


# -- clipping and initial values -----------------------------------------------------------------------------------------


def with_gradients(arrays):
    mine = [
        manual.tensor(np.zeros(a.shape), requires_grad=True)
        if a is not None
        else manual.tensor(np.zeros(2), requires_grad=True)
        for a in arrays
    ]
    theirs = [torch.zeros(t.shape, dtype=torch.float64, requires_grad=True) for t in mine]
    for m, t, a in zip(mine, theirs, arrays, strict=True):
        if a is not None:
            m.grad, t.grad = a.copy(), torch.tensor(a)
    return mine, theirs


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0, 0.0])
def test_clip_grad_norm(norm_type, scale):
    mine, theirs = with_gradients([scale * z, None, scale * weights, np.array(scale * 2.0)])
    total = utils.clip_grad_norm_(mine, 0.7, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.7, norm_type)
    assert float(total) == pytest.approx(float(expected), rel=1e-14)
    for m, t in zip(mine, theirs, strict=True):
        assert (m.grad is None) == (t.grad is None)
        if m.grad is not None:
            assert_close(m.grad, t.grad.numpy(), 1e-14, "clipped")


def test_clip_grad_value_and_total_norm():
    mine, theirs = with_gradients([z, None, np.array([-0.5, 0.5, 0.3])])
    utils.clip_grad_value_(mine, 0.5)
    torch.nn.utils.clip_grad_value_(theirs, 0.5)
    for m, t in zip(mine, theirs, strict=True):
        if m.grad is not None:
            np.testing.assert_array_equal(m.grad, t.grad.numpy())
    assert float(utils.get_total_norm([z, weights], 2)) == pytest.approx(math.sqrt((z**2).sum() + (weights**2).sum()))
    assert float(utils.get_total_norm([])) == 0.0


def test_a_norm_that_is_not_finite_can_be_refused():
    mine, _ = with_gradients([np.array([np.inf, 1.0])])
    with pytest.raises(RuntimeError, match="non-finite"):
        utils.clip_grad_norm_(mine, 1.0, error_if_nonfinite=True)


def test_parameters_as_a_vector_and_back():
    model = network(manual)
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (sum(q.numel() for q in model.parameters()),)
    utils.vector_to_parameters(vector.data * 2, model.parameters())
    np.testing.assert_allclose(utils.parameters_to_vector(model.parameters()).data, vector.data * 2)


@pytest.mark.parametrize("name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"])
def test_gains(name):
    assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))


UNIFORM = [
    ("xavier_uniform_", {"gain": 2.0}),
    ("kaiming_uniform_", {"a": 0.5}),
    ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
]
NORMAL = [
    ("xavier_normal_", {"gain": 2.0}),
    ("kaiming_normal_", {"nonlinearity": "tanh"}),
    ("normal_", {"mean": 1.0, "std": 3.0}),
]


@pytest.mark.parametrize(("name", "options"), UNIFORM, ids=str)
def test_uniform_initial_values_have_torchs_bounds(name, options):
    mine, theirs = manual.tensor(np.zeros((60, 300))), torch.zeros(60, 300)
    manual.manual_seed(1)
    getattr(init, name)(mine, **options)
    getattr(torch.nn.init, name)(theirs, **options)
    assert np.abs(mine.data).max() == pytest.approx(theirs.abs().max().item(), rel=2e-3)
    assert mine.data.std() == pytest.approx(theirs.std().item(), rel=0.02)


@pytest.mark.parametrize(("name", "options"), NORMAL, ids=str)
def test_normal_initial_values_have_torchs_moments(name, options):
    mine, theirs = manual.tensor(np.zeros((60, 300))), torch.zeros(60, 300)
    manual.manual_seed(1)
    torch.manual_seed(1)
    getattr(init, name)(mine, **options)
    getattr(torch.nn.init, name)(theirs, **options)
    assert mine.data.std() == pytest.approx(theirs.std().item(), rel=0.03)
    assert mine.data.mean() == pytest.approx(theirs.mean().item(), abs=0.1)


def test_the_other_initial_values():
    manual.manual_seed(2)
    t = manual.tensor(np.zeros((4, 7)))
    q = init.orthogonal_(t, gain=3.0).data
    np.testing.assert_allclose(q @ q.T, 9 * np.eye(4), atol=1e-12)
    q = init.orthogonal_(manual.tensor(np.zeros((7, 4)))).data
    np.testing.assert_allclose(q.T @ q, np.eye(4), atol=1e-12)
    np.testing.assert_array_equal(init.eye_(t).data, np.eye(4, 7))
    np.testing.assert_array_equal(init.ones_(t).data, np.ones((4, 7)))
    np.testing.assert_array_equal(init.zeros_(t).data, np.zeros((4, 7)))
    cut = init.trunc_normal_(manual.tensor(np.zeros(5000)), a=-1.0, b=0.5).data
    assert cut.min() >= -1.0
    assert 0.45 < cut.max() <= 0.5
    assert init._calculate_fan_in_and_fan_out(manual.tensor(np.zeros((6, 4, 3, 2)))) == (24, 36)
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        init.xavier_uniform_(manual.tensor(np.zeros(3)))
    layer = nn.Linear(25, 400)
    assert np.abs(layer.weight.data).max() == pytest.approx(0.2, rel=1e-2)
    assert np.abs(layer.bias.data).max() == pytest.approx(0.2, rel=2e-2)


def test_what_is_assigned_again_keeps_its_place():
    linear = nn.Linear(2, 3)
    linear.weight = nn.Parameter(np.ones((3, 2)))
    assert list(linear.state_dict()) == ["weight", "bias"]
    model = network(manual)
    model.first = nn.Linear(4, 3)
    assert [name for name, _ in model.named_children()] == ["first", "act", "rest"]
    model.first = None
    assert [name for name, _ in model.named_children()] == ["act", "rest"]
