"""One training step with ``torch.optim``, as it is usually written, and every value it passes through.

A :class:`Side` is driven from outside, a micro-batch at a time; :func:`training_step` shows the whole::

    side.zero_grad()
    for micro_batch, weight in micro_batches:
        side.accumulate(micro_batch, weight)      # forward, loss, backward
    side.step()                                   # clip, update, schedule
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torch_ref.evaluating import Evaluating
from torch_ref.recording import Recorder, to_array
from torch_ref.scheduling import advance, momenta_of, progress_of, restore_groups, restore_progress

__all__ = ["Side", "loss_denominator", "training_step"]

Key = tuple[str, int, str]
Penalty = Callable[[dict[str, Tensor]], Tensor]


def training_step(side: Side, micro_batches: Iterable[tuple[Any, float]]) -> list[dict[str, float]]:
    """Take one step.

    Shapes: inputs and targets as the module and the loss take them. Raises what these raise.

    Parameters
    ----------
    side : Side
    micro_batches : pairs of ``((inputs, targets), weight)``
        The weights are the micro-batches' shares of the batch's loss denominator and add up to one.

    Returns
    -------
    The loss terms of every micro-batch.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> side = torch_ref.Side(model, torch.optim.SGD(model.parameters(), lr=0.5), torch.nn.MSELoss())
    >>> row = torch.tensor([[2.0]]), torch.tensor([[5.0]])
    >>> [terms["total"] for terms in torch_ref.training.training_step(side, [(row, 0.25), (row, 0.75)])]
    [9.0, 9.0]
    >>> side.gradients["weight"], model.weight.data
    (array([[-12.]], dtype=float32), tensor([[7.]]))
    """
    side.zero_grad()
    losses = [side.accumulate(micro_batch, weight) for micro_batch, weight in micro_batches]
    side.step()
    return losses


class Side(Evaluating):
    """A PyTorch training step as one side of a comparison.

    Shapes: inputs and targets as the module and the loss take them; gradients, deposits and slots as their parameter.
    Raises what the module, the loss and the optimizer raise.

    Parameters
    ----------
    module : nn.Module
    optimizer : torch.optim.Optimizer
    loss : callable
        ``loss(output, target)``, the micro-batch's own mean.
    scheduler : torch.optim.lr_scheduler.LRScheduler, optional
        Stepped once per step.
    clip : callable, optional
        ``clip(parameters)``, returning the total norm or ``None``: ``partial(clip_grad_norm_, max_norm=1.0)``.
    penalty : callable, optional
        ``penalty({name: parameter})``, a scalar added to each micro-batch's loss.
    denominator : callable, optional
        ``denominator(output, target)``, what the loss's mean divides by; found out for torch's own losses.
    subtracted : callable, optional
        ``subtracted(output, target)``, for a loss whose slope is a difference (prediction minus target): the sum of the
        magnitudes that are subtracted, of the output's shape; found out for torch's own losses.
    of_logits : bool
        Whether the loss takes logits: where it saturates, its small value is a difference of them. Found out for
        torch's own losses.
    observe : bool
        ``False`` records nothing but gradients: no activations.

    Attributes
    ----------
    activations, inputs, activation_gradients : dict of ``(module path, call, label)`` to array
        What the last ``accumulate`` passed through, in order of execution; views that the next one may overwrite.
    deposits : dict of parameter name to array
    total_norm : float or None
        What the last clipping returned.
    mean_loss : float
        The mean total loss of what was accumulated since ``zero_grad``: what ``ReduceLROnPlateau`` is told.
    draws : dict of ``(module path, call)`` to array
        The dropout masks of the last ``accumulate``.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> side = torch_ref.Side(model, torch.optim.SGD(model.parameters(), lr=0.5), torch.nn.MSELoss())
    >>> side.zero_grad()
    >>> side.accumulate((torch.tensor([[2.0]]), torch.tensor([[5.0]])), weight=0.5)["total"]
    9.0
    >>> side.deposits["weight"]
    array([[-6.]], dtype=float32)
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Tensor, Tensor], Tensor],
        scheduler: Any = None,
        clip: Callable[[list[nn.Parameter]], Any] | None = None,
        *,
        penalty: Penalty | None = None,
        denominator: Callable[[Tensor, Tensor], float] | None = None,
        subtracted: Callable[[Tensor, Tensor], Tensor] | None = None,
        of_logits: bool = False,
        observe: bool = True,
    ):
        self.module = module
        self.optimizer = optimizer
        self.loss = loss
        self.scheduler = scheduler
        self.clip = clip
        self.penalty = penalty
        self.denominator = denominator
        self.subtracted = subtracted or _SUBTRACTED.get(type(loss))
        self.of_logits = of_logits or isinstance(loss, (nn.CrossEntropyLoss, nn.BCEWithLogitsLoss))
        self.inputs: dict[Key, np.ndarray] = {}
        self.activations: dict[Key, np.ndarray] = {}
        self.activation_gradients: dict[Key, np.ndarray] = {}
        self.deposits: dict[str, np.ndarray] = {}
        self.draws: dict[tuple[str, int], np.ndarray] = {}
        self.total_norm: float | None = None
        self.mean_loss = 0.0
        self._named = dict(module.named_parameters())
        self._magnitudes: dict[tuple[str, str], np.ndarray | None] = {}
        self._prediction: tuple[Tensor, Any] | None = None
        self._weight = 1.0
        self._widened = False
        self._given: list[tuple[Any, float, Any]] = []  # the step's micro-batches, for an optimizer that asks anew
        # a stream of random numbers of its own: what another side draws in between changes nothing here
        random = any(isinstance(child, nn.modules.dropout._DropoutNd) for child in module.modules())
        self._random_state = torch.get_rng_state() if random else None
        self._recorder = Recorder(module, self._record, self._draw) if observe else None
        for name, parameter in self._named.items():
            if parameter.requires_grad:
                parameter.register_hook(self._deposit(name))

    # -- the step --------------------------------------------------------------------------------------------------

    def zero_grad(self) -> None:
        """Take the gradients of the last step away."""
        self.optimizer.zero_grad()
        self.mean_loss = 0.0
        self._given.clear()

    def accumulate(self, micro_batch: tuple[Any, Any], weight: float) -> dict[str, float]:
        """Forward, loss and backward of one micro-batch: adds ``weight`` times its gradient.

        The gradients of activations are those of the micro-batch's own mean loss; the weight enters where a parameter
        receives its deposit.

        Returns
        -------
        The unweighted terms: ``data`` (the mean), ``denominator``, ``penalty`` and ``total``.
        """
        if self.needs_closure:
            self._given.append((micro_batch, weight, self._random_state))
        inputs, target = _tensors(micro_batch[0]), _tensors(micro_batch[1])
        if self._widened:
            inputs, target = _widened(inputs), _widened(target)
        recorder = self._recorder
        for records in (self.inputs, self.activations, self.activation_gradients, self.deposits, self.draws):
            records.clear()
        self._magnitudes.clear()
        if recorder:
            recorder.start()
        if self._random_state is not None:
            torch.set_rng_state(self._random_state)
        output = self.module(*inputs) if isinstance(inputs, tuple) else self.module(inputs)
        if self._random_state is not None:
            self._random_state = torch.get_rng_state()
        prediction = recorder.tap("loss", 0, "input", output) if recorder else output
        data = self.loss(prediction, target)
        total, penalty = data, None
        if self.penalty is not None:
            penalty = self.penalty(self._tapped_parameters())
            total = data + penalty
        if recorder:
            recorder.forward_is_over()
        self._weight = weight
        total.backward()
        self._prediction = (output.detach(), target)
        terms = {"data": data.item(), "denominator": self._denominator(output.detach(), target)}
        terms["penalty"] = 0.0 if penalty is None else penalty.item()
        terms["total"] = total.item()
        self.mean_loss += weight * terms["total"]
        return terms

    def widen(self) -> None:
        """Turn a fresh side into float64: parameters, buffers, slots, and the micro-batches that it will be given."""
        self.module.double()
        if isinstance(self.loss, nn.Module):
            self.loss.double()
        for slots in self.optimizer.state.values():
            for slot, value in slots.items():
                if slot != "step" and isinstance(value, Tensor) and value.is_floating_point():
                    slots[slot] = value.double()
        self._widened = True

    def step(self, closure: Callable[[], Any] | None = None) -> None:
        """Clip, update, schedule."""
        self.clip_gradients()
        self.update(closure)
        self.advance_schedule()

    def clip_gradients(self) -> None:
        """Clip, where there is a clip, and keep the norm that it returns."""
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
        """Let the schedule go on, where there is one."""
        advance(self.scheduler, self.mean_loss)

    # -- what it holds ---------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """The parameters by name; views."""
        return {name: to_array(parameter) for name, parameter in self._named.items()}

    @property
    def gradients(self) -> dict[str, np.ndarray | None]:
        """Row-sparse gradients are shown as the arrays they stand for."""
        return {name: None if p.grad is None else to_array(p.grad) for name, p in self._named.items()}

    @property
    def buffers(self) -> dict[str, np.ndarray]:
        """The buffers by name; views."""
        return {name: to_array(buffer) for name, buffer in self.module.named_buffers()}

    @property
    def slots(self) -> dict[str, dict[str, np.ndarray]]:
        """Every tensor and number of optimizer state, by parameter and slot name."""
        state = self.optimizer.state
        return {
            name: {
                slot: to_array(value) if isinstance(value, Tensor) else np.asarray(value)
                for slot, value in state[parameter].items()
                if isinstance(value, (Tensor, int, float))
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
            "random": self.random_state,
        }

    @property
    def random_state(self) -> np.ndarray | None:
        """The state of this side's own stream of random numbers, if its modules draw any."""
        return None if self._random_state is None else self._random_state.numpy().copy()

    def _memories(self) -> dict[str, dict[str, list[Any]]]:
        """The slots that are lists (those of ``LBFGS``), copied; they are handed over and not shown."""
        state = self.optimizer.state
        return {
            name: {
                slot: [None if item is None else item.detach().numpy().copy() for item in value]
                for slot, value in state[parameter].items()
                if isinstance(value, list)
            }
            for name, parameter in self._named.items()
            if parameter in state
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Copy a state in; what it does not mention (``gradients`` may be among it) stays as it is."""
        with torch.no_grad():
            for name, value in state.get("parameters", {}).items():
                self._named[name].copy_(torch.as_tensor(value))
            buffers = dict(self.module.named_buffers())
            for name, value in state.get("buffers", {}).items():
                buffers[name].copy_(torch.as_tensor(value))
            for name, value in state.get("gradients", {}).items():
                parameter = self._named[name]
                gradient = None if value is None else torch.from_numpy(np.array(value))
                if gradient is not None and parameter.grad is not None and parameter.grad.is_sparse:
                    gradient = _in_rows(gradient, parameter.grad)
                parameter.grad = gradient
        if "slots" in state:
            self.optimizer.state.clear()
            for name, slots in state["slots"].items():
                owner = self._named[name]
                self.optimizer.state[owner] = {k: _slot(k, v, owner.dtype) for k, v in slots.items()}
            for name, memories in state.get("memories", {}).items():
                owner = self._named[name]
                for slot, items in memories.items():
                    listed = [
                        None if item is None else torch.from_numpy(np.array(item)).to(owner.dtype) for item in items
                    ]
                    self.optimizer.state[owner][slot] = listed
        restore_groups(self.optimizer, state.get("learning_rate", ()), state.get("momentum"))
        restore_progress(self.scheduler, state.get("scheduler"))
        self.mean_loss = state.get("mean_loss", self.mean_loss)
        if state.get("random") is not None:
            self._random_state = torch.from_numpy(np.array(state["random"]))

    def magnitude(self, phase: str, name: str) -> np.ndarray | None:
        """The sum of magnitudes that a value of the last micro-batch is the result of.

        Near convergence a gradient is the small difference of large sums, and no honest computation knows it better
        than to a few ulp of those sums. ``deposit`` answers for a parameter of a linear layer (its pullback
        of absolute values, ``|incoming|.T @ |input|``), ``backward`` with the name ``"loss"``
        for the gradient of a loss that is a difference (of probabilities, or of prediction and target), ``loss`` for a
        loss that saturates; all before the micro-batch's weight. ``None`` where nothing is known.
        """
        if (phase, name) not in self._magnitudes:
            self._magnitudes[phase, name] = self._magnitude(phase, name)
        return self._magnitudes[phase, name]

    def _magnitude(self, phase: str, name: str) -> np.ndarray | None:
        if self._prediction is None:
            return None
        output, target = self._prediction
        if phase == "loss":
            return to_array(output.abs().sum() / self._denominator(output, target)) if self.of_logits else None
        if phase == "backward" and name == "loss":
            if self.subtracted is None:
                return None
            return to_array(self.subtracted(output, target) / self._denominator(output, target))
        if phase != "deposit":
            return None
        path, _, parameter = name.rpartition(".")
        module = self.module.get_submodule(path)
        if not isinstance(module, nn.Linear):
            return None
        total: np.ndarray | None = None
        for (owner, call, label), gradient in self.activation_gradients.items():
            if owner == path and label == "output":
                incoming = np.abs(gradient.reshape(-1, gradient.shape[-1]))
                if parameter == "weight":
                    inputs = self.inputs[path, call, "input"]
                    share = incoming.T @ np.abs(inputs.reshape(-1, inputs.shape[-1]))
                else:
                    share = incoming.sum(0)
                total = share if total is None else total + share
        return total

    # -- recording -------------------------------------------------------------------------------------------------

    def _record(self, kind: str, name: str, call: int, label: str, array: np.ndarray) -> None:
        if kind == "output":
            self.activations[name, call, label] = array
        elif kind == "input":
            self.inputs[name, call, label] = array
        else:
            self.activation_gradients[name, call, label] = array

    def _draw(self, name: str, call: int, mask: np.ndarray) -> None:
        self.draws[name, call] = mask

    def _deposit(self, name: str) -> Callable[[Tensor], Tensor]:
        def deposit(gradient: Tensor) -> Tensor:
            if self._weight != 1.0:
                gradient = gradient * self._weight
            self.deposits[name] = to_array(gradient)
            return gradient

        return deposit

    def _tapped_parameters(self) -> dict[str, Tensor]:
        if self._recorder is None:
            return dict(self._named)
        return {name: self._recorder.tap("penalty", 0, f"input.{name}", p) for name, p in self._named.items()}

    def _denominator(self, output: Tensor, target: Any) -> float:
        if self.denominator is not None:
            return float(self.denominator(output, target))
        return loss_denominator(self.loss, output, target)


def loss_denominator(loss: Any, output: Tensor, target: Tensor) -> float:
    """What the mean of one of torch's losses divides by.

    Cross entropy with class indices divides by the sum of the target weights of what is not ignored, with class
    probabilities by the number of rows; NLL likewise; a divergence's ``batchmean`` by the rows; every other loss by the
    number of elements of its output.

    Shapes: output and target as the loss takes them; the value is a number. Raises nothing of its own.

    Examples
    --------
    >>> from torch_ref.training import loss_denominator
    >>> loss_denominator(torch.nn.CrossEntropyLoss(), torch.zeros(3, 2), torch.tensor([0, 1, -100]))
    2.0
    """
    if isinstance(loss, (nn.CrossEntropyLoss, nn.NLLLoss)):
        if target.is_floating_point():
            return float(target.numel() // target.shape[1 if target.ndim > 1 else 0])
        counted = target[target != loss.ignore_index]
        return float(counted.numel()) if loss.weight is None else float(loss.weight[counted].sum())
    if isinstance(loss, (nn.MultiMarginLoss, nn.TripletMarginLoss)):
        return float(target.shape[0])
    if isinstance(loss, nn.KLDivLoss) and loss.reduction == "batchmean":
        return float(output.shape[0]) if output.ndim else 1.0
    return float(output.numel())


_SUBTRACTED: dict[type, Callable[[Tensor, Tensor], Tensor]] = {
    nn.MSELoss: lambda output, target: 2 * (output.abs() + target.abs()),
    nn.CrossEntropyLoss: lambda output, target: torch.ones_like(output),  # probability minus target
    nn.BCEWithLogitsLoss: lambda output, target: torch.ones_like(output),
}


def _slot(name: str, value: np.ndarray, dtype: torch.dtype) -> Any:
    """A copy of a slot: a count that is no float is a Python number (``SparseAdam`` and ``LBFGS`` count so)."""
    tensor = torch.from_numpy(np.array(value))
    if tensor.ndim == 0 and not tensor.is_floating_point():
        return tensor.item()
    return tensor.to(dtype) if name != "step" and tensor.is_floating_point() else tensor


def _in_rows(dense: Tensor, like: Tensor) -> Tensor:
    """The rows of a tensor that a row-sparse gradient lists, and all others that are not zero, as such a gradient."""
    listed = (dense != 0).flatten(1).any(1)
    listed[like.coalesce().indices()[0]] = True
    rows = listed.nonzero()[:, 0]
    return torch.sparse_coo_tensor(rows[None], dense[rows], dense.shape, check_invariants=True)


def _tensors(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_tensors(item) for item in value)
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _widened(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_widened(item) for item in value)
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
