"""Dynamic loss scaling: names, arguments and state keys as ``torch.amp`` has them.

Gradients of a half-precision loss underflow to 0. A loss that is multiplied by ``S`` has gradients ``S`` times as
large; they are divided by ``S`` before anybody reads them. ``S`` is found as training goes: where a gradient overflows,
the step is skipped and ``S`` shrinks; after many good steps it grows::

    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)                            # only where gradients are read: clipping
    clip_grad_norm_(model.parameters(), max_norm=1.0)
    scaler.step(optimizer)                                # unscales, unless done; skips where a gradient overflowed
    scaler.update()                                       # the next S
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

import numpy as np

from manual.rules.core import Array
from manual.tensor import Tensor

__all__ = ["GradScaler", "OptState"]


class OptState(Enum):
    """How far an optimizer has come since the last ``update``.

    Takes no arrays. Raises a ``ValueError`` for a number that is no state.

    Examples
    --------
    >>> manual.amp.OptState.READY.value, manual.amp.OptState(2).name
    (0, 'STEPPED')
    """

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class _Progress:
    """What a scaler knows of an optimizer since the last ``update``."""

    def __init__(self) -> None:
        self.stage = OptState.READY
        self.overflowed: bool | None = None  # None before any gradient was looked at


class GradScaler:
    """Scale the loss up, the gradients back, and find the scale.

    With ``S`` the scale and ``k`` the number of good steps in a row, ``update`` sets::

        S ← S · backoff_factor,  k ← 0       if a gradient of any optimizer was infinite or nan
        S ← S · growth_factor,   k ← 0       if not, and this was good step number growth_interval
        k ← k + 1                            otherwise

    Micikevicius, Narang, Alben, Diamos, Elsen, Garcia, Ginsburg, Houston, Kuchaiev, Venkatesh and Wu, "Mixed Precision
    Training" (ICLR 2018), section 3.2.

    Shapes: a loss or output of any shape; each gradient has its parameter's.

    Parameters
    ----------
    device : accepted, as in torch; arrays have none
    init_scale : float
        The first ``S``.
    growth_factor : float
        Greater than 1.
    backoff_factor : float
        Less than 1.
    growth_interval : int
    enabled : bool
        A disabled one hands losses and steps through.

    Raises
    ------
    AssertionError
        If a factor is out of range, or a call comes without what must come before it.

    Convention: as in torch, ``S`` is a float32 number that the first ``scale`` makes; gradients are multiplied by
    ``1 / S``, rounded to float32; ``S`` does not grow beyond the range of float32, and may shrink to 0. Whether a
    gradient overflowed is seen before it is unscaled.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, 2.0]))
    >>> sgd, scaler = optim.SGD([weight], lr=0.5), manual.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)
    >>> scaler.scale((weight * weight).sum()).backward()
    >>> weight.grad
    array([16., 32.], dtype=float32)
    >>> scaler.step(sgd)
    >>> weight.data
    array([0., 0.], dtype=float32)
    >>> scaler.update()
    >>> scaler.get_scale()
    16.0
    """

    def __init__(
        self,
        device: str = "cpu",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        if enabled and growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if enabled and backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._enabled = enabled
        self._init_scale = init_scale
        self._scale: Array | None = None
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._optimizers: dict[int, _Progress] = {}

    def scale(self, outputs: Any) -> Any:
        """Multiply a loss by ``S``: a tensor, or every tensor in nested iterables.

        Raises
        ------
        ValueError
            If there is anything else.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._scale = np.array(self._init_scale, np.float32)
            return outputs * Tensor(self._scale.copy())
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by ``S`` in place, and see whether any overflowed.

        Raises
        ------
        RuntimeError
            If that was done already since the last ``update``, or after ``step``.
        ValueError
            If a gradient is float16: what underflowed there is lost, weights must be kept in float32.
        """
        if not self._enabled:
            return
        scale = self._known_scale("unscale_")
        progress = self._progress(optimizer)
        if progress.stage is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if progress.stage is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.reciprocal(scale.astype(np.float64)).astype(np.float32)
        gradients = [
            _values(parameter.grad)
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        if any(gradient.dtype == np.float16 for gradient in gradients):
            raise ValueError("Attempting to unscale FP16 gradients.")
        if gradients:
            progress.overflowed = not all(np.isfinite(gradient).all() for gradient in gradients)
        with np.errstate(over="ignore", invalid="ignore"):
            for gradient in gradients:
                gradient *= inverse
        progress.stage = OptState.UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Unscale, unless that is done, and let the optimizer step, unless a gradient overflowed.

        Returns
        -------
        What ``optimizer.step`` returns, ``None`` where it was skipped.

        Raises
        ------
        RuntimeError
            If it was called already since the last ``update``, or with a closure: which loss would be scaled?
        AssertionError
            If no parameter has a gradient.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._known_scale("step")
        progress = self._progress(optimizer)
        if progress.stage is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if progress.stage is OptState.READY:
            self.unscale_(optimizer)
        if progress.overflowed is None:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None if progress.overflowed else optimizer.step(*args, **kwargs)
        progress.stage = OptState.STEPPED
        return result

    def update(self, new_scale: Any = None) -> None:
        """Set ``S`` for the next iteration, after the steps of all optimizers.

        Parameters
        ----------
        new_scale : float, or tensor or array of one element, optional
            Set as it is; the count of good steps stays.

        Raises
        ------
        AssertionError
            If no gradient was looked at since the last ``update``, or ``new_scale`` is nothing of that.
        """
        if not self._enabled:
            return
        scale = self._known_scale("update")
        if new_scale is not None:
            scale[...] = _one_number(new_scale)
        else:
            found = [state.overflowed for state in self._optimizers.values() if state.overflowed is not None]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._move_scale(scale, any(found))
        self._optimizers.clear()

    def _move_scale(self, scale: Array, overflowed: bool) -> None:
        if overflowed:
            scale[...] = float(scale) * self._backoff_factor
            self._growth_tracker = 0
            return
        self._growth_tracker += 1
        if self._growth_tracker == self._growth_interval:
            with np.errstate(over="ignore"):
                grown = np.float32(float(scale) * self._growth_factor)
            if np.isfinite(grown):
                scale[...] = grown
            self._growth_tracker = 0

    def _known_scale(self, call: str) -> Array:
        if self._scale is None:
            raise AssertionError(
                f"Attempted {call} but _scale is None.  This may indicate your script did not use scaler.scale(loss or "
                "outputs) earlier in the iteration."
            )
        return self._scale

    def _progress(self, optimizer: Any) -> _Progress:
        return self._optimizers.setdefault(id(optimizer), _Progress())

    # -- settings and state ------------------------------------------------------------------------------------------

    def get_scale(self) -> float:
        """``S``; 1 where disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale)

    def get_growth_factor(self) -> float:
        """By what the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set by what the scale grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """By what the scale shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set by what the scale shrinks."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps in a row let the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many good steps in a row let the scale grow."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether losses are scaled at all."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """``S``, the factors, the interval and the count of good steps; nothing where disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state, made here or by torch.

        Raises
        ------
        RuntimeError
            If it is empty: that of a disabled scaler.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        if self._scale is not None:
            self._scale[...] = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]

    def __getstate__(self) -> dict[str, Any]:
        if self._optimizers:
            raise AssertionError(
                "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after "
                "scaler.update()."
            )
        return {**self.__dict__, "_init_scale": self.get_scale(), "_scale": None}


def _values(gradient: Any) -> Array:
    """The numbers of a gradient; of a sparse one those of its rows."""
    values: Array = gradient.values if getattr(gradient, "is_sparse", False) else gradient
    return values


def _one_number(value: Any) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, (Tensor, np.ndarray)):
        array = value.data if isinstance(value, Tensor) else value
        if array.size == 1 and not getattr(value, "requires_grad", False):
            return float(array.reshape(()))
    raise AssertionError(
        "new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with "
        "requires_grad=False."
    )
