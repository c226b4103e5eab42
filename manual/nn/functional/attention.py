"""Attention as functions. The formulas and their derivations are in :mod:`manual.rules.attention`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from manual import random, rules
from manual.rules.core import Array
from manual.tensor import Tensor, apply, as_array

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Average the values with the weights of attention; see :func:`manual.rules.scaled_dot_product_attention`.

    A boolean mask is True where a query may look. ``dropout_p`` drops weights whenever it is given: there is no
    training mode here.

    Raises
    ------
    RuntimeError
        If a shape does not fit, or there are both a mask and ``is_causal``.

    Examples
    --------
    >>> value = tensor([[1.0, 0.0], [3.0, 4.0]], requires_grad=True)
    >>> y = F.scaled_dot_product_attention(tensor([[0.0, 0.0]]), tensor([[1.0, 1.0], [1.0, 1.0]]), value)
    >>> y
    Tensor([[2., 2.]], requires_grad=True)
    >>> y.backward(tensor([[4.0, 6.0]]))
    >>> value.grad
    array([[2., 3.],
           [2., 3.]], dtype=float32)
    """
    if dropout_p > 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p:g}")
    options: dict[str, Any] = {"is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}
    if dropout_p > 0:
        shape = _weights_shape(as_array(query).shape, as_array(key).shape, enable_gqa)
        options |= {"dropout_p": dropout_p, "dropout_mask": random.bernoulli(shape, 1 - dropout_p)}
    masks = () if attn_mask is None else (attn_mask,)
    result: Tensor = apply(rules.scaled_dot_product_attention, query, key, value, *masks, **options)
    return result


def _weights_shape(query: tuple[int, ...], key: tuple[int, ...], grouped: bool) -> tuple[int, ...]:
    """The shape of the weights of attention, which is that of what dropout draws."""
    lead = query[:-2] if grouped else np.broadcast_shapes(query[:-2], key[:-2])
    return (*lead, query[-2], key[-2])


def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attend with several heads at once, each to a projection of its own, and mix what they found.

    Shapes: ``query (L, N, E)``, ``key (S, N, kdim)``, ``value (S, N, vdim)``, or all without N;
    ``key_padding_mask (N, S)`` and ``attn_mask (L, S)`` or ``(N heads, L, S)``, True where *not* to look, or numbers
    added to the scores. ``in_proj_weight (3 E, E)`` holds the projections of query, key and value on top of each other
    unless ``use_separate_proj_weight``, ``in_proj_bias (3 E,)`` their biases. ``static_k`` and ``static_v``
    ``(N heads, S, E / heads)`` take the place of projected keys and values.

    ``bias_k`` and ``bias_v`` are one more key and value, the same for all of the batch, and ``add_zero_attn`` adds yet
    one of zeros; every query may look at both, and they come after the others.

    Returns
    -------
    The result ``(L, N, E)``, and the weights after dropout, averaged over the heads ``(N, L, S)`` or not
    ``(N, heads, L, S)``; ``None`` without ``need_weights``.

    Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.2.2.

    Convention: a query that may see no key yields nan where weights are asked for, and 0 before the last projection
    where they are not. ``is_causal`` is a hint that ``attn_mask`` is causal: where neither weights nor padding are in
    play it is believed, and the mask is not read. All as torch.

    Raises
    ------
    AssertionError
        If a shape does not fit.

    Examples
    --------
    >>> layer = nn.MultiheadAttention(embed_dim=2, num_heads=1)
    >>> query = tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> parts = layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.0
    >>> joined = layer.out_proj.weight, layer.out_proj.bias
    >>> output, weights = F.multi_head_attention_forward(query, query, query, 2, 1, *parts, *joined)
    >>> weights.sum(-1)
    Tensor([1., 1.], requires_grad=True)
    """
    query, key, value = _tensors(query, key, value)
    batched = _check_dimensions(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = _each(lambda x: apply(rules.unsqueeze, x, dim=1), query, key, value)
        if key_padding_mask is not None:
            key_padding_mask = apply(rules.unsqueeze, key_padding_mask, dim=0)
    length, batch, width = query.shape
    head = _check_sizes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    is_causal = is_causal and key_padding_mask is None and not need_weights
    attn_mask, key_padding_mask = canonical_masks(
        None if is_causal else attn_mask, key_padding_mask, ("attn_mask", "key_padding_mask"), query.dtype
    )
    attn_mask = _unfolded(attn_mask, batch, num_heads, length, key.shape[0])
    if key_padding_mask is not None:
        _check_padding(as_array(key_padding_mask), batch, key.shape[0] if static_k is None else static_k.shape[1])

    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias, separate, num_heads)
    if static_k is not None:
        k = _static(static_k, "static_k", batch, num_heads, head)
    if static_v is not None:
        v = _static(static_v, "static_v", batch, num_heads, head)
    _check_extra(bias_k, bias_v, static_k, static_v)
    extra = 0
    if bias_k is not None:
        k, v = (_with_key(x, _head_of_bias(bias, batch, num_heads)) for x, bias in ((k, bias_k), (v, bias_v)))
        extra += 1
    if add_zero_attn:
        k, v = (_with_key(x, np.zeros((batch, num_heads, 1, head), x.dtype)) for x in (k, v))
        extra += 1
    hidden = _joined(_open(attn_mask, extra), _open(key_padding_mask, extra), batch)

    dropout_p = dropout_p if training and dropout_p > 0 else 0.0
    weights = None
    if need_weights:
        weights = _weights(q, k, hidden, dropout_p)
        found = apply(rules.matmul, weights, v)
    else:
        seen = ~hidden if isinstance(hidden, np.ndarray) else hidden
        found = scaled_dot_product_attention(q, k, v, seen, dropout_p, is_causal)
    mixed = apply(rules.reshape, apply(rules.permute, found, dims=(2, 0, 1, 3)), shape=(length, batch, width))
    output = apply(rules.linear, mixed, out_proj_weight, out_proj_bias)
    if weights is not None and average_attn_weights:
        weights = apply(rules.mean, weights, dim=1)
    if not batched:
        output = apply(rules.squeeze, output, dim=1)
        weights = None if weights is None else apply(rules.squeeze, weights, dim=0)
    return output, weights


# -- steps -------------------------------------------------------------------------------------------------------------


def _tensors(*values: Any) -> list[Tensor]:
    """Tensors of them all, the same one where the same was given."""
    return _each(lambda x: x if isinstance(x, Tensor) else Tensor(x), *values)


def _each(function: Any, *values: Any) -> list[Any]:
    """Apply a function to each value, once where the same is given again: self-attention is told by identity."""
    made: dict[int, Any] = {}
    for value in values:
        if id(value) not in made:
            made[id(value)] = function(value)
    return [made[id(value)] for value in values]


def _projected(
    query: Tensor, key: Tensor, value: Tensor, weight: Any, bias: Any, separate: Any, num_heads: int
) -> tuple[Tensor, ...]:
    """Queries, keys and values ``(N, heads, length, E / heads)``; inputs that are the same go through one product."""
    width = query.shape[-1]
    if separate is not None:
        for name, own in zip("qkv", separate, strict=True):
            if own is None:
                raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
        for name, own, given in zip(("query", "key", "value"), separate, (query, key, value), strict=True):
            if own.shape != (width, given.shape[-1]):
                raise AssertionError(
                    f"expecting {name} weights shape of ({width}, {given.shape[-1]}), but got {own.shape}"
                )
        biases = _cut(bias, [width] * 3)
        inputs = zip((query, key, value), separate, biases, strict=True)
        return tuple(_heads(apply(rules.linear, x, w, b), 1, num_heads)[0] for x, w, b in inputs)
    if weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    if query is key and key is value:
        return _heads(apply(rules.linear, query, weight, bias), 3, num_heads)
    if key is value:
        sizes, inputs_ = [width, 2 * width], [query, key]
    else:
        sizes, inputs_ = [width] * 3, [query, key, value]
    parts = zip(inputs_, _cut(weight, sizes), _cut(bias, sizes), sizes, strict=True)
    return tuple(
        one for x, w, b, size in parts for one in _heads(apply(rules.linear, x, w, b), size // width, num_heads)
    )


def _cut(parameter: Any, sizes: list[int]) -> Any:
    if parameter is None:
        return [None] * len(sizes)
    return apply(rules.split, parameter, split_size_or_sections=sizes)


def _heads(projected: Tensor, parts: int, num_heads: int) -> tuple[Tensor, ...]:
    """Cut ``(length, N, parts E)`` into ``parts`` times ``(N, heads, length, E / heads)``."""
    length, batch, width = projected.shape
    head = width // (parts * num_heads)
    cut = apply(rules.reshape, projected, shape=(length, batch, parts, num_heads, head))
    return apply(rules.unbind, apply(rules.permute, cut, dims=(2, 1, 3, 0, 4)))


def _head_of_bias(bias: Any, batch: int, num_heads: int) -> Tensor:
    head = as_array(bias).shape[-1] // num_heads
    result: Tensor = apply(
        rules.expand,
        apply(rules.reshape, bias, shape=(1, num_heads, 1, head)),
        size=(batch, num_heads, 1, head),
    )
    return result


def _with_key(keys: Tensor, one: Any) -> Tensor:
    result: Tensor = apply(rules.cat, keys, one, dim=2)
    return result


def _static(given: Any, name: str, batch: int, num_heads: int, head: int) -> Tensor:
    shape = as_array(given).shape
    if shape[0] != batch * num_heads:
        raise AssertionError(f"expecting {name}.size(0) of {batch * num_heads}, but got {shape[0]}")
    if shape[2] != head:
        raise AssertionError(f"expecting {name}.size(2) of {head}, but got {shape[2]}")
    result: Tensor = apply(rules.reshape, given, shape=(batch, num_heads, shape[1], head))
    return result


def _weights(q: Tensor, k: Tensor, hidden: Any, dropout_p: float) -> Tensor:
    """The weights of every head after dropout, drawn in the shape in which torch draws."""
    if dropout_p > 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    masks = () if hidden is None else (~hidden if isinstance(hidden, np.ndarray) else hidden,)
    weights: Tensor = apply(rules.attention_weights, q, k, *masks)
    if dropout_p:
        batch, heads, length, source = weights.shape
        kept = random.bernoulli((batch * heads, length, source), 1 - dropout_p)
        weights = apply(rules.dropout, weights, kept.reshape(weights.shape), p=dropout_p)
    return weights


# -- masks -------------------------------------------------------------------------------------------------------------


def canonical_masks(first: Any, second: Any, names: tuple[str, str], dtype: Any) -> tuple[Any, Any]:
    """Check two masks, and bring them to one kind: both booleans (arrays, True where not to look), or both numbers.

    Raises
    ------
    AssertionError
        If a mask is neither boolean nor floating.
    """
    masks = [mask if mask is None or isinstance(mask, Tensor) else Tensor(mask) for mask in (first, second)]
    for mask, name in zip(masks, names, strict=True):
        if mask is not None and mask.dtype.kind not in "bf":
            raise AssertionError(f"only bool and floating types of {name} are supported")
    kinds = {mask.dtype.kind for mask in masks if mask is not None}
    if len(kinds) == 2:
        warnings.warn(
            f"Support for mismatched {names[1]} and {names[0]} is deprecated. Use same type for both instead.",
            stacklevel=3,
        )
    if kinds == {"b"}:
        booleans = [None if mask is None else mask.data for mask in masks]
        return booleans[0], booleans[1]
    numbers = [
        mask if mask is None or mask.dtype.kind == "f" else Tensor(np.where(mask.data, -np.inf, 0).astype(dtype))
        for mask in masks
    ]
    return numbers[0], numbers[1]


def _open(mask: Any, extra: int) -> Any:
    """Let every query look at the last ``extra`` keys, which a mask does not know of."""
    if mask is None or not extra:
        return mask
    unmasked = np.zeros((*mask.shape[:-1], extra), mask.dtype)
    if isinstance(mask, np.ndarray):
        return np.concatenate([mask, unmasked], axis=-1)
    return apply(rules.cat, mask, unmasked, dim=-1)


def _joined(attn_mask: Any, padding: Any, batch: int) -> Any:
    """One mask for ``(N, heads, L, S)``: booleans where one of the two hides, or the sum of the two."""
    if padding is None:
        return attn_mask
    shape = (batch, 1, 1, padding.shape[-1])
    if isinstance(padding, np.ndarray):
        padding = padding.reshape(shape)
        return padding if attn_mask is None else padding | attn_mask
    padding = apply(rules.reshape, padding, shape=shape)
    return padding if attn_mask is None else apply(rules.add, attn_mask, padding)


def _unfolded(attn_mask: Any, batch: int, num_heads: int, length: int, source: int) -> Any:
    """The mask of attention with the axes ``(N, heads, L, S)``, or ``(L, S)`` for all of them."""
    if attn_mask is None:
        return None
    shape, flat = attn_mask.shape, attn_mask.ndim == 2
    fitting = (length, source) if flat else (batch * num_heads, length, source)
    if shape != fitting:
        raise RuntimeError(f"The shape of the {len(shape)}D attn_mask is {shape}, but should be {fitting}.")
    if flat:
        return attn_mask
    unfolded = (batch, num_heads, length, source)
    if isinstance(attn_mask, np.ndarray):
        return attn_mask.reshape(unfolded)
    return apply(rules.reshape, attn_mask, shape=unfolded)


# -- checks ------------------------------------------------------------------------------------------------------------


def _check_dimensions(
    query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Any, attn_mask: Any, num_heads: int
) -> bool:
    """Whether there is a batch; all inputs and masks must agree on that."""
    if query.ndim not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query tensor"
        )
    batched = query.ndim == 3
    shown = "batched (3-D)" if batched else "unbatched (2-D)"
    if key.ndim != query.ndim or value.ndim != query.ndim:
        raise AssertionError(
            f"For {shown} `query`, expected `key` and `value` to be {query.ndim}-D "
            f"but found {key.ndim}-D and {value.ndim}-D tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.ndim != query.ndim - 1:
        raise AssertionError(
            f"For {shown} `query`, expected `key_padding_mask` to be `None` or {query.ndim - 1}-D "
            f"but found {key_padding_mask.ndim}-D tensor instead"
        )
    if attn_mask is not None and attn_mask.ndim not in (2, 3):
        raise AssertionError(
            f"For {shown} `query`, expected `attn_mask` to be `None`, 2-D or 3-D "
            f"but found {attn_mask.ndim}-D tensor instead"
        )
    if attn_mask is not None and not batched and attn_mask.ndim == 3:
        expected = (num_heads, query.shape[0], key.shape[0])
        if attn_mask.shape != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}")
    return batched


def _check_sizes(query: Tensor, key: Tensor, value: Tensor, embed_dim: int, num_heads: int, separate: bool) -> int:
    """The size of a head."""
    width = query.shape[-1]
    if width != embed_dim:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim}, but got {width}")
    if width % num_heads:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    if separate and key.shape[:2] != value.shape[:2]:
        raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}")
    if not separate and key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
    if key.shape[1] != query.shape[1]:
        raise RuntimeError(f"query has a batch of {query.shape[1]}, but key and value of {key.shape[1]}")
    return width // num_heads


def _check_padding(mask: Array, batch: int, source: int) -> None:
    for axis, expected in enumerate((batch, source)):
        if mask.shape[axis] != expected:
            raise AssertionError(f"Expected key_padded_mask.shape[{axis}] to be {expected}, but got {mask.shape[axis]}")


def _check_extra(bias_k: Any, bias_v: Any, static_k: Any, static_v: Any) -> None:
    if (bias_k is None) != (bias_v is None):
        given, missing = ("bias_k", "bias_v") if bias_v is None else ("bias_v", "bias_k")
        raise AssertionError(f"{given} is set but {missing} is None")
    if bias_k is not None and static_k is not None:
        raise AssertionError("bias cannot be added to static key.")
    if bias_v is not None and static_v is not None:
        raise AssertionError("bias cannot be added to static value.")
