"""What all optimizers share: groups, validation, zero_grad, closures, state dicts, pickling."""

import copy
import pickle
import re
import warnings

import numpy as np
import pytest
import torch

from manual import optim
from manual.engine import is_grad_enabled, no_grad
from manual.tensor import Tensor, tensor

from .cases import OVERRIDES

ALL = [getattr(optim, name) for name in OVERRIDES]


def leaf(*shape, dtype=np.float32):
    return Tensor(np.random.default_rng(len(shape)).normal(size=shape).astype(dtype), requires_grad=True)


def trained(cls, steps=3, **options):
    tensors = [leaf(2, 3), leaf(4)]
    optimizer = cls(tensors, **options)
    for step in range(steps):
        for index, parameter in enumerate(tensors):
            parameter.grad = np.random.default_rng(10 * step + index).normal(size=parameter.shape).astype(np.float32)
        optimizer.step()
    return optimizer, tensors


# -- options ---------------------------------------------------------------------------------------------------------

KERNEL = {"foreach", "fused", "capturable", "differentiable"}
"""Options that choose one of torch's implementations; they change no number."""


@pytest.mark.parametrize("cls", ALL)
def test_defaults_are_torchs(cls):
    defaults = cls([leaf(2)]).defaults
    reference = getattr(torch.optim, cls.__name__)([torch.zeros(2)]).defaults
    assert defaults == {name: value for name, value in reference.items() if name not in KERNEL}


def test_numpy_scalars_do_not_change_the_arithmetic():
    """np.float64 options would make float32 arithmetic float64."""
    results = []
    for kind in (float, np.float64):
        parameter = leaf(40, 50)
        optimizer = optim.Adam([parameter], lr=kind(0.1), betas=(kind(0.9), kind(0.99)), eps=kind(1e-2))
        optimizer.param_groups[0]["lr"] = kind(0.3)
        parameter.grad = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
        optimizer.step()
        results.append(parameter.data)
    assert type(optimizer.param_groups[0]["betas"][0]) is float
    assert np.array_equal(*results)


# -- parameters and groups ---------------------------------------------------------------------------------------------


def test_groups_keep_their_own_options():
    first, second = leaf(2), leaf(3)
    optimizer = optim.SGD([{"params": first, "name": "a"}, {"params": (second,), "lr": 0.5}], lr=0.1, momentum=0.9)
    one, other = optimizer.param_groups
    assert (one["lr"], one["momentum"], one["name"], one["params"]) == (0.1, 0.9, "a", [first])
    assert (other["lr"], other["momentum"], other["params"]) == (0.5, 0.9, [second])


def test_a_group_added_later_is_trained():
    first, second = leaf(2), leaf(3)
    optimizer = optim.SGD(iter([first]), lr=0.1)
    optimizer.add_param_group({"params": [second], "lr": 1.0})
    before = second.data.copy()
    second.grad = np.float32([1, 2, 3])
    optimizer.step()
    assert np.array_equal(second.data, before - np.float32([1, 2, 3]))


def test_named_parameters():
    first, second = leaf(2), leaf(3)
    optimizer = optim.SGD([("w", first), ("b", second)])
    assert optimizer.param_groups[0]["param_names"] == ["w", "b"]
    assert optimizer.param_groups[0]["params"][1] is second
    reference = torch.optim.SGD([("w", torch.zeros(2)), ("b", torch.zeros(3))]).state_dict()
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == reference["param_groups"][0]["param_names"]


BAD_PARAMS = [
    ("tensor", lambda t: t(), TypeError, "params argument given to the optimizer should be"),
    ("empty", lambda t: [], ValueError, "optimizer got an empty parameter list"),
    ("set", lambda t: [{"params": {t()}}], TypeError, "optimizer parameters need to be organized in ordered"),
    ("numbers", lambda t: [1.0], TypeError, "optimizer can only optimize Tensors, but one of the params is"),
    ("no dict", lambda t: [{"params": t()}, [t()]], TypeError, "param_group must be a dict, but got"),
    ("non-leaf", lambda t: [t() * 2], ValueError, "can't optimize a non-leaf Tensor"),
    ("some names", lambda t: [("a", t()), t()], ValueError, "all optimizer params should be with/without names."),
    (
        "named groups",
        lambda t: [{"params": [("a", t())]}, {"params": [t()]}],
        ValueError,
        "all optimizer param groups should be with/without names",
    ),
    ("twice", lambda t: _in_two_groups(t()), ValueError, "some parameters appear in more than one parameter gr"),
]


def _in_two_groups(shared):
    return [{"params": [shared]}, {"params": [shared]}]


@pytest.mark.parametrize(
    ("make", "error", "message"), [case[1:] for case in BAD_PARAMS], ids=[c[0] for c in BAD_PARAMS]
)
def test_refuses_parameters_as_torch_does(make, error, message):
    with pytest.raises(error) as ours:
        optim.SGD(make(lambda: leaf(2)))
    with pytest.raises(error) as theirs:
        torch.optim.SGD(make(lambda: torch.ones(2, requires_grad=True)))
    assert str(ours.value).startswith(message)
    assert str(theirs.value).startswith(message)


def test_a_parameter_listed_twice_is_warned_of_and_updated_twice():
    array = np.float64([1.0, 2.0])
    ours, theirs = Tensor(array.copy(), requires_grad=True), torch.tensor(array, requires_grad=True)
    with pytest.warns(UserWarning, match="optimizer contains a parameter group with duplicate parameters"):
        optimizer = optim.Adam([ours, ours], lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = torch.optim.Adam([theirs, theirs], lr=0.1, foreach=False)
    for step in range(3):
        gradient = np.float64([0.5, -1.0]) * (step + 1)
        ours.grad, theirs.grad = gradient, torch.tensor(gradient)
        optimizer.step()
        reference.step()
    assert optimizer.state[ours]["step"] == 6
    assert optimizer.state_dict()["param_groups"][0]["params"] == [0, 0]
    np.testing.assert_allclose(ours.data, theirs.detach(), rtol=1e-13)


# -- step and zero_grad ------------------------------------------------------------------------------------------------


def test_closure_is_called_once_with_gradients_enabled_and_its_loss_handed_on():
    parameter = leaf(2)
    optimizer = optim.SGD([parameter], lr=1.0)
    before = parameter.data.copy()
    calls = []

    def closure():
        calls.append(is_grad_enabled())
        parameter.grad = np.float32([1, 2])
        return 0.25

    with no_grad():
        assert optimizer.step(closure) == 0.25
    assert calls == [True]
    assert np.array_equal(parameter.data, before - np.float32([1, 2]))
    assert optimizer.step() is None


def test_zero_grad():
    first, second = leaf(2), leaf(3)
    optimizer = optim.SGD([first, second])
    first.grad = gradient = np.float32([1, 2])
    optimizer.zero_grad(set_to_none=False)
    assert first.grad is gradient
    assert np.array_equal(gradient, [0, 0])
    assert second.grad is None
    optimizer.zero_grad()
    assert first.grad is None


def test_a_training_loop_lowers_a_loss():
    """Through the engine: gradients that backward has deposited are what step uses."""
    weights = tensor([[1.0, -2.0, 0.5]], requires_grad=True)
    optimizer = optim.SGD([weights], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        weights.grad = 2 * weights.data
        optimizer.step()
    np.testing.assert_allclose(weights.data, np.float32([[1, -2, 0.5]]) * 0.8**2, rtol=1e-6)


# -- state dicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ALL)
def test_the_layout_is_torchs(cls):
    options = {"momentum": 0.9} if cls is optim.SGD else {}
    optimizer, _ = trained(cls, **options)
    ours = optimizer.state_dict()
    tensors = [torch.zeros(2, 3), torch.zeros(4)]
    reference = getattr(torch.optim, cls.__name__)(tensors, **options)
    for parameter in tensors:
        parameter.grad = torch.ones_like(parameter)
    reference.step()
    theirs = reference.state_dict()
    assert ours.keys() == theirs.keys()
    assert ours["state"].keys() == theirs["state"].keys()
    assert ours["param_groups"][0]["params"] == theirs["param_groups"][0]["params"] == [0, 1]
    assert ours["param_groups"][0].keys() == theirs["param_groups"][0].keys() - KERNEL
    for number, slots in theirs["state"].items():
        assert ours["state"][number].keys() == slots.keys()
        for name, slot in slots.items():
            mine = ours["state"][number][name]
            assert type(mine) is np.ndarray
            assert (mine.shape, str(mine.dtype)) == (tuple(slot.shape), str(slot.dtype).removeprefix("torch."))


def test_numbers_go_on_from_group_to_group():
    optimizer = optim.SGD([{"params": [leaf(2), leaf(3)]}, {"params": [leaf(4)]}])
    assert [group["params"] for group in optimizer.state_dict()["param_groups"]] == [[0, 1], [2]]


def test_loading_copies():
    optimizer, _ = trained(optim.Adam)
    saved = optimizer.state_dict()
    other = optim.Adam([leaf(2, 3), leaf(4)])
    other.load_state_dict(saved)
    for slots in saved["state"].values():
        for slot in slots.values():
            slot[...] = 0
    assert all(slot.all() for slots in other.state_dict()["state"].values() for slot in slots.values())
    saved["param_groups"][0]["lr"] = 7
    assert other.param_groups[0]["lr"] == 1e-3


def test_loading_casts_to_the_parameter_but_keeps_the_step():
    optimizer, _ = trained(optim.Adam)
    saved = optimizer.state_dict()
    saved["state"][1]["step"] = 3.0
    other = optim.Adam([leaf(2, 3, dtype=np.float64), leaf(4, dtype=np.float64)])
    other.load_state_dict(saved)
    loaded = other.state_dict()["state"]
    assert [(loaded[number]["step"].dtype, loaded[number]["step"]) for number in (0, 1)] == [(np.float32, 3)] * 2
    assert loaded[0]["exp_avg"].dtype == np.float64
    assert np.array_equal(loaded[0]["exp_avg"], saved["state"][0]["exp_avg"])


def test_loading_keeps_options_that_only_torch_has():
    theirs = torch.optim.Adam([torch.zeros(2)], lr=0.5, foreach=False)
    ours = optim.Adam([leaf(2)])
    ours.load_state_dict(theirs.state_dict())
    assert ours.param_groups[0]["lr"] == 0.5
    assert ours.state_dict()["param_groups"] == theirs.state_dict()["param_groups"]


def test_torch_tensors_can_be_loaded_as_they_are():
    parameter = torch.zeros(3)
    parameter.grad = torch.tensor([1.0, 2.0, 3.0])
    theirs = torch.optim.Adam([parameter])
    theirs.step()
    ours = optim.Adam([leaf(3)])
    ours.load_state_dict(theirs.state_dict())
    slots = ours.state[ours.param_groups[0]["params"][0]]
    assert {type(slot) for slot in slots.values()} == {np.ndarray}
    np.testing.assert_array_equal(slots["exp_avg"], theirs.state[parameter]["exp_avg"])


def test_a_momentum_buffer_of_none_is_one_that_was_not_made():
    optimizer = optim.SGD([leaf(2)], momentum=0.9)
    saved = optimizer.state_dict()
    saved["state"] = {0: {"momentum_buffer": None}}
    optimizer.load_state_dict(saved)
    (parameter,) = optimizer.param_groups[0]["params"]
    parameter.grad = np.float32([1, 2])
    optimizer.step()
    assert np.array_equal(optimizer.state[parameter]["momentum_buffer"], [1, 2])


BAD_STATES = [
    ("groups", lambda d: d["param_groups"].append(d["param_groups"][0]), "a different number of parameter groups"),
    ("size", lambda d: d["param_groups"][0]["params"].pop(), "a parameter group that doesn't match the size of"),
    (
        "shape",
        lambda d: d["state"][1].update(exp_avg=np.zeros(5)),
        r"has a exp_avg of shape \(5,\) for parameter 1, which has shape \(4,\)",
    ),
]


@pytest.mark.parametrize(("spoil", "message"), [case[1:] for case in BAD_STATES], ids=[case[0] for case in BAD_STATES])
def test_states_that_do_not_fit_are_refused(spoil, message):
    optimizer, _ = trained(optim.Adam)
    saved = copy.deepcopy(optimizer.state_dict())
    spoil(saved)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize(
    ("cls", "name", "shape", "right"),
    [
        (optim.Adafactor, "row_var", (2, 3), (2, 1)),
        (optim.Adafactor, "col_var", (1, 1), (1, 3)),
        (optim.NAdam, "mu_product", (1,), ()),
        (optim.ASGD, "ax", (2,), (2, 3)),
    ],
)
def test_a_slot_of_another_shape_is_refused(cls, name, shape, right):
    optimizer, (parameter, _) = trained(cls)
    assert optimizer.state[parameter][name].shape == right
    saved = copy.deepcopy(optimizer.state_dict())
    optimizer.load_state_dict(saved)
    saved["state"][0][name] = np.ones(shape)
    message = f"has a {name} of shape {shape} for parameter 0, which has shape (2, 3)"
    with pytest.raises(ValueError, match=re.escape(message)):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["copy", "pickle"])
@pytest.mark.parametrize("cls", ALL)
def test_a_copied_optimizer_goes_on_alike_and_apart(cls, duplicate):
    optimizer, tensors = trained(cls, **({"momentum": 0.9} if cls is optim.SGD else {}))
    other = duplicate(optimizer)
    copies = other.param_groups[0]["params"]
    before = [parameter.data.copy() for parameter in tensors]
    for parameter in copies:
        parameter.grad = np.full(parameter.shape, 0.5, np.float32)
    other.step()
    for parameter, old in zip(tensors, before, strict=True):
        assert np.array_equal(parameter.data, old)
        parameter.grad = np.full(parameter.shape, 0.5, np.float32)
    optimizer.step()
    for parameter, copied in zip(tensors, copies, strict=True):
        assert np.array_equal(parameter.data, copied.data)
        for name, slot in optimizer.state[parameter].items():
            assert np.array_equal(slot, other.state[copied][name])


def test_repr_lists_the_groups():
    assert repr(optim.SGD([leaf(2)], lr=0.5)) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.5\n    maximize: False\n    momentum: 0\n"
        "    nesterov: False\n    weight_decay: 0\n)"
    )


def test_public_names():
    assert all(hasattr(optim, name) for name in optim.__all__)
    assert all(hasattr(torch.optim, name) for name in optim.__all__)
