"""The worked example of a layer or a loss: the same module on both wings, with the same parameters and draws."""

from __future__ import annotations

import inspect
import warnings
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

import manual
import manual.recording
from compare.conformance.draws import Drawing
from compare.explaining.drawing import made
from compare.explaining.examples_layers import EXAMPLES, LayerExample
from compare.explaining.working import Derivative, Worked, columns, incoming, labels_of, numeric, rows_for
from torch_ref.recording import leaves, to_array

__all__ = ["layer_example"]


def layer_example(name: str, seed: int = 0) -> Worked:
    """Compute a layer's example."""
    example = EXAMPLES[name]
    inputs, wanted = made(example.inputs, seed)
    theirs = _Torch(name, example, inputs, wanted, seed)
    with Drawing() as drawing:
        plain = theirs.run()
    ours = _Manual(name, example, inputs, theirs.state, drawing.made)
    actual = ours.run(theirs.arriving, wanted)
    outputs = labels_of(len(theirs.outputs), "y")
    tensors = [label for label in plain if label.startswith("dL/d")]
    numerics: dict[str, Derivative] = {}
    rows = rows_for(len(tensors))
    first = rows + 1 if rows > 2 else rows  # a tensor of one row more than is shown is shown whole
    for label in tensors:
        loss = ours.loss(label, theirs.arriving)
        numerics[label] = numeric(loss, loss.at, lambda loss=loss: loss.size, first=first)  # type: ignore[misc]
    found = columns(actual, theirs.run, numerics)
    draws = {f"drawn{'' if len(drawing.made) == 1 else place}": value for place, value in enumerate(drawing.made)}
    given = {**dict(zip(ours.names, inputs, strict=False)), **ours.shown_state(), **draws}
    values = tuple(column for column in found if column.label not in tensors)
    gradients = tuple(column for column in found if column.label in tensors)
    arriving = {label: theirs.arriving[label] for label in outputs if label in theirs.arriving}
    return Worked(given, arriving, values, gradients, "", f"nn.{_written(name, example)}")


def _written(name: str, example: LayerExample) -> str:
    if example.written:
        return example.written.removeprefix("nn.")
    options = [f"{key}={_bare(value)}" for key, value in example.options.items()]
    return f"{name}({', '.join([*map(_bare, example.arguments), *options])})"


def _bare(value: Any) -> str:
    return str(value.tolist()) if isinstance(value, np.ndarray) else repr(value)


def _constructed(name: str, example: LayerExample, namespace: Any, convert: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old names and fast paths that will not be taken
        if example.build is not None:
            return example.build(namespace)
        if not hasattr(namespace, name):
            return _ABSENT[name]()
        arguments = [convert(value) if isinstance(value, np.ndarray) else value for value in example.arguments]
        options = {key: convert(v) if isinstance(v, np.ndarray) else v for key, v in example.options.items()}
        return getattr(namespace, name)(*arguments, **options)


class _Hinge(torch.nn.Module):
    """The hinge loss of a linear SVM, which ``torch.nn`` does not have, written in PyTorch's ops."""

    def __init__(self, power: int = 1):
        super().__init__()
        self.power = power

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((1 - target * input).clamp(min=0) ** self.power).mean()


_ABSENT = {"HingeLoss": _Hinge, "SquaredHingeLoss": lambda: _Hinge(2)}


class _Torch:
    """A layer of PyTorch; every run starts from the same parameters, buffers and random state."""

    def __init__(self, name: str, example: LayerExample, inputs: list[Any], wanted: list[bool], seed: int):
        torch.manual_seed(seed)
        self._seed, self._inputs, self._wanted, self._grouped = seed, inputs, wanted, example.grouped
        module = _constructed(name, example, torch.nn, torch.from_numpy)
        module = module.to(torch.float64).train()
        if any(torch.nn.parameter.is_lazy(p) for p in [*module.parameters(), *module.buffers()]):
            with torch.no_grad():
                module(*self._tensors())
            module = module.to(torch.float64)
        self.module = module
        self.names = _input_names(name, len(inputs))
        generator = np.random.default_rng([seed, 3])
        weights = {id(parameter) for parameter in module.parameters()}
        self.state: dict[str, np.ndarray] = {}
        for key, value in module.state_dict(keep_vars=True).items():
            array = to_array(value.detach()).copy()
            if id(value) in weights:  # none keeps a default that hides a mistake: weights of one, biases of zero
                array = np.round(
                    generator.uniform(0.2, 1.0, array.shape) * generator.choice([-1.0, 1.0], array.shape), 3
                )
            self.state[key] = array
        self.arriving: dict[str, np.ndarray] = {}
        self.outputs: list[str] = []

    def _tensors(self) -> list[Any]:
        tensors = []
        for value, wants in zip(self._inputs, self._wanted, strict=True):
            tensor = torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value
            tensors.append(tensor.requires_grad_() if wants else tensor)
        return tensors

    def run(self, *modes: Any) -> dict[str, np.ndarray]:
        module = self.module
        module.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in self.state.items()})
        module.zero_grad(set_to_none=True)
        tensors = self._tensors()
        torch.manual_seed(self._seed)
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for mode in modes:
                stack.enter_context(mode)
            outputs = [tensor for _, tensor in leaves(module(*_handed(self._grouped, tensors)), "y")]
            self.outputs = list(labels_of(len(outputs), "y"))
            roots = {label: tensor for label, tensor in zip(self.outputs, outputs, strict=True) if tensor.requires_grad}
            if not self.arriving:
                generator = np.random.default_rng([self._seed, 7])
                self.arriving = {label: incoming(tuple(root.shape), generator) for label, root in roots.items()}
            torch.autograd.backward(
                list(roots.values()), [torch.from_numpy(self.arriving[label].copy()) for label in roots]
            )
        found = {label: tensor.detach().numpy().copy() for label, tensor in zip(self.outputs, outputs, strict=True)}
        for label, tensor in zip(self.names, tensors, strict=True):
            if isinstance(tensor, torch.Tensor) and tensor.grad is not None:
                found[f"dL/d{label}"] = tensor.grad.numpy().copy()
        for key, parameter in module.named_parameters():
            if parameter.grad is not None:
                found[f"dL/d{key}"] = parameter.grad.numpy().copy()
        for key, buffer in module.named_buffers():
            if not np.array_equal(to_array(buffer), self.state.get(key, to_array(buffer))):
                found[f"{key} after"] = to_array(buffer).copy()
        return found


class _Manual:
    """The same layer of the manual wing."""

    def __init__(
        self, name: str, example: LayerExample, inputs: list[Any], state: dict[str, np.ndarray], drawn: list[np.ndarray]
    ):
        self._name, self._example, self._inputs, self._state, self._drawn = name, example, inputs, state, drawn
        self.names = _input_names(name, len(inputs))
        self._module = self._made(np.float64)

    def _made(self, dtype: Any) -> Any:
        module = _constructed(self._name, self._example, manual.nn, lambda value: value)
        module.to(dtype)
        module.train()
        if getattr(module, "has_uninitialized_params", lambda: False)():
            with manual.no_grad():
                module(*self._tensors(dtype, [False] * len(self._inputs)))
            module.to(dtype)
        return module

    def _tensors(self, dtype: Any, wanted: list[bool], moved: dict[int, np.ndarray] | None = None) -> list[Any]:
        tensors = []
        for place, value in enumerate(self._inputs):
            array = (moved or {}).get(place, value)
            if isinstance(array, np.ndarray):
                array = array.astype(dtype) if array.dtype.kind == "f" else array.copy()
                array = manual.tensor(array, requires_grad=wanted[place])
            tensors.append(array)
        return tensors

    def _called(self, module: Any, tensors: list[Any]) -> list[Any]:
        with manual.random.replaying(self._drawn), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [
                tensor for _, tensor in manual.recording.leaves(module(*_handed(self._example.grouped, tensors)), "y")
            ]

    def run(self, arriving: dict[str, np.ndarray], wanted: list[bool]) -> dict[str, np.ndarray]:
        module = self._module
        module.load_state_dict({key: value.copy() for key, value in self._state.items()})
        tensors = self._tensors(np.float64, wanted)
        outputs = self._called(module, tensors)
        labels = list(labels_of(len(outputs), "y"))
        roots = {label: tensor for label, tensor in zip(labels, outputs, strict=True) if label in arriving}
        manual.autograd.backward(list(roots.values()), [arriving[label] for label in roots])
        found = {label: tensor.data for label, tensor in zip(labels, outputs, strict=True)}
        for label, tensor in zip(self.names, tensors, strict=True):
            if getattr(tensor, "grad", None) is not None:
                found[f"dL/d{label}"] = tensor.grad
        for key, parameter in module.named_parameters():
            if parameter.grad is not None:
                found[f"dL/d{key}"] = parameter.grad
        for key, buffer in module.named_buffers():
            if not np.array_equal(buffer, self._state.get(key, buffer)):
                found[f"{key} after"] = np.asarray(buffer)
        return found

    def shown_state(self) -> dict[str, np.ndarray]:
        """The parameters, and the buffers that a page shows, if they are few."""
        shown = {key: value for key, value in self._state.items() if value.size <= 24}
        return shown if sum(value.size for value in shown.values()) <= 60 else {}

    def loss(self, label: str, arriving: dict[str, np.ndarray]) -> _Loss:
        return _Loss(self, label.removeprefix("dL/d"), arriving)


class _Loss:
    """``L = sum of incoming times output`` of the manual layer, as a function of one input or parameter."""

    def __init__(self, layer: _Manual, name: str, arriving: dict[str, np.ndarray]):
        self._layer, self._name, self._arriving = layer, name, arriving
        self._module = layer._made(np.longdouble)
        self._state = {
            key: value.astype(np.longdouble) if value.dtype.kind == "f" else value
            for key, value in layer._state.items()
        }
        self._place = layer.names.index(name) if name in layer.names else None
        self.at = self._state[name] if self._place is None else layer._inputs[self._place]
        self.size = 0.0

    def __call__(self, value: np.ndarray) -> Any:
        layer, moved = self._layer, {}
        state = {key: array.copy() for key, array in self._state.items()}
        if self._place is None:
            state[self._name] = value
        else:
            moved[self._place] = value
        self._module.load_state_dict(state)
        with manual.no_grad():
            tensors = layer._tensors(np.longdouble, [False] * len(layer._inputs), moved)
            outputs = [tensor.data for tensor in layer._called(self._module, tensors)]
        labels = list(labels_of(len(outputs), "y"))
        terms = [
            self._arriving[label] * out for label, out in zip(labels, outputs, strict=True) if label in self._arriving
        ]
        self.size = float(sum(np.sum(np.abs(term)) for term in terms)) + float(np.max(np.abs(value), initial=1.0))
        return sum((np.sum(term) for term in terms), np.longdouble(0))


def _input_names(name: str, count: int) -> list[str]:
    """What the layer's ``forward`` calls its inputs."""
    if EXAMPLES[name].grouped:
        return ["input", "h", "c"]
    parameters = list(inspect.signature(getattr(manual.nn, name).forward).parameters)[1:]
    return parameters[:count]


def _handed(grouped: bool, tensors: list[Any]) -> list[Any]:
    return [tensors[0], tuple(tensors[1:])] if grouped else tensors
