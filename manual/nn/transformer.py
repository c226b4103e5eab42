"""The transformer, and its parts: encoder and decoder, and the layers of which they are stacks.

Source: Vaswani et al., "Attention Is All You Need" (2017), section 3; normalising first from Xiong et al., "On Layer
Normalization in the Transformer Architecture" (2020).

Convention: everything runs as torch runs it where gradients are recorded. Without them torch takes a fused path in
evaluation mode, which fills padded places with zeros; this wing has one path only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from manual.nn import functional, init
from manual.nn.attention import MultiheadAttention
from manual.nn.container import ModuleList
from manual.nn.dropout import Dropout
from manual.nn.functional.attention import canonical_masks
from manual.nn.linear import Linear
from manual.nn.module import Module
from manual.nn.normalization import LayerNorm
from manual.tensor import DEFAULT_DTYPE, Tensor

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

Activation = str | Callable[[Tensor], Tensor]


class TransformerEncoderLayer(Module):
    """Self-attention, then two linear maps with an activation between them; each is added to its own input.

    Shapes: ``src`` and the output ``(S, N, d_model)``, with ``batch_first`` ``(N, S, d_model)``, or without N.

    Forward: ``x = norm1(x + attend(x))``, ``x = norm2(x + feed(x))``; with ``norm_first``
    ``x = x + attend(norm1(x))``, ``x = x + feed(norm2(x))``. Dropout acts on the weights of attention, between the
    linear maps, and on what is added.

    Raises
    ------
    RuntimeError
        If ``activation`` is unknown.
    AssertionError
        If ``d_model`` is no multiple of ``nhead``; when it is called, if a shape does not fit.

    Examples
    --------
    >>> layer = nn.TransformerEncoderLayer(d_model=4, nhead=2, dim_feedforward=8)
    >>> tuple(layer(tensor(np.ones((3, 2, 4)), dtype=np.float32)).shape)
    (3, 2, 4)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = functional.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        attention = {"dropout": dropout, "bias": bias, "batch_first": batch_first, "dtype": dtype}
        norm = {"eps": layer_norm_eps, "bias": bias, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, **attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, dtype=dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, **norm)
        self.norm2 = LayerNorm(d_model, **norm)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self, src: Tensor, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Tensor:
        mask, padding = canonical_masks(src_mask, src_key_padding_mask, ("src_mask", "src_key_padding_mask"), src.dtype)
        x = src
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), mask, padding, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(x + self._sa_block(x, mask, padding, is_causal))
        result: Tensor = self.norm2(x + self._ff_block(x))
        return result

    def _sa_block(self, x: Tensor, attn_mask: Any, key_padding_mask: Any, is_causal: bool = False) -> Tensor:
        result: Tensor = self.dropout1(_attended(self.self_attn, x, x, attn_mask, key_padding_mask, is_causal))
        return result

    def _ff_block(self, x: Tensor) -> Tensor:
        result: Tensor = self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return result


class TransformerDecoderLayer(Module):
    """Self-attention, attention to a memory, then two linear maps; each is added to its own input.

    Shapes: ``tgt`` and the output ``(T, N, d_model)``, ``memory (S, N, d_model)``, with ``batch_first`` the first two
    axes exchanged, or without N.

    Forward: ``x = norm1(x + attend(x))``, ``x = norm2(x + attend(x, memory))``, ``x = norm3(x + feed(x))``; with
    ``norm_first`` what is attended from or fed is normalised instead of the sum.

    Raises
    ------
    RuntimeError
        If ``activation`` is unknown.
    AssertionError
        If ``d_model`` is no multiple of ``nhead``; when it is called, if a shape does not fit.

    Examples
    --------
    >>> layer = nn.TransformerDecoderLayer(d_model=4, nhead=2, dim_feedforward=8)
    >>> target, memory = (tensor(np.ones((length, 2, 4)), dtype=np.float32) for length in (5, 3))
    >>> tuple(layer(target, memory).shape)
    (5, 2, 4)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = functional.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        attention = {"dropout": dropout, "bias": bias, "batch_first": batch_first, "dtype": dtype}
        norm = {"eps": layer_norm_eps, "bias": bias, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, **attention)
        self.multihead_attn = MultiheadAttention(d_model, nhead, **attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, dtype=dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, **norm)
        self.norm2 = LayerNorm(d_model, **norm)
        self.norm3 = LayerNorm(d_model, **norm)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        x = tgt
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        other = (memory_mask, memory_key_padding_mask, memory_is_causal)
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), *own)
            x = x + self._mha_block(self.norm2(x), memory, *other)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(x + self._sa_block(x, *own))
        x = self.norm2(x + self._mha_block(x, memory, *other))
        result: Tensor = self.norm3(x + self._ff_block(x))
        return result

    def _sa_block(self, x: Tensor, attn_mask: Any, key_padding_mask: Any, is_causal: bool = False) -> Tensor:
        result: Tensor = self.dropout1(_attended(self.self_attn, x, x, attn_mask, key_padding_mask, is_causal))
        return result

    def _mha_block(
        self, x: Tensor, mem: Tensor, attn_mask: Any, key_padding_mask: Any, is_causal: bool = False
    ) -> Tensor:
        result: Tensor = self.dropout2(_attended(self.multihead_attn, x, mem, attn_mask, key_padding_mask, is_causal))
        return result

    def _ff_block(self, x: Tensor) -> Tensor:
        result: Tensor = self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return result


class TransformerEncoder(Module):
    """``num_layers`` copies of an encoder layer, one after the other, and a norm at the end if there is one.

    ``enable_nested_tensor`` and ``mask_check`` steer torch's path without gradients; they are accepted and without
    effect.

    Shapes: as in :class:`TransformerEncoderLayer`. Raises what the layer raises.

    Examples
    --------
    >>> layer = nn.TransformerEncoderLayer(d_model=4, nhead=2, dim_feedforward=8)
    >>> encoder = nn.TransformerEncoder(layer, num_layers=3, enable_nested_tensor=False)
    >>> len(encoder.layers), tuple(encoder(tensor(np.ones((3, 2, 4)), dtype=np.float32)).shape)
    (3, (3, 2, 4))
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ):
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(
        self, src: Tensor, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Tensor:
        """Pass ``src`` through the layers.

        Convention: torch looks whether ``mask`` is causal where ``is_causal`` is ``None``, to compute the same faster;
        here ``None`` is ``False``.
        """
        mask, padding = canonical_masks(mask, src_key_padding_mask, ("mask", "src_key_padding_mask"), src.dtype)
        output = src
        for layer in self.layers:
            output = layer(output, src_mask=mask, is_causal=bool(is_causal), src_key_padding_mask=padding)
        return output if self.norm is None else self.norm(output)


class TransformerDecoder(Module):
    """``num_layers`` copies of a decoder layer, one after the other, and a norm at the end if there is one.

    Shapes: as in :class:`TransformerDecoderLayer`. Raises what the layer raises.

    Examples
    --------
    >>> layer = nn.TransformerDecoderLayer(d_model=4, nhead=2, dim_feedforward=8)
    >>> decoder = nn.TransformerDecoder(layer, num_layers=3)
    >>> target, memory = (tensor(np.ones((length, 2, 4)), dtype=np.float32) for length in (5, 3))
    >>> len(decoder.layers), tuple(decoder(target, memory).shape)
    (3, (5, 2, 4))
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None):
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Pass ``tgt`` through the layers, each attending to ``memory``; of ``tgt_is_causal`` ``None`` is ``False``."""
        output = tgt
        for layer in self.layers:
            output = layer(
                output,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )
        return output if self.norm is None else self.norm(output)


class Transformer(Module):
    """An encoder that reads the source, and a decoder that attends to it.

    Shapes: ``src (S, N, d_model)``, ``tgt`` and the output ``(T, N, d_model)``, with ``batch_first`` the first two axes
    exchanged, or all without N. ``custom_encoder`` and ``custom_decoder`` take the place of the two. All matrices start
    uniform (Xavier).

    Raises
    ------
    RuntimeError
        When it is called, if the batches of source and target differ, or their last axis is not ``d_model`` long.

    Examples
    --------
    >>> model = nn.Transformer(4, 2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8)
    >>> source, target = (tensor(np.ones((length, 2, 4)), dtype=np.float32) for length in (3, 5))
    >>> tuple(model(source, target).shape)
    (5, 2, 4)
    >>> model.generate_square_subsequent_mask(3)
    Tensor([[  0., -inf, -inf],
            [  0.,   0., -inf],
            [  0.,   0.,   0.]])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = functional.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        layer = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)

        if custom_encoder is None:
            encoder_layer = TransformerEncoderLayer(*layer, dtype=dtype)
            custom_encoder = TransformerEncoder(encoder_layer, num_encoder_layers, norm())
        if custom_decoder is None:
            decoder_layer = TransformerDecoderLayer(*layer, dtype=dtype)
            custom_decoder = TransformerDecoder(decoder_layer, num_decoder_layers, norm())
        self.encoder = custom_encoder
        self.decoder = custom_decoder
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Encode ``src`` and decode ``tgt`` with it.

        Raises
        ------
        RuntimeError
            If the batches differ in size, or the features are not ``d_model``.
        """
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise RuntimeError("the batch number of src and tgt must be equal")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise RuntimeError("the feature number of src and tgt must be equal to d_model")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        result: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
        return result

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """A mask ``(sz, sz)`` of minus infinity above the diagonal and 0 elsewhere: no place sees a later one."""
        return Tensor(np.triu(np.full((sz, sz), -np.inf, dtype or DEFAULT_DTYPE), 1))

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)


def _attended(
    attention: Module, x: Tensor, memory: Tensor, attn_mask: Any, key_padding_mask: Any, is_causal: bool
) -> Tensor:
    result: Tensor = attention(
        x,
        memory,
        memory,
        attn_mask=attn_mask,
        key_padding_mask=key_padding_mask,
        is_causal=is_causal,
        need_weights=False,
    )[0]
    return result


def _activation(activation: Activation) -> Any:
    """An activation given by name, or itself."""
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {activation}")
    return getattr(functional, activation)


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList(copy.deepcopy(layer) for _ in range(count))
