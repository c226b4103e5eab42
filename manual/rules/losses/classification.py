"""Losses of a choice among C classes: negative log-likelihood and softmax cross entropy.

Inputs have the classes on axis 1, ``(N, C, d1, d2, ...)``, or are one row ``(C,)``. Below, a *row* is one position of
``(N, d1, d2, ...)``: one sample, pixel or token.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from manual.rules.core import Array, Pullback
from manual.rules.losses.reductions import reduce_terms

__all__ = ["class_denominator", "cross_entropy", "nll_loss"]

FEW_CLASSES = 64


def nll_loss(
    input: Array, target: Array, *, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> tuple[Any, Pullback]:
    """Negative log-likelihood of the target classes, given log-probabilities.

    Shapes: ``input`` ``(N, C, d1, ...)`` or ``(C,)``; ``target`` (integers) ``(N, d1, ...)`` or ``()``; ``weight``
    ``(C,)``; the value the target's shape for ``"none"``, else ``()``.

    Forward: ``l_i = -w[t_i] x[i, t_i]``, 0 where ``t_i`` is ``ignore_index``; the mean is ``sum(l) / D`` with
    ``D = sum_i w[t_i]`` over the rows that count.

    Derivation: ``l_i`` depends on one element of its row, linearly: the gradient is ``-w[t_i]`` there (over ``D`` for
    the mean) and 0 elsewhere.

    Convention: ``D`` is the sum of the weights *of the targets*, not the number of rows. Where no row counts, the mean
    is nan and the gradient zero, as in torch.

    Raises
    ------
    ValueError, RuntimeError
        If shapes or dtypes do not fit, as torch distinguishes them.
    IndexError
        If a class is out of bounds.
    ValueError
        If the batches differ, the input is a scalar, or ``reduction`` is unknown.
    RuntimeError
        If the target is not integer or has a shape that does not fit, or ``weight`` has another size or dtype.

    Examples
    --------
    >>> input = np.array([[-1.0, -2.0], [-0.5, -4.0]])
    >>> target = np.array([0, 1])
    >>> value, pullback = losses.nll_loss(input, target, weight=np.array([1.0, 3.0]))
    >>> np.round(value, 4)
    np.float64(3.25)
    >>> pullback(np.array(2.0), (True, False))
    (array([[-0.5,  0. ],
           [ 0. , -1.5]]), None)
    """
    if type(target) is not np.ndarray:
        target = np.asarray(target)
    if input.ndim == 1:
        return _single_row(nll_loss, input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)
    rows = _rows(input, target, weight, ignore_index)
    value, total = _reduce_rows(-input[rows.where], rows, reduction)

    def nll_loss_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        gradient = np.zeros_like(input)
        gradient[rows.where] = -_row_scale(incoming, rows, reduction, total)
        return gradient, None

    return value, nll_loss_pullback


def cross_entropy(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tuple[Any, Pullback]:
    """Cross entropy of the softmax of a row of logits, softmax and logarithm fused.

    Shapes: ``input`` ``(N, C, d1, ...)`` or ``(C,)``; ``target`` either classes (integers) of shape ``(N, d1, ...)`` or
    ``()``, or class probabilities of the input's shape; ``weight`` ``(C,)``; the value ``(N, d1, ...)`` or ``()`` for
    ``"none"``, else ``()``.

    Forward: with ``p = softmax(x)`` along the classes, ``l = -sum_c q_c log p_c``. For a class ``t``, ``q`` is ``w_t``
    at ``t`` and 0 elsewhere; for probabilities ``y``, ``q = w y``. Smoothing by ``e`` first replaces the distribution
    ``y`` by ``(1 - e) y + e / C``. ``log p_c = (x_c - m) - log sum_k exp(x_k - m)`` with ``m = max x``: no exponential
    overflows, and the sum is at least 1.

    Derivation: ``d log p_c / dx_k = [c = k] - p_k``, so ``dl/dx_k = p_k sum_c q_c - q_k``. For an unweighted class
    that is the softmax less one at the target: *what was predicted less what was true*. With two logits (0, 0) and
    target 1: p = (1/2, 1/2), loss log 2, gradient (1/2, -1/2). For probabilities also
    ``dl/dy_c = -(1 - e) w_c log p_c``.

    Source: Bridle (1990), Probabilistic Interpretation of Feedforward Classification Network Outputs; smoothing from
    Szegedy et al. (2015), Rethinking the Inception Architecture, section 7.

    Convention: the mean divides by ``sum_i w[t_i]`` over the rows that count for classes, smoothing or not, but by the
    number of rows for probabilities, weighted or not. The smoothed part of a class is weighted class by class
    (``e / C sum_c w_c (-log p_c)``). An ignored row has no loss and no gradient; where no row counts, the mean is nan
    and the gradient zero. All as torch.

    Raises
    ------
    ValueError, RuntimeError
        If shapes, dtypes or ``label_smoothing`` do not fit, as torch distinguishes them.
    IndexError
        If a class is out of bounds.
    ValueError
        If the batches differ, the input is a scalar, or ``reduction`` is unknown.
    RuntimeError
        If the target has a shape or dtype that does not fit, ``weight`` another size or dtype, or ``label_smoothing``
        is not in [0, 1].

    Examples
    --------
    >>> value, pullback = losses.cross_entropy(np.array([[0.0, 0.0], [0.0, 0.0]]), np.array([0, 1]))
    >>> np.round(value, 4)
    np.float64(0.6931)
    >>> pullback(np.array(2.0), (True, False))
    (array([[-0.5,  0.5],
           [ 0.5, -0.5]]), None)
    """
    if type(target) is not np.ndarray:
        target = np.asarray(target)
    if input.ndim == 1:
        return _single_row(
            cross_entropy,
            input,
            target,
            weight=weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if target.shape == input.shape:
        return _probability_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
    rows = _rows(input, target, weight, ignore_index)
    if label_smoothing:
        return _smoothed_cross_entropy(input, rows, weight, reduction, label_smoothing)
    shifted = _shifted(input)
    at_target = shifted[rows.where]
    exponentials = np.exp(shifted, out=shifted)
    sums = _sum_over_classes(exponentials)
    terms = np.log(sums).reshape(at_target.shape)
    terms -= at_target
    value, total = _reduce_rows(terms, rows, reduction)

    def cross_entropy_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        scale = _row_scale(incoming, rows, reduction, total)
        gradient = exponentials * (_over_classes(scale) / sums)
        gradient[rows.where] -= scale
        return gradient, None

    return value, cross_entropy_pullback


def class_denominator(input: Array, target: Array, *, weight: Array | None = None, ignore_index: int = -100) -> float:
    """By what the mean of ``nll_loss`` and ``cross_entropy`` divides: the rows that count, or their target weights.

    Shapes: ``input``, ``target`` and ``weight`` as the loss takes them; the value is a number. Raises what the loss
    raises.

    Examples
    --------
    >>> logits = np.zeros((3, 2))
    >>> losses.class_denominator(logits, np.array([0, 1, -100]))
    2.0
    >>> losses.class_denominator(logits, np.array([0, 1, 1]), weight=np.array([0.5, 2.0]))
    4.5
    """
    if target.shape == input.shape:
        return float(target.size / target.shape[1]) if target.ndim > 1 else 1.0
    if input.ndim == 1:
        input, target = input[None], target.reshape(1)
    return float(_total(_rows(input, target, weight, ignore_index)))


# -- rows --------------------------------------------------------------------------------------------------------------


class _Rows(NamedTuple):
    """The rows of a batch: ``where`` picks each row's target element, ``weight`` is its weight (``None``: all 1),
    ``ignored`` marks the rows that do not count (``None``: none), ``counted`` is how many do."""

    where: tuple[Any, ...]
    weight: Array | None
    ignored: Array | None
    counted: int


def _rows(input: Array, target: Array, weight: Array | None, ignore_index: int) -> _Rows:
    """Check a batch of target classes and say how its rows count."""
    check_targets(input, target)
    classes = input.shape[1]
    ignored = None
    count = target.size
    # Seen as an unsigned integer a negative class is very large: one pass checks both bounds.
    if 0 <= ignore_index < classes or (
        count and np.maximum.reduce(target.view(f"u{target.itemsize}"), axis=None) >= classes
    ):
        ignored = target == ignore_index
        outside = (target < 0) | (target >= classes)
        outside &= ~ignored
        if outside.any():
            raise IndexError(f"Target {target[outside][0]} is out of bounds.")
        target = np.where(ignored, 0, target)
        count -= int(np.count_nonzero(ignored))
        if not ignored.any():
            ignored = None
    where: tuple[Any, ...]
    if target.ndim == 1:
        where = (np.arange(target.size), target)
    else:
        samples, *places = np.ix_(*map(np.arange, target.shape))
        where = (samples, target, *places)
    if weight is not None:
        _check_weight(input, weight)
        weight = weight[target]
    return _Rows(where, weight, ignored, count)


def check_targets(input: Array, target: Array) -> None:
    """Hold a batch of classes to the shape of its input, of which nothing else is looked at."""
    if not input.ndim:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if target.dtype.kind not in "iu":
        raise RuntimeError(f"expected target dtype to be an integer dtype, but got {target.dtype}")
    expected = (input.shape[0], *input.shape[2:])
    if target.shape == expected:
        return
    if input.ndim == 2 and target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target.shape[:1] != input.shape[:1]:
        count = target.shape[0] if target.ndim else 0
        raise ValueError(f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({count}).")
    raise RuntimeError(f"Expected target size {list(expected)}, got {list(target.shape)}")


def _check_weight(input: Array, weight: Array) -> None:
    classes = input.shape[1]
    if weight.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {list(weight.shape)}"
        )
    if weight.dtype != input.dtype:
        raise RuntimeError(f"expected weight of dtype {input.dtype} but found {weight.dtype}")


def _total(rows: _Rows) -> Any:
    """The sum of the weights of the rows that count."""
    if rows.weight is None:
        return rows.counted
    return np.add.reduce(rows.weight if rows.ignored is None else rows.weight[~rows.ignored], axis=None)


def _reduce_rows(terms: Array, rows: _Rows, reduction: str, *, weighted: bool = False) -> tuple[Any, Any]:
    """Weight (unless ``weighted`` already) and reduce the terms of the rows, which may be overwritten.

    Returns the value, and the total weight where the mean needs it.
    """
    if rows.weight is not None and not weighted:
        terms *= rows.weight
    if rows.ignored is not None:
        terms[rows.ignored] = 0
    if reduction != "mean":
        return reduce_terms(terms, reduction), 1
    total = _total(rows) or math.nan
    return np.add.reduce(terms, axis=None) / total, total


def _row_scale(incoming: Any, rows: _Rows, reduction: str, total: Any, *, weighted: bool = False) -> Any:
    """The gradient of each row's term: a scalar where all rows get the same, else one number per row."""
    scale = incoming / total if reduction == "mean" else incoming
    if rows.weight is not None and not weighted:
        scale = rows.weight * scale
    if rows.ignored is not None:
        scale = np.where(rows.ignored, 0, scale)
    return scale


def _over_classes(rows: Any) -> Any:
    """Numbers per row, ready to broadcast along the classes."""
    return rows[:, None] if rows.ndim else rows


def batch_of_one(target: Array, shape: tuple[int, ...]) -> Array:
    """The target of one row of shape ``(C,)``, a class or probabilities, as that of a batch of one."""
    if target.shape == shape and target.dtype.kind == "f":
        return target[None]
    if target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target.size != 1:
        raise ValueError(f"For 1D input, 1D target must have size 1, but got target size: {target.size}")
    return target.reshape(1)


def _single_row(rule: Any, input: Array, target: Array, **options: Any) -> tuple[Any, Pullback]:
    """Apply ``rule`` to one row of shape ``(C,)`` as to a batch of one."""
    value, batched = rule(input[None], batch_of_one(target, input.shape), **options)
    shape = value.shape

    def single_row_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        to_input, to_target = batched(incoming.reshape(shape), needs)
        return (
            None if to_input is None else to_input[0],
            None if to_target is None else to_target[0],
        )

    return value.reshape(()), single_row_pullback


# -- softmax -----------------------------------------------------------------------------------------------------------


# NumPy reduces short rows slowly: of few classes, the maximum over a transposed copy and the sum by einsum take a fifth
# of the time.


def _shifted(input: Array) -> Array:
    """``x - max`` along the classes, a new array. Its exponential over that one's sum is the softmax."""
    if input.ndim == 2 and input.shape[1] <= FEW_CLASSES:
        return input - np.maximum.reduce(np.ascontiguousarray(input.T), axis=0)[:, None]
    return input - np.maximum.reduce(input, axis=1, keepdims=True)


def _sum_over_classes(values: Array) -> Array:
    """The sum along the classes, an axis of one left in their place."""
    if values.ndim == 2 and values.shape[1] <= FEW_CLASSES:
        return np.einsum("ij->i", values)[:, None]
    return np.add.reduce(values, axis=1, keepdims=True)


def _smoothed_cross_entropy(
    input: Array, rows: _Rows, weight: Array | None, reduction: str, label_smoothing: float
) -> tuple[Any, Pullback]:
    """Cross entropy of smoothed classes: ``q = (1 - e) w_t`` at the target, plus ``e / C w`` everywhere."""
    shifted = _shifted(input)
    classes = input.shape[1]
    kept = 1.0 - label_smoothing
    share = label_smoothing / classes
    every = None if weight is None else _class_weight(weight, input.ndim)
    mass = classes if weight is None else weight.sum()
    at_target = shifted[rows.where]
    spread_out = _sum_over_classes(shifted if every is None else shifted * every)[:, 0]
    exponentials = np.exp(shifted, out=shifted)
    sums = _sum_over_classes(exponentials)
    log_sums = np.log(sums)[:, 0]
    at_target = log_sums - at_target
    if rows.weight is not None:
        at_target *= rows.weight
    at_target *= kept
    at_target += share * (mass * log_sums - spread_out)
    value, total = _reduce_rows(at_target, rows, reduction, weighted=True)

    def cross_entropy_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        scale = _row_scale(incoming, rows, reduction, total, weighted=True)
        target_scale = scale * kept if rows.weight is None else scale * rows.weight * kept
        everywhere = _over_classes(scale * share)
        gradient = exponentials * (_over_classes(target_scale + scale * (share * mass)) / sums)
        gradient -= everywhere if every is None else everywhere * every
        gradient[rows.where] -= target_scale
        return gradient, None

    return value, cross_entropy_pullback


def _probability_cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[Any, Pullback]:
    """Cross entropy of class probabilities ``y``: ``q = w ((1 - e) y + e / C)``."""
    if target.dtype.kind != "f":
        raise RuntimeError(f"Expected floating point type for target with class probabilities, got {target.dtype}")
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    dtypes = input.dtype, target.dtype
    log_probability = _shifted(input)
    exponentials = np.exp(log_probability)
    sums = _sum_over_classes(exponentials)
    log_probability -= np.log(sums)
    every = None
    if weight is not None:
        _check_weight(input, weight)
        every = _class_weight(weight, input.ndim)
    kept = 1.0 - label_smoothing
    distribution = target
    if label_smoothing:
        distribution = target * kept
        distribution += label_smoothing / input.shape[1]
    if every is not None:
        distribution = distribution * every
    terms = -np.add.reduce(distribution * log_probability, axis=1)
    value = reduce_terms(terms, reduction)

    def cross_entropy_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        scale = incoming / (terms.size or math.nan) if reduction == "mean" else incoming
        scale = _over_classes(scale)
        to_input = to_target = None
        if needs[0]:
            mass = np.add.reduce(distribution, axis=1, keepdims=True)
            to_input = exponentials * (mass * scale / sums)
            to_input = (to_input - distribution * scale).astype(dtypes[0], copy=False)
        if needs[1]:
            to_target = log_probability * (scale * -kept)
            if every is not None:
                to_target *= every
            to_target = to_target.astype(dtypes[1], copy=False)
        return to_input, to_target

    return value, cross_entropy_pullback


def _class_weight(weight: Array, ndim: int) -> Array:
    """Weights of the classes, ready to broadcast over an input of ``ndim`` dimensions."""
    return weight.reshape(-1, *(1,) * (ndim - 2))
