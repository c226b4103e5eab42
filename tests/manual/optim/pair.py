"""The same parameters on both sides, trained by the same gradients; every slot and parameter is compared."""

import numpy as np
import pytest
import torch

from manual import optim
from manual.tensor import Tensor

__all__ = ["SHAPES", "STEPS", "Pair", "as_arrays", "as_tensors", "one_step"]

SHAPES = [(7, 5), (5,), (), (3, 1, 4), (0, 3), (201, 200)]  # the first five are bundled, the last is cut into blocks
STEPS = 11
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


class Pair:
    """The same parameters on both sides, and two optimizers that get the same gradients."""

    def __init__(self, dtype="float64", shapes=SHAPES, seed=0, tolerance=None):
        self.random = np.random.default_rng(seed)
        self.dtype = dtype
        self.tolerance = tolerance or TOLERANCE[dtype]
        arrays = [np.asarray(self.random.normal(size=shape)).astype(dtype) for shape in shapes]
        self.actual = [Tensor(array.copy(), requires_grad=True) for array in arrays]
        self.expected = [torch.tensor(array, requires_grad=True) for array in arrays]

    @classmethod
    def of(cls, name, options, dtype="float64", **more):
        """A pair with optimizers of that name; torch's Adafactor divides by the size and takes no empty parameter."""
        shapes = [shape for shape in SHAPES if name != "Adafactor" or 0 not in shape]
        tolerance = more.pop("tolerance", None)
        return cls(dtype, shapes, tolerance=tolerance).optimizers(name, options, **more)

    def optimizers(self, name, options, *, foreach=False, actual_class=None, split=None, overrides=None):
        def groups(params):
            if split is None:
                return params
            return [{"params": params[:split]}, {"params": params[split:], **overrides}]

        self.ours = (actual_class or getattr(optim, name))(groups(self.actual), **options)
        self.theirs = getattr(torch.optim, name)(groups(self.expected), **options, foreach=foreach)
        return self

    def step(self, without=(), gradients=None):
        """One step with the gradients, else with fresh random ones; the parameters numbered in ``without`` get none."""
        for index, (ours, theirs) in enumerate(zip(self.actual, self.expected, strict=True)):
            if index in without:
                ours.grad, theirs.grad = None, None
                continue
            gradient = gradients[index] if gradients else self.random.normal(size=ours.shape)
            gradient = np.asarray(gradient).astype(self.dtype)
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
            assert_close(where, ours.data, theirs.detach().numpy(), self.tolerance)
            slots, reference = self.ours.state.get(ours, {}), self.theirs.state.get(theirs, {})
            assert slots.keys() == reference.keys(), f"{where}: slots {slots.keys()} and {reference.keys()}"
            for name, value in reference.items():
                assert_close(f"{where}, {name}", slots[name], value.numpy(), self.tolerance)


def assert_close(where, actual, expected, tolerance):
    assert isinstance(actual, np.ndarray), where
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype), where
    if actual.size:
        gap, scale = np.abs(actual - expected).max(), np.abs(expected).max()
        assert gap <= tolerance * scale, f"{where}: gap {gap} at scale {scale}"


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
