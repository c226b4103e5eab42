"""The worked example of a rule: arrays in, a value and a pullback out, held against PyTorch's function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from compare.explaining.drawing import made
from compare.explaining.examples_rules import EXAMPLES, reference
from compare.explaining.working import Derivative, Worked, columns, incoming, labels_of, numeric

__all__ = ["rule_example"]


def rule_example(name: str, rule: Callable[..., Any], seed: int = 0) -> Worked:
    """Compute a rule's example."""
    example = EXAMPLES[name]
    inputs, wanted = made(example.inputs, seed)
    named = _names(rule, len(inputs))
    value, pullback = rule(*inputs, **example.options)
    outputs = value if isinstance(value, tuple) else (value,)
    labels = labels_of(len(outputs), "y")
    generator = np.random.default_rng([seed, 7])
    arriving = {
        label: incoming(np.shape(output), generator)
        for label, output in zip(labels, outputs, strict=True)
        if np.asarray(output).dtype.kind == "f"
    }
    given = {
        **{label: item for label, item in zip(named, inputs, strict=True) if item is not None},
        **example.options,
    }
    actual: dict[str, np.ndarray] = {label: np.asarray(v) for label, v in zip(labels, outputs, strict=True)}
    why_not = _why_not(inputs, wanted, arriving)
    numerics: dict[str, Derivative] = {}
    if not why_not:
        seeds = tuple(
            arriving.get(label, np.zeros(np.shape(output))) for label, output in zip(labels, outputs, strict=True)
        )
        gradients = pullback(seeds if isinstance(value, tuple) else seeds[0], tuple(wanted))
        for place, gradient in enumerate(gradients):
            if wanted[place] and gradient is not None:
                label = f"dL/d{named[place]}"
                actual[label] = np.asarray(gradient)
                loss = _Loss(rule, inputs, place, example.options, list(arriving.items()), labels)
                numerics[label] = numeric(loss, inputs[place], lambda loss=loss: loss.size)  # type: ignore[misc]
    function = reference(name)

    def run(*modes: Any) -> dict[str, np.ndarray]:
        tensors = [_tensor(item, wants) for item, wants in zip(inputs, wanted, strict=True)]
        options = {key: _tensor(item, False) for key, item in example.options.items()}
        with ExitStack() as stack:
            for mode in modes:
                stack.enter_context(mode)
            result = function(*tensors, **options)
            results = list(result) if isinstance(result, (tuple, list)) else [result]
            roots = [
                (results[place], arriving[label])
                for place, label in enumerate(labels)
                if label in arriving and results[place].requires_grad
            ]
            if roots and not why_not:
                torch.autograd.backward(
                    [root for root, _ in roots], [torch.from_numpy(seed.copy()) for _, seed in roots]
                )
        found = {label: results[place].detach().numpy().copy() for place, label in enumerate(labels)}
        for place, tensor in enumerate(tensors):
            if wanted[place] and not why_not:
                gradient = tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)
                found[f"dL/d{named[place]}"] = gradient.numpy().copy()
        return found

    found = columns(actual, run, numerics)
    values = tuple(column for column in found if column.label in labels)
    rest = tuple(column for column in found if column.label not in labels)
    return Worked(given, {} if why_not else arriving, values, rest, why_not)


def _why_not(inputs: list[Any], wanted: list[bool], arriving: dict[str, np.ndarray]) -> str:
    if not arriving:
        return "The result is whole numbers: no small change of an input changes it, and no gradient flows through it."
    if not any(wanted):
        return "No input of it is a floating-point array, so there is nothing to differentiate."
    return ""


def _tensor(item: Any, wants: bool) -> Any:
    if not isinstance(item, np.ndarray):
        return item
    tensor = torch.from_numpy(np.array(item))
    return tensor.requires_grad_() if wants else tensor


def _names(rule: Callable[..., Any], count: int) -> list[str]:
    """The names of the positional inputs, as the rule calls them."""
    parameters = list(inspect.signature(rule).parameters.values())
    if parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return [f"{'x' if count > 1 else parameters[0].name}{place}" for place in range(count)]
    return [parameter.name for parameter in parameters[:count]]


class _Loss:
    """``L = sum of incoming times output``, as a function of one input in the widest dtype."""

    def __init__(
        self,
        rule: Callable[..., Any],
        inputs: list[Any],
        place: int,
        options: dict[str, Any],
        arriving: list[tuple[str, np.ndarray]],
        labels: Any,
    ):
        self._rule = rule
        self._inputs = [np.asarray(x, np.longdouble) if _floats(x) else x for x in inputs]
        self._place = place
        self._options = {key: "longdouble" if key == "dtype" else item for key, item in options.items()}
        self._arriving = [(list(labels).index(label), seed) for label, seed in arriving]
        self.size = 0.0

    def __call__(self, value: np.ndarray) -> Any:
        inputs = list(self._inputs)
        inputs[self._place] = value
        output, _ = self._rule(*inputs, **self._options)
        outputs = output if isinstance(output, tuple) else (output,)
        terms = [seed * outputs[place] for place, seed in self._arriving]
        # what an output is summed from may be larger than the output: the inputs say how large
        inner = max((float(np.max(np.abs(x), initial=0.0)) for x in inputs if _floats(x)), default=0.0)
        self.size = float(sum(np.sum(np.abs(term)) for term in terms)) + inner
        return sum((np.sum(term) for term in terms), np.longdouble(0))


def _floats(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"
