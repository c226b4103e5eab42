"""The sides of :func:`compare.module`: one call of a layer, forward and backward, on given inputs.

A micro-batch is ``(inputs, incoming)``: the arguments of the call, and a gradient for every output, in the output's
structure. Its weight is one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import manual.recording
import torch_ref.recording
from compare.batches import InputError
from compare.calls.arrays import ContractError, Watch, as_array, called, describe, hint, listed, map_tree, tree_leaves
from compare.calls.sides import Given, Reference, as_tensor
from compare.naming import NameMap, suggestion
from compare.side import Key
from manual.nn import Module
from manual.tensor import Tensor as ManualTensor
from manual.tensor import backward as run_backward
from torch_ref.recording import to_array

__all__ = ["FunctionClass", "ManualFunction", "ManualModule", "TorchModule", "copied"]


def copied(module: nn.Module) -> nn.Module:
    """An independent copy of a module, without gradients.

    Raises
    ------
    InputError
        If it cannot be copied.
    """
    try:
        made = copy.deepcopy(module)
    except Exception as error:
        raise InputError(f"{called(module)} cannot be copied: {type(error).__name__}: {error}") from error
    made.zero_grad(set_to_none=True)
    return made


def input_labels(inputs: tuple[Any, ...]) -> list[str]:
    """What the arguments of a call are called in its checkpoints."""
    return ["input"] if len(inputs) == 1 else [f"input.{i}" for i in range(len(inputs))]


def _entered(function: Callable[[str, np.ndarray], Any], inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with every array replaced; constants stay."""

    def enter(label: str, value: Any) -> Any:
        return function(label, value) if isinstance(value, np.ndarray) else value

    return tuple(map_tree(enter, value, label) for value, label in zip(inputs, input_labels(inputs), strict=True))


def _arrays(inputs: tuple[Any, ...]) -> Iterator[tuple[str, np.ndarray]]:
    for value, label in zip(inputs, input_labels(inputs), strict=True):
        for path, leaf in tree_leaves(value, label):
            if isinstance(leaf, np.ndarray):
                yield path, leaf


def _fits(outputs: Mapping[str, Any], seeds: Mapping[str, Any]) -> bool:
    """Whether every output has the shape of its incoming gradient; if not, no backward pass makes sense."""
    return all(
        seed is None or label not in outputs or tuple(outputs[label].shape) == seed.shape
        for label, seed in seeds.items()
    )


# -- PyTorch -----------------------------------------------------------------------------------------------------------


class TorchModule(Reference):
    """A module of PyTorch as a side.

    Parameters
    ----------
    prototype : nn.Module
        Copied.
    tree : bool
        Whether every module inside is shown, under its path, and dropout is drawn from a stream of its own, to be
        replayed; otherwise the outputs only.
    seed : int
        Seeds that stream.
    """

    def __init__(self, prototype: nn.Module, *, tree: bool, seed: int):
        self.module = copied(prototype)
        super().__init__(dict(self.module.named_parameters()))
        self.activations: dict[Key, np.ndarray] = {}
        self.inputs: dict[Key, np.ndarray] = {}
        self.activation_gradients: dict[Key, np.ndarray | None] = {}
        self.draws: dict[tuple[str, int], np.ndarray] = {}
        self._recorder = torch_ref.recording.Recorder(self.module, self._record, self._draw) if tree else None
        drawing = tree and any(isinstance(child, nn.modules.dropout._DropoutNd) for child in self.module.modules())
        self._seed = seed if drawing else None

    @property
    def buffers(self) -> dict[str, np.ndarray]:
        return {name: to_array(buffer) for name, buffer in self.module.named_buffers()}

    def run(self, inputs: tuple[Any, ...], entering: dict[str, Tensor] | None = None) -> Any:
        """The module's output for given arrays; its floating inputs are put into ``entering`` as leaves."""
        entering = {} if entering is None else entering

        def enter(label: str, array: np.ndarray) -> Tensor:
            tensor = as_tensor(array, self._wide, True)
            if not tensor.requires_grad:
                return tensor
            entering[label] = tensor
            return tensor.clone()  # so that a module may work in place

        if self._recorder:
            self._recorder.start()
        return self._called(_entered(enter, inputs))

    def accumulate(self, micro_batch: Any, weight: float) -> None:
        inputs, incoming = micro_batch
        for records in (self.activations, self.inputs, self.activation_gradients, self.draws):
            records.clear()
        entering: dict[str, Tensor] = {}
        output = self.run(inputs, entering)
        outputs = dict(torch_ref.recording.leaves(output, "output"))
        if not self._recorder:
            self.activations.update({("", 0, label): to_array(t).copy() for label, t in outputs.items()})
        else:
            self._recorder.forward_is_over()
        seeds = dict(tree_leaves(incoming, "output"))
        if not _fits(outputs, seeds):
            return
        roots = {
            label: tensor for label, tensor in outputs.items() if tensor.requires_grad and seeds.get(label) is not None
        }
        gradients = [as_tensor(seeds[label], self._wide).to(tensor.dtype) for label, tensor in roots.items()]
        if roots:
            torch.autograd.backward(list(roots.values()), gradients)
        for label, tensor in entering.items():
            if ("", 0, label) not in self.activation_gradients:
                self.activation_gradients["", 0, label] = None if tensor.grad is None else to_array(tensor.grad)

    def _called(self, arguments: tuple[Any, ...]) -> Any:
        if self._seed is None:
            return self.module(*arguments)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            return self.module(*arguments)

    def widen(self) -> None:
        super().widen()
        self.module.double()

    def state(self) -> dict[str, Any]:
        return {**super().state(), "buffers": {name: value.copy() for name, value in self.buffers.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        buffers = dict(self.module.named_buffers())
        with torch.no_grad():
            for name, value in state.get("buffers", {}).items():
                buffers[name].copy_(torch.as_tensor(value))

    def _record(self, kind: str, name: str, call: int, label: str, array: np.ndarray) -> None:
        if kind == "output":
            self.activations[name, call, label] = array
        elif kind == "input":
            self.inputs[name, call, label] = array
        else:
            self.activation_gradients[name, call, label] = array

    def _draw(self, name: str, call: int, mask: np.ndarray) -> None:
        self.draws[name, call] = mask


class FunctionClass(TorchModule):
    """A class of ``torch.autograd.Function`` as a side: applied to the inputs, then to the module's parameters."""

    def __init__(self, function: type[torch.autograd.Function], prototype: nn.Module, *, seed: int):
        super().__init__(prototype, tree=False, seed=seed)
        self.function = function

    @property
    def buffers(self) -> dict[str, np.ndarray]:
        return {}

    def _called(self, arguments: tuple[Any, ...]) -> Any:
        return self.function.apply(*arguments, *self._named.values())


# -- the user's --------------------------------------------------------------------------------------------------------


class ManualFunction(Given):
    """A function ``(inputs, parameters) -> (output, backward)`` as a side.

    Parameters
    ----------
    function : callable
    prototype : nn.Module
        Whose parameters and buffers the function is given.
    told : dict used as an ordered set
        Where sentences about changed inputs are put.
    names : NameMap
        What the function calls the parameters and buffers.
    """

    def __init__(self, function: Callable[..., Any], prototype: nn.Module, told: dict[str, None], names: NameMap):
        super().__init__({name: to_array(p) for name, p in prototype.named_parameters()})
        self.function = function
        self.activations: dict[Key, np.ndarray] = {}
        self.activation_gradients: dict[Key, np.ndarray | None] = {}
        self._buffers = {name: to_array(b).copy() for name, b in prototype.named_buffers()}
        self._frozen = {name for name, p in prototype.named_parameters() if not p.requires_grad}
        self._told = told
        self._names = names

    def accumulate(self, micro_batch: Any, weight: float) -> None:
        inputs, incoming = micro_batch
        who = called(self.function)
        watch = Watch(self._told)
        held = {**self.parameters, **{name: self.fitted(b) for name, b in self._buffers.items()}}
        result = self.function(
            _entered(lambda label, array: watch(f"its {label}", self.fitted(array)), inputs),
            {
                (own := self._names.actual_name(name)): watch(
                    f"the parameter {own!r}", np.asarray(self._names.to_actual(own, value), order="C")
                )
                for name, value in held.items()
            },
        )
        if not isinstance(result, (tuple, list)) or len(result) != 2 or not callable(result[1]):
            raise ContractError(f"{who} must return (output, backward); it returned {_inside(result)}")
        output, backward = result
        seeds = dict(tree_leaves(incoming, "output"))
        outputs = self._outputs(output, seeds)
        self.activations = {("", 0, label): array for label, array in outputs.items()}
        self.activation_gradients, self.gradients = {}, {}
        if not _fits(outputs, seeds) or all(seed is None for seed in seeds.values()):
            return
        arriving = map_tree(
            lambda label, seed: None if seed is None else watch("the incoming gradient", self.fitted(seed)),
            incoming,
            "output",
        )
        returned = backward(arriving)
        wanted = f"the backward of {who} must return (input gradients, {{name: gradient}})"
        if not isinstance(returned, (tuple, list)) or len(returned) != 2 or not isinstance(returned[1], Mapping):
            raise ContractError(f"{wanted}; it returned {_inside(returned)}")
        self._take_inputs(returned[0], inputs)
        self._take_parameters(returned[1])
        watch.look(who)

    def _outputs(self, output: Any, seeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
        who = called(self.function)
        found = {"output": output} if "output" in seeds else dict(tree_leaves(output, "output"))
        missing = [label for label, seed in seeds.items() if seed is not None and found.get(label) is None]
        if missing:
            raise ContractError(
                f"{who} returned {describe(output)} as its output; PyTorch's module returns "
                + ("one tensor" if "output" in seeds else f"tuples with {listed(seeds)}")
            )
        if "output" in seeds and isinstance(output, tuple):
            raise ContractError(f"{who} returned {describe(output)} as its output; PyTorch's module returns one tensor")
        return {
            label: as_array(f"{label} of {who}", value, like=None if (s := seeds.get(label)) is None else s.dtype)
            for label, value in found.items()
            if value is not None
        }

    def _take_inputs(self, returned: Any, inputs: tuple[Any, ...]) -> None:
        who = f"the backward of {called(self.function)}"
        many = returned if isinstance(returned, (tuple, list)) else (returned,)
        if returned is not None and len(many) != len(inputs):
            raise ContractError(
                f"{who} returned {len(many)} input gradients for {len(inputs)} inputs; use None for none"
            )
        gradients: dict[str, Any] = {}
        for value, label, gradient in zip(inputs, input_labels(inputs), many, strict=returned is not None):
            gradients.update({label: gradient} if isinstance(value, np.ndarray) else tree_leaves(gradient, label))
        for label, value in _arrays(inputs):
            gradient = gradients.get(label)
            if value.dtype.kind == "f":
                found = (
                    None
                    if gradient is None
                    else as_array(f"the gradient of {label}", gradient, self.fitted(value).dtype)
                )
                self.activation_gradients["", 0, label] = found
            elif gradient is not None:
                raise ContractError(
                    f"{who} returned a gradient for {label}, an input of dtype {value.dtype}, which has none"
                )

    def _take_parameters(self, returned: Mapping[str, Any]) -> None:
        who = f"the backward of {called(self.function)}"
        for own, gradient in returned.items():
            name = self._names.met(own) if isinstance(own, str) else own
            if name in self._buffers:
                raise ContractError(f"{who} returned a gradient for {own!r}, which is a buffer and has none")
            if name not in self.parameters:
                left = {n: p.shape for n, p in self.parameters.items() if n not in returned}
                tip = suggestion(str(own), getattr(gradient, "shape", None), left) or hint(own, self.parameters)
                raise ContractError(f"{who} returned a gradient for {own!r}, which is no parameter; {tip}")
            if name in self.gradients:
                raise ContractError(f"{who} returned two gradients for {name!r}, one of them as {own!r}")
            if name not in self._frozen:
                dtype = self.parameters[name].dtype
                found = None if gradient is None else as_array(f"the gradient of {own}", gradient, dtype)
                self.gradients[name] = (
                    None if found is None else np.asarray(self._names.to_expected(own, found), order="C")
                )


def _inside(value: Any) -> str:
    """What a tuple holds, or what stands in its place."""
    if isinstance(value, (tuple, list)) and 0 < len(value) <= 4:
        return f"({', '.join(describe(item) for item in value)})"
    return describe(value)


class ManualModule:
    """A module of :mod:`manual.nn` as a side, with every module inside shown."""

    def __init__(self, prototype: Module, values: Mapping[str, np.ndarray]):
        self.module = copy.deepcopy(prototype)
        kinds = {value.dtype for value in values.values() if value.dtype.kind == "f"}
        if len(kinds) == 1:
            self.module.to(kinds.pop())
        self.module.load_state_dict(dict(values))
        self._named = dict(self.module.named_parameters())
        self._wide = False
        self.activations: dict[Key, np.ndarray] = {}
        self.inputs: dict[Key, np.ndarray] = {}
        self.activation_gradients: dict[Key, np.ndarray] = {}
        self._recorder = manual.recording.Recorder(self.module, self._record)

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        return {name: p.data for name, p in self._named.items()}

    @property
    def gradients(self) -> dict[str, np.ndarray | None]:
        return {name: None if p.grad is None else np.asarray(p.grad) for name, p in self._named.items()}

    @property
    def buffers(self) -> dict[str, np.ndarray]:
        return dict(self.module.named_buffers())

    def zero_grad(self) -> None:
        self.module.zero_grad()

    def accumulate(self, micro_batch: Any, weight: float) -> None:
        inputs, incoming = micro_batch
        for records in (self.activations, self.inputs, self.activation_gradients):
            records.clear()
        self._recorder.start()

        def enter(label: str, array: np.ndarray) -> ManualTensor:
            array = array.astype(np.float64) if self._wide and array.dtype.kind == "f" else array.copy()
            return ManualTensor(array, requires_grad=array.dtype.kind == "f")

        output = self.module(*_entered(enter, inputs))
        outputs = dict(manual.recording.leaves(output, "output"))
        seeds = dict(tree_leaves(incoming, "output"))
        if not _fits({label: tensor.data for label, tensor in outputs.items()}, seeds):
            return
        labels = [label for label, tensor in outputs.items() if tensor.requires_grad and seeds.get(label) is not None]
        if labels:
            arriving = [seeds[label].astype(outputs[label].data.dtype) for label in labels]
            run_backward([outputs[label] for label in labels], arriving)

    def step(self) -> None:
        """Nothing is updated."""

    def replay(self, draws: Mapping[tuple[str, int], np.ndarray]) -> None:
        """Give dropout modules the masks to use in the next ``accumulate``."""
        modules: dict[str, list[np.ndarray]] = {}
        for (name, _), mask in sorted(draws.items(), key=lambda item: item[0]):
            modules.setdefault(name, []).append(mask)
        for name, masks in modules.items():
            self.module.get_submodule(name).replay(*masks)

    def widen(self) -> None:
        """Go on in float64, inputs included."""
        self._wide = True
        self.module.double()

    def _record(self, kind: str, name: str, call: int, label: str, array: np.ndarray) -> None:
        if kind == "output":
            self.activations[name, call, label] = array
        elif kind == "input":
            self.inputs[name, call, label] = array
        else:
            self.activation_gradients[name, call, label] = array
