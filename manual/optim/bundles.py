"""Blocks of a size that fits the cache: a large parameter is cut into several, many small ones share one.

An elementwise update does not care where an element lives. NumPy does: every pass over an array that outgrows the
cache pays for memory, and every call on a tiny array pays for the call. So an optimizer's ``update`` sees

- blocks of ``BLOCK`` elements of a large parameter, one after the other, with scratch buffers that stay in the cache;
- a *bundle* of small parameters as one flat array. Parameters and gradients are gathered into scratch, slots *live* in
  flat arrays of which each parameter's slots are views, and the new values are written back into the parameters;
- any other parameter as it is.

Each element meets the same operations in the same order on all three ways, so the results are equal to the last bit.
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from manual.rules.core import Array

if TYPE_CHECKING:
    from manual.optim.optimizer import Optimizer
    from manual.tensor import Tensor

__all__ = ["BLOCK", "SMALL", "Bundle", "Bundles", "Scratch", "slot_like", "update_in_blocks"]

BLOCK = 32 * 1024
"""Elements that are updated in one go."""

SMALL = 32 * 1024
"""Bytes of the largest parameter that is bundled: beyond it, gathering costs more than the calls it saves."""

CACHE_LINE = 64

Slots = dict[str, Any]
Group = dict[str, Any]


class Scratch:
    """Buffers to compute in, by name, kept from one block to the next and from one step to the next.

    They are meant for ``out=``. Only blocks and bundles get one: for a single or tiny parameter it is ``None``, which
    lets NumPy allocate, and that is cheaper there. So go on with what the ufunc returns::

        change = np.multiply(gradient, lr, out=self.scratch("change", parameter))
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, str], Array] = {}

    def __call__(self, name: str, like: Array) -> Any:
        """An array of the shape and dtype of ``like``, or None; good until the next call with that name."""
        size = like.size
        if like.ndim == 0:  # without it NumPy would answer with a scalar, which cannot be changed in place
            return np.empty_like(like)
        if size < 1024 or like.ndim != 1 or size > BLOCK:
            return None
        return self.buffer(name, size, like.dtype)

    def buffer(self, name: str, size: int, dtype: np.dtype[Any]) -> Array:
        """A flat array of at most ``BLOCK`` elements that may hold anything."""
        buffer = self._buffers.get((name, dtype.char))
        if buffer is None:
            buffer = self._buffers[name, dtype.char] = aligned((BLOCK,), dtype)
        return buffer[:size]


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An empty array that starts on a cache line: passes over it are about a tenth faster than over ``np.empty``."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + CACHE_LINE, np.uint8)
    start = -raw.__array_interface__["data"][0] % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def slot_like(parameter: Array, value: float = 0.0) -> Array:
    """A slot for a parameter: an array of its shape and dtype, filled with one value."""
    if not parameter.flags.c_contiguous:
        return np.full_like(parameter, value)
    slot = aligned(parameter.shape, parameter.dtype)
    slot[...] = value
    return slot


def update_in_blocks(optimizer: Optimizer, parameter: Array, gradient: Array, slots: Slots, group: Group) -> None:
    """Update a large contiguous parameter block by block.

    Parameters
    ----------
    parameter, gradient : arrays of one shape; the parameter and the slots of its shape are C-contiguous
    slots : the parameter's slots; one that the update makes in each block is put together here
    """
    flat_parameter, flat_gradient = parameter.reshape(-1), gradient.reshape(-1)
    scalars = {name: slots[name] for name in optimizer.scalar_slots if name in slots}
    flat_slots = {name: slot.reshape(-1) for name, slot in slots.items() if name not in scalars}
    for start in range(0, flat_parameter.size, BLOCK):
        part = slice(start, start + BLOCK)
        block = {name: slot[part] for name, slot in flat_slots.items()} | scalars
        optimizer.update(flat_parameter[part], flat_gradient[part], block, group)
        if len(block) > len(flat_slots) + len(scalars):
            for name in block.keys() - flat_slots.keys() - scalars.keys():
                if name not in slots:
                    slots[name] = aligned(parameter.shape, parameter.dtype)
                slots[name].reshape(-1)[part] = block[name]


class Bundle:
    """Small parameters of one group, one dtype and one step count, updated as one flat array.

    Parameters
    ----------
    optimizer : whose slots move into flat arrays here; the slots of each parameter become views of them
    tensors : at least two, none of them twice, at most ``BLOCK`` elements together
    """

    def __init__(self, optimizer: Optimizer, tensors: list[Tensor]):
        self.tensors = tensors
        self.arrays = [tensor.data for tensor in tensors]
        self._slots = [optimizer.state[tensor] for tensor in tensors]
        ends = [0, *accumulate(array.size for array in self.arrays)]
        self._spans = list(pairwise(ends))
        dtype = self.arrays[0].dtype
        self._parameter = optimizer.scratch.buffer("bundled parameter", ends[-1], dtype)
        self._gradient = optimizer.scratch.buffer("bundled gradient", ends[-1], dtype)
        self._pieces = self._views(self._parameter)
        self._flat: Slots = {}
        self._scalars: Slots = {}
        first = self._slots[0]
        for name in first:
            if name in optimizer.scalar_slots:
                vector = self._scalars[name] = np.stack([slots[name] for slots in self._slots])
                for index, slots in enumerate(self._slots):
                    slots[name] = vector[index, ...]
                self._flat[name] = first[name]
            else:
                self._flat[name] = aligned((ends[-1],), dtype)
                np.concatenate([slots[name].ravel() for slots in self._slots], out=self._flat[name])
                self._hand_out(name)
        self._settle()

    def _views(self, flat: Array) -> list[Array]:
        return [
            flat[start:end].reshape(array.shape) for (start, end), array in zip(self._spans, self.arrays, strict=True)
        ]

    def _hand_out(self, name: str) -> None:
        for slots, view in zip(self._slots, self._views(self._flat[name]), strict=True):
            slots[name] = view

    def _settle(self) -> None:
        self._members = [
            (tensor, array, slots, tuple(slots.values()))
            for tensor, array, slots in zip(self.tensors, self.arrays, self._slots, strict=True)
        ]

    def intact(self, optimizer: Optimizer) -> bool:
        """Whether the parameters still hold the arrays packed here, and have made the same number of steps."""
        state = optimizer.state
        for tensor, array, slots, values in self._members:
            if tensor.data is not array or state.get(tensor) is not slots or len(slots) != len(values):
                return False
            for value, packed in zip(slots.values(), values):  # noqa: B905 (speed; the lengths were compared)
                if value is not packed:
                    return False
        for vector in self._scalars.values():
            counts = vector.tolist()
            if counts.count(counts[0]) != len(counts):
                return False
        return True

    def update(self, optimizer: Optimizer, gradients: list[Array], group: Group) -> None:
        """Make one step of all parameters."""
        np.concatenate([array.ravel() for array in self.arrays], out=self._parameter)
        np.concatenate([gradient.ravel() for gradient in gradients], out=self._gradient)
        if self._scalars:
            optimizer.advance(self._scalars, group)
        known = len(self._flat)
        optimizer.update(self._parameter, self._gradient, self._flat, group)
        if self._scalars:
            optimizer.conclude(self._scalars, group)
        for array, piece in zip(self.arrays, self._pieces):  # noqa: B905 (speed)
            array[...] = piece
        if len(self._flat) > known:
            for name in list(self._flat)[known:]:
                self._hand_out(name)
            self._settle()


class Bundles:
    """Which parameters of one group are bundled.

    They are packed at the first step, and again where the set of parameters that have a gradient has changed and
    stayed the same for two steps. In between they are updated one by one, on the same slots.
    """

    def __init__(self) -> None:
        self._packed: list[int] | None = None
        self._previous: list[int] | None = None
        self._bundles: list[Bundle] = []
        self._alone: list[Tensor] = []

    def step(self, optimizer: Optimizer, tensors: list[Tensor], group: Group) -> None:
        """Update the parameters of a group that have a gradient."""
        composition = [id(tensor) for tensor in tensors]
        if composition != self._packed:
            settled = self._previous is None or self._previous == composition
            self._previous = composition
            if not settled:
                for tensor in tensors:
                    optimizer.update_alone(tensor, group)
                return
            self._pack(optimizer, tensors, group)
            self._packed = composition
        self._previous = composition
        for tensor in self._alone:
            optimizer.update_alone(tensor, group)
        for bundle in self._bundles:
            if bundle.intact(optimizer):
                bundle.update(optimizer, [checked_gradient(tensor) for tensor in bundle.tensors], group)
            else:
                self._packed = None
                for tensor in bundle.tensors:
                    optimizer.update_alone(tensor, group)

    def _pack(self, optimizer: Optimizer, tensors: list[Tensor], group: Group) -> None:
        self._bundles, self._alone = [], []
        small = [tensor for tensor in tensors if tensor.data.nbytes <= SMALL]
        if _overlap([tensor.data for tensor in small]):  # then each update must see the one before
            self._alone = tensors
            return
        self._alone = [tensor for tensor in tensors if tensor.data.nbytes > SMALL]
        kinds: dict[Any, list[list[Tensor]]] = {}
        for tensor in small:
            slots = optimizer.slots_of(tensor, group)
            counts = tuple([(float(slots[name]), slots[name].dtype) for name in optimizer.scalar_slots])
            chunks = kinds.setdefault((tensor.data.dtype, tuple(slots), counts), [[]])
            if sum([member.data.size for member in chunks[-1]], tensor.data.size) > BLOCK:
                chunks.append([])
            chunks[-1].append(tensor)
        for chunks in kinds.values():
            for chunk in chunks:
                if len(chunk) > 1:
                    self._bundles.append(Bundle(optimizer, chunk))
                else:
                    self._alone += chunk


def checked_gradient(tensor: Tensor) -> Array:
    """The gradient of a tensor that has one.

    Raises
    ------
    RuntimeError
        If its shape or dtype is not the parameter's: NumPy would broadcast or cast it silently.
    """
    gradient, parameter = tensor.grad, tensor.data
    assert gradient is not None
    if gradient.shape != parameter.shape or (
        gradient.dtype is not parameter.dtype and gradient.dtype != parameter.dtype
    ):
        raise RuntimeError(
            f"a gradient has shape {gradient.shape} and dtype {gradient.dtype}, "
            f"its parameter has shape {parameter.shape} and dtype {parameter.dtype}"
        )
    return gradient


def _overlap(arrays: list[Array]) -> bool:
    """Whether two of the arrays may share memory (a parameter listed twice, or tied by views)."""
    bounds = sorted(np.lib.array_utils.byte_bounds(array) for array in arrays if array.size)
    return any(later < end for (_, end), (later, _) in pairwise(bounds))
