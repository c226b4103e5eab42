"""Hooks that hand out what every module saw and made, and the gradients with respect to it.

A module's input is replaced by an alias of itself, so that the gradient that arrives *through this module* can be told
from the sum over all of the tensor's consumers. Arrays are handed out as they are: no rule ever writes to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from manual import rules
from manual.engine import is_grad_enabled
from manual.nn import Module
from manual.nn.dropout import _DropoutNd
from manual.rules.core import Array
from manual.tensor import Tensor, apply

__all__ = ["Recorder", "leaves"]

Record = Callable[[str, str, int, str, Array], None]


def leaves(value: Any, label: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor inside nested tuples, lists and dicts, with a label such as ``output.1.0``."""
    if isinstance(value, Tensor):
        yield label, value
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from leaves(item, f"{label}.{index}")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{label}.{key}")


class Recorder:
    """Watches a tree of modules.

    Parameters
    ----------
    module : Module
        Its whole tree is watched, under the paths of ``named_modules``.
    record : callable
        Called as ``record(kind, name, call, label, array)`` in order of execution. ``kind`` is ``"input"``,
        ``"output"``, ``"input_gradient"`` or ``"output_gradient"``; ``call`` counts the calls of one module since
        :meth:`start`; ``label`` tells several inputs or outputs apart (``"output"``, ``"output.0"`` ...).
    draw : callable, optional
        Called as ``draw(name, call, mask)`` with the mask that a dropout module has just used.
    """

    def __init__(self, module: Module, record: Record, draw: Callable[[str, int, Array], None] | None = None):
        self._record = record
        self._draw = draw
        self._calls: dict[str, int] = {}
        self._removers: list[Callable[[], Any]] = []
        for name, child in module.named_modules():
            self._removers.append(child.register_forward_pre_hook(self._before(name), with_kwargs=True))
            self._removers.append(child.register_forward_hook(self._after(name)))

    def remove(self) -> None:
        """Take the hooks off."""
        for remove in self._removers:
            remove()

    def start(self) -> None:
        """Begin a micro-batch: calls are counted anew."""
        self._calls.clear()

    def tap(self, name: str, call: int, label: str, tensor: Tensor) -> Tensor:
        """Alias a tensor for one consumer and hand out the gradient that comes through that consumer."""
        if not tensor.requires_grad or not is_grad_enabled():
            return tensor
        alias: Tensor = apply(rules.alias, tensor)
        self._watch("input_gradient", name, call, label, alias)
        return alias

    def _before(self, name: str) -> Callable[..., Any]:
        def before(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self._calls.get(name, 0)
            if len(args) == 1 and not kwargs:
                return (self._tapped(args[0], name, call, "input"),), kwargs
            tapped = tuple([self._tapped(item, name, call, f"input.{i}") for i, item in enumerate(args)])
            return tapped, {key: self._tapped(item, name, call, f"input.{key}") for key, item in kwargs.items()}

        return before

    def _tapped(self, value: Any, name: str, call: int, label: str) -> Any:
        if isinstance(value, Tensor):
            self._record("input", name, call, label, value.data)
            return self.tap(name, call, label, value)
        if type(value) in (tuple, list):
            return type(value)(self._tapped(item, name, call, f"{label}.{i}") for i, item in enumerate(value))
        return value

    def _after(self, name: str) -> Callable[..., None]:
        def after(module: Module, args: tuple[Any, ...], output: Any) -> None:
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            if (
                self._draw is not None
                and isinstance(module, _DropoutNd)
                and module.training
                and module.last_mask is not None
            ):
                self._draw(name, call, module.last_mask)
            for label, tensor in leaves(output, "output"):
                self._record("output", name, call, label, tensor.data)
                if tensor.requires_grad and is_grad_enabled():
                    self._watch("output_gradient", name, call, label, tensor)

        return after

    def _watch(self, kind: str, name: str, call: int, label: str, tensor: Tensor) -> None:
        record = self._record
        tensor.register_hook(lambda gradient: record(kind, name, call, label, gradient))
