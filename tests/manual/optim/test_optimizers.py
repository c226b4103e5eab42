"""Every optimizer against torch's, all slots and parameters after every step; and the helper against planted faults."""

import math

import numpy as np
import pytest
import torch

from manual import optim
from manual.tensor import Tensor

SHAPES = [(7, 5), (5,), (), (3, 1, 4), (0, 3), (201, 200)]  # the first five are bundled, the last is cut into blocks
STEPS = 11
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.5}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.5}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "dampening": 0.1, "weight_decay": 0.5, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "eps": 1e-2}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.75)}),
    ("Adam", {"lr": 0.1, "betas": (0.0, 0.0)}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.5}),
    ("Adam", {"lr": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "eps": 1e-2, "weight_decay": 0.5, "maximize": True}),
    ("Adam", {"lr": 0.0}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.0}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5, "eps": 1e-2}),
    ("AdamW", {"lr": 0.1, "betas": (0.5, 0.75), "maximize": True}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.5}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.5, "eps": 1e-2}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.1, "centered": True}),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.9, "eps": 1e-2, "weight_decay": 0.5}),
    ("RMSprop", {"lr": 0.1, "weight_decay": 0.5, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.3, "eps": 1e-2}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.7, "weight_decay": 0.5}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "maximize": True}),
]


def case_id(value):
    return "-".join(f"{k}={v}" for k, v in value.items()) or "defaults" if isinstance(value, dict) else str(value)


class Pair:
    """The same parameters on both sides, and two optimizers that get the same gradients."""

    def __init__(self, dtype="float64", shapes=SHAPES, seed=0):
        self.random = np.random.default_rng(seed)
        self.dtype = dtype
        arrays = [np.asarray(self.random.normal(size=shape)).astype(dtype) for shape in shapes]
        self.actual = [Tensor(array.copy(), requires_grad=True) for array in arrays]
        self.expected = [torch.tensor(array, requires_grad=True) for array in arrays]

    def optimizers(self, name, options, *, foreach=False, actual_class=None, split=None, overrides=None):
        def groups(params):
            if split is None:
                return params
            return [{"params": params[:split]}, {"params": params[split:], **overrides}]

        self.ours = (actual_class or getattr(optim, name))(groups(self.actual), **options)
        self.theirs = getattr(torch.optim, name)(groups(self.expected), **options, foreach=foreach)
        return self

    def step(self, without=()):
        """One step with fresh random gradients; the parameters numbered in ``without`` get none."""
        for index, (ours, theirs) in enumerate(zip(self.actual, self.expected, strict=True)):
            if index in without:
                ours.grad, theirs.grad = None, None
                continue
            gradient = np.asarray(self.random.normal(size=ours.shape)).astype(self.dtype)
            ours.grad, theirs.grad = gradient.copy(), torch.tensor(gradient)
        self.ours.step()
        self.theirs.step()

    def set_rate(self, factor):
        for group in [*self.ours.param_groups, *self.theirs.param_groups]:
            group["lr"] *= factor

    def run(self, steps=STEPS, without=None):
        for step in range(1, steps + 1):
            if step == 6:
                self.set_rate(0.3)
            self.step((without or {}).get(step, ()))
            self.assert_agree(step)

    def assert_agree(self, step):
        for index, (ours, theirs) in enumerate(zip(self.actual, self.expected, strict=True)):
            where = f"step {step}, parameter {index}"
            assert_close(where, ours.data, theirs.detach().numpy(), TOLERANCE[self.dtype])
            slots, reference = self.ours.state.get(ours, {}), self.theirs.state.get(theirs, {})
            assert slots.keys() == reference.keys(), f"{where}: slots {slots.keys()} and {reference.keys()}"
            for name, value in reference.items():
                assert_close(f"{where}, {name}", slots[name], value.numpy(), TOLERANCE[self.dtype])


def assert_close(where, actual, expected, tolerance):
    assert isinstance(actual, np.ndarray), where
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype), where
    if actual.size:
        gap, scale = np.abs(actual - expected).max(), np.abs(expected).max()
        assert gap <= tolerance * scale, f"{where}: gap {gap} at scale {scale}"


@pytest.mark.parametrize("foreach", [False, True], ids=["single", "foreach"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_agrees_with_torch(name, options, dtype, foreach):
    Pair(dtype).optimizers(name, options, foreach=foreach).run()


OVERRIDES = {
    "SGD": {"lr": 0.02, "momentum": 0.5, "weight_decay": 0.1},
    "Adam": {"lr": 0.02, "betas": (0.6, 0.8), "amsgrad": True},
    "AdamW": {"lr": 0.02, "eps": 1e-2, "weight_decay": 0.3},
    "RMSprop": {"lr": 0.02, "alpha": 0.8, "momentum": 0.3},
    "Adagrad": {"lr": 0.02, "lr_decay": 0.2, "initial_accumulator_value": 5.0},
}


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
    pair = Pair().optimizers(name, {"lr": 0.1, "weight_decay": 0.5})
    pair.run(3)
    before = pair.actual[0].data.copy()
    for ours, theirs in zip(pair.actual, pair.expected, strict=True):
        ours.grad, theirs.grad = np.zeros_like(ours.data), torch.zeros_like(theirs)
    pair.ours.step()
    pair.theirs.step()
    pair.assert_agree(4)
    assert not np.array_equal(before, pair.actual[0].data)


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


def as_arrays(state_dict):
    return convert(state_dict, torch.Tensor, lambda tensor: tensor.numpy().copy())


def as_tensors(state_dict):
    return convert(state_dict, np.ndarray, lambda array: torch.tensor(array))


def convert(value, kind, function):
    if isinstance(value, dict):
        return {key: convert(item, kind, function) for key, item in value.items()}
    if isinstance(value, list):
        return [convert(item, kind, function) for item in value]
    return function(value) if isinstance(value, kind) else value


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
    options = {**options, "eps": 1e-2} if name != "SGD" else options
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
        assert all(slot.dtype == dtype for slot_name, slot in slots.items() if slot_name != "step")
        np.testing.assert_allclose(tensor.data, original.data, rtol=0, atol=0.05 if dtype == "float16" else 1e-12)


# -- the helper sees mistakes: each fault, the first step and the place where it must show ---------------------------


class UncorrectedMomentDecay(optim.Adam):
    """Bias correction without the exponent t: right at the first step."""

    def update(self, parameter, gradient, slots, group):
        step = slots["step"]
        super().update(parameter, gradient, {**slots, "step": np.ones((), step.dtype)}, group)


class MaximumOfCorrected(optim.Adam):
    """AMSGrad's maximum taken of the corrected v."""

    def update(self, parameter, gradient, slots, group):
        (beta1, beta2), t = group["betas"], slots["step"].item()
        m, v, u = slots["exp_avg"], slots["exp_avg_sq"], slots["max_exp_avg_sq"]
        m += (1 - beta1) * (gradient - m)
        v += (1 - beta2) * (gradient**2 - v)
        np.maximum(u, v / (1 - beta2**t), out=u)
        parameter -= group["lr"] * m / (1 - beta1**t) / (np.sqrt(u) + group["eps"])


class EpsInsideTheRoot(optim.RMSprop):
    def update(self, parameter, gradient, slots, group):
        v = slots["square_avg"]
        v += (1 - group["alpha"]) * (gradient**2 - v)
        parameter -= group["lr"] * gradient / np.sqrt(v + group["eps"])


class DampedFirstStep(optim.SGD):
    def update(self, parameter, gradient, slots, group):
        slots.setdefault("momentum_buffer", np.zeros_like(parameter))
        super().update(parameter, gradient, slots, group)


class RateInTheBuffer(optim.SGD):
    """Equal to torch's until the rate changes at step 6."""

    velocity: dict

    def update_alone(self, tensor, group):
        velocity = self.velocity.setdefault(tensor, np.zeros_like(tensor.data))
        velocity *= group["momentum"]
        velocity += group["lr"] * tensor.grad
        tensor.data -= velocity
        self.state[tensor]["momentum_buffer"] = np.asarray(velocity / group["lr"])

    def step(self, closure=None):
        self.velocity = getattr(self, "velocity", {})
        self._bundling = False
        super().step()


class CoupledDecay(optim.AdamW):
    def update(self, parameter, gradient, slots, group):
        decayed = gradient + group["weight_decay"] * parameter
        super().update(parameter, decayed, slots, {**group, "weight_decay": 0})


class LateDecay(optim.Adagrad):
    """The rate decays with t, not t − 1."""

    def update(self, parameter, gradient, slots, group):
        super().update(parameter, gradient, {**slots, "step": slots["step"] + 1}, group)


class OneUlpOfThreshold(optim.SGD):
    """A relative error of 1e-11, just above the tolerance."""

    def update(self, parameter, gradient, slots, group):
        super().update(parameter, gradient, slots, group)
        parameter *= 1 + 1e-11


FAULTS = [
    (UncorrectedMomentDecay, "Adam", {"lr": 0.1}, r"step 2, parameter 0: gap"),
    (MaximumOfCorrected, "Adam", {"lr": 0.1, "amsgrad": True}, r"step 1, parameter 0, max_exp_avg_sq: gap"),
    (EpsInsideTheRoot, "RMSprop", {"lr": 0.1}, r"step 1, parameter 0: gap"),
    (DampedFirstStep, "SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, r"step 1, parameter 0: gap"),
    (RateInTheBuffer, "SGD", {"lr": 0.1, "momentum": 0.9}, r"step 6, parameter 0: gap"),
    (CoupledDecay, "AdamW", {"lr": 0.1}, r"step 1, parameter 0: gap"),
    (LateDecay, "Adagrad", {"lr": 0.1, "lr_decay": 0.1}, r"step 1, parameter 0: gap"),
    (OneUlpOfThreshold, "SGD", {"lr": 0.1}, r"step 1, parameter 0: gap"),
]


@pytest.mark.parametrize(("fault", "name", "options", "message"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_planted_faults_are_noticed(fault, name, options, message):
    with pytest.raises(AssertionError, match=message):
        Pair().optimizers(name, options, actual_class=fault).run()


def test_a_skipped_parameter_that_gets_a_zero_gradient_is_noticed():
    pair = Pair().optimizers("Adam", {"lr": 0.1})
    pair.run(2)
    pair.step(without=(0,))
    pair.actual[0].grad = np.zeros_like(pair.actual[0].data)
    pair.ours.step()
    pair.theirs.step()
    with pytest.raises(AssertionError, match="step 4, parameter 0"):
        pair.assert_agree(4)


# -- the conventions, at their exact point ----------------------------------------------------------------------


def one_step(name, gradient, start=2.0, steps=1, **options):
    """One scalar parameter after some steps, checked against torch on the way."""
    ours, theirs = Tensor(np.array(start), requires_grad=True), torch.tensor(start, dtype=torch.float64)
    ours_optimizer, theirs_optimizer = (
        getattr(optim, name)([ours], **options),
        getattr(torch.optim, name)([theirs], **options),
    )
    for _ in range(steps):
        ours.grad, theirs.grad = np.array(gradient), torch.tensor(gradient, dtype=torch.float64)
        ours_optimizer.step()
        theirs_optimizer.step()
    assert ours.data == pytest.approx(theirs.item(), rel=1e-14)
    return ours.data.item()


def test_the_first_momentum_step_has_no_dampening():
    assert one_step("SGD", 3.0, lr=1.0, momentum=0.9, dampening=0.5) == pytest.approx(2 - 3)
    assert one_step("SGD", 3.0, steps=2, lr=1.0, momentum=0.9, dampening=0.5) == pytest.approx(2 - 3 - (2.7 + 1.5))


def test_without_memory_adams_first_moment_is_the_gradient_itself():
    """``m + (g − m)`` would lose a small gradient after a large one."""
    tensor = Tensor(np.zeros(2, np.float32), requires_grad=True)
    optimizer = optim.Adam([tensor], betas=(0.0, 0.9))
    for size in (1e6, 1.1):
        tensor.grad = np.full(2, size, np.float32)
        optimizer.step()
    assert np.array_equal(optimizer.state[tensor]["exp_avg"], tensor.grad)


def test_adam_adds_eps_after_bias_correction_and_outside_the_root():
    assert one_step("Adam", 3.0, lr=1.0, eps=1.0) == pytest.approx(2 - 3 / (3 + 1))


def test_rmsprop_adds_eps_outside_the_root():
    assert one_step("RMSprop", 3.0, lr=1.0, alpha=0.75, eps=1.0) == pytest.approx(2 - 3 / (1.5 + 1))


def test_adagrad_adds_eps_outside_the_root_and_the_rate_decays_from_the_second_step():
    assert one_step("Adagrad", 3.0, lr=1.0, eps=1.0, lr_decay=1.0) == pytest.approx(2 - 3 / 4)
    second = 0.5 * 3 / (math.sqrt(18) + 1)
    assert one_step("Adagrad", 3.0, steps=2, lr=1.0, eps=1.0, lr_decay=1.0) == pytest.approx(2 - 3 / 4 - second)


def test_adamw_decays_by_the_rate_times_the_decay():
    assert one_step("AdamW", 0.0, lr=0.5, weight_decay=0.5) == 2 * (1 - 0.25)


def test_weight_decay_shrinks_also_when_maximising():
    assert one_step("SGD", 0.0, lr=0.5, weight_decay=0.5, maximize=True) == 2 * (1 - 0.25)


def test_a_centered_root_of_a_rounded_negative_is_nan_as_in_torch():
    """alpha 0: v = g² and a = g, so v − a² is exactly 0; a hair below it the root is not a number."""
    assert one_step("RMSprop", 3.0, lr=1.0, alpha=0.0, eps=1.0, centered=True) == -1.0
    ours, theirs = Tensor(np.array([2.0]), requires_grad=True), torch.tensor([2.0], dtype=torch.float64)
    ours_optimizer = optim.RMSprop([ours], alpha=1.0, centered=True)
    theirs_optimizer = torch.optim.RMSprop([theirs], alpha=1.0, centered=True)
    for _ in range(2):
        ours.grad, theirs.grad = np.array([3.0]), torch.tensor([3.0], dtype=torch.float64)
        with np.errstate(invalid="ignore"):
            ours_optimizer.step()
        theirs_optimizer.step()
        ours_optimizer.state[ours]["grad_avg"][...] = 1e-3
        theirs_optimizer.state[theirs]["grad_avg"].fill_(1e-3)
    assert np.isnan(ours.data).all()
    assert torch.isnan(theirs).all()
