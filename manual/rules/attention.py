"""Attention: every query takes a weighted mean of the values, weighted by how well each key fits it.

Scores ``S = s Q Kᵀ + M`` (``s`` a scale, ``M`` a mask), weights ``P = softmax(S)`` along the keys, result ``O = P V``.

A mask is added to the scores: floating numbers as they are, booleans as 0 where a query may look and as minus infinity
where it may not. Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.2.1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, unbroadcast
from manual.rules.softmax import peak_along, total_along

__all__ = ["attention_weights", "scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    *,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    dropout_mask: Any = None,
) -> tuple[Array, Pullback]:
    """Average the values with the weights of attention, all in one rule.

    Shapes: ``query (..., L, E)``, ``key (..., S, E)``, ``value (..., S, F)``, ``attn_mask`` broadcastable to
    ``(..., L, S)``, result ``(..., L, F)``. The leading axes broadcast; with ``enable_gqa`` the third axis from the
    end, the heads, may be shorter in ``key`` and ``value``: each of their heads serves as many neighbouring heads of
    ``query``. ``dropout_mask (..., L, S)`` is 1 where a weight is kept; it is given, never drawn.

    Forward: ``S = s Q Kᵀ + M``, ``P = softmax(S)``, ``A = P ∘ R``, ``O = A V``, with ``s = 1 / sqrt(E)`` unless given,
    and ``R`` the dropout mask over ``1 - dropout_p`` (all ones without dropout).

    Backward: with ``G`` incoming, ``dO = dA V + A dV`` gives ``dL/dV = Aᵀ G`` and ``dL/dA = G Vᵀ``, and so
    ``D = dL/dP = (G Vᵀ) ∘ R``. Through softmax, row by row, ``T = dL/dS = P ∘ (D - Σ_keys P ∘ D)``. The scores are a
    product again: ``dL/dQ = s T K``, ``dL/dK = s Tᵀ Q``, and ``dL/dM = T``. Whatever was broadcast gets the sum. Saved
    are the inputs, ``P`` and ``R``.

    Source: Vaswani et al. (2017), section 3.2.1; the derivation as in Dao et al., "FlashAttention" (2022), appendix
    B.2; shared heads from Ainslie et al., "GQA" (2023), section 2.2.

    Convention: ``is_causal`` lets query ``i`` see the keys ``0 .. i``, counted from the top left also where L and S
    differ. A query that may see no key has the result 0 and the gradient 0, where softmax alone would be nan. A
    ``dropout_p`` below 0 means none. All as torch.

    Raises
    ------
    RuntimeError
        If dtypes or shapes do not fit, or a mask is given besides ``is_causal``.
    IndexError
        If the mask has less than two axes, or there is no axis of heads to share.

    Examples
    --------
    >>> query, key, value = np.zeros((1, 2)), np.ones((2, 2)), np.array([[1.0, 0.0], [3.0, 4.0]])
    >>> attended, pullback = rules.scaled_dot_product_attention(query, key, value)
    >>> attended
    array([[2., 2.]])
    >>> pullback(np.array([[4.0, 6.0]]), (True, False, True, False))
    (array([[0., 0.]]), None, array([[2., 3.],
           [2., 3.]]), None)
    """
    _check_inputs(query, key, value, attn_mask, is_causal)
    shapes = key.shape, value.shape
    if enable_gqa:
        key, value = _for_heads_of(query, key, value)
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1] or 1)
    scaled = query * scale
    probability = _softmax_rows(_scores(scaled, key, attn_mask, is_causal), blind_rows_are_zero=True)
    kept = None if dropout_mask is None else _kept(dropout_mask, dropout_p, query.dtype)
    weights = probability if kept is None else probability * kept
    try:
        result = weights @ value
    except ValueError:
        raise RuntimeError(f"weights {weights.shape} cannot be multiplied with value {value.shape}") from None

    def scaled_dot_product_attention_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_query = to_key = to_value = to_mask = None
        if needs[2]:
            used = probability if kept is None else probability * kept
            to_value = _shared_sum(used.swapaxes(-1, -2) @ incoming, shapes[1], enable_gqa)
        if needs[0] or needs[1] or True in needs[3:]:
            to_scores = incoming @ value.swapaxes(-1, -2)
            if kept is not None:
                to_scores *= kept
            _through_softmax(to_scores, probability)
            if needs[0]:
                to_query = unbroadcast(to_scores @ key, query.shape)
                to_query *= scale
            if needs[1]:
                to_key = _shared_sum(to_scores.swapaxes(-1, -2) @ scaled, shapes[0], enable_gqa)
            if True in needs[3:]:
                to_mask = unbroadcast(to_scores, attn_mask.shape).astype(attn_mask.dtype, copy=False)
        return (to_query, to_key, to_value, to_mask)[: len(needs)]

    return result, scaled_dot_product_attention_pullback


def attention_weights(
    query: Any, key: Any, attn_mask: Any = None, *, scale: float | None = None
) -> tuple[Array, Pullback]:
    """Compute how much each query attends to each key: the first half of attention, where the weights are wanted.

    Shapes: ``query (..., L, E)``, ``key (..., S, E)``, ``attn_mask`` broadcastable to the value's ``(..., L, S)``.

    Forward: ``P = softmax(s Q Kᵀ + M)`` along the keys, with ``s = 1 / sqrt(E)`` unless given.

    Backward: with ``G`` incoming, ``T = P ∘ (G - Σ_keys P ∘ G)``, then ``dL/dQ = s T K``, ``dL/dK = s Tᵀ Q`` and
    ``dL/dM = T``, as in :func:`scaled_dot_product_attention`.

    Convention: a query that may see no key has the weights nan, as ``MultiheadAttention`` of torch hands them out
    where weights are asked for; :func:`scaled_dot_product_attention` has 0.

    Raises
    ------
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> weights, pullback = rules.attention_weights(np.array([[1.0, 0.0]]), np.array([[0.0, 5.0], [0.0, 7.0]]))
    >>> weights
    array([[0.5, 0.5]])
    >>> pullback(np.array([[4.0, 0.0]]), (True, False, False))[0]
    array([[ 0.    , -1.4142]])
    """
    if attn_mask is not None and attn_mask.dtype.kind != "b" and attn_mask.dtype != query.dtype:
        raise RuntimeError(f"Input dtypes must be the same, got: mask {attn_mask.dtype}, query {query.dtype}")
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1] or 1)
    scaled = query * scale
    probability = _softmax_rows(_scores(scaled, key, attn_mask, False), blind_rows_are_zero=False)

    def attention_weights_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_query = to_key = to_mask = None
        to_scores = incoming.copy()
        _through_softmax(to_scores, probability)
        if needs[0]:
            to_query = unbroadcast(to_scores @ key, query.shape)
            to_query *= scale
        if needs[1]:
            to_key = unbroadcast(to_scores.swapaxes(-1, -2) @ scaled, key.shape)
        if True in needs[2:]:
            to_mask = unbroadcast(to_scores, attn_mask.shape)
        return (to_query, to_key, to_mask)[: len(needs)]

    return probability, attention_weights_pullback


# -- scores and softmax ------------------------------------------------------------------------------------------------


def _scores(scaled: Array, key: Array, attn_mask: Any, is_causal: bool) -> Array:
    """``s Q Kᵀ + M``, a new array."""
    try:
        scores: Array = scaled @ key.swapaxes(-1, -2)
    except ValueError:
        raise RuntimeError(f"query {scaled.shape} cannot be multiplied with the transpose of key {key.shape}") from None
    if is_causal:
        attn_mask = np.tri(*scores.shape[-2:], dtype=bool)
    if attn_mask is None:
        return scores
    if attn_mask.dtype.kind == "b":
        attn_mask = np.where(attn_mask, scores.dtype.type(0), scores.dtype.type(-np.inf))
    try:
        scores += attn_mask
    except ValueError:
        raise RuntimeError(f"The mask {attn_mask.shape} does not broadcast to the scores {scores.shape}") from None
    return scores


def _softmax_rows(scores: Array, *, blind_rows_are_zero: bool) -> Array:
    """Softmax along the last axis, in place; a row of minus infinities becomes zeros or nan."""
    rows = scores.reshape(math.prod(scores.shape[:-1]), scores.shape[-1])
    peak = peak_along(rows, (1,))
    blind = np.isneginf(peak)
    if blind_rows_are_zero and blind.any():
        peak = np.where(blind, 0, peak)
    with np.errstate(invalid="ignore"):
        rows -= peak
        np.exp(rows, out=rows)
    total = total_along(rows, (1,))
    if blind_rows_are_zero:
        total[blind] = 1
    rows /= total
    return rows.reshape(scores.shape)


def _through_softmax(gradient: Array, probability: Array) -> None:
    """Turn the gradient of the weights into that of the scores, in place: ``P ∘ (D - Σ P ∘ D)``."""
    gradient -= np.einsum("...ij,...ij->...i", gradient, probability)[..., np.newaxis]
    gradient *= probability


def _kept(dropout_mask: Array, dropout_p: float, dtype: Any) -> Array:
    """What dropout multiplies the weights by."""
    kept = dropout_mask.astype(dtype)
    if dropout_p == 1:
        kept *= 0
    else:
        kept /= 1 - dropout_p
    return kept


# -- heads that share keys and values ----------------------------------------------------------------------------------


def _for_heads_of(query: Array, *shared: Array) -> list[Array]:
    """Repeat heads of keys and values until there is one for each head of the query."""
    if min(query.ndim, *(array.ndim for array in shared)) < 3:
        raise IndexError("enable_gqa asks for an axis of heads: at least 3 dimensions of query, key and value")
    heads = query.shape[-3]
    if any(not array.shape[-3] or heads % array.shape[-3] for array in shared):
        counts = " and ".join(str(array.shape[-3]) for array in shared)
        raise RuntimeError(
            f"Number of heads in key and value must divide the number of heads in query: {counts}, {heads}"
        )
    return [
        array if array.shape[-3] == heads else np.repeat(array, heads // array.shape[-3], axis=-3) for array in shared
    ]


def _shared_sum(gradient: Array, shape: tuple[int, ...], grouped: bool) -> Array:
    """Sum a gradient over the heads that shared one, and over what else was broadcast."""
    if grouped and gradient.shape[-3] != shape[-3]:
        lead, (heads, *matrix) = gradient.shape[:-3], gradient.shape[-3:]
        gradient = gradient.reshape(*lead, shape[-3], heads // shape[-3], *matrix).sum(axis=-3)
    return unbroadcast(gradient, shape)


def _check_inputs(query: Array, key: Array, value: Array, attn_mask: Any, is_causal: bool) -> None:
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError(
            f"Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: {query.ndim} "
            f"key.dim: {key.ndim} and value.dim: {value.ndim} instead."
        )
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {query.dtype} "
            f"key.dtype: {key.dtype} and value.dtype: {value.dtype} instead."
        )
    if attn_mask is None:
        return
    if is_causal:
        raise RuntimeError("Explicit attn_mask should not be set when is_causal=True")
    if attn_mask.dtype not in (bool, np.float32, query.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{attn_mask.dtype} and  query.dtype: {query.dtype} instead."
        )
    if attn_mask.ndim < 2:
        raise IndexError(f"the mask must have at least 2 dimensions, (L, S), but got {attn_mask.ndim}")
