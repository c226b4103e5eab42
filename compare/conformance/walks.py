"""One optimizer on its way: the same walk on either wing, and what it shows after each step."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Self

import numpy as np
import torch

import manual
from compare.conformance.database import Configuration
from compare.conformance.judging import Values
from compare.conformance.problems import Loss, Problem, Rows
from compare.conformance.twins import MissingError, translated
from torch_ref.recording import to_array

__all__ = ["CHANGE", "KERNELS", "ManualWalk", "TorchWalk", "Walk", "as_arrays", "as_tensors"]

CHANGE, FACTOR = 6, 0.3
"""Before this step every rate is multiplied by so much."""

KERNELS = frozenset({"foreach", "fused", "capturable", "differentiable"})
"""Options that choose how torch computes, not what."""


class Walk:
    """An optimizer, its parameters, and what drives them.

    Attributes
    ----------
    parameters : by name
    optimizer : of either wing
    """

    def __init__(self, configuration: Configuration, problem: Problem):
        self._configuration = configuration
        self._problem = problem
        self.parameters: dict[str, Any] = {
            name: self._parameter(value.copy(order="K")) for name, value in problem.values.items()
        }
        self.optimizer = self._made(self._groups())

    def _groups(self) -> list[dict[str, Any]]:
        """The parameters in two groups, the second with twice the rate; in one where groups have no options."""
        parameters = list(self.parameters.values())
        if not self._configuration.groups:
            return [{"params": parameters}]
        kind = getattr(torch.optim, self._configuration.optimizer)
        rate = self._configuration.options.get("lr", inspect.signature(kind).parameters["lr"].default)
        half = len(parameters) // 2
        return [{"params": parameters[:half]}, {"params": parameters[half:], "lr": self._option(2 * rate)}]

    def steps(self, first: int, last: int, *modes: Any) -> Values:
        """Make some steps under dispatch modes; what each of them shows, by step and name."""
        found: Values = {}
        for number in range(first, last + 1):
            if number == CHANGE:
                for group in self.optimizer.param_groups:
                    group["lr"] = group["lr"] * FACTOR
            with ExitStack() as stack:
                for mode in modes:
                    stack.enter_context(mode)
                loss = self._step(number)
            for name, value in self._shown(loss):
                found[f"step {number}, {name}"] = np.array(value)
        return found

    def _step(self, number: int) -> Any:
        if self._problem.losses:
            return self.optimizer.step(self._closure(self._problem.losses[number - 1]))
        for name, gradient in self._problem.gradients[number - 1].items():
            self.parameters[name].grad = None if gradient is None else self._gradient(name, gradient)
        return self.optimizer.step()

    def _shown(self, loss: Any) -> Iterator[tuple[str, np.ndarray]]:
        if loss is not None:
            yield "loss", self._array(loss)
        for name, parameter in self.parameters.items():
            yield name, self._array(parameter)
            for slot, value in self.optimizer.state.get(parameter, {}).items():
                yield from self._leaves(f"{name} {slot}", value)

    def _leaves(self, name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
        """The numbers of a slot, which may be a list of arrays (the directions of LBFGS)."""
        if isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                yield from self._leaves(f"{name} {index}", item)
        elif isinstance(value, (int, float, np.generic)):
            yield name, np.asarray(value, np.float64)
        elif value is not None:
            yield name, self._array(value)

    def values(self) -> Values:
        """The parameters as they are, as copies."""
        return {name: np.array(self._array(parameter)) for name, parameter in self.parameters.items()}

    def load(self, values: Values, state: Mapping[str, Any]) -> Self:
        """Go on from the parameters and the ``state_dict`` of another walk."""
        for name, value in values.items():
            self._array(self.parameters[name])[...] = value
        self.optimizer.load_state_dict(state)
        return self

    # -- what the wings differ in --------------------------------------------------------------------------------------

    def _parameter(self, value: np.ndarray) -> Any:
        raise NotImplementedError

    def _option(self, value: Any) -> Any:
        raise NotImplementedError

    def _made(self, groups: list[dict[str, Any]]) -> Any:
        raise NotImplementedError

    def _gradient(self, name: str, gradient: np.ndarray | Rows) -> Any:
        raise NotImplementedError

    def _closure(self, loss: Loss) -> Callable[[], Any]:
        raise NotImplementedError

    def _array(self, value: Any) -> np.ndarray:
        raise NotImplementedError


class TorchWalk(Walk):
    """The reference.

    Parameters
    ----------
    kernels : options that choose torch's implementation; by default the plain loop over tensors
    double : whether to run in float64, from the same numbers
    alike : whether every gradient is laid out in memory as its parameter is

    Notes
    -----
    Two habits of torch 2.13 on the CPU. The fused kernels go through memory and not by index: where a gradient has
    other strides than its parameter, they update the wrong elements, and say nothing. And fused SGD with momentum
    raises where one parameter of a group meets its first gradient later than another; it has a group of its own here.
    """

    def __init__(
        self,
        configuration: Configuration,
        problem: Problem,
        kernels: Mapping[str, bool] | None = None,
        *,
        double: bool = False,
        alike: bool = False,
    ):
        self._double = double
        self._alike = alike
        plain = dict.fromkeys(configuration.implementations, False)
        self._kernels = {**plain, **(kernels or {})}
        super().__init__(configuration, problem)

    def _groups(self) -> list[dict[str, Any]]:
        groups = super()._groups()
        late = self.parameters.get("late")
        if not self._kernels.get("fused") or late is None:
            return groups
        apart = []
        for group in groups:
            others = [parameter for parameter in group["params"] if parameter is not late]
            if len(others) < len(group["params"]):
                apart = [{**group, "params": [late]}]
            group["params"] = others
        return groups + apart

    def _tensor(self, value: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(value)
        return tensor.double() if self._double else tensor

    def _parameter(self, value: np.ndarray) -> Any:
        return self._tensor(value).requires_grad_()

    def _option(self, value: Any) -> Any:
        return copy.deepcopy(value)

    def _made(self, groups: list[dict[str, Any]]) -> Any:
        kind = getattr(torch.optim, self._configuration.optimizer)
        options = {**self._configuration.options, **self._problem.options, **self._kernels}
        return kind(groups, **copy.deepcopy(options))

    def _gradient(self, name: str, gradient: np.ndarray | Rows) -> Any:
        if isinstance(gradient, Rows):
            shape = self._problem.values[name].shape
            values = self._tensor(gradient.values.copy())
            return torch.sparse_coo_tensor(
                torch.from_numpy(gradient.indices)[None], values, shape, check_invariants=True
            )
        tensor = self._tensor(gradient.copy(order="K"))
        return torch.empty_like(self.parameters[name]).detach().copy_(tensor) if self._alike else tensor

    def _closure(self, loss: Loss) -> Callable[[], Any]:
        W, y = self._tensor(loss.W.copy()), self._tensor(loss.y.copy())
        parameters = [parameter for name, parameter in self.parameters.items() if name != "idle"]

        def evaluate() -> torch.Tensor:
            self.optimizer.zero_grad()
            x = torch.cat([parameter.reshape(-1) for parameter in parameters])
            residual = W @ x - y
            value = residual @ residual / (2 * len(residual)) + torch.sqrt(1 + x * x).sum() / 10
            value.backward()
            return value

        return evaluate

    def _array(self, value: Any) -> np.ndarray:
        return to_array(value.detach()) if isinstance(value, torch.Tensor) else np.asarray(value)


class ManualWalk(Walk):
    """The side under test."""

    def _parameter(self, value: np.ndarray) -> Any:
        return manual.tensor(value, requires_grad=True)

    def _option(self, value: Any) -> Any:
        return translated(value)

    def _made(self, groups: list[dict[str, Any]]) -> Any:
        kind = getattr(manual.optim, self._configuration.optimizer)
        return kind(groups, **translated({**self._configuration.options, **self._problem.options}))

    def _gradient(self, name: str, gradient: np.ndarray | Rows) -> Any:
        if isinstance(gradient, Rows):
            kind = getattr(manual, "SparseRows", None)
            if kind is None:
                raise MissingError("manual has no SparseRows")
            return kind(gradient.indices.copy(), gradient.values.copy(), self.parameters[name].shape)
        return gradient.copy(order="K")

    def _closure(self, loss: Loss) -> Callable[[], Any]:
        parameters = [parameter for name, parameter in self.parameters.items() if name != "idle"]

        def evaluate() -> np.ndarray:
            x = np.concatenate([parameter.data.reshape(-1) for parameter in parameters])
            value, gradient = loss.value_and_gradient(x)
            start = 0
            for parameter in parameters:
                end = start + parameter.data.size
                parameter.grad = gradient[start:end].reshape(parameter.shape)
                start = end
            return value

        return evaluate

    def _array(self, value: Any) -> np.ndarray:
        return np.asarray(value.data if isinstance(value, manual.Tensor) else value)


def as_arrays(state: Any) -> Any:
    """A state of torch's for the manual wing, as copies."""
    return _converted(state, torch.Tensor, lambda tensor: to_array(tensor).copy())


def as_tensors(state: Any) -> Any:
    """A state of the manual wing's for torch, as copies."""
    return _converted(state, np.ndarray, lambda array: torch.from_numpy(array.copy()))


def _converted(value: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _converted(item, kind, function) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_converted(item, kind, function) for item in value)
    return function(value) if isinstance(value, kind) else value
