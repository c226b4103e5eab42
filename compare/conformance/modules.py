"""Runs samples of PyTorch's test database of modules on both wings, and judges each by its own measured noise.

Every sample is called once, forward and backward, with a random incoming gradient for each floating output. Compared
are outputs, the gradients of inputs and parameters, and the buffers afterwards. What the reference draws at random is
recorded and replayed.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import manual
import manual.recording
from compare.calls.module import hostile
from compare.conformance.database import Sample
from compare.conformance.draws import Drawing
from compare.conformance.judging import Gap, Values, judged
from compare.conformance.twins import MissingError, manual_module, translated
from compare.floors import Floor, Spread
from compare.kinks import Deciding
from compare.noise import Perturbing
from torch_ref.recording import leaves, to_array

__all__ = ["SampleResult", "conform"]


@dataclass
class SampleResult:
    """What came of one sample.

    Attributes
    ----------
    sample : Sample
    passed : bool
    gaps : what parts, the worst first
    multiple : the largest distance in noise floors
    compared : how many numbers were compared
    ratio : time of the manual wing over that of torch, forward and backward; ``None`` where not measured
    problem : what was raised, if the sample could not be run
    missing : whether the manual wing has no such module
    """

    sample: Sample
    passed: bool
    gaps: list[Gap] = field(default_factory=list)
    multiple: float = 0.0
    compared: int = 0
    ratio: float | None = None
    problem: str = ""
    missing: bool = False


def conform(sample: Sample, dtype: torch.dtype, training: bool, *, seed: int = 0, timed: bool = False) -> SampleResult:
    """Run one sample on both wings and compare all that it yields."""
    reference = _Reference(sample, dtype, training, seed)
    try:
        plain = reference.run(drawing := Drawing())
        drawn = drawing.made
    except Exception as error:
        return SampleResult(sample, False, problem=f"torch raised {type(error).__name__}: {error}")
    try:
        mine = _Manual(sample, reference, training)
        actual = mine.run(reference.incoming, drawn)
    except MissingError as error:
        return SampleResult(sample, False, problem=str(error), missing=True)
    except Exception as error:
        return SampleResult(sample, False, problem=f"manual raised {type(error).__name__}: {error}")
    gaps, worst = judged(actual, plain, lambda runs: reference.floors(plain, runs))
    gaps.sort(key=lambda gap: -gap.multiple)
    result = SampleResult(sample, not gaps, gaps, worst, sum(value.size for value in plain.values()))
    if not result.compared:
        result.passed, result.problem = False, "nothing was compared"
    if timed:
        result.ratio = _ratio(lambda: mine.run(reference.incoming, drawn), reference.run)
    return result


def _ratio(mine: Callable[[], Any], theirs: Callable[[], Any]) -> float:
    """The least time of the manual wing over the least time of torch, taken in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(5):
        for function, found in zip((mine, theirs), times, strict=True):
            start = time.perf_counter()
            function()
            found.append(time.perf_counter() - start)
    return min(times[0]) / min(times[1])


class _Reference:
    """One sample as PyTorch runs it; every run starts from the same parameters, buffers and random state."""

    def __init__(self, sample: Sample, dtype: torch.dtype, training: bool, seed: int):
        self._sample = sample
        self._dtype = dtype
        self._seed = seed
        torch.manual_seed(seed)
        arguments, options = copy.deepcopy((sample.arguments, sample.options))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TransformerEncoder says which fast path it will not take
            module = getattr(torch.nn, sample.module)(*arguments, **options).to(dtype)
        module.train(training)
        if any(torch.nn.parameter.is_lazy(p) for p in [*module.parameters(), *module.buffers()]):
            with torch.no_grad():
                module(*sample.inputs, **sample.keywords)
        self.module = module
        with torch.no_grad():  # no parameter keeps a default that hides a mistake (weights of one, biases of zero)
            for parameter in module.parameters():
                if parameter.numel() and bool((parameter == parameter.flatten()[0]).all()):
                    parameter.add_(0.3 * torch.randn_like(parameter))
        self.state = {name: to_array(value).copy() for name, value in module.state_dict().items()}
        self.incoming: dict[str, np.ndarray] = {}

    def run(self, *modes: Any, double: bool = False) -> Values:
        """One forward and backward pass under dispatch modes; returns all that is to be compared."""
        module, sample = self.module, self._sample
        module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in self.state.items()})
        if double:
            module = copy.deepcopy(module).double()
        module.zero_grad(set_to_none=True)
        entering: dict[str, torch.Tensor] = {}

        def enter(label: str, value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            fresh = value.detach().clone()
            if double and fresh.is_floating_point():
                fresh = fresh.double()
            if not value.requires_grad:
                return fresh
            entering[label] = fresh.requires_grad_()
            return fresh.clone()  # so that a module may work in place

        inputs = _mapped(enter, sample.inputs, "input")
        keywords = _mapped(enter, sample.keywords, "input")
        torch.manual_seed(self._seed)
        with ExitStack() as stack, warnings.catch_warnings():
            for mode in modes:
                stack.enter_context(mode)
            warnings.simplefilter("ignore")
            output = module(*inputs, **keywords)
            outputs = dict(leaves(output, "output"))
            roots = {label: tensor for label, tensor in outputs.items() if tensor.requires_grad}
            generator = np.random.default_rng([self._seed, sample.number])
            seeds = []
            for label, tensor in roots.items():
                if label not in self.incoming:
                    self.incoming[label] = hostile(tuple(tensor.shape), to_array(tensor).dtype, generator)
                seeds.append(torch.from_numpy(self.incoming[label]).to(tensor.dtype))
            if roots:
                torch.autograd.backward(list(roots.values()), seeds)
        found = {label: to_array(tensor).copy() for label, tensor in outputs.items()}
        for label, tensor in entering.items():
            if tensor.grad is not None:
                found[f"{label} gradient"] = to_array(tensor.grad).copy()
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                found[f"{name} gradient"] = to_array(parameter.grad).copy()
        for name, buffer in module.named_buffers():
            found[f"{name} buffer"] = to_array(buffer).copy()
        return found

    def floors(self, plain: Values, runs: int) -> dict[str, Floor]:
        """How far perturbed reruns of this sample lie apart, value by value."""
        spreads = {name: Spread(value) for name, value in plain.items() if value.dtype.kind == "f"}
        deciding = Deciding()
        self.run(deciding)
        reruns = [self.run(Perturbing(self._seed * 101 + n, 1.0, deciding.made)) for n in range(runs)]
        if self._dtype is not torch.float64:
            reruns.append(self.run(double=True))
        for rerun in reruns:
            for name, value in rerun.items():
                if name in spreads and spreads[name].plain.shape == value.shape:
                    spreads[name].add(value)
        return {name: spread.floor() for name, spread in spreads.items()}


class _Manual:
    """The same sample on the manual wing."""

    def __init__(self, sample: Sample, reference: _Reference, training: bool):
        self._sample = sample
        self._state = reference.state
        dtype = np.float64 if reference._dtype is torch.float64 else np.float32
        self.module = manual_module(sample.module, sample.arguments, sample.options).to(dtype)
        self.module.train(training)
        if getattr(self.module, "has_uninitialized_params", lambda: False)():
            with manual.no_grad():
                self.module(*translated(sample.inputs), **translated(sample.keywords))
            self.module.to(dtype)

    def run(self, incoming: Values, drawn: list[np.ndarray]) -> Values:
        module, sample = self.module, self._sample
        module.load_state_dict({name: value.copy() for name, value in self._state.items()})
        module.zero_grad()
        entering: dict[str, Any] = {}

        def enter(label: str, value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return translated(value)
            tensor = manual.tensor(translated(value), requires_grad=value.requires_grad)
            if value.requires_grad:
                entering[label] = tensor
            return tensor

        inputs = _mapped(enter, sample.inputs, "input")
        keywords = _mapped(enter, sample.keywords, "input")
        with manual.random.replaying(drawn), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            output = module(*inputs, **keywords)
        outputs = dict(manual.recording.leaves(output, "output"))
        roots = {label: tensor for label, tensor in outputs.items() if tensor.requires_grad and label in incoming}
        if roots:
            manual.autograd.backward(list(roots.values()), [incoming[label] for label in roots])
        found = {label: np.array(tensor.data) for label, tensor in outputs.items()}
        for label, tensor in entering.items():
            if tensor.grad is not None:
                found[f"{label} gradient"] = np.array(tensor.grad)
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                found[f"{name} gradient"] = np.array(parameter.grad)
        for name, buffer in module.named_buffers():
            found[f"{name} buffer"] = np.array(buffer)
        return found


def _mapped(function: Callable[[str, Any], Any], value: Any, label: str) -> Any:
    """The same nested tuples, lists and dicts, with ``function(label, leaf)`` in place of every leaf."""
    if type(value) in (tuple, list):
        return type(value)(_mapped(function, item, f"{label}.{i}") for i, item in enumerate(value))
    if type(value) is dict:
        return {key: _mapped(function, item, f"{label}.{key}") for key, item in value.items()}
    return function(label, value)
