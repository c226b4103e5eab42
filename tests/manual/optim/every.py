"""What the tests of all optimizers share: one small problem, and how to step any of them on it."""

import inspect
import math

import numpy as np
import torch

from manual import optim
from manual.sparse_rows import SparseRows
from manual.tensor import Tensor

OPTIMIZERS = [
    name
    for name in optim.__all__
    if name != "Optimizer" and inspect.isclass(found := getattr(optim, name)) and issubclass(found, optim.Optimizer)
]
"""Every optimizer that ``manual.optim`` exports."""

ROWS_ONLY = {"SparseAdam"}
MATRICES_ONLY = {"Muon"}

SHAPES = [(4, 3), (5,), (), (3, 1, 2), (6, 5)]
MATRICES = [(4, 3), (3, 5), (6, 6)]


def shapes_for(name):
    return MATRICES if name in MATRICES_ONLY | ROWS_ONLY else SHAPES


class Problem:
    """A quadratic whose centre moves from step to step: ``½ Σ curvature (θ − centre)²``."""

    def __init__(self, shapes, dtype="float64", seed=0):
        self.random = np.random.default_rng(seed)
        self.shapes, self.dtype = shapes, dtype
        self.start = self.arrays(lambda shape: self.random.normal(size=shape))
        self.curvature = self.arrays(lambda shape: self.random.uniform(0.2, 1.5, size=shape))
        self.centres = []

    def arrays(self, make):
        return [np.asarray(make(shape)).astype(self.dtype) for shape in self.shapes]

    def centre(self, step):
        while len(self.centres) <= step:
            self.centres.append(self.arrays(lambda shape: self.random.normal(size=shape)))
        return self.centres[step]

    def loss(self, parameters, step):
        return float(
            sum(
                (h * (p - c) ** 2).sum() / 2
                for h, p, c in zip(self.curvature, parameters, self.centre(step), strict=True)
            )
        )

    def gradients(self, parameters, step):
        return [h * (p - c) for h, p, c in zip(self.curvature, parameters, self.centre(step), strict=True)]

    def rows(self, step, shape):
        """The rows that are looked up in a step, some of them twice."""
        return np.random.default_rng([step, *shape]).integers(0, shape[0], shape[0])


class Runner:
    """One optimizer of either wing on a problem.

    Parameters
    ----------
    module : ``manual.optim`` or ``torch.optim``
    parameters : arrays to start from, copied
    """

    def __init__(self, module, name, options, problem, parameters=None):
        self.name, self.problem, self.ours = name, problem, module is optim
        arrays = problem.start if parameters is None else parameters
        if self.ours:
            self.tensors = [Tensor(array.copy(), requires_grad=True) for array in arrays]
        else:
            self.tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        self.optimizer = getattr(module, name)(self.tensors, **options)

    @property
    def parameters(self):
        return [tensor.data.copy() if self.ours else tensor.detach().numpy().copy() for tensor in self.tensors]

    def step(self, step):
        def closure():
            arrays = self.parameters
            for tensor, gradient in zip(self.tensors, self.problem.gradients(arrays, step), strict=True):
                tensor.grad = self.of_kind(gradient, step)
            return self.problem.loss(arrays, step)

        self.optimizer.step(closure)

    def of_kind(self, gradient, step):
        """The gradient as the optimizer wants it: an array, or some rows of it."""
        if self.name not in ROWS_ONLY:
            return np.asarray(gradient) if self.ours else torch.tensor(gradient)
        rows = self.problem.rows(step, gradient.shape)
        if self.ours:
            return SparseRows(rows, gradient[rows], gradient.shape)
        return torch.sparse_coo_tensor(rows[None], gradient[rows], gradient.shape, check_invariants=True)

    def values(self):
        """Every parameter and every entry of the state as an array, by name."""
        found = {f"parameter {index}": array for index, array in enumerate(self.parameters)}
        for index, tensor in enumerate(self.tensors):
            for slot, value in self.optimizer.state.get(tensor, {}).items():
                for place, item in enumerate(value) if isinstance(value, list) else [(None, value)]:
                    if item is not None:
                        found[f"parameter {index}, {slot}{'' if place is None else f'.{place}'}"] = (
                            item.numpy().copy() if isinstance(item, torch.Tensor) else np.array(item)
                        )
        return found


def undecided(name, optimizer, shape, steps):
    """How far bfloat16 lets two Muons part: a twentieth of each step at most (see ``test_muon``)."""
    if name != "Muon":
        return 0.0
    rows, columns = shape
    group = optimizer.param_groups[0]
    factor = (
        0.2 * math.sqrt(max(shape)) if group["adjust_lr_fn"] == "match_rms_adamw" else math.sqrt(max(1, rows / columns))
    )
    return 0.05 * steps * group["lr"] * factor * math.sqrt(min(shape))


def distance(first, second):
    return float(np.abs(first - second).max()) if np.size(first) else 0.0


def as_arrays(state_dict):
    """A state dict of torch with arrays for tensors."""
    return _converted(state_dict, torch.Tensor, lambda tensor: tensor.detach().to_dense().numpy().copy())


def as_tensors(state_dict):
    """A state dict of arrays with tensors for them."""
    return _converted(state_dict, np.ndarray, lambda array: torch.tensor(array))


def _converted(value, kind, function):
    if isinstance(value, dict):
        return {key: _converted(item, kind, function) for key, item in value.items()}
    if isinstance(value, list):
        return [_converted(item, kind, function) for item in value]
    return function(value) if isinstance(value, kind) else value
