"""The affine map to the classes and its cross entropy as one module, and how its batch is cut into chunks."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from manual.nn import functional
from manual.nn.linear import Linear
from manual.nn.loss import _WeightedLoss
from manual.rules import losses
from manual.tensor import Tensor, as_array

__all__ = ["LinearCrossEntropyLoss", "LinearCrossEntropyOptions"]

_POLICIES = ("auto", "accurate", "balanced", "compact")
_ACC_DTYPES = (np.float16, np.float32, np.float64, np.longdouble)


@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How :class:`LinearCrossEntropyLoss` cuts a batch into chunks.

    Chunks bound the memory of the logits, ``rows of a chunk x classes`` instead of ``rows of the batch x classes``,
    and cost one more product of matrices in the backward pass. The numbers stay what they are without.

    Units: sizes count rows of the batch; it takes no arrays.

    Parameters
    ----------
    allow_retain_graph : bool
        Taken and not needed: here a graph that is kept may always be walked again.
    batch_chunk_size : int, optional
        Rows of a chunk.
    chunking_method : str, optional
        ``"aspect_ratio:n"`` chooses the rows of a chunk such that its logits take about as much memory as the input,
        divided by ``n`` (1 if left out): the next power of two of ``N / (C / F)``, over ``n``. ``"auto"``, where no
        ``batch_chunk_size`` is given, takes ``n = 2``, and 1 for float16. ``None`` without a ``batch_chunk_size`` is
        one chunk.
    acc_policy : str
        ``"auto"``, ``"accurate"``, ``"balanced"`` or ``"compact"``: torch's ways to spend memory on precision where
        ``acc_dtype`` differs from the input's dtype. Here all of them keep everything in ``acc_dtype``.
    acc_dtype : dtype, optional
        In what the logits and the sums over chunks are computed: the input's, or float32 for a float16 input, which is
        also what ``None`` means there with the policy ``"auto"``.

    Raises
    ------
    ValueError
        If a value is none of these.

    Examples
    --------
    >>> options = nn.LinearCrossEntropyOptions(chunking_method="aspect_ratio")
    >>> options.chunk_rows(rows=64, features=16, classes=128, dtype=np.float32)
    8
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        if self.acc_policy not in _POLICIES:
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        method = self.chunking_method
        if method not in (None, "auto", "aspect_ratio"):
            name, _, factor = str(method).partition(":")
            if name != "aspect_ratio" or not factor.isdigit() or not int(factor):
                raise ValueError(f"invalid chunking_method: {method!r}")
        size = self.batch_chunk_size
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        if self.acc_dtype is not None and self.acc_dtype not in _ACC_DTYPES:
            raise ValueError(
                f"acc_dtype must be None, float16, float32, float64 or longdouble, got {self.acc_dtype!r}. "
                "Pass acc_dtype=None to let the op pick automatically."
            )

    def chunk_rows(self, rows: int, features: int, classes: int, dtype: Any) -> int:
        """How many rows of an input ``(rows, features)`` of this dtype make a chunk.

        Raises
        ------
        ValueError
            If the size and the method that were given disagree.
        """
        method, given = self.chunking_method, self.batch_chunk_size
        if method is None or (method == "auto" and given is not None):
            return max(1, min(given or rows, rows))
        if method == "auto":
            method = "aspect_ratio" if dtype == np.float16 else "aspect_ratio:2"
        fair = -(-rows // max(1, -(-classes // max(1, features))))
        size = min((1 << (fair - 1).bit_length()) // int(method.partition(":")[2] or 1), rows)
        if given is not None and given != size:
            raise ValueError(
                f"batch_chunk_size (={given}) and chunking_method ({method!r}) give different chunk sizes "
                f"({given} vs {size}); pass only one."
            )
        return max(1, size)

    def working_dtype(self, dtype: Any) -> Any:
        """In what an input of this dtype is computed.

        Raises
        ------
        RuntimeError
            If ``acc_dtype`` is neither the input's dtype nor float32 for float16.
        """
        wanted = self.acc_dtype
        if wanted is None:
            return np.dtype(np.float32) if dtype == np.float16 and self.acc_policy == "auto" else dtype
        if wanted != dtype and not (dtype == np.float16 and wanted == np.float32):
            raise RuntimeError(
                "linear_cross_entropy supports float32 acc_dtype with float16 inputs, "
                f"but got {np.dtype(wanted)} acc_dtype and {dtype} inputs."
            )
        return np.dtype(wanted)


class LinearCrossEntropyLoss(_WeightedLoss):
    """Cross entropy of an affine map of the input, the map's weight and bias included.

    Shapes: input ``(N, in_features)`` or ``(in_features,)``; ``linear.weight (C D, in_features)`` and
    ``linear.bias (C D,)`` with ``C = num_classes`` and ``D`` the product of ``out_features``; target
    ``(N, *out_features)`` or probabilities ``(N, C, *out_features)``. ``options`` cuts the batch into chunks; without,
    it is taken as one. See :func:`manual.rules.losses.linear_cross_entropy`.

    Raises
    ------
    RuntimeError
        If ``weight`` is not ``(num_classes,)``, or ``label_smoothing`` is not between 0 and 1.

    Examples
    --------
    >>> criterion = nn.LinearCrossEntropyLoss(2, 4, dtype=np.float32)
    >>> _ = nn.init.zeros_(criterion.linear.weight)
    >>> loss = criterion(tensor([[1.0, 2.0]]), tensor([3]))
    >>> loss
    Tensor(1.3863, requires_grad=True)
    >>> loss.backward(tensor(4.0))
    >>> criterion.linear.weight.grad
    array([[ 1.,  2.],
           [ 1.,  2.],
           [ 1.,  2.],
           [-3., -6.]], dtype=float32)
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Any = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ):
        if weight is not None and np.shape(as_array(weight)) != (num_classes,):
            raise RuntimeError(f"expected weight shape to be {(num_classes,)}, got {np.shape(as_array(weight))}")
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(f"expected label_smoothing to be in range [0, 1], got {label_smoothing}")
        super().__init__(reduction, {"weight": weight}, ignore_index=ignore_index, label_smoothing=label_smoothing)
        self.num_classes = num_classes
        self.out_features = out_features
        self.options = options
        self.linear = Linear(in_features, num_classes * math.prod(out_features), bias=bias, device=device, dtype=dtype)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        weight: Any = self.linear.weight
        bias: Any = self.linear.bias
        if self.out_features:
            shape = (self.num_classes, *self.out_features)
            weight = weight.reshape((*shape, self.linear.in_features))
            bias = None if bias is None else bias.reshape(shape)
        return functional.linear_cross_entropy(
            input,
            weight,
            target,
            linear_bias=bias,
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def denominator(self, input: Any, target: Any) -> float:
        """The rows that are not ignored, or the sum of their target weights, at every place of ``out_features``."""
        rows, target = as_array(input), as_array(target)
        logits = np.broadcast_to(rows.dtype.type(0), (*rows.shape[:-1], self.num_classes, *self.out_features))
        ignore_index = -100 if self.ignore_index is None else self.ignore_index
        return losses.class_denominator(logits, target, weight=self.weight, ignore_index=ignore_index)

    def extra_repr(self) -> str:
        shown = ("reduction", "ignore_index", "label_smoothing", "options")
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, out_features={self.out_features}, "
            f"bias={self.linear.bias is not None}, " + ", ".join(f"{name}={getattr(self, name)}" for name in shown)
        )
