"""Gradients of every kind, and tied parameters, for every optimizer: none, zero, empty, 0-d, views in odd layouts.

Row-sparse ones are in ``test_sparse``.
"""

import numpy as np
import pytest
import torch

from manual import nn, optim
from manual.tensor import Tensor

from .every import MATRICES_ONLY, OPTIMIZERS, ROWS_ONLY, distance, undecided

DENSE = [name for name in OPTIMIZERS if name not in ROWS_ONLY]
STEPS = 6
OPTIONS = {"LBFGS": {"max_iter": 2, "lr": 0.3}, "Muon": {"lr": 0.1}}
TOLERANCE = 1e-12

TURNED = {
    "as it is": lambda array: array,
    "transposed": lambda array: np.asfortranarray(array),
    "every other": lambda array: np.repeat(array, 2, axis=0)[::2] if array.ndim else array,
    "backwards": lambda array: array[::-1].copy()[::-1] if array.ndim else array,
    "broadcast": lambda array: array,
}
"""The same values in another layout of memory."""


class Pair:
    """The same parameters on both sides, ours in a layout of choice; torch's are contiguous."""

    def __init__(self, name, shapes, layout=TURNED["as it is"]):
        self.name, self.layout = name, layout
        self.random = np.random.default_rng(0)
        arrays = [np.asarray(self.random.normal(size=shape)) for shape in shapes]
        self.actual = [Tensor(layout(array.copy()), requires_grad=True) for array in arrays]
        self.expected = [torch.tensor(array, requires_grad=True) for array in arrays]
        self.ours = getattr(optim, name)(self.actual, **OPTIONS.get(name, {}))
        self.theirs = getattr(torch.optim, name)(self.expected, **OPTIONS.get(name, {}))

    def step(self, gradients, layout=None):
        """One step from these gradients, ``None`` where there is none; a closure that leaves them as they are."""
        for ours, theirs, gradient in zip(self.actual, self.expected, gradients, strict=True):
            ours.grad = None if gradient is None else (layout or self.layout)(gradient)
            theirs.grad = None if gradient is None else torch.tensor(gradient.copy())
        self.ours.step(lambda: 1.0)
        self.theirs.step(lambda: 1.0)

    def draw(self):
        return [np.asarray(self.random.normal(size=tensor.shape)) for tensor in self.actual]

    def assert_agree(self, step):
        for index, (ours, theirs) in enumerate(zip(self.actual, self.expected, strict=True)):
            where = f"step {step}, parameter {index}"
            expected = theirs.detach().numpy()
            allowed = TOLERANCE * distance(expected, 0) + undecided(self.name, self.ours, ours.shape, step)
            assert ours.shape == expected.shape, where
            assert distance(ours.data, expected) <= allowed, where
            slots, reference = self.ours.state.get(ours, {}), self.theirs.state.get(theirs, {})
            assert slots.keys() == reference.keys(), where
            for name, value in reference.items():
                if isinstance(value, torch.Tensor):
                    assert slots[name].shape == tuple(value.shape), f"{where}, {name}"
                    gap, scale = distance(slots[name], value.numpy()), distance(value.numpy(), 0)
                    assert gap <= 10 * TOLERANCE * scale, f"{where}, {name}"


def shapes_for(name, *shapes):
    """Those of the shapes that the optimizer takes."""
    return [shape for shape in shapes if len(shape) == 2] if name in MATRICES_ONLY else list(shapes)


@pytest.mark.parametrize("name", DENSE)
def test_none_is_skipped_and_zero_is_not(name):
    pair = Pair(name, shapes_for(name, (4, 3), (3, 5), (5,), (2, 2), (2, 6)))
    count = len(pair.actual)
    for step in range(1, STEPS + 1):
        gradients = pair.draw()
        gradients[step % count] = None
        gradients[(step + 1) % count] *= 0
        before = [tensor.data.copy() for tensor in pair.actual]
        pair.step(gradients)
        pair.assert_agree(step)
        if name != "LBFGS":  # for which there is one vector of all
            assert np.array_equal(before[step % count], pair.actual[step % count].data)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Muon"])
def test_zeros_in_place_of_none_are_noticed(name):
    pair = Pair(name, shapes_for(name, (4, 3), (5,)))
    pair.ours.param_groups[0]["momentum"] = pair.theirs.param_groups[0]["momentum"] = 0.9
    pair.step(pair.draw())
    pair.assert_agree(1)
    pair.step([None] * len(pair.actual))
    for tensor in pair.actual:
        tensor.grad = np.zeros_like(tensor.data)
    pair.ours.step()
    with pytest.raises(AssertionError, match="step 2, parameter 0"):
        pair.assert_agree(2)


@pytest.mark.parametrize("name", DENSE)
def test_no_gradient_at_all_changes_nothing(name):
    if name == "LBFGS":
        pytest.skip("it takes them for zeros, and is done")
    pair = Pair(name, shapes_for(name, (4, 3), (5,)))
    before = [tensor.data.copy() for tensor in pair.actual]
    pair.step([None] * len(pair.actual))
    pair.assert_agree(1)
    assert all(np.array_equal(old, tensor.data) for old, tensor in zip(before, pair.actual, strict=True))


@pytest.mark.parametrize("name", DENSE)
def test_empty_and_0d(name):
    """torch's Adafactor divides by the number of elements, and raises where there are none."""
    empty = [] if name == "Adafactor" else [(0, 3), (0,), (2, 0, 3)]
    pair = Pair(name, shapes_for(name, (4, 3), (), *empty, (1, 1)))
    for step in range(1, STEPS + 1):
        pair.step(pair.draw())
        pair.assert_agree(step)


@pytest.mark.parametrize("gradient", TURNED)
@pytest.mark.parametrize("parameter", ["as it is", "transposed", "every other", "backwards"])
@pytest.mark.parametrize("name", DENSE)
def test_layouts(name, parameter, gradient):
    """Of the parameter and of its gradient, which is only read."""
    pair = Pair(name, shapes_for(name, (4, 3), (5,), (2, 3, 4), (3, 5)), TURNED[parameter])
    for step in range(1, STEPS + 1):
        gradients = pair.draw()
        if gradient == "broadcast":
            gradients = [np.broadcast_to(array[:1], array.shape) for array in gradients]
        held = [np.array(array) for array in gradients]
        pair.step(gradients, TURNED[gradient])
        pair.assert_agree(step)
        assert all(np.array_equal(old, tensor.grad) for old, tensor in zip(held, pair.actual, strict=True))


def test_a_large_parameter_in_another_layout():
    """One that would be cut into blocks if it were contiguous."""
    for name in DENSE:
        if name in MATRICES_ONLY | {"LBFGS"}:
            continue
        pair = Pair(name, [(300, 200)], TURNED["transposed"])
        for step in range(1, 3):
            pair.step(pair.draw(), TURNED["as it is"])
            pair.assert_agree(step)


# -- tied parameters ---------------------------------------------------------------------------------------------------


def tied(module, dtype):
    first, second = module.Linear(4, 4, bias=False, dtype=dtype), module.Linear(4, 4, bias=False, dtype=dtype)
    second.weight = first.weight
    return module.Sequential(first, module.Tanh(), second)


@pytest.mark.parametrize("name", DENSE)
def test_a_tied_parameter_is_updated_once(name):
    """By the sum of its gradients, as torch does it."""
    ours, theirs = tied(nn, np.float64), tied(torch.nn, torch.float64)
    start = np.random.default_rng(0).normal(size=(4, 4))
    (weight,), (expected,) = ours.parameters(), theirs.parameters()
    weight.data[...] = start
    expected.data.copy_(torch.tensor(start))
    mine = getattr(optim, name)(ours.parameters(), **OPTIONS.get(name, {}))
    other = getattr(torch.optim, name)(theirs.parameters(), **OPTIONS.get(name, {}))
    random = np.random.default_rng(1)
    for step in range(1, 4):
        inputs, incoming = random.normal(size=(5, 4)), random.normal(size=(5, 4))

        def our_closure(inputs=inputs, incoming=incoming):
            mine.zero_grad()
            loss = (ours(Tensor(inputs)) * Tensor(incoming)).sum()
            loss.backward()
            return loss

        def their_closure(inputs=inputs, incoming=incoming):
            other.zero_grad()
            loss = (theirs(torch.tensor(inputs)) * torch.tensor(incoming)).sum()
            loss.backward()
            return loss

        mine.step(our_closure)
        other.step(their_closure)
        allowed = 1e-9 * distance(weight.data, 0) + undecided(name, mine, (4, 4), step)
        assert distance(weight.data, expected.detach().numpy()) <= allowed
    assert list(mine.state) in ([weight], [])
    assert mine.state_dict()["state"].keys() <= {0}
    assert not np.allclose(weight.data, start)
