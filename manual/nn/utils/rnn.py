"""Sequences of different lengths: as a list, padded to one array, or packed so that no padding is computed with.

Packed, the elements lie step by step: the first one of every sequence, then the second of those that have one, and so
on, the longest sequence first (:mod:`manual.rules.steps` says why). Names and arguments are those of
``torch.nn.utils.rnn``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from manual import rules
from manual.rules.core import Array
from manual.tensor import Tensor, apply, as_array

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences without their padding; made by :func:`pack_padded_sequence` or :func:`pack_sequence`.

    Shapes: ``data (sum of the lengths, ...)``, ``batch_sizes (steps,)``, both indices ``(batch,)``. Raises nothing of
    its own.

    Attributes
    ----------
    data : Tensor ``(rows, ...)``
        All elements, step by step.
    batch_sizes : Tensor of integers
        How many sequences have each step.
    sorted_indices, unsorted_indices : Tensor of integers, or None
        Which sequence became the first, the second ...; and which of these each one became. ``None`` where they came
        sorted.

    Examples
    --------
    >>> packed = nn.utils.rnn.pack_sequence([tensor([1.0, 2.0, 3.0]), tensor([10.0])])
    >>> isinstance(packed, nn.utils.rnn.PackedSequence), packed.data, packed.batch_sizes.tolist()
    (True, Tensor([ 1., 10.,  2.,  3.]), [2, 1, 1])
    """

    __slots__ = ()

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> PackedSequence:
        if batch_sizes is None:
            if not isinstance(data, (tuple, list)) or len(data) != 2:
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        order = [None if indices is None else as_tensor(indices) for indices in (sorted_indices, unsorted_indices)]
        return super().__new__(cls, as_tensor(data), as_tensor(batch_sizes), *order)

    def to(self, dtype: Any) -> PackedSequence:
        """The same sequences in another dtype."""
        return self._replace(data=self.data.to(dtype))

    def double(self) -> PackedSequence:
        """The same sequences in float64."""
        return self.to(np.float64)

    def float(self) -> PackedSequence:
        """The same sequences in float32."""
        return self.to(np.float32)

    def half(self) -> PackedSequence:
        """The same sequences in float16."""
        return self.to(np.float16)


def invert_permutation(permutation: Any) -> Tensor | None:
    """Where each number stands in a permutation of ``0 ... n - 1``: ``inverse[permutation[i]] = i``.

    Shapes: ``(n,)`` to ``(n,)``; ``None`` stays ``None``. Raises nothing of its own.

    Examples
    --------
    >>> nn.utils.rnn.invert_permutation(tensor([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    if permutation is None:
        return None
    order = as_array(permutation)
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return Tensor(inverse)


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack sequences that are padded to one array.

    Shapes: as said; the data ``(sum of the lengths, ...)``.

    Parameters
    ----------
    input : Tensor ``(steps, batch, ...)``, or ``(batch, steps, ...)`` where ``batch_first``
    lengths : the length of each sequence
    enforce_sorted : whether they must come sorted, the longest first; otherwise they are sorted, and the packed
        sequence remembers how

    Raises
    ------
    RuntimeError
        If the lengths are not sorted where they must be, not positive, or of another number than the sequences, or if
        there is nothing to pack.

    Examples
    --------
    >>> padded = tensor([[1.0, 10.0], [2.0, 0.0], [3.0, 0.0]], requires_grad=True)
    >>> packed = nn.utils.rnn.pack_padded_sequence(padded, tensor([3, 1]))
    >>> packed.data
    Tensor([ 1., 10.,  2.,  3.], requires_grad=True)
    >>> packed.data.backward(tensor([5.0, 6.0, 7.0, 8.0]))
    >>> padded.grad
    array([[5., 6.],
           [7., 0.],
           [8., 0.]], dtype=float32)
    """
    input, length = as_tensor(input), np.atleast_1d(as_array(lengths)).astype(np.int64)
    if length.ndim != 1:
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {length.ndim}D cpu Long tensor"
        )
    if batch_first:
        input = input.transpose(0, 1)
    order = None
    if not enforce_sorted:
        order = np.argsort(-length, kind="stable")
        length = length[order]
        input = input.index_select(1, order)
    if not input.numel():
        raise RuntimeError("Cannot pack empty tensors.")
    batch = input.shape[1]
    if len(length) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(length)} (batch_size={batch})"
        )
    if length[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if (np.diff(length) > 0).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
            "do not need ONNX exportability."
        )
    if length[0] > input.shape[0]:
        raise RuntimeError(f"Expected no length above the {input.shape[0]} steps of the input, but got {length[0]}")
    held = _held(length, int(length[0]))
    steps = input if length[0] == input.shape[0] else input[: int(length[0])]
    return PackedSequence(steps[held], held.sum(axis=1), order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Undo :func:`pack_padded_sequence`: the padded sequences in their original order, and their lengths.

    Shapes: the sequences ``(steps, batch, ...)``, with ``batch_first`` ``(batch, steps, ...)``; the lengths
    ``(batch,)``.

    Parameters
    ----------
    total_length : how many steps to pad to, by default those of the longest sequence

    Raises
    ------
    ValueError
        If a sequence is longer than ``total_length``.

    Examples
    --------
    >>> packed = nn.utils.rnn.pack_sequence([tensor([1.0, 2.0, 3.0]), tensor([10.0])])
    >>> padded, lengths = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    >>> padded, lengths.tolist()
    (Tensor([[ 1.,  2.,  3.],
            [10.,  0.,  0.]]), [3, 1])
    """
    sizes = sequence.batch_sizes.data
    longest = len(sizes)
    if total_length is not None and total_length < longest:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {longest}"
        )
    length = (sizes[:, np.newaxis] > np.arange(sizes[0])).sum(axis=0)
    padded: Tensor = apply(
        rules.pad_rows, sequence.data, mask=_held(length, total_length or longest), padding_value=padding_value
    )
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        length = length[sequence.unsorted_indices.data]
    return padded.transpose(0, 1) if batch_first else padded, Tensor(length)


def pad_sequence(
    sequences: Iterable[Any], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Pad sequences ``(length, ...)`` to one array ``(steps, batch, ...)``, or ``(batch, steps, ...)``.

    Shapes: as said, with ``steps`` the greatest length.

    Parameters
    ----------
    padding_side : ``"right"`` pads behind a sequence, ``"left"`` before it

    Raises
    ------
    RuntimeError
        If there are none, the other axes differ, or the side is neither.

    Examples
    --------
    >>> nn.utils.rnn.pad_sequence([tensor([1.0, 2.0, 3.0]), tensor([10.0])], batch_first=True, padding_value=9.0)
    Tensor([[ 1.,  2.,  3.],
            [10.,  9.,  9.]])
    """
    tensors = [as_tensor(sequence) for sequence in sequences]
    if not tensors:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    length = np.array([len(tensor) for tensor in tensors])
    held = _held(length, int(length.max())).T
    if padding_side == "left":
        held = held[:, ::-1]
    rows: Tensor = apply(rules.cat, *tensors, dim=0)
    padded: Tensor = apply(rules.pad_rows, rows, mask=held, padding_value=padding_value)
    return padded if batch_first else padded.transpose(0, 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """Undo :func:`pad_sequence`: the sequences as a list, padding cut off.

    Shapes: ``(steps, batch, ...)`` to sequences ``(length, ...)``. Raises nothing of its own.

    Examples
    --------
    >>> padded = tensor([[1.0, 2.0, 3.0], [10.0, 9.0, 9.0]])
    >>> nn.utils.rnn.unpad_sequence(padded, tensor([3, 1]), batch_first=True)
    [Tensor([1., 2., 3.]), Tensor([10.])]
    """
    padded, length = as_tensor(padded_sequences), as_array(lengths)
    if not batch_first:
        padded = padded.transpose(0, 1)
    return list(padded[_held(length, padded.shape[1]).T].split(length.tolist()))


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences ``(length, ...)``: :func:`pad_sequence` and :func:`pack_padded_sequence`.

    Shapes: the data ``(sum of the lengths, ...)``.

    Raises
    ------
    RuntimeError
        If the sequences are not sorted by falling length, and ``enforce_sorted``.

    Examples
    --------
    >>> packed = nn.utils.rnn.pack_sequence([tensor([10.0]), tensor([1.0, 2.0, 3.0])], enforce_sorted=False)
    >>> packed.data, packed.sorted_indices.tolist()
    (Tensor([ 1., 10.,  2.,  3.]), [1, 0])
    """
    tensors = [as_tensor(sequence) for sequence in sequences]
    lengths = [len(tensor) for tensor in tensors]
    return pack_padded_sequence(pad_sequence(tensors), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Undo :func:`pack_sequence`: the sequences as a list, in their original order.

    Shapes: each sequence ``(length, ...)``. Raises nothing of its own.

    Examples
    --------
    >>> packed = nn.utils.rnn.pack_sequence([tensor([1.0, 2.0, 3.0]), tensor([10.0])])
    >>> nn.utils.rnn.unpack_sequence(packed)
    [Tensor([1., 2., 3.]), Tensor([10.])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def _held(lengths: Array, steps: int) -> Array:
    """Which sequence has which step: ``(steps, batch)``."""
    held: Array = np.arange(steps)[:, np.newaxis] < lengths
    return held


def as_tensor(value: Any) -> Tensor:
    """A tensor as it is, anything else as a tensor that views it."""
    return value if isinstance(value, Tensor) else Tensor(value)
