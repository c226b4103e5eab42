"""Hooks that hand out what every module saw and made, and the gradients with respect to it.

Nothing is computed differently because somebody watches: a module's input is replaced by an alias of itself, so
that the gradient that arrives *through this module* can be told from the sum over all consumers, and an alias changes
no bit. Arrays are views of torch's memory; they are copied only where an in-place op will overwrite them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Recorder", "leaves", "to_array"]

Record = Callable[[str, str, int, str, np.ndarray], None]


def to_array(tensor: Tensor) -> np.ndarray:
    """View a CPU tensor as an array (bfloat16, which NumPy lacks, is widened to float32 exactly).

    Shapes: any; the array has the tensor's. Raises nothing of its own.

    Examples
    --------
    >>> torch_ref.recording.to_array(torch.tensor([1.0, 2.0], requires_grad=True))
    array([1., 2.], dtype=float32)
    """
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    array: np.ndarray = (tensor.to_dense() if tensor.is_sparse else tensor.cpu()).numpy()
    return array


def leaves(value: Any, label: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor inside nested tuples, lists and dicts, with a label such as ``output.1.0``.

    Shapes: tensors of any shape. Raises nothing; what is no tensor and no sequence has none.

    Examples
    --------
    >>> hidden, cell = torch.zeros(1), torch.ones(1)
    >>> [(label, tensor.item()) for label, tensor in torch_ref.recording.leaves((hidden, cell), "output")]
    [('output.0', 0.0), ('output.1', 1.0)]
    """
    if isinstance(value, Tensor):
        yield label, value
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from leaves(item, f"{label}.{index}")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{label}.{key}")


def _aliased(value: Any) -> Any:
    """Aliases of a tuple's or list's tensors that have a gradient, so that only what arrives from outside is seen."""
    if isinstance(value, Tensor):
        return value.view_as(value) if value.requires_grad and torch.is_grad_enabled() else value
    return type(value)(map(_aliased, value)) if type(value) in (tuple, list) else value


class Recorder:
    """Watches a tree of modules.

    Shapes: each array has that of what it was taken from.

    Parameters
    ----------
    module : nn.Module
        Its whole tree is watched, under the paths of ``named_modules``.
    record : callable
        Called as ``record(kind, name, call, label, array)`` in order of execution. ``kind`` is ``"input"``,
        ``"output"``, ``"input_gradient"`` or ``"output_gradient"``; ``call`` counts the calls of one module since
        :meth:`start`; ``label`` tells several inputs or outputs apart (``"output"``, ``"output.0"`` ...).
    draw : callable, optional
        Called as ``draw(name, call, mask)`` with the mask that a dropout module has just used.

    Raises
    ------
    RuntimeError
        From ``forward_is_over``, if a value was overwritten in place after it was recorded.

    Examples
    --------
    >>> model, seen = torch.nn.Sequential(torch.nn.ReLU()), []
    >>> def record(kind, name, call, label, array):
    ...     seen.append((kind, name, array.tolist()))
    >>> recorder = torch_ref.recording.Recorder(model, record)
    >>> recorder.start()
    >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
    >>> model(x).backward(torch.tensor([3.0, 5.0]))
    >>> [(kind, values) for kind, name, values in seen if name == "0"]
    [('input', [-1.0, 2.0]), ('output', [0.0, 2.0]), ('output_gradient', [3.0, 5.0]), ('input_gradient', [0.0, 5.0])]
    """

    def __init__(self, module: nn.Module, record: Record, draw: Callable[[str, int, np.ndarray], None] | None = None):
        self._record = record
        self._draw = draw
        self._calls: dict[str, int] = {}
        self._held: list[tuple[tuple[str, str, int, str], Tensor, int]] = []
        self._overwritten: set[tuple[str, str, int, str]] | None = None  # unknown before the first micro-batch
        self._handles: list[Any] = []
        for name, child in module.named_modules():
            self._handles.append(child.register_forward_pre_hook(self._before(name), with_kwargs=True))
            self._handles.append(child.register_forward_hook(self._after(name)))

    def remove(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()

    def start(self) -> None:
        """Begin a micro-batch: calls are counted anew."""
        self._calls.clear()
        self._held.clear()

    def forward_is_over(self) -> None:
        """Learn which recorded values an in-place op has overwritten.

        In the first micro-batch every value is copied; from the second on only those that were overwritten.

        Raises
        ------
        RuntimeError
            If a value is overwritten that was not in the first micro-batch.
        """
        changed = {key for key, tensor, version in self._held if tensor._version != version}
        self._held.clear()
        if self._overwritten is None:
            self._overwritten = changed
        elif not changed <= self._overwritten:
            late = ", ".join(
                sorted(f"{name or 'the model'} ({kind})" for kind, name, *_ in changed - self._overwritten)
            )
            raise RuntimeError(f"overwritten in place after it was recorded, but not in the first micro-batch: {late}")

    def tap(self, name: str, call: int, label: str, tensor: Tensor) -> Tensor:
        """Alias a tensor for one consumer and hand out the gradient that comes through that consumer."""
        if not tensor.requires_grad or not torch.is_grad_enabled():
            return tensor
        alias = tensor.view_as(tensor)
        self._watch("input_gradient", name, call, label, alias)
        return alias

    # -- hooks -----------------------------------------------------------------------------------------------------

    def _before(self, name: str) -> Callable[..., Any]:
        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self._calls.get(name, 0)
            tapped = self._seen if getattr(module, "inplace", False) else self._tapped
            if len(args) == 1 and not kwargs:
                args = (tapped(args[0], name, call, "input"),)
            else:
                args = tuple(tapped(item, name, call, f"input.{i}") for i, item in enumerate(args))
                kwargs = {key: tapped(item, name, call, f"input.{key}") for key, item in kwargs.items()}
            if self._draw is not None and isinstance(module, nn.modules.dropout._DropoutNd) and module.training:
                self._hand_out_mask(module, name, call, args[0])
            return args, kwargs

        return before

    def _tapped(self, value: Any, name: str, call: int, label: str) -> Any:
        if isinstance(value, Tensor):
            self._hand_out("input", name, call, label, value)
            return self.tap(name, call, label, value)
        if type(value) in (tuple, list):
            return type(value)(self._tapped(item, name, call, f"{label}.{i}") for i, item in enumerate(value))
        return value

    def _seen(self, value: Any, name: str, call: int, label: str) -> Any:
        """Hand out the inputs of a module that works in place; an alias of them would lose its place in the graph."""
        for path, tensor in leaves(value, label):
            self._hand_out("input", name, call, path, tensor)
        return value

    def _after(self, name: str) -> Callable[..., Any]:
        def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            several = type(output) in (tuple, list)
            if several:  # one may be made of another: the cell state of an LSTM has a use inside the module too
                output = _aliased(output)
            for label, tensor in leaves(output, "output"):
                self._hand_out("output", name, call, label, tensor)
                if tensor.requires_grad and torch.is_grad_enabled():
                    self._watch("output_gradient", name, call, label, tensor)
            return output if several else None

        return after

    def _hand_out(self, kind: str, name: str, call: int, label: str, tensor: Tensor) -> None:
        key = (kind, name, call, label)
        self._held.append((key, tensor, tensor._version))
        array = to_array(tensor)
        if self._overwritten is None or key in self._overwritten:
            array = array.copy()
        self._record(kind, name, call, label, array)

    def _watch(self, kind: str, name: str, call: int, label: str, tensor: Tensor) -> None:
        record = self._record

        def hand_out_gradient(gradient: Tensor) -> None:
            record(kind, name, call, label, to_array(gradient))

        tensor.register_hook(hand_out_gradient)

    def _hand_out_mask(self, module: nn.Module, name: str, call: int, tensor: Tensor) -> None:
        """Draw the mask ahead, from the state in which the generator is, and put the state back.

        What a dropout makes of ones is positive where it keeps them: an alpha dropout puts negative numbers elsewhere.
        Where it drops whole channels, one element of each channel is the mask.
        """
        assert self._draw is not None
        state = torch.get_rng_state()
        with torch.no_grad():
            kept = to_array(module.forward(torch.ones_like(tensor)) > 0)
        torch.set_rng_state(state)
        channel = _channel_axis(module, tensor.ndim)
        first: Any = () if channel is None else (..., *(slice(0, 1),) * (tensor.ndim - channel - 1))
        self._draw(name, call, kept[first])


def _channel_axis(module: nn.Module, ndim: int) -> int | None:
    """The axis of the channels that a dropout drops as a whole; ``None`` where it drops single values."""
    if isinstance(module, nn.Dropout1d):
        return ndim - 2
    if isinstance(module, nn.Dropout3d):
        return 1 if ndim == 5 else 0
    return 1 if isinstance(module, (nn.Dropout2d, nn.FeatureAlphaDropout)) else None
