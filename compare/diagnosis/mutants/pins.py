"""Modules kept apart during a replay, as the walk by module does: each gets the reference's inputs and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Pins"]

Key = tuple[str, int, str]


class _Pin(torch.autograd.Function):
    """Goes on with another value, and in the backward pass with another gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, value: Tensor, gradient: Tensor | None) -> Tensor:
        ctx.gradient = gradient
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *incoming: Any) -> Any:
        return incoming[0] if ctx.gradient is None else ctx.gradient.clone(), None, None


class Pins:
    """A context in which every module of a side is fed with what the side's last run recorded.

    Attributes
    ----------
    handed_down : dict of key to array
        What containers gave to their children, under the labels of the walk by module.
    handed_up : dict of key to array
        The gradients that containers gave to their children's outputs.
    """

    def __init__(self, side: Any, module: nn.Module):
        self._module = module
        self._inputs = {key: np.array(value) for key, value in side.inputs.items()}
        self._outputs = {key: np.array(value) for key, value in side.activations.items()}
        self._gradients = {key: np.array(value) for key, value in side.activation_gradients.items()}
        self._names = {name for name, _, _ in self._outputs}
        self._calls: dict[str, int] = {}
        self._running: list[tuple[str, int]] = []
        self._handles: list[Any] = []
        self.handed_down: dict[Key, np.ndarray] = {}
        self.handed_up: dict[Key, np.ndarray] = {}

    def __enter__(self) -> Pins:
        self._calls.clear()
        self._running.clear()
        self.handed_down = {}
        self.handed_up = {}
        for name, child in self._module.named_modules():
            if name in self._names:
                before, after = self._before(name), self._after(name)
                self._handles.append(child.register_forward_pre_hook(before, with_kwargs=True, prepend=True))
                self._handles.append(child.register_forward_hook(after))
        return self

    def __exit__(self, *_: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _before(self, name: str) -> Callable[..., Any]:
        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            if len(args) == 1 and not kwargs:
                args = (self._pinned(args[0], name, call, "input"),)
            else:
                args = tuple(self._pinned(item, name, call, f"input.{i}") for i, item in enumerate(args))
                kwargs = {key: self._pinned(item, name, call, f"input.{key}") for key, item in kwargs.items()}
            self._running.append((name, call))
            return args, kwargs

        return before

    def _pinned(self, value: Any, name: str, call: int, label: str) -> Any:
        if type(value) in (tuple, list):
            return type(value)(self._pinned(item, name, call, f"{label}.{i}") for i, item in enumerate(value))
        known = self._inputs.get((name, call, label))
        if not isinstance(value, Tensor) or not value.is_floating_point() or known is None:
            return value
        if self._running:
            parent, number = self._running[-1]
            self.handed_down[parent, number, f"to {name} ({label})"] = value.detach().numpy().copy()
        return self._pin(value, known, self._gradients.get((name, call, label)))

    def _after(self, name: str) -> Callable[..., Any]:
        def after(module: nn.Module, args: Any, output: Any) -> Any:
            _, call = self._running.pop()
            return self._given(output, name, call, "output")

        return after

    def _given(self, value: Any, name: str, call: int, label: str) -> Any:
        if isinstance(value, tuple):
            return tuple(self._given(item, name, call, f"{label}.{i}") for i, item in enumerate(value))
        known = self._outputs.get((name, call, label))
        if not isinstance(value, Tensor) or known is None:
            return value
        pinned = self._pin(value, known, self._gradients.get((name, call, label)))
        if self._running and pinned.requires_grad:
            parent, number = self._running[-1]
            key = parent, number, f"to {name} ({label})"
            pinned.register_hook(lambda gradient: self.handed_up.__setitem__(key, gradient.numpy().copy()))
        return pinned

    @staticmethod
    def _pin(value: Tensor, known: np.ndarray, gradient: np.ndarray | None) -> Tensor:
        if tuple(known.shape) != tuple(value.shape):
            raise RuntimeError("another shape than the reference's")
        pinned: Tensor = _Pin.apply(
            value, torch.from_numpy(known), None if gradient is None else torch.from_numpy(gradient)
        )
        return pinned
