"""What the sides of the calls share: named values that nothing updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compare.calls.arrays import widened
from torch_ref.recording import to_array

__all__ = ["Given", "Reference", "as_tensor"]


def as_tensor(array: np.ndarray, wide: bool, requires_grad: bool = False) -> Tensor:
    """A tensor of its own from an array, in float64 where the side is wide."""
    tensor = torch.from_numpy(widened(array) if wide else array.copy())
    return tensor.requires_grad_(requires_grad and tensor.is_floating_point())


class Reference:
    """The half of a PyTorch side that holds values and their gradients.

    Parameters
    ----------
    named : dict of name to leaf tensor
    """

    def __init__(self, named: dict[str, Tensor]):
        self._named = named
        self._wide = False

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        return {name: to_array(tensor) for name, tensor in self._named.items()}

    @property
    def gradients(self) -> dict[str, np.ndarray | None]:
        return {
            name: None if tensor.grad is None else to_array(tensor.grad)
            for name, tensor in self._named.items()
            if tensor.requires_grad
        }

    def zero_grad(self) -> None:
        for tensor in self._named.values():
            tensor.grad = None

    def step(self) -> None:
        """Nothing is updated."""

    def state(self) -> dict[str, Any]:
        """A copy of all that :meth:`load_state` takes."""
        return {"parameters": {name: value.copy() for name, value in self.parameters.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Copy values in; what the state does not mention stays as it is."""
        with torch.no_grad():
            for name, value in state.get("parameters", {}).items():
                self._named[name].copy_(torch.as_tensor(value))

    def widen(self) -> None:
        """Go on in float64, inputs included."""
        self._wide = True
        for tensor in self._named.values():
            if tensor.is_floating_point():
                tensor.data = tensor.data.double()
                tensor.grad = None


class Given:
    """The half of a user's side that holds values and what was returned as their gradients."""

    def __init__(self, parameters: Mapping[str, np.ndarray]):
        self.parameters = {name: value.copy() for name, value in parameters.items()}
        self.gradients: dict[str, np.ndarray | None] = {}
        self._wide = False

    def zero_grad(self) -> None:
        self.gradients = {}

    def step(self) -> None:
        """Nothing is updated."""

    def state(self) -> dict[str, Any]:
        """A copy of all that :meth:`load_state` takes."""
        return {"parameters": {name: value.copy() for name, value in self.parameters.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Copy values in."""
        for name, value in state.get("parameters", {}).items():
            self.parameters[name][...] = value

    def widen(self) -> None:
        """Go on in float64, inputs included."""
        self._wide = True
        self.parameters = {name: widened(value) for name, value in self.parameters.items()}

    def fitted(self, array: np.ndarray) -> np.ndarray:
        """An input as this side takes it."""
        return widened(array) if self._wide else array
