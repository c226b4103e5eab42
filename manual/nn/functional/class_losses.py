"""The larger losses of a choice among classes, as functions: with the affine map before them, or over alignments."""

from __future__ import annotations

from typing import Any

from manual.rules import losses
from manual.tensor import Tensor, apply, as_array

__all__ = ["ctc_loss", "linear_cross_entropy"]


def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """See :func:`manual.rules.losses.linear_cross_entropy`; ``options`` is a
    :class:`manual.nn.LinearCrossEntropyOptions`, or ``None`` for one chunk in the input's dtype.

    Shapes: ``input (N, F)`` or ``(F,)``, ``linear_weight (C, *, F)``, ``linear_bias (C, *)``, ``target (N, *)`` or
    probabilities ``(N, C, *)``, ``weight (C,)``; the loss ``()``, with reduction ``"none"`` ``(N, *)``.

    Raises
    ------
    RuntimeError
        If a shape or a dtype does not fit.

    Examples
    --------
    >>> weight = tensor([[0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    >>> loss = F.linear_cross_entropy(tensor([[1.0, 2.0]]), weight, tensor([1]))
    >>> loss
    Tensor(0.6931, requires_grad=True)
    >>> loss.backward(tensor(4.0))
    >>> weight.grad
    array([[ 2.,  4.],
           [-2., -4.]], dtype=float32)
    """
    chunks = {}
    rows, matrix = as_array(input), as_array(linear_weight)
    if options is not None and rows.ndim and matrix.ndim:
        count = len(rows) if rows.ndim > 1 else 1
        chunks = {
            "batch_chunk_size": options.chunk_rows(count, rows.shape[-1], matrix.shape[0], rows.dtype),
            "acc_dtype": options.working_dtype(rows.dtype),
        }
    result: Tensor = apply(
        losses.linear_cross_entropy,
        input,
        linear_weight,
        target,
        linear_bias,
        weight=None if weight is None else as_array(weight),
        reduction=reduction,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        **chunks,
    )
    return result


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """See :func:`manual.rules.losses.ctc_loss`; the lengths may be tensors, arrays or sequences of numbers.

    Shapes: ``log_probs (T, N, C)`` or ``(T, C)``; ``targets (N, S)``, or all labels joined ``(sum of the lengths,)``;
    both lengths ``(N,)`` or ``()``; the loss ``()``, with reduction ``"none"`` ``(N,)`` or ``()``.

    Raises
    ------
    RuntimeError
        If a shape does not fit, a length is negative or greater than its axis, or a label or ``blank`` is no class.
    ValueError
        If ``reduction`` is unknown.

    Examples
    --------
    >>> log_probs = tensor(np.log([[[0.5, 0.5]], [[0.5, 0.5]]]))
    >>> F.ctc_loss(log_probs, tensor([[1]]), tensor([2]), tensor([1]), reduction="none").exp()
    Tensor([1.3333])
    """
    sequences = [as_array(value) for value in (targets, input_lengths, target_lengths)]
    options = {"blank": blank, "reduction": reduction, "zero_infinity": zero_infinity}
    result: Tensor = apply(losses.ctc_loss, log_probs, *sequences, **options)
    return result
