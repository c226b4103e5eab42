"""Every optimizer against torch's, all slots and parameters after every step."""

import numpy as np
import pytest
import torch

from manual import optim
from manual.tensor import Tensor

from .cases import CASES, OVERRIDES, case_id
from .pair import STEPS, Pair, as_arrays, as_tensors


@pytest.mark.parametrize("foreach", [False, True], ids=["single", "foreach"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_agrees_with_torch(name, options, dtype, foreach):
    # torch's foreach loop computes ASGD's eta in float32, its single-tensor loop in double
    tolerance = 1e-6 if (name, dtype, foreach) == ("ASGD", "float64", True) else None
    Pair(dtype, tolerance=tolerance).optimizers(name, options, foreach=foreach).run()


@pytest.mark.parametrize("name", OVERRIDES)
def test_two_groups(name):
    Pair().optimizers(name, {"lr": 0.1}, split=2, overrides=OVERRIDES[name]).run()


@pytest.mark.parametrize(("name", "options"), [*((name, {"lr": 0.1}) for name in OVERRIDES), CASES[4]], ids=case_id)
def test_a_parameter_without_gradient_is_skipped(name, options):
    """It keeps its value, its slots and its step count; one that never had a gradient gets no slots."""
    without = {1: (1, 3), 2: (3,), 3: (0, 3), 4: (3, 5), 5: (0, 1, 2, 3, 4, 5), 8: (2, 3), 9: (2, 3), 10: (2, 3)}
    pair = Pair().optimizers(name, options)
    pair.run(without={step: without.get(step, (3,)) for step in range(1, STEPS + 1)})
    assert ("step" in pair.ours.state[pair.actual[3]]) == (name == "Adagrad")


@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_without_bundles(name, options):
    pair = Pair().optimizers(name, options)
    pair.ours._bundling = False
    pair.run()


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_gradient_of_zeros_is_a_gradient(name):
    """It decays weights and moments and counts as a step; Rprop alone rests."""
    pair = Pair().optimizers(name, {"lr": 0.1} if name == "Rprop" else {"lr": 0.1, "weight_decay": 0.5})
    pair.run(3)
    before = pair.actual[0].data.copy()
    for ours, theirs in zip(pair.actual, pair.expected, strict=True):
        ours.grad, theirs.grad = np.zeros_like(ours.data), torch.zeros_like(theirs)
    pair.ours.step()
    pair.theirs.step()
    pair.assert_agree(4)
    assert np.array_equal(before, pair.actual[0].data) == (name == "Rprop")


def test_momentum_that_is_switched_on_later_starts_with_the_next_gradient():
    pair = Pair().optimizers("SGD", {"lr": 0.1, "dampening": 0.5})
    pair.run(3)
    assert not pair.ours.state
    for group in [*pair.ours.param_groups, *pair.theirs.param_groups]:
        group["momentum"] = 0.9
    pair.run(3)


@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_handed_over_to_torch_and_back(name, options):
    """Ours, torch and ours again, each going on from the other's state dict, equal one run of torch."""
    pair = Pair().optimizers(name, options)
    pair.run(4)
    fresh = Pair()
    for ours, theirs, trained in zip(fresh.actual, fresh.expected, pair.actual, strict=True):
        ours.data[...] = trained.data
        theirs.data.copy_(torch.tensor(trained.data))
    fresh.random = pair.random
    fresh.optimizers(name, {})
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
        pair = Pair().optimizers("Adam", {"lr": 0.1, "weight_decay": decay}, actual_class=cls)
        for _ in range(3):
            pair.step()
        return pair.actual[0].data

    assert np.array_equal(trained(optim.Adam, 0.0), trained(optim.AdamW, 0.0))
    assert not np.allclose(trained(optim.Adam, 0.5), trained(optim.AdamW, 0.5))


@pytest.mark.parametrize("dtype", ["float16", "longdouble"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_other_dtypes_stay_what_they_are(name, options, dtype):
    """Their runs follow the float64 run to their own precision (eps is large: 1e-8 is 0 in float16)."""
    options = {**options, "eps": 1e-2} if name not in ("SGD", "Rprop", "ASGD") else options
    pair = Pair().optimizers(name, options)
    others = [Tensor(tensor.data.astype(dtype), requires_grad=True) for tensor in pair.actual]
    other = getattr(optim, name)(others, **options)
    for _ in range(4):
        pair.step()
        for tensor, original in zip(others, pair.actual, strict=True):
            tensor.grad = original.grad.astype(dtype)
        other.step()
    for tensor, original in zip(others, pair.actual, strict=True):
        assert tensor.dtype == dtype
        slots = other.state.get(tensor, {})
        assert all(slot.dtype == dtype for slot_name, slot in slots.items() if slot_name not in other.scalar_slots)
        np.testing.assert_allclose(tensor.data, original.data, rtol=0, atol=0.05 if dtype == "float16" else 1e-12)
