"""Run one module alone, forward and backward, on inputs that somebody else supplies.

A leaf gets its inputs and the gradients of its outputs. A container's children do not run: each of their calls returns
the outputs, and in the backward pass the input gradients, that were supplied for it. What then differs is the
container's own glue, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from manual.nn import Module
from manual.recording import leaves
from manual.rules.core import Array
from manual.tensor import Tensor, apply, backward

__all__ = ["ModuleRun", "run_module"]


@dataclass
class ModuleRun:
    """What came out of one module run alone.

    ``child_inputs`` and ``child_output_gradients`` are keyed by ``(child path, call, label)``: what the container's
    glue fed to its children, forward and backward.
    """

    outputs: dict[str, Array] = field(default_factory=dict)
    input_gradients: dict[str, Array] = field(default_factory=dict)
    parameter_gradients: dict[str, Array] = field(default_factory=dict)
    child_inputs: dict[tuple[str, int, str], Array] = field(default_factory=dict)
    child_output_gradients: dict[tuple[str, int, str], Array] = field(default_factory=dict)


def run_module(
    module: Module,
    path: str,
    inputs: tuple[tuple[Any, ...], Mapping[str, Any]],
    output_gradients: Mapping[str, Array],
    children: Mapping[str, list[Any]],
) -> ModuleRun:
    """Run ``module`` on the given inputs and output gradients.

    Parameters
    ----------
    module : Module
    path : its path, which names its parameters in the result
    inputs : ``(args, kwargs)`` of arrays
    output_gradients : the gradient of each output, by label; outputs without one get none
    children : for a container, the calls of each child (by path) that stand in for running it, in order; a call has
        ``outputs`` and ``input_gradients``, arrays by label
    """
    run = ModuleRun()
    args, kwargs = inputs
    values = _as_leaves(args), {key: _as_leaves(value) for key, value in kwargs.items()}
    own = dict(module.named_parameters(prefix=path))
    before = {name: parameter.grad for name, parameter in own.items()}
    with ExitStack() as stack:
        for child, calls in children.items():
            relative = child.removeprefix(f"{path}.") if path else child
            stack.enter_context(_stand_in(module.get_submodule(relative), child, calls, run))
        for parameter in own.values():
            parameter.grad = None
            hooks, parameter._hooks = parameter._hooks, None
            stack.callback(setattr, parameter, "_hooks", hooks)
        output = module.forward(*values[0], **values[1])
        roots, seeds = [], []
        for label, tensor in leaves(output, "output"):
            run.outputs[label] = tensor.data
            if label in output_gradients and tensor.requires_grad:
                roots.append(tensor)
                seeds.append(output_gradients[label])
        if roots:
            backward(roots, seeds)
    single = len(args) == 1 and not kwargs
    for position, value in enumerate(values[0]):
        for label, tensor in leaves(value, "input" if single else f"input.{position}"):
            if tensor.grad is not None:
                run.input_gradients[label] = tensor.grad
    for key, value in values[1].items():
        for label, tensor in leaves(value, f"input.{key}"):
            if tensor.grad is not None:
                run.input_gradients[label] = tensor.grad
    for name, parameter in own.items():
        if parameter.grad is not None:
            run.parameter_gradients[name] = np.asarray(parameter.grad)
        parameter.grad = before[name]
    return run


def _as_leaves(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return Tensor(value, requires_grad=value.dtype.kind == "f")
    if type(value) in (tuple, list):
        return type(value)(_as_leaves(item) for item in value)
    return value


@contextmanager
def _stand_in(module: Module, path: str, calls: list[Any], run: ModuleRun) -> Any:
    """Let ``module.forward`` return what was recorded for it, and its pullback the recorded input gradients."""
    remaining = iter(calls)
    count = iter(range(len(calls)))
    hooks = module._forward_pre_hooks.copy(), module._forward_hooks.copy()
    module._forward_pre_hooks.clear()
    module._forward_hooks.clear()

    def forward(*args: Any, **kwargs: Any) -> Any:
        call, number = next(remaining), next(count)
        label = "input" if len(args) == 1 and not kwargs else None
        given = [
            pair for position, value in enumerate(args) for pair in leaves(value, label or f"input.{position}")
        ] + [pair for key, value in kwargs.items() for pair in leaves(value, f"input.{key}")]
        for name, tensor in given:
            run.child_inputs[path, number, name] = tensor.data
        return apply(_recorded_rule(call, [name for name, _ in given], path, number, run), *[t for _, t in given])

    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        del module.__dict__["forward"]
        module._forward_pre_hooks.update(hooks[0])
        module._forward_hooks.update(hooks[1])


def _recorded_rule(call: Any, inputs: list[str], path: str, number: int, run: ModuleRun) -> Callable[..., Any]:
    labels = list(call.outputs)

    def recorded(*values: Array) -> tuple[Any, Any]:
        def recorded_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
            gradients = (incoming,) if len(labels) == 1 else incoming
            for label, gradient in zip(labels, gradients, strict=True):
                run.child_output_gradients[path, number, label] = gradient
            return tuple(
                call.input_gradients[name].copy() if need and name in call.input_gradients else None
                for name, need in zip(inputs, needs, strict=True)
            )

        made = tuple(np.asarray(call.outputs[label]) for label in labels)
        return made[0] if len(made) == 1 else made, recorded_pullback

    return recorded
