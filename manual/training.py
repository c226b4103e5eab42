"""One training step, written out, and every value it passes through.

A :class:`Side` is driven from outside, a micro-batch at a time; :func:`training_step` shows the whole::

    side.zero_grad()
    for micro_batch, weight in micro_batches:
        side.accumulate(micro_batch, weight)      # forward, loss, backward
    side.step()                                   # clip, update, schedule

*Accumulation.* Let a batch of ``M`` rows be cut into micro-batches of ``m_k`` rows. The batch's mean loss is

    L = (1/M) sum_i l_i = sum_k (m_k/M) (1/m_k) sum_{i in k} l_i = sum_k w_k L_k,      w_k = m_k / M,

so the gradient of the batch is the *weighted* sum of the micro-batches' own mean gradients. With equal ``w_k = 1/K`` it
is the familiar division by the number of micro-batches; with a short tail that division is wrong (the mean of means).
The penalty does not depend on the rows; since the weights add up to one it enters once.

*Simultaneous update.* Every parameter's gradient is taken at the old parameters, and only then do all of them move.
That is what accumulation into ``.grad`` followed by a single ``optimizer.step()`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from manual.evaluating import Evaluating
from manual.isolation import ModuleRun, run_module
from manual.nn import Module, Parameter
from manual.recording import Recorder
from manual.rules.core import Array
from manual.scheduling import advance, momenta_of, progress_of, restore_groups, restore_progress
from manual.sparse_rows import SparseRows
from manual.tensor import Tensor, backward

__all__ = ["ClassicSide", "Side", "training_step"]

Key = tuple[str, int, str]
Record = Callable[[str, str, int, str, Any], None]


def training_step(side: Any, micro_batches: Iterable[tuple[Any, float]]) -> list[dict[str, float]]:
    """Take one step.

    Shapes: inputs and targets as the module and the loss take them. Raises what these raise.

    Parameters
    ----------
    side : Side or ClassicSide
    micro_batches : pairs of ``((inputs, targets), weight)``
        The weights are the micro-batches' shares of the batch's loss denominator and add up to one.

    Returns
    -------
    The loss terms of every micro-batch.

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.ones_(model.weight)
    >>> side = training.Side(model, optim.SGD(model.parameters(), lr=0.1), nn.MSELoss())
    >>> rows = [((tensor([[1.0], [1.0]]), tensor([[2.0], [2.0]])), 2 / 3), ((tensor([[2.0]]), tensor([[5.0]])), 1 / 3)]
    >>> [terms["total"] for terms in training.training_step(side, rows)]
    [1.0, 9.0]
    >>> side.gradients["weight"], model.weight.data
    (array([[-5.3333]], dtype=float32), array([[1.5333]], dtype=float32))
    """
    side.zero_grad()
    losses = [side.accumulate(micro_batch, weight) for micro_batch, weight in micro_batches]
    side.step()
    return losses


class _Update(Evaluating):
    """The half of a step that knows gradients and parameters only: clip, update, schedule, state."""

    optimizer: Any
    scheduler: Any
    clip: Any
    record: Record | None
    total_norm: float | None
    mean_loss = 0.0
    _named: dict[str, Parameter]

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()
        self.mean_loss = 0.0
        self._given.clear()

    def step(self, closure: Callable[[], Any] | None = None) -> None:
        """Clip, update, schedule."""
        self.clip_gradients()
        self._hand_out("clip", {"total_norm": self.total_norm, **self.gradients})
        before = {name: value.copy() for name, value in self.parameters.items()} if self.record else {}
        self.update(closure)
        if self.record:
            for name, slots in self.slots.items():
                for slot, value in slots.items():
                    self.record("slots", name, 0, slot, value)
            self._hand_out("update", {name: value - before[name] for name, value in self.parameters.items()})
            self._hand_out("parameter", self.parameters)
            self._hand_out("buffer", self.buffers)
        self.advance_schedule()
        self._hand_out("schedule", {f"group {i}": rate for i, rate in enumerate(self.learning_rate)})
        momenta = enumerate(self.scheduled_momentum or ())
        self._hand_out("schedule", {f"group {i} momentum": momentum for i, momentum in momenta})

    def _hand_out(self, phase: str, values: Mapping[str, Any]) -> None:
        if self.record:
            for name, value in values.items():
                if value is not None:
                    self.record(phase, name, 0, "", value)

    def clip_gradients(self) -> None:
        self.total_norm = None
        if self.clip is not None:
            norm = self.clip([p for p in self._named.values() if p.requires_grad])
            self.total_norm = None if norm is None else float(norm)

    def update(self, closure: Callable[[], Any] | None = None) -> None:
        """Let the optimizer step; one that evaluates the model itself gets a closure over the step's micro-batches."""
        if closure is None and self.needs_closure:
            closure = self.evaluated
        self.optimizer.step(closure) if closure else self.optimizer.step()

    def advance_schedule(self) -> None:
        advance(self.scheduler, self.mean_loss)

    @property
    def parameters(self) -> dict[str, Array]:
        return {name: parameter.data for name, parameter in self._named.items()}

    @property
    def gradients(self) -> dict[str, Array | None]:
        """Row-sparse gradients are shown as the arrays they stand for."""
        return {
            name: None if parameter.grad is None else np.asarray(parameter.grad)
            for name, parameter in self._named.items()
        }

    @property
    def buffers(self) -> dict[str, Array]:
        return {}

    @property
    def slots(self) -> dict[str, dict[str, Array]]:
        """Every array and number of optimizer state, by parameter and slot name, without lists (LBFGS has some)."""
        state = self.optimizer.state
        return {
            name: {
                slot: np.asarray(value)
                for slot, value in state[parameter].items()
                if isinstance(value, (np.ndarray, np.generic, int, float))
            }
            for name, parameter in self._named.items()
            if parameter in state
        }

    @property
    def learning_rate(self) -> list[float]:
        """The rates in force, one per parameter group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    @property
    def scheduled_momentum(self) -> list[float] | None:
        """The momentum in force, one per parameter group, where the schedule moves it."""
        return momenta_of(self.optimizer, self.scheduler)

    def state(self) -> dict[str, Any]:
        """A copy of everything that the next step depends on, as arrays and numbers: see :meth:`load_state`."""
        return {
            "parameters": {name: value.copy() for name, value in self.parameters.items()},
            "buffers": {name: value.copy() for name, value in self.buffers.items()},
            "slots": {name: {k: v.copy() for k, v in slots.items()} for name, slots in self.slots.items()},
            "memories": self._memories(),
            "learning_rate": self.learning_rate,
            "momentum": self.scheduled_momentum,
            "scheduler": progress_of(self.scheduler),
        }

    def _memories(self) -> dict[str, dict[str, list[Any]]]:
        """The slots that are lists (those of ``LBFGS``), copied; they are handed over and not shown."""
        state = self.optimizer.state
        return {
            name: {
                slot: [None if item is None else np.array(item) for item in value]
                for slot, value in state[parameter].items()
                if isinstance(value, list)
            }
            for name, parameter in self._named.items()
            if parameter in state
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Copy a state in; what it does not mention (``gradients`` may be among it) stays as it is."""
        for name, value in state.get("parameters", {}).items():
            self._named[name].data[...] = value
        buffers = self.buffers
        for name, value in state.get("buffers", {}).items():
            buffers[name][...] = value
        for name, value in state.get("gradients", {}).items():
            parameter = self._named[name]
            gradient = None if value is None else np.array(value)
            if isinstance(parameter.grad, SparseRows) and gradient is not None:
                gradient = SparseRows.of(gradient, parameter.grad)
            parameter.grad = gradient
        if "slots" in state:
            self.optimizer.state.clear()
            for name, slots in state["slots"].items():
                self.optimizer.state[self._named[name]] = {slot: _slot(value) for slot, value in slots.items()}
            for name, memories in state.get("memories", {}).items():
                for slot, items in memories.items():
                    listed = [None if item is None else np.array(item) for item in items]
                    self.optimizer.state[self._named[name]][slot] = listed
        restore_groups(self.optimizer, state.get("learning_rate", ()), state.get("momentum"))
        restore_progress(self.scheduler, state.get("scheduler"))
        self.mean_loss = state.get("mean_loss", self.mean_loss)


class Side(_Update):
    """A training step of the manual wing, one side of a comparison.

    Shapes: inputs and targets as the module and the loss take them; gradients, deposits and slots as their parameter.
    Raises what the module, the loss and the optimizer raise.

    Parameters
    ----------
    module : Module
    optimizer : manual.optim.Optimizer
    loss : Module
        ``loss(output, target)``, the micro-batch's own mean; its ``denominator`` says what the mean divides by.
    scheduler : manual.optim.lr_scheduler.LRScheduler, optional
        Stepped once per step.
    clip : callable, optional
        ``clip(parameters)``, returning the total norm or ``None``: ``partial(clip_grad_norm_, max_norm=1.0)``.
    penalty : callable, optional
        ``penalty({name: parameter})``, a scalar added to each micro-batch's loss.
    observe : bool
        ``False`` records nothing but gradients: no activations.
    record : callable, optional
        Called as ``record(phase, name, call, label, value)`` at every checkpoint of the step, in order of execution.

    Attributes
    ----------
    activations, inputs, activation_gradients : dict of ``(module path, call, label)`` to array
        What the last ``accumulate`` passed through, in order of execution.
    deposits : dict of parameter name to array
    total_norm : float or None
        What the last clipping returned.
    mean_loss : float
        The mean total loss of what was accumulated since ``zero_grad``: what ``ReduceLROnPlateau`` is told.
    draws : dict of ``(module path, call)`` to array
        The dropout masks of the last ``accumulate``.

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.ones_(model.weight)
    >>> side = training.Side(model, optim.SGD(model.parameters(), lr=0.1), nn.MSELoss())
    >>> side.zero_grad()
    >>> side.accumulate((tensor([[2.0]]), tensor([[5.0]])), weight=0.5)["total"]
    9.0
    >>> side.deposits["weight"]
    array([[-6.]], dtype=float32)
    """

    def __init__(
        self,
        module: Module,
        optimizer: Any,
        loss: Any,
        scheduler: Any = None,
        clip: Callable[[list[Parameter]], Any] | None = None,
        *,
        penalty: Callable[[dict[str, Tensor]], Tensor] | None = None,
        observe: bool = True,
        record: Record | None = None,
    ):
        self.module = module
        self.optimizer = optimizer
        self.loss = loss
        self.scheduler = scheduler
        self.clip = clip
        self.penalty = penalty
        self.record = record
        self.inputs: dict[Key, Array] = {}
        self.activations: dict[Key, Array] = {}
        self.activation_gradients: dict[Key, Array] = {}
        self.deposits: dict[str, Array] = {}
        self.draws: dict[tuple[str, int], Array] = {}
        self.total_norm = None
        self._weight = 1.0
        self._widened = False
        self._given = []
        self._named = dict(module.named_parameters())
        self._recorder = Recorder(module, self._recorded, self._drawn) if observe else None
        for name, parameter in self._named.items():
            if parameter.requires_grad:
                parameter.register_hook(self._deposit(name))

    def accumulate(self, micro_batch: tuple[Any, Any], weight: float) -> dict[str, float]:
        """Forward, loss and backward of one micro-batch: adds ``weight`` times its gradient.

        The gradients of activations are those of the micro-batch's own mean loss; the weight enters where a parameter
        receives its deposit.

        Returns
        -------
        The unweighted terms: ``data`` (the mean), ``denominator``, ``penalty`` and ``total``.
        """
        inputs, target = micro_batch
        if self._widened:
            inputs, target = _widened(inputs), _widened(target)
        recorder = self._recorder
        for records in (self.inputs, self.activations, self.activation_gradients, self.deposits, self.draws):
            records.clear()
        if recorder:
            recorder.start()
        inputs = tuple([Tensor(x) for x in inputs]) if isinstance(inputs, tuple) else (Tensor(inputs),)
        output = self.module(*inputs)
        prediction = recorder.tap("loss", 0, "input", output) if recorder else output
        data = total = self.loss(prediction, target)
        penalty = None
        if self.penalty is not None:
            penalty = self.penalty(self._tapped_parameters())
            total = data + penalty
        terms = {"data": data.item(), "denominator": float(self.loss.denominator(output.data, target))}
        terms["penalty"] = 0.0 if penalty is None else penalty.item()
        terms["total"] = total.item()
        self.mean_loss += weight * terms["total"]
        self._hand_out("loss", terms)
        self._weight = weight
        backward([total])
        self._hand_out("accumulated", self.gradients)
        if self.needs_closure:
            self._given.append((micro_batch, weight, dict(self.draws)))
        return terms

    def widen(self) -> None:
        """Turn a fresh side into float64: parameters, buffers, and the micro-batches that it will be given."""
        self.module.to(np.float64)
        if isinstance(self.loss, Module):
            self.loss.to(np.float64)
        self._widened = True

    @property
    def buffers(self) -> dict[str, Array]:
        """The buffers by name."""
        return dict(self.module.named_buffers())

    def replay(self, draws: Mapping[tuple[str, int], Array]) -> None:
        """Give dropout modules the masks to use in the next ``accumulate`` instead of drawing their own."""
        modules: dict[str, list[Array]] = {}
        for (name, _), mask in sorted(draws.items(), key=lambda item: item[0]):
            modules.setdefault(name, []).append(mask)
        for name, masks in modules.items():
            self.module.get_submodule(name).replay(*masks)

    def run_module(
        self,
        name: str,
        inputs: tuple[tuple[Any, ...], dict[str, Any]],
        output_gradients: Mapping[str, Array],
        children: Mapping[str, list[Any]] | None = None,
    ) -> ModuleRun:
        """Run one module, forward and backward, on given inputs: see :func:`run_module`."""
        module = self.loss if name == "loss" else self.module.get_submodule(name)
        return run_module(module, name, inputs, output_gradients, children or {})

    # -- recording -------------------------------------------------------------------------------------------------

    def _recorded(self, kind: str, name: str, call: int, label: str, array: Array) -> None:
        if kind == "output":
            self.activations[name, call, label] = array
            if self.record:
                self.record("forward", name, call, label, array)
        elif kind == "input":
            self.inputs[name, call, label] = array
        else:
            self.activation_gradients[name, call, label] = array
            if self.record:
                self.record("backward", name, call, label, array)

    def _drawn(self, name: str, call: int, mask: Array) -> None:
        self.draws[name, call] = mask

    def _deposit(self, name: str) -> Callable[[Array], Array]:
        def deposit(gradient: Array) -> Array:
            if self._weight != 1.0:
                gradient = gradient * self._weight
            shown = self.deposits[name] = np.asarray(gradient)
            if self.record:
                self.record("deposit", name, 0, "", shown)
            return gradient

        return deposit

    def _tapped_parameters(self) -> dict[str, Tensor]:
        if self._recorder is None:
            return dict(self._named)
        return {name: self._recorder.tap("penalty", 0, f"input.{name}", p) for name, p in self._named.items()}


class ClassicSide(_Update):
    """A training step of a model whose gradients were derived on paper: no engine, no modules.

    Shapes: inputs ``(m, n)`` and targets as the model takes them; gradients and slots as their parameter. Raises what
    the model and the optimizer raise.

    Parameters
    ----------
    model : one of :mod:`manual.classic`
        Its ``evaluate(x, y)`` returns loss terms, gradients, activations and their gradients together.
    optimizer : callable
        ``optimizer(parameters)`` makes the optimizer, from the model's own arrays as parameters.
    scheduler, clip, record
        As in :class:`Side`; ``scheduler(optimizer)`` makes the scheduler.
    frozen : names of parameters that get no gradient

    Examples
    --------
    >>> model = classic.LinearRegression(1)
    >>> side = training.ClassicSide(model, lambda parameters: optim.SGD(parameters, lr=0.5))
    >>> _ = training.training_step(side, [((np.array([[1.0], [3.0]]), np.array([2.0, 4.0])), 1.0)])
    >>> side.parameters
    {'linear.weight': array([[3.5]]), 'linear.bias': array([1.5])}
    """

    def __init__(
        self,
        model: Any,
        optimizer: Callable[[list[Parameter]], Any],
        scheduler: Callable[[Any], Any] | None = None,
        clip: Callable[[list[Parameter]], Any] | None = None,
        *,
        frozen: Iterable[str] = (),
        record: Record | None = None,
    ):
        frozen = set(frozen)
        self.model = model
        self.clip = clip
        self.record = record
        self._named = {name: Parameter(array, name not in frozen) for name, array in model.parameters.items()}
        self.optimizer = optimizer([p for p in self._named.values() if p.requires_grad])
        self.scheduler = None if scheduler is None else scheduler(self.optimizer)
        self.activations: dict[Key, Array] = {}
        self.activation_gradients: dict[Key, Array] = {}
        self.deposits: dict[str, Array] = {}
        self.total_norm = None
        self._given = []

    def widen(self) -> None:
        """Turn a fresh side into float64: the model, its parameters, and the micro-batches that it will be given."""
        for parameter in self._named.values():
            parameter.data = parameter.data.astype(np.float64, copy=False)
            parameter.grad = None
        self.model.dtype = np.dtype(np.float64)
        self.model.parameters.update(self.parameters)

    def accumulate(self, micro_batch: tuple[Any, Any], weight: float) -> dict[str, float]:
        """Evaluate one micro-batch and add ``weight`` times its gradient; returns the unweighted loss terms."""
        found = self.model.evaluate(*micro_batch)
        self.mean_loss += weight * float(found.loss["total"])
        self.activations = {(path, 0, "output"): value for path, value in found.activations.items()}
        self.activation_gradients = {
            (path, 0, label): gradient for (path, label), gradient in found.activation_gradients.items()
        }
        self.deposits = {
            name: weight * gradient for name, gradient in found.gradients.items() if self._named[name].requires_grad
        }
        for name, deposit in self.deposits.items():
            parameter = self._named[name]
            parameter.grad = deposit.copy() if parameter.grad is None else parameter.grad + deposit
        if self.record:
            for phase, values in (("forward", self.activations), ("backward", self.activation_gradients)):
                for (path, call, label), value in values.items():
                    self.record(phase, path, call, label, value)
        self._hand_out("loss", found.loss)
        self._hand_out("deposit", self.deposits)
        self._hand_out("accumulated", self.gradients)
        if self.needs_closure:
            self._given.append((micro_batch, weight, None))
        return dict(found.loss)


def _slot(value: Any) -> Any:
    """A copy of a slot: a count that is no float is a Python number (``SparseAdam`` and ``LBFGS`` count so)."""
    copied = np.array(value)
    return copied.item() if copied.ndim == 0 and copied.dtype.kind == "i" else copied


def _widened(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_widened(item) for item in value)
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
