"""Cross entropy of an affine map, without ever holding the logits of a whole batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.contraction import linear
from manual.rules.core import Array, Pullback
from manual.rules.losses.classification import class_denominator, cross_entropy
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
    """
    target = np.asarray(target)
    logits_shape = _check(input, linear_weight, target, linear_bias, ignore_index)
    single = input.ndim == 1
    if single:
        if target.shape != logits_shape and target.size != 1:
            raise ValueError(f"Expected input batch_size (1) to match target batch_size ({target.shape[0]}).")
        logits_shape = (1, *logits_shape)
        target = target.reshape(logits_shape if target.shape == logits_shape[1:] else 1)
    working = input.dtype if acc_dtype is None else np.dtype(acc_dtype)
    rows = _as(input.reshape(-1, input.shape[-1]), working)
    flat_weight = _as(linear_weight.reshape(-1, linear_weight.shape[-1]), working)
    flat_bias = None if linear_bias is None else _as(linear_bias.reshape(-1), working)
    options: dict[str, Any] = {
        "weight": weight if acc_dtype is None or weight is None else _as(weight, working),
        "ignore_index": -100 if ignore_index is None else ignore_index,
    }
    if len(target) != len(rows):
        raise ValueError(f"Expected input batch_size ({len(rows)}) to match target batch_size ({len(target)}).")

    def piece(part: slice) -> tuple[Array, Pullback, Pullback]:
        logits, linear_pullback = linear(rows[part], flat_weight, flat_bias)
        terms, loss_pullback = cross_entropy(
            logits.reshape(-1, *logits_shape[1:]),
            target[part],
            reduction="none",
            label_smoothing=label_smoothing,
            **options,
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
        shape = np.broadcast_to(working.type(0), logits_shape)
        total = class_denominator(shape, target, **options) or math.nan
        value = np.add.reduce(terms, axis=None) / total
    else:
        value = reduce_terms(terms[0] if single and reduction == "none" else terms, reduction)
    value = value.astype(input.dtype, copy=False)

    def linear_cross_entropy_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        scale = _as(incoming, working)
        scale = scale.reshape(terms.shape) if reduction == "none" else scale / total
        of_map = needs[0], needs[1], len(needs) > 3 and needs[3]
        to_rows = np.empty_like(rows) if needs[0] else None
        to_target = np.empty_like(target) if needs[2] else None
        to_map: list[Any] = [None, None]
        for part in parts:
            loss_pullback, linear_pullback = kept or piece(part)[1:]
            of_part = scale[part] if reduction == "none" else scale
            to_logits, to_part = loss_pullback(of_part, (any(of_map), needs[2]))
            if to_target is not None:
                to_target[part] = to_part
            if to_logits is None:
                continue
            to_part, *shares = linear_pullback(to_logits.reshape(-1, len(flat_weight)), of_map)
            if to_rows is not None:
                to_rows[part] = to_part
            for place, share in enumerate(shares):
                if share is not None:
                    to_map[place] = share if to_map[place] is None else np.add(to_map[place], share, out=to_map[place])
        found = to_rows, to_map[0], to_target, to_map[1]
        given = input, linear_weight, target_as_given, linear_bias
        return tuple(
            None if gradient is None or array is None else _as(gradient.reshape(array.shape), array.dtype)
            for gradient, array in zip(found, given, strict=True)
        )[: len(needs)]

    target_as_given = target[0] if single else target
    return value, linear_cross_entropy_pullback


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
