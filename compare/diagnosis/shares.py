"""What a penalty adds to each parameter's gradient, also where the reference's loss hides its penalty in a sum.

The gradient of a penalty depends on the parameter alone: ``alpha * theta`` for squares, ``alpha * sign(theta)`` for
magnitudes. Where a reference shows no penalty, every use that its loss makes of a parameter is told apart, and a use
whose share of the gradient is of this form is its penalty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.context import penalty_shares
from compare.diagnosis.evidence import Evidence
from compare.diagnosis.feeds import parameter_names

__all__ = ["Penalty", "penalty_of"]

FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the parameter": lambda theta: theta,
    "the parameter's sign": np.sign,
}
SIZES: dict[str, Callable[[np.ndarray], float]] = {
    "the parameter": lambda theta: 0.5 * float(np.vdot(theta, theta)),
    "the parameter's sign": lambda theta: float(np.abs(theta).sum()),
}


class Penalty(NamedTuple):
    """The reference's penalty in the diverging step.

    Attributes
    ----------
    shares : what it adds to each parameter's gradient, before a micro-batch's weight; only where that is not zero
    form : a key of ``FORMS``, or empty where it is neither
    strength : the ``alpha`` of each parameter in ``shares``; empty without a form
    """

    shares: dict[str, np.ndarray]
    form: str
    strength: dict[str, float]

    def value(self, parameters: Any) -> float:
        """The penalty itself, from its form."""
        size = SIZES[self.form]
        return sum(alpha * size(np.asarray(parameters[name], np.float64)) for name, alpha in self.strength.items())

    def without(self, name: str) -> Penalty:
        """The same with one parameter left out."""
        shares = {key: value for key, value in self.shares.items() if key != name}
        return Penalty(shares, self.form, {key: value for key, value in self.strength.items() if key != name})


def penalty_of(evidence: Evidence) -> Penalty | None:
    """The reference's penalty; ``None`` where it has none, or none of a known form."""
    if "penalty" not in evidence.memory:
        evidence.memory["penalty"] = _penalty(evidence)
    found: Penalty | None = evidence.memory["penalty"]
    return found


def _penalty(evidence: Evidence) -> Penalty | None:
    index = evidence.checkpoint.micro_batch or 1
    parameters = evidence.step.state["parameters"]
    shares = penalty_shares(evidence, index)
    if not shares:
        uses = _uses(evidence, index)
        shares = {name: share for name, each in uses.items() if (share := _own(each, parameters[name])) is not None}
    if not shares:
        return None
    for form, of in FORMS.items():
        strength = {name: _multiple(share, of(np.asarray(parameters[name]))) for name, share in shares.items()}
        if all(alpha is not None for alpha in strength.values()):
            return Penalty(shares, form, {name: alpha for name, alpha in strength.items() if alpha is not None})
    return Penalty(shares, "", {})


def _own(uses: list[np.ndarray], theta: np.ndarray) -> np.ndarray | None:
    """The sum of those uses of a parameter whose share depends on the parameter alone."""
    if len(uses) < 2:
        return None
    own = [use for use in uses if any(_multiple(use, of(np.asarray(theta))) is not None for of in FORMS.values())]
    return sum(own[1:], own[0]) if own and len(own) < len(uses) else None


def _multiple(share: np.ndarray, of: np.ndarray) -> float | None:
    """The factor between two arrays, where there is one and it is not zero; of a single number it could be any."""
    of, share = np.asarray(of, np.float64), np.asarray(share)
    size = float(np.vdot(of, of))
    if not size or share.shape != of.shape:
        return None
    factor = float(np.vdot(of, share)) / size
    bound = 64 * float(np.finfo(share.dtype).eps) * abs(factor) * float(np.max(np.abs(of)))
    return factor if factor and float(np.max(np.abs(share - factor * of))) <= bound else None


def _uses(evidence: Evidence, index: int) -> dict[str, list[np.ndarray]]:
    """For each parameter the gradients that come through each of its uses, before the micro-batch's weight."""
    from torch import Tensor
    from torch.overrides import TorchFunctionMode

    found: dict[str, list[np.ndarray]] = {}

    class Apart(TorchFunctionMode):
        """Hands every function an alias of its own of each parameter."""

        def __init__(self, names: dict[int, str]):
            super().__init__()
            self._names = names

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if _computes(function):
                args = tuple(self._alias(item) for item in args)
                kwargs = {key: self._alias(item) for key, item in (kwargs or {}).items()}
            return function(*args, **(kwargs or {}))

        def _alias(self, value: Any) -> Any:
            if type(value) in (tuple, list):
                return type(value)(self._alias(item) for item in value)
            if not isinstance(value, Tensor) or not value.is_leaf or not value.requires_grad:
                return value
            name = self._names.get(value.data_ptr())
            if name is None:
                return value
            alias = value.view_as(value)
            place = found.setdefault(name, [])
            at = len(place)
            place.append(np.zeros(tuple(value.shape)))

            def keep(gradient: Tensor) -> None:
                place[at] = gradient.detach().numpy().copy()

            alias.register_hook(keep)
            return alias

    evidence.replay(lambda side: Apart(parameter_names(side)), micro_batch=index)
    return found


def _computes(function: Any) -> bool:
    """Whether a function makes a value (and is no attribute, hook, in-place or backward call)."""
    name = getattr(function, "__name__", "")
    return not (name.startswith("__") or name.endswith("_") or name in _OTHERS) or name in _OPERATORS


_OTHERS = {
    "backward",
    "grad",
    "register_hook",
    "detach",
    "view_as",
    "item",
    "numpy",
    "data_ptr",
    "size",
    "dim",
    "numel",
}
_OTHERS |= {"is_floating_point", "tolist", "stride", "register_post_accumulate_grad_hook", "retain_grad"}
_OPERATORS = {f"__{side}{name}__" for side in ("", "r") for name in ("add", "sub", "mul", "truediv", "matmul", "pow")}
_OPERATORS |= {"__getitem__", "__neg__", "__abs__"}
