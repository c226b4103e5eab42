"""What a user's code may return as an array: whatever speaks an array protocol, read-only or not."""

import numpy as np
import pytest
import torch
from torch import nn

import compare
from compare.calls.arrays import ContractError, as_array

from .regression import BATCHES, Mine, reference


class ByArray:
    """Hands out an array and nothing else, as JAX's does; read-only."""

    def __init__(self, array):
        self._array = np.array(array)
        self._array.flags.writeable = False

    def __array__(self, dtype=None, copy=None):
        return self._array if dtype is None else self._array.astype(dtype)


class ByInterface:
    def __init__(self, array):
        self._array = np.array(array)

    @property
    def __array_interface__(self):
        return self._array.__array_interface__


class ByDlpack:
    def __init__(self, array):
        self._array = np.array(array)

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class OnADevice(ByDlpack):
    """Refuses to become a NumPy array by itself, as CuPy's does."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion to a NumPy array is not allowed")


class Nowhere(OnADevice):
    def __dlpack__(self, **options):
        raise BufferError("it is on another machine")


KINDS = [ByArray, ByInterface, ByDlpack, OnADevice]
X = np.random.default_rng(3).standard_normal((5, 3))


def square(x):
    return (x**2).sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_losses_and_gradients_of_other_libraries(kind, dtype):
    def by_hand(x, factor=2):
        return kind(np.square(x).sum()), {"x": kind(factor * x)}

    assert compare.gradients(by_hand, square, {"x": X.astype(dtype)}).outcome == "equivalent"
    wrong = compare.gradients(lambda x: by_hand(x, 3), square, {"x": X.astype(dtype)}).first_divergence
    assert (wrong.checkpoint.name, wrong.difference.kind) == ("x", None)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_other_libraries(kind):
    def tanh(inputs, parameters):
        y = np.tanh(inputs[0])
        return kind(y), lambda g: ((kind(g * (1 - y * y)),), {})

    assert compare.module(tanh, nn.Tanh(), X).outcome == "equivalent"


@pytest.mark.parametrize("kind", KINDS)
def test_training_in_other_libraries(kind):
    class Wrapped(Mine):
        @property
        def gradients(self):
            return {name: g if g is None else kind(g) for name, g in self.held.items()}

        @gradients.setter
        def gradients(self, value):
            self.held = value

        def accumulate(self, micro_batch, weight):
            mine = type("Plain", (Mine,), {})()
            mine.parameters, mine.gradients = self.parameters, self.held
            found = mine.accumulate(micro_batch, weight)
            self.held = mine.gradients
            return kind(found)

        def step(self):
            for name, parameter in self.parameters.items():
                self.velocity[name] = 0.9 * self.velocity[name] + self.held[name]
                parameter -= 0.1 * self.velocity[name]

    assert compare.training(Wrapped, reference(), BATCHES, 2).outcome == "equivalent"


def test_slots_of_other_libraries():
    def momentum(parameter, gradient, slots, step):
        held = np.asarray(slots["momentum_buffer"]) if slots else 0
        slots["momentum_buffer"] = ByArray(0.9 * held + gradient)
        parameter -= 0.1 * np.asarray(slots["momentum_buffer"])

    report = compare.optimizer(momentum, torch.optim.SGD, options={"lr": 0.1, "momentum": 0.9}, steps=3)
    assert report.outcome == "equivalent"
    assert "matrix (momentum_buffer)" in report.coverage.phases["slots"].names


def test_read_only_results_work():
    def by_hand(x):
        gradient = 2 * x
        gradient.flags.writeable = False
        return np.square(x).sum(), {"x": gradient}

    assert compare.gradients(by_hand, square, {"x": X}).outcome == "equivalent"


def test_bfloat16_is_widened():
    array = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    assert as_array("it", array).dtype == np.float32

    class Brain:
        def __dlpack__(self, **options):
            return array.__dlpack__()

        def __dlpack_device__(self):
            return array.__dlpack_device__()

    found = as_array("it", Brain())
    assert (found.dtype, found.tolist()) == (np.float32, [1.5, -2.0])


def test_what_cannot_be_read_is_said_in_one_line():
    with pytest.raises(ContractError) as caught:
        as_array("the loss", Nowhere(X))
    assert str(caught.value) == (
        "the loss is a Nowhere, which could not be read as an array (TypeError: implicit conversion to a NumPy array is "
        "not allowed); return it as a NumPy array"
    )
    with pytest.raises(ContractError, match="the loss is a type, not an array"):
        as_array("the loss", ByArray)
