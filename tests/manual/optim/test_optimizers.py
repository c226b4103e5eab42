"""Every optimizer against torch's, all slots and parameters after every step."""

import numpy as np
import pytest
import torch

from manual import optim
from manual.tensor import Tensor, tensor

from .cases import CASES, OVERRIDES, case_id
from .pair import STEPS, Pair, as_arrays, as_tensors


@pytest.mark.parametrize("foreach", [False, True], ids=["single", "foreach"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_agrees_with_torch(name, options, dtype, foreach):
    # torch's foreach loop computes ASGD's eta in float32, its single-tensor loop in double
    tolerance = 1e-6 if (name, dtype, foreach) == ("ASGD", "float64", True) else None
    Pair.of(name, options, dtype, foreach=foreach, tolerance=tolerance).run()


@pytest.mark.parametrize("name", OVERRIDES)
def test_two_groups(name):
    Pair.of(name, {"lr": 0.1}, split=2, overrides=OVERRIDES[name]).run()


@pytest.mark.parametrize(("name", "options"), [*((name, {"lr": 0.1}) for name in OVERRIDES), CASES[4]], ids=case_id)
def test_a_parameter_without_gradient_is_skipped(name, options):
    """It keeps its value, its slots and its step count; one that never had a gradient gets no slots."""
    without = {1: (1, 3), 2: (3,), 3: (0, 3), 4: (3, 5), 5: (0, 1, 2, 3, 4, 5), 8: (2, 3), 9: (2, 3), 10: (2, 3)}
    pair = Pair.of(name, options)
    pair.run(without={step: without.get(step, (3,)) for step in range(1, STEPS + 1)})
    assert ("step" in pair.ours.state[pair.actual[3]]) == (name == "Adagrad")


@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_without_bundles(name, options):
    pair = Pair.of(name, options)
    pair.ours._bundling = False
    pair.run()


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_gradient_of_zeros_is_a_gradient(name):
    """It decays weights and moments and counts as a step; Rprop alone rests."""
    pair = Pair.of(name, {"lr": 0.1} if name == "Rprop" else {"lr": 0.1, "weight_decay": 0.5})
    pair.run(3)
    before = pair.actual[0].data.copy()
    for ours, theirs in zip(pair.actual, pair.expected, strict=True):
        ours.grad, theirs.grad = np.zeros_like(ours.data), torch.zeros_like(theirs)
    pair.ours.step()
    pair.theirs.step()
    pair.assert_agree(4)
    assert np.array_equal(before, pair.actual[0].data) == (name == "Rprop")


def test_momentum_that_is_switched_on_later_starts_with_the_next_gradient():
    pair = Pair.of("SGD", {"lr": 0.1, "dampening": 0.5})
    pair.run(3)
    assert not pair.ours.state
    for group in [*pair.ours.param_groups, *pair.theirs.param_groups]:
        group["momentum"] = 0.9
    pair.run(3)


@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_handed_over_to_torch_and_back(name, options):
    """Ours, torch and ours again, each going on from the other's state dict, equal one run of torch."""
    pair = Pair.of(name, options)
    pair.run(4)
    fresh = Pair.of(name, {})
    for ours, theirs, trained in zip(fresh.actual, fresh.expected, pair.actual, strict=True):
        ours.data[...] = trained.data
        theirs.data.copy_(torch.tensor(trained.data))
    fresh.random = pair.random
    fresh.ours.load_state_dict(as_arrays(pair.theirs.state_dict()))
    fresh.theirs.load_state_dict(as_tensors(pair.ours.state_dict()))
    fresh.assert_agree(4)
    fresh.run(4)
    again = fresh.ours.state_dict()
    fresh.ours = getattr(optim, name)(fresh.actual)
    fresh.ours.load_state_dict(again)
    fresh.run(7)


def test_adamw_is_adam_without_decay_and_not_with_it():
    def trained(cls, decay):
        pair = Pair.of("Adam", {"lr": 0.1, "weight_decay": decay}, actual_class=cls)
        for _ in range(3):
            pair.step()
        return pair.actual[0].data

    assert np.array_equal(trained(optim.Adam, 0.0), trained(optim.AdamW, 0.0))
    assert not np.allclose(trained(optim.Adam, 0.5), trained(optim.AdamW, 0.5))


@pytest.mark.parametrize("dtype", ["float16", "longdouble"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_other_dtypes_stay_what_they_are(name, options, dtype):
    """Their runs follow the float64 run to their own precision (eps is large: 1e-8 is 0 in float16)."""
    if name not in ("SGD", "Rprop", "ASGD"):
        options = {**options, "eps": (1e-2, 1e-3) if name == "Adafactor" else 1e-2}
    pair = Pair.of(name, options)
    others = [Tensor(tensor.data.astype(dtype), requires_grad=True) for tensor in pair.actual]
    other = getattr(optim, name)(others, **options)
    for _ in range(4):
        pair.step()
        for parameter, original in zip(others, pair.actual, strict=True):
            parameter.grad = original.grad.astype(dtype)
        other.step()
    for parameter, original in zip(others, pair.actual, strict=True):
        assert parameter.dtype == dtype
        slots = other.state.get(parameter, {})
        assert all(slot.dtype == dtype for slot_name, slot in slots.items() if slot_name not in other.scalar_slots)
        np.testing.assert_allclose(parameter.data, original.data, rtol=0, atol=0.05 if dtype == "float16" else 1e-12)


# -- rates in arrays -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OVERRIDES)
def test_a_rate_in_an_array_takes_effect_when_it_is_changed_in_place(name, dtype):
    """Also in float64, where a float32 parameter would be promoted by it."""
    pair = Pair(dtype, [(7, 5), (5,), ()])
    ours, theirs = np.array(0.1), torch.tensor(0.1, dtype=torch.float64)
    pair.ours = getattr(optim, name)(pair.actual, lr=ours)
    pair.theirs = getattr(torch.optim, name)(pair.expected, lr=theirs, foreach=False)
    for step in range(1, STEPS + 1):
        if step == 6:
            ours *= 0.3
            theirs *= 0.3
        pair.step()
        pair.assert_agree(step)
    assert pair.ours.param_groups[0]["lr"] == pytest.approx(0.03)


@pytest.mark.parametrize("make", [lambda: np.array([0.1]), lambda: tensor(0.1), lambda: np.float32(0.1)])
def test_a_rate_in_one_element_is_that_number(make):
    parameters = [Tensor(np.ones(40, np.float32), requires_grad=True) for _ in range(2)]
    optimizers = [optim.Adam([parameter], lr=lr) for parameter, lr in zip(parameters, (make(), 0.1), strict=True)]
    for parameter, optimizer in zip(parameters, optimizers, strict=True):
        parameter.grad = np.linspace(-1, 1, 40, dtype=np.float32)
        optimizer.step()
    np.testing.assert_allclose(*[parameter.data for parameter in parameters], rtol=1e-6)


def test_the_rate_of_an_array_is_copied_with_the_state():
    optimizers = [optim.SGD([Tensor(np.ones(2), requires_grad=True)], lr=np.array(rate)) for rate in (0.5, 0.1)]
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    optimizers[0].param_groups[0]["lr"][...] = 7
    assert optimizers[1].param_groups[0]["lr"] == 0.5
    theirs = torch.optim.SGD([torch.zeros(2)], lr=torch.tensor(0.25))
    torch.optim.lr_scheduler.StepLR(theirs, 1)
    optimizers[1].load_state_dict(theirs.state_dict())
    for name in ("lr", "initial_lr"):
        assert type(optimizers[1].param_groups[0][name]) is np.ndarray
        assert optimizers[1].param_groups[0][name] == 0.25


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_betas_in_arrays_are_read_once(name):
    options = {"betas": (np.array(0.5), np.array(0.75))}
    optimizer = getattr(optim, name)([Tensor(np.ones(2, np.float32), requires_grad=True)], **options)
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.75)
    assert [type(beta) for beta in optimizer.param_groups[0]["betas"]] == [float, float]


# -- Adam and AdamW hand over to each other, as in torch -----------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), [("Adam", "AdamW"), ("AdamW", "Adam")])
def test_a_state_of_adam_goes_on_in_adamw_and_back(source, target):
    """Adam goes on decoupled with AdamW's state; AdamW decouples whatever it is given."""
    pair = Pair.of(source, {"lr": 0.1, "weight_decay": 0.5})
    pair.run(3)
    for side, library in (("ours", optim), ("theirs", torch.optim)):
        old = getattr(pair, side)
        new = getattr(library, target)(old.param_groups[0]["params"])
        new.load_state_dict(old.state_dict())
        setattr(pair, side, new)
    assert pair.ours.param_groups[0]["decoupled_weight_decay"] is True
    pair.run(3)
