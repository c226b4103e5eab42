"""A step whose optimizer evaluates the model itself: its micro-batches are kept, and computed anew when it asks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["Evaluating"]

_RECORDS = ("inputs", "activations", "activation_gradients", "deposits", "draws", "_magnitudes")
_NUMBERS = ("mean_loss", "_weight", "_prediction", "_given", "_random_state")


class Evaluating:
    """The part of a side that hands its optimizer a closure, where ``step`` requires one as that of ``LBFGS`` does."""

    optimizer: Any
    mean_loss: float
    zero_grad: Callable[[], None]
    accumulate: Callable[..., Any]
    _random_state: Any
    _given: list[tuple[Any, float, Any]]

    @property
    def needs_closure(self) -> bool:
        """Whether the optimizer evaluates the model itself."""
        kind: Any = type(self.optimizer)
        return _requires_closure(kind)

    def evaluated(self) -> float:
        """Evaluate the step's micro-batches anew, from a zero gradient, where the parameters are now.

        The gradients are then those of this evaluation, unclipped: a clip before a step that evaluates anew is without
        effect. Dropout drops what it dropped the first time, so that a line search sees one function, and all
        that was recorded stays that of the first time.

        Returns
        -------
        The mean loss of the batch.

        Raises
        ------
        RuntimeError
            If nothing was accumulated since ``zero_grad``.
        """
        given = self._given
        if not given:
            raise RuntimeError("the optimizer evaluates the model anew, but nothing was accumulated since zero_grad")
        kept = {name: getattr(self, name) for name in (*_RECORDS, *_NUMBERS)}
        for name in _RECORDS:
            setattr(self, name, {})
        self._given = []
        try:
            self.zero_grad()
            for micro_batch, weight, random_state in given:
                self._random_state = random_state
                self.accumulate(micro_batch, weight)
            return self.mean_loss
        finally:
            for name, value in kept.items():
                setattr(self, name, value)


@cache
def _requires_closure(optimizer: Any) -> bool:
    step = optimizer.step
    closure = inspect.signature(getattr(step, "__wrapped__", step)).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty
