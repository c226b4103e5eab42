"""Averages of a model's weights over the course of training, and the schedule that goes with them.

Names, arguments and state keys are those of ``torch.optim.swa_utils``. An averaging function is handed arrays and an
integer, the number of models averaged so far.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from manual.engine import no_grad
from manual.nn import Module
from manual.nn.normalization import _BatchNorm
from manual.optim.lr_scheduler.scheduler import LRScheduler, one_per_group
from manual.optim.optimizer import Optimizer
from manual.rules.core import Array
from manual.tensor import Tensor

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Array, Array, int], Array]
MultiAverage = Callable[[Sequence[Array], Sequence[Array], int], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The exponential moving average of one parameter: ``θ̄ ← d θ̄ + (1 − d) θ``.

    Shapes: the function takes an average and a parameter of one shape and returns their mean of that shape.

    Raises
    ------
    ValueError
        If ``decay`` is not between 0 and 1.

    Examples
    --------
    >>> average = optim.swa_utils.get_ema_avg_fn(decay=0.75)
    >>> average(tensor([0.0, 4.0]), tensor([8.0, 0.0]), 1)
    Tensor([2., 3.])
    """
    _check_decay(decay)

    def ema_update(ema_param: Array, current_param: Array, num_averaged: int) -> Array:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """The exponential moving average of many parameters of one dtype, in place: ``θ̄ ← θ̄ + (1 − d)(θ − θ̄)``.

    Shapes: the function takes as many averages as parameters, each of its parameter's shape.

    Raises
    ------
    ValueError
        If ``decay`` is not between 0 and 1.

    Convention: from a weight ``1 − d`` of a half on the other end is taken as the base, ``θ − d (θ − θ̄)``, as in
    torch; integers are averaged in float32 and cut off.

    Examples
    --------
    >>> averages = [np.array([0.0, 4.0]), np.array([1.0])]
    >>> optim.swa_utils.get_ema_multi_avg_fn(decay=0.75)(averages, [np.array([8.0, 0.0]), np.array([5.0])], 1)
    >>> averages
    [array([2., 3.]), array([2.])]
    """
    _check_decay(decay)

    def ema_update(ema_param_list: Sequence[Array], current_param_list: Sequence[Array], num_averaged: int) -> None:
        for average, current in zip(ema_param_list, current_param_list, strict=True):
            if average.dtype.kind == "f":
                _move(average, current, 1 - decay)
            else:
                single = np.float32
                average[...] = average.astype(single) * single(decay) + current.astype(single) * single(1 - decay)

    return ema_update


def get_swa_avg_fn() -> Average:
    """The plain average of one parameter over ``n + 1`` models: ``θ̄ ← θ̄ + (θ − θ̄) / (n + 1)``.

    Derivation: ``(n θ̄ + θ) / (n + 1) = θ̄ + (θ − θ̄) / (n + 1)``. Nothing grows with ``n``.

    Izmailov, Podoprikhin, Garipov, Vetrov and Wilson, "Averaging Weights Leads to Wider Optima and Better
    Generalization" (UAI 2018), algorithm 1.

    Shapes: the function takes an average and a parameter of one shape and returns their mean of that shape. Raises
    nothing of its own.

    Examples
    --------
    >>> average = optim.swa_utils.get_swa_avg_fn()
    >>> average(tensor([0.0, 4.0]), tensor([8.0, 0.0]), 3)
    Tensor([2., 3.])
    """

    def swa_update(averaged_param: Array, current_param: Array, num_averaged: int) -> Array:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_swa_multi_avg_fn() -> MultiAverage:
    """The plain average of many parameters of one dtype, in place: ``θ̄ ← θ̄ + (θ − θ̄) / (n + 1)``.

    Convention: the weight ``1 / (n + 1)`` is rounded to float32, whatever the parameters' dtype, as in torch, where
    ``n`` is an integer tensor. Integers are averaged and cut off, as by :func:`get_swa_avg_fn`; torch refuses them.

    Shapes: the function takes as many averages as parameters, each of its parameter's shape; it raises a ``ValueError``
    if there are more of one than of the other.

    Examples
    --------
    >>> averages = [np.array([0.0, 4.0]), np.array([1.0])]
    >>> optim.swa_utils.get_swa_multi_avg_fn()(averages, [np.array([8.0, 0.0]), np.array([5.0])], 3)
    >>> averages
    [array([2., 3.]), array([2.])]
    """
    average_one = get_swa_avg_fn()

    def swa_update(
        averaged_param_list: Sequence[Array], current_param_list: Sequence[Array], num_averaged: int
    ) -> None:
        for average, current in zip(averaged_param_list, current_param_list, strict=True):
            if average.dtype.kind == "f":
                _move(average, current, float(np.float32(1 / (num_averaged + 1))))
            else:
                average[...] = average_one(average, current, num_averaged)

    return swa_update


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _move(average: Array, current: Array, weight: float) -> None:
    """Move the average towards the current value, from the end that is nearer to the result."""
    way = current - average
    if abs(weight) < 0.5:
        way *= weight
        average += way
    else:
        way *= 1 - weight
        np.subtract(current, way, out=average)


class AveragedModel(Module):
    """A copy of a model that holds the average of its parameters.

    Shapes: each average has its parameter's; calling it takes and returns what the model does.

    Parameters
    ----------
    model : Module
        Copied; the copy is ``module``.
    device : accepted, as in torch; arrays have none
    avg_fn : callable, optional
        ``avg_fn(average, current, n)`` returns the new average of one parameter. By default :func:`get_swa_avg_fn`.
    multi_avg_fn : callable, optional
        ``multi_avg_fn(averages, currents, n)`` changes the averages of all parameters of one dtype in place.
    use_buffers : bool
        Whether buffers are averaged too; otherwise they are copied at each update.

    Attributes
    ----------
    n_averaged : 0-d integer array, a buffer
        How many models have been averaged.

    Raises
    ------
    AssertionError
        If there are two averaging functions.

    Convention: the first update copies, whatever the averaging function, as in torch: an exponential average starts
    from the first weights and needs no bias correction. An average of an integer buffer (``num_batches_tracked``) is
    cut off.

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = optim.swa_utils.AveragedModel(model)
    >>> for weight in (1.0, 3.0, 8.0):
    ...     _ = nn.init.constant_(model.weight, weight)
    ...     average.update_parameters(model)
    >>> average.module.weight.data
    array([[4.]], dtype=float32)
    >>> average(tensor([[0.5]])).data
    array([[2.]], dtype=float32)
    """

    n_averaged: Array

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", np.array(0))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the averaged model."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of a model into the average."""
        averages, currents = (
            [parameter.data for parameter in one.parameters()] + (list(one.buffers()) if self.use_buffers else [])
            for one in (self.module, model)
        )
        count = int(self.n_averaged)
        if count == 0:
            for average, current in zip(averages, currents, strict=True):
                average[...] = current
        elif self.multi_avg_fn is not None:
            for dtype in dict.fromkeys(average.dtype for average in averages):
                alike = [pair for pair in zip(averages, currents, strict=True) if pair[0].dtype == dtype]
                self.multi_avg_fn([average for average, _ in alike], [current for _, current in alike], count)
        else:
            average_one = self.avg_fn or get_swa_avg_fn()
            for average, current in zip(averages, currents, strict=True):
                average[...] = average_one(average, current, count)
        if not self.use_buffers:
            for mine, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
                mine[...] = buffer
        self.n_averaged[...] += 1


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Measure the running statistics of batch normalization anew, on a whole pass over the data.

    Averaged weights have activations of their own: the statistics of the models that were averaged do not fit them.
    Every statistic is reset, then becomes the plain average over the batches (``momentum=None``).

    Shapes: each batch as the model takes it. Raises what the model raises.

    Parameters
    ----------
    loader : iterable of inputs, or of tuples or lists that begin with one
    model : Module
        Run in training mode, then set back to the mode that it was in. Without a BatchNorm nothing is run.
    device : accepted, as in torch; arrays have none

    Convention: each batch weighs the same, the last short one too, as in torch.

    Examples
    --------
    >>> model = nn.BatchNorm1d(1)
    >>> optim.swa_utils.update_bn([tensor([[0.0], [2.0]]), tensor([[4.0], [8.0]])], model)
    >>> model.running_mean
    array([3.5], dtype=float32)
    """
    momenta = {module: module.momentum for module in model.modules() if isinstance(module, _BatchNorm)}
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.reset_running_stats()
        module.momentum = None
    for batch in loader:
        inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(inputs if isinstance(inputs, Tensor) else Tensor(inputs))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Bring each rate from where it is to a constant one in ``anneal_epochs`` epochs, and keep it there.

    With ``α(t) = (1 − cos(π t / E)) / 2`` (*cos*) or ``t / E`` (*linear*), held at 1 from ``t = E`` on,

        ``γ_t = α(t) γ_swa + (1 − α(t)) γ_0``

    where ``γ_0`` is found back from the rate in force: ``γ_0 = (γ_{t−1} − α(t−1) γ_swa) / (1 − α(t−1))``.

    Izmailov, Podoprikhin, Garipov, Vetrov and Wilson, "Averaging Weights Leads to Wider Optima and Better
    Generalization" (UAI 2018), section 3.2.

    Takes no arrays: a rate is one number for each parameter group.

    Parameters
    ----------
    optimizer : Optimizer
    swa_lr : float, or one for each group
        Kept in the groups as ``swa_lr``.
    anneal_epochs : int
        ``E``.
    anneal_strategy : {"cos", "linear"}
    last_epoch : int

    Raises
    ------
    ValueError
        If an option is out of range.

    Convention: ``t`` counts the calls of ``step``, not ``last_epoch``, as in torch: made with a ``last_epoch``, it
    begins at 0.

    Examples
    --------
    >>> sgd = optim.SGD([nn.Parameter(tensor([1.0]))], lr=0.8)
    >>> schedule = optim.swa_utils.SWALR(sgd, swa_lr=0.2, anneal_epochs=3, anneal_strategy="linear")
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     sgd.step()
    ...     schedule.step()
    >>> np.round(rates, 4)
    array([0.8, 0.6, 0.4, 0.2, 0.2])
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ):
        rates = one_per_group("swa_lr", optimizer, swa_lr)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, share = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            final, rate = group["swa_lr"], group["lr"]
            start = final if before == 1 else (rate - before * final) / (1 - before)
            rates.append(final * share + start * (1 - share))
        return rates

    def _share(self, step: int) -> float:
        """``α``."""
        over = max(0, min(1, step / max(1, self.anneal_epochs)))
        return over if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * over)) / 2
