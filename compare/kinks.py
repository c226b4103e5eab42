"""Kinks and ties: where values decide, what they decided, and what the other branch would give.

At ReLU's zero, at a tie in ``max``, at the end of a clip, two honest computations may take different branches, and both
are right. Three things follow. A noise floor is the noise of *one* branch: :class:`Deciding` notes what a plain run
decided, so that a perturbed one can decide alike. The other branch is looked for only where a difference asks for it:
:class:`Nudging` moves what lies on a kink to either side, and noise without the decisions changes what lies within
rounding of one. And what agrees with a branch is annotated, not alarmed about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = [
    "BEHIND",
    "DECIDING",
    "KINKED",
    "Decided",
    "Deciding",
    "Decision",
    "Imposing",
    "Nudging",
    "Undecided",
    "changed",
    "is_decision",
    "name_of",
    "on_one_side",
]

Kinks = Callable[[Sequence[Any]], tuple[float, ...]]


def _given(position: int, default: float) -> Callable[[Sequence[Any]], float]:
    return lambda args: float(args[position]) if len(args) > position and args[position] is not None else default


def _at(*kinks: float) -> Kinks:
    return lambda args: kinks


def _either_side(position: int, default: float) -> Kinks:
    bound = _given(position, default)
    return lambda args: (-bound(args), bound(args))


def _ends(args: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(end) for end in args[1:3] if isinstance(end, (int, float)))


KINKED: dict[str, Kinks] = {
    **dict.fromkeys(("relu", "leaky_relu", "_prelu_kernel", "abs", "elu", "sgn", "sign"), _at(0.0)),
    **dict.fromkeys(("hardsigmoid", "hardswish"), _at(-3.0, 3.0)),
    **dict.fromkeys(("hardshrink", "softshrink"), _either_side(1, 0.5)),
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max"), _ends),
    "hardtanh": lambda args: (_given(1, -1.0)(args), _given(2, 1.0)(args)),
    "threshold": lambda args: (_given(1, 0.0)(args),),
}
"""Elementwise ops with kinks, and where these lie."""

_TIED = frozenset({"max", "min", "amax", "amin", "max_pool2d_with_indices", "topk", "sort"})
"""Ops that choose one of several equal values."""

_COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "isclose"})
_CHOICES = frozenset(
    {"max", "min", "topk", "sort", "kthvalue", "median", "mode", "argmax", "argmin", "argsort"}
    | {"max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d"}
    | {"fractional_max_pool2d", "fractional_max_pool3d"}
)
_SIDES = {
    **dict.fromkeys(("threshold_backward", "leaky_relu_backward", "hardtanh_backward", "hardsigmoid_backward"), 1),
    **dict.fromkeys(("hardswish_backward", "softshrink_backward", "hardshrink_backward", "_prelu_kernel_backward"), 1),
    "multi_margin_loss_backward": 1,
    **dict.fromkeys(("sgn", "sign", "heaviside", "floor", "ceil", "round", "trunc"), 0),
    "elu_backward": 5,
}
"""Ops whose result jumps where an argument passes a kink, and that argument's position."""

_PASSING = frozenset({"hardshrink", "threshold"})
"""Ops that let a value pass or put another in its place."""

DECIDING = _COMPARISONS | _CHOICES | _PASSING | frozenset(_SIDES)
"""Every op that may decide something."""


def name_of(func: Any) -> str:
    """The name of an op without its namespace and overload."""
    found: str = func._schema.name.partition("::")[2]
    return found


def is_decision(name: str, args: Sequence[Any]) -> bool:
    """Whether this call decides by floating-point values."""
    if name not in DECIDING or not any(isinstance(item, Tensor) and item.is_floating_point() for item in args):
        return False
    return name not in ("max", "min") or len(args) > 1


@dataclass
class Decision:
    """What one op decided: a comparison, chosen indices, what passed, or on which side of a kink an argument lies."""

    name: str
    shape: torch.Size
    results: list[Tensor] = field(default_factory=list)
    position: int | None = None
    argument: Tensor | None = None

    @property
    def jumps(self) -> bool:
        """Whether the result jumps where the argument passes a kink, and depends on it elsewhere too."""
        return bool(self.position)

    def fits(self, name: str, args: Sequence[Any]) -> bool:
        return self.name == name and isinstance(args[0], Tensor) and args[0].shape == self.shape

    def arguments(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments with the one that decides as it was, where the result is nothing but the decision."""
        if self.position is None:
            return tuple(args)
        assert self.argument is not None
        decided = self.argument.to(args[self.position].dtype)
        return (*args[: self.position], decided, *args[self.position + 1 :])

    def on_its_side(self, args: Sequence[Any], kinks: Sequence[float]) -> tuple[Any, ...]:
        """The arguments, with what has passed a kink put back to where it was decided."""
        given, decided = args[self.position or 0], self.arguments(args)[self.position or 0]
        passed = torch.stack([(given - kink).sign() != (decided - kink).sign() for kink in kinks]).any(0)
        position = self.position or 0
        return (*args[:position], torch.where(passed, decided, given), *args[position + 1 :])

    def imposed(self, args: Sequence[Any], out: Any) -> Any:
        """The result with what was decided as it was."""
        if self.argument is not None and self.position is None:
            return torch.where(self.argument == self.results[0], args[0], self.results[0].to(args[0].dtype))
        if not self.results:
            return out
        if isinstance(out, Tensor):
            return self.results[0].clone()
        kept = iter(self.results)
        return type(out)(
            next(kept).clone() if isinstance(item, Tensor) and not item.is_floating_point() else item for item in out
        )


def changed(one: Sequence[Decision], other: Sequence[Decision]) -> str:
    """The first op that decided differently in two runs of the same ops, with how many elements; empty if none did."""
    for a, b in zip(one, other, strict=False):
        if a.name != b.name or a.shape != b.shape:
            break
        if a.argument is not None and b.argument is not None:
            differ = (a.argument > 0) != (b.argument > 0)
        elif a.results and a.results[0].shape == b.results[0].shape:
            differ = a.results[0] != b.results[0]
        else:
            continue
        count = int(differ.sum())
        if count:
            first = int(differ.flatten().nonzero()[0])
            name = a.name.removesuffix("_backward").replace("threshold", "relu")
            return f"{count} element{'s' * (count > 1)} within rounding of the kink of {name} (the first at {first})"
    return ""


def on_one_side(noisy: Any, decided: Any) -> Any:
    """The noisy result, but the decided one where they lie a step apart and not a rounding."""
    if not isinstance(noisy, Tensor):
        return type(noisy)(on_one_side(*pair) if pair[0] is not None else None for pair in zip(noisy, decided))  # noqa: B905
    near = (noisy - decided).abs() <= 2.0**-10 * torch.maximum(noisy.abs(), decided.abs())
    return torch.where(near, noisy, decided)


class Deciding(TorchDispatchMode):
    """Notes every decision that floating-point values make, in the order in which they are made.

    Attributes
    ----------
    made : list of Decision
    random : bool
        Whether an op has drawn random numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Decision] = []
        self.random = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = name_of(func)
        self.random = self.random or torch.Tag.nondeterministic_seeded in func.tags
        if not is_decision(name, args):
            return func(*args, **(kwargs or {}))
        decision = Decision(name, args[0].shape if isinstance(args[0], Tensor) else torch.Size())
        if name in _SIDES:
            decision.position = _SIDES[name]
            decision.argument = args[decision.position].clone()
            self.made.append(decision)
            return func(*args, **(kwargs or {}))
        self.made.append(decision)
        out = func(*args, **(kwargs or {}))
        if name in _PASSING:
            decision.argument, decision.results = args[0].clone(), [out.clone()]
            return out
        results = out if isinstance(out, (tuple, list)) else [out]
        decision.results = [item.clone() for item in results if not item.is_floating_point()]
        return out


class Undecided(TorchDispatchMode):
    """Says what an op hands on where it looks at a value that is NaN, which lies on no side of a kink.

    PyTorch's own kernels do one thing in their vectorized part and another in the rest: a comparison with NaN is false,
    and which way round it is asked is nobody's promise.

    Parameters
    ----------
    value : float, optional
        In the place of a gradient; by default the gradient passes.

    Attributes
    ----------
    found : list of (op name, number of elements, first flat index)
    """

    def __init__(self, value: float | None = None):
        super().__init__()
        self._value = value
        self.found: list[tuple[str, int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = name_of(func)
        if name not in _JUMPS or not isinstance(out, Tensor):
            return out
        undecided = args[_SIDES[name]].isnan()
        at = undecided.flatten().nonzero().flatten()
        if not at.numel():
            return out
        self.found.append((name.removesuffix("_backward"), int(at.numel()), int(at[0])))
        return torch.where(undecided, args[0] if self._value is None else self._value, out)


class Decided:
    """The decisions of one run, imposed on another for as long as both run the same ops."""

    def __init__(self, decisions: Sequence[Decision]):
        self._decisions: Iterator[Decision] | None = iter(decisions)

    def run(self, func: Any, name: str, args: Any, kwargs: Any, compute: Callable[[Any], Any]) -> Any:
        """The result of an op that may decide something; ``compute(args)`` is how this run computes it."""
        if self._decisions is None or not is_decision(name, args):
            return compute(args)
        decision = next(self._decisions, None)
        if decision is None or not decision.fits(name, args):
            self._decisions = None
            return compute(args)
        decided = decision.arguments(args)
        if decision.jumps:
            if name in _JUMPS:
                return compute(decision.on_its_side(args, _JUMPS[name](args)))
            return on_one_side(compute(args), func(*decided, **kwargs))
        return decision.imposed(decided, compute(decided))


class Imposing(TorchDispatchMode):
    """Lets a run decide as another one did, and changes nothing else."""

    def __init__(self, decisions: Sequence[Decision]):
        super().__init__()
        self._decided = Decided(decisions)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return self._decided.run(func, name_of(func), args, kwargs, lambda given: func(*given, **kwargs))


BEHIND: dict[str, tuple[int, Kinks]] = {
    "leaky_relu_backward": (1, _at(0.0)),
    "_prelu_kernel_backward": (1, _at(0.0)),
    "hardtanh_backward": (1, lambda args: (args[2], args[3])),
    "hardsigmoid_backward": (1, _at(-3.0, 3.0)),
    "hardswish_backward": (1, _at(-3.0, 3.0)),
    "softshrink_backward": (1, _either_side(2, 0.5)),
    "hardshrink_backward": (1, _either_side(2, 0.5)),
    "elu_backward": (5, _at(0.0)),
    "sgn": (0, _at(0.0)),
    "sign": (0, _at(0.0)),
}
"""Ops that look at the value itself in the backward pass: its position among the arguments, and its kinks."""

_JUMPS: dict[str, Kinks] = {
    "threshold_backward": lambda args: (float(args[2]),),
    **{name: kinks for name, (position, kinks) in BEHIND.items() if position},
}
"""Ops whose result jumps where an argument passes a kink, and depends on it elsewhere too."""

_ORDERS = frozenset({"lt", "le", "gt", "ge"})


class Nudging(TorchDispatchMode):
    """Moves what lies exactly on a kink off it, where an op decides by it: the other branch is taken.

    Several equal extremes share a gradient in ``amax`` and ``amin``; here the first of them, or the last, gets it all.

    Parameters
    ----------
    direction : 1 or -1
    near : how far from the kink an input may lie, in units in the last place of the tensor's largest magnitude

    Attributes
    ----------
    found : list of (op name, number of elements, first flat index)
    """

    def __init__(self, direction: int, near: float = 0.0):
        super().__init__()
        self._direction = direction
        self._near = near
        self._shared: dict[tuple[int, torch.Size], int] = {}  # the inputs of amax and amin, and along which axis
        self.found: list[tuple[str, int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = name_of(func)
        position, kinks = BEHIND.get(name, (0, None))
        value = args[position] if len(args) > position else None
        if not isinstance(value, Tensor) or not _can_decide(value):
            return func(*args, **kwargs)
        if name == "eq":
            for side in args:
                if isinstance(side, Tensor) and (key := (side.data_ptr(), side.shape)) in self._shared:
                    return self._one_of(func(*args, **kwargs), self._shared[key])
        places = self._near_to(value, kinks(args)) if kinks else self._places(name, args)
        if places is None or not bool(places.any()):
            return func(*args, **kwargs)
        at = places.flatten().nonzero().flatten()
        self.found.append((name.rstrip("_").removesuffix("_backward"), int(at.numel()), int(at[0])))
        if name in ("amax", "amin"):
            self._shared[value.data_ptr(), value.shape] = _only(args[1])
            return func(*args, **kwargs)
        return func(*args[:position], self._nudged(name, value, places), *args[position + 1 :], **kwargs)

    def _one_of(self, equal: Tensor, dim: int) -> Tensor:
        """Of several equal extremes along an axis the first, or the last."""
        if self._direction > 0:
            return equal & (equal.cumsum(dim) == 1)
        return equal & (equal.flip(dim).cumsum(dim).flip(dim) == 1)

    def _near_to(self, value: Tensor, kinks: Sequence[float]) -> Tensor | None:
        reach = self._near * torch.finfo(value.dtype).eps * value.abs().max()
        return torch.stack([(value - kink).abs() <= reach for kink in kinks]).any(0) if kinks else None

    def _places(self, name: str, args: Any) -> Tensor | None:
        tensor = args[0]
        reach = self._near * torch.finfo(tensor.dtype).eps * tensor.abs().max()
        kinks = KINKED.get(name.rstrip("_"))
        if kinks:
            return self._near_to(tensor, kinks(args))
        alike = name == "eq" and isinstance(args[1], Tensor) and args[1].shape == tensor.shape
        if name in _ORDERS or alike:
            gaps = (tensor - args[1]).abs()
            return gaps <= reach if gaps.shape == tensor.shape else None
        if name in _TIED and len(args) > 1 and isinstance(args[1], (int, list, tuple)) and tensor.ndim:
            if name in ("amax", "amin") and _only(args[1]) is None:
                return None
            dim = args[1] if name in ("max", "min", "amax", "amin") else -1
            extreme = tensor.amax(dim, keepdim=True) if not name.endswith("min") else tensor.amin(dim, keepdim=True)
            tied = (tensor - extreme).abs() <= reach
            return tied & (tied.sum(dim, keepdim=True) > 1)
        return None

    def _nudged(self, name: str, tensor: Tensor, places: Tensor) -> Tensor:
        eps = torch.finfo(tensor.dtype).eps
        size = max(self._near, 1.0) * 2 * eps * float(tensor.abs().max() or 1.0)
        if name in _TIED:  # order the tied ones, one way or the other
            ladder = torch.arange(tensor.numel(), dtype=tensor.dtype).reshape(tensor.shape) / tensor.numel()
            return torch.where(places, tensor + self._direction * size * (1 + ladder), tensor)
        return torch.where(places, tensor + self._direction * size, tensor)


def _can_decide(value: Tensor) -> bool:
    """Whether it has floating elements; a row-sparse gradient has too, but nothing decides by them."""
    return value.is_floating_point() and not value.is_sparse and value.numel() > 0


def _only(dim: Any) -> Any:
    """The one axis that is meant, or ``None``."""
    dims = [dim] if isinstance(dim, int) else list(dim)
    return dims[0] if len(dims) == 1 else None
