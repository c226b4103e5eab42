"""The branch that the actual side took: each value near a kink is put on the side on which the actual side has it.

Where several values lie within rounding of a kink, each side decides each of them in its own way, and no run that moves
all of them together meets the actual side's choice. But what the actual side shows of its forward pass tells it: an
output that lies within its floors takes the actual side's values, and a kink inside a module is decided as its output
was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat, zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from compare.kinks import BEHIND, KINKED, name_of

__all__ = ["Following"]

_ZONE = 64.0
"""How far from a kink an honest value may lie, in units in the last place of the largest."""

_BEHIND = {"threshold_backward": 1, **{name: position for name, (position, _) in BEHIND.items()}}
"""Ops that look at the value again in the backward pass, and its position among the arguments."""

_ALIKE = 2.0**-8
"""How far apart, relative to the largest, the outputs of one op on the two sides may lie where no kink is near."""


class Following(TorchDispatchMode):
    """Decides at elementwise kinks as the outputs of another side were decided.

    Parameters
    ----------
    shown : sequences of arrays
        What the other side shows of each forward pass, the prediction last; the output of an op is found among them by
        shape and values.
    allowed : sequences of arrays, optional
        For each of them how far two honest ones may lie apart, by element. An output that lies so near takes the other
        side's values, and what follows decides by those.

    Attributes
    ----------
    found : list of (op, how many were moved, the first of them)
    """

    def __init__(self, shown: Iterable[Sequence[np.ndarray]], allowed: Iterable[Sequence[Any]] | None = None):
        super().__init__()
        self._shown: list[Tensor] = []
        self._outputs: list[tuple[Tensor, Tensor | None, bool]] = []  # with what is allowed, and if it is a prediction
        for arrays, rooms in zip(shown, repeat(()) if allowed is None else allowed, strict=False):
            pairs = [pair for pair in zip_longest(arrays, rooms) if pair[0].dtype.kind == "f"]
            for array, room in pairs:
                self._shown.append(torch.from_numpy(np.array(array)))
                near = None if room is None else torch.from_numpy(np.array(room))
                # the last module shows what the model does
                self._outputs.append((self._shown[-1], near, np.array_equal(array, pairs[-1][0])))
        # by address, which is held: an output that has taken the other side's values, and its own
        self._taken: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        # the saved value, which is held so that its address stays its own, and what it was moved to
        self._moved: dict[tuple[int, torch.Size], tuple[Tensor, Tensor]] = {}
        self.found: list[tuple[str, int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = name_of(func)
        position = _BEHIND.get(name, 0)
        value = args[position] if len(args) > position else None
        if isinstance(value, Tensor):
            if name in _BEHIND and (value.data_ptr(), value.shape) in self._moved:
                moved = self._moved[value.data_ptr(), value.shape][1]
                return func(*args[:position], moved, *args[position + 1 :], **kwargs)
            plain = name.rstrip("_")
            if plain in KINKED and value.is_floating_point() and value.numel():
                return self._decided(func, plain, args, kwargs)
        out = func(*args, **kwargs)
        if isinstance(out, Tensor) and out.is_floating_point() and out.numel() and not getattr(func, "is_view", False):
            self._take(out)
        return out

    def _take(self, out: Tensor) -> None:
        """Put the other side's values in the place of these, if they are the same but for rounding."""
        for theirs, allowed, is_prediction in self._outputs:
            if out.numel() != theirs.numel() or out.dtype != theirs.dtype:
                continue
            theirs = theirs.reshape(out.shape)  # a layer computes in two dimensions what it shows in more
            apart = (out - theirs).abs()
            if not float(apart.max()) > 0:
                continue
            near = allowed is not None and bool((apart <= allowed.reshape(out.shape)).all())
            if near or (is_prediction and float(apart.max()) <= _reach(out)):
                if is_prediction:  # a loss may have kinks, too
                    at = apart.flatten().nonzero().flatten()
                    self.found.append(("loss", int(at.numel()), int(at[0])))
                self._taken[out.data_ptr(), out.numel()] = (out, out.clone())
                out.copy_(theirs)
                return

    def _decided(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        value = args[0]
        moved = value.clone()
        reach = _reach(value)
        kinks = KINKED[name](args)
        _, own = self._taken.get((value.data_ptr(), value.numel()), (None, None))
        if own is not None and kinks:
            own = own.reshape(value.shape)
            passed = torch.stack([(value - kink).sign() != (own - kink).sign() for kink in kinks]).any(0)
            if bool(passed.any()):
                at = passed.flatten().nonzero().flatten()
                self.found.append((name, int(at.numel()), int(at[0])))
        zones = [(value - kink).abs() <= reach for kink in kinks]
        if not zones or not bool(torch.stack(zones).any()):
            return func(*args, **kwargs)
        shown = self._matching(func(value.clone(), *args[1:], **kwargs), torch.stack(zones).any(0))
        if shown is None:
            return func(*args, **kwargs)
        for kink, near in zip(kinks, zones, strict=True):
            low, at, high = _around(kink, value)
            below, there, beyond = (func(torch.where(near, x, moved), *args[1:], **kwargs) for x in (low, at, high))
            to_below, to_beyond = (shown - below).abs(), (shown - beyond).abs()
            above = (to_beyond < to_below) | ((to_beyond == to_below) & (shown > below))
            exactly = (shown == there) & (to_below > 0) & (to_beyond > 0)  # the other side has it on the kink itself
            wanted = torch.where(exactly, at, torch.where(above, high, low))
            settled = torch.where(exactly, value == kink, torch.where(above, value > kink, value < kink))
            wrong = near & ~settled  # what is on the right side stays as it is
            if bool(wrong.any()):
                moved = torch.where(wrong, wanted, moved)
                at = wrong.flatten().nonzero().flatten()
                self.found.append((name, int(at.numel()), int(at[0])))
        if not torch.equal(moved, value):
            self._moved[value.data_ptr(), value.shape] = (value, moved)
            if func._schema.is_mutable:
                value.copy_(moved)
            else:
                args = (moved, *args[1:])
        return func(*args, **kwargs)

    def _matching(self, output: Tensor, near: Tensor) -> Tensor | None:
        """What the other side has of this output: the nearest of its arrays, where no kink is near."""
        nearest, least = None, _ALIKE * float(output.abs().max())
        for shown in self._shown:
            if shown.shape == output.shape and shown.dtype == output.dtype:
                apart = float(torch.where(near, torch.zeros_like(output), (shown - output).abs()).max())
                if apart <= least and (nearest is None or apart < least):
                    nearest, least = shown, apart
        return nearest


def _reach(value: Tensor) -> float:
    return _ZONE * torch.finfo(value.dtype).eps * float(value.abs().max())


def _around(kink: float, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A kink between the numbers next to it; next to zero they are the least normal ones."""
    at = torch.tensor(kink, dtype=like.dtype)
    least = torch.tensor(torch.finfo(like.dtype).tiny, dtype=like.dtype)
    if kink == 0:
        return -least, at, least
    return torch.nextafter(at, at - 1), at, torch.nextafter(at, at + 1)
