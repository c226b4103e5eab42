"""Cross entropy of an affine map, without ever holding the logits of a whole batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.contraction import linear
from manual.rules.core import Array, Pullback
from manual.rules.losses.classification import batch_of_one, check_targets, class_denominator, cross_entropy
from manual.rules.losses.reductions import reduce_terms

__all__ = ["linear_cross_entropy"]


def linear_cross_entropy(
    input: Array,
    linear_weight: Array,
    target: Any,
    linear_bias: Array | None = None,
    *,
    weight: Array | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    batch_chunk_size: int | None = None,
    acc_dtype: Any = None,
) -> tuple[Any, Pullback]:
    """Cross entropy of ``input @ linear_weight.T + linear_bias``, the rows taken a chunk at a time.

    Shapes: ``input (N, F)`` or ``(F,)``; ``linear_weight (C, d1, ..., F)``; ``linear_bias (C, d1, ...)``; ``target``
    either classes (integers) ``(N, d1, ...)`` or ``()``, or class probabilities ``(N, C, d1, ...)`` or ``(C,)``;
    ``weight (C,)``; the value ``(N, d1, ...)`` or ``()`` for ``"none"``, else ``()``. A row of ``input`` is never
    without its batch where there are ``d1, ...``.

    Forward: with the weight flattened to ``W (C D, F)``, ``D = d1 d2 ...``, the logits are ``Z = X Wᵀ + b``, and the
    loss is :func:`cross_entropy` of ``Z`` seen as ``(N, C, d1, ...)``.

    Backward: each row's loss depends on its own logits alone, so ``G = dl/dZ``, *predicted less true* times the row's
    weight, is known chunk by chunk: ``G_i = s_i (softmax(Z_i) - onehot(t_i))``. Through the affine map,
    ``dl/dX_i = G_i W`` is complete with its chunk, and ``dl/dW = sum_i G_iᵀ X_i`` and ``dl/db = sum_i 1ᵀ G_i`` are
    added up over the chunks. Only what the mean divides by is shared by all rows, and it depends on the targets alone.

    Source: Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models (2024), section 4, for the idea that
    the logits need never exist at once.

    Convention: of several chunks none is kept: the pullback computes the logits again, where torch computes the
    gradients of scalar losses ahead, in its forward pass. In torch chunks are for classes without smoothing and
    ``d1, ...``, elsewhere it warns and takes the batch as one; here they are for all. Where no row counts the mean is
    nan and the gradient 0, chunks or none (torch's chunked gradient is nan). ``ignore_index=None`` means -100.
    ``acc_dtype`` is that of all that is computed in between; value and gradients have the input's.

    Raises
    ------
    RuntimeError, ValueError, IndexError
        As :func:`cross_entropy`, and if the shapes or dtypes of the affine map do not fit.
    RuntimeError
        If a shape does not fit, or the input and the weight have different dtypes.

    Examples
    --------
    >>> rows, weight = np.array([[1.0, 2.0]]), np.zeros((2, 2))
    >>> value, pullback = losses.linear_cross_entropy(rows, weight, target=np.array([1]))
    >>> np.round(value, 4)
    np.float64(0.6931)
    >>> pullback(np.array(4.0), (False, True, False))[1]
    array([[ 2.,  4.],
           [-2., -4.]])
    """
    given = np.asarray(target)
    logits_shape = _check(input, linear_weight, given, linear_bias, ignore_index)
    single = input.ndim == 1
    target = batch_of_one(given, logits_shape) if single else given
    if single:
        logits_shape = (1, *logits_shape)
    working = input.dtype if acc_dtype is None else np.dtype(acc_dtype)
    shape_alone = np.broadcast_to(working.type(0), logits_shape)
    if target.shape != logits_shape:
        check_targets(shape_alone, target)
    rows = _as(input.reshape(-1, input.shape[-1]), working)
    flat_weight = _as(linear_weight.reshape(-1, linear_weight.shape[-1]), working)
    flat_bias = None if linear_bias is None else _as(linear_bias.reshape(-1), working)
    options: dict[str, Any] = {
        "weight": weight if weight is None or acc_dtype is None else _as(weight, working),
        "ignore_index": -100 if ignore_index is None else ignore_index,
    }

    def piece(part: slice) -> tuple[Array, Pullback, Pullback]:
        logits, linear_pullback = linear(rows[part], flat_weight, flat_bias)
        logits = logits.reshape(-1, *logits_shape[1:])
        terms, loss_pullback = cross_entropy(
            logits, target[part], reduction="none", label_smoothing=label_smoothing, **options
        )
        return terms, loss_pullback, linear_pullback

    size = min(batch_chunk_size or len(rows), len(rows)) or 1
    parts = [slice(start, start + size) for start in range(0, len(rows), size)] or [slice(0)]
    kept = None
    if len(parts) == 1:
        terms, *kept = piece(parts[0])
    else:
        terms = np.concatenate([piece(part)[0] for part in parts])
    total: Any = 1
    if reduction == "mean":
        total = class_denominator(shape_alone, target, **options) or math.nan
        value = np.add.reduce(terms, axis=None) / total
    else:
        value = reduce_terms(terms[0] if single and reduction == "none" else terms, reduction)

    def linear_cross_entropy_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        scale = _as(incoming, terms.dtype)
        scale = scale.reshape(terms.shape) if reduction == "none" else scale / total
        of_map = needs[0], needs[1], len(needs) > 3 and needs[3]
        to_input = np.empty_like(rows) if needs[0] else None
        to_target = np.empty_like(target) if needs[2] else None
        to_weight = to_bias = None
        for part in parts:
            loss_pullback, linear_pullback = kept or piece(part)[1:]
            to_logits, to_part = loss_pullback(scale[part] if reduction == "none" else scale, (any(of_map), needs[2]))
            if to_target is not None:
                to_target[part] = to_part
            if to_logits is not None:
                to_part, of_weight, of_bias = linear_pullback(to_logits.reshape(-1, len(flat_weight)), of_map)
                to_weight, to_bias = _added(to_weight, of_weight), _added(to_bias, of_bias)
                if to_input is not None:
                    to_input[part] = to_part
        found = (to_input, input), (to_weight, linear_weight), (to_target, given), (to_bias, linear_bias)
        return tuple(
            None if gradient is None or like is None else _as(gradient.reshape(like.shape), like.dtype)
            for gradient, like in found[: len(needs)]
        )

    return value if acc_dtype is None else _as(value, input.dtype), linear_cross_entropy_pullback


def _added(total: Array | None, share: Array | None) -> Array | None:
    """The sum so far and one chunk's share of it, which the first chunk's share becomes."""
    if total is None or share is None:
        return share
    total += share
    return total


def _as(array: Any, dtype: np.dtype[Any]) -> Any:
    return array.astype(dtype, copy=False)


def _check(
    input: Array, linear_weight: Array, target: Array, linear_bias: Array | None, ignore_index: int | None
) -> tuple[int, ...]:
    """Hold the shapes and dtypes of the affine map to each other; returns the shape of the logits."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.ndim}")
    classes, *places, features = linear_weight.shape
    if input.shape[-1] != features:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), "
            f"got {input.shape[-1]} and {features}, respectively"
        )
    if linear_bias is not None and linear_bias.shape != (classes, *places):
        raise RuntimeError(f"expected linear_bias shape {(classes, *places)}, got {linear_bias.shape}")
    if places and input.ndim == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {linear_weight.shape} requires batched input, "
            f"(N, {features}), got unbatched input with shape {input.shape}"
        )
    logits_shape = (*input.shape[:-1], classes, *places)
    if target.shape == logits_shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    for other in (linear_weight, linear_bias):
        if other is not None and other.dtype != input.dtype:
            raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {input.dtype} != {other.dtype}")
    return logits_shape
